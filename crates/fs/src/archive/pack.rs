//! The files that go into an archive.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{LocalKind, RootDir, SourceFile, walk};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, Result},
};

/// A file or directory that goes into an archive.
pub(super) struct PackEntry {
    /// The name in the archive.
    pub(super) name: PathBuf,
    /// Its place; `None` for a directory.
    pub(super) place: Option<PackPlace>,
    pub(super) mode: u32,
    pub(super) modified: Timestamp,
}

/// The place of a file, which is opened when its turn comes.
pub(super) enum PackPlace {
    Alone(PathBuf),
    Below(std::rc::Rc<RootDir>, PathBuf),
}

impl PackPlace {
    pub(super) fn open(&self) -> Result<(File, u64)> {
        let source = match self {
            Self::Alone(path) => SourceFile::open(path)?,
            Self::Below(root, relative) => SourceFile::open_in(root, relative)?,
        };
        let size = source.size();
        Ok((source.into_file(), size))
    }
}

/// Returns what `sources` have: a file by its own name, a directory by what is in it. No link is followed.
pub(super) fn entries(sources: &[PathBuf], stop: &CancelToken) -> Result<Vec<PackEntry>> {
    let mut all = Vec::new();
    for source in sources {
        let found =
            std::fs::metadata(source).map_err(|error| Error::local("look at it", source, error))?;
        if found.is_dir() {
            folder(source, sources.len() > 1, &mut all, stop)?;
        } else {
            let file = SourceFile::open(source)?;
            all.push(PackEntry {
                name: last_name(source),
                place: Some(PackPlace::Alone(source.clone())),
                mode: file.mode(),
                modified: file.modified(),
            });
        }
    }
    let mut names: Vec<_> = all.iter().map(|entry| &entry.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        let name = twice.first().map(|name| name.display().to_string()).unwrap_or_default();
        return Err(Error::invalid(format!("two files would be `{name}` in the archive")));
    }
    Ok(all)
}

/// Adds what is in a directory; one of several keeps its own name.
fn folder(
    source: &Path,
    is_one_of_several: bool,
    all: &mut Vec<PackEntry>,
    stop: &CancelToken,
) -> Result<()> {
    let root = std::rc::Rc::new(RootDir::open(source)?);
    let found = walk(&root, stop)?;
    if let Some((_, error)) = found.unread.into_iter().next() {
        return Err(error);
    }
    let top = if is_one_of_several { last_name(source) } else { PathBuf::new() };
    for entry in found.entries {
        let place = match entry.kind {
            LocalKind::Folder => None,
            LocalKind::File => {
                Some(PackPlace::Below(std::rc::Rc::clone(&root), entry.path.clone()))
            }
            LocalKind::Link | LocalKind::Other => continue,
        };
        let name = top.join(&entry.path);
        all.push(PackEntry { name, place, mode: entry.mode, modified: entry.modified });
    }
    Ok(())
}

fn last_name(path: &Path) -> PathBuf {
    path.file_name().map_or_else(|| PathBuf::from("archive"), PathBuf::from)
}
