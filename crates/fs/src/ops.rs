//! Local file operations for scripts: each a single call, bounded, and atomic where it writes.
//!
//! These paths are the user's own, so links in them are followed, as every other program does.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{AtomicFile, LocalEntry, RootDir, SourceFile, walk::read_folder};
use portolan_core::{
    buffer,
    cancel::CancelToken,
    encoding::to_hex,
    error::{Error, ErrorKind, Origin, Result},
    limits::COPY_BYTES,
    observe::visible::visible,
    similar::{NAMES_MAX, is_numbered_alike, nearest},
};

pub use super::glob::{glob, glob_where};

/// Returns true if `path` exists; a dangling link does not.
pub fn exists(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    path.try_exists().map_err(|error| Error::local("look at it", path, error))
}

/// Returns `fault`, with the entry most similar to `path` in its directory if the fault is that `path` does not exist.
pub fn with_nearest_name(fault: Error, path: &Path) -> Error {
    if fault.kind != ErrorKind::NotFound || path.exists() {
        return fault;
    }
    match nearest_name(path) {
        Some(near) => {
            Error { message: format!("{}; did you mean `{near}`?", fault.message), ..fault }
        }
        None => fault,
    }
}

/// Returns the path of the entry of the same directory whose name is most similar to that of `path`.
fn nearest_name(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<_> = names.take(NAMES_MAX).collect();
    let known: Vec<_> = names.iter().map(String::as_str).collect();
    let name = path.file_name()?.to_str()?;
    let near = nearest(name, &known).filter(|near| !is_numbered_alike(name, near))?;
    Some(visible(path.with_file_name(near).as_os_str().as_encoded_bytes()))
}

/// Reads a whole file of at most `limit` bytes.
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    // A file under `/proc` reports a size of 0 and has content, so the bytes read are checked against the limit, not
    // the size.
    let file = SourceFile::open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.size().min(limit)).unwrap_or(0));
    file.into_file()
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::local("read", path, error))?;
    if bytes.len() as u64 > limit {
        let message = format!("has more than {limit} bytes, too many to read at once");
        return Err(
            Error::new(ErrorKind::Invalid, Origin::Script, message).at(path.to_string_lossy())
        );
    }
    Ok(bytes)
}

/// Writes a whole file: afterwards it holds all of `bytes`, or after a failure its old content.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let mut landing = AtomicFile::begin(path)?;
    landing.write_all(bytes)?;
    landing.commit(None).map(drop)
}

/// Appends `bytes` to a file, which is created if it does not exist.
pub fn append(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| Error::local("open", path, error))?;
    file.write_all(bytes).map_err(|error| Error::local("write", path, error))
}

/// Copies a file with its permissions, and returns its size in bytes.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>, stop: &CancelToken) -> Result<u64> {
    let mut source = SourceFile::open(from)?;
    let mut target = AtomicFile::begin(to)?;
    target.ask_mode(source.mode());
    each_piece(&mut source, stop, |piece| target.write_all(piece))?;
    source.unchanged()?;
    target.commit(None)?;
    Ok(source.size())
}

/// Renames a file or directory, and replaces a file that has the new name already.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let doing = format!("rename to `{}`", to.display());
    AtomicFile::may_stand_at(from, to)?;
    fs::rename(from, to).map_err(|error| Error::local(&doing, from, error))
}

/// Removes a file, a link or an empty directory.
pub fn delete(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let removed = fs::symlink_metadata(path).and_then(|found| {
        if found.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }
    });
    removed.map_err(|error| Error::local("delete", path, error))
}

/// Creates a directory and its parents; does nothing if it exists.
pub fn make_folder(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path).map_err(|error| Error::local("make the folder", path, error))
}

/// Returns the size of a file in bytes.
pub fn size(path: impl AsRef<Path>) -> Result<u64> {
    metadata(path.as_ref()).map(|found| found.len())
}

/// Returns the modification time of a file or directory.
pub fn modified(path: impl AsRef<Path>) -> Result<Timestamp> {
    let path = path.as_ref();
    let time =
        metadata(path)?.modified().map_err(|error| Error::local("look at it", path, error))?;
    Timestamp::try_from(time).map_err(|error| {
        let message = "its time is outside of the calendar";
        Error::new(ErrorKind::Local, Origin::Here, message)
            .at(path.to_string_lossy())
            .with_source(error)
    })
}

/// Returns the entries of a directory, sorted by name.
pub fn list(path: impl AsRef<Path>, stop: &CancelToken) -> Result<Vec<LocalEntry>> {
    let mut entries = read_folder(&RootDir::open(path)?, Path::new(""), stop)?;
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Returns the SHA-256 hash of a file, in hexadecimal digits.
pub fn sha256(path: impl AsRef<Path>, stop: &CancelToken) -> Result<String> {
    let mut source = SourceFile::open(path)?;
    let mut hash = Sha256::new();
    each_piece(&mut source, stop, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    source.unchanged()?;
    Ok(to_hex(hash.finalize()))
}

fn metadata(path: &Path) -> Result<fs::Metadata> {
    fs::metadata(path).map_err(|error| Error::local("look at it", path, error))
}

/// Passes `source` to `take` in pieces until its end, or until `stop` is set.
pub(super) fn each_piece(
    source: &mut SourceFile,
    stop: &CancelToken,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut piece = vec![0; COPY_BYTES];
    loop {
        stop.check()?;
        let read = source.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        take(buffer::filled(&piece, read)?)?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_written_read_added_to_copied_renamed_and_deleted() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let stop = CancelToken::new();
        write(at("a"), b"one").unwrap();
        append(at("a"), b", two").unwrap();
        fs::set_permissions(at("a"), PermissionsExt::from_mode(0o750)).unwrap();
        assert_eq!(copy(at("a"), at("b"), &stop).unwrap(), 8);
        assert_eq!(fs::metadata(at("b")).unwrap().permissions().mode() & 0o777, 0o750);
        rename(at("b"), at("c")).unwrap();
        assert_eq!(read(at("c"), 8).unwrap(), b"one, two");
        assert_eq!(size(at("c")).unwrap(), 8);
        make_folder(at("d/e")).unwrap();
        let names: Vec<_> = list(scratch.path(), &stop)
            .unwrap()
            .into_iter()
            .map(|entry| format!("{} {}", entry.path.display(), entry.kind.as_str()))
            .collect();
        assert_eq!(names, ["a file", "c file", "d folder"]);
        delete(at("c")).unwrap();
        delete(at("d/e")).unwrap();
        assert!(!exists(at("c")).unwrap() && !exists(at("d/e")).unwrap());
    }

    #[test]
    fn what_fails_names_the_path_and_the_kind() {
        let scratch = tempfile::tempdir().unwrap();
        let gone = scratch.path().join("gone");
        let fault = read(&gone, 10).unwrap_err();
        assert_eq!((fault.kind, fault.side), (ErrorKind::NotFound, Origin::Here));
        assert_eq!(fault.path.as_deref(), gone.to_str());
        assert_eq!(fault.message, "cannot open: no such file or directory");
        assert_eq!(size(&gone).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(delete(&gone).unwrap_err().kind, ErrorKind::NotFound);

        write(&gone, b"12345").unwrap();
        let fault = read(&gone, 4).unwrap_err();
        assert_eq!(fault.message, "has more than 4 bytes, too many to read at once");
        assert_eq!(append("/dev/full", b"x").unwrap_err().kind, ErrorKind::Full);
    }

    #[test]
    fn a_file_that_says_it_is_empty_is_read_all_the_same() {
        assert!(!read("/proc/self/status", 1 << 20).unwrap().is_empty());
    }

    #[test]
    fn the_hash_is_the_one_that_other_programs_show() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        write(&path, b"abc").unwrap();
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path, &CancelToken::new()).unwrap(), hash);
    }
}
