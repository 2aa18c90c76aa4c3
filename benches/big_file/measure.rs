//! The cost of a process: its wall-clock time, processor time, and peak memory.

use std::{
    fs, io,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::wait;

/// The clock ticks per second in which Linux counts processor time.
const TICKS: f64 = 100.0;
const TIME_MAX: Duration = Duration::from_mins(10);

#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) processor: f64,
    pub(crate) memory: u64,
}

impl Cost {
    /// Returns the lower of each time and the higher of the two memory peaks.
    pub(crate) fn better(&self, other: &Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            processor: self.processor.min(other.processor),
            memory: self.memory.max(other.memory),
        }
    }

    pub(crate) fn print(&self, curl: &Self, task: &str) {
        println!(
            "{task:<14} {:>5.2} / {:<5.2} {:>5.2} {:>9.2} / {:<5.2} {:>5.2} {:>7.1} / {:<.1}",
            self.wall,
            curl.wall,
            self.wall / curl.wall,
            self.processor,
            curl.processor,
            self.processor / curl.processor.max(1.0 / TICKS),
            mebibytes(self.memory),
            mebibytes(curl.memory),
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Runs `command` to its end.
pub(crate) fn measure(command: &mut Command) -> Cost {
    watch(command, |_| {})
}

/// Does the same with the bytes of `file` in a pipe as its input.
pub(crate) fn measure_fed(command: &mut Command, file: &Path, bytes: u64) -> Cost {
    let file = fs::File::open(file).unwrap();
    let mut feeder = None;
    let cost = watch(command.stdin(Stdio::piped()), |child| {
        let mut pipe = child.stdin.take().unwrap();
        feeder = Some(thread::spawn(move || io::copy(&mut &file, &mut pipe).unwrap()));
    });
    assert_eq!(feeder.unwrap().join().unwrap(), bytes, "{command:?}");
    cost
}

/// Does the same with a pipe as its output, of which all `bytes` are read and none is kept.
pub(crate) fn measure_read(command: &mut Command, bytes: u64) -> Cost {
    let mut reader = None;
    let cost = watch(command.stdout(Stdio::piped()), |child| {
        let mut pipe = child.stdout.take().unwrap();
        reader = Some(thread::spawn(move || io::copy(&mut pipe, &mut io::sink()).unwrap()));
    });
    assert_eq!(reader.unwrap().join().unwrap(), bytes, "{command:?}");
    cost
}

/// Runs `command` to its end, after `begin` has taken the pipes of the process.
fn watch(command: &mut Command, begin: impl FnOnce(&mut Child)) -> Cost {
    let before = children();
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    begin(&mut child);
    let mut memory = 0;
    let status = wait::until(TIME_MAX, || {
        memory = peak(child.id()).unwrap_or(memory);
        child.try_wait().unwrap()
    });
    let wall = started.elapsed().as_secs_f64();
    assert!(status.is_some_and(|status| status.success()), "{command:?}: {status:?}");
    Cost { wall, processor: children() - before, memory }
}

/// Returns the processor seconds, user and system, of all children that have ended (`proc(5)`: cutime and cstime).
fn children() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program is in parentheses and may contain anything.
    let (_, fields) = text.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(13).take(2);
    ticks.map(|field| field.parse::<f64>().unwrap() / TICKS).sum()
}

/// Returns the peak memory of process `id` so far; `None` once it has ended.
fn peak(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}
