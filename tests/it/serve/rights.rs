//! The ownership of the files that a scheduler trusts and writes, and the environment of its commands.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        process::ExitStatusExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::{program::Portolan, server::say_skipped, wait};

/// The user id of `nobody`: another user than the one that runs the tests.
const NOBODY: u32 = 65534;

/// A change to its files.
type Change = fn(&Scheduler);

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        say_skipped("files of other users", "only root can make some");
    }
    is_root
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

#[track_caller]
fn refuses(scheduler: &Scheduler, words: &str) {
    scheduler.serve(&[]).run().fails_with(5).any_stdout().stderr_has(words).any_files();
}

#[test]
fn b4_a_scheduler_refuses_a_state_folder_or_jobs_file_that_others_can_change() {
    if !is_root() {
        return;
    }
    let jobs = on_request("a", "");
    let table: [(Change, &str); 9] = [
        (|it| give(&it.state()), "belongs to another user (65534)"),
        (|it| mode(&it.state(), 0o777), "everybody may write it (mode 0777)"),
        (|it| mode(&it.state(), 0o1777), "everybody may write it (mode 1777)"),
        (|it| mode(&it.state(), 0o770), "others of its group (0) may write it"),
        (|it| give(&it.path("portolan.toml")), "belongs to another user (65534)"),
        (|it| mode(&it.path("portolan.toml"), 0o666), "everybody may write it (mode 0666)"),
        (|it| mode(&it.path("portolan.toml"), 0o664), "others of its group (0) may write it"),
        (|it| mode(&it.path(""), 0o777), "everybody may swap what is in this folder"),
        (|it| give(&it.path("")), "this folder belongs to another user (65534)"),
    ];
    for (change, words) in table {
        let scheduler = Scheduler::new(&jobs);
        scheduler.file("a.rhai", "");
        fs::create_dir(scheduler.state()).unwrap();
        mode(&scheduler.state(), 0o700);
        change(&scheduler);
        refuses(&scheduler, words);
    }
}

#[test]
fn b4_no_link_in_the_state_folder_is_written_through() {
    for name in ["serve.lock", "runs.lock", "portolan.db", "portolan.db-wal", "portolan.db-shm"] {
        let scheduler = Scheduler::new(&on_request("a", ""));
        scheduler.file("a.rhai", "");
        scheduler.file("victim", "all of it\n");
        fs::create_dir(scheduler.state()).unwrap();
        mode(&scheduler.state(), 0o700);
        symlink(scheduler.path("victim"), scheduler.state().join(name)).unwrap();
        refuses(&scheduler, "it is a link, and is not followed");
        assert_eq!(scheduler.read("victim"), "all of it\n", "{name}");
    }
    let scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "");
    scheduler.file("victim", "all of it\n");
    fs::create_dir(scheduler.state()).unwrap();
    mode(&scheduler.state(), 0o700);
    fs::hard_link(scheduler.path("victim"), scheduler.state().join("serve.lock")).unwrap();
    refuses(&scheduler, "has a second name elsewhere");
    assert_eq!(scheduler.read("victim"), "all of it\n");
}

#[test]
fn b4_a_run_of_a_scheduler_refuses_a_script_or_import_that_others_can_change() {
    if !is_root() {
        return;
    }
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "import \"lib/b\" as b; b::f();");
    scheduler.file("lib/b.rhai", "fn f() { print(\"done\"); }");
    scheduler.start();
    let outcome = |scheduler: &Scheduler| {
        drop(scheduler.command(&["trigger", "a", "--wait"]).any_code().any_stdout());
        let run = scheduler.runs().pop().unwrap();
        (run["outcome"].as_str().unwrap().to_owned(), run["error"].to_string())
    };
    assert_eq!(outcome(&scheduler).0, "done");
    let (script, import) = (scheduler.path("a.rhai"), scheduler.path("lib/b.rhai"));
    for (path, change) in [(&script, 0), (&import, 0), (&script, 0o666), (&import, 0o602)] {
        if change == 0 {
            give(path);
        } else {
            mode(path, change);
        }
        let (word, error) = outcome(&scheduler);
        assert_eq!(word, "failed", "{}: {error}", path.display());
        assert!(error.contains("can change it") || error.contains("everybody may"), "{error}");
        chown(path, Some(0), Some(0)).unwrap();
        mode(path, 0o644);
        assert_eq!(outcome(&scheduler).0, "done");
    }
    // A jobs file that is replaced while it runs is not accepted either.
    let (new, file) = (scheduler.path("new"), scheduler.path("portolan.toml"));
    fs::copy(&file, &new).unwrap();
    give(&new);
    fs::rename(new, file).unwrap();
    scheduler.running().until_stderr_has("belongs to another user");
    scheduler.stop();
}

#[test]
fn a_script_of_another_user_that_is_run_by_hand_is_warned_about_and_one_of_anybody_refused() {
    if !is_root() {
        return;
    }
    let portolan = Portolan::new().script("print(1);");
    let script = portolan.folder().join("script.rhai");
    portolan.run().succeeds().stdout("1\n");
    mode(&script, 0o666);
    let open = "warning: script.rhai: everybody may write it (mode 0666): `chmod o-w` it\n";
    portolan.run().succeeds().stdout("1\n").stderr(open);
    mode(&script, 0o644);
    give(&script);
    let foreign = "warning: script.rhai: it belongs to another user (65534), who can change it\n";
    portolan.run().succeeds().stdout("1\n").stderr(foreign);
    Portolan::new().file("a.rhai", "print(1);").args(["check", "a.rhai"]).run().any_stderr();
    mode(&script, 0o646);
    portolan.run().fails_with(2).stderr_has("everybody may write it (mode 0646)");
    let own = Portolan::new().args(["--state", "state"]).script("print(1);");
    fs::create_dir(own.folder().join("state")).unwrap();
    mode(&own.folder().join("state"), 0o777);
    own.run().fails_with(2).any_stdout().stderr_has("everybody may write it (mode 0777)");
}

#[test]
fn no_dump_of_the_memory_is_left_by_a_process_that_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.rhai"), "print(\"up\"); sleep(60);").unwrap();
    let program = env!("CARGO_BIN_EXE_portolan");
    for command in ["run a.rhai", "rehearse a.rhai"] {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -c unlimited 2>/dev/null; exec {program} {command}")])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut up = [0; 2];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut up).unwrap();
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.signal(), status.core_dumped()), (Some(6), false), "{command}");
    }
}

#[test]
fn a_command_of_a_notice_has_the_facts_in_its_environment_and_none_of_the_secrets_there() {
    let more =
        "on_failure = { command = [\"sh\", \"-c\", \"env >env.txt.new; mv env.txt.new env.txt\"] }";
    let mut scheduler = Scheduler::new(&on_request("a", more))
        .env("PORTOLAN_PASSWORD", "canary-1")
        .env("SITE_TOKEN", "canary-2")
        .env("AWS_SECRET_ACCESS_KEY", "canary-3")
        .env("LANG", "C.UTF-8");
    scheduler.file("a.rhai", "fail(\"over\");");
    scheduler.start();
    drop(scheduler.command(&["trigger", "a", "--wait"]).any_code().any_stdout());
    let path = scheduler.path("env.txt");
    let text = wait::until(TIME_MAX, || fs::read_to_string(&path).ok()).unwrap();
    assert!(!text.contains("canary"), "{text}");
    for line in ["PORTOLAN_JOB=a", "PORTOLAN_OUTCOME=failed", "PATH=", "HOME=", "LANG=C.UTF-8"] {
        assert!(text.lines().any(|one| one.starts_with(line)), "{line} is not in\n{text}");
    }
    scheduler.stop();
}
