//! An open directory as the root of all access below it: no foreign name and no planted link leads out of it.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use jiff::Timestamp;
use rustix::{
    fs::{self, AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, Stat},
    io::Errno,
};

use super::{
    atomic_file::{create, temporary_name},
    metadata::{self, LocalEntry, LocalKind},
    owner_tag::OwnerTag,
    partial_file::{PartialFile, is_single_name},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result, codes::LOCAL_NO_DIRECTORY},
    limits::DEPTH_MAX,
};

/// The flags for opening a directory: to list it, and to flush it after a rename.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The flags for opening a file: without blocking, or a pipe would hold the program until another process writes into
/// it.
pub(super) const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open directory. Paths below it are relative to it; `..`, absolute paths and links on the path are refused, even
/// when directories are moved concurrently.
#[derive(Debug)]
pub struct RootDir {
    folder: OwnedFd,
    path: PathBuf,
    links: SymlinkPolicy,
    /// The owner tag of temporary files that begin below it, with the time that is put into their names.
    mark: Option<(OwnerTag, Timestamp)>,
}

/// The policy for links below a root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SymlinkPolicy {
    /// No link is followed.
    #[default]
    Refused,
    /// Links are followed for reading, as long as they stay below the root.
    Within,
}

/// The parent directory of a relative path, and the last name of the path.
pub(super) struct Spot<'a> {
    pub(super) folder: OwnedFd,
    pub(super) name: &'a OsStr,
}

impl RootDir {
    /// Opens the directory at `path`. Links in `path` itself are followed: the user named it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, SymlinkPolicy::Refused)
    }

    /// Opens the directory at `path` with the policy `links` for links below it.
    pub fn open_with(path: impl AsRef<Path>, links: SymlinkPolicy) -> Result<Self> {
        let path = path.as_ref();
        let folder = open_folder(path).map_err(|error| not_opened(path, error))?;
        Ok(Self { folder, path: path.to_owned(), links, mark: None })
    }

    /// Returns the same directory, with `mark` in the names of temporary files that begin below it.
    #[must_use]
    pub fn marked(self, mark: OwnerTag, now: Timestamp) -> Self {
        Self { mark: Some((mark, now)), ..self }
    }

    pub(super) const fn mark(&self) -> Option<&(OwnerTag, Timestamp)> {
        self.mark.as_ref()
    }

    /// Returns the path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the directory `relative` and its parents; does nothing if it exists.
    pub fn make_folder(&self, relative: impl AsRef<Path>) -> Result<()> {
        let relative = relative.as_ref();
        let steps = self.steps(relative)?;
        let made = self.descend(&steps, Missing::Make);
        made.map(drop).map_err(|error| self.fault("make the folder", relative, error))
    }

    /// Removes the file or link `relative`.
    pub fn remove_file(&self, relative: impl AsRef<Path>) -> Result<()> {
        self.remove(relative.as_ref(), AtFlags::empty())
    }

    /// Returns true if `relative` is a temporary file that no mirror owns, and whose process on this host is gone.
    pub fn is_abandoned(&self, relative: impl AsRef<Path>) -> bool {
        self.take_abandoned(relative.as_ref()).is_some()
    }

    /// Removes `relative` under the same condition; fails with `not_found` otherwise.
    pub fn remove_abandoned(&self, relative: impl AsRef<Path>) -> Result<()> {
        let relative = relative.as_ref();
        // While this lives, no process can take up the file.
        match self.take_abandoned(relative) {
            Some(_locked) => self.remove_file(relative),
            None => Err(self.fault("find", relative, Errno::NOENT)),
        }
    }

    fn take_abandoned(&self, relative: &Path) -> Option<PartialFile> {
        let name = relative.file_name().filter(|name| is_single_name(name))?;
        let spot = self.spot(relative, Missing::Fail).ok()?;
        PartialFile::find(&spot.folder, name.to_str()?)
    }

    /// Removes the empty directory `relative`.
    pub fn remove_folder(&self, relative: impl AsRef<Path>) -> Result<()> {
        self.remove(relative.as_ref(), AtFlags::REMOVEDIR)
    }

    /// Renames the file or directory `from` to `to`, creates directories for it, and fails if `to` exists already.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let source = self.spot(from, Missing::Fail)?;
        let target = self.spot(to, Missing::Make)?;
        rename_to_nothing(&source, &target).map_err(|error| self.not_renamed(from, to, error))
    }

    /// Converts an error of a rename, which fails across file systems.
    pub(super) fn not_renamed(&self, from: &Path, to: &Path, error: Errno) -> Error {
        let doing = format!("rename to `{}`", to.display());
        if error == Errno::XDEV {
            let message = format!("cannot {doing}: it is on another disk");
            return Error::new(ErrorKind::Local, Origin::Here, message).at(self.shown(from));
        }
        self.fault(&doing, from, error)
    }

    /// Opens the regular file `relative` for reading.
    pub fn open_file(&self, relative: impl AsRef<Path>) -> Result<File> {
        let relative = relative.as_ref();
        let spot = self.spot(relative, Missing::Fail)?;
        let file = fs::openat(&spot.folder, spot.name, FILE | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|error| self.fault("open", relative, error))?;
        regular(file.as_fd(), &self.path.join(relative))?;
        Ok(File::from(file))
    }

    /// Sets the modification time of the file or directory `relative`.
    pub fn set_modified(&self, relative: impl AsRef<Path>, modified: Timestamp) -> Result<()> {
        let relative = relative.as_ref();
        let spot = self.spot(relative, Missing::Fail)?;
        let times = metadata::times(modified);
        fs::utimensat(&spot.folder, spot.name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.fault("set its time", relative, error))
    }

    /// Returns the metadata of `relative`, without following a link there.
    pub fn metadata(&self, relative: impl AsRef<Path>) -> Result<LocalEntry> {
        let relative = relative.as_ref();
        let spot = self.spot(relative, Missing::Fail)?;
        let status = fs::statat(&spot.folder, spot.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.fault("look at it", relative, error))?;
        Ok(LocalEntry::new(relative.to_owned(), &status))
    }

    /// Opens the directory `relative`, which may be empty for the root itself.
    pub(super) fn folder(&self, relative: &Path) -> Result<OwnedFd> {
        let steps = self.steps(relative)?;
        self.descend(&steps, Missing::Fail)
            .map_err(|error| not_opened(&self.path.join(relative), error))
    }

    /// Opens the parent directory of `relative`.
    pub(super) fn spot<'a>(&self, relative: &'a Path, missing: Missing) -> Result<Spot<'a>> {
        let steps = self.steps(relative)?;
        let Some((name, above)) = steps.split_last() else {
            let message = "this is the folder itself, not something in it";
            return Err(
                Error::new(ErrorKind::Invalid, Origin::Here, message).at(self.shown(relative))
            );
        };
        let folder = self
            .descend(above, missing)
            .map_err(|error| self.fault("reach its folder", relative, error))?;
        Ok(Spot { folder, name })
    }

    /// Converts an error that happened at `relative`.
    pub(super) fn fault(&self, doing: &str, relative: &Path, error: Errno) -> Error {
        fault(doing, &self.path.join(relative), error)
    }

    fn remove(&self, relative: &Path, flags: AtFlags) -> Result<()> {
        let spot = self.spot(relative, Missing::Fail)?;
        fs::unlinkat(&spot.folder, spot.name, flags)
            .map_err(|error| self.fault("remove", relative, error))
    }

    fn shown(&self, relative: &Path) -> String {
        self.path.join(relative).to_string_lossy().into_owned()
    }

    /// Splits `relative` into its names; fails if one of them leads out of the root.
    fn steps<'a>(&self, relative: &'a Path) -> Result<Vec<&'a OsStr>> {
        let refuse = |message: &str| {
            Err(Error::new(ErrorKind::Invalid, Origin::Here, message)
                .at(relative.to_string_lossy()))
        };
        let mut steps = Vec::new();
        for component in relative.components() {
            match component {
                Component::Normal(name) => steps.push(name),
                Component::CurDir => {}
                _ => return refuse(&format!("this path leads out of `{}`", self.path.display())),
            }
        }
        if steps.len() > DEPTH_MAX {
            return refuse(&format!("more than {DEPTH_MAX} folders below one another"));
        }
        Ok(steps)
    }

    fn descend(&self, steps: &[&OsStr], missing: Missing) -> rustix::io::Result<OwnedFd> {
        if steps.is_empty() {
            return fs::openat(&self.folder, ".", FOLDER, Mode::empty());
        }
        let path: PathBuf = steps.iter().collect();
        match fs::openat2(&self.folder, &path, FOLDER, Mode::empty(), self.within()) {
            // Old kernels and some sandboxes lack the call, and one call takes 4,096 bytes of path.
            Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => self.climb(steps, missing),
            Err(Errno::NOENT) if missing == Missing::Make => self.climb(steps, missing),
            answer => answer,
        }
    }

    /// Returns the flags with which the kernel resolves paths below it.
    const fn within(&self) -> ResolveFlags {
        match self.links {
            SymlinkPolicy::Refused => ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS),
            SymlinkPolicy::Within => ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS),
        }
    }

    /// Returns true if links below it are followed.
    pub(super) fn follows(&self) -> bool {
        self.links == SymlinkPolicy::Within
    }

    /// Opens the file `relative` for reading, through links if they are followed.
    pub(super) fn open_within(&self, relative: &Path) -> rustix::io::Result<OwnedFd> {
        fs::openat2(&self.folder, relative, FILE, Mode::empty(), self.within())
    }

    /// Returns the status of `relative`, following links that stay below the root.
    pub(super) fn behind(&self, relative: &Path) -> rustix::io::Result<Stat> {
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let found = fs::openat2(&self.folder, relative, flags, Mode::empty(), self.within())?;
        fs::fstat(found)
    }

    /// Opens the directory one path component at a time, which works on every kernel.
    pub(super) fn climb(&self, steps: &[&OsStr], missing: Missing) -> rustix::io::Result<OwnedFd> {
        let mut here = fs::openat(&self.folder, ".", FOLDER, Mode::empty())?;
        for step in steps {
            here = match step_into(here.as_fd(), step) {
                Err(Errno::NOENT) if missing == Missing::Make => {
                    match fs::mkdirat(&here, *step, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => step_into(here.as_fd(), step)?,
                        Err(error) => return Err(error),
                    }
                }
                answer => answer?,
            };
        }
        Ok(here)
    }
}

/// The kinds of different names that a file system treats as equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folds {
    /// True if names that differ only in case are equal.
    pub case: bool,
    /// True if names that differ only in Unicode normalization are equal.
    pub form: bool,
}

impl Folds {
    /// Detects them with a temporary file in `folder`, or in the nearest parent that exists.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut there = folder;
        let held = loop {
            match open_folder(there) {
                Ok(held) => break held,
                Err(Errno::NOENT) if there.parent().is_some() => {
                    there = there.parent().unwrap_or(Path::new("."));
                }
                Err(error) => return Err(not_opened(there, error)),
            }
        };
        // In composed form (NFC); the other names consist of the same letters.
        let name = temporary_name().replacen('-', "-\u{e9}", 1);
        let made = create(held.as_fd(), &name);
        made.map_err(|error| fault("make a file in it", there, error))?;
        let is_there = |name: &str| fs::statat(&held, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let folds = Self {
            case: is_there(&name.to_ascii_uppercase()),
            form: is_there(&name.replace('\u{e9}', "e\u{301}")),
        };
        fs::unlinkat(&held, &name, AtFlags::empty())
            .map_err(|error| fault("remove a file that was made in it", there, error))?;
        Ok(folds)
    }
}

/// Returns the bytes that a user may still write to the file system that `path` is on, or will be.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let mut there = path;
    loop {
        match fs::statvfs(if there.as_os_str().is_empty() { Path::new(".") } else { there }) {
            Ok(status) => return Ok(status.f_bavail.saturating_mul(status.f_frsize)),
            Err(Errno::NOENT) => match there.parent() {
                Some(above) => there = above,
                None => return Err(fault("look at its disk", path, Errno::NOENT)),
            },
            Err(error) => return Err(fault("look at its disk", path, error)),
        }
    }
}

/// The policy for missing directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Fail,
    Make,
}

/// Opens a directory by a path that the user wrote.
pub(super) fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    fs::openat(CWD, path, FOLDER, Mode::empty())
}

/// Opens a directory only to reach a name in it: it need not be readable, for its permissions or in a sandbox.
pub(super) fn reach_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(CWD, path, flags, Mode::empty())
}

/// Fails unless `file` is a regular file, and returns its status.
pub(super) fn regular(file: BorrowedFd<'_>, shown: &Path) -> Result<Stat> {
    let status = fs::fstat(file).map_err(|error| fault("look at it", shown, error))?;
    let message = match metadata::kind(&status) {
        LocalKind::File => return Ok(status),
        LocalKind::Folder => "is a folder, not a file",
        _ => "is not a regular file",
    };
    Err(Error::new(ErrorKind::Local, Origin::Here, message).at(shown.to_string_lossy()))
}

/// Converts an error at a local path; the message says if a link on the path caused it.
pub(super) fn fault(doing: &str, path: &Path, error: Errno) -> Error {
    let error_here = io::Error::from(error);
    if error == Errno::LOOP || error == Errno::XDEV {
        let message = format!("cannot {doing}: a link stands in the way, and it is not followed");
        return Error::new(ErrorKind::Local, Origin::Here, message)
            .at(path.to_string_lossy())
            .with_source(error_here);
    }
    Error::local(doing, path, error_here)
}

/// Returns the error of a directory that cannot be opened.
pub(super) fn not_opened(path: &Path, error: Errno) -> Error {
    let fault = fault("open the folder", path, error);
    if error == Errno::NOENT { fault.with_name(LOCAL_NO_DIRECTORY) } else { fault }
}

fn step_into(folder: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let answer = fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
    if answer.as_ref().is_err_and(|error| *error == Errno::NOTDIR)
        && let Ok(status) = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        && metadata::kind(&status) == LocalKind::Link
    {
        return Err(Errno::LOOP);
    }
    answer
}

pub(super) fn rename_to_nothing(source: &Spot<'_>, target: &Spot<'_>) -> rustix::io::Result<()> {
    let (from, to) = (source.name, target.name);
    match fs::renameat_with(&source.folder, from, &target.folder, to, RenameFlags::NOREPLACE) {
        // Some network file systems do not support the flag; then a check before the rename must do.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match fs::statat(&target.folder, to, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => fs::renameat(&source.folder, from, &target.folder, to),
                Err(error) => Err(error),
                Ok(_) => Err(Errno::EXIST),
            }
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_listed_renamed_and_removed_below_the_root() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        root.make_folder("a/b/c").unwrap();
        root.make_folder("a/b/c").unwrap();
        std::fs::write(scratch.path().join("a/b/f"), "text").unwrap();
        root.set_modified("a/b/f", Timestamp::from_second(86_400).unwrap()).unwrap();

        let entry = root.metadata("a/b/f").unwrap();
        assert_eq!((entry.kind, entry.size), (LocalKind::File, 4));
        assert_eq!(entry.modified.as_second(), 86_400);
        assert_eq!(io::read_to_string(root.open_file("a/b/f").unwrap()).unwrap(), "text");

        root.rename("a/b/f", "trash/today/f").unwrap();
        std::fs::write(scratch.path().join("a/b/f"), "newer").unwrap();
        assert!(root.rename("a/b/f", "trash/today/f").is_err());
        root.remove_file("trash/today/f").unwrap();
        root.remove_folder("a/b/c").unwrap();
        assert_eq!(root.metadata("a/b/c").unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_path_that_does_not_lead_down_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        for path in ["..", "a/../../b", "/etc/passwd", ""] {
            assert_eq!(root.open_file(path).unwrap_err().kind, ErrorKind::Invalid, "{path}");
        }
        let deep: PathBuf = std::iter::repeat_n("d", DEPTH_MAX + 1).collect();
        assert_eq!(root.make_folder(deep).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn a_pipe_is_refused_and_does_not_hold_the_program() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        fs::mknodat(CWD, scratch.path().join("p"), fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let fault = root.open_file("p").unwrap_err();
        assert_eq!(fault.message, "is not a regular file");
    }

    #[test]
    fn folders_whose_path_is_longer_than_one_call_takes_are_reached() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let long: PathBuf = std::iter::repeat_n("n".repeat(200), 40).collect();
        root.make_folder(&long).unwrap();
        assert_eq!(root.metadata(&long).unwrap().kind, LocalKind::Folder);
    }
}
