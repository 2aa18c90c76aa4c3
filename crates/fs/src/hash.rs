//! Hashes of local files, and lists of them as `sha256sum` writes them.

use std::path::{Path, PathBuf};

use md5::Md5;
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{RootDir, SourceFile, ops};
use portolan_core::{
    cancel::CancelToken,
    encoding::to_hex,
    error::{Error, ErrorKind, Origin, Result},
};

/// The algorithms that [`hash`] knows.
pub const HASH_NAMES: [&str; 5] = ["sha256", "sha512", "sha1", "md5", "crc32"];

/// The maximum size of a list of hashes: some 50,000 names.
const SUMS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A hash that is being computed.
enum FileHasher {
    Sha256(Sha256),
    Sha512(Sha512),
    Sha1(Sha1),
    Md5(Md5),
    Crc32(crc32fast::Hasher),
}

impl FileHasher {
    fn new(name: &str) -> Option<Self> {
        Some(match name {
            "sha256" => Self::Sha256(Sha256::new()),
            "sha512" => Self::Sha512(Sha512::new()),
            "sha1" => Self::Sha1(Sha1::new()),
            "md5" => Self::Md5(Md5::new()),
            "crc32" => Self::Crc32(crc32fast::Hasher::new()),
            _ => return None,
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Crc32(hasher) => hasher.update(bytes),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Sha256(hasher) => to_hex(hasher.finalize()),
            Self::Sha512(hasher) => to_hex(hasher.finalize()),
            Self::Sha1(hasher) => to_hex(hasher.finalize()),
            Self::Md5(hasher) => to_hex(hasher.finalize()),
            Self::Crc32(hasher) => to_hex(hasher.finalize().to_be_bytes()),
        }
    }
}

/// Returns the hash of a file, in hexadecimal digits. The algorithm is one of [`HASH_NAMES`].
pub fn hash(path: impl AsRef<Path>, algorithm: &str, stop: &CancelToken) -> Result<String> {
    of_source(SourceFile::open(path)?, algorithm, stop)
}

fn of_source(mut source: SourceFile, algorithm: &str, stop: &CancelToken) -> Result<String> {
    let mut hasher = FileHasher::new(algorithm).ok_or_else(|| {
        let known = HASH_NAMES.map(|name| format!("\"{name}\"")).join(", ");
        Error::invalid(format!("a hash is one of {known}, got \"{algorithm}\""))
    })?;
    ops::each_piece(&mut source, stop, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    source.unchanged()?;
    Ok(hasher.text())
}

/// Returns a list of the SHA-256 of `files`, in the form of `sha256sum`, under the names that they shall have in it.
pub fn sums(files: &[(String, PathBuf)], stop: &CancelToken) -> Result<String> {
    let mut text = String::new();
    for (name, file) in files {
        if !is_below(Path::new(name)) {
            let message = "it is not below the folder of the list";
            return Err(Error::invalid(message).at(file.to_string_lossy()));
        }
        let hash = hash(file, "sha256", stop)?;
        let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        let mark = if escaped == *name { "" } else { "\\" };
        text.push_str(mark);
        text.push_str(&hash);
        text.push_str("  ");
        text.push_str(&escaped);
        text.push('\n');
    }
    Ok(text)
}

/// Returns the names of the list `list` whose files in `folder` are missing or have another SHA-256. Links are not
/// followed.
pub fn check_sums(folder: &Path, list: &Path, stop: &CancelToken) -> Result<Vec<String>> {
    let text = String::from_utf8(ops::read(list, SUMS_BYTES_MAX)?);
    let text =
        text.map_err(|_| Error::invalid("it is not UTF-8 text").at(list.to_string_lossy()))?;
    let root = RootDir::open(folder)?;
    let mut wrong = Vec::new();
    if text.trim().is_empty() {
        // A list that was cut off to nothing proves nothing.
        return Err(Error::invalid("it has no sums").at(list.to_string_lossy()));
    }
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (hash, name) = sum_of(line).ok_or_else(|| {
            let message = format!("line {} is not as `sha256sum` writes it", number + 1);
            Error::invalid(message).at(list.to_string_lossy())
        })?;
        let found = SourceFile::open_in(&root, Path::new(&name))
            .and_then(|source| of_source(source, "sha256", stop));
        match found {
            Ok(found) if found.eq_ignore_ascii_case(hash) => {}
            Err(error) if error.kind == ErrorKind::Interrupted => return Err(error),
            _ => wrong.push(name),
        }
    }
    Ok(wrong)
}

/// Reads one line of a list: the hash, two spaces or a space and an asterisk, the name.
fn sum_of(line: &str) -> Option<(&str, String)> {
    let (line, is_escaped) = match line.strip_prefix('\\') {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (hash, rest) = line.split_at_checked(64)?;
    let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    let is_hash = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = if is_escaped {
        let hidden = name.replace("\\\\", "\0");
        hidden.replace("\\n", "\n").replace("\\r", "\r").replace('\0', "\\")
    } else {
        name.to_owned()
    };
    (is_hash && !name.is_empty()).then_some((hash, name))
}

fn is_below(name: &Path) -> bool {
    use std::path::Component;
    name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Removes a directory with all that is in it, and returns the number of files and directories. A link in it is
/// removed, and what it leads to stays. Fails before anything is removed if a part of it cannot be read.
pub fn delete_tree(path: &Path, stop: &CancelToken) -> Result<u64> {
    let found =
        std::fs::symlink_metadata(path).map_err(|error| Error::local("look at it", path, error))?;
    let refuse = |message: &str| {
        let error = Error::new(ErrorKind::Guard, Origin::Here, message);
        Err(error.at(path.to_string_lossy()))
    };
    if found.is_symlink() {
        return refuse("it is a link: `local::delete` removes the link itself");
    }
    if !found.is_dir() {
        ops::delete(path)?;
        return Ok(1);
    }
    let real = path.canonicalize().map_err(|error| Error::local("look at it", path, error))?;
    let is_around = std::env::current_dir().is_ok_and(|here| here.starts_with(&real));
    if is_around || real.parent().is_none() {
        return refuse("it is the working directory, or contains it");
    }
    let root = RootDir::open(path)?;
    let walked = super::walk(&root, stop)?;
    if let Some((_, error)) = walked.unread.into_iter().next() {
        return Err(error);
    }
    for leftover in &walked.leftovers {
        root.remove_file(leftover)?;
    }
    // What is in a directory sorts behind it.
    for entry in walked.entries.iter().rev() {
        stop.check()?;
        match entry.kind {
            super::LocalKind::Folder => root.remove_folder(&entry.path)?,
            _ => root.remove_file(&entry.path)?,
        }
    }
    std::fs::remove_dir(path).map_err(|error| Error::local("remove", path, error))?;
    Ok((walked.entries.len() + walked.leftovers.len()) as u64 + 1)
}

/// Moves a file or directory; a file also to another disk. A target that ends with a slash is a directory, which is
/// created.
pub fn move_to(from: &Path, to: &Path, stop: &CancelToken) -> Result<()> {
    let is_folder = to.as_os_str().to_string_lossy().ends_with('/');
    let joined = match from.file_name().filter(|_| is_folder) {
        Some(name) => {
            ops::make_folder(to)?;
            to.join(name)
        }
        None => to.to_owned(),
    };
    let Err(error) = ops::rename(from, &joined) else { return Ok(()) };
    let source = std::fs::symlink_metadata(from);
    let is_other_disk = error
        .cause
        .as_ref()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::CrossesDevices);
    if !is_other_disk || !source.is_ok_and(|source| source.is_file()) {
        return Err(error);
    }
    ops::copy(from, &joined, stop)?;
    ops::delete(from)
}

/// Sets the permissions of a file or directory; a link is refused. By descriptor: a confined run may not do it by path.
pub fn chmod(path: &Path, mode: u32) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match fs::open(path, flags, Mode::empty()) {
        Err(Errno::LOOP) => {
            let message = "it is a link, which has no permissions of its own";
            let error = Error::new(ErrorKind::Guard, Origin::Here, message);
            return Err(error.at(path.to_string_lossy()));
        }
        opened => opened,
    };
    let done = opened.and_then(|file| fs::fchmod(file, Mode::from_raw_mode(mode)));
    done.map_err(|error| Error::local("set its permissions", path, error.into()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn hashes_and_lists_are_those_of_other_programs() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/a"), "abc").unwrap();
        fs::write(at("odd\\name"), "").unwrap();
        let stop = CancelToken::new();
        for (algorithm, wanted) in [
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("crc32", "352441c2"),
        ] {
            assert_eq!(hash(at("d/a"), algorithm, &stop).unwrap(), wanted);
        }
        assert!(hash(at("d/a"), "sha3", &stop).unwrap_err().message.contains("\"md5\""));
        let list = at("SHA256SUMS");
        let files = ["d/a", "odd\\name"].map(|name| (name.to_owned(), at(name)));
        let text = sums(&files, &stop).unwrap();
        assert!(text.contains("f20015ad  d/a\n\\e3b0c442"), "{text}");
        fs::write(&list, text).unwrap();
        let check = || check_sums(scratch.path(), &list, &stop);
        assert_eq!(check().unwrap(), Vec::<String>::new());
        fs::write(at("d/a"), "abd").unwrap();
        fs::remove_file(at("odd\\name")).unwrap();
        assert_eq!(check().unwrap(), ["d/a", "odd\\name"]);
        fs::write(&list, format!("{}  ../../etc/passwd\n", "0".repeat(64))).unwrap();
        assert_eq!(check().unwrap(), ["../../etc/passwd"]);
        for text in ["no list\n", "", "\n\n"] {
            fs::write(&list, text).unwrap();
            assert!(check().is_err(), "{text:?}");
        }
        assert!(sums(&[("../x".into(), at("d/a"))], &stop).is_err());
    }

    #[test]
    fn a_tree_is_removed_and_what_its_links_lead_to_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("tree/a/b")).unwrap();
        fs::create_dir(at("kept")).unwrap();
        fs::write(at("kept/file"), "x").unwrap();
        fs::write(at("tree/a/b/f"), "x").unwrap();
        symlink(at("kept"), at("tree/a/link")).unwrap();
        symlink(at("kept"), at("alias")).unwrap();
        let stop = CancelToken::new();
        assert_eq!(delete_tree(&at("tree"), &stop).unwrap(), 5);
        assert!(!at("tree").exists() && at("kept/file").exists());
        assert_eq!(delete_tree(&at("alias"), &stop).unwrap_err().kind, ErrorKind::Guard);
        assert_eq!(delete_tree(&at("gone"), &stop).unwrap_err().kind, ErrorKind::NotFound);
        for around in ["/", "."] {
            let error = delete_tree(Path::new(around), &stop).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Guard, "{around}");
        }
        assert!(chmod(&at("alias"), 0o600).is_err());
        move_to(&at("kept/file"), &at("new/folder/"), &stop).unwrap();
        assert!(at("new/folder/file").exists());
    }
}
