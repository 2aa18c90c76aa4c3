//! Connections of HTTP servers, within limits.
//!
//! A client that reaches the port may open any number of connections and send nothing. Each connection takes a
//! descriptor that runs may need: so connections are few, each has little time and one request, and the oldest that
//! waits for its request is closed for a new one.

use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::process::{Resource, getrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::tls::PageTls;
use crate::error::{Error, ErrorKind, Origin, Result};

/// The share of the descriptors that connections may take: one in this many.
const DESCRIPTORS_PER_CONNECTION: u64 = 8;
/// The maximum time for the head of a request, and for a TLS handshake.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// The maximum time for a connection: a response of a megabyte over a slow line takes less.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);
/// The maximum bytes of the head of a request; browsers send one or two thousand.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The wait after a failed accept, for example for lack of descriptors.
const ACCEPT_WAIT: Duration = Duration::from_millis(200);

/// The connection of a request: where it comes from, and how long it may last.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// The address of the client.
    pub(super) from: SocketAddr,
    begun: Instant,
    /// The milliseconds after `begun` at which it is closed.
    limit_ms: Arc<AtomicU64>,
    /// True once the head of its request has arrived.
    is_busy: Arc<AtomicBool>,
}

impl Connection {
    fn new(from: SocketAddr) -> Self {
        let connection = Self {
            from,
            begun: Instant::now(),
            limit_ms: Arc::new(AtomicU64::new(0)),
            is_busy: Arc::new(AtomicBool::new(false)),
        };
        connection.may_last(CONNECTION_TIME_MAX);
        connection
    }

    /// Sets the maximum time of the connection, counted from its beginning.
    pub(super) fn may_last(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.limit_ms.store(ms, Ordering::Relaxed);
    }

    /// Notes that its request is being answered.
    pub(super) fn is_answered(&self) {
        self.is_busy.store(true, Ordering::Relaxed);
    }

    fn end(&self) -> Instant {
        self.begun + Duration::from_millis(self.limit_ms.load(Ordering::Relaxed))
    }
}

/// A listener that has not accepted anything yet.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    /// Its address: the requested port may have been 0.
    pub(super) address: SocketAddr,
    /// Messages about it: `serve the page`.
    doing: &'static str,
}

impl Listening {
    /// Listens at `address`; `doing` says what for, in errors.
    pub(super) fn at(address: SocketAddr, doing: &'static str) -> Result<Self> {
        let cannot = |error: std::io::Error| cannot(doing, address, &error);
        let listener = TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address, doing })
    }

    /// Serves what `router` makes, on a separate thread, for the lifetime of the process, over at most `most`
    /// connections. It is called within the runtime that serves it.
    pub(super) fn serve(
        self,
        most: usize,
        tls: Option<PageTls>,
        router: impl FnOnce() -> Router + Send + 'static,
    ) -> Result<()> {
        let Self { listener, address, doing } = self;
        let cannot = |error: std::io::Error| cannot(doing, address, &error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build();
        let runtime = runtime.map_err(cannot)?;
        let thread = std::thread::Builder::new().name("web".into()).spawn(move || {
            runtime.block_on(async {
                let router = router();
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => accept(&listener, most, tls, &router).await,
                    Err(error) => {
                        tracing::error!(target: "portolan", "cannot {doing} any more: {error}");
                    }
                }
            });
        });
        thread.map(drop).map_err(cannot)
    }
}

/// The maximum number of threads that read the store or a log for requests.
const BLOCKING_THREADS_MAX: usize = 8;

fn cannot(doing: &str, address: SocketAddr, error: &std::io::Error) -> Error {
    let message = format!("cannot {doing} at {address}: {error}");
    Error::new(ErrorKind::Local, Origin::Here, message)
}

/// Returns the maximum number of connections: `most`, or the share of the descriptors.
fn connections_max(most: usize) -> usize {
    let share =
        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / DESCRIPTORS_PER_CONNECTION;
    usize::try_from(share).unwrap_or(usize::MAX).clamp(1, most)
}

/// The connections that are open, the oldest first.
type OpenConnections = VecDeque<(Connection, JoinHandle<()>)>;

async fn accept(
    listener: &tokio::net::TcpListener,
    most: usize,
    mut tls: Option<PageTls>,
    router: &Router,
) {
    let most = connections_max(most);
    let mut open = OpenConnections::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(target: "portolan", "no connection can be accepted: {error}");
                open.retain(|(_, task)| !task.is_finished());
                close_oldest(&mut open);
                sleep(ACCEPT_WAIT).await;
                continue;
            }
        };
        open.retain(|(_, task)| !task.is_finished());
        if open.len() >= most {
            close_oldest(&mut open);
        }
        let connection = Connection::new(from);
        let (mine, router) = (connection.clone(), router.clone());
        let acceptor = tls.as_mut().map(PageTls::acceptor);
        let task = tokio::spawn(async move {
            let Some(acceptor) = acceptor else { return answer(stream, mine, router).await };
            match timeout(HEAD_TIME_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => answer(stream, mine, router).await,
                Ok(Err(error)) => {
                    tracing::debug!(target: "portolan", "no TLS with {from}: {error}");
                }
                Err(_) => {}
            }
        });
        open.push_back((connection, task));
    }
}

/// Closes the oldest connection that still waits for its request; without one, the oldest of all.
fn close_oldest(open: &mut OpenConnections) {
    let is_idle = |(one, _): &(Connection, _)| !one.is_busy.load(Ordering::Relaxed);
    let at = open.iter().position(is_idle).unwrap_or(0);
    if let Some((_, task)) = open.remove(at) {
        task.abort();
    }
}

/// Answers one request. Failures are only logged: the client has gone.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    router: Router,
) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false);
    let service = TowerToHyperService::new(router.layer(Extension(connection.clone())));
    let done = server.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        done = done => {
            if let Err(error) = done {
                tracing::debug!(target: "portolan", "a request was not answered: {error}");
            }
        }
        () = until_over(&connection) => {}
    }
}

/// Waits until the time of the connection is over; it may become longer meanwhile.
async fn until_over(connection: &Connection) {
    while connection.end() > Instant::now() {
        sleep_until(connection.end()).await;
    }
}
