//! `portolan publish`: makes a jobs file, with all that it names, the one that the machines of a fleet run.
//! `portolan releases`: lists what was published.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    ExitResult, check,
    common::Common,
    place::failed,
    report::{self, UsageError},
    store::{self, JobsStore},
    table::{TextTable, width},
    times::local,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    observe::{counted, visible::visible},
    schedule::{
        facts,
        jobs::{self, Jobs},
        releases::{KEEP, ReleasePlan, publisher},
        zone::Zones,
    },
    script::{raise::ScriptLocation, source::ScriptSource},
    store::{Store, releases::PublishedRelease},
};

/// The arguments of `portolan publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Jobs file [default: portolan.toml]
    #[arg(value_name = "JOBS", conflicts_with = "file")]
    path: Option<PathBuf>,
    #[command(flatten)]
    jobs: JobsStore,
    /// Message of the release, for `portolan releases`
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Make this earlier release current again, in place of publishing a new one
    #[arg(long, value_name = "N", conflicts_with_all = ["message", "dry_run", "keep"])]
    release: Option<i64>,
    /// Number of earlier releases to keep
    #[arg(long, value_name = "N", default_value_t = KEEP, value_parser = clap::value_parser!(u32).range(..=1000))]
    keep: u32,
    /// Check, and list the files; publish nothing
    #[arg(long)]
    dry_run: bool,
}

const HELP: &str = "\
Machines that were started with `portolan serve --published` take a release within a second or two.
Runs in progress end with the release that they began with. Secrets are never published: each machine has its own.

Examples:
    portolan publish --store postgres://portolan@db.example.com/portolan -m \"nightly mirror at 3\"
    portolan publish --dry-run
    portolan publish --release 41
    portolan releases";

/// The arguments of `portolan releases`.
#[derive(Debug, clap::Args)]
pub(super) struct ReleasesArgs {
    /// Number of a release, whose files are listed
    number: Option<i64>,
    #[command(flatten)]
    jobs: JobsStore,
}

/// The longest message: it is shown in one line of a table.
const MESSAGE_CHARS_MAX: usize = 500;

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let named = args.jobs.with_file(args.path.as_deref());
    if let Some(number) = args.release {
        let release = (|| {
            let mut store = shared(&named, common)?;
            let now = store::now(&store)?;
            store.publish_again(number, &publisher(), now)?.ok_or_else(|| unknown(number))
        })();
        let release = release.map_err(failed)?;
        tell(&release, true, common);
        return Ok(Exit::Done);
    }
    if args.message.as_ref().is_some_and(|text| text.chars().count() > MESSAGE_CHARS_MAX) {
        let message = format!("a message has at most {MESSAGE_CHARS_MAX} characters");
        return Err(UsageError(Error::invalid(message)).into());
    }
    // Before the work: nobody waits for a check whose result has no place.
    let store = if args.dry_run { None } else { Some(shared(&named, common).map_err(failed)?) };
    if !check::is_right(named.path())? {
        report::print("nothing was published\n");
        return Ok(Exit::Script);
    }
    let reading = jobs::read(named.path(), &Zones::newest(), Clock::System.now());
    let mut reading = reading.map_err(UsageError)?;
    let passwords = std::mem::take(&mut reading.passwords);
    let found = reading.into_jobs().map_err(UsageError)?;
    let plan = plan(&found, &passwords).map_err(failed)?;
    for warning in &plan.warnings {
        report::print(&format!("warning: {}\n", visible(warning)));
    }
    let Some(mut store) = store else {
        print_plan(&plan, common);
        return Ok(Exit::Done);
    };
    let new = plan.release(&found, args.message.clone(), args.keep);
    let now = store::now(&store).map_err(failed)?;
    // An answer may be lost: the second time finds what the first one has written.
    let published = store.publish(&new, now).or_else(|_| store.publish(&new, now));
    let (release, is_new) = published.map_err(failed)?;
    let release =
        release.ok_or_else(|| failed(Error::invalid("the release was removed at once")))?;
    tell(&release, is_new, common);
    Ok(Exit::Done)
}

/// Returns the plan of a release, which was checked once more by itself.
fn plan(jobs: &Jobs, passwords: &[ScriptLocation]) -> Result<ReleasePlan> {
    let mut paths: Vec<_> = jobs.all.iter().filter(|job| job.task.is_none()).collect();
    paths.sort_by_key(|job| &job.script);
    paths.dedup_by_key(|job| &job.script);
    let scripts: Result<Vec<_>> = paths.iter().map(|job| ScriptSource::read(&job.script)).collect();
    let plan = ReleasePlan::read(jobs, &scripts?, passwords)?;
    plan.check()?;
    Ok(plan)
}

fn shared(jobs: &JobsStore, common: &Common) -> Result<Store> {
    let place = jobs.place(common)?;
    if !place.is_shared() {
        return Err(Error::invalid(
            "no store is named that machines share: --store, PORTOLAN_STORE or `store` in [runner] names it",
        ));
    }
    place.open()
}

fn unknown(number: i64) -> Error {
    Error::invalid(format!(
        "there is no release {number}: `portolan releases` lists those that are kept"
    ))
}

fn print_plan(plan: &ReleasePlan, common: &Common) {
    let files: Vec<_> = plan.files.iter().map(|(file, _)| file).collect();
    if common.json() {
        report::json(&json!({
            "digest": plan.digest,
            "files": files.iter().map(|file| facts::release_file(file)).collect::<Vec<_>>(),
        }));
    } else {
        report::output(&files_table(&files));
    }
}

fn tell(release: &PublishedRelease, is_new: bool, common: &Common) {
    if common.json() {
        report::json(&with(facts::release(release), "new", json!(is_new)));
        return;
    }
    let number = release.number;
    let text = if is_new {
        let files = counted(release.files, "file");
        format!("release {number} is current: {files}, {} bytes", release.bytes)
    } else {
        format!("release {number} is current, and has the same files: nothing was published")
    };
    report::output(&format!("{text}\n"));
}

/// Returns a document with one more key.
fn with(mut document: Value, key: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut document {
        fields.insert(key.to_owned(), value);
    }
    document
}

pub(super) fn releases(args: &ReleasesArgs, common: &Common) -> ExitResult {
    let found = || -> Result<_> {
        let store = shared(&args.jobs, common)?;
        let all = store.releases()?;
        let Some(number) = args.number else { return Ok((all, None)) };
        if !all.iter().any(|release| release.number == number) {
            return Err(unknown(number));
        }
        let files = store.release_files(number)?;
        Ok((all, Some((number, files))))
    };
    let (all, files) = found().map_err(failed)?;
    if let Some((number, files)) = files {
        let release = all.iter().find(|release| release.number == number);
        if common.json() {
            let list = files.iter().map(facts::release_file).collect();
            report::json(&with(release.map(facts::release).unwrap_or_default(), "list", list));
        } else {
            report::output(&files_table(&files.iter().collect::<Vec<_>>()));
        }
    } else if common.json() {
        report::json(&all.iter().map(facts::release).collect::<Vec<Value>>());
    } else if all.is_empty() {
        report::print("nothing was published yet: `portolan publish` does\n");
    } else {
        report::output(&releases_table(&all));
    }
    Ok(Exit::Done)
}

fn releases_table(all: &[PublishedRelease]) -> String {
    let heads = [">release", "current", "published", "by", ">files", ">bytes", "digest", "message"];
    let mut table = TextTable::new(&heads);
    for release in all {
        let since = release.is_current.then(|| format!("since {}", local(release.current_at)));
        table.row([
            release.number.to_string(),
            since.unwrap_or_default(),
            local(release.published_at),
            visible(&release.published_by),
            release.files.to_string(),
            release.bytes.to_string(),
            release.short_digest().to_owned(),
            visible(release.message.as_deref().unwrap_or_default()),
        ]);
    }
    table.fitted(width())
}

fn files_table(files: &[&crate::store::releases::ReleaseFile]) -> String {
    let mut table = TextTable::new(&["file", ">bytes", "digest"]);
    for file in files {
        let digest = file.digest.get(..PublishedRelease::DIGITS).unwrap_or(&file.digest);
        table.row([visible(&file.path), file.bytes.to_string(), digest.to_owned()]);
    }
    table.fitted(width())
}
