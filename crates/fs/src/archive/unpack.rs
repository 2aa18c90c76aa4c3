//! Unpacking into a directory: all files or none.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{AtomicFile, UnpackCount, Unpacked};
use crate::{RootDir, StagedFile};
use portolan_core::error::Result;

/// Files that wait under temporary names until the archive has been read to its end. Those that are not placed are
/// removed.
pub(super) struct Unpacking<'a> {
    root: &'a RootDir,
    waiting: Vec<(StagedFile, PathBuf)>,
    folders: Vec<PathBuf>,
    pub(super) left_out: Vec<String>,
}

impl<'a> Unpacking<'a> {
    pub(super) const fn new(root: &'a RootDir) -> Self {
        Self { root, waiting: Vec::new(), folders: Vec::new(), left_out: Vec::new() }
    }

    /// Adds a directory.
    pub(super) fn folder(&mut self, path: PathBuf) {
        self.folders.push(path);
    }

    /// Adds a file with its content.
    pub(super) fn file(
        &mut self,
        path: PathBuf,
        content: &mut impl Read,
        (mode, modified): (Option<u32>, Option<Timestamp>),
        meter: &mut UnpackCount<'_>,
    ) -> Result<()> {
        let mut file = AtomicFile::begin_apart(self.root, "", None)?;
        if let Some(mode) = mode {
            file.ask_mode(mode);
        }
        meter.copy(content, &mut file)?;
        let staged = file.hold(self.root, "", &path, modified)?;
        self.waiting.push((staged, path));
        Ok(())
    }

    /// Gives all files their names.
    pub(super) fn place(mut self) -> Result<Unpacked> {
        for folder in std::mem::take(&mut self.folders) {
            self.root.make_folder(folder)?;
        }
        let mut unpacked = Unpacked::default();
        for (staged, path) in &self.waiting {
            self.root.make_folder(path.parent().unwrap_or(Path::new("")))?;
            staged.place(self.root)?;
            unpacked.files.push(path.clone());
        }
        self.waiting.clear();
        unpacked.left_out = std::mem::take(&mut self.left_out);
        Ok(unpacked)
    }
}

impl Drop for Unpacking<'_> {
    fn drop(&mut self) {
        for (staged, _) in &self.waiting {
            // What is placed already has its name, and stays; an error here cannot be reported any more.
            staged.drop_file(self.root).ok();
        }
    }
}
