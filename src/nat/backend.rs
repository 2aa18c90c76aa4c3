//! The packet filter of this machine: nftables, or iptables where there is no nft.

use std::time::Duration;

use super::{
    Reason,
    nft::{Chains, Shape},
    nftables::Nftables,
    rules::Rule,
};
use crate::fault::{Fault, Outcome};

/// What is found under a ruleset's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Missing,
    /// Something, in the filter's own words.
    Listing(String),
    /// Only who has `CAP_NET_ADMIN` may know.
    Unreadable,
}

/// A packet filter. All names are those of our own tables.
pub(super) trait Backend: Send + Sync {
    /// Its name and version.
    fn words(&self) -> String;

    /// Where the rules of a ruleset are.
    fn place(&self, table: &str) -> String;

    /// `rules`, by chains.
    fn chains(&self, rules: &[Rule]) -> Outcome<Chains>;

    /// What is loaded to have `chains`, and nothing else, there.
    fn body(&self, table: &str, chains: &Chains) -> String;

    /// What is loaded to have `new` there for `time`, and after it `closed`, then `old`.
    fn trial(
        &self,
        table: &str,
        new: &Chains,
        old: &Chains,
        closed: &[Rule],
        time: Duration,
    ) -> Outcome<String>;

    /// `body` as the filter would list it; nothing where that cannot be found out without loading it. Fails where the
    /// filter would refuse it.
    fn listed(&self, table: &str, body: &str) -> Outcome<Option<String>>;

    /// What is there now.
    fn found(&self, table: &str) -> Outcome<Found>;

    /// What a listing is.
    fn shape(&self, table: &str, listing: &str) -> Shape;

    /// Puts `body` in the place of what is there; all or nothing.
    fn load(&self, table: &str, body: &str) -> Outcome<()>;

    /// Takes away what is there, if anything is.
    fn remove(&self, table: &str) -> Outcome<()>;

    /// The tables of everybody; nothing where they cannot be read.
    fn everything(&self) -> String;
}

/// The filter that is here: nft first. Fails with `nat.no_backend`.
pub(super) fn choose() -> Outcome<Box<dyn Backend>> {
    if let Some(nftables) = Nftables::find() {
        return Ok(Box::new(nftables));
    }
    let message =
        "there is neither nft nor iptables here: install nftables (Debian: `apt install nftables`)";
    Err(Reason::NoBackend.fault(message))
}

/// That the process may not.
pub(super) fn not_permitted() -> Fault {
    Reason::NotPermitted.fault(
        "rules can only be changed with CAP_NET_ADMIN: run as root, under `setpriv --inh-caps +net_admin \
         --ambient-caps +net_admin`, or in a service with `AmbientCapabilities=CAP_NET_ADMIN`",
    )
}
