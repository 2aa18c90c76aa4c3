//! Deployments: a built site is put on a server, safely for what else is there, and can be taken back.
//!
//! A deployment is a mirror run with other rules ([`DeployRules`](portolan_mirror::DeployRules)): the state of both sides
//! is on the server, only files that an earlier deployment put there are deleted, pages come last. This crate adds what
//! happens around the run.
//!
//! ```text
//! options   the options, one row each       driver    one deployment from its options to its report
//! git       the tracked files               check     the question to the site after a deployment
//! releases  the old bytes of what changes   rollback  back to them
//! remote    files and trees on the server   report    figures and exit codes
//! ```

mod check;
mod driver;
mod git;
mod maintenance;
mod options;
mod releases;
mod remote;
mod report;
mod rollback;

pub use check::{WebPermissions, web_host};
pub use driver::deploy;
pub use options::{DeployRequest, OPTIONS};
pub use report::DeployReport;
pub use rollback::{
    ROLLBACK_OPTIONS, ReleaseSummary, RollbackReport, RollbackRequest, list_releases, rollback,
};
