//! The table of missed runs: zone and expression, start and end of the downtime, and the result for each `misfire`.

use std::sync::Arc;

use jiff::Timestamp;

use super::{DecisionKind, Planner, PlannerState, at, back, decided, jobs, moment, run_of};
use crate::schedule::{
    plan::{PlannerNote, Trigger, WaitingSlot},
    slot::{Slot, SlotId},
};

struct MissedCase {
    zone: &'static str,
    cron: &'static str,
    down: [&'static str; 2],
    more: &'static str,
    /// The numbers of runs and skipped slots under `skip`, `once` and `all`.
    wanted: [(usize, usize); 3],
    /// The slot of the run under `once`, and the number of slots that it covers.
    once: Option<(&'static str, u64)>,
}

const NEW_YORK: &str = "America/New_York";

const ROWS: [MissedCase; 9] = [
    // M1: a slot that was moved by daylight saving time.
    MissedCase {
        zone: NEW_YORK,
        cron: "30 2 * * *",
        down: ["2026-03-07T20:00:00Z", "2026-03-08T12:00:00Z"],
        more: "",
        wanted: [(0, 1), (1, 0), (1, 0)],
        once: Some(("2026-03-08T07:00:00Z", 1)),
    },
    // M2: both passes of a repeated hour.
    MissedCase {
        zone: NEW_YORK,
        cron: "*/15 * * * *",
        down: ["2026-11-01T04:50:00Z", "2026-11-01T08:10:00Z"],
        more: "",
        wanted: [(0, 13), (1, 12), (10, 3)],
        once: Some(("2026-11-01T08:00:00Z", 13)),
    },
    // M3: eleven days.
    MissedCase {
        zone: "Europe/Berlin",
        cron: "0 3 * * *",
        down: ["2026-06-01T00:00:00Z", "2026-06-11T12:00:00Z"],
        more: "",
        wanted: [(0, 11), (1, 10), (10, 1)],
        once: Some(("2026-06-11T01:00:00Z", 11)),
    },
    // M4: a day late, which is too late unless `start_deadline` allows more.
    MissedCase {
        zone: "UTC",
        cron: "0 0 1 * *",
        down: ["2026-01-15T00:00:00Z", "2026-04-02T00:00:00Z"],
        more: "",
        wanted: [(0, 3), (0, 3), (0, 3)],
        once: None,
    },
    MissedCase {
        zone: "UTC",
        cron: "0 0 1 * *",
        down: ["2026-01-15T00:00:00Z", "2026-04-02T00:00:00Z"],
        more: "start_deadline = \"7d\"",
        wanted: [(0, 3), (1, 2), (1, 2)],
        once: Some(("2026-04-01T00:00:00Z", 3)),
    },
    // M5: the second pass of a fixed time is not a slot.
    MissedCase {
        zone: NEW_YORK,
        cron: "30 1 * * *",
        down: ["2026-11-01T05:45:00Z", "2026-11-01T06:45:00Z"],
        more: "",
        wanted: [(0, 0), (0, 0), (0, 0)],
        once: None,
    },
    // M6: the first pass was missed.
    MissedCase {
        zone: NEW_YORK,
        cron: "30 1 * * *",
        down: ["2026-11-01T05:00:00Z", "2026-11-01T06:45:00Z"],
        more: "",
        wanted: [(0, 1), (1, 0), (1, 0)],
        once: Some(("2026-11-01T05:30:00Z", 1)),
    },
    // M7: more than a hundred, where Kubernetes gives up.
    MissedCase {
        zone: "UTC",
        cron: "* * * * *",
        down: ["2026-06-01T08:29:00Z", "2026-06-01T10:21:00Z"],
        more: "",
        wanted: [(0, 112), (1, 111), (10, 102)],
        once: Some(("2026-06-01T10:21:00Z", 112)),
    },
    // A further row: each slot is within its deadline or not, individually.
    MissedCase {
        zone: "UTC",
        cron: "0 * * * *",
        down: ["2026-06-01T00:30:00Z", "2026-06-01T08:30:00Z"],
        more: "start_deadline = \"2h\"",
        wanted: [(0, 8), (1, 7), (2, 6)],
        once: Some(("2026-06-01T08:00:00Z", 8)),
    },
];

#[test]
fn each_policy_makes_of_missed_slots_what_the_table_says() {
    for row in &ROWS {
        for (misfire, wanted) in ["skip", "once", "all"].into_iter().zip(row.wanted) {
            let jobs = jobs(&format!(
                "[[job]]\nname = \"a\"\ncron = \"{}\"\ntimezone = \"{}\"\nmisfire = \"{misfire}\"\n{}",
                row.cron, row.zone, row.more
            ));
            let mut planner = back(&jobs, row.down[0], row.down[1]);
            let step = planner.step(&moment(row.down[1], &[]));
            let skipped =
                step.decisions.iter().filter(|one| one.action == DecisionKind::Skip).count();
            let begun: Vec<_> =
                step.decisions.iter().filter(|one| one.action == DecisionKind::Start).collect();
            let waiting = planner.state_of("a").unwrap().waiting.len();
            let found = (begun.len() + waiting, skipped);
            assert_eq!(found, wanted, "{} {misfire} {}", row.cron, row.more);
            if let ("once", Some((slot, covers))) = (misfire, row.once) {
                let only = begun.first().unwrap();
                assert_eq!((only.slot.at, only.covers), (at(slot), covers));
            }
        }
    }
}

/// M8: a host that booted with a clock in 2031.
#[test]
fn a_watermark_far_ahead_is_told_and_forgotten_and_nothing_runs() {
    for misfire in ["skip", "once", "all"] {
        let jobs = jobs(&format!(
            "[[job]]\nname = \"a\"\ncron = \"@hourly\"\ntimezone = \"UTC\"\nmisfire = \"{misfire}\""
        ));
        let mut planner = back(&jobs, "2031-06-01T00:00:00Z", "2026-06-01T00:00:00Z");
        let step = planner.step(&moment("2026-06-01T00:00:00Z", &[]));
        let watermark = at("2031-06-01T00:00:00Z");
        assert_eq!(step.notes, [PlannerNote::WatermarkAhead { job: "a".into(), watermark }]);
        assert_eq!((step.decisions.len(), step.wake), (0, Some(at("2026-06-01T01:00:00Z"))));
        assert_eq!(planner.state_of("a").unwrap().watermark, at("2026-06-01T00:00:00Z"));
        assert_eq!(decided(&mut planner, "2026-06-01T01:00:00Z", &[]).len(), 1);
    }
}

#[test]
fn a_clock_that_is_set_ahead_and_back_while_the_planner_lives_is_noticed_as_well() {
    let jobs = jobs("[[job]]\nname = \"a\"\ncron = \"@hourly\"\ntimezone = \"UTC\"");
    let mut planner = back(&jobs, "2026-06-01T00:00:00Z", "2026-06-01T00:00:00Z");
    assert_eq!(planner.step(&moment("2031-01-01T00:00:00Z", &[])).notes.len(), 0);
    assert_eq!(planner.step(&moment("2026-06-01T00:10:00Z", &[])).notes.len(), 1);
    assert_eq!(planner.next_of("a").unwrap().at, at("2026-06-01T01:00:00Z"));
}

/// A success far in the future would hide every success of today.
#[test]
fn after_a_clock_that_was_far_ahead_jobs_that_come_after_others_do_so_again() {
    let jobs = jobs(
        "[[job]]\nname = \"a\"\ncron = \"@hourly\"\ntimezone = \"UTC\"\n[[job]]\nname = \"b\"\nafter = [\"a\"]",
    );
    let wrong = "2031-01-01T00:00:00Z";
    let mut planner = back(&jobs, wrong, wrong);
    planner.succeeded("a", at("2031-01-01T00:10:00Z"));
    // `b` is waiting when the host goes down, and the host comes up with the correct time.
    let running =
        run_of(&planner.step(&moment("2031-01-01T00:10:01Z", &[])).decisions[0], 1, wrong, &jobs);
    let mut state = planner.state();
    let waiting = WaitingSlot {
        slot: running.slot,
        trigger: Trigger::Dependency,
        covers: 1,
        not_before: at(wrong),
        give_up: at("2031-01-02T00:00:00Z"),
        needs_since: Timestamp::MIN,
        told: None,
    };
    state.jobs.get_mut("b").unwrap().waiting.push(waiting);
    let now = "2026-06-01T00:30:00Z";
    let mut fresh = Planner::new(Arc::clone(&jobs), state, at(now));
    for planner in [&mut fresh, &mut planner] {
        planner.step(&moment(now, &[]));
        assert_eq!(planner.state_of("a").unwrap().last_success, None);
        assert_eq!(planner.state_of("b").unwrap().waiting, []);
        planner.succeeded("a", at("2026-06-01T01:00:05Z"));
        let begun = decided(planner, "2026-06-01T01:00:06Z", &[]);
        let wanted = "b: start 2026-06-01T01:00:05Z dependency: the jobs before it have succeeded";
        assert!(begun.iter().any(|one| one == wanted), "{begun:?}");
    }
}

/// Twenty hours ahead, all of them caught up by one run, and back.
#[test]
fn after_a_clock_that_was_hours_ahead_the_slots_are_planned_anew() {
    for (ahead, back_at) in [
        ("2026-06-01T20:30:00Z", "2026-06-01T00:31:00Z"),
        ("2026-06-01T09:10:00Z", "2026-06-01T00:40:00Z"),
        ("2026-06-02T00:15:00Z", "2026-06-01T00:30:30Z"),
    ] {
        let jobs = jobs("[[job]]\nname = \"a\"\ncron = \"0 * * * *\"\ntimezone = \"UTC\"");
        let mut planner = back(&jobs, "2026-06-01T00:30:00Z", "2026-06-01T00:30:00Z");
        let caught_up = planner.step(&moment(ahead, &[])).decisions;
        let begun = caught_up.iter().filter(|one| one.action == DecisionKind::Start).count();
        assert!(begun == 1 && caught_up.len() > 5);
        let step = planner.step(&moment(back_at, &[]));
        assert_eq!((step.decisions.len(), step.notes.len()), (0, 1), "{ahead}");
        for now in ["2026-06-01T01:00:00Z", "2026-06-01T02:00:01Z", "2026-06-01T03:00:00Z"] {
            let step = planner.step(&moment(now, &[]));
            assert_eq!((step.decisions.len(), step.notes.len()), (1, 0), "{ahead} {now}");
            assert_eq!(step.decisions[0].action, DecisionKind::Start);
        }
    }
}

/// A slot whose run is in progress is skipped as well: a job that replaces its runs would end it.
#[test]
fn a_slot_that_a_clock_ahead_has_run_is_not_planned_again() {
    for overlap in ["skip", "queue", "replace", "allow"] {
        let jobs = jobs(&format!(
            "[[job]]\nname = \"a\"\ncron = \"0 * * * *\"\ntimezone = \"UTC\"\noverlap = \"{overlap}\""
        ));
        let mut planner = back(&jobs, "2026-06-01T00:30:00Z", "2026-06-01T00:30:00Z");
        let wrong = "2026-06-01T03:10:00Z";
        let step = planner.step(&moment(wrong, &[]));
        let start = step.decisions.iter().find(|one| one.action == DecisionKind::Start).unwrap();
        let running = [run_of(start, 1, wrong, &jobs)];
        let mut state = planner.state();
        state.jobs.get_mut("a").unwrap().ended.insert(start.slot.id);
        let mut planner = Planner::new(Arc::clone(&jobs), state, at("2026-06-01T00:31:00Z"));
        assert!(decided(&mut planner, "2026-06-01T00:31:00Z", &running).is_empty());
        for now in ["2026-06-01T01:00:00Z", "2026-06-01T02:00:00Z"] {
            assert_eq!(decided(&mut planner, now, &[]).len(), 1, "{overlap} {now}");
        }
        assert!(decided(&mut planner, "2026-06-01T03:00:00Z", &running).is_empty(), "{overlap}");
        let next = decided(&mut planner, "2026-06-01T04:00:00Z", &[]);
        assert!(next.len() == 1 && next[0].starts_with("a: start"), "{overlap} {next:?}");
    }
}

/// A run that catches up waits for its moment of `catchup_spread`, by the wrong clock, and so does a request.
#[test]
fn what_waits_by_a_clock_that_was_ahead_does_not_wait_for_it_to_come_again() {
    let jobs = jobs("[[job]]\nname = \"a\"\ncron = \"20 0 * * *\"\ntimezone = \"UTC\"");
    let mut planner = back(&jobs, "2026-06-01T00:10:00Z", "2026-06-01T00:10:00Z");
    planner.step(&moment("2026-06-01T00:10:00Z", &[]));
    let mut state = planner.state();
    let slot = planner.next_of("a").unwrap();
    let asked = Slot {
        id: SlotId::Asked(at("2026-06-01T19:00:00Z")),
        at: at("2026-06-01T19:00:00Z"),
        moved_from: None,
    };
    for (slot, trigger) in [(slot, Trigger::CatchUp), (asked, Trigger::Manual)] {
        let job = state.jobs.get_mut("a").unwrap();
        job.watermark = job.watermark.max(at("2026-06-01T00:20:00Z"));
        job.waiting.push(WaitingSlot {
            slot,
            trigger,
            covers: 1,
            not_before: at("2026-06-01T20:00:40Z"),
            give_up: at("2026-06-02T20:00:00Z"),
            needs_since: Timestamp::MIN,
            told: None,
        });
    }
    for (now, started) in [("2026-06-01T00:15:00Z", 1), ("2026-06-01T00:25:00Z", 1)] {
        let mut planner = Planner::new(Arc::clone(&jobs), state.clone(), at(now));
        let begun = planner.step(&moment(now, &[])).decisions;
        let begun = begun.iter().filter(|one| one.action == DecisionKind::Start);
        assert_eq!(begun.count(), started, "{now}");
    }
}

#[test]
fn an_hour_back_repeats_nothing() {
    let jobs = jobs("[[job]]\nname = \"a\"\ncron = \"0 * * * *\"\ntimezone = \"UTC\"");
    let mut planner = back(&jobs, "2026-06-01T00:30:00Z", "2026-06-01T00:30:00Z");
    assert_eq!(decided(&mut planner, "2026-06-01T01:00:00Z", &[]).len(), 1);
    for now in ["2026-06-01T00:10:00Z", "2026-06-01T01:00:00Z", "2026-06-01T01:30:00Z"] {
        assert!(decided(&mut planner, now, &[]).is_empty(), "{now}");
    }
    assert_eq!(decided(&mut planner, "2026-06-01T02:00:00Z", &[]).len(), 1);
}

#[test]
fn months_of_a_schedule_by_the_second_are_decided_in_a_moment() {
    for misfire in ["skip", "once", "all"] {
        let jobs = jobs(&format!(
            "[[job]]\nname = \"a\"\ncron = \"* * * * * *\"\ntimezone = \"UTC\"\nmisfire = \"{misfire}\""
        ));
        let mut planner = back(&jobs, "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
        let step = planner.step(&moment("2026-06-01T00:00:00Z", &[]));
        assert!(step.decisions.len() <= 1_002, "{}", step.decisions.len());
        let lump = &step.decisions[0];
        let DecisionKind::SkipThrough { last, count: None } = &lump.action else {
            panic!("{lump:?}")
        };
        assert_eq!(lump.slot.at, at("2026-01-01T00:00:01Z"));
        // The first slot with its own row follows without a gap.
        assert_eq!(last.at.as_second() + 1, step.decisions[1].slot.at.as_second());
        assert_eq!(planner.state_of("a").unwrap().watermark, at("2026-06-01T00:00:00Z"));
    }
}

#[test]
fn a_new_job_and_a_changed_schedule_never_fire_for_the_past() {
    let text = "[[job]]\nname = \"a\"\ncron = \"0 * * * *\"\ntimezone = \"UTC\"";
    let now = "2026-06-01T05:30:00Z";
    let mut planner = Planner::new(jobs(text), PlannerState::default(), at(now));
    assert!(decided(&mut planner, now, &[]).is_empty());
    let changed = jobs(&text.replace("0 *", "15 *"));
    let mut planner = planner.reload(changed, at("2026-06-01T05:50:00Z"));
    assert!(decided(&mut planner, "2026-06-01T05:50:00Z", &[]).is_empty());
    assert_eq!(planner.next_of("a").unwrap().at, at("2026-06-01T06:15:00Z"));
    // And back again: slots in between are not caught up either.
    let mut planner = planner.reload(jobs(text), at("2026-06-01T08:50:00Z"));
    assert!(decided(&mut planner, "2026-06-01T08:50:00Z", &[]).is_empty());
}

#[test]
fn new_zone_data_does_not_bring_a_decided_time_again() {
    let jobs =
        jobs("[[job]]\nname = \"a\"\ncron = \"0 9 * * *\"\ntimezone = \"America/Vancouver\"");
    let mut planner = back(&jobs, "2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z");
    assert_eq!(decided(&mut planner, "2026-11-01T16:00:00Z", &[]).len(), 1);
    // By the earlier rules, nine o'clock was an hour later: as if those were in force now.
    let mut state = planner.state();
    let watermark = &mut state.jobs.get_mut("a").unwrap().watermark;
    *watermark = at("2026-11-01T15:00:00Z");
    let mut planner = Planner::new(jobs, state, at("2026-11-01T16:00:00Z"));
    assert!(decided(&mut planner, "2026-11-01T17:00:00Z", &[]).is_empty());
    assert_eq!(planner.next_of("a").unwrap().at, at("2026-11-02T16:00:00Z"));
}
