//! The text of a notification for people, from the facts of a notice. Pure.

use serde_json::Value;

use crate::{
    observe::{counted, format_size},
    schedule::jobs::{Templates, fill_template},
};

/// A notification for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeText {
    /// The subject, of one line.
    pub subject: String,
    /// The lines of the text.
    pub text: String,
    /// The URL of the run on the page, if there is a page.
    pub link: Option<String>,
    /// True for good news.
    pub is_good: bool,
}

impl NoticeText {
    /// Returns the text for the facts of a notice, which are JSON.
    pub fn of(facts: &Value, templates: &Templates) -> Self {
        let usual = Self {
            subject: subject(facts),
            text: text(facts),
            link: Some(part(facts, "link")).filter(|link| !link.is_empty()),
            is_good: is_good(facts),
        };
        let filled = |template: &Option<String>| {
            template
                .as_ref()
                .map(|template| fill_template(template, |name| usual.value(facts, name)))
        };
        let (subject, text) = (filled(&templates.subject), filled(&templates.text));
        let subject = subject.map(|subject| one_line(&subject)).filter(|text| !text.is_empty());
        Self {
            subject: subject.unwrap_or_else(|| usual.subject.clone()),
            text: text.unwrap_or_else(|| usual.text.clone()),
            ..usual
        }
    }

    /// Returns the value of a name of a template.
    pub fn value(&self, facts: &Value, name: &str) -> String {
        match name {
            "subject" => self.subject.clone(),
            "text" => self.text.clone(),
            "run" => part(facts, "id"),
            "due" => part(facts, "scheduled_for"),
            "started" => part(facts, "started_at"),
            "ended" => part(facts, "ended_at"),
            name => part(facts, name),
        }
    }
}

fn is_good(facts: &Value) -> bool {
    match part(facts, "event").as_str() {
        "success" | "test" => true,
        "digest" => facts.get("failed").and_then(Value::as_u64) == Some(0),
        "change" => part(facts, "outcome") == "done",
        _ => false,
    }
}

fn part(facts: &Value, name: &str) -> String {
    match facts.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// Returns the predicate of the subject.
fn what(facts: &Value) -> String {
    match part(facts, "event").as_str() {
        "missed" => "was not run".into(),
        "late" => format!("is late: it was expected by {}", part(facts, "expected_by")),
        "slow" => format!("is slow: it has run for {}", part(facts, "running_for")),
        "empty" => "moved no file".into(),
        "remind" => format!("still fails, since {}", part(facts, "failing_since")),
        "test" => "test of a notification".into(),
        _ => match part(facts, "outcome").as_str() {
            "done" => "succeeded".into(),
            "partial" => "was done in part".into(),
            "skipped" => "was not run".into(),
            _ => "failed".into(),
        },
    }
}

fn subject(facts: &Value) -> String {
    let (job, host) = (part(facts, "job"), part(facts, "host"));
    let text = match part(facts, "event").as_str() {
        "digest" => format!("[portolan] {host}: {}", part(facts, "summary")),
        "test" => format!("[portolan] {job}: test of a notification from {host}"),
        _ => format!("[portolan] {job} {} on {host}", what(facts)),
    };
    one_line(&text)
}

/// Returns the text: the event, the facts with their names, and the end of the log.
fn text(facts: &Value) -> String {
    let (job, host) = (part(facts, "job"), part(facts, "host"));
    let event = part(facts, "event");
    let mut lines = match event.as_str() {
        "digest" => vec![part(facts, "lines")],
        "test" => vec![format!("This is a test of the notifications of {job} on {host}.")],
        _ => vec![format!("{job} {} on {host}.", what(facts))],
    };
    if event != "digest" {
        lines.push(String::new());
        lines.extend(rows(facts));
    }
    let log = part(facts, "log");
    if !log.is_empty() {
        lines.extend([String::new(), "End of its log:".into()]);
        lines.extend(log.lines().map(|line| format!("  {line}")));
    }
    let link = part(facts, "link");
    if !link.is_empty() {
        lines.extend([String::new(), link]);
    }
    if let Some(run) = facts.get("id").and_then(Value::as_i64).filter(|run| *run > 0) {
        lines.extend([String::new(), format!("More: portolan show {run}")]);
    }
    lines.join("\n").trim_end().to_owned() + "\n"
}

fn rows(facts: &Value) -> Vec<String> {
    let outcome = part(facts, "outcome");
    let number = |name: &str| facts.get(name).and_then(Value::as_u64);
    let moved = number("files").zip(number("bytes")).filter(|_| !outcome.is_empty());
    let moved =
        moved.map(|(files, bytes)| format!("{}, {}", counted(files, "file"), format_size(bytes)));
    let rows = [
        ("Error", part(facts, "error")),
        ("Reason", part(facts, "reason")),
        ("Job", part(facts, "job")),
        ("About", part(facts, "description")),
        ("Host", part(facts, "host")),
        ("Expected by", part(facts, "expected_by")),
        ("Due", part(facts, "scheduled_for")),
        ("Started", part(facts, "started_at")),
        ("Ended", part(facts, "ended_at")),
        (
            "Attempts",
            number("attempts")
                .filter(|count| *count > 0)
                .map_or_else(String::new, |n| n.to_string()),
        ),
        ("Moved", moved.unwrap_or_default()),
        ("Script", part(facts, "script")),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    rows.map(|(name, value)| format!("{:<13}{}", format!("{name}:"), one_line(&value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed() -> Value {
        json!({
            "event": "failure", "job": "nightly", "host": "gate", "outcome": "failed", "id": 7,
            "error": "530 no\r\nBcc: x", "files": 0, "bytes": 0, "attempts": 3, "log": "one\ntwo",
            "link": "https://h/runs/7", "description": null,
        })
    }

    #[test]
    fn a_failure_is_told_with_job_host_error_log_and_link() {
        let text = NoticeText::of(&failed(), &Templates::default());
        assert_eq!(text.subject, "[portolan] nightly failed on gate");
        assert_eq!(
            text.text,
            "nightly failed on gate.\n\nError:       530 no  Bcc: x\nJob:         nightly\nHost:        gate\n\
             Attempts:    3\nMoved:       0 files, 0 B\n\nEnd of its log:\n  one\n  two\n\nhttps://h/runs/7\n\n\
             More: portolan show 7\n"
        );
        assert_eq!((text.is_good, text.link.as_deref()), (false, Some("https://h/runs/7")));
    }

    #[test]
    fn each_event_has_its_own_subject() {
        for (event, wanted) in [
            ("missed", "[portolan] a was not run on h"),
            ("late", "[portolan] a is late: it was expected by 06:30 on h"),
            ("slow", "[portolan] a is slow: it has run for 2h on h"),
            ("empty", "[portolan] a moved no file on h"),
            ("remind", "[portolan] a still fails, since Monday on h"),
            ("digest", "[portolan] h: 3 of 4"),
            ("test", "[portolan] a: test of a notification from h"),
            ("success", "[portolan] a succeeded on h"),
        ] {
            let facts = json!({
                "event": event, "job": "a", "host": "h", "outcome": "done", "expected_by": "06:30",
                "running_for": "2h", "failing_since": "Monday", "summary": "3 of 4",
            });
            assert_eq!(NoticeText::of(&facts, &Templates::default()).subject, wanted);
        }
    }

    #[test]
    fn templates_get_values_and_a_subject_is_one_line() {
        let templates = Templates {
            subject: Some("{job}: {error} {".into()),
            text: Some("{subject}|{run}|{log}".into()),
        };
        let text = NoticeText::of(&failed(), &templates);
        assert_eq!(text.subject, "nightly: 530 no  Bcc: x {");
        assert_eq!(text.text, "[portolan] nightly failed on gate|7|one\ntwo");
    }
}
