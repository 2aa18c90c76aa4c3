//! portolan moves files over FTP and FTPS by Rhai scripts, active or passive, whatever NAT stands between.
//!
//! # The house
//!
//! Modules look down only; `tests/it/tidy.rs` holds them to it.
//!
//! ```text
//! cli     fuzzing                  one file a command, the only place that names clap; what the fuzzer feeds
//! schedule                         jobs, cron expressions, what is to be done at a moment
//! script                           the Rhai engine and what scripts see; the only place that names rhai
//! mirror   memory   doors          plan and apply for trees; what runs remember of servers; ways in for data
//! ftp    nat    store    rehearse  the client; rules for NAT; what outlives a run; the embedded server (none knows another)
//! observe                          one event enum, its sinks
//! files                            files of this machine, safe from links, races and half-written ends
//! fault  limits  stop  clock       leaves
//! ```

pub mod clock;
pub mod doors;
pub mod fault;
pub mod files;
pub mod ftp;
pub mod limits;
pub mod memory;
pub mod mirror;
pub mod nat;
pub mod observe;
pub mod rehearse;
pub mod schedule;
pub mod script;
pub mod stop;
pub mod store;

pub mod cli;
#[doc(hidden)]
pub mod fuzzing;
