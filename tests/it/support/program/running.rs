//! The program while it runs.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{
    Folders, Ran,
    leaks::{FilesBefore, Leak, SecretSearch, UsersSecrets, is_searchable, is_users_file},
};
use crate::support::{tree::Manifest, wait};

/// The time after which it is killed and the test fails.
const TIME_MAX: Duration = Duration::from_mins(3);

/// The running program; killed with all its children when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    folders: Arc<Folders>,
    before: Manifest,
    traces: RunTraces,
}

/// The places in which a run must leave none of its secrets.
#[derive(Debug)]
pub(super) struct RunTraces {
    pub(super) secrets: BTreeSet<String>,
    /// The files of the working directory before the run, which the test has written.
    pub(super) before: FilesBefore,
    pub(super) folders: Vec<PathBuf>,
    /// The working directory.
    pub(super) work: PathBuf,
    /// True if it may print secrets, and write them into the working directory.
    pub(super) tells: bool,
}

impl RunTraces {
    /// Returns the first secret in what it `said`, or in what it has left behind.
    fn leak(&self, said: [(&str, &[u8]); 2]) -> Option<Leak> {
        // A test may give it secrets while it runs.
        let mut secrets = self.secrets.clone();
        let written = self.folders.iter().map(|folder| UsersSecrets::below(folder).values);
        secrets.extend(written.flatten());
        secrets.retain(|text| is_searchable(text));
        let search = SecretSearch::of(&secrets)?;
        let is_users =
            |path: &Path| is_users_file(path) || self.tells_in(path) || self.before.has(path);
        let in_said = said.iter().filter(|_| !self.tells);
        in_said
            .filter_map(|(place, bytes)| search.in_text(place, bytes))
            .chain(self.folders.iter().filter_map(|folder| search.below(folder, &is_users)))
            .next()
    }

    fn tells_in(&self, path: &Path) -> bool {
        self.tells && path.starts_with(&self.work)
    }
}

impl Running {
    pub(super) fn watch(
        mut child: Child,
        stdin: Option<Vec<u8>>,
        folders: Arc<Folders>,
        before: Manifest,
        traces: RunTraces,
    ) -> Self {
        if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A program that does not read all its input is no failure of the test.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = Stream::read(child.stdout.take().unwrap());
        let stderr = Stream::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr, folders, before, traces }
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its standard error so far.
    pub(crate) fn stderr_text(&self) -> String {
        self.stderr.text()
    }

    /// Returns its working directory.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folders.work.path().to_owned()
    }

    /// Sends it a signal, as a terminal or a service manager would.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until its output contains this text.
    #[track_caller]
    pub(crate) fn until_stdout_has(&self, text: &str) {
        self.until(text, &self.stdout);
    }

    /// Waits until its errors and notes contain this text.
    #[track_caller]
    pub(crate) fn until_stderr_has(&self, text: &str) {
        self.until(text, &self.stderr);
    }

    #[track_caller]
    fn until(&self, text: &str, stream: &Stream) {
        let found = wait::until(TIME_MAX, || {
            let over = stream.is_over();
            stream.text().contains(text).then_some(true).or(over.then_some(false))
        });
        assert!(found == Some(true), "it never said {text:?}\n{}", self.said());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes more than three minutes.
    pub(crate) fn wait(mut self) -> Ran {
        let Some(status) = self.ends_within(TIME_MAX) else {
            panic!("still running after {TIME_MAX:?}\n{}", self.said());
        };
        self.keeps_its_secrets();
        Ran::new(
            status.code(),
            status.signal(),
            [self.stdout.text(), self.stderr.text()],
            Arc::clone(&self.folders),
            &self.before,
        )
    }

    /// Returns its exit status, once its output has been read to the end.
    fn ends_within(&mut self, time: Duration) -> Option<ExitStatus> {
        wait::until(time, || {
            let status = self.child.try_wait().unwrap()?;
            (self.stdout.is_over() && self.stderr.is_over()).then_some(status)
        })
    }

    /// Checks that none of its secrets is in what it has said and left behind.
    fn keeps_its_secrets(&self) {
        let (stdout, stderr) = (self.stdout.bytes(), self.stderr.bytes());
        let leak = self.traces.leak([("stdout", &stdout), ("stderr", &stderr)]);
        assert!(leak.is_none(), "{}\n{}", leak.unwrap(), self.said());
    }

    fn said(&self) -> String {
        format!("== stdout\n{}\n== stderr\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
            drop(self.child.wait());
            if !thread::panicking() {
                self.keeps_its_secrets();
            }
        }
    }
}

/// The output that has been read from a pipe so far.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn read(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                kept.lock().unwrap().extend(piece.iter().take(count));
            }
        });
        Self { bytes, reader }
    }

    fn is_over(&self) -> bool {
        self.reader.is_finished()
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}
