//! A personality of the embedded server, the program against it, and what is looked at after each run.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use portolan::rehearse::{Personality, Plan, Server, Setup};
use tempfile::TempDir;

use crate::support::program::Portolan;

/// Files by their bytes: names are the server's own affair, bytes are not. Each file of a test has bytes of its own.
pub(super) type Bytes = BTreeMap<Vec<u8>, PathBuf>;

/// A server that outlives the runs of the program against it.
pub(super) struct Stand {
    personality: &'static str,
    server: Server,
    folder: TempDir,
    program: Portolan,
    complaints: Vec<String>,
}

/// What a run came to.
pub(super) struct Came {
    pub(super) code: i32,
    pub(super) said: String,
}

impl Came {
    /// Whether nothing was moved and nothing deleted.
    pub(super) fn is_quiet(&self) -> bool {
        self.said.contains("0 up, 0 down, 0 deleted")
    }
}

impl Stand {
    pub(super) fn new(personality: &'static str, faults: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-zoo-").tempdir().unwrap();
        let setup = Setup {
            personality: Some(Personality::parse(personality).unwrap()),
            plans: faults.iter().map(|fault| Plan::parse(fault).unwrap()).collect(),
            ..Setup::at(folder.path())
        };
        let server = Server::start(setup).unwrap();
        let program = Portolan::new().env("PORTOLAN_PASSWORD", "secret").args(["--no-progress"]);
        Self { personality, server, folder, program, complaints: Vec::new() }
    }

    pub(super) const fn personality(&self) -> &'static str {
        self.personality
    }

    /// The URL of a path that is written as it goes behind the slash.
    pub(super) fn url(&self, path: &str) -> String {
        format!("ftp://tester@{}/{path}", self.server.address())
    }

    /// Where the program works.
    pub(super) fn here(&self, path: &str) -> PathBuf {
        self.program.folder().join(path)
    }

    /// A place on the disk of the server.
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

    /// The files on the server, without what it keeps for itself and what portolan remembers there.
    pub(super) fn server_files(&self) -> Bytes {
        let mut files = files(self.folder.path());
        files.retain(|_, path| !path.ends_with(".ftpquota") && !path.ends_with(".portolan-state"));
        files
    }

    /// How many commands the server has got that begin so.
    pub(super) fn commands(&self, begin: &str) -> usize {
        self.server.log().iter().filter(|line| line.contains(begin)).count()
    }

    /// Notes what is not as it must be.
    pub(super) fn demand(&mut self, holds: bool, step: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.complaints.push(format!("{}: {step}: {}", self.personality, what()));
        }
    }

    /// What was not as it must be, with the dialogue where that is asked for.
    pub(super) fn complaints(self) -> Vec<String> {
        if shows_runs() && !self.complaints.is_empty() {
            say(&self.server.log().join("\n"));
        }
        self.complaints
    }
}

/// Shows a line past the capture of the output.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Whether runs and dialogues are shown, for a look at one personality.
fn shows_runs() -> bool {
    std::env::var_os("PORTOLAN_ZOO_LOG").is_some()
}

pub(super) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// All files below a folder.
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

/// The paths of what is in `wanted` and not in `found`.
pub(super) fn lacking(wanted: &Bytes, found: &Bytes) -> Vec<PathBuf> {
    let missing = wanted.iter().filter(|(bytes, _)| !found.contains_key(*bytes));
    missing.map(|(_, path)| path.clone()).collect()
}
