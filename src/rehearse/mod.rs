//! An FTP server inside the program, on a scratch folder, with plans of faults.
//!
//! `portolan rehearse` runs a script against it, and the tests of the client do: it answers as real servers do, and
//! misbehaves as real servers did.
//!
//! ```text
//! setup, server                              what the caller chooses; one thread, its listener and sessions
//! session                                    one client: reads a command, sends a reply
//! account, files, listings, ports, transfer  the commands of a session, by family
//! control, data, stream, flow, source        bytes to and from the client
//! command, reply, listing, root              commands, replies, lines of listings, paths
//! personality, naming, syntax, forms         real servers by name; names, paths and listings as they have them
//! plan, named, effect, draw                  faults: asked for, by name, what they do, by lot
//! tree                                       copies of folders, and what has changed in them
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

pub use command::Verb;
pub use personality::Personality;
pub use plan::Plan;
pub use server::Server;
pub use setup::{Certificate, Login, Setup, Start, Tls, Version};

#[cfg(test)]
mod tests;
