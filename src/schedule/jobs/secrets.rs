//! The secrets that a jobs file names: `"secret:NAME"` and `{ secret = "NAME" }`.

use std::{collections::BTreeMap, ops::Range};

use toml::de::{DeTable, DeValue};

use super::{
    job::{SECRET, secret_of},
    table::{JobsDocument, Value},
};

/// A secret that a jobs file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecret {
    /// Its name.
    pub name: String,
    /// The file that names it first, as it is shown.
    pub file: String,
    /// The position in the text of the file.
    pub at: usize,
}

/// The keys of a job whose texts are its own.
const OWN_TEXTS: [&str; 3] = ["name", "description", "args"];

/// The secrets that were found so far, by their names, with their positions among all files.
#[derive(Debug, Default)]
pub(super) struct SecretNames(BTreeMap<String, usize>);

impl SecretNames {
    /// Adds those that a table names.
    pub(super) fn of_table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            if !OWN_TEXTS.contains(&&**key.get_ref()) {
                self.of_value(value);
            }
        }
    }

    /// Returns those that a run of the job in this table needs: all but those of its notifications, in the order of their
    /// names.
    pub(super) fn of_job(table: &DeTable<'_>) -> Vec<String> {
        let mut names = Self::default();
        for (key, value) in table {
            let key = &**key.get_ref();
            if !OWN_TEXTS.contains(&key) && !key.starts_with("on_") {
                names.of_value(value);
            }
        }
        names.0.into_keys().collect()
    }

    fn of_value(&mut self, value: &Value<'_>) {
        match value.get_ref() {
            DeValue::String(text) => self.add(text, value.span().start),
            DeValue::Array(all) => all.iter().for_each(|one| self.of_value(one)),
            DeValue::Table(table) => match secret_of(table) {
                Some(text) => self.add(&text, value.span().start),
                None => table.values().for_each(|one| self.of_value(one)),
            },
            _ => {}
        }
    }

    fn add(&mut self, text: &str, at: usize) {
        if let Some(name) = text.strip_prefix(SECRET).map(str::trim)
            && !self.0.contains_key(name)
        {
            self.0.insert(name.to_owned(), at);
        }
    }

    /// Returns them in the order of their names.
    pub(super) fn named(self, page: &JobsDocument<'_>) -> Vec<NamedSecret> {
        let named = |(name, at): (String, usize)| {
            let source = page.source(at)?;
            Some(NamedSecret { name, file: source.shown.clone(), at: at - source.base })
        };
        self.0.into_iter().filter_map(named).collect()
    }
}

/// The maximum number of passwords whose places are kept: a file with one is refused already.
const PASSWORDS_MAX: usize = 20;

impl JobsDocument<'_> {
    /// Warns of a password that is written out.
    pub(super) fn warn_of_password(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if let Some(source) = self.source(span.start)
            && self.passwords.len() < PASSWORDS_MAX
        {
            let place = source.place(span.start);
            // Of a default that many jobs share there is one.
            if !self.passwords.contains(&place) {
                self.passwords.push(place);
            }
        }
        self.warn(span, message, hint);
    }
}
