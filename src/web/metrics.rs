//! The metrics endpoint for Prometheus that needs no login: `metrics` in `[runner]`.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};

use super::connections::Listening;
use crate::{error::Result, observe::metrics::Metrics};

/// The maximum number of connections: scrapers and manual requests need one each, for milliseconds.
const CONNECTIONS_MAX: usize = 64;

/// The running metrics endpoint.
#[derive(Debug)]
pub struct MetricsServer {
    /// Its address: the requested port may have been 0.
    pub address: SocketAddr,
}

impl MetricsServer {
    /// Serves `metrics` at `address` under `/metrics`, on a separate thread, for the lifetime of the process.
    pub fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Self> {
        let listening = Listening::at(address, "serve metrics")?;
        let address = listening.address;
        listening.serve(CONNECTIONS_MAX, None, || {
            Router::new()
                .route("/metrics", get(move || async move { page(&metrics) }))
                .route("/", get(|| async { "portolan: /metrics is for Prometheus\n" }))
        })?;
        Ok(Self { address })
    }
}

/// Returns the metrics in the text format of Prometheus.
pub(super) fn page(metrics: &Metrics) -> impl IntoResponse + use<> {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
}
