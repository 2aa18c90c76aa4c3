//! The notifications of the jobs file: of a job, the digest of a day, and the way of mail.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use jiff::civil::Time;

use super::template::Templates;
use crate::{
    option_table::{
        OptionKind::{Choice, Own, Text},
        OptionRow, OptionTable,
    },
    schedule::zone::Zone,
    secret::Secret,
};

/// The keys `on_success`, `on_failure` and so on, `remind` and `ping`.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    /// The notification that a run has succeeded, and the one before had not.
    pub on_success: Option<Tell>,
    /// The notification that a run has failed, and the one before had not.
    pub on_failure: Option<Tell>,
    /// The notification of either of the two.
    pub on_change: Option<Tell>,
    /// The notification that a slot was not run.
    pub on_missed: Option<Tell>,
    /// The notification that the job has not succeeded by `expect_by`.
    pub on_late: Option<Tell>,
    /// The notification that a run takes longer than usual.
    pub on_slow: Option<Tell>,
    /// The time from which a run is slow.
    pub slow_after: SlowAfter,
    /// The notification that a run has succeeded and has moved no file.
    pub on_empty: Option<Tell>,
    /// The interval of reminders while the job fails.
    pub remind: Option<Duration>,
    /// The URL, in the manner of Healthchecks, that is notified of each start, success and failure.
    pub ping: Option<Secret>,
}

impl Notify {
    /// Returns the targets of an event.
    pub fn of_event(&self, event: &str) -> Option<&Tell> {
        let tell = match event {
            "success" => &self.on_success,
            "failure" => &self.on_failure,
            "change" => &self.on_change,
            "late" => &self.on_late,
            "slow" => &self.on_slow,
            "empty" => &self.on_empty,
            "remind" => return self.of_failure(),
            _ => &self.on_missed,
        };
        tell.as_ref()
    }

    /// Returns the targets that are told of a failure.
    pub fn of_failure(&self) -> Option<&Tell> {
        self.on_failure.as_ref().or(self.on_change.as_ref())
    }

    /// Returns true if anybody is told anything.
    pub fn is_any(&self) -> bool {
        let tells =
            [&self.on_success, &self.on_failure, &self.on_change, &self.on_missed, &self.on_late];
        let more = [&self.on_slow, &self.on_empty];
        self.ping.is_some() || tells.into_iter().chain(more).any(Option::is_some)
    }
}

/// The time from which a run is slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SlowAfter {
    /// A multiple of the median of the last successful runs.
    Times(f64),
    /// A duration.
    Time(Duration),
}

impl Default for SlowAfter {
    fn default() -> Self {
        Self::Times(2.0)
    }
}

/// The targets of a notification. Their addresses are secrets, since anyone who knows them can use them; each may be
/// `secret:NAME`.
#[derive(Debug, Clone, Default)]
pub struct Tell {
    /// The URL that receives the facts of the run as JSON.
    pub webhook: Option<WebhookTarget>,
    /// The URL that is fetched.
    pub ping: Option<Secret>,
    /// The program, with its arguments, that receives the facts as JSON on its standard input.
    pub command: Option<Vec<String>>,
    /// The addresses that receive a mail.
    pub mail: Vec<Secret>,
    /// The services for people.
    pub chats: Vec<ChatTarget>,
    /// The templates of mails and of services.
    pub templates: Templates,
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// The URL.
    pub url: Secret,
    /// Headers of the request.
    pub headers: Vec<(String, Secret)>,
    /// The template of its body; the facts as JSON without one.
    pub body: Option<String>,
}

/// A service for people, with a request of its own form.
#[derive(Debug, Clone)]
pub struct ChatTarget {
    /// The service.
    pub service: ChatService,
    /// The URL.
    pub url: Secret,
    /// The token, if the service has one apart from the URL.
    pub token: Option<Secret>,
    /// The chat, for Telegram.
    pub chat: Option<Secret>,
}

/// A service that shows notifications to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatService {
    /// Slack: an incoming webhook.
    Slack,
    /// Microsoft Teams: a workflow that takes an adaptive card.
    Teams,
    /// Discord: a webhook.
    Discord,
    /// ntfy: a topic.
    Ntfy,
    /// Gotify: a server, with the token of an application.
    Gotify,
    /// Telegram: a bot, with its token and a chat.
    Telegram,
}

impl ChatService {
    /// Every service.
    pub const ALL: [Self; 6] =
        [Self::Slack, Self::Teams, Self::Discord, Self::Ntfy, Self::Gotify, Self::Telegram];

    /// Returns its key in the jobs file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Discord => "discord",
            Self::Ntfy => "ntfy",
            Self::Gotify => "gotify",
            Self::Telegram => "telegram",
        }
    }
}

/// The keys of a notification.
pub(super) const TELL: OptionTable<Tell> = OptionTable {
    rows: &[
        OptionRow::<Tell>::new(
            "mail",
            Own,
            "an address of mail, or an array of them; `[mail]` names the server",
        ),
        OptionRow::<Tell>::new("slack", Own, "the URL of an incoming webhook of Slack"),
        OptionRow::<Tell>::new(
            "teams",
            Own,
            "the URL of a workflow of Microsoft Teams that posts what a webhook receives",
        ),
        OptionRow::<Tell>::new("discord", Own, "the URL of a webhook of Discord"),
        OptionRow::<Tell>::new(
            "ntfy",
            Own,
            "the URL of a topic of ntfy, or `{ url, token }` with an access token",
        ),
        OptionRow::<Tell>::new(
            "gotify",
            Own,
            "a server of Gotify, with the token of an application: `{ url, token }`",
        ),
        OptionRow::<Tell>::new("telegram", Own, "a bot of Telegram and a chat: `{ token, chat }`"),
        OptionRow::<Tell>::new(
            "webhook",
            Own,
            "a URL that receives the facts of the run as JSON; `{ url, headers, body }` adds headers, and sends the \
             template `body` in place of the facts. In a template of JSON, values are escaped as in a string",
        ),
        OptionRow::<Tell>::new("ping", Own, "a URL that is fetched"),
        OptionRow::<Tell>::new(
            "command",
            Own,
            "a program and its arguments, such as [\"/usr/bin/mail-me\", \"catalogue\"]; it receives the facts as JSON \
             on its standard input, and no shell reads the arguments",
        ),
        OptionRow::<Tell>::new(
            "subject",
            Own,
            "a template of the subject of a mail and of the heading of a message, such as \"{job} on {host}: {error}\"",
        ),
        OptionRow::<Tell>::new(
            "text",
            Own,
            "a template of the text of a mail or message. Templates have the names {job}, {description}, {host}, {event}, \
             {outcome}, {error}, {reason}, {run}, {due}, {started}, {ended}, {attempts}, {files}, {bytes}, {script}, {log}, \
             {link}, {expected_by}, {running_for}, {failing_since}, and {subject} and {text} for the usual ones",
        ),
        OptionRow::<Tell>::new(
            "after",
            Own,
            "of `on_slow` only: the time from which a run is slow, such as \"30m\", or \"2x\" for twice the median of the \
             last successful runs",
        ),
    ],
    usual: Tell::default,
};

/// The table `[digest]`: a summary of each day.
#[derive(Debug, Clone)]
pub struct Digest {
    /// The targets.
    pub tell: Tell,
    /// The time of the day.
    pub at: Time,
    /// Its time zone.
    pub zone: Zone,
}

/// The keys of `[digest]` besides those of a notification.
pub(super) const DIGEST: OptionTable<()> = OptionTable {
    rows: &[
        OptionRow::<()>::new("at", Own, "the time of the day; required"),
        OptionRow::<()>::new("timezone", Own, "the time zone of `at`; that of the host without it"),
    ],
    usual: || (),
};

/// The protection of the connection to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// STARTTLS, without which nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// None.
    Off,
}

/// The table `[mail]`.
#[derive(Debug, Clone, Default)]
pub struct MailSettings {
    /// The mail server and its port; `None` for the program.
    pub smtp: Option<(String, Option<u16>)>,
    /// The protection of the connection, if it is set.
    pub tls: Option<MailTls>,
    /// The login.
    pub user: Option<String>,
    /// Its password, or `secret:NAME`.
    pub password: Option<Secret>,
    /// The sender.
    pub from: Option<String>,
    /// A file with certificates of authorities to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// The program that sends mail without a server.
    pub sendmail: Option<PathBuf>,
}

impl MailSettings {
    /// Returns the protection of the connection: STARTTLS, unless the port is that of implicit TLS or the server is on
    /// this host.
    pub fn protection(&self) -> MailTls {
        let is_local = |host: &str| {
            let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
            host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
        };
        let usual = match &self.smtp {
            Some((_, Some(465))) => MailTls::Implicit,
            Some((host, _)) if is_local(host) => MailTls::Off,
            _ => MailTls::StartTls,
        };
        self.tls.unwrap_or(usual)
    }
}

/// The keys of `[mail]`.
pub(super) const MAIL: OptionTable<MailSettings> = OptionTable {
    rows: &[
        OptionRow::<MailSettings>::new(
            "smtp",
            Own,
            "the mail server and its port, such as \"mail.example.com:587\"; without it, the program `sendmail` of the host \
             sends",
        ),
        OptionRow::<MailSettings>::new(
            "tls",
            Choice(&[
                ("starttls", |it| it.tls = Some(MailTls::StartTls)),
                ("implicit", |it| it.tls = Some(MailTls::Implicit)),
                ("off", |it| it.tls = Some(MailTls::Off)),
            ]),
            "the protection of the connection: STARTTLS, usually on port 587, without which nothing is sent; TLS from the \
             first byte, usually on port 465; or none. Without the key it is \"implicit\" for port 465, \"off\" for a server \
             on this host, and \"starttls\" for any other",
        ),
        OptionRow::<MailSettings>::new(
            "user",
            Text(|it, text| {
                it.user = Some(text.to_owned());
                Ok(())
            }),
            "the name of the login, if the server wants one",
        ),
        OptionRow::<MailSettings>::new(
            "password",
            Own,
            "its password, best as \"secret:NAME\" or `{ secret = \"NAME\" }`",
        ),
        OptionRow::<MailSettings>::new("from", Own, "the sender; portolan@HOST without it"),
        OptionRow::<MailSettings>::new(
            "ca_file",
            Own,
            "a PEM file of CAs to trust besides the system's",
        ),
        OptionRow::<MailSettings>::new(
            "sendmail",
            Own,
            "the program that sends mail if there is no `smtp`: it gets `-i -t`, and the mail on its standard input; \
             /usr/sbin/sendmail without it",
        ),
    ],
    usual: MailSettings::default,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_protected_unless_its_server_is_on_this_host() {
        for (host, port, wanted) in [
            ("mail.example.com", None, MailTls::StartTls),
            ("mail.example.com", Some(25), MailTls::StartTls),
            ("mail.example.com", Some(465), MailTls::Implicit),
            ("127.0.0.1", Some(25), MailTls::Off),
            ("[::1]", None, MailTls::Off),
            ("localhost", Some(465), MailTls::Implicit),
            ("localhost.example.com", None, MailTls::StartTls),
        ] {
            let mail = MailSettings { smtp: Some((host.into(), port)), ..MailSettings::default() };
            assert_eq!(mail.protection(), wanted, "{host}");
        }
    }
}
