//! The files of the page, which are part of the program, and the description of the API.

use std::sync::LazyLock;

use axum::{
    extract::{OriginalUri, Path},
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use super::api::not_found;
use crate::encoding::to_hex;

/// The files with their types.
const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("assets/page.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// The description of the API.
const OPENAPI: &str = include_str!("assets/openapi.json");

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

pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
