//! `portolan run`: a script, once.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    check::counted,
    child,
    common::{Common, interruptible},
    exit,
    record::Record,
    report,
};
use crate::{
    fault::{Fault, Outcome},
    files::owned,
    ftp::session::Context,
    observe::{account::Accounts, visible::visible},
    script::{
        check::{self, Level},
        run::{self, Ended, JobFacts, Settings},
        source::Source,
    },
};

/// What `portolan run` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Lets the script change this machine's rules for NAT
    #[arg(long)]
    allow_nat: bool,
    /// For the scheduler: the order comes on standard input
    #[arg(long, hide = true)]
    as_child: bool,
    /// The script
    script: PathBuf,
    /// What it sees as `args`; those that begin with a hyphen stand behind `--`
    #[arg(value_name = "ARGS")]
    rest: Vec<String>,
}

const HELP: &str = "\
Examples:
    portolan run deploy.rhai dist
    portolan run --json mirror.rhai > events.jsonl
    portolan run report.rhai -- --since yesterday";

pub(super) fn run(args: &Args, common: &Common) -> u8 {
    if args.as_child {
        return child::run(common);
    }
    let prepared = || -> Outcome<_> {
        let source = Source::read(&args.script)?;
        let exposed = exposed(&args.script)?;
        let mut settings = settings(common, &args.script, args.rest.clone())?;
        settings.nat.is_allowed = args.allow_nat;
        let accounts = Arc::new(Accounts::default());
        let context = common.context_with_account(Box::new(Arc::clone(&accounts)))?;
        if let Some(words) = exposed {
            context.observer.warn(words);
        }
        let record = Record::begin(common, &args.script, accounts, &context.observer);
        Ok((source, settings, context, record))
    };
    match prepared() {
        Ok((source, settings, context, record)) => {
            let (stop, observer) = (context.stop.clone(), context.observer.clone());
            let code = interruptible(&stop, move || script(&source, settings, &context));
            record.end(report::settled(code), &observer);
            code
        }
        Err(fault) => report::wrong_usage(&fault),
    }
}

/// Returns what to say of a script that others can change, if they can. Who runs one by hand has chosen it, and checkouts
/// of other users or of a umask of 0 are the rule in CI; but what anybody could have written is not run.
fn exposed(script: &Path) -> Outcome<Option<String>> {
    let found = owned::exposed(script).map_err(|error| Fault::local("look at", script, error))?;
    match found {
        Some(exposed) if exposed.is_anybodys() => Err(exposed.fault()),
        found => Ok(found.map(|exposed| {
            format!("{}: {}", visible(script.as_os_str().as_encoded_bytes()), exposed.words())
        })),
    }
}

/// What a run of `script` is started with.
pub(super) fn settings(common: &Common, script: &Path, args: Vec<String>) -> Outcome<Settings> {
    let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Settings {
        args,
        overrides: common.overrides()?,
        password: common.password()?,
        netrc: common.netrc()?,
        rehearsal: None,
        nat: common.nat(false),
        job: JobFacts { name, ..JobFacts::default() },
    })
}

/// Runs `source` and gives the exit code; an error is printed here and nowhere else. A script that calls what there
/// is not does not even begin.
pub(super) fn script(source: &Source, settings: Settings, context: &Context) -> u8 {
    let mut errors = check::check(source);
    errors.retain(|finding| finding.level == Level::Error);
    if !errors.is_empty() {
        report::findings(&errors, &|file| source.text_of(file));
        report::print(&format!("{}, nothing was run\n", counted(errors.len(), "error")));
        return exit::SCRIPT;
    }
    match run::run(source, settings, context) {
        Ok(Ended::Whole) => exit::DONE,
        Ok(Ended::InPart) => exit::IN_PART,
        Err(failure) => {
            let place = failure.place.as_ref();
            let text = place.and_then(|place| source.text_of(&place.file));
            report::failure(&failure, text.as_deref())
        }
    }
}
