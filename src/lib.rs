//! portolan moves files over FTP and FTPS by Rhai scripts, active or passive, whatever NAT stands between.
//!
//! # Architecture
//!
//! Modules depend only on those below them; `tests/it/tidy/modules.rs` enforces it.
//!
//! ```text
//! cli     fuzzing                  one file per command, the only module that names clap; the fuzz targets
//! schedule                         jobs, cron expressions, the planner and the daemon
//! script                           the Rhai engine and the script API; the only module that names rhai
//! state_adapter  port_provider     server records and the state of mirrors; inbound ports for data
//! mirror                           plan and apply for trees
//! ftp    nat    store    rehearse  the client; NAT rules; persistent state; the embedded server (none uses another)
//! remote                           paths, entries and transfers of servers of any protocol
//! observe                          one event enum, its sinks
//! files                            local files, safe from links, races and partial writes
//! error  limits  random  encoding  exit_code  buffer  cancel  clock  option_table  leaves
//! ```

pub mod buffer;
pub mod cancel;
pub mod clock;
pub mod encoding;
pub mod error;
pub mod exit_code;
pub mod files;
pub mod ftp;
pub mod limits;
pub mod mirror;
pub mod nat;
pub mod observe;
pub mod option_table;
pub mod port_provider;
pub mod proto;
pub mod random;
pub mod rehearse;
pub mod remote;
pub mod schedule;
pub mod script;
pub mod state_adapter;
pub mod store;

pub mod cli;
#[doc(hidden)]
pub mod fuzzing;
