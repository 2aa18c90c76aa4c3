//! The execution state of a plan: the steps that are still to be done, the results, and the steps that are not worth
//! another try.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    deploy_rules::LastFiles,
    endpoints::Direction,
    executor::{Executor, StepResult},
    name_aliases,
    own_files::is_lasting,
    pass_options::TransferPolicy,
    plan::{Action, MirrorPlan, Step},
    pool::{JobQueue, SessionPool},
    quota::is_at_limit,
    recheck::{self, Recheck},
    report::Report,
    state::MirrorState,
    tree::above,
};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::MIRROR_FAILURES_IN_A_ROW_MAX,
    observe::{EventEmitter, MessageLevel, visible::visible},
};
use portolan_remote::{entry::Modified, fs::RemoteFs, transfer::unproven};

/// The execution state of a plan.
pub(super) struct Execution<'p, 'l> {
    pub(super) report: Report,
    direction: Direction,
    pub(super) ledger: &'l mut MirrorState,
    pub(super) policy: TransferPolicy,
    pub(super) observer: EventEmitter,
    /// The files of the target that have changed since the last run, each with true once its step is done.
    pub(super) drift: BTreeMap<&'p [u8], bool>,
    /// The files that were not tried, with the reasons.
    pub(super) untried: Vec<(&'p [u8], Error)>,
    pub(super) waiting: VecDeque<&'p Step>,
    /// Set once deletes have begun.
    is_late: bool,
    /// The directories that could not be created, with the reasons: nothing below them can be.
    blocked: BTreeMap<&'p [u8], Error>,
    /// The result of the final check before the deletes.
    pub(super) recheck: Option<Recheck>,
    /// The entries that have arrived under names that nothing had in the target.
    pub(super) arrived: BTreeSet<&'p [u8]>,
    /// The files that were transferred.
    pub(super) sent: BTreeSet<&'p [u8]>,
    /// The files whose transfers were verified, with their times on the server if those were told.
    pub(super) verified: BTreeMap<&'p [u8], Option<Modified>>,
    /// Set once there is no room for more files.
    is_full: bool,
    /// The reason why nothing more can succeed, if there is one.
    pub(super) over: Option<Error>,
    /// The number of connection failures since the last success.
    failures: u32,
}

impl<'p, 'l> Execution<'p, 'l> {
    pub(super) fn new(
        plan: &'p MirrorPlan,
        policy: TransferPolicy,
        ledger: &'l mut MirrorState,
        observer: EventEmitter,
    ) -> Self {
        Self {
            report: plan.report(),
            direction: plan.heading.direction,
            ledger,
            policy,
            observer,
            drift: plan.drift.iter().map(|drift| (&*drift.path, false)).collect(),
            untried: Vec::new(),
            waiting: VecDeque::new(),
            is_late: false,
            blocked: BTreeMap::new(),
            recheck: None,
            arrived: BTreeSet::new(),
            sent: BTreeSet::new(),
            verified: BTreeMap::new(),
            is_full: false,
            over: None,
            failures: 0,
        }
    }

    /// Writes pending state to its place if that is due.
    pub(super) async fn keep_state(
        &mut self,
        crew: &mut SessionPool<'_, impl RemoteFs>,
    ) -> Result<()> {
        if !self.ledger.is_due() {
            return Ok(());
        }
        match self.ledger.flush(crew.first()).await {
            Err(fault) if fault.kind == ErrorKind::Interrupted => Err(fault),
            Err(fault) => {
                self.fail_with(fault);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Queues the next steps, unless they are deletes, or come after deletes, and something has failed (S55).
    pub(super) fn take(&mut self, wave: &[&'p Step], crew: &mut SessionPool<'_, impl RemoteFs>) {
        let is_sweep = wave.iter().all(|step| step.act == Action::Sweep);
        // A resumable file is kept after a failure: the next run may resume it.
        let stays =
            is_sweep && self.policy.resume && wave.iter().any(|step| is_lasting(&step.path));
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
        crew.first().observer().warn_once(text);
    }

    /// Returns true if the files of `wave` are not sent: they come after all others, and something has failed.
    pub(super) fn holds_back(
        &mut self,
        wave: &[Step],
        last: &LastFiles,
        observer: &EventEmitter,
    ) -> bool {
        let is_last = |step: &Step| matches!(step.act, Action::Put(_)) && last.contains(&step.path);
        if self.report.failed == 0 || !wave.iter().all(is_last) {
            return false;
        }
        self.report.skipped += wave.len() as u64;
        let text = "the files that come last are not sent, since something failed before";
        observer.warn_once(text);
        true
    }

    /// Splits `jobs`, whose names the target may treat as those of earlier ones, into those that it does not have and
    /// those that it has by now, which fail.
    pub(super) async fn without_taken<T>(
        &mut self,
        crew: &mut SessionPool<'_, impl RemoteFs>,
        tools: &Executor<'p>,
        jobs: Vec<T>,
        step: impl Fn(&T) -> &'p Step,
    ) -> Result<(Vec<T>, Vec<T>)> {
        let doubts = jobs.iter().map(&step);
        let doubts: Vec<_> =
            doubts.map(|step| (step.path.clone(), step.act == Action::MakeFolder)).collect();
        let are_there: Vec<_> = match self.direction {
            Direction::Up => {
                let top = &tools.plan.heading.remote;
                let answers = name_aliases::ask(crew.first(), top, &doubts).await?;
                answers.iter().map(Option::is_some).collect()
            }
            Direction::Down => doubts.iter().map(|(path, _)| tools.has_here(path)).collect(),
        };
        let (mut free, mut taken) = (Vec::new(), Vec::new());
        for (job, is_there) in jobs.into_iter().zip(are_there) {
            if is_there {
                self.fail(step(&job), name_aliases::is_taken(self.direction));
                taken.push(job);
            } else {
                free.push(job);
            }
        }
        Ok((free, taken))
    }

    /// Returns true if `step` can still be done; otherwise counts it.
    fn can(&mut self, step: &'p Step) -> bool {
        let is_transfer = matches!(step.act, Action::Put(_) | Action::Get(_));
        let blocked = above(&step.path).find_map(|folder| self.blocked.get(folder));
        if let Some(fault) = self.over.as_ref().or(blocked) {
            if is_transfer {
                let fault = fault.clone();
                let message = format!("not tried: {}", fault.message);
                let path = Some(visible(&step.path));
                self.report.fail(Error { message, path, ..fault.clone() });
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

    pub(super) fn fail(&mut self, step: &'p Step, fault: Error) {
        if step.act == Action::MakeFolder {
            self.blocked.insert(&step.path, fault.clone());
        }
        self.failures = if fault.is_retryable() { self.failures + 1 } else { 0 };
        self.is_full |= fault.kind == ErrorKind::Full;
        // Nothing works without a login; a connection that fails again and again is not retried forever.
        let is_over = matches!(fault.kind, ErrorKind::Denied | ErrorKind::Unreachable)
            || self.failures >= MIRROR_FAILURES_IN_A_ROW_MAX
            || is_at_limit(&fault)
            || step.act == Action::MakeFolder && step.path.is_empty();
        if is_over {
            self.over.get_or_insert_with(|| fault.clone());
        }
        self.fail_with(fault.at(visible(&step.path)));
    }

    /// Counts a failure, and logs it.
    pub(super) fn fail_with(&mut self, fault: Error) {
        tell(&self.observer, &fault);
        self.report.fail(fault);
    }

    /// Runs the final check, unless it has been run.
    pub(super) async fn recheck_target(
        &mut self,
        crew: &mut SessionPool<'_, impl RemoteFs>,
        tools: &Executor<'p>,
    ) -> Result<()> {
        if self.recheck.is_some() || self.over.is_some() {
            return Ok(());
        }
        let recheck = recheck::look(crew, tools.plan, &tools.root, &self.arrived).await?;
        for fault in &recheck.faults {
            self.fail_with(fault.clone());
        }
        for path in &recheck.lost {
            // The file that has its name now was not left there by this run.
            self.ledger.note(path, None);
        }
        self.recheck = Some(recheck);
        Ok(())
    }
}

impl<'p> JobQueue for Execution<'p, '_> {
    type Job = &'p Step;
    type Found = StepResult;

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
        // Local steps need no session.
        let is_local =
            |step: &&Step| self.direction == Direction::Down && !matches!(step.act, Action::Get(_));
        if self.waiting.front().is_some_and(is_local) { 0 } else { self.waiting.len() }
    }

    fn weight(found: &StepResult) -> Option<u64> {
        found.as_ref().map(|(moved, _)| moved.bytes)
    }

    fn give_back(&mut self, step: &'p Step) {
        self.waiting.push_front(step);
    }

    fn done(&mut self, step: &'p Step, result: Result<StepResult>) -> Result<()> {
        if result.is_ok()
            && let Some(is_done) = self.drift.get_mut(&*step.path)
        {
            *is_done = true;
        }
        if result.is_ok() && step.is_new() {
            self.arrived.insert(&step.path);
        }
        match (result, step.act) {
            (Err(fault), _) if fault.kind == ErrorKind::Interrupted => return Err(fault),
            (Err(fault), _) => {
                self.fail(step, fault);
                return Ok(());
            }
            (Ok(Some((moved, pair))), act) => {
                self.report.add(moved);
                self.ledger.note(&step.path, pair);
                self.sent.insert(&step.path);
                if moved.verified {
                    self.verified.insert(&step.path, moved.modified);
                }
                if !moved.verified && self.policy.wants_proof {
                    self.fail_with(unproven().at(visible(&step.path)));
                }
                match act {
                    Action::Get(_) => self.report.downloaded += 1,
                    _ => self.report.uploaded += 1,
                }
            }
            (Ok(None), Action::DeleteFile | Action::DeleteFolder) => {
                self.report.deleted += 1;
                self.ledger.note(&step.path, None);
            }
            (Ok(None), _) => {}
        }
        self.failures = 0;
        Ok(())
    }
}

/// Logs the reason of a failure, unless that was done before.
pub(super) fn tell(observer: &EventEmitter, fault: &Error) {
    if !fault.is_told {
        observer.message(MessageLevel::Error, fault.to_string());
    }
}
