//! The path syntax of hosts that do not use slashes, and their replies to `SYST`, `PWD` and `MKD`.

use super::{reply::ServerReply, root::ServedPath};
use portolan_proto::ReplyCode;

/// The prefix of all data sets of the mainframe.
const PREFIX: &str = "OPSUSER";
/// The maximum length of the name of a data set, including its prefix.
const DATA_SET_LENGTH_MAX: usize = 44;

/// The syntax of paths, of the reply to `PWD` and of that to `SYST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Syntax {
    /// `/a/b`, as on most servers.
    #[default]
    Slashes,
    /// The same, but `PWD` answers without quotation marks (small devices).
    Unquoted,
    /// The same, but a backslash separates directories too (Windows).
    EitherSlash,
    /// The same, but `PWD` answers with backslashes (Windows CE).
    Backslashes,
    /// `'PREFIX.DATA.SET'` and `DATA.SET` below the prefix (z/OS).
    DataSets,
    /// `DISK$USER:[DIR.SUB]NAME.TYPE` (VMS).
    Brackets,
    /// `NAME.TYPE` in a library (IBM i, name format 0).
    Library,
}

impl Syntax {
    /// Returns the served path that `path` refers to when the session is in `folder`.
    pub(super) fn place(self, folder: &ServedPath, path: &[u8]) -> Result<ServedPath, ServerReply> {
        match self {
            Self::Slashes | Self::Unquoted => Ok(folder.join(path)),
            Self::EitherSlash | Self::Backslashes => Ok(folder.join(&with_slashes(path))),
            Self::DataSets => data_set(folder, path).ok_or_else(|| bad_data_set(path)),
            Self::Brackets => bracketed(folder, path).ok_or_else(bad_file),
            Self::Library => in_library(path).ok_or_else(|| {
                ServerReply::new(
                    ReplyCode::BAD_ARGUMENT,
                    "Naming format 0 wants a library and a file: not a valid path.",
                )
            }),
        }
    }

    /// Returns the reply to `PWD`.
    pub(super) fn current(self, folder: &ServedPath) -> ServerReply {
        let names: Vec<_> =
            folder.names().iter().map(|name| String::from_utf8_lossy(name)).collect();
        let text = match self {
            Self::Slashes | Self::EitherSlash => {
                [&folder.quoted(), &b" is the current directory."[..]].concat()
            }
            Self::Unquoted => [&folder.bytes(), &b" is current directory"[..]].concat(),
            Self::Backslashes => format!("\"\\{}\"", names.join("\\")).into_bytes(),
            Self::DataSets if names.is_empty() => {
                format!("\"'{PREFIX}.'\" is the working directory name prefix.").into_bytes()
            }
            Self::DataSets => format!(
                "\"'{PREFIX}.{}'\" partitioned data set is working directory",
                names.join(".")
            )
            .into_bytes(),
            Self::Brackets => {
                let folders: Vec<_> = std::iter::once("OPS".into()).chain(names).collect();
                format!("\"DISK$USER:[{}]\" is current directory.", folders.join(".")).into_bytes()
            }
            Self::Library => b"\"OPSLIB\" is current library.".to_vec(),
        };
        ServerReply::new(ReplyCode::PATH_NAME, text)
    }

    /// Returns the reply to `SYST`.
    pub(super) fn system(self) -> ServerReply {
        ServerReply::new(
            ReplyCode::SYSTEM_TYPE,
            match self {
                Self::Slashes | Self::Unquoted => "UNIX Type: L8",
                Self::EitherSlash => "Windows_NT",
                Self::Backslashes => "Windows_CE",
                Self::DataSets => {
                    "MVS is the operating system of this server. FTP Server is running on z/OS."
                }
                Self::Brackets => "VMS OpenVMS V8.4",
                Self::Library => {
                    "OS/400 is the remote operating system. The TCP/IP version is \"V7R3M0\"."
                }
            },
        )
    }

    /// Returns the reply to `MKD`, which names directories as `PWD` does.
    pub(super) fn made(self, place: &ServedPath) -> ServerReply {
        match self {
            Self::Slashes | Self::EitherSlash => ServerReply::new(
                ReplyCode::PATH_NAME,
                [&place.quoted(), &b" created."[..]].concat(),
            ),
            Self::Unquoted => ServerReply::new(ReplyCode::PATH_NAME, "Directory created"),
            _ => self.current(place),
        }
    }
}

fn with_slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

/// Parses `'OPSUSER.PAY.JAN'`, `PAY.JAN`, `'OPSUSER.LIB(MEMBER)'`, `..`; a local directory is a partitioned data set.
fn data_set(folder: &ServedPath, path: &[u8]) -> Option<ServedPath> {
    let text = std::str::from_utf8(path).ok()?.to_uppercase();
    if matches!(text.as_str(), "" | "*" | ".") {
        return Some(folder.clone());
    }
    if text == ".." {
        return Some(folder.parent());
    }
    let whole = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    let (start, name) = match whole {
        Some(whole) => (ServedPath::root(), whole.strip_prefix(PREFIX)?.trim_start_matches('.')),
        None => (folder.clone(), text.as_str()),
    };
    if name.is_empty() || name == "*" {
        return Some(start);
    }
    let (name, member) = match name.split_once('(') {
        Some((name, member)) => (name, Some(member.strip_suffix(')')?)),
        None => (name, None),
    };
    let mut parts = name.split('.').chain(member);
    let is_long = PREFIX.len() + 1 + name.len() > DATA_SET_LENGTH_MAX;
    if is_long || !parts.all(is_qualifier) {
        return None;
    }
    let place = start.child(name.as_bytes());
    Some(member.map_or_else(|| place.clone(), |member| place.child(member.as_bytes())))
}

/// Returns true for one to eight letters, digits or national characters that do not begin with a digit.
fn is_qualifier(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_uppercase() || "@#$".contains(c);
    text.len() <= 8
        && text.starts_with(is_letter)
        && text.chars().all(|c| is_letter(c) || c.is_ascii_digit() || c == '-')
}

fn bad_data_set(path: &[u8]) -> ServerReply {
    let text = [b"Invalid data set name \"", path, b"\".  Use MVS Dsname conventions."].concat();
    ServerReply::new(ReplyCode::BAD_ARGUMENT, text)
}

/// Parses `NAME.TYPE;1`, `[.SUB]NAME.TYPE`, `[OPS.SUB]`, `DISK$USER:[OPS]`, `[-]`, `SUB`.
fn bracketed(folder: &ServedPath, path: &[u8]) -> Option<ServedPath> {
    let text = std::str::from_utf8(path).ok()?.to_uppercase();
    let text = text.strip_prefix("DISK$USER:").unwrap_or(&text);
    let (place, name) = match text.strip_prefix('[') {
        Some(rest) => {
            let (folders, name) = rest.split_once(']')?;
            (bracket(folder, folders)?, name)
        }
        None => (folder.clone(), text),
    };
    let name = name.split_once(';').map_or(name, |(name, _)| name);
    match name {
        "" | "*.*" => Some(place),
        ".." => Some(place.parent()),
        _ => is_file(name).then(|| place.child(name.as_bytes())),
    }
}

/// Parses the directory in the brackets: `OPS.SUB`, `.SUB`, `-`.
fn bracket(folder: &ServedPath, text: &str) -> Option<ServedPath> {
    if text == "-" {
        return Some(folder.parent());
    }
    let below = match text.strip_prefix('.') {
        Some(below) => {
            return Some(
                below.split('.').fold(folder.clone(), |at, name| at.child(name.as_bytes())),
            );
        }
        None => text.strip_prefix("OPS")?,
    };
    let names = below.split('.').filter(|name| !name.is_empty());
    Some(names.fold(ServedPath::root(), |at, name| at.child(name.as_bytes())))
}

/// Returns true for a name of ODS-2: up to 39 letters, digits, `$`, `_` and `-`, and as many behind one dot.
fn is_file(name: &str) -> bool {
    let is_part = |part: &str| {
        part.len() <= 39 && part.chars().all(|c| c.is_ascii_alphanumeric() || "$_-".contains(c))
    };
    let (stem, kind) = name.split_once('.').unwrap_or((name, ""));
    !stem.is_empty() && is_part(stem) && is_part(kind)
}

fn bad_file() -> ServerReply {
    ServerReply::new(
        ReplyCode::BAD_ARGUMENT,
        "Error in file name: %RMS-F-SYN, file specification syntax error.",
    )
}

/// Parses `NAME.TYPE` or `OPSLIB/NAME.TYPE`, with up to ten characters each.
fn in_library(path: &[u8]) -> Option<ServedPath> {
    let text = std::str::from_utf8(path).ok()?.to_uppercase();
    let name =
        text.strip_prefix("OPSLIB").map_or(text.as_str(), |rest| rest.trim_start_matches('/'));
    if matches!(name, "" | "*ALL") {
        return Some(ServedPath::root());
    }
    let is_part = |part: &str| {
        (1..=10).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_uppercase() || "#$@".contains(c))
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "#$@_".contains(c))
    };
    let mut parts = name.split('.');
    let is_name = parts.all(is_part) && name.matches('.').count() < 2;
    is_name.then(|| ServedPath::root().child(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_reads_its_own_paths_and_refuses_slashes() {
        let root = ServedPath::root();
        let lib = root.child(b"LIB");
        for (syntax, folder, path, found) in [
            (Syntax::DataSets, &root, "pay.jan", Some("/PAY.JAN")),
            (Syntax::DataSets, &root, "'OPSUSER.PAY.JAN'", Some("/PAY.JAN")),
            (Syntax::DataSets, &lib, "MEMBER", Some("/LIB/MEMBER")),
            (Syntax::DataSets, &lib, "'OPSUSER.LIB(A)'", Some("/LIB/A")),
            (Syntax::DataSets, &lib, "'OPSUSER.'", Some("/")),
            (Syntax::DataSets, &root, "/PAY.JAN", None),
            (Syntax::DataSets, &root, ".portolan-x.part", None),
            (Syntax::DataSets, &root, "QUALIFIER9.X", None),
            (Syntax::DataSets, &root, "'SYS1.PARMLIB'", None),
            (Syntax::Brackets, &lib, "a.txt;3", Some("/LIB/A.TXT")),
            (Syntax::Brackets, &root, "[.lib]a.txt", Some("/LIB/A.TXT")),
            (Syntax::Brackets, &lib, "DISK$USER:[OPS]", Some("/")),
            (Syntax::Brackets, &lib, "[-]", Some("/")),
            (Syntax::Brackets, &root, "/a.txt", None),
            (Syntax::Brackets, &root, "a.b.c", None),
            (Syntax::Library, &root, "OPSLIB/PAY.FILE", Some("/PAY.FILE")),
            (Syntax::Library, &root, "/PAY.FILE", None),
            (Syntax::Backslashes, &root, "\\a\\b", Some("/a/b")),
        ] {
            let place = syntax.place(folder, path.as_bytes()).ok().map(|place| place.bytes());
            assert_eq!(place.as_deref(), found.map(str::as_bytes), "{syntax:?} {path}");
        }
    }

    #[test]
    fn each_host_says_where_one_is_in_its_own_words() {
        let lib = ServedPath::root().child(b"LIB");
        for (syntax, wire) in [
            (Syntax::Unquoted, "257 /LIB is current directory\r\n"),
            (Syntax::Backslashes, "257 \"\\LIB\"\r\n"),
            (
                Syntax::DataSets,
                "257 \"'OPSUSER.LIB'\" partitioned data set is working directory\r\n",
            ),
            (Syntax::Brackets, "257 \"DISK$USER:[OPS.LIB]\" is current directory.\r\n"),
            (Syntax::Library, "257 \"OPSLIB\" is current library.\r\n"),
        ] {
            assert_eq!(syntax.current(&lib).wire(), wire.as_bytes());
        }
        let root = Syntax::DataSets.current(&ServedPath::root());
        assert_eq!(root.wire(), b"257 \"'OPSUSER.'\" is the working directory name prefix.\r\n");
    }
}
