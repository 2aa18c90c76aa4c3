//! `portolan check`: checks scripts and jobs files without running them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

mod secrets;

use super::{
    ExitResult,
    common::Common,
    permissions::block,
    place::JOBS_FILE,
    report::{self, UsageError},
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    limits::{DEPTH_MAX, ENTRIES_MAX},
    observe::{counted, visible::visible},
    schedule::{
        jobs::{self, Job},
        zone::Zones,
    },
    script::{
        check::{
            ScriptFinding, Severity, check_all,
            permissions::{DerivedPermissions, derive},
        },
        raise::ScriptLocation,
        source::ScriptSource,
    },
};

/// The arguments of `portolan check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scripts, jobs files (.toml) with their scripts, or directories (recursive)
    #[arg(default_value = JOBS_FILE)]
    paths: Vec<PathBuf>,
    /// Print the permissions that each script needs, as far as its text shows them
    #[arg(long)]
    permissions: bool,
}

/// The checked files and the findings.
struct Looked {
    sources: Vec<ScriptSource>,
    jobs: Vec<Arc<Job>>,
    /// The jobs files: the displayed name, and the text.
    files: Vec<(String, String)>,
    findings: Vec<ScriptFinding>,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let Looked { sources, jobs, files, findings } = look(&args.paths).map_err(UsageError)?;
    let is_wrong = findings.iter().any(|finding| finding.level == Severity::Error);
    if args.permissions && !is_wrong {
        print_permissions(&sources, &jobs, common.json());
        return Ok(Exit::Done);
    }
    if common.json() {
        let all: Vec<_> = findings.iter().map(value).collect();
        report::json(&all);
    } else {
        print_findings(&sources, &files, &findings);
        report::print(&(summary(&findings, files.len(), sources.len()) + "\n"));
    }
    Ok(if is_wrong { Exit::Script } else { Exit::Done })
}

/// Checks a jobs file with its scripts, and prints what is found. Returns false if anything is wrong.
pub(super) fn is_right(path: &Path) -> anyhow::Result<bool> {
    let Looked { sources, files, findings, .. } = look(&[path.to_owned()]).map_err(UsageError)?;
    print_findings(&sources, &files, &findings);
    Ok(!findings.iter().any(|finding| finding.level == Severity::Error))
}

fn print_findings(
    sources: &[ScriptSource],
    files: &[(String, String)],
    findings: &[ScriptFinding],
) {
    let text_of = |file: &str| {
        if let Some((_, text)) = files.iter().find(|(shown, _)| shown == file) {
            return Some(text.clone());
        }
        let known = sources.iter().find(|source| source.shown() == file);
        known.or(sources.first()).and_then(|source| source.text_of(file))
    };
    report::findings(findings, &text_of);
}

/// Prints the permissions of each script, and what its text does not show; for a job with the arguments that its file has.
fn print_permissions(sources: &[ScriptSource], jobs: &[Arc<Job>], is_json: bool) {
    let of_source = |source: &ScriptSource| -> Vec<DerivedBlock> {
        let shown = |job: &&Arc<Job>| visible(job.script.as_os_str().as_encoded_bytes());
        let own: Vec<_> = jobs.iter().filter(|job| shown(job) == source.shown()).collect();
        if own.is_empty() {
            return vec![DerivedBlock::new(source, None)];
        }
        own.into_iter().map(|job| DerivedBlock::new(source, Some(job))).collect()
    };
    let blocks: Vec<_> = sources.iter().flat_map(of_source).collect();
    if is_json {
        report::json(&blocks.iter().map(DerivedBlock::value).collect::<Vec<_>>());
    } else {
        report::output(&blocks.iter().map(DerivedBlock::text).collect::<Vec<_>>().join("\n"));
    }
}

/// The permissions of a script, or of a job.
struct DerivedBlock {
    script: String,
    job: Option<String>,
    derived: DerivedPermissions,
}

impl DerivedBlock {
    fn new(source: &ScriptSource, job: Option<&Arc<Job>>) -> Self {
        let args = job.map_or(serde_json::Value::Null, |job| job.args.clone());
        Self {
            script: source.shown().to_owned(),
            job: job.map(|job| job.name.to_string()),
            derived: derive(source, &args),
        }
    }

    fn value(&self) -> serde_json::Value {
        let DerivedPermissions { found, unknown } = &self.derived;
        json!({
            "script": self.script,
            "job": self.job,
            "permissions": found,
            "flags": found.flags(),
            "unknown": unknown.iter().map(value).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let DerivedPermissions { found, unknown } = &self.derived;
        let mut lines = vec![match &self.job {
            None => format!("# portolan run {} {}", found.flags().join(" "), self.script),
            Some(job) => format!("# the job `{job}`, {}", self.script),
        }];
        lines.extend(block(found));
        if !unknown.is_empty() {
            lines.push("# known only in a run, which `portolan run --audit` records:".to_owned());
            lines.extend(unknown.iter().map(|one| {
                let ScriptLocation { file, line, column } = &one.place;
                format!("#   {file}:{line}:{column}: {}", one.message)
            }));
        }
        lines.join("\n") + "\n"
    }
}

/// Checks all of `paths`, and the scripts that jobs name.
fn look(paths: &[PathBuf]) -> Result<Looked> {
    let is_jobs_file =
        |path: &&PathBuf| path.extension().is_some_and(|end| end == "toml") && !path.is_dir();
    let (named, others): (Vec<_>, Vec<_>) = paths.iter().partition(is_jobs_file);
    let (zones, now) = (Zones::newest(), Clock::System.now());
    let (mut files, mut findings, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut missing, mut of_jobs) = (Vec::new(), BTreeMap::new());
    let mut all = scripts(others)?;
    for path in named {
        let reading = jobs::read(path, &zones, now)?;
        let named = secrets::of_jobs_file(path, &reading);
        files.push((visible(path.as_os_str().as_encoded_bytes()), reading.text));
        files.extend(reading.included);
        findings.extend(reading.findings);
        jobs.extend(reading.jobs.into_iter().flat_map(|jobs| jobs.all));
        of_jobs.extend(reading.scripts.iter().map(|script| (script.clone(), path.clone())));
        all.extend(reading.scripts);
        missing.extend(named);
    }
    let mut seen = BTreeSet::new();
    all.retain(|path| seen.insert(path.clone()));
    let sources = all.iter().map(ScriptSource::read).collect::<Result<Vec<_>>>()?;
    findings.extend(check_all(&sources));
    findings.extend(missing);
    for (path, source) in all.iter().zip(&sources) {
        if let Some(jobs) = of_jobs.get(path) {
            findings.extend(secrets::of_script(jobs, source));
        }
    }
    Ok(Looked { sources, jobs, files, findings })
}

/// Returns the named files, and every `.rhai` file in the named directories, in order.
fn scripts(paths: Vec<&PathBuf>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, DEPTH_MAX, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = |error| Error::local("list", folder, error);
    let entries = std::fs::read_dir(folder).map_err(cannot)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(cannot)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(cannot)?);
        // A link to a directory may lead back up.
        if kind.is_dir() && depth > 0 {
            below(&path, depth - 1, found)?;
        } else if !path.is_dir() && path.extension().is_some_and(|extension| extension == "rhai") {
            found.push(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path));
        }
        if found.len() > ENTRIES_MAX {
            return Err(Error::invalid(format!("more than {ENTRIES_MAX} scripts")));
        }
    }
    Ok(())
}

fn value(finding: &ScriptFinding) -> serde_json::Value {
    json!({
        "level": finding.level.as_str(),
        "message": finding.message,
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "hint": finding.hint,
    })
}

/// Returns a summary such as `2 errors, 1 warning in 1 jobs file and 3 scripts`.
fn summary(findings: &[ScriptFinding], files: usize, scripts: usize) -> String {
    let counted_scripts = counted(scripts, "script");
    let scripts = match files {
        0 => counted_scripts,
        files => format!("{} and {counted_scripts}", counted(files, "jobs file")),
    };
    let parts =
        [(Severity::Error, "error"), (Severity::Warning, "warning")].map(|(level, word)| {
            let number = findings.iter().filter(|finding| finding.level == level).count();
            (number > 0).then(|| counted(number, word))
        });
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        format!("{scripts}, nothing wrong")
    } else {
        format!("{} in {scripts}", parts.join(", "))
    }
}
