//! The gate that every request passes: the host name, the site that it comes from, its sender, its rights.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::{
        HeaderMap, Method, Uri,
        header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN},
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    access::{Caller, admit, check_site, is_same, need},
    answer::{failure, shown, with_headers},
    connections::Connection,
    pages,
    server::WebState,
    tokens::hash_of,
};
use crate::error::{
    Error, ErrorKind, Origin, Result,
    web_codes::{WEB_CSRF, WEB_LOGIN_REQUIRED},
};

/// The name of the cookie of a session.
pub(super) const COOKIE_NAME: &str = "portolan_session";

/// Returns the value of a header, if it is text.
pub(super) fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the cookie of the session.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut each = all.flat_map(|value| value.split(';')).map(str::trim);
    each.find_map(|one| one.strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// Refuses a request, or passes it on with its [`Caller`].
pub(super) async fn pass(
    State(web): State<Arc<WebState>>,
    Extension(connection): Extension<Connection>,
    mut request: Request,
    next: Next,
) -> Response {
    connection.is_answered();
    let uri = request.uri().clone();
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let response = match allow(&web, &connection, &method, &uri, &headers).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(fault) => refusal(&fault, &method, &uri),
    };
    with_headers(response)
}

async fn allow(
    web: &WebState,
    connection: &Connection,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Caller> {
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    let path = uri.path();
    // HTTP/1.1 requires the header; a client that speaks 1.0 may leave it out, and is no browser.
    let host = header(headers, &HOST).unwrap_or_default();
    if path != "/healthz" {
        web.hosts.check(host)?;
        let site = header(headers, &HeaderName::from_static("sec-fetch-site"));
        // A header that is no text is not one of this site.
        let origin = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("?"));
        check_site(is_safe, host, origin, site)?;
    }
    let caller = caller(web, connection, headers).await?;
    admit(need(is_safe, path), &caller, web.anonymous_read)?;
    Ok(caller)
}

/// Returns the sender of a request. A token that is sent and not valid is an error even where none is needed.
async fn caller(web: &WebState, connection: &Connection, headers: &HeaderMap) -> Result<Caller> {
    let now = web.clock.now();
    if let Some(value) = headers.get(AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let token =
            text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let hash = hash_of(token.map_or("", |(_, token)| token));
        let found = web.stores.with(move |store| store.token(&hash, now)).await?;
        return if let Some(token) = found {
            Ok(Caller::Program { name: token.name, role: token.role })
        } else {
            web.sessions.may_try(connection.from.ip(), now)?;
            web.sessions.has_failed(connection.from.ip(), now);
            let message = "this token is not valid; send `Authorization: Bearer TOKEN`";
            let fault = Error::new(ErrorKind::Denied, Origin::Script, message);
            Err(fault.with_name(WEB_LOGIN_REQUIRED))
        };
    }
    let session = cookie(headers).and_then(|cookie| web.sessions.of(cookie, now));
    let Some(session) = session else { return Ok(Caller::Anonymous) };
    let hash = session.token;
    let found = web.stores.with(move |store| store.token(&hash, now)).await?;
    // It may have been revoked since.
    Ok(found.map_or(Caller::Anonymous, |token| Caller::Person {
        name: token.name,
        role: token.role,
        csrf: session.csrf,
    }))
}

/// Returns the response to a request that is not allowed: a document for programs, a page for people.
fn refusal(fault: &Error, method: &Method, uri: &Uri) -> Response {
    let path = uri.path();
    if is_for_programs(path) {
        return failure(fault);
    }
    if fault.name == Some(WEB_LOGIN_REQUIRED) && *method == Method::GET {
        let next = uri.path_and_query().map_or("/", |next| next.as_str());
        let next = utf8_percent_encode(next, NON_ALPHANUMERIC);
        return Redirect::to(&format!("/login?next={next}")).into_response();
    }
    let (status, message) = shown(fault);
    (status, pages::refused(status, &message, fault)).into_response()
}

/// Returns true if programs ask for `path`, which understand no HTML.
pub(super) fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api/") || matches!(path, "/metrics" | "/healthz")
}

/// Fails unless a request of a browser contains the text of its session: another site does not know it.
pub(super) fn check_csrf(caller: &Caller, sent: Option<&str>) -> Result<()> {
    let Caller::Person { csrf, .. } = caller else { return Ok(()) };
    if sent.is_some_and(|sent| is_same(sent, csrf)) {
        return Ok(());
    }
    let message = "the request lacks the token of its page: load the page again";
    Err(Error::new(ErrorKind::Denied, Origin::Script, message).with_name(WEB_CSRF))
}
