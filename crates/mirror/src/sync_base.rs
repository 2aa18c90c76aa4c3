//! The sync base: the state of both sides of a mirror when they were last the same, from which the next run detects
//! which of them has changed since.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use percent_encoding::percent_encode_byte;

use portolan_core::{
    encoding::{from_hex, percent_decoded, to_hex},
    error::{Error, ErrorKind, Origin, Result},
};
use portolan_fs::OwnerTag;
use portolan_remote::{
    entry::Modified,
    path::{RelativePath, RemotePath},
};

/// The BLAKE3 hash of a file's bytes: all bytes of all mirrors pass through it, and it is the fastest of the reliable
/// hashes.
pub type Hash = [u8; 32];

/// A store of sync bases between runs. Losing one costs a comparison by size and time, so only [`intend`](Self::intend)
/// can fail.
pub trait MirrorStateStore: Debug + Send + Sync {
    /// Returns the base of `sides`; empty if there is none.
    fn base(&self, sides: &MirrorId) -> SyncBase;

    /// Returns the local directory in which it keeps its data; `None` if there is none.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// Returns the text that the job or script `owner` keeps under `key`: scripts have their values where mirrors have
    /// their state.
    fn script_value(&self, _owner: &str, _key: &str) -> Result<Option<String>> {
        Err(no_values())
    }

    /// Returns the keys under which `owner` keeps something.
    fn script_keys(&self, _owner: &str) -> Result<Vec<String>> {
        Err(no_values())
    }

    /// Keeps `content` for `owner` under `key`, or removes what is there.
    fn keep_script_value(&self, _owner: &str, _key: &str, _content: Option<&str>) -> Result<()> {
        Err(no_values())
    }

    /// Leases the owner tag of `sides` for this run; `None` if no tag can be kept.
    fn claim(&self, sides: &MirrorId) -> Option<TagLease>;

    /// Inserts new pairs into the base of `sides`, and removes those of the paths that have none. This settles the
    /// intents for these paths.
    fn note(&self, sides: &MirrorId, changes: &[(Vec<u8>, Option<SyncedFile>)]);

    /// Returns the intents of earlier runs of `sides` whose results are unknown.
    fn intents(&self, sides: &MirrorId) -> Intents;

    /// Removes the intents of `sides`, once none of them is open any more but those for the files in `kept`.
    fn settle(&self, sides: &MirrorId, kept: &BTreeSet<Vec<u8>>);

    /// Records what is about to be done, before it is. Fails if that cannot be stored.
    fn intend(&self, sides: &MirrorId, intents: &[(Vec<u8>, Intent)]) -> Result<()>;
}

/// Returns the error of a run that keeps no values.
pub fn no_values() -> Error {
    let message =
        "this run keeps no state: it was started with --stateless, or there is no state folder";
    Error::new(ErrorKind::Local, Origin::Here, message)
}

/// The store of a run; `None` if it keeps no state: then both sides are compared by size and time.
pub type MirrorStates<'a> = Option<&'a Arc<dyn MirrorStateStore>>;

/// The state that a file of the target is about to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It is deleted.
    Gone,
    /// It becomes a file of this size in bytes, with this time in microseconds since 1970 if that is known.
    Bytes(u64, Option<i64>),
    /// It becomes a file about which nothing is known in advance.
    Any,
}

/// The intents for files, by their paths below the mirrored directory.
pub type Intents = BTreeMap<Vec<u8>, Intent>;

/// A lease of the owner tag in the temporary names of one mirror; it lasts as long as this value.
#[derive(Debug)]
pub struct TagLease {
    /// The owner tag.
    pub mark: OwnerTag,
    /// The exclusive lock: while it is held, no other run makes files under this tag.
    pub lock: Option<File>,
}

/// The two sides of a mirror, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorId {
    /// The server's name, in lower case.
    pub host: String,
    /// Its control port.
    pub port: u16,
    /// The login name: another user may see other files under the same paths.
    pub user: String,
    /// The directory on the server, absolute.
    pub remote: RemotePath,
    /// The local directory, absolute.
    pub local: PathBuf,
}

/// The files that were the same on both sides, by their paths below the mirrored directories.
pub type SyncBase = BTreeMap<RelativePath, SyncedFile>;

/// The state of one file on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncedFile {
    /// The hash of its bytes, if they were read.
    pub hash: Option<Hash>,
    /// Its local size in bytes.
    pub local_size: u64,
    /// Its local modification time in microseconds since 1970. `None` if the file was so new that it could change again
    /// within the same tick of the file system's clock: then only the hash tells.
    pub local_us: Option<i64>,
    /// The size in bytes that the server reported.
    pub remote_size: Option<u64>,
    /// Its time as the server showed it. `None` until it has been seen in a listing.
    pub remote_time: Option<Modified>,
}

impl SyncedFile {
    /// Returns true if a local file is unchanged according to its size and time; `None` if its bytes must be compared.
    pub fn is_local(&self, size: u64, modified: Timestamp) -> Option<bool> {
        if size != self.local_size {
            return Some(false);
        }
        if self.local_us == Some(modified.as_microsecond()) {
            return Some(true);
        }
        if self.hash.is_some() { None } else { Some(self.local_us.is_none()) }
    }

    /// Returns true if a file of the server is unchanged according to its listing.
    pub fn is_remote(&self, size: Option<u64>, modified: Option<Modified>) -> bool {
        let is_other_size = self.remote_size.zip(size).is_some_and(|(before, now)| before != now);
        let is_other_time = self
            .remote_time
            .zip(modified)
            .is_some_and(|(before, now)| before.agrees(now) == Some(false));
        !is_other_size && !is_other_time
    }
}

/// Formats a path as text for databases and JSON: bytes that are not UTF-8, control characters and `%` become `%XX`.
pub fn path_text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for piece in path.utf8_chunks() {
        for c in piece.valid().chars() {
            match u8::try_from(c) {
                Ok(byte) if c == '%' || c.is_ascii_control() => {
                    text.push_str(percent_encode_byte(byte));
                }
                _ => text.push(c),
            }
        }
        for byte in piece.invalid() {
            text.push_str(percent_encode_byte(*byte));
        }
    }
    text
}

/// Parses the output of [`path_text`]; `None` for text that it never writes.
pub fn path_bytes(text: &str) -> Option<Vec<u8>> {
    percent_decoded(text)
}

/// Formats a hash as hexadecimal text.
pub fn hash_text(hash: &Hash) -> String {
    to_hex(hash)
}

/// Parses the output of [`hash_text`].
pub fn read_hash(text: &str) -> Option<Hash> {
    from_hex(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_as_the_bytes_it_was() {
        for (path, text) in [
            (&b"a b/c"[..], "a b/c"),
            (b"100%", "100%25"),
            (b"caf\xe9\x1b", "caf%E9%1B"),
            ("grüße".as_bytes(), "grüße"),
        ] {
            assert_eq!(path_text(path), text);
            assert_eq!(path_bytes(text).unwrap(), path);
        }
        assert_eq!([path_bytes("%"), path_bytes("%4"), path_bytes("%+4")], [None, None, None]);
    }

    #[test]
    fn a_hash_comes_back_and_nothing_else_is_one() {
        let hash = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        assert_eq!(read_hash(&hash_text(&hash)), Some(hash));
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(read_hash(text), None);
        }
    }

    #[test]
    fn a_local_file_is_known_by_its_size_and_time_and_else_by_its_bytes() {
        let at = |us| Timestamp::from_microsecond(us).unwrap();
        let pair = |hash, local_us| SyncedFile {
            hash,
            local_size: 3,
            local_us,
            remote_size: None,
            remote_time: None,
        };
        let (hash, time) = (Some([0; 32]), Some(5));
        for (hash, local_us, size, us, same) in [
            (hash, time, 3, 5, Some(true)),
            (None, time, 3, 5, Some(true)),
            (hash, time, 4, 5, Some(false)),
            (hash, time, 3, 6, None),
            (None, time, 3, 6, Some(false)),
            (hash, None, 3, 5, None),
            (None, None, 3, 5, Some(true)),
        ] {
            assert_eq!(
                pair(hash, local_us).is_local(size, at(us)),
                same,
                "{local_us:?} {size} {us}"
            );
        }
    }
}
