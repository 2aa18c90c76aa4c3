//! The packet filter of this machine: nftables, or iptables where there is no nft.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Reason,
    chains::{Chains, Shape},
    iptables::Iptables,
    listing::Table,
    nftables::{Find, Nftables},
    rules::Rule,
};
use crate::fault::{Fault, Outcome};

/// Which packet filter has a ruleset's rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// nft where it works, else iptables.
    #[default]
    Auto,
    /// nftables.
    Nft,
    /// iptables, as this machine has it: the old one, or the one that speaks to nftables.
    Iptables,
}

impl Choice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Nft, Self::Iptables];

    /// The word that users have for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Nft => "nft",
            Self::Iptables => "iptables",
        }
    }

    /// The one of that word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.word() == word)
    }
}

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

/// What brings a ruleset back when the machine starts.
#[derive(Debug)]
pub(super) struct Start {
    /// What the file's name ends in.
    pub(super) ending: &'static str,
    /// What stands in it.
    pub(super) text: String,
    /// The command that loads it, without the file's name behind it.
    pub(super) load: &'static str,
    /// The whole command that takes it away.
    pub(super) unload: String,
    /// The units after which that is done, and whose new start takes the rules away.
    pub(super) after: &'static str,
    /// The rights and folders that it needs, as a unit has them.
    pub(super) needs: &'static str,
}

/// A packet filter. All names are those of our own tables, `portolan_<ruleset>`.
pub(super) trait Backend: Send + Sync {
    /// Which it is.
    fn choice(&self) -> Choice;

    /// Its name and version.
    fn words(&self) -> String;

    /// Where the rules of a ruleset are.
    fn place(&self, table: &str) -> String;

    /// `rules`, by chains.
    fn chains(&self, rules: &[Rule]) -> Outcome<Chains>;

    /// What is loaded to have `chains`, and nothing else, there.
    fn body(&self, table: &str, chains: &Chains) -> String;

    /// What is loaded to have `new` there for `time`, and after it `closed`, then `old`. Fails with `nat.no_timer` where
    /// nothing but a process of ours could bring the old ones back.
    fn trial(
        &self,
        table: &str,
        new: &Chains,
        old: &Chains,
        closed: &Chains,
        time: Duration,
    ) -> Outcome<String>;

    /// `body` as the filter would list it; nothing where that cannot be found out without loading it. Fails where the
    /// filter would refuse it.
    fn listed(&self, table: &str, body: &str) -> Outcome<Option<String>>;

    /// What is there now.
    fn found(&self, table: &str) -> Outcome<Found>;

    /// What a listing is.
    fn shape(&self, table: &str, listing: &str) -> Shape;

    /// Puts `body` in the place of what is there; where it fails, what was there may have to be loaded again.
    fn load(&self, table: &str, body: &str) -> Outcome<()>;

    /// Takes away what is there, if anything is.
    fn remove(&self, table: &str) -> Outcome<()>;

    /// The tables of everybody; none where they cannot be read.
    fn everything(&self) -> Vec<Table>;

    /// Whether what old iptables have loaded is in [`everything`](Self::everything).
    fn sees_legacy(&self) -> bool;

    /// The commands that load `body` where `found` is.
    fn commands(&self, table: &str, body: &str, found: &Found) -> Vec<String>;

    /// What loads `body` when the machine starts.
    fn at_start(&self, table: &str, body: &str) -> Start;
}

/// A filter, and why it is not the one that is asked first.
pub(super) struct Chosen {
    pub(super) backend: Box<dyn Backend>,
    /// What is wrong with the nft of this machine.
    pub(super) broken: Option<String>,
}

/// The filter that is wanted, or that is here: nft first, where the kernel has what it needs. Fails with
/// `nat.no_backend`.
pub(super) fn choose(choice: Choice) -> Outcome<Chosen> {
    let chosen = |nftables| Ok(Chosen { backend: Box::new(nftables), broken: None });
    let mut broken = None;
    if choice != Choice::Iptables {
        broken = match Nftables::find() {
            Find::Missing => None,
            Find::Broken(why) => Some(why),
            Find::Found(nftables) if choice == Choice::Nft => return chosen(nftables),
            Find::Found(nftables) => match Nftables::try_out() {
                Ok(()) => return chosen(nftables),
                Err(why) => Some(why),
            },
        };
    }
    if choice != Choice::Nft
        && let Some(iptables) = Iptables::find()
    {
        return Ok(Chosen { backend: Box::new(iptables), broken });
    }
    let message = match (choice, broken) {
        (Choice::Auto | Choice::Nft, Some(why)) => format!("nftables does not work here: {why}"),
        (Choice::Auto, None) => {
            "there is neither nft nor iptables here: install nftables (Debian: `apt install nftables`)".into()
        }
        (Choice::Nft, None) => {
            "there is no nft here: install nftables (Debian: `apt install nftables`)".into()
        }
        (Choice::Iptables, _) => {
            "there is no iptables here: install it (Debian: `apt install iptables`)".into()
        }
    };
    Err(Reason::NoBackend.fault(message))
}

/// That the process may not.
pub(super) fn not_permitted() -> Fault {
    Reason::NotPermitted.fault(
        "rules can only be changed with CAP_NET_ADMIN (and CAP_NET_RAW with old iptables): run as root, under `setpriv --inh-caps +net_admin \
         --ambient-caps +net_admin`, or in a service with `AmbientCapabilities=CAP_NET_ADMIN`",
    )
}
