//! The recorder: what passes between a run and its servers, written to a recording as it happens.
//!
//! The stream under the control connection hands in the dialogue, each data connection its bytes. Every text passes the
//! masks of all logins of the run here, besides that of its own session. A recording that cannot be written is given up
//! with a warning: the run continues.

mod data;

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

pub(crate) use self::data::DataRecorder;
use super::{mask::Mask, secret::Secret, site::Site};
use portolan_core::{
    error::Error,
    limits::RECORDING_BYTES_MAX,
    observe::EventEmitter,
    recording::{
        ClosedBy, RecordedEvent, RecordedFailure, RecordedLine, RecordingHeader, WireText,
    },
};
use portolan_proto::Verb;

/// The replacement of the argument of a command with a credential.
const STARS: &[u8] = b"***";

/// The recorder of one run, shared by all of its sessions.
pub struct RunRecorder {
    began: Instant,
    observer: EventEmitter,
    state: Mutex<RecorderState>,
}

struct RecorderState {
    /// The receiver of the lines; `None` once it has failed or is full.
    sink: Option<Box<dyn Write + Send>>,
    bytes: u64,
    masks: Vec<Mask>,
    /// The secrets that have a mask.
    secrets: Vec<Secret>,
    sessions: u32,
    data: u32,
}

impl fmt::Debug for RunRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunRecorder")
    }
}

impl RunRecorder {
    /// Begins a recording in `sink`, in which none of `secrets` occurs.
    pub fn begin<'s>(
        sink: Box<dyn Write + Send>,
        observer: EventEmitter,
        header: RecordingHeader,
        secrets: impl Iterator<Item = &'s Secret>,
    ) -> Arc<Self> {
        let state = RecorderState {
            sink: Some(sink),
            bytes: 0,
            masks: Vec::new(),
            secrets: Vec::new(),
            sessions: 0,
            data: 0,
        };
        let recorder = Self { began: Instant::now(), observer, state: Mutex::new(state) };
        secrets.for_each(|secret| recorder.hide(secret));
        let texts = |texts: &[String]| texts.iter().map(|text| recorder.hide_in(text)).collect();
        let job_args = recorder.hide_in(&header.job_args.to_string());
        recorder.note(
            0,
            RecordedEvent::Recording(RecordingHeader {
                args: texts(&header.args),
                options: texts(&header.options),
                job_args: serde_json::from_str(&job_args).unwrap_or_default(),
                ..header
            }),
        );
        Arc::new(recorder)
    }

    /// Keeps `secret` out of all that is recorded from now on.
    pub fn hide(&self, secret: &Secret) {
        let mut state = self.lock();
        if !state.secrets.contains(secret) {
            state.secrets.push(secret.clone());
            state.masks.push(Mask::of(secret).after_login());
        }
    }

    /// Records the end of the run.
    pub fn end(&self, exit: u8, failure: Option<RecordedFailure>) {
        let failure = failure.map(|failure| self.masked(failure));
        self.note(0, RecordedEvent::Ended { exit, failure });
        let mut state = self.lock();
        if let Some(Err(error)) = state.sink.as_mut().map(Write::flush) {
            self.give_up(&mut state, &unwritten(error));
        }
    }

    /// Records an event of the run itself.
    pub fn note_run(&self, event: RecordedEvent) {
        self.note(0, event);
    }

    /// Records that the server of `site` could not be connected.
    pub(crate) fn dial_failed(&self, site: &Site, error: &Error) {
        let failure = self.masked(RecordedFailure::of(error));
        let (host, port) = (site.host.clone(), site.port);
        self.note(0, RecordedEvent::DialFailed { host, port, failure });
    }

    /// Records the begin of a session with the server of `site`, between the addresses `local` and `peer`.
    pub(crate) fn dialed(
        self: &Arc<Self>,
        site: &Site,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> SessionRecorder {
        let is_open = site.user.eq_ignore_ascii_case("anonymous") || site.user == "ftp";
        let password = site.password.iter().filter(|text| !is_open && text.reveal() != site.user);
        password.chain(&site.account).for_each(|secret| self.hide(secret));
        let session = {
            let mut state = self.lock();
            state.sessions += 1;
            state.sessions
        };
        let event = RecordedEvent::Dialed {
            host: site.host.clone(),
            port: site.port,
            user: site.user.clone(),
            tls: site.tls.as_str().to_owned(),
            peer: peer.to_string(),
            local: local.to_string(),
        };
        self.note(session, event);
        SessionRecorder { run: Arc::clone(self), session, is_closed: false }
    }

    /// Returns `text` without the secrets of the run.
    pub fn hide_in(&self, text: &str) -> String {
        let masks = self.lock().masks.clone();
        masks.iter().fold(text.to_owned(), |text, mask| mask.hide_in(&text))
    }

    fn masked(&self, failure: RecordedFailure) -> RecordedFailure {
        RecordedFailure { message: self.hide_in(&failure.message), ..failure }
    }

    fn hidden(&self, bytes: &[u8]) -> Vec<u8> {
        let masks = self.lock().masks.clone();
        masks.iter().fold(bytes.to_vec(), |bytes, mask| mask.hide(&bytes))
    }

    fn note(&self, session: u32, event: RecordedEvent) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Ok(mut text) = serde_json::to_vec(&RecordedLine { session, ms, event }) else { return };
        text.push(b'\n');
        let mut state = self.lock();
        let after = state.bytes.saturating_add(text.len() as u64);
        // Room is left for the end of the run.
        if session > 0 && after > RECORDING_BYTES_MAX - 64 * 1024 {
            let mib = RECORDING_BYTES_MAX / (1024 * 1024);
            return self.give_up(&mut state, &format!("it has reached {mib} MiB"));
        }
        let Some(sink) = &mut state.sink else { return };
        match sink.write_all(&text) {
            Ok(()) => state.bytes = after,
            // A part of the line may be there; nothing follows it, so that a reader sees that it is the end.
            Err(error) => self.give_up(&mut state, &unwritten(error)),
        }
    }

    fn give_up(&self, state: &mut RecorderState, why: &str) {
        if state.sink.take().is_some() {
            let words =
                format!("the recording of this run ends here, and the run continues: {why}");
            self.observer.warn_once(words);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RecorderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unwritten(error: io::Error) -> String {
    Error::local("write it", "", error).message
}

/// The recorder of one session. Dropping it records that this side has closed the connection, unless the server has.
pub(crate) struct SessionRecorder {
    run: Arc<RunRecorder>,
    session: u32,
    is_closed: bool,
}

impl fmt::Debug for SessionRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionRecorder({})", self.session)
    }
}

impl SessionRecorder {
    /// Records a command, with or without its line end.
    pub(super) fn sent(&self, line: &[u8], mask: &Mask) {
        let line = without_credentials(line, mask);
        self.note(RecordedEvent::Sent { line: WireText(self.run.hidden(&line)) });
    }

    /// Records a line of a reply, without its line end.
    pub(super) fn received(&self, line: &[u8], mask: &Mask) {
        let line = WireText(self.run.hidden(&mask.hide(line)));
        self.note(RecordedEvent::Received { line });
    }

    /// Records the begin of TLS.
    pub(super) fn secured(&self, session: &rustls::ClientConnection) {
        let version = session.protocol_version();
        let version = version.map(|version| format!("{version:?}").replace('_', "."));
        let cipher = session.negotiated_cipher_suite();
        self.note(RecordedEvent::Tls {
            version: version.unwrap_or_default(),
            cipher: cipher.map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        });
    }

    /// Records that the connection is over; only the first end counts.
    pub(super) fn closed(&mut self, by: ClosedBy, error: Option<&io::Error>) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let failure = error.map(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            RecordedFailure {
                kind: if inner.is_some() { "tls" } else { "unreachable" }.to_owned(),
                side: "network".to_owned(),
                errno: error.raw_os_error(),
                message: self.run.hide_in(&error.to_string()),
                ..RecordedFailure::default()
            }
        });
        self.note(RecordedEvent::Closed { by, failure });
    }

    fn note(&self, event: RecordedEvent) {
        self.run.note(self.session, event);
    }
}

impl Drop for SessionRecorder {
    fn drop(&mut self) {
        self.closed(ClosedBy::Client, None);
    }
}

/// Returns the command `line` without its line end, and with `***` in place of credentials.
fn without_credentials(line: &[u8], mask: &Mask) -> Vec<u8> {
    let line = line.trim_ascii_end();
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_secret = matches!(Verb::of_word(word), Verb::Pass | Verb::Acct)
        || word.eq_ignore_ascii_case(b"ADAT");
    if is_secret { [word, b" ", STARS].concat() } else { mask.hide(line) }
}
