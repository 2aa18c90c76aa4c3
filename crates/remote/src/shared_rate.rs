//! Rate limits that several processes share, in a file: the scheduler sets the rates, also while runs use them, and each
//! run adds the bytes that it moves.
//!
//! The file has a header, the number of limits, and a record of fixed size for each. A record is never removed. Only the
//! scheduler writes the header, the names and the rates, and it waits for no run; what runs write is guarded by a lock,
//! which is tried and not waited for.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::rate_limit::piece_of;
use portolan_core::limits::PACE_BURST;
use rustix::time::{ClockId, clock_gettime};

/// The bytes before the first record.
const HEADER_BYTES: u64 = 8;

/// The bytes of a record: the rate, the state in four numbers, the length of the name, the name.
const RECORD_BYTES: usize = 512;

/// The place of the name in a record.
const NAME_AT: u64 = 48;

/// The longest name: that of a host has at most 253 bytes, that of a job less.
const NAME_BYTES_MAX: usize = 400;

/// The maximum number of limits in a file: more than a jobs file can have jobs.
const LIMITS_MAX: u64 = 1_000_000;

const NANOSECONDS: u128 = 1_000_000_000;

/// The file as the scheduler has it.
#[derive(Debug)]
pub struct RateLimitFile {
    file: File,
    count: u64,
}

/// The file as a run has it, with the names of its limits.
#[derive(Debug)]
pub struct SharedRateLimits(Mutex<SharedState>);

#[derive(Debug)]
struct SharedState {
    file: File,
    job: String,
    /// The number of records whose names were read.
    seen: u64,
    /// The limits of all transfers of the run.
    own: Vec<usize>,
    /// Those of hosts, by the names of the hosts in lower case.
    hosts: BTreeMap<String, usize>,
}

/// The place of a transfer's last bytes among the bytes of all, for each limit that holds for it.
#[derive(Debug, Default)]
pub struct RateTicket(Vec<(usize, u64)>);

/// The state of a limit. All times are nanoseconds of the monotonic clock, which all processes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct SharedPace {
    /// The bytes per second; 0 for no limit.
    rate: u64,
    /// The time at which `base` bytes were allowed.
    since: u64,
    base: u64,
    /// The bytes that were counted.
    total: u64,
}

impl RateLimitFile {
    /// Creates the file, without limits, in the place of an earlier one.
    pub fn create(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all_at(&0_u64.to_le_bytes(), 0)?;
        Ok(Self { file, count: 0 })
    }

    /// Adds a limit and returns its number.
    pub fn add(&mut self, name: &str, rate: Option<u64>) -> io::Result<usize> {
        if name.len() > NAME_BYTES_MAX || self.count >= LIMITS_MAX {
            return Err(io::Error::other("too many rate limits, or one with too long a name"));
        }
        let at = place(self.count);
        self.file.write_all_at(&[0; RECORD_BYTES], at)?;
        self.file.write_all_at(&(name.len() as u64).to_le_bytes(), at + NAME_AT - 8)?;
        self.file.write_all_at(name.as_bytes(), at + NAME_AT)?;
        self.file.write_all_at(&rate.unwrap_or(0).to_le_bytes(), at)?;
        // Only now can runs see it.
        self.file.write_all_at(&(self.count + 1).to_le_bytes(), 0)?;
        self.count += 1;
        Ok(usize::try_from(self.count - 1).unwrap_or(usize::MAX))
    }

    /// Sets the bytes per second of a limit; `None` for no limit.
    pub fn set(&self, limit: usize, rate: Option<u64>) -> io::Result<()> {
        self.file.write_all_at(&rate.unwrap_or(0).to_le_bytes(), place(limit as u64))
    }
}

impl SharedRateLimits {
    /// Opens the file for a run of `job`.
    pub fn open(path: &Path, job: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (job, own, hosts) = (job_limit(job), Vec::new(), BTreeMap::new());
        Ok(Self(Mutex::new(SharedState { file, job, seen: 0, own, hosts })))
    }

    /// Returns the lowest of the rates that hold for transfers with `host` now, in bytes per second.
    pub fn rate(&self, host: &str) -> Option<u64> {
        let mut state = self.lock();
        let limits = state.limits_of(host);
        limits.into_iter().filter_map(|limit| state.rate(limit)).min()
    }

    /// Counts `bytes` that have just moved from or to `host`, but no more of them for a limit than a transfer moves at once
    /// under it: they may have begun to move before it held. `None` means that another process holds the lock: try again.
    pub fn count(&self, host: &str, bytes: usize) -> Option<RateTicket> {
        let mut state = self.lock();
        let mut limits = state.limits_of(host);
        limits.retain(|limit| state.rate(*limit).is_some());
        if limits.is_empty() {
            return Some(RateTicket::default());
        }
        state.locked(|state| {
            let count = |limit| {
                let most = state.rate(limit).map_or(bytes, |rate| bytes.min(piece_of(rate)));
                state.change(limit, most as u64).map(|pace| (limit, pace.total))
            };
            limits.into_iter().map(count).collect::<io::Result<Vec<_>>>().map(RateTicket)
        })
    }

    /// Returns the time until the bytes of a ticket have had their turn. `None` means that another process holds the lock.
    pub fn wait(&self, ticket: &RateTicket) -> Option<Duration> {
        if ticket.0.is_empty() {
            return Some(Duration::ZERO);
        }
        self.lock().locked(|state| {
            let wait = |(limit, turn): &(usize, u64)| {
                // Its rate may have changed.
                state.change(*limit, 0).map(|pace| pace.wait(*turn, now()))
            };
            let waits = ticket.0.iter().map(wait).collect::<io::Result<Vec<_>>>()?;
            Ok(waits.into_iter().max().unwrap_or_default())
        })
    }

    fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the limit of all runs.
pub const RUNNER_LIMIT: &str = "runner";

/// The beginning of the names of the limits of hosts.
const OF_HOST: &str = "host:";

/// Returns the name of the limit of a job.
pub fn job_limit(job: &str) -> String {
    format!("job:{job}")
}

/// Returns the name of the limit of a host.
pub fn host_limit(host: &str) -> String {
    format!("{OF_HOST}{}", host.to_ascii_lowercase())
}

fn place(limit: u64) -> u64 {
    HEADER_BYTES + limit * RECORD_BYTES as u64
}

fn number(file: &File, at: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Returns the nanoseconds of the monotonic clock.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let number = |part: i64| u64::try_from(part).unwrap_or(0);
    number(time.tv_sec) * 1_000_000_000 + number(time.tv_nsec)
}

impl SharedState {
    /// Returns the limits that hold for transfers with a host. A file that cannot be read any more limits nothing.
    fn limits_of(&mut self, host: &str) -> Vec<usize> {
        self.read_names().ok();
        let of_host = (!self.hosts.is_empty()).then(|| self.hosts.get(&host.to_ascii_lowercase()));
        self.own.iter().chain(of_host.flatten()).copied().collect()
    }

    /// Reads the names of limits that are new.
    fn read_names(&mut self) -> io::Result<()> {
        let count = number(&self.file, 0)?.min(LIMITS_MAX);
        while self.seen < count {
            let at = place(self.seen) + NAME_AT;
            let bytes = usize::try_from(number(&self.file, at - 8)?).unwrap_or(usize::MAX);
            let mut name = vec![0; bytes.min(NAME_BYTES_MAX)];
            self.file.read_exact_at(&mut name, at)?;
            let limit = usize::try_from(self.seen).unwrap_or(usize::MAX);
            match str::from_utf8(&name) {
                Ok(name) if name == RUNNER_LIMIT || name == self.job => self.own.push(limit),
                Ok(name) => {
                    let host = name.strip_prefix(OF_HOST).map(|host| (host.to_owned(), limit));
                    self.hosts.extend(host);
                }
                Err(_) => {}
            }
            self.seen += 1;
        }
        Ok(())
    }

    fn rate(&self, limit: usize) -> Option<u64> {
        number(&self.file, place(limit as u64)).ok().filter(|rate| *rate > 0)
    }

    /// Calls `work` while no other process changes the file; `None` if one does. A file that cannot be used any more limits
    /// nothing.
    fn locked<T: Default>(&self, work: impl FnOnce(&Self) -> io::Result<T>) -> Option<T> {
        match self.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Error(_)) => return Some(T::default()),
        }
        let result = work(self);
        self.file.unlock().ok();
        Some(result.unwrap_or_default())
    }

    /// Brings a limit to its present rate, adds bytes, and returns it.
    fn change(&self, limit: usize, bytes: u64) -> io::Result<SharedPace> {
        let at = place(limit as u64);
        let mut record = [0; 40];
        self.file.read_exact_at(&mut record, at)?;
        let (rate, before) = SharedPace::parse(record);
        let changed = before.with_rate(rate, now()).after(bytes, now());
        if changed != before {
            self.file.write_all_at(&changed.bytes(), at + 8)?;
        }
        Ok(changed)
    }
}

impl SharedPace {
    /// Parses a record: the rate that is wanted, and the state.
    fn parse(record: [u8; 40]) -> (u64, Self) {
        let (numbers, _) = record.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let mut next = || numbers.next().unwrap_or(0);
        let wanted = next();
        (wanted, Self { rate: next(), since: next(), base: next(), total: next() })
    }

    fn bytes(self) -> Vec<u8> {
        [self.rate, self.since, self.base, self.total].map(u64::to_le_bytes).concat()
    }

    /// Returns the number of bytes that are allowed until `now`.
    fn allowed(self, now: u64) -> u64 {
        let span = u128::from(now.saturating_sub(self.since));
        let more = u64::try_from(span * u128::from(self.rate) / NANOSECONDS).unwrap_or(u64::MAX);
        self.base.saturating_add(more)
    }

    /// Changes the rate. The bytes that have not had their turn have it at the new one.
    fn with_rate(self, rate: u64, now: u64) -> Self {
        if rate == self.rate {
            return self;
        }
        let base = if self.rate == 0 { self.total } else { self.allowed(now).min(self.total) };
        Self { rate, since: now, base, ..self }
    }

    /// Counts bytes that have just moved.
    fn after(self, bytes: u64, now: u64) -> Self {
        if self.rate == 0 || bytes == 0 {
            return self;
        }
        // Capacity that was unused a while ago is not recovered: that would be a burst.
        let burst = u64::try_from(PACE_BURST.as_nanos()).unwrap_or(0);
        let since = now.saturating_sub(burst);
        let begun = if since > self.since && self.allowed(since) > self.total {
            Self { since, base: self.total, ..self }
        } else {
            self
        };
        Self { total: self.total.saturating_add(bytes), ..begun }
    }

    /// Returns the time until so many bytes are allowed.
    fn wait(self, turn: u64, now: u64) -> Duration {
        let missing = u128::from(turn.saturating_sub(self.allowed(now)));
        if self.rate == 0 || missing == 0 {
            return Duration::ZERO;
        }
        let wait = (missing * NANOSECONDS).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace(rate: u64, at: u64) -> SharedPace {
        SharedPace::default().with_rate(rate, at * SECOND)
    }

    #[test]
    fn bytes_of_all_take_the_time_of_their_sum_in_turn() {
        let one = pace(1000, 100).after(1000, 100 * SECOND);
        let both = one.after(500, 100 * SECOND);
        let wait = |turn, at| both.wait(turn, at * SECOND).as_millis();
        assert_eq!((wait(one.total, 100), wait(both.total, 100)), (1000, 1500));
        // Those of the first have had their turn, whatever the second counts.
        assert_eq!((wait(one.total, 101), wait(both.total, 101)), (0, 500));
        // A pause is not made up for, but for a moment.
        let later = both.after(1000, 500 * SECOND);
        assert_eq!(later.wait(later.total, 500 * SECOND).as_millis(), 900);
    }

    #[test]
    fn without_a_limit_there_is_no_wait_and_nothing_to_make_up_for() {
        let off = pace(0, 100).after(1 << 40, 100 * SECOND);
        assert_eq!((off, off.wait(1 << 40, 0)), (SharedPace::default(), Duration::ZERO));
        let limited = off.with_rate(1000, 200 * SECOND).after(1000, 200 * SECOND);
        assert_eq!(limited.wait(limited.total, 200 * SECOND).as_secs(), 1);
    }

    #[test]
    fn a_new_rate_holds_for_bytes_that_have_not_had_their_turn() {
        let slow = pace(1000, 100).after(10_000, 100 * SECOND);
        // A second later a thousand of them have had it.
        for (rate, seconds) in [(9000, 1), (3000, 3), (500, 18), (0, 0)] {
            let new = slow.with_rate(rate, 101 * SECOND);
            assert_eq!(new.wait(slow.total, 101 * SECOND).as_secs(), seconds, "{rate}");
            assert_eq!(new.with_rate(rate, 105 * SECOND), new);
        }
    }

    #[test]
    fn a_thousand_steps_of_several_users_keep_the_rate() {
        let (rate, pieces) = (50_000, [700_u64, 1100, 1800]);
        let mut state = pace(rate, 1);
        let mut users = pieces.map(|piece| (SECOND, piece, 0_u64));
        let end = 61 * SECOND;
        while let Some(user) =
            users.iter_mut().filter(|user| user.0 < end).min_by_key(|user| user.0)
        {
            let now = user.0;
            state = state.after(user.1, now);
            user.0 = now + u64::try_from(state.wait(state.total, now).as_nanos()).unwrap();
            user.2 += user.1;
        }
        let moved: u64 = users.iter().map(|user| user.2).sum();
        assert!((60 * rate..=61 * rate).contains(&moved), "{moved}");
        // No run starves: each has its share.
        assert!(users.iter().all(|user| user.2 > moved / 10), "{users:?}");
    }

    #[test]
    fn two_runs_share_the_limits_of_a_file_and_see_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates");
        let mut file = RateLimitFile::create(&path).unwrap();
        let runner = file.add(RUNNER_LIMIT, None).unwrap();
        let [one, other] = ["one", "other"].map(|job| SharedRateLimits::open(&path, job).unwrap());
        // In pieces that are no larger than one that moves at once.
        let wait = |run: &SharedRateLimits, host: &str, bytes: usize| {
            let tickets = (0..bytes / 1000).map(|_| run.count(host, 1000).unwrap());
            run.wait(&tickets.last().unwrap()).unwrap().as_secs_f64().round()
        };
        assert_eq!((one.rate("a"), wait(&one, "a", 100_000)), (None, 0.0));
        file.set(runner, Some(1000)).unwrap();
        assert_eq!((other.rate("a"), wait(&one, "a", 100_000)), (Some(1000), 100.0));
        assert!(wait(&other, "a", 100_000) > 150.0, "they share it");
        file.set(runner, None).unwrap();
        // Limits that are added while they run: of a host, and of a job.
        file.add(&host_limit("FTP.example.com"), Some(500)).unwrap();
        file.add(&job_limit("other"), Some(100)).unwrap();
        assert_eq!(one.rate("ftp.EXAMPLE.com"), Some(500));
        assert_eq!((one.rate("b"), other.rate("b")), (None, Some(100)));
        assert_eq!((wait(&one, "b", 100_000), wait(&other, "b", 10_000)), (0.0, 100.0));
    }

    #[test]
    fn what_moved_before_a_limit_held_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates");
        RateLimitFile::create(&path).unwrap().add(RUNNER_LIMIT, Some(2000)).unwrap();
        let run = SharedRateLimits::open(&path, "job").unwrap();
        let wait = run.wait(&run.count("a", 256 * 1024).unwrap()).unwrap();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn a_lock_that_another_process_holds_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates");
        let mut file = RateLimitFile::create(&path).unwrap();
        let limit = file.add(RUNNER_LIMIT, Some(1000)).unwrap();
        let run = SharedRateLimits::open(&path, "job").unwrap();
        let ticket = run.count("a", 1_000_000).unwrap();
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        assert!(run.count("a", 1).is_none() && run.wait(&ticket).is_none());
        // The scheduler waits for no run.
        file.set(limit, None).unwrap();
        held.unlock().unwrap();
        assert_eq!(run.wait(&ticket), Some(Duration::ZERO));
    }

    #[test]
    fn a_file_of_an_earlier_scheduler_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates");
        std::fs::write(&path, [0xff; 4096]).unwrap();
        // What is not a file of limits limits nothing.
        assert_eq!(SharedRateLimits::open(&path, "job").unwrap().rate("a"), None);
        RateLimitFile::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 8);
    }
}
