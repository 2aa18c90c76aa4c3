//! The history of runs, with its filters.

use axum::response::Response;
use maud::{Markup, html};

use super::layout::{badge, encoded, foreign, page as whole, table, time, took};
use crate::{
    observe::format_size,
    store::history::{HistoryRun, RunState},
    web::{access::Caller, params::RunsQuery},
};

/// Returns the list of runs; `last` is the number of the last one if there are more.
pub(super) fn page(
    runs: &[HistoryRun],
    last: Option<i64>,
    query: &RunsQuery,
    caller: &Caller,
) -> Response {
    let content = html! {
        h1 { "Runs" }
        (filter(query))
        div #runs data-live { (list(runs)) }
        @if let Some(last) = last {
            p { a rel="next" href=(older(query, last)) { "Older runs" } }
        }
    };
    whole("Runs", "/runs", caller, &content)
}

fn older(query: &RunsQuery, last: i64) -> String {
    let parts = [
        ("job", query.job.as_deref()),
        ("since", query.since.as_deref()),
        ("until", query.until.as_deref()),
        ("outcome", query.outcome.as_deref()),
        ("failed", query.is_failed().then_some("true")),
    ];
    let parts = parts.iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some(format!("{name}={}&", encoded(value)))
    });
    format!("/runs?{}cursor={last}", parts.collect::<String>())
}

fn filter(query: &RunsQuery) -> Markup {
    let value = |text: &Option<String>| text.clone().unwrap_or_default();
    let outcome = value(&query.outcome);
    html! {
        form.filter method="get" action="/runs" role="search" {
            label { "Job " input type="search" name="job" value=(value(&query.job)); }
            label { "Since " input name="since" value=(value(&query.since)) placeholder="24h or yesterday"; }
            label { "Until " input name="until" value=(value(&query.until)) placeholder="2026-03-09"; }
            label {
                "Outcome "
                select name="outcome" {
                    option value="" { "all" }
                    @for one in RunState::NAMES {
                        option value=(one) selected[**one == *outcome] { (one) }
                    }
                }
            }
            label { input type="checkbox" name="failed" value="true" checked[query.is_failed()]; " failed, in full or in part" }
            button { "Filter" }
        }
    }
}

/// Returns a table of runs.
pub(super) fn list(runs: &[HistoryRun]) -> Markup {
    let rows = html! { @for run in runs { (row(run)) } };
    let heads = ["Run", "Job", "Due", "Outcome", "Took", "Files", "Size", "Remarks"];
    html! {
        @if runs.is_empty() { p { "No runs." } } @else { (table("Runs", &heads, &rows)) }
    }
}

fn row(run: &HistoryRun) -> Markup {
    let is_run = run.attempts > 0;
    html! {
        tr {
            th scope="row" data-label="Run" { a href={ "/runs/" (run.id) } { (run.id) } }
            td data-label="Job" { a href={ "/runs?job=" (encoded(&run.job)) } { (foreign(&run.job)) } }
            td data-label="Due" { @if let Some(at) = run.scheduled_for.or(run.started_at) { (time(at)) } }
            td data-label="Outcome" { (badge(run.state.as_str())) }
            td.number data-label="Took" { (took(seconds(run))) }
            td.number data-label="Files" { @if is_run { (run.sum.files) } }
            td.number data-label="Size" { @if is_run { (size(run.sum.bytes)) } }
            td data-label="Remarks" { (remarks(run)) }
        }
    }
}

/// Returns the duration of a run that has ended.
pub(super) fn seconds(run: &HistoryRun) -> Option<f64> {
    let has_run = run.state != RunState::Skipped;
    let times = run.started_at.zip(run.ended_at).filter(|_| has_run);
    times.map(|(start, end)| end.duration_since(start).as_secs_f64())
}

/// Formats a number of bytes.
pub(super) fn size(bytes: i64) -> String {
    format_size(u64::try_from(bytes).unwrap_or(0))
}

fn remarks(run: &HistoryRun) -> Markup {
    let mut parts = Vec::new();
    if run.attempts > 1 {
        parts.push(format!("{} attempts", run.attempts));
    }
    if run.cause.as_str() != "schedule" {
        parts.push(run.cause.as_str().to_owned());
    }
    if run.covers > 1 {
        parts.push(format!("for {} slots", run.covers));
    }
    if run.fallbacks > 0 {
        parts.push("fell back".to_owned());
    }
    html! {
        (parts.join(", "))
        @if let Some(error) = &run.sum.error { div.error { (foreign(error)) } }
        // That a slot was skipped for a pause is no failure.
        @else if let Some(reason) = &run.reason { div.about { (foreign(reason)) } }
    }
}
