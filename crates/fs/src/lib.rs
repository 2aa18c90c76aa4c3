//! Local files: safe ways to write, read and walk them.
//!
//! Three things go wrong with local files, and each has its type here. A write that is interrupted leaves half a
//! file: [`AtomicFile`] writes beside the final name and renames. A link planted below a directory leads writes out of
//! it (security class C3): [`RootDir`] resolves every path below an open directory, without following links. A file that
//! changes while it is uploaded arrives as a mixture: [`SourceFile`] remembers its metadata from the time of opening.
//!
//! Paths that the user wrote (`get("a", "b")`, `local::read`) may go through links, since the user made or accepted
//! them. Paths with a name from a server go through [`RootDir`].

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

pub mod archive;
mod atomic_file;
mod glob;
pub mod hash;
mod metadata;
mod moving;
pub mod ops;
pub mod owned;
mod owner_tag;
mod partial_file;
mod private;
mod root_dir;
mod source_file;
mod staged_file;
mod system;
mod walk;

#[cfg(test)]
mod hostile;

pub use atomic_file::{AtomicFile, prepare, temporary_name};
pub use metadata::{LocalEntry, LocalKind};
pub use owner_tag::{OwnerTag, SetAside, TaggedName, read_marked, read_set_aside};
pub use partial_file::temporary_name_of;
pub use private::{read_private, read_untrusted};
pub use root_dir::{Folds, RootDir, SymlinkPolicy, free_bytes};
pub use source_file::SourceFile;
pub use staged_file::StagedFile;
pub use walk::{Stray, WalkResult, read_folder, walk, walk_where};

/// The prefix of every temporary file name that portolan makes, locally and on servers.
pub const TEMPORARY_PREFIX: &str = ".portolan-";
/// The prefix on servers that accept no name with a leading dot.
const PLAIN_PREFIX: &str = "_portolan-";
/// The suffix of every temporary file name.
pub const TEMPORARY_SUFFIX: &str = ".part";

/// Returns the temporary name `name` in the form for servers that accept no leading dot.
pub fn without_dot(name: &str) -> String {
    name.strip_prefix('.').map_or_else(|| name.to_owned(), |rest| format!("_{rest}"))
}

/// Returns true if `name` is one of our temporary names. Mirrors ignore such files: they neither send nor delete
/// them.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(TEMPORARY_PREFIX.as_bytes()) && name.ends_with(TEMPORARY_SUFFIX.as_bytes())
        || is_plain_temporary(name)
}

/// Returns true if `name` is a temporary name without the dot. Users may have files with similar names: the rest of
/// it must be exactly what portolan makes, numbers of sixteen or thirty-two hexadecimal digits.
fn is_plain_temporary(name: &[u8]) -> bool {
    let inner = name
        .strip_prefix(PLAIN_PREFIX.as_bytes())
        .and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX.as_bytes()));
    let is_ours = |part: &[u8]| {
        let is_hex = part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        matches!(part.len(), 16 | 32) && is_hex || part == b"aside"
    };
    inner.is_some_and(|inner| inner.split(|byte| *byte == b'-').all(is_ours))
}
