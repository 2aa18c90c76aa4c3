//! `portolan nat`: plans, applies and reverts the rulesets that a script describes.

mod apply;
mod proof;
mod standing;

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;

use self::{
    apply::{Apply, comment, time, url},
    proof::ProofLogin,
};
use super::{
    ExitResult,
    common::{Common, interruptible},
    nat_history, nat_import, nat_session, nat_suggest, nat_test,
    nat_watch::{WatchArgs, WatchVoice, Watcher},
    report::{self, UsageError},
    run::{attempt, failed, settings},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::session::RunContext,
    nat::{
        NatError,
        machine::{Choice, NatHost},
        model::RulesetSpec as Model,
        plan::RulesetPlan,
        plan_report::{self, PlansDocument},
        ruleset_store::{RulesetRecord, RulesetStore},
        undo::{Removal, no_ledger},
    },
    observe::MessageLevel,
    script::{
        raise::ScriptFailure,
        rules::{Described, NatSettings, Ruleset},
        run::Settings,
        source::ScriptSource,
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
    /// Wait for the end of a session, and roll its trials back
    #[command(hide = true)]
    GuardSession(nat_session::SessionArgs),
    /// Print the script for a file of iptables lines; exit with 6 if lines of it are lost
    Import(nat_import::Args),
    /// Print the rules that let FTP through a firewall, a router or a cloud, or a server's settings
    Suggest(nat_suggest::Args),
    /// List the changes of rulesets: who, when, why
    Log(nat_history::LogArgs),
    /// Show the rules that differ between two changes
    Diff(nat_history::DiffArgs),
}

#[derive(Debug, Clone, clap::Subcommand)]
enum NatCommand {
    /// Show what would change; exit with 0 for none, 2 for changes, 1 for an error
    Plan(ScriptArgs),
    /// Apply the rulesets of a script
    Apply(Apply),
    /// Confirm the rules of a trial
    Confirm(NatTarget),
    /// Roll back the last change, or to an earlier one
    Rollback(Rollback),
    /// Remove the rules, with all settings and files made for them
    Revert(Revert),
    /// Show the state of the rulesets: applied, trial, drifted, missing or foreign
    Status(StatusArgs),
    /// Compare what is loaded at boot with what is in force
    Verify(VerifyArgs),
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

/// The rulesets that a command is about: those of a script, the one of a name, or all.
#[derive(Debug, Clone, clap::Args)]
struct AnyTarget {
    /// Script that describes the rulesets [default: all rulesets of this host]
    script: Option<PathBuf>,
    /// Arguments of the script (`args`)
    #[arg(value_name = "ARGS")]
    rest: Vec<String>,
    /// Name of the ruleset, instead of a script
    #[arg(long, value_name = "NAME", conflicts_with = "script")]
    ruleset: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
struct StatusArgs {
    /// Exit with 0 if all are applied, 2 if one has drifted, 1 if one is missing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    target: AnyTarget,
}

#[derive(Debug, Clone, clap::Args)]
struct VerifyArgs {
    /// Load what is written for the boot in an empty network; exit codes as `status --check`
    #[arg(long, required = true)]
    boot: bool,
    #[command(flatten)]
    target: AnyTarget,
}

#[derive(Debug, Clone, clap::Args)]
struct Rollback {
    /// Change to go back to, as `nat log` numbers them
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
    /// Reason of the change, for `nat log`
    #[arg(long, value_name = "TEXT", value_parser = comment, requires = "to")]
    comment: Option<String>,
    /// Roll back to it even if it may lock users out
    #[arg(long, requires = "to")]
    force: bool,
    /// Go back to it on trial: the kernel undoes that after this time, unless confirmed
    #[arg(long, value_name = "TIME", value_parser = time, requires = "to")]
    confirm_within: Option<Duration>,
    /// Go back to it on trial: undo that when this session ends, unless confirmed before
    #[arg(long, requires = "to")]
    while_connected: bool,
    /// Hold FTP sessions with this server on trial; confirm, or roll back and name the step
    #[arg(long, value_name = "URL", value_parser = url, requires = "to")]
    probe: Option<String>,
    #[command(flatten)]
    target: NatTarget,
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
    text.parse().map_err(|_| "one of auto, nft and iptables is wanted".into())
}

impl NatCommand {
    /// Returns true if a script may end with `failure`: it has come to something else than a ruleset, and those before it
    /// are complete, as far as the command needs more of them than their names.
    fn may_leave(&self, failure: &ScriptFailure, found: &[Ruleset]) -> bool {
        let needs_names = matches!(self, Self::Confirm(_) | Self::Rollback(_) | Self::Revert(_));
        failure.fault.name == Some(NatError::OnlyRulesets.name())
            && !found.is_empty()
            && (needs_names || found.iter().all(Ruleset::is_ordered))
    }

    /// Returns true if the command is about all rulesets of this host.
    const fn is_about_all(&self) -> bool {
        let (Self::Status(StatusArgs { target, .. }) | Self::Verify(VerifyArgs { target, .. })) =
            self
        else {
            return false;
        };
        target.script.is_none() && target.ruleset.is_none()
    }

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
            | Self::Rollback(Rollback { target, .. })
            | Self::Revert(Revert { target, .. }) => target.clone(),
            Self::Status(StatusArgs { target, .. }) | Self::Verify(VerifyArgs { target, .. }) => {
                let AnyTarget { script, rest, ruleset } = target.clone();
                NatTarget { script, rest, ruleset }
            }
        }
    }
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    match &args.verb {
        NatVerb::Ruleset(verb) => run_verb(verb, args, common),
        NatVerb::Test(test) => nat_test::run(test, common),
        NatVerb::GuardSession(args) => nat_session::run(args, common),
        NatVerb::Import(args) => nat_import::run(args, common),
        NatVerb::Suggest(args) => nat_suggest::run(args, common),
        NatVerb::Log(args) => nat_history::log(args, common),
        NatVerb::Diff(args) => nat_history::diff(args, common),
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
            backend,
            ledger: common.ledger(),
            book: None,
            described: Some(described.clone()),
        };
        let file = target.script.clone().unwrap_or_default();
        let (context, states) = common.single_context()?;
        let settings = Settings { states, nat, ..settings(common, &file, target.rest.clone())? };
        Ok((source, settings, described, context, ProofLogin::of(common)?))
    };
    let (verb, json) = (verb.clone(), common.json());
    let state = common.named_state_folder();
    let ended = || {
        let (source, settings, found, context, login) = prepared().map_err(UsageError)?;
        let stop = context.stop.clone();
        interruptible(&stop, move || {
            let ledger = settings.nat.ledger.clone();
            if let Some(source) = &source {
                let exit = match attempt(source, settings, &context) {
                    Ok(exit) => exit,
                    Err(failure) if verb.may_leave(&failure, &found.all()) => {
                        let line = failure.place.as_ref().map_or(0, |place| place.line);
                        context.observer.warn(format!(
                            "the script is left at line {line}, with its first step that is no ruleset"
                        ));
                        Exit::Done
                    }
                    Err(failure) => failed(source, &failure),
                };
                if exit != Exit::Done {
                    return Ok(exit);
                }
            }
            let (ledger, state) = (ledger.as_deref(), state.as_deref());
            let login = &login;
            let work = NatContext { context: &context, backend, ledger, state, login, json };
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

/// The result of a confirmation or a rollback that has not failed.
const DONE: Removal = Removal::Done { note: None };

/// The environment of the subcommands.
struct NatContext<'w> {
    context: &'w RunContext,
    backend: Choice,
    ledger: Option<&'w dyn RulesetStore>,
    /// The state directory that the user names.
    state: Option<&'w Path>,
    /// The logins for sessions that prove a ruleset.
    login: &'w ProofLogin,
    json: bool,
}

impl NatContext<'_> {
    fn all(&self, verb: &NatCommand, name: Option<&str>, rulesets: &[Ruleset]) -> Result<Exit> {
        let models: Vec<_> = rulesets.iter().map(Ruleset::model).collect();
        let mut names: Vec<&str> = name.into_iter().chain(models.iter().map(Model::name)).collect();
        let all = if verb.is_about_all() { self.all_names()? } else { Vec::new() };
        names.extend(all.iter().map(String::as_str));
        let may_be_none = verb.is_about_all() || matches!(verb, NatCommand::Watch(_));
        if names.is_empty() && !may_be_none {
            let message = "the script describes no ruleset: `nat::ruleset(\"name\")` begins one";
            return Err(Error::invalid(message));
        }
        match verb {
            NatCommand::Plan(_) => self.plan(rulesets),
            NatCommand::Export(_) => self.export(rulesets),
            NatCommand::Apply(apply) => self.apply(rulesets, apply),
            NatCommand::Status(asked) => self.status(&names, rulesets, asked.check),
            NatCommand::Verify(_) => self.verify(&names, rulesets),
            NatCommand::Confirm(_) => {
                self.each((&names, rulesets), "confirmed", |machine, name, ledger| {
                    machine.confirm(name, ledger, self.context.clock.now()).map(|()| DONE)
                })
            }
            NatCommand::Rollback(back @ Rollback { to: Some(number), .. }) => {
                self.rollback_to(&names, *number, back)
            }
            NatCommand::Rollback(_) => {
                self.each((&names, rulesets), "rolled back", |machine, name, ledger| {
                    machine.rollback(name, ledger, self.context.clock.now()).map(|()| DONE)
                })
            }
            // There may be no ruleset yet.
            NatCommand::Watch(watch) => self.watch(watch, names),
            NatCommand::Revert(revert) => {
                self.each((&names, rulesets), "reverted", |machine, name, ledger| {
                    machine.revert(name, revert.force, ledger, self.context.clock.now())
                })
            }
        }
    }

    fn watch(&self, watch: &WatchArgs, names: Vec<&str>) -> Result<Exit> {
        for name in &names {
            Model::new(name)?;
        }
        let names = names.into_iter().map(str::to_owned).collect();
        let (ledger, observer) = (self.ledger()?, &self.context.observer);
        let voice = if self.json { WatchVoice::Json } else { WatchVoice::Text };
        let watcher = Watcher { ledger, names, observer, voice };
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

    fn each(
        &self,
        (names, rulesets): (&[&str], &[Ruleset]),
        done: &str,
        work: impl Fn(&NatHost, &str, &dyn RulesetStore) -> Result<Removal>,
    ) -> Result<Exit> {
        let ledger = self.ledger()?;
        let machines = names.iter().map(|name| Ok(self.standing(name, rulesets)?.0));
        let machines = machines.collect::<Result<Vec<_>>>()?;
        let (mut words, mut failed) = (String::new(), None);
        let (mut ended, mut absent) = (Vec::new(), Vec::new());
        for (name, machine) in names.iter().zip(&machines) {
            let note = match work(machine, name, ledger) {
                Ok(Removal::Done { note }) => {
                    ended.push(name);
                    writeln!(words, "{name}: {done}").ok();
                    note
                }
                Ok(Removal::Absent) => {
                    absent.push(name);
                    writeln!(words, "{name}: nothing to revert").ok();
                    self.similar_name(name)
                }
                Err(fault) => {
                    failed = Some(fault);
                    break;
                }
            };
            if let Some(note) = note {
                self.context.observer.message(MessageLevel::Info, format!("{name}: {note}"));
            }
        }
        if failed.is_none() || !words.is_empty() {
            let value = if absent.is_empty() {
                json!({ "done": done, "rulesets": ended })
            } else {
                json!({ "done": done, "rulesets": ended, "absent": absent })
            };
            self.say(&value, &words);
        }
        failed.map_or(Ok(Exit::Done), Err)
    }
}
