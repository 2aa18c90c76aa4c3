//! `trigger --wait` from a host that has only the address: it ends as the run does, and not before.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::machines::{Fleet, LEASE, ON_REQUEST, TIME_MAX, job};
use crate::support::{program::Running, wait};

/// Returns a fleet whose first machine leads only, and whose second runs only.
fn fleet(script: &str) -> Option<Fleet> {
    let mut fleet = Fleet::new(&job("a", ON_REQUEST, ""))?;
    fleet.file("a.rhai", script);
    fleet.start("leads", &["--workers", "0"]);
    assert_eq!(fleet.leader(), "leads");
    fleet.until_known("a");
    fleet.start("one", &["--never-lead"]);
    Some(fleet)
}

fn command(fleet: &Fleet, words: &[&str]) -> Running {
    fleet.program().args(words.iter().copied()).args(["--store", &fleet.address()]).spawn()
}

#[test]
fn a_run_that_a_stopped_machine_gives_back_is_awaited_until_another_one_has_ended_it() {
    let script = "local::append(\"began\", \"x\"); if job::ATTEMPT == 1 { sleep(600); }";
    let Some(mut fleet) = fleet(script) else { return };
    let waits = command(&fleet, &["trigger", "a", "--wait"]);
    wait::until(TIME_MAX, || (fleet.read("began") == "x").then_some(())).unwrap();
    fleet.start("two", &["--never-lead"]);
    // The leader is slow to see it: the run is interrupted for longer than one look at it.
    fleet.machine("leads").signal(Signal::STOP);
    fleet.stop("one").any_stderr();
    fleet.until(|run| run["outcome"] == "interrupted");
    thread::park_timeout(Duration::from_secs(1));
    fleet.machine("leads").signal(Signal::CONT);
    waits.wait().succeeds().stdout_has("is done").any_stdout().any_stderr().any_files();
    assert_eq!(fleet.read("began"), "xx");
    assert_eq!(fleet.runs().len(), 1);
    fleet.stop_all();
}

#[test]
fn a_run_that_nobody_begins_again_has_ended_after_two_leases() {
    let Some(mut fleet) = Fleet::new(&job("a", ON_REQUEST, "misfire = \"skip\"")) else { return };
    fleet.file("a.rhai", "local::write(\"began\", \"x\"); sleep(600);");
    fleet.start("leads", &["--workers", "0"]);
    assert_eq!(fleet.leader(), "leads");
    fleet.until_known("a");
    fleet.start("one", &["--never-lead"]);
    let waits = command(&fleet, &["trigger", "a", "--wait"]);
    wait::until(TIME_MAX, || (fleet.read("began") == "x").then_some(())).unwrap();
    fleet.stop("one").any_stderr();
    waits.wait().fails_with(130).stdout_has("is interrupted").any_stdout().any_stderr().any_files();
    fleet.stop_all();
}

#[test]
fn a_request_that_no_leader_takes_up_is_no_success_and_is_followed_without_another() {
    let Some(mut fleet) = fleet("") else { return };
    fleet.machine("leads").signal(Signal::STOP);
    let begun = Instant::now();
    let ran = command(&fleet, &["trigger", "a", "--wait", "--begin-within", "1s", "--json"]).wait();
    let mut ran = ran
        .fails_with(4)
        .stderr_has("no scheduler has taken up the request within 1.0 s")
        .any_files();
    let asked = ran.json();
    assert_eq!(asked["outcome"], "asked", "{asked}");
    let request = asked["request"].as_str().unwrap().to_owned();
    drop(ran.any_stderr());
    let waits = command(&fleet, &["trigger", "a", "--wait", "--request", &request]);
    // Longer than `trigger` without `--wait` looks for the run.
    thread::park_timeout(Duration::from_secs(2 * LEASE + 1));
    assert!(begun.elapsed() > Duration::from_secs(2 * LEASE));
    fleet.machine("leads").signal(Signal::CONT);
    waits.wait().succeeds().stdout_has("run 1 of `a` is done").any_stderr().any_files();
    let seen = fleet.json(&["trigger", "a", "--request", &request]);
    assert_eq!(
        (&seen["id"], &seen["request"], &seen["lease_s"]),
        (&1.into(), &request.into(), &3.0.into())
    );
    assert_eq!(fleet.runs().len(), 1);
    let ran = command(&fleet, &["trigger", "a", "--request", "L2026-01-01T00:00"]).wait();
    drop(ran.fails_with(2).stderr_has("that `trigger --json` has printed").any_stderr());
    fleet.stop_all();
}
