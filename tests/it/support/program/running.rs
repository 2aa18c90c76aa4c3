//! The program while it runs.

use std::{
    fs,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{Folders, Ran};
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
    /// The secrets in its environment, which must be in nothing that it leaves behind.
    secrets: Vec<String>,
}

impl Running {
    pub(super) fn watch(
        mut child: Child,
        stdin: Option<Vec<u8>>,
        folders: Arc<Folders>,
        before: Manifest,
        secrets: Vec<String>,
    ) -> Self {
        if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A program that does not read all its input is no failure of the test.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = Stream::read(child.stdout.take().unwrap());
        let stderr = Stream::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr, folders, before, secrets }
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
    pub(crate) fn folder(&self) -> std::path::PathBuf {
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

    /// Checks that no secret of its environment is in its state: history, logs, records of servers and mirrors.
    fn keeps_its_secrets(&self) {
        let mut folders = vec![self.folders.home.path().join(".local")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    for secret in &self.secrets {
                        let is_there =
                            bytes.windows(secret.len()).any(|at| at == secret.as_bytes());
                        assert!(!is_there, "a secret is in {}\n{}", path.display(), self.said());
                    }
                }
            }
        }
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

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}
