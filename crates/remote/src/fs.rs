//! The seam: what a mirror needs of a server, whatever its protocol.
//!
//! FTP is the first implementation (`ftp/remote_fs.rs`); [`MemoryFs`](super::memory::MemoryFs) is for tests, and as an
//! example. `tests/it/remote_fs.rs` has the suite that every implementation passes.

use std::future::Future;

use jiff::Timestamp;

use super::{
    entry::Modified,
    facts::{Absent, LinkTarget, PathFacts, Presence, Present},
    hash::HashAlgorithm,
    hints::{NextTransfer, TransferHints},
    listing::DirectoryListing,
    path::{NameEncoding, RemotePath},
    pending::{PendingDownload, TempUpload, VerifiedTemp},
    rate_limit::RateLimiter,
    source_sink::{ByteSink, ByteSource},
    transfer::{InPlace, RemoteMeta, TransferStats},
};
use portolan_core::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, Result},
    observe::EventEmitter,
};
use portolan_fs::{AtomicFile, OwnerTag, SourceFile};

/// The cost of the queries that one round trip carries; [`RemoteFs::cost`] is the share of one query.
pub const ROUND_TRIP_COST: usize = portolan_core::limits::BATCH_BYTES_MAX;

/// The user and the server of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAccount {
    /// The name or address of the server, in lower case.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The login name.
    pub user: String,
}

/// The abilities of a server, as declared by it or as observed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is another ability")]
pub struct Capabilities {
    /// True if it sets modification times.
    pub sets_mtime: bool,
    /// True if it may tell the exact modification time of a file.
    pub tells_mtime: bool,
    /// True if several directories are listed in one round trip.
    pub lists_many: bool,
    /// True if it is known to shorten names.
    pub shortens_names: bool,
    /// The best hash that it computes.
    pub hash: Option<HashAlgorithm>,
    /// The encoding of its names.
    pub encoding: NameEncoding,
}

/// A query that is sent for many paths at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// [`RemoteFs::list_many`].
    Listing,
    /// [`RemoteFs::mtimes`].
    Mtime,
    /// [`RemoteFs::stat_many`].
    Stat,
    /// [`RemoteFs::path_facts`].
    Facts,
    /// [`RemoteFs::presence`].
    Presence,
}

/// A session with a server on which a mirror works. Relative paths are below its current directory.
#[expect(async_fn_in_trait, reason = "all sessions of a run are polled by one thread")]
pub trait RemoteFs: Sized + 'static {
    /// Returns the server, and the user at it.
    fn account(&self) -> ServerAccount;
    /// Returns the abilities of the server.
    fn capabilities(&self) -> Capabilities;
    /// Returns the cost of `query` for `path`, in units of which [`ROUND_TRIP_COST`] make a round trip.
    fn cost(&self, query: Query, path: &RemotePath) -> usize;
    /// Returns the name of the method that carries the data, for reports.
    fn route(&self) -> &'static str;
    /// Returns the signal to stop.
    fn stop(&self) -> &CancelToken;
    /// Returns the receiver of events.
    fn observer(&self) -> &EventEmitter;
    /// Returns the clock of the run.
    fn clock(&self) -> &Clock;
    /// Returns the time of day of the run.
    fn now(&self) -> Timestamp {
        self.clock().now()
    }
    /// Returns the absolute path of `path`.
    fn absolute(&self, path: &RemotePath) -> Result<RemotePath>;

    /// Sets the owner tag that is embedded in temporary names.
    fn set_owner_tag(&mut self, tag: Option<OwnerTag>);
    /// Sets a rate limit for transfers in addition to the host's; `None` removes it.
    fn set_rate_limit(&mut self, limit: Option<RateLimiter>);
    /// Sets whether uploads go directly to their final names; returns the previous setting.
    fn set_in_place(&mut self, in_place: InPlace) -> InPlace;

    /// Opens another session with the same server and settings.
    fn open_sibling(&self) -> impl Future<Output = Result<Self>> + use<Self>;
    /// Returns true if the error of a further session means that the server does not accept so many.
    fn refuses_session(fault: &Error) -> bool;
    /// Returns the maximum number of sessions that the run may have with the server at a time, if it has one.
    fn sessions_max(&self) -> Option<u16> {
        None
    }
    /// Returns the number of sessions at a time that the server accepted when it refused one more, in this run or an
    /// earlier one.
    fn session_limit(&self) -> Option<u16> {
        None
    }
    /// Records that number for later runs; `None` if none was refused.
    fn record_session_limit(&self, _count: Option<u16>) {}
    /// Returns true if the error means that the session was not opened again because the server accepts no more at a time.
    fn is_session_limit(_fault: &Error) -> bool {
        false
    }
    /// Returns true if a session of the run waits for another to be closed, because the server accepts no more at a time.
    fn is_slot_requested(&self) -> bool {
        false
    }
    /// Returns true if the server answers at once, so that further sessions hide no latency.
    fn is_near(&self) -> bool {
        false
    }
    /// Closes the session without waiting.
    fn leave(self);
    /// Reports a failure that is retried after `tries` earlier retries, and waits until that may help.
    async fn pause(&self, fault: &Error, tries: u16) -> Result<()>;

    /// Returns the entries of `folder`.
    async fn list(&mut self, folder: &RemotePath) -> Result<DirectoryListing>;
    /// Returns the entries of each of `folders`, in their order, before the `next` transfer.
    async fn list_many(
        &mut self,
        folders: &[RemotePath],
        next: NextTransfer<'_>,
    ) -> Vec<Result<DirectoryListing>>;
    /// Returns the sizes and times of `files` that the server reports.
    async fn stat_many(
        &mut self,
        files: &[RemotePath],
    ) -> Result<Vec<(Option<u64>, Option<Modified>)>>;
    /// Returns the exact times of `files` that the server reports.
    async fn mtimes(&mut self, files: &[RemotePath]) -> Result<Vec<Option<Modified>>>;
    /// Returns the facts of each of `paths`, queried as a directory (`true`) or as a file; `None` if the server has
    /// nothing of that name, or does not say.
    async fn path_facts(&mut self, paths: &[(RemotePath, bool)]) -> Result<Vec<Option<PathFacts>>>;
    /// Determines for each of `absent` whether it is gone, or only not shown by a listing. A query is trusted only if it
    /// confirms what is `present`.
    async fn presence(&mut self, absent: &[Absent], present: &Present) -> Result<Vec<Presence>>;
    /// Returns the target of `path`, with links resolved.
    async fn link_target(&mut self, path: &RemotePath) -> Result<LinkTarget>;
    /// Returns true if there is anything at `path`.
    async fn exists(&mut self, path: &RemotePath) -> Result<bool>;
    /// Finds out if the server shortens names, unless that is known: `path` is a listed path with a letter added.
    async fn ask_long_name(&mut self, path: &RemotePath) -> Result<()>;
    /// Returns what is `known` of the file `remote`, or queries the server if the size is unknown.
    async fn known(&mut self, remote: &RemotePath, known: RemoteMeta) -> Result<RemoteMeta>;
    /// Returns the hash of the file `path` as the server computes it, in lower case.
    async fn hash(&mut self, path: &RemotePath, algorithm: HashAlgorithm) -> Result<String>;

    /// Returns the content of `remote`, at most `limit` bytes, or `None` if it does not exist; and true if `other` may
    /// exist as well.
    async fn read_if_there_and(
        &mut self,
        remote: &RemotePath,
        other: &RemotePath,
        limit: u64,
    ) -> Result<(Option<Vec<u8>>, bool)>;
    /// Downloads the file `remote` into `sink`.
    async fn download_into(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<TransferStats>;
    /// Does the same; [`end_download`](Self::end_download) reports the end of the transfer.
    async fn begin_download(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<PendingDownload>;
    /// Does the same into the file that `begin` opens under the temporary name that it is given, and continues what an
    /// earlier attempt has left under that name if it is provably of the same file.
    async fn resume_download(
        &mut self,
        remote: &RemotePath,
        begin: impl Fn(Option<&str>) -> Result<AtomicFile>,
        hints: TransferHints<'_>,
    ) -> Result<(AtomicFile, PendingDownload)>;
    /// Reports the end of a transfer whose data had arrived: if `placed` is good, the file has its final name.
    fn end_download(&self, file: PendingDownload, placed: Result<()>) -> Result<TransferStats>;
    /// Reports the failure of a transfer whose data had arrived.
    fn fail_download(&self, file: &PendingDownload, fault: Error) -> Error;

    /// Uploads all `size` bytes of `source` to `remote` by way of a temporary name.
    async fn upload(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
    ) -> Result<TransferStats>;
    /// Uploads all `size` bytes of `source`, for `remote`, to a temporary name in `folder`. Leaves no file behind on
    /// failure.
    async fn upload_to_temp(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        folder: &RemotePath,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload>;
    /// Uploads the rest of `source`, for `remote`, to a temporary name in `folder`, which is kept after a temporary
    /// failure.
    async fn resume_to_temp(
        &mut self,
        source: &mut SourceFile,
        remote: &RemotePath,
        folder: &RemotePath,
        keep_time: bool,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload>;
    /// Uploads the rest of `source` to `remote`: an earlier attempt may have left a part of it.
    async fn resume_upload(
        &mut self,
        source: SourceFile,
        remote: &RemotePath,
        keep_time: bool,
        next: NextTransfer<'_>,
    ) -> Result<TransferStats>;
    /// Returns true if an upload that failed with `fault` may be sent to its final name.
    fn may_upload_in_place(&self, fault: &Error) -> bool;
    /// Sends `source` to its final name, after the upload by a temporary name was `refused`; returns that failure if a
    /// file is there.
    async fn upload_in_place(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        refused: Error,
    ) -> Result<TempUpload>;
    /// Renames each of `files` to its final name if all of its data has arrived; else removes it. Returns the results
    /// in the order of `files`.
    async fn commit(&mut self, files: Vec<TempUpload>) -> Vec<Result<TransferStats>>;
    /// Removes `files`, which are not renamed because of `fault`, and returns the fault of each.
    async fn discard(&mut self, files: Vec<TempUpload>, fault: &Error) -> Vec<Error>;
    /// Verifies that the server has all of each of `files`, and removes those that are incomplete. Returns the results
    /// in order.
    async fn verify_temps(&mut self, files: Vec<TempUpload>) -> Vec<Result<VerifiedTemp>>;
    /// Sets the time and the final name of each of `files`. Returns the results in order.
    async fn commit_verified(&mut self, files: Vec<VerifiedTemp>) -> Vec<Result<TransferStats>>;
    /// Removes `files`, which are no longer wanted.
    async fn delete_temps(&mut self, files: &[VerifiedTemp]);

    /// Returns the temporary files that killed uploads of this host have left on the server, as far as they are recorded.
    fn left_temps(&self) -> Vec<RemotePath> {
        Vec::new()
    }
    /// Records that the temporary file `path` is no longer on the server.
    fn forget_temp(&self, _path: &RemotePath) {}

    /// Renames `from` to `to`.
    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<()>;
    /// Removes the file `path`.
    async fn remove(&mut self, path: &RemotePath) -> Result<()>;
    /// Makes directory `path` and its missing parents; returns false if it existed already.
    async fn mkdir(&mut self, path: &RemotePath) -> Result<bool>;
    /// Removes the empty directory `path`.
    async fn rmdir(&mut self, path: &RemotePath) -> Result<()>;
    /// Sets the modification time of `path`.
    async fn set_modified(&mut self, path: &RemotePath, time: Timestamp) -> Result<()>;
    /// Sets the permission bits of each of the paths, all at once, and returns the result of each.
    async fn set_modes(&mut self, modes: &[(RemotePath, u32)]) -> Result<Vec<Result<()>>>;
    /// Makes each of `folders`, and returns for each whether it was made now: of several clients, one succeeds.
    async fn make_now(&mut self, folders: &[RemotePath]) -> Result<Vec<Result<()>>>;
    /// Makes `new` and then removes `old`; fails if `old` did not exist any more.
    async fn replace_folder(&mut self, new: &RemotePath, old: &RemotePath) -> Result<()>;
    /// Removes each of `folders` that exists and is empty, even after the signal to stop, provided that the server
    /// answers at once. Returns false if the server could not be asked.
    async fn remove_at_last(&mut self, folders: &[RemotePath]) -> bool;
}
