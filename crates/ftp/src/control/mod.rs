//! The control connection: one command, one reply, in order and in time; otherwise it is not used again.

mod command;
mod connection;
mod dial;
mod greeting;
mod packets;
mod pipeline;
mod resync;

pub use self::{
    command::FtpCommand,
    connection::{ControlConnection, Either},
    pipeline::{EndingTransfer, Lookahead, LookaheadReply, TransferEnd},
};
pub(super) use self::{
    dial::{DialedConnection, connect, dial, resolve},
    packets::may_be_repeated,
};
