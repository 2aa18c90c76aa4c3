//! Output that cannot be written is a failure of every command; a reader that has closed the pipe is not.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{program::leaks::assert_kept, rehearsal::Rehearsal, wait};

/// The commands that write no result to standard output: they make files, or report in the log.
const WITHOUT_RESULTS: [&str; 6] = ["chmod", "man", "mkdir", "mv", "rm", "serve"];

const JOBS: &str = "\
[runner]
state = \"state\"
[[job]]
name = \"a\"
script = \"print.rhai\"
cron = \"0 3 * * *\"
timezone = \"UTC\"
";

const RULES: &str = "\
nat::ruleset(\"web\").masquerade(#{ out: \"wan0\", source: \"192.168.50.0/24\" });
";

const RECORDED: &str = "\
{\"event\":\"recording\",\"version\":1,\"portolan\":\"0\",\"command\":\"run\"}
{\"event\":\"ended\",\"exit\":0}
";

/// A line of the table: the command line, its input, and the exit code on success.
struct Row {
    line: &'static str,
    stdin: &'static str,
    code: i32,
}

const fn row(line: &'static str) -> Row {
    Row { line, stdin: "", code: 0 }
}

/// At least one line for every command; URL is the server, FRESH a directory that does not exist yet.
const ROWS: &[Row] = &[
    row("--help"),
    row("--version"),
    row("help mirror"),
    row("ls --help"),
    row("run print.rhai"),
    row("run --json print.rhai"),
    row("rehearse print.rhai"),
    row("rehearse --json print.rhai"),
    row("rehearse --list-faults"),
    row("run --record FRESH print.rhai"),
    row("replay recorded.jsonl print.rhai"),
    row("replay --json recorded.jsonl print.rhai"),
    row("--state state runs"),
    row("--state state runs --json"),
    row("--state state show 1"),
    row("--state state show 1 --json"),
    row("jobs"),
    row("jobs --json"),
    row("trigger a --json"),
    row("pause a"),
    row("pause a --json"),
    row("resume a"),
    row("machines --help"),
    row("publish --dry-run"),
    row("publish --dry-run --json"),
    row("releases --help"),
    row("notify digest --dry-run"),
    row("token add alice --role operate"),
    row("token add ci --json"),
    row("token list --json"),
    row("check --json print.rhai portolan.toml"),
    row("doctor"),
    row("doctor --json URL/"),
    row("ls URL/"),
    row("prune URL/ --keep-last 0 --dry-run"),
    row("prune URL/ --keep-last 100 --json"),
    row("ls --json URL/"),
    row("get --json URL/a.txt FRESH"),
    row("get URL/a.txt -"),
    row("cat URL/a.txt"),
    row("find URL/"),
    row("find --json URL/"),
    row("du URL/"),
    row("du --json URL/"),
    row("hash URL/a.txt"),
    row("hash --json URL/a.txt"),
    row("put --json print.rhai URL/new.txt"),
    row("mirror URL/ FRESH"),
    row("mirror --json URL/ FRESH"),
    row("mirror --dry-run URL/ FRESH"),
    row("mirror --dry-run --json URL/ FRESH"),
    row("mirror --explain a.txt URL/ FRESH"),
    row("deploy --dry-run . URL/"),
    row("deploy --keep 1 --include print.rhai . URL/"),
    row("deploy --json --include print.rhai . URL/"),
    row("rollback --dry-run URL/"),
    row("rollback --list URL/"),
    row("rollback --dry-run --json URL/"),
    Row { line: "nat plan --state state rules.rhai", stdin: "", code: 2 },
    row("nat export rules.rhai"),
    row("nat suggest --side server --format ufw"),
    row("nat suggest --json"),
    row("nat status rules.rhai"),
    row("nat status --json rules.rhai"),
    Row { line: "shell URL/", stdin: "pwd\n", code: 0 },
    row("site list"),
    row("site list --json"),
    row("site show a"),
    row("site show a --json"),
    row("site add b URL/ --file FRESH"),
    row("next"),
    row("next --json"),
    row("next --cron 5_4_*_*_*"),
    row("why a --at 2026-01-01T03:00:00Z"),
    row("why a --json --at 2026-01-01T03:00:00Z"),
    row("simulate --from 2026-01-01T00:00:00Z --to 2026-01-03T00:00:00Z"),
    row("simulate --json --from 2026-01-01T00:00:00Z --to 2026-01-03T00:00:00Z"),
    row("export systemd"),
    row("export crontab"),
    row("init FRESH"),
    row("explain"),
    row("functions"),
    row("functions get"),
    row("functions --json"),
    row("functions --markdown"),
    row("functions --definitions"),
    row("completions bash"),
];

/// Returns a directory with all files of the table, and a run in its history.
fn furnished() -> TempDir {
    let folder = tempfile::Builder::new().prefix("portolan-output-").tempdir().unwrap();
    fs::write(folder.path().join("portolan.toml"), JOBS).unwrap();
    fs::write(folder.path().join("print.rhai"), "print(\"one line\");").unwrap();
    fs::write(folder.path().join("rules.rhai"), RULES).unwrap();
    fs::write(folder.path().join("recorded.jsonl"), RECORDED).unwrap();
    fs::write(folder.path().join("sites.toml"), "[site.a]\nurl = \"ftp://h\"\n").unwrap();
    let ran = play(&row("--state state run print.rhai"), folder.path(), "", Stdio::null());
    assert!(ran.status.success(), "{ran:?}");
    folder
}

/// The password of the server.
const PASSWORD: &str = "open+sesame-21";

fn play(row: &Row, folder: &Path, url: &str, stdout: Stdio) -> Output {
    let fresh = folder.join("fresh");
    if fresh.is_dir() {
        fs::remove_dir_all(&fresh).unwrap();
    } else if fresh.exists() {
        fs::remove_file(&fresh).unwrap();
    }
    let words = row.line.split(' ').map(|word| {
        word.replace("URL", url).replace("FRESH", fresh.to_str().unwrap()).replace('_', " ")
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_portolan"))
        .args(words)
        .current_dir(folder)
        .env("HOME", folder.join("home"))
        .env("PORTOLAN_PASSWORD", PASSWORD)
        .env("TZ", "UTC")
        // That of the jobs file; of commands without one it is that of root otherwise, which is this host's own.
        .env("PORTOLAN_STATE", folder.join("state"))
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(row.stdin.as_bytes()).unwrap();
    let ran = child.wait_with_output().unwrap();
    assert_kept(&[PASSWORD], &ran, folder);
    ran
}

/// Runs every row with the standard output that `stdout` makes, and passes the result to `check`.
fn each_row(stdout: impl Fn() -> Stdio, check: impl Fn(&Row, &Output, &str)) {
    let server = Rehearsal::start(&[], false);
    let url = format!("ftp://tester@{}", server.server.address());
    for row in ROWS {
        let folder = furnished();
        server.file("a.txt", "text");
        let ran = play(row, folder.path(), &url, stdout());
        check(row, &ran, &String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn every_command_has_a_row_in_the_table_of_output() {
    let folder = furnished();
    let help = play(&row("--help"), folder.path(), "", Stdio::piped());
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().lines();
    let commands = commands.take_while(|line| !line.trim().is_empty());
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names: Vec<_> = commands
        .filter(is_name)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| !WITHOUT_RESULTS.contains(name))
        .collect();
    assert!(names.len() > 20, "{help}");
    for name in names {
        let has_row = |row: &Row| row.line.split(' ').any(|word| word == name);
        assert!(ROWS.iter().any(has_row), "no row for {name}");
    }
}

#[test]
fn output_to_a_full_disk_is_exit_1_and_said() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    each_row(full, |row, ran, said| {
        assert_eq!(ran.status.code(), Some(1), "{}: {said}", row.line);
        let words = "error: standard output: cannot write: no space left on device\n";
        assert_eq!(said.matches(words).count(), 1, "{}: {said}", row.line);
    });
}

#[test]
fn a_log_of_a_service_on_a_full_disk_is_exit_1() {
    let folder = furnished();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_portolan"))
        .arg("serve")
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env_remove("PORTOLAN_STATE")
        .stdin(Stdio::null())
        .stderr(full)
        .spawn()
        .unwrap();
    // It is ready once it handles signals.
    let is_ready = || {
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).ok()?;
        String::from_utf8_lossy(&bytes[..count]).contains("READY=1").then_some(())
    };
    assert!(wait::until(Duration::from_secs(30), is_ready).is_some());
    let pid = serve.id();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(serve.wait().unwrap().code(), Some(1));
}

#[test]
fn output_is_no_failure_whether_it_is_read_or_not() {
    each_row(Stdio::piped, |row, ran, said| {
        assert_eq!(ran.status.code(), Some(row.code), "{}: {said}", row.line);
        assert!(!ran.stdout.is_empty(), "{} writes nothing: {said}", row.line);
    });
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    each_row(gone, |row, ran, said| {
        assert_eq!(ran.status.code(), Some(row.code), "{}: {said}", row.line);
        assert!(!said.contains("standard output"), "{}: {said}", row.line);
    });
}
