//! Slots, facts, pauses, requests, reloads.

use std::{thread, time::Duration};

use rustix::process::Signal;

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::wait;

const EVERY_SECOND: &str =
    "\n[[job]]\nname = \"tick\"\nscript = \"tick.rhai\"\ncron = \"* * * * * *\"\n";

#[test]
fn a_script_learns_its_job_and_its_slot_and_every_run_leaves_a_record() {
    let jobs = format!("{EVERY_SECOND}[job.args]\ntarget = \"/srv\"\nlist = [1, 2]\n");
    let mut scheduler = Scheduler::new(&jobs);
    scheduler.file(
        "tick.rhai",
        r#"print(`${job::NAME} ${job::ATTEMPT} ${job::SCHEDULED_FOR} ${job::TRIGGER} ${args.target} ${args.list[1]}`);
           local::append("done.txt", "x");"#,
    );
    scheduler.start();
    let run = scheduler.until_outcome("tick", "done");
    let due = run["scheduled_for"].as_str().unwrap();
    let log = scheduler.command(&["show", &run["id"].to_string(), "--log"]);
    let log = log.succeeds().stdout_has(&format!("tick 1 {due} schedule /srv 2\n"));
    drop(log);
    for (name, value) in [("trigger", "schedule"), ("outcome", "done")] {
        assert_eq!(run[name], value);
    }
    assert_eq!(run["slot"], format!("U{due}"));
    assert_eq!((run["attempts"].as_i64(), run["error"].is_null()), (Some(1), true));
    assert!(scheduler.read("done.txt").starts_with('x'));
    let table = scheduler.command(&["runs", "tick"]).succeeds();
    drop(table.stdout_has("run  job   due").stdout_has("  done  "));
    scheduler.stop();
    assert_eq!(scheduler.children(), [0_u32; 0]);
}

#[test]
fn the_log_of_a_run_has_each_error_once_for_each_attempt() {
    let quick =
        "retries = 1\nretry_on = [\"connect\", \"timeout\"]\nbackoff = { initial = \"1ms\" }";
    let jobs = [
        on_request("gone", quick),
        on_request("slow", &format!("attempt_timeout = \"1s\"\n{quick}")),
    ];
    let mut scheduler = Scheduler::new(&jobs.concat());
    scheduler.file("gone.rhai", "ftp::connect(\"ftp://127.0.0.1:1/\");");
    scheduler.file("slow.rhai", "sleep(60);");
    scheduler.start();
    for (job, words) in [("gone", "cannot connect to"), ("slow", "(`attempt_timeout`)")] {
        drop(scheduler.command(&["trigger", job]).succeeds().any_stdout());
        let run = scheduler.until_outcome(job, "failed");
        assert_eq!(run["attempts"], 2, "{run}");
        let log = scheduler.read(&format!("state/logs/{job}/{}.log", run["id"]));
        assert_eq!(log.matches(words).count(), 2, "{log}");
        let shown = scheduler.command(&["show", job]).succeeds();
        drop(shown.stdout_has("as above"));
    }
    scheduler.stop();
}

#[test]
fn a_second_scheduler_on_the_same_state_folder_refuses() {
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "");
    scheduler.start();
    let second = scheduler.serve(&[]).run();
    drop(second.fails_with(4).stderr_has("another scheduler (process "));
    scheduler.kill();
    scheduler.start();
    scheduler.stop();
}

#[test]
fn a_broken_jobs_file_is_refused_and_editing_never_fires() {
    let mut scheduler = Scheduler::new(EVERY_SECOND);
    scheduler.file("tick.rhai", "");
    scheduler.start();
    scheduler.until_outcome("tick", "done");
    scheduler.jobs("[[job]]\nname = \"tick\"\nscrpt = \"tick.rhai\"\n");
    scheduler
        .running()
        .until_stderr_has("the jobs file is rejected, the previous one stays in force: ");
    let last = scheduler.runs().last().unwrap()["id"].as_i64();
    scheduler.until(|run| run["id"].as_i64() > last && run["outcome"] == "done");

    // Once a year, and the slot of this year has passed.
    scheduler.jobs(&EVERY_SECOND.replace("* * * * * *", "0 0 1 1 *"));
    scheduler.running().signal(Signal::HUP);
    scheduler.running().until_stderr_has("the jobs file was read again: 1 jobs");
    thread::park_timeout(Duration::from_secs(1));
    let before = scheduler.runs().len();
    thread::park_timeout(Duration::from_secs(3));
    assert_eq!(scheduler.runs().len(), before);
    scheduler.stop();
}

#[test]
fn a_paused_job_is_skipped_with_the_reason_and_runs_when_it_is_asked_for() {
    let mut scheduler = Scheduler::new(EVERY_SECOND);
    scheduler.file("tick.rhai", "");
    let paused = scheduler.command(&["--json", "pause", "tick", "--reason", "moving house"]);
    assert_eq!(paused.succeeds().json()["reason"], "moving house");
    scheduler.start();
    let skipped = scheduler.until_outcome("tick", "skipped");
    assert!(skipped["reason"].as_str().unwrap().contains("moving house"), "{skipped}");
    let ran = scheduler.command(&["trigger", "tick", "--wait"]).succeeds();
    drop(ran.stdout_has("of `tick` is done"));
    let asked = scheduler.until_outcome("tick", "done");
    assert_eq!(asked["trigger"], "manual");
    drop(scheduler.command(&["resume", "tick"]).succeeds().stdout_has("is resumed"));
    scheduler.until(|run| run["outcome"] == "done" && run["trigger"] == "schedule");
    scheduler.stop();
}

#[test]
fn an_unknown_job_is_named_with_the_nearest() {
    let scheduler = Scheduler::new(&on_request("catalogue", ""));
    scheduler.file("catalogue.rhai", "");
    for command in ["trigger", "pause", "resume"] {
        let ran = scheduler.command(&[command, "catalog"]).fails_with(2);
        drop(ran.stderr_has("there is no job `catalog`; did you mean `catalogue`?"));
    }
}

#[test]
fn a_request_without_a_scheduler_waits_for_one() {
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "");
    // No scheduler makes the run that is waited for, and nothing is requested.
    let waits = scheduler.command(&["trigger", "a", "--wait"]).fails_with(2);
    drop(waits.stderr_has("there is nothing to wait for"));
    drop(scheduler.command(&["trigger", "a"]).succeeds().stderr_has("no scheduler is running"));
    scheduler.start();
    assert_eq!(scheduler.until_outcome("a", "done")["trigger"], "manual");
    scheduler.stop();
}

#[test]
fn a_job_runs_after_another_has_succeeded() {
    let second = "\n[[job]]\nname = \"b\"\nscript = \"b.rhai\"\nafter = [\"a\"]\n";
    let mut scheduler = Scheduler::new(&(on_request("a", "") + second));
    scheduler.file("a.rhai", "");
    scheduler.file("b.rhai", "");
    scheduler.start();
    drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
    assert_eq!(scheduler.until_outcome("b", "done")["trigger"], "dependency");
    scheduler.stop();
}

#[test]
fn a_slot_that_comes_while_the_job_runs_is_skipped_or_takes_its_place() {
    for (overlap, outcome, words) in
        [("skip", "skipped", "still running, run 1"), ("replace", "interrupted", "replaced by")]
    {
        let jobs = format!("{EVERY_SECOND}overlap = \"{overlap}\"\n");
        let mut scheduler = Scheduler::new(&jobs);
        scheduler.file("tick.rhai", "sleep(20);");
        scheduler.start();
        let run = scheduler.until_outcome("tick", outcome);
        let why = format!("{}{}", run["reason"], run["error"]);
        assert!(why.contains(words), "{overlap}: {run}");
        scheduler.kill();
    }
}

#[test]
fn jobs_that_share_a_lock_do_not_run_together() {
    let locked = |name: &str| on_request(name, "locks = [\"host:a\"]");
    let mut scheduler = Scheduler::new(&[locked("a"), locked("b")].concat());
    for name in ["a", "b"] {
        let text = "local::append(\"order.txt\", job::NAME); sleep(1); local::append(\"order.txt\", job::NAME);";
        scheduler.file(&format!("{name}.rhai"), text);
    }
    for name in ["a", "b"] {
        drop(scheduler.command(&["trigger", name]).succeeds().any_stderr());
    }
    scheduler.start();
    for name in ["a", "b"] {
        scheduler.until_outcome(name, "done");
    }
    assert!(["aabb", "bbaa"].contains(&&*scheduler.read("order.txt")));
    scheduler.stop();
}

#[test]
fn metrics_count_runs_by_job_and_outcome_and_name_nothing_else() {
    let scheduler = Scheduler::new(EVERY_SECOND);
    scheduler.file("tick.rhai", "");
    let running = scheduler.serve(&["--metrics", "127.0.0.1:0"]).spawn();
    running.until_stderr_has("jobs, state in");
    running.until_stderr_has("metrics at http://");
    scheduler.until_outcome("tick", "done");
    let said = running.stderr_text();
    let address = said.split("metrics at http://").nth(1).unwrap().split('/').next().unwrap();
    let found = wait::until(TIME_MAX, || {
        let page = crate::serve::told::fetch(address, "/metrics");
        page.contains("portolan_runs_total{job=\"tick\",outcome=\"done\"}").then_some(page)
    });
    let page = found.unwrap();
    assert!(page.contains("text/plain; version=0.0.4"), "{page}");
    for line in page.lines().filter(|line| line.contains('{')) {
        let labels = line.split(['{', '}']).nth(1).unwrap();
        for label in labels.split(',') {
            let name = label.split('=').next().unwrap();
            assert!(["job", "outcome", "version"].contains(&name), "{line}");
        }
    }
    running.signal(Signal::TERM);
    drop(running.wait().succeeds().any_stderr());
}

#[test]
fn all_jobs_are_seen_at_a_glance_and_runs_are_found() {
    let jobs = format!(
        "{EVERY_SECOND}{}{}[[job]]\nname = \"night\"\nscript = \"tick.rhai\"\ncron = \"0 3 * * *\"\ntimezone = \"Europe/Berlin\"\n",
        on_request("bad", ""),
        on_request("never", "")
    );
    let mut scheduler = Scheduler::new(&jobs);
    for (name, text) in [("tick.rhai", ""), ("bad.rhai", "fail(\"no luck\");"), ("never.rhai", "")]
    {
        scheduler.file(name, text);
    }
    let before = scheduler.command(&["jobs"]).succeeds();
    drop(before.stdout_has("night  0 3 * * * (Europe/Berlin)"));
    drop(scheduler.command(&["pause", "night", "--reason", "moving"]).succeeds().any_stdout());
    scheduler.start();
    scheduler.until_outcome("tick", "done");
    drop(scheduler.command(&["trigger", "bad", "--wait"]).any_code().any_stdout().any_stderr());
    let mut seen = String::new();
    // A job of every second may be running just then.
    let found = wait::until(TIME_MAX, || {
        let table = scheduler.command(&["jobs"]).succeeds();
        table.stdout_text().clone_into(&mut seen);
        drop(table.any_stdout());
        let has = |part: &&str| seen.contains(*part);
        ["paused: moving", "failed 2", "done 2", "0% of 1"].iter().all(has).then_some(())
    });
    assert!(found.is_some(), "{seen}");
    let all = scheduler.command(&["--json", "jobs"]).succeeds().json();
    let job = |name: &str| all.as_array().unwrap().iter().find(|job| job["job"] == name).unwrap();
    assert_eq!(
        (&job("night")["paused"], &job("night")["pause_reason"]),
        (&true.into(), &"moving".into())
    );
    assert_eq!(
        (&job("bad")["last"]["outcome"], &job("bad")["runs_30d"]),
        (&"failed".into(), &1.into())
    );
    assert!(job("never")["last"].is_null() && job("never")["schedule"] == "0 0 29 2 *");
    assert!(job("tick")["succeeded_30d"].as_i64() > Some(0) && job("tick")["seconds"].is_number());

    let failed =
        scheduler.command(&["--json", "runs", "--failed", "--since", "1h"]).succeeds().json();
    let failed = failed.as_array().unwrap();
    assert!(!failed.is_empty() && failed.iter().all(|run| run["job"] == "bad"), "{failed:?}");
    drop(scheduler.command(&["runs", "--until", "2001-01-01"]).succeeds().stderr("no such runs\n"));
    drop(
        scheduler
            .command(&["runs", "--since", "soon"])
            .fails_with(2)
            .stderr_has("`soon` is no time"),
    );
    drop(scheduler.command(&["show", "bad"]).succeeds().stdout_has("of bad: failed"));
    drop(scheduler.command(&["show", "last"]).succeeds().stdout_has("run "));
    drop(scheduler.command(&["show", "nigth"]).fails_with(2).stderr_has("did you mean `night`?"));
    drop(
        scheduler
            .command(&["show", "never"])
            .fails_with(5)
            .stderr_has("there is no run of never yet"),
    );
    drop(scheduler.command(&["why", "tick"]).any_code().any_stderr().any_stdout());
    drop(scheduler.command(&["next", "night"]).succeeds().stdout_has(", paused"));
    scheduler.stop();
}

#[test]
fn the_log_of_a_failed_run_has_the_error_before_its_end() {
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "fail(\"no good\");");
    scheduler.start();
    // The error and the end arrive by different pipes.
    for _ in 0..8 {
        drop(scheduler.command(&["trigger", "a", "--wait"]).fails_with(3).any_stdout());
        let shown = scheduler.command(&["show", "a", "--log"]).succeeds();
        let place = |text: &str| shown.stdout_text().find(text);
        let places = ["begins: ", "error: no good", "fails after ", " is failed"].map(place);
        assert!(places.iter().all(Option::is_some), "{}", shown.stdout_text());
        assert!(places.is_sorted(), "{}", shown.stdout_text());
        drop(shown.any_stdout());
    }
    scheduler.stop();
}
