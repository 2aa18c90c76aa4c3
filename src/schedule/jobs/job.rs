//! A `[[job]]` of the file.

use crate::similar::nearest;
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use toml::de::{DeTable, DeValue};

use super::{
    Allowed, BACKOFF, Connect, JOB, Job, Notify, POSITIVE, Retry, RetryOn, Timeouts,
    around::{JobNames, around},
    circles::components,
    expand::JobTable,
    files, fleet, locks,
    table::{JobsDocument, JobsTable, SpannedKey, Value, choice},
    task, tell,
    when::{self, DateFiles},
};
use crate::{
    ftp::{proxy::Proxy, secret::Secret, site::OPTIONS as CONNECT},
    limits::JOB_NAME_BYTES_MAX,
    observe::visible::visible,
    permissions::{PERMISSIONS, PermissionOptions},
    schedule::zone::Zones,
    script::{site::Overrides, value::unknown_option},
};

/// The context in which a job's values are read.
pub(super) struct JobContext<'p> {
    /// The folder of the jobs file.
    pub(super) folder: &'p Path,
    pub(super) zones: &'p Zones,
    pub(super) now: Timestamp,
    /// The files of dates that have been read.
    pub(super) dates: &'p DateFiles,
}

/// The readable parts of a job.
#[derive(Debug)]
pub(super) struct ParsedJob {
    /// The name, with its position.
    pub(super) name: Option<(Arc<str>, Range<usize>)>,
    pub(super) after: JobNames,
    /// The position of its locks.
    pub(super) locks: Option<Range<usize>>,
    /// The position of its work, if it has some without a script.
    pub(super) work: Option<Range<usize>>,
    /// The position of `watch`.
    pub(super) watch: Option<Range<usize>>,
    /// The script, if it exists.
    pub(super) script: Option<PathBuf>,
    /// The job, if name and script could be read; other values that could not be read have their defaults.
    pub(super) job: Option<Job>,
}

/// Reads a job.
pub(super) fn read(
    JobTable { table, span, suffix }: &JobTable<'_>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> ParsedJob {
    let span = span.clone();
    let table = &mut JobsTable::new(table, "a job", &JOB.keys(), page);
    let mut job = Job::default();
    table.fill(&JOB, &mut job, page);
    let name = name(table, &span, suffix, page);
    job.files = files::trigger(table, place, page);
    let task = task::read(table, job.files.as_ref(), page);
    let script = match &task {
        Some(task) => Some(PathBuf::from(task.kind.as_str())),
        // It has been found wrong.
        None if task::place(table).is_some() => None,
        None => script(table, &span, place, page),
    };
    let (after, programs) = around(table, page);
    job.programs = programs;
    job.after = after.iter().map(|(name, _)| Arc::clone(name)).collect();
    let called = name.as_ref().map_or("", |(name, _)| name);
    when::times(table, called, &mut job, place, page);
    job.tags = tags(table, page);
    let has_times = ["cron", "watch", "arrival"].iter().any(|key| table.get(key).is_some());
    if job.enabled && after.is_empty() && !has_times {
        let hint = Some("`cron` or `after` says when it runs by itself".to_owned());
        page.warn(span, "this job runs only when it is triggered", hint);
    }
    when::check_catch_up(table, &job.catch_up, page);
    (job.args, job.connect) = (args(table, page), connect(table, page));
    retry(table, &mut job.retry, page);
    timeouts(table, &mut job.timeouts, page);
    (job.locks, job.allow) = (locks::read(table, page), allow(table, page));
    job.permissions = permissions(table, page);
    job.needs = fleet::needs(table, page);
    job.notify = Notify { remind: job.notify.remind, ..tell::notify(table, page) };
    job.task = task;
    let named = name.clone().zip(script.clone());
    let script = script.filter(|_| job.task.is_none());
    let job = named.map(|((name, _), script)| Job { name, script, ..job });
    let locks = table.get("locks").map(Value::span);
    let work = task::place(table);
    let watch = table.place("watch");
    ParsedJob { name, after, locks, work, watch, script, job }
}

/// Checks the values of `[defaults]` that a job may never take, since it has its own.
pub(super) fn check_defaults(defaults: &DeTable<'_>, page: &mut JobsDocument<'_>) {
    let table = &mut JobsTable::new_unchecked(defaults);
    table.fill(&JOB, &mut Job::default(), page);
    task::check_options(table, page);
}

/// Reads a required key of a job.
fn needed<'a>(
    table: &mut JobsTable<'a>,
    key: &str,
    example: &str,
    heading: &Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<(&'a str, Range<usize>)> {
    if table.get(key).is_none() {
        let hint = Some(format!("such as `{key} = \"{example}\"`"));
        page.error(heading.clone(), format!("this job has no `{key}`"), hint);
    }
    table.text(key, page)
}

/// Reads the name, which may become part of a file name, a metric label, or a unit name.
fn name(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    suffix: &str,
    page: &mut JobsDocument<'_>,
) -> Option<(Arc<str>, Range<usize>)> {
    let (name, span) = needed(table, "name", "nightly", heading, page)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_good = !name.is_empty()
        && name.len() + suffix.len() <= JOB_NAME_BYTES_MAX
        && name.chars().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !is_good {
        let message = format!("a job cannot be called \"{}{suffix}\"", visible(name));
        let hint = format!(
            "a name has up to {JOB_NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
        );
        page.error(span, message, Some(hint));
        return None;
    }
    Some((Arc::from(format!("{name}{suffix}")), span))
}

fn tags(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Vec<String> {
    let all = table.texts("tags", page);
    let is_plain =
        |tag: &str| !tag.is_empty() && !tag.contains(|c: char| c.is_control() || c == ',');
    for (tag, span) in all.iter().filter(|(tag, _)| !is_plain(tag)) {
        page.error(span.clone(), format!("\"{}\" cannot be a tag", visible(*tag)), None);
    }
    all.into_iter().map(|(tag, _)| tag.to_owned()).collect()
}

fn script(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<PathBuf> {
    let (given, span) = needed(table, "script", "scripts/nightly.rhai", heading, page)?;
    let path = place.folder.join(given);
    let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    if path.is_file() {
        return Some(path);
    }
    if path.is_dir() || path.as_os_str().is_empty() {
        page.error(span, format!("`{}` is a folder, not a script", visible(given)), None);
    } else {
        let message = format!("there is no script `{}`", visible(given));
        page.error(span, message, beside(given, &path));
    }
    None
}

/// Suggests the script in the folder of `path` with the most similar name.
fn beside(given: &str, path: &Path) -> Option<String> {
    let relative = "paths count from the folder of the jobs file";
    let entries = std::fs::read_dir(path.parent()?).ok();
    let Some(entries) = entries else { return Some(relative.into()) };
    let names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "rhai"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let near = nearest(path.file_name()?.to_str()?, &names);
    let hint = near.map_or_else(
        || relative.to_owned(),
        |near| format!("did you mean `{}`?", Path::new(given).with_file_name(near).display()),
    );
    Some(hint)
}

fn args(table: &JobsTable<'_>, page: &mut JobsDocument<'_>) -> serde_json::Value {
    let Some(value) = table.get("args") else { return serde_json::Value::Null };
    if !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_)) {
        let hint = Some("write a table `[job.args]`, or an array of texts".to_owned());
        page.error(value.span(), "`args` wants a table or an array", hint);
    }
    json_of(value, page)
}

/// Converts a value of the file to the one that a script will see.
pub(super) fn json_of(value: &Value<'_>, page: &mut JobsDocument<'_>) -> serde_json::Value {
    match value.get_ref() {
        DeValue::String(text) => serde_json::Value::from(&**text),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
            if number.is_none() {
                page.error(value.span(), "a whole number of more than 64 bits", None);
            }
            number.into()
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().ok().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(all) => all.iter().map(|item| json_of(item, page)).collect(),
        DeValue::Table(all) => {
            let pairs =
                all.iter().map(|(key, value)| (key.get_ref().to_string(), json_of(value, page)));
            serde_json::Value::Object(pairs.collect())
        }
    }
}

/// The beginning of a value that is the name of a secret.
pub(super) const SECRET: &str = "secret:";

/// Returns the text for `{ secret = "NAME" }`.
pub(super) fn secret_of(table: &DeTable<'_>) -> Option<String> {
    let name = table.get("secret").filter(|_| table.len() == 1)?;
    name.get_ref().as_str().map(|name| format!("{SECRET}{name}"))
}

/// Reads the connect options, and checks each as `ftp::connect` would.
fn connect(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Connect {
    let known = CONNECT.keys();
    let mut settings = BTreeMap::new();
    for (key, value) in table.open_table("connect", page).into_iter().flatten() {
        let name = &**key.get_ref();
        if !known.contains(&name) {
            page.error(key.span(), unknown_option(&visible(name), "ftp::connect", &known), None);
            continue;
        }
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Table(table) if let Some(secret) = secret_of(table) => secret,
            DeValue::Table(parts) if parts.values().all(|part| part.get_ref().is_str()) => {
                let part = |(key, value): (&SpannedKey<'_>, &Value<'_>)| {
                    format!("{}={}", key.get_ref(), value.get_ref().as_str().unwrap_or_default())
                };
                parts.iter().map(part).collect::<Vec<_>>().join(",")
            }
            _ => {
                let message = format!("`{name}` wants a string, a whole number, true or false");
                page.error(value.span(), message, None);
                continue;
            }
        };
        // A run reads the secret, and checks what it is then.
        let is_secret_proxy = name == "proxy" && text.starts_with(SECRET);
        if !is_secret_proxy && let Err(fault) = Overrides::read(&[format!("{name}={text}")]) {
            page.error(value.span(), visible(fault.message), None);
        }
        if name == "proxy" && Proxy::parse(&text).is_ok_and(|proxy| proxy.has_password()) {
            let hint = "name the whole address as a secret: `proxy = \"secret:NAME\"`";
            let message = "a password stands in this proxy";
            page.warn_of_password(value.span(), message, Some(hint.into()));
        }
        let is_plain = !text.is_empty() && !text.starts_with(SECRET);
        if matches!(name, "password" | "account") && is_plain {
            let hint = "the script can take it from secret(\"NAME\"), which no file shows";
            let message = format!("this {name} stands in the jobs file");
            page.warn_of_password(value.span(), message, Some(hint.into()));
        }
        settings.insert(name.to_owned(), Secret::new(text));
    }
    Connect(settings.into_iter().collect())
}

fn retry(table: &mut JobsTable<'_>, retry: &mut Retry, page: &mut JobsDocument<'_>) {
    if let Some(mut table) = table.table("backoff", "`backoff`", &BACKOFF.keys(), page) {
        table.fill(&BACKOFF, retry, page);
        retry.factor = table.factor("factor", page).unwrap_or(retry.factor);
        let longest = table.duration("max", page);
        if let Some(longest) = longest.filter(|longest| *longest < retry.initial) {
            let span = table.get("max").map_or(0..0, Value::span);
            let message =
                format!("`max` ({longest:?}) is less than `initial` ({:?})", retry.initial);
            page.error(span, message, None);
        }
        retry.longest = longest.unwrap_or(retry.longest.max(retry.initial));
    }
    if table.get("retry_on").is_some() {
        let words = table.texts("retry_on", page).into_iter();
        retry.on = words
            .filter_map(|(word, span)| choice("retry_on", word, span, &RetryOn::ALL, page))
            .collect();
    }
}

fn timeouts(table: &mut JobsTable<'_>, timeouts: &mut Timeouts, page: &mut JobsDocument<'_>) {
    timeouts.is_endless = table.is_none_at_all("run_timeout");
    if !timeouts.is_endless {
        timeouts.run = table.duration_in("run_timeout", &POSITIVE, page);
    }
    if let (Some(attempt), Some(run)) = (timeouts.attempt, timeouts.run)
        && attempt > run
    {
        let span = table.get("attempt_timeout").map_or(0..0, Value::span);
        let hint = Some("`run_timeout` is for all attempts and the waits between them".to_owned());
        page.warn(span, "`attempt_timeout` is longer than `run_timeout`", hint);
    }
}

fn allow(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Vec<Allowed> {
    let words = table.texts("allow", page).into_iter();
    words
        .filter_map(|(word, span)| choice("allow", word, span, &[("nat", Allowed::Nat)], page))
        .collect()
}

fn permissions(
    table: &mut JobsTable<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<PermissionOptions> {
    let mut options = PermissionOptions::default();
    let keys = PERMISSIONS.keys();
    table.table("permissions", "`permissions`", &keys, page)?.fill(
        &PERMISSIONS,
        &mut options,
        page,
    );
    Some(options)
}

/// The number of mistakes for which similar names are looked for.
const NAMED_MAX: usize = 100;

/// Checks the names of all jobs together: they are unique, and `after` names other jobs without cycles.
pub(super) fn names(all: &[ParsedJob], page: &mut JobsDocument<'_>) {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, read) in all.iter().enumerate() {
        let Some((name, span)) = &read.name else { continue };
        if known.contains_key(&**name) {
            let hint = Some("history, locks and `after` know a job by its name alone".to_owned());
            page.error(span.clone(), format!("there is another job `{name}`"), hint);
        } else {
            known.insert(name, index);
        }
    }
    let before = |read: &ParsedJob| {
        read.after.iter().filter_map(|(name, _)| known.get(&**name)).copied().collect()
    };
    let component = components(&all.iter().map(before).collect::<Vec<_>>());
    for (index, read) in all.iter().enumerate() {
        for (other, span) in &read.after {
            let own = read.name.as_ref().map(|(name, _)| &**name);
            let at = known.get(&**other);
            if own == Some(&**other) {
                page.error(span.clone(), "a job cannot come after itself", None);
            } else if at.is_none() {
                // Each comparison takes a while where there are many names, and so do many mistakes.
                let names: Vec<_> =
                    known.keys().copied().filter(|_| page.errors() < NAMED_MAX).collect();
                let near = nearest(other, &names).map(|near| format!("did you mean `{near}`?"));
                page.error(span.clone(), format!("there is no job `{}`", visible(&**other)), near);
            } else if let Some(own) = own
                && at.and_then(|at| component.get(*at)) == component.get(index)
            {
                let message = format!("`{own}` and `{other}` wait for one another");
                page.error(span.clone(), message, None);
            }
        }
    }
}
