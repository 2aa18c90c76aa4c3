//! NAT: rules of this machine by which it is a gateway, and by which FTP gets through one.
//!
//! A [`model::Ruleset`] says what is wanted; it is pure and checked as it is built. Everything that changes the machine
//! is a plan first. Our own tables are all that is ever written: `inet portolan_<name>`.

pub mod model;
mod reason;

pub use reason::Reason;
