//! `portolan check`: scripts, without running them.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{common::Common, exit, report};
use crate::{
    fault::{Fault, Outcome},
    limits::{DEPTH_MAX, ENTRIES_MAX},
    observe::json::line,
    script::{
        check::{Finding, Level, check_all},
        source::Source,
    },
};

/// What `portolan check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scripts, and folders with scripts in them and below
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, common: &Common) -> u8 {
    let sources = scripts(&args.paths)
        .and_then(|all| all.iter().map(Source::read).collect::<Outcome<Vec<_>>>());
    let sources = match sources {
        Ok(sources) => sources,
        Err(fault) => return report::wrong_usage(&fault),
    };
    let findings = check_all(&sources);
    if common.json() {
        let all: Vec<_> = findings.iter().map(value).collect();
        report::output(&(String::from_utf8_lossy(&line(&all)).into_owned() + "\n"));
    } else {
        let text_of = |file: &str| {
            let known = sources.iter().find(|source| source.shown() == file);
            known.or(sources.first()).and_then(|source| source.text_of(file))
        };
        report::findings(&findings, &text_of);
        report::print(&(summary(&findings, sources.len()) + "\n"));
    }
    let is_wrong = findings.iter().any(|finding| finding.level == Level::Error);
    if is_wrong { exit::SCRIPT } else { exit::DONE }
}

/// The files that are named, and every `.rhai` file in the folders that are, in order.
fn scripts(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, DEPTH_MAX, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Outcome<()> {
    let cannot = |error| Fault::local("list", folder, error);
    let entries = std::fs::read_dir(folder).map_err(cannot)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(cannot)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(cannot)?);
        // A link to a folder may lead back up.
        if kind.is_dir() && depth > 0 {
            below(&path, depth - 1, found)?;
        } else if !path.is_dir() && path.extension().is_some_and(|extension| extension == "rhai") {
            found.push(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path));
        }
        if found.len() > ENTRIES_MAX {
            return Err(Fault::invalid(format!("more than {ENTRIES_MAX} scripts")));
        }
    }
    Ok(())
}

fn value(finding: &Finding) -> serde_json::Value {
    json!({
        "level": finding.level.word(),
        "message": finding.message,
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "hint": finding.hint,
    })
}

/// `2 errors, 1 warning in 3 scripts`.
fn summary(findings: &[Finding], scripts: usize) -> String {
    let scripts = counted(scripts, "script");
    let parts = [(Level::Error, "error"), (Level::Warning, "warning")].map(|(level, word)| {
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

/// `1 error`, `2 errors`.
pub(super) fn counted(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
