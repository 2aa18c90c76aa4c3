//! The login with a token, and its end.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ORIGIN, RETRY_AFTER, SET_COOKIE},
    },
    response::{IntoResponse, Redirect, Response},
};
use maud::html;

use super::{action, answer, layout};
use crate::{
    error::Result,
    web::{
        access::Caller,
        connections::Connection,
        gate::{COOKIE_NAME, cookie, header},
        params::{self, FromCaller, LoginForm, LoginQuery, SharedWeb},
        server::WebState,
        sessions::SESSION_TIME,
        tokens::hash_of,
    },
};

/// Returns the page of the login. `next` is the page to go to afterwards.
fn form(next: &str, problem: Option<&str>) -> Response {
    let content = html! {
        h1 { "Log in" }
        @if let Some(problem) = problem { p.error role="alert" { (problem) } }
        form.login method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            // What a password manager keeps the token under; it has no name, and is not sent.
            input type="text" autocomplete="username" value="portolan" hidden;
            label for="token" { "Token" }
            input #token type="password" name="token" required autofocus
                autocomplete="current-password" maxlength="200";
            button { "Log in" }
        }
        p.about { code { "portolan token add NAME --role operate" } " makes a token." }
    };
    layout::page("Log in", "", &Caller::Anonymous, &content)
}

pub(in crate::web) async fn login(OriginalUri(uri): OriginalUri) -> Response {
    let next = params::query::<LoginQuery>(&uri).unwrap_or_default().next;
    form(within(&next), None)
}

/// Returns `next` if it is an address of this site, or that of the first page.
fn within(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', ':'])
        && !next.contains(|c: char| c.is_control());
    if is_own { next } else { "/" }
}

pub(in crate::web) async fn log_in(
    State(web): SharedWeb,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(begin(&web, &connection, &headers, body).await)
}

async fn begin(
    web: &Arc<WebState>,
    connection: &Connection,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response> {
    let (now, from) = (web.clock.now(), connection.from.ip());
    let LoginForm { token, next } = params::form(body).await?;
    if let Err(fault) = web.sessions.may_try(from, now) {
        let page = form(within(&next), Some(&fault.message));
        let wait = [(RETRY_AFTER, "60")];
        return Ok((StatusCode::TOO_MANY_REQUESTS, wait, page).into_response());
    }
    let hash = hash_of(&token);
    let sought = hash.clone();
    let found = web.stores.with(move |store| store.token(&sought, now)).await?;
    let Some(token) = found else {
        web.sessions.has_failed(from, now);
        tracing::warn!(target: "portolan", "a login from {from} has failed");
        let page = form(within(&next), Some("this token is not valid"));
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    };
    tracing::info!(target: "portolan", "`{}` has logged in from {from}", token.name);
    let value = web.sessions.begin(hash, now);
    // Behind a reverse proxy that ends TLS, the browser's address tells.
    let is_secure =
        web.is_tls || header(headers, &ORIGIN).is_some_and(|at| at.starts_with("https:"));
    let secure = if is_secure { "; Secure" } else { "" };
    let seconds = SESSION_TIME.as_secs();
    let cookie =
        format!("{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let mut response = Redirect::to(within(&next)).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

pub(in crate::web) async fn log_out(
    State(web): SharedWeb,
    Extension(caller): FromCaller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let ended = async {
        action(&caller, body).await?;
        if let Some(cookie) = cookie(&headers) {
            web.sessions.end(cookie);
        }
        let gone = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        Ok(([(SET_COOKIE, gone)], Redirect::to("/login")).into_response())
    };
    answer(ended.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_this_site_only() {
        for next in ["/", "/runs?job=a", "/jobs/a%20b"] {
            assert_eq!(within(next), next);
        }
        for next in
            ["", "http://evil.example", "//evil.example", "/\\evil.example", "/a\nb", "runs"]
        {
            assert_eq!(within(next), "/", "{next:?}");
        }
    }
}
