//! The notifications of a job, `[digest]` and `[mail]`.

use std::{ops::Range, path::Path};

use lettre::message::Mailbox;
use toml::de::DeValue;

use super::{
    job::{SECRET, secret_of},
    table::{JobsDocument, JobsTable, Value},
    targets::{
        ChatService, ChatTarget, DIGEST, MAIL, MailSettings, MailTls, Notify, SlowAfter, TELL,
        Tell, WebhookTarget,
    },
    template::{TEMPLATE_NAMES, Templates, misspelt},
};
use crate::{observe::visible::visible, script::value::parse_time, secret::Secret};

/// The keys of a notification that are no targets.
const NO_TARGETS: [&str; 3] = ["subject", "text", "after"];

/// Reads all notifications of a job.
pub(super) fn notify(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Notify {
    let mut tell = |key| tell(table, key, page);
    let [on_success, on_failure, on_change, on_missed] =
        ["on_success", "on_failure", "on_change", "on_missed"].map(&mut tell);
    let mut notify = Notify { on_success, on_failure, on_change, on_missed, ..Notify::default() };
    notify.ping = address(table, "ping", page);
    notify.on_late = tell_or_usual(table, "on_late", &notify, page);
    if notify.on_late.is_some()
        && table.get("expect_by").is_none()
        && let Some(span) = table.place("on_late")
    {
        let hint = Some("such as `expect_by = \"06:30\"`, or a duration after the slot".to_owned());
        page.error(span, "`on_late` needs `expect_by`", hint);
    }
    notify.on_empty = tell_or_usual(table, "on_empty", &notify, page);
    let text = table.get("on_slow").filter(|value| value.get_ref().is_str());
    if let Some(value) = text {
        notify.slow_after = slow(value, page).unwrap_or_default();
        notify.on_slow = usual("on_slow", value.span(), &notify, page);
    } else {
        notify.on_slow = tell_or_usual(table, "on_slow", &notify, page);
        let after = table.get("on_slow").and_then(|value| value.get_ref().as_table()?.get("after"));
        notify.slow_after = after.and_then(|value| slow(value, page)).unwrap_or_default();
    }
    if let Some(span) = table.place("remind").filter(|_| notify.of_failure().is_none()) {
        let hint = "`on_failure` names those who are reminded";
        page.error(span, "`remind` has no recipient", Some(hint.into()));
    }
    notify
}

/// Reads a notification that with `true` goes to the targets of `on_failure`.
fn tell_or_usual(
    table: &mut JobsTable<'_>,
    key: &str,
    notify: &Notify,
    page: &mut JobsDocument<'_>,
) -> Option<Tell> {
    let value = table.get(key)?;
    match value.get_ref() {
        DeValue::Boolean(false) => None,
        DeValue::Boolean(true) => usual(key, value.span(), notify, page),
        _ => tell(table, key, page),
    }
}

fn usual(
    key: &str,
    span: Range<usize>,
    notify: &Notify,
    page: &mut JobsDocument<'_>,
) -> Option<Tell> {
    let usual = notify.of_failure().cloned();
    if usual.is_none() {
        let hint = Some(format!("write `{key} = {{ mail = \"ops@example.com\" }}`"));
        page.error(
            span,
            format!("`{key}` is for the targets of `on_failure`: there are none"),
            hint,
        );
    }
    usual
}

/// Reads `2x` or a duration.
fn slow(value: &Value<'_>, page: &mut JobsDocument<'_>) -> Option<SlowAfter> {
    let text = value.get_ref().as_str().unwrap_or_default();
    let times = text.strip_suffix(['x', 'X']).and_then(|number| number.trim().parse::<f64>().ok());
    let times = times.filter(|times| (1.1..=1000.0).contains(times)).map(SlowAfter::Times);
    let found = times.or_else(|| {
        let time = parse_time(text).filter(|time| !time.is_zero());
        time.map(SlowAfter::Time)
    });
    if found.is_none() {
        let hint = "write \"2x\" for twice the usual duration, or a duration such as \"30m\"";
        page.error(value.span(), "a run cannot be slow after this", Some(hint.into()));
    }
    found
}

/// Reads the targets of an event.
pub(super) fn tell(
    table: &mut JobsTable<'_>,
    key: &str,
    page: &mut JobsDocument<'_>,
) -> Option<Tell> {
    if let Some(value) = table.get(key).filter(|value| value.get_ref().is_str()) {
        let hint = Some(format!("write `{key} = {{ webhook = \"https://…\" }}`"));
        page.error(value.span(), format!("`{key}` wants a table, got a string"), hint);
        return None;
    }
    let mut known = TELL.keys();
    known.retain(|name| *name != "after" || key == "on_slow");
    if key == "digest" {
        known.extend(DIGEST.keys());
    }
    let errors = page.errors();
    let mut inner = table.table(key, &format!("`{key}`"), &known, page)?;
    let tell = Tell {
        webhook: webhook(&mut inner, page),
        ping: address(&mut inner, "ping", page),
        command: command(&mut inner, page),
        mail: mail(&mut inner, page),
        chats: chats(&mut inner, page),
        templates: Templates {
            subject: template(&mut inner, "subject", page),
            text: template(&mut inner, "text", page),
        },
    };
    let targets = TELL.keys().into_iter().filter(|key| !NO_TARGETS.contains(key));
    let is_empty = targets.into_iter().all(|known| inner.get(known).is_none());
    // An unknown key is probably the target.
    if is_empty
        && page.errors() == errors
        && let Some(span) = table.get(key).map(Value::span)
    {
        let hint = "`mail`, `slack`, `teams`, `discord`, `ntfy`, `gotify`, `telegram`, `webhook`, `ping` or `command`";
        page.error(span, format!("`{key}` names no recipient"), Some(hint.into()));
    }
    Some(tell)
}

fn template(table: &mut JobsTable<'_>, key: &str, page: &mut JobsDocument<'_>) -> Option<String> {
    let (text, span) = table.text(key, page)?;
    if let Some((name, near)) = misspelt(text) {
        let message = format!("a template has no `{{{}}}`", visible(name));
        let near = near.map(|near| format!("did you mean `{{{near}}}`?"));
        let hint = near.unwrap_or_else(|| format!("it has {}", TEMPLATE_NAMES.join(", ")));
        page.error(span, message, Some(hint));
    }
    Some(text.to_owned())
}

/// Reads a web address. Messages do not repeat it: anyone who knows it can use it.
fn address(table: &mut JobsTable<'_>, key: &str, page: &mut JobsDocument<'_>) -> Option<Secret> {
    let value = table.get(key)?;
    if let Some(secret) = value.get_ref().as_table().and_then(secret_of) {
        return Some(Secret::new(secret));
    }
    let (text, span) = table.text(key, page)?;
    if text.starts_with(SECRET) {
        return Some(Secret::new(text));
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_address = |rest: &str| {
        !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !rest.is_some_and(is_address) {
        let hint = Some("an address begins with `https://` or `http://`".to_owned());
        page.error(span, format!("`{key}` wants an address of the web"), hint);
        return None;
    }
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let login = host.rsplit_once('@').map(|(login, _)| login);
    if login.is_some_and(|login| login.contains(':')) {
        let hint = format!("write `{key} = \"secret:NAME\"`, which no file shows");
        page.warn_of_password(span, "a password stands in the URL", Some(hint));
    }
    Some(Secret::new(text))
}

/// Returns true for the name of a header whose value is a login.
fn is_login_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts = ["auth", "token", "secret", "password", "passwd", "cookie"];
    let is_key = name.split(['-', '_']).any(|part| part == "key" || part == "apikey");
    is_key || parts.iter().any(|part| name.contains(part))
}

/// Warns of a value that is written out in place of the name of a secret.
fn warn_if_plain(what: &str, text: &Secret, span: Range<usize>, page: &mut JobsDocument<'_>) {
    let text = text.reveal();
    if !text.is_empty() && !text.starts_with(SECRET) {
        let hint = "`\"secret:NAME\"` in its place is a secret, which no file shows".to_owned();
        page.warn_of_password(span, format!("this {what} stands in the jobs file"), Some(hint));
    }
}

/// Returns true for a table that is more than the name of a secret.
fn is_own_table(value: &Value<'_>) -> bool {
    value.get_ref().as_table().is_some_and(|table| secret_of(table).is_none())
}

fn webhook(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Option<WebhookTarget> {
    let value = table.get("webhook")?;
    if !is_own_table(value) {
        let url = address(table, "webhook", page)?;
        return Some(WebhookTarget { url, headers: Vec::new(), body: None });
    }
    let mut inner = table.table("webhook", "`webhook`", &["url", "headers", "body"], page)?;
    if inner.get("url").is_none() {
        page.error(value.span(), "`webhook` has no `url`", None);
    }
    let url = address(&mut inner, "url", page);
    let headers = inner.open_table("headers", page);
    let mut all = Vec::new();
    for (key, value) in headers.into_iter().flatten() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = key.get_ref();
        let text = text_or_secret(value).filter(|text| text.reveal().bytes().all(is_of_header));
        match text {
            Some(text) if !name.is_empty() && name.chars().all(is_name) => {
                if is_login_header(name) {
                    warn_if_plain("header", &text, value.span(), page);
                }
                all.push((name.to_string(), text));
            }
            _ => page.error(value.span(), "this cannot be a header", None),
        }
    }
    let body = template(&mut inner, "body", page);
    Some(WebhookTarget { url: url?, headers: all, body })
}

const fn is_of_header(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte < 127)
}

fn mail(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Vec<Secret> {
    if let Some(secret) =
        table.get("mail").and_then(|value| value.get_ref().as_table()).and_then(secret_of)
    {
        return vec![Secret::new(secret)];
    }
    let all = table.texts("mail", page);
    if let Some(value) = table.get("mail").filter(|value| {
        value.get_ref().as_array().is_some_and(|addresses| addresses.iter().next().is_none())
    }) {
        page.error(value.span(), "`mail` names no address", None);
    }
    for (address, span) in &all {
        if !address.starts_with(SECRET) && address.parse::<Mailbox>().is_err() {
            let message = format!("\"{}\" is not a mail address", visible(*address));
            page.error(span.clone(), message, Some("such as \"ops@example.com\"".into()));
        }
    }
    all.into_iter().map(|(address, _)| Secret::new(address)).collect()
}

fn chats(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Vec<ChatTarget> {
    let mut found = Vec::new();
    for service in ChatService::ALL {
        let key = service.as_str();
        let Some(value) = table.get(key) else { continue };
        let needs_table = matches!(service, ChatService::Gotify | ChatService::Telegram);
        if is_own_table(value) {
            found.extend(chat(service, table, value.span(), page));
        } else if needs_table {
            let hint = table_of(service).to_owned();
            page.error(value.span(), format!("`{key}` wants a table"), Some(hint));
        } else {
            let url = address(table, key, page);
            found.extend(url.map(|url| ChatTarget { service, url, token: None, chat: None }));
        }
    }
    found
}

const fn table_of(service: ChatService) -> &'static str {
    match service {
        ChatService::Telegram => {
            "write `telegram = { token = \"secret:BOT\", chat = \"-100123\" }`"
        }
        _ => "write `gotify = { url = \"https://push.example.com\", token = \"secret:GOTIFY\" }`",
    }
}

/// Reads a service as a table of its address and its token.
fn chat(
    service: ChatService,
    table: &mut JobsTable<'_>,
    span: Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<ChatTarget> {
    let key = service.as_str();
    let known: &[&str] = match service {
        ChatService::Telegram => &["url", "token", "chat"],
        ChatService::Ntfy | ChatService::Gotify => &["url", "token"],
        _ => &["url"],
    };
    let errors = page.errors();
    let mut inner = table.table(key, &format!("`{key}`"), known, page)?;
    let usual = (service == ChatService::Telegram).then(|| Secret::new("https://api.telegram.org"));
    let url = address(&mut inner, "url", page).or(usual);
    let mut secret = |key: &str| {
        let value = inner.get(key)?;
        let text = text_or_secret(value);
        if text.is_none() {
            page.error(value.span(), format!("`{key}` wants a string"), None);
        }
        text
    };
    let (token, chat) = (secret("token"), secret("chat"));
    let is_whole = match service {
        ChatService::Telegram => token.is_some() && chat.is_some(),
        ChatService::Gotify => token.is_some() && url.is_some(),
        _ => url.is_some(),
    };
    if !is_whole && page.errors() == errors {
        let wanted: Vec<_> = match service {
            ChatService::Telegram => vec!["token", "chat"],
            ChatService::Gotify => vec!["url", "token"],
            _ => vec!["url"],
        };
        let absent: Vec<_> = wanted.into_iter().filter(|key| inner.get(key).is_none()).collect();
        let message = format!("`{key}` has no `{}`", absent.join("` and no `"));
        page.error(span, message, None);
    } else if let (Some(text), Some(at)) = (&token, inner.place("token")) {
        warn_if_plain("login", text, at, page);
    }
    Some(ChatTarget { service, url: url?, token, chat })
}

/// Reads a string, a number, or the name of a secret.
fn text_or_secret(value: &Value<'_>) -> Option<Secret> {
    match value.get_ref() {
        DeValue::Table(inner) => secret_of(inner).map(Secret::new),
        DeValue::Integer(number) => Some(Secret::new(number.as_str())),
        DeValue::String(text) => Some(Secret::new(&**text)),
        _ => None,
    }
}

fn command(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Option<Vec<String>> {
    let span: Range<usize> = table.get("command")?.span();
    let words = table.texts("command", page);
    let is_empty = words.first().is_none_or(|(program, _)| program.trim().is_empty());
    if is_empty {
        let hint =
            Some("such as `[\"/usr/bin/mail-me\", \"catalogue\"]`; no shell reads it".to_owned());
        page.error(span, "`command` names no program", hint);
        return None;
    }
    Some(words.into_iter().map(|(word, _)| word.to_owned()).collect())
}

/// Reads `[mail]`.
pub(super) fn mail_settings(
    root: &mut JobsTable<'_>,
    folder: &Path,
    page: &mut JobsDocument<'_>,
) -> MailSettings {
    let mut mail = MailSettings::default();
    let Some(mut table) = root.table("mail", "`[mail]`", &MAIL.keys(), page) else { return mail };
    table.fill(&MAIL, &mut mail, page);
    if let Some((text, span)) = table.text("smtp", page) {
        mail.smtp = server(text);
        if mail.smtp.is_none() {
            let hint = "such as \"mail.example.com\" or \"mail.example.com:587\"";
            page.error(span, "`smtp` wants a host, with or without a port", Some(hint.into()));
        }
        if text.starts_with("smtps://") && mail.tls.is_none() {
            mail.tls = Some(MailTls::Implicit);
        }
    }
    if let Some(value) = table.get("password") {
        mail.password = text_or_secret(value);
        if mail.password.is_none() {
            page.error(value.span(), "`password` wants a string", None);
        }
    }
    if let Some((from, span)) = table.text("from", page) {
        if from.parse::<Mailbox>().is_err() {
            let hint = "such as \"portolan@example.com\", or \"portolan <portolan@example.com>\"";
            page.error(span, "`from` is not a mail address", Some(hint.into()));
        }
        mail.from = Some(from.to_owned());
    }
    mail.ca_file = table.text("ca_file", page).map(|(path, _)| folder.join(path));
    mail.sendmail = table.text("sendmail", page).map(|(path, _)| folder.join(path));
    let (user, password) = (table.place("user"), table.place("password"));
    if user.is_some() != password.is_some()
        && let Some(span) = user.or(password.clone())
    {
        page.error(span, "a login is both `user` and `password`", None);
    }
    if let Some(span) = password.filter(|_| {
        let is_named = mail.password.as_ref().is_some_and(|it| it.reveal().starts_with(SECRET));
        !is_named && mail.password.is_some()
    }) {
        let hint = "write `password = \"secret:NAME\"`, which no file shows";
        page.warn_of_password(span, "this password stands in the jobs file", Some(hint.into()));
    }
    mail
}

/// Parses `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`, `smtp://HOST` or `smtps://HOST`.
fn server(text: &str) -> Option<(String, Option<u16>)> {
    let text =
        text.strip_prefix("smtps://").or_else(|| text.strip_prefix("smtp://")).unwrap_or(text);
    let text = text.trim_end_matches('/');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(port.parse().ok().filter(|port| *port > 0)?))
        }
        _ => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    (!host.is_empty() && host.chars().all(is_host)).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_a_host_with_or_without_a_port() {
        let found = |text: &str| {
            server(text).map(|(host, port)| format!("{host} {}", port.unwrap_or_default()))
        };
        for (text, wanted) in [
            ("mail.example.com", Some("mail.example.com 0")),
            ("mail.example.com:587", Some("mail.example.com 587")),
            ("smtps://mail.example.com:465/", Some("mail.example.com 465")),
            ("127.0.0.1:25", Some("127.0.0.1 25")),
            ("[::1]:25", Some("::1 25")),
            ("::1", Some("::1 0")),
            ("mail.example.com:0", None),
            ("mail.example.com:x", None),
            ("user@mail.example.com", None),
            ("", None),
        ] {
            assert_eq!(found(text).as_deref(), wanted, "{text}");
        }
    }
}
