//! The child's side of the isolation: it ends when its parent ends, and is killed first when memory is short.

use std::{
    fs::{File, OpenOptions},
    io::BufRead,
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{
        DumpableBehavior, Resource, Rlimit, Signal, getppid, getrlimit, kill_current_process_group,
        set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
    },
};

use super::{attempt_spec::AttemptSpec, drain::Drain};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    files::owned,
    limits::CHILD_MEMORY_BYTES_MAX,
};

/// Applies the isolation. The returned lock must be kept until the end. Fails if the parent is already gone.
pub fn raise(order: &AttemptSpec) -> Result<File> {
    tie(order.parent)?;
    let lock = open(&order.lock)?;
    flock(&lock, FlockOperation::LockShared).map_err(cannot)?;
    Ok(lock)
}

fn cannot(error: rustix::io::Errno) -> Error {
    let message = format!("cannot tie this run to the scheduler: {error}");
    Error::new(ErrorKind::Local, Origin::Here, message)
}

/// Ties this process to the scheduler `parent`, and makes it the first to be killed when memory is short. Fails if the
/// parent is already gone.
pub fn tie(parent: u32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(cannot)?;
    let found = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if found != Some(parent) {
        let message = "the scheduler that started this run is gone";
        return Err(Error::new(ErrorKind::Interrupted, Origin::Here, message));
    }
    // A core dump would contain passwords.
    limit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    limit(Resource::Data, at_most(CHILD_MEMORY_BYTES_MAX, getrlimit(Resource::Data)));
    // If the system runs out of memory, a run is killed and not the scheduler. A higher score is always allowed. The
    // files in /proc of a process that is not dumpable belong to root: it is dumpable for this one write.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(cannot)?;
    std::fs::write("/proc/self/oom_score_adj", "500").ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(cannot)
}

/// Opens a lock file.
pub(in crate::schedule) fn open(path: &Path) -> Result<File> {
    owned::open(path, OpenOptions::new().append(true).create(true))
        .map_err(|error| Error::local("open the lock", path, error))
}

/// Returns `before` with a soft limit of at most `bytes`. The hard limit, and a soft limit that is lower already, are the
/// administrator's: root could raise them.
fn at_most(bytes: u64, before: Rlimit) -> Rlimit {
    Rlimit { current: Some(before.current.map_or(bytes, |now| now.min(bytes))), ..before }
}

fn limit(resource: Resource, limit: Rlimit) {
    // A failure is tolerable, since this is one barrier of several.
    setrlimit(resource, limit).ok();
}

/// Listens to the parent on a separate thread: drains on request, and kills the process group when the parent is gone.
pub fn listen(input: impl BufRead + Send + 'static, drain: Arc<Drain>) -> Result<()> {
    let thread = std::thread::Builder::new().name("parent".into()).spawn(move || {
        for line in input.lines() {
            match line.as_deref() {
                Ok("drain") => drain.request(),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        kill_current_process_group(Signal::KILL).ok();
    });
    thread.map(drop).map_err(|error| {
        Error::new(ErrorKind::Local, Origin::Here, format!("cannot start a thread: {error}"))
    })
}
