//! Transfers: a temporary name, the bytes, the final reply, the size, then the rename; both ways.
//!
//! The final name holds the old bytes or the new bytes, never anything else, and a transfer is called done only when
//! the final reply has come *and* the size agrees. Where the server cannot tell a size, the result says unverified.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{
    control::Command,
    data::{Data, route::is_matter_of_mode},
    listing::{Modified, parse_time_val, time_val},
    path::RemotePath,
    session::Session,
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::{Landing, Reading, temporary_name},
    limits::{COPY_BYTES, FINAL_REPLY_BYTES_PER_SECOND, FINAL_REPLY_TIMEOUT},
    observe::{Event, TransferId, Verb, visible::visible},
};

/// What one transfer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that went over.
    pub bytes: u64,
    /// Whether the size at the other end was seen to agree.
    pub verified: bool,
    /// How long it took.
    pub took: Duration,
}

/// What is known of a remote file before it is fetched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Its size in bytes.
    pub size: Option<u64>,
    /// When it was changed.
    pub modified: Option<Timestamp>,
}

/// Where downloaded bytes go.
pub trait Take {
    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) -> Outcome<()>;
    /// Forgets what was taken, for another try.
    fn restart(&mut self) -> Outcome<()>;
}

/// Where uploaded bytes come from.
pub trait Give {
    /// Puts the next bytes into `buffer` and says how many; 0 is the end.
    fn give(&mut self, buffer: &mut [u8]) -> Outcome<usize>;
    /// Begins again at the first byte, for another try.
    fn restart(&mut self) -> Outcome<()>;
    /// Fails unless the source is still what it was when it was opened; asked after the last byte.
    fn check(&self) -> Outcome<()>;
}

impl Take for Landing {
    fn take(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.write_all(bytes)
    }

    fn restart(&mut self) -> Outcome<()> {
        self.clear()
    }
}

/// Bytes kept in memory, up to a limit.
#[derive(Debug)]
pub struct Kept {
    /// What came.
    pub bytes: Vec<u8>,
    /// How much may come.
    pub limit: u64,
}

impl Take for Kept {
    fn take(&mut self, bytes: &[u8]) -> Outcome<()> {
        let total = self.bytes.len() as u64 + bytes.len() as u64;
        if total > self.limit {
            let message = format!("more than {} bytes: `get` it into a file instead", self.limit);
            return Err(Fault::new(Kind::Invalid, Side::Here, message));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Outcome<()> {
        self.bytes.clear();
        Ok(())
    }
}

impl Give for Reading {
    fn give(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.read(buffer)
    }

    fn restart(&mut self) -> Outcome<()> {
        self.skip_to(0)
    }

    fn check(&self) -> Outcome<()> {
        self.unchanged()
    }
}

/// Bytes from memory.
#[derive(Debug)]
pub struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    /// All of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Give for Text<'_> {
    fn give(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += count;
        Ok(count)
    }

    fn restart(&mut self) -> Outcome<()> {
        self.at = 0;
        Ok(())
    }

    fn check(&self) -> Outcome<()> {
        Ok(())
    }
}

impl Session {
    /// Fetches `remote` into `landing`, and puts it under its final name when all of it is there.
    pub async fn download(
        &mut self,
        remote: &RemotePath,
        mut landing: Landing,
        known: Known,
        keep_time: bool,
    ) -> Outcome<Moved> {
        let remote = self.absolute(remote)?;
        let known = if known.size.is_none() { self.ask_known(&remote).await? } else { known };
        let moved = self.fetch(&remote, &mut landing, known.size).await?;
        landing.commit(known.modified.filter(|_| keep_time))?;
        Ok(moved)
    }

    /// The content of `remote`, at most `limit` bytes.
    pub async fn read(&mut self, remote: &RemotePath, limit: u64) -> Outcome<Vec<u8>> {
        let remote = self.absolute(remote)?;
        let known = self.ask_known(&remote).await?;
        if known.size.is_some_and(|size| size > limit) {
            let message = format!("more than {limit} bytes: `get` it into a file instead");
            return Err(Fault::new(Kind::Invalid, Side::Here, message).at(remote.to_string()));
        }
        let mut kept = Kept { bytes: Vec::new(), limit };
        self.fetch(&remote, &mut kept, known.size).await?;
        Ok(kept.bytes)
    }

    /// Sends a file of this machine to `remote`, with its time if `keep_time` is set.
    pub async fn upload_file(
        &mut self,
        mut reading: Reading,
        remote: &RemotePath,
        keep_time: bool,
    ) -> Outcome<Moved> {
        let modified = keep_time.then(|| reading.modified());
        let size = reading.size();
        self.upload(&mut reading, size, modified, remote).await
    }

    /// Sends `source`, all `size` bytes of it, to `remote` by way of a temporary name.
    pub async fn upload(
        &mut self,
        source: &mut impl Give,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
    ) -> Outcome<Moved> {
        let remote = self.absolute(remote)?;
        let temporary = remote.parent().join(temporary_name().as_bytes())?;
        let (id, started) = self.begin(Verb::Upload, &remote, Some(size));
        let work = async {
            let sent = self.store("STOR", &temporary, source, id).await?;
            source.check()?;
            if sent != size {
                let message = format!("{sent} bytes were read where {size} were expected");
                return Err(Fault::new(Kind::Local, Side::Here, message));
            }
            let verified = self.verify(&temporary, size, modified).await?;
            self.put_in_place(&temporary, &remote).await?;
            Ok((sent, verified))
        };
        let result = work.await;
        if result.is_err() {
            self.sweep(&temporary).await;
        }
        self.end(id, started, &remote, result)
    }

    /// Appends `source` to `remote`.
    pub async fn append(&mut self, source: &mut impl Give, remote: &RemotePath) -> Outcome<Moved> {
        let remote = self.absolute(remote)?;
        let before = self.size_of(&remote).await?;
        let (id, started) = self.begin(Verb::Upload, &remote, None);
        let work = async {
            let sent = self.store("APPE", &remote, source, id).await?;
            let after = self.size_of(&remote).await?;
            match after {
                Some(after) if after != before.unwrap_or(0) + sent => {
                    let message = format!(
                        "the file has {after} bytes after {sent} were added to {}",
                        before.unwrap_or(0)
                    );
                    Err(Fault::new(Kind::Protocol, Side::Server, message))
                }
                after => Ok((sent, after.is_some())),
            }
        };
        let result = work.await;
        self.end(id, started, &remote, result)
    }

    /// Size and time of `remote` in one round trip, as far as the server tells.
    async fn ask_known(&mut self, remote: &RemotePath) -> Outcome<Known> {
        let commands = [Command::path("SIZE", remote), Command::path("MDTM", remote)];
        let replies = self.ask_all(&commands).await?;
        let [size, modified] = replies.as_slice() else {
            return Err(Fault::protocol("two commands, not two replies"));
        };
        // 550 to SIZE is no verdict yet: RETR will give one.
        let size = if size.code == 213 { size.number() } else { None };
        let modified = Some(modified).filter(|reply| reply.code == 213);
        let modified = modified.and_then(|reply| parse_time_val(reply.last_text().trim_ascii()));
        let modified = modified.map(|(time, _)| time);
        Ok(Known { size, modified })
    }

    /// The size of `remote` where the server tells one, nothing where the file is not there or SIZE is not known.
    pub(super) async fn size_of(&mut self, remote: &RemotePath) -> Outcome<Option<u64>> {
        let reply = self.ask(&Command::path("SIZE", remote)).await?;
        if reply.code == 213 {
            return Ok(reply.number());
        }
        Ok(None)
    }

    async fn fetch(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl Take,
        size: Option<u64>,
    ) -> Outcome<Moved> {
        let (id, started) = self.begin(Verb::Download, remote, size);
        let mut result = self.fetch_once(remote, sink, size, id).await;
        if let Err(fault) = &result
            && self.is_refused_for_fresh_tls(fault)
        {
            self.renew_with_tls12().await?;
            sink.restart()?;
            result = self.fetch_once(remote, sink, size, id).await;
        }
        let result = match result {
            Ok(bytes) => Ok((bytes, size.is_some())),
            Err(fault) => Err(self.explain(fault, remote).await),
        };
        self.end(id, started, remote, result)
    }

    async fn fetch_once(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl Take,
        size: Option<u64>,
        id: TransferId,
    ) -> Outcome<u64> {
        let opened = self.open_data(&Command::path("RETR", remote), 0).await?;
        let mut data = opened.data;
        let mut buffer = vec![0; COPY_BYTES];
        let mut bytes = 0_u64;
        let copy = async {
            loop {
                let count = data.read(&mut buffer).await?;
                if count == 0 {
                    return Ok(());
                }
                sink.take(buffer.get(..count).unwrap_or_default())?;
                bytes += count as u64;
                if size.is_some_and(|size| bytes > size) {
                    let message = format!(
                        "more bytes came than its size of {}: is it being written?",
                        size.unwrap_or(0)
                    );
                    return Err(Fault::new(Kind::Protocol, Side::Server, message));
                }
                self.context.observer.tell(&Event::Moved { id, bytes: count as u64 });
            }
        };
        let copied = copy.await;
        self.conclude("RETR", data, copied, bytes).await?;
        match size {
            Some(size) if size != bytes => {
                let message = format!(
                    "only {bytes} of {size} bytes came, though the server said all was well"
                );
                Err(Fault::new(Kind::DataConnection, Side::Server, message))
            }
            _ => Ok(bytes),
        }
    }

    /// Sends all of `source` by `verb` to `remote` and gives the number of bytes.
    async fn store(
        &mut self,
        verb: &str,
        remote: &RemotePath,
        source: &mut impl Give,
        id: TransferId,
    ) -> Outcome<u64> {
        let result = self.store_once(verb, remote, source, id).await;
        match result {
            // APPE is not repeated: what the server kept of the first try is not known.
            Err(fault) if verb == "STOR" && self.is_refused_for_fresh_tls(&fault) => {
                self.renew_with_tls12().await?;
                source.restart()?;
                self.store_once(verb, remote, source, id).await
            }
            result => result,
        }
    }

    async fn store_once(
        &mut self,
        verb: &str,
        remote: &RemotePath,
        source: &mut impl Give,
        id: TransferId,
    ) -> Outcome<u64> {
        let opened = self.open_data(&Command::path(verb, remote), 0).await?;
        let mut data = opened.data;
        let mut buffer = vec![0; COPY_BYTES];
        let mut bytes = 0_u64;
        let copy = async {
            loop {
                let count = source.give(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                data.write_all(buffer.get(..count).unwrap_or_default()).await?;
                bytes += count as u64;
                self.context.observer.tell(&Event::Moved { id, bytes: count as u64 });
            }
        };
        match copy.await {
            Ok(()) => {
                let ended = data.finish().await;
                self.final_reply(verb, ended, bytes).await?;
                Ok(bytes)
            }
            Err(fault) => {
                self.conclude(verb, data, Err(fault), bytes).await?;
                Ok(bytes)
            }
        }
    }

    /// Closes the data connection, then waits for the final reply: held open, ProFTPD would wait 11 s (measured).
    pub(super) async fn conclude(
        &mut self,
        verb: &str,
        data: Data,
        copied: Outcome<()>,
        bytes: u64,
    ) -> Outcome<()> {
        drop(data);
        self.final_reply(verb, copied, bytes).await
    }

    /// The final reply joined with what happened to the data: both must be good.
    async fn final_reply(&mut self, verb: &str, copied: Outcome<()>, bytes: u64) -> Outcome<()> {
        if let Err(fault) = &copied
            && (fault.side != Side::Network || self.context.stop.is_set())
        {
            // Ended from here: what the server makes of it is not waited for, so the connection is not in step.
            self.control.give_up(fault);
            return copied;
        }
        let time = FINAL_REPLY_TIMEOUT + Duration::from_secs(bytes / FINAL_REPLY_BYTES_PER_SECOND);
        let time = if copied.is_ok() { time } else { self.site.reply_timeout.min(time) };
        let reply = match (self.control.next_reply(time, verb).await, copied) {
            (_, Err(fault)) if self.control.broken().is_some() => return Err(fault),
            (Err(fault), _) => return Err(fault),
            (Ok(reply), Err(fault)) => {
                // A good reply does not mend a bad read (security class C15).
                let words = reply.words();
                let message = format!("{}; the server said \"{words}\"", fault.message);
                let kind = if reply.is_done() { fault.kind } else { reply.fault().kind };
                return Err(Fault { code: reply.code, kind, message, ..fault });
            }
            (Ok(reply), Ok(())) => reply,
        };
        reply.done().map(drop)
    }

    /// Whether a transfer failed as it does where the server wants TLS sessions resumed and we had no ticket left.
    pub(super) fn is_refused_for_fresh_tls(&self, fault: &Fault) -> bool {
        self.is_protected()
            && !self.site.trust.tls12_only
            && (matches!(fault.code, 450) || is_matter_of_mode(fault.code))
    }

    /// Whether the server has all of `size` bytes under the temporary name; sets its time as well.
    async fn verify(
        &mut self,
        temporary: &RemotePath,
        size: u64,
        modified: Option<Timestamp>,
    ) -> Outcome<bool> {
        let mut commands = vec![Command::path("SIZE", temporary)];
        if let Some(time) = modified {
            commands.push(self.time_command(temporary, time)?);
        }
        let replies = self.ask_all(&commands).await?;
        let told =
            replies.first().filter(|reply| reply.code == 213).and_then(super::reply::Reply::number);
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
            told => Ok(told.is_some()),
        }
    }

    /// MFMT where the server has it (RFC draft-somers-ftp-mfxx); else MDTM with a time, which sets it on vsftpd and
    /// is refused elsewhere.
    pub(super) fn time_command(&self, path: &RemotePath, time: Timestamp) -> Outcome<Command> {
        let verb = if self.features.has("MFMT") { "MFMT" } else { "MDTM" };
        let digits = time_val(time).ok_or_else(|| {
            Fault::invalid(format!("{time} cannot be set: FTP has four-digit years"))
        })?;
        let start = format!("{verb} {digits} ");
        Command::parse([start.as_bytes(), path.as_bytes()].concat())
    }

    /// Renames `temporary` to `remote`. Where the server renames over nothing, the old file goes aside first, and
    /// comes back if the second step fails.
    async fn put_in_place(&mut self, temporary: &RemotePath, remote: &RemotePath) -> Outcome<()> {
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

    /// RNFR and RNTO, as one step (RFC 959, 4.1.3).
    pub(super) async fn rename_once(&mut self, from: &RemotePath, to: &RemotePath) -> Outcome<()> {
        let reply = self.ask(&Command::path("RNFR", from)).await?;
        if !reply.is_halfway() {
            return Err(reply.fault());
        }
        // Not through `ask`: on a new connection there would be no RNFR before it.
        self.control.ask(&Command::path("RNTO", to)).await?.done().map(drop)
    }

    /// Removes our temporary file after a failure, if the server still listens.
    async fn sweep(&mut self, temporary: &RemotePath) {
        if self.context.stop.is_set() {
            return;
        }
        match self.ask(&Command::path("DELE", temporary)).await {
            Ok(reply) => tracing::debug!(target: "portolan", "sweeping: {}", reply.words()),
            Err(fault) => {
                let text = format!("{temporary} may be left on the server: {fault}");
                self.context.observer.warn(text);
            }
        }
    }

    fn begin(&self, verb: Verb, path: &RemotePath, bytes: Option<u64>) -> (TransferId, Instant) {
        let id = self.context.observer.next_transfer();
        let path = visible(path.as_bytes());
        self.context.observer.tell(&Event::TransferStarted { id, verb, path, bytes });
        (id, Instant::now())
    }

    fn end(
        &self,
        id: TransferId,
        started: Instant,
        path: &RemotePath,
        result: Outcome<(u64, bool)>,
    ) -> Outcome<Moved> {
        let took = started.elapsed();
        match result {
            Ok((bytes, verified)) => {
                self.context.observer.tell(&Event::TransferDone { id, bytes, verified, took });
                Ok(Moved { bytes, verified, took })
            }
            Err(fault) => {
                let fault = fault.at(path.to_string()).on(&self.site.host);
                self.context.observer.tell(&Event::TransferFailed { id, fault: fault.clone() });
                Err(fault)
            }
        }
    }
}

/// The time of an entry, where it is one that can be compared with ours.
pub fn utc(modified: Option<Modified>) -> Option<Timestamp> {
    match modified {
        Some(Modified::Utc(time, _)) => Some(time),
        _ => None,
    }
}
