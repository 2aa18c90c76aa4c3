//! What one script may use of this machine: time of the processor, and memory.
//!
//! The engine counts steps, and a step can be anything from an addition to a string of eight megabytes.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    param::page_size,
    time::{ClockId, clock_gettime},
};

use crate::{
    fault::{Fault, Kind, Side},
    limits::{SCRIPT_LOOK_TIME_MAX, SCRIPT_MEMORY_BYTES_MAX, SCRIPT_TIME_MAX},
};

/// The budget of the script on this thread.
#[derive(Debug)]
pub(super) struct Budget {
    /// Where the system tells the memory of this process; absent where it does not.
    memory: Option<File>,
    /// What the process had when the script began.
    before: u64,
    spent: Mutex<Spent>,
}

#[derive(Debug)]
struct Spent {
    time: Duration,
    looked: Duration,
}

impl Budget {
    /// A budget of which nothing is used.
    pub(super) fn new() -> Self {
        let memory = File::open("/proc/self/statm").ok();
        let before = memory.as_ref().and_then(resident).unwrap_or(0);
        let spent = Spent { time: Duration::ZERO, looked: thread_time() };
        Self { memory, before, spent: Mutex::new(spent) }
    }

    /// Why the script must end, if it has used too much. To be asked every few hundred steps.
    pub(super) fn excess(&self) -> Option<Fault> {
        let has_computed = self.charge(thread_time()) > SCRIPT_TIME_MAX;
        let memory = self.memory.as_ref().and_then(resident).unwrap_or(0);
        if has_computed {
            let seconds = SCRIPT_TIME_MAX.as_secs();
            Some(limit(&format!(
                "it computed for more than {seconds} seconds: is there an endless loop?"
            )))
        } else if memory.saturating_sub(self.before) > SCRIPT_MEMORY_BYTES_MAX {
            let mib = SCRIPT_MEMORY_BYTES_MAX / (1024 * 1024);
            Some(limit(&format!("it took more than {mib} MiB of memory")))
        } else {
            None
        }
    }

    /// Adds what was spent since the last look. One function that takes long, such as the hash of a large file, is
    /// work that was asked for and counts only in part.
    fn charge(&self, now: Duration) -> Duration {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(spent.looked);
        spent.time += since.min(SCRIPT_LOOK_TIME_MAX);
        spent.looked = now;
        spent.time
    }
}

/// The fault of a script that went beyond a limit.
pub(super) fn limit(what: &str) -> Fault {
    Fault::new(Kind::Guard, Side::Script, format!("the script was stopped: {what}"))
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// The second number is the resident set in pages (proc(5)).
fn resident(memory: &File) -> Option<u64> {
    let mut text = [0; 128];
    let count = memory.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..count)?).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_piece_of_work_counts_in_part_and_many_in_full() {
        let budget = Budget::new();
        let start = budget.spent.lock().unwrap().looked;
        let spent = budget.charge(start + Duration::from_hours(1));
        assert_eq!(spent, SCRIPT_LOOK_TIME_MAX);
        let again = budget.charge(start + Duration::from_hours(1) + Duration::from_millis(7));
        assert_eq!(again, SCRIPT_LOOK_TIME_MAX + Duration::from_millis(7));
    }

    #[test]
    fn memory_that_is_used_is_seen() {
        let memory = File::open("/proc/self/statm").unwrap();
        let before = resident(&memory).unwrap();
        let bytes = vec![1_u8; 64 * 1024 * 1024];
        assert!(resident(&memory).unwrap() > before + 32 * 1024 * 1024, "{}", bytes.len());
    }
}
