//! Transfers that resume where an earlier one broke off, and only if the file is provably the same.
//!
//! The temporary name identifies the data: it is derived from all that is known of the source, its size and time among
//! it. A source that has changed since has another name, so data is never appended to that of another file. The last 64
//! KiB present are read again nevertheless, since a server may store other bytes than it was sent.

use crate::reply::CausedByReply as _;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    ByteSink, ByteSource as _, NextTransfer, PendingDownload, RemoteMeta, SourceMeta, TempUpload,
    TransferHints, TransferStats, UploadName as Name, bytes::Fetch, utc,
};
use crate::{path::RemotePath, session::Session};
use portolan_core::{
    buffer,
    error::{Error, ErrorKind, Origin, Result, codes::TRANSFER_SOURCE_CHANGED},
    limits::RESUME_OVERLAP_BYTES,
    observe::Operation,
};
use portolan_fs::{AtomicFile, SourceFile};
use portolan_proto::{ReplyCode, Verb};

impl Session {
    /// Downloads `remote` into the file that `begin` opens under the temporary name that it is given; the data that an
    /// earlier attempt has left under that name is kept. If the server does not report size and time, the file cannot
    /// be proved to be the same, and it is downloaded from its beginning.
    pub(crate) async fn download_on(
        &mut self,
        remote: &RemotePath,
        begin: impl Fn(Option<&str>) -> Result<AtomicFile>,
        keep_time: bool,
    ) -> Result<TransferStats> {
        let hints = TransferHints::default();
        let (landing, fetched) = self.fetch_on(remote, begin, hints).await?;
        let placed = landing.commit(utc(fetched.modified).filter(|_| keep_time));
        self.fetched(fetched, placed.map(drop))
    }

    /// Does the same except for the final name; [`fetched`](Self::fetched) reports the end of the transfer.
    pub(crate) async fn fetch_on(
        &mut self,
        remote: &RemotePath,
        begin: impl Fn(Option<&str>) -> Result<AtomicFile>,
        hints: TransferHints<'_>,
    ) -> Result<(AtomicFile, PendingDownload)> {
        let remote = self.absolute(remote)?;
        let known = self.ask_known(&remote).await?;
        let (Some(size), Some(modified)) = (known.size, utc(known.modified)) else {
            let mut landing = begin(None)?;
            let fetched = self.fetch_aside(&remote, &mut landing, known, hints).await?;
            return Ok((landing, fetched));
        };
        let identity = self.identity(&remote, size, modified);
        let mut landing = begin(Some(&self.lasting_name_of(&identity)))?;
        if landing.bytes() > size || landing.bytes() <= RESUME_OVERLAP_BYTES {
            landing.clear()?;
        }
        let fetched = match self.fetch_rest(&remote, &mut landing, known, hints).await {
            Err(error) if landing.began_at() > 0 && !is_of_the_connection(&error) => {
                tracing::info!(target: "portolan", "{remote}: from the beginning, since {error}");
                landing.clear()?;
                self.fetch_rest(&remote, &mut landing, known, hints).await
            }
            result => result,
        };
        match fetched {
            Ok(fetched) => Ok((landing, fetched)),
            // A mix of two versions is useless.
            Err(error) if error.name == Some(TRANSFER_SOURCE_CHANGED) => Err(error),
            Err(error) => {
                landing.leave();
                Err(error)
            }
        }
    }

    async fn fetch_rest(
        &mut self,
        remote: &RemotePath,
        landing: &mut AtomicFile,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<PendingDownload> {
        let tail = landing.tail(RESUME_OVERLAP_BYTES)?;
        let mut rest = Rest { landing, tail, at: 0 };
        self.fetch_aside(remote, &mut rest, known, hints).await
    }

    /// Uploads the rest of a local file to `remote`: an earlier attempt may have left a part of it.
    pub(crate) async fn upload_on(
        &mut self,
        mut reading: SourceFile,
        remote: &RemotePath,
        keep_time: bool,
        next: NextTransfer<'_>,
    ) -> Result<TransferStats> {
        let folder = self.absolute(remote)?.parent();
        let aside = self.put_aside_on(&mut reading, remote, &folder, keep_time, next).await?;
        match self.put_one_in_place(aside).await {
            Err(error) if self.may_go_directly(&error) => {
                reading.skip_to(0)?;
                let (size, modified) = (reading.size(), keep_time.then(|| reading.modified()));
                let aside = self.put_directly(&mut reading, size, modified, remote, error).await?;
                self.put_one_in_place(aside).await
            }
            moved => moved,
        }
    }

    /// Uploads the rest of `source`, for `remote`, to a temporary name in `folder`, which is kept after a temporary
    /// failure.
    pub(crate) async fn put_aside_on(
        &mut self,
        source: &mut SourceFile,
        remote: &RemotePath,
        folder: &RemotePath,
        keep_time: bool,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        let (remote, folder) = (self.absolute(remote)?, self.absolute(folder)?);
        let (size, modified) = (source.size(), keep_time.then(|| source.modified()));
        if self.direct_name(&remote).await?.is_some() {
            return self.upload_to_temp_in(source, size, modified, &remote, &folder, next).await;
        }
        let temporary = self.lasting_name(source, &remote, &folder)?;
        let start = self.begin(Operation::Upload, &remote, Some(size))?;
        let work = async {
            let mut there = self.skip_stored(source, &temporary).await?;
            let mut sent = match there {
                0 => self.store(Verb::Stor, &temporary, source, start.id, next).await?,
                there if there == size => 0,
                _ => self.store(Verb::Appe, &temporary, source, start.id, next).await?,
            };
            if let Err(changed) = source.check() {
                (there, sent) =
                    (0, self.store_anew(source, &temporary, start.id, changed, next).await?);
            }
            if there + sent != size {
                let message = format!("{sent} bytes were read where {} were lacking", size - there);
                return Err(Error::new(ErrorKind::Local, Origin::Here, message));
            }
            Ok(())
        };
        match work.await {
            Ok(()) => {
                let name = Name::Temporary;
                let meta = SourceMeta { size, modified };
                Ok(TempUpload::new(start, remote, temporary, name, meta))
            }
            Err(error) if self.is_name_refused(&error) => {
                // No data is there and none can be added: the usual upload knows other names.
                let failed = self.failed(start.id, &remote, error);
                tracing::debug!(target: "portolan", "{failed}");
                source.skip_to(0)?;
                self.upload_to_temp_in(source, size, modified, &remote, &folder, next).await
            }
            Err(error) => {
                if !is_of_the_connection(&error) {
                    self.cleanup_temps(&[&temporary]).await;
                }
                Err(self.failed(start.id, &remote, error))
            }
        }
    }

    /// Returns the number of bytes of `source` that are provably under `temporary` already, and positions `source`
    /// behind them.
    async fn skip_stored(
        &mut self,
        source: &mut SourceFile,
        temporary: &RemotePath,
    ) -> Result<u64> {
        let there = self.size_of(temporary).await?.unwrap_or(0);
        if there <= RESUME_OVERLAP_BYTES || there > source.size() {
            return Ok(0);
        }
        let from = there - RESUME_OVERLAP_BYTES;
        source.skip_to(from)?;
        let mut ours = vec![0; usize::try_from(RESUME_OVERLAP_BYTES).unwrap_or(0)];
        let mut filled = 0;
        while let Some(room) = ours.get_mut(filled..).filter(|room| !room.is_empty()) {
            match source.read(room)? {
                0 => break,
                count => filled += count,
            }
        }
        let mut theirs = OverlapSink { bytes: Vec::new(), from };
        match self.fetch_once(&mut theirs, Fetch::quietly(temporary, Some(there))).await {
            Ok(_) if theirs.bytes == ours => Ok(there),
            Err(error) if is_of_the_connection(&error) => Err(error),
            _ => {
                source.skip_to(0)?;
                Ok(0)
            }
        }
    }

    /// Returns the temporary name in `folder` for a local file on its way to `remote`.
    fn lasting_name(
        &self,
        source: &SourceFile,
        remote: &RemotePath,
        folder: &RemotePath,
    ) -> Result<RemotePath> {
        let mut identity = self.identity(remote, source.size(), source.modified());
        // Size and time can be those of other content, written under the old time.
        let (seconds, nanoseconds) = source.touched();
        identity.extend_from_slice(format!("{seconds}.{nanoseconds}\n").as_bytes());
        identity.extend_from_slice(source.path().as_os_str().as_encoded_bytes());
        folder.join(self.lasting_name_of(&identity).as_bytes())
    }

    /// Returns bytes that identify one state of one file.
    fn identity(&self, remote: &RemotePath, size: u64, modified: Timestamp) -> Vec<u8> {
        let (host, port, time) =
            (self.site.host.to_ascii_lowercase(), self.site.port, modified.as_nanosecond());
        let place = format!("{host}\n{port}\n{}\n{size}\n{time}\n", self.site.user);
        Sha256::digest([place.as_bytes(), remote.as_bytes()].concat()).to_vec()
    }
}

/// Returns true if another attempt may resume where this one ended: the failure does not concern the data, as 451 after
/// all of it would.
fn is_of_the_connection(error: &Error) -> bool {
    let is_about_bytes =
        error.kind == ErrorKind::Busy && error.reply_code() != ReplyCode::SERVICE_UNAVAILABLE;
    error.is_retryable() && !is_about_bytes || error.kind == ErrorKind::Interrupted
}

/// A sink for the rest of a file, after an overlap that must equal the data present.
struct Rest<'l> {
    landing: &'l mut AtomicFile,
    /// The last bytes that are present.
    tail: Vec<u8>,
    /// The number of these bytes that have been received again.
    at: usize,
}

impl ByteSink for Rest<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let left = buffer::rest(&self.tail, self.at)?;
        let (again, new) = bytes.split_at_checked(left.len()).unwrap_or((bytes, &[]));
        if left.get(..again.len()) != Some(again) {
            let message = "what is here of it is not what the server has";
            return Err(Error::new(ErrorKind::Invalid, Origin::Server, message));
        }
        self.at += again.len();
        self.landing.write_all(new)
    }

    fn restart(&mut self) -> Result<()> {
        self.at = 0;
        self.landing.go_back()
    }

    fn offset(&self) -> u64 {
        self.landing.began_at().saturating_sub(self.tail.len() as u64)
    }

    fn is_whole(&self) -> bool {
        false
    }
}

/// A sink for the end of the server's file under a temporary name.
struct OverlapSink {
    bytes: Vec<u8>,
    from: u64,
}

impl ByteSink for OverlapSink {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() as u64 > RESUME_OVERLAP_BYTES {
            return Err(Error::protocol("more bytes came than it has"));
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.bytes.clear();
        Ok(())
    }

    fn offset(&self) -> u64 {
        self.from
    }
}
