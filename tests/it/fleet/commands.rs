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
        .fails_with(5)
        .stderr_has("is on machine `one`")
        .any_stderr();
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
