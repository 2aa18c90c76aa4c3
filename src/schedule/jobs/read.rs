//! The reader of jobs files: turns the text into jobs, or into all its errors, each with its position.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use toml::de::DeTable;

use super::{
    Jobs, MailSettings, RETENTION, RUNNER, Runner, around, expand, fleet,
    job::{self, JobContext},
    listen, locks, rates,
    secrets::{NamedSecret, SecretNames},
    sources::{self, SourceText, Sources},
    table::{JobsDocument, JobsTable},
    tell,
    when::{self, DateFiles},
};
use crate::{
    error::{Error, Result},
    limits::JOBS_MAX,
    schedule::zone::Zones,
    script::{
        check::{ScriptFinding, Severity},
        raise::ScriptLocation,
    },
};

/// The keys of a jobs file.
const TABLES: &[&str] = &["include", "runner", "mail", "digest", "defaults", "job"];

/// The keys of an included file.
const INCLUDED_TABLES: &[&str] = &["job"];

/// The result of reading a jobs file.
#[derive(Debug)]
pub struct JobsReading {
    /// The jobs; `None` if there is an error among the findings.
    pub jobs: Option<Jobs>,
    /// The errors and warnings, in the order of the file.
    pub findings: Vec<ScriptFinding>,
    /// The text, for showing lines of it.
    pub text: String,
    /// The name, as shown, and the text of each included file.
    pub included: Vec<(String, String)>,
    /// The scripts that the jobs name and that exist, each once, even if jobs have errors.
    pub scripts: Vec<PathBuf>,
    /// The files of dates that jobs name, each once.
    pub date_files: Vec<PathBuf>,
    /// The secrets that it names, each once.
    pub secrets: Vec<NamedSecret>,
    /// The places of passwords that are written out in it.
    pub passwords: Vec<ScriptLocation>,
}

/// Reads the jobs file at `path`, and those that it includes. `now` is the time after which each schedule must fire some
/// day. Returns a fault only for a file that cannot be read at all.
pub fn read(path: &Path, zones: &Zones, now: Timestamp) -> Result<JobsReading> {
    Ok(parse(sources::read_text(path)?, path, zones, now))
}

/// Reads the text of a jobs file; `path` is its actual or intended location.
pub fn parse(text: String, path: &Path, zones: &Zones, now: Timestamp) -> JobsReading {
    let Sources { files, faults, absent } = sources::load(text, path);
    let mut page = JobsDocument::new(&files);
    for (span, message, hint) in faults {
        page.error(span, message, hint);
    }
    for (span, folder) in absent {
        let hint = Some("paths count from the directory of the jobs file".to_owned());
        page.warn(span, format!("there is no directory `{folder}` to include from"), hint);
    }
    let roots: Vec<_> = files.iter().map(|file| page.document(file)).collect();
    let mut secrets = SecretNames::default();
    let dates = DateFiles::default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let place = JobContext { folder: folder.unwrap_or(Path::new(".")), zones, now, dates: &dates };
    let (jobs, scripts) = if page.is_right() {
        jobs(&roots, path, &place, &mut secrets, &mut page)
    } else {
        // Values read from a document that is not TOML would be guesses.
        (None, BTreeSet::new())
    };
    let date_files = dates.into_inner().into_keys().collect();
    let secrets = secrets.named(&page);
    let passwords = std::mem::take(&mut page.passwords);
    let (findings, is_right) = page.done();
    let included: Vec<_> = files.iter().skip(1).map(|file| file.path.clone()).collect();
    let release = release(&files);
    let jobs = jobs.filter(|_| is_right).map(|jobs| Jobs { included, release, ..jobs });
    let mut files = files.into_iter();
    let text = files.next().map(|main| main.text).unwrap_or_default();
    let included = files.map(|file| (file.shown, file.text)).collect();
    let scripts = scripts.into_iter().collect();
    JobsReading { jobs, findings, text, included, scripts, date_files, secrets, passwords }
}

/// The number of digits of a release.
const RELEASE_DIGITS: usize = 12;

/// Returns the digits of a hash of all files.
fn release(files: &[SourceText]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        // Their lengths, so that no two lists of files are the same bytes.
        hasher.update(&(file.text.len() as u64).to_le_bytes()).update(file.text.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(RELEASE_DIGITS).collect()
}

/// Reads the jobs of the documents: the jobs file, and those that it includes.
fn jobs(
    roots: &[DeTable<'_>],
    path: &Path,
    place: &JobContext<'_>,
    secrets: &mut SecretNames,
    page: &mut JobsDocument<'_>,
) -> (Option<Jobs>, BTreeSet<PathBuf>) {
    let (mut runner, mut mail, mut digest) = (Runner::default(), MailSettings::default(), None);
    let (mut tables, mut defaults) = (Vec::new(), None);
    for (at, root) in roots.iter().enumerate() {
        let (what, known) =
            if at == 0 { ("the jobs file", TABLES) } else { ("an included file", INCLUDED_TABLES) };
        let mut table = JobsTable::new(root, what, known, page);
        if at == 0 {
            table.texts("include", page);
            let found = table.table("runner", "`[runner]`", &RUNNER.keys(), page);
            runner = runner_of(found, place, page);
            mail = tell::mail_settings(&mut table, place.folder, page);
            digest = when::digest(&mut table, place, page);
            let named = ["runner", "mail", "digest"].map(|key| root.get(key)?.get_ref().as_table());
            named.into_iter().flatten().for_each(|table| secrets.of_table(table));
            defaults = table.open_table("defaults", page);
            if let Some(defaults) = defaults {
                expand::check_defaults(defaults, page);
                job::check_defaults(defaults, page);
            }
        }
        for (job, span) in table.tables("job", page) {
            let whole = expand::with_defaults(job, defaults);
            tables.extend(expand::for_each(whole, span, page));
        }
    }
    if tables.is_empty() && page.is_right() {
        page.warn(0..0, "there is no job in it", Some("a job begins with `[[job]]`".into()));
    }
    if tables.len() > JOBS_MAX {
        page.error(0..0, format!("more than {JOBS_MAX} jobs"), None);
    }
    let mut all = Vec::new();
    let mut scripts = BTreeSet::new();
    for table in tables.iter().take(JOBS_MAX) {
        secrets.of_table(&table.table);
        let mut read = job::read(table, place, page);
        if let Some(job) = &mut read.job {
            job.secrets = SecretNames::of_job(&table.table);
        }
        scripts.extend(read.script.clone());
        all.push(read);
    }
    around::name_groups(&mut all);
    job::names(&all, page);
    for read in &all {
        if let (Some(job), Some(span)) = (&read.job, &read.locks) {
            locks::check(job, &runner, span, page);
        }
        if runner.store.is_some() {
            fleet::check_places(read, page);
        }
    }
    let all = all.into_iter().filter_map(|read| read.job.map(Arc::new)).collect();
    let jobs = Jobs::new(path.to_owned(), runner, all);
    (Some(Jobs { mail, digest, ..jobs }), scripts)
}

impl JobsReading {
    /// Returns the text of the file of that name, as shown: the jobs file, unless it is included.
    pub fn text_of(&self, file: &str) -> &str {
        let included = self.included.iter().find(|(shown, _)| shown == file);
        included.map_or(&self.text, |(_, text)| text)
    }

    /// Returns the jobs, or the first error as a fault, for callers that need no list.
    pub fn into_jobs(self) -> Result<Jobs> {
        let is_error = |finding: &&ScriptFinding| finding.level == Severity::Error;
        match (self.jobs, self.findings.iter().find(is_error)) {
            (Some(jobs), None) => Ok(jobs),
            (_, Some(finding)) => {
                let place = &finding.place;
                let hint = finding.hint.as_ref().map(|hint| format!("; {hint}"));
                let message = format!("{}{}", finding.message, hint.unwrap_or_default());
                let at = format!("{}:{}:{}", place.file, place.line, place.column);
                Err(Error::invalid(message).at(at))
            }
            (None, None) => Err(Error::invalid("the jobs file cannot be used")),
        }
    }
}

fn runner_of(
    table: Option<JobsTable<'_>>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Runner {
    let mut runner = Runner::default();
    let Some(mut table) = table else { return runner };
    table.fill(&RUNNER, &mut runner, page);
    runner.state = table.text("state", page).map(|(state, _)| place.folder.join(state));
    runner.work = fleet::work(&mut table, page);
    runner.metrics = listen::address("metrics", "127.0.0.1:9464", &mut table, page);
    fleet::of_runner(&mut runner, &mut table, page);
    listen::read(&mut runner, &mut table, place, page);
    if let Some(mut table) = table.table("retention", "`retention`", &RETENTION.keys(), page) {
        table.fill(&RETENTION, &mut runner.retention, page);
    }
    rates::of_runner(&mut runner, &mut table, place, page);
    if let Some(locks) = table.open_table("locks", page) {
        for (name, value) in locks {
            if let Some(most) = page.number(name.get_ref(), value, 1, locks::PLACES_MAX) {
                runner.locks.insert(name.get_ref().to_string(), most);
            }
        }
    }
    runner
}
