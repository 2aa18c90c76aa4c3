//! The server: one thread, one listener, and its sessions.

use std::{
    collections::HashSet,
    fs,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, atomic::AtomicUsize},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, runtime, task::JoinSet};

use super::{
    certificate::ServerIdentity,
    effect::Effect,
    forms::ListingStyle,
    log::DialogueLog,
    plan::Plans,
    root::{ServedPath, ServedRoot},
    session::ClientSession,
    setup::{ServerSetup, TlsStart},
    syntax::Syntax,
};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, Result},
};

/// The state shared by all sessions of one server.
#[derive(Debug)]
pub(super) struct ServerShared {
    /// The directory that is served.
    pub(super) root: ServedRoot,
    /// The configuration.
    pub(super) setup: ServerSetup,
    /// The faults, which are counted over all sessions.
    pub(super) plans: Plans,
    /// The certificates, if TLS is offered.
    pub(super) identity: Option<ServerIdentity>,
    /// The log of commands and replies.
    pub(super) log: DialogueLog,
    /// The form of paths.
    pub(super) syntax: Syntax,
    /// The form of `LIST`.
    pub(super) form: ListingStyle,
    /// The uploads whose first `SIZE` will return 0 ([`Effect::SizeLater`]).
    pub(super) fresh: Mutex<HashSet<ServedPath>>,
    /// The number of sessions that have sent `QUIT`.
    pub(super) farewells: AtomicUsize,
}

impl ServerShared {
    /// Opens the directory, and creates the files that the personality keeps in it.
    fn open(mut setup: ServerSetup, identity: Option<ServerIdentity>) -> Result<Self> {
        let mut plans = setup.plans.clone();
        if let Some(personality) = setup.personality {
            plans.extend(personality.plans());
            setup.sessions_max = setup.sessions_max.min(personality.sessions_max());
        }
        let plans = Plans::new(plans);
        let root = ServedRoot::open(&setup.root, plans.naming())?;
        for name in plans.all(|effect| match effect {
            Effect::Keeps(name) => Some(*name),
            _ => None,
        }) {
            let path = setup.root.join(name);
            fs::write(&path, "0 0\n").map_err(|error| Error::local("make", &path, error))?;
        }
        let syntax = plans.all(|effect| match effect {
            Effect::Paths(syntax) => Some(*syntax),
            _ => None,
        });
        let form = plans.all(|effect| match effect {
            Effect::Lines(form) => Some(*form),
            _ => None,
        });
        Ok(Self {
            root,
            plans,
            identity,
            log: DialogueLog::default(),
            syntax: syntax.first().copied().unwrap_or_default(),
            form: form.first().copied().unwrap_or_default(),
            fresh: Mutex::default(),
            farewells: AtomicUsize::new(0),
            setup,
        })
    }

    /// Returns true if login and data require TLS.
    pub(super) fn tls_required(&self) -> bool {
        self.setup.tls.as_ref().is_some_and(|tls| tls.required)
    }

    /// Returns true if TLS starts with the connection.
    pub(super) fn tls_first(&self) -> bool {
        self.setup.tls.as_ref().is_some_and(|tls| tls.start == TlsStart::Implicit)
    }
}

/// A running server. Dropping it ends it, with all of its sessions.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    stage: Arc<ServerShared>,
    stop: CancelToken,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// Starts a server on its own thread. Fails if the directory, the address or a name for the certificate cannot be
    /// used.
    pub fn start(setup: ServerSetup) -> Result<Self> {
        let listener = listen(setup.address)?;
        let address = listener.local_addr().map_err(|error| Error::network("listen", error))?;
        let identity = setup.tls.as_ref().map(ServerIdentity::make).transpose()?;
        let stage = Arc::new(ServerShared::open(setup, identity)?);
        let stop = CancelToken::new();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::network("start the rehearsal server", error))?;
        let work = serve(listener, Arc::clone(&stage));
        let until = stop.clone();
        let thread = thread::Builder::new()
            .name("rehearse".to_owned())
            .spawn(move || drop(runtime.block_on(until.run_until_cancelled(work))))
            .map_err(|error| Error::network("start the rehearsal server", error))?;
        Ok(Self { address, stage, stop, thread: Some(thread) })
    }

    /// Returns the address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate of the authority that a client has to trust, as PEM; empty without TLS.
    pub fn ca_pem(&self) -> &str {
        self.stage.identity.as_ref().map_or("", |identity| &identity.ca_pem)
    }

    /// Returns the commands (`1 > RETR a`) and replies (`1 < 226 Transfer complete.`) so far, each with the number of
    /// its session; passwords are masked, and characters that could fool a terminal are escaped.
    pub fn log(&self) -> Vec<String> {
        self.stage.log.lines()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let doing = format!("listen on {address}");
    let listener = TcpListener::bind(address).map_err(|error| Error::network(&doing, error))?;
    listener.set_nonblocking(true).map_err(|error| Error::network(&doing, error))?;
    Ok(listener)
}

/// The reply to a client beyond the number of sessions.
const REFUSAL: &[u8] = b"421 Too many connections, please try later.\r\n";

/// Accepts clients until it is dropped; its sessions end with it.
async fn serve(listener: TcpListener, stage: Arc<ServerShared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut sessions = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((mut socket, _)) if sessions.len() >= stage.setup.sessions_max => {
                    number += 1;
                    stage.log.reply(number, REFUSAL);
                    drop(socket.write_all(REFUSAL).await);
                }
                Ok((socket, peer)) => {
                    number += 1;
                    sessions.spawn(ClientSession::serve(socket, peer, Arc::clone(&stage), number));
                }
                // The process is probably out of descriptors: some will be closed soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}
