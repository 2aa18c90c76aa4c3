//! The metrics endpoint for Prometheus.
//!
//! A client that reaches the port may open any number of connections and send nothing. Each connection takes a
//! descriptor that runs may need: so connections are few, each has little time, and the oldest is closed for a new one.

use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    observe::metrics::Metrics,
};

/// The maximum number of connections: scrapers and manual requests need one each, for milliseconds.
const CONNECTIONS_MAX: usize = 64;
/// The share of the descriptors that connections may take: one in this many.
const DESCRIPTORS_PER_CONNECTION: u64 = 8;
/// The maximum time for the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// The maximum time for a connection: a response of a megabyte over a slow line takes less.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);
/// The maximum bytes of the head of a request; browsers send one or two thousand.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The wait after a failed accept, for example for lack of descriptors.
const ACCEPT_WAIT: Duration = Duration::from_millis(200);

/// The running metrics endpoint.
#[derive(Debug)]
pub struct MetricsServer {
    /// Its address: the requested port may have been 0.
    pub address: SocketAddr,
}

impl MetricsServer {
    /// Serves `metrics` at `address` under `/metrics`, on a separate thread, for the lifetime of the process.
    pub fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            let message = format!("cannot serve metrics at {address}: {error}");
            Error::new(ErrorKind::Local, Origin::Here, message)
        };
        let listener = TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(cannot)?;
        let text = move || {
            let text = metrics.text();
            async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text) }
        };
        let pages = Router::new()
            .route("/metrics", get(text))
            .route("/", get(|| async { "portolan: /metrics is for Prometheus\n" }));
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => accept(&listener, &pages).await,
                    Err(error) => {
                        tracing::error!(target: "portolan", "no metrics any more: {error}");
                    }
                }
            });
        });
        thread.map_err(cannot)?;
        Ok(Self { address })
    }
}

/// Returns the maximum number of connections.
fn connections_max() -> usize {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / DESCRIPTORS_PER_CONNECTION;
    usize::try_from(most).unwrap_or(usize::MAX).clamp(1, CONNECTIONS_MAX)
}

async fn accept(listener: &tokio::net::TcpListener, pages: &Router) {
    let most = connections_max();
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(target: "portolan", "no connection for metrics: {error}");
                open.retain(|one| !one.is_finished());
                // Close the oldest one to make room.
                close_oldest(&mut open);
                sleep(ACCEPT_WAIT).await;
                continue;
            }
        };
        open.retain(|one| !one.is_finished());
        if open.len() >= most {
            close_oldest(&mut open);
        }
        open.push_back(tokio::spawn(answer(stream, pages.clone())));
    }
}

fn close_oldest(open: &mut VecDeque<JoinHandle<()>>) {
    if let Some(oldest) = open.pop_front() {
        oldest.abort();
    }
}

/// Answers one request. Failures are only logged: the client has gone.
async fn answer(stream: TcpStream, pages: Router) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false);
    let done = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    if let Ok(Err(error)) = timeout(CONNECTION_TIME_MAX, done).await {
        tracing::debug!(target: "portolan", "a request for metrics was not answered: {error}");
    }
}
