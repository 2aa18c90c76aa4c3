//! Applying a plan. Its undo data is stored before anything is changed.

use std::{path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    NatError,
    backend::{Choice, FoundRules, not_permitted},
    chains::{self, Shape},
    features, guard,
    history::{HistoryAction, HistoryEntry},
    machine::NatHost,
    persist,
    plan::{LiveState, RulesetPlan},
    ruleset_store::{RulesetRecord, RulesetStore, RulesetTrial, Undo},
    settings, sysctl,
};
use portolan_core::{
    error::{Error, Result},
    limits::{NAT_TRIAL_MAX, NAT_TRIAL_MIN},
};

/// The options for applying a plan.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// The length of a trial: the kernel restores the old rules after it, unless it is confirmed.
    pub confirm_within: Option<Duration>,
    /// The root directory below which files for boot are written, once the change is confirmed.
    pub persist: Option<PathBuf>,
    /// True if it is applied although it may lock the user out, or would overwrite foreign rules under its name.
    pub force: bool,
    /// True if interfaces may be missing.
    pub absent_ok: bool,
    /// The id of the plan that was shown: any other is refused.
    pub plan_id: Option<String>,
    /// The reason, for the history.
    pub comment: Option<String>,
    /// The URL of an FTP server that must be reached during the trial. The caller that applies the plan does that.
    pub probe: Option<String>,
}

/// The result of applying a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// True if anything was changed.
    pub changed: bool,
    /// True if the filter now lists the wanted rules.
    pub verified: bool,
    /// The time when the old rules return.
    pub trial_until: Option<Timestamp>,
    /// The id of the plan.
    pub id: String,
    /// The rules that were there before.
    pub snapshot: String,
}

impl NatHost {
    /// Applies `plan` with the options of `order`. `now` is the time of day.
    ///
    /// Fails with `nat.not_permitted`, `nat.would_lock_out`, `nat.conflict`, `nat.unknown_interface`,
    /// `nat.trial_pending`, `nat.changed_since_plan`, `nat.busy`, `nat.nft_failed` and others. If the change itself
    /// fails, it is taken back.
    pub fn apply(
        &self,
        plan: &RulesetPlan,
        order: &ApplyOptions,
        ledger: &dyn RulesetStore,
        now: Timestamp,
    ) -> Result<Applied> {
        let _lock = ledger.lock()?;
        self.check(plan, order)?;
        let before = ledger.load(&plan.ruleset)?;
        let snapshot = self.snapshot(plan);
        if !plan.changed {
            self.keep(plan, order, ledger, before, now)?;
            let id = plan.id();
            return Ok(Applied { changed: false, verified: true, trial_until: None, id, snapshot });
        }
        let mut record = planned(plan, order, before.clone(), &snapshot, now);
        let time = order.confirm_within;
        let body = match (time, &plan.live) {
            (None, _) => plan.body.clone(),
            (Some(time), live) => {
                let old = live.chains().cloned().unwrap_or_default();
                // The kernel ends the trial, and then no process may be left to restore the kernel's settings.
                let closed = sysctl::closed(&record.undone_settings(), &plan.interfaces);
                let closed = self.backend.chains(&closed)?;
                self.backend.trial(&plan.table, &plan.chains, &old, &closed, time)?
            }
        };
        record.made = self.made_tables(plan, ledger)?;
        ledger.save(&record)?;
        let done = self.carry_out(plan, &body).and_then(|()| self.verify(plan, time.is_some()));
        let (listing, verified) = match done {
            Ok(seen) => seen,
            // Rules of other programs are not rolled back.
            Err(fault) if fault.name == Some(NatError::ChangedSincePlan.name()) => {
                return Err(fault);
            }
            Err(fault) => {
                return Err(match self.give_up(plan, &snapshot, ledger, (before, &record.made)) {
                    Ok(()) => fault,
                    Err(other) => half_done(fault, &other),
                });
            }
        };
        record.listing = listing;
        if time.is_none() {
            // Files for boot that exist already are updated to the rules now in force.
            record.persisted = order.persist.clone().or(record.persisted);
            persist::keep(&record, &*self.backend)?;
        }
        ledger.save(&record)?;
        let how = if time.is_some() { HistoryAction::Trial } else { HistoryAction::Applied };
        ledger.append(&HistoryEntry::of(&record, how, order.comment.as_deref(), now))?;
        if time.is_none() {
            persist::start(&record)?;
        }
        let trial_until =
            record.trial.and_then(|trial| Timestamp::from_millisecond(trial.until_ms).ok());
        Ok(Applied { changed: true, verified, trial_until, id: plan.id(), snapshot })
    }

    /// Fails as [`apply`](Self::apply) would before it changes anything: of several plans, all are checked first.
    pub fn check(&self, plan: &RulesetPlan, order: &ApplyOptions) -> Result<()> {
        permitted(plan, order)?;
        features::check(&plan.modules, &plan.sysctls)?;
        self.unchanged(plan)
    }

    /// Fails with `nat.changed_since_plan` unless everything is still as the plan saw it.
    fn unchanged(&self, plan: &RulesetPlan) -> Result<()> {
        if self.backend.found(&plan.table)? == plan.found {
            return Ok(());
        }
        let message = format!("{} is no longer as the plan saw it: plan again", plan.place);
        Err(NatError::ChangedSincePlan.fault(message))
    }

    /// Returns the text that restores the rules now in force.
    fn snapshot(&self, plan: &RulesetPlan) -> String {
        match (&plan.live, &plan.found) {
            (LiveState::Over { old }, _) if old.is_empty() => String::new(),
            (LiveState::Over { old }, _) => self.backend.body(&plan.table, old),
            // Another program has flushed it: there is no rule to return to.
            (LiveState::Rules(chains), _) if chains.values().all(Vec::is_empty) => String::new(),
            (_, FoundRules::Listing(listing)) => listing.clone(),
            _ => String::new(),
        }
    }

    /// Loads the rules first: packets are never forwarded without the rules that govern them.
    fn carry_out(&self, plan: &RulesetPlan, body: &str) -> Result<()> {
        plan.modules.iter().try_for_each(|module| sysctl::load(module))?;
        self.backend.load(&plan.table, body)?;
        plan.sysctls.iter().try_for_each(sysctl::set)
    }

    /// Takes back the changes of a plan that failed.
    fn give_up(
        &self,
        plan: &RulesetPlan,
        snapshot: &str,
        ledger: &dyn RulesetStore,
        (before, made): (Option<RulesetRecord>, &[String]),
    ) -> Result<()> {
        // Another ruleset that was applied since the plan may need them by now.
        settings::let_go(&plan.ruleset, &plan.sysctls, ledger)?;
        self.put_back(&plan.table, snapshot)?;
        if let Some(before) = before {
            return ledger.save(&before);
        }
        self.backend.remove_tables(made)?;
        ledger.forget(&plan.ruleset)
    }

    /// Returns the kernel's tables that come with the plan: those that do not exist yet, and those that came with another
    /// ruleset, which then leaves them to this one.
    fn made_tables(&self, plan: &RulesetPlan, ledger: &dyn RulesetStore) -> Result<Vec<String>> {
        let mut made = self.backend.new_tables(&plan.table, &plan.body)?;
        for other in ledger.all()?.into_iter().filter(|other| other.backend == plan.choice) {
            made.extend(other.made);
        }
        made.sort();
        made.dedup();
        Ok(made)
    }

    /// Loads what was there; an empty text stands for no rules.
    pub(super) fn put_back(&self, table: &str, snapshot: &str) -> Result<()> {
        if snapshot.is_empty() {
            self.backend.remove(table)
        } else {
            self.backend.load(table, snapshot)
        }
    }

    /// Updates the record and the files for boot when the live rules need no change.
    fn keep(
        &self,
        plan: &RulesetPlan,
        order: &ApplyOptions,
        ledger: &dyn RulesetStore,
        before: Option<RulesetRecord>,
        now: Timestamp,
    ) -> Result<()> {
        let FoundRules::Listing(listing) = &plan.found else { return Ok(()) };
        let mut record = before.unwrap_or_else(|| RulesetRecord {
            ruleset: plan.ruleset.clone(),
            backend: plan.choice,
            applied_at_ms: now.as_millisecond(),
            ..RulesetRecord::default()
        });
        record.body.clone_from(&plan.body);
        record.listing.clone_from(listing);
        record.notes.clone_from(&plan.notes);
        record.needs.clone_from(&plan.needs);
        record.spec.clone_from(&plan.spec);
        record.login_ports.clone_from(&plan.login_ports);
        record.addresses.clone_from(&plan.addresses);
        plan.coming.iter().for_each(|one| record.remember(one));
        record.devices.clone_from(&plan.devices);
        record.links.clone_from(&plan.links);
        record.absent_ok = order.absent_ok;
        record.opened.clone_from(&plan.opened);
        record.trial = None;
        if order.persist.is_some() {
            record.persisted.clone_from(&order.persist);
        }
        persist::keep(&record, &*self.backend)?;
        ledger.save(&record)?;
        persist::start(&record)
    }

    /// Returns the current listing, and true if it is known to be what was wanted. Fails if there are no rules, or others.
    fn verify(&self, plan: &RulesetPlan, is_trial: bool) -> Result<(String, bool)> {
        let listing = match self.backend.found(&plan.table)? {
            FoundRules::Listing(listing) if !listing.trim().is_empty() => listing,
            FoundRules::Listing(_) | FoundRules::Missing
                if !chains::filled(plan.chains.clone()).is_empty() =>
            {
                let message = format!("{} is not there, though it was loaded", plan.place);
                return Err(self.failed(message));
            }
            _ => return Ok((String::new(), false)),
        };
        let Some(wanted) = &plan.wanted else { return Ok((listing, true)) };
        let is_old = matches!(&plan.found, FoundRules::Listing(old) if *old == listing);
        if is_old && (is_trial || listing != *wanted) {
            let message = format!("{} is as it was, though it was loaded anew", plan.place);
            return Err(self.failed(message));
        }
        let shape = |listing: &str| self.backend.shape(&plan.table, listing);
        let (now, wanted_chains) = match (shape(&listing), shape(wanted)) {
            (Shape::Trial { new, .. }, Shape::Plain(wanted)) if is_trial => (new, wanted),
            (Shape::Plain(now), Shape::Plain(wanted)) if !is_trial => (now, wanted),
            _ => return Err(changed_meanwhile(plan)),
        };
        let (now, wanted_chains) = (chains::filled(now), chains::filled(wanted_chains));
        if now == wanted_chains && (is_trial || listing == *wanted) {
            return Ok((listing, true));
        }
        let is_wanted = |key, rule| wanted_chains.get(key).is_some_and(|all| all.contains(rule));
        let mut rules = now.iter().flat_map(|(key, all)| all.iter().map(move |one| (key, one)));
        if rules.all(|(key, rule)| is_wanted(key, rule)) {
            let message = format!("{} has not all of the rules that were loaded", plan.place);
            return Err(self.failed(message));
        }
        Err(changed_meanwhile(plan))
    }

    /// Returns the fault of a filter that did not do what it was told.
    fn failed(&self, message: String) -> Error {
        match self.backend.choice() {
            Choice::Iptables => NatError::IptablesFailed.fault(message),
            Choice::Auto | Choice::Nft => NatError::NftFailed.fault(message),
        }
    }
}

/// Returns the error for rules that another program has replaced while they were applied.
fn changed_meanwhile(plan: &RulesetPlan) -> Error {
    let message = format!("{} was changed by another program while it was applied", plan.place);
    NatError::ChangedSincePlan.fault(message)
}

/// Checks the conditions that the plan itself and its options set.
fn permitted(plan: &RulesetPlan, order: &ApplyOptions) -> Result<()> {
    if plan.found == FoundRules::Unreadable {
        return Err(not_permitted());
    }
    if order.plan_id.as_ref().is_some_and(|id| *id != plan.id()) {
        let message = format!("this is plan {} now, and another was seen: plan again", plan.id());
        return Err(NatError::ChangedSincePlan.fault(message));
    }
    if let LiveState::Trial { .. } = plan.live {
        let message = "a trial of this ruleset runs: `confirm` or `rollback` it first";
        return Err(NatError::TrialPending.fault(message));
    }
    if let Some(time) = order.confirm_within
        && !(NAT_TRIAL_MIN..=NAT_TRIAL_MAX).contains(&time)
    {
        let message = format!(
            "`confirm_within` is {} s to {} h",
            NAT_TRIAL_MIN.as_secs(),
            NAT_TRIAL_MAX.as_secs() / 3600
        );
        return Err(Error::invalid(message));
    }
    if order.confirm_within.is_some() && plan.live == LiveState::Strange {
        let message = "the table has been changed by hand in a way that a trial cannot go back to: apply without \
                       `confirm_within`, or `revert` first";
        return Err(NatError::Conflict.fault(message));
    }
    if !order.absent_ok && !plan.absent.is_empty() {
        return Err(guard::absent_fault(&plan.absent));
    }
    if order.force {
        return Ok(());
    }
    if plan.live.is_foreign(&plan.found) {
        let message =
            format!("{} has rules that are not portolan's; `force` writes over them", plan.place);
        return Err(NatError::Conflict.fault(message));
    }
    // A plan that changes nothing locks out only users who are locked out already.
    match &plan.refusal {
        Some(fault) if plan.changed => Err(fault.clone()),
        _ => Ok(()),
    }
}

/// Returns the fault of a change that failed and could not be taken back completely.
fn half_done(fault: Error, other: &Error) -> Error {
    let message = format!(
        "{}; and what was there before could not be put back: {} (`rollback` tries again)",
        fault.message, other.message
    );
    Error { message, ..fault }
}

/// Returns the record of a plan that is about to be applied.
fn planned(
    plan: &RulesetPlan,
    order: &ApplyOptions,
    before: Option<RulesetRecord>,
    snapshot: &str,
    now: Timestamp,
) -> RulesetRecord {
    let before = before.unwrap_or_default();
    // The undo data of a trial that ended without being cleaned up is carried over into that of this change.
    let left = before.undo.clone().filter(|_| matches!(plan.live, LiveState::Over { .. }));
    let needed = left.as_ref().map_or(&before.needs, |undo| &undo.needs).clone();
    let (spec, addresses) = match &left {
        Some(undo) => (undo.spec.clone(), undo.addresses.clone()),
        None => (before.spec.clone(), before.addresses.clone()),
    };
    let devices = left.as_ref().map_or(&before.devices, |undo| &undo.devices).clone();
    let mut undone = left.map(|undo| undo.sysctls).unwrap_or_default();
    undone.retain(|path| plan.sysctls.iter().all(|one| one.path != *path));
    undone.extend(plan.sysctls.iter().chain(&plan.coming).map(|one| one.path.clone()));
    let undo = Undo {
        body: snapshot.to_owned(),
        notes: plan.live.chains().map(chains::notes).unwrap_or_default(),
        opened: before.opened(now).to_vec(),
        sysctls: undone,
        needs: needed,
        spec,
        addresses,
        devices,
        persisted: before.persisted.clone(),
    };
    let mut record = RulesetRecord {
        ruleset: plan.ruleset.clone(),
        backend: plan.choice,
        body: plan.body.clone(),
        listing: String::new(),
        notes: plan.notes.clone(),
        opened: plan.opened.clone(),
        sysctls: before.sysctls,
        needs: plan.needs.clone(),
        spec: plan.spec.clone(),
        login_ports: plan.login_ports.clone(),
        addresses: plan.addresses.clone(),
        devices: plan.devices.clone(),
        links: plan.links.clone(),
        absent_ok: order.absent_ok,
        trial: None,
        undo: Some(undo),
        persisted: before.persisted,
        applied_at_ms: now.as_millisecond(),
        made: before.made,
    };
    plan.sysctls.iter().chain(&plan.coming).for_each(|one| record.remember(one));
    if let Some(time) = order.confirm_within {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let until = now.saturating_add(time).unwrap_or(Timestamp::MAX);
        record.trial = Some(RulesetTrial {
            body: plan.body.clone(),
            listing: plan.wanted.clone().unwrap_or_default(),
            notes: plan.notes.clone(),
            until_ms: until.as_millisecond(),
            persist: order.persist.clone(),
        });
    }
    record
}
