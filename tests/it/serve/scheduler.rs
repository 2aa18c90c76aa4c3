//! A jobs file in a directory of its own, and the scheduler that runs it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    program::{Portolan, Ran, Running},
    wait,
};

/// The maximum time of any wait in a test: a busy machine starts a process in a second or two.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(50);

pub(crate) struct Scheduler {
    folder: TempDir,
    environment: Vec<(String, String)>,
    running: Option<Running>,
}

impl Scheduler {
    /// Returns one with these jobs, not yet started, and with short retry delays.
    pub(crate) fn new(jobs: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-serve-").tempdir().unwrap();
        let scheduler = Self { folder, environment: Vec::new(), running: None };
        scheduler.jobs(jobs);
        scheduler
    }

    pub(crate) fn jobs(&self, jobs: &str) {
        self.file("portolan.toml", &format!("[runner]\nstate = \"state\"\n{jobs}"));
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Atomically, as editors do.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn program(&self) -> Portolan {
        let mut program = Portolan::new().watched(self.folder.path());
        for (name, value) in &self.environment {
            program = program.env(name, value);
        }
        program
    }

    /// Returns `portolan serve`, not yet started.
    pub(crate) fn serve(&self, more: &[&str]) -> Portolan {
        let jobs = self.path("portolan.toml");
        self.program().args(["serve", "--jobs"]).args([jobs]).args(more.iter().copied())
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    pub(crate) fn start_with(&mut self, more: &[&str]) {
        let running = self.serve(more).spawn();
        running.until_stderr_has("jobs, state in");
        self.running = Some(running);
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Kills it, as a power failure would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.signal(Signal::KILL);
        running.wait().killed_by(9).any_stdout().any_stderr();
    }

    /// Stops it, as a service manager would.
    pub(crate) fn stop(&mut self) -> Ran {
        let running = self.running.take().unwrap();
        running.signal(Signal::TERM);
        running.wait().succeeds().any_stdout().any_stderr()
    }

    /// Runs another command on the same jobs and state.
    pub(crate) fn command(&self, words: &[&str]) -> Ran {
        let jobs = self.path("portolan.toml");
        self.program().args(words.iter().copied()).args(["--jobs"]).args([jobs]).run()
    }

    /// Returns every run so far, the oldest first.
    pub(crate) fn runs(&self) -> Vec<Value> {
        if !self.state().join("portolan.db").exists() {
            return Vec::new();
        }
        let ran = self.command(&["--json", "runs", "--limit", "100000"]);
        let mut ran = ran.succeeds().any_stderr();
        let mut runs = ran.json().as_array().unwrap().clone();
        runs.reverse();
        runs
    }

    /// Returns one run with all its parts.
    pub(crate) fn show(&self, id: &Value) -> Value {
        let mut ran = self.command(&["--json", "show", &id.to_string()]).succeeds();
        ran.json()
    }

    /// Waits for a run that matches `wanted`.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = wait::until(TIME_MAX, || self.runs().into_iter().find(|run| wanted(run)));
        found.unwrap_or_else(|| panic!("no such run among {:#?}", self.runs()))
    }

    /// Waits for a run of `job` with this outcome.
    #[track_caller]
    pub(crate) fn until_outcome(&self, job: &str, outcome: &str) -> Value {
        self.until(|run| run["job"] == job && run["outcome"] == outcome)
    }

    /// Returns the process ids of its runs.
    pub(crate) fn children(&self) -> Vec<u32> {
        children_of(self.folder.path())
    }
}

/// Returns the ids of the processes that run an attempt with its script in `folder`.
fn children_of(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("--as-child") && line.contains(folder) {
            found.push(id);
        }
    }
    found
}

/// Returns a job whose only slot is 29 February: it runs when it is triggered.
pub(crate) fn on_request(name: &str, more: &str) -> String {
    format!(
        "\n[[job]]\nname = \"{name}\"\nscript = \"{name}.rhai\"\ncron = \"0 0 29 2 *\"\n{more}\n"
    )
}
