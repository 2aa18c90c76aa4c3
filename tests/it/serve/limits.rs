//! Timeouts, retries, and the failures that are retried.

use std::{net::TcpStream, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::{
    scheduler::{Scheduler, TIME_MAX, on_request},
    told::{Listener, fetch},
};
use crate::support::{program::Portolan, rehearsal::Rehearsal, wait};

/// A retry delay that is short enough for a test.
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
    let script = r#"ftp::connect(env("SITE"), #{ password: "open+sesame-21" }).get("big", "big");"#;
    let run = triggered("stall_timeout = \"2s\"", script, &[("SITE", &site)]);
    assert_eq!(run["outcome"], "failed");
    assert!(run["error"].as_str().unwrap().contains("(`stall_timeout`)"), "{run}");
}

#[test]
fn connections_and_4xx_are_tried_again_and_5xx_and_logins_are_not() {
    let script = r#"ftp::connect(env("SITE"), #{ password: "open+sesame-21" }).write("a", "x");"#;
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
    let script = r#"ftp::connect(env("SITE"), #{ password: "open+sesame-21" }).write("a", `try ${job::ATTEMPT}`);"#;
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
        let site = ftp::connect(env("SITE"), #{ password: "open+sesame-21", mode: "passive" });
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

/// Returns `serve` with these limits (arguments of `ulimit`), which it cannot raise unless it is root.
fn with_limits(limits: &[&str], scheduler: &Scheduler) -> Portolan {
    let program = scheduler.path("few");
    let limits =
        limits.iter().map(|limit| format!("ulimit {limit}\n")).collect::<Vec<_>>().concat();
    let text = format!("#!/bin/sh\n{limits}exec {} \"$@\"\n", env!("CARGO_BIN_EXE_portolan"));
    scheduler.file("few", &text);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let jobs = scheduler.path("portolan.toml");
    Portolan::played_by(&program)
        .args(["serve", "--metrics", "127.0.0.1:0", "--jobs"])
        .args([jobs.into_os_string()])
}

#[test]
fn connections_that_say_nothing_stop_neither_jobs_nor_metrics() {
    let scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "print(\"done\");");
    let running = with_limits(&["-n 90"], &scheduler).spawn();
    running.until_stderr_has("jobs, state in");
    running.until_stderr_has("metrics at http://");
    let said = running.stderr_text();
    let address = said.split("metrics at http://").nth(1).unwrap().split('/').next().unwrap();
    let idle: Vec<_> = (0..400).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..3 {
        drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
        let page = wait::until(TIME_MAX, || {
            Some(fetch(address, "/metrics")).filter(|page| page.contains("portolan_jobs 1"))
        });
        assert!(page.is_some(), "no metrics beside idle connections");
    }
    // A head of a request that is too long is not read to its end.
    let mut long = TcpStream::connect(address).unwrap();
    let piece = vec![b'x'; 64 * 1024];
    let cut = (0..1_000).any(|_| std::io::Write::write_all(&mut long, &piece).is_err());
    assert!(cut, "sixty megabytes were taken");
    drop(idle);
    running.signal(Signal::TERM);
    drop(running.wait().succeeds().any_stderr());
    assert!(scheduler.runs().iter().all(|run| run["outcome"] == "done"));
}

#[test]
fn a_run_has_a_memory_limit_of_its_own_and_never_a_higher_one_than_it_was_given() {
    const GIB: u64 = 1024 * 1024 * 1024;
    for (limits, soft, hard) in [
        (&[][..], (4 * GIB).to_string(), "unlimited".to_owned()),
        (&["-Sd 3145728"], (3 * GIB).to_string(), "unlimited".to_owned()),
        (&["-Sd 8388608", "-Hd 8388608"], (4 * GIB).to_string(), (8 * GIB).to_string()),
        (&["-Sd 2097152", "-Hd 2097152"], (2 * GIB).to_string(), (2 * GIB).to_string()),
    ] {
        let scheduler = Scheduler::new(&on_request("a", ""));
        scheduler.file("a.rhai", "print(local::read(\"/proc/self/limits\"));");
        let running = with_limits(limits, &scheduler).spawn();
        running.until_stderr_has("jobs, state in");
        drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
        let log = scheduler.command(&["show", "1", "--log"]).succeeds();
        let text = log.stdout_text().to_owned();
        let line = text.lines().find(|line| line.contains("Max data size")).unwrap();
        let words: Vec<_> =
            line.split("Max data size").nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words[..2], [soft, hard], "{limits:?}: {line}");
        drop(log.any_stdout());
        running.signal(Signal::TERM);
        drop(running.wait().succeeds().any_stderr());
    }
}

#[test]
fn a_run_waits_for_descriptors_and_does_not_fail_for_want_of_them() {
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "print(\"done\");");
    scheduler.start();
    let serve = Pid::from_raw(i32::try_from(scheduler.running().id()).unwrap());
    // The scheduler leaves the upper limit as it is; only root could raise it again.
    let few = Rlimit { current: Some(3), maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(serve, Resource::Nofile, few).unwrap();
    drop(scheduler.command(&["trigger", "a"]).any_code().any_stdout().any_stderr());
    scheduler.running().until_stderr_has("of `a` waits: ");
    prlimit(serve, Resource::Nofile, before).unwrap();
    let run = scheduler.until_outcome("a", "done");
    assert_eq!(run["attempts"], 1, "{run}");
    let said = scheduler.stop();
    assert_eq!(said.stderr_text().matches("waits: ").count(), 1, "{}", said.stderr_text());
}

#[test]
fn an_error_of_a_megabyte_is_cut_in_history_and_notices_and_whole_in_the_log() {
    let listener = Listener::start(0);
    let job = format!(
        "on_failure = {{ webhook = \"http://{}/hook\", command = [\"sh\", \"-c\", \"cat > told\"] }}",
        listener.address
    );
    let mut scheduler = Scheduler::new(&on_request("a", &job));
    let script = "let text = \"\"; text.pad(150000, 'ß'); throw `first ${text} last`;";
    scheduler.file("a.rhai", script);
    scheduler.start();
    drop(scheduler.command(&["trigger", "a", "--wait"]).fails_with(3).any_stdout());
    let run = scheduler.until_outcome("a", "failed");
    let whole = scheduler.show(run.get("id").unwrap());
    for error in [&whole["error"], &whole["each_attempt"][0]["error"]] {
        let error = error.as_str().unwrap();
        assert!(error.starts_with("first ßß") && error.len() < 4200, "{} bytes", error.len());
        assert!(error.ends_with(" more bytes; the log has all)"), "{error}");
    }
    let heard = listener.until(1);
    assert!(heard[0].body.len() < 20_000, "{} bytes", heard[0].body.len());
    let told =
        wait::until(TIME_MAX, || Some(scheduler.read("told")).filter(|told| !told.is_empty()));
    assert!(told.unwrap().contains("the log has all"));
    let log = scheduler.command(&["show", &run["id"].to_string(), "--log"]);
    drop(log.succeeds().stdout_has("ßß last"));
    scheduler.stop();
}

#[test]
fn an_error_of_a_run_by_hand_is_cut_in_history() {
    let text = "let text = \"\"; text.pad(90000, '汉'); fail(text);";
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let run = Portolan::new().env("PORTOLAN_STATE", state).script(text).run();
    drop(run.fails_with(3).stderr_has("汉汉"));
    let mut ran = Portolan::new().env("PORTOLAN_STATE", state).args(["--json", "runs"]).run();
    let error = ran.json()[0]["error"].as_str().unwrap().to_owned();
    assert!(error.len() < 4200, "{} bytes", error.len());
    assert!(error.starts_with("汉汉") && error.ends_with(" more bytes)"), "{} bytes", error.len());
}

#[test]
fn a_command_that_neither_reads_nor_ends_goes_with_the_scheduler() {
    let command = "[\"sh\", \"-c\", \"echo $$ > pid; sleep 4000 & exec sleep 4000\"]";
    let mut scheduler =
        Scheduler::new(&on_request("a", &format!("on_failure = {{ command = {command} }}")));
    scheduler.file("a.rhai", "let text = \"\"; text.pad(700000, 'x'); throw text;");
    scheduler.start();
    drop(scheduler.command(&["trigger", "a", "--wait"]).fails_with(3).any_stdout());
    let pid = wait::until(TIME_MAX, || {
        let text = scheduler.read("pid");
        text.ends_with('\n').then(|| text.trim().to_owned())
    });
    let pid = pid.expect("the command has begun");
    scheduler.stop();
    let is_gone = || {
        // A zombie has ended.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    assert!(wait::until(Duration::from_secs(20), is_gone).is_some(), "{pid} is alive");
    // The notice stays due, and the next scheduler delivers it.
    let run = scheduler.until_outcome("a", "failed");
    let whole = scheduler.show(run.get("id").unwrap());
    assert_eq!(whole["each_notice"][0]["outcome"], "due", "{whole}");
}
