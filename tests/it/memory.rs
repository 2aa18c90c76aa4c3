//! The state that runs of the program remember: the method that worked, in a state directory that several may use at
//! once.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, thread, time::Duration};

use rustix::process::Signal;

use crate::support::{
    program::{Portolan, Ran},
    server::{Kind, Options, RealServer, Tls},
};

/// A script that fetches a file in active mode, and prints the attempts.
const SCRIPT: &str = r#"
let options = #{ password: secret("SITE_PASSWORD"), mode: "active" };
let site = ftp::connect(env("SITE"), options);
site.read("/a.txt");
for attempt in site.attempts { print(`${attempt.step} ${attempt.worked}`); }
"#;

const FELL_BACK: &str = "eprt false\nport false\nepsv true\n";
const AT_ONCE: &str = "epsv true\n";

/// Starts a server that opens no data connections.
fn passive_server() -> Option<RealServer> {
    let options = Options { no_active: true, ..Options::default() };
    let server = RealServer::start(Kind::Vsftpd, &options)?;
    server.file("a.txt", "bytes");
    Some(server)
}

fn program(server: &RealServer, state: &Path) -> Portolan {
    Portolan::new().server(server).env("PORTOLAN_STATE", state).script(SCRIPT)
}

fn tries(ran: Ran, wanted: &str) -> Ran {
    ran.succeeds().stdout(wanted).any_stderr()
}

#[test]
fn the_second_run_begins_where_the_first_one_ended() {
    let Some(server) = passive_server() else { return };
    let state = tempfile::tempdir().unwrap();
    tries(program(&server, state.path()).run(), FELL_BACK)
        .stderr_has("fell back from active to passive on 127.0.0.1");
    tries(program(&server, state.path()).run(), AT_ONCE)
        .stderr_has("127.0.0.1: passive mode at once, since active mode failed in an earlier run\n")
        .never_says("fell back");
    for _ in 0..2 {
        tries(program(&server, state.path()).args(["--no-memory"]).run(), FELL_BACK);
    }
    // The one-line commands share it.
    let one_liner = Portolan::new()
        .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
        .args(["ls", &server.url(), "--set", "mode=active", "--state"])
        .args([state.path()]);
    one_liner.run().succeeds().any_stdout().stderr_has("passive mode at once");
}

#[test]
fn a_race_is_won_by_the_mode_that_the_server_has_and_is_run_once() {
    let Some(server) = passive_server() else { return };
    let state = tempfile::tempdir().unwrap();
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD"), mode: "race" });
        print(`${site.mode}, then "${site.route}": ${site.read("/a.txt")}`);
    "#;
    for expected in ["race, then \"epsv\": bytes\n", "race, then \"\": bytes\n"] {
        let ran = program(&server, state.path()).script(script).run();
        ran.stdout(expected).any_stderr().never_says("fell back");
    }
}

/// Checks that ProFTPD, which issues no ticket for an upload under TLS 1.3 and refuses the next data connection for
/// that, does so only once.
#[test]
fn the_second_run_speaks_the_tls_that_the_first_one_ended_with() {
    let options =
        Options { tls: Tls::Explicit, require_tls: true, tls_reuse: true, ..Options::default() };
    let Some(server) = RealServer::start(Kind::Proftpd, &options) else { return };
    let state = tempfile::tempdir().unwrap();
    let script = r#"
        let options = #{ password: secret("SITE_PASSWORD"), ca_file: env("SITE_CA") };
        let site = ftp::connect(env("SITE"), options);
        for number in 0..4 { site.write(`/${number}`, "bytes"); site.names("/"); }
    "#;
    for connections in [2, 1] {
        let ran = Portolan::new()
            .server(&server)
            .env("PORTOLAN_STATE", state.path())
            .script(script)
            .args(["--json"])
            .run()
            .succeeds()
            .any_stderr();
        let found = ran.stdout_text().matches(r#""event":"connected""#).count();
        assert_eq!(found, connections, "{}", ran.stdout_text());
        drop(ran.any_stdout());
    }
}

#[test]
fn a_rehearsal_neither_knows_nor_remembers() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("none");
    let script = r#"
        let site = ftp::connect("ftp://ftp.example.org", #{ mode: "active" });
        site.names("/");
        print(site.attempts.len());
    "#;
    for _ in 0..2 {
        Portolan::new()
            .file("script.rhai", script)
            .args(["rehearse", "script.rhai", "--fault", "active-425", "--state"])
            .args([&folder])
            .run()
            .succeeds()
            .stdout("3\n")
            .any_stderr();
    }
    assert!(!folder.exists());
}

#[test]
fn without_a_word_state_is_kept_in_the_home_folder_if_there_is_one() {
    let Some(server) = passive_server() else { return };
    let home = tempfile::tempdir().unwrap();
    let run = |home: &Path| Portolan::new().server(&server).env("HOME", home).script(SCRIPT).run();
    tries(run(home.path()), FELL_BACK);
    tries(run(home.path()), AT_ONCE);
    let folder = home.path().join(".local/state/portolan");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for nowhere in ["", "/proc/nowhere"] {
        tries(run(Path::new(nowhere)), FELL_BACK).never_says("remembered");
    }
    let told = Portolan::new()
        .server(&server)
        .env("HOME", "/proc/nowhere")
        .script(SCRIPT)
        .args(["--log-level", "debug"]);
    tries(told.run(), FELL_BACK)
        .stderr_has("nothing is remembered: /proc/nowhere/.local/state/portolan: ");
}

#[test]
fn a_state_folder_that_is_named_and_cannot_be_made_is_an_error() {
    Portolan::new()
        .file("state", "a file")
        .args(["ls", "ftp://127.0.0.1:1", "--state", "state/below"])
        .run()
        .fails_with(2)
        .stderr("error: state/below: cannot use the state folder: not a directory\n");
}

#[test]
fn a_damaged_store_is_a_warning_and_the_run_goes_on() {
    let Some(server) = passive_server() else { return };
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("portolan.db"), "nonsense ".repeat(1000)).unwrap();
    tries(program(&server, state.path()).run(), FELL_BACK)
        .stderr_has("warning: nothing is remembered in this run: ")
        .stderr_has("it is damaged; move it away, and the next run begins a new one\n");
}

#[test]
fn runs_at_the_same_time_share_one_store() {
    let Some(server) = passive_server() else { return };
    let state = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let programs: Vec<_> = (0..6).map(|_| program(&server, state.path())).collect();
        let runs: Vec<_> = programs.iter().map(Portolan::spawn).collect();
        for run in runs {
            run.wait().succeeds().any_stdout().any_stderr().never_says("warning");
        }
        tries(program(&server, state.path()).run(), AT_ONCE);
        for file in ["portolan.db", "portolan.db-wal", "portolan.db-shm"] {
            fs::remove_file(state.path().join(file)).ok();
        }
    }
}

#[test]
fn a_run_that_is_killed_leaves_a_store_that_the_next_one_can_use() {
    let Some(server) = passive_server() else { return };
    let state = tempfile::tempdir().unwrap();
    // From before the database is created until after it is written: a run takes some 100 ms.
    for wait_ms in (0..160).step_by(8) {
        let run = program(&server, state.path()).spawn();
        thread::park_timeout(Duration::from_millis(wait_ms));
        run.signal(Signal::KILL);
        drop(run);
        let ran = program(&server, state.path()).run();
        ran.succeeds().any_stdout().any_stderr().never_says("warning");
        tries(program(&server, state.path()).run(), AT_ONCE);
        if wait_ms % 16 == 0 {
            fs::remove_dir_all(state.path()).unwrap();
        }
    }
}

/// Returns the outcomes of its runs from the history, the newest first.
fn outcomes(state: &Path) -> Vec<String> {
    let runs = Portolan::new().env("PORTOLAN_STATE", state).args(["--json", "runs"]);
    let ran = runs.run().succeeds();
    let all: serde_json::Value = serde_json::from_str(ran.stdout_text()).unwrap();
    drop(ran.any_stdout());
    let outcome = |run: &serde_json::Value| run["outcome"].as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(outcome).collect()
}

#[test]
fn a_run_by_hand_is_in_history_while_it_goes_on_and_after_it_was_killed() {
    let state = tempfile::tempdir().unwrap();
    let program = Portolan::new()
        .env("PORTOLAN_STATE", state.path())
        .script("print(\"on\"); if args.len() == 0 { sleep(60); }");
    let running = program.spawn();
    running.until_stdout_has("on");
    assert_eq!(outcomes(state.path()), ["running"]);
    // Another script is not affected.
    program.args(["short"]).run().succeeds().stdout("on\n");
    assert_eq!(outcomes(state.path()), ["done", "running"]);
    running.signal(Signal::KILL);
    drop(running.wait().any_end().any_stdout().any_stderr());
    assert_eq!(outcomes(state.path()), ["done", "interrupted"]);
    let show = Portolan::new().env("PORTOLAN_STATE", state.path()).args(["show", "1"]);
    show.run().succeeds().stdout_has("it was killed, or the machine stopped").any_stdout().forget();
    let left = fs::read_dir(state.path()).unwrap();
    let left = left
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".lock"));
    assert_eq!(left.count(), 0, "no lock of a run stays");
}

#[test]
fn a_database_that_is_gone_beside_logs_of_runs_is_reported() {
    for (log, is_cut) in [("nightly/41.log", false), ("a b/7.log", true)] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let program = || Portolan::new().env("PORTOLAN_STATE", state);
        program().script("print(1);").run().succeeds().stdout("1\n");
        let path = state.join("logs").join(log);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "it went well\n").unwrap();
        // What is there has lost nothing.
        program().args(["runs"]).run().succeeds().any_stdout();
        let database = state.join("portolan.db");
        fs::remove_file(&database).unwrap();
        if is_cut {
            fs::write(&database, "").unwrap();
            fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let last: i64 = log.rsplit('/').next().unwrap().trim_end_matches(".log").parse().unwrap();
        program()
            .args(["runs"])
            .run()
            .succeeds()
            .any_stdout()
            .stderr_has("warning: ")
            .stderr_has(&format!("runs up to {last} have left logs"));
        program().script("print(2);").run().succeeds().stdout("2\n");
        let ran = program().args(["--json", "runs"]).run().succeeds().any_stderr();
        let text = ran.stdout_text().to_owned();
        drop(ran.any_stdout());
        assert!(text.contains(&format!("\"id\":{}", last + 1)), "{text}");
    }
}
