//! The files of the page, which are part of the program, and the description of the API.

use std::sync::LazyLock;

use axum::{
    extract::{OriginalUri, Path, State},
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use serde_json::{Value, json};

use super::{api::not_found, params::SharedWeb};
use crate::{encoding::to_hex, observe::json::line};

/// The files with their types.
const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("assets/page.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// The description of the API.
const OPENAPI: &str = include_str!("assets/openapi.json");

/// The description for a server that lets everybody read: what only reads needs no token.
static OPENAPI_ANONYMOUS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a part of the program, which a test reads")]
    let mut document: Value = serde_json::from_str(OPENAPI).expect("the description is JSON");
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for resource in paths.into_iter().flat_map(|paths| paths.values_mut()) {
        let reading = resource.get_mut("get").and_then(Value::as_object_mut);
        if let Some(reading) = reading.filter(|reading| !reading.contains_key("security")) {
            reading.insert("security".to_owned(), json!([{ "token": [] }, {}]));
        }
    }
    line(&document)
});

/// The version of the files in their addresses, so that browsers keep them until they change.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let texts: String = FILES.iter().map(|(_, _, text)| *text).collect();
    let hash = blake3::hash(texts.as_bytes());
    to_hex(hash.as_bytes().first_chunk::<6>().copied().unwrap_or_default())
});

pub(super) async fn file(Path(name): Path<String>, uri: OriginalUri) -> Response {
    match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, kind, text)) => {
            let headers = [(CONTENT_TYPE, *kind), (CACHE_CONTROL, "private, max-age=86400")];
            (headers, *text).into_response()
        }
        None => not_found(uri).await,
    }
}

pub(super) async fn openapi(State(web): SharedWeb) -> Response {
    let text = if web.anonymous_read { OPENAPI_ANONYMOUS.as_slice() } else { OPENAPI.as_bytes() };
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
