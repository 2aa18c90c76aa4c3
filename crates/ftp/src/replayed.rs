//! The parts of a recording that the client itself plays: what it knew of the servers, and connections that failed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    data::method::DataMethod,
    pipelining::Habits,
    recorder::RunRecorder,
    server_store::{ServerPlace, ServerRecord, ServerStore},
    site::{Mode, Site},
};
use portolan_core::{
    error::Error,
    recording::{RecordedEvent, RecordedFailure, RecordedServer, Recording},
};

/// A store of server records that records what it is asked for.
#[derive(Debug)]
pub struct RecordedServerStore {
    inner: Arc<dyn ServerStore>,
    recorder: Arc<RunRecorder>,
}

impl RecordedServerStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn ServerStore>, recorder: Arc<RunRecorder>) -> Self {
        Self { inner, recorder }
    }
}

impl ServerStore for RecordedServerStore {
    fn recall(&self, place: &ServerPlace) -> Option<ServerRecord> {
        let known = self.inner.recall(place)?;
        self.recorder.note_run(RecordedEvent::Known(RecordedServer {
            host: place.host.clone(),
            port: place.port,
            used_tls: false,
            step: known.step.as_str().to_owned(),
            failed_mode: known.failed_mode.map_or("", Mode::as_str).to_owned(),
            tls12_only: known.tls12_only,
            refuses_list_all: known.refuses_list_all,
            is_elsewhere: known.is_elsewhere,
            round_trip_us: u64::try_from(known.round_trip.as_micros()).unwrap_or(0),
            habits: known.habits.words(),
        }));
        Some(known)
    }

    fn remember(&self, place: &ServerPlace, known: ServerRecord) {
        self.inner.remember(place, known);
    }

    fn has_used_tls(&self, host: &str, port: u16) -> bool {
        let used_tls = self.inner.has_used_tls(host, port);
        if used_tls {
            let host = host.to_ascii_lowercase();
            let known = RecordedServer { host, port, used_tls, ..RecordedServer::default() };
            self.recorder.note_run(RecordedEvent::Known(known));
        }
        used_tls
    }

    fn forget(&self, place: &ServerPlace, step: DataMethod) {
        self.inner.forget(place, step);
    }
}

/// The server records with which a recorded run began, and those that its replay makes.
#[derive(Debug, Default)]
pub struct ReplayedServers(Mutex<Vec<(String, u16, RecordedServer)>>);

impl ReplayedServers {
    /// Returns those of `recording`. The first record of a server is that with which the run began.
    pub fn of(recording: &Recording) -> Self {
        let known = recording.lines.iter().filter_map(|line| match &line.event {
            RecordedEvent::Known(known) => Some((known.host.clone(), known.port, known.clone())),
            _ => None,
        });
        Self(Mutex::new(known.collect()))
    }

    fn find(
        &self,
        host: &str,
        port: u16,
        wanted: impl Fn(&RecordedServer) -> bool,
    ) -> Option<RecordedServer> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_host = all.iter().filter(|(name, at, _)| name == host && *at == port);
        of_host.find(|(_, _, known)| wanted(known)).map(|(_, _, known)| known.clone())
    }
}

impl ServerStore for ReplayedServers {
    fn recall(&self, place: &ServerPlace) -> Option<ServerRecord> {
        let known = self.find(&place.host, place.port, |known| !known.step.is_empty())?;
        Some(ServerRecord {
            step: known.step.parse().ok()?,
            failed_mode: known.failed_mode.parse().ok(),
            tls12_only: known.tls12_only,
            refuses_list_all: known.refuses_list_all,
            is_elsewhere: known.is_elsewhere,
            round_trip: Duration::from_micros(known.round_trip_us),
            habits: Habits::read(&known.habits),
            address: None,
        })
    }

    fn remember(&self, _: &ServerPlace, _: ServerRecord) {}

    fn has_used_tls(&self, host: &str, port: u16) -> bool {
        self.find(&host.to_ascii_lowercase(), port, |known| known.used_tls).is_some()
    }

    fn forget(&self, _: &ServerPlace, _: DataMethod) {}
}

/// The connections of a recorded run with its servers, in their order: those that failed fail again, without the wait.
#[derive(Debug, Default)]
pub struct ReplayedDials(Mutex<VecDeque<RecordedDial>>);

#[derive(Debug, Clone)]
struct RecordedDial {
    host: String,
    port: u16,
    failure: Option<RecordedFailure>,
}

impl ReplayedDials {
    /// Returns those of `recording`.
    pub fn of(recording: &Recording) -> Self {
        let dials = recording.lines.iter().filter_map(|line| match &line.event {
            RecordedEvent::Dialed { host, port, .. } => {
                Some(RecordedDial { host: host.clone(), port: *port, failure: None })
            }
            RecordedEvent::DialFailed { host, port, failure } => {
                let failure = Some(failure.clone());
                Some(RecordedDial { host: host.clone(), port: *port, failure })
            }
            _ => None,
        });
        Self(Mutex::new(dials.collect()))
    }

    /// Returns the error with which the next connection to the server of `site` failed; `None` if it did not. One more
    /// than there were ends as the last did.
    pub(crate) fn next_failure(&self, site: &Site) -> Option<Error> {
        let mut dials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |dial: &RecordedDial| dial.host == site.host && dial.port == site.port;
        let at = dials.iter().position(is_it)?;
        let is_last = !dials.iter().skip(at + 1).any(is_it);
        let dial = if is_last { dials.get(at).cloned() } else { dials.remove(at) };
        dial?.failure.map(|failure| failure.error().with_host(&site.host))
    }
}
