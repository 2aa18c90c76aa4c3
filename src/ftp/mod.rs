//! FTP: sessions, data connections, listings.

pub mod absence;
pub mod addresses;
pub mod answers;
pub mod base;
mod claims;
mod client;
pub mod context;
pub mod control;
pub mod data;
pub mod door;
pub mod folders;
mod forms;
mod found;
mod lines;
pub mod listing;
mod lists;
pub mod login;
mod manners;
mod mask;
pub mod memory;
mod opening;
pub mod pace;
pub mod path;
mod path_syntax;
pub mod proxy;
mod race;
mod remove;
pub mod reply;
pub mod search;
pub mod secret;
pub mod secure;
pub mod session;
pub mod site;
pub mod survey;
pub mod transfer;
pub mod url;
mod way;
mod wire;

#[cfg(test)]
mod tests;
