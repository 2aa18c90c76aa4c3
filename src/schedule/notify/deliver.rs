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

use super::{
    NotifyTarget,
    choose::with_suffix,
    mail::{self, OutgoingMail},
    message::NoticeText,
    shapes::{self, ChatAddress, NoticeRequest},
};
use crate::{
    limits::{NOTICE_COMMAND_TIME_MAX, NOTICE_TIME_MAX},
    observe::visible::visible,
    schedule::jobs::{MailSettings, Templates, WebhookTarget},
    script::secrets,
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
    let resolved = |text: &Secret| resolved(text, folder);
    let facts: Value = serde_json::from_str(&what.body).unwrap_or_default();
    match target {
        NotifyTarget::Webhook(target) => send(&webhook(target, &what.body, &facts, folder)?),
        NotifyTarget::Heartbeat { address, suffix } => send(&NoticeRequest {
            url: with_suffix(&resolved(address)?, suffix),
            headers: Vec::new(),
            content_type: "text/plain; charset=utf-8",
            body: what.body.clone(),
        }),
        NotifyTarget::Ping(address) => fetch(&resolved(address)?),
        NotifyTarget::Command(words) => run(words, what, &facts, folder, group),
        NotifyTarget::Mail { settings, to, templates } => {
            let password = settings.password.as_ref().map(resolved).transpose()?;
            let host = facts.get("host").and_then(Value::as_str).unwrap_or_default().to_owned();
            mail::send(OutgoingMail {
                settings: MailSettings { password, ..(**settings).clone() },
                to: to.iter().map(resolved).collect::<Result<_, _>>()?,
                text: NoticeText::of(&facts, templates),
                host,
            })
        }
        NotifyTarget::Chat(chat, templates) => {
            let address = ChatAddress {
                url: resolved(&chat.url)?,
                token: chat.token.as_ref().map(resolved).transpose()?,
                chat: chat.chat.as_ref().map(resolved).transpose()?,
            };
            let request =
                shapes::request(chat.service, &address, &NoticeText::of(&facts, templates));
            // The token may be a part of the URL.
            let hidden = |text: String| match &address.token {
                Some(token) => text.replace(token.reveal(), "***"),
                None => text,
            };
            send(&request).map_err(hidden)
        }
    }
}

/// Returns the secret that a text names, or the text.
fn resolved(text: &Secret, folder: &Path) -> Result<Secret, String> {
    secrets::of_text_in(text.reveal(), folder).map_err(|fault| fault.to_string())
}

fn webhook(
    target: &WebhookTarget,
    facts_text: &str,
    facts: &Value,
    folder: &Path,
) -> Result<NoticeRequest, String> {
    let headers = target.headers.iter();
    let headers = headers.map(|(name, value)| Ok((name.clone(), resolved(value, folder)?)));
    let body = match &target.body {
        Some(template) => {
            let text = NoticeText::of(facts, &Templates::default());
            shapes::templated(template, facts, &text)
        }
        None => facts_text.to_owned(),
    };
    let is_json = body.trim_start().starts_with(['{', '[']);
    Ok(NoticeRequest {
        url: resolved(&target.url, folder)?,
        headers: headers.collect::<Result<_, String>>()?,
        content_type: if is_json { "application/json" } else { "text/plain; charset=utf-8" },
        body,
    })
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(NOTICE_TIME_MAX))
        .http_status_as_error(false)
        .user_agent(concat!("portolan/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn send(request: &NoticeRequest) -> Result<(), String> {
    let NoticeRequest { url, headers, content_type, body } = request;
    let mut post = agent().post(url.reveal());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        post = post.content_type(*content_type);
    }
    for (name, value) in headers {
        post = post.header(name.as_str(), value.reveal());
    }
    let secrets: Vec<_> = headers.iter().map(|(_, value)| value).collect();
    answered(post.send(body.as_str()), url, &secrets)
}

fn fetch(address: &Secret) -> Result<(), String> {
    answered(agent().get(address.reveal()).call(), address, &[])
}

/// The maximum number of bytes of an answer that an error repeats.
const ANSWER_BYTES_MAX: u64 = 300;

/// Returns an error for an answer that is none of success. It has the words of the server, and no secret.
fn answered(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    address: &Secret,
    secrets: &[&Secret],
) -> Result<(), String> {
    let text = match answer {
        Ok(answer) if answer.status().is_success() => return Ok(()),
        Ok(answer) => {
            let code = answer.status().as_u16();
            let mut words = Vec::new();
            let body = answer.into_body().into_reader();
            // Without its words the answer says enough.
            body.take(ANSWER_BYTES_MAX).read_to_end(&mut words).ok();
            let words = String::from_utf8_lossy(words.trim_ascii()).into_owned();
            let words = Some(words).filter(|words| !words.is_empty() && !words.starts_with('<'));
            let words = words.map(|words| format!(": {words}")).unwrap_or_default();
            format!("the answer was {code}{words}")
        }
        Err(error) => error.to_string(),
    };
    Err(hidden(text, address, secrets))
}

/// Removes the address and all that is secret from a text.
fn hidden(text: String, address: &Secret, secrets: &[&Secret]) -> String {
    let address = address.reveal();
    let path = address.splitn(4, '/').nth(3).unwrap_or_default();
    let parts = path.split(['/', '?', '&', '=']).filter(|part| part.len() >= SECRET_LENGTH_MIN);
    // Of `Bearer TOKEN` the token alone as well.
    let words =
        |secret: &&Secret| secret.reveal().rsplit(' ').next().unwrap_or_default().to_owned();
    let words: Vec<_> = secrets.iter().map(words).collect();
    let secrets =
        secrets.iter().map(|secret| secret.reveal()).chain(words.iter().map(String::as_str));
    let hidden = [address, path].into_iter().chain(parts).chain(secrets);
    visible(
        hidden.filter(|part| !part.is_empty()).fold(text, |text, part| text.replace(part, "***")),
    )
}

/// The length from which a part of a URL is taken for a secret: a shorter one is a word such as `bot` or `hooks`.
const SECRET_LENGTH_MIN: usize = 8;

/// The variables that a notification command inherits from the scheduler: others may contain secrets.
const KEPT: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// Runs a program with the facts on its standard input and a reduced environment.
fn run(
    words: &[String],
    what: &NewNotice,
    facts: &Value,
    folder: &Path,
    group: &ProcessGroup,
) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("no command is named".into());
    };
    let plain = |error: std::io::Error| format!("cannot run `{}`: {error}", visible(program));
    let mut errors = tempfile::tempfile().map_err(plain)?;
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
pub(super) fn pause(time: Duration) {
    let (_keep, silent) = std::sync::mpsc::channel::<()>();
    silent.recv_timeout(time).ok();
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
