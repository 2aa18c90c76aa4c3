//! A personality of the embedded server, the program against it, and the checks after each run.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use portolan::rehearse::{FaultPlan, Personality, ServerSetup, TestServer};
use tempfile::TempDir;

use crate::support::program::Portolan;

/// The files by their bytes: the server may change names, but not bytes. Each file of a test has bytes of its own.
pub(super) type Bytes = BTreeMap<Vec<u8>, PathBuf>;

/// A server that outlives the runs of the program against it.
pub(super) struct Stand {
    personality: &'static str,
    server: TestServer,
    folder: TempDir,
    program: Portolan,
    complaints: Vec<String>,
}

/// The result of a run.
pub(super) struct Came {
    pub(super) code: i32,
    pub(super) said: String,
}

impl Came {
    /// Returns true if no file was moved and none deleted.
    pub(super) fn is_quiet(&self) -> bool {
        self.said.contains("0 up, 0 down, 0 deleted")
    }
}

impl Stand {
    pub(super) fn new(personality: &'static str, faults: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-zoo-").tempdir().unwrap();
        let setup = ServerSetup {
            personality: Some(Personality::parse(personality).unwrap()),
            plans: faults.iter().map(|fault| FaultPlan::parse(fault).unwrap()).collect(),
            ..ServerSetup::at(folder.path())
        };
        let server = TestServer::start(setup).unwrap();
        let program =
            Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args(["--no-progress"]);
        Self { personality, server, folder, program, complaints: Vec::new() }
    }

    pub(super) const fn personality(&self) -> &'static str {
        self.personality
    }

    /// Returns the URL of a path that is written as it appears after the slash.
    pub(super) fn url(&self, path: &str) -> String {
        format!("ftp://tester@{}/{path}", self.server.address())
    }

    /// Returns a local path in the working directory.
    pub(super) fn here(&self, path: &str) -> PathBuf {
        self.program.folder().join(path)
    }

    /// Returns a path on the disk of the server.
    pub(super) fn there(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(super) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write(&self.here(path), bytes);
    }

    /// Runs the program to its end.
    pub(super) fn run(&self, args: &[&str]) -> Came {
        let ran =
            self.program.clone_with(args).run().any_end().any_files().any_stdout().any_stderr();
        let said = format!("{}{}", ran.stdout_text(), ran.stderr_text());
        if shows_runs() {
            let last = said.lines().next().unwrap_or_default();
            say(&format!("{}: {args:?}: exit {}: {last}", self.personality, ran.code()));
        }
        Came { code: ran.code(), said }
    }

    /// Returns the files on the server, without its own and without portolan's state.
    pub(super) fn server_files(&self) -> Bytes {
        let mut files = files(self.folder.path());
        files.retain(|_, path| !path.ends_with(".ftpquota") && !path.ends_with(".portolan-state"));
        files
    }

    /// Returns the number of commands that the server has received and that begin with `begin`.
    pub(super) fn commands(&self, begin: &str) -> usize {
        self.server.log().iter().filter(|line| line.contains(begin)).count()
    }

    /// Records a failure unless `holds`.
    pub(super) fn demand(&mut self, holds: bool, step: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.complaints.push(format!("{}: {step}: {}", self.personality, what()));
        }
    }

    /// Returns the failures, with the dialogue if that is requested.
    pub(super) fn complaints(self) -> Vec<String> {
        if shows_runs() && !self.complaints.is_empty() {
            say(&self.server.log().join("\n"));
        }
        self.complaints
    }
}

/// Prints a line past the capture of the output.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Returns true if runs and dialogues are to be shown, to examine one personality.
fn shows_runs() -> bool {
    std::env::var_os("PORTOLAN_ZOO_LOG").is_some()
}

pub(super) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Returns all files below a directory.
pub(super) fn files(folder: &Path) -> Bytes {
    let mut found = Bytes::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                found.insert(bytes, path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found
}

/// Returns the paths of the files that are in `wanted` and not in `found`.
pub(super) fn lacking(wanted: &Bytes, found: &Bytes) -> Vec<PathBuf> {
    let missing = wanted.iter().filter(|(bytes, _)| !found.contains_key(*bytes));
    missing.map(|(_, path)| path.clone()).collect()
}
