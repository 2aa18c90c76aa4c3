//! The work of jobs without a script: `[job.mirror]`, `[job.deploy]`, `[job.get]`, `[job.put]` and `[job.prune]`.
//!
//! Each is a script that comes with the program and gets its values as data, so that a job without a script runs, fails
//! and is retried like any other. Its options are those of the script function, checked by the same rows.

mod deploy;
mod prune;

use std::{collections::BTreeMap, fmt, ops::Range, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use toml::de::DeTable;

use super::{
    FileTrigger, JOB,
    files::wrong_side,
    job::json_of,
    table::{JobsDocument, JobsTable, SpannedKey, Value},
};
use crate::{
    error::{Error, Result},
    ftp::url::Url,
    observe::visible::visible,
    option_table::{OptionKind::Own, OptionRow, OptionTable},
    permissions::PermissionOptions,
    script::{
        options::{Taker, check_json, taker},
        sites,
        source::ScriptSource,
    },
};

/// The kind of work of a job without a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// `[job.mirror]`.
    Mirror,
    /// `[job.deploy]`.
    Deploy,
    /// `[job.get]`.
    Get,
    /// `[job.put]`.
    Put,
    /// `[job.prune]`.
    Prune,
}

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Mirror, Self::Deploy, Self::Get, Self::Put, Self::Prune];

    /// Returns its key in a job.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Deploy => "deploy",
            Self::Get => "get",
            Self::Put => "put",
            Self::Prune => "prune",
        }
    }

    /// Returns the script that does the work.
    const fn script(self) -> &'static str {
        match self {
            Self::Mirror => include_str!("mirror.rhai"),
            Self::Deploy => include_str!("deploy.rhai"),
            Self::Get => include_str!("get.rhai"),
            Self::Put => include_str!("put.rhai"),
            Self::Prune => include_str!("prune.rhai"),
        }
    }

    /// Returns the script function that takes its options.
    const fn function(self) -> &'static str {
        match self {
            Self::Mirror => "mirror_up",
            Self::Deploy => "deploy",
            Self::Get => "get",
            Self::Put => "put",
            Self::Prune => "prune",
        }
    }

    /// Returns the keys that every kind has, as rows of the manual.
    pub(super) const fn places(self) -> &'static OptionTable<()> {
        match self {
            Self::Mirror => &MIRROR,
            Self::Deploy => &deploy::PLACES,
            Self::Get => &GET,
            Self::Put => &PUT,
            Self::Prune => &prune::PLACES,
        }
    }

    /// Returns the paragraphs of the manual about its options.
    #[cfg(test)]
    pub(super) fn paragraphs(self) -> Vec<String> {
        let options = taker(self.function()).map(Taker::paragraphs).unwrap_or_default();
        let is_own =
            |text: &String| self.keys().iter().any(|key| text.starts_with(&format!("`{key}`")));
        let options = options.into_iter().filter(is_own).collect();
        [self.places().paragraphs(), options].concat()
    }

    /// Returns its keys: its places, and the options of the function but for those that a place stands for.
    fn keys(self) -> Vec<&'static str> {
        let mut options = taker(self.function()).map(Taker::keys).unwrap_or_default();
        options.retain(|key| self != Self::Deploy || *key != "folder");
        [self.places().keys(), options].concat()
    }
}

type PlaceRow = OptionRow<()>;

const fn places(rows: &'static [PlaceRow]) -> OptionTable<()> {
    OptionTable { rows, usual: || () }
}

const MIRROR: OptionTable<()> = places(&[
    PlaceRow::new("from", Own, "the side to copy: a URL, or a local directory; required"),
    PlaceRow::new("to", Own, "the side to update: a local directory, or a URL; required"),
]);

const GET: OptionTable<()> = places(&[
    PlaceRow::new(
        "from",
        Own,
        "the file to download as a URL, which may have wildcards, or an array of them, of one server; required, unless \
         the job has `arrival`: a run that is given files fetches exactly those",
    ),
    PlaceRow::new(
        "to",
        Own,
        "the local file or directory; with a slash at its end the directory is created. The directory of the jobs file \
         without it",
    ),
]);

const PUT: OptionTable<()> = places(&[
    PlaceRow::new(
        "from",
        Own,
        "the local file to upload, which may have wildcards, or an array of them; required, unless the job has `watch`: a \
         run that is given files sends exactly those",
    ),
    PlaceRow::new(
        "to",
        Own,
        "the target as a URL; with a slash at its end it is a directory; required",
    ),
]);

/// The work of a job without a script.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The kind of work.
    pub kind: TaskKind,
    /// The values that its script gets as `args`. A URL in them may contain a password.
    pub(super) values: Json,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.kind.as_str())
    }
}

impl Task {
    /// Returns the script that does the work.
    pub fn source(&self, folder: &Path) -> ScriptSource {
        let shown = format!("[job.{}]", self.kind.as_str());
        ScriptSource::of_program(self.kind.script(), shown, folder)
    }

    /// Returns the values for its script. `{NAME}` in them becomes the argument of that name.
    pub fn args(&self, args: &Json) -> Json {
        let mut values = self.values.clone();
        if let Json::Object(args) = args {
            let texts = args.iter().map(|(name, value)| {
                (
                    format!("{{{name}}}"),
                    value.as_str().map_or_else(|| value.to_string(), Into::into),
                )
            });
            fill_in(&mut values, &texts.collect());
        }
        values
    }

    /// Returns the permissions that the work needs with these arguments beside those for files and servers.
    pub fn permissions(&self, args: &Json) -> PermissionOptions {
        match self.kind {
            TaskKind::Deploy => {
                deploy::permissions(self.args(args).get("options").unwrap_or(&Json::Null))
            }
            _ => PermissionOptions::default(),
        }
    }
}

/// Replaces the keys of `texts` in all texts of `value` by their values.
fn fill_in(value: &mut Json, texts: &BTreeMap<String, String>) {
    match value {
        Json::String(text) => {
            for (name, with) in texts {
                if text.contains(name) {
                    *text = text.replace(name, with);
                }
            }
        }
        Json::Array(all) => all.iter_mut().for_each(|value| fill_in(value, texts)),
        Json::Object(all) => all.values_mut().for_each(|value| fill_in(value, texts)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Reads the work of a job: `None` if it has none, or if it is unusable, which is a finding then.
pub(super) fn read(
    table: &mut JobsTable<'_>,
    files: Option<&FileTrigger>,
    page: &mut JobsDocument<'_>,
) -> Option<Task> {
    let mut found = TaskKind::ALL.into_iter().filter(|kind| table.get(kind.as_str()).is_some());
    let kind = found.next()?;
    let other = found.next().map(TaskKind::as_str);
    let other = other.or_else(|| table.get("script").map(|_| "script"));
    if let Some(span) = other.and_then(|other| table.place(other)) {
        let other = other.unwrap_or_default();
        let message =
            format!("a job has one work, and this one has `{}` and `{other}`", kind.as_str());
        page.error(span, message, Some("make two jobs of it; `after` puts them in order".into()));
        return None;
    }
    let heading = table.place(kind.as_str())?;
    if let Some(fault) = files.and_then(|files| wrong_side(kind.as_str(), files)) {
        page.error(heading, fault.message, Some("a script can do it, with `job::FILES`".into()));
        return None;
    }
    let what = format!("`[job.{}]`", kind.as_str());
    let inner = table.open_table(kind.as_str(), page)?;
    let options = options(kind, &what, inner, page);
    let mut inner = JobsTable::new_unchecked(inner);
    let values = match kind {
        TaskKind::Mirror => mirror(&mut inner, &heading, page),
        TaskKind::Deploy => deploy::read(&mut inner, &heading, page),
        TaskKind::Get => get(&mut inner, &heading, files, page),
        TaskKind::Put => put(&mut inner, &heading, files, page),
        TaskKind::Prune => prune::read(&mut inner, &heading, page),
    };
    let (mut values, options) = (values?, options?);
    values.as_object_mut()?.insert("options".into(), options);
    Some(Task { kind, values })
}

/// Returns the position of the work of a job, right or wrong.
pub(super) fn place(table: &JobsTable<'_>) -> Option<Range<usize>> {
    TaskKind::ALL.iter().find_map(|kind| table.place(kind.as_str()))
}

/// Checks the options of each kind of work, without its places.
pub(super) fn check_options(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) {
    for kind in TaskKind::ALL {
        if let Some(inner) = table.open_table(kind.as_str(), page) {
            options(kind, &format!("`[job.{}]`", kind.as_str()), inner, page);
        }
    }
}

/// Reads the options, each checked as the script function would.
fn options(
    kind: TaskKind,
    what: &str,
    table: &DeTable<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Json> {
    let (known, places) = (kind.keys(), kind.places().keys());
    let (mut options, mut is_right) = (serde_json::Map::new(), true);
    for (key, value) in table {
        let name = &**key.get_ref();
        if !known.contains(&name) {
            if JOB.keys().contains(&name) {
                let hint = format!("it is a job's: it stands before {what}");
                page.error(key.span(), format!("{what} has no key `{name}`"), Some(hint));
            } else {
                page.unknown(key, what, &known);
            }
            is_right = false;
        } else if !places.contains(&name) {
            let given = option(kind, key, value, page);
            is_right &= given.is_some();
            options.insert(name.to_owned(), given.unwrap_or_default());
        }
    }
    is_right.then_some(Json::Object(options))
}

fn option(
    kind: TaskKind,
    key: &SpannedKey<'_>,
    value: &Value<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Json> {
    let given = json_of(value, page);
    if let Err(fault) = check_json(kind.function(), key.get_ref(), &given) {
        page.error(value.span(), visible(fault.message), None);
        return None;
    }
    Some(given)
}

/// A server and a path on it, as a script gets them.
struct RemotePlace {
    /// The URL without its path.
    url: String,
    path: String,
    is_folder: bool,
    pattern: Option<String>,
}

impl RemotePlace {
    fn parse(text: &str) -> Result<Self> {
        // A saved site is looked up when the job runs, beside the jobs file.
        let (server, url) = match text.strip_prefix('@') {
            None => (server_of(text).to_owned(), Url::parse(text)?),
            Some(rest) => {
                let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
                sites::check_name(name)?;
                (format!("@{name}"), Url::parse(&format!("ftp://site/{path}"))?)
            }
        };
        let utf8 = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .map_err(|_| Error::invalid("the path of the URL is not UTF-8: use a script"))
        };
        let path = url.path.as_ref().map_or(Ok(".".into()), |path| utf8(path.as_bytes()))?;
        let pattern = url.pattern.as_ref().map(|path| utf8(path.as_bytes())).transpose()?;
        Ok(Self { url: server, path, is_folder: url.is_folder, pattern })
    }
}

/// Returns the part of a URL before its path.
fn server_of(text: &str) -> &str {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text.get(start..).and_then(|rest| rest.find('/')).map_or(text.len(), |at| start + at);
    text.get(..end).unwrap_or(text)
}

/// Reads a URL. Messages about one show no password.
fn remote(text: &str, span: Range<usize>, page: &mut JobsDocument<'_>) -> Option<RemotePlace> {
    match RemotePlace::parse(text) {
        Ok(place) => {
            let login = place.url.rsplit_once('@').map_or("", |(login, _)| login);
            if login.rsplit("://").next().is_some_and(|login| login.contains(':')) {
                let hint = "`[job.connect]` takes it from a secret: `password = \"secret:NAME\"`";
                page.warn_of_password(span, "a password stands in the URL", Some(hint.into()));
            }
            Some(place)
        }
        Err(fault) => {
            page.error(span, visible(fault.message), None);
            None
        }
    }
}

/// Reads a required place.
fn needed<'a>(
    table: &mut JobsTable<'a>,
    key: &str,
    heading: &Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<(&'a str, Range<usize>)> {
    if table.get(key).is_none() {
        page.error(heading.clone(), format!("it has no `{key}`"), None);
    }
    let (text, span) = table.text(key, page)?;
    if text.is_empty() {
        page.error(span, format!("`{key}` is empty"), None);
        return None;
    }
    Some((text, span))
}

fn mirror(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<Json> {
    let (from, to) = (needed(table, "from", heading, page), needed(table, "to", heading, page));
    let ((from, from_span), (to, to_span)) = (from?, to?);
    let is_up = sites::is_url(to);
    if is_up == sites::is_url(from) {
        let message = if is_up {
            "one side of a mirror is a local directory, and both are URLs"
        } else {
            "one side of a mirror is a URL (ftp://, ftpes:// or ftps://), and none is"
        };
        page.error(to_span, message, None);
        return None;
    }
    let (local, url, span) = if is_up { (from, to, to_span) } else { (to, from, from_span) };
    let place = remote(url, span, page)?;
    Some(json!({ "url": place.url, "remote": place.path, "local": local, "is_up": is_up }))
}

fn get(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    files: Option<&FileTrigger>,
    page: &mut JobsDocument<'_>,
) -> Option<Json> {
    // A URL that may contain a password, as those of `from`.
    let of_files = files.and_then(|files| files.site.as_ref()).map(|site| site.url.reveal());
    if table.get("from").is_none() && of_files.is_none() {
        page.error(heading.clone(), "it has no `from`", None);
    }
    let urls = table.texts("from", page);
    let mut server: Option<String> = None;
    let mut sources = Vec::new();
    for (url, span) in urls {
        let place = remote(url, span.clone(), page)?;
        if server.as_ref().is_some_and(|known| *known != place.url) {
            page.error(span, "all URLs of a job are of one server and one login", None);
            return None;
        }
        if place.is_folder {
            let hint =
                Some("`[job.mirror]` copies a directory; `*` at its end means its files".into());
            page.error(span, "this URL names a directory", hint);
            return None;
        }
        server = Some(place.url);
        let is_pattern = place.pattern.is_some();
        sources
            .push(json!({ "path": place.pattern.unwrap_or(place.path), "is_pattern": is_pattern }));
    }
    let local = table.text("to", page).map_or(".", |(text, _)| text);
    let is_folder = local.ends_with('/');
    let url = server.or_else(|| of_files.map(str::to_owned))?;
    let mut values = json!({ "url": url, "from": sources, "local": local, "is_folder": is_folder });
    if let (Some(site), Some(values)) = (of_files, values.as_object_mut()) {
        values.insert("site".into(), site.into());
    }
    Some(values)
}

fn put(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    trigger: Option<&FileTrigger>,
    page: &mut JobsDocument<'_>,
) -> Option<Json> {
    let (to, span) = needed(table, "to", heading, page)?;
    if !sites::is_url(to) {
        let hint = Some("such as `to = \"ftpes://me@ftp.example.org/in/\"`".into());
        page.error(span, "`to` is a URL", hint);
        return None;
    }
    let place = remote(to, span.clone(), page)?;
    if table.get("from").is_none() && trigger.is_none() {
        page.error(heading.clone(), "it has no `from`", None);
    }
    let files = table.texts("from", page);
    let is_pattern = |text: &str| text.contains(['*', '?', '[']);
    let is_several =
        trigger.is_some() || files.len() > 1 || files.iter().any(|(text, _)| is_pattern(text));
    if is_several && !place.is_folder {
        page.error(span, "several files need a directory: end the URL with a slash", None);
        return None;
    }
    let sources =
        files.iter().map(|(text, _)| json!({ "path": text, "is_pattern": is_pattern(text) }));
    let sources: Vec<_> = sources.collect();
    let mut remote = place.path;
    if place.is_folder && !remote.ends_with('/') {
        remote.push('/');
    }
    let is_any = trigger.is_some() || !sources.is_empty();
    is_any.then(|| json!({ "url": place.url, "from": sources, "remote": remote }))
}
