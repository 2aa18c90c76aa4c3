//! What is remembered of the rulesets that were applied: enough to undo each, whoever asks for it and when.

use std::{fmt::Debug, fs::File, net::IpAddr, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{backend::Choice, rules::HELPER_NOTE, sysctl::Sysctl};
use crate::fault::Outcome;

/// What is remembered of one ruleset. It is written before anything is changed, and again when it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Its name.
    pub ruleset: String,
    /// Which filter has its rules.
    #[serde(default = "nft")]
    pub backend: Choice,
    /// What has been loaded; empty when nothing has.
    pub body: String,
    /// How the filter lists it; empty while it is being changed.
    pub listing: String,
    /// What it is for, a line for each part.
    pub notes: Vec<String>,
    /// What it opens for sessions of this machine itself.
    pub opened: Vec<Opened>,
    /// Every setting of the kernel that was changed for it, with what it was before the first time.
    pub sysctls: Vec<Sysctl>,
    /// Every setting that it needs, by its path, whoever has set it.
    pub needs: Vec<(String, String)>,
    /// The trial that runs, or that nobody has ended.
    pub trial: Option<Trial>,
    /// What leads back to before the last change.
    pub undo: Option<Undo>,
    /// Below which folder it was written for the next start of the machine.
    pub persisted: Option<PathBuf>,
    /// When it was applied, in milliseconds since 1970.
    pub applied_at_ms: i64,
}

/// Before there was another, nobody wrote down which it was.
const fn nft() -> Choice {
    Choice::Nft
}

/// Ports that are open for data connections of active mode to this machine itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Opened {
    /// The ranges, both ends included.
    pub ports: Vec<(u16, u16)>,
    /// The only network whose servers may come.
    pub server: Option<String>,
    /// The only interface by which they may come.
    pub device: Option<String>,
    /// How this machine is called outside.
    pub external: Option<IpAddr>,
}

impl Record {
    /// The settings that go back with the last change.
    pub(super) fn undone_settings(&self) -> Vec<Sysctl> {
        let Some(undo) = &self.undo else { return Vec::new() };
        // With the last rules everything goes.
        let goes = |one: &&Sysctl| undo.body.is_empty() || undo.sysctls.contains(&one.path);
        self.sysctls.iter().filter(goes).cloned().collect()
    }

    /// What is open at `now`: after a trial that nobody has confirmed, what was open before it.
    pub fn opened(&self, now: Timestamp) -> &[Opened] {
        match (&self.trial, &self.undo) {
            (Some(trial), undo) if trial.until_ms <= now.as_millisecond() => {
                undo.as_ref().map(|undo| undo.opened.as_slice()).unwrap_or_default()
            }
            _ => &self.opened,
        }
    }

    /// Whether the kernel reads FTP along for it.
    pub(super) fn has_helper(&self) -> bool {
        self.notes.iter().any(|note| note.starts_with(HELPER_NOTE))
    }
}

/// A ruleset on trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// What `confirm` loads.
    pub body: String,
    /// How the filter will list that.
    pub listing: String,
    /// What it is for.
    pub notes: Vec<String>,
    /// When the old rules return, in milliseconds since 1970.
    pub until_ms: i64,
    /// Below which folder `confirm` writes it for the next start of the machine.
    pub persist: Option<PathBuf>,
}

/// What leads back to before the last change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Undo {
    /// What was loaded, as the filter listed it; empty if there was nothing.
    pub body: String,
    /// What that was for.
    pub notes: Vec<String>,
    /// What that opened.
    pub opened: Vec<Opened>,
    /// The settings that the last change changed, by their paths.
    pub sysctls: Vec<String>,
    /// Those that were needed before it.
    pub needs: Vec<(String, String)>,
    /// Below which folder it had been written for the next start of the machine.
    pub persisted: Option<PathBuf>,
}

/// Where records are kept.
pub trait Ledger: Debug + Send + Sync {
    /// Keeps every other portolan with the same ledger from changing rules until it is dropped. Fails with `nat.busy`.
    fn lock(&self) -> Outcome<File>;

    /// The record of `ruleset`.
    fn load(&self, ruleset: &str) -> Outcome<Option<Record>>;

    /// Writes a record so that it outlives a loss of power.
    fn save(&self, record: &Record) -> Outcome<()>;

    /// Forgets a ruleset that is gone.
    fn forget(&self, ruleset: &str) -> Outcome<()>;

    /// Every record, by name.
    fn all(&self) -> Outcome<Vec<Record>>;
}
