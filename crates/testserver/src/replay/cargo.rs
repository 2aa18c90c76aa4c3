//! The bytes of the data connections of a replay: listings as recorded, files of the recorded length.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::normal::renamed;
use crate::stream::Stream;
use portolan_core::{
    limits::{COPY_BYTES, REPLAY_TIMEOUT, REPLAYED_FILE_BYTES_MAX},
    recording::{RecordedData, fill},
};

/// The bytes beyond those that the recorded client read before it closed the connection itself.
const BEYOND: u64 = 4 * 1024 * 1024;

/// Carries the bytes of `data`, which begin at `offset`, and ends as the recorded connection did. An error is that of the
/// client, which then says so itself.
pub(super) async fn carry(
    stream: Stream,
    data: &RecordedData,
    is_upload: bool,
    offset: u64,
    names: &[(Vec<u8>, Vec<u8>)],
) {
    let carried = if is_upload {
        receive(stream, data).await
    } else {
        send(stream, data, offset, names).await
    };
    carried.ok();
}

async fn send(
    mut stream: Stream,
    data: &RecordedData,
    offset: u64,
    names: &[(Vec<u8>, Vec<u8>)],
) -> io::Result<()> {
    if let Some(listing) = &data.content {
        stream.write_all(&renamed(&listing.0, names)).await?;
    } else {
        let is_left = !data.ended && data.failure.is_none();
        let count = data.received.saturating_add(if is_left { BEYOND } else { 0 });
        let mut left = count.min(REPLAYED_FILE_BYTES_MAX);
        let mut at = offset;
        let mut piece = vec![0; COPY_BYTES];
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let space = piece.get_mut(..length).unwrap_or_default();
            fill(at, space);
            stream.write_all(space).await?;
            at += length as u64;
            left -= length as u64;
        }
    }
    stream.flush().await?;
    end(stream, data).await
}

async fn receive(mut stream: Stream, data: &RecordedData) -> io::Result<()> {
    let mut piece = vec![0; COPY_BYTES];
    let mut count = 0_u64;
    // What was sent had not all been received when the connection failed.
    let enough = data.failure.as_ref().map_or(u64::MAX, |_| data.sent / 2);
    while count <= enough {
        match stream.read(&mut piece).await? {
            0 => return stream.finish().await,
            read => count += read as u64,
        }
    }
    end(stream, data).await
}

async fn end(mut stream: Stream, data: &RecordedData) -> io::Result<()> {
    match &data.failure {
        None => stream.finish().await,
        Some(failure) if failure.is_timeout() => {
            // Until the client has had enough, which is sooner than it stops to wait for the final reply.
            if data.sent > 0 {
                sleep(REPLAY_TIMEOUT * 3 / 2).await;
            }
            let mut rest = [0; 4096];
            let drain = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
            timeout(REPLAY_TIMEOUT * 2, drain).await.ok();
            Ok(())
        }
        // TLS that ends without its own end.
        Some(failure) if failure.errno.is_none() && stream.is_secure() => {
            stream.finish_rudely().await
        }
        Some(_) => stream.reset().await,
    }
}
