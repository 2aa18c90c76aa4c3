//! NAT: rules of this machine by which it is a gateway, and by which FTP gets through one.
//!
//! A [`model::Ruleset`] says what is wanted; it is pure and checked as it is built. Everything that changes the machine
//! is a [`plan::Plan`] first, made by a [`machine::Machine`], and what undoes it is in a [`ledger::Ledger`] before it is
//! done. Our own tables are all that is ever written, `inet portolan_<name>`; where there is
//! no nft, our own chains, `PORTOLAN_<name>_…`.
//!
//! ```text
//! check   names, networks, ports            model    a ruleset in its user's words
//! here    what this machine is like         rules    the same as rules of a packet filter
//! chains, nft, listing                      rules as text, and text taken apart
//! backend, nftables, iptables               the packet filter, by its program
//! plan    diff, foreign, rivals, guard       what would change, and what to know before
//! sysctl, settings                          settings of the kernel, and whose they are
//! apply, undo, persist                      doing it, and taking it back
//! open    what is open only as long as somebody holds it
//!
//! gateway, address                          the router before this machine, and which addresses are public
//! portmap                                   ports of that router, as leases
//! detect, suggest                           which NAT stands between, and what others have to set
//! ```

pub mod address;
pub mod apply;
mod backend;
mod chains;
pub mod check;
pub mod detect;
mod diff;
pub mod foreign;
pub mod gateway;
mod guard;
pub mod here;
mod iptables;
pub mod ledger;
mod listing;
pub mod machine;
pub mod model;
mod nft;
mod nftables;
pub mod open;
mod persist;
pub mod plan;
pub mod portmap;
mod reason;
mod rivals;
mod rules;
mod settings;
pub mod suggest;
pub mod sysctl;
mod tools;
pub mod undo;

pub use reason::Reason;

/// Returns how many tables a listing of nft's has.
pub(crate) fn count_tables(text: &str) -> usize {
    listing::tables(text).len()
}
