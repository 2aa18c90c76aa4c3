//! The difference of two trees as a plan. Pure: reads and changes nothing.

mod absence;
mod checks;
mod deployed;

use std::collections::{BTreeSet, HashMap};

use super::{
    compare::Judgement,
    deploy_rules::{DeployRules, FileModes, LastFiles},
    endpoints::{Direction, Endpoints, place},
    filter::Filter,
    options::{Compare, MirrorOptions},
    own_files::is_lasting,
    pass_options::DeleteGuard,
    plan::{
        Action, Difference, Drift, FileStat, Leftover, MirrorPlan, PlanCounts, SourceFileStat,
        Step, TargetChange,
    },
    sync_base::{SyncBase, SyncedFile},
    three_way::{Say, Three},
    tree::{Node, NodeKind, ScanResult, Tree, above, parent},
};
use absence::{Certainty, LeftOut};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};

/// Returns the plan that makes `target` like `source`, by the changes of both since `base`, or without a base as they
/// are. Fails with `guard` if it would delete too much of the target, and, if `rules` say so, if the target has
/// changed.
pub fn plan(
    source: &ScanResult,
    target: &ScanResult,
    base: Option<&SyncBase>,
    heading: Endpoints,
    rules: MirrorOptions,
) -> Result<MirrorPlan> {
    plan_with((source, target), base, base, None, heading, rules)
}

/// Does the same; `deployed` has the files that earlier runs put there, whether or not files are compared with it. What
/// `filter` leaves out keeps its record.
pub(super) fn plan_with(
    (source, target): (&ScanResult, &ScanResult),
    base: Option<&SyncBase>,
    deployed: Option<&SyncBase>,
    filter: Option<&Filter>,
    heading: Endpoints,
    rules: MirrorOptions,
) -> Result<MirrorPlan> {
    let deploy = rules.deploy.as_ref();
    let last = deploy.map(DeployRules::last_files).transpose()?.unwrap_or_default();
    let modes = deploy.map_or(FileModes::Server, |rules| rules.modes);
    let is_proven = rules.compare != Compare::Auto || deploy.is_none();
    let times = match heading.direction {
        Direction::Up => &target.times,
        Direction::Down => &source.times,
    };
    let three = Three::new(base, &heading, rules.comparison(), times).with_ours(&target.ours);
    let mut diff = Diff::new(source, target, three, &heading, rules.delete_guard());
    (diff.deployed, diff.last, diff.is_proven) = (deployed, last, is_proven);
    diff.left_out = LeftOut::of(filter, source);
    if rules.delete {
        diff.delete();
    }
    diff.counts.skipped += source.left_out.len() as u64;
    diff.copy();
    diff.guard(base)?;
    diff.agree()?;
    diff.cap()?;
    if source.faults.is_empty() && target.faults.is_empty() {
        diff.forget(base);
    }
    let mut faults = source.faults.clone();
    if rules.delete {
        faults.extend(target.faults.iter().cloned());
    }
    faults.append(&mut diff.faults);
    let (steps, counts) = (diff.steps(&target.leftovers), diff.counts);
    let modes = diff.modes(modes, &steps);
    let (drift, learnt, sources) = (diff.drift, diff.learnt, diff.sources);
    Ok(MirrorPlan {
        heading,
        rules,
        steps,
        counts,
        faults,
        drift,
        learnt,
        modes,
        sources,
        left: Leftover::default(),
    })
}

/// A difference that is being computed.
struct Diff<'a> {
    source: &'a Tree,
    target: &'a Tree,
    target_survey: &'a ScanResult,
    three: Three<'a>,
    heading: &'a Endpoints,
    options: DeleteGuard,
    left_out: LeftOut<'a>,
    /// The files that earlier runs put there.
    deployed: Option<&'a SyncBase>,
    /// The files that are sent after all others.
    last: LastFiles,
    /// True if files that no run is known to have put there may be equal to those of the source.
    is_proven: bool,
    counts: PlanCounts,
    faults: Vec<Error>,
    /// The deletes in reverse order of paths: entries before their directory.
    deletes: Vec<(&'a [u8], Action)>,
    /// The deletes that make room for something of the source.
    replaced: BTreeSet<&'a [u8]>,
    /// The paths that cannot be created, so that nothing below them can be.
    blocked: BTreeSet<&'a [u8]>,
    folders: BTreeSet<&'a [u8]>,
    files: Vec<Step>,
    drift: Vec<Drift>,
    /// The number of these that neither side wins.
    conflicts: usize,
    learnt: Vec<(Vec<u8>, Option<SyncedFile>)>,
    sources: Vec<SourceFileStat>,
}

impl<'a> Diff<'a> {
    fn new(
        source: &'a ScanResult,
        target: &'a ScanResult,
        three: Three<'a>,
        heading: &'a Endpoints,
        options: DeleteGuard,
    ) -> Self {
        Self {
            source: &source.tree,
            target: &target.tree,
            target_survey: target,
            three,
            heading,
            options,
            left_out: LeftOut::default(),
            deployed: None,
            last: LastFiles::default(),
            is_proven: true,
            counts: PlanCounts::default(),
            faults: Vec::new(),
            deletes: Vec::new(),
            replaced: BTreeSet::new(),
            blocked: BTreeSet::new(),
            folders: BTreeSet::new(),
            files: Vec::new(),
            drift: Vec::new(),
            conflicts: 0,
            learnt: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// Finds the entries to delete from the target: only those that are certainly not in the source, and only where
    /// both sides are known (classes C20 and C2). A directory in which anything stays, stays.
    fn delete(&mut self) {
        let mut known =
            Certainty { source: self.source, target: self.target, folders: HashMap::new() };
        let mut staying = BTreeSet::new();
        for (path, node) in self.target.nodes().rev() {
            let is_extra = match self.source.get(path) {
                None => known.is_gone(path),
                Some(source) => source.clashes_with(node) && known.is_safe(parent(path)),
            };
            let is_extra = is_extra && !self.is_in_place_of_done(path);
            let is_whole =
                !node.is_folder() || node.listed && !node.holds_more && !staying.contains(path);
            let act = match node.kind {
                NodeKind::File => Action::DeleteFile,
                NodeKind::Folder => Action::DeleteFolder,
                NodeKind::Way | NodeKind::Other => {
                    staying.insert(parent(path));
                    continue;
                }
            };
            let is_in = node.is_folder() || self.options.bounds.holds(node) == Some(true);
            let may_go = is_extra && is_whole && is_in;
            let is_known = match act {
                Action::DeleteFile => true,
                _ => !self.options.only_owned || self.has_deployed_below(path),
            };
            if !may_go || !is_known || act == Action::DeleteFile && !self.may_go(path, node) {
                staying.insert(parent(path));
                continue;
            }
            if self.source.get(path).is_some() {
                self.replaced.insert(path);
            }
            self.deletes.push((path, act));
        }
        self.counts.deletes = self.deletes.len() as u64;
    }

    /// Returns true if `path` is at or below the place of a source file that is not sent again, whatever the target has there:
    /// nothing would take its place.
    fn is_in_place_of_done(&self, path: &[u8]) -> bool {
        let is_done = |path: &[u8]| {
            let node = self.source.get(path).filter(|node| node.kind == NodeKind::File);
            node.is_some_and(|node| self.three.is_done(path, node))
        };
        is_done(path) || above(path).any(is_done)
    }

    /// Returns true if a file that is not in the source may be deleted: not if it has changed since and changes are
    /// kept.
    fn may_go(&mut self, path: &[u8], node: &Node) -> bool {
        if self.options.only_owned {
            return self.may_undeploy(path, node);
        }
        let Some((change, say)) = self.three.extra(path, node) else { return true };
        self.drifted(path, change, say);
        self.counts.skipped += u64::from(say == Say::Kept);
        say == Say::Overwritten
    }

    fn drifted(&mut self, path: &[u8], change: TargetChange, say: Say) {
        self.conflicts += usize::from(say == Say::Undecided);
        let (kept, is_extra) = (say != Say::Overwritten, self.source.get(path).is_none());
        self.drift.push(Drift { path: path.to_vec(), change, is_extra, kept });
    }

    /// Finds the directories and files to copy to the target.
    fn copy(&mut self) {
        if self.target.get(b"").is_none() {
            self.folders.insert(b"");
        }
        for (path, node) in self.source.nodes() {
            if !self.blocked.is_empty() && above(path).any(|above| self.blocked.contains(above)) {
                self.counts.skipped += u64::from(node.kind == NodeKind::File);
                continue;
            }
            match node.kind {
                NodeKind::File => self.copy_file(path, node),
                NodeKind::Folder => self.copy_folder(path, node),
                NodeKind::Way => self.pass_folder(path, node),
                NodeKind::Other => {}
            }
        }
    }

    fn copy_file(&mut self, path: &'a [u8], node: &Node) {
        if self.three.is_done(path, node) {
            return self.leave(Judgement::Same);
        }
        let difference = match self.target.get(path) {
            None if !self.target_survey.is_seen_missing(path) => {
                if self.three.stays_unseen(path, node) {
                    return self.leave(Judgement::Kept);
                }
                Difference::New
            }
            None => match self.three.removed(path) {
                None => Difference::New,
                Some(say) => {
                    self.drifted(path, TargetChange::Removed, say);
                    if say != Say::Overwritten {
                        return self.leave(Judgement::Kept);
                    }
                    Difference::New
                }
            },
            Some(_) if self.replaced.contains(path) => Difference::Replaced,
            Some(target)
                if target.kind == NodeKind::File
                    && !self.is_proven
                    && self.three.pair(path).is_none() =>
            {
                Difference::Undeployed
            }
            Some(target) if target.kind == NodeKind::File => {
                let verdict = self.three.both(path, node, target);
                if let Some((change, say)) = verdict.drift {
                    self.drifted(path, change, say);
                }
                match verdict.judgement {
                    Judgement::Differs(difference) => difference,
                    judgement => {
                        if judgement != Judgement::Kept {
                            let learnt = self.three.learnt(path, node, target);
                            self.learnt.extend(learnt.map(|pair| (path.to_vec(), Some(pair))));
                        }
                        if judgement == Judgement::Same {
                            self.leave_source(path, node);
                        }
                        return self.leave(judgement);
                    }
                }
            }
            Some(target) => return self.conflict(path, node, target),
        };
        let missing = above(path).take_while(|folder| {
            self.replaced.contains(folder) || self.target.get(folder).is_none()
        });
        self.folders.extend(missing);
        let act = match self.heading.direction {
            Direction::Up => Action::Put(difference),
            Direction::Down => Action::Get(difference),
        };
        let (size, modified) = (node.size, node.modified);
        let standing = stamp(self.target.get(path));
        self.counts.transfers += 1;
        // Sizes are what the server reports: their sum may overflow.
        self.counts.bytes = self.counts.bytes.saturating_add(size.unwrap_or(0));
        self.files.push(Step { act, path: path.to_vec(), size, modified, standing });
        self.leave_source(path, node);
    }

    /// Notes that a file leaves the source of a mirror that moves, once its copy is proven.
    fn leave_source(&mut self, path: &[u8], node: &Node) {
        if self.options.moves {
            let stat = FileStat { size: node.size, modified: node.modified };
            self.sources.push(SourceFileStat { path: path.to_vec(), stat });
        }
    }

    fn copy_folder(&mut self, path: &'a [u8], node: &Node) {
        match self.target.get(path) {
            Some(target) if target.is_folder() => {}
            Some(target) if !self.replaced.contains(path) => self.conflict(path, node, target),
            _ => {
                self.folders.insert(path);
                self.folders.extend(above(path).filter(|folder| self.target.get(folder).is_none()));
            }
        }
    }

    fn pass_folder(&mut self, path: &'a [u8], node: &Node) {
        if let Some(target) = self.target.get(path)
            && !target.is_folder()
            && !self.replaced.contains(path)
        {
            self.conflict(path, node, target);
        }
    }

    fn leave(&mut self, judgement: Judgement) {
        match judgement {
            Judgement::Kept => self.counts.skipped += 1,
            _ => self.counts.unchanged += 1,
        }
        self.counts.by_size += u64::from(judgement == Judgement::SameSize);
    }

    fn conflict(&mut self, path: &'a [u8], source: &Node, target: &Node) {
        let (wanted, found) = (source.as_str(), target.as_str());
        let reason = match (target.kind, self.options.delete) {
            (NodeKind::Other, _) => "it is left alone",
            (_, true) => "it cannot be deleted",
            (_, false) => "it stays unless `delete` is on",
        };
        let message = format!("the target is {found}, not {wanted}: {reason}");
        let shown = match self.heading.direction {
            Direction::Up => place(&self.heading.remote, path).map(|place| place.to_string()),
            Direction::Down => Ok(visible(path)),
        };
        let side = match self.heading.direction {
            Direction::Up => Origin::Server,
            Direction::Down => Origin::Here,
        };
        let shown = shown.unwrap_or_else(|_| visible(path));
        self.faults.push(Error::new(ErrorKind::Refused, side, message).at(shown));
        self.blocked.insert(path);
    }

    /// Returns all steps in execution order.
    fn steps(&mut self, leftovers: &'a [Vec<u8>]) -> Vec<Step> {
        let is_late = |path: &[u8]| {
            let replaced = &self.replaced;
            !replaced.is_empty()
                && (replaced.contains(path) || above(path).any(|folder| replaced.contains(folder)))
        };
        let plain = |(path, act): (&[u8], Action)| Step {
            act,
            path: path.to_vec(),
            size: None,
            modified: None,
            standing: stamp(self.target.get(path)).filter(|_| act == Action::DeleteFile),
        };
        let folders = self.folders.iter().map(|path| (*path, Action::MakeFolder));
        let (late_folders, folders): (Vec<_>, Vec<_>) =
            folders.partition(|(path, _)| is_late(path));
        let mut files = std::mem::take(&mut self.files);
        files.sort_by_key(|step| self.last.contains(&step.path));
        let (late_files, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|step| is_late(&step.path));
        // Files first: the directories are empty when their turn comes.
        let (gone_files, gone_folders): (Vec<_>, Vec<_>) =
            self.deletes.iter().copied().partition(|(_, act)| *act == Action::DeleteFile);
        // A resumable file is stale only once all files have been transferred.
        let sweep = |path: &'a Vec<u8>| (&path[..], Action::Sweep);
        let (late, early): (Vec<_>, Vec<_>) =
            leftovers.iter().partition(|path| self.options.resume && is_lasting(path));
        let mut steps: Vec<_> = early.into_iter().map(sweep).chain(folders).map(plain).collect();
        steps.extend(files);
        steps.extend(late.into_iter().map(sweep).map(plain));
        steps.extend(gone_files.into_iter().chain(gone_folders).map(plain));
        steps.extend(late_folders.into_iter().map(plain));
        steps.extend(late_files);
        steps
    }
}

fn stamp(node: Option<&Node>) -> Option<FileStat> {
    let node = node.filter(|node| node.kind == NodeKind::File)?;
    Some(FileStat { size: node.size, modified: node.modified })
}
