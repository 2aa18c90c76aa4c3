//! FTP as a remote file system: what mirrors see of a session.

use std::future::Future;

use jiff::Timestamp;

use super::{
    control::FtpCommand,
    listing::{Listing, ListingFormat, Refused},
    session::Session,
};
use portolan_core::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, ErrorKind, Result, codes::LOGIN_TOO_MANY_SESSIONS},
    limits::NEAR_ROUND_TRIP_MAX,
    observe::EventEmitter,
};
use portolan_fs::{AtomicFile, OwnerTag, SourceFile};
use portolan_proto::Verb;
use portolan_remote::{
    entry::Modified,
    facts::{Absent, LinkTarget, PathFacts, Presence, Present},
    fs::{Capabilities, Query, RemoteFs, ServerAccount},
    hash::HashAlgorithm,
    hints::{NextTransfer, TransferHints},
    listing::DirectoryListing,
    path::RemotePath,
    pending::{PendingDownload, TempUpload, VerifiedTemp},
    rate_limit::RateLimiter,
    source_sink::{ByteSink, ByteSource},
    transfer::{InPlace, RemoteMeta, TransferStats},
};

/// The maximum number of commands by which the presence of a path is queried.
const PRESENCE_COMMANDS_MAX: usize = 4;

impl From<Listing> for DirectoryListing {
    fn from(listing: Listing) -> Self {
        // LIST omits names that begin with a dot on most servers unless told otherwise, and then shows the directory
        // itself as well (S56).
        let has_hidden = listing.entries.iter().any(|entry| entry.name.starts_with(b"."));
        Self {
            is_conclusive: listing.may_delete(),
            shows_hidden: has_hidden || listing.vouched || listing.format == ListingFormat::Mlsd,
            refused_count: listing.refused_count,
            complaint: listing.refused.first().map(Refused::complaint),
            entries: listing.entries,
        }
    }
}

impl RemoteFs for Session {
    fn account(&self) -> ServerAccount {
        let site = self.site();
        let (host, user) = (site.host.to_ascii_lowercase(), site.user.clone());
        ServerAccount { host, port: site.port, user }
    }

    fn left_temps(&self) -> Vec<RemotePath> {
        Self::left_temps(self)
    }

    fn forget_temp(&self, path: &RemotePath) {
        Self::forget_temp(self, path);
    }

    fn capabilities(&self) -> Capabilities {
        let named = self.features();
        Capabilities {
            sets_mtime: named.contains_key("MFMT"),
            tells_mtime: named.is_empty() || named.contains_key("MDTM"),
            lists_many: self.lists_at_once(),
            shortens_names: self.shortens_names(),
            hash: HashAlgorithm::best(&self.hashes()),
            encoding: self.site().encoding,
        }
    }

    fn cost(&self, query: Query, path: &RemotePath) -> usize {
        let named = |verb| FtpCommand::path(verb, path).length();
        match query {
            Query::Listing => Self::question_bytes(path),
            Query::Mtime => named(Verb::Mdtm),
            Query::Stat => named(Verb::Size) + named(Verb::Mdtm),
            // By two commands at most, or by MLST alone.
            Query::Facts => 2 * named(Verb::Mlst),
            Query::Presence => PRESENCE_COMMANDS_MAX * named(Verb::Mlst),
        }
    }

    fn route(&self) -> &'static str {
        Self::route(self)
    }

    fn stop(&self) -> &CancelToken {
        &self.context().stop
    }

    fn observer(&self) -> &EventEmitter {
        &self.context().observer
    }

    fn clock(&self) -> &Clock {
        &self.context().clock
    }

    fn absolute(&self, path: &RemotePath) -> Result<RemotePath> {
        Self::absolute(self, path)
    }

    fn set_owner_tag(&mut self, tag: Option<OwnerTag>) {
        Self::set_owner_tag(self, tag);
    }

    fn set_rate_limit(&mut self, limit: Option<RateLimiter>) {
        Self::set_rate_limit(self, limit);
    }

    fn set_in_place(&mut self, in_place: InPlace) -> InPlace {
        Self::set_in_place(self, in_place)
    }

    fn open_sibling(&self) -> impl Future<Output = Result<Self>> + use<> {
        Self::open_sibling(self)
    }

    fn sessions_max(&self) -> Option<u16> {
        self.context.sessions_max
    }

    fn session_limit(&self) -> Option<u16> {
        self.data_path.profile.session_limit()
    }

    fn record_session_limit(&self, count: Option<u16>) {
        self.data_path.profile.record_session_limit(count);
    }

    fn is_near(&self) -> bool {
        self.data_path.profile.round_trip().is_some_and(|time| time <= NEAR_ROUND_TRIP_MAX)
    }

    fn is_slot_requested(&self) -> bool {
        self.data_path.profile.is_slot_requested()
    }

    fn is_session_limit(fault: &Error) -> bool {
        fault.name == Some(LOGIN_TOO_MANY_SESSIONS)
    }

    fn refuses_session(fault: &Error) -> bool {
        Self::is_session_limit(fault)
            || fault.code == 421
            || matches!(fault.kind, ErrorKind::Denied | ErrorKind::Unreachable)
    }

    fn leave(self) {
        Self::leave(self);
    }

    async fn pause(&self, fault: &Error, tries: u16) -> Result<()> {
        Self::pause(self, fault, tries).await
    }

    async fn list(&mut self, folder: &RemotePath) -> Result<DirectoryListing> {
        Self::list(self, folder).await.map(Into::into)
    }

    async fn list_many(
        &mut self,
        folders: &[RemotePath],
        next: NextTransfer<'_>,
    ) -> Vec<Result<DirectoryListing>> {
        let listed = self.list_all(folders, next).await;
        listed.into_iter().map(|listing| listing.map(Into::into)).collect()
    }

    async fn stat_many(
        &mut self,
        files: &[RemotePath],
    ) -> Result<Vec<(Option<u64>, Option<Modified>)>> {
        Self::stat_many(self, files).await
    }

    async fn mtimes(&mut self, files: &[RemotePath]) -> Result<Vec<Option<Modified>>> {
        Self::mtimes(self, files).await
    }

    async fn path_facts(&mut self, paths: &[(RemotePath, bool)]) -> Result<Vec<Option<PathFacts>>> {
        self.answers(paths).await
    }

    async fn presence(&mut self, absent: &[Absent], present: &Present) -> Result<Vec<Presence>> {
        Self::presence(self, absent, present).await
    }

    async fn link_target(&mut self, path: &RemotePath) -> Result<LinkTarget> {
        self.behind(path).await
    }

    async fn exists(&mut self, path: &RemotePath) -> Result<bool> {
        Self::exists(self, path).await
    }

    async fn ask_long_name(&mut self, path: &RemotePath) -> Result<()> {
        Self::ask_long_name(self, path).await
    }

    async fn known(&mut self, remote: &RemotePath, known: RemoteMeta) -> Result<RemoteMeta> {
        Self::known(self, remote, known).await
    }

    async fn hash(&mut self, path: &RemotePath, algorithm: HashAlgorithm) -> Result<String> {
        self.checksum(path, algorithm.as_str()).await
    }

    async fn read_if_there_and(
        &mut self,
        remote: &RemotePath,
        other: &RemotePath,
        limit: u64,
    ) -> Result<(Option<Vec<u8>>, bool)> {
        Self::read_if_there_and(self, remote, other, limit).await
    }

    async fn download_into(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<TransferStats> {
        self.read_through(remote, sink, known, hints).await
    }

    async fn begin_download(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<PendingDownload> {
        self.fetch_aside(remote, sink, known, hints).await
    }

    async fn resume_download(
        &mut self,
        remote: &RemotePath,
        begin: impl Fn(Option<&str>) -> Result<AtomicFile>,
        hints: TransferHints<'_>,
    ) -> Result<(AtomicFile, PendingDownload)> {
        self.fetch_on(remote, begin, hints).await
    }

    fn end_download(&self, file: PendingDownload, placed: Result<()>) -> Result<TransferStats> {
        self.fetched(file, placed)
    }

    fn fail_download(&self, file: &PendingDownload, fault: Error) -> Error {
        self.unfetched(file, fault)
    }

    async fn upload(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
    ) -> Result<TransferStats> {
        Self::upload(self, source, size, modified, remote).await
    }

    async fn upload_to_temp(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        folder: &RemotePath,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        self.upload_to_temp_in(source, size, modified, remote, folder, next).await
    }

    async fn resume_to_temp(
        &mut self,
        source: &mut SourceFile,
        remote: &RemotePath,
        folder: &RemotePath,
        keep_time: bool,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        self.put_aside_on(source, remote, folder, keep_time, next).await
    }

    async fn resume_upload(
        &mut self,
        source: SourceFile,
        remote: &RemotePath,
        keep_time: bool,
        next: NextTransfer<'_>,
    ) -> Result<TransferStats> {
        self.upload_on(source, remote, keep_time, next).await
    }

    fn may_upload_in_place(&self, fault: &Error) -> bool {
        self.may_go_directly(fault)
    }

    async fn upload_in_place(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        refused: Error,
    ) -> Result<TempUpload> {
        self.put_directly(source, size, modified, remote, refused).await
    }

    async fn commit(&mut self, files: Vec<TempUpload>) -> Vec<Result<TransferStats>> {
        self.commit_uploads(files).await
    }

    async fn discard(&mut self, files: Vec<TempUpload>, fault: &Error) -> Vec<Error> {
        self.discard_uploads(files, fault).await
    }

    async fn verify_temps(&mut self, files: Vec<TempUpload>) -> Vec<Result<VerifiedTemp>> {
        Self::verify_temps(self, files).await
    }

    async fn commit_verified(&mut self, files: Vec<VerifiedTemp>) -> Vec<Result<TransferStats>> {
        self.place(files).await
    }

    async fn delete_temps(&mut self, files: &[VerifiedTemp]) {
        Self::delete_temps(self, files).await;
    }

    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<()> {
        Self::rename(self, from, to).await
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<()> {
        self.delete(path).await
    }

    async fn mkdir(&mut self, path: &RemotePath) -> Result<bool> {
        self.mkdir(path).await
    }

    async fn rmdir(&mut self, path: &RemotePath) -> Result<()> {
        Self::rmdir(self, path).await
    }

    async fn set_modified(&mut self, path: &RemotePath, time: Timestamp) -> Result<()> {
        Self::set_modified(self, path, time).await
    }

    async fn set_modes(&mut self, modes: &[(RemotePath, u32)]) -> Result<Vec<Result<()>>> {
        Self::set_modes(self, modes).await
    }

    async fn make_now(&mut self, folders: &[RemotePath]) -> Result<Vec<Result<()>>> {
        Self::make_now(self, folders).await
    }

    async fn replace_folder(&mut self, new: &RemotePath, old: &RemotePath) -> Result<()> {
        Self::replace_folder(self, new, old).await
    }

    async fn remove_at_last(&mut self, folders: &[RemotePath]) -> bool {
        Self::remove_at_last(self, folders).await
    }
}
