//! Names on the server: bytes that can never become a second command, and paths that can never leave their directory.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

pub use super::name_encoding::NameEncoding;
use portolan_core::{
    error::{Error, Result},
    limits::{COMMAND_BYTES_MAX, DEPTH_MAX},
    observe::visible::visible,
};

/// A path on a server, kept as the bytes it has there.
///
/// It never contains CR, LF or NUL, so that no name can end a command and begin another (security classes C2 and C8),
/// and never becomes a local path implicitly.
///
/// Local paths that are put [below](Self::below) it are converted to its encoding, which is not part of its identity.
#[derive(Clone)]
pub struct RemotePath(Vec<u8>, NameEncoding);

impl PartialEq for RemotePath {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for RemotePath {}

impl PartialOrd for RemotePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RemotePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl Hash for RemotePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl RemotePath {
    /// Returns the root, to which relative paths are resolved.
    pub fn root() -> Self {
        Self(b"/".to_vec(), NameEncoding::Same)
    }

    /// Parses a path from a script or a URL; fails with `invalid` on CR, LF, NUL, an empty path, or more than a command
    /// holds.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return Err(Error::invalid("a path on the server cannot be empty"));
        }
        if let Some(bad) = bytes.iter().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            let name = match bad {
                b'\r' => "a carriage return",
                b'\n' => "a line feed",
                _ => "a NUL",
            };
            let message = format!("a path on the server cannot hold {name}");
            return Err(Error::invalid(message).at(visible(bytes)));
        }
        if bytes.len() > COMMAND_BYTES_MAX - 16 {
            return Err(Error::invalid(format!("a path of {} bytes is too long", bytes.len())));
        }
        Ok(Self(bytes.to_vec(), NameEncoding::Same))
    }

    /// Returns the same path, with names below it in `encoding`.
    #[must_use]
    pub fn in_encoding(self, encoding: NameEncoding) -> Self {
        Self(self.0, encoding)
    }

    /// Returns the encoding of the names below it.
    pub const fn encoding(&self) -> NameEncoding {
        self.1
    }

    /// Returns the bytes, as they go into a command.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path of entry `name` of this directory, which must be a single path component.
    pub fn join(&self, name: &[u8]) -> Result<Self> {
        component(name)?;
        let mut path = self.0.clone();
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(Self::parse(path)?.in_encoding(self.1))
    }

    /// Returns the path of `path` below this directory, converted to its encoding.
    pub fn below(&self, path: &RelativePath) -> Result<Self> {
        let slash: &[u8] = if self.0.ends_with(b"/") { b"" } else { b"/" };
        let path = self.1.encode(path)?;
        Ok(Self::parse([&self.0, slash, &path].concat())?.in_encoding(self.1))
    }

    /// Returns `other` if it begins at the root, else `other` below this directory; `.` and `..` are resolved.
    pub fn resolve(&self, other: &Self) -> Result<Self> {
        let mut path = if other.0.starts_with(b"/") { Vec::new() } else { self.0.clone() };
        path.push(b'/');
        path.extend_from_slice(&other.0);
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        Ok(Self::parse([b"/", parts.join(&b'/').as_slice()].concat())?.in_encoding(self.1))
    }

    /// Returns the parent directory; the root is its own parent.
    #[must_use]
    pub fn parent(&self) -> Self {
        let end = self.trimmed().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        match self.0.get(..end) {
            Some(above) if !above.is_empty() => Self(above.to_vec(), self.1),
            _ if self.0.starts_with(b"/") => Self::root().in_encoding(self.1),
            _ => Self(b".".to_vec(), self.1),
        }
    }

    /// Returns the last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.trimmed().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Returns true if it is the root.
    pub fn is_root(&self) -> bool {
        self.trimmed().is_empty()
    }

    fn trimmed(&self) -> &[u8] {
        let end = self.0.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        self.0.get(..end).unwrap_or_default()
    }
}

/// A path below an unnamed directory: one or more components, none of which leads elsewhere.
///
/// External paths (from a state file, a saved plan, a database) are parsed into it before any other use, so that a base
/// can contain no `..`, no absolute path and no second command (security classes C1, C2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(Vec<u8>);

impl RelativePath {
    /// Parses a path; fails with `invalid` unless each of its components is a valid name in one directory.
    pub fn parse(path: impl AsRef<[u8]>) -> Result<Self> {
        let path = path.as_ref();
        let refused = |why: &str| Err(Error::invalid(why.to_owned()).at(visible(path)));
        if path.len() > COMMAND_BYTES_MAX - 16 {
            return refused("a path that is too long for a command was refused");
        }
        if path.split(|byte| *byte == b'/').count() > DEPTH_MAX + 1 {
            return refused("a path of too many folders was refused");
        }
        for name in path.split(|byte| *byte == b'/') {
            if let Err(error) = component(name) {
                return refused(&error.message);
            }
        }
        Ok(Self(path.to_vec()))
    }
}

/// Compares and hashes as the bytes do, since there is nothing else in it.
impl Borrow<[u8]> for RelativePath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for RelativePath {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", visible(&self.0))
    }
}

/// Fails unless `name` can be a single entry of a directory, locally and on the server (security class C1). To servers
/// on Windows a backslash is a slash, so that one followed by `..` would lead out as well.
pub fn component(name: &[u8]) -> Result<()> {
    let why = match name {
        b"" => "an empty name",
        b"." | b".." => "a name that means a folder above",
        _ if name.contains(&b'\\')
            && name.split(|byte| *byte == b'\\').any(|part| part == b"..") =>
        {
            "a name that means a folder above to a server on Windows"
        }
        _ if name.contains(&b'/') => "a name with a slash in it",
        _ if name.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) => {
            "a name with a line end or NUL in it"
        }
        _ => return Ok(()),
    };
    Err(Error::protocol(format!("{why} was refused")).at(visible(name)))
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(self.1.decode(&self.0).unwrap_or_else(|_| self.0.clone())))
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RemotePath {
        RemotePath::parse(text).unwrap()
    }

    #[test]
    fn a_name_that_would_be_a_second_command_is_refused() {
        for bad in ["a\r\nDELE b", "a\nb", "a\rb", "a\0b", ""] {
            assert!(RemotePath::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(RemotePath::parse(b"caf\xe9").unwrap().as_bytes(), b"caf\xe9");
    }

    #[test]
    fn an_entry_is_one_component_or_it_is_refused() {
        for bad in ["../x", "/etc/x", "a/b", "..", ".", "", "a\0b", "a\rb"] {
            assert!(path("/in").join(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for good in ["~", "-rf", "*", "file:", "|id", "a b", "...", "%2e%2e%2f"] {
            assert_eq!(path("/in").join(good.as_bytes()).unwrap().name(), good.as_bytes());
        }
    }

    #[test]
    fn a_relative_path_is_names_below_a_folder_or_it_is_refused() {
        let deep = vec!["d"; DEPTH_MAX + 2].join("/");
        for bad in [
            "",
            "/",
            "/etc/x",
            "a/",
            "a//b",
            "..",
            "../x",
            "a/../../x",
            "./a",
            "a/.",
            "a\r\nDELE b",
            "a\nb",
            "a\0",
            "..\\x",
            "a/..\\..\\x",
            "x\\..",
            &deep,
        ] {
            assert!(RelativePath::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b", "...", "a/..b/c..", "-rf", "back\\slash", "C:", "~"] {
            let path = RelativePath::parse(good).unwrap();
            assert_eq!(&*path, good.as_bytes());
            let whole = RemotePath::root().below(&path).unwrap();
            assert_eq!(whole.as_bytes(), format!("/{good}").as_bytes());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_become_a_path_that_leaves_its_folder(
            bytes in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::strategy::Just(b'.'), proptest::strategy::Just(b'/'),
                    proptest::strategy::Just(b'\\'), proptest::prelude::any::<u8>(),
                ],
                0..24,
            )
        ) {
            if let Ok(relative) = RelativePath::parse(&bytes) {
                let top = path("/in/here");
                let whole = top.below(&relative).unwrap();
                // Resolved as servers do it, the path is unchanged, and below the directory.
                proptest::prop_assert_eq!(path("/").resolve(&whole).unwrap(), whole.clone());
                let slashes: Vec<u8> =
                    bytes.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
                let windows = top.resolve(&RemotePath::parse([b"./", &slashes[..]].concat()).unwrap()).unwrap();
                proptest::prop_assert!(windows.as_bytes().starts_with(b"/in/here/") || windows == top);
                proptest::prop_assert!(!bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')));
            }
        }
    }

    #[test]
    fn names_below_a_path_are_in_its_encoding() {
        let top = path("/in").in_encoding(NameEncoding::Latin1);
        let whole = top.below(&RelativePath::parse("\u{e9}").unwrap()).unwrap();
        assert_eq!((whole.as_bytes(), whole.to_string()), (&b"/in/\xe9"[..], "/in/\u{e9}".into()));
        let joined = top.join(b"\xe9").unwrap();
        assert_eq!(
            (joined.to_string(), joined.parent().encoding()),
            ("/in/\u{e9}".into(), NameEncoding::Latin1)
        );
    }

    #[test]
    fn paths_resolve_part_by_part_and_never_above_the_root() {
        for (folder, other, whole) in [
            ("/a", "b", "/a/b"),
            ("/a", "/b", "/b"),
            ("/a/b", "../c/./d", "/a/c/d"),
            ("/", "../../x", "/x"),
            ("/a/", "//b//", "/b"),
            ("/a", "..", "/"),
        ] {
            assert_eq!(path(folder).resolve(&path(other)).unwrap(), path(whole));
        }
    }

    #[test]
    fn every_path_has_a_parent_and_a_name() {
        for (whole, parent, name) in [
            ("/a/b", "/a", "b"),
            ("/a", "/", "a"),
            ("/", "/", ""),
            ("a", ".", "a"),
            ("/a/b/", "/a", "b"),
        ] {
            assert_eq!((path(whole).parent(), path(whole).name()), (path(parent), name.as_bytes()));
        }
    }
}
