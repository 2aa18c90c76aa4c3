//! FTP: sessions, data connections, listings.

pub mod absence_check;
pub mod addresses;
mod authority;
mod claims;
mod client;
mod connect;
pub mod context;
pub mod control;
pub mod data;
mod data_path;
mod data_report;
mod delete_tree;
pub mod doctor;
pub mod file_ops;
pub mod find;
pub mod framing;
mod list;
mod list_command;
mod list_fallback;
pub mod listing;
pub mod login;
mod long_reply;
mod mask;
mod open_data;
pub mod path_facts;
mod path_syntax;
pub mod pipelining;
pub mod ports;
mod profile;
pub mod proxy;
pub mod proxy_environment;
mod race;
pub mod recorder;
mod remote_fs;
pub mod replayed;
pub mod reply;
pub mod server_store;
pub mod session;
pub mod site;
mod site_options;
mod stream;
mod stream_state;
mod telnet;
pub mod temp_records;
pub mod tls;
pub mod transfer;
pub mod url;

pub use portolan_core::secret;
pub use portolan_remote::{path, rate_limit};

#[cfg(test)]
mod tests;
