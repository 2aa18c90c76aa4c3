//! An embedded FTP server with fault injection, which serves a scratch directory.
//!
//! `portolan rehearse` runs a script against it, and so do the tests of the client: it answers as real servers do, and
//! misbehaves as real servers did.
//!
//! ```text
//! setup, server                              configuration; one thread, its listener and sessions
//! session                                    one client: reads a command, sends a reply
//! account, files, listings, ports, transfer  the commands of a session, by family
//! control, data, stream, flow, source        bytes to and from the client
//! command, reply, listing, root              commands, replies, lines of listings, paths
//! personality, naming, syntax, forms         real servers by name; their names, paths and listings
//! plan, named, effect, draw                  faults: requests, catalog, effects, random choice
//! replay                                     a server that answers as a recording of a run says
//! tree                                       copies of directories, and the changes in them
//! ```

mod account;
mod certificate;
mod command;
mod control;
mod data;
mod draw;
mod effect;
mod files;
mod flow;
mod forms;
mod listing;
mod listings;
mod log;
mod named;
mod naming;
mod personality;
mod plan;
mod ports;
pub mod replay;
mod reply;
mod root;
mod server;
mod session;
mod setup;
mod source;
mod stream;
mod syntax;
mod transfer;
pub mod tree;

pub use personality::Personality;
pub use plan::FaultPlan;
pub use server::TestServer;
pub use setup::{AllowedLogin, CertificateKind, ServerSetup, ServerTls, TlsStart, Version};

#[cfg(test)]
mod tests;
