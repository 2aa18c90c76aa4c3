//! Machines whose jobs differ: the one that has other jobs than the fleet does not lead, and no slot is dropped.

use std::{collections::BTreeSet, thread, time::Duration};

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;

use super::machines::{Fleet, LEASE, TIME_MAX, job};
use crate::support::wait;

/// Checks that the slots of a job, which has one each second, have one row each and no hole, and that none was dropped because
/// the job was edited or removed.
pub(super) fn check_seconds(fleet: &Fleet, name: &str) {
    let mut seconds = BTreeSet::new();
    for run in fleet.runs().iter().filter(|run| run["job"] == name) {
        let at: Timestamp = run["scheduled_for"].as_str().unwrap().parse().unwrap();
        assert!(seconds.insert(at.as_second()), "twice: {run}");
        let code = run["reason_code"].as_str().unwrap_or_default();
        assert!(!["edited", "removed"].contains(&code), "{run}");
    }
    let (first, last) = (*seconds.first().unwrap(), *seconds.last().unwrap());
    let missing: Vec<_> = (first..=last).filter(|second| !seconds.contains(second)).collect();
    assert!(missing.is_empty(), "missing {missing:?} of {}", seconds.len());
}

/// A job that has a slot each second, and makes up for all of them.
pub(super) fn each_second(name: &str) -> String {
    let more = "overlap = \"allow\"\nmisfire = \"all\"\nmax_catchup = 100\ncatchup_spread = \"0s\"";
    job(name, "* * * * * *", more)
}

#[test]
fn a_machine_with_another_jobs_file_does_not_lead_and_no_slot_is_dropped() {
    let Some(mut fleet) = Fleet::new(&each_second("tick")) else { return };
    fleet.file("tick.rhai", "");
    fleet.file("late.rhai", "");
    fleet.start("one", &[]);
    assert_eq!(fleet.leader(), "one");
    fleet.until(|run| run["job"] == "tick" && run["outcome"] == "done");
    let jobs = fleet.read("portolan.toml");
    // Without the job, as a machine has it on which the new jobs file was not put yet.
    fleet.file("other.toml", &jobs.replace("tick", "late").replace("* * * * * *", "0 0 29 2 *"));
    let other = fleet.path("other.toml").display().to_string();
    let program = fleet.program().args(["serve", "--name", "two", "--jobs", &other]);
    let two = program.args(["--state"]).args([fleet.path("state-two")]).spawn();
    two.until_stderr_has("shares the schedule of");
    for is_killed in [true, false] {
        if is_killed {
            fleet.kill("one");
        } else {
            fleet.stop("one").any_stderr();
        }
        thread::park_timeout(Duration::from_secs(3 * LEASE));
        let row = fleet.row("two").unwrap();
        assert_eq!((&row["role"], &row["alive"]), (&"worker".into(), &true.into()), "{row}");
        two.until_stderr_has("it does not lead, and gets no runs, until they are the same");
        let before = fleet.runs().len();
        fleet.start("one", &[]);
        assert_eq!(fleet.leader(), "one");
        wait::until(TIME_MAX, || (fleet.runs().len() > before + 5).then_some(())).unwrap();
    }
    let text = two.stderr_text();
    assert_eq!(text.matches("fleet.other_release").count(), 1, "{text}");
    check_seconds(&fleet, "tick");
    // With the jobs file of the fleet it leads as soon as nobody else does.
    fleet.file("other.toml", &jobs);
    two.until_stderr_has("the jobs file was read again");
    let is_same = |row: &Value| row["has_leaders_jobs"] == true;
    wait::until(TIME_MAX, || fleet.row("two").filter(is_same)).unwrap();
    fleet.stop("one").any_stderr();
    assert_eq!(fleet.leader(), "two");
    let last = fleet.runs().len();
    wait::until(TIME_MAX, || (fleet.runs().len() > last + 2).then_some(())).unwrap();
    two.signal(Signal::TERM);
    two.wait().succeeds().any_stdout().any_stderr();
    check_seconds(&fleet, "tick");
    // All have left: the next one may have any jobs.
    let program = fleet.program().args(["serve", "--name", "two", "--jobs", &other]);
    fleet.file("other.toml", &jobs.replace("tick", "late"));
    let two = program.args(["--state"]).args([fleet.path("state-two")]).spawn();
    two.until_stderr_has("machine `two` leads");
    two.signal(Signal::TERM);
    two.wait().succeeds().any_stdout().any_stderr();
}
