//! Jobs without a script, runs in the foreground, and requests with arguments and for past slots.

use std::fs::{self, File};

use jiff::SignedDuration;
use portolan::clock::Clock;

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::{program::Portolan, rehearsal::Rehearsal, wait};

/// Returns a job without a script that runs when it is triggered.
fn task(name: &str, table: &str) -> String {
    format!(
        "\n[[job]]\nname = \"{name}\"\ncron = \"0 0 29 2 *\"\n{table}\n[job.connect]\npassword = \"secret:FTP\"\n"
    )
}

fn url(server: &Rehearsal, path: &str) -> String {
    format!("ftp://tester@127.0.0.1:{}/{path}", server.site.port)
}

/// Returns the five kinds of jobs, for a server.
fn five(server: &Rehearsal) -> String {
    [
        task(
            "copy",
            &format!(
                "[job.mirror]\nfrom = \"{}\"\nto = \"copy\"\ndelete = true\nexclude = [\"*.tmp\"]",
                url(server, "pub")
            ),
        ),
        task(
            "fetch",
            &format!(
                "[job.get]\nfrom = \"{}\"\nto = \"in/{{day}}/\"\n[job.args]\nday = \"today\"",
                url(server, "pub/*.csv")
            ),
        ),
        task(
            "site",
            &format!(
                "[job.deploy]\nfrom = \"dist\"\nto = \"{}\"\nkeep = 2\nmodes = {{ files = \"640\" }}",
                url(server, "www/new")
            ),
        ),
        task(
            "send",
            &format!(
                "[job.put]\nfrom = [\"out/*.csv\", \"out/list\"]\nto = \"{}\"",
                url(server, "in/")
            ),
        ),
        task(
            "old",
            &format!(
                "[job.prune]\nsite = \"{}\"\npath = \"/backup\"\nkeep_last = 1\nolder_than = \"30d\"\nmatch = \"db-*\"",
                url(server, "")
            ),
        ),
    ]
    .concat()
}

fn scheduler(server: &Rehearsal) -> Scheduler {
    server.file("pub/a.csv", "a");
    server.file("pub/b.csv", "bb");
    server.file("pub/c.tmp", "ccc");
    fs::create_dir(server.root().join("in")).unwrap();
    let scheduler = Scheduler::new(&five(server)).env("FTP", "open+sesame-21");
    scheduler.file("copy/old", "gone");
    scheduler.file("out/x.csv", "x");
    scheduler.file("out/list", "l");
    for (name, days) in [("db-1", 60), ("db-2", 40), ("db-3", 1), ("notes", 60)] {
        server.file(&format!("backup/{name}"), "x");
        let file = File::options().write(true).open(server.root().join("backup").join(name));
        let age = SignedDuration::from_hours(24 * days);
        file.unwrap().set_modified((Clock::System.now() - age).into()).unwrap();
    }
    scheduler.file("dist/index.html", "<p>");
    scheduler.file("dist/.env", "KEY=1");
    scheduler
}

#[test]
fn jobs_without_a_script_mirror_deploy_fetch_send_and_prune() {
    let server = Rehearsal::start(&[], false);
    let mut scheduler = scheduler(&server);
    scheduler.start();
    for job in ["copy", "site", "fetch", "send", "old"] {
        drop(scheduler.command(&["trigger", job, "--wait"]).succeeds().stdout_has("is done"));
    }
    assert_eq!(
        (scheduler.read("copy/a.csv"), scheduler.read("copy/b.csv")),
        ("a".into(), "bb".into())
    );
    assert!(!scheduler.path("copy/old").exists() && !scheduler.path("copy/c.tmp").exists());
    assert_eq!(scheduler.read("in/today/b.csv"), "bb");
    assert_eq!(server.bytes("www/new/index.html").unwrap(), b"<p>");
    assert_eq!(server.bytes("www/new/.env"), None);
    assert_eq!(server.bytes("in/x.csv").unwrap(), b"x");
    assert_eq!(server.bytes("in/list").unwrap(), b"l");
    let left = ["db-1", "db-2", "db-3", "notes"]
        .map(|name| server.bytes(&format!("backup/{name}")).is_some());
    assert_eq!(left, [false, false, true, true]);
    // A value of its own for one run.
    let ran = scheduler.command(&["trigger", "fetch", "--wait", "--arg", "day=2026-11-28"]);
    drop(ran.succeeds().stdout_has("is done"));
    assert_eq!(scheduler.read("in/2026-11-28/a.csv"), "a");
    let run = scheduler.until_outcome("copy", "done");
    assert_eq!((run["script"].as_str(), run["files"].as_i64()), (Some("mirror"), Some(2)));
    let log = scheduler.command(&["show", "copy", "--follow"]).succeeds();
    drop(log.stdout_has("attempt 1 of run ").any_stderr());
    scheduler.stop();
}

#[test]
fn a_job_runs_once_in_the_foreground_and_leaves_a_record() {
    let server = Rehearsal::start(&[], false);
    let mut scheduler = scheduler(&server);
    for job in ["copy", "fetch", "send", "old"] {
        let ran = scheduler.command(&["run", "--job", job, "--arg", "day=now"]);
        drop(ran.succeeds().any_stdout().any_stderr());
    }
    assert_eq!(scheduler.read("copy/b.csv"), "bb");
    assert_eq!(scheduler.read("in/now/b.csv"), "bb");
    assert_eq!(server.bytes("in/x.csv").unwrap(), b"x");
    let runs = scheduler.runs();
    let kept: Vec<_> =
        runs.iter().map(|run| (run["job"].clone(), run["outcome"].clone())).collect();
    assert_eq!(kept.len(), 4, "{runs:#?}");
    assert!(server.bytes("backup/db-2").is_none());
    assert!(kept.iter().all(|(_, outcome)| outcome == "done"), "{kept:?}");
    drop(
        scheduler
            .command(&["run", "--job", "cpy"])
            .fails_with(2)
            .stderr_has("there is no job `cpy`; did you mean `copy`?"),
    );
    scheduler.start();
    scheduler.stop();
}

#[test]
fn a_deployment_may_ask_the_address_that_its_job_names() {
    let server = Rehearsal::start(&[], false);
    // No server listens there: the deployment is made, checked, and undone.
    let jobs = task(
        "site",
        &format!(
            "[job.deploy]\nfrom = \"dist\"\nto = \"{}\"\nkeep = 1\ncheck_url = \"http://127.0.0.1:1/\"",
            url(&server, "www")
        ),
    );
    let scheduler = Scheduler::new(&jobs).env("FTP", "open+sesame-21");
    scheduler.file("dist/index.html", "<p>");
    let ran = scheduler.command(&["run", "--job", "site"]).any_code().any_stdout();
    assert_ne!(ran.code(), 0);
    assert!(!ran.stderr_text().contains("denied"), "{}", ran.stderr_text());
    assert!(ran.stderr_text().contains("127.0.0.1:1"), "{}", ran.stderr_text());
    assert_eq!(server.bytes("www/index.html"), None);
    drop(ran.any_stderr());
}

#[test]
fn a_script_in_the_foreground_gets_the_arguments_of_its_job() {
    let scheduler = Scheduler::new(&on_request("a", "[job.args]\nday = \"today\"\nmost = 3"));
    scheduler.file("a.rhai", "print(`${args.day} ${args.most + 1} ${job::NAME} ${job::TRIGGER}`); local::write(\"here\", \"x\");");
    let ran = scheduler.command(&["run", "--job", "a"]).succeeds().any_stderr();
    drop(ran.stdout("today 4 a manual\n"));
    assert_eq!(scheduler.read("here"), "x");
    let ran = scheduler.command(&["run", "--job", "a", "--arg", "most=7", "--arg", "day=x=y"]);
    drop(ran.succeeds().any_stderr().stdout("x=y 8 a manual\n"));
}

#[test]
fn past_slots_run_once_each_in_their_order() {
    let job =
        "\n[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = \"0 0 * * *\"\ntimezone = \"UTC\"\n";
    let mut scheduler = Scheduler::new(job);
    scheduler.file("a.rhai", "local::append(\"done.txt\", `${job::SCHEDULED_FOR} ${args}\n`);");
    scheduler.start();
    let ran = scheduler.command(&[
        "trigger",
        "a",
        "--wait",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-05T12:00",
    ]);
    drop(ran.succeeds().any_stdout());
    let days = scheduler.read("done.txt");
    let days: Vec<_> = days.lines().map(|line| line[..10].to_owned()).collect();
    assert_eq!(days, ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"]);
    let ran =
        scheduler.command(&["trigger", "a", "--wait", "--slot", "2026-02-03", "--arg", "n=1"]);
    drop(ran.succeeds().stdout_has("is done"));
    let found = wait::until(TIME_MAX, || {
        Some(scheduler.read("done.txt")).filter(|text| text.lines().count() == 6)
    });
    let text = found.unwrap();
    assert!(text.lines().last().unwrap().starts_with("2026-02-03T00:00:00Z"), "{text}");
    assert!(text.contains("\"n\": \"1\""), "{text}");
    let odd = scheduler.command(&["trigger", "a", "--slot", "2026-02-03T01:00"]).fails_with(2);
    drop(odd.stderr_has("is no slot of the job; near it are 2026-02-03T00:00:00"));
    let later = scheduler.command(&["trigger", "a", "--slot", "2099-02-03"]).fails_with(2);
    drop(later.stderr_has("is still to come"));
    let ran = scheduler.runs();
    assert!(ran.iter().all(|run| run["trigger"] == "manual"), "{ran:#?}");
    scheduler.stop();
}

#[test]
fn exports_of_jobs_without_a_script_run_the_job() {
    let job = task("copy", "[job.mirror]\nfrom = \"ftp://h/pub\"\nto = \"copy\"");
    let program = Portolan::new().file("portolan.toml", job.replace("29 2 *", "1 * *"));
    for (to, words) in [
        (&["crontab"][..], " run --jobs "),
        (&["systemd", "--timers"], "portolan.toml --job copy\n"),
        (&["kubernetes"], "\"--job\", \"copy\"]"),
    ] {
        let ran = program.clone().args(["export"]).args(to.iter().copied()).run();
        drop(ran.succeeds().stdout_has(words).any_stderr().any_stdout());
    }
}

/// Returns the number of connections that a server has at a port of this host.
fn connections(port: u16) -> usize {
    let all = fs::read_to_string("/proc/net/tcp").unwrap();
    // The local address of the server, and the state ESTABLISHED.
    let local = format!("0100007F:{port:04X}");
    let rows = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1) == Some(&&*local) && row.get(3) == Some(&"01")).count()
}

#[test]
fn runs_make_no_more_logins_than_the_places_of_the_lock_of_their_host() {
    let server = Rehearsal::start(&[], false);
    for number in 0..24 {
        server.file(&format!("pub/{number}"), vec![7; 20_000]);
    }
    let mirror = |name: &str, more: &str| {
        let table = format!(
            "{more}[job.mirror]\nfrom = \"{}\"\nto = \"{name}\"\nrate_limit = \"200KiB\"\n",
            url(&server, "pub")
        );
        task(name, &table)
    };
    let lock = "locks = [\"host:a\"]\n";
    let text = [
        "locks = { \"host:*\" = 3 }\n".to_owned(),
        mirror("eight", lock) + "parallel = 8\n",
        mirror("auto", lock),
        mirror("one", "locks = { \"host:a\" = 1 }\n"),
    ];
    let mut scheduler = Scheduler::new(&text.concat()).env("FTP", "open+sesame-21");
    scheduler.start();
    for name in ["eight", "auto", "one"] {
        scheduler.command(&["trigger", name]).succeeds().any_stdout().any_stderr();
    }
    let (mut most, mut why) = (0, String::new());
    let is_done = wait::until(TIME_MAX, || {
        most = most.max(connections(server.site.port));
        if why.is_empty() {
            let told = scheduler.command(&["runs"]);
            let told = told.any_code().any_stdout().any_stderr().stdout_text().to_owned();
            why = Some(told).filter(|told| told.contains(" holds the lock")).unwrap_or_default();
        }
        let done = fs::read_dir(scheduler.path("one")).is_ok_and(|files| files.count() == 24);
        done.then_some(())
    });
    assert!(is_done.is_some(), "{:?}", scheduler.runs());
    assert_eq!(most, 3);
    let expected = "`eight` holds the lock `host:a`, of whose 3 places this run takes 3";
    assert!(why.contains(expected), "{why}");
    for name in ["eight", "auto", "one"] {
        let run = scheduler.until_outcome(name, "done");
        let log = scheduler.command(&["show", &run["id"].to_string(), "--log"]);
        let log = log.succeeds().any_stdout().any_stderr();
        let log = log.stdout_text();
        let told = "with 3 sessions at most: it takes as many places of `host:a`";
        assert_eq!(log.contains(told), name != "one", "{log}");
    }
    scheduler.stop();
}
