//! The frame of every page, and the parts that several pages have. Every text is escaped by the templates; what came
//! from servers and scripts has its control characters made visible before.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, tz::TimeZone};
use maud::{DOCTYPE, Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    observe::{format_duration, visible::visible},
    store::tokens::TokenRole,
    web::{access::Caller, assets::VERSION},
};

/// The characters of a segment of a path that are not encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The pages of the navigation: address and name.
const PAGES: [(&str, &str); 4] =
    [("/", "Jobs"), ("/runs", "Runs"), ("/calendar", "Calendar"), ("/servers", "Servers")];

/// The page of the machines, if several share the schedule.
const MACHINES: (&str, &str) = ("/machines", "Machines");

/// True if several machines share the schedule of this process.
static IS_SHARED: AtomicBool = AtomicBool::new(false);

/// Adds the page of the machines to the navigation.
pub(in crate::web) fn show_machines() {
    IS_SHARED.store(true, Ordering::Relaxed);
}

/// Returns the pages of the navigation.
fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    let machines = IS_SHARED.load(Ordering::Relaxed).then_some(MACHINES);
    PAGES.into_iter().chain(machines)
}

/// The results of actions, by the word in the address.
const NOTES: [(&str, &str); 4] = [
    ("triggered", "A run was asked for; it begins as soon as it may."),
    (
        "paused",
        "The job is paused: slots that are due meanwhile are skipped, a run in progress continues.",
    ),
    ("resumed", "The job is resumed; slots missed during the pause are not run."),
    ("stopping", "The run was asked to stop at its next file."),
];

/// Returns a whole page. `current` is the address of its entry in the navigation.
pub(super) fn page(title: &str, current: &str, caller: &Caller, content: &Markup) -> Response {
    let version = &*VERSION;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · portolan" }
                link rel="icon" type="image/svg+xml" href={ "/assets/icon.svg?v=" (version) };
                link rel="stylesheet" href={ "/assets/style.css?v=" (version) };
                script src={ "/assets/page.js?v=" (version) } defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/" { "portolan" }
                    nav aria-label="Pages" {
                        @for (address, name) in pages() {
                            a href=(address) aria-current=[(address == current).then_some("page")] {
                                (name)
                            }
                        }
                    }
                    (account(caller))
                }
                main #main tabindex="-1" { (content) }
                p #announce .hidden role="status" aria-live="polite" {}
                footer {
                    "portolan " (env!("CARGO_PKG_VERSION")) " · times in " (zone_name()) " · "
                    a href="/api/v1/openapi.json" { "API" }
                }
            }
        }
    };
    html_page(markup)
}

/// Returns a response with this markup.
fn html_page(markup: Markup) -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

fn account(caller: &Caller) -> Markup {
    html! {
        div.account {
            @match caller.name() {
                Some(name) => {
                    span { (name) " (" (caller.role().map_or("", TokenRole::as_str)) ")" }
                    form method="post" action="/logout" {
                        (csrf(caller))
                        button.quiet { "Log out" }
                    }
                }
                None => a href="/login" { "Log in" },
            }
        }
    }
}

/// Returns the field of a form with the text of the session.
pub(super) fn csrf(caller: &Caller) -> Markup {
    html! { input type="hidden" name="csrf" value=(caller.csrf()); }
}

/// Returns true if a person may act; programs have no use for forms.
pub(super) fn may_act(caller: &Caller) -> bool {
    matches!(caller, Caller::Person { role: TokenRole::Operate, .. })
}

/// Returns the result of an action for the word in the address.
pub(super) fn note(word: Option<&str>) -> Markup {
    let text = NOTES.iter().find(|(name, _)| Some(*name) == word).map(|(_, text)| *text);
    html! { @if let Some(text) = text { p.note role="status" { (text) } } }
}

/// Returns the address of a job.
pub(super) fn job_address(name: &str) -> String {
    format!("/jobs/{}", utf8_percent_encode(name, SEGMENT))
}

/// Encodes a value for the query of an address.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Returns the name of the zone in which pages show times.
fn zone_name() -> String {
    let zone = TimeZone::system();
    zone.iana_name().unwrap_or("UTC").to_owned()
}

/// Returns a time in the zone of the host.
pub(super) fn time(at: Timestamp) -> Markup {
    let zoned = at.to_zoned(TimeZone::system());
    let form = if zoned.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    html! { time datetime=(at.to_string()) { (zoned.strftime(form).to_string()) } }
}

/// Returns a time that a document has as text.
pub(super) fn time_of(text: Option<&str>) -> Markup {
    let at = text.and_then(|text| text.parse::<Timestamp>().ok());
    html! { @if let Some(at) = at { (time(at)) } }
}

/// Returns the time until `at`, in words.
pub(super) fn until(at: Option<&str>, now: Timestamp) -> String {
    let at = at.and_then(|text| text.parse::<Timestamp>().ok());
    let seconds = at.map(|at| at.duration_since(now).as_secs()).filter(|seconds| *seconds >= 0);
    seconds.map(|seconds| format!("in {}", span(seconds))).unwrap_or_default()
}

/// Formats a span of time: `3 d 4 h`, `4 h 12 min`, `12 min`, `40 s`.
fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Formats a duration in seconds.
pub(super) fn took(seconds: Option<f64>) -> String {
    let time = seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    time.map(format_duration).unwrap_or_default()
}

/// Returns the badge of an outcome: its word, so that no reader depends on its colour.
pub(super) fn badge(outcome: &str) -> Markup {
    html! { span class={ "badge " (outcome) } { (outcome) } }
}

/// Returns a text of a server or a script, in one line.
pub(super) fn foreign(text: &str) -> String {
    visible(text)
}

/// Returns a table with a caption for screen readers, which scrolls by itself on narrow screens.
pub(super) fn table(caption: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption.hidden { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_written_is_text_and_no_markup() {
        let hostile = "<script>alert(1)</script>\" onload='x' &amp; \u{202e}\n";
        let markup = html! { p title=(foreign(hostile)) { (foreign(hostile)) } }.into_string();
        assert!(!markup.contains("<script") && !markup.contains("\" onload"), "{markup}");
        assert!(markup.contains("&lt;script&gt;") && markup.contains("\\n"), "{markup}");
        assert!(!markup.contains('\u{202e}'), "{markup}");
        assert_eq!(job_address("a/../b?c#d"), "/jobs/a%2F..%2Fb%3Fc%23d");
    }

    #[test]
    fn spans_are_told_in_two_units() {
        let told = [5, 60, 3_600, 90_000].map(span);
        assert_eq!(told, ["5 s", "1 min", "1 h 0 min", "1 d 1 h"]);
        let now = Timestamp::from_second(0).unwrap();
        assert_eq!(until(Some("1970-01-01T00:00:05Z"), now), "in 5 s");
        assert_eq!((until(None, now), took(Some(1.5))), (String::new(), "1.5 s".into()));
    }
}
