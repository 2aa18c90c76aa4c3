//! Timeouts, retries, and which failures are worth them.

use super::scheduler::{Scheduler, on_request};
use crate::support::rehearsal::Rehearsal;

/// Waits between attempts that a test can afford.
const SOON: &str = "backoff = { initial = \"10ms\", factor = 1, max = \"10ms\" }";

fn triggered(job: &str, script: &str, environment: &[(&str, &str)]) -> serde_json::Value {
    let mut scheduler = Scheduler::new(&on_request("a", job));
    for (name, value) in environment {
        scheduler = scheduler.env(name, value);
    }
    scheduler.file("a.rhai", script);
    scheduler.start();
    let ran = scheduler.command(&["trigger", "a", "--wait"]);
    let failed = ran.any_code().any_stdout();
    drop(failed);
    let run = scheduler.runs().pop().unwrap();
    let whole = scheduler.show(run.get("id").unwrap());
    scheduler.stop();
    whole
}

#[test]
fn an_attempt_that_takes_too_long_is_ended_and_tried_again() {
    let job = format!("attempt_timeout = \"1s\"\nretries = 1\n{SOON}");
    let run = triggered(&job, "sleep(60);", &[]);
    assert_eq!((run["outcome"].as_str(), run["attempts"].as_i64()), (Some("failed"), Some(2)));
    let attempts = run["each_attempt"].as_array().unwrap();
    for attempt in attempts {
        assert_eq!(attempt["error_kind"], "timeout");
        assert!(attempt["error"].as_str().unwrap().contains("`attempt_timeout`"), "{attempt}");
    }
    assert_eq!(attempts.len(), 2);
}

#[test]
fn a_run_that_takes_too_long_is_ended_for_good() {
    let job = format!("run_timeout = \"1s\"\nretries = 5\n{SOON}");
    let run = triggered(&job, "sleep(60);", &[]);
    assert_eq!((run["outcome"].as_str(), run["attempts"].as_i64()), (Some("failed"), Some(1)));
    assert!(run["error"].as_str().unwrap().contains("`run_timeout`"), "{run}");
}

#[test]
fn a_run_in_which_no_byte_moves_is_stuck() {
    let server = Rehearsal::start(&["stall=1000"], false);
    server.file("big", vec![7; 100_000]);
    let site = format!("ftp://tester@127.0.0.1:{}", server.site.port);
    let script = r#"ftp::connect(env("SITE"), #{ password: "secret" }).get("big", "big");"#;
    let run = triggered("stall_timeout = \"2s\"", script, &[("SITE", &site)]);
    assert_eq!(run["outcome"], "failed");
    assert!(run["error"].as_str().unwrap().contains("(`stall_timeout`)"), "{run}");
}

#[test]
fn connections_and_4xx_are_tried_again_and_5xx_and_logins_are_not() {
    let script = r#"ftp::connect(env("SITE"), #{ password: "secret" }).write("a", "x");"#;
    for (fault, attempts, kind) in [
        ("reply=USER:421 too many", 3, "busy"),
        ("reply=PASS:530 no", 1, "denied"),
        ("reply=STOR:553 no", 1, "refused"),
    ] {
        let server = Rehearsal::start(&[fault], false);
        let site = format!("ftp://tester@127.0.0.1:{}", server.site.port);
        let run = triggered(&format!("retries = 2\n{SOON}"), script, &[("SITE", &site)]);
        assert_eq!(run["attempts"], attempts, "{fault}: {run}");
        assert_eq!(run["error_kind"], kind, "{fault}: {run}");
        assert_eq!(run["each_attempt"].as_array().unwrap().len(), attempts);
    }
    let gone = "ftp://tester@127.0.0.1:1";
    let run = triggered(&format!("retries = 1\n{SOON}"), script, &[("SITE", gone)]);
    assert_eq!(
        (run["attempts"].as_i64(), run["error_kind"].as_str()),
        (Some(2), Some("unreachable"))
    );
}

#[test]
fn an_attempt_after_the_first_can_do_what_the_first_could_not() {
    let server = Rehearsal::start(&["reply=STOR:450 later*1"], false);
    let site = format!("ftp://tester@127.0.0.1:{}", server.site.port);
    let script =
        r#"ftp::connect(env("SITE"), #{ password: "secret" }).write("a", `try ${job::ATTEMPT}`);"#;
    let mut scheduler = Scheduler::new(&on_request("a", &format!("retries = 2\n{SOON}")));
    scheduler = scheduler.env("SITE", &site);
    scheduler.file("a.rhai", script);
    scheduler.start();
    drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
    let run = scheduler.until_outcome("a", "done");
    assert_eq!(server.bytes("a").as_deref(), Some(&b"try 2"[..]), "{run}");
    assert_eq!((run["attempts"].as_i64(), run["files"].as_i64()), (Some(2), Some(1)));
    assert!(run["route"].is_string() && run["bytes"] == 5, "{run}");
    scheduler.stop();
}

#[test]
fn what_the_job_says_of_connections_wins_over_the_script() {
    let server = Rehearsal::start(&[], false);
    server.file("a", "x");
    let site = format!("ftp://tester@127.0.0.1:{}", server.site.port);
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: "secret", mode: "passive" });
        site.read("a");
        print(site.route + " by " + site.mode);
    "#;
    let mut scheduler = Scheduler::new(&on_request("a", "[job.connect]\nmode = \"active\""));
    scheduler = scheduler.env("SITE", &site);
    scheduler.file("a.rhai", script);
    scheduler.start();
    drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
    let run = scheduler.until_outcome("a", "done");
    let log = scheduler.command(&["show", &run["id"].to_string(), "--log"]);
    drop(log.succeeds().stdout_has("eprt by active"));
    scheduler.stop();
}
