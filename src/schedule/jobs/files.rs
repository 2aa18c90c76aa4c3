//! The keys `watch` and `arrival`: files whose arrival starts a job.

use std::{ops::Range, time::Duration};

use globset::GlobBuilder;

use super::{
    job::JobContext,
    table::{JobsDocument, JobsTable, Value},
};
use crate::{
    error::{Error, Result},
    ftp::url::Url,
    limits::{ARRIVAL_EVERY, ARRIVAL_EVERY_MIN, ARRIVAL_SETTLE, WATCH_SETTLE},
    observe::visible::visible,
    option_table::{
        OptionKind::{Duration as Wait, Own},
        OptionRow, OptionTable,
    },
    script::sites,
    secret::Secret,
    store::history::Trigger,
};

/// The files whose arrival starts a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTrigger {
    /// The server; `None` for a directory of this host.
    pub site: Option<TriggerSite>,
    /// The directory, as the file names it.
    pub directory: String,
    /// The patterns of names.
    pub patterns: Vec<String>,
    /// The time for which size and time of a file must not have changed.
    pub settle: Duration,
    /// The time between two looks at a server.
    pub every: Duration,
    /// The name of the file that says that another is complete; `%` in it is the name of that.
    pub marker: Option<String>,
}

/// The server of an `arrival`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerSite {
    /// The argument of `ftp::connect`: a URL, which may contain a password, or `@` with the name of a saved site.
    pub url: Secret,
    /// The name that is shown.
    pub name: String,
}

impl Default for FileTrigger {
    fn default() -> Self {
        Self {
            site: None,
            directory: String::new(),
            patterns: vec!["*".to_owned()],
            settle: WATCH_SETTLE,
            every: ARRIVAL_EVERY,
            marker: None,
        }
    }
}

impl FileTrigger {
    /// Returns the default of an `arrival`.
    fn of_server() -> Self {
        Self { settle: ARRIVAL_SETTLE, ..Self::default() }
    }

    /// Returns the trigger of the runs that it starts.
    pub const fn trigger(&self) -> Trigger {
        if self.site.is_some() { Trigger::Arrival } else { Trigger::Watch }
    }

    /// Returns the name of the server in history; empty for a directory of this host.
    pub fn site_name(&self) -> &str {
        self.site.as_ref().map_or("", |site| &site.name)
    }

    /// Returns the answer to the question when the job runs: `when a file arrives in out`.
    pub fn words(&self) -> String {
        let at = self.site.as_ref().map(|site| format!(" at {}", visible(&site.name)));
        let named = match &self.patterns[..] {
            [one] if one == "*" => String::new(),
            all => format!(" ({})", visible(all.join(", "))),
        };
        let directory = visible(&self.directory);
        format!("when a file arrives in {directory}{}{named}", at.unwrap_or_default())
    }
}

type TriggerRow = OptionRow<FileTrigger>;

const DIRECTORY: &str = "the directory, without those below it; required";
const MATCH: &str = "the names of the files, such as \"*.csv\", or an array of such patterns; a name that begins with a dot \
                     needs a pattern that does";

/// The keys of `watch`.
pub(super) const WATCH: OptionTable<FileTrigger> = OptionTable {
    rows: &[
        TriggerRow::new("directory", Own, DIRECTORY),
        TriggerRow::new("match", Own, MATCH),
        TriggerRow::new(
            "settle",
            Wait(|it, time| it.settle = time),
            "a file is complete when its size and time have not changed for this long",
        )
        .usual("5s"),
    ],
    usual: FileTrigger::default,
};

/// The keys of `arrival`.
pub(super) const ARRIVAL: OptionTable<FileTrigger> = OptionTable {
    rows: &[
        TriggerRow::new("site", Own, "the name of a saved site, or a URL without a path; required"),
        TriggerRow::new("directory", Own, DIRECTORY),
        TriggerRow::new("match", Own, MATCH),
        TriggerRow::new(
            "every",
            Own,
            "the time between two looks at the directory, \"30s\" without it; 1s at least",
        ),
        TriggerRow::new(
            "settle",
            Own,
            "a file is complete when its size and time have not changed for this long, \"30s\" without it and without \
             `marker`",
        ),
        TriggerRow::new(
            "marker",
            Own,
            "the name of a second file that says that a file is complete, such as \"%.ok\", where `%` is the name of the \
             file; markers start no runs",
        ),
    ],
    usual: FileTrigger::of_server,
};

/// Reads `watch` or `arrival`: `None` if a job has neither, or if it is unusable, which is a finding then.
pub(super) fn trigger(
    table: &mut JobsTable<'_>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<FileTrigger> {
    let [watch, arrival] = ["watch", "arrival"].map(|key| table.place(key));
    if let (Some(_), Some(span)) = (&watch, &arrival) {
        let message = "a job has one of `watch` and `arrival`, and this one has both";
        page.error(span.clone(), message, Some("make two jobs of it, of one script".into()));
        return None;
    }
    match (watch, arrival) {
        (Some(span), _) => self::watch(table, &span, place, page),
        (_, Some(span)) => self::arrival(table, &span, page),
        (None, None) => None,
    }
}

fn watch(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<FileTrigger> {
    let mut inner = table.table("watch", "`watch`", &WATCH.keys(), page)?;
    let mut trigger = FileTrigger::default();
    inner.fill(&WATCH, &mut trigger, page);
    let span = inner.get("directory").map(Value::span);
    trigger.directory = needed(&mut inner, "watch", "directory", "out", heading, page)?;
    let path = place.folder.join(&trigger.directory);
    let span = span.unwrap_or_else(|| heading.clone());
    if sites::is_url(&trigger.directory) {
        let hint = "`arrival = { site = \"partner\", directory = \"out\" }` looks at a server";
        page.error(span, "`directory` of `watch` is on this host", Some(hint.into()));
        return None;
    }
    if !path.is_dir() {
        let shown = visible(&*trigger.directory);
        let message = if path.exists() {
            format!("`{shown}` is not a directory")
        } else {
            format!("there is no directory `{shown}` yet")
        };
        let hint = "the scheduler waits for it; paths count from the folder of the jobs file";
        page.warn(span, message, Some(hint.into()));
    }
    patterns(&mut inner, &mut trigger, page)?;
    Some(trigger)
}

fn arrival(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<FileTrigger> {
    let mut inner = table.table("arrival", "`arrival`", &ARRIVAL.keys(), page)?;
    let mut trigger = FileTrigger::of_server();
    let span = inner.get("site").map(Value::span);
    let site = needed(&mut inner, "arrival", "site", "partner", heading, page);
    let directory = needed(&mut inner, "arrival", "directory", "out", heading, page);
    match site.as_deref().map(site_of)? {
        Ok((site, has_password)) => {
            if let Some(span) = span.filter(|_| has_password) {
                let hint = "`[job.connect]` takes it from a secret: `password = \"secret:NAME\"`";
                page.warn_of_password(span, "a password stands in the URL", Some(hint.into()));
            }
            trigger.site = Some(site);
        }
        Err(fault) => {
            page.error(span.unwrap_or_else(|| heading.clone()), visible(fault.message), None);
            return None;
        }
    }
    trigger.directory = directory?;
    if let Some(every) = inner.duration("every", page) {
        trigger.every = every;
        if every < ARRIVAL_EVERY_MIN {
            let span = inner.get("every").map_or_else(|| heading.clone(), Value::span);
            let hint = "each look is a listing; a server may lock out who asks for more";
            page.error(span, "`every` is 1s at least", Some(hint.into()));
        }
    }
    trigger.marker = marker(&mut inner, page);
    // A marker says that the file is complete.
    let settle = if trigger.marker.is_some() { Duration::ZERO } else { ARRIVAL_SETTLE };
    trigger.settle = inner.duration("settle", page).unwrap_or(settle);
    patterns(&mut inner, &mut trigger, page)?;
    Some(trigger)
}

/// Returns the server that `text` means, and whether it contains a password.
fn site_of(text: &str) -> Result<(TriggerSite, bool)> {
    if Url::is_one(text) {
        let url = Url::parse(text)?;
        let (name, has_password) = (url.site.host.clone(), url.site.password.is_some());
        return Ok((TriggerSite { url: Secret::new(text), name }, has_password));
    }
    let name = text.strip_prefix('@').unwrap_or(text);
    sites::check_name(name)?;
    Ok((TriggerSite { url: Secret::new(format!("@{name}")), name: name.to_owned() }, false))
}

/// Reads a required text.
fn needed(
    table: &mut JobsTable<'_>,
    what: &str,
    key: &str,
    example: &str,
    heading: &Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<String> {
    if table.get(key).is_none() {
        let hint = format!("such as `{key} = \"{example}\"`");
        page.error(heading.clone(), format!("`{what}` has no `{key}`"), Some(hint));
    }
    let (text, span) = table.text(key, page)?;
    if text.is_empty() || text.contains(char::is_control) {
        page.error(span, format!("`{key}` cannot be \"{}\"", visible(text)), None);
        return None;
    }
    Some(text.to_owned())
}

fn marker(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Option<String> {
    let (text, span) = table.text("marker", page)?;
    if text.is_empty() || text == "%" || text.contains(|c: char| c == '/' || c.is_control()) {
        let message = format!("`marker` cannot be \"{}\"", visible(text));
        let hint = "a name such as \"%.ok\", where `%` is the name of the file";
        page.error(span, message, Some(hint.into()));
        return None;
    }
    Some(text.to_owned())
}

/// Reads `match`; `None` if a pattern is wrong.
fn patterns(
    table: &mut JobsTable<'_>,
    trigger: &mut FileTrigger,
    page: &mut JobsDocument<'_>,
) -> Option<()> {
    if table.get("match").is_none() {
        return Some(());
    }
    let (errors, all) = (page.errors(), table.texts("match", page));
    if all.is_empty() && page.errors() == errors {
        let span = table.get("match").map_or(0..0, Value::span);
        page.error(span, "`match` names no files", None);
    }
    for (text, span) in &all {
        let built = GlobBuilder::new(text).literal_separator(true).build();
        if text.contains('/') || text.is_empty() {
            let hint = "`directory` says where the files are; those below it take no part";
            let message = format!("`match` is a pattern of names, not \"{}\"", visible(text));
            page.error(span.clone(), message, Some(hint.into()));
        } else if let Err(error) = built {
            let message =
                format!("cannot read the pattern \"{}\": {}", visible(text), error.kind());
            page.error(span.clone(), message, None);
        }
    }
    trigger.patterns = all.into_iter().map(|(text, _)| text.to_owned()).collect();
    (page.errors() == errors).then_some(())
}

/// Returns the error for a job that transfers files of the wrong side.
pub(super) fn wrong_side(kind: &str, trigger: &FileTrigger) -> Option<Error> {
    let message = match (kind, trigger.trigger()) {
        ("put", Trigger::Arrival) => {
            "`[job.put]` sends files of this host, and `arrival` is about files on a server"
        }
        ("get", Trigger::Watch) => {
            "`[job.get]` fetches files of a server, and `watch` is about files of this host"
        }
        _ => return None,
    };
    Some(Error::invalid(message))
}
