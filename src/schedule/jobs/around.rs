//! The jobs that run before a job, and the programs before and after its work.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::Arc,
};

use toml::de::DeValue;

use super::{
    job::ParsedJob,
    table::{JobsDocument, JobsTable, Value},
};
use crate::schedule::child::programs::RunPrograms;

/// The names of jobs, with their positions.
pub(super) type JobNames = Vec<(Arc<str>, Range<usize>)>;

/// Reads `before`, `after` and `finally`. In `after` a string is a job, and an array is a program.
pub(super) fn around(
    table: &mut JobsTable<'_>,
    page: &mut JobsDocument<'_>,
) -> (JobNames, RunPrograms) {
    let (mut jobs, mut programs) = (Vec::new(), RunPrograms::default());
    if let Some(value) = table.get("after") {
        let items: Vec<&Value<'_>> = match value.get_ref() {
            DeValue::Array(all) => all.iter().collect(),
            _ => vec![value],
        };
        for item in items {
            match item.get_ref() {
                DeValue::String(name) => jobs.push((Arc::from(&**name), item.span())),
                DeValue::Array(_) => programs.after.extend(program("after", item, page)),
                _ => {
                    let hint = "a program is an array in it: `after = [[\"unzip\", \"a.zip\"]]`";
                    page.error(
                        item.span(),
                        "`after` wants names of jobs, or programs",
                        Some(hint.into()),
                    );
                }
            }
        }
    }
    programs.before = all("before", table, page);
    programs.finally = all("finally", table, page);
    (jobs, programs)
}

/// Reads programs: an array of arrays, or one program as an array of strings.
fn all(key: &str, table: &JobsTable<'_>, page: &mut JobsDocument<'_>) -> Vec<Vec<String>> {
    let Some(value) = table.get(key) else { return Vec::new() };
    match value.get_ref() {
        DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_array()) => {
            items.iter().filter_map(|item| program(key, item, page)).collect()
        }
        _ => program(key, value, page).into_iter().collect(),
    }
}

/// Reads a program with its arguments.
fn program(key: &str, value: &Value<'_>, page: &mut JobsDocument<'_>) -> Option<Vec<String>> {
    let words = match value.get_ref() {
        DeValue::Array(all) => {
            all.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    let words: Option<Vec<String>> = words;
    let is_program = |words: &Vec<String>| {
        words.first().is_some_and(|program| !program.trim().is_empty())
            && !words.iter().any(|word| word.contains('\0'))
    };
    let words = words.filter(is_program);
    if words.is_none() {
        let hint = format!(
            "such as `{key} = [[\"pg_dump\", \"-f\", \"out/shop.sql\", \"shop\"]]`; no shell reads it"
        );
        let message = format!("`{key}` wants programs, each an array of strings");
        page.error(value.span(), message, Some(hint));
    }
    words
}

/// Replaces a name in `after` that is of several jobs, made by `each`, by theirs.
pub(super) fn name_groups(all: &mut [ParsedJob]) {
    let mut groups: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
    let names: HashSet<_> =
        all.iter().filter_map(|read| Some(Arc::clone(&read.name.as_ref()?.0))).collect();
    for name in all.iter().filter_map(|read| Some(&read.name.as_ref()?.0)) {
        if let Some((group, _)) = name.split_once('[') {
            groups.entry(group.to_owned()).or_default().push(Arc::clone(name));
        }
    }
    for read in all.iter_mut().filter(|_| !groups.is_empty()) {
        let after = std::mem::take(&mut read.after).into_iter().flat_map(|(name, span)| {
            let members = groups.get(&*name).filter(|_| !names.contains(&name));
            match members {
                Some(members) => {
                    members.iter().map(|one| (Arc::clone(one), span.clone())).collect()
                }
                None => vec![(name, span)],
            }
        });
        read.after = after.collect();
        if let Some(job) = &mut read.job {
            job.after = read.after.iter().map(|(name, _)| Arc::clone(name)).collect();
        }
    }
}
