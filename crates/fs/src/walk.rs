//! A recursive walk over all files and directories below a root, without following links.

use std::{
    ffi::OsStr,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, Dir},
    io::Errno,
};

use super::{
    is_temporary,
    metadata::{self, LocalEntry, LocalKind},
    root_dir::RootDir,
};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
    limits::{DEPTH_MAX, ENTRIES_MAX},
};

/// The number of attempts to read a directory in which files vanish meanwhile.
const UNSETTLED_TRIES: usize = 3;

/// The result of a walk.
#[derive(Debug, Default)]
pub struct WalkResult {
    /// All files, directories, links and other entries, sorted by path.
    pub entries: Vec<LocalEntry>,
    /// Our temporary files, left by earlier runs.
    pub leftovers: Vec<PathBuf>,
    /// Links below a root that follows them which lead to no accepted file or directory; they are among the entries.
    pub strays: Vec<(PathBuf, Stray)>,
    /// Directories whose entries are not all known, and the reason. An entry that is missing below them may exist all
    /// the same.
    pub unread: Vec<(PathBuf, Error)>,
}

/// The reason why a link is not followed, although links are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// It leads out of the root.
    Out,
    /// It is dangling.
    Nowhere,
    /// It leads back to a directory that contains it, or to itself.
    Circle,
}

impl WalkResult {
    /// Returns true if the walk read every directory, so that anything not among the entries does not exist.
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }
}

/// Finds everything below `root`; fails only if stopped, or if the tree exceeds the limits.
pub fn walk(root: &RootDir, stop: &CancelToken) -> Result<WalkResult> {
    walk_where(root, stop, |_| true)
}

/// Finds everything below `root` that `keep` accepts. A directory that it refuses is not entered.
pub fn walk_where(
    root: &RootDir,
    stop: &CancelToken,
    mut keep: impl FnMut(&LocalEntry) -> bool,
) -> Result<WalkResult> {
    let mut found = WalkResult::default();
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let entries = match read_folder(root, &folder, stop) {
            Ok(entries) => entries,
            Err(fault) if stop.is_set() || fault.kind == ErrorKind::Guard => return Err(fault),
            Err(fault) => {
                found.unread.push((folder, fault));
                continue;
            }
        };
        for entry in entries {
            if entry.kind != LocalKind::Folder && entry.path.file_name().is_some_and(is_temporary) {
                found.leftovers.push(entry.path);
                continue;
            }
            let (entry, stray) = follow(root, entry)?;
            if !keep(&entry) {
                continue;
            }
            found.strays.extend(stray.map(|stray| (entry.path.clone(), stray)));
            let is_folder = entry.kind == LocalKind::Folder;
            if is_folder && depth + 1 < DEPTH_MAX {
                waiting.push((entry.path.clone(), depth + 1));
            } else if is_folder {
                found.unread.push((entry.path.clone(), too_deep(root, &entry.path)));
            }
            found.entries.push(entry);
        }
        if found.entries.len() > ENTRIES_MAX {
            return Err(too_many(root, &folder));
        }
    }
    found.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    found.leftovers.sort_unstable();
    found.unread.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Replaces a link by its target, or returns the reason why it is not followed.
fn follow(root: &RootDir, entry: LocalEntry) -> Result<(LocalEntry, Option<Stray>)> {
    if !root.follows() || entry.kind != LocalKind::Link {
        return Ok((entry, None));
    }
    let behind = match root.behind(&entry.path) {
        Ok(behind) => behind,
        Err(Errno::XDEV) => return Ok((entry, Some(Stray::Out))),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok((entry, Some(Stray::Nowhere))),
        Err(Errno::LOOP) => return Ok((entry, Some(Stray::Circle))),
        Err(error) => return Err(root.fault("follow the link", &entry.path, error)),
    };
    if metadata::kind(&behind) == LocalKind::Folder {
        for above in entry.path.ancestors().skip(1) {
            let above = root.behind(above).map_err(|error| root.fault("follow", above, error))?;
            if metadata::same_file(&above, &behind) {
                return Ok((entry, Some(Stray::Circle)));
            }
        }
    }
    Ok((LocalEntry::new(entry.path, &behind), None))
}

/// Reads the entries of one directory, in the order of the file system.
pub fn read_folder(root: &RootDir, relative: &Path, stop: &CancelToken) -> Result<Vec<LocalEntry>> {
    for _ in 0..UNSETTLED_TRIES {
        if let Some(entries) = read_once(root, relative, stop)? {
            return Ok(entries);
        }
    }
    // A file that vanished may have come back under a name that was already passed: the listing would be incomplete.
    let message = "files in this directory are renamed faster than it can be read";
    Err(Error::new(ErrorKind::Local, Origin::Here, message).at(shown(root, relative)))
}

/// Reads the directory once; returns `None` if an entry vanished between its name and its status.
fn read_once(
    root: &RootDir,
    relative: &Path,
    stop: &CancelToken,
) -> Result<Option<Vec<LocalEntry>>> {
    let fault = |error| root.fault("read the folder", relative, error);
    let folder = root.folder(relative)?;
    let mut entries = Vec::new();
    for name in Dir::read_from(&folder).map_err(fault)? {
        let name = name.map_err(fault)?;
        let name = OsStr::from_bytes(name.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        stop.check()?;
        match fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => entries.push(LocalEntry::new(relative.join(name), &status)),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(fault(error)),
        }
        if entries.len() > ENTRIES_MAX {
            return Err(too_many(root, relative));
        }
    }
    Ok(Some(entries))
}

fn too_many(root: &RootDir, relative: &Path) -> Error {
    let message = format!("more than {ENTRIES_MAX} files and folders");
    Error::new(ErrorKind::Guard, Origin::Here, message).at(shown(root, relative))
}

fn too_deep(root: &RootDir, relative: &Path) -> Error {
    let message = format!("more than {DEPTH_MAX} folders below one another");
    Error::new(ErrorKind::Local, Origin::Here, message).at(shown(root, relative))
}

fn shown(root: &RootDir, relative: &Path) -> String {
    root.path().join(relative).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::{
        fs::{CWD, Mode},
        thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
    };

    use super::*;
    use crate::SymlinkPolicy;

    fn paths(walk: &WalkResult) -> Vec<&str> {
        walk.entries.iter().map(|entry| entry.path.to_str().unwrap()).collect()
    }

    #[test]
    fn everything_is_found_sorted_and_links_are_links() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        std::fs::write(at("b/c/f"), "12345").unwrap();
        std::fs::write(at("b.txt"), "").unwrap();
        std::fs::write(at("b/.portolan-0123456789abcdef.part"), "half").unwrap();
        symlink("/", at("all")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();

        let found = walk(&root, &CancelToken::new()).unwrap();
        assert_eq!(paths(&found), ["all", "b", "b/c", "b/c/f", "b.txt", "loop"]);
        let kinds: Vec<_> = found.entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["link", "folder", "folder", "file", "file", "link"]);
        assert_eq!(found.leftovers, [Path::new("b/.portolan-0123456789abcdef.part")]);
        assert!(found.is_complete());

        let found =
            walk_where(&root, &CancelToken::new(), |entry| entry.path != Path::new("b")).unwrap();
        assert_eq!(paths(&found), ["all", "b.txt", "loop"]);
    }

    #[test]
    fn links_are_followed_where_that_is_asked_for_and_they_stay_inside() {
        let (scratch, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(at("real/deep")).unwrap();
        std::fs::write(at("real/deep/f"), "12345").unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        for (target, name) in [
            ("real/deep/f", "file"),
            ("real", "folder"),
            ("nothing", "nowhere"),
            ("itself", "itself"),
            ("..", "real/up"),
            (".", "here"),
            ("../file", "real/second"),
            ("/etc", "absolute"),
            ("../../..", "real/deep/out"),
        ] {
            symlink(target, at(name)).unwrap();
        }
        symlink(outside.path().join("secret"), at("secret")).unwrap();
        let root = RootDir::open_with(scratch.path(), SymlinkPolicy::Within).unwrap();
        let found = walk(&root, &CancelToken::new()).unwrap();
        let strays: Vec<_> =
            found.strays.iter().map(|(path, stray)| (path.to_str().unwrap(), *stray)).collect();
        let mut wanted = [
            ("absolute", Stray::Out),
            ("folder/deep/out", Stray::Out),
            ("folder/up", Stray::Circle),
            ("here", Stray::Circle),
            ("itself", Stray::Circle),
            ("nowhere", Stray::Nowhere),
            ("real/deep/out", Stray::Out),
            ("real/up", Stray::Circle),
            ("secret", Stray::Out),
        ];
        wanted.sort_unstable_by_key(|(path, _)| *path);
        let mut strays = strays;
        strays.sort_unstable_by_key(|(path, _)| *path);
        assert_eq!(strays, wanted);
        let files = found.entries.iter().filter(|entry| entry.kind == LocalKind::File);
        let files: Vec<_> = files.map(|entry| (entry.path.to_str().unwrap(), entry.size)).collect();
        let wanted = ["file", "folder/deep/f", "folder/second", "real/deep/f", "real/second"];
        assert_eq!(files, wanted.map(|path| (path, 5)));
        for path in wanted {
            let mut reading = crate::SourceFile::open_in(&root, path).unwrap();
            let mut bytes = [0; 8];
            assert_eq!(reading.read(&mut bytes).unwrap(), 5);
            reading.unchanged().unwrap();
        }
        for path in ["secret", "absolute/passwd", "real/deep/out"] {
            assert!(crate::SourceFile::open_in(&root, path).is_err(), "{path}");
        }
        assert!(
            walk(&RootDir::open(scratch.path()).unwrap(), &CancelToken::new())
                .unwrap()
                .strays
                .is_empty()
        );
    }

    #[test]
    fn ten_thousand_files_in_a_hundred_folders_are_all_found() {
        let scratch = tempfile::tempdir().unwrap();
        for folder in 0..100 {
            let folder = scratch.path().join(format!("{folder:02}"));
            std::fs::create_dir(&folder).unwrap();
            for file in 0..100 {
                std::fs::write(folder.join(format!("{file:02}")), "").unwrap();
            }
        }
        let found = walk(&RootDir::open(scratch.path()).unwrap(), &CancelToken::new()).unwrap();
        assert_eq!(found.entries.len(), 10_100);
        assert!(found.entries.is_sorted_by(|a, b| a.path < b.path));
    }

    #[test]
    fn a_tree_of_ten_thousand_levels_ends_at_the_limit_and_says_so() {
        let scratch = tempfile::tempdir().unwrap();
        let mut here = std::fs::File::open(scratch.path()).unwrap();
        for _ in 0..10_000 {
            fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            here = fs::openat(&here, "d", fs::OFlags::DIRECTORY, Mode::empty()).unwrap().into();
        }
        let found = walk(&RootDir::open(scratch.path()).unwrap(), &CancelToken::new()).unwrap();
        assert_eq!(found.entries.len(), DEPTH_MAX);
        assert_eq!(found.unread.len(), 1);
        assert_eq!(found.unread[0].1.message, "more than 256 folders below one another");

        // A recursive removal would need ten thousand open directories: the tree is dismantled from the top.
        let (top, next) = (scratch.path().join("d"), scratch.path().join("next"));
        while fs::renameat(CWD, top.join("d"), CWD, &next).is_ok() {
            std::fs::remove_dir(&top).unwrap();
            std::fs::rename(&next, &top).unwrap();
        }
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_told_and_the_rest_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("closed")).unwrap();
        std::fs::write(scratch.path().join("open"), "").unwrap();
        let closed = PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(scratch.path().join("closed"), closed).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();

        // Even root is refused once its thread has given up its capabilities.
        let found = std::thread::spawn(move || {
            let CapabilitySets { permitted, inheritable, .. } = capabilities(None).unwrap();
            let effective = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective, permitted, inheritable }).unwrap();
            walk(&root, &CancelToken::new()).unwrap()
        });
        let found = found.join().unwrap();
        assert_eq!(paths(&found), ["closed", "open"]);
        let [(path, fault)] = &found.unread[..] else { panic!("{:?}", found.unread) };
        assert_eq!(path, Path::new("closed"));
        assert_eq!(fault.message, "cannot open the folder: permission denied");
        assert!(!found.is_complete());
    }

    #[test]
    fn a_walk_ends_when_it_is_told_to() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("a"), "").unwrap();
        let stop = CancelToken::new();
        stop.set();
        let fault = walk(&RootDir::open(scratch.path()).unwrap(), &stop).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Interrupted);
    }
}
