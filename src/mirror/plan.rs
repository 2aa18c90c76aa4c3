//! Plans: what is to be done so that the target becomes like the source, as a value that can be shown and applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{compare::Difference, report::Report, rules::Rules, three::Drift};
use crate::{
    fault::Fault,
    ftp::{base::Pair, listing::Modified, path::RemotePath},
    observe::{Level, Observer, size_text, visible::visible},
};

/// Which way the files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From here to the server.
    Up,
    /// From the server to here.
    Down,
}

/// Between what and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Which way.
    pub direction: Direction,
    /// The folder of this machine.
    pub local: PathBuf,
    /// The folder of the server, absolute.
    pub remote: RemotePath,
    /// Whether files in the target get the time that they have in the source.
    pub keeps_times: bool,
    /// The server, as `user@host:port`.
    pub server: String,
}

impl Heading {
    /// Times that are less apart are the same: MFMT sets whole seconds, whatever the server shows.
    pub(super) const fn unit_ns(&self) -> i128 {
        match self.direction {
            Direction::Up => 1_000_000_000,
            Direction::Down => 0,
        }
    }
}

/// What is done to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// What a run left that is over goes.
    Sweep,
    /// A folder is made.
    MakeFolder,
    /// A file goes to the server.
    Put(Difference),
    /// A file comes from the server.
    Get(Difference),
    /// A file of the target goes.
    DeleteFile,
    /// A folder of the target goes, empty by then.
    DeleteFolder,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub act: Act,
    /// To which path below both folders; the folder itself is the empty path.
    pub path: Vec<u8>,
    /// Bytes of the file that moves, where they are known.
    pub size: Option<u64>,
    /// Its time in the source.
    pub modified: Option<Modified>,
    /// The file of the target that it overwrites or that goes.
    pub standing: Option<Stamp>,
}

impl Step {
    /// Whether it brings something to a path at which the target has nothing.
    pub(super) const fn is_new(&self) -> bool {
        self.standing.is_none()
            && !self.path.is_empty()
            && matches!(self.act, Act::Put(_) | Act::Get(_) | Act::MakeFolder)
    }
}

/// What a file looks like from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its bytes, where they are known.
    pub size: Option<u64>,
    /// Its time, where it is known.
    pub modified: Option<Modified>,
}

/// What a plan comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Files that move.
    pub transfers: u64,
    /// Bytes in them, as far as sizes are known.
    pub bytes: u64,
    /// Files and folders that go.
    pub deletes: u64,
    /// Files that are the same on both sides.
    pub unchanged: u64,
    /// Of these, the ones that only their size says so of.
    pub by_size: u64,
    /// What is left alone because a rule says so.
    pub skipped: u64,
}

/// Steps in the order in which they are done, and what can already be seen to fail.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Between what and what.
    pub heading: Heading,
    /// By which rules.
    pub rules: Rules,
    /// Folders, transfers, deletes; then the folders and transfers into places that deletes make free.
    pub steps: Vec<Step>,
    /// What they come to.
    pub counts: Counts,
    /// What fails whatever is done: names in each other's way, folders that could not be listed.
    pub faults: Vec<Fault>,
    /// What has changed in the target since the last run.
    pub drift: Vec<Drift>,
    /// What the base is to learn from the scans alone.
    pub learnt: Vec<(Vec<u8>, Option<Pair>)>,
    /// What other runs have left in the target.
    pub left: Left,
}

/// What runs left in a target that were cut off, or that are at work there.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// What the base says again, or no more, of files at which such a run meant to do something.
    pub settled: Vec<(Vec<u8>, Option<Pair>)>,
    /// Old files that were put aside, and the names that they get back.
    pub asides: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether there is a claim on it.
    pub is_claimed: bool,
    /// Whether it surely shows none, be it taken or not.
    pub is_unclaimed: bool,
    /// The names that the target lists in folders into which something new comes.
    pub listed: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps, a line each, in the order in which they are done.
    pub fn lines(&self) -> Vec<String> {
        if !self.rules.staged || self.counts.transfers == 0 {
            return self.steps.iter().map(ToString::to_string).collect();
        }
        let is_transfer = |step: &&Step| matches!(step.act, Act::Put(_) | Act::Get(_));
        let sweeps = self.steps.iter().take_while(|step| step.act == Act::Sweep).count();
        let (sweeps, steps) = self.steps.split_at_checked(sweeps).unwrap_or((&[], &self.steps));
        let sweeps: Vec<_> = sweeps.iter().collect();
        let (files, others): (Vec<_>, Vec<_>) = steps.iter().partition(is_transfer);
        let before = others.iter().take_while(|step| !step.act.is_delete()).count();
        let (before, after) = others.split_at_checked(before).unwrap_or((&others, &[]));
        let count = files.len();
        let names = format!("rename  {count} {}  (when all have arrived)", files_word(count));
        let lines = |steps: &[&Step]| steps.iter().map(ToString::to_string).collect::<Vec<_>>();
        [lines(&sweeps), lines(&files), lines(before), vec![names], lines(after)].concat()
    }

    /// Says what has changed in the target since the last run, and what is planned for it.
    pub(super) fn tell_drift(&self, observer: &Observer) {
        for drift in &self.drift {
            observer.say(Level::Warn, drift.to_string());
        }
    }

    /// The same of what stays as it is.
    pub(super) fn tell_kept(&self, observer: &Observer) {
        for drift in self.drift.iter().filter(|drift| drift.kept) {
            observer.say(Level::Warn, drift.to_string());
        }
    }

    /// The report of a run that has done nothing of it yet.
    pub fn report(&self) -> Report {
        Report {
            skipped: self.counts.skipped,
            unchanged: self.counts.unchanged,
            failed: self.faults.len() as u64,
            errors: self.faults.clone(),
            plan: self.lines(),
            drift: self.drift.iter().map(ToString::to_string).collect(),
            ..Report::default()
        }
    }
}

impl Act {
    /// The word that stands first in a line of the plan.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::MakeFolder => "mkdir",
            Self::Put(_) => "put",
            Self::Get(_) => "get",
            Self::DeleteFile | Self::DeleteFolder => "delete",
        }
    }

    /// Whether it takes something away.
    pub const fn is_delete(self) -> bool {
        matches!(self, Self::DeleteFile | Self::DeleteFolder)
    }
}

const fn files_word(count: usize) -> &'static str {
    if count == 1 { "file" } else { "files" }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { ".".to_owned() } else { visible(&self.path) };
        write!(f, "{}  {path}", self.act.word())?;
        match (self.act, self.size) {
            (Act::Sweep, _) => f.write_str("  (left by a run that was cut off)"),
            (Act::MakeFolder, _) => f.write_str("/"),
            (Act::DeleteFile, _) => f.write_str("  (not in source)"),
            (Act::DeleteFolder, _) => f.write_str("/  (not in source)"),
            (Act::Put(why) | Act::Get(why), Some(size)) => {
                write!(f, "  ({why}, {})", size_text(size))
            }
            (Act::Put(why) | Act::Get(why), None) => write!(f, "  ({why})"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        let Counts { transfers, bytes, deletes, unchanged, skipped, .. } = self.counts;
        let bytes = size_text(bytes);
        write!(
            f,
            "{transfers} to transfer ({bytes}), {deletes} to delete, {unchanged} unchanged, {skipped} skipped"
        )
    }
}
