//! The two directories of a mirror, and the paths below them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sync_base::MirrorId;
use portolan_core::error::Result;
use portolan_remote::{
    fs::{Capabilities, RemoteFs, ServerAccount},
    path::{RelativePath, RemotePath},
};

/// The direction of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the local host to the server.
    Up,
    /// From the server to the local host.
    Down,
}

/// The two directories of a mirror, and the direction between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The direction of the transfers.
    pub direction: Direction,
    /// The local directory.
    pub local: PathBuf,
    /// The directory on the server, absolute.
    pub remote: RemotePath,
    /// True if files in the target get the time that they have in the source.
    pub keeps_times: bool,
    /// The server, as `user@host:port`.
    pub server: String,
}

impl Endpoints {
    /// Returns the endpoints of a mirror by `session`.
    pub(super) fn of(
        session: &impl RemoteFs,
        direction: Direction,
        local: &Path,
        remote: &RemotePath,
        preserve_times: bool,
    ) -> Result<Self> {
        let Capabilities { sets_mtime, encoding, .. } = session.capabilities();
        let keeps_times = preserve_times && (direction == Direction::Down || sets_mtime);
        let remote = session.absolute(remote)?.in_encoding(encoding);
        let (local, server) = (local.to_owned(), Self::server_of(session));
        Ok(Self { direction, local, remote, keeps_times, server })
    }

    /// Returns the server of `session`, as `user@host:port`.
    pub(super) fn server_of(session: &impl RemoteFs) -> String {
        let ServerAccount { host, port, user } = session.account();
        format!("{user}@{host}:{port}")
    }

    /// Returns the key of the mirror's state.
    pub(super) fn identity(&self, session: &impl RemoteFs) -> MirrorId {
        let ServerAccount { host, port, user } = session.account();
        // One directory has many paths; one that does not exist yet has the path by which it will be created.
        let local = self.local.canonicalize();
        let local = local.or_else(|_| std::path::absolute(&self.local));
        let local = local.unwrap_or_else(|_| self.local.clone());
        MirrorId { host, port, user, remote: self.remote.clone(), local }
    }

    /// Returns the difference below which two times count as equal: MFMT sets whole seconds, whatever the server shows.
    pub(super) const fn unit_ns(&self) -> i128 {
        match self.direction {
            Direction::Up => 1_000_000_000,
            Direction::Down => 0,
        }
    }
}

/// Returns the path on the server of `path` in the tree below `top`; fails with `invalid` on one that leads elsewhere.
pub(super) fn place(top: &RemotePath, path: &[u8]) -> Result<RemotePath> {
    if path.is_empty() {
        return Ok(top.clone());
    }
    top.below(&RelativePath::parse(path)?)
}
