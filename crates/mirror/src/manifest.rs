//! The base as a file on the server: one line of JSON per file, and one at the end by which damage is detected.

use serde::{Deserialize, Serialize};

use super::sync_base::{
    Intent, Intents, SyncBase, SyncedFile, hash_text, path_bytes, path_text, read_hash,
};
use portolan_core::limits::ENTRIES_MAX;
use portolan_remote::{
    entry::Modified,
    path::{RelativePath, RemotePath},
};

/// The format version that is written.
const FORM: u32 = 2;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    portolan_state: u32,
    /// The directory that it describes: the base of one that was moved or copied is of no use.
    folder: String,
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
struct ManifestLine {
    path: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_time: Option<String>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct ManifestTail {
    files: usize,
    blake3: String,
}

/// The reason why a file is not usable as a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It was cut or changed.
    Damaged,
    /// It describes another directory, or was written by another program or version.
    Foreign,
    /// It names a path that is not below its folder, which no run of ours ever writes.
    Outside,
    /// It names more files than any tree of ours has.
    TooMany,
}

impl Unusable {
    pub(super) const fn text(&self) -> &'static str {
        match self {
            Self::Damaged => "is damaged",
            Self::Foreign => "is about another folder, or of another program",
            Self::Outside => "names a path outside of its folder, and none of it is believed",
            Self::TooMany => "names more files than a mirror may have",
        }
    }
}

/// Serializes `base` for the directory `folder` of the server. Local times are left out: they mean nothing on another
/// host, and the hash tells more.
pub(super) fn write(base: &SyncBase, folder: &RemotePath) -> Vec<u8> {
    let head = Head { portolan_state: FORM, folder: path_text(folder.as_bytes()) };
    let mut bytes = Vec::with_capacity(base.len() * 200 + 200);
    line(&mut bytes, &head);
    for (path, pair) in base {
        let SyncedFile { hash, local_size, remote_size, remote_time, .. } = pair;
        let blake3 = hash.as_ref().map(hash_text);
        let remote_time = remote_time.and_then(Modified::text);
        let path = path_text(path);
        line(
            &mut bytes,
            &ManifestLine {
                path,
                size: *local_size,
                blake3,
                remote_size: *remote_size,
                remote_time,
            },
        );
    }
    let hash = blake3::hash(&bytes).into();
    line(&mut bytes, &ManifestTail { files: base.len(), blake3: hash_text(&hash) });
    bytes
}

fn line(bytes: &mut Vec<u8>, value: &impl Serialize) {
    // Strings and numbers in memory: neither can fail.
    if serde_json::to_writer(&mut *bytes, value).is_ok() {
        bytes.push(b'\n');
    }
}

/// Parses the base that was written into `folder`.
pub fn read(bytes: &[u8], folder: &RemotePath) -> Result<SyncBase, Unusable> {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let head: Head = serde_json::from_slice(first).map_err(|_| Unusable::Foreign)?;
    let (lines, tail) = body(bytes)?;
    if head.portolan_state != FORM || head.folder != path_text(folder.as_bytes()) {
        return Err(Unusable::Foreign);
    }
    // Each entry takes several times its bytes in memory.
    if tail.files > ENTRIES_MAX {
        return Err(Unusable::TooMany);
    }
    let mut base = SyncBase::new();
    for line in lines {
        if base.len() >= tail.files {
            return Err(Unusable::Damaged);
        }
        let (path, pair) = pair(line).ok_or(Unusable::Damaged)?;
        base.insert(RelativePath::parse(path).map_err(|_| Unusable::Outside)?, pair);
    }
    if base.len() == tail.files { Ok(base) } else { Err(Unusable::Damaged) }
}

/// Returns the lines between the first and the last of a complete file, and the last.
fn body(bytes: &[u8]) -> Result<(impl Iterator<Item = &[u8]>, ManifestTail), Unusable> {
    let body = bytes.strip_suffix(b"\n").ok_or(Unusable::Damaged)?;
    let end = body.iter().rposition(|byte| *byte == b'\n').ok_or(Unusable::Damaged)?;
    let (body, last) = bytes.split_at_checked(end + 1).ok_or(Unusable::Damaged)?;
    let tail: ManifestTail = serde_json::from_slice(last).map_err(|_| Unusable::Damaged)?;
    if read_hash(&tail.blake3) != Some(blake3::hash(body).into()) {
        return Err(Unusable::Damaged);
    }
    Ok((body.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty()), tail))
}

fn pair(line: &[u8]) -> Option<(Vec<u8>, SyncedFile)> {
    let ManifestLine { path, size, blake3, remote_size, remote_time } =
        serde_json::from_slice(line).ok()?;
    let hash = match blake3 {
        None => None,
        Some(text) => Some(read_hash(&text)?),
    };
    let remote_time = match remote_time {
        None => None,
        Some(text) => Some(Modified::read(&text)?),
    };
    let pair = SyncedFile { hash, local_size: size, local_us: None, remote_size, remote_time };
    Some((path_bytes(&path)?, pair))
}

/// The first line of a journal.
#[derive(Debug, Serialize, Deserialize)]
struct JournalHead {
    portolan_intents: u32,
    folder: String,
}

/// The intent of one file.
#[derive(Debug, Serialize, Deserialize)]
struct IntentLine {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

/// The format version of journals that is written.
const JOURNAL_FORM: u32 = 1;

/// Serializes `intents` for the directory `folder` of the server. Times of local files are left out.
pub(super) fn write_intents(intents: &Intents, folder: &RemotePath) -> Vec<u8> {
    let folder = path_text(folder.as_bytes());
    let mut bytes = Vec::with_capacity(intents.len() * 60 + 200);
    line(&mut bytes, &JournalHead { portolan_intents: JOURNAL_FORM, folder });
    for (path, intent) in intents {
        let (size, gone) = match intent {
            Intent::Gone => (None, true),
            Intent::Bytes(size, _) => (Some(*size), false),
            Intent::Any => (None, false),
        };
        line(&mut bytes, &IntentLine { path: path_text(path), size, gone });
    }
    let hash = blake3::hash(&bytes).into();
    line(&mut bytes, &ManifestTail { files: intents.len(), blake3: hash_text(&hash) });
    bytes
}

/// Parses the intents that were written into `folder`.
pub(super) fn read_intents(bytes: &[u8], folder: &RemotePath) -> Result<Intents, Unusable> {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let head: JournalHead = serde_json::from_slice(first).map_err(|_| Unusable::Foreign)?;
    let (lines, tail) = body(bytes)?;
    if head.portolan_intents != JOURNAL_FORM || head.folder != path_text(folder.as_bytes()) {
        return Err(Unusable::Foreign);
    }
    if tail.files > ENTRIES_MAX {
        return Err(Unusable::TooMany);
    }
    let mut intents = Intents::new();
    for line in lines {
        if intents.len() >= tail.files {
            return Err(Unusable::Damaged);
        }
        let line: IntentLine = serde_json::from_slice(line).map_err(|_| Unusable::Damaged)?;
        let IntentLine { path, size, gone } = line;
        let intent = match size {
            _ if gone => Intent::Gone,
            Some(size) => Intent::Bytes(size, None),
            None => Intent::Any,
        };
        let path = path_bytes(&path).ok_or(Unusable::Damaged)?;
        RelativePath::parse(path.clone()).map_err(|_| Unusable::Outside)?;
        intents.insert(path, intent);
    }
    if intents.len() == tail.files { Ok(intents) } else { Err(Unusable::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> RemotePath {
        RemotePath::parse("/in").unwrap()
    }

    fn path(path: &[u8]) -> RelativePath {
        RelativePath::parse(path).unwrap()
    }

    /// Returns a state as an attacker could write it: with any path, and the correct hash at its end.
    fn forged(paths: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        line(&mut bytes, &Head { portolan_state: FORM, folder: path_text(folder().as_bytes()) });
        for path in paths {
            let path = (*path).to_owned();
            let (blake3, remote_size, remote_time) = (None, Some(3), None);
            line(&mut bytes, &ManifestLine { path, size: 3, blake3, remote_size, remote_time });
        }
        let hash = blake3::hash(&bytes).into();
        line(&mut bytes, &ManifestTail { files: paths.len(), blake3: hash_text(&hash) });
        bytes
    }

    fn base() -> SyncBase {
        let pair = |hash, time| SyncedFile {
            hash,
            local_size: 3,
            local_us: None,
            remote_size: Some(3),
            remote_time: Modified::read(time),
        };
        SyncBase::from([
            (path(b"a\tb"), pair(Some([7; 32]), "2026-02-11T14:22:07Z")),
            (path(b"caf\xe9"), pair(None, "")),
        ])
    }

    #[test]
    fn what_was_written_is_read_again_without_local_times() {
        let mut told = base();
        for pair in told.values_mut() {
            pair.local_us = Some(5);
        }
        let bytes = write(&told, &folder());
        assert_eq!(read(&bytes, &folder()), Ok(base()));
        assert_eq!(read(&write(&SyncBase::new(), &folder()), &folder()), Ok(SyncBase::new()));
    }

    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_no_base() {
        let bytes = write(&base(), &folder());
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], &folder()).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed, &folder()).is_err(), "{at}");
        }
    }

    #[test]
    fn a_journal_is_read_again_and_one_that_was_cut_changed_or_moved_is_none() {
        let intents = Intents::from([
            (b"a%b".to_vec(), Intent::Bytes(3, None)),
            (b"caf\xe9".to_vec(), Intent::Gone),
            (b"d/e".to_vec(), Intent::Any),
        ]);
        let bytes = write_intents(&intents, &folder());
        assert_eq!(read_intents(&bytes, &folder()), Ok(intents));
        for end in 0..bytes.len() {
            assert!(read_intents(&bytes[..end], &folder()).is_err(), "{end}");
        }
        let other = RemotePath::parse("/other").unwrap();
        assert_eq!(read_intents(&bytes, &other), Err(Unusable::Foreign));
        // Neither is taken for the other, by whatever version.
        assert_eq!(read(&bytes, &folder()), Err(Unusable::Foreign));
        assert_eq!(read_intents(&write(&base(), &folder()), &folder()), Err(Unusable::Foreign));
    }

    #[test]
    fn a_file_about_another_folder_or_of_another_program_is_foreign() {
        let other = RemotePath::parse("/other").unwrap();
        assert_eq!(read(&write(&base(), &other), &folder()), Err(Unusable::Foreign));
        assert_eq!(read(b"{\"version\": \"1.0.0\"}\n", &folder()), Err(Unusable::Foreign));
    }

    #[test]
    fn a_state_with_one_path_that_leads_out_is_not_believed_in_anything() {
        assert_eq!(read(&forged(&["a", "b/c"]), &folder()).unwrap().len(), 2);
        for path in [
            "../private/db.sql",
            "x/../../y",
            "./../z",
            "/etc/passwd",
            "a//b",
            "a/",
            "",
            ".",
            "a%0D%0ADELE b",
            "a%0Ab",
            "a%00b",
            "..%5Cx",
            "b/..%5C..%5Cx",
        ] {
            assert_eq!(read(&forged(&["a", path]), &folder()), Err(Unusable::Outside), "{path}");
        }
        let twice = forged(&["a", "a"]);
        assert_eq!(read(&twice, &folder()), Err(Unusable::Damaged));
    }

    #[test]
    fn a_state_of_more_files_than_a_tree_may_have_is_refused_before_it_is_read() {
        let mut bytes = forged(&["a"]);
        bytes.truncate(bytes.len() - 1);
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let hash = blake3::hash(&bytes[..end]).into();
        bytes.truncate(end);
        line(&mut bytes, &ManifestTail { files: ENTRIES_MAX + 1, blake3: hash_text(&hash) });
        assert_eq!(read(&bytes, &folder()), Err(Unusable::TooMany));
    }
}
