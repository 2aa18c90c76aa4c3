//! Responses: documents, errors with their stable codes, and the headers that each of them has.

use axum::{
    body::Body,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
            WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    error::{Error, ErrorKind, codes, web_codes},
    observe::{json::line, visible::visible},
};

/// The rules for browsers: nothing but our own files, no script or style within a page, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The headers that every response has.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // With `no-referrer` browsers would send forms with `Origin: null`.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds the headers that every response has. What it says is for its receiver only, and changes.
pub(super) fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Returns a document in the form of `--json`.
pub(super) fn document(value: &impl Serialize) -> Response {
    let mut bytes = line(value);
    bytes.push(b'\n');
    ([(CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response()
}

/// Returns the status for an error.
pub(super) fn status(fault: &Error) -> StatusCode {
    match (fault.name, fault.kind) {
        (Some(web_codes::WEB_LOGIN_REQUIRED), _) => StatusCode::UNAUTHORIZED,
        (Some(web_codes::WEB_HOST), _) => StatusCode::MISDIRECTED_REQUEST,
        (Some(web_codes::WEB_TOO_MANY_LOGINS), _) => StatusCode::TOO_MANY_REQUESTS,
        (Some(web_codes::WEB_TOO_LARGE), _) => StatusCode::PAYLOAD_TOO_LARGE,
        (Some(web_codes::WEB_METHOD), _) => StatusCode::METHOD_NOT_ALLOWED,
        (Some(web_codes::WEB_NOT_RUNNING), _) => StatusCode::CONFLICT,
        (_, ErrorKind::Denied) => StatusCode::FORBIDDEN,
        (_, ErrorKind::NotFound) => StatusCode::NOT_FOUND,
        (_, ErrorKind::Invalid | ErrorKind::Refused) => StatusCode::BAD_REQUEST,
        (_, ErrorKind::Unsupported) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        (_, ErrorKind::Timeout) => StatusCode::REQUEST_TIMEOUT,
        (_, ErrorKind::Busy) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Returns an error as the API has it.
pub(super) fn failure(fault: &Error) -> Response {
    let (status, message) = shown(fault);
    let code = fault.stable_code();
    let hint = codes::explain(code).map(|row| row.remedy).filter(|_| fault.name.is_some());
    let body = json!({ "error": { "code": code, "message": message, "hint": hint } });
    let mut response = (status, document(&body)).into_response();
    let headers = response.headers_mut();
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portolan\""));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        _ => {}
    }
    response
}

/// Returns the status of an error, and its message. That of a failure of the host goes into the log: it may contain
/// paths.
pub(super) fn shown(fault: &Error) -> (StatusCode, String) {
    let status = status(fault);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(target: "portolan", "a request failed: {fault}");
        return (status, "the request failed; the log of the scheduler says why".into());
    }
    (status, visible(&fault.message))
}
