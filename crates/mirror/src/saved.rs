//! Plans as JSON, for people to read and for a later run to apply, and the check whether both sides still match a plan.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    endpoints::{Direction, Endpoints},
    options::MirrorOptions,
    plan::{Action, Difference, FileStat, Leftover, MirrorPlan, PlanCounts, SourceFileStat, Step},
    sync_base::{path_bytes, path_text},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};
use portolan_remote::{
    entry::Modified,
    fs::RemoteFs,
    path::{RelativePath, RemotePath},
};

/// The format version that is written.
const FORM: u32 = 1;

/// A plan as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    portolan_plan: u32,
    server: String,
    direction: Direction,
    local: String,
    remote: String,
    keeps_times: bool,
    rules: MirrorOptions,
    counts: PlanCounts,
    steps: Vec<SavedStep>,
    /// The files that leave the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<(String, SavedStamp)>,
    /// For people: what has changed in the target since the last run.
    drift: Vec<String>,
}

/// A step as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedStep {
    #[serde(rename = "do")]
    act: SavedWord,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<Difference>,
    /// The file that is transferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<SavedStamp>,
    /// The file in the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<SavedStamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedWord {
    Sweep,
    MakeFolder,
    Put,
    Get,
    DeleteFile,
    DeleteFolder,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedStamp {
    size: Option<u64>,
    modified: Option<String>,
}

impl MirrorPlan {
    /// Returns the plan as JSON.
    pub fn to_json(&self) -> String {
        let Endpoints { direction, local, remote, keeps_times, server } = &self.heading;
        let saved = Saved {
            portolan_plan: FORM,
            server: server.clone(),
            direction: *direction,
            local: path_text(local.as_os_str().as_bytes()),
            remote: path_text(remote.as_bytes()),
            keeps_times: *keeps_times,
            rules: self.rules.clone(),
            counts: self.counts,
            steps: self.steps.iter().map(step).collect(),
            sources: self.sources.iter().map(source).collect(),
            drift: self.drift.iter().map(ToString::to_string).collect(),
        };
        // Strings and numbers in memory: it cannot fail.
        serde_json::to_string_pretty(&saved).unwrap_or_default() + "\n"
    }

    /// Parses the output of [`to_json`](Self::to_json); fails with `invalid` on anything else.
    pub fn from_json(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::invalid(format!("this is not a plan of portolan: {why}"));
        let saved: Saved =
            serde_json::from_str(text).map_err(|error| refuse(&error.to_string()))?;
        if saved.portolan_plan != FORM {
            return Err(refuse("it is of another version"));
        }
        let path = |text: &str| {
            path_bytes(text)
                .ok_or_else(|| refuse(&format!("`{text}` is no path as it writes them")))
        };
        let local = PathBuf::from(OsString::from_vec(path(&saved.local)?));
        let heading = Endpoints {
            direction: saved.direction,
            local,
            remote: RemotePath::parse(path(&saved.remote)?)?,
            keeps_times: saved.keeps_times,
            server: saved.server,
        };
        let steps: Result<Vec<_>> = saved
            .steps
            .into_iter()
            .map(|step| {
                let path = path(&step.path)?;
                // Only the directory itself has an empty path.
                if !(path.is_empty() && step.act == SavedWord::MakeFolder) {
                    RelativePath::parse(&path).map_err(|fault| refuse(&fault.to_string()))?;
                }
                read(step, path).ok_or_else(|| refuse("it has an invalid step"))
            })
            .collect();
        let sources: Result<Vec<_>> = saved
            .sources
            .into_iter()
            .map(|(text, saved)| {
                let path = path(&text)?;
                RelativePath::parse(&path).map_err(|fault| refuse(&fault.to_string()))?;
                let stat = saved.stat().ok_or_else(|| refuse("it has an invalid time"))?;
                Ok(SourceFileStat { path, stat })
            })
            .collect();
        Ok(Self {
            heading,
            sources: sources?,
            rules: saved.rules,
            steps: steps?,
            counts: saved.counts,
            faults: Vec::new(),
            modes: Vec::new(),
            drift: Vec::new(),
            learnt: Vec::new(),
            left: Leftover::default(),
        })
    }

    /// Fails with `invalid` unless the plan is about these two folders.
    pub fn check_sides(
        &self,
        session: &impl RemoteFs,
        direction: Direction,
        local: &Path,
        remote: &RemotePath,
    ) -> Result<()> {
        let heading = Endpoints::of(session, direction, local, remote, self.rules.preserve_times)?;
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_it = heading.direction == self.heading.direction
            && heading.remote == self.heading.remote
            && absolute(&heading.local) == absolute(&self.heading.local);
        if is_it { self.check_server(session) } else { Err(self.is_about_others()) }
    }

    /// Fails with `invalid` unless the plan is about this server.
    pub(super) fn check_server(&self, session: &impl RemoteFs) -> Result<()> {
        if self.heading.server == Endpoints::server_of(session) {
            Ok(())
        } else {
            Err(self.is_about_others())
        }
    }

    fn is_about_others(&self) -> Error {
        let Endpoints { direction, local, remote, server, .. } = &self.heading;
        let local = visible(local.as_os_str().as_bytes());
        let there = format!("{remote} of {}", visible(server));
        let (from, to) = match direction {
            Direction::Up => (local, there),
            Direction::Down => (there, local),
        };
        Error::invalid(format!("the plan is about a mirror from {from} to {to}"))
    }

    /// Fails with `refused` unless `now`, the current plan, has the same steps for the same files.
    pub(super) fn check_unmoved(&self, now: &Self) -> Result<()> {
        // Files left by killed runs are no part of either side.
        let lasting = |plan: &'_ Self| -> Vec<Step> {
            plan.steps.iter().filter(|step| step.act != Action::Sweep).cloned().collect()
        };
        let (then_steps, now_steps) = (lasting(self), lasting(now));
        let (then_sources, now_sources) = (&self.sources, &now.sources);
        let is_same = then_sources.iter().map(source).eq(now_sources.iter().map(source));
        let same = then_steps.iter().zip(&now_steps);
        let same = same.take_while(|(then, now)| step(then) == step(now)).count();
        if is_same && same == then_steps.len() && same == now_steps.len() {
            return Ok(());
        }
        // If one has a step more, that is the one.
        let longer = if then_steps.len() >= now_steps.len() { &then_steps } else { &now_steps };
        let first = longer.get(same);
        let message = "this side or the other has changed since the plan was made: nothing was done; make a new plan";
        let path = first.map(|step| visible(&step.path)).unwrap_or_default();
        Err(Error::new(ErrorKind::Refused, Origin::Here, message).at(path))
    }
}

fn step(step: &Step) -> SavedStep {
    let (act, why) = match step.act {
        Action::Sweep => (SavedWord::Sweep, None),
        Action::MakeFolder => (SavedWord::MakeFolder, None),
        Action::Put(why) => (SavedWord::Put, Some(why)),
        Action::Get(why) => (SavedWord::Get, Some(why)),
        Action::DeleteFile => (SavedWord::DeleteFile, None),
        Action::DeleteFolder => (SavedWord::DeleteFolder, None),
    };
    let moves = FileStat { size: step.size, modified: step.modified };
    SavedStep {
        act,
        path: path_text(&step.path),
        why,
        source: why.map(|_| SavedStamp::of(moves)),
        target: step.standing.map(SavedStamp::of),
    }
}

fn source(file: &SourceFileStat) -> (String, SavedStamp) {
    (path_text(&file.path), SavedStamp::of(file.stat))
}

impl SavedStamp {
    fn of(stat: FileStat) -> Self {
        Self { size: stat.size, modified: stat.modified.and_then(Modified::text) }
    }

    /// Returns the size and time; `None` if the time cannot be read.
    fn stat(self) -> Option<FileStat> {
        let modified = match self.modified {
            None => None,
            Some(text) => Some(Modified::read(&text)?),
        };
        Some(FileStat { size: self.size, modified })
    }
}

fn read(saved: SavedStep, path: Vec<u8>) -> Option<Step> {
    let act = match (saved.act, saved.why) {
        (SavedWord::Sweep, None) => Action::Sweep,
        (SavedWord::MakeFolder, None) => Action::MakeFolder,
        (SavedWord::Put, Some(why)) => Action::Put(why),
        (SavedWord::Get, Some(why)) => Action::Get(why),
        (SavedWord::DeleteFile, None) => Action::DeleteFile,
        (SavedWord::DeleteFolder, None) => Action::DeleteFolder,
        _ => return None,
    };
    let moves = match saved.source {
        None => FileStat::default(),
        Some(source) => source.stat()?,
    };
    let standing = match saved.target {
        None => None,
        Some(target) => Some(target.stat()?),
    };
    Some(Step { act, path, size: moves.size, modified: moves.modified, standing })
}
