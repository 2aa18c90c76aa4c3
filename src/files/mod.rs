//! Files of this machine: safe ways to write, read and walk them.
//!
//! Three things go wrong with local files, and each has its type here. A write that ends in the middle leaves half
//! a file: [`Landing`] writes beside the final name and renames. A link planted below a folder leads writes out of
//! it (security class C3): [`Root`] resolves every path below an open folder, without following links. A file that
//! changes while it is uploaded arrives as a mixture: [`Reading`] knows what it was when it was opened.
//!
//! Paths that the user wrote (`get("a", "b")`, `local::read`) may go through links, since the user made or accepted
//! them. Paths with a name from a server go through [`Root`].

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

mod held;
mod landing;
mod mark;
mod moving;
pub mod owned;
mod part;
pub mod paths;
mod pattern;
mod reading;
mod root;
mod status;
mod system;
mod walk;

#[cfg(test)]
mod hostile;

pub use held::Held;
pub use landing::{Landing, temporary_name};
pub use mark::{Mark, Marked, SetAside, chance, read_marked, read_set_aside};
pub use part::temporary_name_of;
pub use reading::Reading;
pub use root::{Folds, Links, Root, free_bytes};
pub use status::{LocalEntry, LocalKind};
pub use walk::{Stray, Walk, read_folder, walk, walk_where};

/// What the name of every temporary file of ours begins with, here and on servers.
pub const TEMPORARY_PREFIX: &str = ".portolan-";
/// What it begins with on servers that take no name with a dot at its beginning.
const PLAIN_PREFIX: &str = "_portolan-";
/// What it ends with.
pub const TEMPORARY_SUFFIX: &str = ".part";

/// The temporary name `name` for servers that take no name with a dot at its beginning.
pub fn without_dot(name: &str) -> String {
    name.strip_prefix('.').map_or_else(|| name.to_owned(), |rest| format!("_{rest}"))
}

/// Whether `name` is one of our temporary names. Such files belong to no tree: a mirror neither sends nor deletes them.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(TEMPORARY_PREFIX.as_bytes()) && name.ends_with(TEMPORARY_SUFFIX.as_bytes())
        || is_plain_temporary(name)
}

/// Whether `name` is one of ours without the dot. A user may have files of such names as well: the rest of it must be
/// what we make, numbers of sixteen or thirty-two hexadecimal digits, and nothing else.
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
