//! The metrics endpoint for Prometheus that needs no login: `metrics` in `[runner]`.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::get,
};

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
                .route("/metrics", get(move || answer(Arc::clone(&metrics))))
                .route("/", get(|| async { "portolan: /metrics is for Prometheus\n" }))
        })?;
        Ok(Self { address })
    }
}

/// Returns the metrics in the text format of Prometheus. Those of many jobs take a while, in which others are answered.
pub(super) async fn answer(metrics: Arc<Metrics>) -> Response {
    let text = tokio::task::spawn_blocking(move || metrics.text()).await;
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text.unwrap_or_default()).into_response()
}
