//! The packet filter of the host: nftables, or iptables if there is no nft.

use std::{path::Path, time::Duration};
use strum::{EnumString, IntoStaticStr};

use serde::{Deserialize, Serialize};

use super::{
    NatError,
    chains::{Chains, Shape},
    iptables::Iptables,
    listing::FilterTable,
    nftables::{Find, Nftables},
    rules::Rule,
};
use portolan_core::error::{Error, Result};

/// The packet filter that holds a ruleset's rules.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, EnumString,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// nft if it works, otherwise iptables.
    #[default]
    Auto,
    /// nftables.
    Nft,
    /// iptables as installed: the legacy variant, or the one on top of nftables.
    Iptables,
}

impl Choice {
    /// Returns the word that users write for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The result of looking up a ruleset's name in the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FoundRules {
    /// Not found.
    Missing,
    /// The listing in the filter's own syntax.
    Listing(String),
    /// Not known: it can only be read with `CAP_NET_ADMIN`.
    Unreadable,
}

/// The file and unit settings that load a ruleset at boot.
#[derive(Debug)]
pub(super) struct BootPlan {
    /// The extension of the file's name.
    pub(super) ending: &'static str,
    /// The contents of the file.
    pub(super) text: String,
    /// The command that loads it, without the file's name after it.
    pub(super) load: &'static str,
    /// The complete command that removes it.
    pub(super) unload: String,
    /// The units after which it is loaded, and whose restart removes the rules.
    pub(super) after: &'static str,
    /// The capabilities and directories that it needs, as lines of a unit.
    pub(super) needs: &'static str,
}

/// A packet filter. All names are those of portolan's own tables, `portolan_<ruleset>`.
pub(super) trait Backend: Send + Sync {
    /// Returns the filter's choice.
    fn choice(&self) -> Choice;

    /// Returns its name and version.
    fn words(&self) -> String;

    /// Returns the location of a ruleset's rules, for messages.
    fn place(&self, table: &str) -> String;

    /// Renders `rules`, grouped by chain.
    fn chains(&self, rules: &[Rule]) -> Result<Chains>;

    /// Returns the text to load so that exactly `chains` are there.
    fn body(&self, table: &str, chains: &Chains) -> String;

    /// Returns the text to load so that `new` is in force for `time`, and after that `old`, preceded by `closed`. Fails
    /// with `nat.no_timer` if only a process of portolan could restore the old rules.
    fn trial(
        &self,
        table: &str,
        new: &Chains,
        old: &Chains,
        closed: &Chains,
        time: Duration,
    ) -> Result<String>;

    /// Returns `body` as the filter would list it, or `None` if that is not known without loading it. Fails if the
    /// filter would refuse it.
    fn listed(&self, table: &str, body: &str) -> Result<Option<String>>;

    /// Returns what is there now.
    fn found(&self, table: &str) -> Result<FoundRules>;

    /// Classifies a listing.
    fn shape(&self, table: &str, listing: &str) -> Shape;

    /// Replaces what is there by `body`; if that fails, the old rules may have to be loaded again.
    fn load(&self, table: &str, body: &str) -> Result<()>;

    /// Removes what is there, if anything.
    fn remove(&self, table: &str) -> Result<()>;

    /// Returns all tables of all programs; none if they cannot be read.
    fn everything(&self) -> Vec<FilterTable>;

    /// Returns true if [`everything`](Self::everything) includes the rules of legacy iptables.
    fn sees_legacy(&self) -> bool;

    /// Returns the tables of the kernel that `body` needs and that do not exist yet, other than portolan's own.
    fn new_tables(&self, table: &str, body: &str) -> Result<Vec<String>>;

    /// Removes those of the `made` tables that are empty. Returns a note for the user if some of them stay.
    fn remove_tables(&self, made: &[String]) -> Result<Option<String>>;

    /// Returns `body` in a form that other tools can load any number of times.
    fn exported(&self, table: &str, body: &str) -> String;

    /// Returns the commands that replace `found` by `body`.
    fn commands(&self, table: &str, body: &str, found: &FoundRules) -> Vec<String>;

    /// Loads the file for boot into an empty network namespace and returns the listing of it; `None` if no namespace can
    /// be created. Fails if the file does not load.
    fn loads(&self, table: &str, file: &Path) -> Result<Option<String>>;

    /// Returns the file and unit settings that load `body` at boot.
    fn at_start(&self, table: &str, body: &str) -> BootPlan;
}

/// A packet filter, and the reason why it is not the preferred one.
pub(super) struct Chosen {
    pub(super) backend: Box<dyn Backend>,
    /// The defect of the installed nft.
    pub(super) broken: Option<String>,
}

/// Chooses the wanted filter, or an installed one: nft first, if the kernel supports it. Fails with `nat.no_backend`.
pub(super) fn choose(choice: Choice) -> Result<Chosen> {
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
    Err(NatError::NoBackend.fault(message))
}

/// Returns the fault for missing capabilities.
pub(super) fn not_permitted() -> Error {
    NatError::NotPermitted.fault(
        "rules can only be changed with CAP_NET_ADMIN (and CAP_NET_RAW with old iptables): run as root, under `setpriv --inh-caps +net_admin \
         --ambient-caps +net_admin`, or in a service with `AmbientCapabilities=CAP_NET_ADMIN`",
    )
}
