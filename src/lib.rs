//! portolan moves files over FTP and FTPS by Rhai scripts, active or passive, whatever NAT stands between.
//!
//! # Architecture
//!
//! Modules depend only on those below them; `tests/it/tidy/modules.rs` enforces it.
//!
//! ```text
//! cli     fuzzing                  one file per command, the only module that names clap; the fuzz targets
//! web                              the page of the scheduler and its API
//! schedule                         jobs, cron expressions, the planner and the daemon
//! script                           the Rhai engine and the script API; the only module that names rhai
//! state_adapter  port_provider     server records and the state of mirrors; inbound ports for data
//! deploy                           built sites onto a server, with a way back
//! nat_proof                        FTP sessions that prove a ruleset
//! advice                           what administrators have to let through, from a diagnosis
//! mirror                           plan and apply for trees
//! ftp    nat    store    rehearse  the client; NAT rules; persistent state; the embedded server (none uses another)
//! remote                           paths, entries and transfers of servers of any protocol
//! observe                          one event enum, its sinks
//! files  permissions               local files, safe from links, races and partial writes; what a script may do
//! error  limits  random  encoding  exit_code  buffer  cancel  clock  option_table  recording
//!                                  leaves
//! ```

pub use portolan_core::{
    buffer, cancel, clock, duration, encoding, error, exit_code, limits, observe, option_table,
    random, recording, secret, similar,
};
pub use portolan_deploy as deploy;
pub use portolan_fs as files;
pub use portolan_ftp as ftp;
pub use portolan_mirror as mirror;
pub use portolan_nat as nat;
pub use portolan_permissions as permissions;
pub use portolan_proto as proto;
pub use portolan_remote as remote;
pub use portolan_state as state_adapter;
pub use portolan_store as store;
pub use portolan_testserver as rehearse;

pub mod advice;
pub mod nat_proof;
pub mod port_provider;
pub mod schedule;
pub mod script;
pub mod web;

pub mod cli;
#[doc(hidden)]
pub mod fuzzing;
