//! Rate limits of the jobs file, which runs share and which change while they run.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use portolan::store::history::RunState;

use super::{
    kills::Set,
    scheduler::{Scheduler, TIME_MAX},
};
use crate::support::{rehearsal::Rehearsal, wait};

/// The bytes of the file, and the rate: two downloads take six seconds together.
const BYTES: usize = 300_000;
const RATE: u64 = 100_000;

/// A rate at which the file takes an hour.
const SLOW: &str = "80";

fn server() -> Rehearsal {
    let server = Rehearsal::start(&[], false);
    server.file("big", "x".repeat(BYTES));
    server
}

/// Returns a job that downloads the file of a server when it is triggered, or on the first of June at eight.
fn job(name: &str, server: &Rehearsal, keys: &str, tables: &str) -> String {
    let port = server.server.address().port();
    format!(
        "\n[[job]]\nname = \"{name}\"\ncron = \"0 8 1 6 *\"\ntimezone = \"Europe/Berlin\"\n{keys}\n[job.get]\n\
         from = \"ftp://tester@localhost:{port}/big\"\nto = \"{name}.out\"\n[job.connect]\npassword = \"secret\"\n{tables}\n"
    )
}

/// Runs jobs at once and returns the time until all have ended.
fn time_of(scheduler: &Scheduler, jobs: &[&str]) -> Duration {
    let began = Instant::now();
    for job in jobs {
        drop(scheduler.command(&["trigger", job]).succeeds().any_stdout());
    }
    for job in jobs {
        let run = scheduler.until_outcome(job, "done");
        let number = |key: &str| run.get(key).and_then(serde_json::Value::as_u64);
        assert_eq!((number("bytes"), number("files")), (Some(BYTES as u64), Some(1)), "{run}");
    }
    began.elapsed()
}

/// Returns three quarters of the time that so many downloads take at the rate. A limit of each run alone would be kept
/// sooner. A slow machine only takes longer.
const fn least(downloads: u64) -> Duration {
    Duration::from_millis(downloads * BYTES as u64 * 750 / RATE)
}

/// Checks that two jobs at once share a limit of `[runner]`, also if one of them is in a sandbox.
fn share(limit: &str) {
    let server = server();
    let port = server.server.address().port();
    let confined =
        format!("[job.permissions]\nnet = [\"localhost:{port}\"]\nread = [\".\"]\nwrite = [\".\"]");
    let jobs = [job("a", &server, "", ""), job("b", &server, "", &confined)].concat();
    let mut scheduler = Scheduler::new(&format!("{limit}\n{jobs}"));
    scheduler.start();
    let took = time_of(&scheduler, &["a", "b"]);
    assert!(took >= least(2), "{limit}: {took:?}");
    scheduler.stop();
}

#[test]
fn two_runs_at_once_share_the_limit_of_the_runner() {
    share(&format!("rate_limit = \"00:00-12:00 {RATE}, 12:00-24:00 {RATE}\""));
}

#[test]
fn two_runs_at_once_share_the_limit_of_a_host() {
    share(&format!("host_rate_limits = {{ LocalHost = {RATE}, other = 1 }}"));
}

#[test]
fn a_job_keeps_its_own_limit_and_those_of_other_hosts_do_not_matter() {
    let server = server();
    let limit = format!("rate_limit = \"{RATE}\"");
    let jobs = [job("a", &server, &limit, ""), job("b", &server, "", "")].concat();
    let other = "host_rate_limits = { \"other.example.com\" = \"1\" }\nmax_running = 2\n";
    let mut scheduler = Scheduler::new(&format!("{other}{jobs}"));
    scheduler.start();
    let took = time_of(&scheduler, &["a"]);
    assert!(took >= least(1), "{took:?}");
    // With the limit of the other job or host it would not end in the time of a test.
    scheduler.jobs(&format!("{other}{}", jobs.replace(&RATE.to_string(), "1")));
    scheduler.running().until_stderr_has("the jobs file was read again");
    time_of(&scheduler, &["b"]);
    scheduler.stop();
}

/// Returns the size of the part of the file that a run has in a directory.
fn part(folder: &Path) -> Option<u64> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut parts = entries.filter(|it| it.file_name().to_string_lossy().ends_with(".part"));
    parts.next().map(|part| part.metadata().map_or(0, |data| data.len()))
}

#[test]
fn limits_that_a_reload_changes_take_effect_in_runs_in_progress() {
    let server = server();
    for (before, after) in [
        (format!("rate_limit = \"{SLOW}\""), "rate_limit = \"off\""),
        (format!("host_rate_limits = {{ localhost = \"{SLOW}\" }}"), ""),
    ] {
        let jobs = job("a", &server, "", "");
        let mut scheduler = Scheduler::new(&format!("{before}\n{jobs}"));
        scheduler.start();
        drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
        let size = wait::until(TIME_MAX, || part(&scheduler.path("")));
        assert!(size.unwrap() < BYTES as u64, "{size:?}");
        scheduler.jobs(&format!("{after}\n{jobs}"));
        scheduler.running().until_stderr_has("is off");
        let run = scheduler.until_outcome("a", "done");
        assert_eq!((&run["bytes"], &run["attempts"]), (&BYTES.into(), &1.into()), "{run}");
        scheduler.stop();
    }
}

#[test]
fn the_clock_changes_the_limit_of_a_job_while_it_runs() {
    let server = server();
    let limit = format!("rate_limit = \"Mon-Fri 08:00-18:00 {SLOW}, off\"");
    // A second before eight in Berlin, on a Monday.
    let mut set = Set::new("2026-06-01T05:59:59Z", &job("a", &server, &limit, ""));
    set.turn();
    set.go(SignedDuration::from_secs(2));
    let folder = set.folder.path().to_owned();
    let size = set.turn_until(|| part(&folder));
    assert!(size < BYTES as u64, "{size}");
    assert_eq!(set.daemon.as_ref().unwrap().running(), 1);
    set.go(SignedDuration::from_hours(10));
    set.turn();
    let runs = set.runs();
    let run = runs.last().unwrap();
    assert_eq!(
        (run.state, run.sum.bytes),
        (RunState::Done, i64::try_from(BYTES).unwrap()),
        "{runs:?}"
    );
    assert_eq!(fs::metadata(folder.join("a.out")).unwrap().len(), BYTES as u64);
}
