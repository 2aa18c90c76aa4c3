//! Jobs on schedules: expressions and zones, the jobs file, and the decisions that are due at a given time.
//!
//! [`plan::Planner`] is pure: it turns [`jobs::Jobs`], earlier decisions, the current time and the running jobs into
//! decisions. Its callers sleep, start processes, open databases and carry the decisions out.

pub mod arrivals;
pub mod child;
pub mod daemon;
pub mod expected;
pub mod export;
pub mod facts;
pub mod jobs;
pub mod machines;
pub mod moments;
pub mod notify;
pub mod overview;
pub mod plan;
pub mod releases;
pub mod shared_log;
pub mod simulate;
pub mod slot_status;
pub mod upcoming;

pub use portolan_cron::{self as cron, slot, zone};
