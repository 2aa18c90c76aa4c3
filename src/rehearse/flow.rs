//! The bytes of a transfer, as they are and as the plans bend them.

use std::{
    fs::File,
    io::{self, Cursor, Read, Write},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{
    effect::Bend,
    reply::Reply,
    source::{Entries, Source, WithoutReturns},
    stream::Stream,
};
use crate::limits::{COPY_BYTES, DATA_TIMEOUT};

/// Times a second that a slow transfer moves.
const SLOW_STEPS: u64 = 20;
/// What a file that grows has at its end.
const GROWTH: &[u8] = b"and some more\n";

/// How a transfer goes.
#[derive(Debug, Default)]
pub(super) struct Flow {
    bends: Vec<Bend>,
}

/// How the data connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Proper,
    Rude,
    Reset,
}

impl Flow {
    /// A transfer with all of these bends.
    pub(super) fn new(bends: Vec<Bend>) -> Self {
        Self { bends }
    }

    /// Sends the bytes and ends the connection.
    pub(super) async fn send(&self, mut stream: Stream, source: Source) -> Result<(), Reply> {
        let mut end = End::Proper;
        let Source { mut bytes, size } = source;
        for bend in &self.bends {
            bytes = match bend {
                Bend::Reset(most) => {
                    end = End::Reset;
                    Box::new(bytes.take(*most))
                }
                Bend::NoFarewell => {
                    end = End::Rude;
                    bytes
                }
                Bend::Cut(most) => Box::new(bytes.take(*most)),
                Bend::Half => Box::new(bytes.take(size / 2)),
                Bend::Longer => Box::new(bytes.chain(GROWTH)),
                Bend::Text(text) => Box::new(Cursor::new(text.clone())),
                Bend::Endless => Box::new(Entries::default()),
                Bend::EndlessLine => Box::new(io::repeat(b'x')),
                Bend::Rate(_) => bytes,
            };
        }
        self.pour(&mut stream, bytes).await?;
        let ended = match end {
            End::Proper => stream.finish().await,
            End::Rude => stream.finish_rudely().await,
            End::Reset => stream.reset().await.and(Err(io::ErrorKind::ConnectionReset.into())),
        };
        ended.map_err(|_| broken())
    }

    async fn pour(&self, stream: &mut Stream, mut bytes: impl Read) -> Result<(), Reply> {
        let mut buffer = vec![0; self.step()];
        loop {
            let read = bytes.read(&mut buffer)?;
            let piece = buffer.get(..read).unwrap_or_default();
            if piece.is_empty() {
                return stream.flush().await.map_err(|_| broken());
            }
            let written = timeout(DATA_TIMEOUT, stream.write_all(piece)).await;
            written.map_err(|_| broken())?.map_err(|_| broken())?;
            self.pause(read).await;
        }
    }

    /// Stores what comes until the client ends it. Under TLS an end without farewell is no end.
    pub(super) async fn receive(
        &self,
        mut stream: Stream,
        mut file: File,
        converts: bool,
    ) -> Result<(), Reply> {
        let start = file.metadata()?.len();
        let mut left = self.reset_after();
        let mut buffer = vec![0; self.step()];
        let mut returns = WithoutReturns::default();
        loop {
            let read = timeout(DATA_TIMEOUT, stream.read(&mut buffer)).await;
            let read = read.map_err(|_| broken())?.map_err(|_| broken())?;
            let kept =
                left.map_or(read, |left| usize::try_from(left).map_or(read, |left| left.min(read)));
            let piece = buffer.get(..kept).unwrap_or_default();
            if converts {
                file.write_all(&returns.strip(piece))?;
            } else {
                file.write_all(piece)?;
            }
            left = left.map(|left| left - kept as u64);
            if left == Some(0) {
                drop(stream.reset().await);
                return Err(broken());
            }
            if read == 0 {
                break;
            }
            self.pause(read).await;
        }
        file.write_all(returns.rest())?;
        if self.bends.contains(&Bend::Half) {
            let size = file.metadata()?.len();
            file.set_len(start.min(size) + size.saturating_sub(start) / 2)?;
        }
        // The client may have closed both ways already.
        drop(stream.finish().await);
        Ok(())
    }

    fn rate(&self) -> Option<u64> {
        self.bends
            .iter()
            .find_map(|bend| if let Bend::Rate(rate) = bend { Some(*rate) } else { None })
    }

    /// Bytes of an upload after which the connection is reset.
    fn reset_after(&self) -> Option<u64> {
        self.bends.iter().find_map(|bend| if let Bend::Reset(n) = bend { Some(*n) } else { None })
    }

    /// Bytes to move at once.
    fn step(&self) -> usize {
        let slow = self.rate().map(|rate| rate.div_ceil(SLOW_STEPS));
        slow.and_then(|step| usize::try_from(step).ok())
            .map_or(COPY_BYTES, |step| step.min(COPY_BYTES))
    }

    async fn pause(&self, moved: usize) {
        if let Some(rate) = self.rate() {
            sleep(Duration::from_micros((moved as u64).saturating_mul(1_000_000) / rate)).await;
        }
    }
}

fn broken() -> Reply {
    Reply::new(426, "Connection closed; transfer aborted.")
}
