//! The operations of a session with a server in memory.

use std::future::Future;

use jiff::Timestamp;

use super::{MemoryEntry, MemoryFile, MemoryFs, key, missing, parent, refused};
use crate::{
    entry::Modified,
    facts::{Absent, LinkTarget, PathFacts, Presence, Present},
    fs::{Capabilities, Query, RemoteFs, ServerAccount},
    hash::HashAlgorithm,
    hints::{NextTransfer, TransferHints},
    listing::DirectoryListing,
    path::{NameEncoding, RemotePath},
    pending::{PendingDownload, SourceMeta, TempUpload, UploadName, VerifiedTemp},
    rate_limit::RateLimiter,
    source_sink::{ByteSink, ByteSource},
    transfer::{InPlace, RemoteMeta, TransferStats},
};
use portolan_core::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
    observe::{EventEmitter, Operation},
};
use portolan_fs::{AtomicFile, OwnerTag, SourceFile, temporary_name};

impl RemoteFs for MemoryFs {
    fn account(&self) -> ServerAccount {
        ServerAccount { host: "memory".into(), port: 0, user: "tester".into() }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sets_mtime: true,
            tells_mtime: true,
            lists_many: true,
            shortens_names: false,
            hash: None,
            encoding: NameEncoding::Same,
        }
    }

    fn cost(&self, _: Query, _: &RemotePath) -> usize {
        1
    }

    fn route(&self) -> &'static str {
        "memory"
    }

    fn stop(&self) -> &CancelToken {
        &self.stop
    }

    fn observer(&self) -> &EventEmitter {
        &self.observer
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn absolute(&self, path: &RemotePath) -> Result<RemotePath> {
        RemotePath::root().resolve(path)
    }

    fn set_owner_tag(&mut self, tag: Option<OwnerTag>) {
        self.tag = tag;
    }

    fn set_rate_limit(&mut self, _: Option<RateLimiter>) {}

    fn set_in_place(&mut self, in_place: InPlace) -> InPlace {
        std::mem::replace(&mut self.in_place, in_place)
    }

    fn open_sibling(&self) -> impl Future<Output = Result<Self>> + use<> {
        std::future::ready(Ok(self.clone()))
    }

    fn refuses_session(_: &Error) -> bool {
        false
    }

    fn leave(self) {}

    async fn pause(&self, _: &Error, _: u16) -> Result<()> {
        self.stop.check()
    }

    async fn list(&mut self, folder: &RemotePath) -> Result<DirectoryListing> {
        self.listing(folder)
    }

    async fn list_many(
        &mut self,
        folders: &[RemotePath],
        _: NextTransfer<'_>,
    ) -> Vec<Result<DirectoryListing>> {
        folders.iter().map(|folder| self.listing(folder)).collect()
    }

    async fn stat_many(
        &mut self,
        files: &[RemotePath],
    ) -> Result<Vec<(Option<u64>, Option<Modified>)>> {
        let facts = files.iter().map(|path| match self.entry(path)? {
            Some(MemoryEntry::File(file)) => Ok((Some(file.size()), Some(file.time()))),
            _ => Ok((None, None)),
        });
        facts.collect()
    }

    async fn mtimes(&mut self, files: &[RemotePath]) -> Result<Vec<Option<Modified>>> {
        Ok(self.stat_many(files).await?.into_iter().map(|(_, time)| time).collect())
    }

    async fn path_facts(&mut self, paths: &[(RemotePath, bool)]) -> Result<Vec<Option<PathFacts>>> {
        let facts = paths.iter().map(|(path, _)| {
            Ok(self.entry(path)?.map(|entry| match entry {
                MemoryEntry::Folder => PathFacts { is_folder: true, size: None, modified: None },
                MemoryEntry::File(file) => PathFacts {
                    is_folder: false,
                    size: Some(file.size()),
                    modified: Some(file.time()),
                },
            }))
        });
        facts.collect()
    }

    async fn presence(&mut self, absent: &[Absent], _: &Present) -> Result<Vec<Presence>> {
        let presence = |one: &Absent| {
            let is_there = self.entry(&one.path)?.is_some();
            Ok(if is_there { Presence::There } else { Presence::Gone })
        };
        absent.iter().map(presence).collect()
    }

    async fn link_target(&mut self, path: &RemotePath) -> Result<LinkTarget> {
        Ok(match self.entry(path)? {
            None => LinkTarget::Nothing,
            Some(MemoryEntry::Folder) => LinkTarget::Folder { folder: None },
            Some(MemoryEntry::File(file)) => {
                LinkTarget::File { size: Some(file.size()), modified: Some(file.time()) }
            }
        })
    }

    async fn exists(&mut self, path: &RemotePath) -> Result<bool> {
        Ok(self.entry(path)?.is_some())
    }

    async fn ask_long_name(&mut self, _: &RemotePath) -> Result<()> {
        Ok(())
    }

    async fn known(&mut self, remote: &RemotePath, known: RemoteMeta) -> Result<RemoteMeta> {
        if known.size.is_some() {
            return Ok(known);
        }
        let file = self.file(remote)?;
        Ok(RemoteMeta { size: Some(file.size()), modified: Some(file.time()), is_listed: false })
    }

    async fn hash(&mut self, path: &RemotePath, algorithm: HashAlgorithm) -> Result<String> {
        let message = format!("the server has no {}", algorithm.as_str());
        Err(Error::unsupported(Origin::Server, message).at(path.to_string()))
    }

    async fn read_if_there_and(
        &mut self,
        remote: &RemotePath,
        other: &RemotePath,
        limit: u64,
    ) -> Result<(Option<Vec<u8>>, bool)> {
        let is_other = remote != other && self.entry(other)?.is_some();
        match self.entry(remote)? {
            Some(MemoryEntry::File(file)) if file.size() > limit => {
                let message = format!("more than {limit} bytes: `get` it into a file instead");
                Err(Error::new(ErrorKind::Invalid, Origin::Here, message).at(remote.to_string()))
            }
            Some(MemoryEntry::File(file)) => Ok((Some(file.bytes), is_other)),
            _ => Ok((None, is_other)),
        }
    }

    async fn download_into(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<TransferStats> {
        let pending = self.begin_download(remote, sink, known, hints).await?;
        let modified = pending.modified;
        let ended = self.end_download(pending, Ok(()))?;
        Ok(TransferStats { modified, ..ended })
    }

    async fn begin_download(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        _: TransferHints<'_>,
    ) -> Result<PendingDownload> {
        let remote = self.absolute(remote)?;
        let start = self.begin(Operation::Download, &remote, known.size)?;
        let fetched = self.file(&remote).and_then(|file| self.give(&file, sink).map(|()| file));
        let file = fetched.map_err(|fault| self.failed(start.id, &remote, fault))?;
        let (bytes, modified) = (file.size(), Some(file.time()));
        Ok(PendingDownload { start, remote, bytes, is_verified: true, modified })
    }

    async fn resume_download(
        &mut self,
        remote: &RemotePath,
        begin: impl Fn(Option<&str>) -> Result<AtomicFile>,
        hints: TransferHints<'_>,
    ) -> Result<(AtomicFile, PendingDownload)> {
        let mut landing = begin(None)?;
        let known = RemoteMeta::default();
        let pending = self.begin_download(remote, &mut landing, known, hints).await?;
        Ok((landing, pending))
    }

    fn end_download(&self, file: PendingDownload, placed: Result<()>) -> Result<TransferStats> {
        match placed {
            Ok(()) => Ok(self.end(file.start, file.bytes, None)),
            Err(fault) => Err(self.failed(file.start.id, &file.remote, fault)),
        }
    }

    fn fail_download(&self, file: &PendingDownload, fault: Error) -> Error {
        self.failed(file.start.id, &file.remote, fault)
    }

    async fn upload(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
    ) -> Result<TransferStats> {
        let folder = self.absolute(remote)?.parent();
        let next = NextTransfer::None;
        let sent = self.upload_to_temp(source, size, modified, remote, &folder, next).await?;
        let ended = self.commit_all(vec![sent]).pop();
        ended.unwrap_or_else(|| Err(Error::protocol("one file, and no result of it")))
    }

    async fn upload_to_temp(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        folder: &RemotePath,
        _: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        let (remote, folder) = (self.absolute(remote)?, self.absolute(folder)?);
        let name = self.tag.as_ref().map_or_else(temporary_name, |tag| tag.name(self.now()));
        let temporary = folder.join(name.as_bytes())?;
        let start = self.begin(Operation::Upload, &remote, Some(size))?;
        match self.store(source, size, &temporary) {
            Ok(()) => {
                let name = UploadName::Temporary;
                let meta = SourceMeta { size, modified };
                Ok(TempUpload::new(start, remote, temporary, name, meta))
            }
            Err(fault) => Err(self.failed(start.id, &remote, fault)),
        }
    }

    async fn resume_to_temp(
        &mut self,
        source: &mut SourceFile,
        remote: &RemotePath,
        folder: &RemotePath,
        keep_time: bool,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        let (size, modified) = (source.size(), keep_time.then(|| source.modified()));
        self.upload_to_temp(source, size, modified, remote, folder, next).await
    }

    async fn resume_upload(
        &mut self,
        mut source: SourceFile,
        remote: &RemotePath,
        keep_time: bool,
        _: NextTransfer<'_>,
    ) -> Result<TransferStats> {
        let (size, modified) = (source.size(), keep_time.then(|| source.modified()));
        self.upload(&mut source, size, modified, remote).await
    }

    fn may_upload_in_place(&self, _: &Error) -> bool {
        false
    }

    async fn upload_in_place(
        &mut self,
        _: &mut impl ByteSource,
        _: u64,
        _: Option<Timestamp>,
        _: &RemotePath,
        refused: Error,
    ) -> Result<TempUpload> {
        Err(refused)
    }

    async fn commit(&mut self, files: Vec<TempUpload>) -> Vec<Result<TransferStats>> {
        self.commit_all(files)
    }

    async fn discard(&mut self, files: Vec<TempUpload>, fault: &Error) -> Vec<Error> {
        let failed = files.into_iter().map(|file| {
            self.tree().remove(key(&file.temporary));
            self.failed(file.start.id, &file.remote, fault.clone())
        });
        failed.collect()
    }

    async fn verify_temps(&mut self, files: Vec<TempUpload>) -> Vec<Result<VerifiedTemp>> {
        let verified = files.into_iter().map(|aside| match self.file(&aside.temporary) {
            Ok(_) => Ok(VerifiedTemp { aside, is_whole: true }),
            Err(fault) => Err(self.failed(aside.start.id, &aside.remote, fault)),
        });
        verified.collect()
    }

    async fn commit_verified(&mut self, files: Vec<VerifiedTemp>) -> Vec<Result<TransferStats>> {
        self.commit_all(files.into_iter().map(|file| file.aside).collect())
    }

    async fn delete_temps(&mut self, files: &[VerifiedTemp]) {
        for file in files {
            self.tree().remove(key(&file.aside.temporary));
        }
    }

    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<()> {
        let from = self.absolute(from)?;
        let entry = self.entry(&from)?.ok_or_else(|| missing(&from))?;
        let is_folder = matches!(entry, MemoryEntry::Folder);
        self.put(to, entry)?;
        let to = self.absolute(to)?;
        let mut tree = self.tree();
        tree.remove(key(&from));
        if is_folder {
            let below = [key(&from), b"/"].concat();
            let inside: Vec<_> =
                tree.keys().filter(|path| path.starts_with(&below)).cloned().collect();
            for path in inside {
                let rest = path.get(key(&from).len()..).unwrap_or_default();
                let moved = [key(&to), rest].concat();
                if let Some(entry) = tree.remove(&path) {
                    tree.insert(moved, entry);
                }
            }
        }
        Ok(())
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<()> {
        self.file(path)?;
        let path = self.absolute(path)?;
        self.tree().remove(key(&path));
        Ok(())
    }

    async fn mkdir(&mut self, path: &RemotePath) -> Result<bool> {
        let path = self.absolute(path)?;
        if self.has_folder(&path)? {
            return Ok(false);
        }
        let mut lacking = vec![path.clone()];
        while let Some(last) = lacking.last().map(RemotePath::parent)
            && !self.has_folder(&last)?
        {
            lacking.push(last);
        }
        lacking.iter().rev().try_for_each(|folder| self.put(folder, MemoryEntry::Folder))?;
        Ok(true)
    }

    async fn rmdir(&mut self, path: &RemotePath) -> Result<()> {
        match self.entry(path)? {
            None => return Err(missing(path)),
            Some(MemoryEntry::File(_)) => return Err(refused(path, "it is a file")),
            Some(MemoryEntry::Folder) => {}
        }
        let path = self.absolute(path)?;
        let mut tree = self.tree();
        if path.is_root() || tree.keys().any(|other| parent(other) == key(&path)) {
            return Err(refused(&path, "it is not empty"));
        }
        tree.remove(key(&path));
        Ok(())
    }

    async fn set_modified(&mut self, path: &RemotePath, time: Timestamp) -> Result<()> {
        let file = self.file(path)?;
        self.put(path, MemoryEntry::File(MemoryFile { modified: time, ..file }))
    }

    async fn set_modes(&mut self, modes: &[(RemotePath, u32)]) -> Result<Vec<Result<()>>> {
        let set = |(path, mode): &(RemotePath, u32)| {
            let path = self.absolute(path)?;
            match self.entry(&path)?.ok_or_else(|| missing(&path))? {
                MemoryEntry::Folder => Ok(()),
                MemoryEntry::File(file) => {
                    self.put(&path, MemoryEntry::File(MemoryFile { mode: Some(*mode), ..file }))
                }
            }
        };
        Ok(modes.iter().map(set).collect())
    }

    async fn make_now(&mut self, folders: &[RemotePath]) -> Result<Vec<Result<()>>> {
        Ok(folders.iter().map(|folder| self.put(folder, MemoryEntry::Folder)).collect())
    }

    async fn replace_folder(&mut self, new: &RemotePath, old: &RemotePath) -> Result<()> {
        self.put(new, MemoryEntry::Folder).ok();
        self.rmdir(old).await
    }

    async fn remove_at_last(&mut self, folders: &[RemotePath]) -> bool {
        for folder in folders {
            // One that is gone, or is not empty, stays as it is.
            self.rmdir(folder).await.ok();
        }
        true
    }
}
