//! The lifecycle of a ruleset after it is applied: confirm, rollback, revert and status.

use jiff::Timestamp;
use strum::IntoStaticStr;

use super::{
    NatError,
    backend::{FoundRules, not_permitted},
    chains,
    check::Interface,
    drift::GatewayDrift,
    history::{HistoryAction, HistoryEntry},
    host::HostNetwork,
    machine::NatHost,
    persist,
    plan::{LiveState, RulesetPlan},
    ruleset_store::{RulesetRecord, RulesetStore},
    settings, sysctl, uplinks,
};
use portolan_core::error::{Error, Result};

/// The state of a ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum RulesetState {
    /// Its rules are in force.
    Applied,
    /// Its rules are in force until a trial ends.
    Trial,
    /// Its table, a kernel setting or an interface that it needs was changed outside portolan.
    Drifted,
    /// Its table does not exist.
    Missing,
    /// Its table exists, but nothing in it is portolan's.
    Foreign,
}

impl RulesetState {
    /// Returns its word in scripts and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A status report on a ruleset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub ruleset: String,
    /// Its state.
    pub state: RulesetState,
    /// A remark on the state; empty if there is none.
    pub note: String,
    /// The time when its trial ends.
    pub trial_until: Option<Timestamp>,
    /// The time when it was applied, as far as that is recorded.
    pub since: Option<Timestamp>,
    /// True if it is set up to be loaded at boot.
    pub persisted: bool,
    /// The descriptions of its parts, one line each.
    pub notes: Vec<String>,
    /// The settings and interfaces that are not as its rules need them, one sentence each.
    pub problems: Vec<String>,
    /// False if the rules could not be read: the state is what is remembered.
    pub is_readable: bool,
}

/// The result of a revert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// The ruleset is removed.
    Done {
        /// A note for the user.
        note: Option<String>,
    },
    /// No rules of it stand, and nothing is remembered of it.
    Absent,
}

impl NatHost {
    /// Returns the status of the ruleset of that name. `plan` is made from the current script, if there is one.
    pub fn status(
        &self,
        name: &str,
        plan: Option<&RulesetPlan>,
        record: Option<&RulesetRecord>,
        now: Timestamp,
    ) -> Result<Status> {
        let table = format!("portolan_{name}");
        let found = match plan {
            Some(plan) => plan.found.clone(),
            None => self.backend.found(&table)?,
        };
        let live = LiveState::of(&*self.backend, &table, &found);
        let moment = |ms| Timestamp::from_millisecond(ms).ok();
        let until = record.and_then(|record| moment(record.trial.as_ref()?.until_ms));
        let (mut state, mut note) =
            state(&found, &live, plan, record, until.is_some_and(|until| until > now));
        let drift = match (state, &live, note.as_str()) {
            // What is recorded is about the trial.
            (_, LiveState::Over { .. }, _) | (_, _, TRIAL_LOST) => GatewayDrift::default(),
            (RulesetState::Applied | RulesetState::Trial, ..) => drift(plan, record),
            _ => GatewayDrift::default(),
        };
        let is_expected = record.is_some_and(|record| record.absent_ok);
        if state == RulesetState::Applied
            && (!drift.settings.is_empty() || !drift.absent.is_empty() && !is_expected)
        {
            state = RulesetState::Drifted;
            note = "its rules are in force, but not all that they need: `apply` mends the settings"
                .into();
        }
        let mut notes: Vec<_> = Some(note).filter(|note| !note.is_empty()).into_iter().collect();
        if state == RulesetState::Applied {
            let warnings = plan.iter().flat_map(|plan| &plan.warnings);
            let warnings = warnings.filter(|warning| warning.about == uplinks::ADDRESS);
            notes.extend(warnings.map(|warning| warning.text.clone()));
        }
        Ok(Status {
            ruleset: name.to_owned(),
            state,
            note: notes.join("; "),
            trial_until: until.filter(|_| state == RulesetState::Trial),
            since: record
                .filter(|_| state != RulesetState::Missing)
                .and_then(|one| moment(one.applied_at_ms)),
            persisted: record.is_some_and(|record| record.persisted.is_some()),
            notes: match live.chains() {
                Some(chains) => chains::notes(chains),
                None => Vec::new(),
            },
            problems: drift.words(),
            is_readable: found != FoundRules::Unreadable,
        })
    }

    /// Returns the names of the rulesets that have a table here, whether or not they are remembered.
    pub fn standing_names(&self) -> Vec<String> {
        let tables = self.backend.everything();
        // Those of `with_open` end with their process.
        let names = tables.iter().filter_map(|table| table.name.strip_prefix("portolan_"));
        names.filter(|name| !name.starts_with("open_")).map(str::to_owned).collect()
    }

    /// Keeps the rules of a trial. Fails with `nat.no_trial` when there is none, or it is over.
    pub fn confirm(&self, name: &str, ledger: &dyn RulesetStore, now: Timestamp) -> Result<()> {
        let _lock = ledger.lock()?;
        let table = format!("portolan_{name}");
        let record = ledger.load(name)?;
        let trial = record.as_ref().and_then(|record| record.trial.clone());
        let (Some(mut record), Some(trial)) = (record, trial) else {
            let message = format!(
                "there is no trial of `{name}` to confirm, according to the records in {}",
                ledger.place()
            );
            return Err(NatError::NoTrial.fault(message));
        };
        let found = self.readable(&table)?;
        // Loaded already: an earlier `confirm` was interrupted before it could record that.
        let is_kept = listing(&found) == Some(&trial.listing);
        if !is_kept
            && !matches!(LiveState::of(&*self.backend, &table, &found), LiveState::Trial { .. })
        {
            let message = format!(
                "the trial of `{name}` is over and the old rules are back: apply again, and confirm in time"
            );
            return Err(NatError::NoTrial.fault(message));
        }
        if !is_kept {
            self.backend.load(&table, &trial.body)?;
        }
        if let FoundRules::Listing(listing) = self.backend.found(&table)? {
            record.listing = listing;
        }
        record.trial = None;
        record.applied_at_ms = now.as_millisecond();
        record.persisted = trial.persist.or(record.persisted);
        persist::keep(&record, &*self.backend)?;
        ledger.save(&record)?;
        ledger.append(&HistoryEntry::of(&record, HistoryAction::Confirmed, None, now))?;
        persist::start(&record)
    }

    /// Restores the state before the last change. Fails with `nat.no_undo`.
    pub fn rollback(&self, name: &str, ledger: &dyn RulesetStore, now: Timestamp) -> Result<()> {
        let _lock = ledger.lock()?;
        let table = format!("portolan_{name}");
        let record = ledger.load(name)?;
        let undo = record.as_ref().and_then(|record| record.undo.clone());
        let (Some(mut record), Some(undo)) = (record, undo) else {
            let message = format!(
                "nothing is remembered in {} that `{name}` could go back to; `revert` takes its rules away altogether, \
                 `nat log` lists earlier ones for `rollback --to`",
                ledger.place()
            );
            return Err(NatError::NoUndo.fault(message));
        };
        let found = self.readable(&table)?;
        self.not_foreign(&table, &found)?;
        // Settings are restored before the rules: packets are never forwarded without the rules that govern them.
        let gone = record.undone_settings();
        settings::let_go(name, &gone, ledger)?;
        self.put_back(&table, &undo.body)?;
        record.sysctls.retain(|one| !gone.contains(one));
        if let Some(root) = record.persisted.as_ref().filter(|_| undo.persisted.is_none()) {
            persist::remove(root, name)?;
        }
        if undo.body.is_empty() {
            self.backend.remove_tables(&record.made)?;
            ledger.forget(name)?;
            return ledger.append(&HistoryEntry::without_rules(
                name,
                HistoryAction::RolledBack,
                now,
            ));
        }
        let FoundRules::Listing(listing) = self.backend.found(&table)? else {
            return Err(NatError::NftFailed.fault("what was put back is not there"));
        };
        record = RulesetRecord {
            body: undo.body,
            listing,
            notes: undo.notes,
            opened: undo.opened,
            needs: undo.needs,
            spec: undo.spec,
            addresses: undo.addresses,
            devices: undo.devices,
            trial: None,
            undo: None,
            persisted: undo.persisted,
            applied_at_ms: now.as_millisecond(),
            ..record
        };
        persist::keep(&record, &*self.backend)?;
        ledger.save(&record)?;
        ledger.append(&HistoryEntry::of(&record, HistoryAction::RolledBack, None, now))?;
        persist::start(&record)
    }

    /// Removes the rules of a ruleset, with all settings and files that were made for it. Changes and records nothing if
    /// there is nothing of it.
    pub fn revert(
        &self,
        name: &str,
        force: bool,
        ledger: &dyn RulesetStore,
        now: Timestamp,
    ) -> Result<Removal> {
        let _lock = ledger.lock()?;
        let table = format!("portolan_{name}");
        let found = self.readable(&table)?;
        if !force {
            self.not_foreign(&table, &found)?;
        }
        let remembered = ledger.load(name)?;
        if remembered.is_none() && found == FoundRules::Missing {
            return Ok(Removal::Absent);
        }
        let is_unknown = remembered.is_none() && found != FoundRules::Missing;
        let record = remembered.unwrap_or_default();
        settings::let_go(name, &record.sysctls, ledger)?;
        if found != FoundRules::Missing {
            self.backend.remove(&table)?;
        }
        let left = self.backend.remove_tables(&record.made)?;
        if let Some(root) = &record.persisted {
            persist::remove(root, name)?;
        }
        ledger.forget(name)?;
        ledger.append(&HistoryEntry::without_rules(name, HistoryAction::Reverted, now))?;
        let listing = listing(&found).unwrap_or_default().to_lowercase();
        let translates = ["masquerade", "snat", "dnat"].iter().any(|word| listing.contains(word));
        let missing = format!(
            "nothing was remembered of it in {}: kernel settings and files for boot are as they were",
            ledger.place()
        );
        let ended =
            "connections through its NAT are no longer translated, including established ones";
        let known = translates.then(|| ended.to_owned()).into_iter().chain(left);
        let notes = is_unknown.then_some(missing).into_iter().chain(known);
        Ok(Removal::Done { note: notes.reduce(|one, other| format!("{one}; {other}")) })
    }

    /// Fails with `nat.conflict` if another program made what is there.
    fn not_foreign(&self, table: &str, found: &FoundRules) -> Result<()> {
        if !LiveState::of(&*self.backend, table, found).is_foreign(found) {
            return Ok(());
        }
        let place = self.backend.place(table);
        let message = format!(
            "{place} has rules that are not portolan's; `portolan nat revert --force` removes it all the same"
        );
        Err(NatError::Conflict.fault(message))
    }

    /// Returns what is there. Fails with `nat.not_permitted` if that cannot be read: then it cannot be changed either.
    pub(super) fn readable(&self, table: &str) -> Result<FoundRules> {
        match self.backend.found(table)? {
            FoundRules::Unreadable => Err(not_permitted()),
            found => Ok(found),
        }
    }
}

/// The note of a trial that ended with a reboot, or with a table that was removed.
const TRIAL_LOST: &str = "its trial is over and the rules of before it are in force; `rollback` clears away what is remembered of it";

/// Returns what is not as the rules need it, according to the script or else to the record.
fn drift(plan: Option<&RulesetPlan>, record: Option<&RulesetRecord>) -> GatewayDrift {
    let (needs, devices) = match (plan, record) {
        (Some(plan), _) => (&plan.needs, &plan.devices),
        (None, Some(record)) => (&record.needs, &record.devices),
        (None, None) => return GatewayDrift::default(),
    };
    let here = HostNetwork::look();
    let exists = |name: &str| Interface::parse(name).is_ok_and(|device| here.has(&device));
    GatewayDrift::of(needs, devices, exists, sysctl::read)
}

/// Returns the state and a note on it.
fn state(
    found: &FoundRules,
    live: &LiveState,
    plan: Option<&RulesetPlan>,
    record: Option<&RulesetRecord>,
    is_trial_remembered: bool,
) -> (RulesetState, String) {
    let is_planned =
        plan.is_some_and(|plan| plan.wanted.is_some() && listing(found) == plan.wanted.as_deref());
    let is_on_trial = record.is_some_and(|record| record.trial.is_some());
    let previous = record.and_then(|record| Some(record.undo.as_ref()?.body.as_str()));
    let is_remembered = record.is_some_and(|record| listing(found) == Some(&record.listing));
    match live {
        _ if *found == FoundRules::Unreadable => {
            let note = "the rules themselves can only be read with CAP_NET_ADMIN: this is what is remembered";
            let state = match record {
                None => RulesetState::Missing,
                Some(_) if is_trial_remembered => RulesetState::Trial,
                Some(_) => RulesetState::Applied,
            };
            (state, note.into())
        }
        // The kernel ends a trial with its table, as at a reboot.
        LiveState::Nothing if is_on_trial && previous == Some("") => {
            (RulesetState::Missing, TRIAL_LOST.into())
        }
        LiveState::Nothing => (RulesetState::Missing, String::new()),
        LiveState::Rules(_) if is_on_trial && previous == listing(found) => {
            (RulesetState::Applied, TRIAL_LOST.into())
        }
        LiveState::Trial { .. } => {
            (RulesetState::Trial, "`confirm` keeps its rules, `rollback` takes them back".into())
        }
        LiveState::Over { old } => {
            let state = if old.is_empty() { RulesetState::Missing } else { RulesetState::Applied };
            let note = "its trial is over and the old rules are back; `rollback` clears away what is left of it";
            (state, note.into())
        }
        _ if live.is_foreign(found) => {
            (RulesetState::Foreign, "its table is not portolan's".into())
        }
        _ if is_planned => (RulesetState::Applied, String::new()),
        _ if is_remembered => {
            let note =
                if plan.is_some() { "its script says something else now: see `plan`" } else { "" };
            (RulesetState::Applied, note.into())
        }
        _ if record.is_none() && plan.is_some() => (
            RulesetState::Drifted,
            "it is not what the script says, and nothing is remembered of it".into(),
        ),
        _ if record.is_none() => (RulesetState::Applied, "nothing is remembered of it".into()),
        _ => (
            RulesetState::Drifted,
            "its table was changed by another program: `apply` restores it, `plan` shows what"
                .into(),
        ),
    }
}

fn listing(found: &FoundRules) -> Option<&str> {
    match found {
        FoundRules::Listing(listing) => Some(listing),
        FoundRules::Missing | FoundRules::Unreadable => None,
    }
}

/// Returns the fault for a missing ruleset ledger.
pub fn no_ledger() -> Error {
    Error::invalid(
        "rules are changed only where what undoes them can be stored, and there is no state folder: name one by --state",
    )
}
