//! The static check of scripts: every call must be of a function that exists, with the number of arguments and the
//! options that it takes.

mod calls;
mod files;
mod in_place;
mod names;
mod operators;
mod options;
mod permission_objects;
pub mod permissions;
mod types;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use self::{
    calls::Calls,
    files::{Engines, ScriptFiles},
    names::ScriptNames,
};
use super::{raise::ScriptLocation, redact::Veil, signatures, source::ScriptSource};
use crate::limits::SCRIPT_STACK_BYTES;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The script would fail at this place.
    Error,
    /// It may be intended, but should be reviewed.
    Warning,
}

impl Severity {
    /// Returns the name of the level.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A problem in a script.
#[derive(Debug, Clone)]
pub struct ScriptFinding {
    /// The severity.
    pub level: Severity,
    /// A lower-case clause that describes the problem.
    pub message: String,
    /// The position in the script.
    pub place: ScriptLocation,
    /// A suggestion for the fix, if there is one.
    pub hint: Option<String>,
}

impl ScriptFinding {
    fn error(place: ScriptLocation, message: impl Into<String>) -> Self {
        Self { level: Severity::Error, message: message.into(), place, hint: None }
    }

    fn warning(place: ScriptLocation, message: impl Into<String>) -> Self {
        Self { level: Severity::Warning, message: message.into(), place, hint: None }
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Masks the secrets of `veil` in its texts.
    pub fn hide(&mut self, veil: &Veil) {
        self.message = veil.words(&self.message);
        self.hint = self.hint.take().map(|hint| veil.words(&hint));
    }
}

/// Returns the findings in `source` and its imports; an empty list for a script that may run.
pub fn check(source: &ScriptSource) -> Vec<ScriptFinding> {
    check_all(std::slice::from_ref(source))
}

/// Returns the findings in all of `sources`. A file that another of them imports is checked only as an import: its own
/// imports are relative to the folder of the script that is run.
pub fn check_all(sources: &[ScriptSource]) -> Vec<ScriptFinding> {
    let found = on_large_stack(|| on_this_thread(sources));
    let found = found.unwrap_or_else(|| sources.first().map(crashed).into_iter().collect());
    without_secrets(found, sources)
}

/// Returns the files that `source` imports by names that its text has, as seen from the current directory.
pub fn import_files(source: &ScriptSource) -> Vec<PathBuf> {
    let imports = || ScriptFiles::load(&Engines::new(), source).imported();
    on_large_stack(imports).unwrap_or_default()
}

/// Runs `work` on a thread with the stack of a run, which deep expressions need; `None` if it panics.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("check".into())
            .stack_size(SCRIPT_STACK_BYTES)
            .spawn_scoped(scope, work);
        thread.ok().and_then(|thread| thread.join().ok())
    })
}

/// Masks possible passwords of the checked texts in the findings.
fn without_secrets(
    mut findings: Vec<ScriptFinding>,
    sources: &[ScriptSource],
) -> Vec<ScriptFinding> {
    let mut veils: BTreeMap<String, Veil> = BTreeMap::new();
    for finding in &mut findings {
        let file = &finding.place.file;
        let veil = veils.entry(file.clone()).or_insert_with(|| {
            let source = sources.iter().find(|source| source.shown() == file);
            let text = source.or(sources.first()).and_then(|source| source.text_of(file));
            text.map(|text| Veil::of(file, &text)).unwrap_or_default()
        });
        finding.hide(veil);
    }
    findings
}

fn crashed(source: &ScriptSource) -> ScriptFinding {
    let place = ScriptLocation { file: source.shown().to_owned(), line: 1, column: 0 };
    ScriptFinding::error(place, "portolan could not check this script (a bug): please report it")
}

fn on_this_thread(sources: &[ScriptSource]) -> Vec<ScriptFinding> {
    let engines = Engines::new();
    let known = signatures::all(&engines.strict);
    let operators = signatures::operators(&engines.strict);
    let all: Vec<_> = sources.iter().map(|source| ScriptFiles::load(&engines, source)).collect();
    let mut findings = Vec::new();
    for files in &all {
        let is_import = files.real().is_some_and(|real| {
            let imports_it = |other: &ScriptFiles<'_>| {
                other.real() != Some(real)
                    && other.imports(real)
                    && !files.imports_any(other.real())
            };
            all.iter().any(imports_it)
        });
        if !is_import {
            findings.extend(files.findings.iter().cloned());
            let names = ScriptNames::new(&known, &operators, &files.all);
            findings.extend(files.all.iter().flat_map(|file| Calls::check(&names, file)));
        }
    }
    sort(findings)
}

/// Sorts findings by file and place, each place and message once: the body of a loop or switch is walked several times.
fn sort(mut findings: Vec<ScriptFinding>) -> Vec<ScriptFinding> {
    let mut seen = BTreeSet::new();
    let key = |finding: &ScriptFinding| {
        let ScriptLocation { file, line, column } = &finding.place;
        (file.clone(), *line, *column, finding.message.clone())
    };
    findings.sort_by_key(key);
    findings.retain(|finding| seen.insert(key(finding)));
    findings
}

#[cfg(test)]
mod tests;
