//! The list of jobs, and the page of one job.

use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};

use super::layout::{
    badge, csrf, encoded, foreign, job_address, may_act, note, page as whole, table, time, time_of,
    took, until,
};
use super::runs;
use crate::{
    schedule::{
        jobs::Job,
        overview::{JobOverview, RecentSlot},
    },
    store::history::HistoryRun,
    web::{
        access::Caller,
        documents::ListPart,
        params::{JOB_STATES, JobsQuery},
    },
};

/// The number of slots to come that the page of a job shows.
const SLOTS_SHOWN: usize = 5;

/// Returns the list of jobs.
pub(super) fn page(
    part: &ListPart<JobOverview>,
    count: usize,
    query: &JobsQuery,
    caller: &Caller,
    now: Timestamp,
) -> Response {
    let rows = html! { @for job in &part.all { (row(job, caller, now)) } };
    let heads =
        ["Job", "Schedule", "Last run", "Last 30 slots", "Next run", "Success", "Takes", "Actions"];
    let heads = heads.get(..if may_act(caller) { 8 } else { 7 }).unwrap_or_default();
    let next = part.all.last().filter(|_| part.has_more).map(|last| next_address(query, &last.job));
    let content = html! {
        h1 { "Jobs" }
        (note(query.note.as_deref()))
        (filter(query, count))
        div #jobs data-live {
            @if part.all.is_empty() { p { "No job matches." } } @else { (table("Jobs", heads, &rows)) }
        }
        @if let Some(next) = next { p { a rel="next" href=(next) { "More jobs" } } }
    };
    whole("Jobs", "/", caller, &content)
}

fn next_address(query: &JobsQuery, last: &str) -> String {
    let part = |name: &str, value: &Option<String>| {
        let value = value.as_deref().filter(|value| !value.is_empty());
        value.map(|value| format!("{name}={}&", encoded(value))).unwrap_or_default()
    };
    let (q, state) = (part("q", &query.q), part("state", &query.state));
    format!("/?{q}{state}cursor={}", encoded(last))
}

fn filter(query: &JobsQuery, count: usize) -> Markup {
    let state = query.state.as_deref().unwrap_or_default();
    html! {
        form.filter method="get" action="/" role="search" {
            label { "Name " input type="search" name="q" value=(query.q.as_deref().unwrap_or_default()); }
            label {
                "State "
                select name="state" {
                    option value="" { "all" }
                    @for one in JOB_STATES { option value=(one) selected[one == state] { (one) } }
                }
            }
            button { "Filter" }
            span.count { (count) @if count == 1 { " job" } @else { " jobs" } " in the file" }
        }
    }
}

fn row(job: &JobOverview, caller: &Caller, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" data-label="Job" {
                a href=(job_address(&job.job)) { (job.job) }
                @if let Some(text) = &job.description { div.about { (foreign(text)) } }
                (tags(job))
            }
            td data-label="Schedule" { (schedule(job)) }
            td data-label="Last run" { (last(job)) }
            td data-label="Last 30 slots" { (strip(&job.recent, false)) }
            td data-label="Next run" { (next(job, now)) }
            td data-label="Success" { (rate(job)) }
            td data-label="Takes" { (takes(job)) }
            @if may_act(caller) { td data-label="Actions" { (actions(job, caller, false)) } }
        }
    }
}

fn tags(job: &JobOverview) -> Markup {
    html! {
        @if !job.tags.is_empty() { div.about { @for tag in &job.tags { span.tag { (foreign(tag)) } " " } } }
    }
}

fn schedule(job: &JobOverview) -> Markup {
    html! {
        @match (&job.schedule, &job.after[..]) {
            (Some(text), _) => {
                code { (text) }
                div.about { (job.timezone.as_deref().unwrap_or_default()) }
            }
            (None, []) if job.files.is_some() => {},
            (None, []) => "when it is triggered",
            (None, all) => { "after " (all.join(", ")) }
        }
        @if let Some(words) = &job.files { div { (foreign(words)) } }
    }
}

fn last(job: &JobOverview) -> Markup {
    html! {
        @match &job.last {
            Some(last) => {
                a href={ "/runs/" (last.run) } { (badge(last.outcome)) }
                " " (time_of(last.at.as_deref()))
                @if let Some(error) = &last.error { div.error { (foreign(error)) } }
            }
            None => span.about { "never" },
        }
        @if let Some(at) = &job.late_since {
            div { (badge("late")) " since " (time_of(Some(at))) }
        }
    }
}

fn next(job: &JobOverview, now: Timestamp) -> Markup {
    html! {
        @if job.running { div { (badge("running")) } }
        @if job.paused {
            (badge("paused"))
            @if let Some(reason) = &job.pause_reason { div.about { (foreign(reason)) } }
        } @else if !job.enabled {
            (badge("disabled"))
        } @else if job.next.is_none() && job.files.is_some() {
            "when a file arrives"
        } @else {
            (time_of(job.next.as_deref()))
            div.about { (until(job.next.as_deref(), now)) }
        }
    }
}

fn rate(job: &JobOverview) -> Markup {
    let percent = (job.succeeded_30d * 100).checked_div(job.runs_30d);
    html! {
        @if let Some(percent) = percent {
            (percent) " %" div.about { "of " (job.runs_30d) " in 30 days" }
        }
    }
}

fn takes(job: &JobOverview) -> Markup {
    let change = match (job.seconds, job.seconds_before) {
        (Some(now), Some(before)) if before > 0.0 && now > before * 1.5 => "slower",
        (Some(now), Some(before)) if now * 1.5 < before => "faster",
        _ => "",
    };
    html! { (took(job.seconds)) @if !change.is_empty() { div.about { (change) } } }
}

/// Returns the last slots as a strip, the oldest on the left. A screen reader hears it in one sentence, unless
/// `is_list` makes it one of links.
fn strip(recent: &[RecentSlot], is_list: bool) -> Markup {
    let cell = |slot: &RecentSlot| {
        let at = slot.at.as_deref().unwrap_or_default();
        let title = format!("run {}: {} {at} {}", slot.run, slot.outcome, took(slot.seconds));
        let focus = (!is_list).then_some("-1");
        html! {
            a class={ "slot " (slot.outcome) } href={ "/runs/" (slot.run) } title=(title.trim())
                tabindex=[focus] aria-label=[is_list.then(|| title.trim())] { (mark(slot.outcome)) }
        }
    };
    html! {
        @if recent.is_empty() {
            @if !is_list { span.about { (summary(recent)) } }
        } @else if is_list {
            div.strip role="list" aria-label="The last slots, the oldest first" {
                @for slot in recent.iter().rev() { span role="listitem" { (cell(slot)) } }
            }
        } @else {
            span.hidden { (summary(recent)) }
            span.strip aria-hidden="true" { @for slot in recent.iter().rev() { (cell(slot)) } }
        }
    }
}

/// Returns the mark of an outcome in a strip, for people who do not see its colour.
const fn mark(outcome: &str) -> &'static str {
    match outcome.as_bytes() {
        b"failed" => "×",
        b"partial" => "!",
        b"skipped" => "–",
        b"interrupted" => "/",
        b"running" => "▸",
        b"waiting" => "…",
        _ => "",
    }
}

/// Returns what a strip shows as a sentence.
fn summary(recent: &[RecentSlot]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for slot in recent {
        match counts.iter_mut().find(|(outcome, _)| *outcome == slot.outcome) {
            Some((_, count)) => *count += 1,
            None => counts.push((slot.outcome, 1)),
        }
    }
    let parts: Vec<_> =
        counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if parts.is_empty() { "no slots yet".to_owned() } else { parts.join(", ") }
}

/// Returns the forms of the actions; that of a pause asks for a reason on the page of the job.
fn actions(job: &JobOverview, caller: &Caller, has_reason: bool) -> Markup {
    let address = job_address(&job.job);
    let form = |action: &str, name: &str, more: &Markup| {
        html! {
            form method="post" action={ (address) "/" (action) } {
                (csrf(caller))
                (more)
                button aria-label={ (name) ": " (job.job) } { (name) }
            }
        }
    };
    let reason = html! {
        @if has_reason {
            label { "Reason " input name="reason" maxlength="200" autocomplete="off"; }
        }
    };
    html! {
        div.actions {
            (form("trigger", "Run now", &html! {}))
            @if job.paused { (form("resume", "Resume", &html! {})) }
            @else { (form("pause", "Pause", &reason)) }
        }
    }
}

/// Returns the page of one job.
pub(super) fn one(
    overview: &JobOverview,
    job: &Job,
    runs: &[HistoryRun],
    result: Option<&str>,
    caller: &Caller,
    now: Timestamp,
) -> Response {
    let slots: Vec<_> = job
        .active_schedule()
        .map(|schedule| schedule.firings(now).take(SLOTS_SHOWN).collect())
        .unwrap_or_default();
    let content = html! {
        h1 { (overview.job) }
        @if let Some(text) = &overview.description { p { (foreign(text)) } }
        (tags(overview))
        (note(result))
        div #job data-live {
            dl.facts {
                div { dt { "Schedule" } dd { (schedule(overview)) } }
                div { dt { "Last run" } dd { (last(overview)) } }
                @if let Some(at) = &overview.last_success {
                    div { dt { "Last success" } dd { (time_of(Some(at))) } }
                }
                div { dt { "Next run" } dd { (next(overview, now)) } }
                @if overview.runs_30d > 0 { div { dt { "Success" } dd { (rate(overview)) } } }
                @if overview.seconds.is_some() { div { dt { "Takes" } dd { (takes(overview)) } } }
                div { dt { "Script" } dd { code { (foreign(&job.script.to_string_lossy())) } } }
            }
            (strip(&overview.recent, true))
        }
        @if may_act(caller) { (actions(overview, caller, true)) }
        h2 { "Runs" }
        div #runs data-live { (runs::list(runs)) }
        p { a href={ "/runs?job=" (encoded(&overview.job)) } { "All runs of this job" } }
        @if !slots.is_empty() {
            h2 { "Next slots" }
            @if overview.paused { p.about { "They are skipped unless the job is resumed." } }
            ul { @for slot in &slots { li { (time(slot.at)) } } }
        }
    };
    whole(&overview.job, "/", caller, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(run: i64, outcome: &'static str) -> RecentSlot {
        RecentSlot { run, outcome, at: None, seconds: Some(2.0) }
    }

    #[test]
    fn a_strip_is_a_sentence_for_screen_readers_and_has_marks_besides_colours() {
        let recent = [slot(3, "failed"), slot(2, "done"), slot(1, "done")];
        assert_eq!(summary(&recent), "1 failed, 2 done");
        assert_eq!(summary(&[]), "no slots yet");
        let text = strip(&recent, false).into_string();
        assert!(text.contains("<span class=\"hidden\">1 failed, 2 done</span>"), "{text}");
        let order: Vec<_> = ["/runs/1", "/runs/2", "/runs/3"].map(|run| text.find(run)).into();
        assert!(order.is_sorted() && order.iter().all(Option::is_some), "{text}");
        assert!(text.contains(">×</a>") && text.contains("tabindex=\"-1\""), "{text}");
        assert!(!strip(&recent, true).into_string().contains("tabindex"));
        assert_eq!(strip(&[], true).into_string(), "");
        assert!(strip(&[], false).into_string().contains(">no slots yet<"));
    }
}
