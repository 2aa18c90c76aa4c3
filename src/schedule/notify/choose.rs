//! The choice of notices. Pure.
//!
//! People are notified when a job's state changes, not every time; pings are for services that monitor each run.

use serde_json::{Value, json};

use super::NotifyTarget;
use crate::{
    observe::{counted, format_size, visible::visible},
    schedule::{
        facts,
        jobs::{MailSettings, Notify, Tell},
    },
    secret::Secret,
    store::history::{Health, HistoryRun, NewNotice, RunState},
};

/// The facts of a notice besides those of the run.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoticeContext<'c> {
    /// The name of the host.
    pub host: &'c str,
    /// The URL of the page, if there is one.
    pub page: Option<&'c str>,
    /// The text about the job.
    pub description: Option<&'c str>,
    /// The end of the log.
    pub log: &'c str,
}

/// Returns the name of this host.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = visible(name.trim());
    if name.is_empty() { "localhost".into() } else { name }
}

/// Returns the notices for a run that starts.
pub fn of_start(notify: &Notify, run: i64, job: &str) -> Vec<NewNotice> {
    let ping = notify.ping.as_ref().map(|_| notice(run, job, "start", "heartbeat", String::new()));
    ping.into_iter().collect()
}

/// Returns the notices for a run that has ended.
pub fn of_end(
    notify: &Notify,
    run: &HistoryRun,
    before: Health,
    after: Health,
    context: &NoticeContext<'_>,
) -> Vec<NewNotice> {
    let is_good = after == Health::Good;
    let mut notices = Vec::new();
    if notify.ping.is_some() {
        let event = if is_good { "success" } else { "failure" };
        notices.push(notice(run.id, &run.job, event, "heartbeat", context.log.to_owned()));
    }
    if is_good && run.sum.files == 0 {
        notices.extend(of_run(notify, run, "empty", context));
    }
    if before == after {
        return notices;
    }
    notices.extend(of_run(notify, run, if is_good { "success" } else { "failure" }, context));
    // The first success of a new job is no change.
    if !(is_good && before == Health::Unknown) {
        notices.extend(of_run(notify, run, "change", context));
    }
    notices
}

/// Returns the notices about an event of a run, one for each target.
pub fn of_run(
    notify: &Notify,
    run: &HistoryRun,
    event: &str,
    context: &NoticeContext<'_>,
) -> Vec<NewNotice> {
    of_tell(notify.of_event(event), run.id, &run.job, event, &body(run, event), context)
}

/// Returns the notices about an event, one for each target.
pub fn of_tell(
    tell: Option<&Tell>,
    run: i64,
    job: &str,
    event: &str,
    facts: &Value,
    context: &NoticeContext<'_>,
) -> Vec<NewNotice> {
    let Some(tell) = tell else { return Vec::new() };
    let body = with_context(facts.clone(), run, job, context).to_string();
    let channels = channels(tell).into_iter();
    channels.map(|channel| notice(run, job, event, channel, body.clone())).collect()
}

/// Returns the channels of an event's targets.
pub fn channels(tell: &Tell) -> Vec<&'static str> {
    let single = [
        ("webhook", tell.webhook.is_some()),
        ("ping", tell.ping.is_some()),
        ("command", tell.command.is_some()),
        ("mail", !tell.mail.is_empty()),
    ];
    let single = single.into_iter().filter(|(_, is_given)| *is_given).map(|(channel, _)| channel);
    single.chain(tell.chats.iter().map(|chat| chat.service.as_str())).collect()
}

/// The maximum number of lines and bytes of a log that a notice has.
const LOG_MAX: (usize, usize) = (20, 4000);

/// Returns the last lines of a log.
fn end_of(log: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut bytes = 0;
    for line in log.lines().rev().take(LOG_MAX.0) {
        bytes += line.len() + 1;
        if bytes > LOG_MAX.1 {
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    lines.join("\n")
}

fn with_context(mut facts: Value, run: i64, job: &str, context: &NoticeContext<'_>) -> Value {
    let link = context.page.map(|page| match (run, job) {
        (0, "") => format!("{page}/"),
        (0, job) => format!("{page}/jobs/{}", percent_encoded(job)),
        (run, _) => format!("{page}/runs/{run}"),
    });
    let log = Some(end_of(context.log)).filter(|log| !log.is_empty());
    if let Value::Object(fields) = &mut facts {
        fields.insert("host".into(), context.host.into());
        fields.insert("description".into(), context.description.into());
        fields.insert("link".into(), link.into());
        fields.insert("log".into(), log.into());
    }
    facts
}

fn percent_encoded(job: &str) -> String {
    percent_encoding::utf8_percent_encode(job, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn notice(run: i64, job: &str, event: &str, channel: &str, body: String) -> NewNotice {
    NewNotice { run, job: job.into(), event: event.into(), channel: channel.into(), body }
}

/// Returns the facts as JSON; `text` is a sentence, in the field that chat programs read.
fn body(run: &HistoryRun, event: &str) -> Value {
    let mut body = json!({ "event": event, "text": sentence(run) });
    if let (Value::Object(body), Value::Object(facts)) = (&mut body, facts::run(run)) {
        body.extend(facts);
    }
    body
}

/// Returns the facts of an event of a job that is not the end of a run: a sentence about it, the facts of the run that it
/// concerns if there is one, and more.
pub fn job_facts(
    job: &str,
    event: &str,
    sentence: &str,
    run: Option<&HistoryRun>,
    more: &[(&str, String)],
) -> Value {
    let mut body =
        json!({ "event": event, "text": format!("portolan: `{job}` {sentence}"), "job": job });
    if let Value::Object(body) = &mut body {
        if let Some(Value::Object(facts)) = run.map(facts::run) {
            body.extend(facts);
        }
        body.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
    }
    body
}

fn sentence(run: &HistoryRun) -> String {
    let due = run.scheduled_for.map(|at| format!(" of {at}")).unwrap_or_default();
    let why = run.sum.error.as_ref().or(run.reason.as_ref());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    match run.state {
        RunState::Done => {
            let bytes = format_size(u64::try_from(run.sum.bytes).unwrap_or(0));
            let files = counted(run.sum.files, "file");
            format!("portolan: `{}`{due} succeeded, {files}, {bytes}", run.job)
        }
        RunState::Partial => format!("portolan: `{}`{due} was done in part{why}", run.job),
        RunState::Skipped => format!("portolan: `{}`{due} was not run{why}", run.job),
        _ => format!("portolan: `{}`{due} failed{why}", run.job),
    }
}

/// Returns the target of a notice according to the current jobs file; `None` if it is no longer wanted.
pub fn target(
    notify: &Notify,
    mail: &MailSettings,
    event: &str,
    channel: &str,
) -> Option<NotifyTarget> {
    if channel == "heartbeat" {
        let suffix = match event {
            "start" => "/start",
            "failure" => "/fail",
            _ => "",
        };
        let ping = notify.ping.clone();
        return ping.map(|address| NotifyTarget::Heartbeat { address, suffix });
    }
    target_of(notify.of_event(event)?, mail, channel)
}

/// Returns the target of a channel.
pub fn target_of(tell: &Tell, mail: &MailSettings, channel: &str) -> Option<NotifyTarget> {
    match channel {
        "webhook" => tell.webhook.clone().map(NotifyTarget::Webhook),
        "ping" => tell.ping.clone().map(NotifyTarget::Ping),
        "command" => tell.command.clone().map(NotifyTarget::Command),
        "mail" => (!tell.mail.is_empty()).then(|| NotifyTarget::Mail {
            settings: Box::new(mail.clone()),
            to: tell.mail.clone(),
            templates: tell.templates.clone(),
        }),
        service => {
            let chat = tell.chats.iter().find(|chat| chat.service.as_str() == service);
            chat.map(|chat| NotifyTarget::Chat(chat.clone(), tell.templates.clone()))
        }
    }
}

/// Appends a path suffix: `https://host/id?a=b` with `/fail` becomes `https://host/id/fail?a=b`.
pub(super) fn with_suffix(address: &Secret, suffix: &str) -> Secret {
    let address = address.reveal();
    let (path, query) = match address.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (address, String::new()),
    };
    Secret::new(format!("{}{suffix}{query}", path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        schedule::{jobs::WebhookTarget, notify::tests::run},
        store::history::Sum,
    };

    fn tell() -> Tell {
        let url = Secret::new("http://h/hook");
        Tell {
            webhook: Some(WebhookTarget { url, headers: Vec::new(), body: None }),
            command: Some(vec!["true".into()]),
            ..Tell::default()
        }
    }

    fn events(notify: &Notify, before: Health, after: Health) -> Vec<String> {
        let context = NoticeContext { log: "tail", ..NoticeContext::default() };
        let notices = of_end(notify, &run(RunState::Failed), before, after, &context);
        notices.iter().map(|notice| format!("{} {}", notice.event, notice.channel)).collect()
    }

    #[test]
    fn people_are_told_of_changes_and_pings_of_every_run() {
        use Health::{Bad, Good, Unknown};
        let notify = Notify {
            on_success: Some(tell()),
            on_failure: Some(tell()),
            on_change: Some(tell()),
            ping: Some(Secret::new("http://h/uuid")),
            ..Notify::default()
        };
        let both = |event: &str| vec![format!("{event} webhook"), format!("{event} command")];
        let told = |parts: &[&str]| {
            [
                vec![format!("{} heartbeat", parts[0])],
                parts[1..].iter().flat_map(|part| both(part)).collect(),
            ]
            .concat()
        };
        for (before, after, wanted) in [
            (Unknown, Good, told(&["success", "success"])),
            (Good, Good, told(&["success"])),
            (Good, Bad, told(&["failure", "failure", "change"])),
            (Bad, Bad, told(&["failure"])),
            (Unknown, Bad, told(&["failure", "failure", "change"])),
            (Bad, Good, told(&["success", "success", "change"])),
        ] {
            assert_eq!(events(&notify, before, after), wanted, "{before:?} {after:?}");
        }
        let none = NoticeContext::default();
        let failed = run(RunState::Failed);
        assert!(of_end(&Notify::default(), &failed, Unknown, Bad, &none).is_empty());
    }

    #[test]
    fn each_success_without_a_file_is_told_and_no_other_run() {
        let notify = Notify { on_empty: Some(tell()), ..Notify::default() };
        let both = ["empty webhook", "empty command"];
        assert_eq!(events(&notify, Health::Good, Health::Good), both);
        assert!(events(&notify, Health::Good, Health::Bad).is_empty());
        let full = HistoryRun { sum: Sum { files: 1, ..Sum::default() }, ..run(RunState::Done) };
        let context = NoticeContext::default();
        assert!(of_end(&notify, &full, Health::Good, Health::Good, &context).is_empty());
    }

    #[test]
    fn a_ping_has_its_ending_before_the_question_mark() {
        let address = Secret::new("https://h/uuid/?create=1");
        let notify = Notify { ping: Some(address.clone()), ..Notify::default() };
        for (event, wanted) in [
            ("start", "https://h/uuid/start?create=1"),
            ("success", "https://h/uuid?create=1"),
            ("failure", "https://h/uuid/fail?create=1"),
        ] {
            let found = target(&notify, &MailSettings::default(), event, "heartbeat");
            let Some(NotifyTarget::Heartbeat { suffix, .. }) = found else { panic!() };
            assert_eq!(with_suffix(&address, suffix).reveal(), wanted);
        }
        assert!(target(&notify, &MailSettings::default(), "failure", "webhook").is_none());
    }

    #[test]
    fn the_body_has_the_facts_under_their_names_and_a_sentence() {
        let log = (0..50).map(|line| format!("line {line}\n")).collect::<Vec<_>>().concat();
        let context =
            NoticeContext { host: "gate", page: Some("http://h:1"), description: None, log: &log };
        let facts = body(&run(RunState::Failed), "failure");
        let body = with_context(facts, 7, "a", &context);
        assert_eq!((&body["event"], &body["job"]), (&"failure".into(), &"a".into()));
        assert_eq!(body["text"], "portolan: `a` failed: 530 no");
        assert_eq!((&body["host"], &body["link"]), (&"gate".into(), &"http://h:1/runs/7".into()));
        let log = body["log"].as_str().unwrap();
        assert!(log.starts_with("line 30\n") && log.ends_with("line 49"), "{log}");
        assert_eq!(
            with_context(json!({}), 0, "a[b]", &context)["link"],
            "http://h:1/jobs/a%5Bb%5D"
        );
    }
}
