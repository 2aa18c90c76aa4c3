//! From a temporary name to the final one: the size is seen to agree, then the file is renamed.

use jiff::Timestamp;

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::temporary_name,
    ftp::{
        control::Command,
        listing::{Modified, parse_time_val, time_val},
        path::RemotePath,
        reply::Reply,
        session::Session,
    },
    limits::SWEEP_TIME_MAX,
};

impl Session {
    /// Whether the server has all of `size` bytes under the temporary name, and the time of it there, which is
    /// `modified` where it can be set.
    pub(super) async fn verify(
        &mut self,
        temporary: &RemotePath,
        size: u64,
        modified: Option<Timestamp>,
    ) -> Outcome<(bool, Option<Modified>)> {
        let mut commands = vec![Command::path("SIZE", temporary)];
        if let Some(time) = modified {
            commands.push(self.time_command(temporary, time)?);
        }
        commands.push(Command::path("MDTM", temporary));
        let replies = self.ask_all(&commands).await?;
        let time = replies.last().filter(|reply| reply.code == 213);
        let time = time.and_then(|reply| parse_time_val(reply.last_text().trim_ascii()));
        let time = time.map(|(time, precision)| Modified::Utc(time, precision));
        let told = replies.first().filter(|reply| reply.code == 213).and_then(Reply::number);
        let told = match told {
            Some(told) => Some(told),
            None => self.find_in_folder(temporary).await?.and_then(|entry| entry.size),
        };
        match told {
            Some(told) if told != size => {
                let message =
                    format!("the server has {told} of {size} bytes, though it said all was well");
                Err(Fault::new(Kind::DataConnection, Side::Server, message))
            }
            told => Ok((told.is_some(), time)),
        }
    }

    /// MFMT where the server has it (RFC draft-somers-ftp-mfxx); else MDTM with a time, which sets it on vsftpd and
    /// is refused elsewhere.
    pub(in crate::ftp) fn time_command(
        &self,
        path: &RemotePath,
        time: Timestamp,
    ) -> Outcome<Command> {
        let verb = if self.features.has("MFMT") { "MFMT" } else { "MDTM" };
        let digits = time_val(time).ok_or_else(|| {
            Fault::invalid(format!("{time} cannot be set: FTP has four-digit years"))
        })?;
        let start = format!("{verb} {digits} ");
        Command::parse([start.as_bytes(), path.as_bytes()].concat())
    }

    /// Sees that the file has the name it was given. Pure-FTPd puts `_` for a blank at the end of a name, without a
    /// word; no other name is known to be changed, so no other costs the listing.
    pub(super) async fn see_name(&mut self, remote: &RemotePath) -> Outcome<()> {
        if !remote.name().ends_with(b" ") || self.find_in_folder(remote).await?.is_some() {
            return Ok(());
        }
        let message = "the server took the file, but under another name: it has no names that end with a blank";
        Err(Fault::new(Kind::Refused, Side::Server, message))
    }

    /// Renames `temporary` to `remote`. Where the server renames over nothing, the old file goes aside first, and
    /// comes back if the second step fails.
    pub(super) async fn put_in_place(
        &mut self,
        temporary: &RemotePath,
        remote: &RemotePath,
    ) -> Outcome<()> {
        let Err(fault) = self.rename_once(temporary, remote).await else { return Ok(()) };
        if fault.kind != Kind::Refused || self.size_of(remote).await?.is_none() {
            return Err(fault);
        }
        let aside = remote.parent().join(temporary_name().as_bytes())?;
        self.rename_once(remote, &aside).await.map_err(|_| fault)?;
        if let Err(fault) = self.rename_once(temporary, remote).await {
            self.rename_once(&aside, remote).await.map_err(|second| {
                let message = format!(
                    "{}; and the old file stayed under the name {aside}: {second}",
                    fault.message
                );
                Fault { message, ..fault.clone() }
            })?;
            return Err(fault);
        }
        self.ask(&Command::path("DELE", &aside)).await?.done().map(drop)
    }

    /// RNFR and RNTO, as one step (RFC 959, 4.1.3) and in one packet: each server answers both in order, and RNTO
    /// after a refused RNFR with 503 (measured on four servers).
    pub(in crate::ftp) async fn rename_once(
        &mut self,
        from: &RemotePath,
        to: &RemotePath,
    ) -> Outcome<()> {
        let commands = [Command::path("RNFR", from), Command::path("RNTO", to)];
        let replies = self.ask_all(&commands).await?;
        let [named, renamed] = replies.as_slice() else {
            return Err(Fault::protocol("two commands, not two replies"));
        };
        if !named.is_halfway() {
            return Err(named.fault());
        }
        renamed.clone().done().map(drop)
    }

    /// Removes our temporary file after a failure, if the server still listens, and gives its answer. After the signal
    /// to stop there is time for that only where the server answers at once.
    pub(in crate::ftp) async fn sweep(&mut self, temporary: &RemotePath) -> Option<Reply> {
        let dele = Command::path("DELE", temporary);
        let swept = if self.context.stop.is_set() {
            self.control.reprieve(SWEEP_TIME_MAX);
            self.control.resync(SWEEP_TIME_MAX / 2).await;
            let swept = self.control.ask(&dele).await;
            self.control.give_up(&Fault::new(Kind::Interrupted, Side::Here, "interrupted"));
            swept
        } else {
            self.ask(&dele).await
        };
        match swept {
            Ok(reply) => {
                tracing::debug!(target: "portolan", "sweeping: {}", reply.words());
                Some(reply)
            }
            Err(fault) => {
                let text = format!("{temporary} may be left on the server: {fault}");
                self.context.observer.warn(text);
                None
            }
        }
    }
}
