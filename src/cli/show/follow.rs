//! The log of a run in progress, as it is written.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use crate::{
    cli::{report, store::is_served},
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
    schedule::{child::log, shared_log},
    store::{
        Store,
        history::{HistoryRun, RunState},
    },
};

/// The time between two looks at the log.
const LOOK: Duration = Duration::from_millis(200);

/// The maximum number of bytes that are read of the log at once.
const PART_BYTES_MAX: u64 = 1024 * 1024;

/// Prints the log of a run until the run has ended.
pub(super) fn follow(state: &Path, store: &Store, id: i64) -> Result<()> {
    let mut read = 0;
    loop {
        // Looked up before the log is read: what was written before the end is printed.
        let run = store.run(id)?.ok_or_else(|| no_run(id))?;
        let is_served = run.slot.is_none() || is_served(state, store)?;
        let path = log::path(state, &run.job, id);
        match shared_log::read(store, &run, &path, read)? {
            Some(shared) => {
                print(&shared.text);
                read = shared.end;
            }
            None => while print_from(&path, &mut read)? {},
        }
        if !matches!(run.state, RunState::Waiting | RunState::Running) {
            tell_end(&run);
            return Ok(());
        }
        if !is_served {
            let message =
                format!("the scheduler is not running: run {id} continues when it is started");
            return Err(Error::new(ErrorKind::Interrupted, Origin::Here, message));
        }
        let (_keep, silent) = std::sync::mpsc::channel::<()>();
        silent.recv_timeout(LOOK).ok();
    }
}

fn no_run(id: i64) -> Error {
    let message = format!("there is no run {id}; `portolan runs` lists them");
    Error::new(ErrorKind::NotFound, Origin::Here, message)
}

/// Prints whole lines of the log after the first `read` bytes; returns true if there may be more.
fn print_from(path: &Path, read: &mut u64) -> Result<bool> {
    let cannot = |error| Error::local("read the log", path, error);
    let mut file = match File::open(path) {
        // It has none before its first attempt.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(cannot)?,
    };
    file.seek(SeekFrom::Start(*read)).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(PART_BYTES_MAX).read_to_end(&mut bytes).map_err(cannot)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let whole =
        if whole == 0 && bytes.len() as u64 == PART_BYTES_MAX { bytes.len() } else { whole };
    let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned();
    print(&text);
    *read += whole as u64;
    Ok(bytes.len() as u64 == PART_BYTES_MAX)
}

fn print(text: &str) {
    let lines = text.lines().map(|line| format!("{}\n", visible(line)));
    report::output(&lines.collect::<String>());
}

fn tell_end(run: &HistoryRun) {
    // The log has the error of an attempt.
    let error = run.sum.error.as_ref().filter(|_| run.attempts == 0).or(run.reason.as_ref());
    let error = error.map(|error| format!(": {}", visible(error))).unwrap_or_default();
    report::print(&format!("run {} of `{}` is {}{error}\n", run.id, run.job, run.state.as_str()));
}
