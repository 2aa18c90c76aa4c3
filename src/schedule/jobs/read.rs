//! The reader of jobs files: turns the text into jobs, or into all its errors, each with its position.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Jobs, RETENTION, RUNNER, Runner,
    job::{self, JobContext},
    listen,
    table::{JobsDocument, JobsTable},
};
use crate::{
    error::{Error, Result},
    limits::{JOBS_FILE_BYTES_MAX, JOBS_MAX},
    observe::visible::visible,
    schedule::zone::Zones,
    script::check::{ScriptFinding, Severity},
};

/// The tables of a jobs file.
const TABLES: &[&str] = &["runner", "job"];

/// The result of reading a jobs file.
#[derive(Debug)]
pub struct JobsReading {
    /// The jobs; `None` if there is an error among the findings.
    pub jobs: Option<Jobs>,
    /// The errors and warnings, in the order of the file.
    pub findings: Vec<ScriptFinding>,
    /// The text, for showing lines of it.
    pub text: String,
    /// The scripts that the jobs name and that exist, each once, even if jobs have errors.
    pub scripts: Vec<PathBuf>,
}

/// Reads the jobs file at `path`. `now` is the time after which each schedule must fire some day. Returns a fault only
/// for a file that cannot be read at all.
pub fn read(path: &Path, zones: &Zones, now: Timestamp) -> Result<JobsReading> {
    let cannot = |error| Error::local("read the jobs file", path, error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(JOBS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    let shown = visible(path.as_os_str().as_encoded_bytes());
    if bytes.len() as u64 > JOBS_FILE_BYTES_MAX {
        let message = format!("a jobs file of more than {JOBS_FILE_BYTES_MAX} bytes is not read");
        return Err(Error::invalid(message).at(shown));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::invalid(format!("the jobs file is not UTF-8 (byte {at})")).at(shown.clone())
    })?;
    Ok(parse(text, path, zones, now))
}

/// Reads the text of a jobs file; `path` is its actual or intended location.
pub fn parse(text: String, path: &Path, zones: &Zones, now: Timestamp) -> JobsReading {
    let shown = visible(path.as_os_str().as_encoded_bytes());
    let mut page = JobsDocument::new(&shown, &text);
    let root = page.document();
    if !page.is_right() {
        // Values read from a document that is not TOML would be guesses.
        return JobsReading { jobs: None, findings: page.done().0, text, scripts: Vec::new() };
    }
    let mut table = JobsTable::new(&root, "the jobs file", TABLES, &mut page);
    let runner = table.table("runner", "`[runner]`", &RUNNER.keys(), &mut page);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let place = JobContext { folder: folder.unwrap_or(Path::new(".")), zones, now };
    let runner = runner_of(runner, &place, &mut page);
    let found = table.tables("job", &mut page);
    if found.is_empty() && page.is_right() {
        page.warn(0..0, "there is no job in it", Some("a job begins with `[[job]]`".into()));
    }
    if found.len() > JOBS_MAX {
        page.error(0..0, format!("more than {JOBS_MAX} jobs"), None);
    }
    let mut all = Vec::new();
    let mut scripts = BTreeSet::new();
    for found in found.into_iter().take(JOBS_MAX) {
        let read = job::read(found, &place, &mut page);
        scripts.extend(read.script.clone());
        all.push(read);
    }
    job::names(&all, &mut page);
    let (findings, is_right) = page.done();
    let jobs = is_right.then(|| Jobs {
        file: path.to_owned(),
        runner,
        all: all.into_iter().filter_map(|read| read.job.map(Arc::new)).collect(),
    });
    JobsReading { jobs, findings, text, scripts: scripts.into_iter().collect() }
}

impl JobsReading {
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
    runner.metrics = listen::address("metrics", "127.0.0.1:9464", &mut table, page);
    listen::read(&mut runner, &mut table, place, page);
    if let Some(mut table) = table.table("retention", "`retention`", &RETENTION.keys(), page) {
        table.fill(&RETENTION, &mut runner.retention, page);
    }
    if let Some(locks) = table.open_table("locks", page) {
        for (name, value) in locks {
            if let Some(most) = page.number(name.get_ref(), value, 1, 1000) {
                runner.locks.insert(name.get_ref().to_string(), most);
            }
        }
    }
    runner
}
