//! `portolan nat apply`: the plans of a script, carried out.

use std::{fmt::Write, path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::json;

use super::{
    NatContext, Rollback, ScriptArgs,
    nat_session::{self, SessionGuard},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    limits::NAT_TRIAL_USUAL,
    nat::{
        apply::{Applied, ApplyOptions},
        history::{self, check_comment},
        machine::NatHost,
        model::RulesetSpec,
        plan::RulesetPlan,
    },
    script::{rules::Ruleset, sites::parse_url, value::parse_duration},
};

#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Apply {
    /// Apply on trial: the kernel rolls back after this time, such as 60s, unless confirmed
    #[arg(long, value_name = "TIME", value_parser = time)]
    confirm_within: Option<Duration>,
    /// Apply on trial: roll back when this session ends, unless confirmed before
    #[arg(long)]
    while_connected: bool,
    /// Also apply the rules at boot, once confirmed
    #[arg(long)]
    persist: bool,
    /// Apply even if it may lock users out
    #[arg(long)]
    force: bool,
    /// Allow interfaces that do not exist yet
    #[arg(long)]
    absent_ok: bool,
    /// Apply only if the plan has this id, as shown by `plan --json`
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
    /// Hold FTP sessions with this server on trial; confirm, or roll back and name the step
    #[arg(long, value_name = "URL", value_parser = url)]
    probe: Option<String>,
    /// Reason of the change, for `nat log`
    #[arg(long, value_name = "TEXT", value_parser = comment)]
    comment: Option<String>,
    #[command(flatten)]
    pub(super) scripted: ScriptArgs,
}

impl Apply {
    /// Returns the options of the command line on top of those of the script.
    fn order(&self, own: ApplyOptions) -> ApplyOptions {
        let usual = self.while_connected.then_some(nat_session::TRIAL);
        let persist = self.persist.then(|| PathBuf::from("/"));
        let probe = self.probe.clone().or(own.probe);
        let usual = usual.or(probe.is_some().then_some(NAT_TRIAL_USUAL));
        ApplyOptions {
            confirm_within: self.confirm_within.or(own.confirm_within).or(usual),
            probe,
            persist: own.persist.or(persist),
            force: self.force || own.force,
            absent_ok: self.absent_ok || own.absent_ok,
            plan_id: self.plan.clone(),
            comment: self.comment.clone().or(own.comment),
        }
    }
}

/// Parses the reason of a change.
pub(super) fn comment(text: &str) -> Result<String, String> {
    check_comment(text).map(|()| text.to_owned()).map_err(|error| error.message)
}

pub(super) fn url(text: &str) -> Result<String, String> {
    parse_url(text).map(|_| text.to_owned()).map_err(|error| error.message)
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a duration such as 90s or 5m is wanted".into())
}

impl NatContext<'_> {
    pub(super) fn apply(&self, rulesets: &[Ruleset], asked: &Apply) -> Result<Exit> {
        let ledger = self.ledger()?;
        let plans = self.plans(rulesets)?;
        let orders: Vec<_> = rulesets.iter().map(|one| asked.order(one.order())).collect();
        // What is refused is refused before anything is done.
        for ((machine, plan), order) in plans.iter().zip(&orders) {
            machine.check(plan, order).map_err(|fault| of_ruleset(fault, plan, plans.len()))?;
        }
        // Before anything is done: what is done may be the end of this session.
        let changed = plans.iter().map(|(_, plan)| plan);
        let guard = self.session_guard(asked.while_connected, changed)?;
        let mut done = Vec::new();
        let mut failed = None;
        for (ruleset, ((machine, plan), order)) in rulesets.iter().zip(plans.iter().zip(&orders)) {
            match machine.apply(plan, order, ledger, self.context.clock.now()) {
                Ok(mut applied) => {
                    let proved = self.prove((machine, &ruleset.model()), order, &mut applied);
                    done.push(self.applied(plan, applied, guard.is_some()));
                    if let Err(fault) = proved {
                        // It is as it was before.
                        done.pop();
                        failed = Some(of_ruleset(fault, plan, plans.len()));
                        break;
                    }
                }
                Err(fault) => {
                    failed = Some(of_ruleset(fault, plan, plans.len()));
                    break;
                }
            }
        }
        // What was done before a failure is told as well.
        if failed.is_none() || !done.is_empty() {
            let words: String = done.iter().map(|(_, words)| words.as_str()).collect();
            let values: Vec<_> = done.into_iter().map(|(value, _)| value).collect();
            let is_changed = values.iter().any(|one| one.changed);
            self.say(&json!({ "changed": is_changed, "rulesets": values }), &words);
        }
        failed.map_or(Ok(Exit::Done), Err)
    }

    /// Passes on the warnings of an applied plan, and returns its result for JSON and as text.
    fn applied<'p>(
        &self,
        plan: &'p RulesetPlan,
        applied: Applied,
        is_guarded: bool,
    ) -> (AppliedDocument<'p>, String) {
        let name = &plan.ruleset;
        for warning in &plan.warnings {
            self.context.observer.warn(format!("ruleset {name}: {}", warning.words()));
        }
        let how = match applied.trial_until {
            _ if !applied.changed => "unchanged".to_owned(),
            Some(until) => format!(
                "on trial until {until}{}; `portolan nat confirm --ruleset {name}` keeps it, after that the old rules \
                 return",
                if is_guarded { " or the end of this session" } else { "" }
            ),
            None => "applied".to_owned(),
        };
        let document = AppliedDocument {
            ruleset: name,
            changed: applied.changed,
            verified: applied.verified,
            trial_until: applied.trial_until.map(|until| until.to_string()),
            id: applied.id,
        };
        (document, format!("{name}: {how}\n"))
    }

    /// Starts the guard of the session, if one is wanted and anything is to be changed.
    fn session_guard<'p>(
        &self,
        is_wanted: bool,
        plans: impl Iterator<Item = &'p RulesetPlan> + Clone,
    ) -> Result<Option<SessionGuard>> {
        if !is_wanted || plans.clone().all(|plan| !plan.changed) {
            return Ok(None);
        }
        let names: Vec<_> = plans.map(|plan| plan.ruleset.as_str()).collect();
        SessionGuard::start(self.state, &names).map(Some)
    }

    /// Applies rulesets as they were after the change of that number, on trial if that is wanted.
    pub(super) fn rollback_to(
        &self,
        names: &[&str],
        number: u32,
        asked: &Rollback,
    ) -> Result<Exit> {
        let ledger = self.ledger()?;
        let order = asked.order();
        let mut plans = Vec::new();
        for name in names {
            RulesetSpec::new(name)?;
            let entry = history::entry(name, number, ledger)?;
            let machine = NatHost::this(entry.backend, ledger.load(name)?.as_ref())?;
            let (spec, plan) = machine.plan_of(&entry, ledger)?;
            let order = entry.order_back(order.clone());
            machine.check(&plan, &order)?;
            plans.push((machine, spec, plan, order));
        }
        let changed = plans.iter().map(|(_, _, plan, _)| plan);
        let guard = self.session_guard(asked.while_connected, changed)?;
        let (mut words, mut trials) = (String::new(), Vec::new());
        for (machine, spec, plan, order) in &plans {
            let mut applied = machine.apply(plan, order, ledger, self.context.clock.now())?;
            self.prove((machine, spec), order, &mut applied)?;
            trials.extend(applied.trial_until.map(|until| until.to_string()));
            if applied.trial_until.is_some() {
                let (_, told) = self.applied(plan, applied, guard.is_some());
                words.push_str(&told);
            } else {
                writeln!(words, "{}: rolled back to {number}", plan.ruleset).ok();
            }
        }
        let mut value = json!({ "done": "rolled back", "to": number, "rulesets": names });
        if let (Some(fields), Some(until)) = (value.as_object_mut(), trials.into_iter().next()) {
            fields.insert("trial_until".into(), until.into());
        }
        self.say(&value, &words);
        Ok(Exit::Done)
    }
}

impl Rollback {
    /// Returns the options of the command line.
    fn order(&self) -> ApplyOptions {
        let usual = self.while_connected.then_some(nat_session::TRIAL);
        let usual = usual.or(self.probe.is_some().then_some(NAT_TRIAL_USUAL));
        ApplyOptions {
            confirm_within: self.confirm_within.or(usual),
            probe: self.probe.clone(),
            force: self.force,
            comment: self.comment.clone(),
            ..ApplyOptions::default()
        }
    }
}

/// Returns the fault of one of several plans, with the name of its ruleset.
fn of_ruleset(fault: Error, plan: &RulesetPlan, count: usize) -> Error {
    if count == 1 {
        return fault;
    }
    Error { message: format!("ruleset {}: {}", plan.ruleset, fault.message), ..fault }
}

/// An applied ruleset as `--json` has it.
#[derive(Debug, Serialize)]
struct AppliedDocument<'p> {
    ruleset: &'p str,
    changed: bool,
    verified: bool,
    trial_until: Option<String>,
    id: String,
}
