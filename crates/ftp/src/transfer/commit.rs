//! The rename from a temporary name to the final one, and the removal of temporary files.

use jiff::Timestamp;

use super::in_place::rename_refused;
use crate::{
    control::FtpCommand, listing::time_val, path::RemotePath, reply::Reply, session::Session,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
use portolan_proto::{ReplyCode, Verb};

impl Session {
    /// Returns the command that sets a file's time: MFMT if the server supports it (RFC draft-somers-ftp-mfxx); else
    /// MDTM with a time, which sets it on vsftpd and is refused elsewhere.
    pub(crate) fn time_command(&self, path: &RemotePath, time: Timestamp) -> Result<FtpCommand> {
        let verb = if self.features.has("MFMT") { Verb::Mfmt } else { Verb::Mdtm };
        let digits = time_val(time).ok_or_else(|| {
            Error::invalid(format!("{time} cannot be set: FTP has four-digit years"))
        })?;
        Ok(FtpCommand::with(verb, digits).before(path))
    }

    /// Verifies that the file has the name it was given. Pure-FTPd silently replaces a blank at the end of a name by
    /// `_`; no other name is known to be changed, so no other costs the listing.
    pub(super) async fn check_final_name(&mut self, remote: &RemotePath) -> Result<()> {
        if !remote.name().ends_with(b" ") || self.find_in_folder(remote).await?.is_some() {
            return Ok(());
        }
        let message = "the server took the file, but under another name: it has no names that end with a blank";
        Err(Error::new(ErrorKind::Refused, Origin::Server, message))
    }

    /// Renames `temporary` to `remote`. If the server does not replace existing files, the old file is renamed first,
    /// and restored if the second step fails.
    pub(super) async fn rename_replacing(
        &mut self,
        temporary: &RemotePath,
        remote: &RemotePath,
    ) -> Result<()> {
        let Err(error) = self.rename_once(temporary, remote).await else {
            self.data_path.profile.record_rename();
            return Ok(());
        };
        let is_refused = error.kind == ErrorKind::Refused;
        let error = rename_refused(error, temporary);
        if !is_refused || self.size_of(remote).await?.is_none() {
            return Err(error);
        }
        // The old file is not moved for a file that is not there: that may have its name already.
        if self.size_of(temporary).await?.is_none() {
            return Err(error);
        }
        let aside = self.aside_name(remote)?;
        if self.is_unmarked() {
            // A file left by an earlier attempt is older than the one that has the name.
            self.ask(&FtpCommand::path(Verb::Dele, &aside)).await?;
        }
        self.rename_once(remote, &aside).await.map_err(|_| error)?;
        if let Err(error) = self.rename_once(temporary, remote).await {
            self.rename_once(&aside, remote).await.map_err(|second| {
                let message = format!(
                    "{}; and the old file stayed under the name {aside}: {second}",
                    error.message
                );
                Error { message, ..error.clone() }
            })?;
            return Err(error);
        }
        self.ask(&FtpCommand::path(Verb::Dele, &aside)).await?.done().map(drop)
    }

    /// Sends RNFR and RNTO, as one step (RFC 959, 4.1.3) and in one packet: each server answers both in order, and RNTO
    /// after a refused RNFR with 503 (measured on four servers).
    pub(crate) async fn rename_once(&mut self, from: &RemotePath, to: &RemotePath) -> Result<()> {
        let commands = rename(from, to);
        let mut replies = self.ask_all(&commands).await?;
        let is_unread = |reply: &Reply| {
            reply.code.is_syntax_error() && reply.code != ReplyCode::NOT_IMPLEMENTED_FOR
        };
        if replies.first().is_some_and(Reply::is_halfway) && replies.last().is_some_and(is_unread) {
            // RNTO may not have been read, since it came together with RNFR.
            replies = self.control.ask_each(&commands).await?;
            if renamed(&replies).is_ok() {
                self.data_path.profile.pipelining().turn_off();
            }
        }
        renamed(&replies).inspect(|()| self.forget_temp(from))
    }

    /// Removes temporary files after a failure, if the server still responds, and returns its replies. After the stop
    /// signal there is time for that only if the server replies at once.
    pub(crate) async fn cleanup_temps(&mut self, temporary: &[&RemotePath]) -> Option<Vec<Reply>> {
        let commands: Vec<_> =
            temporary.iter().map(|path| FtpCommand::path(Verb::Dele, path)).collect();
        match self.ask_at_last(&commands).await {
            Ok(replies) => {
                for (path, reply) in temporary.iter().zip(&replies) {
                    tracing::debug!(target: "portolan", "sweeping: {}", reply.words());
                    // By 550 it is not there, or stays whatever is tried.
                    if reply.is_done() || reply.code == ReplyCode::FILE_UNAVAILABLE {
                        self.forget_temp(path);
                    }
                }
                Some(replies)
            }
            Err(error) => {
                for path in temporary {
                    let text = format!("{path} may be left on the server: {error}");
                    self.context.observer.warn(text);
                }
                None
            }
        }
    }
}

/// Returns RNFR and RNTO, which are one step (RFC 959, 4.1.3).
pub(super) fn rename(from: &RemotePath, to: &RemotePath) -> [FtpCommand; 2] {
    [FtpCommand::path(Verb::Rnfr, from), FtpCommand::path(Verb::Rnto, to)]
}

/// Evaluates the replies to [`rename`].
pub(super) fn renamed(replies: &[Reply]) -> Result<()> {
    match replies {
        [named, _] if !named.is_halfway() => Err(named.fault()),
        [_, renamed] => renamed.clone().done().map(drop),
        _ => Err(Error::protocol("two commands, not two replies")),
    }
}
