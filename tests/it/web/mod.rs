//! The page and its API, as a browser, a program or an attacker meets them: over sockets, against `portolan serve`.

mod access;
mod api;
mod browser;
mod client;
mod described;
mod hostile;
mod limits;
mod page;
mod schema;
mod secure;
