//! The page of the scheduler and its API, and metrics for Prometheus: what `portolan serve` answers by HTTP.
//!
//! Reading and acting go by the same store and the same messages as the commands, and the documents of the API are the
//! values of `--json`. `access` decides who may do what, without I/O; `gate` asks it before every request.

mod access;
mod answer;
mod api;
mod assets;
mod connections;
mod documents;
mod events;
mod gate;
mod log;
mod metrics;
mod pages;
mod params;
mod server;
mod sessions;
mod stores;
mod tls;
pub mod tokens;
mod work;

pub use metrics::MetricsServer;
pub use server::{WebServer, WebSetup};
