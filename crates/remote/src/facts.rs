//! Answers of a server about single paths, independent of what its listings show.

use super::{entry::Modified, path::RemotePath};

/// The server's answer about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathFacts {
    /// True if it is a directory.
    pub is_folder: bool,
    /// The size of a file in bytes, if it is reported.
    pub size: Option<u64>,
    /// The modification time, if it is reported.
    pub modified: Option<Modified>,
}

/// The target of a path on the server, with links resolved by the server itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTarget {
    /// A file.
    File {
        /// Its size in bytes, if the server reports it.
        size: Option<u64>,
        /// Its modification time, if the server reports it.
        modified: Option<Modified>,
    },
    /// A directory.
    Folder {
        /// Its own path, if the server reports a different one from the requested path.
        folder: Option<RemotePath>,
    },
    /// No file or directory that could be fetched or entered.
    Nothing,
}

/// A path that a listing does not show.
#[derive(Debug, Clone)]
pub struct Absent {
    /// The path.
    pub path: RemotePath,
    /// True if it was a directory when it was last seen.
    pub is_folder: bool,
}

/// The paths that are known to exist, by which the commands are tested.
#[derive(Debug, Clone)]
pub struct Present {
    /// A directory.
    pub folder: RemotePath,
    /// A file, if the listings show one.
    pub file: Option<RemotePath>,
}

/// The knowledge about a path that a listing does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The server has it.
    There,
    /// The server does not tell.
    Unknown,
    /// It is gone.
    Gone,
}
