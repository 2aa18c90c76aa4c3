//! Transfers of whole files, and queries about them.

use crate::reply::CausedByReply as _;
use std::time::Instant;

use jiff::Timestamp;

use super::{
    BoundedBuffer, ByteSink, ByteSource, NextTransfer, RemoteMeta, TempUpload, TransferHints,
    TransferStart, TransferStats, bytes::Fetch, types::time_in, utc,
};
use crate::{
    control::FtpCommand, listing::Modified, path::RemotePath, reply::Reply, session::Session,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::{Event, Operation, TransferId},
};
use portolan_fs::{AtomicFile, SourceFile};
use portolan_proto::{ReplyCode, Verb};

impl Session {
    /// Downloads `remote` into `landing`, and gives that its final name when all data is there.
    pub async fn download(
        &mut self,
        remote: &RemotePath,
        mut landing: AtomicFile,
        known: RemoteMeta,
        keep_time: bool,
    ) -> Result<TransferStats> {
        let remote = self.absolute(remote)?;
        let known = self.known(&remote, known).await?;
        let hints = TransferHints::default();
        let moved = self.fetch(&remote, &mut landing, known, hints).await?;
        landing.commit(utc(moved.modified).filter(|_| keep_time))?;
        Ok(moved)
    }

    /// Returns the content of `remote`, at most `limit` bytes.
    pub async fn read(&mut self, remote: &RemotePath, limit: u64) -> Result<Vec<u8>> {
        let remote = self.absolute(remote)?;
        let known = self.ask_known(&remote).await?;
        if known.size.is_some_and(|size| size > limit) {
            let message = format!("more than {limit} bytes: `get` it into a file instead");
            return Err(
                Error::new(ErrorKind::Invalid, Origin::Here, message).at(remote.to_string())
            );
        }
        let mut kept = BoundedBuffer { bytes: Vec::new(), limit };
        self.fetch(&remote, &mut kept, known, TransferHints::default()).await?;
        Ok(kept.bytes)
    }

    /// Returns the content of `remote`, at most `limit` bytes, or `None` if it does not exist, which is not reported as
    /// a failure; and true if `other` may exist as well: both are queried in one packet.
    pub(crate) async fn read_if_there_and(
        &mut self,
        remote: &RemotePath,
        other: &RemotePath,
        limit: u64,
    ) -> Result<(Option<Vec<u8>>, bool)> {
        let (remote, other) = (self.absolute(remote)?, self.absolute(other)?);
        let mut commands = vec![FtpCommand::path(Verb::Size, &remote)];
        commands.extend((remote != other).then(|| FtpCommand::path(Verb::Size, &other)));
        let mut replies = self.ask_all(&commands).await?.into_iter();
        let size = replies.next().ok_or_else(|| Error::protocol("a command without a reply"))?;
        let is_other =
            replies.next().is_some_and(|reply| reply.code != ReplyCode::FILE_UNAVAILABLE);
        Ok((self.read_sized(&remote, size, limit).await?, is_other))
    }

    /// Returns the content of `remote`; `size` is the server's reply to SIZE.
    async fn read_sized(
        &mut self,
        remote: &RemotePath,
        size: Reply,
        limit: u64,
    ) -> Result<Option<Vec<u8>>> {
        let is_missing = |error: &Error| {
            error.kind == ErrorKind::NotFound || error.reply_code() == ReplyCode::FILE_UNAVAILABLE
        };
        let mut kept = BoundedBuffer { bytes: Vec::new(), limit };
        if size.code == ReplyCode::FILE_UNAVAILABLE {
            // This is not conclusive yet: RETR is.
            match self.fetch_once(&mut kept, Fetch::quietly(remote, None)).await {
                Ok(_) => return Ok(Some(kept.bytes)),
                Err(error) if is_missing(&error) => return Ok(None),
                Err(_) => kept.restart()?,
            }
        }
        let size = size.size();
        let known = RemoteMeta { size, ..RemoteMeta::default() };
        match self.fetch(remote, &mut kept, known, TransferHints::default()).await {
            Ok(_) => Ok(Some(kept.bytes)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Downloads `remote` into `sink` only. Its size must be the `known` one, and the file must be the same afterwards
    /// as before.
    pub(crate) async fn read_through(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<TransferStats> {
        let remote = self.absolute(remote)?;
        self.fetch(&remote, sink, known, hints).await
    }

    /// Returns the sizes and times of `files` that the server reports, in as few round trips as the commands fit into.
    pub(crate) async fn stat_many(
        &mut self,
        files: &[RemotePath],
    ) -> Result<Vec<(Option<u64>, Option<Modified>)>> {
        let files: Vec<_> = files.iter().map(|file| self.absolute(file)).collect::<Result<_>>()?;
        let both = |file| [FtpCommand::path(Verb::Size, file), FtpCommand::path(Verb::Mdtm, file)];
        let commands: Vec<_> = files.iter().flat_map(both).collect();
        let replies = self.ask_all(&commands).await?;
        let facts = replies.chunks_exact(2).map(|pair| match pair {
            [size, time] => (size.size(), time_in(time)),
            _ => (None, None),
        });
        Ok(facts.collect())
    }

    /// Returns the times of `files` that the server reports, in as few round trips as the commands fit into.
    pub(crate) async fn mtimes(&mut self, files: &[RemotePath]) -> Result<Vec<Option<Modified>>> {
        let ask = |file| Ok(FtpCommand::path(Verb::Mdtm, &self.absolute(file)?));
        let commands: Vec<_> = files.iter().map(ask).collect::<Result<_>>()?;
        Ok(self.ask_all(&commands).await?.iter().map(time_in).collect())
    }

    /// Uploads a local file to `remote`, with its time if `keep_time` is set.
    pub async fn upload_file(
        &mut self,
        mut reading: SourceFile,
        remote: &RemotePath,
        keep_time: bool,
    ) -> Result<TransferStats> {
        let modified = keep_time.then(|| reading.modified());
        let size = reading.size();
        self.upload(&mut reading, size, modified, remote).await
    }

    /// Uploads all `size` bytes of `source` to `remote` by way of a temporary name.
    pub(crate) async fn upload(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
    ) -> Result<TransferStats> {
        let aside = self.upload_to_temp(source, size, modified, remote).await?;
        match self.put_one_in_place(aside).await {
            Err(error) if self.may_go_directly(&error) => {
                source.restart()?;
                let aside = self.put_directly(source, size, modified, remote, error).await?;
                self.put_one_in_place(aside).await
            }
            moved => moved,
        }
    }

    /// Renames one file to its final name.
    pub(super) async fn put_one_in_place(&mut self, file: TempUpload) -> Result<TransferStats> {
        let ended = self.commit_uploads(vec![file]).await.pop();
        ended.unwrap_or_else(|| Err(Error::protocol("one file, and no result of it")))
    }

    /// Appends `source` to `remote`.
    pub async fn append(
        &mut self,
        source: &mut impl ByteSource,
        remote: &RemotePath,
    ) -> Result<TransferStats> {
        let remote = self.absolute(remote)?;
        let before = self.size_of(&remote).await?;
        let start = self.begin(Operation::Upload, &remote, None)?;
        let work = async {
            self.find_way().await?;
            let sent =
                self.store(Verb::Appe, &remote, source, start.id, NextTransfer::None).await?;
            source.check().map_err(|error| {
                let message = format!("{}; what was read of it is at the end there", error.message);
                Error { message, ..error }
            })?;
            let wanted = before.unwrap_or(0) + sent;
            let after = self.size_of(&remote).await?;
            let after = self.settled_size(&remote, after, wanted).await?;
            match after {
                Some(after) if after != before.unwrap_or(0) + sent => {
                    let message = format!(
                        "the file has {after} bytes after {sent} were added to {}",
                        before.unwrap_or(0)
                    );
                    Err(Error::new(ErrorKind::Protocol, Origin::Server, message))
                }
                after => Ok((sent, after.is_some())),
            }
        };
        let result = work.await;
        self.end(start, &remote, result)
    }

    /// Returns what is `known` of `remote`, or queries the server if the size is unknown.
    pub(crate) async fn known(
        &mut self,
        remote: &RemotePath,
        known: RemoteMeta,
    ) -> Result<RemoteMeta> {
        if known.size.is_some() {
            return Ok(known);
        }
        let remote = self.absolute(remote)?;
        self.ask_known(&remote).await
    }

    /// Queries size and time of `remote`, which is downloaded next. The port for that download is requested with them.
    pub(super) async fn ask_known(&mut self, remote: &RemotePath) -> Result<RemoteMeta> {
        let ahead = self.port_ahead();
        self.ask_known_and(remote, ahead).await
    }

    /// Does the same with the command `ahead` after the queries; its reply is left to the transfer.
    pub(super) async fn ask_known_and(
        &mut self,
        remote: &RemotePath,
        ahead: Option<Verb>,
    ) -> Result<RemoteMeta> {
        let commands = [FtpCommand::path(Verb::Size, remote), FtpCommand::path(Verb::Mdtm, remote)];
        let replies = self.ask_all_and(&commands, ahead).await?;
        let [size, modified] = replies.as_slice() else {
            return Err(Error::protocol("two commands, not two replies"));
        };
        // 550 to SIZE is not conclusive yet: RETR will be.
        Ok(RemoteMeta { size: size.size(), modified: time_in(modified), is_listed: false })
    }

    /// Returns the size of `remote`, or `None` if the server reports none: the file does not exist, or SIZE is not
    /// supported.
    pub(crate) async fn size_of(&mut self, remote: &RemotePath) -> Result<Option<u64>> {
        Ok(self.ask(&FtpCommand::path(Verb::Size, remote)).await?.size())
    }

    /// Starts a transfer, unless no new work may start. The caller must report its end.
    pub(super) fn begin(
        &self,
        verb: Operation,
        path: &RemotePath,
        bytes: Option<u64>,
    ) -> Result<TransferStart> {
        self.context.stop.accepts_new_work()?;
        let id = self.context.observer.next_transfer();
        let path = path.to_string();
        self.context.observer.emit(&Event::TransferStarted { id, verb, path, bytes });
        Ok(TransferStart { id, at: Instant::now() })
    }

    pub(super) fn end(
        &self,
        start: TransferStart,
        path: &RemotePath,
        result: Result<(u64, bool)>,
    ) -> Result<TransferStats> {
        let (id, took) = (start.id, start.at.elapsed());
        match result {
            Ok((bytes, verified)) => {
                self.context.observer.emit(&Event::TransferDone { id, bytes, verified, took });
                Ok(TransferStats { bytes, verified, took, modified: None, in_place: false })
            }
            Err(error) => Err(self.failed(id, path, error)),
        }
    }

    pub(super) fn failed(&self, id: TransferId, path: &RemotePath, error: Error) -> Error {
        let mut error = error.at(path.to_string()).with_host(&self.site.host);
        error.is_told = true;
        self.context.observer.emit(&Event::TransferFailed { id, fault: error.clone() });
        error
    }
}
