//! `portolan nat`: plans, applies and reverts the rulesets that a script describes.

use std::{fmt::Write, path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::json;

use super::{
    ExitResult,
    common::{Common, interruptible},
    nat_import, nat_test,
    nat_watch::{WatchArgs, Watcher},
    report::{self, UsageError},
    run::{script, settings},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::session::RunContext,
    nat::{
        apply::ApplyOptions,
        machine::{Choice, NatHost},
        model::RulesetSpec as Model,
        plan::RulesetPlan,
        plan_report::{self, PlansDocument},
        ruleset_store::{RulesetRecord, RulesetStore},
        undo::{Status, no_ledger},
    },
    observe::MessageLevel,
    script::{
        rules::{Described, NatSettings, Ruleset},
        run::Settings,
        source::ScriptSource,
        value::parse_duration,
    },
};

/// The arguments of `portolan nat`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Packet filter to use: nft, iptables, or auto to detect it
    #[arg(long, global = true, value_name = "FILTER", value_parser = backend)]
    backend: Option<Choice>,
    #[command(subcommand)]
    verb: NatVerb,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum NatVerb {
    #[command(flatten)]
    Ruleset(NatCommand),
    /// Try a packet on a copy of this host; exit with 0 if it passes, 1 if not
    Test(nat_test::TestArgs),
    /// Print the script for a file of iptables lines; exit with 6 if lines of it are lost
    Import(nat_import::Args),
}

#[derive(Debug, Clone, clap::Subcommand)]
enum NatCommand {
    /// Show what would change; exit with 0 for none, 2 for changes, 1 for an error
    Plan(ScriptArgs),
    /// Apply the rulesets of a script
    Apply(Apply),
    /// Confirm the rules of a trial
    Confirm(NatTarget),
    /// Roll back the last change
    Rollback(NatTarget),
    /// Remove the rules, with all settings and files made for them
    Revert(Revert),
    /// Show the state of the rulesets: applied, trial, drifted, missing or foreign
    Status(NatTarget),
    /// Print the rules as text, for other tools
    Export(ScriptArgs),
    /// Make applied rulesets hold when interfaces, routes, settings or rules change
    Watch(WatchArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct ScriptArgs {
    /// Script that describes the rulesets; its own `apply` is ignored
    script: PathBuf,
    /// Arguments of the script (`args`)
    #[arg(value_name = "ARGS")]
    rest: Vec<String>,
}

#[derive(Debug, Clone, clap::Args)]
struct Apply {
    /// Apply on trial: the kernel rolls back after this time, such as 60s, unless confirmed
    #[arg(long, value_name = "TIME", value_parser = time)]
    confirm_within: Option<Duration>,
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
    #[command(flatten)]
    scripted: ScriptArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct NatTarget {
    /// Script that describes the rulesets
    #[arg(required_unless_present = "ruleset")]
    script: Option<PathBuf>,
    /// Arguments of the script (`args`)
    #[arg(value_name = "ARGS")]
    rest: Vec<String>,
    /// Name of the ruleset, instead of a script
    #[arg(long, value_name = "NAME", conflicts_with = "script")]
    ruleset: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
struct Revert {
    /// Revert even if the table is not portolan's
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    target: NatTarget,
}

fn backend(text: &str) -> Result<Choice, String> {
    Choice::named(text).ok_or_else(|| "one of auto, nft and iptables is wanted".into())
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a duration such as 90s or 5m is wanted".into())
}

impl NatCommand {
    fn target(&self) -> NatTarget {
        match self {
            Self::Plan(ScriptArgs { script, rest })
            | Self::Export(ScriptArgs { script, rest })
            | Self::Apply(Apply { scripted: ScriptArgs { script, rest }, .. }) => {
                NatTarget { script: Some(script.clone()), rest: rest.clone(), ruleset: None }
            }
            Self::Watch(WatchArgs { script, rest, ruleset, .. }) => {
                NatTarget { script: script.clone(), rest: rest.clone(), ruleset: ruleset.clone() }
            }
            Self::Confirm(target)
            | Self::Rollback(target)
            | Self::Status(target)
            | Self::Revert(Revert { target, .. }) => target.clone(),
        }
    }
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    match &args.verb {
        NatVerb::Ruleset(verb) => run_verb(verb, args, common),
        NatVerb::Test(test) => nat_test::run(test, common),
        NatVerb::Import(args) => nat_import::run(args, common),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every command returns its exit code like that")]
fn run_verb(verb: &NatCommand, args: &Args, common: &Common) -> ExitResult {
    let is_plan = matches!(verb, NatCommand::Plan(_));
    let target = verb.target();
    let backend = args.backend.unwrap_or_default();
    let prepared = || -> Result<_> {
        let source = target.script.as_deref().map(ScriptSource::read).transpose()?;
        let described = Described::default();
        let nat = NatSettings {
            is_allowed: false,
            backend,
            ledger: common.ledger(),
            book: None,
            described: Some(described.clone()),
        };
        let file = target.script.clone().unwrap_or_default();
        let (context, states) = common.single_context()?;
        let settings = Settings { states, nat, ..settings(common, &file, target.rest.clone())? };
        Ok((source, settings, described, context))
    };
    let (verb, json) = (verb.clone(), common.json());
    let ended = || {
        let (source, settings, found, context) = prepared().map_err(UsageError)?;
        let stop = context.stop.clone();
        interruptible(&stop, move || {
            let ledger = settings.nat.ledger.clone();
            if let Some(source) = &source {
                let exit = script(source, settings, &context);
                if exit != Exit::Done {
                    return Ok(exit);
                }
            }
            let work = NatContext { context: &context, backend, ledger: ledger.as_deref(), json };
            Ok(work.all(&verb, target.ruleset.as_deref(), &found.all())?)
        })
    };
    let exit = ended().unwrap_or_else(|error| report::failed(&error));
    // As in terraform: users of a plan tell changes from errors by 2 and 1.
    Ok(match exit {
        Exit::Done | Exit::NatChanges | Exit::Interrupted => exit,
        _ if is_plan => Exit::NatError,
        exit => exit,
    })
}

/// The environment of the subcommands.
struct NatContext<'w> {
    context: &'w RunContext,
    backend: Choice,
    ledger: Option<&'w dyn RulesetStore>,
    json: bool,
}

impl NatContext<'_> {
    fn all(&self, verb: &NatCommand, name: Option<&str>, rulesets: &[Ruleset]) -> Result<Exit> {
        let models: Vec<_> = rulesets.iter().map(Ruleset::model).collect();
        let names: Vec<&str> = name.into_iter().chain(models.iter().map(Model::name)).collect();
        if let NatCommand::Watch(watch) = verb {
            return self.watch(watch, names);
        }
        if names.is_empty() {
            let message = "the script describes no ruleset: `nat::ruleset(\"name\")` begins one";
            return Err(Error::invalid(message));
        }
        match verb {
            NatCommand::Plan(_) => self.plan(rulesets),
            // Done above: it may have no ruleset yet.
            NatCommand::Watch(_) => Ok(Exit::Done),
            NatCommand::Export(_) => self.export(rulesets),
            NatCommand::Apply(apply) => self.apply(rulesets, apply),
            NatCommand::Status(_) => self.status(&names, rulesets),
            NatCommand::Confirm(_) => {
                self.each((&names, rulesets), "confirmed", |machine, name, ledger| {
                    machine.confirm(name, ledger, self.context.clock.now()).map(|()| None)
                })
            }
            NatCommand::Rollback(_) => {
                self.each((&names, rulesets), "rolled back", |machine, name, ledger| {
                    machine.rollback(name, ledger, self.context.clock.now()).map(|()| None)
                })
            }
            // It needs no ruleset, and is carried out before.
            NatCommand::Revert(revert) => {
                self.each((&names, rulesets), "reverted", |machine, name, ledger| {
                    machine.revert(name, revert.force, ledger)
                })
            }
        }
    }

    fn watch(&self, watch: &WatchArgs, names: Vec<&str>) -> Result<Exit> {
        for name in &names {
            Model::new(name)?;
        }
        let names = names.into_iter().map(str::to_owned).collect();
        let (ledger, observer, json) = (self.ledger()?, &self.context.observer, self.json);
        let watcher = Watcher { ledger, names, observer, json };
        if watch.once { watcher.once() } else { watcher.watch(&self.context.stop) }
    }

    fn ledger(&self) -> Result<&dyn RulesetStore> {
        self.ledger.ok_or_else(no_ledger)
    }

    fn say(&self, value: &impl Serialize, words: &str) {
        if self.json {
            report::json(value);
        } else {
            report::output(words);
        }
    }

    fn plans(&self, rulesets: &[Ruleset]) -> Result<Vec<(NatHost, RulesetPlan)>> {
        rulesets.iter().map(|one| one.fresh_plan(self.backend, self.ledger)).collect()
    }

    /// Returns the host with the filter that has the rules of that name, and their record.
    fn standing(
        &self,
        name: &str,
        rulesets: &[Ruleset],
    ) -> Result<(NatHost, Option<RulesetRecord>)> {
        // From the command line, the name may be anything.
        Model::new(name)?;
        let record = self.ledger.map(|ledger| ledger.load(name)).transpose()?.flatten();
        let ruleset = rulesets.iter().find(|one| one.model().name() == name);
        let choice = ruleset.map_or(self.backend, |one| one.backend(self.backend));
        Ok((NatHost::this(choice, record.as_ref())?, record))
    }

    fn plan(&self, rulesets: &[Ruleset]) -> Result<Exit> {
        let plans: Vec<_> = self.plans(rulesets)?.into_iter().map(|(_, plan)| plan).collect();
        let words: Vec<_> = plans.iter().map(plan_report::words).collect();
        self.say(&PlansDocument::of(&plans), &words.join("\n"));
        let is_changed = plans.iter().any(|plan| plan.changed);
        Ok(if is_changed { Exit::NatChanges } else { Exit::Done })
    }

    fn export(&self, rulesets: &[Ruleset]) -> Result<Exit> {
        let plans = self.plans(rulesets)?;
        let texts: Vec<_> = plans.iter().map(|(_, plan)| plan.text()).collect();
        let value = json!({ "rulesets": texts });
        self.say(&value, &texts.concat());
        Ok(Exit::Done)
    }

    fn apply(&self, rulesets: &[Ruleset], asked: &Apply) -> Result<Exit> {
        let ledger = self.ledger()?;
        let plans = self.plans(rulesets)?;
        let (mut values, mut words) = (Vec::new(), String::new());
        for (ruleset, (machine, plan)) in rulesets.iter().zip(&plans) {
            let own = ruleset.order();
            let persist = asked.persist.then(|| PathBuf::from("/"));
            let order = ApplyOptions {
                confirm_within: asked.confirm_within.or(own.confirm_within),
                persist: own.persist.or(persist),
                force: asked.force || own.force,
                absent_ok: asked.absent_ok || own.absent_ok,
                plan_id: asked.plan.clone(),
            };
            let applied = machine.apply(plan, &order, ledger, self.context.clock.now())?;
            for warning in &plan.warnings {
                self.context.observer.warn(format!(
                    "ruleset {}: {}",
                    plan.ruleset,
                    warning.words()
                ));
            }
            if !applied.verified {
                let text = format!(
                    "ruleset {}: the filter lists other rules than were wanted",
                    plan.ruleset
                );
                self.context.observer.warn(text);
            }
            let how = match applied.trial_until {
                _ if !applied.changed => "unchanged".to_owned(),
                Some(until) => format!(
                    "on trial until {until}; `portolan nat confirm --ruleset {}` keeps it, after that the old rules \
                     return",
                    plan.ruleset
                ),
                None => "applied".to_owned(),
            };
            writeln!(words, "{}: {how}", plan.ruleset).ok();
            values.push(AppliedDocument {
                ruleset: &plan.ruleset,
                changed: applied.changed,
                verified: applied.verified,
                trial_until: applied.trial_until.map(|until| until.to_string()),
                id: applied.id,
            });
        }
        let is_changed = values.iter().any(|one| one.changed);
        self.say(&json!({ "changed": is_changed, "rulesets": values }), &words);
        Ok(Exit::Done)
    }

    fn each(
        &self,
        (names, rulesets): (&[&str], &[Ruleset]),
        done: &str,
        work: impl Fn(&NatHost, &str, &dyn RulesetStore) -> Result<Option<String>>,
    ) -> Result<Exit> {
        let ledger = self.ledger()?;
        let machines = names.iter().map(|name| Ok(self.standing(name, rulesets)?.0));
        let machines = machines.collect::<Result<Vec<_>>>()?;
        let mut words = String::new();
        for (name, machine) in names.iter().zip(&machines) {
            let note = work(machine, name, ledger)?;
            writeln!(words, "{name}: {done}").ok();
            if let Some(note) = note {
                self.context.observer.message(MessageLevel::Info, format!("{name}: {note}"));
            }
        }
        self.say(&json!({ "done": done, "rulesets": names }), &words);
        Ok(Exit::Done)
    }

    fn status(&self, names: &[&str], rulesets: &[Ruleset]) -> Result<Exit> {
        let now = self.context.clock.now();
        let mut found = Vec::new();
        for name in names {
            let (machine, record) = self.standing(name, rulesets)?;
            let model = rulesets.iter().map(Ruleset::model).find(|model| model.name() == *name);
            let plan = model.map(|model| machine.plan(&model, record.as_ref())).transpose()?;
            found.push(machine.status(name, plan.as_ref(), record.as_ref(), now)?);
        }
        let values: Vec<_> = found.iter().map(StatusDocument::of).collect();
        let first = found.first().map(|one| one.state.word());
        let words: String = found.iter().map(status_words).collect();
        self.say(&json!({ "status": first, "rulesets": values }), &words);
        Ok(Exit::Done)
    }
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

/// The state of a ruleset as `--json` has it.
#[derive(Debug, Serialize)]
struct StatusDocument<'s> {
    ruleset: &'s str,
    status: &'static str,
    note: &'s str,
    since: Option<String>,
    trial_until: Option<String>,
    persisted: bool,
    parts: &'s [String],
}

impl<'s> StatusDocument<'s> {
    fn of(status: &'s Status) -> Self {
        Self {
            ruleset: &status.ruleset,
            status: status.state.word(),
            note: &status.note,
            since: status.since.map(|time| time.to_string()),
            trial_until: status.trial_until.map(|time| time.to_string()),
            persisted: status.persisted,
            parts: &status.notes,
        }
    }
}

fn status_words(status: &Status) -> String {
    let mut text = format!("{}: {}", status.ruleset, status.state.word());
    if let Some(until) = status.trial_until {
        write!(text, " until {until}").ok();
    } else if let Some(since) = status.since {
        write!(text, " since {since}").ok();
    }
    if status.persisted {
        text.push_str(", also at the next start");
    }
    if !status.note.is_empty() {
        write!(text, "; {}", status.note).ok();
    }
    text.push('\n');
    for note in &status.notes {
        writeln!(text, "  {note}").ok();
    }
    text
}
