//! The keys of `[runner]` and of jobs about several machines that share a store.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeValue;

use super::{
    Runner, TaskKind,
    job::{ParsedJob, SECRET, secret_of},
    table::{JobsDocument, JobsTable},
};
use crate::{
    error::{Error, ErrorKind, Result},
    observe::visible::visible,
    secret::Secret,
    store::StorePlace,
};

/// The usual lease: three heartbeats may be lost, and the failover of a database takes less.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// The leases that can be set. With shorter ones a busy machine would count as dead.
pub(super) const LEASES: RangeInclusive<Duration> =
    Duration::from_secs(2)..=Duration::from_mins(10);
/// The maximum length of a label: its key, or its value.
const LABEL_CHARS_MAX: usize = 63;

/// Reads the keys of `[runner]` that no kind of value fits.
pub(super) fn of_runner(
    runner: &mut Runner,
    table: &mut JobsTable<'_>,
    page: &mut JobsDocument<'_>,
) {
    if let Some((address, span)) = table.text("store", page) {
        match StorePlace::server(address, None, None) {
            Ok(place) if place.has_password() => {
                let hint = Some("`store_password = \"secret:NAME\"` takes it from a secret".into());
                page.warn_of_password(
                    span,
                    "the password of the store stands in the jobs file",
                    hint,
                );
            }
            // Certificates are read when they are needed.
            Err(fault) if matches!(fault.kind, ErrorKind::Invalid | ErrorKind::Unsupported) => {
                page.error(span, visible(fault.message), None);
            }
            _ => {}
        }
        runner.store = Some(Secret::new(address));
    }
    let Some(value) = table.get("store_password") else { return };
    let text = match value.get_ref() {
        DeValue::Table(table) if let Some(secret) = secret_of(table) => Some(secret),
        _ => page.text_of("store_password", value).map(str::to_owned),
    };
    let Some(text) = text else { return };
    if !text.starts_with(SECRET) {
        let hint = Some("`store_password = \"secret:NAME\"` takes it from a secret".into());
        page.warn_of_password(
            value.span(),
            "the password of the store stands in the jobs file",
            hint,
        );
    }
    if runner.store.is_none() {
        let hint = Some("`--store` or PORTOLAN_STORE may name it".into());
        page.warn(value.span(), "`store_password` without `store`", hint);
    }
    runner.store_password = Some(Secret::new(text));
}

/// Reads the directory in which runs of a release work.
pub(super) fn work(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Option<PathBuf> {
    let (text, span) = table.text("work", page)?;
    let path = Path::new(text);
    if !path.is_absolute() {
        let hint = Some("it is the same path on every machine, such as \"/srv/portolan\"".into());
        page.error(span, "`work` wants an absolute path", hint);
        return None;
    }
    Some(path.to_owned())
}

/// Parses a label, which is `KEY=VALUE`.
pub fn label(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        Error::invalid(format!(
            "a label is `KEY=VALUE`, such as `network=dmz`, got `{}`",
            visible(text)
        ))
    })?;
    for part in [key, value] {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if part.is_empty() || part.len() > LABEL_CHARS_MAX || !part.chars().all(is_plain) {
            return Err(Error::invalid(format!(
                "`{}` cannot be in a label: up to {LABEL_CHARS_MAX} letters, digits, `-`, `_`, `.` and `/` can",
                visible(part)
            )));
        }
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads the labels that a job needs.
pub(super) fn needs(
    table: &mut JobsTable<'_>,
    page: &mut JobsDocument<'_>,
) -> BTreeMap<String, String> {
    let mut needs = BTreeMap::new();
    for (key, value) in table.open_table("needs", page).into_iter().flatten() {
        let key = &**key.get_ref();
        let Some(text) = page.text_of("needs", value) else { continue };
        match label(&format!("{key}={text}")) {
            Ok((key, value)) => drop(needs.insert(key, value)),
            Err(fault) => page.error(value.span(), fault.message, None),
        }
    }
    needs
}

/// Warns of a job that uses directories of its machine, and may run on any of those that share the store.
pub(super) fn check_places(read: &ParsedJob, page: &mut JobsDocument<'_>) {
    let Some(job) = read.job.as_ref().filter(|job| job.needs.is_empty()) else { return };
    let hint = |of: &str| {
        let hint = format!(
            "`needs = {{ disk = \"NAME\" }}` keeps it on {of} (`portolan serve --label disk=NAME`)"
        );
        Some(hint)
    };
    let is_local = |kind: TaskKind| kind != TaskKind::Prune;
    if let (Some(task), Some(span)) = (&job.task, &read.work)
        && is_local(task.kind)
    {
        let kind = task.kind.as_str();
        let message = format!(
            "the local side of `[job.{kind}]` is that of whichever machine runs it: they share the store, not their files"
        );
        page.warn(span.clone(), message, hint("the machines that have its directory"));
    }
    if let Some(span) = &read.watch {
        let message = "`watch` looks at the directory of the machine that leads, and any machine may run this job";
        page.warn(span.clone(), message, hint("the machines that have or share it"));
    }
}
