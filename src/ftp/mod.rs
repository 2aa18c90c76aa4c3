//! FTP: sessions, data connections, listings.

pub mod listing;
pub mod path;
