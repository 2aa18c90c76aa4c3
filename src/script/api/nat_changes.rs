//! The changes of rulesets that scripts make: plans, trials with their tests and proofs, and what ends them.

use rhai::{Dynamic, FnPtr, Map, NativeCallContext};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::NAT_TRIAL_USUAL,
    nat::{
        apply::{Applied, ApplyOptions},
        machine::NatHost,
        plan, plan_report,
    },
    observe::MessageLevel,
    script::{
        raise::{Raise, RhaiResultOf},
        rules,
        run::ScriptRun,
        survey,
        value::Time,
    },
};

/// Returns the plan of `rules`.
pub(super) fn planned(run: &ScriptRun, rules: &rules::Ruleset) -> Result<plan::RulesetPlan> {
    run.permissions().allow_nat_questions()?;
    rules.plan(run.settings.nat.backend, run.settings.nat.ledger.as_deref())
}

/// Returns a plan as scripts get it.
pub(super) fn plan_map(plan: &plan::RulesetPlan) -> Result<Map> {
    let map = rhai::serde::to_dynamic(plan_report::PlanDocument::of(plan))
        .ok()
        .and_then(Dynamic::try_cast);
    map.ok_or_else(|| Error::invalid("the plan is too large for a script"))
}

fn applied_map(done: &Applied) -> Map {
    let until = done.trial_until.map_or(Dynamic::UNIT, |until| Dynamic::from(Time::utc(until)));
    let entries: [(&str, Dynamic); 5] = [
        ("changed", done.changed.into()),
        ("verified", done.verified.into()),
        ("trial_until", until),
        ("id", done.id.clone().into()),
        ("snapshot", done.snapshot.clone().into()),
    ];
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

/// Applies `rules`, or logs the changes if nothing is to be changed.
fn apply_now(run: &ScriptRun, rules: &rules::Ruleset, order: ApplyOptions) -> Result<Applied> {
    if run.settings.nat.described.is_some() {
        rules.ordered(order);
        let id = String::new();
        return Ok(Applied {
            changed: false,
            verified: false,
            trial_until: None,
            id,
            snapshot: String::new(),
        });
    }
    if run.is_nat_inert() {
        let plan = planned(run, rules)?;
        run.say(
            MessageLevel::Info,
            format!("would apply {}", plan_report::words(&plan).trim_end()),
        );
        let (changed, id) = (plan.changed, plan.id());
        let snapshot = String::new();
        return Ok(Applied { changed, verified: false, trial_until: None, id, snapshot });
    }
    run.permissions().allow_nat()?;
    let ledger = run.nat_ledger()?;
    let order = ApplyOptions { plan_id: rules.seen(), ..order };
    let (machine, plan) = rules.fresh_plan(run.settings.nat.backend, Some(&*ledger))?;
    for warning in &plan.warnings {
        run.context.observer.warn_once(format!("ruleset {}: {}", plan.ruleset, warning.words()));
    }
    let done = machine.apply(&plan, &order, &*ledger, run.context.clock.now())?;
    let how = match done.trial_until {
        _ if !done.changed => "unchanged".to_owned(),
        Some(until) => format!("on trial until {until}"),
        None => "applied".to_owned(),
    };
    run.say(MessageLevel::Info, format!("ruleset {}: {how}", plan.ruleset));
    Ok(done)
}

/// Applies `rules` on trial, and holds sessions with the server of `url`: confirms the rules then, or takes them back.
fn apply_proved(
    run: &ScriptRun,
    rules: &rules::Ruleset,
    mut order: ApplyOptions,
    url: &str,
) -> Result<Applied> {
    order.confirm_within.get_or_insert(NAT_TRIAL_USUAL);
    let mut done = apply_now(run, rules, order)?;
    if run.is_nat_inert() || run.settings.nat.described.is_some() {
        return Ok(done);
    }
    let model = rules.model();
    let proved = survey::prove(run, url, &model);
    if done.trial_until.is_some() {
        let (machine, ledger) = (standing(run, rules)?, run.nat_ledger()?);
        let now = run.context.clock.now();
        if let Err(fault) = proved {
            machine.rollback(model.name(), &*ledger, now)?;
            let message = format!("{}: the old rules are back", fault.message);
            return Err(Error { message, ..fault });
        }
        machine.confirm(model.name(), &*ledger, now)?;
        done.trial_until = None;
    }
    let text = format!("ruleset {}: proved by {}", model.name(), proved?.join("; "));
    run.say(MessageLevel::Info, text);
    Ok(done)
}

/// Applies `rules` as `options` say.
pub(super) fn apply(
    ctx: &NativeCallContext<'_>,
    rules: &rules::Ruleset,
    options: &Map,
) -> RhaiResultOf<Map> {
    let run = ScriptRun::of(ctx)?;
    let mut order = rules::order(options).or_raise(ctx)?;
    let test = options.get("test").filter(|test| !test.is_unit()).cloned();
    let Some(test) = test else {
        let done = match order.probe.clone() {
            None => apply_now(&run, rules, order),
            Some(url) => apply_proved(&run, rules, order, &url),
        };
        return done.map(|done| applied_map(&done)).or_raise(ctx);
    };
    if order.probe.is_some() {
        let message = "`probe` and `test` both end the trial: name one of them";
        return Err(Error::invalid(message)).or_raise(ctx);
    }
    let test: FnPtr = test
        .try_cast()
        .ok_or_else(|| Error::invalid("`test` wants a closure, such as || site.exists(\"/\")"))
        .or_raise(ctx)?;
    order.confirm_within.get_or_insert(NAT_TRIAL_USUAL);
    let mut done = apply_now(&run, rules, order).or_raise(ctx)?;
    if run.is_nat_inert() || done.trial_until.is_none() {
        return Ok(applied_map(&done));
    }
    let name = rules.model().name().to_owned();
    let tested = test.call_within_context::<Dynamic>(ctx, ());
    let is_good = tested.as_ref().is_ok_and(|value| value.as_bool().unwrap_or(true));
    let ended = || -> Result<()> {
        let (ledger, now) = (run.nat_ledger()?, run.context.clock.now());
        let machine = standing(&run, rules)?;
        if is_good {
            machine.confirm(&name, &*ledger, now)
        } else {
            machine.rollback(&name, &*ledger, now)
        }
    };
    ended().or_raise(ctx)?;
    match tested {
        Err(error) => Err(error),
        Ok(_) if is_good => {
            done.trial_until = None;
            Ok(applied_map(&done))
        }
        Ok(_) => {
            let message = format!("the test of ruleset `{name}` said no: the old rules are back");
            Err(Error::new(ErrorKind::Guard, Origin::Here, message)).or_raise(ctx)
        }
    }
}

/// Returns this host with the filter that has the rules of `rules`.
pub(super) fn standing(run: &ScriptRun, rules: &rules::Ruleset) -> Result<NatHost> {
    let record = rules.record(run.settings.nat.ledger.as_deref())?;
    NatHost::this(rules.backend(run.settings.nat.backend), record.as_ref())
}

/// Runs `work` with the ruleset's name, unless nothing is to be changed.
pub(super) fn changing(
    ctx: &NativeCallContext<'_>,
    rules: &rules::Ruleset,
    work: impl FnOnce(&ScriptRun, &NatHost, &str) -> Result<()>,
) -> RhaiResultOf<()> {
    let run = ScriptRun::of(ctx)?;
    let done = || -> Result<()> {
        if run.is_nat_inert() {
            return Ok(());
        }
        run.permissions().allow_nat()?;
        rules.seen();
        work(&run, &standing(&run, rules)?, rules.model().name())
    };
    done().or_raise(ctx)
}
