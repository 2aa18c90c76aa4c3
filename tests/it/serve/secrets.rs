//! A password, and a URL that is as secret as one, appear in no output or file of a scheduler.

use std::{fs, path::Path};

use super::{
    scheduler::{Scheduler, TIME_MAX, on_request},
    told::{Listener, fetch},
};
use crate::support::{rehearsal::Rehearsal, wait};

const CANARIES: [&str; 4] = ["canary-env-1a", "canary-job-2b", "canary-hook-3c", "canary-ping-4d"];

fn hides_all(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} stands in {what}:\n{text}");
    }
}

fn hidden_below(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            hidden_below(&path);
        } else {
            hides_all(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

#[test]
fn s65_no_secret_is_in_logs_history_metrics_errors_or_lists_of_processes() {
    let listener = Listener::start(2);
    let server = Rehearsal::start(&["reply=PASS:530 canary-job-2b is wrong*1"], false);
    let site = format!("ftp://tester@127.0.0.1:{}", server.site.port);
    let address = listener.address;
    // Nothing listens at the second address, so that its error is reported.
    let more = format!(
        "ping = \"http://127.0.0.1:1/canary-ping-4d\"\non_failure = {{ webhook = \"http://{address}/canary-hook-3c\" }}\n[job.connect]\npassword = \"canary-job-2b\""
    );
    let scheduler =
        Scheduler::new(&on_request("a", &more)).env("SITE", &site).env("TOKEN", "canary-env-1a");
    scheduler.file(
        "a.rhai",
        r#"sleep(1);
           print(secret("TOKEN"));
           log::warn(`a ${secret("TOKEN")}`);
           let site = ftp::connect(env("SITE"), #{ password: secret("TOKEN") });
           site.quote("SITE no " + secret("TOKEN"));
           fail("over " + secret("TOKEN"));"#,
    );
    let running = scheduler.serve(&["--metrics", "127.0.0.1:0", "--log-level", "debug"]).spawn();
    running.until_stderr_has("jobs, state in");
    for _ in 0..2 {
        drop(scheduler.command(&["trigger", "a"]).succeeds().any_stdout());
        let children =
            wait::until(TIME_MAX, || Some(scheduler.children()).filter(|all| !all.is_empty()));
        for child in children.unwrap() {
            let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            hides_all("a command line", &line);
        }
        wait::until(TIME_MAX, || scheduler.children().is_empty().then_some(())).unwrap();
    }
    listener.until(1);
    let runs = scheduler.until(|run| run["id"] == 2 && run["outcome"] == "failed");
    assert!(runs["error"].as_str().unwrap().contains("over ***"), "{runs}");
    wait::until(TIME_MAX, || {
        let whole = scheduler.show(&1.into());
        let all = whole["each_notice"].as_array().unwrap().clone();
        all.iter().all(|notice| notice["tries"].as_i64() > Some(0)).then_some(())
    })
    .unwrap();
    let said = running.stderr_text();
    assert!(said.contains("could not be told"), "{said}");
    let page = said.split("metrics at http://").nth(1).unwrap().split('/').next().unwrap();
    hides_all("metrics", fetch(page, "/metrics").as_bytes());
    for words in [
        &["--json", "runs"][..],
        &["runs"],
        &["--json", "show", "1"],
        &["show", "1"],
        &["show", "1", "--log"],
    ] {
        let ran = scheduler.command(words).succeeds();
        hides_all("what is shown", ran.stdout_text().as_bytes());
        drop(ran.any_stdout());
    }
    running.signal(rustix::process::Signal::TERM);
    let ran = running.wait().succeeds().any_stderr();
    hides_all("standard error", ran.stderr_text().as_bytes());
    hidden_below(&scheduler.state());
}
