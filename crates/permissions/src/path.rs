//! Paths that are allowed, with everything below them.
//!
//! A path is compared where it really is: symbolic links, `..` and `/proc/self/cwd` are resolved on both sides. Between
//! this comparison and the use of the path a link may be changed by another process; the sandbox of the kernel holds
//! then as well.

use std::{
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

use portolan_core::error::{Error, Result};

/// The maximum number of links to files that do not exist, one behind the other (as that of the kernel).
const LINKS_MAX: usize = 40;

/// A path that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathGrant {
    /// The real path, without links.
    pub(super) real: PathBuf,
}

impl PathGrant {
    /// Returns the grant of `text`, which counts from `base` if it is relative.
    pub(super) fn new(text: &str, base: &Path) -> Result<Self> {
        Self::check(text)?;
        let real = place(base, Path::new(text), true).ok_or_else(|| {
            Error::invalid("it leads through a directory that does not exist and back").at(text)
        })?;
        Ok(Self { real })
    }

    /// Fails with `invalid` on a text that is no path anywhere.
    pub(super) fn check(text: &str) -> Result<()> {
        if text.is_empty() || text.contains('\0') {
            return Err(Error::invalid("a path is wanted, such as `in` or `/srv/in`, got none"));
        }
        Ok(())
    }

    /// Returns true if `place` is this path, or below it.
    pub(super) fn covers(&self, place: &Path) -> bool {
        place.starts_with(&self.real)
    }
}

/// Returns where `path` really is, also if it does not exist yet; with `follows` also behind a link that it is itself.
/// `None` if it leads through a directory that does not exist and back (`new/../x`).
pub(super) fn place(base: &Path, path: &Path, follows: bool) -> Option<PathBuf> {
    let whole = base.join(path);
    let name = whole.file_name();
    match (name, whole.parent()) {
        (Some(name), Some(parent)) if !follows => Some(real(parent)?.join(name)),
        _ => real(&whole),
    }
}

fn real(path: &Path) -> Option<PathBuf> {
    let mut at = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let mut missing: Vec<OsString> = Vec::new();
    let mut links = 0;
    loop {
        if let Ok(found) = at.canonicalize() {
            return Some(missing.iter().rev().fold(found, |path, name| path.join(name)));
        }
        let name = match at.components().next_back()? {
            Component::Normal(name) => name.to_owned(),
            _ => return None,
        };
        // A link to a file that does not exist: who writes through it makes that file.
        if let Ok(target) = at.read_link() {
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            at.pop();
            at.push(target);
            continue;
        }
        missing.push(name);
        if !at.pop() {
            return None;
        }
        if at.as_os_str().is_empty() {
            at.push(".");
        }
    }
}

/// Returns the path for a message: as the script wrote it, unless it is really somewhere else.
pub(super) fn shown(base: &Path, path: &Path, place: Option<&Path>) -> String {
    let is_plain = |part: Component<'_>| !matches!(part, Component::ParentDir);
    let written = base.canonicalize().unwrap_or_else(|_| base.to_owned()).join(path);
    let written: PathBuf = written.components().collect();
    match place {
        Some(place) if written != *place || !path.components().all(is_plain) => {
            place.to_string_lossy().into_owned()
        }
        _ => path.to_string_lossy().into_owned(),
    }
}
