//! The child's side of the wall: it goes when its parent goes, and is the first to go when memory is short.

use std::{
    fs::{File, OpenOptions},
    io::BufRead,
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{
        DumpableBehavior, Resource, Rlimit, Signal, getppid, kill_current_process_group,
        set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
    },
};

use super::{drain::Drain, order::Order};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::owned,
    limits::CHILD_MEMORY_BYTES_MAX,
};

/// Puts the wall up. What it gives is to be kept until the end. Fails when the parent is gone already.
pub fn raise(order: &Order) -> Outcome<File> {
    let cannot = |error: rustix::io::Errno| {
        let message = format!("cannot tie this run to the scheduler: {error}");
        Fault::new(Kind::Local, Side::Here, message)
    };
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(cannot)?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(order.parent) {
        let message = "the scheduler that started this run is gone";
        return Err(Fault::new(Kind::Interrupted, Side::Here, message));
    }
    let lock = open(&order.lock)?;
    flock(&lock, FlockOperation::LockShared).map_err(cannot)?;
    // A dump of the memory would have passwords in it.
    limit(Resource::Core, 0);
    limit(Resource::Data, CHILD_MEMORY_BYTES_MAX);
    // Where the system runs out of memory, a run goes and not the scheduler. Asking for more of that is always allowed.
    // What /proc says of a process that leaves no dump is root's: for as long as this takes it may.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(cannot)?;
    std::fs::write("/proc/self/oom_score_adj", "500").ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(cannot)?;
    Ok(lock)
}

/// Opens a file to hold it.
pub(in crate::schedule) fn open(path: &Path) -> Outcome<File> {
    owned::open(path, OpenOptions::new().append(true).create(true))
        .map_err(|error| Fault::local("open the lock", path, error))
}

fn limit(resource: Resource, bytes: u64) {
    // A limit that is lower already stays; one that cannot be set is one wall of several.
    setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) }).ok();
}

/// Listens to the parent on a thread of its own: asked to, it drains; when the parent is gone, everything ends.
pub fn listen(input: impl BufRead + Send + 'static, drain: Arc<Drain>) -> Outcome<()> {
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
        Fault::new(Kind::Local, Side::Here, format!("cannot start a thread: {error}"))
    })
}
