//! Copies of directories for a rehearsal, and the changes that the rehearsal makes in them.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, Metadata},
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use super::files::sha256;
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{DEPTH_MAX, ENTRIES_MAX},
    observe::visible::visible,
};

/// The contents of a copy, and the entries that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// The number of regular files.
    pub files: u64,
    /// The number of directories below the first.
    pub folders: u64,
    /// The number of links that stay inside the tree.
    pub links: u64,
    /// The number of bytes in all files.
    pub bytes: u64,
    /// The paths, relative to the first directory, of entries left out: links that lead out, pipes, sockets, devices.
    pub skipped: Vec<PathBuf>,
}

/// Copies the contents of `from` into the directory `to`, with times and permissions.
///
/// Follows no link; a link is copied if it stays inside, and otherwise left out. Fails with `guard` if there are more
/// than `bytes_max` bytes, with `local` if something cannot be read or written.
pub fn copy_tree(from: &Path, to: &Path, bytes_max: u64) -> Result<Copied> {
    let inside = fs::canonicalize(to).map_err(|error| Error::local("copy to", to, error))?;
    let source = fs::canonicalize(from).map_err(|error| Error::local("copy", from, error))?;
    if inside.starts_with(&source) {
        return Err(
            Error::invalid("a folder cannot be copied into itself").at(to.to_string_lossy())
        );
    }
    let mut copied = Copied::default();
    // Times of directories are set last: adding an entry to a directory changes its time.
    let mut times = Vec::new();
    for found in walk(&source)? {
        let (source, target) = (source.join(&found.path), inside.join(&found.path));
        let cannot = |error| Error::local("copy", &source, error);
        if found.about.is_dir() {
            fs::create_dir(&target).map_err(cannot)?;
            copied.folders += 1;
            times.push((target, found.about));
        } else if found.about.is_file() {
            copied.bytes += found.about.len();
            if copied.bytes > bytes_max {
                return Err(too_much(from, bytes_max));
            }
            fs::copy(&source, &target)
                .and_then(|_| stamp(&target, &found.about))
                .map_err(cannot)?;
            copied.files += 1;
        } else if let Some(link) = found.link_inside(&source) {
            std::os::unix::fs::symlink(link, &target).map_err(cannot)?;
            copied.links += 1;
        } else {
            copied.skipped.push(found.path);
        }
    }
    for (folder, about) in times.iter().rev() {
        let done =
            fs::set_permissions(folder, about.permissions()).and_then(|()| stamp(folder, about));
        done.map_err(|error| Error::local("copy", folder, error))?;
    }
    Ok(copied)
}

/// The contents of a directory at one moment; empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, SnapshotNode>);

/// An entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SnapshotNode {
    Folder,
    File { size: u64, hash: String },
    Link(PathBuf),
    Other,
}

impl Snapshot {
    /// Reads everything below `root`, following no link.
    pub fn of(root: &Path) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        for found in walk(root)? {
            let path = root.join(&found.path);
            let node = SnapshotNode::read(&path, &found.about);
            nodes.insert(found.path, node.map_err(|error| Error::local("read", &path, error))?);
        }
        Ok(Self(nodes))
    }

    /// Returns the changes between this and a later snapshot, by path. A file is unchanged if its size and hash are.
    pub fn changes_to(&self, after: &Self) -> Vec<TreeChange> {
        let mut changes = Vec::new();
        for (path, node) in &self.0 {
            match after.0.get(path) {
                None => changes.push(node.change(What::Removed, path)),
                Some(now) if now != node => changes.push(now.change(What::Changed, path)),
                Some(_) => {}
            }
        }
        let new = after.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        changes.extend(new.map(|(path, node)| node.change(What::Added, path)));
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        changes
    }
}

impl SnapshotNode {
    fn read(path: &Path, about: &Metadata) -> io::Result<Self> {
        if about.is_dir() {
            Ok(Self::Folder)
        } else if about.is_symlink() {
            fs::read_link(path).map(Self::Link)
        } else if about.is_file() {
            let (size, hash) = sha256(path)?;
            Ok(Self::File { size, hash })
        } else {
            Ok(Self::Other)
        }
    }

    fn change(&self, what: What, path: &Path) -> TreeChange {
        let size = match self {
            Self::File { size, .. } => Some(*size),
            _ => None,
        };
        TreeChange { what, path: path.to_owned(), size, folder: *self == Self::Folder }
    }
}

/// A change of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// The kind of change.
    pub what: What,
    /// The path, relative to the directory of the snapshot.
    pub path: PathBuf,
    /// The size of the file in bytes, now or when it was removed; `None` for directories and links.
    pub size: Option<u64>,
    /// True if it is a directory, or was one.
    pub folder: bool,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The path is new.
    Added,
    /// The content differs.
    Changed,
    /// The path is gone.
    Removed,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        })
    }
}

impl fmt::Display for TreeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.folder { "/" } else { "" };
        write!(f, "{:<7}  {}{slash}", self.what, visible(self.path.as_os_str().as_bytes()))?;
        self.size.map_or(Ok(()), |size| write!(f, "  {size} bytes"))
    }
}

/// An entry found below a directory.
struct FoundPath {
    /// The path relative to that directory.
    path: PathBuf,
    about: Metadata,
}

impl FoundPath {
    /// Returns the target of a relative link that cannot climb above the first directory.
    fn link_inside(&self, source: &Path) -> Option<PathBuf> {
        let link = fs::read_link(source).ok()?;
        let mut depth = self.path.components().count() - 1;
        for component in link.components() {
            match component {
                Component::Normal(_) => depth += 1,
                Component::ParentDir => depth = depth.checked_sub(1)?,
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        Some(link)
    }
}

/// Returns everything below `root`, directories before their contents; links are not followed.
fn walk(root: &Path) -> Result<Vec<FoundPath>> {
    let mut found: Vec<FoundPath> = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let place = root.join(&folder);
        let cannot = |error| Error::local("read", &place, error);
        for entry in fs::read_dir(&place).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let about = match entry.metadata() {
                Ok(about) => about,
                // It was removed in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(cannot(error)),
            };
            let path = folder.join(entry.file_name());
            if about.is_dir() {
                folders.push((path.clone(), depth + 1));
            }
            found.push(FoundPath { path, about });
        }
        if found.len() > ENTRIES_MAX || depth > DEPTH_MAX {
            let message = format!("more than {ENTRIES_MAX} entries or {DEPTH_MAX} levels");
            return Err(
                Error::new(ErrorKind::Guard, Origin::Here, message).at(place.to_string_lossy())
            );
        }
    }
    Ok(found)
}

fn stamp(path: &Path, about: &Metadata) -> io::Result<()> {
    File::open(path)?.set_modified(about.modified()?)
}

fn too_much(from: &Path, bytes_max: u64) -> Error {
    let message = format!("more than {bytes_max} bytes, too much for a rehearsal");
    Error::new(ErrorKind::Guard, Origin::Here, message).at(from.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_copy_keeps_files_and_leaves_out_links_that_lead_out() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (source, target) = (from.path(), to.path());
        fs::create_dir(source.join("in")).unwrap();
        fs::write(source.join("in/a"), "hello").unwrap();
        symlink("in/a", source.join("good")).unwrap();
        symlink("../good", source.join("in/up")).unwrap();
        symlink("../outside", source.join("bad")).unwrap();
        symlink("/etc/passwd", source.join("worse")).unwrap();
        let mut copied = copy_tree(source, target, 5).unwrap();
        copied.skipped.sort();
        let skipped = vec![PathBuf::from("bad"), PathBuf::from("worse")];
        assert_eq!(copied, Copied { files: 1, folders: 1, links: 2, bytes: 5, skipped });
        assert_eq!(fs::read(target.join("in/up")).unwrap(), b"hello");
        let time = |root: &Path| fs::metadata(root.join("in/a")).unwrap().modified().unwrap();
        assert_eq!(time(source), time(target));
    }

    #[test]
    fn a_copy_that_would_be_too_big_or_endless_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "hello").unwrap();
        let to = tempfile::tempdir().unwrap();
        assert_eq!(copy_tree(folder.path(), to.path(), 4).unwrap_err().kind, ErrorKind::Guard);
        let inside = folder.path().join("copy");
        fs::create_dir(&inside).unwrap();
        assert_eq!(copy_tree(folder.path(), &inside, 100).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn changes_are_what_differs_between_two_moments() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["same", "gone", "other"] {
            fs::write(root.join(name), "12345").unwrap();
        }
        let before = Snapshot::of(root).unwrap();
        assert_eq!(before.changes_to(&before), []);
        fs::remove_file(root.join("gone")).unwrap();
        fs::write(root.join("other"), "54321").unwrap();
        fs::create_dir(root.join("new")).unwrap();
        fs::write(root.join("new/x"), "1").unwrap();
        let changes = before.changes_to(&Snapshot::of(root).unwrap());
        let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "removed  gone  5 bytes",
                "added    new/",
                "added    new/x  1 bytes",
                "changed  other  5 bytes"
            ]
        );
    }
}
