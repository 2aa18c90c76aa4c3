//! The output of `export`, checked with the programs that read it, if they are installed.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::scheduler::{Scheduler, on_request};
use crate::support::server::say_skipped;

/// Runs a program that must succeed, and returns both its outputs; `None` if it is not installed.
fn ask(program: &str, words: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        say_skipped("an export", &format!("no {program} here"));
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(ended.status.success(), "{program} {words:?}: {said}\n{input}");
    Some(said)
}

/// Returns jobs of every kind, in a directory whose name needs quoting everywhere.
fn scheduler() -> Scheduler {
    let jobs = [
        ("plain", "15 3 * * *", "run_timeout = \"1h\""),
        ("a_b", "0 4 */2 * FRI-SUN", "timezone = \"America/New_York\""),
        ("a.b", "30 5 * JAN-march 0-5", "overlap = \"replace\"\njitter = \"5m\""),
        ("either", "0 0 13 * 5", "overlap = \"queue\""),
        ("often", "*/15 22-23,0-5 * * 7", "misfire = \"skip\""),
        ("named", "@weekly", ""),
        ("hashed", "H H(1-4)/2 H * *", ""),
        ("ours", "0 0 L * *", ""),
    ];
    let job = |(name, cron, more): (&str, &str, &str)| {
        on_request(name, more)
            .replace("0 0 29 2 *", cron)
            .replace(&format!("{name}.rhai"), "it's 5 % \\\"off\\\" $x.rhai")
    };
    let scheduler = Scheduler::new(&jobs.map(job).concat());
    scheduler.file("it's 5 % \"off\" $x.rhai", "");
    scheduler
}

fn verified(units: &[&Path]) {
    let units: Vec<_> = units.iter().map(|unit| unit.to_str().unwrap()).collect();
    let words = [&["verify", "--man=no"], &*units].concat();
    if let Some(said) = ask("systemd-analyze", &words, "") {
        assert_eq!(said, "", "{units:?}");
    }
}

#[test]
fn systemd_takes_the_service_and_the_timers() {
    let scheduler = scheduler();
    let service = scheduler.command(&["export", "systemd"]).succeeds();
    let text = service.stdout_text().replace("#LoadCredential=", "LoadCredential=");
    let text = text.replace("/etc/portolan/WWW_PASSWORD", "/etc/passwd");
    assert!(text.contains("\nLoadCredential="));
    scheduler.file("portolan.service", &text);
    drop(service.any_stdout().any_stderr());
    verified(&[&scheduler.path("portolan.service")]);

    let timers = scheduler.command(&["export", "systemd", "--timers"]).succeeds();
    assert!(timers.stderr_text().contains("`ours` is left out"));
    let mut units = Vec::new();
    for part in timers.stdout_text().split("# /etc/systemd/system/").skip(1) {
        let (name, unit) = part.split_once('\n').unwrap();
        scheduler.file(name, unit);
        units.push(scheduler.path(name));
        for calendar in unit.lines().filter_map(|line| line.strip_prefix("OnCalendar=")) {
            ask("systemd-analyze", &["calendar", calendar], "");
        }
    }
    assert_eq!(units.len(), 14);
    verified(&units.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    drop(timers.any_stdout().any_stderr());
}

#[test]
fn kubernetes_gets_yaml_with_a_name_of_its_own_for_each_job() {
    let scheduler = scheduler();
    let pods = scheduler.command(&["export", "kubernetes", "--image", "r/p:1 # x"]).succeeds();
    let read = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let text = pods.stdout_text().to_owned();
    assert!(pods.stderr_text().contains("`a.b`: it is called `a-b-2` there"));
    drop(pods.any_stdout().any_stderr());
    let has_yaml = Command::new("python3").args(["-c", "import yaml"]).output();
    if !has_yaml.is_ok_and(|ended| ended.status.success()) {
        say_skipped("an export", "no python3 with yaml here");
        return;
    }
    let all: serde_json::Value =
        serde_json::from_str(&ask("python3", &["-c", read], &text).unwrap()).unwrap();
    let found: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| {
            let spec = &pod["spec"];
            let container = &spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
            assert_eq!(container["image"], "r/p:1 # x");
            let script = container["args"][1].as_str().unwrap();
            assert!(script.ends_with("it's 5 % \"off\" $x.rhai"), "{script}");
            [&pod["metadata"]["name"], &spec["schedule"], &spec["timeZone"]]
                .map(|value| value.as_str().unwrap())
        })
        .collect();
    let zone = found[0][2];
    let wanted = [
        ["plain", "15 3 * * *", zone],
        ["a-b", "0 4 */2 * 0,5,6", "America/New_York"],
        ["a-b-2", "30 5 * 1-3 0-5", zone],
        ["either", "0 0 13 * 5", zone],
        ["often", "*/15 22-23,0-5 * * 0", zone],
        ["named", "0 0 * * 0", zone],
        // `H` becomes the values that it has for this name.
        ["hashed", "29 1-4/2 3 * *", zone],
    ];
    assert_eq!(found, wanted);
}

/// Returns a scheduler with a job that is run by its name, as it has arguments, and one of a script alone.
fn by_name() -> Scheduler {
    let scheduler =
        Scheduler::new(&(on_request("named", "args = [\"a day\"]") + &*on_request("bare", "")));
    scheduler.file("named.rhai", "print(args[0]);");
    scheduler.file("bare.rhai", "print(\"bare\");");
    scheduler
}

#[test]
fn a_line_of_the_crontab_runs_a_job_with_its_arguments_and_its_state() {
    let scheduler = by_name();
    let table = scheduler.command(&["export", "crontab"]).succeeds();
    let lines: Vec<_> = table
        .stdout_text()
        .lines()
        .filter(|line| line.contains(" run "))
        .map(str::to_owned)
        .collect();
    drop(table.any_stdout().any_stderr());
    for (line, said) in lines.iter().zip(["a day", "bare"]) {
        let command = line.splitn(6, ' ').last().unwrap();
        // No lock outside of the folder of the test.
        let (start, end) = command.split_once("flock -n ").unwrap();
        let command = format!("{start}{}", end.split_once(' ').unwrap().1);
        assert!(ask("sh", &["-c", &command], "").unwrap().contains(said), "{line}");
    }
    assert_eq!(lines.len(), 2);
    let runs: Vec<_> = scheduler.runs().iter().map(|run| run["outcome"].clone()).collect();
    assert!(runs.contains(&"done".into()), "{runs:?}");
}

#[test]
fn a_timer_runs_a_job_with_its_arguments_and_its_state() {
    let scheduler = by_name();
    let timers = scheduler.command(&["export", "systemd", "--timers"]).succeeds();
    let starts: Vec<_> =
        timers.stdout_text().lines().filter(|line| line.starts_with("ExecStart=")).collect();
    let path = |name: &str| scheduler.path(name).display().to_string();
    let ends = [
        format!("run --jobs {} --job named", path("portolan.toml")),
        format!("run {}", path("bare.rhai")),
    ];
    assert_eq!(starts.len(), 2);
    for (start, end) in starts.iter().zip(ends) {
        assert!(start.ends_with(&format!(" --state {} {end}", path("state"))), "{start} / {end}");
    }
    drop(timers.any_stdout().any_stderr());
}

#[test]
fn kubernetes_is_told_what_its_image_and_its_volumes_must_have() {
    let scheduler = by_name();
    let pods = scheduler.command(&["export", "kubernetes"]).succeeds();
    let (file, state) = (scheduler.path("portolan.toml"), scheduler.path("state"));
    let (file, state) = (file.display(), state.display());
    let text = pods.stdout_text();
    let args = format!("args: [\"run\", \"--jobs\", \"{file}\", \"--job\", \"named\"]\n");
    assert!(text.contains(&args), "{text}");
    let folder = format!("env: [{{name: PORTOLAN_STATE, value: \"{state}\"}}]\n");
    assert_eq!(text.matches(&folder).count(), 2, "{text}");
    let told = pods.stderr_text();
    assert_eq!(told.matches(&format!("the image must have the jobs file as {file}")).count(), 1);
    assert!(told.contains("lost: `named`: the image must have the jobs file"), "{told}");
    for job in ["named", "bare"] {
        assert!(told.contains(&format!("lost: `{job}`: the state in {state} ends with")), "{told}");
    }
    drop(pods.any_stdout().any_stderr());
}

#[test]
fn a_line_of_the_crontab_is_a_command_that_a_shell_reads() {
    let scheduler = scheduler();
    let table = scheduler.command(&["export", "crontab"]).succeeds();
    let lines: Vec<_> = table
        .stdout_text()
        .lines()
        .filter(|line| line.contains(" run "))
        .map(str::to_owned)
        .collect();
    drop(table.any_stdout().any_stderr());
    assert_eq!(lines.len(), 7);
    for line in lines {
        // cron removes the five fields, and reads `\%` as `%`.
        let command = line.splitn(6, ' ').last().unwrap();
        assert!(!command.replace("\\%", "").contains('%'), "{line}");
        let command = command.replace("\\%", "%");
        let (_, words) = command.rsplit_once(" run ").unwrap();
        let script = ask("sh", &["-c", &format!("printf %s {words}")], "").unwrap();
        assert!(fs::exists(scheduler.path(&script)).unwrap(), "{line}: {script}");
        ask("sh", &["-n", "-c", &command], "");
    }
}
