//! Overlap, concurrency, locks, jitter, `after`, pauses, requests.

use super::{Moment, Planner, PlannerState, at, back, decided, jobs, moment, run_of};
use crate::schedule::plan::{Pause, Request};

const JOB: &str = "[[job]]\nname = \"a\"\ncron = \"*/10 * * * *\"\ntimezone = \"UTC\"\n";
const BEGIN: &str = "2026-06-01T00:00:00Z";

/// Returns a planner whose job `a` has been running since ten past, with the run.
fn running(text: &str) -> (Planner, super::RunningJob) {
    let jobs = jobs(text);
    let mut planner = back(&jobs, BEGIN, BEGIN);
    let step = planner.step(&moment("2026-06-01T00:10:00Z", &[]));
    let run = run_of(&step.decisions[0], 7, "2026-06-01T00:10:00Z", &jobs);
    (planner, run)
}

#[test]
fn a_slot_that_comes_while_the_job_runs_is_skipped_with_the_run_that_is_in_the_way() {
    let (mut planner, run) = running(JOB);
    let told = decided(&mut planner, "2026-06-01T00:20:00Z", &[run]);
    assert_eq!(
        told,
        ["a: skip 2026-06-01T00:20:00Z schedule: still running, run 7, since 2026-06-01T00:10:00Z"]
    );
    assert_eq!(
        decided(&mut planner, "2026-06-01T00:30:00Z", &[]),
        ["a: start 2026-06-01T00:30:00Z schedule: due"]
    );
}

#[test]
fn a_queue_keeps_one() {
    let (mut planner, run) =
        running(&(JOB.to_owned() + "overlap = \"queue\"\nstart_deadline = \"1h\""));
    let run = &[run];
    let why = "still running, run 7, since 2026-06-01T00:10:00Z";
    let told = decided(&mut planner, "2026-06-01T00:20:00Z", run);
    assert_eq!(told, [format!("a: wait 2026-06-01T00:20:00Z schedule: {why}")]);
    let told = decided(&mut planner, "2026-06-01T00:30:00Z", run);
    let waits = "the slot of 2026-06-01T00:20:00Z still waits";
    assert_eq!(told, [format!("a: skip 2026-06-01T00:30:00Z schedule: {waits}")]);
    let told = decided(&mut planner, "2026-06-01T00:31:00Z", &[]);
    assert_eq!(told, ["a: start 2026-06-01T00:20:00Z schedule: due"]);
}

#[test]
fn a_slot_that_replaces_ends_the_run_and_begins_when_it_is_gone() {
    let (mut planner, mut run) = running(&(JOB.to_owned() + "overlap = \"replace\""));
    let told = decided(&mut planner, "2026-06-01T00:20:00Z", &[run.clone()]);
    assert_eq!(
        told,
        [
            "a: cancel 7 2026-06-01T00:20:00Z schedule: replaced by the slot of 2026-06-01T00:20:00Z",
            "a: wait 2026-06-01T00:20:00Z schedule: still running, run 7, since 2026-06-01T00:10:00Z",
        ]
    );
    run.is_ending = true;
    assert!(decided(&mut planner, "2026-06-01T00:20:05Z", &[run]).is_empty());
    let told = decided(&mut planner, "2026-06-01T00:20:09Z", &[]);
    assert_eq!(told, ["a: start 2026-06-01T00:20:00Z schedule: due"]);
}

#[test]
fn slots_run_beside_one_another_where_that_is_allowed() {
    let (mut planner, run) = running(&(JOB.to_owned() + "overlap = \"allow\""));
    let told = decided(&mut planner, "2026-06-01T00:20:00Z", &[run]);
    assert_eq!(told, ["a: start 2026-06-01T00:20:00Z schedule: due"]);
}

#[test]
fn the_next_slot_ends_retries_of_the_one_before() {
    let (mut planner, mut run) = running(JOB);
    run.between_attempts = true;
    let told = decided(&mut planner, "2026-06-01T00:20:00Z", &[run]);
    assert_eq!(told[0], "a: cancel 7 2026-06-01T00:20:00Z schedule: the next slot is due");
    let told = decided(&mut planner, "2026-06-01T00:20:01Z", &[]);
    assert_eq!(told, ["a: start 2026-06-01T00:20:00Z schedule: due"]);
}

fn two(more: &str) -> String {
    let job = |name: &str| {
        format!("[[job]]\nname = \"{name}\"\ncron = \"0 * * * *\"\ntimezone = \"UTC\"\n{more}\n")
    };
    job("a") + &*job("b")
}

#[test]
fn a_lock_is_held_by_one_run_and_told_by_name() {
    let jobs = jobs(&two("locks = \"host:h\""));
    let mut planner = back(&jobs, BEGIN, BEGIN);
    let told = decided(&mut planner, "2026-06-01T01:00:00Z", &[]);
    assert_eq!(
        told,
        [
            "a: start 2026-06-01T01:00:00Z schedule: due",
            "b: wait 2026-06-01T01:00:00Z schedule: `a` holds the lock `host:h`",
        ]
    );
    // Unchanged waits are not reported again, and a waiting slot starts when the lock is free.
    let step = planner.step(&moment("2026-06-01T01:00:00Z", &[]));
    assert_eq!(step.decisions.len(), 1);
}

#[test]
fn a_lock_has_room_for_more_where_the_file_says_so() {
    let jobs =
        jobs(&format!("[runner]\nlocks = {{ \"host:h\" = 2 }}\n{}", two("locks = \"host:h\"")));
    let mut planner = back(&jobs, BEGIN, BEGIN);
    assert_eq!(decided(&mut planner, "2026-06-01T01:00:00Z", &[]).len(), 2);
    assert!(planner.state().jobs.values().all(|state| state.waiting.is_empty()));
}

#[test]
fn a_pattern_gives_room_to_each_lock_and_a_longer_one_comes_before_it() {
    for (limits, count) in [
        ("\"host:*\" = 2", 2),
        ("\"host:*\" = 2, \"host:h\" = 1", 1),
        ("\"*\" = 1, \"host:*\" = 2", 2),
        ("\"disk:*\" = 2", 1),
    ] {
        let text = format!("[runner]\nlocks = {{ {limits} }}\n{}", two("locks = \"host:h\""));
        let step = back(&jobs(&text), BEGIN, BEGIN).step(&moment("2026-06-01T01:00:00Z", &[]));
        let starts = step
            .decisions
            .iter()
            .filter(|one| one.action == crate::schedule::plan::DecisionKind::Start);
        assert_eq!(starts.count(), count, "{limits}");
    }
}

#[test]
fn no_more_than_max_running_begin_and_what_cannot_in_its_time_is_given_up() {
    let jobs = jobs(&format!("[runner]\nmax_running = 1\n{}", two("start_deadline = \"10m\"")));
    let mut planner = back(&jobs, BEGIN, BEGIN);
    let step = planner.step(&moment("2026-06-01T01:00:00Z", &[]));
    assert_eq!(step.wake, Some(at("2026-06-01T01:10:00Z")));
    let run = run_of(&step.decisions[0], 1, "2026-06-01T01:00:00Z", &jobs);
    let told = decided(&mut planner, "2026-06-01T01:10:00Z", &[run]);
    let why = "it could not begin in time: another run is in progress (`max_running`)";
    assert_eq!(told, [format!("b: skip 2026-06-01T01:00:00Z schedule: {why}")]);
}

#[test]
fn a_job_comes_after_another_has_succeeded_since_its_last_slot() {
    let text = "[[job]]\nname = \"a\"\ncron = \"0 1 * * *\"\ntimezone = \"UTC\"\n\
                [[job]]\nname = \"b\"\ncron = \"0 2 * * *\"\ntimezone = \"UTC\"\nafter = \"a\"\n";
    let jobs = jobs(text);
    let mut planner = back(&jobs, BEGIN, BEGIN);
    assert_eq!(decided(&mut planner, "2026-06-01T01:00:00Z", &[]).len(), 1);
    let told = decided(&mut planner, "2026-06-01T02:00:00Z", &[]);
    let why = "`a` has not succeeded since 2026-06-01T00:00:00Z";
    assert_eq!(told, [format!("b: wait 2026-06-01T02:00:00Z schedule: {why}")]);
    planner.succeeded("a", at("2026-06-01T02:40:00Z"));
    let told = decided(&mut planner, "2026-06-01T02:40:00Z", &[]);
    assert_eq!(told, ["b: start 2026-06-01T02:00:00Z schedule: due"]);
    // The next day the same success is not enough; the slot waits until the next one.
    drop(decided(&mut planner, "2026-06-02T01:00:00Z", &[]));
    planner.succeeded("a", at("2026-06-02T01:10:00Z"));
    assert_eq!(decided(&mut planner, "2026-06-02T02:00:00Z", &[]).len(), 1);
    drop(decided(&mut planner, "2026-06-03T01:00:00Z", &[]));
    drop(decided(&mut planner, "2026-06-03T02:00:00Z", &[]));
    let told = decided(&mut planner, "2026-06-04T02:00:00Z", &[]);
    let why = "it could not begin in time: `a` has not succeeded since 2026-06-02T02:00:00Z";
    assert!(told.contains(&format!("b: skip 2026-06-03T02:00:00Z schedule: {why}")), "{told:?}");
}

#[test]
fn a_job_without_cron_follows_each_success_of_all_before_it() {
    let text = "[[job]]\nname = \"a\"\ncron = \"0 1 * * *\"\ntimezone = \"UTC\"\n\
                [[job]]\nname = \"b\"\n[[job]]\nname = \"c\"\nafter = [\"a\", \"b\"]\n";
    let mut planner = Planner::new(jobs(text), PlannerState::default(), at(BEGIN));
    planner.succeeded("a", at("2026-06-01T01:10:00Z"));
    let told = |planner: &mut Planner, now: &str| {
        let all = decided(planner, now, &[]);
        all.into_iter().filter(|one| one.starts_with('c')).collect::<Vec<_>>()
    };
    assert!(told(&mut planner, "2026-06-01T01:10:00Z").is_empty());
    planner.succeeded("b", at("2026-06-01T01:20:00Z"));
    let wanted = ["c: start 2026-06-01T01:20:00Z dependency: the jobs before it have succeeded"];
    assert_eq!(told(&mut planner, "2026-06-01T01:20:00Z"), wanted);
    planner.succeeded("a", at("2026-06-02T01:10:00Z"));
    assert!(told(&mut planner, "2026-06-02T01:10:00Z").is_empty());
}

#[test]
fn slots_of_a_paused_job_are_skipped_with_the_reason_and_one_that_is_asked_for_runs() {
    let mut planner = back(&jobs(JOB), BEGIN, BEGIN);
    let since = at("2026-06-01T00:05:00Z");
    assert!(planner.pause("a", Some(Pause { since, reason: "server moves".into() })));
    assert!(!planner.pause("b", None));
    let told = decided(&mut planner, "2026-06-01T00:10:00Z", &[]);
    let why = "paused since 2026-06-01T00:05:00Z: server moves";
    assert_eq!(told, [format!("a: skip 2026-06-01T00:10:00Z schedule: {why}")]);
    let now = at("2026-06-01T00:12:00Z");
    let requests = [
        Request { job: "a".into(), at: now, slot: None },
        Request { job: "x".into(), at: now, slot: None },
    ];
    let step = planner.step(&Moment { now, running: &[], requests: &requests });
    assert_eq!(super::shown(&step.decisions[0]), "a: start 2026-06-01T00:12:00Z manual: asked for");
    planner.pause("a", None);
    let told = decided(&mut planner, "2026-06-01T00:20:00Z", &[]);
    assert_eq!(told, ["a: start 2026-06-01T00:20:00Z schedule: due"]);
}

#[test]
fn a_slot_begins_later_by_its_jitter_and_always_by_the_same() {
    let jobs = jobs(&(JOB.to_owned() + "jitter = \"5m\""));
    let wake = |planner: &mut Planner| {
        let step = planner.step(&moment("2026-06-01T00:10:00Z", &[]));
        assert!(
            super::shown(&step.decisions[0])
                .contains("wait 2026-06-01T00:10:00Z schedule: `jitter`")
        );
        step.wake.unwrap()
    };
    let first = wake(&mut back(&jobs, BEGIN, BEGIN));
    assert_eq!(wake(&mut back(&jobs, BEGIN, BEGIN)), first);
    assert!(first > at("2026-06-01T00:10:00Z") && first < at("2026-06-01T00:15:00Z"));
}

#[test]
fn slots_of_a_job_that_is_gone_or_changed_do_not_wait_for_ever() {
    let text = two("locks = \"x\"");
    let jobs_now = jobs(&text);
    let mut planner = back(&jobs_now, BEGIN, BEGIN);
    drop(decided(&mut planner, "2026-06-01T01:00:00Z", &[]));
    let other = jobs(JOB);
    let mut planner = planner.reload(other, at("2026-06-01T01:05:00Z"));
    let told = decided(&mut planner, "2026-06-01T01:05:00Z", &[]);
    assert_eq!(told, ["b: skip 2026-06-01T01:00:00Z schedule: the jobs file has the job no more"]);
}

/// Returns a job with a task that makes `parallel` logins.
fn mirror(name: &str, minute: u8, parallel: &str) -> String {
    format!(
        "[[job]] # without a script\nname = \"{name}\"\ncron = \"{minute} * * * *\"\ntimezone = \"UTC\"\nlocks = \"host:h\"\n\
         [job.mirror]\nfrom = \"ftp://h/\"\nto = \"x\"\nparallel = {parallel}\n"
    )
}

#[test]
fn a_run_takes_as_many_places_of_a_host_as_logins_it_makes() {
    let text = "[runner]\nlocks = { \"host:*\" = 4 }\n".to_owned();
    let text = [text, mirror("a", 0, "3"), mirror("b", 0, "2"), mirror("c", 0, "1")].concat();
    let jobs = jobs(&text);
    let mut planner = back(&jobs, BEGIN, BEGIN);
    let step = planner.step(&moment("2026-06-01T01:00:00Z", &[]));
    let told: Vec<_> = step.decisions.iter().map(super::shown).collect();
    // The third would fit, but the second waits for those places: it is not overtaken for ever.
    assert_eq!(
        told,
        [
            "a: start 2026-06-01T01:00:00Z schedule: due",
            "b: wait 2026-06-01T01:00:00Z schedule: `a` holds the lock `host:h`, of whose 4 places this run takes 2",
            "c: wait 2026-06-01T01:00:00Z schedule: `b` waits for the lock `host:h` before it",
        ]
    );
    let told = decided(&mut planner, "2026-06-01T01:00:30Z", &[]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|one| one.contains("start")), "{told:?}");
}

#[test]
fn a_run_that_wants_more_places_than_there_are_gets_those() {
    for (limit, parallel) in [("4", "8"), ("4", "\"auto\""), ("1", "2")] {
        let text = format!("[runner]\nlocks = {{ \"host:*\" = {limit} }}\n");
        let jobs = jobs(&[text, mirror("a", 0, parallel), mirror("b", 0, "1")].concat());
        let mut planner = back(&jobs, BEGIN, BEGIN);
        let told = decided(&mut planner, "2026-06-01T01:00:00Z", &[]);
        assert_eq!(told[0], "a: start 2026-06-01T01:00:00Z schedule: due", "{limit} {parallel}");
        assert!(told[1].ends_with("`a` holds the lock `host:h`"), "{told:?}");
        let most = jobs.runner.logins_of(&jobs.all[0]).unwrap();
        assert_eq!((most.places.to_string().as_str(), most.is_less), (limit, true));
    }
}

#[test]
fn a_script_takes_the_places_that_the_file_names_or_one() {
    let text = "[runner]\nlocks = { \"host:*\" = 4, disk = 2 }\n".to_owned()
        + &*two("locks = { \"host:h\" = 3, disk = 1 }")
        + "[[job]]\nname = \"c\"\nafter = \"a\"\nlocks = [\"host:h\", \"other\"]\n";
    let jobs = jobs(&text);
    let held = |index: usize| {
        let held = jobs.runner.locks_of(&jobs.all[index]);
        held.iter().map(|lock| format!("{}:{}", lock.name, lock.places)).collect::<Vec<_>>()
    };
    assert_eq!(held(0), ["disk:1", "host:h:3"]);
    assert_eq!(held(2), ["host:h:1", "other:1"]);
    let logins = |job| Some(jobs.runner.logins_of(job)?.places);
    let logins: Vec<_> = jobs.all.iter().map(|job| logins(job)).collect();
    assert_eq!(logins, [Some(3), Some(3), None]);
    let told = decided(&mut back(&jobs, BEGIN, BEGIN), "2026-06-01T01:00:00Z", &[]);
    assert!(told[1].ends_with("of whose 4 places this run takes 3"), "{told:?}");
}
