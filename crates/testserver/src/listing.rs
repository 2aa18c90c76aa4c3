//! The entries of a directory as `MLSD`, `LIST` and `NLST` show them.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use jiff::{Timestamp, tz::TimeZone};

use portolan_core::limits::ENTRIES_MAX;

/// The age in seconds from which `ls` shows the year instead of the time: half a year, as POSIX specifies.
const RECENT_SECONDS: i64 = 182 * 24 * 3600;

/// An entry with its metadata; a link is described itself, not its target.
#[derive(Debug)]
pub(super) struct ListedFile {
    name: Vec<u8>,
    metadata: Metadata,
    /// The target of a link.
    target: Option<Vec<u8>>,
}

/// The relation of an entry to the directory listed by `MLSD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The directory that is listed.
    Current,
    /// Its parent directory.
    Parent,
    /// An entry of the directory.
    Child,
}

/// The facts of `MLSD` and `MLST` that the client wants (`OPTS MLST`).
#[derive(Debug, Clone)]
pub(super) struct FactSelection(Vec<&'static str>);

impl FactSelection {
    const NAMES: [&'static str; 6] = ["type", "size", "modify", "perm", "unique", "UNIX.mode"];

    /// Returns all facts.
    pub(super) fn all() -> Self {
        Self(Self::NAMES.to_vec())
    }

    /// Returns the facts named in a list such as `type;size;`.
    pub(super) fn chosen(list: &str) -> Self {
        let wants = |name: &&str| list.split(';').any(|word| word.eq_ignore_ascii_case(name));
        Self(Self::NAMES.into_iter().filter(wants).collect())
    }

    /// Returns the facts for `FEAT`: a star marks those that are enabled.
    pub(super) fn feature(&self) -> String {
        let mark = |name: &&str| if self.0.contains(name) { "*" } else { "" };
        Self::NAMES.map(|name| format!("{name}{};", mark(&name))).concat()
    }

    /// Returns the facts for the reply to `OPTS MLST`.
    pub(super) fn list(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|name| format!("{name};")).collect();
        names.concat()
    }
}

impl ListedFile {
    /// Reads the metadata of `path`; `name` is the name to show.
    pub(super) fn read(path: &Path, name: &[u8]) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        let link = metadata.is_symlink().then(|| fs::read_link(path)).transpose()?;
        let target = link.map(|link| link.as_os_str().as_bytes().to_vec());
        Ok(Self { name: name.to_vec(), metadata, target })
    }

    /// Returns the line of `MLSD` without its end: facts, a space, the name.
    pub(super) fn facts(&self, relation: Relation, facts: &FactSelection) -> Vec<u8> {
        let mut line = Vec::new();
        for name in &facts.0 {
            line.extend_from_slice(name.as_bytes());
            line.push(b'=');
            line.extend(self.fact(name, relation));
            line.push(b';');
        }
        line.push(b' ');
        line.extend_from_slice(&self.name);
        line
    }

    fn fact(&self, name: &str, relation: Relation) -> Vec<u8> {
        let folder = self.metadata.is_dir();
        match (name, relation, &self.target) {
            ("type", Relation::Current, _) => b"cdir".to_vec(),
            ("type", Relation::Parent, _) => b"pdir".to_vec(),
            ("type", _, Some(target)) => [b"OS.unix=slink:", target.as_slice()].concat(),
            ("type", ..) => if folder { "dir" } else { "file" }.into(),
            ("size", ..) => self.metadata.len().to_string().into_bytes(),
            ("modify", ..) => digits(self.metadata.mtime()).into_bytes(),
            ("perm", ..) => if folder { "cdeflmp" } else { "adfrw" }.into(),
            ("unique", ..) => {
                format!("{:x}g{:x}", self.metadata.dev(), self.metadata.ino()).into_bytes()
            }
            _ => format!("{:04o}", self.metadata.mode() & 0o7777).into_bytes(),
        }
    }

    /// Returns the line of `ls -l` without its end, with the time in `zone`.
    pub(super) fn long(&self, now: Timestamp, zone: &TimeZone) -> Vec<u8> {
        let about = &self.metadata;
        let time = self.time();
        let age = now.as_second() - about.mtime();
        let form = if (0..RECENT_SECONDS).contains(&age) { "%b %d %H:%M" } else { "%b %d  %Y" };
        let mut line = format!(
            "{}{} {:>4} {:<8} {:<8} {:>12} {} ",
            if about.is_dir() {
                'd'
            } else if self.target.is_some() {
                'l'
            } else {
                '-'
            },
            permissions(about.mode()),
            about.nlink(),
            about.uid(),
            about.gid(),
            about.len(),
            time.to_zoned(zone.clone()).strftime(form),
        )
        .into_bytes();
        line.extend_from_slice(&self.name);
        if let Some(target) = &self.target {
            line.extend_from_slice(b" -> ");
            line.extend_from_slice(target);
        }
        line
    }

    /// Returns the size in bytes, as on the disk.
    pub(super) fn size(&self) -> u64 {
        self.metadata.len()
    }

    /// Returns true if it is a directory.
    pub(super) fn is_folder(&self) -> bool {
        self.metadata.is_dir()
    }

    /// Returns the time of the last modification.
    pub(super) fn time(&self) -> Timestamp {
        Timestamp::from_second(self.metadata.mtime()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Returns the name alone.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns true if `ls` omits it without `-a`.
    pub(super) fn is_hidden(&self) -> bool {
        self.name.starts_with(b".")
    }
}

/// Returns the entries of a directory, sorted by name; those that vanish meanwhile are left out.
pub(super) fn children(folder: &Path) -> io::Result<Vec<ListedFile>> {
    let mut entries = Vec::new();
    for found in fs::read_dir(folder)?.take(ENTRIES_MAX) {
        let found = found?;
        entries.extend(ListedFile::read(&found.path(), found.file_name().as_bytes()).ok());
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// Formats seconds since 1970 as RFC 3659 does: `YYYYMMDDHHMMSS` in UTC.
pub(super) fn digits(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string()
}

/// Formats the nine letters of a mode, including setuid, setgid and sticky.
fn permissions(mode: u32) -> String {
    let special = [(0o4000, 's'), (0o2000, 's'), (0o1000, 't')];
    let mut letters = String::new();
    for (shift, (bit, letter)) in [6, 3, 0].into_iter().zip(special) {
        let bits = mode >> shift;
        letters.push(if bits & 4 == 0 { '-' } else { 'r' });
        letters.push(if bits & 2 == 0 { '-' } else { 'w' });
        letters.push(match (mode & bit == 0, bits & 1 == 0) {
            (true, true) => '-',
            (true, false) => 'x',
            (false, true) => letter.to_ascii_uppercase(),
            (false, false) => letter,
        });
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_writes_them() {
        for (mode, letters) in [
            (0o755, "rwxr-xr-x"),
            (0o640, "rw-r-----"),
            (0o4755, "rwsr-xr-x"),
            (0o1777, "rwxrwxrwt"),
        ] {
            assert_eq!(permissions(mode), letters);
        }
    }

    #[test]
    fn old_files_show_the_year_and_recent_ones_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b");
        fs::write(&path, "x").unwrap();
        let time = Timestamp::from_second(1_600_000_000).unwrap();
        fs::File::open(&path).unwrap().set_modified(time.into()).unwrap();
        let entry = ListedFile::read(&path, b"a b").unwrap();
        let shown = |now| {
            let now = Timestamp::from_second(now).unwrap();
            String::from_utf8(entry.long(now, &TimeZone::UTC)).unwrap()
        };
        assert!(shown(1_600_000_100).ends_with("Sep 13 12:26 a b"));
        assert!(shown(1_700_000_000).ends_with("Sep 13  2020 a b"));
        assert_eq!(digits(1_600_000_000), "20200913122640");
    }

    #[test]
    fn the_client_chooses_its_facts() {
        let facts = FactSelection::chosen("Size;modify;nonsense;");
        assert_eq!(facts.list(), "size;modify;");
        assert_eq!(facts.feature(), "type;size*;modify*;perm;unique;UNIX.mode;");
    }
}
