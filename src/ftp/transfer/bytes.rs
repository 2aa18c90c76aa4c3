//! The bytes of one transfer, and the reply that ends it: both must be good.

use std::time::Duration;

use super::{Give, Moved, Take};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{
        control::Command,
        data::{Data, route::is_matter_of_mode},
        path::RemotePath,
        session::Session,
    },
    limits::{COPY_BYTES, FINAL_REPLY_BYTES_PER_SECOND, FINAL_REPLY_FACTOR, RESYNC_TIMEOUT},
    observe::{Event, TransferId, Verb},
};

impl Session {
    pub(in crate::ftp) async fn fetch(
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
        let mut buffer = self.take_buffer();
        let mut bytes = 0_u64;
        let copy = async {
            loop {
                let count = data.read(self.piece_of(&mut buffer)).await?;
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
                self.keep_to_rate(count).await?;
            }
        };
        let copied = copy.await;
        self.buffer = buffer;
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
    pub(in crate::ftp) async fn store(
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
        let mut buffer = self.take_buffer();
        let mut bytes = 0_u64;
        let copy = async {
            loop {
                let count = source.give(self.piece_of(&mut buffer))?;
                if count == 0 {
                    return Ok(());
                }
                data.write_all(buffer.get(..count).unwrap_or_default()).await?;
                bytes += count as u64;
                self.context.observer.tell(&Event::Moved { id, bytes: count as u64 });
                self.keep_to_rate(count).await?;
            }
        };
        let copied = copy.await;
        self.buffer = buffer;
        match copied {
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

    /// As much of `buffer` as may be filled at once.
    fn piece_of<'b>(&self, buffer: &'b mut [u8]) -> &'b mut [u8] {
        let most = buffer.len();
        let piece = self.site.rate.as_ref().map_or(most, |rate| rate.piece(most));
        buffer.get_mut(..piece).unwrap_or_default()
    }

    /// Waits until more bytes may follow these.
    async fn keep_to_rate(&self, bytes: usize) -> Outcome<()> {
        let Some(rate) = &self.site.rate else { return Ok(()) };
        let until = rate.after(bytes);
        self.context.stop.race(tokio::time::sleep_until(until)).await
    }

    /// The session's own buffer: to make and clear another one for each small file costs more than the file.
    fn take_buffer(&mut self) -> Vec<u8> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() { vec![0; COPY_BYTES] } else { buffer }
    }

    /// Closes the data connection, then waits for the final reply: held open, ProFTPD would wait 11 s (measured).
    pub(in crate::ftp) async fn conclude(
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
            if self.context.stop.is_set() {
                // Only `sweep` will use it again.
                self.control.give_up(fault);
            } else {
                let reply = self.control.resync(RESYNC_TIMEOUT).await;
                let words = reply.map(|reply| reply.words()).unwrap_or_default();
                tracing::debug!(target: "portolan", "ended from here: {fault}; {words}");
            }
            return copied;
        }
        let time = self.site.reply_timeout * FINAL_REPLY_FACTOR;
        let time = time + Duration::from_secs(bytes / FINAL_REPLY_BYTES_PER_SECOND);
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
    pub(in crate::ftp) fn is_refused_for_fresh_tls(&self, fault: &Fault) -> bool {
        self.way.began_fresh_tls
            && !self.site.trust.tls12_only
            && (fault.code == 450 || is_matter_of_mode(fault.code))
    }
}
