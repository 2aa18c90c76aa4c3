//! A plan on its way: what is still to be done, what ended how, and what is not worth another try.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    alias,
    apply::{Found, Tools},
    crew::{Crew, Work},
    ledger::Ledger,
    leftovers::is_lasting,
    plan::{Act, Direction, Plan, Step},
    recheck::Recheck,
    report::Report,
    rules::Rules,
    staged,
    total::is_at_limit,
    tree::above,
};
use crate::{
    fault::{Fault, Kind, Outcome},
    limits::MIRROR_FAILURES_IN_A_ROW_MAX,
    observe::{Observer, visible::visible},
};

/// A plan on its way.
pub(super) struct Run<'p, 'l> {
    pub(super) report: Report,
    direction: Direction,
    pub(super) ledger: &'l mut Ledger,
    rules: &'p Rules,
    pub(super) observer: Observer,
    /// The files of which the target has another version than the last run left, and whether their step was done.
    pub(super) drift: BTreeMap<&'p [u8], bool>,
    /// Files that were not tried, and why not.
    pub(super) untried: Vec<(&'p [u8], Fault)>,
    pub(super) waiting: VecDeque<&'p Step>,
    /// Whether deletes have begun.
    is_late: bool,
    /// Folders that could not be made, and why: nothing below them can be.
    blocked: BTreeMap<&'p [u8], Fault>,
    /// What the last look before the deletes has shown.
    pub(super) recheck: Option<Recheck>,
    /// What has come under names that nothing had in the target.
    pub(super) arrived: BTreeSet<&'p [u8]>,
    /// Whether there is no room for more files.
    is_full: bool,
    /// Why nothing more can succeed, if so.
    pub(super) over: Option<Fault>,
    /// Failures of the connection since the last success.
    failures: u32,
}

impl<'p, 'l> Run<'p, 'l> {
    pub(super) fn new(plan: &'p Plan, ledger: &'l mut Ledger, observer: Observer) -> Self {
        Self {
            report: plan.report(),
            direction: plan.heading.direction,
            ledger,
            rules: &plan.rules,
            observer,
            drift: plan.drift.iter().map(|drift| (&*drift.path, false)).collect(),
            untried: Vec::new(),
            waiting: VecDeque::new(),
            is_late: false,
            blocked: BTreeMap::new(),
            recheck: None,
            arrived: BTreeSet::new(),
            is_full: false,
            over: None,
            failures: 0,
        }
    }

    /// Brings to its place what is due of the state.
    pub(super) async fn keep_state(&mut self, crew: &mut Crew<'_>) -> Outcome<()> {
        if !self.ledger.is_due() {
            return Ok(());
        }
        match self.ledger.flush(crew.first()).await {
            Err(fault) if fault.kind == Kind::Interrupted => Err(fault),
            Err(fault) => {
                self.fail_with(fault);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Takes in the next steps, unless they are deletes, or come after deletes, and something has failed (S55).
    pub(super) fn take(&mut self, wave: &[&'p Step], crew: &mut Crew<'_>) {
        let is_sweep = wave.iter().all(|step| step.act == Act::Sweep);
        // What may be taken up again stays after a failure: the next run may do that.
        let stays = is_sweep && self.rules.resume && wave.iter().any(|step| is_lasting(&step.path));
        self.is_late |= wave.iter().any(|step| step.act.is_delete());
        if self.report.failed == 0 || !self.is_late && !stays {
            let recheck = self.recheck.as_ref();
            let may_go = |step: &&&Step| {
                !step.act.is_delete() || recheck.is_none_or(|recheck| recheck.may_go(step))
            };
            let before = self.waiting.len();
            self.waiting.extend(wave.iter().filter(may_go));
            self.report.skipped += (wave.len() + before - self.waiting.len()) as u64;
            return;
        }
        if is_sweep {
            return;
        }
        self.report.skipped += wave.len() as u64;
        let text = "nothing is deleted, since something failed before";
        crew.first().context().observer.warn_once(text);
    }

    /// Parts `jobs`, whose names the target may take for some that have come before, into those that it does not have and
    /// those that it has by now, which fail.
    pub(super) async fn without_taken<T>(
        &mut self,
        crew: &mut Crew<'_>,
        tools: &Tools<'p>,
        jobs: Vec<T>,
        step: impl Fn(&T) -> &'p Step,
    ) -> Outcome<(Vec<T>, Vec<T>)> {
        let doubts = jobs.iter().map(&step);
        let doubts: Vec<_> =
            doubts.map(|step| (step.path.clone(), step.act == Act::MakeFolder)).collect();
        let are_there: Vec<_> = match self.direction {
            Direction::Up => {
                let top = &tools.plan.heading.remote;
                let answers = alias::ask(crew.first(), top, &doubts).await?;
                answers.iter().map(Option::is_some).collect()
            }
            Direction::Down => doubts.iter().map(|(path, _)| tools.has_here(path)).collect(),
        };
        let (mut free, mut taken) = (Vec::new(), Vec::new());
        for (job, is_there) in jobs.into_iter().zip(are_there) {
            if is_there {
                self.fail(step(&job), alias::is_taken(self.direction));
                taken.push(job);
            } else {
                free.push(job);
            }
        }
        Ok((free, taken))
    }

    /// Whether `step` can still be done; counts it, if not.
    fn can(&mut self, step: &'p Step) -> bool {
        let is_transfer = matches!(step.act, Act::Put(_) | Act::Get(_));
        let blocked = above(&step.path).find_map(|folder| self.blocked.get(folder));
        if let Some(fault) = self.over.as_ref().or(blocked) {
            if is_transfer {
                let fault = fault.clone();
                let message = format!("not tried: {}", fault.message);
                let path = Some(visible(&step.path));
                self.report.fail(Fault { message, path, ..fault.clone() });
                self.untried.push((&step.path, fault));
            }
            self.report.skipped += u64::from(step.act.is_delete());
            return false;
        }
        if self.is_full && is_transfer {
            self.report.skipped += 1;
            return false;
        }
        true
    }

    pub(super) fn fail(&mut self, step: &'p Step, fault: Fault) {
        if step.act == Act::MakeFolder {
            self.blocked.insert(&step.path, fault.clone());
        }
        self.failures = if fault.may_retry() { self.failures + 1 } else { 0 };
        self.is_full |= fault.kind == Kind::Full;
        // Without a login nothing works; a connection that fails again and again is not asked for ever.
        let is_over = matches!(fault.kind, Kind::Denied | Kind::Unreachable)
            || self.failures >= MIRROR_FAILURES_IN_A_ROW_MAX
            || is_at_limit(&fault)
            || step.act == Act::MakeFolder && step.path.is_empty();
        if is_over {
            self.over.get_or_insert_with(|| fault.clone());
        }
        self.fail_with(fault.at(visible(&step.path)));
    }
}

impl<'p> Work for Run<'p, '_> {
    type Job = &'p Step;
    type Found = Found;

    fn next(&mut self) -> Option<&'p Step> {
        if self.ledger.is_due() {
            return None;
        }
        while let Some(step) = self.waiting.pop_front() {
            if self.can(step) {
                return Some(step);
            }
        }
        None
    }

    fn waiting(&self) -> usize {
        if self.ledger.is_due() {
            return 0;
        }
        // What is done on this machine needs no session.
        let is_local =
            |step: &&Step| self.direction == Direction::Down && !matches!(step.act, Act::Get(_));
        if self.waiting.front().is_some_and(is_local) { 0 } else { self.waiting.len() }
    }

    fn weight(found: &Found) -> Option<u64> {
        found.as_ref().map(|(moved, _)| moved.bytes)
    }

    fn give_back(&mut self, step: &'p Step) {
        self.waiting.push_front(step);
    }

    fn done(&mut self, step: &'p Step, result: Outcome<Found>) -> Outcome<()> {
        if result.is_ok()
            && let Some(is_done) = self.drift.get_mut(&*step.path)
        {
            *is_done = true;
        }
        if result.is_ok() && step.is_new() {
            self.arrived.insert(&step.path);
        }
        match (result, step.act) {
            (Err(fault), _) if fault.kind == Kind::Interrupted => return Err(fault),
            (Err(fault), _) => {
                self.fail(step, fault);
                return Ok(());
            }
            (Ok(Some((moved, pair))), act) => {
                self.report.add(moved);
                self.ledger.note(&step.path, pair);
                if !moved.verified && self.rules.wants_proof() {
                    self.fail_with(staged::unproven().at(visible(&step.path)));
                }
                match act {
                    Act::Get(_) => self.report.downloaded += 1,
                    _ => self.report.uploaded += 1,
                }
            }
            (Ok(None), Act::DeleteFile | Act::DeleteFolder) => {
                self.report.deleted += 1;
                self.ledger.note(&step.path, None);
            }
            (Ok(None), _) => {}
        }
        self.failures = 0;
        Ok(())
    }
}
