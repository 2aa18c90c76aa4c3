//! A scheduler that is told to stop lets each session finish its file, and for no longer than the job allows.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::{
    server::{Kind, Options, RealServer},
    wait,
};

/// Returns the names in a directory of the server.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_whole(name: &str) -> bool {
    name.starts_with("file")
}

fn scheduler(server: &RealServer, job: &str, script: &str) -> Scheduler {
    let url = server.url();
    let port = url.rsplit(':').next().unwrap().trim_end_matches('/');
    let site = format!("ftp://tester@127.0.0.1:{port}");
    let scheduler = Scheduler::new(&on_request("a", job)).env("SITE", &site);
    scheduler.file("a.rhai", script);
    scheduler
}

#[test]
fn each_of_several_sessions_finishes_its_file_and_the_next_scheduler_sends_the_rest() {
    const FILES: usize = 24;
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: "open+sesame-21", mode: "passive" });
        // Slow in the first attempt, so that it can be stopped in the midst of files.
        let options = #{ parallel: 3 };
        if job::ATTEMPT == 1 { options.rate_limit = "60KiB"; }
        site.mirror_up("here", "/up", options);
    "#;
    let mut scheduler = scheduler(&server, "kill_grace = \"40s\"", script);
    for number in 0..FILES {
        scheduler.file(&format!("here/file{number:02}"), &"x".repeat(40 * 1024));
    }
    scheduler.start();
    drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
    let up = server.root().join("up");
    let began = wait::until(TIME_MAX, || {
        let parts = names(&up).iter().filter(|name| !is_whole(name)).count();
        (parts >= 3).then_some(())
    });
    assert!(began.is_some(), "{:?}", names(&up));
    scheduler.stop();
    let first = scheduler.show(&1.into());
    assert_eq!(first["outcome"], "interrupted", "{first:#}");
    let moved = first["each_file"].as_array().unwrap();
    assert!((3..FILES).contains(&moved.len()), "{first:#}");
    for file in moved {
        assert!(file["error"].is_null() && file["verified"] == true, "{file}");
    }
    // All files that were in transfer are there, complete and under their final names.
    let there = names(&up);
    assert_eq!(there.len(), moved.len(), "{there:?}");
    for name in &there {
        assert!(is_whole(name), "{there:?}");
        assert_eq!(fs::metadata(up.join(name)).unwrap().len(), 40 * 1024);
    }
    scheduler.start();
    let run = scheduler.until_outcome("a", "done");
    assert_eq!((run["id"].as_i64(), run["attempts"].as_i64()), (Some(1), Some(2)));
    assert_eq!(run["files"].as_u64(), u64::try_from(FILES).ok(), "nothing was sent twice: {run}");
    assert_eq!(names(&up).len(), FILES);
    scheduler.stop();
}

#[test]
fn a_file_that_takes_longer_than_kill_grace_is_left_and_its_name_stays_free() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: "open+sesame-21", mode: "passive", rate_limit: "20KiB" });
        site.put("large", "/file");
    "#;
    let mut scheduler = scheduler(&server, "kill_grace = \"1s\"", script);
    scheduler.file("large", &"x".repeat(8 * 1024 * 1024));
    scheduler.start();
    drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
    let began = wait::until(TIME_MAX, || (!names(&server.root()).is_empty()).then_some(()));
    assert!(began.is_some());
    scheduler.stop();
    let run = scheduler.show(&1.into());
    assert_eq!(run["outcome"], "interrupted", "{run:#}");
    assert!(!names(&server.root()).iter().any(|name| is_whole(name)));
    assert_eq!(scheduler.children(), [0_u32; 0]);
}

/// A run that does not even hear SIGTERM, with half an hour to reach its next file.
#[test]
fn a_second_signal_ends_runs_that_do_not_end_by_themselves() {
    let mut scheduler = Scheduler::new(&on_request("a", "kill_grace = \"30m\""));
    scheduler.file("a.rhai", "local::write(\"began\", \"x\"); sleep(3600);");
    scheduler.start();
    drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
    wait::until(TIME_MAX, || (scheduler.read("began") == "x").then_some(())).unwrap();
    let children = scheduler.children();
    assert_eq!(children.len(), 1);
    let child = Pid::from_raw(i32::try_from(children[0]).unwrap()).unwrap();
    kill_process(child, Signal::STOP).unwrap();
    scheduler.running().signal(Signal::TERM);
    scheduler.running().until_stderr_has("stopping: 1 running");
    // The second signal; it waits for the end.
    drop(scheduler.stop());
    let run = scheduler.show(&1.into());
    assert_eq!(run["outcome"], "interrupted", "{run:#}");
    assert_eq!(scheduler.children(), [0_u32; 0]);
}
