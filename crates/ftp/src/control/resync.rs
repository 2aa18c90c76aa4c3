//! Resynchronization after a transfer that was ended by the client.

use std::time::Duration;

use super::{
    command::FtpCommand,
    connection::{ControlConnection, Waited, answer, further, late, wait},
};
use crate::reply::Reply;
use portolan_core::{
    cancel::CancelToken,
    error::{Origin, Result},
};
use portolan_proto::{ReplyCode, Verb};

/// The maximum number of replies before the one to NOOP: the end of the transfer, 225 of an abort, a spare one.
const REPLIES_MAX: usize = 4;

impl ControlConnection {
    /// Reads the remaining replies to a transfer whose data connection was dropped, and returns the reply that ended
    /// it, if one came. Afterwards the connection is in step, or it is broken.
    ///
    /// Pure-FTPd ends such a transfer with a second 150, or with nothing at all (measured), so only the reply to a
    /// later command proves anything: NOOP, whose 200 differs from the end of any transfer.
    pub async fn resync(&mut self, time: Duration) -> Option<Reply> {
        let ended = self.end_of_transfer(time).await;
        let reply = match &ended {
            Ok(reply) => reply.clone(),
            Err(error) => {
                self.poison(error);
                return None;
            }
        };
        if self.broken.is_none() && !self.answers_noop(time).await {
            let error = late("NOOP", time);
            self.poison(&error);
        }
        reply
    }

    /// Grants a connection that was ended by the client some more time for cleanup, even after the signal to stop.
    pub fn reprieve(&mut self, time: Duration) {
        self.stop = CancelToken::new().within(time);
        self.set_reply_timeout(time);
        if self.broken.as_ref().is_some_and(|error| error.side == Origin::Here) {
            self.broken = None;
        }
    }

    async fn end_of_transfer(&mut self, time: Duration) -> Result<Option<Reply>> {
        if let Some(early) = self.early.take() {
            return Ok(Some(early));
        }
        if self.link.lock().outstanding == 0 {
            return Ok(None);
        }
        match wait(&self.stop, &mut self.broken, time, further(&mut self.ftp)).await {
            Waited::Late(_) => Ok(None),
            waited => self.take(waited, "the end of a transfer").map(Some),
        }
    }

    async fn answers_noop(&mut self, time: Duration) -> bool {
        let mut is_repeated = false;
        let noop = FtpCommand::bare(Verb::Noop).as_text(self.syntax);
        let mut waited =
            wait(&self.stop, &mut self.broken, time, answer(&mut self.ftp, noop.clone())).await;
        for _ in 0..REPLIES_MAX {
            match self.take(waited, "NOOP") {
                Ok(reply) if reply.code == ReplyCode::OKAY => {
                    self.link.lock().outstanding = 0;
                    return true;
                }
                // The server took the rest of the transfer for the beginning of a command.
                Ok(reply) if reply.code == ReplyCode::UNKNOWN_COMMAND && !is_repeated => {
                    is_repeated = true;
                    waited = wait(
                        &self.stop,
                        &mut self.broken,
                        time,
                        answer(&mut self.ftp, noop.clone()),
                    )
                    .await;
                }
                Ok(_) if self.broken.is_none() => {
                    waited = wait(&self.stop, &mut self.broken, time, further(&mut self.ftp)).await;
                }
                _ => return false,
            }
        }
        false
    }
}
