//! Machines that die, freeze, leave, or lose the database: each slot has one row, each run ends once, and nothing goes on
//! that another machine may have begun.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::process::Signal;

use super::machines::{Fleet, LEASE, ON_REQUEST, TIME_MAX, job};
use crate::support::wait;

#[test]
fn when_the_leader_is_killed_each_slot_is_run_once_or_accounted_for() {
    let jobs = [
        job(
            "tick",
            "* * * * * *",
            "overlap = \"allow\"\nmisfire = \"all\"\nmax_catchup = 100\ncatchup_spread = \"0s\"",
        ),
        job(
            "long",
            "*/7 * * * * *",
            "overlap = \"queue\"\nmisfire = \"all\"\ncatchup_spread = \"0s\"",
        ),
    ]
    .concat();
    let Some(mut fleet) = Fleet::new(&jobs) else { return };
    // One line is one write: several processes append to the file.
    fleet.file("tick.rhai", "local::append(`acts-${job::NAME}`, `${job::SCHEDULED_FOR}\n`);");
    fleet.file(
        "long.rhai",
        "sleep(4); local::append(`acts-${job::NAME}`, `${job::SCHEDULED_FOR}\n`);",
    );
    for name in ["one", "two", "three"] {
        fleet.start(name, &["--workers", "4"]);
    }
    fleet.until(|run| run["job"] == "long" && run["outcome"] == "running");
    let killed = fleet.leader();
    fleet.kill(&killed);
    let at = Instant::now();
    let next = wait::until(TIME_MAX, || Some(fleet.leader()).filter(|leader| *leader != killed));
    assert!(next.is_some());
    let took = at.elapsed();
    thread::park_timeout(Duration::from_secs(3 * LEASE + 3));
    fleet.stop_all();
    // What was interrupted by the end of all is begun again by the first that comes back.
    fleet.start("four", &[]);
    let are_over = wait::until(TIME_MAX, || {
        let is_over = |outcome: &str| !["running", "waiting", "interrupted"].contains(&outcome);
        let until = Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(12)).unwrap();
        let old = |run: &&serde_json::Value| {
            run["scheduled_for"].as_str().unwrap().parse::<Timestamp>().unwrap() < until
        };
        let runs = fleet.runs();
        let all = runs.iter().filter(old).all(|run| is_over(run["outcome"].as_str().unwrap()));
        all.then_some(())
    });
    assert!(are_over.is_some(), "{:#?}", fleet.runs());
    fleet.stop_all();
    let seconds = check_slots(&fleet, "tick");
    check_slots(&fleet, "long");
    let (first, last) = (*seconds.first().unwrap(), *seconds.last().unwrap());
    let missing: Vec<_> = (first..=last).filter(|second| !seconds.contains(second)).collect();
    assert!(missing.is_empty(), "missing {missing:?} of {}", seconds.len());
    assert!(took < Duration::from_secs(5 * LEASE), "{took:?} until another machine led");
    // Files of slots that were begun twice: at most those that the killed machine had.
    let tick = fleet.read("acts-tick");
    let (all, distinct) = (tick.lines().count(), tick.lines().collect::<BTreeSet<_>>().len());
    assert!(all - distinct <= 8, "{all} acts for {distinct} slots");
}

/// Checks that each slot of a job has one row, with an end or a reason, and that its script was executed as often as its row
/// says at most. Returns the slots, in seconds.
fn check_slots(fleet: &Fleet, name: &str) -> BTreeSet<i64> {
    let acts = fleet.read(&format!("acts-{name}"));
    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    for line in acts.lines() {
        *count.entry(line).or_default() += 1;
    }
    let mut slots = BTreeSet::new();
    for run in fleet.runs().iter().filter(|run| run["job"] == name) {
        let slot = run["scheduled_for"].as_str().unwrap();
        assert!(slots.insert(slot.parse::<Timestamp>().unwrap().as_second()), "twice: {run}");
        let acts = count.get(slot).copied().unwrap_or(0);
        let attempts = run["attempts"].as_i64().unwrap();
        match run["outcome"].as_str().unwrap() {
            "done" => assert!((1..=attempts).contains(&acts), "{acts} acts: {run}"),
            "skipped" | "waiting" => assert!(acts == 0 && run["reason"].is_string(), "{run}"),
            "interrupted" => assert!(run["error"].is_string(), "{run}"),
            _ => panic!("{run}"),
        }
    }
    slots
}

#[test]
fn the_runs_of_a_killed_machine_are_begun_again_elsewhere_and_a_stopped_one_gives_its_runs_back() {
    let jobs = [job("a", ON_REQUEST, ""), job("b", ON_REQUEST, "misfire = \"skip\"")].concat();
    let Some(mut fleet) = Fleet::new(&jobs) else { return };
    for name in ["a", "b"] {
        fleet.file(
            &format!("{name}.rhai"),
            "local::append(`${job::NAME}-began`, \"x\"); if job::ATTEMPT == 1 { sleep(600); } local::write(`${job::NAME}-done`, \"y\");",
        );
    }
    fleet.start("two", &["--workers", "0"]);
    assert_eq!(fleet.leader(), "two");
    fleet.until_known("a");
    // Nobody can run them yet: they wait.
    for name in ["a", "b"] {
        fleet.until_known(name);
        drop(fleet.command(&["trigger", name]).succeeds().any_stdout().any_stderr());
    }
    fleet.start("one", &["--never-lead"]);
    for name in ["a-began", "b-began"] {
        wait::until(TIME_MAX, || (fleet.read(name) == "x").then_some(())).unwrap();
    }
    fleet.start("three", &["--never-lead"]);
    let killed = Instant::now();
    fleet.kill("one");
    let run = fleet.until(|run| run["job"] == "a" && run["outcome"] == "done");
    let took = killed.elapsed();
    assert_eq!((run["attempts"].as_i64(), run["machine"].as_str()), (Some(2), Some("three")));
    assert_eq!(fleet.read("a-began"), "xx");
    assert_eq!(fleet.read("a-done"), "y");
    // It is begun again after 1.2 leases; the rest is the start of processes on a busy machine.
    assert!(took > Duration::from_secs(LEASE), "{took:?}");
    // Its job wants no second try.
    let skipped = fleet.until(|run| run["job"] == "b" && run["outcome"] == "interrupted");
    assert!(skipped["error"].as_str().unwrap().contains("its machine `one` was lost"), "{skipped}");
    assert_eq!(fleet.read("b-began"), "x");
    let told = fleet.machine("two").stderr_text();
    assert!(told.contains("machine `one` gives no sign of life"), "{told}");
    assert_eq!(fleet.row("one"), None);
    // A machine that is stopped gives back what it runs, and its place at once.
    fleet.file(
        "a.rhai",
        "local::append(`${job::NAME}-again`, \"x\"); if job::ATTEMPT == 1 { sleep(600); }",
    );
    drop(fleet.command(&["trigger", "a"]).succeeds().any_stdout().any_stderr());
    wait::until(TIME_MAX, || (fleet.read("a-again") == "x").then_some(())).unwrap();
    fleet.start("four", &["--never-lead"]);
    let stopped = Instant::now();
    fleet.stop("three").any_stderr();
    let again = fleet.until(|run| {
        run["id"] != run["none"]
            && run["job"] == "a"
            && run["machine"] == "four"
            && run["outcome"] == "done"
    });
    assert_eq!(again["attempts"], 2);
    assert!(stopped.elapsed() < TIME_MAX);
    fleet.stop_all();
}

#[test]
fn a_frozen_machine_ends_its_runs_before_another_begins_them() {
    let Some(mut fleet) = Fleet::new(&job("a", ON_REQUEST, "")) else { return };
    // Each line has the attempt: whatever the first one writes after the second has begun is a fault.
    fleet.file(
        "a.rhai",
        "let n = 0; while n < 2000 { local::append(\"acts\", `${job::ATTEMPT}\n`); sleep(0.05); n += 1; if job::ATTEMPT > 1 && n > 20 { break; } }",
    );
    fleet.start("leads", &["--workers", "0"]);
    assert_eq!(fleet.leader(), "leads");
    fleet.until_known("a");
    fleet.start("frozen", &["--never-lead"]);
    drop(fleet.command(&["trigger", "a"]).succeeds().any_stdout().any_stderr());
    wait::until(TIME_MAX, || fleet.read("acts").contains("1\n").then_some(())).unwrap();
    fleet.start("other", &["--never-lead"]);
    // The scheduler stands still; its run, a process of its own, sees the end of the lease by itself.
    fleet.machine("frozen").signal(Signal::STOP);
    fleet.until(|run| run["job"] == "a" && run["outcome"] == "done" && run["attempts"] == 2);
    let acts = fleet.read("acts");
    assert!(acts.lines().is_sorted(), "{acts}");
    assert!(acts.contains("1\n2\n"), "{acts}");
    fleet.machine("frozen").signal(Signal::CONT);
    // It finds that it was declared dead, and joins anew.
    fleet.machine("frozen").until_stderr_has("was declared dead, and begins anew");
    let row = wait::until(TIME_MAX, || fleet.row("frozen").filter(|row| row["alive"] == true));
    assert_eq!(row.unwrap()["running"], 0);
    assert_eq!(fleet.read("acts").lines().count(), acts.lines().count());
    fleet.stop_all();
}

#[test]
fn while_the_database_is_away_runs_go_on_for_the_lease_and_tell_their_end_afterwards() {
    let jobs =
        [job("short", ON_REQUEST, ""), job("long", ON_REQUEST, ""), job("tick", "* * * * * *", "")]
            .concat();
    let Some(mut fleet) = Fleet::new(&jobs) else { return };
    fleet.file(
        "short.rhai",
        "local::write(\"short-began\", \"x\"); sleep(1.2); local::write(\"short-done\", \"y\");",
    );
    fleet.file("long.rhai", "local::append(\"long-began\", \"x\"); if job::ATTEMPT == 1 { sleep(600); } local::write(\"long-done\", \"y\");");
    fleet.file("tick.rhai", "local::append(\"ticks\", `${job::SCHEDULED_FOR}\n`);");
    fleet.start("one", &[]);
    fleet.start("two", &[]);
    for name in ["long", "short"] {
        fleet.until_known(name);
        drop(fleet.command(&["trigger", name]).succeeds().any_stdout().any_stderr());
        wait::until(TIME_MAX, || (fleet.read(&format!("{name}-began")) == "x").then_some(()))
            .unwrap();
    }
    fleet.server.stop();
    let ticks = fleet.read("ticks").lines().count();
    // It ends while nobody can be told.
    wait::until(TIME_MAX, || (fleet.read("short-done") == "y").then_some(())).unwrap();
    thread::park_timeout(Duration::from_secs(LEASE + 1));
    let begun = fleet.read("ticks").lines().count() - ticks;
    assert!(begun <= 2, "{begun} runs have begun without the database");
    fleet.server.start_again();
    let short = fleet.until(|run| run["job"] == "short" && run["outcome"] == "done");
    assert_eq!(short["attempts"], 1);
    let long = fleet.until(|run| run["job"] == "long" && run["outcome"] == "done");
    assert_eq!(long["attempts"], 2);
    fleet.until(|run| {
        run["job"] == "tick" && run["outcome"] == "done" && run["id"].as_i64() > long["id"].as_i64()
    });
    let runs = fleet.runs();
    let slots: Vec<_> =
        runs.iter().filter(|run| run["job"] == "tick").map(|run| &run["scheduled_for"]).collect();
    let distinct: BTreeSet<_> = slots.iter().map(ToString::to_string).collect();
    assert_eq!(slots.len(), distinct.len());
    let told: String = ["one", "two"].map(|name| fleet.machine(name).stderr_text()).concat();
    assert!(told.contains("out of reach for longer than the lease"), "{told}");
    fleet.stop_all();
}
