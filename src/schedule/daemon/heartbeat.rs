//! The heartbeat of a machine: on a thread and a connection of its own, so that it goes on whatever the scheduler waits for.
//!
//! With each heartbeat it learns the time of the database, which is the time of the whole fleet.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::Message;
use crate::{
    clock::{Clock, ServerClock},
    error::{Error, ErrorKind, Origin, Result},
    observe::EventEmitter,
    schedule::child::lease::{WorkerLease, boottime_ms},
    store::{Store, fleet::WorkerRecord},
};

/// The number of heartbeats in the time of a lease.
pub(super) const BEATS: u32 = 4;
/// The difference between the clocks of this host and of the database from which on it is told.
const AHEAD_MAX_MS: i64 = 2_000;
/// The longest question for the time whose answer is used: half of it is the error.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Asks a store on a server for its time. Fails if it is a file.
pub(super) fn time_of(store: &Store) -> Result<(Timestamp, Instant)> {
    let asked = Instant::now();
    let time = store.server_time()?.ok_or_else(|| {
        let message = "machines share a store on a server only: `--store postgres://…`";
        Error::new(ErrorKind::Unsupported, Origin::Here, message)
    })?;
    Ok((time, asked + asked.elapsed() / 2))
}

/// The heartbeat. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Heartbeat {
    shared: Arc<HeartbeatState>,
    wake: Sender<()>,
}

/// The part that the thread shares with the scheduler.
#[derive(Debug)]
struct HeartbeatState {
    lease: WorkerLease,
    record: Mutex<WorkerRecord>,
    /// Set if the machine was declared dead, or another one has its name.
    is_lost: AtomicBool,
}

impl Heartbeat {
    /// Starts it for a worker that was registered at `sent`, by [`boottime_ms`].
    pub(super) fn start(
        store: Store,
        record: WorkerRecord,
        (lease, sent): (WorkerLease, u64),
        clock: Arc<ServerClock>,
        (observer, outbox): (EventEmitter, Sender<Message>),
    ) -> Result<Self> {
        let interval =
            Duration::from_millis(u64::try_from(record.lease_ms).unwrap_or(1_000)) / BEATS;
        lease.extend(sent)?;
        let (record, is_lost) = (Mutex::new(record), AtomicBool::new(false));
        let shared = Arc::new(HeartbeatState { lease, record, is_lost });
        let (wake, woken) = channel();
        let mut thread = HeartbeatThread {
            shared: Arc::clone(&shared),
            store,
            clock,
            observer,
            outbox,
            told: None,
            is_ahead: false,
        };
        let begin = move || thread.beat_on(&woken, interval);
        thread::Builder::new().name("heartbeat".into()).spawn(begin).map_err(|error| {
            let message = format!("cannot start a thread: {error}");
            Error::new(ErrorKind::Local, Origin::Here, message)
        })?;
        Ok(Self { shared, wake })
    }

    pub(super) fn lease(&self) -> &WorkerLease {
        &self.shared.lease
    }

    pub(super) fn is_lost(&self) -> bool {
        self.shared.is_lost.load(Ordering::SeqCst)
    }

    /// Goes on with another number, after the worker was registered anew at `sent`.
    pub(super) fn rejoined(&self, boot: i64, sent: u64) -> Result<()> {
        self.change(|record| {
            record.boot = boot;
            self.shared.is_lost.store(false, Ordering::SeqCst);
        });
        self.shared.lease.extend(sent)
    }

    /// Changes the record of the worker, which the next heartbeat writes.
    pub(super) fn change(&self, change: impl FnOnce(&mut WorkerRecord)) {
        change(&mut self.shared.record());
        // A thread that has ended is found by its lease.
        self.wake.send(()).ok();
    }

    /// Returns the record of the worker.
    pub(super) fn record(&self) -> WorkerRecord {
        self.shared.record().clone()
    }
}

impl HeartbeatState {
    fn record(&self) -> std::sync::MutexGuard<'_, WorkerRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
struct HeartbeatThread {
    shared: Arc<HeartbeatState>,
    store: Store,
    clock: Arc<ServerClock>,
    observer: EventEmitter,
    outbox: Sender<Message>,
    /// The last failure that was told.
    told: Option<String>,
    /// True if the clock of this host is told to be wrong.
    is_ahead: bool,
}

impl HeartbeatThread {
    fn beat_on(&mut self, woken: &Receiver<()>, interval: Duration) {
        loop {
            match self.beat() {
                Ok(()) => self.told = None,
                Err(fault) => {
                    let text = format!("no heartbeat could be recorded: {fault}");
                    if self.told.as_ref() != Some(&text) {
                        self.observer.warn(&text);
                    }
                    self.told = Some(text);
                }
            }
            if woken.recv_timeout(interval) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    fn beat(&mut self) -> Result<()> {
        let asked = Instant::now();
        let (time, at) = time_of(&self.store)?;
        if asked.elapsed() < ANSWER_TIME_MAX {
            self.clock.set(time, at);
        }
        let now = self.clock.now();
        let ahead = Clock::System.now().as_millisecond() - now.as_millisecond();
        self.tell_ahead(ahead);
        let record = {
            let mut record = self.shared.record();
            (record.clock_ahead_ms, record.beat_at) = (ahead, now);
            record.clone()
        };
        let sent = boottime_ms();
        if self.store.heartbeat(&record)? {
            return self.shared.lease.extend(sent);
        }
        // It may have been registered anew in the meantime: under the lock of the record.
        let current = self.shared.record();
        if current.boot == record.boot {
            self.shared.is_lost.store(true, Ordering::SeqCst);
            drop(current);
            self.shared.lease.end()?;
            self.outbox.send(Message::Wake).ok();
        }
        Ok(())
    }

    fn tell_ahead(&mut self, ahead_ms: i64) {
        let is_ahead = ahead_ms.abs() > AHEAD_MAX_MS;
        if is_ahead && !self.is_ahead {
            let text = format!(
                "the clock of this host is {:+} s from that of the database: slots go by the database, the times of logs by \
                 this host; check its time service",
                ahead_ms / 1000
            );
            self.observer.warn(text);
        }
        self.is_ahead = is_ahead;
    }
}
