//! A table of a TOML file: its allowed keys, the values they accept, and the position of each.

use crate::similar::nearest;
use std::{
    collections::{BTreeSet, HashSet},
    ops::{Range, RangeInclusive},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    sources::SourceText,
    text::{meant, moved, shown, size},
};
use crate::{
    limits::{DURATION_MAX, JOBS_FINDINGS_MAX},
    observe::visible::visible,
    script::{
        check::{ScriptFinding, Severity},
        raise::ScriptLocation,
        redact::Veil,
        value::parse_time,
    },
};

/// A value with its position.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;
/// A key with its position.
pub(super) type SpannedKey<'t> = Spanned<std::borrow::Cow<'t, str>>;

/// A TOML document, and the findings in it.
#[derive(Debug)]
pub(super) struct JobsDocument<'t> {
    files: &'t [SourceText],
    findings: Vec<(usize, ScriptFinding)>,
    /// The position and the message of each finding.
    told: HashSet<(usize, String)>,
    errors: usize,
    /// The places of passwords that are written out.
    pub(super) passwords: Vec<ScriptLocation>,
}

impl<'t> JobsDocument<'t> {
    pub(super) fn new(files: &'t [SourceText]) -> Self {
        Self { files, findings: Vec::new(), told: HashSet::new(), errors: 0, passwords: Vec::new() }
    }

    /// Parses a file, as far as it is TOML. The positions of its values are those among all files.
    pub(super) fn document(&mut self, source: &'t SourceText) -> DeTable<'t> {
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        for error in errors {
            // A message may have several lines; its first one describes the error.
            let message = visible(error.message().lines().next().unwrap_or("not TOML"));
            let span = error.span().unwrap_or(0..0);
            let span = span.start + source.base..span.end + source.base;
            self.error(span, format!("not TOML: {message}"), None);
        }
        let document = document.into_inner();
        if source.base == 0 { document } else { moved(document, source.base) }
    }

    /// Returns the file that contains a position.
    pub(super) fn source(&self, at: usize) -> Option<&'t SourceText> {
        self.files.iter().rev().find(|file| file.base <= at)
    }

    pub(super) fn error(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.add(Severity::Error, span, message.into(), hint);
    }

    pub(super) fn warn(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.add(Severity::Warning, span, message.into(), hint);
    }

    fn add(&mut self, level: Severity, span: Range<usize>, message: String, hint: Option<String>) {
        let Some(source) = self.source(span.start) else { return };
        // What many jobs have in common is wrong once.
        if !self.told.insert((span.start, message.clone())) {
            return;
        }
        self.errors += usize::from(level == Severity::Error);
        if self.findings.len() >= JOBS_FINDINGS_MAX && (level != Severity::Error || self.errors > 1)
        {
            return;
        }
        let place = source.place(span.start);
        let finding = ScriptFinding { level, message, place, hint };
        self.findings.push((span.start, finding));
    }

    /// Adds an error in a file of another kind, which the value at `span` names.
    pub(super) fn error_in(
        &mut self,
        span: &Range<usize>,
        file: &str,
        line: usize,
        message: String,
    ) {
        let place = ScriptLocation { file: file.to_owned(), line, column: 1 };
        let level = Severity::Error;
        self.errors += 1;
        self.findings.push((span.start, ScriptFinding { level, message, place, hint: None }));
    }

    /// Returns the number of errors so far.
    pub(super) const fn errors(&self) -> usize {
        self.errors
    }

    pub(super) const fn is_right(&self) -> bool {
        self.errors == 0
    }

    /// Returns the findings, in the order of the file, and whether they contain no error.
    pub(super) fn done(mut self) -> (Vec<ScriptFinding>, bool) {
        let is_right = self.is_right();
        self.findings.sort_by_key(|(at, _)| *at);
        let mut findings: Vec<_> = self.findings.into_iter().map(|(_, finding)| finding).collect();
        if !findings.is_empty() {
            for source in self.files {
                let veil = Veil::of("jobs.toml", &source.text);
                for finding in &mut findings {
                    finding.hide(&veil);
                }
            }
        }
        (findings, is_right)
    }

    /// Returns the position of `range` within the string at `span`: exact if the string has no escapes.
    pub(super) fn within(
        &self,
        span: &Range<usize>,
        value: &str,
        range: &Range<usize>,
    ) -> Range<usize> {
        let source = self.source(span.start);
        let written = source.and_then(|source| {
            source.text.get(span.start - source.base..span.end.checked_sub(source.base)?)
        });
        match written.unwrap_or_default().find(value) {
            Some(at) => span.start + at + range.start..span.start + at + range.end,
            None => span.clone(),
        }
    }

    fn wants(&mut self, key: &str, wants: &str, value: &Value<'_>) {
        let given = shown(value.get_ref());
        self.error(value.span(), format!("`{}` wants {wants}, got {given}", visible(key)), None);
    }

    pub(super) fn text_of<'v>(&mut self, key: &str, value: &'v Value<'_>) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wants(key, "a string", value);
        }
        text
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        least: i64,
        most: i64,
    ) -> Option<T> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wants(key, &format!("a whole number from {least} to {most}"), value);
        }
        number.and_then(|number| T::try_from(number).ok())
    }

    /// Reads a string, or each string of an array.
    fn texts<'v>(&mut self, key: &str, value: &'v Value<'_>) -> Vec<(&'v str, Range<usize>)> {
        let wants = "a string or an array of strings";
        match value.get_ref() {
            DeValue::String(text) => vec![(&**text, value.span())],
            DeValue::Array(all) => {
                let mut texts = Vec::new();
                for item in all {
                    match item.get_ref().as_str() {
                        Some(text) => texts.push((text, item.span())),
                        None => self.wants(key, wants, item),
                    }
                }
                texts
            }
            _ => {
                self.wants(key, wants, value);
                Vec::new()
            }
        }
    }

    /// Reports that `key` is not one of `known`, and suggests the nearest.
    pub(super) fn unknown(&mut self, key: &SpannedKey<'_>, what: &str, known: &[&str]) {
        let name = key.get_ref();
        let near = meant(name).filter(|_| known.contains(&"cron")).map(str::to_owned);
        let near = near.or_else(|| {
            let of_job = !known.contains(&"cron") && ["name", "script", "cron"].contains(&&**name);
            of_job.then(|| "it is a job's: a job begins with `[[job]]`".to_owned())
        });
        let near = near.or_else(|| Some(format!("did you mean `{}`?", nearest(name, known)?)));
        let hint = near.unwrap_or_else(|| format!("it has {}", known.join(", ")));
        self.error(key.span(), format!("{what} has no key `{}`", visible(&**name)), Some(hint));
    }
}

/// A table whose keys are all known.
#[derive(Debug)]
pub(super) struct JobsTable<'a> {
    table: &'a DeTable<'a>,
}

impl<'a> JobsTable<'a> {
    /// Checks the keys of `what`; those that are not `known` are errors.
    pub(super) fn new(
        table: &'a DeTable<'a>,
        what: &str,
        known: &[&str],
        page: &mut JobsDocument<'_>,
    ) -> Self {
        for key in table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            page.unknown(key, what, known);
        }
        Self { table }
    }

    /// Wraps a table whose keys have been checked.
    pub(super) const fn new_unchecked(table: &'a DeTable<'a>) -> Self {
        Self { table }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.get(key)
    }

    /// Returns the position of a key.
    pub(super) fn place(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    pub(super) fn text(
        &mut self,
        key: &str,
        page: &mut JobsDocument<'_>,
    ) -> Option<(&'a str, Range<usize>)> {
        let value = self.get(key)?;
        Some((page.text_of(key, value)?, value.span()))
    }

    pub(super) fn texts(
        &mut self,
        key: &str,
        page: &mut JobsDocument<'_>,
    ) -> Vec<(&'a str, Range<usize>)> {
        self.get(key).map(|value| page.texts(key, value)).unwrap_or_default()
    }

    pub(super) fn flag(&mut self, key: &str, page: &mut JobsDocument<'_>) -> Option<bool> {
        let value = self.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            page.wants(key, "true or false", value);
        }
        flag
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        least: i64,
        most: i64,
        page: &mut JobsDocument<'_>,
    ) -> Option<T> {
        page.number(key, self.get(key)?, least, most)
    }

    /// Reads a number from 1 to 100, whole or not.
    pub(super) fn factor(&mut self, key: &str, page: &mut JobsDocument<'_>) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number: &f64| (1.0..=100.0).contains(number));
        if number.is_none() {
            page.wants(key, "a number from 1 to 100", value);
        }
        number
    }

    pub(super) fn duration(&mut self, key: &str, page: &mut JobsDocument<'_>) -> Option<Duration> {
        self.duration_in(key, &(Duration::ZERO..=DURATION_MAX), page)
    }

    /// Reads a duration in a range.
    pub(super) fn duration_in(
        &mut self,
        key: &str,
        range: &RangeInclusive<Duration>,
        page: &mut JobsDocument<'_>,
    ) -> Option<Duration> {
        let value = self.get(key)?;
        let time = value.get_ref().as_str().and_then(parse_time);
        let Some(time) = time.filter(|time| time <= range.end()) else {
            let given = shown(value.get_ref());
            let hint = if let DeValue::Integer(number) = value.get_ref() {
                format!("write `\"{}s\"` for seconds", number.as_str())
            } else {
                let days = range.end().as_secs() / 86400;
                format!("units are ms, s, m, h and d; {days} days are the longest")
            };
            let wants = "a duration such as \"90s\" or \"5m\"";
            page.error(value.span(), format!("`{key}` wants {wants}, got {given}"), Some(hint));
            return None;
        };
        if time < *range.start() {
            let hint = "leave the key out where there is to be no limit".to_owned();
            page.error(value.span(), format!("`{key}` is no time at all"), Some(hint));
            return None;
        }
        Some(time)
    }

    /// Returns true if `key` disables a limit: `"none"`, or 0.
    pub(super) fn is_none_at_all(&mut self, key: &str) -> bool {
        self.get(key).is_some_and(|value| match value.get_ref() {
            DeValue::Integer(number) => number.as_str() == "0",
            DeValue::String(text) => text == "none",
            _ => false,
        })
    }

    /// Reads bytes: a number, or a string such as `"64MiB"`.
    pub(super) fn size(&mut self, key: &str, page: &mut JobsDocument<'_>) -> Option<u64> {
        let value = self.get(key)?;
        let bytes = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::String(text) => size(text),
            _ => None,
        };
        if bytes.is_none() {
            page.wants(key, "bytes such as 1048576 or \"10MiB\"", value);
        }
        bytes
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
        page: &mut JobsDocument<'_>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let word = page.text_of(key, value)?;
        choice(key, word, value.span(), choices, page)
    }

    /// Reads a table whose keys are `known`.
    pub(super) fn table(
        &mut self,
        key: &str,
        what: &str,
        known: &[&str],
        page: &mut JobsDocument<'_>,
    ) -> Option<JobsTable<'a>> {
        let value = self.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            let given = shown(value.get_ref());
            let is_first = matches!(
                (key, value.get_ref()),
                ("backoff" | "watch", DeValue::String(_)) | ("retention", DeValue::Integer(_))
            );
            // These have a first key whose value one would write in place of the table.
            let first = known.first().filter(|_| is_first);
            let hint = first.map(|first| format!("write `{key} = {{ {first} = {given} }}`"));
            page.error(value.span(), format!("`{key}` wants a table, got {given}"), hint);
            return None;
        };
        Some(JobsTable::new(table, what, known, page))
    }

    /// Reads a table with arbitrary keys.
    pub(super) fn open_table(
        &mut self,
        key: &str,
        page: &mut JobsDocument<'_>,
    ) -> Option<&'a DeTable<'a>> {
        let value = self.get(key)?;
        if let DeValue::Table(table) = value.get_ref() {
            return Some(table);
        }
        page.wants(key, "a table", value);
        None
    }

    /// Reads an array of tables, each with the position of its heading.
    pub(super) fn tables(
        &mut self,
        key: &str,
        page: &mut JobsDocument<'_>,
    ) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let hint = Some(format!("write `[[{key}]]` with two brackets for each"));
        let DeValue::Array(all) = value.get_ref() else {
            let span = self.place(key).unwrap_or_else(|| value.span());
            page.error(span, format!("`{key}` wants an array of tables"), hint);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in all {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span())),
                _ => page.error(item.span(), format!("`{key}` wants tables"), hint.clone()),
            }
        }
        tables
    }
}

/// Reads one of several words.
pub(super) fn choice<T: Copy>(
    key: &str,
    word: &str,
    span: Range<usize>,
    choices: &[(&str, T)],
    page: &mut JobsDocument<'_>,
) -> Option<T> {
    if let Some((_, choice)) = choices.iter().find(|(known, _)| *known == word) {
        return Some(*choice);
    }
    let known: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
    let near = nearest(word, &known).map(|near| format!("did you mean \"{near}\"?"));
    let listed: Vec<_> = known.iter().map(|word| format!("\"{word}\"")).collect();
    let wants = if known.len() == 1 { "" } else { "one of " };
    let message = format!("`{key}` wants {wants}{}, got \"{}\"", listed.join(", "), visible(word));
    page.error(span, message, near);
    None
}

/// Returns a string that occurs twice.
pub(super) fn twice<'v>(all: &[(&'v str, Range<usize>)]) -> Option<(&'v str, Range<usize>)> {
    let mut seen = BTreeSet::new();
    all.iter().find(|(text, _)| !seen.insert(*text)).cloned()
}
