//! Trees of files: generated from a seed, read into a manifest, compared with readable differences.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use portolan::random::SeededRng;
use sha2::{Digest, Sha256};

/// The difficulty of the names in a generated tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Names {
    /// Names of letters, digits and dots.
    Plain,
    /// Names with blanks, UTF-8, leading dashes, patterns, and names that look like lines of a listing.
    Odd,
    /// The same, and names that are invalid UTF-8.
    Bytes,
}

const ODD: [&str; 26] = [
    " leading blank",
    "trailing blank ",
    "two  blanks.txt",
    "-leading-dash",
    "--delete",
    ".hidden",
    "..two-dots",
    "-rw-r--r-- 1 owner group 5 Jan 01 2020 fake.txt",
    "drwxr-xr-x 2 owner group 4096 Jan 01 2020 folder",
    "type=file;size=9; fake.txt",
    "total 12",
    "226 Transfer complete.",
    "a -> b",
    "semi;colon",
    "back\\slash",
    "quo\"te's",
    "star*mark?.txt",
    "[brackets]{braces}",
    "~home",
    "#hash%41+plus&and",
    "$HOME",
    "grüße.txt",
    "日本語",
    "e\u{301} decomposed",
    "\u{1f6a2} ship",
    "01-02-20  03:04PM  <DIR>  dos",
];
const BYTES: [&[u8]; 2] = [b"caf\xe9.txt", b"\xfe\xfd"];

/// Fills `folder` with some forty files and directories (1.5 MB) that depend only on the seed. Sizes are from 0 to a
/// megabyte; times are whole seconds; `names` is the difficulty of the names.
pub(crate) fn grow(folder: &Path, seed: u64, names: Names) {
    let mut dice = Dice(SeededRng::new(seed));
    for path in ["a/b/c", "empty", "a/empty"] {
        fs::create_dir_all(folder.join(path)).unwrap();
    }
    let every_byte: Vec<u8> = (0..=255).collect();
    fs::write(folder.join("every-byte.bin"), every_byte.repeat(3)).unwrap();
    fs::write(folder.join("lines.txt"), "unix\ndos\r\nmac\r\n.\r\n..\r\n226 done\r\n").unwrap();
    fs::write(folder.join("a/nothing"), "").unwrap();
    fs::write(folder.join("a/b/large.bin"), dice.bytes(1024 * 1024 + 1)).unwrap();
    for number in 0..20 {
        let size = *dice.pick(&[0, 1, 511, 4096, 4097, 65_536]);
        let extra = dice.below(100);
        let path =
            folder.join(dice.pick(&["", "a", "a/b", "a/b/c"])).join(format!("file-{number}.dat"));
        fs::write(path, dice.bytes(size + extra)).unwrap();
    }
    if names >= Names::Odd {
        for (number, name) in ODD.iter().enumerate() {
            let path = folder.join("a").join(name);
            if number % 5 == 3 {
                fs::create_dir(&path).unwrap();
                fs::write(path.join(name), dice.bytes(number)).unwrap();
            } else {
                fs::write(path, dice.bytes(number)).unwrap();
            }
        }
    }
    if names >= Names::Bytes {
        for name in BYTES {
            fs::write(folder.join(OsStr::from_bytes(name)), dice.bytes(9)).unwrap();
        }
    }
    date(folder, &mut dice);
}

/// Sets a different time for everything below `folder`, in whole seconds of the years 2005 to 2024.
fn date(folder: &Path, dice: &mut Dice) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            date(&path, dice);
        }
        let seconds = 1_104_537_600 + dice.0.below(599_616_000);
        set_modified(&path, seconds);
    }
}

/// Sets the time of a file or directory, in seconds since 1970.
pub(crate) fn set_modified(path: &Path, seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    File::open(path).unwrap().set_modified(time).unwrap();
}

/// Draws from a fixed seed.
struct Dice(SeededRng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.below(end as u64)).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        self.0.one_of(from).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.0.next_u64().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// A file, directory or link of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder,
    File { size: u64, sha256: String, modified: Option<u64> },
    Link { target: PathBuf },
}

/// The content of a tree, by path below its top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest(pub(crate) BTreeMap<PathBuf, Entry>);

impl Manifest {
    /// Reads a tree. A missing directory counts as empty.
    pub(crate) fn of(folder: &Path) -> Self {
        Self::at_rest(folder).unwrap()
    }

    /// Reads a tree that may still be changing; fails if a file vanishes meanwhile.
    pub(crate) fn at_rest(folder: &Path) -> io::Result<Self> {
        let mut manifest = Self::default();
        if folder.exists() {
            manifest.read(folder, Path::new(""))?;
        }
        Ok(manifest)
    }

    fn read(&mut self, top: &Path, below: &Path) -> io::Result<()> {
        for entry in fs::read_dir(top.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            let found = if kind.is_dir() {
                self.read(top, &path)?;
                Entry::Folder
            } else if kind.is_symlink() {
                Entry::Link { target: fs::read_link(entry.path())? }
            } else {
                let bytes = fs::read(entry.path())?;
                let modified = entry.metadata()?.modified()?;
                Entry::File {
                    size: bytes.len() as u64,
                    sha256: hex(&Sha256::digest(&bytes)),
                    modified: Some(seconds(modified)),
                }
            };
            self.0.insert(path, found);
        }
        Ok(())
    }

    /// Returns the same without times, for a transfer that does not keep them.
    #[must_use]
    pub(crate) fn without_times(mut self) -> Self {
        for entry in self.0.values_mut() {
            if let Entry::File { modified, .. } = entry {
                *modified = None;
            }
        }
        self
    }

    /// Returns true if it contains a file or directory.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(Path::new(path))
    }

    /// Returns the differences of `found` from this one, a line each; empty if they are equal.
    pub(crate) fn difference(&self, found: &Self) -> String {
        let mut text = String::new();
        for (path, wanted) in &self.0 {
            let line = match (wanted, found.0.get(path)) {
                (_, None) => "is missing".to_owned(),
                (wanted, Some(found)) if wanted == found => continue,
                (wanted, Some(found)) => contrast(wanted, found),
            };
            writeln!(text, "{}: {line}", path.display()).unwrap();
        }
        for path in found.0.keys().filter(|path| !self.0.contains_key(*path)) {
            writeln!(text, "{}: should not be there", path.display()).unwrap();
        }
        text
    }
}

fn contrast(wanted: &Entry, found: &Entry) -> String {
    match (wanted, found) {
        (Entry::File { size, .. }, Entry::File { size: other, .. }) if size != other => {
            format!("has {other} bytes, not {size}")
        }
        (Entry::File { sha256, .. }, Entry::File { sha256: other, .. }) if sha256 != other => {
            "has other bytes".to_owned()
        }
        (Entry::File { modified, .. }, Entry::File { modified: other, .. }) => {
            format!("has the time {other:?}, not {modified:?}")
        }
        _ => format!("is {found:?}, not {wanted:?}"),
    }
}

/// Panics with the difference if two trees are not equal in names, types and bytes.
#[track_caller]
pub(crate) fn assert_same(wanted: &Path, found: &Path) {
    let wanted = Manifest::of(wanted).without_times();
    let difference = wanted.difference(&Manifest::of(found).without_times());
    assert!(difference.is_empty(), "the trees differ:\n{difference}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + format!("{byte:02x}").as_str())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStringExt, fs::symlink};

    use super::*;

    fn grown(seed: u64, names: Names) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        grow(folder.path(), seed, names);
        folder
    }

    #[test]
    fn a_seed_gives_the_same_tree_every_time_and_another_seed_another() {
        let (one, again, other) =
            (grown(7, Names::Bytes), grown(7, Names::Bytes), grown(8, Names::Bytes));
        assert_same(one.path(), again.path());
        let manifest = Manifest::of(one.path());
        assert_eq!(manifest, Manifest::of(again.path()), "times too");
        assert_ne!(manifest, Manifest::of(other.path()));
        assert!(manifest.has("empty") && manifest.has("a/ leading blank"));
        let bytes = PathBuf::from(std::ffi::OsString::from_vec(BYTES[0].to_vec()));
        assert!(manifest.0.contains_key(&bytes));
        assert!(!Manifest::of(grown(7, Names::Plain).path()).has("a/--delete"));
    }

    #[test]
    fn every_change_is_told_in_words() {
        let tree = grown(1, Names::Odd);
        let at = |name: &str| tree.path().join(name);
        let before = Manifest::of(tree.path());
        fs::remove_file(at("lines.txt")).unwrap();
        fs::write(at("new"), "").unwrap();
        fs::write(at("a/nothing"), "x").unwrap();
        let mut bytes = fs::read(at("a/b/large.bin")).unwrap();
        bytes[500_000] ^= 1;
        fs::write(at("a/b/large.bin"), bytes).unwrap();
        set_modified(&at("every-byte.bin"), 1_000_000_000);
        fs::remove_dir(at("empty")).unwrap();
        symlink("a", at("empty")).unwrap();
        let told = before.difference(&Manifest::of(tree.path()));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "a/b/large.bin: has other bytes");
        assert_eq!(lines[1], "a/nothing: has 1 bytes, not 0");
        assert_eq!(lines[2], "empty: is Link { target: \"a\" }, not Folder");
        assert!(lines[3].starts_with("every-byte.bin: has the time Some(1000000000), not Some("));
        assert_eq!(&lines[4..], ["lines.txt: is missing", "new: should not be there"]);
    }

    #[test]
    #[should_panic(expected = "the trees differ:\nextra: should not be there\n")]
    fn two_trees_that_differ_fail_a_test() {
        let (one, other) = (grown(1, Names::Plain), grown(1, Names::Plain));
        fs::write(other.path().join("extra"), "").unwrap();
        assert_same(one.path(), other.path());
    }
}
