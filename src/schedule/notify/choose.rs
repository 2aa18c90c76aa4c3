//! The choice of notices. Pure.
//!
//! People are notified when a job's state changes, not every time; pings are for services that monitor each run.

use serde_json::{Value, json};

use super::NotifyTarget;
use crate::{
    observe::format_size,
    schedule::{
        facts,
        jobs::{Notify, Tell},
    },
    store::history::{Health, HistoryRun, NewNotice, RunState},
};

/// Returns the notices for a run that starts.
pub fn of_start(notify: &Notify, run: i64, job: &str) -> Vec<NewNotice> {
    let ping = notify.ping.as_ref().map(|_| notice(run, job, "start", "heartbeat", String::new()));
    ping.into_iter().collect()
}

/// Returns the notices for a run that has ended; `log` is the end of its log.
pub fn of_end(
    notify: &Notify,
    run: &HistoryRun,
    before: Health,
    after: Health,
    log: &str,
) -> Vec<NewNotice> {
    let is_good = after == Health::Good;
    let mut notices = Vec::new();
    if notify.ping.is_some() {
        let event = if is_good { "success" } else { "failure" };
        notices.push(notice(run.id, &run.job, event, "heartbeat", log.to_owned()));
    }
    if before == after {
        return notices;
    }
    let (event, tell) =
        if is_good { ("success", &notify.on_success) } else { ("failure", &notify.on_failure) };
    notices.extend(of_tell(run, event, tell.as_ref()));
    // The first success of a new job is no change.
    if !(is_good && before == Health::Unknown) {
        notices.extend(of_tell(run, "change", notify.on_change.as_ref()));
    }
    notices
}

/// Returns the notices for a missed slot.
pub fn of_missed(notify: &Notify, run: &HistoryRun) -> Vec<NewNotice> {
    of_tell(run, "missed", notify.on_missed.as_ref())
}

fn of_tell(run: &HistoryRun, event: &str, tell: Option<&Tell>) -> Vec<NewNotice> {
    let Some(tell) = tell else { return Vec::new() };
    let body = body(run, event).to_string();
    let channels = [
        ("webhook", tell.webhook.is_some()),
        ("ping", tell.ping.is_some()),
        ("command", tell.command.is_some()),
    ];
    let given = channels.into_iter().filter(|(_, is_given)| *is_given);
    given.map(|(channel, _)| notice(run.id, &run.job, event, channel, body.clone())).collect()
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

fn sentence(run: &HistoryRun) -> String {
    let due = run.scheduled_for.map(|at| format!(" of {at}")).unwrap_or_default();
    let why = run.sum.error.as_ref().or(run.reason.as_ref());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    match run.state {
        RunState::Done => {
            let bytes = format_size(u64::try_from(run.sum.bytes).unwrap_or(0));
            let files = run.sum.files;
            format!("portolan: `{}`{due} succeeded, {files} files, {bytes}", run.job)
        }
        RunState::Partial => format!("portolan: `{}`{due} was done in part{why}", run.job),
        RunState::Skipped => format!("portolan: `{}`{due} was not run{why}", run.job),
        _ => format!("portolan: `{}`{due} failed{why}", run.job),
    }
}

/// Returns the target of a notice according to the current jobs file; `None` if it is no longer wanted.
pub fn target(notify: &Notify, event: &str, channel: &str) -> Option<NotifyTarget> {
    if channel == "heartbeat" {
        let suffix = match event {
            "start" => "/start",
            "failure" => "/fail",
            _ => "",
        };
        return notify
            .ping
            .as_ref()
            .map(|address| NotifyTarget::Ping(with_suffix(address, suffix)));
    }
    let tell = match event {
        "success" => &notify.on_success,
        "failure" => &notify.on_failure,
        "change" => &notify.on_change,
        _ => &notify.on_missed,
    };
    let tell = tell.as_ref()?;
    match channel {
        "webhook" => tell.webhook.clone().map(NotifyTarget::Webhook),
        "ping" => tell.ping.clone().map(NotifyTarget::Ping),
        _ => tell.command.clone().map(NotifyTarget::Command),
    }
}

/// Appends a path suffix: `https://host/id?a=b` with `/fail` becomes `https://host/id/fail?a=b`.
fn with_suffix(address: &crate::secret::Secret, suffix: &str) -> crate::secret::Secret {
    let address = address.reveal();
    let (path, query) = match address.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (address, String::new()),
    };
    crate::secret::Secret::new(format!("{}{suffix}{query}", path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        secret::Secret,
        store::history::{Sum, Trigger},
    };

    fn run(state: RunState) -> HistoryRun {
        HistoryRun {
            id: 7,
            job: "a".into(),
            revision: "r".into(),
            slot: Some("U1".into()),
            script: "a.rhai".into(),
            cause: Trigger::Schedule,
            scheduled_for: None,
            up_to: None,
            moved_from: None,
            wait: None,
            decided_at: jiff::Timestamp::UNIX_EPOCH,
            started_at: None,
            ended_at: None,
            state,
            reason: None,
            reason_code: None,
            covered_by: None,
            covers: 1,
            attempts: 1,
            sum: Sum { error: Some("530 no".into()), ..Sum::default() },
            fallbacks: 0,
        }
    }

    fn tell() -> Tell {
        Tell {
            webhook: Some(Secret::new("http://h/hook")),
            command: Some(vec!["true".into()]),
            ..Tell::default()
        }
    }

    fn events(notify: &Notify, before: Health, after: Health) -> Vec<String> {
        let notices = of_end(notify, &run(RunState::Failed), before, after, "tail");
        notices.iter().map(|notice| format!("{} {}", notice.event, notice.channel)).collect()
    }

    #[test]
    fn people_are_told_of_changes_and_pings_of_every_run() {
        use Health::{Bad, Good, Unknown};
        let notify = Notify {
            on_success: Some(tell()),
            on_failure: Some(tell()),
            on_change: Some(tell()),
            on_missed: None,
            ping: Some(Secret::new("http://h/uuid")),
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
        assert!(of_end(&Notify::default(), &run(RunState::Failed), Unknown, Bad, "").is_empty());
    }

    #[test]
    fn a_ping_has_its_ending_before_the_question_mark() {
        let notify =
            Notify { ping: Some(Secret::new("https://h/uuid/?create=1")), ..Notify::default() };
        for (event, wanted) in [
            ("start", "https://h/uuid/start?create=1"),
            ("success", "https://h/uuid?create=1"),
            ("failure", "https://h/uuid/fail?create=1"),
        ] {
            let Some(NotifyTarget::Ping(address)) = target(&notify, event, "heartbeat") else {
                panic!()
            };
            assert_eq!(address.reveal(), wanted);
        }
        assert!(target(&notify, "failure", "webhook").is_none());
    }

    #[test]
    fn the_body_has_the_facts_under_their_names_and_a_sentence() {
        let body = body(&run(RunState::Failed), "failure");
        assert_eq!(body["event"], "failure");
        assert_eq!(body["job"], "a");
        assert_eq!(body["text"], "portolan: `a` failed: 530 no");
    }
}
