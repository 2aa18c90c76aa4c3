//! The served directory, and paths that cannot leave it.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{naming::Naming, reply::ServerReply};
use portolan_core::error::{Error, Result};

/// A path as the client sees it: relative to the served root, without `.`, `..` and double slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ServedPath(Vec<Vec<u8>>);

impl ServedPath {
    /// Returns the served root.
    pub(super) const fn root() -> Self {
        Self(Vec::new())
    }

    /// Resolves `path` relative to this directory. A `..` at the root stays there.
    #[must_use]
    pub(super) fn join(&self, path: &[u8]) -> Self {
        let mut parts = if path.starts_with(b"/") { Vec::new() } else { self.0.clone() };
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                _ => parts.push(part.to_vec()),
            }
        }
        Self(parts)
    }

    /// Returns the parent directory.
    #[must_use]
    pub(super) fn parent(&self) -> Self {
        self.join(b"..")
    }

    /// Returns the last component, which is empty for the root.
    pub(super) fn name(&self) -> &[u8] {
        self.0.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the entry of this name in this folder.
    #[must_use]
    pub(super) fn child(&self, name: &[u8]) -> Self {
        let mut parts = self.0.clone();
        parts.push(name.to_vec());
        Self(parts)
    }

    /// Returns the components of the path, from the root.
    pub(super) fn names(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Returns true if it is `other` or lies below it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Returns the path with its leading slash.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [b"/", self.0.join(&b'/').as_slice()].concat()
    }

    /// Returns the path in quotation marks, with those inside doubled (RFC 959, appendix II).
    pub(super) fn quoted(&self) -> Vec<u8> {
        let mut text = vec![b'"'];
        for byte in self.bytes() {
            if byte == b'"' {
                text.push(b'"');
            }
            text.push(byte);
        }
        text.push(b'"');
        text
    }
}

/// The served directory.
#[derive(Debug, Clone)]
pub(super) struct ServedRoot {
    folder: PathBuf,
    /// The ways in which names are treated, to be applied in this order.
    naming: Vec<Naming>,
}

impl ServedRoot {
    /// Opens a local directory, in which names are treated according to `naming`.
    pub(super) fn open(folder: &Path, naming: Vec<Naming>) -> Result<Self> {
        let path =
            fs::canonicalize(folder).map_err(|error| Error::local("serve", folder, error))?;
        if path.is_dir() {
            return Ok(Self { folder: path, naming });
        }
        Err(Error::local("serve", folder, io::ErrorKind::NotADirectory.into()))
    }

    /// Returns the local path of the entry itself, which may be a link or not exist; its directory must be inside the
    /// root.
    pub(super) fn entry(&self, place: &ServedPath) -> io::Result<PathBuf> {
        if place.0.is_empty() {
            return Ok(self.folder.clone());
        }
        let folder = self.inside(&self.plain(&place.parent())?)?;
        self.entry_in(&folder, place.name())
    }

    /// Returns the local path with links followed; links out of the root are refused.
    pub(super) fn target(&self, place: &ServedPath) -> io::Result<PathBuf> {
        self.inside(&self.plain(place)?)
    }

    /// Returns the local path to which a file can be written: the target if it exists, else the entry unless it is a
    /// dangling link.
    pub(super) fn writable(&self, place: &ServedPath) -> io::Result<PathBuf> {
        let entry = self.entry(place)?;
        match fs::symlink_metadata(&entry) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(entry),
            Err(error) => Err(error),
            Ok(_) => match self.target(place)? {
                path if path.is_file() => Ok(path),
                _ => Err(io::ErrorKind::PermissionDenied.into()),
            },
        }
    }

    /// Returns the reply to a name that the server does not accept.
    pub(super) fn refusal(&self, name: &[u8]) -> Option<ServerReply> {
        self.naming.iter().find_map(|naming| naming.refusal(name))
    }

    /// Returns true if an existing entry keeps its spelling when it is renamed to an equivalent name.
    pub(super) fn keeps_spelling(&self) -> bool {
        self.naming.iter().any(|naming| naming.keeps_spelling())
    }

    /// Returns the name under which a new entry `name` is stored.
    pub(super) fn stored(&self, name: &[u8]) -> Vec<u8> {
        self.naming.iter().fold(name.to_vec(), |name, naming| naming.stored(&name))
    }

    fn plain(&self, place: &ServedPath) -> io::Result<PathBuf> {
        place.0.iter().try_fold(self.folder.clone(), |folder, name| self.entry_in(&folder, name))
    }

    /// Returns the entry of `folder` that has this name, or the one that it would get.
    fn entry_in(&self, folder: &Path, name: &[u8]) -> io::Result<PathBuf> {
        let stored = self.stored(name);
        if stored.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let plain = folder.join(OsStr::from_bytes(&stored));
        if self.naming.is_empty() || fs::symlink_metadata(&plain).is_ok() {
            return Ok(plain);
        }
        let key = self.key(&stored);
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut same = entries.filter(|entry| self.key(entry.file_name().as_bytes()) == key);
        Ok(same.next().map_or(plain, |entry| entry.path()))
    }

    fn key(&self, name: &[u8]) -> Vec<u8> {
        self.naming.iter().fold(name.to_vec(), |name, naming| naming.key(&name))
    }

    fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let real = fs::canonicalize(path)?;
        if real.starts_with(&self.folder) {
            return Ok(real);
        }
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_do_not_climb_above_the_root() {
        let folder = ServedPath::root().join(b"/a/b");
        for (path, whole) in [
            (&b"c"[..], &b"/a/b/c"[..]),
            (b"../../../x", b"/x"),
            (b"//y/./z/", b"/y/z"),
            (b"", b"/a/b"),
        ] {
            assert_eq!(folder.join(path).bytes(), whole);
        }
        assert_eq!(ServedPath::root().join(b"a\"b").quoted(), b"\"/a\"\"b\"");
    }

    #[test]
    fn links_that_lead_out_are_refused() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("out")).unwrap();
        std::os::unix::fs::symlink("/nowhere/new", inside.path().join("dead")).unwrap();
        let root = ServedRoot::open(inside.path(), Vec::new()).unwrap();
        let secret = ServedPath::root().join(b"out/secret");
        assert!(root.target(&secret).is_err());
        assert!(root.entry(&secret).is_err());
        assert!(root.writable(&ServedPath::root().join(b"dead")).is_err());
        assert!(
            root.entry(&ServedPath::root().join(b"out")).is_ok(),
            "the link itself can be deleted"
        );
        assert!(root.writable(&ServedPath::root().join(b"new")).is_ok());
    }
}
