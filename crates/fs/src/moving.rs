//! Moves of files from one directory to another, also across file systems.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, Stat},
    io::Errno,
};

use super::{
    atomic_file::AtomicFile,
    metadata,
    root_dir::{Missing, RootDir, Spot, rename_to_nothing},
};
use portolan_core::{
    buffer,
    error::{Error, ErrorKind, Origin, Result},
    limits::COPY_BYTES,
};

impl RootDir {
    /// Moves the file `from` to `to` below `other`, creates directories for it, and fails if `to` exists already.
    /// Across file systems the file is copied, and the original is removed once the copy is complete.
    pub fn move_to(
        &self,
        from: impl AsRef<Path>,
        other: &Self,
        to: impl AsRef<Path>,
    ) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let source = self.spot(from, Missing::Fail)?;
        let target = other.spot(to, Missing::Make)?;
        match rename_to_nothing(&source, &target) {
            Err(Errno::XDEV) => {
                self.carry(from, &source, other, to, &target)?;
                self.remove_file(from)
            }
            moved => moved.map_err(|error| self.not_renamed(from, to, error)),
        }
    }

    /// Gives the file `from` a second name `to` below `other`, creates directories for it, and fails if `to` exists
    /// already. Where a file cannot have two names, it is copied.
    pub fn link_to(
        &self,
        from: impl AsRef<Path>,
        other: &Self,
        to: impl AsRef<Path>,
    ) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let source = self.spot(from, Missing::Fail)?;
        let target = other.spot(to, Missing::Make)?;
        let flags = AtFlags::empty();
        match fs::linkat(&source.folder, source.name, &target.folder, target.name, flags) {
            Ok(()) => Ok(()),
            Err(error @ (Errno::EXIST | Errno::NOENT)) => Err(self.not_renamed(from, to, error)),
            Err(_) => self.carry(from, &source, other, to, &target),
        }
    }

    /// Copies the file `from` to `to` below `other`, complete or not at all.
    fn carry(
        &self,
        from: &Path,
        source: &Spot<'_>,
        other: &Self,
        to: &Path,
        target: &Spot<'_>,
    ) -> Result<()> {
        let mut file = self.open_file(from)?;
        let look =
            |file: &File| fs::fstat(file).map_err(|error| self.fault("look at it", from, error));
        let before = look(&file)?;
        let mut landing = AtomicFile::begin_in(other, to)?;
        copy(&mut file, &mut landing).map_err(|error| Error::local("copy", from, error))?;
        let is_same = |found: &Stat| {
            let facts = |status: &Stat| {
                (status.st_size, status.st_mtime, status.st_mtime_nsec, status.st_ctime_nsec)
            };
            metadata::same_file(&before, found) && facts(&before) == facts(found)
        };
        let modified = metadata::modified(&before);
        landing
            .dress(Some(&before), Some(modified))
            .and_then(|()| fs::fdatasync(&landing.file))
            .map_err(|error| other.fault("flush it", to, error))?;
        // Another file may have the name by now, which is not the one that was copied.
        let found = fs::statat(&source.folder, source.name, AtFlags::SYMLINK_NOFOLLOW);
        if !found.is_ok_and(|found| is_same(&found)) {
            let message = "it changed while it was moved to another disk, and stays";
            return Err(
                Error::new(ErrorKind::Local, Origin::Here, message).at(from.to_string_lossy())
            );
        }
        let folder = landing.folder.as_fd().try_clone_to_owned();
        let folder = folder.map_err(|error| Error::local("open its folder", to, error))?;
        let temporary = landing.temporary.clone();
        rename_to_nothing(&Spot { folder, name: temporary.as_ref() }, target)
            .map_err(|error| self.not_renamed(from, to, error))?;
        landing.landed = true;
        match fs::fsync(&target.folder) {
            Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(other.fault("flush its folder", to, error)),
        }
        Ok(())
    }
}

fn copy(file: &mut File, landing: &mut AtomicFile) -> std::io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let bytes = buffer::filled(&buffer, count).map_err(std::io::Error::other)?;
        landing.file.write_all(bytes)?;
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use super::*;

    /// Returns two directories, on two file systems if the host has them.
    fn folders() -> (tempfile::TempDir, tempfile::TempDir) {
        let here = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in("/dev/shm");
        (here, memory.unwrap_or_else(|_| tempfile::tempdir().unwrap()))
    }

    #[test]
    fn a_file_moves_to_another_disk_whole_with_its_time_and_permissions() {
        let (here, there) = folders();
        let (root, other) =
            (RootDir::open(here.path()).unwrap(), RootDir::open(there.path()).unwrap());
        for (number, size) in [0, 5, 3 * COPY_BYTES + 1].into_iter().enumerate() {
            let name = format!("sub/{number}");
            let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            root.make_folder("sub").unwrap();
            fs::write(here.path().join(&name), &bytes).unwrap();
            let before = fs::metadata(here.path().join(&name)).unwrap();
            root.move_to(&name, &other, format!("a/{name}")).unwrap();
            let moved = there.path().join("a").join(&name);
            assert_eq!(fs::read(&moved).unwrap(), bytes, "{name}");
            let after = fs::metadata(&moved).unwrap();
            assert_eq!((after.mtime(), after.mode()), (before.mtime(), before.mode()), "{name}");
            assert!(!here.path().join(&name).exists());
        }
    }

    #[test]
    fn nothing_is_moved_over_a_file_that_is_there_and_nothing_is_left_of_the_try() {
        let (here, there) = folders();
        let (root, other) =
            (RootDir::open(here.path()).unwrap(), RootDir::open(there.path()).unwrap());
        fs::write(here.path().join("a"), "ours").unwrap();
        fs::write(there.path().join("a"), "theirs").unwrap();
        root.move_to("a", &other, "a").unwrap_err();
        assert_eq!(fs::read(here.path().join("a")).unwrap(), b"ours");
        assert_eq!(fs::read(there.path().join("a")).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 1);
        assert_eq!(root.move_to("none", &other, "b").unwrap_err().kind, ErrorKind::NotFound);
    }
}
