//! Text transfers (TYPE A; RFC 959, 3.1.1.1): lines end with CR LF on the way, with LF on this host, and as the server
//! likes on its own. Sizes of both sides differ, so that none is compared.

use std::path::Path;

use super::{ByteSink, ByteSource, RemoteMeta, TransferHints, TransferStats};
use crate::{control::FtpCommand, path::RemotePath, session::Session, site::TransferType};
use portolan_core::{
    buffer,
    error::{Error, Result},
    observe::MessageLevel,
};
use portolan_fs::{AtomicFile, SourceFile};
use portolan_proto::Verb;
use portolan_remote::transfer_options::TransferOptions;

/// The size of the pieces that are read from a source in bytes.
const PIECE: usize = 32 * 1024;

/// A source whose lines end with CR LF.
struct TextSource<'s, S> {
    from: &'s mut S,
    pending: Vec<u8>,
    at: usize,
    /// True if the last byte was a CR.
    is_after_cr: bool,
}

impl<S: ByteSource> ByteSource for TextSource<'_, S> {
    fn give(&mut self, to: &mut [u8]) -> Result<usize> {
        if self.at >= self.pending.len() {
            let mut piece = vec![0; PIECE];
            let count = self.from.give(&mut piece)?;
            (self.pending, self.at) = (Vec::with_capacity(count + count / 8), 0);
            for byte in buffer::filled(&piece, count)? {
                if *byte == b'\n' && !self.is_after_cr {
                    self.pending.push(b'\r');
                }
                self.pending.push(*byte);
                self.is_after_cr = *byte == b'\r';
            }
        }
        let rest = buffer::rest(&self.pending, self.at)?;
        let count = rest.len().min(to.len());
        for (to, from) in to.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += count;
        Ok(count)
    }

    fn restart(&mut self) -> Result<()> {
        (self.pending, self.at, self.is_after_cr) = (Vec::new(), 0, false);
        self.from.restart()
    }

    fn check(&self) -> Result<()> {
        self.from.check()
    }

    fn is_stream(&self) -> bool {
        true
    }
}

/// A sink whose lines end with LF.
struct TextSink<'s, S> {
    to: &'s mut S,
    /// True if a CR has come, and not the byte after it.
    has_cr: bool,
}

impl<S: ByteSink> TextSink<'_, S> {
    /// Writes the CR that is the last byte of all, if one is.
    fn finish(&mut self) -> Result<()> {
        if std::mem::take(&mut self.has_cr) { self.to.take(b"\r") } else { Ok(()) }
    }
}

impl<S: ByteSink> ByteSink for TextSink<'_, S> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let mut text = Vec::with_capacity(bytes.len() + 1);
        for byte in bytes {
            if self.has_cr && *byte != b'\n' {
                text.push(b'\r');
            }
            self.has_cr = *byte == b'\r';
            if !self.has_cr {
                text.push(*byte);
            }
        }
        self.to.take(&text)
    }

    fn restart(&mut self) -> Result<()> {
        self.has_cr = false;
        self.to.restart()
    }

    fn is_whole(&self) -> bool {
        self.to.is_whole()
    }
}

/// Fails with `invalid` if a text transfer is wanted together with options that compare sizes.
pub(super) fn check_text(options: &TransferOptions) -> Result<()> {
    let is_compared =
        options.resume || options.verify || options.removes_source || options.segments > 1;
    if options.transfer_type == TransferType::Ascii && is_compared {
        let message = "`type` \"ascii\" changes line ends, so that sizes cannot be compared: not with `resume`, \
                       `segments`, `verify` or `move`";
        return Err(Error::invalid(message));
    }
    Ok(())
}

impl Session {
    /// Returns true while a text transfer is on its way.
    pub(super) fn is_text(&self) -> bool {
        self.site.transfer_type == TransferType::Ascii
    }

    /// Downloads the text file `remote` to `local`.
    pub(super) async fn get_text_file(
        &mut self,
        remote: &RemotePath,
        local: &Path,
    ) -> Result<TransferStats> {
        let mut landing = AtomicFile::begin(local)?;
        let moved = self.get_text(remote, &mut landing).await?;
        landing.commit(None)?;
        Ok(moved)
    }

    /// Downloads the text file `remote` into `sink`.
    pub(super) async fn get_text(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
    ) -> Result<TransferStats> {
        let remote = self.absolute(remote)?;
        self.as_text(async |session| {
            let mut sink = TextSink { to: sink, has_cr: false };
            let known = RemoteMeta::default();
            let moved = session.fetch(&remote, &mut sink, known, TransferHints::default()).await?;
            sink.finish()?;
            Ok(TransferStats { verified: false, ..moved })
        })
        .await
    }

    /// Uploads the text file `source` to `remote`.
    pub(super) async fn put_text_file(
        &mut self,
        mut source: SourceFile,
        remote: &RemotePath,
    ) -> Result<TransferStats> {
        self.put_text(&mut source, remote).await
    }

    /// Uploads the text of `source` to `remote`.
    pub(super) async fn put_text(
        &mut self,
        source: &mut impl ByteSource,
        remote: &RemotePath,
    ) -> Result<TransferStats> {
        self.as_text(async |session| {
            let (pending, at, is_after_cr) = (Vec::new(), 0, false);
            let mut source = TextSource { from: source, pending, at, is_after_cr };
            session.upload(&mut source, 0, None, remote).await
        })
        .await
    }

    /// Runs `work` in type A, and returns to binary transfers. A connection that is made meanwhile begins in type A as well.
    async fn as_text<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let text = format!(
            "{}: a text transfer: line ends change, and sizes are not compared",
            self.site.host
        );
        self.context.observer.message_once(MessageLevel::Info, text);
        self.control.ask(&FtpCommand::with(Verb::Type, "A")).await?.done()?;
        self.site.transfer_type = TransferType::Ascii;
        let done = work(self).await;
        self.site.transfer_type = TransferType::Binary;
        let binary = self.control.ask(&FtpCommand::with(Verb::Type, "I")).await;
        let done = done?;
        binary?.done()?;
        Ok(done)
    }

    /// Sends `SITE` commands before a transfer, such as `RECFM=FB`.
    pub(super) async fn send_site_commands(&mut self, commands: &[String]) -> Result<()> {
        for command in commands {
            let command = FtpCommand::parse(format!("{} {command}", Verb::Site))?;
            self.control.ask(&command).await?.done()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::MemorySource;
    use portolan_remote::source_sink::BoundedBuffer;

    fn sent(text: &[u8], step: usize) -> Vec<u8> {
        let mut memory = MemorySource::new(text);
        let (pending, at, is_after_cr) = (Vec::new(), 0, false);
        let mut source = TextSource { from: &mut memory, pending, at, is_after_cr };
        let (mut all, mut piece) = (Vec::new(), vec![0; step]);
        loop {
            match source.give(&mut piece).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn taken(text: &[u8], step: usize) -> Vec<u8> {
        let mut memory = BoundedBuffer { bytes: Vec::new(), limit: 1000 };
        let mut sink = TextSink { to: &mut memory, has_cr: false };
        text.chunks(step).for_each(|piece| sink.take(piece).unwrap());
        sink.finish().unwrap();
        memory.bytes
    }

    #[test]
    fn lines_end_with_cr_lf_on_the_way_and_with_lf_here() {
        for step in 1..5 {
            for (here, there) in [
                (&b"a\nb\n"[..], &b"a\r\nb\r\n"[..]),
                (b"\n\n", b"\r\n\r\n"),
                (b"no end", b"no end"),
                (b"", b""),
            ] {
                assert_eq!(sent(here, step), there);
                assert_eq!(taken(there, step), here);
            }
            // One that has CR LF already is not changed, and a CR alone stays.
            assert_eq!(sent(b"a\r\nb\r", step), b"a\r\nb\r");
            assert_eq!(taken(b"a\rb\r", step), b"a\rb\r");
            assert_eq!(taken(b"a\r\r\n", step), b"a\r\n");
        }
    }
}
