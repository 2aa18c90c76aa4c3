//! The embedded server on a temporary directory, its site, and the reports of a session with it.

use portolan::remote::fs::RemoteFs as _;
use std::{
    fs,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use portolan::{
    error::Result,
    ftp::{
        path::RemotePath,
        secret::Secret,
        session::{RunContext, Session},
        site::{self, Site},
        transfer::{MemorySource, TransferStats},
    },
    observe::{Event, EventEmitter, Sink},
    rehearse::{FaultPlan, Personality, ServerSetup, ServerTls, TestServer},
};
use tempfile::TempDir;

/// The server and a site for it, with the default options.
pub(crate) struct Rehearsal {
    pub(crate) server: TestServer,
    pub(crate) site: Site,
    told: Arc<Told>,
    folder: TempDir,
}

/// A sink that keeps the changes of mode that a session reported.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Sink for Told {
    fn event(&self, event: &Event) {
        if let Event::FellBack { from, to, reason, .. } = event {
            self.0.lock().unwrap().push(format!("{from} to {to}: {reason}"));
        }
    }
}

impl Rehearsal {
    /// Starts it on a free port of the loopback.
    pub(crate) fn start(faults: &[&str], tls: bool) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), "localhost", faults, tls)
    }

    /// Starts one that behaves as a known kind of server.
    pub(crate) fn start_as(personality: &str) -> Self {
        let personality = Some(Personality::parse(personality).unwrap());
        Self::start_with(|setup| ServerSetup { personality, ..setup })
    }

    /// Starts one with other settings.
    pub(crate) fn start_with(change: impl FnOnce(ServerSetup) -> ServerSetup) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::open_with(address, "localhost", &[], false, change)
    }

    /// Starts it at `address`, with a certificate for `name`.
    pub(crate) fn start_at(address: SocketAddr, name: &str, faults: &[&str], tls: bool) -> Self {
        Self::open_with(address, name, faults, tls, |setup| setup)
    }

    fn open_with(
        address: SocketAddr,
        name: &str,
        faults: &[&str],
        tls: bool,
        change: impl FnOnce(ServerSetup) -> ServerSetup,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-rehearsal-").tempdir().unwrap();
        let plans = faults.iter().map(|fault| FaultPlan::parse(fault).unwrap()).collect();
        let names = vec![name.to_owned()];
        let tls = tls.then(|| ServerTls { names, ..ServerTls::default() });
        let is_secure = tls.is_some();
        let setup = ServerSetup { address, tls, plans, ..ServerSetup::at(folder.path()) };
        let server = TestServer::start(change(setup)).unwrap();
        let mut site = Site::new(server.address().ip().to_string());
        site.port = server.address().port();
        site.user = "tester".into();
        site.password = Some(Secret::new("open+sesame-21"));
        if is_secure {
            site.tls = site::TlsMode::Explicit;
            site.trust.ca_pem = Some(server.ca_pem().to_owned());
        }
        Self { server, site, told: Arc::default(), folder }
    }

    pub(crate) async fn open(&self) -> Result<Session> {
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Arc::clone(&self.told))];
        let observer = EventEmitter::new(sinks);
        Session::open(self.site.clone(), RunContext { observer, ..RunContext::default() }).await
    }

    /// Returns the changes of mode that sessions reported: `active to passive: …`.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.0.lock().unwrap().clone()
    }

    /// Writes a file on the server.
    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Returns the directory that it serves.
    pub(crate) fn root(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns a file of the server, if it exists.
    pub(crate) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(path)).ok()
    }
}

/// Returns a path on the server.
pub(crate) fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

/// Uploads `bytes`.
pub(crate) async fn put(session: &mut Session, at: &str, bytes: &[u8]) -> Result<TransferStats> {
    session.upload(&mut MemorySource::new(bytes), bytes.len() as u64, None, &path(at)).await
}

/// Runs `work` on a runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
