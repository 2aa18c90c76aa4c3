//! The output for the value of a line: listings as tables, everything else as text.

use rhai::{Array, Dynamic, Map};

use crate::{
    observe::visible::{visible, visible_lines},
    script::{show, value::Time},
};

/// Returns the text for `value`; `None` for `()`.
pub(super) fn shown(value: &Dynamic) -> Option<String> {
    if value.is_unit() {
        return None;
    }
    if let Some(array) = value.read_lock::<Array>() {
        if let Some(entries) = entries(&array) {
            return (!entries.is_empty()).then(|| table(&entries));
        }
        let is_plain = !array.is_empty() && array.iter().all(Dynamic::is_string);
        if is_plain {
            return Some(array.iter().map(show::text).collect::<Vec<_>>().join("\n"));
        }
    }
    if let Some(map) = value.read_lock::<Map>() {
        if is_entry(&map) {
            return Some(table(std::slice::from_ref(&map)));
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
fn table(entries: &[Map]) -> String {
    let sizes: Vec<_> = entries.iter().map(size).collect();
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
            "{letter} {:4}  {size:>width$}  {:<20}  {}{slash}{arrow}{}",
            word(entry, "permissions"),
            time(entry),
            visible(path(entry)),
            visible(&target)
        )
    });
    visible_lines(&lines.collect::<Vec<_>>().join("\n"))
}

fn size(entry: &Map) -> String {
    let size = word(entry, "size");
    if size.is_empty() || word(entry, "kind") == "dir" { "-".into() } else { size }
}

/// Returns the time to the second: more is noise in a table.
fn time(entry: &Map) -> String {
    let time = entry.get("modified").and_then(|value| value.clone().try_cast::<Time>());
    time.map_or_else(String::new, |time| time.at().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
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
        assert_eq!(shown(&vec![Dynamic::from("a"), "b".into()].into()).unwrap(), "a\nb");
        assert_eq!(shown(&Dynamic::UNIT), None);
        assert_eq!(shown(&Dynamic::from_array(Vec::new())), None);
        assert_eq!(shown(&5.into()).unwrap(), "5");
        assert_eq!(shown(&"one\ntwo\n".into()).unwrap(), "one\ntwo");
        let reply = Map::from([("code".into(), 200.into()), ("text".into(), "fine".into())]);
        assert_eq!(shown(&reply.into()).unwrap(), "200 fine");
    }
}
