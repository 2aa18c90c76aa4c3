//! The resources of the API. Their documents are the values of `--json` of the commands.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header::LINK},
    response::{IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{
    access::Caller,
    answer::{document, failure, shown},
    documents,
    gate::{check_csrf, header, is_for_programs},
    pages,
    params::{
        self, FromCaller, JobsQuery, LIMIT, NextQuery, NoBody, PathText, PauseBody, RunsQuery,
        SharedWeb, TriggerBody, run_id, segment,
    },
};
use crate::{
    error::{Error, ErrorKind, Origin, Result, web_codes::WEB_METHOD},
    schedule::facts,
};

/// The maximum bytes of the body of a request: a token, or the reason for a pause.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;
/// The maximum time for the body to arrive.
pub(super) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The header with the text of the session, which scripts of the page send.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// Answers with what was found, or with the error.
fn answer(result: Result<Response>) -> Response {
    result.unwrap_or_else(|fault| failure(&fault))
}

/// Adds the address of the next part of a list.
fn linked(mut response: Response, uri: &Uri, cursor: Option<String>) -> Response {
    let Some(cursor) = cursor else { return response };
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|part| !part.is_empty() && !part.starts_with("cursor="));
    let cursor = utf8_percent_encode(&cursor, NON_ALPHANUMERIC);
    let parts: Vec<_> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), parts.join("&"));
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(LINK, link);
    }
    response
}

pub(super) async fn jobs(State(web): SharedWeb, OriginalUri(uri): OriginalUri) -> Response {
    let found = async {
        let query: JobsQuery = params::query(&uri)?;
        let most = query.checked(LIMIT)?;
        let (jobs, now) = (web.view.jobs(), web.clock.now());
        let part =
            web.stores.with(move |store| documents::jobs(store, &jobs, &query, most, now)).await?;
        let last = part.all.last().map(|job| job.job.clone()).filter(|_| part.has_more);
        Ok(linked(document(&part.all), &uri, last))
    };
    answer(found.await)
}

pub(super) async fn job(State(web): SharedWeb, name: PathText) -> Response {
    let found = async {
        let (job, now) = (web.job(&segment(name)?)?, web.clock.now());
        let job = web.stores.with(move |store| documents::job(store, &job, now)).await?;
        Ok(document(&job))
    };
    answer(found.await)
}

pub(super) async fn runs(State(web): SharedWeb, OriginalUri(uri): OriginalUri) -> Response {
    let found = async {
        let filter = params::query::<RunsQuery>(&uri)?.filter(web.clock.now())?;
        let most = usize::try_from(filter.most).unwrap_or(usize::MAX);
        let runs = web.stores.with(move |store| store.runs_matching(&filter)).await?;
        let last = runs.last().map(|run| run.id.to_string()).filter(|_| runs.len() >= most);
        let all: Vec<Value> = runs.iter().map(facts::run).collect();
        Ok(linked(document(&all), &uri, last))
    };
    answer(found.await)
}

pub(super) async fn run(State(web): SharedWeb, id: PathText) -> Response {
    let found = async { Ok(document(&web.run(run_id(id)?).await?.value())) };
    answer(found.await)
}

pub(super) async fn servers(State(web): SharedWeb) -> Response {
    let found = async {
        let servers = web.stores.with_own(|store| store.servers()).await?;
        Ok(document(&servers.iter().map(facts::server).collect::<Vec<_>>()))
    };
    answer(found.await)
}

pub(super) async fn machines(State(web): SharedWeb) -> Response {
    let found = async {
        let machines = web.machines().await?;
        Ok(document(&machines.iter().map(facts::machine).collect::<Vec<_>>()))
    };
    answer(found.await)
}

pub(super) async fn next(State(web): SharedWeb, OriginalUri(uri): OriginalUri) -> Response {
    let found = async {
        let (hours, most) = params::query::<NextQuery>(&uri)?.checked()?;
        let (jobs, now) = (web.view.jobs(), web.clock.now());
        let view = Arc::clone(&web.view);
        let next = web.stores.with(move |store| {
            let coming = view.coming(&jobs, now);
            documents::next(store, &jobs, &coming, now, hours, most)
        });
        let all: Vec<_> = next.await?.all.into_iter().map(|(_, slot)| slot).collect();
        Ok(document(&all))
    };
    answer(found.await)
}

/// Answers that a request was taken up, and is carried out soon.
fn accepted(value: &Value) -> Response {
    (StatusCode::ACCEPTED, document(value)).into_response()
}

fn csrf(headers: &HeaderMap, caller: &Caller) -> Result<()> {
    check_csrf(caller, header(headers, &CSRF_HEADER))
}

pub(super) async fn trigger(
    State(web): SharedWeb,
    name: PathText,
    Extension(caller): FromCaller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        csrf(&headers, &caller)?;
        let TriggerBody { args } = params::json(&headers, body).await?;
        Ok(accepted(&web.trigger(&segment(name)?, args, &caller).await?))
    };
    answer(done.await)
}

pub(super) async fn pause(
    State(web): SharedWeb,
    name: PathText,
    Extension(caller): FromCaller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        csrf(&headers, &caller)?;
        let reason = params::json::<PauseBody>(&headers, body).await?.checked()?;
        Ok(document(&web.pause(&segment(name)?, Some(reason), &caller).await?))
    };
    answer(done.await)
}

pub(super) async fn resume(
    State(web): SharedWeb,
    name: PathText,
    Extension(caller): FromCaller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        csrf(&headers, &caller)?;
        let NoBody {} = params::json(&headers, body).await?;
        Ok(document(&web.pause(&segment(name)?, None, &caller).await?))
    };
    answer(done.await)
}

pub(super) async fn stop(
    State(web): SharedWeb,
    id: PathText,
    Extension(caller): FromCaller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        csrf(&headers, &caller)?;
        let NoBody {} = params::json(&headers, body).await?;
        Ok(accepted(&web.stop(run_id(id)?, &caller).await?))
    };
    answer(done.await)
}

/// Answers a request for a resource that does not exist.
pub(super) async fn not_found(OriginalUri(uri): OriginalUri) -> Response {
    let fault = Error::new(ErrorKind::NotFound, Origin::Script, "there is nothing at this address");
    refused(&uri, &fault)
}

/// Answers a request with a method that the resource does not have.
pub(super) async fn wrong_method(OriginalUri(uri): OriginalUri) -> Response {
    let message = "the resource does not support this method";
    let fault = Error::new(ErrorKind::Refused, Origin::Script, message).with_name(WEB_METHOD);
    refused(&uri, &fault)
}

fn refused(uri: &Uri, fault: &Error) -> Response {
    if is_for_programs(uri.path()) {
        return failure(fault);
    }
    let (status, message) = shown(fault);
    (status, pages::refused(status, &message, fault)).into_response()
}
