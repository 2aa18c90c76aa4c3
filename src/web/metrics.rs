//! The metrics endpoint for Prometheus that needs no login: `metrics` in `[runner]`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use super::connections::Listening;
use crate::{error::Result, observe::metrics::Metrics};

/// The maximum number of connections: scrapers and manual requests need one each, for milliseconds.
const CONNECTIONS_MAX: usize = 64;
/// The time after which a loop that does not turn counts as stuck: that of the watchdog of systemd.
const TURN_TIME_MAX: Duration = Duration::from_mins(1);

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
            let health = Arc::clone(&metrics);
            Router::new()
                .route("/healthz", get(async move || healthy(&health)))
                .route("/metrics", get(move || answer(Arc::clone(&metrics))))
                .route("/", get(|| async { "portolan: /metrics is for Prometheus\n" }))
        })?;
        Ok(Self { address })
    }
}

/// Answers a probe: whether the loop of the scheduler turns.
fn healthy(metrics: &Metrics) -> Response {
    match metrics.since_turn(Instant::now()) {
        Some(time) if time <= TURN_TIME_MAX => "ok\n".into_response(),
        Some(time) => {
            let text = format!("the scheduler is stuck for {} s\n", time.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "the scheduler has not begun\n").into_response(),
    }
}

/// Returns the metrics in the text format of Prometheus. Those of many jobs take a while, in which others are answered.
pub(super) async fn answer(metrics: Arc<Metrics>) -> Response {
    let text = tokio::task::spawn_blocking(move || metrics.text()).await;
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text.unwrap_or_default()).into_response()
}
