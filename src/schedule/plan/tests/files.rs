//! Slots for files that have arrived.

use super::{
    super::{DecisionKind, Pause, Planner, PlannerState, Trigger},
    at, decided, jobs, moment, run_of, shown,
};

const JOBS: &str = "[[job]]\nname = \"a\"\nwatch = { directory = \"/\" }\n";

fn planner(text: &str, now: &str) -> Planner {
    let mut planner = Planner::new(jobs(text), PlannerState::default(), at(now));
    assert_eq!(decided(&mut planner, now, &[]), [""; 0]);
    planner
}

#[test]
fn files_that_have_arrived_begin_a_run_and_later_ones_wait_for_its_end() {
    let mut planner = planner(JOBS, "2026-06-01T00:00:00Z");
    assert!(planner.takes_files("a") && !planner.takes_files("b"));
    planner.arrive("a", at("2026-06-01T00:00:05Z"), Trigger::Watch);
    assert!(!planner.takes_files("a"), "the first have not begun");
    let step = planner.step(&moment("2026-06-01T00:00:05Z", &[]));
    let [start] = &step.decisions[..] else { panic!("{:?}", step.decisions) };
    assert_eq!(shown(start), "a: start 2026-06-01T00:00:05Z watch: files have arrived");
    assert_eq!(start.slot.id.to_string(), "F2026-06-01T00:00:05Z");
    let running = run_of(start, 1, "2026-06-01T00:00:05Z", planner.jobs());
    planner.arrive("a", at("2026-06-01T00:00:06Z"), Trigger::Watch);
    let waits = decided(&mut planner, "2026-06-01T00:00:06Z", &[running]);
    assert_eq!(
        waits,
        ["a: wait 2026-06-01T00:00:06Z watch: still running, run 1, since 2026-06-01T00:00:05Z"]
    );
    // However long that takes.
    assert_eq!(
        decided(&mut planner, "2026-09-01T00:00:00Z", &[]),
        ["a: start 2026-06-01T00:00:06Z watch: files have arrived"]
    );
}

#[test]
fn files_wait_for_the_end_of_a_pause_and_outlive_an_edited_schedule() {
    let mut planner = planner(JOBS, "2026-06-01T00:00:00Z");
    planner.arrive("a", at("2026-06-01T00:00:05Z"), Trigger::Watch);
    let pause = Pause { since: at("2026-06-01T00:00:04Z"), reason: String::new() };
    planner.pause("a", Some(pause));
    assert_eq!(
        decided(&mut planner, "2026-06-01T00:00:05Z", &[]),
        ["a: wait 2026-06-01T00:00:05Z watch: paused since 2026-06-01T00:00:04Z"]
    );
    assert!(!planner.takes_files("a"));
    let edited =
        jobs("[[job]]\nname = \"a\"\ncron = \"0 3 * * *\"\nwatch = { directory = \"/\" }\n");
    let mut planner = planner.reload(edited, at("2026-06-01T00:00:06Z"));
    assert_eq!(decided(&mut planner, "2026-06-01T00:00:06Z", &[]), [""; 0]);
    planner.pause("a", None);
    assert_eq!(
        decided(&mut planner, "2026-06-03T00:00:06Z", &[])
            .iter()
            .filter(|words| words.contains("watch"))
            .collect::<Vec<_>>(),
        ["a: start 2026-06-01T00:00:05Z watch: files have arrived"]
    );
}

#[test]
fn a_slot_of_the_schedule_neither_replaces_a_run_with_files_nor_ends_its_retries() {
    for (overlap, wanted) in [
        ("skip", "a: skip 2026-06-01T03:00:00Z schedule: still running"),
        ("replace", "a: wait 2026-06-01T03:00:00Z schedule: still running"),
        ("queue", "a: wait 2026-06-01T03:00:00Z schedule: still running"),
    ] {
        let text = format!(
            "[[job]]\nname = \"a\"\ncron = \"0 3 * * *\"\ntimezone = \"UTC\"\noverlap = \"{overlap}\"\n\
             watch = {{ directory = \"/\" }}\n"
        );
        let mut planner = planner(&text, "2026-06-01T00:00:00Z");
        planner.arrive("a", at("2026-06-01T02:00:00Z"), Trigger::Watch);
        let step = planner.step(&moment("2026-06-01T02:00:00Z", &[]));
        let mut running = run_of(&step.decisions[0], 1, "2026-06-01T02:00:00Z", planner.jobs());
        running.between_attempts = true;
        let step = planner.step(&moment("2026-06-01T03:00:00Z", &[running]));
        assert!(!step.decisions.iter().any(|one| matches!(one.action, DecisionKind::Cancel(_))));
        let words: Vec<_> = step.decisions.iter().map(shown).collect();
        assert!(words[0].starts_with(wanted), "{overlap}: {words:?}");
    }
}

#[test]
fn a_clock_that_was_ahead_loses_no_files() {
    let mut planner = planner(JOBS, "2026-06-10T00:00:00Z");
    planner.arrive("a", at("2026-06-10T00:00:05Z"), Trigger::Watch);
    let words = decided(&mut planner, "2026-06-01T00:00:00Z", &[]);
    assert!(
        words.iter().all(|words| words.contains("start") || words.contains("wait")),
        "{words:?}"
    );
    let later = decided(&mut planner, "2026-06-10T00:00:06Z", &[]);
    let all = [words, later].concat();
    let starts = all.iter().filter(|words| words.contains("start")).count();
    assert_eq!(starts, 1, "{all:?}");
}
