//! The state that a control connection shares with the stream below it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::{long_reply::LongReplyBuffer, mask::Mask, recorder::SessionRecorder};
use portolan_core::recording::ClosedBy;

/// The state that the control connection and the stream below it share.
#[derive(Default)]
pub(super) struct StreamState {
    /// Set to switch to TLS before the next byte.
    pub(super) upgrade: Option<(TlsConnector, ServerName<'static>)>,
    /// The commands to send in the same packet as the next one, or at once when a reply is awaited.
    pub(super) with_next: Vec<u8>,
    /// Set to close the connection.
    pub(super) is_over: bool,
    /// The mask of credentials: a server that repeats them must not bring them into a log or an error.
    pub(super) mask: Mask,
    /// The buffer for listings, while replies that may contain some are awaited.
    pub(super) long: Option<LongReplyBuffer>,
    /// The description of input that is no greeting, until the greeting comes.
    pub(super) babble: Option<String>,
    /// Set when there was an unexpected reply; read once.
    pub(super) has_spare: bool,
    /// The number of final replies that are still to come.
    pub(super) outstanding: usize,
    /// The protocol of the TLS session, if there is one.
    pub(super) tls: Option<String>,
    /// The server's certificate (DER), the input of its SHA-256 fingerprint.
    pub(super) certificate: Option<Vec<u8>>,
    /// The recorder of the session, if the run is recorded.
    pub(super) recorder: Option<SessionRecorder>,
}

impl StreamState {
    /// Records that the server, or something in between, has ended the connection.
    pub(super) fn record_end(&mut self, error: Option<&io::Error>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.closed(ClosedBy::Server, error);
        }
    }
}

/// A handle to one [`StreamState`], held by both.
#[derive(Clone, Default)]
pub(super) struct StreamHandle(Arc<Mutex<StreamState>>);

impl StreamHandle {
    pub(super) fn lock(&self) -> MutexGuard<'_, StreamState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}
