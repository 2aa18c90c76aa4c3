//! Complete files under temporary names, closed, that wait until all files of a mirror are complete.

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::{
    fs::{self, AtFlags},
    io::Errno,
};

use super::{
    atomic_file::{AtomicFile, standing},
    metadata,
    root_dir::{Missing, RootDir, fault},
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// A complete file under a temporary name below a root. It stays there until it is [placed](Self::place) or
/// [dropped](Self::drop_file).
#[derive(Debug)]
#[must_use = "it is under a temporary name"]
pub struct StagedFile {
    /// The directory that holds the temporary file.
    home: PathBuf,
    temporary: String,
    /// The device and inode of the file: another file may have the name by the time it is used.
    identity: (u64, u64),
    /// The final path.
    target: PathBuf,
    /// The size in bytes.
    pub bytes: u64,
    /// The modification time.
    pub modified: Timestamp,
}

impl AtomicFile {
    /// Completes a file that was begun [apart](Self::begin_apart) in `home`: applies the permissions of the file at
    /// `target` and the time `modified`, and flushes it to disk. It can then be given its final name.
    pub fn hold(
        mut self,
        root: &RootDir,
        home: impl AsRef<Path>,
        target: impl AsRef<Path>,
        modified: Option<Timestamp>,
    ) -> Result<StagedFile> {
        let (home, target) = (home.as_ref().to_owned(), target.as_ref().to_owned());
        let shown = root.path().join(&target);
        let before = match root.spot(&target, Missing::Fail) {
            // Anything that blocks the target path is removed first, if it is removed at all.
            Ok(spot) => standing(spot.folder.as_fd(), spot.name, &shown).unwrap_or(None),
            Err(_) => None,
        };
        self.dress(before.as_ref(), modified)
            .map_err(|error| fault("set its permissions and time", &shown, error))?;
        fs::fdatasync(&self.file).map_err(|error| fault("flush it", &shown, error))?;
        let found = fs::fstat(&self.file).map_err(|error| fault("look at it", &shown, error))?;
        self.landed = true;
        let temporary = self.temporary.clone();
        let (identity, bytes) = ((found.st_dev, found.st_ino), self.bytes);
        Ok(StagedFile {
            home,
            temporary,
            identity,
            target,
            bytes,
            modified: metadata::modified(&found),
        })
    }
}

impl StagedFile {
    /// Renames the file to its final name, in a directory that exists. The name is durable only after
    /// [`RootDir::flush_folder`].
    pub fn place(&self, root: &RootDir) -> Result<()> {
        let shown = root.path().join(&self.target);
        let home = root.folder(&self.home)?;
        let spot = root.spot(&self.target, Missing::Fail)?;
        standing(spot.folder.as_fd(), spot.name, &shown)?;
        if !self.is_it(root) {
            let message = "the staged temporary file is gone";
            return Err(
                Error::new(ErrorKind::Local, Origin::Here, message).at(shown.to_string_lossy())
            );
        }
        fs::renameat(&home, &self.temporary, &spot.folder, spot.name)
            .map_err(|error| fault("put the new file in its place", &shown, error))
    }

    /// Removes the temporary file.
    pub fn drop_file(&self, root: &RootDir) -> Result<()> {
        if !self.is_it(root) {
            return Ok(());
        }
        let home = root.folder(&self.home)?;
        let shown = root.path().join(&self.home).join(&self.temporary);
        fs::unlinkat(&home, &self.temporary, AtFlags::empty())
            .map_err(|error| fault("remove", &shown, error))
    }

    /// Returns the final path.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the directory of the final path.
    pub fn folder(&self) -> &Path {
        self.target.parent().unwrap_or(Path::new(""))
    }

    fn is_it(&self, root: &RootDir) -> bool {
        let Ok(home) = root.folder(&self.home) else { return false };
        fs::statat(&home, &self.temporary, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| (found.st_dev, found.st_ino) == self.identity)
    }
}

impl RootDir {
    /// Flushes the directory `relative` to disk, so that the names in it are durable.
    pub fn flush_folder(&self, relative: impl AsRef<Path>) -> Result<()> {
        let relative = relative.as_ref();
        match fs::fsync(self.folder(relative)?) {
            // Some network file systems do not support flushing a directory.
            Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(self.fault("flush the folder", relative, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs as files, os::unix::fs::PermissionsExt};

    use super::*;

    fn hold(root: &RootDir, home: &str, target: &str, text: &str) -> StagedFile {
        let mut landing = AtomicFile::begin_apart(root, home, None).unwrap();
        landing.write_all(text.as_bytes()).unwrap();
        landing.hold(root, home, target, Some(Timestamp::UNIX_EPOCH)).unwrap()
    }

    fn names(folder: &Path) -> usize {
        files::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_waits_for_its_name_and_gets_it_with_the_permissions_of_the_old_one() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let old = scratch.path().join("old");
        files::write(&old, "old").unwrap();
        files::set_permissions(&old, files::Permissions::from_mode(0o600)).unwrap();
        let held = [hold(&root, "", "old", "new"), hold(&root, "", "to be/made/f", "x")];
        assert_eq!(files::read(&old).unwrap(), b"old");
        // The directory does not exist yet: nothing must be lost.
        assert!(held[1].place(&root).is_err());
        root.make_folder("to be/made").unwrap();
        for held in &held {
            held.place(&root).unwrap();
            root.flush_folder(held.folder()).unwrap();
        }
        assert_eq!(files::read(&old).unwrap(), b"new");
        let found = files::metadata(&old).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(found.modified().unwrap(), std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(files::read(scratch.path().join("to be/made/f")).unwrap(), b"x");
        assert_eq!(names(scratch.path()), 2);
    }

    #[test]
    fn a_file_that_is_not_wanted_goes_and_another_of_its_name_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        hold(&root, "", "a", "x").drop_file(&root).unwrap();
        assert_eq!(names(scratch.path()), 0);
        let held = hold(&root, "", "a", "x");
        let other = scratch.path().join(&held.temporary);
        files::rename(&other, scratch.path().join("moved")).unwrap();
        files::write(&other, "another's").unwrap();
        held.drop_file(&root).unwrap();
        assert!(held.place(&root).is_err());
        assert_eq!(files::read(&other).unwrap(), b"another's");
    }

    #[test]
    fn a_folder_or_device_in_its_place_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        files::create_dir(scratch.path().join("d")).unwrap();
        let held = hold(&root, "", "d", "x");
        let fault = held.place(&root).unwrap_err();
        assert_eq!(fault.message, "the target is a directory, not a file");
        held.drop_file(&root).unwrap();
        assert_eq!(names(scratch.path()), 1);
    }
}
