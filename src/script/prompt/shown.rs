//! The output for the value of a line: listings as tables, everything else as text.

use jiff::{Timestamp, tz::TimeZone};
use rhai::{Array, Dynamic, Map};

use crate::{
    observe::{
        counted, format_size,
        visible::{visible, visible_lines},
    },
    script::{show, value::Time},
};

/// The order of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ListOrder {
    /// By path.
    #[default]
    Name,
    /// By time, the newest first.
    Time,
    /// By size, the largest first.
    Size,
}

/// The form of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the user's")]
pub(super) struct ListForm {
    pub(super) order: ListOrder,
    pub(super) is_reversed: bool,
    /// True for local times and a line of totals.
    pub(super) is_long: bool,
    /// True for sizes with units.
    pub(super) is_human: bool,
    /// True for names alone.
    pub(super) names_only: bool,
}

/// Returns the text for a listing in this form, or for another value.
pub(super) fn listed(value: &Dynamic, form: ListForm) -> Option<String> {
    let all = value.read_lock::<Array>().and_then(|array| entries(&array));
    let Some(mut all) = all.filter(|all| !all.is_empty()) else { return shown(value) };
    match form.order {
        ListOrder::Name => {}
        ListOrder::Time => all.sort_by_key(|entry| std::cmp::Reverse(at(entry))),
        ListOrder::Size => all.sort_by_key(|entry| std::cmp::Reverse(bytes(entry))),
    }
    if form.is_reversed {
        all.reverse();
    }
    if form.names_only {
        return Some(all.iter().map(|entry| visible(path(entry))).collect::<Vec<_>>().join("\n"));
    }
    let text = table(&all, form);
    Some(if form.is_long { format!("{text}\n{}", totals(&all)) } else { text })
}

/// Returns the text for `value`; `None` for `()`.
pub(super) fn shown(value: &Dynamic) -> Option<String> {
    if value.is_unit() {
        return None;
    }
    if let Some(array) = value.read_lock::<Array>() {
        if let Some(entries) = entries(&array) {
            return (!entries.is_empty()).then(|| table(&entries, ListForm::default()));
        }
        let is_plain = !array.is_empty() && array.iter().all(Dynamic::is_string);
        if is_plain {
            return Some(array.iter().map(show::text).collect::<Vec<_>>().join("\n"));
        }
    }
    if let Some(map) = value.read_lock::<Map>() {
        if is_entry(&map) {
            return Some(table(std::slice::from_ref(&map), ListForm::default()));
        }
        if let (2, Some(code), Some(text)) = (map.len(), map.get("code"), map.get("text")) {
            return Some(format!("{code} {text}"));
        }
    }
    // A trailing newline would leave an empty line.
    Some(show::text(value).trim_end_matches('\n').to_owned())
}

/// Returns the entries of a listing, sorted; `None` if `array` is no listing.
fn entries(array: &Array) -> Option<Vec<Map>> {
    let mut all = Vec::new();
    for value in array {
        all.push(value.read_lock::<Map>().filter(|map| is_entry(map))?.clone());
    }
    all.sort_by_cached_key(path);
    Some(all)
}

fn is_entry(map: &Map) -> bool {
    ["name", "kind", "size", "modified"].iter().all(|key| map.contains_key(*key))
}

/// Returns the path of an entry if it has one, otherwise its name.
fn path(map: &Map) -> String {
    map.get("path").or_else(|| map.get("name")).map(show::text).unwrap_or_default()
}

fn word(map: &Map, key: &str) -> String {
    map.get(key).map(show::text).unwrap_or_default()
}

/// Returns a table with one line per entry: kind, permissions, size, time, name.
fn table(entries: &[Map], form: ListForm) -> String {
    let sizes: Vec<_> = entries.iter().map(|entry| size(entry, form.is_human)).collect();
    let time_width = if form.is_long { 16 } else { 20 };
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    let lines = entries.iter().zip(&sizes).map(|(entry, size)| {
        let (letter, slash) = match word(entry, "kind").as_str() {
            "dir" => ('d', "/"),
            "file" => ('-', ""),
            "link" => ('l', ""),
            _ => ('?', ""),
        };
        let target = word(entry, "target");
        let arrow = if target.is_empty() { "" } else { " -> " };
        format!(
            "{letter} {:4}  {size:>width$}  {:<time_width$}  {}{slash}{arrow}{}",
            word(entry, "permissions"),
            time(entry, form.is_long),
            visible(path(entry)),
            visible(&target)
        )
    });
    visible_lines(&lines.collect::<Vec<_>>().join("\n"))
}

fn size(entry: &Map, is_human: bool) -> String {
    let size = word(entry, "size");
    match bytes(entry) {
        _ if size.is_empty() || word(entry, "kind") == "dir" => "-".into(),
        Some(bytes) if is_human => format_size(bytes),
        _ => size,
    }
}

fn bytes(entry: &Map) -> Option<u64> {
    entry.get("size").and_then(|size| size.as_int().ok()).and_then(|size| u64::try_from(size).ok())
}

fn at(entry: &Map) -> Option<Timestamp> {
    entry.get("modified").and_then(|value| value.clone().try_cast::<Time>()).map(|time| time.at())
}

/// Returns the time to the second, or the local one to the minute: more is noise in a table.
fn time(entry: &Map, is_local: bool) -> String {
    let Some(at) = at(entry) else { return String::new() };
    if is_local {
        at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
    } else {
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

fn totals(entries: &[Map]) -> String {
    let count = |kind| entries.iter().filter(|entry| word(entry, "kind") == kind).count();
    let (files, folders) = (count("file"), count("dir"));
    let all = entries.iter().filter(|entry| word(entry, "kind") == "file");
    let bytes = format_size(all.filter_map(bytes).fold(0, u64::saturating_add));
    format!("{}, {}, {bytes}", counted(files, "file"), counted(folders, "directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: &str, size: i64) -> Dynamic {
        let mut map = Map::new();
        map.insert("name".into(), name.into());
        map.insert("kind".into(), kind.into());
        map.insert("size".into(), size.into());
        map.insert("modified".into(), Dynamic::UNIT);
        map.insert("permissions".into(), "0644".into());
        map.insert("target".into(), Dynamic::UNIT);
        map.into()
    }

    #[test]
    fn a_listing_is_a_table_and_other_values_are_words() {
        let listing = vec![entry("b.txt", "file", 12), entry("a", "dir", 4096)];
        assert_eq!(
            shown(&listing.into()).unwrap(),
            "d 0644   -                        a/\n- 0644  12                        b.txt"
        );
        let listing = || Dynamic::from(vec![entry("b.txt", "file", 12), entry("a", "dir", 4096)]);
        let form = ListForm { is_reversed: true, names_only: true, ..ListForm::default() };
        assert_eq!(listed(&listing(), form).unwrap(), "b.txt\na");
        let form = ListForm { order: ListOrder::Size, is_long: true, is_human: true, ..form };
        let text = listed(&listing(), ListForm { names_only: false, ..form }).unwrap();
        assert!(text.starts_with("- 0644  12 B") && text.ends_with("\n1 file, 1 directory, 12 B"));
        assert_eq!(listed(&5.into(), form).unwrap(), "5");
        assert_eq!(shown(&vec![Dynamic::from("a"), "b".into()].into()).unwrap(), "a\nb");
        assert_eq!(shown(&Dynamic::UNIT), None);
        assert_eq!(shown(&Dynamic::from_array(Vec::new())), None);
        assert_eq!(shown(&5.into()).unwrap(), "5");
        assert_eq!(shown(&"one\ntwo\n".into()).unwrap(), "one\ntwo");
        let reply = Map::from([("code".into(), 200.into()), ("text".into(), "fine".into())]);
        assert_eq!(shown(&reply.into()).unwrap(), "200 fine");
    }
}
