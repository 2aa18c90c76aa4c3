//! The log of a run as text, from any byte on: a page that follows a run asks for what is new.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, State},
    http::{HeaderName, HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream::unfold;

use super::{
    answer::failure,
    connections::Connection,
    documents::no_run,
    params::{self, LogQuery, PathText, SharedWeb, run_id},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::LOG_TAIL_BYTES,
    schedule::{
        child::log,
        shared_log::{self, SharedLog},
    },
    store::{Store, history::HistoryRun},
};

/// The header with the number of bytes up to the end of the response, from which the next request continues.
const OFFSET: HeaderName = HeaderName::from_static("x-log-offset");
/// The bytes that are read at a time: a slow reader holds no more in memory.
const PIECE_BYTES: u64 = 64 * 1024;
/// The maximum time for a whole log: ten megabytes over a slow line.
const LOG_TIME_MAX: Duration = Duration::from_mins(5);

pub(super) async fn text(
    State(web): SharedWeb,
    Extension(connection): Extension<Connection>,
    id: PathText,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let found = async {
        let offset = params::query::<LogQuery>(&uri)?.checked()?;
        let (id, folder) = (run_id(id)?, web.stores.folder.clone());
        let opened = web.stores.with(move |store| {
            let run = store.run(id)?.ok_or_else(|| no_run(id))?;
            let path = log::path(&folder, &run.job, id);
            match shared_log::read(store, &run, &path, offset)? {
                Some(shared) => Ok(LogText::Shared(shared)),
                None => open(&path, offset).map(|(file, left, end)| LogText::File(file, left, end)),
            }
        });
        opened.await
    };
    match found.await {
        Ok(text) => {
            connection.may_last(LOG_TIME_MAX);
            let kind = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            let (body, end) = match text {
                LogText::Shared(shared) => (Body::from(shared.text), shared.end),
                LogText::File(file, left, end) => (pieces(file, left), end),
            };
            ([kind, (OFFSET, end.into())], body).into_response()
        }
        Err(fault) => failure(&fault),
    }
}

/// The log of a run: what machines share of it, or its file with the bytes that follow and its length.
enum LogText {
    Shared(SharedLog),
    File(File, u64, u64),
}

/// Opens a log at `offset`. Returns it with the number of bytes that follow, and its length.
fn open(path: &Path, offset: u64) -> Result<(File, u64, u64)> {
    let cannot = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Error::new(ErrorKind::NotFound, Origin::Here, "this run has no log");
        }
        Error::local("read the log", path, error)
    };
    let mut file = File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    file.seek(SeekFrom::Start(offset.min(length))).map_err(cannot)?;
    Ok((file, length.saturating_sub(offset), length))
}

/// Returns the end of a log in whole lines, and its length.
pub(super) fn tail(store: &Store, run: &HistoryRun, path: &Path) -> Result<(String, u64)> {
    if let Some(shared) = shared_log::read(store, run, path, 0)? {
        return Ok((shared.text, shared.end));
    }
    let (_, _, length) = open(path, 0)?;
    let (file, _, _) = open(path, length.saturating_sub(LOG_TAIL_BYTES))?;
    let mut bytes = Vec::new();
    let read = file.take(length.min(LOG_TAIL_BYTES)).read_to_end(&mut bytes);
    read.map_err(|error| Error::local("read the log", path, error))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_whole = length <= LOG_TAIL_BYTES;
    let begin = if is_whole { 0 } else { text.find('\n').map_or(0, |at| at + 1) };
    Ok((text.get(begin..).unwrap_or_default().to_owned(), length))
}

/// Reads `left` bytes of a file, each piece when the one before has been sent.
fn pieces(file: File, left: u64) -> Body {
    let next = |(mut file, left): (File, u64)| async move {
        if left == 0 {
            return None;
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            let count = file.by_ref().take(left.min(PIECE_BYTES)).read_to_end(&mut bytes)?;
            // A log that was cut meanwhile ends early.
            let left = if count == 0 { 0 } else { left.saturating_sub(count as u64) };
            Ok((bytes, (file, left)))
        });
        match read.await {
            Ok(Ok((bytes, rest))) => Some((Ok::<_, std::io::Error>(bytes), rest)),
            Ok(Err(error)) => {
                let error: std::io::Error = error;
                tracing::debug!(target: "portolan", "a log cannot be read: {error}");
                None
            }
            Err(_) => None,
        }
    };
    Body::from_stream(unfold((file, left), next))
}
