//! Local files in a rehearsal: read in place, written only in a scratch folder.
//!
//! The first write to a path copies the existing content into the scratch folder, under its absolute path; later reads
//! use the copy. The script thus sees the files as it would have left them.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{
    cancel::CancelToken,
    error::{Error, Result},
    files::{LocalKind, RootDir, walk},
    limits::REHEARSAL_BYTES_MAX,
};

/// The scratch folder and the paths that it replaces.
#[derive(Debug)]
pub(super) struct Overlay {
    scratch: PathBuf,
    /// The absolute paths whose content is in the scratch folder, including everything below them.
    taken: Mutex<BTreeSet<PathBuf>>,
}

impl Overlay {
    /// Creates an empty overlay.
    pub(super) fn new(scratch: &Path) -> Self {
        Self::with(scratch, BTreeSet::new())
    }

    /// Creates an overlay whose scratch folder has the content of the absolute paths `taken` already.
    pub(super) fn with(scratch: &Path, taken: BTreeSet<PathBuf>) -> Self {
        Self { scratch: scratch.to_owned(), taken: Mutex::new(taken) }
    }

    /// Returns the path to read for `path`. A folder with changes below it is copied as a whole, so that its listing
    /// has both the old and the new entries.
    pub(super) fn readable(&self, path: &Path, stop: &CancelToken) -> Result<PathBuf> {
        let whole = absolute(path)?;
        let is_changed_below = {
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if !whole.starts_with(&self.scratch)
                && whole.ancestors().any(|above| taken.contains(above))
            {
                return Ok(self.inside(&whole));
            }
            taken.iter().any(|below| below.starts_with(&whole))
        };
        if is_changed_below { self.writable(path, stop) } else { Ok(whole) }
    }

    /// Returns the path to write for `path`, after copying its existing content there.
    pub(super) fn writable(&self, path: &Path, stop: &CancelToken) -> Result<PathBuf> {
        let path = absolute(path)?;
        if path.starts_with(&self.scratch) {
            return Ok(path);
        }
        let inside = self.inside(&path);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if path.ancestors().any(|above| taken.contains(above)) {
            return Ok(inside);
        }
        if let Some(folder) = inside.parent() {
            make(folder)?;
        }
        copy(&path, &inside, &taken, stop)?;
        taken.insert(path);
        Ok(inside)
    }

    fn inside(&self, path: &Path) -> PathBuf {
        inside(&self.scratch, path)
    }
}

/// Returns the place of the absolute `path` in the folder `scratch`.
pub(super) fn inside(scratch: &Path, path: &Path) -> PathBuf {
    scratch.join(path.strip_prefix("/").unwrap_or(path))
}

/// Returns `path` from the root, with `.` and `..` resolved and symbolic links left as they are.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let path = std::path::absolute(path).map_err(|error| Error::local("find", path, error))?;
    let mut whole = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(whole.pop()),
            other => whole.push(other),
        }
    }
    Ok(whole)
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::local("make the folder", folder, error))
}

/// Copies everything except the `taken` paths, which are in the scratch folder already, as the script has left them.
fn copy(from: &Path, to: &Path, taken: &BTreeSet<PathBuf>, stop: &CancelToken) -> Result<()> {
    let Ok(found) = std::fs::metadata(from) else { return Ok(()) };
    if !found.is_dir() {
        return copy_file(from, to, found.len());
    }
    make(to)?;
    let root = RootDir::open(from)?;
    let mut left = REHEARSAL_BYTES_MAX;
    for entry in walk(&root, stop)?.entries {
        let (from, to) = (from.join(&entry.path), to.join(&entry.path));
        if from.ancestors().any(|above| taken.contains(above)) {
            continue;
        }
        match entry.kind {
            LocalKind::Folder => make(&to)?,
            LocalKind::File => {
                left = left.checked_sub(entry.size).ok_or_else(|| too_large(&from))?;
                copy_file(&from, &to, entry.size)?;
            }
            // A link could lead a later write out of the scratch folder.
            LocalKind::Link | LocalKind::Other => {}
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, size: u64) -> Result<()> {
    if size > REHEARSAL_BYTES_MAX {
        return Err(too_large(from));
    }
    std::fs::copy(from, to).map_err(|error| Error::local("copy", from, error))?;
    let modified = std::fs::metadata(from).and_then(|found| found.modified());
    let keep = |time| std::fs::File::options().write(true).open(to)?.set_modified(time);
    modified.and_then(keep).map_err(|error| Error::local("keep the time of", from, error))
}

fn too_large(path: &Path) -> Error {
    let limit = REHEARSAL_BYTES_MAX / (1024 * 1024);
    let message = format!("a rehearsal copies at most {limit} MiB of local files");
    Error::invalid(message).at(path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rehearsal_writes_is_visible_in_it_only() {
        let real = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(real.path().join("d")).unwrap();
        std::fs::write(real.path().join("d/a"), "old").unwrap();
        let overlay = Overlay::new(scratch.path());
        let stop = CancelToken::new();
        assert_eq!(
            overlay.readable(&real.path().join("d/a"), &stop).unwrap(),
            real.path().join("d/a")
        );
        let folder = overlay.writable(&real.path().join("d"), &stop).unwrap();
        std::fs::write(folder.join("a"), "new").unwrap();
        let seen = overlay.readable(&real.path().join("d/../d/a"), &stop).unwrap();
        assert_eq!(std::fs::read_to_string(seen).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(real.path().join("d/a")).unwrap(), "old");
    }
}
