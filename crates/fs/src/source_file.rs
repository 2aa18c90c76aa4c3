//! A source file that is opened for sending, and checks that it did not change in the meantime.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::{
    fs::{self, AtFlags, Mode, OFlags, Stat},
    io::Errno,
};

use super::{
    metadata,
    root_dir::{FILE, Missing, RootDir, fault, reach_folder, regular},
};
use portolan_core::{
    buffer,
    error::{Error, ErrorKind, Origin, Result, codes::TRANSFER_SOURCE_CHANGED},
};

/// A regular file opened for reading, with its metadata at that time. A file that grows, shrinks, is written to or is
/// replaced while it is read must not become a mixture at the other end (security class C22).
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    folder: OwnedFd,
    name: OsString,
    links: LastLink,
    opened: Stat,
    position: u64,
    shown: PathBuf,
}

/// The policy for a link as the last name of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLink {
    Followed,
    Refused,
}

impl SourceFile {
    /// Opens the file at `path`, which the user wrote: it may be a link.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let Some(name) = path.file_name() else {
            let message = "this is not the name of a file";
            return Err(
                Error::new(ErrorKind::Invalid, Origin::Here, message).at(path.to_string_lossy())
            );
        };
        let folder = reach_folder(path.parent().unwrap_or(Path::new(".")))
            .map_err(|error| fault("reach its folder", path, error))?;
        Self::in_folder(folder, name, LastLink::Followed, path.to_owned())
    }

    /// Opens the file `relative` below `root`, whose policy for links applies.
    pub fn open_in(root: &RootDir, relative: impl AsRef<Path>) -> Result<Self> {
        let relative = relative.as_ref();
        let spot = root.spot(relative, Missing::Fail)?;
        let shown = root.path().join(relative);
        if !root.follows() {
            return Self::in_folder(spot.folder, spot.name, LastLink::Refused, shown);
        }
        // Opened from the root, not from its directory: a link there may lead to anything below the root.
        let file = root.open_within(relative).map_err(|error| fault("open", &shown, error))?;
        Self::opened(file, spot.folder, spot.name, LastLink::Followed, shown)
    }

    fn in_folder(folder: OwnedFd, name: &OsStr, links: LastLink, shown: PathBuf) -> Result<Self> {
        let follow = if links == LastLink::Refused { OFlags::NOFOLLOW } else { OFlags::empty() };
        let file = fs::openat(&folder, name, FILE | follow, Mode::empty())
            .map_err(|error| fault("open", &shown, error))?;
        Self::opened(file, folder, name, links, shown)
    }

    fn opened(
        file: OwnedFd,
        folder: OwnedFd,
        name: &OsStr,
        links: LastLink,
        shown: PathBuf,
    ) -> Result<Self> {
        let opened = regular(file.as_fd(), &shown)?;
        let (file, name) = (File::from(file), name.to_owned());
        Ok(Self { file, folder, name, links, opened, position: 0, shown })
    }

    /// Returns the size in bytes at the time of opening.
    pub fn size(&self) -> u64 {
        metadata::size(&self.opened)
    }

    /// Returns the modification time at the time of opening.
    pub fn modified(&self) -> Timestamp {
        metadata::modified(&self.opened)
    }

    /// Returns the status change time (ctime) at the time of opening, which also covers permissions and names. Users
    /// cannot set it: a file with the same size, modification time and ctime has the same bytes.
    pub fn touched(&self) -> (i64, i64) {
        metadata::touched(&self.opened)
    }

    /// Returns bytes that distinguish the file, as it was when it was opened, from every other local file.
    pub fn identity(&self) -> Vec<u8> {
        let Stat { st_dev, st_ino, .. } = self.opened;
        let (seconds, nanoseconds) = self.touched();
        let (size, modified) = (self.size(), self.modified().as_nanosecond());
        format!("{st_dev} {st_ino} {size} {modified} {seconds}.{nanoseconds}").into_bytes()
    }

    /// Accepts the current state of the file as the one at opening, if size and modification time are the same and
    /// only its status has changed: all of it must be read again then. Returns false if more has changed, or nothing.
    pub fn begin_anew(&mut self) -> Result<bool> {
        let now = fs::fstat(&self.file).map_err(|error| fault("look at it", &self.shown, error))?;
        let is_same = metadata::size(&now) == self.size()
            && metadata::modified(&now) == self.modified()
            && !metadata::is_untouched(&self.opened, &now);
        if is_same {
            self.opened = now;
            self.skip_to(0)?;
        }
        Ok(is_same)
    }

    /// Returns the permissions, without the special bits.
    pub fn mode(&self) -> u32 {
        self.opened.st_mode & 0o777
    }

    /// Returns the path, for display.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// Returns the number of bytes that were read or skipped.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next bytes into `buffer`. Returns 0 at the end of the file, and never reads more than its size at
    /// opening.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = self.size().saturating_sub(self.position);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer::room(buffer, length)?;
        let read =
            self.file.read(buffer).map_err(|error| Error::local("read", &self.shown, error))?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }

    /// Returns the open file itself, for callers that do not check for changes.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Continues reading at `position`, for a transfer that is resumed.
    pub fn skip_to(&mut self, position: u64) -> Result<()> {
        self.position = self
            .file
            .seek(SeekFrom::Start(position))
            .map_err(|error| Error::local("read", &self.shown, error))?;
        Ok(())
    }

    /// Fails unless the file was read to its end and is the same, under the same name, as when it was opened.
    pub fn unchanged(&self) -> Result<()> {
        let now = fs::fstat(&self.file).map_err(|error| fault("look at it", &self.shown, error))?;
        let flags = match self.links {
            LastLink::Followed => AtFlags::empty(),
            LastLink::Refused => AtFlags::SYMLINK_NOFOLLOW,
        };
        let changed = match fs::statat(&self.folder, &self.name, flags) {
            Err(Errno::NOENT) => "it was removed while it was read".to_owned(),
            Err(error) => return Err(fault("look at it", &self.shown, error)),
            Ok(named) if !metadata::same_file(&named, &now) => {
                "another file took its place while it was read".to_owned()
            }
            Ok(_) if metadata::size(&now) != self.size() => {
                let (before, after) = (self.size(), metadata::size(&now));
                format!("it changed from {before} to {after} bytes while it was read")
            }
            Ok(_) if metadata::modified(&now) != self.modified() => {
                "it was written to while it was read".to_owned()
            }
            // The modification time can be set back; the status change time cannot.
            Ok(_) if !metadata::is_untouched(&self.opened, &now) => {
                "it was written to while it was read, or its times or permissions were set"
                    .to_owned()
            }
            Ok(_) if self.position != self.size() => {
                format!("only {} of {} bytes were read", self.position, self.size())
            }
            Ok(_) if self.has_more() => {
                format!("it holds more than the {} bytes that it says it has", self.size())
            }
            Ok(_) => return Ok(()),
        };
        Err(Error::new(ErrorKind::Local, Origin::Here, changed)
            .at(self.shown.to_string_lossy())
            .with_name(TRANSFER_SOURCE_CHANGED))
    }
    /// Returns true if the file has bytes after its reported size. Files under `/proc` report 0 bytes: they must not
    /// arrive as empty ones.
    fn has_more(&self) -> bool {
        rustix::io::pread(&self.file, &mut [0], self.position).is_ok_and(|read| read > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::symlink};

    use super::*;

    fn read_all(reading: &mut SourceFile) -> Vec<u8> {
        let (mut all, mut piece) = (Vec::new(), [0; 4]);
        loop {
            match reading.read(&mut piece).unwrap() {
                0 => return all,
                read => all.extend_from_slice(&piece[..read]),
            }
        }
    }

    #[test]
    fn a_quiet_file_is_unchanged_once_it_was_read_to_its_end() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        std::fs::write(&path, "0123456789").unwrap();
        let mut reading = SourceFile::open(&path).unwrap();
        assert_eq!(reading.size(), 10);
        assert_eq!(reading.unchanged().unwrap_err().message, "only 0 of 10 bytes were read");
        assert_eq!(read_all(&mut reading), b"0123456789");
        reading.unchanged().unwrap();
        reading.skip_to(7).unwrap();
        assert_eq!(read_all(&mut reading), b"789");
        reading.unchanged().unwrap();
    }

    #[test]
    fn a_file_that_only_says_it_is_empty_is_not_sent_as_an_empty_one() {
        let mut reading = SourceFile::open("/proc/self/status").unwrap();
        assert_eq!(read_all(&mut reading), b"");
        let message = "it holds more than the 0 bytes that it says it has";
        assert_eq!(reading.unchanged().unwrap_err().message, message);
    }

    /// A change that is made to a file while it is read.
    type Meddling = fn(&Path);

    #[test]
    fn a_file_that_is_written_under_its_old_time_is_not_what_it_was() {
        let old = Timestamp::from_second(1_000_000_000).unwrap();
        let cases: [(&str, Meddling); 4] = [
            ("in place", |path| {
                let mut file = File::options().write(true).open(path).unwrap();
                file.write_all(b"x").unwrap();
            }),
            ("at its end", |path| {
                use std::os::unix::fs::FileExt;
                File::options().write(true).open(path).unwrap().write_at(b"x", 9).unwrap();
            }),
            ("cut and filled", |path| {
                let file = File::options().write(true).open(path).unwrap();
                file.set_len(0).unwrap();
                (&file).write_all(b"abcdefghij").unwrap();
            }),
            ("by another name", |path| {
                let other = path.with_extension("other");
                std::fs::hard_link(path, &other).unwrap();
                std::fs::write(other, "9876543210").unwrap();
            }),
        ];
        for (name, meddle) in cases {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("a");
            std::fs::write(&path, "0123456789").unwrap();
            let put_back = |path: &Path| {
                fs::futimens(File::open(path).unwrap(), &metadata::times(old)).unwrap();
            };
            put_back(&path);
            let mut reading = SourceFile::open(&path).unwrap();
            let before = reading.touched();
            assert_eq!(reading.read(&mut [0; 3]).unwrap(), 3);
            // The clock of the kernel advances in ticks.
            while SourceFile::open(&path).unwrap().touched() == before {
                meddle(&path);
                put_back(&path);
                std::thread::yield_now();
                std::fs::remove_file(path.with_extension("other")).ok();
            }
            read_all(&mut reading);
            assert_eq!(SourceFile::open(&path).unwrap().modified(), old, "{name}");
            let message = reading.unchanged().unwrap_err().message;
            assert!(message.starts_with("it was written to while it was read, or"), "{message}");
            assert!(reading.begin_anew().unwrap(), "{name}");
            assert_eq!(read_all(&mut reading).len(), 10);
            reading.unchanged().unwrap();
            assert!(!reading.begin_anew().unwrap(), "{name}");
        }
    }

    #[test]
    fn whatever_happens_to_the_file_while_it_is_read_is_seen() {
        let cases: [(&str, Meddling); 5] = [
            ("it changed from 10 to 13 bytes while it was read", |path| {
                File::options().append(true).open(path).unwrap().write_all(b"abc").unwrap();
            }),
            ("it changed from 10 to 4 bytes while it was read", |path| {
                File::options().write(true).open(path).unwrap().set_len(4).unwrap();
            }),
            ("it was written to while it was read", |path| {
                let mut file = File::options().write(true).open(path).unwrap();
                file.write_all(b"x").unwrap();
                // Writes within one tick of the kernel's clock have the same time; this simulates a longer delay.
                let later = Timestamp::from_second(2_000_000_000).unwrap();
                fs::futimens(&file, &metadata::times(later)).unwrap();
            }),
            ("it was removed while it was read", |path| std::fs::remove_file(path).unwrap()),
            ("another file took its place while it was read", |path| {
                std::fs::write(path.with_extension("new"), "9876543210").unwrap();
                std::fs::rename(path.with_extension("new"), path).unwrap();
            }),
        ];
        for (message, meddle) in cases {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("a");
            std::fs::write(&path, "0123456789").unwrap();
            let mut reading = SourceFile::open(&path).unwrap();
            assert_eq!(reading.read(&mut [0; 3]).unwrap(), 3);
            meddle(&path);
            assert!(read_all(&mut reading).len() <= 7, "{message}");
            assert_eq!(reading.unchanged().unwrap_err().message, message);
        }
    }

    #[test]
    fn a_link_is_read_when_the_user_named_it_and_refused_below_a_root() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("a"), "text").unwrap();
        symlink("a", scratch.path().join("link")).unwrap();
        let mut reading = SourceFile::open(scratch.path().join("link")).unwrap();
        assert_eq!(read_all(&mut reading), b"text");
        reading.unchanged().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        SourceFile::open_in(&root, "a").unwrap();
        let fault = SourceFile::open_in(&root, "link").unwrap_err();
        assert_eq!(fault.message, "cannot open: a link stands in the way, and it is not followed");
    }
}
