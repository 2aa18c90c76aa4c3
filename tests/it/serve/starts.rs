//! The files that `init` writes and the output of `export` can be used unchanged.

use std::fs;

use portolan::schedule::{jobs, zone::Zones};

use super::scheduler::{Scheduler, on_request};
use crate::support::program::Portolan;

#[test]
fn what_init_lays_down_passes_check_and_rehearse_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new");
    let here = |words: &[&str]| Portolan::new().args(words.iter().copied());
    let laid = here(&["init"]).args([&root]).run().succeeds();
    let said = laid.stderr_text().to_owned();
    let steps: Vec<_> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("portolan "))
        .map(|line| line.split(" # ").next().unwrap().trim().to_owned())
        .collect();
    assert!(said.contains(&format!("  cd {}\n", root.display())), "{said}");
    let base = Portolan::new();
    drop(base.clone().args(["init"]).run().succeeds().any_stdout().any_stderr().any_files());
    drop(laid.stdout_has("portolan.toml").any_stderr());
    // Each step but the last, which does not end, does what it says.
    assert_eq!(steps.last().map(String::as_str), Some("serve"));
    for step in steps.iter().take(steps.len() - 1) {
        let ran = base.clone().args(step.split(' ')).run();
        drop(ran.succeeds().any_stdout().any_stderr().any_files());
    }
    let mut scripts = 0;
    for entry in fs::read_dir(root.join("scripts")).unwrap().flatten() {
        let script = entry.path();
        drop(here(&["check"]).args([&script]).run().succeeds().stderr_has("nothing wrong"));
        drop(
            here(&["rehearse"])
                .args([&script])
                .run()
                .succeeds()
                .any_stdout()
                .any_stderr()
                .any_files(),
        );
        scripts += 1;
    }
    assert!(scripts >= 2);
    let now = jiff::Timestamp::now();
    let read = jobs::read(&root.join("portolan.toml"), &Zones::bundled(), now).unwrap();
    assert!(read.findings.is_empty() && read.jobs.is_some(), "{:?}", read.findings);
    let before = fs::read(root.join("portolan.toml")).unwrap();
    drop(here(&["init"]).args([&root]).run().fails_with(2).stderr_has("is there already"));
    assert_eq!(fs::read(root.join("portolan.toml")).unwrap(), before);
}

#[test]
fn exports_say_what_is_lost() {
    let odd = on_request("odd", "").replace("0 0 29 2 *", "*/10 * * * * *");
    let plain = on_request("plain", "overlap = \"queue\"\nafter = [\"odd\"]");
    let jobs = [plain, odd].concat();
    let scheduler = Scheduler::new(&jobs);
    scheduler.file("plain.rhai", "");
    scheduler.file("odd.rhai", "");
    let export = |words: &[&str]| scheduler.command(&[&["export"], words].concat()).succeeds();
    drop(export(&["systemd"]).stdout_has("Type=notify").any_stderr());
    let service = export(&["systemd"]);
    for line in ["WatchdogSec=", "LoadCredential", "ExecStart=", "KillMode=mixed", "Restart="] {
        assert!(service.stdout_text().contains(line), "{}", service.stdout_text());
    }
    drop(service.any_stdout().any_stderr());
    drop(export(&["crontab"]).stdout_has("0 0 29 2 *").stderr_has("`odd` is left out"));
    let pods = export(&["kubernetes"]).stdout_has("kind: CronJob").stderr_has("`after`");
    drop(pods);
    drop(
        export(&["systemd", "--timers"])
            .stdout_has("OnCalendar=*-02-29 00:00:00")
            .stderr_has("lost"),
    );
}
