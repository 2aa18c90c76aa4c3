//! Scripts that would take the scheduler down with them, and do not.

use rustix::process::{Pid, Signal, kill_process};

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::wait;

#[test]
fn a_script_that_loops_recurses_or_eats_memory_ends_its_own_run_and_no_other() {
    let mut scheduler = Scheduler::new(
        &[on_request("bad", "attempt_timeout = \"8s\""), on_request("good", "")].concat(),
    );
    scheduler.file("good.rhai", "");
    scheduler.file("bad.rhai", "");
    scheduler.start();
    for script in [
        "loop {}",
        "fn f(n) { f(n + 1) } f(0);",
        "let all = []; loop { all.push(\"x\" + all.len()); }",
        "let text = \"x\"; loop { text += text; }",
        "let all = []; loop { all.push(blob(100000)); }",
        "let deep = []; for n in 0..1000000 { deep = [deep]; }",
        "let f = || 1; for n in 0..1000000 { let g = f; f = || g.call(); } f.call();",
        &format!("let x = {}1{};", "(".repeat(100_000), ")".repeat(100_000)),
        &format!("let x = {}{};", "[".repeat(100_000), "]".repeat(100_000)),
        "this is no script",
        "no_such_function();",
    ] {
        scheduler.file("bad.rhai", script);
        drop(scheduler.command(&["trigger", "bad", "--wait"]).any_code().any_stdout());
        drop(scheduler.command(&["trigger", "good", "--wait"]).succeeds().any_stdout());
    }
    let runs = scheduler.runs();
    for run in runs.iter().filter(|run| run["job"] == "bad") {
        assert_eq!((run["outcome"].as_str(), run["attempts"].as_i64()), (Some("failed"), Some(1)));
        assert!(run["error"].as_str().is_some_and(|error| error.len() > 5), "{run}");
    }
    scheduler.stop();
}

#[test]
fn a_run_that_is_killed_or_crashes_is_recorded_with_the_signal() {
    let mut scheduler = Scheduler::new(&on_request("a", "retries = 3"));
    scheduler.file("a.rhai", "sleep(60);");
    scheduler.start();
    for signal in [Signal::KILL, Signal::ABORT] {
        drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
        let child = wait::until(TIME_MAX, || scheduler.children().first().copied()).unwrap();
        let pid = Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let words = format!("ended by signal {}", signal.as_raw());
        scheduler.until(|run| run["error"].as_str().is_some_and(|error| error.contains(&words)));
    }
    // A crash is no reason to retry.
    for run in scheduler.runs() {
        assert_eq!((run["outcome"].as_str(), run["attempts"].as_i64()), (Some("failed"), Some(1)));
    }
    scheduler.stop();
}

#[test]
fn a_log_is_bounded() {
    let jobs = format!("retention = {{ log = \"20KiB\" }}\n{}", on_request("a", ""));
    let mut scheduler = Scheduler::new(&jobs);
    scheduler.file("a.rhai", "for number in 0..10000 { print(`line ${number} of very many`); }");
    scheduler.start();
    drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
    // The record comes first, and the last line of the log after it.
    let log = || scheduler.read("state/logs/a/1.log");
    let ended = wait::until(TIME_MAX, || log().ends_with("run 1 is done\n").then_some(()));
    let log = log();
    assert!(log.len() < 30_000, "{}", log.len());
    assert!(log.contains("(the log is full") && ended.is_some(), "{log}");
    scheduler.stop();
}
