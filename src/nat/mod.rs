//! NAT: rules of this machine by which it is a gateway, and by which FTP gets through one.
//!
//! A [`model::Ruleset`] says what is wanted; it is pure and checked as it is built. Everything that changes the machine
//! is a plan first. Our own tables are all that is ever written: `inet portolan_<name>`.

pub mod address;
pub mod detect;
pub mod gateway;
pub mod model;
pub mod portmap;
mod reason;
pub mod suggest;

pub use reason::Reason;
