//! Ends of transfers that are not as they should be, though all bytes are there: a reset, a connection that is never
//! closed, a complaint about the end of TLS, a size that is told too early, a rename that takes its time.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{
        control::{Command, Either},
        data::Data,
        path::RemotePath,
        reply::Reply,
        session::Session,
    },
    limits::{FINAL_REPLY_BYTES_PER_SECOND, FINAL_REPLY_FACTOR},
};

/// Time in which the end of a data connection comes behind its last byte, over whatever link. A server that takes longer
/// may have forgotten to close it.
const END_TIME: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 2000 });

/// Waits for a size that a server tells too early: gateways to object stores need a second or two until they know it.
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

/// Whether the other side ended a data connection by a reset. TLS that ends without its own end is not meant.
pub(super) fn is_rude_end(fault: &Fault) -> bool {
    let cause = fault.cause.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>());
    let is_reset = |error: &io::Error| {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe)
    };
    fault.side == Side::Network && fault.kind == Kind::DataConnection && cause.is_some_and(is_reset)
}

impl Session {
    /// Reads on behind the last byte of a file, where nothing is to come but the end. Where the server says that the
    /// transfer is complete and does not close the connection, that is the end.
    pub(super) async fn read_end(&mut self, data: &mut Data, room: &mut [u8]) -> Outcome<usize> {
        if let Ok(read) = timeout(END_TIME, data.read(room)).await {
            return read;
        }
        // The connection has a time of its own, which ends before that.
        let time = self.site.data_timeout * 2;
        match self.control.reply_or(time, "RETR", data.read(room)).await? {
            Either::Other(read) => read,
            Either::Reply(reply) => {
                self.control.put_back(reply);
                // What was under way when it was said is here by now.
                timeout(END_TIME, data.read(room)).await.unwrap_or(Ok(0))
            }
        }
    }

    /// What to make of the complaint `fault` behind a file whose bytes have all come, over a connection whose TLS has
    /// ended as it should: servers say 426 or 451 there when they stumble over the end of TLS. Where the file still has
    /// as many bytes, it has come.
    pub(super) async fn see_end(
        &mut self,
        remote: &RemotePath,
        fault: Fault,
        bytes: u64,
    ) -> Outcome<()> {
        if !matches!(fault.code, 426 | 451) || self.size_of(remote).await? != Some(bytes) {
            return Err(fault);
        }
        tracing::info!(target: "portolan", "{remote}: all {bytes} bytes came, and then {fault}");
        Ok(())
    }

    /// The size of a file that was just stored, of which the server first `told` too little: asked again after a while.
    pub(super) async fn settled_size(
        &mut self,
        path: &RemotePath,
        told: Option<u64>,
        wanted: u64,
    ) -> Outcome<Option<u64>> {
        let mut told = told;
        for wait in SIZE_WAITS {
            if told.is_none_or(|told| told >= wanted) {
                break;
            }
            self.context.stop.race(tokio::time::sleep(wait)).await?;
            // One that is not told any more is not known to be right.
            told = self.size_of(path).await?.or(told);
        }
        Ok(told)
    }

    /// Sends `commands`, which rename files of so many bytes: some servers copy them then, and need as long as at the
    /// end of an upload.
    pub(super) async fn ask_to_rename(
        &mut self,
        commands: &[Command],
        bytes: u64,
    ) -> Outcome<Vec<Reply>> {
        let usual = self.site.reply_timeout;
        let time = usual * FINAL_REPLY_FACTOR;
        self.ensure().await?;
        self.control.hurry(time + Duration::from_secs(bytes / FINAL_REPLY_BYTES_PER_SECOND));
        let replies = self.ask_all(commands).await;
        self.control.hurry(usual);
        replies
    }
}
