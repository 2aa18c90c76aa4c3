//! The stored records of applied rulesets: enough for any later process to undo each of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs::File,
    net::IpAddr,
    path::PathBuf,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    backend::Choice, check::Interface, history::HistoryEntry, host::KnownLink, model::RulesetSpec,
    rules::HELPER_NOTE, sysctl::Sysctl,
};
use portolan_core::error::Result;

/// The record of one ruleset. It is written before anything is changed, and again afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesetRecord {
    /// Its name.
    pub ruleset: String,
    /// The filter that has its rules.
    #[serde(default = "nft")]
    pub backend: Choice,
    /// The text that was loaded; empty if there is none.
    pub body: String,
    /// The text as the filter lists it; empty while it is being changed.
    pub listing: String,
    /// The descriptions of its parts, one line each.
    pub notes: Vec<String>,
    /// The ports that it opens for the host's own sessions.
    pub opened: Vec<OpenPorts>,
    /// Every kernel setting that was changed for it, with the value before the first change.
    pub sysctls: Vec<Sysctl>,
    /// Every kernel setting that it needs, by path, even if it was set by another program.
    pub needs: Vec<(String, String)>,
    /// The ruleset as the script described it, for the watcher; `None` in records of versions that had none.
    pub spec: Option<serde_json::Value>,
    /// The SSH ports of the host, with that of the session in which it was applied.
    pub login_ports: BTreeSet<u16>,
    /// The addresses of the host that it names, each with the interface that had it.
    pub addresses: Vec<(IpAddr, String)>,
    /// The interfaces that its rules name.
    pub devices: Vec<String>,
    /// Those of them that were there, as the kernel knows them whatever their name.
    pub links: Vec<KnownLink>,
    /// True if interfaces were allowed to be missing.
    pub absent_ok: bool,
    /// The trial that runs, or that ended without `confirm` or `rollback`.
    pub trial: Option<RulesetTrial>,
    /// The data that restores the state before the last change.
    pub undo: Option<Undo>,
    /// The root directory below which its files for boot were written.
    pub persisted: Option<PathBuf>,
    /// The time at which it was applied, in milliseconds since 1970.
    pub applied_at_ms: i64,
    /// The tables of the kernel that exist only since it was applied, such as `ip raw`.
    pub made: Vec<String>,
}

/// Returns the default for records from versions that knew no other filter.
const fn nft() -> Choice {
    Choice::Nft
}

/// Open local ports for data connections of active mode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenPorts {
    /// The ranges, both ends included.
    pub ports: Vec<(u16, u16)>,
    /// The only network whose servers may connect.
    pub server: Option<String>,
    /// The only interface on which they may connect.
    pub device: Option<String>,
    /// The external address of the host.
    pub external: Option<IpAddr>,
}

/// Returns the names of the interfaces that rules name, and of those that settings are of.
pub(super) fn concerned<'p>(
    of_rules: impl Iterator<Item = String>,
    paths: impl Iterator<Item = &'p str>,
) -> Vec<String> {
    // Such as `net/ipv4/conf/eth0/forwarding`.
    let of_settings = paths.filter_map(|path| path.split('/').nth(3)).map(str::to_owned);
    let names: BTreeSet<String> = of_rules.chain(of_settings).collect();
    names.into_iter().collect()
}

impl RulesetRecord {
    /// Returns the ruleset as the script described it, if it is known and of this version.
    pub(super) fn ruleset_spec(&self) -> Option<RulesetSpec> {
        let spec: RulesetSpec = serde_json::from_value(self.spec.clone()?).ok()?;
        (spec.name() == self.ruleset).then_some(spec)
    }

    /// Returns true if it needs that setting.
    pub(super) fn has_need(&self, path: &str) -> bool {
        self.needs.iter().any(|(own, _)| own == path)
    }

    /// Puts the new name of interfaces in the place of the old one, in all that is known of them.
    pub(super) fn rename(&mut self, names: &BTreeMap<String, Interface>) {
        let new = |name: &mut String| {
            if let Some(new) = names.get(name) {
                new.as_str().clone_into(name);
            }
        };
        let renamed = |path: &str| {
            let mut parts: Vec<_> = path.split('/').map(str::to_owned).collect();
            // Paths of settings are such as `net/ipv4/conf/eth0/forwarding`.
            parts.iter_mut().skip(1).for_each(new);
            parts.join("/")
        };
        self.devices.iter_mut().for_each(new);
        self.links.iter_mut().for_each(|link| new(&mut link.name));
        self.addresses.iter_mut().for_each(|(_, device)| new(device));
        self.sysctls.iter_mut().for_each(|one| one.path = renamed(&one.path));
        self.needs.iter_mut().for_each(|(path, _)| *path = renamed(path));
        if let Some(undo) = &mut self.undo {
            undo.sysctls.iter_mut().for_each(|path| *path = renamed(path));
        }
    }

    /// Adds a changed setting; the value before the first change is the one that is restored.
    pub(super) fn remember(&mut self, one: &Sysctl) {
        match self.sysctls.iter_mut().find(|known| known.path == one.path) {
            Some(known) if known.set == one.was => known.set.clone_from(&one.set),
            // It was another one's interface then.
            Some(known) if known.set == one.set && known.absent => {}
            Some(known) => known.clone_from(one),
            None => self.sysctls.push(one.clone()),
        }
    }

    /// Returns the settings that are restored with the last change.
    pub(super) fn undone_settings(&self) -> Vec<Sysctl> {
        let Some(undo) = &self.undo else { return Vec::new() };
        // Everything is restored when the last rules are removed.
        let goes = |one: &&Sysctl| undo.body.is_empty() || undo.sysctls.contains(&one.path);
        self.sysctls.iter().filter(goes).cloned().collect()
    }

    /// Returns the ports that are open at `now`: after an unconfirmed trial, those that were open before it.
    pub fn opened(&self, now: Timestamp) -> &[OpenPorts] {
        match (&self.trial, &self.undo) {
            (Some(trial), undo) if trial.until_ms <= now.as_millisecond() => {
                undo.as_ref().map(|undo| undo.opened.as_slice()).unwrap_or_default()
            }
            _ => &self.opened,
        }
    }

    /// Returns true if the ruleset uses the kernel's FTP helper.
    pub(super) fn has_helper(&self) -> bool {
        self.notes.iter().any(|note| note.starts_with(HELPER_NOTE))
    }
}

/// A ruleset on trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesetTrial {
    /// The text that `confirm` loads.
    pub body: String,
    /// That text as the filter will list it.
    pub listing: String,
    /// The descriptions of its parts.
    pub notes: Vec<String>,
    /// The time when the old rules return, in milliseconds since 1970.
    pub until_ms: i64,
    /// The root directory below which `confirm` writes the files for boot.
    pub persist: Option<PathBuf>,
}

/// The data that restores the state before the last change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Undo {
    /// The previous text, as the filter listed it; empty if there was none.
    pub body: String,
    /// The previous descriptions.
    pub notes: Vec<String>,
    /// The ports that were open before.
    pub opened: Vec<OpenPorts>,
    /// The paths of the settings that the last change modified.
    pub sysctls: Vec<String>,
    /// The settings that were needed before it.
    pub needs: Vec<(String, String)>,
    /// The ruleset that was in force before it.
    pub spec: Option<serde_json::Value>,
    /// The addresses of the host that it named.
    pub addresses: Vec<(IpAddr, String)>,
    /// The interfaces that the previous rules name.
    pub devices: Vec<String>,
    /// The root directory below which the files for boot had been written before.
    pub persisted: Option<PathBuf>,
}

/// The store of the records.
pub trait RulesetStore: Debug + Send + Sync {
    /// Locks the ledger until the result is dropped: no other portolan with the same ledger can change rules. Fails
    /// with `nat.busy`.
    fn lock(&self) -> Result<File>;

    /// Returns the place of the records, for messages.
    fn place(&self) -> String;

    /// Returns the record of `ruleset`.
    fn load(&self, ruleset: &str) -> Result<Option<RulesetRecord>>;

    /// Writes a record durably, so that it survives a loss of power.
    fn save(&self, record: &RulesetRecord) -> Result<()>;

    /// Removes the record of a ruleset that is gone.
    fn forget(&self, ruleset: &str) -> Result<()>;

    /// Returns all records, by name.
    fn all(&self) -> Result<Vec<RulesetRecord>>;

    /// Adds a change to the history of its ruleset; the oldest beyond the limit are forgotten.
    fn append(&self, entry: &HistoryEntry) -> Result<()>;

    /// Returns the remembered changes of `ruleset`, or of all of them, the oldest first.
    fn history(&self, ruleset: Option<&str>) -> Result<Vec<HistoryEntry>>;
}
