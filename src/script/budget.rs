//! The limits on CPU time and memory of one script.
//!
//! The engine counts steps, and a step can be anything from an addition to the comparison of two long arrays, or a
//! function that calls a closure half a million times and counts none of its steps. A script therefore has to be
//! limited from outside: its thread records in a [`Meter`] the work that is not the script's own, and another thread
//! checks it with a [`Watchdog`].

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    thread::gettid,
    time::{ClockId, clock_gettime},
};

use crate::{
    error::{Error, ErrorKind, Origin},
    limits::{self, SCRIPT_MEMORY_BYTES_MAX},
};

/// The processor time of a script; shorter in unit tests, whose scripts use all of it.
const SCRIPT_TIME_MAX: Duration =
    if cfg!(test) { Duration::from_secs(1) } else { limits::SCRIPT_TIME_MAX };
/// The interval between two checks of a script: some 100 MiB at the rate at which memory can be filled.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The interval between two checks during uncounted work; the script wakes its supervisor when it continues.
const DOZE_INTERVAL: Duration = Duration::from_secs(10);
/// The CPU time that a script gets once it must end: its values are freed, and its next step ends it.
const RETURN_TIME_MAX: Duration = Duration::from_secs(2);
/// The memory at which a script is not asked to end, but abandoned: twice its limit.
const MEMORY_BYTES_LOST: u64 = 2 * SCRIPT_MEMORY_BYTES_MAX;
/// The memory that uncounted work may leave behind as a value of the script. What exceeds this after a mirror belongs
/// to the allocator, and is not charged to the script.
const LEFT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The measurements that a script's own thread records.
pub(super) struct Meter {
    /// The id of the thread in the system.
    thread: i32,
    /// The memory of the process, in bytes, when the script began.
    memory: u64,
    /// The CPU time of the thread when the script began.
    started: Duration,
    /// The CPU time of the thread that is not counted, in nanoseconds.
    uncounted: AtomicU64,
    /// The nesting depth of uncounted work.
    depth: AtomicU32,
    /// True if the supervisor sleeps until it is woken.
    is_dozing: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meter({})", self.thread)
    }
}

impl Meter {
    /// Creates the meter of a script that begins now on this thread.
    pub(super) fn new() -> Self {
        Self {
            thread: gettid().as_raw_nonzero().get(),
            memory: statm().as_ref().and_then(resident).unwrap_or(0),
            started: thread_time(),
            uncounted: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            is_dozing: AtomicBool::new(false),
            wake: OnceLock::new(),
        }
    }

    /// Sets the function that wakes the supervisor.
    pub(super) fn on_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.wake.get_or_init(|| Box::new(wake));
    }

    /// Runs `work` that was requested and is not the script's own: a transfer, a wait, the hash of a large file.
    pub(super) fn uncounted<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = Inside::enter(self);
        work()
    }

    /// Returns the fault of a script that has used too much CPU time; for its own thread, on systems where no other
    /// thread can read that time.
    pub(super) fn excess(&self) -> Option<Error> {
        (self.spent(thread_time()) > SCRIPT_TIME_MAX).then(too_long)
    }

    fn spent(&self, time: Duration) -> Duration {
        let uncounted = Duration::from_nanos(self.uncounted.load(Ordering::SeqCst));
        time.saturating_sub(self.started).saturating_sub(uncounted)
    }

    fn is_uncounted(&self) -> bool {
        self.depth.load(Ordering::SeqCst) > 0
    }
}

/// A piece of uncounted work, which ends when this is dropped.
struct Inside<'m> {
    meter: &'m Meter,
    /// The CPU time at which it began; `None` inside another one.
    since: Option<Duration>,
}

impl<'m> Inside<'m> {
    fn enter(meter: &'m Meter) -> Self {
        let is_outermost = meter.depth.fetch_add(1, Ordering::SeqCst) == 0;
        Self { meter, since: is_outermost.then(thread_time) }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            let time = thread_time().saturating_sub(since).as_nanos();
            let time = u64::try_from(time).unwrap_or(u64::MAX);
            self.meter.uncounted.fetch_add(time, Ordering::SeqCst);
        }
        let is_outermost = self.meter.depth.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_outermost
            && self.meter.is_dozing.swap(false, Ordering::SeqCst)
            && let Some(wake) = self.meter.wake.get()
        {
            wake();
        }
    }
}

/// The result of a check of a script.
#[derive(Debug)]
pub(super) enum Look {
    /// It may continue.
    Fine,
    /// It must end at its next step.
    Over(Error),
    /// It does not reach its next step, or uses up the memory of the host before it does.
    Lost(Error),
}

/// A periodic check of a script from another thread.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// The file with the memory of this process; `None` where the system has none.
    statm: Option<File>,
    /// The file with the CPU time of the script's thread.
    stat: Option<File>,
    memory: ScriptMemory,
    /// The reason why the script must end, and the CPU time that it had used by then.
    over: Option<(Error, Duration)>,
}

/// The calculation of the script's share of the memory.
#[derive(Debug, Default)]
struct ScriptMemory {
    /// The memory of the process that is not charged to the script.
    allowed: u64,
    /// The memory of the process before the uncounted work that is in progress.
    before: u64,
    is_uncounted: bool,
}

impl ScriptMemory {
    /// Returns the script's share of `resident` bytes of the process.
    fn of_script(&mut self, resident: u64) -> u64 {
        if std::mem::take(&mut self.is_uncounted) {
            self.allowed += resident.saturating_sub(self.before).saturating_sub(LEFT_BYTES_MAX);
        }
        self.before = resident;
        resident.saturating_sub(self.allowed)
    }
}

impl Watchdog {
    /// Creates a watch over the script that `meter` measures.
    pub(super) fn new(meter: &Meter) -> Self {
        let stat = File::open(format!("/proc/self/task/{}/stat", meter.thread)).ok();
        let memory =
            ScriptMemory { allowed: meter.memory, before: meter.memory, is_uncounted: false };
        Self { statm: statm(), stat, memory, over: None }
    }

    /// Checks the script.
    pub(super) fn look(&mut self, meter: &Meter) -> Look {
        if meter.is_uncounted() {
            self.memory.is_uncounted = true;
            return Look::Fine;
        }
        let memory = self.statm.as_ref().and_then(resident);
        let memory = memory.map_or(0, |resident| self.memory.of_script(resident));
        let spent =
            self.stat.as_ref().and_then(time_of).map_or(Duration::ZERO, |time| meter.spent(time));
        self.judge(memory, spent)
    }

    fn judge(&mut self, memory: u64, spent: Duration) -> Look {
        if memory > MEMORY_BYTES_LOST {
            return Look::Lost(too_large());
        }
        match &self.over {
            Some((fault, since)) if spent.saturating_sub(*since) > RETURN_TIME_MAX => {
                Look::Lost(fault.clone())
            }
            None if spent > SCRIPT_TIME_MAX => self.end(too_long(), spent),
            None if memory > SCRIPT_MEMORY_BYTES_MAX => self.end(too_large(), spent),
            _ => Look::Fine,
        }
    }

    fn end(&mut self, fault: Error, spent: Duration) -> Look {
        self.over = Some((fault.clone(), spent));
        Look::Over(fault)
    }

    /// Returns the time until the next check, unless the script wakes its supervisor.
    pub(super) fn pause(meter: &Meter) -> Duration {
        meter.is_dozing.store(true, Ordering::SeqCst);
        // Checked after the store: work that ends between the two wakes no waiter.
        if meter.is_uncounted() {
            return DOZE_INTERVAL;
        }
        meter.is_dozing.store(false, Ordering::SeqCst);
        LOOK_INTERVAL
    }
}

fn too_long() -> Error {
    let seconds = SCRIPT_TIME_MAX.as_secs();
    limit(&format!(
        "it used more than {seconds} seconds of processor time: is there an infinite loop?"
    ))
}

fn too_large() -> Error {
    limit(&format!("it took more than {} MiB of memory", SCRIPT_MEMORY_BYTES_MAX / (1024 * 1024)))
}

/// Returns the fault of a script that exceeded a limit.
pub(super) fn limit(what: &str) -> Error {
    Error::new(ErrorKind::Guard, Origin::Script, format!("the script was stopped: {what}"))
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn statm() -> Option<File> {
    File::open("/proc/self/statm").ok()
}

/// Reads the resident set: the second number, in pages (proc(5)).
fn resident(statm: &File) -> Option<u64> {
    let mut text = [0; 128];
    let count = statm.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..count)?).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(page_size() as u64))
}

/// Reads the CPU time of a thread: fields 14 and 15 are its times in user and kernel mode, in ticks (proc(5)). The
/// second field is its name in parentheses, which may contain anything.
fn time_of(stat: &File) -> Option<Duration> {
    let mut text = [0; 1024];
    let count = stat.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..count)?).ok()?;
    let mut numbers = text.rsplit(')').next()?.split_ascii_whitespace().skip(11);
    let user: u64 = numbers.next()?.parse().ok()?;
    let system: u64 = numbers.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system).saturating_mul(1000) / clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn watch() -> Watchdog {
        Watchdog { statm: None, stat: None, memory: ScriptMemory::default(), over: None }
    }

    #[test]
    fn what_a_script_asks_for_is_not_counted_and_what_it_does_is() {
        let meter = Meter::new();
        let busy = |time: Duration| {
            let since = thread_time();
            while thread_time().saturating_sub(since) < time {}
        };
        meter.uncounted(|| {
            busy(Duration::from_millis(40));
            meter.uncounted(|| busy(Duration::from_millis(40)));
            assert!(meter.is_uncounted());
        });
        assert!(!meter.is_uncounted());
        let before = meter.spent(thread_time());
        assert!(before < Duration::from_millis(40), "{before:?}");
        busy(Duration::from_millis(30));
        let spent = meter.spent(thread_time());
        assert!(spent >= before + Duration::from_millis(30));
        // Another thread reads the same time, in ticks.
        let stat = Watchdog::new(&meter).stat.unwrap();
        let seen =
            std::thread::scope(|scope| scope.spawn(|| time_of(&stat).unwrap()).join().unwrap());
        let tick = Duration::from_millis(1000 / clock_ticks_per_second());
        assert!(meter.spent(seen) + 2 * tick >= spent, "{seen:?}");
    }

    #[test]
    fn who_looks_is_woken_when_the_script_goes_on() {
        let meter = Meter::new();
        let (woken, wakes) = std::sync::mpsc::channel();
        meter.on_wake(move || woken.send(()).unwrap());
        assert_eq!(Watchdog::pause(&meter), LOOK_INTERVAL);
        meter.uncounted(|| {});
        assert!(wakes.try_recv().is_err(), "there is no sleeper");
        meter.uncounted(|| assert_eq!(Watchdog::pause(&meter), DOZE_INTERVAL));
        assert!(wakes.try_recv().is_ok());
    }

    #[test]
    fn a_script_is_asked_to_end_and_left_when_it_does_not() {
        let mut watch = watch();
        let second = Duration::from_secs(1);
        assert!(matches!(watch.judge(0, SCRIPT_TIME_MAX), Look::Fine));
        let Look::Over(fault) = watch.judge(0, SCRIPT_TIME_MAX + second) else { panic!() };
        assert!(fault.message.contains("it used more than 1 seconds of processor time"));
        assert!(matches!(watch.judge(0, SCRIPT_TIME_MAX + 2 * second), Look::Fine));
        let lost = watch.judge(0, SCRIPT_TIME_MAX + second + RETURN_TIME_MAX + second);
        assert!(matches!(lost, Look::Lost(lost) if lost.message == fault.message));
    }

    #[test]
    fn memory_beyond_the_limit_ends_a_script_and_twice_as_much_at_once() {
        let (limit, none) = (SCRIPT_MEMORY_BYTES_MAX, Duration::ZERO);
        assert!(matches!(watch().judge(limit, none), Look::Fine));
        assert!(matches!(watch().judge(limit + 1, none), Look::Over(_)));
        assert!(matches!(watch().judge(2 * limit + 1, none), Look::Lost(_)));
    }

    #[test]
    fn what_a_mirror_leaves_behind_is_not_blamed_on_the_script() {
        let mut memory = ScriptMemory { allowed: 10 * MIB, before: 10 * MIB, is_uncounted: false };
        assert_eq!(memory.of_script(30 * MIB), 20 * MIB);
        memory.is_uncounted = true;
        // A value that it leaves is charged to the script, up to the largest possible one.
        assert_eq!(memory.of_script(70 * MIB), 60 * MIB);
        memory.is_uncounted = true;
        assert_eq!(memory.of_script(570 * MIB), 60 * MIB + LEFT_BYTES_MAX);
        assert_eq!(memory.of_script(600 * MIB), 90 * MIB + LEFT_BYTES_MAX);
    }

    #[test]
    fn memory_that_is_used_is_seen() {
        let statm = statm().unwrap();
        let before = resident(&statm).unwrap();
        let bytes = vec![1_u8; 64 * 1024 * 1024];
        assert!(resident(&statm).unwrap() > before + 32 * MIB, "{}", bytes.len());
    }
}
