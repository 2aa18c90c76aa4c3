//! The page of one run: facts, bytes over time, attempts, files, fallbacks, notifications, the live log.

use axum::response::Response;
use maud::{Markup, html};

use super::chart;
use super::layout::{
    badge, csrf, encoded, foreign, may_act, note, page as whole, table, time, took,
};
use super::runs::{seconds, size};
use crate::{
    store::history::RunState,
    web::{access::Caller, documents::RunDetails},
};

/// The maximum number of files that the page lists; the API has all that are kept.
const FILES_SHOWN: usize = 200;

/// Returns the page of a run with the end of its log.
pub(super) fn page(
    details: &RunDetails,
    log: Option<&(String, u64)>,
    result: Option<&str>,
    caller: &Caller,
) -> Response {
    let run = &details.run;
    let is_live = run.state == RunState::Running;
    let title = format!("Run {} of {}", run.id, foreign(&run.job));
    let content = html! {
        h1 { (title) }
        (note(result))
        div #run data-live data-run=(run.id) {
            p { (badge(run.state.as_str())) }
            @if let Some(error) = &run.sum.error { p.error role="alert" { (foreign(error)) } }
            (facts(details))
            @if is_live && run.slot.is_some() && may_act(caller) {
                form method="post" action={ "/runs/" (run.id) "/stop" }
                    data-confirm="Stop this run at its next file?" {
                    (csrf(caller))
                    button.danger { "Stop" }
                }
            }
            (chart::picture(&details.attempts, &details.progress))
            (attempts(details))
            (fallbacks(details))
            (files(details))
            (notices(details))
        }
        @if let Some((text, length)) = log { (log_text(run.id, text, *length, is_live)) }
    };
    whole(&title, "/runs", caller, &content)
}

fn facts(details: &RunDetails) -> Markup {
    let run = &details.run;
    let moved = run.moved_from.as_ref();
    html! {
        dl.facts {
            div { dt { "Job" } dd { a href={ "/runs?job=" (encoded(&run.job)) } { (foreign(&run.job)) } } }
            @if let Some(at) = run.scheduled_for {
                div { dt { "Due" } dd {
                    (time(at))
                    @if let Some(from) = moved { " (moved: there was no " (from) ")" }
                } }
            }
            div { dt { "By" } dd { (run.cause.as_str()) } }
            @if let Some(at) = run.started_at { div { dt { "Began" } dd { (time(at)) } } }
            @if let Some(at) = run.ended_at { div { dt { "Ended" } dd { (time(at)) } } }
            @if let Some(seconds) = seconds(run) { div { dt { "Took" } dd { (took(Some(seconds))) } } }
            @if run.covers > 1 { div { dt { "Covers" } dd { (run.covers) " slots" } } }
            div { dt { "Files" } dd { (run.sum.files) } }
            div { dt { "Size" } dd { (size(run.sum.bytes)) } }
            @if let Some(route) = &run.sum.route { div { dt { "Data connections" } dd { (foreign(route)) } } }
            @if let Some(reason) = &run.reason { div { dt { "Why" } dd { (foreign(reason)) } } }
            div { dt { "Script" } dd { code { (foreign(&run.script)) } } }
        }
    }
}

fn attempts(details: &RunDetails) -> Markup {
    let rows = html! {
        @for one in &details.attempts {
            tr {
                th scope="row" data-label="Attempt" { (one.number) }
                td data-label="Began" { (time(one.started_at)) }
                td data-label="Outcome" { (badge(one.state.as_str())) }
                td.number data-label="Files" { (one.sum.files) }
                td.number data-label="Size" { (size(one.sum.bytes)) }
                td data-label="Error" { (foreign(one.sum.error.as_deref().unwrap_or_default())) }
            }
        }
    };
    let heads = ["Attempt", "Began", "Outcome", "Files", "Size", "Error"];
    html! {
        @if !details.attempts.is_empty() { h2 { "Attempts" } (table("Attempts", &heads, &rows)) }
    }
}

fn fallbacks(details: &RunDetails) -> Markup {
    let rows = html! {
        @for one in &details.fallbacks {
            tr {
                th scope="row" data-label="Server" { (foreign(&one.host)) }
                td data-label="From" { (foreign(&one.from)) }
                td data-label="To" { (foreign(&one.to)) }
                td data-label="Reason" { (foreign(&one.reason)) }
            }
        }
    };
    let heads = ["Server", "From", "To", "Reason"];
    html! {
        @if !details.fallbacks.is_empty() { h2 { "Fallbacks" } (table("Fallbacks", &heads, &rows)) }
    }
}

fn files(details: &RunDetails) -> Markup {
    let rows = html! {
        @for one in details.files.iter().take(FILES_SHOWN) {
            tr {
                th scope="row" data-label="Path" { (foreign(&one.path)) }
                td data-label="What" { (foreign(&one.verb)) }
                td.number data-label="Size" { (size(one.bytes)) }
                td data-label="Remarks" {
                    @match &one.error {
                        Some(error) => span.error { (foreign(error)) },
                        None if one.verified || one.verb == "delete" => {}
                        None => "not verified",
                    }
                }
            }
        }
    };
    let more = details.files.len().saturating_sub(FILES_SHOWN);
    html! {
        @if !details.files.is_empty() {
            h2 { "Files" }
            (table("Files", &["Path", "What", "Size", "Remarks"], &rows))
            @if more > 0 { p { "and " (more) " more" } }
        }
    }
}

fn notices(details: &RunDetails) -> Markup {
    let rows = html! {
        @for one in &details.notices {
            tr {
                th scope="row" data-label="Event" { (foreign(&one.what.event)) }
                td data-label="Channel" { (foreign(&one.what.channel)) }
                td data-label="Outcome" { (foreign(&one.outcome.replace('_', " "))) }
                td.number data-label="Tries" { (one.tries) }
                td data-label="Error" { (foreign(one.error.as_deref().unwrap_or_default())) }
            }
        }
    };
    let heads = ["Event", "Channel", "Outcome", "Tries", "Error"];
    html! {
        @if !details.notices.is_empty() { h2 { "Notifications" } (table("Notifications", &heads, &rows)) }
    }
}

fn log_text(id: i64, text: &str, length: u64, is_live: bool) -> Markup {
    let address = format!("/api/v1/runs/{id}/log");
    let is_cut = (text.len() as u64) < length;
    html! {
        h2 #log-title { "Log" }
        p {
            @if is_cut { "The beginning is left out: " }
            a href=(address) { "the whole log as text" }
        }
        pre #log tabindex="0" role="log" aria-labelledby="log-title" data-log=(address)
            data-offset=(length) data-follow=[is_live.then_some("")] {
            @for line in text.lines() { (foreign(line)) "\n" }
        }
    }
}
