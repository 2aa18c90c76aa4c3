//! A server that answers as a recording says, and notes where its client goes another way.
//!
//! ```text
//! transcript   the sessions of the recording, as commands with their replies (pure)
//! normal       commands without what differs between two runs (pure)
//! playbook     which recorded exchange answers a command; the differences (pure)
//! ports        addresses in commands and replies (pure)
//! session      one connection of the client
//! cargo        the bytes of data connections
//! ```

mod cargo;
mod normal;
mod playbook;
mod ports;
mod session;
mod transcript;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime, task::JoinSet};

pub use self::playbook::ReplayDifference;
use self::{playbook::Playbook, session::ReplayedSession, transcript::RecordedSession};
use super::{
    certificate::ServerIdentity,
    setup::{ServerTls, Version},
};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, Result},
    limits::REHEARSAL_SESSIONS_MAX,
    recording::Recording,
};
use portolan_proto::Verb;

/// The state that the sessions share.
struct ReplayShared {
    book: Mutex<Playbook>,
    identity: ServerIdentity,
}

impl ReplayShared {
    fn book(&self) -> MutexGuard<'_, Playbook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that plays a recording. Dropping it ends it.
pub struct ReplayServer {
    address: SocketAddr,
    shared: Arc<ReplayShared>,
    remarks: Vec<&'static str>,
    stop: CancelToken,
    thread: Option<JoinHandle<()>>,
}

/// The course of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayCourse {
    /// The number of commands that were played as recorded.
    pub commands: usize,
    /// The number of commands in the recording.
    pub recorded_commands: usize,
    /// The number of sessions that were begun.
    pub sessions: usize,
    /// The number of sessions in the recording.
    pub recorded_sessions: usize,
    /// The first point at which it went another way.
    pub difference: Option<ReplayDifference>,
    /// The parts of the recording that cannot be played as they were.
    pub remarks: Vec<&'static str>,
}

impl std::fmt::Debug for ReplayServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReplayServer({})", self.address)
    }
}

impl ReplayServer {
    /// Starts a server of `recording` on a free port of loopback, with certificates for `names`.
    pub fn start(recording: &Recording, names: Vec<String>) -> Result<Self> {
        let sessions = transcript::sessions(recording);
        let is_v6 = sessions.first().is_some_and(|first| first.peer.contains(':'));
        let ip: IpAddr =
            if is_v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let cannot = |error| Error::network("start the server of the replay", error);
        let listener = TcpListener::bind((ip, 0)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let is_tls12 = recording.lines.iter().any(is_tls12);
        let version_max = if is_tls12 { Version::Tls12 } else { Version::Tls13 };
        let tls = ServerTls { version_max, names, ..ServerTls::default() };
        let remarks = remarks(&sessions);
        let shared = Arc::new(ReplayShared {
            book: Mutex::new(Playbook::new(sessions)),
            identity: ServerIdentity::make(&tls)?,
        });
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(cannot)?;
        let stop = CancelToken::new();
        let (until, served) = (stop.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("replay".to_owned())
            .spawn(move || {
                let work = serve(listener, served);
                drop(runtime.block_on(until.run_until_cancelled(work)));
            })
            .map_err(cannot)?;
        Ok(Self { address, shared, remarks, stop, thread: Some(thread) })
    }

    /// Returns the address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate of the authority that a client has to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.shared.identity.ca_pem
    }

    /// Ends the server, and returns how the replay went.
    pub fn finish(mut self) -> ReplayCourse {
        self.end();
        let book = self.shared.book();
        let (commands, recorded_commands) = book.counts();
        let (sessions, recorded_sessions) = book.session_counts();
        let difference = book.first_difference();
        drop(book);
        let remarks = std::mem::take(&mut self.remarks);
        ReplayCourse {
            commands,
            recorded_commands,
            sessions,
            recorded_sessions,
            difference,
            remarks,
        }
    }

    fn end(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for ReplayServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn is_tls12(line: &portolan_core::recording::RecordedLine) -> bool {
    use portolan_core::recording::RecordedEvent;
    matches!(&line.event, RecordedEvent::Tls { version, .. } if version.ends_with("1.2"))
}

/// Returns what of the recorded sessions cannot be played as it was.
fn remarks(sessions: &[RecordedSession]) -> Vec<&'static str> {
    let all = || sessions.iter().flat_map(|session| &session.exchanges);
    let has_hash = all().any(|it| it.verb() == Verb::Hash);
    let is_left_out = all().any(|it| {
        let data = it.data.as_ref();
        it.verb().is_listing() && data.is_some_and(|data| data.content.is_none())
    });
    [
        (
            sessions.iter().any(|session| session.tls_failed),
            "a TLS handshake failed in the recorded run: the replay closes the connection there",
        ),
        (has_hash, "the server was asked for hashes: those of made-up contents cannot agree"),
        (is_left_out, "a listing was too long to be recorded: the replay sends made-up bytes"),
    ]
    .into_iter()
    .filter_map(|(is_so, text)| is_so.then_some(text))
    .collect()
}

/// Accepts clients until it is dropped; its sessions end with it.
async fn serve(listener: TcpListener, shared: Arc<ReplayShared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(_) if sessions.len() >= REHEARSAL_SESSIONS_MAX => {}
                Ok((socket, _)) => {
                    sessions.spawn(ReplayedSession::serve(socket, Arc::clone(&shared)));
                }
                // The process is probably out of descriptors: some will be closed soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}
