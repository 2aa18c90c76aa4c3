//! FTP: sessions, data connections, listings.

pub mod absence_check;
pub mod addresses;
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
mod list;
mod list_commands;
pub mod listing;
pub mod login;
mod long_reply;
mod mask;
pub mod path_facts;
mod path_syntax;
pub mod ports;
mod profile;
pub mod proxy;
mod race;
mod remote_fs;
pub mod reply;
pub mod secret;
pub mod server_store;
pub mod session;
mod shared_method;
pub mod site;
mod stream;
mod telnet;
pub mod temp_records;
pub mod tls;
pub mod transfer;
pub mod url;

pub use crate::remote::{path, rate_limit};

#[cfg(test)]
mod tests;
