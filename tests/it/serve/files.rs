//! Jobs that start when files arrive, here (`watch`) and on a server (`arrival`).
//!
//! `PORTOLAN_CAMPAIGN` is the number of kills of the campaigns, `PORTOLAN_FILES` the number of their files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    os::unix::ffi::OsStrExt,
    path::Path,
    thread,
    time::Duration,
};

use portolan::store::{
    Store,
    history::{RunState, Trigger},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::scheduler::{Scheduler, TIME_MAX};
use crate::support::{rehearsal::Rehearsal, rounds::rounds, wait};

/// A script that appends the files that it was given to `got`, in one line for each run.
const NOTE: &str = "let line = job::TRIGGER;\nfor file in job::FILES { line += ` ${file}`; }\nlocal::append(\"got\", line + \"\\n\");\n";

/// Returns a job that starts when a file arrives in `out`.
fn watch(more: &str) -> String {
    format!(
        "\n[[job]]\nname = \"a\"\nscript = \"a.rhai\"\nwatch = {{ directory = \"out\", settle = \"100ms\" }}\n{more}\n"
    )
}

fn scheduler(jobs: &str, script: &str) -> Scheduler {
    let scheduler = Scheduler::new(jobs);
    fs::create_dir(scheduler.path("out")).unwrap();
    scheduler.file("a.rhai", script);
    scheduler
}

/// Waits until the scripts have noted all of `wanted`, and returns the lines.
#[track_caller]
fn until_got(scheduler: &Scheduler, wanted: &[&str]) -> Vec<String> {
    let lines = || scheduler.read("got").lines().map(str::to_owned).collect::<Vec<_>>();
    let has_all = || {
        let found = lines();
        let has = |name: &&str| found.iter().any(|line| line.split(' ').any(|word| word == *name));
        wanted.iter().all(has).then_some(found)
    };
    wait::until(TIME_MAX, has_all).unwrap_or_else(|| panic!("{wanted:?} not in {:#?}", lines()))
}

#[test]
fn a_watched_file_is_given_to_one_run_and_a_changed_one_to_another() {
    let mut scheduler = scheduler(&watch(""), NOTE);
    fs::write(scheduler.path("out/before"), "1").unwrap();
    scheduler.start();
    until_got(&scheduler, &["out/before"]);
    scheduler.file("out/later", "22");
    until_got(&scheduler, &["out/later"]);
    scheduler.file("out/before", "333");
    let again = || (scheduler.read("got").matches("out/before").count() == 2).then_some(());
    assert!(wait::until(TIME_MAX, again).is_some(), "{}", scheduler.read("got"));
    let run = scheduler.until_outcome("a", "done");
    assert_eq!((run["trigger"].as_str(), run["id"].as_i64()), (Some("watch"), Some(1)));
    assert!(run["slot"].as_str().unwrap().starts_with('F'), "{run}");
    let given = &scheduler.show(&run["id"])["each_given"];
    assert_eq!(given[0]["path"], "out/before");
    drop(
        scheduler.command(&["show", "1"]).succeeds().stdout_has("files that arrived\n  out/before"),
    );
    drop(scheduler.command(&["why", "a"]).succeeds().stdout_has("is done"));
    let words = "a runs when a file arrives in out";
    drop(scheduler.command(&["next"]).succeeds().stdout_has(words));
    drop(scheduler.command(&["next", "a"]).succeeds().stdout(&format!("{words}\n")));
    drop(scheduler.command(&["jobs"]).succeeds().stdout_has("when a file arrives"));
    // A restart hands nothing out that has been.
    scheduler.stop();
    let before = scheduler.read("got");
    scheduler.file("out/meanwhile", "4444");
    scheduler.start();
    until_got(&scheduler, &["out/meanwhile"]);
    let after = scheduler.read("got");
    assert_eq!(after, format!("{before}watch out/meanwhile\n"));
    scheduler.stop();
}

#[test]
fn links_directories_and_names_that_are_not_utf8_start_nothing() {
    let mut scheduler = scheduler(&watch(""), NOTE);
    let out = scheduler.path("out");
    std::os::unix::fs::symlink("/etc/passwd", out.join("link")).unwrap();
    fs::create_dir(out.join("folder")).unwrap();
    fs::write(out.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
    fs::write(out.join(".hidden"), "x").unwrap();
    fs::write(out.join("file with spaces"), "x").unwrap();
    scheduler.start();
    until_got(&scheduler, &["out/file"]);
    assert_eq!(scheduler.read("got"), "watch out/file with spaces\n");
    let running = scheduler.running();
    running.until_stderr_has("starts no run: it is a symbolic link");
    running.until_stderr_has("starts no run: its name is not UTF-8");
    scheduler.stop();
}

#[test]
fn a_growing_file_is_given_when_it_has_not_changed_for_a_while() {
    let jobs = watch("").replace("100ms", "1500ms");
    let mut scheduler = scheduler(
        &jobs,
        "local::append(\"got\", `${job::FILES[0]} ${local::read(job::FILES[0]).len}\n`);",
    );
    scheduler.start();
    let path = scheduler.path("out/grows");
    for length in 1..=8 {
        fs::write(&path, "x".repeat(length)).unwrap();
        assert_eq!(scheduler.read("got"), "", "it is not complete");
        thread::park_timeout(Duration::from_millis(300));
    }
    until_got(&scheduler, &["out/grows"]);
    assert_eq!(scheduler.read("got"), "out/grows 8\n");
    scheduler.stop();
}

#[test]
fn a_directory_that_is_missing_is_waited_for_and_may_be_replaced() {
    let mut scheduler = Scheduler::new(&watch(""));
    scheduler.file("a.rhai", NOTE);
    scheduler.start();
    scheduler.running().until_stderr_has("there is no directory");
    scheduler.file("out/one", "1");
    until_got(&scheduler, &["out/one"]);
    fs::rename(scheduler.path("out"), scheduler.path("old")).unwrap();
    scheduler.file("out/two", "2");
    until_got(&scheduler, &["out/two"]);
    assert_eq!(scheduler.read("got"), "watch out/one\nwatch out/two\n");
    scheduler.stop();
}

#[test]
fn a_run_that_fails_has_the_same_files_in_its_retries_and_is_told_after_the_last() {
    // Nothing listens there.
    let script = format!("{NOTE}ftp::connect(\"ftp://x:y@127.0.0.1:1\");");
    let jobs = watch("retries = 1\nbackoff = { initial = \"1ms\" }");
    let mut scheduler = scheduler(&jobs, &script);
    scheduler.file("out/x", "1");
    scheduler.start();
    let run = scheduler.until_outcome("a", "failed");
    assert_eq!(run["attempts"], 2, "{run}");
    assert_eq!(scheduler.read("got"), "watch out/x\nwatch out/x\n");
    scheduler.running().until_stderr_has("are not handed out again");
    // Nothing is repeated, and other content is a new file.
    scheduler.file("out/x", "22");
    scheduler.until(|run| run["outcome"] == "failed" && run["id"] != 1);
    assert_eq!(scheduler.runs().len(), 2);
    scheduler.stop();
}

#[test]
fn files_wait_for_the_end_of_a_pause_and_runs_by_hand_have_none() {
    let mut scheduler = scheduler(&watch(""), NOTE);
    scheduler.start();
    drop(scheduler.command(&["pause", "a"]).succeeds().any_stdout().any_stderr());
    scheduler.running().until_stderr_has("`a` is paused");
    scheduler.file("out/x", "1");
    drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout().any_stderr());
    assert_eq!(scheduler.read("got"), "manual\n");
    drop(scheduler.command(&["resume", "a"]).succeeds().any_stdout().any_stderr());
    until_got(&scheduler, &["out/x"]);
    assert_eq!(scheduler.read("got"), "manual\nwatch out/x\n");
    scheduler.stop();
}

#[test]
fn a_put_without_a_script_sends_exactly_the_files_that_arrived() {
    let server = Rehearsal::start(&[], false);
    fs::create_dir(server.root().join("in")).unwrap();
    let port = server.site.port;
    let jobs = format!(
        "\n[[job]]\nname = \"send\"\nwatch = {{ directory = \"out\", match = \"*.csv\", settle = \"100ms\" }}\n\
         [job.put]\nto = \"ftp://tester@127.0.0.1:{port}/in/\"\n[job.connect]\npassword = \"secret:FTP\"\n"
    );
    let mut scheduler = Scheduler::new(&jobs).env("FTP", "open+sesame-21");
    scheduler.file("out/a.csv", "a");
    scheduler.file("out/b.txt", "b");
    scheduler.start();
    let run = scheduler.until_outcome("send", "done");
    assert_eq!((server.bytes("in/a.csv"), server.bytes("in/b.txt")), (Some(b"a".to_vec()), None));
    assert_eq!(run["files"], 1);
    scheduler.stop();
}

/// Returns a job that starts when a file arrives in `out` of a server.
fn arrival(server: &Rehearsal, more: &str) -> String {
    let port = server.site.port;
    format!(
        "\n[[job]]\nname = \"fetch\"\narrival = {{ site = \"ftp://tester@127.0.0.1:{port}\", directory = \"out\", \
         every = \"1s\", {more} }}\n[job.get]\nto = \"in/\"\n[job.connect]\npassword = \"secret:FTP\"\n"
    )
}

#[test]
fn files_that_arrive_on_a_server_are_fetched_once_by_one_session_that_looks() {
    let server = Rehearsal::start(&[], false);
    server.file("out/a.csv", "a");
    let jobs = arrival(&server, "match = \"*.csv\", settle = \"0s\"");
    let mut scheduler = Scheduler::new(&jobs).env("FTP", "open+sesame-21");
    scheduler.start();
    let run = scheduler.until_outcome("fetch", "done");
    assert_eq!((run["trigger"].as_str(), run["files"].as_i64()), (Some("arrival"), Some(1)));
    assert_eq!(scheduler.read("in/a.csv"), "a");
    server.file("out/b.csv", "bb");
    server.file("out/c.txt", "c");
    wait::until(TIME_MAX, || (scheduler.read("in/b.csv") == "bb").then_some(())).unwrap();
    scheduler.until(|run| run["id"] == 2 && run["outcome"] == "done");
    thread::park_timeout(Duration::from_secs(3));
    assert_eq!(scheduler.runs().len(), 2, "a run only when there is a file");
    let looks = server.server.log().iter().filter(|line| line.contains("USER")).count();
    assert_eq!(looks, 3, "one login for the looks, one for each run");
    let given = &scheduler.show(&Value::from(2))["each_given"][0];
    assert_eq!(
        (given["path"].as_str(), given["site"].as_str()),
        (Some("out/b.csv"), Some("127.0.0.1"))
    );
    scheduler.stop();
    scheduler.start();
    thread::park_timeout(Duration::from_secs(2));
    assert_eq!(scheduler.runs().len(), 2, "what was fetched is known after a restart");
    scheduler.stop();
}

#[test]
fn a_marker_says_that_a_file_on_a_server_is_complete() {
    let server = Rehearsal::start(&[], false);
    for (name, text) in [("out/a.csv", "a"), ("out/b.csv", "b"), ("out/b.csv.ok", "")] {
        server.file(name, text);
    }
    let mut scheduler =
        Scheduler::new(&arrival(&server, "marker = \"%.ok\"")).env("FTP", "open+sesame-21");
    scheduler.start();
    scheduler.until_outcome("fetch", "done");
    assert_eq!(
        (scheduler.read("in/b.csv"), scheduler.path("in/a.csv").exists()),
        ("b".into(), false)
    );
    server.file("out/a.csv.ok", "");
    wait::until(TIME_MAX, || (scheduler.read("in/a.csv") == "a").then_some(())).unwrap();
    assert!(!scheduler.path("in/b.csv.ok").exists());
    scheduler.stop();
}

#[test]
fn a_server_that_cannot_be_reached_is_told_once() {
    let server = Rehearsal::start(&[], false);
    // Nothing listens there.
    let jobs = arrival(&server, "settle = \"0s\"").replace(&format!(":{}", server.site.port), ":1");
    let mut scheduler = Scheduler::new(&jobs).env("FTP", "none of it");
    scheduler.start();
    scheduler.running().until_stderr_has("cannot list out at 127.0.0.1");
    thread::park_timeout(Duration::from_secs(4));
    let ran = scheduler.stop();
    let told = ran.stderr_text();
    assert_eq!(told.matches("cannot list").count(), 1, "{told}");
    assert!(!told.contains("none of it"), "a password is shown");
}

/// Returns the number of files of a campaign.
fn files_of_campaign() -> usize {
    std::env::var("PORTOLAN_FILES").ok().map_or(200, |text| text.parse().unwrap())
}

/// Creates `count` files in steps, while the scheduler or one of its runs is killed at random.
fn campaign(scheduler: &mut Scheduler, count: usize, mut create: impl FnMut(usize)) {
    let kills = rounds(6);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut made = 0;
    for number in 0..=kills {
        let until = count * (number + 1) / (kills + 1);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = Duration::from_millis((seed >> 33) % 1200);
        let (first, rest) = (made + (until - made) / 2, until);
        (made..first).for_each(&mut create);
        thread::park_timeout(pause);
        if number < kills && number % 3 == 2 {
            for child in scheduler.children() {
                kill_process(Pid::from_raw(i32::try_from(child).unwrap()).unwrap(), Signal::KILL)
                    .ok();
            }
        } else if number < kills {
            scheduler.kill();
            (first..rest).for_each(&mut create);
            made = rest;
            scheduler.start();
            continue;
        }
        (first..rest).for_each(&mut create);
        made = rest;
    }
}

/// Waits until all of `count` files were given to runs that have ended, and checks that each was given to one, and that
/// those of successful runs are among `got`.
fn account(
    scheduler: &Scheduler,
    job: &str,
    cause: Trigger,
    count: usize,
    got: impl Fn() -> BTreeSet<String>,
) {
    let store = || Store::open(&scheduler.state()).unwrap();
    let is_over = |state: RunState| !matches!(state, RunState::Waiting | RunState::Running);
    let ended = || {
        let store = store();
        let runs = store.runs(Some(job), 1_000_000).unwrap();
        (store.seen_files(job).unwrap().len() >= count && runs.iter().all(|run| is_over(run.state)))
            .then_some(runs)
    };
    let time = TIME_MAX + Duration::from_millis(20) * u32::try_from(count).unwrap();
    let runs = wait::until(time, ended)
        .unwrap_or_else(|| panic!("{} of {count}", store().seen_files(job).unwrap().len()));
    let (mut all, mut states) = (BTreeMap::new(), BTreeMap::new());
    let got = got();
    for run in &runs {
        assert_eq!(run.cause, cause);
        let given = store().files_given(run.id).unwrap();
        assert!(!given.is_empty(), "run {} has no files", run.id);
        *states.entry(run.state.as_str()).or_insert(0) += given.len();
        for file in given {
            if run.state == RunState::Done {
                assert!(
                    got.contains(&file.name),
                    "{} of run {} was not processed",
                    file.name,
                    run.id
                );
            }
            let other = all.insert(file.name.clone(), run.id);
            assert_eq!(other, None, "{} was given to run {} as well", file.name, run.id);
        }
    }
    assert_eq!(all.len(), count);
    // A run that was killed has failed, one that was interrupted too often is given up; but no file waits in vain.
    assert!(!states.contains_key("skipped"), "{states:?}");
    if std::env::var_os("PORTOLAN_FILES").is_some() {
        // The figures, for those who run it by hand.
        let text = format!("{count} files in {} runs: {states:?}\n", runs.len());
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
}

/// Campaign: the scheduler or a run of it is killed at random while files arrive in a watched directory.
#[test]
fn after_any_number_of_kills_each_watched_file_was_given_to_one_run() {
    let count = files_of_campaign();
    let mut scheduler = scheduler(
        &watch(""),
        "for file in job::FILES { local::append(\"got\", `${file}\n`); }\nsleep(0.1);\n",
    );
    scheduler.start();
    let out = scheduler.path("out");
    campaign(&mut scheduler, count, |number| {
        fs::write(out.join(format!("f{number}")), "x").unwrap();
    });
    account(&scheduler, "a", Trigger::Watch, count, || {
        scheduler.read("got").lines().map(|line| line.replace("out/", "")).collect()
    });
    scheduler.stop();
}

/// Campaign: the same while files arrive on a server.
#[test]
fn after_any_number_of_kills_each_file_of_a_server_was_given_to_one_run() {
    let count = files_of_campaign();
    let server = Rehearsal::start(&[], false);
    fs::create_dir(server.root().join("out")).unwrap();
    let jobs = arrival(&server, "settle = \"0s\"");
    let mut scheduler = Scheduler::new(&jobs).env("FTP", "open+sesame-21");
    scheduler.start();
    let out = server.root().join("out");
    let create = |number: usize| {
        // At once: the looks come at any time.
        let new = server.root().join(format!("new{number}"));
        fs::write(&new, format!("{number}")).unwrap();
        fs::rename(new, out.join(format!("f{number}"))).unwrap();
    };
    campaign(&mut scheduler, count, create);
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).map(|all| all.flatten().collect::<Vec<_>>());
        let names = entries.unwrap_or_default().into_iter();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    account(&scheduler, "fetch", Trigger::Arrival, count, || names(&scheduler.path("in")));
    scheduler.stop();
}
