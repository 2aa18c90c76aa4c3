//! The embedded server on a scratch folder, the way to it, and what a session with it tells.

use std::{
    fs,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use portolan::{
    fault::Outcome,
    ftp::{
        path::RemotePath,
        secret::Secret,
        session::{Context, Session},
        site::{self, Site},
        transfer::{Moved, Text},
    },
    observe::{Event, Observer, Sink},
    rehearse::{Plan, Server, Setup, Tls},
};
use tempfile::TempDir;

/// The server and a site that leads to it, everything else by default.
pub(crate) struct Rehearsal {
    pub(crate) server: Server,
    pub(crate) site: Site,
    told: Arc<Told>,
    folder: TempDir,
}

/// The lines on which a session told of another mode.
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
    /// On a free port of the loopback.
    pub(crate) fn start(faults: &[&str], tls: bool) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), "localhost", faults, tls)
    }

    /// At `address`, with a certificate for `name`.
    pub(crate) fn start_at(address: SocketAddr, name: &str, faults: &[&str], tls: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-rehearsal-").tempdir().unwrap();
        let plans = faults.iter().map(|fault| Plan::parse(fault).unwrap()).collect();
        let names = vec![name.to_owned()];
        let tls = tls.then(|| Tls { names, ..Tls::default() });
        let is_secure = tls.is_some();
        let setup = Setup { address, tls, plans, ..Setup::at(folder.path()) };
        let server = Server::start(setup).unwrap();
        let mut site = Site::new(server.address().ip().to_string());
        site.port = server.address().port();
        site.user = "tester".into();
        site.password = Some(Secret::new("secret"));
        if is_secure {
            site.tls = site::Tls::Explicit;
            site.trust.ca_pem = Some(server.ca_pem().to_owned());
        }
        Self { server, site, told: Arc::default(), folder }
    }

    pub(crate) async fn open(&self) -> Outcome<Session> {
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Arc::clone(&self.told))];
        let observer = Observer::new(sinks);
        Session::open(self.site.clone(), Context { observer, ..Context::default() }).await
    }

    /// The lines on which sessions told of another mode: `active to passive: …`.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.0.lock().unwrap().clone()
    }

    /// Puts a file on the server.
    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The folder that it serves.
    pub(crate) fn root(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A file of the server, if it is there.
    pub(crate) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(path)).ok()
    }
}

/// A path on the server.
pub(crate) fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

/// Uploads `bytes`.
pub(crate) async fn put(session: &mut Session, at: &str, bytes: &[u8]) -> Outcome<Moved> {
    session.upload(&mut Text::new(bytes), bytes.len() as u64, None, &path(at)).await
}

/// Does `work` on a runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
