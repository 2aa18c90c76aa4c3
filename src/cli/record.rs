//! The record of a manual run, which `portolan runs` lists however it ended.
//!
//! Its row is written when it begins. While it is in progress it locks its own file; a process that finds this file
//! unlocked knows that the run was killed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use rustix::fs::{FlockOperation, flock};

use super::common::Common;
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    exit_code::Exit,
    limits::{RETENTION_AGE, RETENTION_RUNS},
    observe::{EventEmitter, MessageLevel, account::Accounts, output, visible},
    random::random_u64,
    schedule::{child::verdict::ERROR_BYTES_MAX, facts},
    store::{
        self, Store,
        history::{AttemptRecord, NewRun, RunState, Sum, Trigger},
    },
};

/// The record of the current run.
pub(super) struct RunRecord {
    /// The row in the store; `None` if there is no state directory.
    row: Option<RecordedRun>,
    job: String,
    accounts: Arc<Accounts>,
    clock: Clock,
    started_at: jiff::Timestamp,
    begun: Instant,
}

/// The row of the run, and the lock that shows that it is in progress.
struct RecordedRun {
    folder: PathBuf,
    id: i64,
    _held: RunLock,
}

/// A file that is locked while a run is in progress, and removed at its end.
struct RunLock {
    path: PathBuf,
    _lock: File,
}

impl RunLock {
    fn begin(path: PathBuf) -> Result<Self> {
        let cannot = |error| Error::local("make the lock of the run", &path, error);
        let lock = File::create_new(&path).map_err(cannot)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| cannot(error.into()))?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // If it cannot be removed, it is unlocked all the same.
        fs::remove_file(&self.path).ok();
    }
}

/// Returns the lock file of the run with the token `word`.
fn held_file(folder: &Path, word: &str) -> PathBuf {
    folder.join(format!("run-{word}.lock"))
}

/// Records in `store`, which is in `folder`, the manual runs that were killed.
pub(super) fn settle(folder: &Path, store: &mut Store, clock: &Clock) -> Result<()> {
    for (id, word) in store.by_hand_without_end()? {
        let held = held_file(folder, &word);
        let is_over = match File::open(&held) {
            Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if is_over {
            store.interrupt(id, "it was killed, or the machine stopped", clock.now())?;
            fs::remove_file(&held).ok();
        }
    }
    Ok(())
}

impl RecordedRun {
    fn begin(folder: PathBuf, job: &str, script: &Path, clock: &Clock) -> Result<Self> {
        store::make_folder(&folder)?;
        let mut store = Store::open(&folder)?;
        settle(&folder, &mut store, clock)?;
        let word = format!("{:016x}", random_u64());
        let held = RunLock::begin(held_file(&folder, &word))?;
        let run = NewRun {
            job: job.to_owned(),
            revision: word,
            slot: None,
            script: script.display().to_string(),
            cause: Trigger::Manual,
            scheduled_for: None,
            up_to: None,
            moved_from: None,
            wait: None,
            state: RunState::Running,
            reason: None,
            reason_code: None,
            covered_by: None,
            covers: 1,
        };
        let id = store.begin_by_hand(&run, clock.now())?;
        Ok(Self { folder, id, _held: held })
    }
}

impl RunRecord {
    /// Begins the record of a run of `script`. Without a state directory the run works all the same.
    pub(super) fn begin(
        common: &Common,
        script: &Path,
        accounts: Arc<Accounts>,
        observer: &EventEmitter,
    ) -> Self {
        let job = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::begin_in(common.state_folder(), job, script, accounts, observer)
    }

    /// Begins the record of a run of a job.
    pub(super) fn of_job(
        folder: PathBuf,
        job: &str,
        script: &Path,
        accounts: Arc<Accounts>,
        observer: &EventEmitter,
    ) -> Self {
        Self::begin_in(Some(folder), job.to_owned(), script, accounts, observer)
    }

    fn begin_in(
        folder: Option<PathBuf>,
        job: String,
        script: &Path,
        accounts: Arc<Accounts>,
        observer: &EventEmitter,
    ) -> Self {
        let clock = Clock::System;
        let row = folder.map(|folder| RecordedRun::begin(folder, &job, script, &clock));
        let row = row.transpose().unwrap_or_else(|fault| {
            without_record(observer, &fault);
            None
        });
        let (started_at, begun) = (clock.now(), Instant::now());
        Self { row, job, accounts, clock, started_at, begun }
    }

    /// Records the end of the run.
    pub(super) fn end(self, code: Exit, observer: &EventEmitter) {
        let Some(row) = &self.row else { return };
        let account = self.accounts.account();
        let state = match code {
            Exit::Done => RunState::Done,
            Exit::InPart => RunState::Partial,
            Exit::Interrupted => RunState::Interrupted,
            _ => RunState::Failed,
        };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let fault = account.fault.as_ref();
        let unwritten = output::trouble().filter(|_| code == Exit::Bug && fault.is_none());
        let took = jiff::SignedDuration::try_from(self.begun.elapsed()).unwrap_or_default();
        let attempt = AttemptRecord {
            number: 1,
            started_at: self.started_at,
            ended_at: Some(self.started_at.checked_add(took).unwrap_or_else(|_| self.clock.now())),
            state,
            sum: Sum {
                files: number(account.files),
                bytes: number(account.bytes),
                route: account.route.clone(),
                exit_code: Some(i64::from(code.code())),
                error_kind: fault
                    .map(|fault| fault.kind.clone())
                    .or_else(|| unwritten.map(|fault| fault.kind.as_str().into())),
                error: fault
                    .map(|fault| visible::cut(&fault.words, ERROR_BYTES_MAX, ""))
                    .or_else(|| unwritten.map(ToString::to_string)),
            },
        };
        let (files, fallbacks) = facts::parts(1, &account);
        let written = Store::open(&row.folder).and_then(|mut store| {
            store.end_by_hand(row.id, &attempt, &files, &fallbacks)?;
            prune(&mut store, &self.job, self.clock.now())
        });
        if let Err(fault) = written {
            // The next query of the history finds that it is no longer in progress.
            without_record(observer, &fault);
        }
    }
}

/// Removes old or surplus records of `job`, unless a scheduler does so for as long as its jobs file says.
fn prune(store: &mut Store, job: &str, now: jiff::Timestamp) -> Result<()> {
    if store.job_states()?.iter().any(|state| state.job == job) {
        return Ok(());
    }
    let age = jiff::SignedDuration::try_from(RETENTION_AGE).unwrap_or_default();
    let before = now.checked_sub(age).unwrap_or(jiff::Timestamp::MIN);
    store.prune(job, RETENTION_RUNS, before).map(drop)
}

fn without_record(observer: &EventEmitter, fault: &Error) {
    // A user who keeps no state needs no record; a full disk matters to every user.
    let is_full = fault.kind == ErrorKind::Full;
    let level = if is_full { MessageLevel::Warn } else { MessageLevel::Debug };
    observer.message(level, format!("this run leaves no record: {fault}"));
}
