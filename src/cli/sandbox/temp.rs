//! The temporary directory of a confined run.
//!
//! It must be there before the run is confined, although few runs put a file there. A new one for each run would cost a
//! fifth of the whole sandbox, so runs without programs use the directories of those before: each is locked while it is
//! used (`flock(2)`), and empty when it is not. A program may outlive its run, with the rights that it had there.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    process::geteuid,
};
use tempfile::TempDir;

use crate::error::{Error, Result};

/// The runs of one user at a time that use directories again; others make one of their own.
const SHARED_MAX: usize = 64;

/// The beginning of the names of such directories.
const PREFIX: &str = "portolan-run-";

/// The temporary directory of a run. Its files are removed when this is dropped.
#[derive(Debug)]
pub(super) enum RunTemp {
    /// One that another run uses afterwards, and its lock.
    Shared(PathBuf, #[expect(dead_code, reason = "it is unlocked when it is dropped")] File),
    /// One of this run alone.
    Own {
        /// The directory.
        folder: TempDir,
        /// The directory of this user in which it is; `None` if it is in that of the system, from which a confined run
        /// can remove nothing.
        place: Option<PathBuf>,
    },
}

impl RunTemp {
    /// Takes one that no other run uses, or makes one; always makes one for a run that `has_programs`.
    ///
    /// # Errors
    ///
    /// `local` if none can be made.
    pub(super) fn take(has_programs: bool) -> Result<Self> {
        let place = place();
        if let Some(place) = place.as_ref().filter(|_| !has_programs)
            && let Some(shared) = (0..SHARED_MAX).find_map(|number| shared(place, number))
        {
            return Ok(shared);
        }
        let above = place.clone().unwrap_or_else(env::temp_dir);
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&above);
        let folder = made.map_err(|error| Error::local("make a folder", &above, error))?;
        Ok(Self::Own { folder, place })
    }

    /// Returns the directory.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Shared(folder, _) => folder,
            Self::Own { folder, .. } => folder.path(),
        }
    }

    /// Returns the directory from which it is removed at the end, if that needs a right.
    pub(super) fn removed_from(&self) -> Option<PathBuf> {
        match self {
            Self::Shared(..) => None,
            Self::Own { place, .. } => place.clone(),
        }
    }
}

impl Drop for RunTemp {
    fn drop(&mut self) {
        if let Self::Shared(folder, _) = self {
            // What cannot be removed now, the next run removes or leaves this directory alone.
            clear(folder).ok();
        }
    }
}

/// Takes the directory of this number in `place`; `None` if another run uses it, or it cannot be used.
fn shared(place: &Path, number: usize) -> Option<RunTemp> {
    let folder = place.join(format!("{PREFIX}{number}"));
    let open = || {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        OpenOptions::new().read(true).custom_flags(flags).open(&folder)
    };
    let file = open().or_else(|_| {
        DirBuilder::new().mode(0o700).create(&folder)?;
        open()
    });
    let file = file.ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    clear(&folder).ok()?;
    Some(RunTemp::Shared(folder, file))
}

/// Removes all that is in `folder`: a run that was killed may have left files.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns the directory for those of this user's runs; `None` if there is something else in its place.
fn place() -> Option<PathBuf> {
    let user = geteuid().as_raw();
    let folder = env::temp_dir().join(format!("portolan-{user}"));
    let made = DirBuilder::new().mode(0o700).create(&folder);
    let is_own = || {
        let found = folder.symlink_metadata();
        found.is_ok_and(|found| {
            found.is_dir() && found.uid() == user && found.mode() & 0o777 == 0o700
        })
    };
    (made.is_ok() || is_own()).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(place: &Path, number: usize) -> Option<PathBuf> {
        shared(place, number).map(|temp| temp.path().to_owned())
    }

    #[test]
    fn a_directory_is_used_by_one_run_at_a_time_and_empty_for_the_next() {
        let place = tempfile::tempdir().unwrap();
        let first = shared(place.path(), 0).unwrap();
        assert_eq!(number(place.path(), 0), None);
        assert_eq!(number(place.path(), 1), Some(place.path().join("portolan-run-1")));
        let folder = first.path().to_owned();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        fs::create_dir(folder.join("in")).unwrap();
        fs::write(folder.join("in/part"), "half").unwrap();
        drop(first);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        // A run that is killed leaves its files to the next one; a link in it is removed and not followed.
        let kept = place.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "stays").unwrap();
        fs::write(folder.join("part"), "half").unwrap();
        std::os::unix::fs::symlink(&kept, folder.join("link")).unwrap();
        let next = shared(place.path(), 0).unwrap();
        assert_eq!(fs::read_dir(next.path()).unwrap().count(), 0);
        assert!(kept.join("file").exists());
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("file"), "stays").unwrap();
        std::os::unix::fs::symlink(other.path(), place.path().join("portolan-run-0")).unwrap();
        assert_eq!(number(place.path(), 0), None);
        assert!(other.path().join("file").exists());
    }
}
