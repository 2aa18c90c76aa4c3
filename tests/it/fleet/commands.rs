//! The commands from any machine: with `--store` alone they see and change what all machines share.

use super::machines::{Fleet, ON_REQUEST, job};

#[test]
fn commands_work_from_a_host_that_has_only_the_address() {
    let Some(mut fleet) = Fleet::new(&job("a", ON_REQUEST, "")) else { return };
    fleet.file("a.rhai", "print(\"hello\"); sleep(1.0);");
    fleet.command(&["machines"]).succeeds().stderr_has("no machine has joined yet").any_stderr();
    fleet.start("one", &["--workers", "3", "--label", "network=lan", "--label", "disk=big"]);
    assert_eq!(fleet.leader(), "one");
    fleet.until_known("a");
    let row = fleet.row("one").unwrap();
    assert_eq!(
        (&row["room"], &row["labels"]["disk"], &row["role"]),
        (&3.into(), &"big".into(), &"leader".into())
    );
    assert!(row["heartbeat_age_s"].as_f64().unwrap() < 60.0);
    fleet.command(&["machines"]).succeeds().stdout_has("disk=big network=lan").any_stdout();
    fleet
        .command(&["pause", "a", "--reason", "moving"])
        .succeeds()
        .stdout_has("is paused")
        .any_stdout();
    fleet.machine("one").until_stderr_has("`a` is paused: moving");
    fleet.command(&["resume", "a"]).succeeds().any_stdout();
    fleet.machine("one").until_stderr_has("`a` is resumed");
    fleet
        .command(&["trigger", "a", "--wait"])
        .succeeds()
        .stdout_has("is done")
        .any_stdout()
        .any_stderr();
    let run = fleet.json(&["show", "last"]);
    assert_eq!((&run["machine"], &run["outcome"]), (&"one".into(), &"done".into()));
    fleet
        .command(&["show", "last"])
        .succeeds()
        .stdout_has("on machine `one`, in logs/a/1.log of its state folder")
        .any_stdout();
    fleet
        .command(&["show", "last", "--log"])
        .succeeds()
        .stdout_has("attempt 1 of run 1, job `a`")
        .stdout_has("hello")
        .stdout_has("run 1 is done")
        .any_stdout();
    // By the variable, and by the jobs file.
    let by_variable = fleet.program().args(["runs"]).env("PORTOLAN_STORE", fleet.address());
    by_variable.run().succeeds().stdout_has("done").any_stdout();
    let jobs = fleet.path("portolan.toml");
    let by_file = fleet.program().args(["jobs", "--jobs"]).args([&jobs]);
    by_file.run().succeeds().stdout_has("100% of 1").any_stdout();
    let why = fleet.program().args(["why", "a", "--jobs"]).args([jobs]);
    why.run().succeeds().any_stdout();
    fleet.stop_all();
    // Nobody is there any more.
    fleet
        .command(&["trigger", "a", "--wait"])
        .fails_with(2)
        .stderr_has("no scheduler is running on postgres://portolan@127.0.0.1")
        .any_stderr();
}

#[test]
fn a_run_begins_only_on_a_machine_with_the_labels_that_its_job_needs() {
    let jobs = job("a", ON_REQUEST, "needs = { network = \"dmz\" }");
    let Some(mut fleet) = Fleet::new(&jobs) else { return };
    fleet.file("a.rhai", "");
    fleet.start("lan", &["--label", "network=lan"]);
    assert_eq!(fleet.leader(), "lan");
    fleet.until_known("a");
    let asked = fleet.json(&["trigger", "a"]);
    assert_eq!(
        (&asked["outcome"], &asked["reason_code"]),
        (&"waiting".into(), &"no-machine".into()),
        "{asked}"
    );
    assert_eq!(asked["reason"], "no machine with `network=dmz` is there");
    fleet.start("dmz", &["--label", "network=dmz", "--never-lead"]);
    let run = fleet.until(|run| run["outcome"] == "done");
    assert_eq!(run["machine"], "dmz");
    fleet.stop_all();
}

#[test]
fn the_environment_of_runs_has_no_login_of_the_database() {
    let Some(mut fleet) =
        Fleet::new(&job("a", ON_REQUEST, "permissions = { run = [\"env\"], write = [\"seen\"] }"))
    else {
        return;
    };
    fleet.file("a.rhai", "local::write(\"seen\", run::command([\"env\"]).stdout);");
    fleet.start("one", &[]);
    fleet.until_known("a");
    fleet
        .command(&["trigger", "a", "--wait"])
        .succeeds()
        .stdout_has("is done")
        .any_stdout()
        .any_stderr();
    assert!(!fleet.read("seen").contains("PGPASSWORD"), "{}", fleet.read("seen"));
    fleet.stop_all();
}

#[test]
fn the_log_of_a_run_is_read_and_followed_from_any_machine() {
    let secret = "open+sesame-21";
    let Some(fleet) = Fleet::new(&job("a", ON_REQUEST, "[job.args]\nlines = 3000")) else {
        return;
    };
    fleet.file(
        "a.rhai",
        "print(`begins ${secret(\"FTP\")}`); print(\"\\x1b[31mred\\x00\\xff\"); sleep(3.0);\n\
         print(\"half\"); for i in 0..args.lines { print(`line ${i} of a log that is long enough`); }\n\
         sleep(3.0); print(\"ends\");",
    );
    let running = fleet.serve("one", &[]).env("FTP", secret).spawn();
    running.until_stderr_has("shares the schedule of");
    fleet.until_known("a");
    fleet.command(&["trigger", "a"]).succeeds().any_stdout().any_stderr();
    let run = fleet.until(|run| run["job"] == "a" && run["outcome"] == "running");
    let id = run["id"].to_string();
    // It is followed while it is written.
    let follow =
        fleet.program().args(["show", &id, "--follow", "--store", &fleet.address()]).spawn();
    follow.until_stdout_has("begins");
    assert_eq!(fleet.json(&["show", &id])["outcome"], "running");
    let printed = follow.wait().succeeds().any_stderr().any_stdout();
    let shown = fleet.command(&["show", &id, "--log"]).succeeds().any_stderr().any_stdout();
    for ran in [&printed, &shown] {
        let text = ran.stdout_text();
        assert!(
            !text.contains(secret) && !text.contains('\u{1b}') && !text.contains('\0'),
            "{text}"
        );
        for words in ["begins ", "[31mred", "half", "line 0 of", "line 2999 of", "ends"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    // A bounded part of it is shared.
    let text = shown.stdout_text();
    assert!(
        text.contains("bytes are left out: all is on machine `one`, in logs/a/1.log"),
        "{text}"
    );
    assert!(
        text.len() < 80 * 1024 && text.contains(&format!("run {id} is done")),
        "{}",
        text.len()
    );
    // On its own machine it is whole.
    let path = fleet.path("state-one").join("logs/a").join(format!("{id}.log"));
    assert!(std::fs::metadata(&path).unwrap().len() > 100_000);
    running.signal(rustix::process::Signal::TERM);
    running.wait().succeeds().any_stdout().any_stderr();
}
