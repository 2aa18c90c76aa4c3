//! Plans: the steps that make the target like the source, as a value that can be shown and applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    deploy_rules::{LastFiles, ModeChange},
    endpoints::{Direction, Endpoints},
    options::MirrorOptions,
    report::{PlannedTotals, Report},
    sync_base::SyncedFile,
};
use portolan_core::{
    error::Error,
    observe::{EventEmitter, MessageLevel, format_size, visible::visible},
};
use portolan_remote::entry::Modified;

/// The maximum number of changed files that a deployment names.
const DRIFT_NAMED_MAX: usize = 5;

/// The reason why a file is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The target has none.
    New,
    /// The sizes differ.
    Size,
    /// The times differ.
    Time,
    /// The source has other bytes than in the last run.
    Content,
    /// The target has changed since the last run.
    Drift,
    /// They cannot be compared: size and time of one are not known.
    Unknown,
    /// Something else is in its place, and is deleted first.
    Replaced,
    /// The target has a file there that no deployment is known to have put there.
    Undeployed,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Size => "size differs",
            Self::Time => "time differs",
            Self::Content => "content differs",
            Self::Drift => "changed in the target",
            Self::Unknown => "size not known",
            Self::Replaced => "takes another's place",
            Self::Undeployed => "not deployed before",
        })
    }
}

/// The action of a step on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The removal of a temporary file left by a run that is over.
    Sweep,
    /// The creation of a directory.
    MakeFolder,
    /// The upload of a file.
    Put(Difference),
    /// The download of a file.
    Get(Difference),
    /// The deletion of a file of the target.
    DeleteFile,
    /// The deletion of a directory of the target, which is empty by then.
    DeleteFolder,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The action.
    pub act: Action,
    /// The path relative to both directories; empty for the directory itself.
    pub path: Vec<u8>,
    /// The size in bytes of the file to transfer, if known.
    pub size: Option<u64>,
    /// Its modification time in the source.
    pub modified: Option<Modified>,
    /// The file of the target that is overwritten or deleted.
    pub standing: Option<FileStat>,
}

impl Step {
    /// Returns true if the step creates something at a path where the target has nothing.
    pub(super) const fn is_new(&self) -> bool {
        self.standing.is_none()
            && !self.path.is_empty()
            && matches!(self.act, Action::Put(_) | Action::Get(_) | Action::MakeFolder)
    }
}

/// The size and time of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileStat {
    /// The size in bytes, if known.
    pub size: Option<u64>,
    /// The modification time, if known.
    pub modified: Option<Modified>,
}

/// A source file that is removed once its copy is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFileStat {
    /// The path relative to both directories.
    pub path: Vec<u8>,
    /// Its size and time as they were listed.
    pub stat: FileStat,
}

/// A change of the target that no mirror made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The path of the file.
    pub path: Vec<u8>,
    /// The kind of change.
    pub change: TargetChange,
    /// True if the source does not have the file, so that it is deleted unless it is kept.
    pub is_extra: bool,
    /// True if the change is kept.
    pub kept: bool,
}

/// The kind of change of a file of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetChange {
    /// The content or the time changed.
    Changed,
    /// The file was added.
    Added,
    /// The file was removed.
    Removed,
}

impl Drift {
    /// Returns the text about the change after a run in which its step was done, or was not.
    pub fn ended(&self, is_done: bool) -> String {
        let then = match (self.kept, is_done) {
            (true, _) => return self.to_string(),
            (false, true) => self.answer().to_owned(),
            (false, false) => format!("not {}", self.answer()),
        };
        format!("{}: {}, {then}", visible(&self.path), self.change)
    }

    /// Returns the action of a mirror that does not keep the change.
    const fn answer(&self) -> &'static str {
        match self.change {
            TargetChange::Changed if !self.is_extra => "overwritten",
            TargetChange::Changed | TargetChange::Added => "deleted",
            TargetChange::Removed => "put back",
        }
    }
}

impl fmt::Display for TargetChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed in the target since the last run",
            Self::Added => "added to the target since the last run",
            Self::Removed => "removed from the target since the last run",
        })
    }
}

/// Describes the plan: only [`Drift::ended`] states what was done.
impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, ", visible(&self.path), self.change)?;
        if self.kept { f.write_str("kept so") } else { write!(f, "to be {}", self.answer()) }
    }
}

/// The totals of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCounts {
    /// The number of files to transfer.
    pub transfers: u64,
    /// The number of bytes in them, as far as sizes are known.
    pub bytes: u64,
    /// The number of files and directories to delete.
    pub deletes: u64,
    /// The number of files that are the same on both sides.
    pub unchanged: u64,
    /// The number of these that are known to be the same only by their size.
    pub by_size: u64,
    /// The number of files that are left alone because of an option.
    pub skipped: u64,
    /// The number of files that only the target has and that stay, since no deployment put them there.
    #[serde(default)]
    pub unknown: u64,
}

/// The steps in execution order, with the failures that are already known.
#[derive(Debug, Clone)]
pub struct MirrorPlan {
    /// The directories of both sides.
    pub heading: Endpoints,
    /// The options.
    pub rules: MirrorOptions,
    /// The steps: directories, transfers, deletes; then the directories and transfers that take the places of deleted
    /// entries.
    pub steps: Vec<Step>,
    /// The totals of the steps.
    pub counts: PlanCounts,
    /// The failures that are certain in advance: colliding names, directories that could not be listed.
    pub faults: Vec<Error>,
    /// The changes of the target since the last run.
    pub drift: Vec<Drift>,
    /// The updates of the base that follow from the scans alone.
    pub learnt: Vec<(Vec<u8>, Option<SyncedFile>)>,
    /// The changes of permissions that follow the transfers.
    pub modes: Vec<ModeChange>,
    /// The source files of a mirror that moves.
    pub sources: Vec<SourceFileStat>,
    /// The traces of other runs in the target.
    pub left: Leftover,
}

/// The traces in a target of runs that were interrupted or are still active.
#[derive(Debug, Clone, Default)]
pub struct Leftover {
    /// The updates of the base for files with open intents: the recorded pair, or `None` to remove it.
    pub settled: Vec<(Vec<u8>, Option<SyncedFile>)>,
    /// The files with open intents that take no part in this run, so that their intents stay open.
    pub open: BTreeSet<Vec<u8>>,
    /// The old files that were set aside, with the names that are given back to them.
    pub asides: Vec<(Vec<u8>, Vec<u8>)>,
    /// True if there is a claim on the target.
    pub is_claimed: bool,
    /// True if the target certainly shows no claim, whether one was taken or not.
    pub is_unclaimed: bool,
    /// The names that the target lists in directories that get new entries.
    pub listed: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
}

impl MirrorPlan {
    /// Returns true if the plan has no steps, and no files to remove from the source.
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.sources.is_empty()
    }

    /// Returns the matcher of the files that are sent after all others; that of other mirrors has none.
    pub(super) fn last_files(&self) -> LastFiles {
        let rules = self.rules.deploy.as_ref();
        // The patterns were compiled before, when the plan was made.
        rules.and_then(|rules| rules.last_files().ok()).unwrap_or_default()
    }

    /// Returns the steps in execution order, one per line, with the changes of permissions and the removals of a move.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.step_lines();
        let modes = self.modes.iter();
        lines.extend(
            modes.map(|change| format!("chmod  {:03o}  {}", change.mode, visible(&change.path))),
        );
        let sources = self.sources.iter().map(|file| visible(&file.path));
        lines.extend(
            sources.map(|path| format!("remove  {path}  (source, once its copy is verified)")),
        );
        lines
    }

    fn step_lines(&self) -> Vec<String> {
        if !self.rules.staged || self.counts.transfers == 0 {
            return self.steps.iter().map(ToString::to_string).collect();
        }
        let is_transfer = |step: &&Step| matches!(step.act, Action::Put(_) | Action::Get(_));
        let sweeps = self.steps.iter().take_while(|step| step.act == Action::Sweep).count();
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

    /// Reports the changes of the target since the last run, and the action planned for each.
    pub(super) fn tell_drift(&self, observer: &EventEmitter) {
        self.tell_of(observer, self.drift.iter());
    }

    /// Reports `drift`; a deployment, after which every file may have been touched by hand, names only a few.
    fn tell_of<'d>(&self, observer: &EventEmitter, drift: impl Iterator<Item = &'d Drift>) {
        let all: Vec<_> = drift.collect();
        let named = if self.rules.deploy.is_some() { DRIFT_NAMED_MAX } else { all.len() };
        for drift in all.iter().take(named) {
            observer.message(MessageLevel::Warn, drift.to_string());
        }
        if let Some(more) = all.len().checked_sub(named).filter(|more| *more > 0) {
            let text = format!(
                "{more} more {} of the target changed since the last run",
                files_word(more)
            );
            observer.message(MessageLevel::Warn, text);
        }
    }

    /// Reports those of them that are kept.
    pub(super) fn tell_kept(&self, observer: &EventEmitter) {
        self.tell_of(observer, self.drift.iter().filter(|drift| drift.kept));
    }

    /// Returns the report of a run that only shows the plan.
    pub fn dry_report(&self) -> Report {
        let PlanCounts { transfers, bytes, deletes, .. } = self.counts;
        let is_up = self.heading.direction == Direction::Up;
        let moves = self.sources.len() as u64;
        let planned = Some(PlannedTotals { is_up, transfers, bytes, deletes, moves });
        Report { planned, ..self.report() }
    }

    /// Returns the report of a run that has not done any of the plan yet.
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

impl Action {
    /// Returns the first word of a line of the plan.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::MakeFolder => "mkdir",
            Self::Put(_) => "put",
            Self::Get(_) => "get",
            Self::DeleteFile | Self::DeleteFolder => "delete",
        }
    }

    /// Returns true if the action deletes something.
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
        write!(f, "{}  {path}", self.act.as_str())?;
        match (self.act, self.size) {
            (Action::Sweep, _) => f.write_str("  (left by a run that was cut off)"),
            (Action::MakeFolder, _) => f.write_str("/"),
            (Action::DeleteFile, _) => f.write_str("  (not in source)"),
            (Action::DeleteFolder, _) => f.write_str("/  (not in source)"),
            (Action::Put(why) | Action::Get(why), Some(size)) => {
                write!(f, "  ({why}, {})", format_size(size))
            }
            (Action::Put(why) | Action::Get(why), None) => write!(f, "  ({why})"),
        }
    }
}

impl fmt::Display for MirrorPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        let PlanCounts { transfers, bytes, deletes, unchanged, skipped, .. } = self.counts;
        let bytes = format_size(bytes);
        write!(
            f,
            "{transfers} to transfer ({bytes}), {deletes} to delete, {unchanged} unchanged, {skipped} skipped"
        )?;
        match self.sources.len() {
            0 => Ok(()),
            count => write!(f, ", {count} to remove from the source"),
        }
    }
}
