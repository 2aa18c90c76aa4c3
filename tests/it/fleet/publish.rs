//! Published releases: machines without a jobs file take each one while they run, and no slot is lost or doubled.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use portolan::store::{StorePlace, releases::NewRelease};
use serde_json::Value;

use super::{
    machines::{Fleet, LEASE, ON_REQUEST, TIME_MAX, job},
    releases::{check_seconds, each_second},
};
use crate::support::{postgres::PostgresServer, program::Ran, wait};

/// Publishes the jobs file of the fleet.
fn publish(fleet: &Fleet, more: &[&str]) -> Ran {
    let jobs = fleet.path("portolan.toml");
    fleet.program().args(["publish"]).args([jobs]).args(more.iter().copied()).run()
}

/// Starts a machine that follows what is published.
fn follow(fleet: &mut Fleet, name: &str, more: &[&str], variables: &[(&str, &str)]) {
    let state = fleet.path(&format!("state-{name}"));
    let mut program = fleet.program().args(["serve", "--published", "--name", name, "--store"]);
    program = program.args([fleet.address()]).args(["--state"]).args([state]);
    for (key, value) in variables {
        program = program.env(key, value);
    }
    fleet.started(name, &program.args(more.iter().copied()));
}

/// Waits until all machines have a release.
#[track_caller]
fn until_all_have(fleet: &Fleet, number: i64) {
    let have = || {
        let all = fleet.json(&["machines"]);
        let is_there = |row: &Value| {
            row["release_number"] == number
                && row["has_leaders_jobs"] == true
                && row["alive"] == true
        };
        all.as_array().unwrap().iter().all(is_there).then_some(())
    };
    let found = wait::until(TIME_MAX, have);
    assert!(found.is_some(), "{:#}", fleet.json(&["machines"]));
}

/// Writes the scripts of a version: each act is one line in a file that all machines share.
fn write_scripts(fleet: &Fleet, version: &str) {
    let acts = |name: &str| fleet.path(&format!("acts-{name}")).display().to_string();
    fleet.file(
        "scripts/tick.rhai",
        &format!(
            "import \"lib/version\" as v; local::append(\"{}\", `${{v::version()}} ${{job::SCHEDULED_FOR}}\n`);",
            acts("tick")
        ),
    );
    fleet.file("scripts/lib/version.rhai", &format!("fn version() {{ \"{version}\" }}"));
    // The first attempt fails after a while, and the second one belongs to the same run.
    fleet.file(
        "scripts/long.rhai",
        &format!(
            "local::append(\"{0}\", `{version} ${{job::ATTEMPT}}\n`); sleep(4); \
             if job::ATTEMPT == 1 {{ fail_temporarily(\"not yet\") }}",
            acts("long")
        ),
    );
}

fn jobs() -> String {
    let long = "retries = 1\nbackoff = { initial = \"1s\", jitter = false }";
    let jobs = [each_second("tick"), job("long", ON_REQUEST, long)].concat();
    jobs.replace("script = \"", "script = \"scripts/")
}

fn lines(fleet: &Fleet, name: &str) -> Vec<String> {
    fleet.read(&format!("acts-{name}")).lines().map(str::to_owned).collect()
}

/// Checks that each slot was executed once, with these versions in the order of slots.
fn check_versions(fleet: &Fleet, wanted: [&str; 3]) {
    let mut acts: Vec<_> = lines(fleet, "tick")
        .iter()
        .map(|line| {
            line.split_once(' ')
                .map(|(version, slot)| (slot.to_owned(), version.to_owned()))
                .unwrap()
        })
        .collect();
    let executed = acts.len();
    acts.sort();
    acts.dedup_by(|one, next| one.0 == next.0);
    assert_eq!(acts.len(), executed, "a slot was executed twice");
    let done =
        fleet.runs().iter().filter(|run| run["job"] == "tick" && run["outcome"] == "done").count();
    assert_eq!(done, executed);
    acts.dedup_by(|one, next| one.1 == next.1);
    let versions: Vec<_> = acts.iter().map(|(_, version)| version.as_str()).collect();
    assert_eq!(versions, wanted, "{acts:?}");
}

#[test]
fn a_release_is_taken_by_all_machines_while_runs_go_on_and_can_be_rolled_back() {
    let Some(mut fleet) = Fleet::new(&jobs()) else { return };
    write_scripts(&fleet, "v1");
    for name in ["one", "two", "three"] {
        follow(&mut fleet, name, &[], &[]);
    }
    fleet.machine("two").until_stderr_has("no release is published yet");
    publish(&fleet, &["-m", "the first"])
        .succeeds()
        .stdout_has("release 1 is current: 4 files")
        .any_stdout()
        .any_stderr();
    until_all_have(&fleet, 1);
    fleet.until(|run| run["job"] == "tick" && run["outcome"] == "done");
    fleet.until_known("long");
    drop(fleet.command(&["trigger", "long"]).succeeds().any_stdout().any_stderr());
    wait::until(TIME_MAX, || (lines(&fleet, "long") == ["v1 1"]).then_some(())).unwrap();
    // While it is in progress.
    write_scripts(&fleet, "v2");
    publish(&fleet, &["-m", "the second"]).succeeds().any_stdout().any_stderr();
    until_all_have(&fleet, 2);
    wait::until(TIME_MAX, || {
        lines(&fleet, "tick").iter().any(|line| line.starts_with("v2")).then_some(())
    })
    .unwrap();
    let long = fleet.until(|run| run["job"] == "long" && run["outcome"] == "done");
    assert_eq!(long["attempts"], 2);
    assert_eq!(
        lines(&fleet, "long"),
        ["v1 1", "v1 2"],
        "the run ends with the release that it began with"
    );
    // The same files are no new release.
    let mut again = publish(&fleet, &["--json"]).succeeds().any_stderr();
    let document = again.json();
    assert_eq!((&document["new"], &document["number"]), (&false.into(), &2.into()));
    let mut back = fleet.command(&["--json", "publish", "--release", "1"]).succeeds();
    let document = back.json();
    assert_eq!((&document["number"], &document["current"]), (&1.into(), &true.into()));
    until_all_have(&fleet, 1);
    let count = lines(&fleet, "tick").len();
    wait::until(TIME_MAX, || (lines(&fleet, "tick").len() > count + 3).then_some(())).unwrap();
    fleet.stop_all();
    check_seconds(&fleet, "tick");
    check_versions(&fleet, ["v1", "v2", "v1"]);
    let releases = fleet.json(&["releases"]);
    let seen: Vec<_> = releases
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["number"].as_i64().unwrap(),
                one["current"] == true,
                one["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [(2, false, "the second"), (1, true, "the first")]);
    fleet
        .command(&["releases", "2"])
        .succeeds()
        .stdout_has("scripts/lib/version.rhai")
        .any_stdout();
    fleet.command(&["releases"]).succeeds().stdout_has("the second").any_stdout();
}

#[test]
fn a_leader_that_dies_while_a_release_is_published_loses_no_slot() {
    let Some(mut fleet) = Fleet::new(&jobs()) else { return };
    write_scripts(&fleet, "v1");
    publish(&fleet, &[]).succeeds().any_stdout().any_stderr();
    for name in ["one", "two", "three"] {
        follow(&mut fleet, name, &[], &[]);
    }
    fleet.until(|run| run["job"] == "tick" && run["outcome"] == "done");
    let leader = fleet.leader();
    write_scripts(&fleet, "v2");
    publish(&fleet, &[]).succeeds().any_stdout().any_stderr();
    fleet.kill(&leader);
    wait::until(TIME_MAX, || Some(fleet.leader()).filter(|next| *next != leader)).unwrap();
    // It comes back with the files of the release before, and takes the new one.
    follow(&mut fleet, &leader, &[], &[]);
    until_all_have(&fleet, 2);
    let begun = fleet.runs().len();
    wait::until(TIME_MAX, || (fleet.runs().len() > begun + 5).then_some(())).unwrap();
    fleet.stop_all();
    check_seconds(&fleet, "tick");
    let mut executed: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines(&fleet, "tick") {
        *executed.entry(line.split_once(' ').unwrap().1.to_owned()).or_default() += 1;
    }
    for run in fleet.runs().iter().filter(|run| run["job"] == "tick") {
        let slot = run["scheduled_for"].as_str().unwrap();
        let acts = executed.get(slot).copied().unwrap_or(0);
        let attempts = usize::try_from(run["attempts"].as_i64().unwrap()).unwrap();
        assert!(acts <= attempts, "{acts} acts: {run}");
        if run["outcome"] == "done" {
            assert!(acts >= 1, "{run}");
        }
    }
}

#[test]
fn a_machine_without_a_secret_gets_no_runs_of_the_jobs_that_need_it() {
    let jobs =
        [job("with", ON_REQUEST, ""), job("without", ON_REQUEST, "needs = { at = \"two\" }")];
    let Some(mut fleet) = Fleet::new(&jobs.concat()) else { return };
    let acts = fleet.path("acts").display().to_string();
    fleet.file("with.rhai", &format!("secret(\"PARTNER_9X\"); local::append(\"{acts}\", \"x\");"));
    fleet.file("without.rhai", "");
    // Here it is not known either, which is a warning.
    publish(&fleet, &[])
        .succeeds()
        .any_stdout()
        .stderr_has("there is no secret `PARTNER_9X` here")
        .any_stderr();
    let secret = [("PARTNER_9X", "open+sesame-21")];
    follow(&mut fleet, "one", &["--label", "at=one"], &secret);
    follow(&mut fleet, "two", &["--label", "at=two"], &[]);
    until_all_have(&fleet, 1);
    fleet.until_known("with");
    assert_eq!(fleet.row("one").unwrap()["missing_secrets"], serde_json::json!([]));
    assert_eq!(fleet.row("two").unwrap()["missing_secrets"], serde_json::json!(["PARTNER_9X"]));
    fleet.command(&["machines"]).succeeds().stdout_has("no secret PARTNER_9X").any_stdout();
    for count in 1..=4 {
        let asked = fleet.command(&["trigger", "with", "--wait"]);
        asked.succeeds().any_stdout().any_stderr();
        assert_eq!(fleet.json(&["show", "last"])["machine"], "one", "run {count}");
    }
    fleet.command(&["trigger", "without", "--wait"]).succeeds().any_stdout().any_stderr();
    assert_eq!(fleet.json(&["show", "last"])["machine"], "two");
    fleet.stop("one").any_stderr();
    assert_eq!(fleet.leader(), "two");
    drop(fleet.command(&["trigger", "with"]).any_code().any_stdout().any_stderr());
    let waits = fleet.until(|run| run["job"] == "with" && run["outcome"] == "waiting");
    assert_eq!(waits["reason_code"], "no-machine", "{waits}");
    assert_eq!(waits["reason"], "no machine with `secret:PARTNER_9X` is there");
    // A file with it is found without a restart.
    let folder = fleet.path("state-two/work/secrets");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("new"), PostgresServer::PASSWORD).unwrap();
    fs::set_permissions(folder.join("new"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(folder.join("new"), folder.join("PARTNER_9X")).unwrap();
    let done = fleet.until(|run| run["id"] == waits["id"] && run["outcome"] == "done");
    assert_eq!(done["machine"], "two");
    assert_eq!(fleet.read("acts").len(), 5);
    fleet.stop_all();
}

#[test]
fn a_release_that_a_machine_cannot_use_is_told_and_the_one_before_goes_on() {
    let Some(mut fleet) = Fleet::new(&each_second("tick")) else { return };
    fleet.file("tick.rhai", "");
    publish(&fleet, &[]).succeeds().any_stdout().any_stderr();
    follow(&mut fleet, "one", &[], &[]);
    fleet.until(|run| run["job"] == "tick" && run["outcome"] == "done");
    // As a newer portolan would, and somebody who changes the tables by hand.
    let address =
        fleet.address().replace("portolan@", &format!("portolan:{}@", PostgresServer::PASSWORD));
    let mut store = StorePlace::server(&address, None, None).unwrap().open().unwrap();
    for (new, code) in [
        (
            NewRelease { format: 99, version: "9.9.9".into(), ..NewRelease::default() },
            "portolan 9.9.9 has published it in a form",
        ),
        (NewRelease { format: 1, ..NewRelease::default() }, "is not what was published"),
    ] {
        let new = NewRelease {
            digest: code.into(),
            jobs_file: "portolan.toml".into(),
            by: "x@y".into(),
            keep: 9,
            ..new
        };
        store.publish(&new, Timestamp::now()).unwrap();
        fleet
            .machine("one")
            .until_stderr_has("the release is rejected, the previous one stays in force");
        let told = wait::until(TIME_MAX, || {
            fleet
                .row("one")
                .filter(|row| row["fault"].as_str().is_some_and(|fault| fault.contains(code)))
        });
        assert!(told.is_some(), "{:?}", fleet.row("one"));
        let count = fleet.runs().len();
        wait::until(TIME_MAX, || (fleet.runs().len() > count + 3).then_some(())).unwrap();
    }
    // One that starts meanwhile begins with the one that it had.
    fleet.stop("one").any_stderr();
    follow(&mut fleet, "one", &[], &[]);
    fleet.machine("one").until_stderr_has("this machine begins with the release that it had last");
    let count = fleet.runs().len();
    wait::until(TIME_MAX, || (fleet.runs().len() > count + 3).then_some(())).unwrap();
    assert!(fleet.row("one").is_some_and(|row| row["fault"].is_string()));
    fleet.command(&["publish", "--release", "1"]).succeeds().any_stdout();
    let is_well = |row: &Value| row["fault"].is_null() && row["release_number"] == 1;
    wait::until(TIME_MAX, || fleet.row("one").filter(is_well)).unwrap();
    fleet.stop_all();
    check_seconds(&fleet, "tick");
}

/// The beginning of the error of a password in a jobs file.
const PASSWORD: &str = "a password stands in the jobs file, and secrets are not published";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_cannot_be_published_is_one_clear_error_and_the_release_before_stays() {
    let Some(fleet) = Fleet::new(&job("a", ON_REQUEST, "")) else { return };
    fleet.file("a.rhai", "");
    publish(&fleet, &[]).succeeds().any_stdout().any_stderr();
    let jobs = fleet.read("portolan.toml");
    let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    for (name, text) in [
        ("_netrc", "# no login yet\n"),
        ("certs/own.pem", key),
        ("secrets/hook.sh", ""),
        ("big.sh", &"#".repeat(17 * 1024 * 1024)),
        ("bad.rhai", "let x = ;"),
        ("imports.rhai", "import \"absent\" as x;"),
    ] {
        fleet.file(name, text);
    }
    symlink(fleet.path("_netrc"), fleet.path("plain.sh")).unwrap();
    let connect = |line: &str| format!("{jobs}[job.connect]\n{line}\n");
    let tell = |line: &str| format!("{jobs}on_failure = {{ {line} }}\n");
    let header = |name: &str| {
        tell(&format!(
            "webhook = {{ url = \"https://h\", headers = {{ {name} = \"open-door-7\" }} }}"
        ))
    };
    let arrival =
        |url: &str| format!("{jobs}arrival = {{ site = \"{url}\", directory = \"out\" }}\n");
    let mirror = |url: &str| {
        format!("{jobs}\n[[job]]\nname = \"m\"\nmirror = {{ from = \"{url}\", to = \"in\" }}\n")
    };
    let before = |program: &str| format!("{jobs}before = [[\"{program}\"]]\n");
    for (text, code, words) in [
        (
            connect("client_key = \"certs/own.pem\""),
            7,
            "certs/own.pem: it has a private key, and secrets are not published",
        ),
        (connect("password = \"open-door-7\""), 7, PASSWORD),
        (connect("proxy = \"socks5://u:open-door-7@h\""), 7, PASSWORD),
        (tell("ping = \"https://u:open-door-7@h/\""), 7, PASSWORD),
        (tell("ntfy = { url = \"https://h/x\", token = \"open-door-7\" }"), 7, PASSWORD),
        (tell("gotify = { url = \"https://h\", token = \"open-door-7\" }"), 7, PASSWORD),
        (tell("telegram = { token = \"open-door-7\", chat = \"1\" }"), 7, PASSWORD),
        (header("Authorization"), 7, PASSWORD),
        (header("X-Api-Key"), 7, PASSWORD),
        (arrival("ftp://u:open-door-7@h"), 7, PASSWORD),
        (mirror("ftp://u:open-door-7@h/out"), 7, PASSWORD),
        (before("secrets/hook.sh"), 7, "it is in a directory of secrets"),
        (before("./plain.sh"), 7, "files of this name hold passwords"),
        (before("./big.sh"), 2, "a release has at most 5000 files with 16 MiB together"),
        (jobs.replace("a.rhai", "bad.rhai"), 3, "nothing was published"),
        (jobs.replace("a.rhai", "imports.rhai"), 3, "nothing was published"),
        (jobs.replace("a.rhai", "../a.rhai"), 3, "nothing was published"),
        (jobs.replace("a.rhai", "absent.rhai"), 3, "nothing was published"),
    ] {
        fleet.file("portolan.toml", &text);
        let ran = publish(&fleet, &[]).any_code().any_stdout();
        assert!(ran.stderr_text().contains(words), "{words}: {}", ran.stderr_text());
        assert_eq!(ran.code(), code, "{words}: {}", ran.stderr_text());
        ran.never_says("open-door-7").any_stderr();
        let releases = fleet.json(&["releases"]);
        assert_eq!(releases.as_array().unwrap().len(), 1, "{words}");
    }
    fleet.file("portolan.toml", &jobs);
    fleet
        .command(&["publish", "--release", "7"])
        .fails_with(2)
        .stderr_has("there is no release 7")
        .any_stderr();
    let program = fleet.program().args(["publish"]).args([fleet.path("a.toml")]);
    fleet.file("a.toml", &job("a", ON_REQUEST, ""));
    program.run().fails_with(2).stderr_has("no store is named that machines share").any_stderr();
    // A script that looks as if it had a password is warned of.
    fleet.file("a.rhai", "let s = ftp::connect(\"ftp://u:open-door-7@h\");");
    let ran = publish(&fleet, &["--dry-run"]).succeeds().any_stdout();
    ran.never_says("open-door-7").stderr_has("a.rhai:1: this looks like a password").any_stderr();
    assert_eq!(fleet.json(&["releases"]).as_array().unwrap().len(), 1);
}

#[test]
fn the_files_of_a_release_are_closed_to_others_and_runs_work_in_a_directory_of_their_own() {
    let more = "before = [[\"sh\", \"hooks/mark.sh\", \"marked\"]]\nnot_on = \"days.txt\"";
    let Some(mut fleet) = Fleet::new(&job("a", ON_REQUEST, more)) else { return };
    fleet.file("a.rhai", "local::append(\"here\", \"x\");");
    fleet.file("hooks/mark.sh", "echo done > \"$1\"\n");
    fleet.file("days.txt", "2020-01-01\n");
    publish(&fleet, &[]).succeeds().stdout_has("4 files").any_stdout().any_stderr();
    follow(&mut fleet, "one", &[], &[]);
    fleet.until_known("a");
    fleet.command(&["trigger", "a", "--wait"]).succeeds().any_stdout().any_stderr();
    assert_eq!(fleet.read("state-one/work/here"), "x");
    assert_eq!(fleet.read("state-one/work/marked"), "done\n");
    let mut count = 0;
    let mut folders = vec![fleet.path("state-one/releases")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let bits = PermissionsExt::mode(&entry.metadata().unwrap().permissions());
            assert_eq!(bits & 0o077, 0, "{:?}", entry.path());
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                count += 1;
            }
        }
    }
    assert_eq!(count, 4);
    // What runs have written stays when the next release comes.
    fleet.file("a.rhai", "local::append(\"here\", \"y\");");
    publish(&fleet, &[]).succeeds().any_stdout().any_stderr();
    until_all_have(&fleet, 2);
    fleet.command(&["trigger", "a", "--wait"]).succeeds().any_stdout().any_stderr();
    assert_eq!(fleet.read("state-one/work/here"), "xy");
    fleet.stop_all();
}

#[test]
fn a_machine_with_a_jobs_file_of_its_own_takes_part_as_long_as_it_is_the_published_one() {
    let Some(mut fleet) = Fleet::new(&each_second("tick")) else { return };
    // Several are in progress at a time, so that each machine has some.
    fleet.file("tick.rhai", "sleep(3);");
    fleet.start("own", &[]);
    assert_eq!(fleet.leader(), "own");
    publish(&fleet, &[]).succeeds().any_stdout().any_stderr();
    follow(&mut fleet, "follows", &[], &[]);
    until_all_have(&fleet, 1);
    fleet.until(|run| run["machine"] == "own" && run["outcome"] == "done");
    fleet.until(|run| run["machine"] == "follows" && run["outcome"] == "done");
    // Published from elsewhere: the machine that has its own file does not lead any more.
    let jobs = fleet.read("portolan.toml");
    fleet.file("next.toml", &format!("# another\n{jobs}"));
    let program = fleet.program().args(["publish"]).args([fleet.path("next.toml")]);
    program.run().succeeds().any_stdout().any_stderr();
    let leads = wait::until(TIME_MAX, || Some(fleet.leader()).filter(|leader| leader == "follows"));
    assert!(leads.is_some());
    fleet.machine("own").until_stderr_has("fleet.other_release");
    thread::park_timeout(Duration::from_secs(LEASE));
    let last = fleet.runs().last().unwrap()["id"].as_i64().unwrap();
    let later =
        fleet.until(|run| run["id"].as_i64().unwrap() > last + 2 && run["outcome"] == "done");
    assert_eq!(later["machine"], "follows");
    fleet.stop_all();
    check_seconds(&fleet, "tick");
}
