//! The machines of a fleet, on one host.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    postgres::PostgresServer,
    program::{Portolan, Ran, Running},
    wait,
};

/// The maximum time of any wait in a test: a lease is three seconds, and the machine may be busy.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(90);
/// The lease of the machines, in seconds.
pub(crate) const LEASE: u64 = 3;

/// A fleet: one folder with the jobs file and its scripts, and one state folder for each machine.
pub(crate) struct Fleet {
    pub(crate) server: PostgresServer,
    /// The port by which the machines reach the server.
    port: u16,
    folder: TempDir,
    machines: BTreeMap<String, Running>,
}

impl Fleet {
    /// Returns a fleet without machines; `None` if PostgreSQL is not here.
    pub(crate) fn new(jobs: &str) -> Option<Self> {
        Self::behind(jobs, |server| Some(server.port()))
    }

    /// Works like [`Fleet::new`], with something in front of the server that listens at the port that `start` returns.
    pub(crate) fn behind(
        jobs: &str,
        start: impl FnOnce(&PostgresServer) -> Option<u16>,
    ) -> Option<Self> {
        let server = PostgresServer::start()?;
        let port = start(&server)?;
        let folder = tempfile::Builder::new().prefix("portolan-fleet-").tempdir().unwrap();
        let fleet = Self { server, port, folder, machines: BTreeMap::new() };
        fleet.file(
            "portolan.toml",
            &format!("[runner]\nlease = \"{LEASE}s\"\nstore = \"{}\"\n{jobs}", fleet.address()),
        );
        Some(fleet)
    }

    pub(crate) fn address(&self) -> String {
        format!("postgres://portolan@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        let new = path.with_extension("new");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns the program with the password of the database in its environment.
    pub(crate) fn program(&self) -> Portolan {
        Portolan::new().watched(self.folder.path()).env("PGPASSWORD", PostgresServer::PASSWORD)
    }

    /// Returns `portolan serve` of a machine, not yet started.
    pub(crate) fn serve(&self, name: &str, more: &[&str]) -> Portolan {
        self.serve_in(name, &format!("state-{name}"), more)
    }

    /// Works like [`Fleet::serve`], with another state folder.
    pub(crate) fn serve_in(&self, name: &str, state: &str, more: &[&str]) -> Portolan {
        let [jobs, state] = ["portolan.toml", state].map(|file| self.path(file));
        let program = self.program().args(["serve", "--name", name, "--jobs"]).args([jobs]);
        program.args(["--state"]).args([state]).args(more.iter().copied())
    }

    pub(crate) fn start(&mut self, name: &str, more: &[&str]) {
        let program = self.serve(name, more);
        self.started(name, &program);
        self.machine(name).until_stderr_has("shares the schedule of");
    }

    /// Starts a machine, and does not wait for it.
    pub(super) fn started(&mut self, name: &str, program: &Portolan) {
        self.machines.insert(name.to_owned(), program.spawn());
    }

    pub(crate) fn machine(&self, name: &str) -> &Running {
        self.machines.get(name).unwrap()
    }

    /// Kills a machine, as a power failure would.
    pub(crate) fn kill(&mut self, name: &str) {
        let running = self.machines.remove(name).unwrap();
        running.signal(Signal::KILL);
        running.wait().killed_by(9).any_stdout().any_stderr();
    }

    /// Stops a machine, as a service manager would.
    pub(crate) fn stop(&mut self, name: &str) -> Ran {
        let running = self.machines.remove(name).unwrap();
        running.signal(Signal::TERM);
        running.wait().succeeds().any_stdout()
    }

    pub(crate) fn stop_all(&mut self) {
        let names: Vec<_> = self.machines.keys().cloned().collect();
        for name in names {
            self.stop(&name).any_stderr();
        }
    }

    /// Runs a command from a host that has neither a jobs file nor a state folder.
    pub(crate) fn command(&self, words: &[&str]) -> Ran {
        self.program().args(words.iter().copied()).args(["--store", &self.address()]).run()
    }

    /// Returns the document of a command.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut ran = self.command(&[&["--json"], words].concat()).succeeds().any_stderr();
        ran.json()
    }

    /// Returns every run so far, the oldest first.
    pub(crate) fn runs(&self) -> Vec<Value> {
        let mut runs = self.json(&["runs", "--limit", "100000"]).as_array().unwrap().clone();
        runs.reverse();
        runs
    }

    /// Returns the machine with this name, as `portolan machines` has it.
    pub(crate) fn row(&self, name: &str) -> Option<Value> {
        let all = self.json(&["machines"]);
        all.as_array().unwrap().iter().find(|row| row["name"] == name).cloned()
    }

    /// Returns the name of the machine that leads, once there is one that is alive.
    #[track_caller]
    pub(crate) fn leader(&self) -> String {
        let leads = |row: &&Value| row["role"] == "leader" && row["alive"] == true;
        let found = wait::until(TIME_MAX, || {
            let all = self.json(&["machines"]);
            let leader = all.as_array().unwrap().iter().find(leads).cloned();
            leader.map(|row| row.get("name").unwrap().as_str().unwrap().to_owned())
        });
        found.unwrap_or_else(|| panic!("nobody leads: {:#}", self.json(&["machines"])))
    }

    /// Waits until the leader has planned a job, so that machines without a jobs file know it.
    pub(crate) fn until_known(&self, job: &str) {
        let known =
            || self.command(&["resume", job]).any_code().any_stdout().any_stderr().code() == 0;
        wait::until(TIME_MAX, || known().then_some(())).unwrap();
    }

    /// Waits for a run that matches `wanted`.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = wait::until(TIME_MAX, || self.runs().into_iter().find(|run| wanted(run)));
        found.unwrap_or_else(|| panic!("no such run among {:#?}", self.runs()))
    }
}

/// Returns a job with an expression; its script has its name.
pub(crate) fn job(name: &str, cron: &str, more: &str) -> String {
    format!("\n[[job]]\nname = \"{name}\"\nscript = \"{name}.rhai\"\ncron = \"{cron}\"\n{more}\n")
}

/// The expression of a job that runs when it is triggered: its only slot is 29 February.
pub(crate) const ON_REQUEST: &str = "0 0 29 2 *";
