//! Kills of any process, and changes of the clock: each slot has exactly one row with its status, and no run continues
//! alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use portolan::{
    clock::Clock,
    observe::{EventEmitter, metrics::Metrics},
    schedule::{
        daemon::{Daemon, DaemonSetup},
        jobs,
        zone::Zones,
    },
    store::{
        Store,
        history::{HistoryRun, RunState},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::{rounds::rounds, wait};

#[test]
fn when_the_scheduler_is_killed_its_runs_are_gone_and_the_next_one_takes_them_up() {
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file(
        "a.rhai",
        r#"local::append("began", "x"); if job::ATTEMPT == 1 { sleep(60); } local::write("done", "y");"#,
    );
    scheduler.start();
    drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
    wait::until(TIME_MAX, || (scheduler.read("began") == "x").then_some(())).unwrap();
    scheduler.kill();
    let gone =
        wait::until(Duration::from_secs(10), || scheduler.children().is_empty().then_some(()));
    assert!(gone.is_some(), "{:?} went on", scheduler.children());
    assert_eq!(scheduler.read("done"), "");
    scheduler.start();
    let run = scheduler.until_outcome("a", "done");
    assert_eq!((run["id"].as_i64(), run["attempts"].as_i64()), (Some(1), Some(2)));
    let whole = scheduler.show(&run["id"]);
    let outcomes: Vec<_> = whole["each_attempt"].as_array().unwrap().iter().collect();
    assert_eq!(outcomes[0]["outcome"], "interrupted");
    assert_eq!(outcomes[1]["outcome"], "done");
    assert_eq!(scheduler.runs().len(), 1);
    scheduler.stop();
}

#[test]
fn a_scheduler_that_is_told_to_stop_ends_its_runs_and_says_that_they_were_interrupted() {
    let jobs = [on_request("a", "misfire = \"skip\""), on_request("b", "")].concat();
    let mut scheduler = Scheduler::new(&jobs);
    for job in ["a", "b"] {
        scheduler.file(&format!("{job}.rhai"), "local::append(job::NAME, \"x\"); sleep(60);");
    }
    for job in ["a", "b"] {
        drop(scheduler.command(&["trigger", job]).succeeds().any_stderr());
    }
    scheduler.start();
    for job in ["a", "b"] {
        wait::until(TIME_MAX, || (scheduler.read(job) == "x").then_some(())).unwrap();
    }
    scheduler.stop();
    assert_eq!(scheduler.children(), [0_u32; 0]);
    for run in scheduler.runs() {
        assert_eq!(run["outcome"], "interrupted", "{run}");
    }
    // By `misfire`, one is resumed and the other stays as it is.
    scheduler.start();
    wait::until(TIME_MAX, || (scheduler.read("b") == "xx").then_some(())).unwrap();
    assert_eq!(scheduler.until_outcome("a", "interrupted")["attempts"], 1);
    scheduler.kill();
}

/// Campaign R7: the scheduler or a run of it is killed around slots, again and again.
#[test]
fn r7_after_any_number_of_kills_each_slot_has_one_row_with_its_end() {
    let kills = rounds(8);
    let job = |name: &str, more: &str| {
        format!(
            "\n[[job]]\nname = \"{name}\"\nscript = \"a.rhai\"\ncron = \"* * * * * *\"\nlate_after = \"1s\"\ncatchup_spread = \"0s\"\n{more}\n"
        )
    };
    let jobs = [
        job("once", ""),
        job("all", "misfire = \"all\"\nmax_catchup = 3"),
        job("skip", "misfire = \"skip\"\noverlap = \"queue\""),
    ]
    .concat();
    let mut scheduler = Scheduler::new(&jobs);
    scheduler.file("a.rhai", "local::append(job::NAME, `${job::SCHEDULED_FOR}\n`); sleep(0.3);");
    scheduler.start();
    // A fixed seed: the result depends on the moment of the kill between the steps of a second, which differs anyway.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::park_timeout(Duration::from_millis(300 + (seed >> 33) % 1500));
        if number % 3 == 2 {
            for child in scheduler.children() {
                let pid = Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
                kill_process(pid, Signal::KILL).ok();
            }
        } else {
            scheduler.kill();
            let gone = wait::until(Duration::from_secs(10), || {
                scheduler.children().is_empty().then_some(())
            });
            assert!(gone.is_some(), "{:?} went on", scheduler.children());
            scheduler.start();
        }
    }
    thread::park_timeout(Duration::from_secs(3));
    scheduler.stop();
    assert_eq!(scheduler.children(), [0_u32; 0]);
    let runs = scheduler.runs();
    for job in ["once", "all", "skip"] {
        each_second_once(job, &runs);
    }
    let done = runs.iter().filter(|run| run["outcome"] == "done").count();
    let failed = runs.iter().filter(|run| run["outcome"] == "failed").count();
    assert!(done > 3, "{done} done, {failed} failed, {} slots", runs.len());
}

/// Checks that every second from the first slot to the last has one row, with an end or a reason.
fn each_second_once(job: &str, runs: &[Value]) {
    let mut seconds = BTreeMap::new();
    for run in runs.iter().filter(|run| run["job"] == job) {
        let due: Timestamp = run["scheduled_for"].as_str().unwrap().parse().unwrap();
        let outcome = run["outcome"].as_str().unwrap();
        let said = match outcome {
            "done" | "partial" => true,
            "failed" | "interrupted" => run["error"].is_string(),
            // A waiting one was decided just before the end, and the next scheduler starts it.
            "skipped" | "waiting" => run["reason"].is_string(),
            _ => false,
        };
        assert!(said, "{run}");
        assert_eq!(seconds.insert(due.as_second(), outcome), None, "twice: {run}");
    }
    let (first, last) = (*seconds.keys().next().unwrap(), *seconds.keys().last().unwrap());
    let missing: Vec<_> = (first..=last).filter(|second| !seconds.contains_key(second)).collect();
    assert!(missing.is_empty(), "{job}: no row for {missing:?} between {first} and {last}");
}

/// A scheduler in this process, on a clock that the test sets.
pub(super) struct Set {
    pub(super) folder: tempfile::TempDir,
    clock: Clock,
    pub(super) daemon: Option<Daemon>,
}

impl Set {
    pub(super) fn new(start: &str, jobs: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("portolan.toml"), jobs).unwrap();
        std::fs::write(folder.path().join("a.rhai"), "").unwrap();
        let clock = Clock::standing_at(start.parse::<Timestamp>().unwrap().as_second());
        let mut set = Self { folder, clock, daemon: None };
        set.open();
        set
    }

    pub(super) fn open(&mut self) {
        self.daemon = None;
        let file = self.folder.path().join("portolan.toml");
        let read = move |now| jobs::read(&file, &Zones::bundled(), now)?.into_jobs();
        let jobs = read(self.clock.now()).unwrap();
        let setup = DaemonSetup {
            program: PathBuf::from(env!("CARGO_BIN_EXE_portolan")),
            jobs,
            read: Box::new(read),
            state: self.folder.path().join("state"),
            work: None,
            clock: self.clock.clone(),
            observer: EventEmitter::default(),
            metrics: Arc::new(Metrics::default()),
        };
        self.daemon = Some(Daemon::open(setup).unwrap());
    }

    pub(super) fn go(&self, by: SignedDuration) {
        let Clock::Set(seconds) = &self.clock else { panic!("the clock is a set one") };
        seconds.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    /// Runs the daemon's loop until `wanted` returns a value.
    pub(super) fn turn_until<T>(&mut self, mut wanted: impl FnMut() -> Option<T>) -> T {
        let daemon = self.daemon.as_mut().unwrap();
        let found = wait::until(TIME_MAX, || {
            daemon.turn();
            wanted()
        });
        found.unwrap()
    }

    /// Runs the daemon's loop until it is idle.
    pub(super) fn turn(&mut self) {
        let daemon = self.daemon.as_mut().unwrap();
        daemon.turn();
        let still = wait::until(TIME_MAX, || {
            daemon.turn();
            (daemon.running() == 0).then_some(())
        });
        assert!(still.is_some());
    }

    pub(super) fn runs(&self) -> Vec<HistoryRun> {
        let store = Store::open(&self.folder.path().join("state")).unwrap();
        let mut runs = store.runs(None, 100_000).unwrap();
        runs.reverse();
        runs
    }
}

pub(super) const HOURLY: &str = "[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = \"0 * * * *\"\ntimezone = \"Europe/Berlin\"\ncatchup_spread = \"0s\"\n";

#[test]
fn s70_clocks_that_jump_neither_lose_nor_double_a_slot() {
    let mut set = Set::new("2026-10-24T20:30:00Z", HOURLY);
    set.turn();
    // An hour or a day ahead and back, over the end of summer time (25 October, 01:00 UTC), and a restart in between.
    for hours in [1, 1, 3, -1, 1, -24, 24, 1, 24, -1, 2] {
        set.go(SignedDuration::from_hours(hours));
        set.turn();
        if hours == 3 {
            set.open();
        }
    }
    let runs = set.runs();
    let slots: BTreeSet<_> = runs.iter().map(|run| run.scheduled_for.unwrap()).collect();
    assert_eq!(slots.len(), runs.len(), "a slot has two rows");
    let (first, last) = (*slots.first().unwrap(), *slots.last().unwrap());
    let hours = last.duration_since(first).as_hours() + 1;
    assert_eq!(i64::try_from(slots.len()).unwrap(), hours, "{slots:?}");
    for run in &runs {
        let is_told =
            run.state == RunState::Done || run.state == RunState::Skipped && run.reason.is_some();
        assert!(is_told, "{run:?}");
    }
}

#[test]
fn s70_three_days_off_are_caught_up_once_and_the_others_have_their_reason() {
    let mut set = Set::new("2026-06-01T20:30:00Z", HOURLY);
    set.turn();
    set.go(SignedDuration::from_hours(1));
    set.turn();
    set.daemon = None;
    set.go(SignedDuration::from_hours(72));
    set.open();
    set.turn();
    let runs = set.runs();
    let done: Vec<_> = runs.iter().filter(|run| run.state == RunState::Done).collect();
    assert_eq!(done.len(), 2, "{runs:?}");
    assert_eq!((done[1].cause.as_str(), done[1].covers), ("catchup", 72));
    assert_eq!(runs.len(), 73);
    assert!(runs.iter().all(|run| run.state == RunState::Done || run.reason.is_some()));
}

#[test]
fn a_request_that_waits_for_a_day_is_not_run() {
    let mut set = Set::new("2026-06-01T20:30:00Z", HOURLY);
    set.turn();
    set.daemon = None;
    let mut store = Store::open(&set.folder.path().join("state")).unwrap();
    for hours in [25, 1] {
        store.ask("a", set.clock.now()).unwrap();
        set.go(SignedDuration::from_hours(hours));
    }
    set.open();
    set.turn();
    let runs = set.runs();
    let asked: Vec<_> = runs.iter().filter(|run| run.cause.as_str() == "manual").collect();
    assert_eq!([asked[0].state, asked[1].state], [RunState::Skipped, RunState::Done], "{asked:?}");
    assert!(asked[0].reason.as_ref().unwrap().contains("late"), "{asked:?}");
}

/// A clock that went 20 hours ahead, all of whose slots one run caught up, and back.
#[test]
fn s70_after_a_clock_that_was_hours_ahead_each_slot_runs_when_its_time_comes() {
    for is_restarted in [false, true] {
        let mut set = Set::new("2026-06-01T00:30:00Z", HOURLY);
        set.turn();
        for hours in [20, -20] {
            set.go(SignedDuration::from_hours(hours));
            set.turn();
        }
        if is_restarted {
            set.open();
        }
        for hour in 1..=22 {
            set.go(SignedDuration::from_hours(1));
            set.turn();
            let done: Vec<_> =
                set.runs().into_iter().filter(|run| run.state == RunState::Done).collect();
            let mut slots: Vec<_> = done.iter().map(|run| run.scheduled_for.unwrap()).collect();
            slots.sort();
            slots.dedup();
            assert_eq!(slots.len(), done.len(), "a slot ran twice");
            // The run that caught up was that of 20:00, which does not run again.
            let wanted = if hour < 20 { hour + 1 } else { hour };
            assert_eq!(slots.len(), wanted, "{hour} {is_restarted}: {slots:?}");
        }
        let runs = set.runs();
        assert!(runs.iter().all(|run| run.state == RunState::Done), "{runs:?}");
    }
}

#[test]
fn a_clock_that_was_years_ahead_is_seen_and_nothing_is_run_for_it() {
    let mut set = Set::new("2031-01-01T00:30:00Z", HOURLY);
    set.turn();
    set.go(SignedDuration::from_hours(1));
    set.turn();
    let back = set.clock.now().duration_since("2026-06-01T00:30:00Z".parse::<Timestamp>().unwrap());
    set.daemon = None;
    set.go(-back);
    set.open();
    set.turn();
    assert_eq!(set.runs().len(), 1);
    set.go(SignedDuration::from_hours(1));
    set.turn();
    let runs = set.runs();
    let due = runs.last().unwrap().scheduled_for.unwrap();
    assert_eq!((runs.len(), due.to_string()), (2, "2026-06-01T01:00:00Z".into()));
}
