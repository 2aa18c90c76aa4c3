//! The page that Prometheus reads.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    observe::metrics::Metrics,
};

/// The page, while it is served.
#[derive(Debug)]
pub struct Page {
    /// Where it is: the port may have been 0.
    pub address: SocketAddr,
}

impl Page {
    /// Serves `metrics` at `address`, below `/metrics`, on a thread of its own, as long as the program lives.
    pub fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Outcome<Self> {
        let cannot = |error: std::io::Error| {
            let message = format!("cannot serve metrics at {address}: {error}");
            Fault::new(Kind::Local, Side::Here, message)
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
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, pages).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(target: "portolan", "no metrics any more: {error}");
                }
            });
        });
        thread.map_err(cannot)?;
        Ok(Self { address })
    }
}
