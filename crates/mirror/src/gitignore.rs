//! The `.gitignore` files of a local directory tree, as git reads them: those of a directory come after those above it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::tree::{above, join};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{DEPTH_MAX, ENTRIES_MAX, IGNORE_FILE_BYTES_MAX},
    observe::visible::visible,
};

/// The name of the files.
const NAME: &str = ".gitignore";
/// The origin of the pattern that leaves out git's own directory.
const OWN: &str = "a default of --gitignore";

/// The pattern that decides about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PatternMatch<'p> {
    /// True if the path matches, and false if the pattern begins with `!`.
    pub(super) is_match: bool,
    /// The pattern as it was written.
    pub(super) text: &'p str,
    /// Its origin.
    pub(super) from: &'p Path,
}

impl<'p> PatternMatch<'p> {
    pub(super) fn of(found: &ignore::Match<&'p ignore::gitignore::Glob>) -> Option<Self> {
        let glob = found.inner().copied()?;
        let from = glob.from().unwrap_or(Path::new(""));
        Some(Self { is_match: found.is_ignore(), text: glob.original(), from })
    }
}

/// The patterns of the `.gitignore` files of a tree.
#[derive(Debug, Clone)]
pub(super) struct GitignoreFiles {
    /// The pattern for git's own directory.
    own: Gitignore,
    /// The patterns of each directory that has such a file.
    folders: BTreeMap<Vec<u8>, Gitignore>,
}

impl GitignoreFiles {
    /// Reads the files below `top`, without those of directories that they leave out. Links are not followed.
    pub(super) fn read(top: &Path) -> Result<Self> {
        let mut own = GitignoreBuilder::new("");
        own.add_line(Some(PathBuf::from(OWN)), ".git").map_err(|error| broken(&error))?;
        let own = own.build().map_err(|error| broken(&error))?;
        let mut files = Self { own, folders: BTreeMap::new() };
        let mut waiting = vec![(Vec::new(), 0)];
        let mut seen = 0_usize;
        while let Some((folder, depth)) = waiting.pop() {
            let place = top.join(OsStr::from_bytes(&folder));
            files.add(&folder, &place.join(NAME))?;
            let Ok(entries) = fs::read_dir(&place) else { continue };
            for entry in entries.flatten() {
                seen += 1;
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let path = join(&folder, entry.file_name().as_bytes());
                let is_out = || files.matched(&path, true).is_some_and(|found| found.is_match);
                if is_folder && depth < DEPTH_MAX && !is_out() {
                    waiting.push((path, depth + 1));
                }
            }
            if seen > ENTRIES_MAX {
                let message = format!("more than {ENTRIES_MAX} entries are below it");
                let fault = Error::new(ErrorKind::Guard, Origin::Here, message);
                return Err(fault.at(top.to_string_lossy()));
            }
        }
        Ok(files)
    }

    fn add(&mut self, folder: &[u8], file: &Path) -> Result<()> {
        // As for git, a link is no file of patterns; one in another encoding is.
        if !fs::symlink_metadata(file).is_ok_and(|found| found.is_file()) {
            return Ok(());
        }
        let bytes = pattern_bytes(file)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = without_mark(&text);
        let shown = visible(join(folder, NAME.as_bytes()));
        let mut builder = GitignoreBuilder::new("");
        for (number, line) in (1..).zip(text.lines()) {
            let from = format!("line {number} of {shown}");
            // A line that git would not understand either matches nothing.
            if let Err(error) = builder.add_line(Some(PathBuf::from(from)), line) {
                tracing::debug!(target: "portolan", "line {number} of {shown}: {error}");
            }
        }
        self.folders.insert(folder.to_vec(), builder.build().map_err(|error| broken(&error))?);
        Ok(())
    }

    /// Returns the pattern that decides about `path`; `None` if none matches.
    pub(super) fn matched(&self, path: &[u8], is_folder: bool) -> Option<PatternMatch<'_>> {
        let own = self.own.matched(Path::new(OsStr::from_bytes(path)), is_folder);
        if let Some(found) = PatternMatch::of(&own) {
            return Some(found);
        }
        above(path).chain([&b""[..]]).find_map(|folder| {
            let skipped = if folder.is_empty() { 0 } else { folder.len() + 1 };
            let below = Path::new(OsStr::from_bytes(path.get(skipped..)?));
            PatternMatch::of(&self.folders.get(folder)?.matched(below, is_folder))
        })
    }
}

/// Returns the text of the file of patterns at `path`; empty if there is none.
pub(super) fn pattern_file(path: &Path) -> Result<String> {
    let text = String::from_utf8(pattern_bytes(path)?).map_err(|_| {
        Error::invalid("the file of patterns is not UTF-8").at(path.to_string_lossy())
    })?;
    Ok(without_mark(&text).to_owned())
}

/// Returns `text` without the byte order mark with which some editors begin a file.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Returns the content of the file at `path`; nothing if there is none. Fails if it has more than may be read: what is
/// excluded at its end would be sent.
fn pattern_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(IGNORE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if u64::try_from(count).is_ok_and(|count| count <= IGNORE_FILE_BYTES_MAX) => {
            Ok(bytes)
        }
        Ok(_) => {
            let message = format!(
                "a file of patterns of more than {IGNORE_FILE_BYTES_MAX} bytes is not read"
            );
            Err(Error::invalid(message).at(path.to_string_lossy()))
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(Error::local("read the patterns", path, error)),
    }
}

fn broken(error: &ignore::Error) -> Error {
    Error::invalid(format!("cannot read the patterns of {NAME}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_deepest_folder_decides() {
        let top = tempfile::tempdir().unwrap();
        for (path, text) in [
            (".gitignore", "*.log\n/build\nnode_modules/\n"),
            ("src/.gitignore", "!keep.log\n/local\n"),
            ("build/.gitignore", "!*\n"),
            ("src/deep/a.log", ""),
        ] {
            let file = top.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let files = GitignoreFiles::read(top.path()).unwrap();
        for (path, is_folder, wanted) in [
            ("a.log", false, Some(true)),
            ("src/a.log", false, Some(true)),
            ("src/keep.log", false, Some(false)),
            ("src/deep/keep.log", false, Some(false)),
            ("src/local", false, Some(true)),
            ("src/deep/local", false, None),
            ("build", true, Some(true)),
            ("src/build", true, None),
            ("x/node_modules", true, Some(true)),
            (".git", true, Some(true)),
            ("sub/.git", false, Some(true)),
            (".gitignore", false, None),
        ] {
            let found = files.matched(path.as_bytes(), is_folder).map(|found| found.is_match);
            assert_eq!(found, wanted, "{path}");
        }
        assert!(!files.folders.contains_key(&b"build"[..]), "what is left out is not read");
    }
}
