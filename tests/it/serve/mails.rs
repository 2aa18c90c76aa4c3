//! Mail of the scheduler, to a real mail server with TLS and a login.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use serde_json::Value;

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::{mail::MailServer, rehearsal::Rehearsal, wait};

/// Puts a secret into the folder of secrets.
pub(super) fn secret(scheduler: &Scheduler, name: &str, text: &str) {
    use std::io::Write;
    fs::create_dir_all(scheduler.path("secrets")).unwrap();
    let mut file = fs::OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600);
    let mut file = file.open(scheduler.path("secrets").join(name)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub(super) fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// Checks that no file below a folder has any of these texts.
pub(super) fn hidden_below(folder: &Path, canaries: &[&str]) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            hidden_below(&path, canaries);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for canary in canaries {
            assert!(!text.contains(canary), "{canary} stands in {}", path.display());
        }
    }
}

/// Returns `[mail]` for a server, and a job that sends mail to `to`.
fn jobs(server: &MailServer, tls: &str, to: &str) -> String {
    let (ca, port) = (server.ca().display(), server.port);
    let mail = format!(
        "[mail]\nsmtp = \"localhost:{port}\"\ntls = \"{tls}\"\nuser = \"portolan\"\npassword = \"secret:MAIL\"\n\
         from = \"portolan <portolan@example.com>\"\nca_file = \"{ca}\"\n"
    );
    let job = format!(
        "description = \"Nightly copy\"\non_failure = {{ mail = {to} }}\non_success = {{ mail = {to} }}"
    );
    format!("{mail}{}", on_request("a", &job))
}

/// Waits until all notifications of a run have been tried, and returns them.
fn tried(scheduler: &Scheduler, run: i64) -> Vec<Value> {
    let found = wait::until(TIME_MAX, || {
        let whole = scheduler.show(&run.into());
        let all = whole.get("each_notice")?.as_array()?.clone();
        let is_tried = |notice: &Value| notice.get("tries").and_then(Value::as_i64) > Some(0);
        Some(all).filter(|all| !all.is_empty() && all.iter().all(is_tried))
    });
    found.unwrap_or_else(|| panic!("{:#?}", scheduler.show(&run.into())))
}

fn trigger(scheduler: &Scheduler) {
    drop(scheduler.command(&["trigger", "a", "--wait"]).any_code().any_stdout());
}

#[test]
fn a_failure_arrives_by_mail_over_tls_with_what_a_person_needs() {
    for tls in ["starttls", "implicit"] {
        let Some(server) = MailServer::start(tls) else { return };
        let ftp = Rehearsal::start(&["reply=PASS:530 Anna is on holiday*1"], false);
        let site = format!("ftp://tester@127.0.0.1:{}", ftp.site.port);
        let jobs = jobs(&server, tls, "[\"secret:OPS\", \"Team <team@example.com>\"]");
        let jobs = format!("page_url = \"https://jobs.example.com/\"\n{jobs}");
        let mut scheduler = Scheduler::new(&jobs).env("SITE", &site);
        secret(&scheduler, "MAIL", MailServer::PASSWORD);
        secret(&scheduler, "OPS", "canary-ops@example.com\n");
        scheduler.file(
            "a.rhai",
            "print(\"größere Wörter\"); ftp::connect(env(\"SITE\"), #{ password: \"open+sesame-21\" });",
        );
        scheduler.start();
        trigger(&scheduler);
        let mail = server.until(|_| true);
        let host = host();
        assert_eq!(mail["subject"], format!("[portolan] a failed on {host}"));
        assert_eq!(mail["to"], serde_json::json!(["canary-ops@example.com", "team@example.com"]));
        assert_eq!((&mail["tls"], &mail["login"]), (&true.into(), &true.into()));
        assert_eq!(mail["sender"], "portolan <portolan@example.com>");
        assert_eq!(mail["auto"], "auto-generated");
        let text = mail["text"].as_str().unwrap();
        for part in [
            "530 Anna is on holiday",
            "Nightly copy",
            "größere Wörter",
            "https://jobs.example.com/runs/1",
            "portolan show 1",
            &host,
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(tried(&scheduler, 1).iter().all(|notice| notice["outcome"] == "told"));
        // It is told when it has recovered.
        scheduler.file("a.rhai", "");
        trigger(&scheduler);
        server.until(|mail| mail["subject"] == format!("[portolan] a succeeded on {host}"));
        assert_eq!(server.mails().len(), 2);
        let said = scheduler.stop();
        let canaries = [MailServer::PASSWORD, "canary-ops"];
        hidden_below(&scheduler.state(), &canaries);
        assert!(canaries.iter().all(|canary| !said.stderr_text().contains(canary)));
    }
}

#[test]
fn a_mail_that_is_refused_is_due_again_with_the_words_of_the_server() {
    let Some(server) = MailServer::start("starttls") else { return };
    let good = jobs(&server, "starttls", "\"unknown@example.com\"");
    let ca = format!("ca_file = \"{}\"\n", server.ca().display());
    for (jobs, password, wanted) in [
        (good.clone(), MailServer::PASSWORD, "550"),
        (good.clone(), "canary-wrong-7y", "535"),
        (good.replace(&ca, ""), MailServer::PASSWORD, "ertificate"),
        (
            good.replace(&format!("localhost:{}", server.port), "localhost:1"),
            MailServer::PASSWORD,
            "refused",
        ),
    ] {
        let mut scheduler = Scheduler::new(&jobs);
        secret(&scheduler, "MAIL", password);
        scheduler.file("a.rhai", "fail(\"no good\");");
        scheduler.start();
        trigger(&scheduler);
        let notices = tried(&scheduler, 1);
        let [notice] = &notices[..] else { panic!("{notices:?}") };
        assert_eq!((&notice["channel"], &notice["outcome"]), (&"mail".into(), &"due".into()));
        let error = notice["error"].as_str().unwrap();
        assert!(error.contains(wanted), "{wanted}: {error}");
        let said = scheduler.stop();
        assert!(said.stderr_text().contains("could not be told"), "{}", said.stderr_text());
        for canary in [MailServer::PASSWORD, "canary-wrong-7y"] {
            assert!(!said.stderr_text().contains(canary), "{}", said.stderr_text());
        }
        hidden_below(&scheduler.state(), &[MailServer::PASSWORD, "canary-wrong-7y"]);
    }
    assert!(server.mails().is_empty());
}

#[test]
fn without_a_server_mail_goes_to_the_program_that_is_named() {
    let job = on_request("a", "on_failure = { mail = \"ops@example.com\" }");
    let mut scheduler = Scheduler::new(&format!("[mail]\nsendmail = \"sendmail.sh\"\n{job}"));
    let out = scheduler.path("mail.txt");
    let script =
        format!("#!/bin/sh\n{{ echo \"$@\"; cat; }} >{0}.new && mv {0}.new {0}\n", out.display());
    scheduler.file("sendmail.sh", &script);
    let program = scheduler.path("sendmail.sh");
    fs::set_permissions(program, fs::Permissions::from_mode(0o700)).unwrap();
    scheduler.file("a.rhai", "fail(\"no good\");");
    scheduler.start();
    trigger(&scheduler);
    let found =
        wait::until(TIME_MAX, || Some(scheduler.read("mail.txt")).filter(|text| !text.is_empty()));
    let text = found.unwrap();
    assert!(text.starts_with("-i -t\n"), "{text}");
    for part in
        ["To: ops@example.com", &format!("Subject: [portolan] a failed on {}", host()), "no good"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    scheduler.stop();
}

#[test]
fn a_test_of_notifications_arrives_and_says_what_fails() {
    let Some(server) = MailServer::start("starttls") else { return };
    let jobs = jobs(&server, "starttls", "\"ops@example.com\"");
    let jobs = jobs.replacen(
        "on_failure = {",
        "on_failure = { ping = \"http://127.0.0.1:1/canary-ping\",",
        1,
    );
    let scheduler = Scheduler::new(&jobs);
    secret(&scheduler, "MAIL", MailServer::PASSWORD);
    scheduler.file("a.rhai", "");
    let ran = scheduler.command(&["notify", "test", "a"]).fails_with(4);
    let ran = ran.stdout_has("mail: sent\n").stdout_has("ping: not sent: ");
    assert!(!ran.stdout_text().contains("canary"), "{}", ran.stdout_text());
    let mail = server.until(|_| true);
    let subject = format!("[portolan] a: test of a notification from {}", host());
    assert_eq!(mail["subject"], subject);
    let ran = scheduler.command(&["notify", "test", "a", "--event", "success"]);
    drop(ran.succeeds().stdout("mail: sent\n"));
    let ran = scheduler.command(&["notify", "test", "a", "--event", "late"]);
    drop(ran.fails_with(2).stderr_has("has no recipient"));
    let ran = scheduler.command(&["notify", "test", "b"]);
    drop(ran.fails_with(2).stderr_has("there is no job `b`"));
}
