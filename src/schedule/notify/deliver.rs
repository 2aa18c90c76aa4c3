//! A single delivery of a notice.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, kill_process_group},
};
use serde_json::Value;

use super::NotifyTarget;
use crate::{
    limits::{NOTICE_COMMAND_TIME_MAX, NOTICE_TIME_MAX},
    observe::visible::visible,
    secret::Secret,
    store::history::NewNotice,
};

/// Delivers a notice. The error omits the address, which is a secret.
pub(super) fn deliver(
    what: &NewNotice,
    target: &NotifyTarget,
    folder: &Path,
    group: &ProcessGroup,
) -> Result<(), String> {
    match target {
        NotifyTarget::Webhook(address) => post(address, &what.body, "application/json"),
        NotifyTarget::Ping(address) if what.channel == "heartbeat" => {
            post(address, &what.body, "text/plain; charset=utf-8")
        }
        NotifyTarget::Ping(address) => fetch(address),
        NotifyTarget::Command(words) => run(words, what, folder, group),
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(NOTICE_TIME_MAX))
        .user_agent(concat!("portolan/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn post(address: &Secret, body: &str, kind: &str) -> Result<(), String> {
    let request = agent().post(address.reveal()).content_type(kind);
    request.send(body).map(drop).map_err(|error| words(&error, address))
}

fn fetch(address: &Secret) -> Result<(), String> {
    agent().get(address.reveal()).call().map(drop).map_err(|error| words(&error, address))
}

fn words(error: &ureq::Error, address: &Secret) -> String {
    let text = match error {
        ureq::Error::StatusCode(code) => format!("the answer was {code}"),
        other => other.to_string(),
    };
    let address = address.reveal();
    let path = address.splitn(4, '/').nth(3).unwrap_or_default();
    let hidden = text.replace(address, "***");
    visible(if path.is_empty() { hidden } else { hidden.replace(path, "***") })
}

/// The variables that a notification command inherits from the scheduler: others may contain secrets.
const KEPT: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// Runs a program with the facts on its standard input and a reduced environment.
fn run(
    words: &[String],
    what: &NewNotice,
    folder: &Path,
    group: &ProcessGroup,
) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("no command is named".into());
    };
    let plain = |error: std::io::Error| format!("cannot run `{}`: {error}", visible(program));
    let mut errors = tempfile::tempfile().map_err(plain)?;
    let facts: Value = serde_json::from_str(&what.body).unwrap_or_default();
    let outcome = facts.get("outcome").and_then(Value::as_str).unwrap_or_default();
    let ours = KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(ours)
        .env("PORTOLAN_EVENT", &what.event)
        .env("PORTOLAN_JOB", &what.job)
        .env("PORTOLAN_RUN", what.run.to_string())
        .env("PORTOLAN_OUTCOME", outcome)
        .process_group(0)
        .stdin(input(&what.body).map_err(plain)?)
        .stdout(Stdio::null())
        .stderr(errors.try_clone().map_err(plain)?)
        .spawn()
        .map_err(plain)?;
    group.begin(Pid::from_child(&child));
    let end = Instant::now() + NOTICE_COMMAND_TIME_MAX;
    loop {
        if let Some(status) = group.reap(&mut child).map_err(plain)? {
            return if status.success() {
                Ok(())
            } else {
                Err(format!("{status}{}", said(&mut errors)))
            };
        }
        if Instant::now() >= end {
            group.kill();
            child.wait().ok();
            return Err(format!("it took more than {} s", NOTICE_COMMAND_TIME_MAX.as_secs()));
        }
        pause(Duration::from_millis(50));
    }
}

/// Writes the body to an anonymous file: a command need not read it, and a pipe would block.
fn input(body: &str) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("notice", MemfdFlags::CLOEXEC)?);
    file.write_all(body.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// The process group of a notification command, for killing it.
#[derive(Debug, Default)]
pub(super) struct ProcessGroup(Mutex<CommandStage>);

/// The stage of a command. Its process id is valid until it has been reaped.
#[derive(Debug, Default)]
enum CommandStage {
    #[default]
    Before,
    Running(Pid),
    Over,
}

impl ProcessGroup {
    fn stage(&self) -> MutexGuard<'_, CommandStage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, group: Pid) {
        let mut stage = self.stage();
        match *stage {
            // It was killed before it started.
            CommandStage::Over => {
                kill_process_group(group, Signal::KILL).ok();
            }
            _ => *stage = CommandStage::Running(group),
        }
    }

    fn reap(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        let mut stage = self.stage();
        let status = child.try_wait()?;
        if status.is_some() {
            *stage = CommandStage::Over;
        }
        Ok(status)
    }

    /// Kills the command with all processes it has started; one that has not started is killed at once when it does.
    pub(super) fn kill(&self) {
        let mut stage = self.stage();
        if let CommandStage::Running(group) = *stage {
            kill_process_group(group, Signal::KILL).ok();
        }
        *stage = CommandStage::Over;
    }
}

/// Returns the first part of a program's standard error.
fn said(errors: &mut File) -> String {
    let mut bytes = Vec::new();
    errors.seek(SeekFrom::Start(0)).ok();
    errors.take(1024).read_to_end(&mut bytes).ok();
    let text = visible(bytes.trim_ascii());
    if text.is_empty() { text } else { format!(": {text}") }
}

/// Waits for `time`.
fn pause(time: Duration) {
    let (_keep, nobody) = std::sync::mpsc::channel::<()>();
    nobody.recv_timeout(time).ok();
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        thread::{self, JoinHandle},
    };

    use super::*;

    /// Answers one request with `answer`, and returns its head.
    fn served(answer: String) -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).unwrap() > 0 {}
            stream.write_all(answer.as_bytes()).unwrap();
            head
        });
        (port, served)
    }

    #[test]
    fn s64_a_credential_does_not_follow_to_another_host() {
        let done = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let (there_port, there) = served(done.to_owned());
        let elsewhere = format!("http://localhost:{there_port}/next");
        let moved = format!(
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let (port, first) = served(moved);
        let address = Secret::new(format!("http://anna:hunter2@127.0.0.1:{port}/path/token"));
        fetch(&address).unwrap();
        assert!(first.join().unwrap().starts_with("GET /path/token "));
        let head = there.join().unwrap().to_ascii_lowercase();
        assert!(head.starts_with("get /next "), "{head}");
        for secret in ["authorization", "hunter2", "anna", "token", "referer"] {
            assert!(!head.contains(secret), "{head}");
        }
    }
}
