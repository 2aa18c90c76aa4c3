//! The pages for people: what the documents of the API say, as HTML, and forms for the actions.

mod calendar;
mod chart;
mod jobs;
mod layout;
mod login;
mod machines;
mod run;
mod runs;
mod servers;

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;
use serde_json::Map;

pub(super) use self::login::{log_in, log_out, login};
use super::{
    access::Caller,
    answer::shown,
    documents,
    gate::check_csrf,
    params::{
        self, ActionForm, FromCaller, JobsQuery, PathText, RunsQuery, SharedWeb, checked_reason,
        run_id, segment,
    },
};
use crate::error::{Error, Result};

/// The number of jobs that a page lists: with a thousand runs of each, it is there in a fraction of a second.
const JOBS_SHOWN: u32 = 50;
/// The number of runs that the page of a job lists.
const RUNS_OF_JOB: &str = "limit=30";

/// Returns the page for a request that is refused.
pub(super) fn refused(status: StatusCode, message: &str, fault: &Error) -> Response {
    let code = fault.stable_code();
    let hint = fault.name.and_then(|_| crate::error::codes::explain(code)).map(|row| row.remedy);
    let content = html! {
        h1 { (status.canonical_reason().unwrap_or("Refused")) }
        p role="alert" { (message) }
        @if let Some(hint) = hint { p { (hint) } }
        p { a href="/" { "All jobs" } }
    };
    layout::page("Refused", "", &Caller::Anonymous, &content)
}

fn answer(result: Result<Response>) -> Response {
    result.unwrap_or_else(|fault| {
        let (status, message) = shown(&fault);
        (status, refused(status, &message, &fault)).into_response()
    })
}

pub(super) async fn jobs(
    State(web): SharedWeb,
    Extension(caller): FromCaller,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let found = async {
        let query: JobsQuery = params::query(&uri)?;
        let (jobs, now, most) = (web.view.jobs(), web.clock.now(), query.checked(JOBS_SHOWN)?);
        let (all, asked) = (Arc::clone(&jobs), query.clone());
        let part = web.stores.with(move |store| documents::jobs(store, &all, &asked, most, now));
        Ok(jobs::page(&part.await?, jobs.all.len(), &query, &caller, now))
    };
    answer(found.await)
}

pub(super) async fn job(
    State(web): SharedWeb,
    Extension(caller): FromCaller,
    name: PathText,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let found = async {
        let query: JobsQuery = params::query(&uri)?;
        let (job, now) = (web.job(&segment(name)?)?, web.clock.now());
        let shown = Arc::clone(&job);
        let of_job = format!("/?{RUNS_OF_JOB}&job={}", layout::encoded(&job.name));
        let filter = of_job.parse::<Uri>().map_err(|_| Error::invalid("no such job"))?;
        let filter = params::query::<RunsQuery>(&filter)?.filter(now)?;
        let read = web.stores.with(move |store| {
            Ok((documents::job(store, &job, now)?, store.runs_matching(&filter)?))
        });
        let (overview, runs) = read.await?;
        Ok(jobs::one(&overview, &shown, &runs, query.note.as_deref(), &caller, now))
    };
    answer(found.await)
}

pub(super) async fn runs(
    State(web): SharedWeb,
    Extension(caller): FromCaller,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let found = async {
        let query: RunsQuery = params::query(&uri)?;
        let filter = query.filter(web.clock.now())?;
        let most = usize::try_from(filter.most).unwrap_or(usize::MAX);
        let found = web.stores.with(move |store| store.runs_matching(&filter)).await?;
        let last = found.last().map(|run| run.id).filter(|_| found.len() >= most);
        Ok(runs::page(&found, last, &query, &caller))
    };
    answer(found.await)
}

pub(super) async fn run(
    State(web): SharedWeb,
    Extension(caller): FromCaller,
    id: PathText,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let found = async {
        let query: RunsQuery = params::query(&uri)?;
        let details = web.run(run_id(id)?).await?;
        let path =
            crate::schedule::child::log::path(&web.stores.folder, &details.run.job, details.run.id);
        let row = details.run.clone();
        let log = web.stores.with(move |store| super::log::tail(store, &row, &path)).await.ok();
        Ok(run::page(&details, log.as_ref(), query.note.as_deref(), &caller))
    };
    answer(found.await)
}

pub(super) async fn calendar(State(web): SharedWeb, Extension(caller): FromCaller) -> Response {
    let found = async {
        let (jobs, now) = (web.view.jobs(), web.clock.now());
        let view = Arc::clone(&web.view);
        let read = move |store: &mut crate::store::Store| {
            calendar::read(store, &jobs, &view.coming(&jobs, now), now)
        };
        let hours = web.stores.with(read).await?;
        Ok(calendar::page(&hours, &caller))
    };
    answer(found.await)
}

pub(super) async fn servers(State(web): SharedWeb, Extension(caller): FromCaller) -> Response {
    let found = async {
        let records = web.stores.with_own(|store| store.servers()).await?;
        Ok(servers::page(&records, &caller))
    };
    answer(found.await)
}

pub(super) use self::layout::show_machines;

pub(super) async fn machines(State(web): SharedWeb, Extension(caller): FromCaller) -> Response {
    let found = async { Ok(machines::page(&web.machines().await?, &caller)) };
    answer(found.await)
}

/// Reads the form of an action, and checks that it comes from a page of this session.
async fn action(caller: &Caller, body: Body) -> Result<ActionForm> {
    let form: ActionForm = params::form(body).await?;
    check_csrf(caller, Some(&form.csrf))?;
    Ok(form)
}

/// Goes to `address` with the word for the result.
fn done(address: &str, note: &str) -> Response {
    Redirect::to(&format!("{address}?note={note}")).into_response()
}

pub(super) async fn trigger(
    State(web): SharedWeb,
    name: PathText,
    Extension(caller): FromCaller,
    body: Body,
) -> Response {
    let asked = async {
        let (name, _) = (segment(name)?, action(&caller, body).await?);
        let run = web.trigger(&name, Map::new(), &caller).await?;
        let address = match run.get("id").and_then(serde_json::Value::as_i64) {
            Some(id) => format!("/runs/{id}"),
            None => layout::job_address(&name),
        };
        Ok(done(&address, "triggered"))
    };
    answer(asked.await)
}

pub(super) async fn pause(
    State(web): SharedWeb,
    name: PathText,
    Extension(caller): FromCaller,
    body: Body,
) -> Response {
    let paused = async {
        let (name, form) = (segment(name)?, action(&caller, body).await?);
        web.pause(&name, Some(checked_reason(form.reason)?), &caller).await?;
        Ok(done(&layout::job_address(&name), "paused"))
    };
    answer(paused.await)
}

pub(super) async fn resume(
    State(web): SharedWeb,
    name: PathText,
    Extension(caller): FromCaller,
    body: Body,
) -> Response {
    let resumed = async {
        let (name, _) = (segment(name)?, action(&caller, body).await?);
        web.pause(&name, None, &caller).await?;
        Ok(done(&layout::job_address(&name), "resumed"))
    };
    answer(resumed.await)
}

pub(super) async fn stop(
    State(web): SharedWeb,
    id: PathText,
    Extension(caller): FromCaller,
    body: Body,
) -> Response {
    let stopped = async {
        let (id, _) = (run_id(id)?, action(&caller, body).await?);
        web.stop(id, &caller).await?;
        Ok(done(&format!("/runs/{id}"), "stopping"))
    };
    answer(stopped.await)
}
