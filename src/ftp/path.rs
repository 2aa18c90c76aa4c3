//! Names on the server: bytes that can never become a second command.

use std::fmt;

use crate::{
    fault::{Fault, Outcome},
    limits::COMMAND_BYTES_MAX,
    observe::visible::visible,
};

/// A path on a server, kept as the bytes it has there.
///
/// Never holds CR, LF or NUL, so that no name can end a command and begin another (security classes C2 and C8),
/// and converts into no local path by itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemotePath(Vec<u8>);

impl RemotePath {
    /// The folder from which relative paths count.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// A path as a script or a URL names it; fails with `invalid` on CR, LF, NUL, nothing, or more than a command holds.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Outcome<Self> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return Err(Fault::invalid("a path on the server cannot be empty"));
        }
        if let Some(bad) = bytes.iter().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            let name = match bad {
                b'\r' => "a carriage return",
                b'\n' => "a line feed",
                _ => "a NUL",
            };
            let message = format!("a path on the server cannot hold {name}");
            return Err(Fault::invalid(message).at(visible(bytes)));
        }
        if bytes.len() > COMMAND_BYTES_MAX - 16 {
            return Err(Fault::invalid(format!("a path of {} bytes is too long", bytes.len())));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes, as they go into a command.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// This folder's entry `name`, which must be one path component.
    pub fn join(&self, name: &[u8]) -> Outcome<Self> {
        component(name)?;
        let mut path = self.0.clone();
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self::parse(path)
    }

    /// `other` if it begins at the root, else `other` below this folder; `.` and `..` are worked out.
    pub fn resolve(&self, other: &Self) -> Outcome<Self> {
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
        Self::parse([b"/", parts.join(&b'/').as_slice()].concat())
    }

    /// The folder that holds it; the root holds itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        let end = self.trimmed().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        match self.0.get(..end) {
            Some(above) if !above.is_empty() => Self(above.to_vec()),
            _ if self.0.starts_with(b"/") => Self::root(),
            _ => Self(b".".to_vec()),
        }
    }

    /// The last component; nothing for the root.
    pub fn name(&self) -> &[u8] {
        self.trimmed().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Whether it is the root itself.
    pub fn is_root(&self) -> bool {
        self.trimmed().is_empty()
    }

    fn trimmed(&self) -> &[u8] {
        let end = self.0.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        self.0.get(..end).unwrap_or_default()
    }
}

/// Fails unless `name` can be one entry of one folder, here as well as there (security class C1).
pub fn component(name: &[u8]) -> Outcome<()> {
    let why = match name {
        b"" => "an empty name",
        b"." | b".." => "a name that means a folder above",
        _ if name.contains(&b'/') => "a name with a slash in it",
        _ if name.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) => {
            "a name with a line end or NUL in it"
        }
        _ => return Ok(()),
    };
    Err(Fault::protocol(format!("{why} was refused")).at(visible(name)))
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.0))
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
