//! The secrets that jobs name and that a machine does not have: it gets no runs of those jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    permissions::PermissionKind,
    schedule::jobs::Jobs,
    script::{check::permissions::derive, secrets, source::ScriptSource},
};

/// The number of scripts with different arguments that are looked through; of further ones, those names are found that do
/// not depend on arguments.
const ARGS_MAX: usize = 200;

/// Adds to each job the secrets that its script names, and notes which of all this machine does not have; `work` is the
/// directory in which runs work, which may have a directory of secrets.
pub(super) fn note(jobs: &mut Jobs, work: &Path) {
    let mut texts: BTreeMap<PathBuf, Option<ScriptSource>> = BTreeMap::new();
    let mut found: BTreeMap<(PathBuf, String), Vec<String>> = BTreeMap::new();
    for job in &mut jobs.all {
        if job.task.is_some() {
            continue;
        }
        let source = texts.entry(job.script.clone()).or_insert_with(|| {
            let source = ScriptSource::read(&job.script).ok()?;
            // A name may be given to a function of an import.
            let names = ["secret", "import"];
            names.iter().any(|name| source.text().contains(name)).then_some(source)
        });
        let Some(source) = source else { continue };
        let has_own = found.len() < ARGS_MAX;
        let args = if has_own { job.args.clone() } else { serde_json::Value::Null };
        let names = found.entry((job.script.clone(), args.to_string())).or_insert_with(|| {
            let derived = derive(source, &args).found;
            let names = derived.of_kind(PermissionKind::Secret);
            names.filter(|name| !name.contains('*')).map(str::to_owned).collect()
        });
        if !names.is_empty() {
            let job = Arc::make_mut(job);
            job.secrets.extend(names.iter().cloned());
            job.secrets.sort();
            job.secrets.dedup();
        }
    }
    let all: BTreeSet<&String> = jobs.all.iter().flat_map(|job| &job.secrets).collect();
    jobs.missing = all.into_iter().filter(|name| !is_here(name, work)).cloned().collect();
}

/// Returns true if this machine has a secret.
pub(super) fn is_here(name: &str, work: &Path) -> bool {
    secrets::of_text_in(&format!("secret:{name}"), work).is_ok()
}
