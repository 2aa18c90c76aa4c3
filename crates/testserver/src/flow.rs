//! The bytes of a transfer, unchanged or altered by the plans.

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
    reply::ServerReply,
    source::{ByteStream, Entries, WithoutReturns},
    stream::Stream,
};
use portolan_core::limits::{COPY_BYTES, DATA_TIMEOUT, LISTING_TIME_MAX};
use portolan_proto::ReplyCode;

/// The number of pieces per second of a slow transfer.
const SLOW_STEPS: u64 = 20;
/// The bytes appended to a file that is sent longer than it is.
const GROWTH: &[u8] = b"and some more\n";

/// The alterations of a transfer.
#[derive(Debug, Default)]
pub(super) struct Flow {
    bends: Vec<Bend>,
}

/// The end of the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    /// An orderly close.
    Proper,
    /// A close without the `close_notify` of TLS.
    Rude,
    /// A reset after this many bytes.
    Reset(u64),
    /// A reset once the client has had time to read everything.
    Late,
    /// The connection stays open, and the transfer succeeds.
    Open,
    /// The connection stays open after this many bytes, and no more are transferred.
    Never(u64),
}

impl StreamEnd {
    /// Returns the number of bytes after which it happens, unless it waits for the last.
    const fn early(self) -> Option<u64> {
        match self {
            Self::Reset(at) | Self::Never(at) => Some(at),
            Self::Proper | Self::Rude | Self::Late | Self::Open => None,
        }
    }

    /// Ends the connection; an early end fails.
    async fn come(self, stream: Stream) -> Result<(), ServerReply> {
        let ended = match self {
            Self::Proper => stream.finish().await,
            Self::Rude => stream.finish_rudely().await,
            Self::Reset(_) => stream.reset().await.and(Err(io::ErrorKind::ConnectionReset.into())),
            Self::Late => stream.reset().await,
            Self::Open => {
                tokio::spawn(async move {
                    sleep(LISTING_TIME_MAX).await;
                    drop(stream);
                });
                Ok(())
            }
            Self::Never(_) => {
                sleep(LISTING_TIME_MAX).await;
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        ended.map_err(|_| broken())
    }
}

impl Flow {
    /// Creates a transfer with all of these alterations.
    pub(super) fn new(bends: Vec<Bend>) -> Self {
        Self { bends }
    }

    /// Sends the bytes and ends the connection.
    pub(super) async fn send(
        &self,
        mut stream: Stream,
        source: ByteStream,
    ) -> Result<(), ServerReply> {
        let mut end = self.end();
        let ByteStream { mut bytes, size } = source;
        for bend in &self.bends {
            bytes = match bend {
                Bend::Reset(most) | Bend::Stall(most) | Bend::Cut(most) => {
                    Box::new(bytes.take(*most))
                }
                Bend::Half => Box::new(bytes.take(size / 2)),
                Bend::Longer => Box::new(bytes.chain(GROWTH)),
                Bend::Text(text) => Box::new(Cursor::new(text.clone())),
                Bend::Endless => Box::new(Entries::default()),
                Bend::EndlessLine => Box::new(io::repeat(b'x')),
                Bend::Rate(_) | Bend::NoFarewell | Bend::ResetAtEnd | Bend::Open => bytes,
            };
        }
        let sent = self.pour(&mut stream, bytes).await?;
        // A source shorter than the position of the fault does not reach it.
        if end.early().is_some_and(|at| sent < at) {
            end = StreamEnd::Proper;
        }
        end.come(stream).await
    }

    /// Sends everything, and returns the number of bytes.
    async fn pour(&self, stream: &mut Stream, mut bytes: impl Read) -> Result<u64, ServerReply> {
        let mut buffer = vec![0; self.step()];
        let mut sent = 0;
        loop {
            let read = bytes.read(&mut buffer)?;
            let piece = buffer.get(..read).unwrap_or_default();
            if piece.is_empty() {
                return stream.flush().await.map(|()| sent).map_err(|_| broken());
            }
            let written = timeout(DATA_TIMEOUT, stream.write_all(piece)).await;
            written.map_err(|_| broken())?.map_err(|_| broken())?;
            sent += read as u64;
            self.pause(read).await;
        }
    }

    /// Stores the received bytes until the client ends the connection. Under TLS, an end without `close_notify` is an
    /// error.
    pub(super) async fn receive(
        &self,
        mut stream: Stream,
        mut file: File,
        converts: bool,
    ) -> Result<(), ServerReply> {
        let start = file.metadata()?.len();
        let end = self.end();
        let mut left =
            end.early().map_or(usize::MAX, |at| usize::try_from(at).unwrap_or(usize::MAX));
        let mut buffer = vec![0; self.step()];
        let mut returns = WithoutReturns::default();
        loop {
            let read = timeout(DATA_TIMEOUT, stream.read(&mut buffer)).await;
            let read = read.map_err(|_| broken())?.map_err(|_| broken())?;
            let piece = buffer.get(..read.min(left)).unwrap_or_default();
            if converts {
                file.write_all(&returns.strip(piece))?;
            } else {
                file.write_all(piece)?;
            }
            if end.early().is_some() {
                left -= piece.len();
            }
            if left == 0 {
                return end.come(stream).await;
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
        // The client may have closed both directions already.
        drop(stream.finish().await);
        Ok(())
    }

    fn rate(&self) -> Option<u64> {
        self.bends
            .iter()
            .find_map(|bend| if let Bend::Rate(rate) = bend { Some(*rate) } else { None })
    }

    /// Returns the end of the connection: the first alteration that concerns it decides.
    fn end(&self) -> StreamEnd {
        let end = self.bends.iter().find_map(|bend| match bend {
            Bend::Reset(at) => Some(StreamEnd::Reset(*at)),
            Bend::Stall(at) => Some(StreamEnd::Never(*at)),
            Bend::NoFarewell => Some(StreamEnd::Rude),
            Bend::ResetAtEnd => Some(StreamEnd::Late),
            Bend::Open => Some(StreamEnd::Open),
            _ => None,
        });
        end.unwrap_or(StreamEnd::Proper)
    }

    /// Returns the number of bytes to transfer at once.
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

fn broken() -> ServerReply {
    ServerReply::new(ReplyCode::TRANSFER_ABORTED, "Connection closed; transfer aborted.")
}
