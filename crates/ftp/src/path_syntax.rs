//! The path syntax of a server: the form of its own names of files and directories. Pure.
//!
//! Inside portolan a path is a sequence of components with slashes before them. Some servers report their directory in
//! another form: with a drive before the first slash, or without slashes, as z/OS (`'HLQ.'`), VMS (`DISK:[ANNA]`),
//! Guardian (`$VOL.SUBVOL`), MPE and the libraries of IBM i. For the latter the names in the directory after the login
//! are sent unchanged, and no others are constructed.

use std::borrow::Cow;

use portolan_core::error::{Error, Origin, Result};

use super::path::RemotePath;

/// The path syntax of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PathSyntax {
    /// `/home/anna/a`.
    #[default]
    Slashes,
    /// `C:/home/a`: a drive in place of the first slash.
    Drives,
    /// Names without slashes, in the directory after the login, which is the root.
    Flat,
}

impl PathSyntax {
    /// Returns the syntax of a server that reports `folder` as its directory after the login.
    pub(super) fn of(folder: &[u8]) -> Self {
        match folder {
            [letter, b':', ..] if letter.is_ascii_alphabetic() && is_alone(folder) => Self::Drives,
            _ if is_foreign(folder) => Self::Flat,
            _ => Self::Slashes,
        }
    }

    /// Returns `path` as it goes into a command; empty for the directory after the login if that has no name.
    pub(super) fn spell(self, path: &[u8]) -> Cow<'_, [u8]> {
        let bare = path.strip_prefix(b"/").unwrap_or(path);
        match (self, bare) {
            (Self::Flat, _) => Cow::Borrowed(bare),
            // Without the slash it means the current directory on that drive.
            (Self::Drives, [letter, b':']) if letter.is_ascii_alphabetic() => {
                Cow::Owned([bare, b"/"].concat())
            }
            (Self::Drives, [letter, b':', ..]) if letter.is_ascii_alphabetic() => {
                Cow::Borrowed(bare)
            }
            _ => Cow::Borrowed(path),
        }
    }

    /// Fails if `path` leads into a directory that cannot be named.
    pub(super) fn check(self, path: &RemotePath) -> Result<()> {
        let parts = path.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        if self == Self::Flat && parts.count() > 1 { Err(no_folders()) } else { Ok(()) }
    }
}

/// Returns true if a drive is followed by slashes as the only separators: not `DISK:[ANNA]`.
fn is_alone(folder: &[u8]) -> bool {
    !folder.contains(&b'[') && matches!(folder.get(2), None | Some(b'/'))
}

/// Returns true if the name of a directory is not a path with slashes: quoted, with brackets, volumes or devices in it,
/// or in capitals, digits and the characters `.$#@_` only.
fn is_foreign(folder: &[u8]) -> bool {
    let is_name =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b".$#@_".contains(byte);
    let begins_well =
        folder.first().is_some_and(|first| first.is_ascii_uppercase() || *first == b'$');
    !folder.contains(&b'/')
        && (folder.starts_with(b"'")
            || folder.windows(2).any(|two| two == b".$" || two == b":[")
            || folder.contains(&b'[') && folder.ends_with(b"]")
            || begins_well && folder.iter().all(is_name))
}

/// Returns the error for a path that leads into a directory if names have no slashes.
pub(super) fn no_folders() -> Error {
    let message = "the names of this server have no slashes: only those in the folder after the login can be used, and \
                   whole names in quotes";
    Error::unsupported(Origin::Server, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_after_the_login_tells_the_syntax() {
        use PathSyntax::{Drives, Flat, Slashes};
        for (folder, syntax) in [
            ("'OPSUSER.'", Flat),
            ("'HLQ.PDS'", Flat),
            ("DISK$USER:[ANNA]", Flat),
            ("SYS$SYSDEVICE:[ANNA.WORK]", Flat),
            ("[ANNA]", Flat),
            ("D:[ANNA]", Flat),
            ("$VOL.SUBVOL", Flat),
            ("\\SYS.$VOL.SUBVOL", Flat),
            ("QGPL", Flat),
            ("PUB.SYS", Flat),
            ("/", Slashes),
            ("/home/anna", Slashes),
            ("/C:/ftp", Slashes),
            ("/QSYS.LIB/QGPL.LIB", Slashes),
            ("C:/", Drives),
            ("c:/inetpub", Drives),
            ("C:", Drives),
            ("pub", Slashes),
            (".", Slashes),
            ("~anna", Slashes),
        ] {
            assert_eq!(PathSyntax::of(folder.as_bytes()), syntax, "{folder}");
        }
    }

    #[test]
    fn paths_are_spelt_as_the_server_does() {
        use PathSyntax::{Drives, Flat, Slashes};
        for (syntax, path, spelt) in [
            (Slashes, "/a/b", "/a/b"),
            (Slashes, "/C:/b", "/C:/b"),
            (Drives, "/C:/b", "C:/b"),
            (Drives, "/C:", "C:/"),
            (Drives, "/b", "/b"),
            (Flat, "/PAY.JAN", "PAY.JAN"),
            (Flat, "/'OPSUSER.PAY.JAN'", "'OPSUSER.PAY.JAN'"),
            (Flat, "/LOGIN.COM;1", "LOGIN.COM;1"),
            (Flat, "/", ""),
        ] {
            assert_eq!(syntax.spell(path.as_bytes()), spelt.as_bytes(), "{syntax:?} {path}");
        }
        let path = |text: &str| RemotePath::parse(text).unwrap();
        assert!(Flat.check(&path("/PAY.JAN")).is_ok() && Flat.check(&path("/")).is_ok());
        assert!(Flat.check(&path("/a/b")).is_err() && Slashes.check(&path("/a/b")).is_ok());
    }
}
