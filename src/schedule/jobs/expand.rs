//! Less to repeat: `[defaults]`, and one job for each of several values.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    JOB, TaskKind,
    table::{JobsDocument, SpannedKey, Value},
};
use crate::{limits::JOBS_MAX, observe::visible::visible, similar::nearest};

/// The key of the values for which a job is repeated.
pub(super) const EACH: &str = "each";

/// The keys that a job has for itself alone.
const OWN: [&str; 2] = ["name", EACH];

/// The keys whose tables are merged key by key: those of `[defaults]` are added to those of the job.
const MERGED: [&str; 3] = ["args", "connect", "backoff"];

/// A job to read: its table, the position of its heading, and the values that its name gets in brackets.
#[derive(Debug)]
pub(super) struct JobTable<'t> {
    pub(super) table: Cow<'t, DeTable<'t>>,
    pub(super) span: Range<usize>,
    pub(super) suffix: String,
}

/// Checks the keys of `[defaults]`.
pub(super) fn check_defaults(defaults: &DeTable<'_>, page: &mut JobsDocument<'_>) {
    let known: Vec<_> = JOB.keys().into_iter().filter(|key| !OWN.contains(key)).collect();
    for key in defaults.keys().filter(|key| !known.contains(&&**key.get_ref())) {
        let name = &**key.get_ref();
        if OWN.contains(&name) {
            let message = format!("`[defaults]` has no `{name}`: each job has its own");
            page.error(key.span(), message, None);
        } else {
            page.unknown(key, "`[defaults]`", &known);
        }
    }
}

/// Returns a job with what `[defaults]` adds to it.
pub(super) fn with_defaults<'t>(
    job: &'t DeTable<'t>,
    defaults: Option<&'t DeTable<'t>>,
) -> Cow<'t, DeTable<'t>> {
    let Some(defaults) = defaults.filter(|defaults| !defaults.is_empty()) else {
        return Cow::Borrowed(job);
    };
    let (mut whole, known) = (job.clone(), JOB.keys());
    let works = || TaskKind::ALL.iter().map(|kind| kind.as_str());
    let has = |key: &str| job.contains_key(key) || defaults.contains_key(key);
    // A job without slots is expected on no day, unless it says so itself: it may be run by hand only.
    let is_expected = has("cron") || job.contains_key("expect_by");
    // A zone is for a job that has times, of its own or from here, and no zone in them.
    let has_times = is_expected || ["window", "not_on", "rate_limit"].into_iter().any(has);
    let cron = job.get("cron").or_else(|| defaults.get("cron"));
    let names_zone = |cron: &Value<'_>| {
        cron.get_ref().as_str().is_some_and(|cron| cron.trim_start().contains("TZ="))
    };
    let has_zone = cron.is_some_and(|cron| match cron.get_ref() {
        DeValue::Array(all) => all.iter().any(names_zone),
        _ => names_zone(cron),
    });
    let has_work = works().chain(["script"]).any(|key| job.contains_key(key));
    for (key, value) in defaults {
        let name = &**key.get_ref();
        let is_task = works().any(|work| work == name);
        match (job.get(name), value.get_ref()) {
            _ if OWN.contains(&name) || !known.contains(&name) => {}
            (None, _) if name == "timezone" && (has_zone || !has_times) => {}
            (None, _) if ["expect_by", "on_late"].contains(&name) && !is_expected => {}
            (None, _) if is_task || (name == "script" && has_work) => {}
            (None, _) => {
                whole.insert(key.clone(), value.clone());
            }
            (Some(given), DeValue::Table(more)) if is_task || MERGED.contains(&name) => {
                if let DeValue::Table(table) = given.get_ref() {
                    let mut table = table.clone();
                    for (key, value) in more {
                        table.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                    put(&mut whole, name, Spanned::new(given.span(), DeValue::Table(table)));
                }
            }
            (Some(_), _) => {}
        }
    }
    Cow::Owned(whole)
}

/// Replaces the value of a key.
fn put<'t>(table: &mut DeTable<'t>, key: &str, value: Value<'t>) {
    if let Some(old) = table.get_mut(key) {
        *old = value;
    }
}

/// Returns one job for each combination of the values of `each`, or the job itself.
pub(super) fn for_each<'t>(
    table: Cow<'t, DeTable<'t>>,
    span: Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Vec<JobTable<'t>> {
    let Some(each) = table.get(EACH) else {
        return vec![JobTable { table, span, suffix: String::new() }];
    };
    let Some(axes) = axes(each, page) else { return Vec::new() };
    check_names(&DeValue::Table(table.clone().into_owned()), &axes, page);
    let count = axes.iter().map(|(_, values)| values.len()).try_fold(1_usize, usize::checked_mul);
    if count.is_none_or(|count| count > JOBS_MAX) {
        page.error(each.span(), format!("`each` makes more than {JOBS_MAX} jobs"), None);
        return Vec::new();
    }
    let mut combinations: Vec<BTreeMap<&str, &str>> = vec![BTreeMap::new()];
    for (name, values) in &axes {
        let extended = combinations.iter().flat_map(|known| {
            values.iter().map(|value| {
                let mut known = known.clone();
                known.insert(name, value);
                known
            })
        });
        combinations = extended.collect();
    }
    let one = |values: &BTreeMap<&str, &str>| {
        let mut table = table.clone().into_owned();
        table.remove(EACH);
        for (key, value) in &mut table {
            if key.get_ref() != "name" {
                fill_in(value.get_mut(), values);
            }
        }
        let parts: Vec<_> = values.values().map(|value| plain(value)).collect();
        JobTable {
            table: Cow::Owned(table),
            span: span.clone(),
            suffix: format!("[{}]", parts.join(",")),
        }
    };
    combinations.iter().map(one).collect()
}

/// Returns a value as a part of a name.
pub(super) fn plain(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    value.chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
}

/// Reads the names of `each` with their values.
fn axes(each: &Value<'_>, page: &mut JobsDocument<'_>) -> Option<Vec<(String, Vec<String>)>> {
    let hint = || {
        Some("write `each = { site = [\"a\", \"b\"] }`: `{site}` is in the job's values".to_owned())
    };
    let DeValue::Table(table) = each.get_ref() else {
        page.error(each.span(), "`each` wants a table of arrays", hint());
        return None;
    };
    let (mut axes, before) = (Vec::new(), page.errors());
    for (key, value) in table {
        check_name(key, page);
        let DeValue::Array(all) = value.get_ref() else {
            page.error(
                value.span(),
                format!("`{}` wants an array of values", visible(&**key.get_ref())),
                hint(),
            );
            continue;
        };
        let mut values: Vec<String> = Vec::new();
        for item in all {
            match text_of(item.get_ref()) {
                Some(text) if values.contains(&text) => {
                    page.error(item.span(), format!("`{}` is there twice", visible(&*text)), None);
                }
                Some(text) => values.push(text),
                None => {
                    page.error(item.span(), "a value is a string, a number, true or false", None);
                }
            }
        }
        if values.is_empty() && page.errors() == before {
            page.error(value.span(), "it has no values", hint());
        }
        axes.push((key.get_ref().to_string(), values));
    }
    if axes.is_empty() && page.errors() == before {
        page.error(each.span(), "`each` names no values", hint());
    }
    (page.errors() == before).then_some(axes)
}

fn check_name(key: &SpannedKey<'_>, page: &mut JobsDocument<'_>) {
    let name = key.get_ref();
    if !is_name(name) {
        let message = format!("`{}` cannot be a name in `each`", visible(&**name));
        page.error(key.span(), message, Some("letters, digits and `_` can".into()));
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()).filter(|text| !text.is_empty()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Returns the names in braces of a text, with their positions.
fn braces(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    text.match_indices('{').filter_map(|(at, _)| {
        let rest = text.get(at + 1..)?;
        let name = rest.get(..rest.find('}')?)?;
        is_name(name).then_some((name, at + 1..at + 1 + name.len()))
    })
}

/// The keys of a job whose values have no braces of their own, as templates and the arguments of programs have.
const PLAIN: [&str; 6] = ["script", "locks", "tags", "description", "timezone", "window"];

/// Reports names in braces that are probably meant to be of `each`: one like a name of it is an error, and one that is no
/// name of anything is a warning.
fn check_names(value: &DeValue<'_>, axes: &[(String, Vec<String>)], page: &mut JobsDocument<'_>) {
    let DeValue::Table(table) = value else { return };
    let args = table.get("args").and_then(|args| args.get_ref().as_table());
    let known: Vec<_> = axes.iter().map(|(name, _)| name.as_str()).collect();
    let is_arg = |name: &str| args.is_some_and(|args| args.contains_key(name));
    let all = table.iter().filter(|(key, _)| ![EACH, "name"].contains(&&**key.get_ref()));
    for (key, value) in all {
        let is_task = TaskKind::ALL.iter().any(|kind| kind.as_str() == key.get_ref());
        let is_plain = is_task || PLAIN.contains(&&**key.get_ref());
        each_text(value, &mut |text, span| {
            for (name, at) in braces(text) {
                if known.contains(&name) || is_arg(name) {
                    continue;
                }
                let place = page.within(span, text, &at);
                if let Some(near) = nearest(name, &known) {
                    let hint = Some(format!("did you mean `{{{near}}}`?"));
                    page.error(place, format!("`each` has no `{name}`"), hint);
                } else if is_plain {
                    let has: Vec<_> = known.iter().map(|name| format!("`{{{name}}}`")).collect();
                    let has = has.join(", ");
                    let hint = if is_task {
                        format!("it has {has}; `--arg {name}=…` gives a value to a single run")
                    } else {
                        format!("it has {has}")
                    };
                    page.warn(
                        place,
                        format!("`each` has no `{name}`: `{{{name}}}` stays as it is"),
                        Some(hint),
                    );
                }
            }
        });
    }
}

fn each_text(value: &Value<'_>, take: &mut impl FnMut(&str, &Range<usize>)) {
    match value.get_ref() {
        DeValue::String(text) => take(text, &value.span()),
        DeValue::Array(all) => all.iter().for_each(|value| each_text(value, take)),
        DeValue::Table(all) => all.values().for_each(|value| each_text(value, take)),
        _ => {}
    }
}

/// Replaces the names in braces by their values.
fn fill_in(value: &mut DeValue<'_>, values: &BTreeMap<&str, &str>) {
    match value {
        DeValue::String(text) => {
            if let Some(filled) = filled(text, values) {
                *text = Cow::Owned(filled);
            }
        }
        DeValue::Array(all) => all.iter_mut().for_each(|value| fill_in(value.get_mut(), values)),
        DeValue::Table(all) => {
            all.iter_mut().for_each(|(_, value)| fill_in(value.get_mut(), values));
        }
        _ => {}
    }
}

/// Returns the text with the values of its names; `None` if it has none of them. A value is not read again.
fn filled(text: &str, values: &BTreeMap<&str, &str>) -> Option<String> {
    let mut filled = String::new();
    let mut end = 0;
    for (name, at) in braces(text) {
        if let Some(value) = values.get(name) {
            filled.push_str(text.get(end..at.start - 1)?);
            filled.push_str(value);
            end = at.end + 1;
        }
    }
    if end == 0 {
        return None;
    }
    filled.push_str(text.get(end..)?);
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_become_values_once() {
        let values = BTreeMap::from([("site", "{year}"), ("year", "2026")]);
        for (text, wanted) in [
            ("in/{site}/{year}", Some("in/{year}/2026")),
            ("{site}{site}", Some("{year}{year}")),
            ("*.{csv,txt}", None),
            ("{other}", None),
            ("{", None),
            ("é{year}ß", Some("é2026ß")),
        ] {
            assert_eq!(filled(text, &values).as_deref(), wanted, "{text}");
        }
    }
}
