//! Links that the system maintains: to devices, and to the open files of a process.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, PROC_SUPER_MAGIC};

/// The maximum number of links followed in a row; Linux has the same limit.
const LINKS_FOLLOWED_MAX: usize = 40;

/// Returns true if `name` in `folder` is a link in `/dev`, or leads to an open file of a process by way of `/proc`.
/// Standard output may be a regular file at the moment; a user who writes to `/dev/stdout` means the link all the
/// same.
pub(super) fn is_link_of_the_system(folder: BorrowedFd<'_>, name: &OsStr) -> bool {
    if is_dev(folder) {
        return true;
    }
    let Ok(mut folder) = folder.try_clone_to_owned() else { return false };
    let mut name = name.to_owned();
    for _ in 0..LINKS_FOLLOWED_MAX {
        let found = fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW);
        let is_link =
            found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
        if !is_link {
            return false;
        }
        if fs::fstatfs(&folder).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC) {
            return true;
        }
        let Some((above, next)) = target(folder.as_fd(), &name) else { return false };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::openat(&folder, &above, flags, Mode::empty()) {
            Ok(opened) => (folder, name) = (opened, next),
            Err(_) => return false,
        }
    }
    false
}

/// Reads a link and returns its target: the directory, relative to that of the link, and the name in it.
fn target(folder: BorrowedFd<'_>, name: &OsStr) -> Option<(PathBuf, OsString)> {
    let path = fs::readlinkat(folder, name, Vec::new()).ok()?;
    let path = PathBuf::from(OsString::from_vec(path.into_bytes()));
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    Some((above.unwrap_or(Path::new(".")).to_owned(), path.file_name()?.to_owned()))
}

fn is_dev(folder: BorrowedFd<'_>) -> bool {
    let (Ok(this), Ok(dev)) = (fs::fstat(folder), fs::stat("/dev")) else { return false };
    (this.st_dev, this.st_ino) == (dev.st_dev, dev.st_ino)
}
