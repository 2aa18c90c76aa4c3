//! NAT: the host's own packet-filter rules that make it a gateway, or that let FTP pass through one.
//!
//! A [`model::RulesetSpec`] describes the wanted state; it is pure and checked as it is built. Every change of the system
//! is first a [`plan::RulesetPlan`], made by a [`machine::NatHost`], and its undo data is in a [`ruleset_store::RulesetStore`] before the
//! change is made. Only portolan's own tables are ever written, `inet portolan_<name>`; without nft, only its own
//! chains, `PORTOLAN_<name>_…`.
//!
//! ```text
//! check, nets                               names, ports, networks and sets of them
//! model, overlaps, part_text                a ruleset as the user describes it, its contradictions, its parts as text
//! host                                      state of the host's network
//! netlink                                   questions to the kernel
//! rule, rules, isolate, clamp               a ruleset as packet-filter rules
//! chains, nft, fold, listing                rules as text, and parsing of that text
//! masters                                   ports of bridges and members of VRFs, by the names that filters see
//! backend, nftables, iptables               the packet filter, driven by its program
//! plan    loadable, foreign, conflicts, guard         the changes, with warnings and refusals
//! cutoff                                    the services and logins that rules cut off
//! session, sockets                          the user's session and logins; the sockets of the host
//! ways, remedies                            the connections that should pass, and commands that let them
//! uplinks                                   warnings about addresses and answers
//! plan_report                               a plan as JSON and as text
//! needs, sysctl, settings                   kernel settings: the table of needs, and the rulesets that have them
//! apply, undo                               applying and undoing
//! features                                  features of the kernel, looked for before anything is done
//! drift                                     settings and interfaces that are not as rules need them
//! persist, boot_unit, boot_check            loading at boot: the files, the unit, and their comparison with what rules
//! mend    notice                            making hold again what was applied, when the host has changed
//! open    a table that exists only while it is held
//! proof   the FTP sessions that prove a ruleset
//! inside  a place in a network inside, from which they are held
//! twin    a copy of the host's network and rules, in which packets are tried
//!
//! gateway, address                          the default gateway, and which addresses are public
//! portmap                                   ports mapped on that router, as leases
//! detect, suggest                           which NAT is in the path, and settings for the other hosts
//! gateway_report                            what the host does as a gateway, by everybody's rules
//! history                                   each change, and the way back to it
//! import                                    foreign iptables lines as a script
//! ```

pub mod address;
pub mod apply;
mod backend;
pub mod boot_check;
mod boot_unit;
mod chains;
pub mod check;
mod clamp;
mod conflicts;
mod cutoff;
pub mod detect;
mod drift;
mod features;
mod fold;
pub mod foreign;
pub mod gateway;
pub mod gateway_report;
mod guard;
pub mod history;
pub mod host;
pub mod import;
pub mod inside;
mod iptables;
mod isolate;
mod listing;
mod loadable;
pub mod machine;
mod masters;
pub mod mend;
pub mod model;
mod needs;
mod netlink;
pub mod nets;
mod nft;
mod nftables;
pub mod notice;
pub mod open;
mod overlaps;
mod part_text;
mod persist;
pub mod plan;
pub mod plan_report;
pub mod portmap;
pub mod proof;
mod reason;
mod remedies;
mod rule;
mod rules;
pub mod ruleset_store;
pub mod session;
mod settings;
mod sockets;
pub mod suggest;
pub mod sysctl;
mod tools;
pub mod twin;
pub mod undo;
mod uplinks;
mod ways;

pub use netlink::network_cookie;
pub use reason::NatError;

/// Returns the number of tables in an nft listing.
pub fn count_tables(text: &str) -> usize {
    listing::tables(text).len()
}
