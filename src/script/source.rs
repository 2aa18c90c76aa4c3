//! A script's text and the file from which it was read.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    files::{ops::with_nearest_name, owned},
    limits::SCRIPT_FILE_BYTES_MAX,
    observe::visible::visible,
};

/// A script as it was read.
#[derive(Debug, Clone)]
pub struct ScriptSource {
    text: String,
    shown: String,
    /// The folder that its imports must not leave.
    root: PathBuf,
    /// True if it and its imports must be files that no other user can change.
    is_guarded: bool,
    /// True if it comes with the program.
    is_own: bool,
}

impl ScriptSource {
    /// Reads the script at `path`; its imports stay in its folder.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read_text(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let root = folder.unwrap_or(Path::new(".")).to_owned();
        let shown = visible(path.as_os_str().as_encoded_bytes());
        Ok(Self { text, shown, root, is_guarded: false, is_own: false })
    }

    /// Reads a script that runs unattended: it and its imports must be files that no other user can change.
    pub fn read_guarded(path: impl AsRef<Path>) -> Result<Self> {
        owned::guard(path.as_ref())?;
        Ok(Self { is_guarded: true, ..Self::read(path)? })
    }

    /// Reads the text of a script from standard input.
    pub fn read_standard_input() -> Result<String> {
        let mut bytes = Vec::new();
        let input = std::io::stdin().lock().take(SCRIPT_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        input.map_err(|error| Error::local("read the script", "standard input", error))?;
        text_of_bytes(bytes, "standard input")
    }

    /// Creates a script without a file; it imports from `root`.
    pub fn from_text(
        text: impl Into<String>,
        shown: impl Into<String>,
        root: impl Into<PathBuf>,
    ) -> Self {
        let (text, shown, root) = (text.into(), shown.into(), root.into());
        Self { text, shown, root, is_guarded: false, is_own: false }
    }

    /// Creates one that comes with the program, for work that `shown` names.
    pub fn of_program(text: &str, shown: String, root: &Path) -> Self {
        Self { is_own: true, ..Self::from_text(text, shown, root) }
    }

    /// Returns true if it comes with the program: its lines say nothing to users.
    pub const fn is_own(&self) -> bool {
        self.is_own
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the file's name for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the text of the file that an error names: this script, or one of its imports.
    pub fn text_of(&self, file: &str) -> Option<String> {
        if file == self.shown {
            return Some(self.text.clone());
        }
        read_text(Path::new(file)).ok()
    }

    /// Returns true if its imports must be files that no other user can change.
    pub const fn is_guarded(&self) -> bool {
        self.is_guarded
    }

    /// Returns the folder that its imports must not leave.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Returns the text of the script file at `path`.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let cannot = |error| Error::local("read the script", path, error);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| with_nearest_name(cannot(error), path))?;
    file.take(SCRIPT_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    text_of_bytes(bytes, &path.to_string_lossy())
}

/// Returns the text of a script from its bytes, of which no more than one beyond the limit were read.
fn text_of_bytes(bytes: Vec<u8>, shown: &str) -> Result<String> {
    if bytes.len() as u64 > SCRIPT_FILE_BYTES_MAX {
        let message = format!("a script of more than {SCRIPT_FILE_BYTES_MAX} bytes is not read");
        return Err(Error::invalid(message).at(shown));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::invalid(format!("the script is not UTF-8 (byte {at})")).at(shown)
    })?;
    Ok(plain(&text))
}

/// Returns the text as the language reads it: without the byte order mark of some editors, and with the shebang line
/// `#!/usr/bin/env …` as a comment of the same length.
fn plain(text: &str) -> String {
    let mut text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    if text.starts_with("#!") {
        // `///` and `//!` begin documentation, which must stand before a function.
        let is_documentation = matches!(text.as_bytes().get(2), Some(b'/' | b'!'));
        let comment = if is_documentation { "// " } else { "//" };
        text.replace_range(..comment.len(), comment);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_shell_and_a_byte_order_mark_are_no_part_of_a_script() {
        for (written, read) in [
            ("#!/usr/bin/env portolan\nprint(1);", "// usr/bin/env portolan\nprint(1);"),
            ("#!!\n1", "// \n1"),
            ("\u{feff}print(1);", "print(1);"),
            ("\u{feff}#!x\r\n1", "//x\r\n1"),
            ("#{ a: 1 }", "#{ a: 1 }"),
            ("1;\n#!x", "1;\n#!x"),
            ("", ""),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.rhai");
            std::fs::write(&path, written).unwrap();
            assert_eq!(ScriptSource::read(&path).unwrap().text(), read, "{written:?}");
        }
    }
}
