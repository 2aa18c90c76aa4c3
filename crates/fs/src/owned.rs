//! Checks of who else can change a file, as sshd and cron make them before they trust one.
//!
//! A scheduler runs what its jobs file and scripts say, and writes into its state directory, for months and often as
//! root. All of these must therefore belong to us or to root, and no other user may write them or replace them
//! through a parent directory.
//!
//! A user who runs a script by hand has chosen it. A checkout that belongs to another user is normal in a CI
//! container, where one is root, and a umask of 0 makes files that all users may write: that deserves a warning, and
//! no more.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::OFlags,
    process::{getegid, geteuid},
};

use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// The first group number that is not reserved for the system (`SYS_GID_MAX` of login.defs): members of system groups
/// are administrators.
const SYSTEM_GROUPS: u32 = 1000;

/// The reason why other users can change a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    path: PathBuf,
    why: String,
    /// True if all users may write it.
    is_open: bool,
    is_foreign: bool,
}

impl Exposed {
    /// Returns the reason as a clause.
    pub fn words(&self) -> &str {
        &self.why
    }

    /// Returns the reason as a fault.
    pub fn fault(&self) -> Error {
        let fault = Error::new(ErrorKind::Local, Origin::Here, self.why.clone());
        fault.at(self.path.to_string_lossy())
    }

    /// Returns true if it belongs to another user and any user of the host, not only that one, could have written it.
    pub const fn is_anybodys(&self) -> bool {
        self.is_open && self.is_foreign
    }

    /// Returns true if all users may write it.
    pub const fn is_open(&self) -> bool {
        self.is_open
    }
}

/// The user and group of this process.
#[derive(Debug, Clone, Copy)]
struct Us {
    user: u32,
    group: u32,
}

impl Us {
    fn now() -> Self {
        Self { user: geteuid().as_raw(), group: getegid().as_raw() }
    }

    const fn trusts_user(self, user: u32) -> bool {
        user == self.user || user == 0
    }

    /// Returns true if the current user is the only member of `group`: our own group, which has our number where each
    /// user has one, or that of root, as which containers run any user.
    const fn is_alone_in(self, group: u32) -> bool {
        self.user != 0 && group == self.group && (group == self.user || group == 0)
    }
}

/// Returns the reason why others can change the file or directory at `path`, if there is one.
pub fn exposed(path: &Path) -> io::Result<Option<Exposed>> {
    Ok(judge(path, Rights::of(&fs::metadata(path)?), Us::now()))
}

/// Fails with `local` if others can change the file or directory at `path`, or replace it. A path that does not exist
/// yet is judged by its parent directories.
pub fn guard(path: &Path) -> Result<()> {
    let us = Us::now();
    let real = real(path).map_err(|error| Error::local("find", path, error))?;
    let cannot = |path: &Path, error| Error::local("look at", path, error);
    match fs::metadata(&real) {
        Ok(data) => {
            if let Some(exposed) = judge(&real, Rights::of(&data), us) {
                return Err(exposed.fault());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(&real, error)),
    }
    for folder in real.ancestors().skip(1) {
        let data = match fs::metadata(folder) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot(folder, error)),
        };
        if let Some(exposed) = judge_above(folder, Rights::of(&data), us) {
            return Err(exposed.fault());
        }
    }
    Ok(())
}

/// Resolves the links in the part of the path that exists.
fn real(path: &Path) -> io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    for above in whole.ancestors() {
        match above.canonicalize() {
            Ok(real) => {
                let rest = whole.strip_prefix(above).unwrap_or(Path::new(""));
                return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// The owner, group and permissions of a file or directory.
#[derive(Debug, Clone, Copy)]
struct Rights {
    user: u32,
    group: u32,
    mode: u32,
}

impl Rights {
    fn of(data: &Metadata) -> Self {
        Self { user: data.uid(), group: data.gid(), mode: data.mode() & 0o7777 }
    }
}

fn judge(path: &Path, Rights { user, group, mode }: Rights, us: Us) -> Option<Exposed> {
    let is_foreign = !us.trusts_user(user);
    let is_open = mode & 0o002 != 0;
    let why = if is_open {
        format!("everybody may write it (mode {mode:04o}): `chmod o-w` it")
    } else if is_foreign {
        format!("it belongs to another user ({user}), who can change it")
    } else if mode & 0o020 != 0 && !us.is_alone_in(group) {
        format!("others of its group ({group}) may write it (mode {mode:04o}): `chmod g-w` it")
    } else {
        return None;
    };
    Some(Exposed { path: path.to_owned(), why, is_open, is_foreign })
}

/// Returns the reason why others can replace entries of the directory `path`, if there is one. In a directory with
/// the sticky bit, such as /tmp, users cannot rename files of others.
fn judge_above(path: &Path, Rights { user, group, mode }: Rights, us: Us) -> Option<Exposed> {
    let is_sticky = mode & 0o1000 != 0;
    let is_foreign = !us.trusts_user(user);
    let is_open = mode & 0o002 != 0 && !is_sticky;
    let is_shared = mode & 0o020 != 0 && !is_sticky && group >= SYSTEM_GROUPS;
    let why = if is_foreign {
        format!("this folder belongs to another user ({user}), who can swap what is in it")
    } else if is_open {
        format!("everybody may swap what is in this folder (mode {mode:04o}): `chmod o-w` it")
    } else if is_shared && !us.is_alone_in(group) {
        format!(
            "others of its group ({group}) may swap what is in this folder (mode {mode:04o}): `chmod g-w` it"
        )
    } else {
        return None;
    };
    Some(Exposed { path: path.to_owned(), why, is_open, is_foreign })
}

/// Opens one of our own files with `options`, and creates it if they say so. A link is refused, and so is anything
/// that is not a regular file.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // NONBLOCK: does not wait for a pipe that another user put there.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options
        .mode(0o600)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)
        .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => strange("it is a link, and is not followed"),
            _ => error,
        })?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(strange("it is no file"));
    }
    Ok(file)
}

/// Fails if `path` is a link or not a regular file. For files that another library opens.
pub fn plain(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_symlink() => Err(strange("it is a link, and is not followed")),
        Ok(data) if !data.is_file() => Err(strange("it is no file")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn strange(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const ANNA: Us = Us { user: 1000, group: 1000 };
    const ROOT: Us = Us { user: 0, group: 0 };
    const IN_USERS: Us = Us { user: 1001, group: 100 };
    const IN_CONTAINER: Us = Us { user: 1_000_650_000, group: 0 };

    #[test]
    fn only_what_others_can_change_is_exposed() {
        for (us, user, group, mode, expected) in [
            (ANNA, 1000, 1000, 0o644, (false, false)),
            (ANNA, 1000, 1000, 0o664, (false, false)),
            (ANNA, 1000, 100, 0o664, (true, false)),
            (ANNA, 0, 0, 0o644, (false, false)),
            (ANNA, 1001, 1001, 0o600, (true, true)),
            (ANNA, 1000, 1000, 0o666, (true, true)),
            (ANNA, 0, 0, 0o1777, (true, false)),
            (ROOT, 0, 0, 0o600, (false, false)),
            (ROOT, 0, 0, 0o664, (true, false)),
            (ROOT, 0, 1000, 0o775, (true, true)),
            (ROOT, 1000, 1000, 0o600, (true, true)),
            (IN_USERS, 1001, 100, 0o664, (true, false)),
            (IN_CONTAINER, 0, 0, 0o775, (false, false)),
        ] {
            let (path, rights) = (Path::new("x"), Rights { user, group, mode });
            let found =
                (judge(path, rights, us).is_some(), judge_above(path, rights, us).is_some());
            assert_eq!(found, expected, "{us:?} {rights:?}");
        }
    }

    #[test]
    fn a_file_that_everybody_may_write_is_exposed_and_so_is_one_below_such_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (below, file) = (folder.path().join("below"), folder.path().join("below/file"));
        fs::create_dir(&below).unwrap();
        fs::write(&file, "").unwrap();
        let set =
            |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        set(&file, 0o600);
        set(&below, 0o700);
        guard(&file).unwrap();
        guard(&below.join("not/there/yet")).unwrap();
        for (mode, below_mode, words) in [
            (0o602, 0o700, "everybody may write it (mode 0602)"),
            (0o600, 0o777, "everybody may swap what is in this folder (mode 0777)"),
        ] {
            set(&file, mode);
            set(&below, below_mode);
            let fault = guard(&file).unwrap_err();
            assert!(fault.message.starts_with(words), "{fault}");
        }
        set(&file, 0o600);
        set(&below, 0o1777);
        guard(&file).unwrap();
        // The same through a link.
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        set(&below, 0o777);
        assert!(guard(&link).is_err());
    }

    #[test]
    fn a_file_of_ours_is_opened_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let all = || OpenOptions::new().append(true).create(true).clone();
        open(&at("new"), &mut all()).unwrap();
        assert_eq!(fs::metadata(at("new")).unwrap().mode() & 0o7777, 0o600);
        fs::write(at("victim"), "text").unwrap();
        symlink(at("victim"), at("link")).unwrap();
        symlink(at("gone"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let fifo = at("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        for name in ["link", "dangling", "folder", "fifo"] {
            assert!(open(&at(name), &mut all()).is_err(), "{name}");
            assert!(plain(&at(name)).is_err(), "{name}");
        }
        assert!(!at("gone").exists());
        plain(&at("new")).unwrap();
        plain(&at("nothing")).unwrap();
    }
}
