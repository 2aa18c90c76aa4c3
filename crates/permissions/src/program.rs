//! Programs that are allowed.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A program that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProgramGrant {
    /// The name, or the path.
    text: String,
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
}

impl ProgramGrant {
    /// Returns the grant of `text`: a name that is searched for in `PATH`, or a path.
    pub(super) fn new(text: &str, base: &Path) -> Self {
        Self { text: text.to_owned(), file: find(text, base) }
    }

    /// Returns true if it allows `program`, which is the file `found`. Two names are one program if they are the same file
    /// in the same directory: `ls` and `sh` may be links to one file, and are not the same.
    pub(super) fn matches(&self, program: &str, found: Option<&Path>) -> bool {
        match (&self.file, found) {
            _ if self.text == "*" => true,
            (Some(own), Some(found)) => own == found,
            // There is no such program, which is told where it is started.
            (None, None) => self.text == program,
            _ => self.text == program && !program.contains('/'),
        }
    }
}

/// Returns the file that `program` means: itself if it contains a slash, else the first of that name in `PATH`. The
/// directory is the real one, the last part is not followed.
pub(super) fn find(program: &str, base: &Path) -> Option<PathBuf> {
    if program.is_empty() || program.contains('\0') {
        return None;
    }
    if program.contains('/') {
        return executable(&base.join(program));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).find_map(|folder| executable(&base.join(folder).join(program)))
}

fn executable(file: &Path) -> Option<PathBuf> {
    let found = file.metadata().ok()?;
    let is_program = found.is_file() && found.permissions().mode() & 0o111 != 0;
    let folder = file.parent()?.canonicalize().ok()?;
    is_program.then_some(folder.join(file.file_name()?))
}
