//! Irregular ends of transfers although all data has arrived: a reset, a connection that is never closed, an error
//! about the end of TLS, a size that is reported too early, a slow rename.

use crate::reply::CausedByReply as _;
use std::{io, time::Duration};

use tokio::time::timeout;

use crate::{
    control::{Either, FtpCommand},
    data::DataConnection,
    path::RemotePath,
    reply::Reply,
    session::Session,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{FINAL_REPLY_BYTES_PER_SECOND, FINAL_REPLY_FACTOR},
};
use portolan_proto::ReplyCode;

/// The time in which the end of a data connection follows its last byte, over any link. A server that takes longer may
/// have forgotten to close it.
const END_TIME: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 2000 });

/// The waits for a size that a server reports too early: gateways to object stores need a second or two to know it.
const SIZE_WAITS: [Duration; 4] = if cfg!(test) {
    [Duration::from_millis(10); 4]
} else {
    [
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_secs(2),
    ]
};

/// Returns true if the other side ended a data connection by a reset. TLS that ends without a `close_notify` does not
/// count.
pub(super) fn is_rude_end(error: &Error) -> bool {
    let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>());
    let is_reset = |error: &io::Error| {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe)
    };
    error.side == Origin::Network
        && error.kind == ErrorKind::DataConnection
        && cause.is_some_and(is_reset)
}

impl Session {
    /// Reads past the last byte of a file, where only the end of the data is expected. If the server reports the
    /// transfer as complete and does not close the connection, that counts as the end.
    pub(super) async fn read_end(
        &mut self,
        data: &mut DataConnection,
        room: &mut [u8],
    ) -> Result<usize> {
        if let Ok(read) = timeout(END_TIME, data.read(room)).await {
            return read;
        }
        // The connection has a timeout of its own, which is shorter.
        let time = self.site.data_timeout * 2;
        match self.control.reply_or(time, "RETR", data.read(room)).await? {
            Either::Other(read) => read,
            Either::Reply(reply) => {
                self.control.unread(reply);
                // Data that was in flight at the time of the reply has arrived by now.
                timeout(END_TIME, data.read(room)).await.unwrap_or(Ok(0))
            }
        }
    }

    /// Evaluates the error `error` after all data of a file has come over a connection whose TLS has ended properly:
    /// servers reply 426 or 451 if they fail at the end of TLS. If the file still has the same size, the transfer
    /// succeeded.
    pub(super) async fn see_end(
        &mut self,
        remote: &RemotePath,
        error: Error,
        bytes: u64,
    ) -> Result<()> {
        if !matches!(error.reply_code(), ReplyCode::TRANSFER_ABORTED | ReplyCode::LOCAL_ERROR)
            || self.size_of(remote).await? != Some(bytes)
        {
            return Err(error);
        }
        tracing::info!(target: "portolan", "{remote}: all {bytes} bytes came, and then {error}");
        Ok(())
    }

    /// Returns the size of a file that was just stored, if the server first `told` too small a size: it is queried
    /// again after a while.
    pub(super) async fn settled_size(
        &mut self,
        path: &RemotePath,
        told: Option<u64>,
        wanted: u64,
    ) -> Result<Option<u64>> {
        let mut told = told;
        for wait in SIZE_WAITS {
            if told.is_none_or(|told| told >= wanted) {
                break;
            }
            self.context.stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
            // A size that is no longer reported is not known to be right.
            told = self.size_of(path).await?.or(told);
        }
        Ok(told)
    }

    /// Sends `commands`, which rename files of `bytes` bytes: some servers copy them then, and need as long as at the
    /// end of an upload.
    pub(super) async fn ask_to_rename(
        &mut self,
        commands: &[FtpCommand],
        bytes: u64,
    ) -> Result<Vec<Reply>> {
        let usual = self.site.reply_timeout;
        let time = usual * FINAL_REPLY_FACTOR;
        self.ensure().await?;
        self.control
            .set_reply_timeout(time + Duration::from_secs(bytes / FINAL_REPLY_BYTES_PER_SECOND));
        let replies = self.ask_all(commands).await;
        self.control.set_reply_timeout(usual);
        replies
    }
}
