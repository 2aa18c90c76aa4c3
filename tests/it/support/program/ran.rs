//! The result of a run, and the checks of a test on it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use super::Folders;
use crate::support::tree::{Entry, Manifest};

/// A run that has ended. Each check covers one part of the result; parts without a check must be empty when this is
/// dropped: the exit code 0, no output, no errors, no changed files.
pub(crate) struct Ran {
    code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
    folders: Arc<Folders>,
    open: Open,
}

/// The parts of the result that no check has covered yet.
struct Open {
    code: bool,
    stdout: bool,
    stderr: bool,
    /// The files and directories that have changed.
    changes: BTreeSet<PathBuf>,
}

impl Ran {
    pub(super) fn new(
        code: Option<i32>,
        signal: Option<i32>,
        [stdout, stderr]: [String; 2],
        folders: Arc<Folders>,
        before: &Manifest,
    ) -> Self {
        let after = Manifest::of(folders.work.path());
        let all = before.0.keys().chain(after.0.keys());
        let differs = |path: &&PathBuf| before.0.get(*path) != after.0.get(*path);
        let changes = all.filter(differs).cloned().collect();
        let open = Open { code: true, stdout: true, stderr: true, changes };
        Self { code, signal, stdout, stderr, folders, open }
    }

    /// Returns its working directory.
    pub(crate) fn folder(&self) -> &Path {
        self.folders.work.path()
    }

    pub(crate) fn stdout_text(&self) -> &str {
        &self.stdout
    }

    pub(crate) fn stderr_text(&self) -> &str {
        &self.stderr
    }

    /// Checks that it ended with 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.fails_with(0)
    }

    /// Checks that it ended with this exit code.
    #[track_caller]
    pub(crate) fn fails_with(mut self, code: i32) -> Self {
        self.open.code = false;
        self.check(self.code == Some(code), &format!("the exit code is not {code}"));
        self
    }

    /// Accepts any exit code.
    pub(crate) fn any_code(mut self) -> Self {
        self.open.code = false;
        self
    }

    /// Checks that this signal ended it.
    #[track_caller]
    pub(crate) fn killed_by(mut self, signal: i32) -> Self {
        self.open.code = false;
        self.check(self.signal == Some(signal), &format!("signal {signal} did not end it"));
        self
    }

    /// Accepts any exit code and any signal.
    pub(crate) fn any_end(mut self) -> Self {
        self.open.code = false;
        self
    }

    /// Returns its exit code, or 128 plus the signal that ended it, as shells do.
    pub(crate) fn code(&self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or_default())
    }

    /// Returns true if a signal ended it.
    pub(crate) const fn was_killed(&self) -> bool {
        self.signal.is_some()
    }

    /// Checks that its output is exactly this.
    #[track_caller]
    pub(crate) fn stdout(mut self, text: &str) -> Self {
        self.open.stdout = false;
        self.check(self.stdout == text, &format!("stdout is not:\n{text}"));
        self
    }

    /// Checks that its errors and notes are exactly these.
    #[track_caller]
    pub(crate) fn stderr(mut self, text: &str) -> Self {
        self.open.stderr = false;
        self.check(self.stderr == text, &format!("stderr is not:\n{text}"));
        self
    }

    #[track_caller]
    pub(crate) fn stdout_has(mut self, text: &str) -> Self {
        self.open.stdout = false;
        self.check(self.stdout.contains(text), &format!("stdout does not have {text:?}"));
        self
    }

    #[track_caller]
    pub(crate) fn stderr_has(mut self, text: &str) -> Self {
        self.open.stderr = false;
        self.check(self.stderr.contains(text), &format!("stderr does not have {text:?}"));
        self
    }

    /// Checks that neither output nor errors contain this text, such as a password.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        self.check(!said, &format!("it said {text:?}"));
        self
    }

    /// Accepts any output.
    pub(crate) fn any_stdout(mut self) -> Self {
        self.open.stdout = false;
        self
    }

    /// Accepts any errors and notes.
    pub(crate) fn any_stderr(mut self) -> Self {
        self.open.stderr = false;
        self
    }

    /// Drops it without checks: another run counts.
    pub(crate) fn forget(mut self) {
        self.open = Open { code: false, stdout: false, stderr: false, changes: BTreeSet::new() };
    }

    /// Returns its output, parsed as one JSON document.
    #[track_caller]
    pub(crate) fn json(&mut self) -> serde_json::Value {
        self.open.stdout = false;
        let read = serde_json::from_str(&self.stdout);
        self.check(read.is_ok(), "stdout is not one JSON document");
        read.unwrap()
    }

    /// Checks that it made or changed this file, which has these bytes now.
    #[track_caller]
    pub(crate) fn wrote(mut self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        self.settle(path);
        let found = fs::read(self.folder().join(path)).ok();
        let found = found.as_deref().map(String::from_utf8_lossy);
        let wanted = String::from_utf8_lossy(bytes.as_ref());
        let what = format!("{} has not {wanted:?} but {found:?}", path.display());
        self.check(found.as_deref() == Some(&*wanted), &what);
        self
    }

    /// Checks that it made or changed this directory, which has this content now. Times do not count.
    #[track_caller]
    pub(crate) fn wrote_tree(mut self, path: impl AsRef<Path>, wanted: &Manifest) -> Self {
        let path = path.as_ref();
        self.settle(path);
        self.open.changes.retain(|changed| !changed.starts_with(path));
        let found = Manifest::of(&self.folder().join(path)).without_times();
        let difference = wanted.clone().without_times().difference(&found);
        self.check(difference.is_empty(), &format!("below {}:\n{difference}", path.display()));
        self
    }

    /// Checks that it removed this file or directory.
    #[track_caller]
    pub(crate) fn removed(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        self.settle(path);
        self.open.changes.retain(|changed| !changed.starts_with(path));
        let gone = self.folder().join(path).symlink_metadata().is_err();
        self.check(gone, &format!("{} is still there", path.display()));
        self
    }

    /// Accepts any changes of files in its directory.
    pub(crate) fn any_files(mut self) -> Self {
        self.open.changes.clear();
        self
    }

    /// Marks a change at `path` as checked, with the new directories above it.
    #[track_caller]
    fn settle(&mut self, path: &Path) {
        let changed = self.open.changes.iter().any(|changed| changed.starts_with(path));
        self.check(changed, &format!("{} is as it was", path.display()));
        for above in path.ancestors() {
            self.open.changes.remove(above);
        }
    }

    #[track_caller]
    fn check(&self, holds: bool, what: &str) {
        assert!(holds, "{what}\n{}", self.report());
    }

    fn report(&self) -> String {
        let end = match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {signal:?}"),
        };
        format!("== {end}\n== stdout\n{}\n== stderr\n{}", self.stdout, self.stderr)
    }

    /// Returns the unexpected results that no check has covered.
    fn unstated(&self) -> Option<String> {
        if self.open.code && self.code != Some(0) {
            return Some("it did not succeed".into());
        }
        for (open, name, text) in
            [(self.open.stdout, "stdout", &self.stdout), (self.open.stderr, "stderr", &self.stderr)]
        {
            if open && !text.is_empty() {
                return Some(format!("the test expects nothing on {name}"));
            }
        }
        let first = self.open.changes.iter().next()?;
        let kind = Manifest::of(self.folder()).0.remove(first);
        let how = match kind {
            Some(Entry::Folder) => "this folder to be made",
            Some(_) => "this file to be made or changed",
            None => "this to be removed",
        };
        Some(format!("the test does not expect {how}: {}", first.display()))
    }
}

impl Drop for Ran {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        if let Some(what) = self.unstated() {
            panic!("{what}\n{}", self.report());
        }
    }
}
