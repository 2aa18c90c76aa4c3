//! FTP: sessions, data connections, listings.

pub mod control;
pub mod data;
pub mod listing;
pub mod login;
pub mod path;
pub mod reply;
pub mod secret;
pub mod secure;
pub mod session;
pub mod site;
mod wire;
