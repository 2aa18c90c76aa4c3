//! Mail: by an SMTP server, with TLS and a login, or by the `sendmail` program of the host.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use lettre::{
    Message, SmtpTransport, Transport,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::message::NoticeText;
use crate::{
    limits::{NOTICE_COMMAND_TIME_MAX, NOTICE_TIME_MAX},
    observe::visible::visible,
    random::random_u64,
    schedule::{
        child::STORE_VARIABLES,
        jobs::{MailSettings, MailTls},
    },
    secret::Secret,
};

/// A mail with secrets in place of their names.
#[derive(Debug)]
pub(super) struct OutgoingMail {
    /// The settings; their password is `None` or the password itself.
    pub(super) settings: MailSettings,
    /// The addresses.
    pub(super) to: Vec<Secret>,
    /// The subject and the text.
    pub(super) text: NoticeText,
    /// The name of the host.
    pub(super) host: String,
}

/// Sends a mail. The error has the words of the server, and no secret.
pub(super) fn send(mail: OutgoingMail) -> Result<(), String> {
    let message = message(&mail)?;
    let secrets: Vec<_> = mail.settings.password.iter().chain(&mail.to).cloned().collect();
    let result = if mail.settings.smtp.is_some() {
        in_time(move || by_smtp(&mail, &message))
    } else {
        by_program(mail.settings.sendmail.as_deref(), &message)
    };
    result.map_err(|error| {
        let hidden = |text: String, secret: &Secret| text.replace(secret.reveal(), "***");
        visible(secrets.iter().fold(error, hidden))
    })
}

/// Runs `send` for a minute at most. Its own time limits are for each reply: a server can take one a byte at a time.
fn in_time(send: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let (outbox, inbox) = mpsc::channel();
    let thread = thread::Builder::new().name("mail".into());
    thread
        .spawn(move || outbox.send(send()).ok())
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    let time = NOTICE_COMMAND_TIME_MAX;
    let late = |_| Err(format!("the mail server took more than {} s", time.as_secs()));
    inbox.recv_timeout(time).unwrap_or_else(late)
}

fn message(mail: &OutgoingMail) -> Result<Message, String> {
    let domain = domain(&mail.host);
    let usual = || format!("portolan <portolan@{domain}>");
    let from = mail.settings.from.clone().unwrap_or_else(usual);
    let from = from.parse::<Mailbox>().map_err(|_| "`from` is not a mail address".to_owned())?;
    // Answers of machines to machines would be answered.
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into());
    let id = format!("<{:016x}{:016x}@{domain}>", random_u64(), random_u64());
    let mut message = Message::builder()
        .from(from)
        .subject(mail.text.subject.clone())
        .message_id(Some(id))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN);
    for address in &mail.to {
        let to = address.reveal().parse::<Mailbox>();
        message = message.to(to.map_err(|_| "an address of `mail` is none".to_owned())?);
    }
    let built = message.body(mail.text.text.clone());
    built.map_err(|error| format!("the mail cannot be written: {error}"))
}

/// Returns a name that can be the host of an address.
fn domain(host: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name: String = host.chars().filter(is_plain).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { "localhost".into() } else { name.to_owned() }
}

fn by_smtp(mail: &OutgoingMail, message: &Message) -> Result<(), String> {
    let settings = &mail.settings;
    let Some((server, port)) = &settings.smtp else { return Err("there is no `smtp`".into()) };
    let (tls, usual) = match settings.protection() {
        MailTls::StartTls => (Tls::Required(tls(settings, server)?), 587),
        MailTls::Implicit => (Tls::Wrapper(tls(settings, server)?), 465),
        MailTls::Off => (Tls::None, 25),
    };
    let mut transport = SmtpTransport::builder_dangerous(server)
        .port(port.unwrap_or(usual))
        .tls(tls)
        .hello_name(ClientId::Domain(domain(&mail.host)))
        .timeout(Some(NOTICE_TIME_MAX));
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        let login = Credentials::new(user.clone(), password.reveal().to_owned());
        transport = transport.credentials(login);
    }
    let sent = transport.build().send(message);
    sent.map(drop).map_err(|error| format!("the mail server: {error}"))
}

fn tls(settings: &MailSettings, server: &str) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(server.to_owned());
    if let Some(file) = &settings.ca_file {
        let pem = std::fs::read(file).map_err(|error| format!("cannot read `ca_file`: {error}"))?;
        let certificate = Certificate::from_pem(&pem)
            .map_err(|error| format!("`ca_file` has no certificate: {error}"))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| format!("cannot set up TLS: {error}"))
}

/// The usual place of the program that sends mail.
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// Sends by a program, which finds the addresses in the mail: its arguments are seen by everybody.
fn by_program(program: Option<&Path>, message: &Message) -> Result<(), String> {
    let path = program.unwrap_or(Path::new(SENDMAIL));
    if !path.exists() {
        let hint = "`[mail]` names a server, as in `smtp = \"mail.example.com\"`";
        return Err(format!("there is no `{}` to send mail: {hint}", path.display()));
    }
    let cannot =
        |error: &dyn std::fmt::Display| format!("cannot run `{}`: {error}", path.display());
    let mut mail = tempfile::tempfile().map_err(|error| cannot(&error))?;
    let written =
        mail.write_all(&message.formatted()).and_then(|()| std::io::Seek::rewind(&mut mail));
    written.map_err(|error| cannot(&error))?;
    let mut command = Command::new(path);
    for name in STORE_VARIABLES {
        command.env_remove(name);
    }
    let mut child = command
        .args(["-i", "-t"])
        .stdin(mail)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| cannot(&error))?;
    let end = std::time::Instant::now() + NOTICE_COMMAND_TIME_MAX;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| cannot(&error))? {
            return if status.success() { Ok(()) } else { Err(cannot(&status)) };
        }
        if std::time::Instant::now() >= end {
            child.kill().ok();
            child.wait().ok();
            let seconds = NOTICE_COMMAND_TIME_MAX.as_secs();
            return Err(format!("`{}` took more than {seconds} s", path.display()));
        }
        super::deliver::pause(std::time::Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(to: &str) -> OutgoingMail {
        OutgoingMail {
            settings: MailSettings::default(),
            to: vec![Secret::new(to)],
            text: NoticeText {
                subject: "größer".into(),
                text: "ein Wort\n.\n".into(),
                link: None,
                is_good: true,
            },
            host: "gate".into(),
        }
    }

    #[test]
    fn a_mail_has_its_headers_and_no_answer_is_wanted() {
        let text =
            String::from_utf8(message(&mail("ops@example.com")).unwrap().formatted()).unwrap();
        for part in [
            "From: portolan <portolan@gate>\r\n",
            "To: ops@example.com\r\n",
            "Subject: =?utf-8?b?",
            "Auto-Submitted: auto-generated\r\n",
            "Message-ID: <",
            "Date: ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(message(&mail("nobody")).unwrap_err().contains("`mail`"));
    }

    #[test]
    fn a_host_of_any_name_can_send() {
        for (host, wanted) in [
            ("gate.example.com", "gate.example.com"),
            ("Büro\r\n", "Bro"),
            ("", "localhost"),
            ("_", "localhost"),
        ] {
            assert_eq!(domain(host), wanted);
        }
    }
}
