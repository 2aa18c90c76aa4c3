//! Server-sent events: runs that begin, move bytes and end, jobs that are paused or resumed, a jobs file that was read
//! again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream::unfold;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast::{self, Receiver, error::RecvError},
    time::{sleep, timeout},
};

use super::{answer::failure, connections::Connection, params::SharedWeb, server::WebState};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    observe::json::line,
    schedule::facts,
    store::{
        Store,
        history::{HistoryRun, JobStateRecord, RunState},
    },
};

/// The time between two looks at the store, while anybody listens.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The number of newest runs that are compared with those of the look before.
const RUNS_LOOKED_AT: u32 = 200;
/// The maximum number of streams: each takes one of the connections.
const STREAMS_MAX: usize = 64;
/// The number of events that a slow reader may be behind; what is older is left out, and it is told so.
const BACKLOG_MAX: usize = 256;
/// The maximum time of a stream; browsers begin another one by themselves.
const STREAM_TIME_MAX: Duration = Duration::from_mins(10);
/// The time after which a stream without events gets a comment, so that proxies keep it open.
const QUIET_TIME_MAX: Duration = Duration::from_secs(15);

/// The events for all streams.
#[derive(Debug)]
pub(super) struct EventFeed {
    sender: broadcast::Sender<Arc<Vec<u8>>>,
    streams: Arc<AtomicUsize>,
}

impl Default for EventFeed {
    fn default() -> Self {
        Self { sender: broadcast::channel(BACKLOG_MAX).0, streams: Arc::default() }
    }
}

impl EventFeed {
    fn send(&self, name: &str, value: &Value) {
        // There may be no listener left.
        self.sender.send(Arc::new(event(name, value))).ok();
    }

    fn open(&self) -> Result<OpenStream> {
        let before = self.streams.fetch_add(1, Ordering::Relaxed);
        let stream = OpenStream(Arc::clone(&self.streams), self.sender.subscribe());
        if before < STREAMS_MAX {
            return Ok(stream);
        }
        let message = format!("{STREAMS_MAX} streams of events are open already");
        Err(Error::new(ErrorKind::Busy, Origin::Here, message))
    }
}

/// A stream that counts among the open ones until it is dropped.
#[derive(Debug)]
struct OpenStream(Arc<AtomicUsize>, Receiver<Arc<Vec<u8>>>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns an event in the form of the wire. Its document has no line feeds.
fn event(name: &str, value: &Value) -> Vec<u8> {
    [b"event: ", name.as_bytes(), b"\ndata: ", &line(value), b"\n\n"].concat()
}

pub(super) async fn stream(
    State(web): SharedWeb,
    Extension(connection): Extension<Connection>,
) -> Response {
    let open = match web.feed.open() {
        Ok(open) => open,
        Err(fault) => return failure(&fault),
    };
    connection.may_last(STREAM_TIME_MAX);
    let next = |(mut open, is_first): (OpenStream, bool)| async move {
        let bytes = if is_first {
            b"retry: 3000\n: connected\n\n".to_vec()
        } else {
            match timeout(QUIET_TIME_MAX, open.1.recv()).await {
                Ok(Ok(event)) => event.to_vec(),
                Ok(Err(RecvError::Lagged(count))) => event("lagged", &json!({ "events": count })),
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => b": quiet\n\n".to_vec(),
            }
        };
        Some((Ok::<_, std::io::Error>(bytes), (open, false)))
    };
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    ([kind], Body::from_stream(unfold((open, true), next))).into_response()
}

/// The state that was seen at the last look.
#[derive(Debug, Default)]
struct SeenState {
    version: i64,
    runs: BTreeMap<i64, (RunState, i64)>,
    paused: BTreeMap<String, Option<Timestamp>>,
}

/// Looks at the store, while anybody listens, and sends what has changed.
pub(super) async fn watch(web: Arc<WebState>) {
    let (mut store, mut seen): (Option<Store>, Option<SeenState>) = (None, None);
    let mut moved: BTreeMap<i64, u64> = BTreeMap::new();
    let mut jobs = web.view.jobs();
    loop {
        sleep(LOOK_INTERVAL).await;
        if web.feed.streams.load(Ordering::Relaxed) == 0 {
            (store, seen) = (None, None);
            continue;
        }
        let now = web.view.jobs();
        if !Arc::ptr_eq(&now, &jobs) {
            web.feed.send("reload", &json!({ "jobs": now.all.len() }));
            jobs = now;
        }
        tell_progress(&web, &mut moved);
        let (kept, before, place) = (store.take(), seen.take(), web.stores.place.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let store = kept.map_or_else(|| place.open(), Ok)?;
            let (events, seen) = look(&store, before)?;
            Ok::<_, Error>((store, events, seen))
        });
        match looked.await {
            Ok(Ok((kept, events, now))) => {
                for (name, value) in &events {
                    web.feed.send(name, value);
                }
                (store, seen) = (Some(kept), Some(now));
            }
            Ok(Err(fault)) => tracing::debug!(target: "portolan", "no events: {fault}"),
            Err(_) => {}
        }
    }
}

/// Sends the bytes of the runs in progress that have moved some.
fn tell_progress(web: &WebState, moved: &mut BTreeMap<i64, u64>) {
    let running = web.view.running();
    moved.retain(|run, _| running.iter().any(|(one, _)| one == run));
    for (run, progress) in running {
        let (files, bytes) = progress.counts();
        if moved.insert(run, bytes) != Some(bytes) {
            web.feed.send("progress", &json!({ "run": run, "files": files, "bytes": bytes }));
        }
    }
}

/// An event with its name.
type NamedEvent = (&'static str, Value);

/// Compares the store with what was seen before. The first look tells nothing.
fn look(store: &Store, before: Option<SeenState>) -> Result<(Vec<NamedEvent>, SeenState)> {
    let version = store.version_of_data()?;
    if let Some(before) = &before
        && before.version == version
    {
        let SeenState { runs, paused, .. } = before;
        return Ok((Vec::new(), SeenState { version, runs: runs.clone(), paused: paused.clone() }));
    }
    let (runs, paused) = (store.runs(None, RUNS_LOOKED_AT)?, store.paused_jobs()?);
    let now = SeenState {
        version,
        runs: runs.iter().map(|run| (run.id, (run.state, run.attempts))).collect(),
        paused: paused.iter().map(|state| (state.job.clone(), state.paused_at)).collect(),
    };
    let events = before.map(|before| changes(&before, &now, &runs, &paused));
    Ok((events.unwrap_or_default(), now))
}

fn changes(
    before: &SeenState,
    now: &SeenState,
    runs: &[HistoryRun],
    paused: &[JobStateRecord],
) -> Vec<NamedEvent> {
    let is_new = |run: &&HistoryRun| before.runs.get(&run.id) != now.runs.get(&run.id);
    let mut events: Vec<NamedEvent> =
        runs.iter().rev().filter(is_new).map(|run| ("run", facts::run(run))).collect();
    let has_begun = |state: &&JobStateRecord| !before.paused.contains_key(&state.job);
    events.extend(paused.iter().filter(has_begun).map(|state| ("job", facts::job(state))));
    let resumed = before.paused.keys().filter(|job| !now.paused.contains_key(*job));
    events.extend(resumed.map(|job| {
        let state = JobStateRecord { job: job.clone(), ..JobStateRecord::default() };
        ("job", facts::job(&state))
    }));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_and_their_ends_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Store::open(folder.path()).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let at = Timestamp::from_second(100).unwrap();
        let (events, seen) = look(&store, None).unwrap();
        assert!(events.is_empty());
        other.pause("a", Some("moving\nhouse"), at).unwrap();
        let (events, seen) = look(&store, Some(seen)).unwrap();
        let told = |events: &[NamedEvent]| {
            let of = |(name, value): &NamedEvent| String::from_utf8(event(name, value)).unwrap();
            events.iter().map(of).collect::<String>()
        };
        let text = told(&events);
        assert!(text.starts_with("event: job\ndata: {\"job\":\"a\",\"paused\":true"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        let (events, seen) = look(&store, Some(seen)).unwrap();
        assert!(events.is_empty());
        other.resume("a", at).unwrap();
        let (events, _) = look(&store, Some(seen)).unwrap();
        assert!(told(&events).contains("\"paused\":false"));
    }

    #[test]
    fn the_number_of_streams_is_limited() {
        let feed = EventFeed::default();
        let open: Vec<_> = (0..STREAMS_MAX).map(|_| feed.open().unwrap()).collect();
        assert_eq!(feed.open().unwrap_err().kind, ErrorKind::Busy);
        drop(open);
        assert!(feed.open().is_ok());
    }
}
