//! The manual of the language, generated from the doc comments of its functions.

use crate::similar::nearest;
use std::collections::BTreeMap;

use super::{
    engine, language,
    options::{Taker, taker},
    signatures::{Signature, ours},
};

/// The families in the order of the manual: the prefix of each, and its description.
const FAMILIES: &[(&str, &str)] = &[
    ("ftp::", "Sessions with FTP servers."),
    ("session", "What `ftp::connect` gives, here called `site`: one login on one server."),
    ("plan", "What a mirror would do; `apply` does it."),
    ("report", "What a transfer or a mirror did."),
    ("nat::", "Rules of this machine that let FTP through."),
    (
        "ruleset",
        "What `nat::ruleset` gives, here called `rules`: one table of rules, which is this machine's only when it is \
         applied.",
    ),
    (
        "local::",
        "Files of this machine. Relative paths count from the folder in which portolan was started.",
    ),
    ("csv::", "Tables as spreadsheets and databases write them (RFC 4180), in UTF-8."),
    (
        "json::",
        "JSON of any value: `()` is `null`; times, errors and reports are as `to_json` writes them; secrets are `***`.",
    ),
    (
        "http::",
        "HTTP requests, to hosts that the run allows: `portolan run --allow-http=HOST`, or `http` in `[job.permissions]`.",
    ),
    (
        "run::",
        "Programs of this host, which the run allows: `portolan run --allow-run=PROGRAM`, or `run` in `[job.permissions]`.",
    ),
    (
        "state::",
        "Values that are kept from run to run: those of a job by its name, those of a script that is run by hand by its path. A \
         rehearsal reads them, and keeps its own only until it ends.",
    ),
    ("base64::", "Bytes as text (RFC 4648)."),
    ("path::", "Paths as text, of local files and of files on servers; nothing is looked up."),
    (
        "run",
        "The run itself. `args` has the script's arguments; `job::NAME`, `job::ATTEMPT`, `job::SCHEDULED_FOR` (a time, or an \
         empty text outside the scheduler), `job::TRIGGER`, `job::TIMEZONE` (for `now`), `job::LAST_SUCCESS` (a time, or `()`) \
         and `job::FILES` (the paths of the files whose arrival has started it, an empty array otherwise) tell what it runs \
         for.",
    ),
    (
        "text",
        "Strings: `\"…\"`, or between backticks, where `${…}` is replaced and a backslash is one. Those that return `()` change \
         the string itself.",
    ),
    (
        "array",
        "Arrays: `[1, 2]`, with `array[0]` for the first element and `array[-1]` for the last. Those that return `()` change \
         the array itself.",
    ),
    ("map", "Maps: `#{ key: value }`, with `map.key` and `map[\"key\"]`; keys are sorted."),
    ("number", "Whole numbers (64 bits) and numbers with a fraction."),
    (
        "blob",
        "Bytes, such as `local::read_blob` returns; `blob[0]` is the first, a number from 0 to 255.",
    ),
    ("language", "The rest of the language."),
    ("log::", "Messages for users who watch the run or read its log. `print` is for output."),
    ("fault", "What failed: `err` in `catch (err)`. `fault(err)` makes one of any caught value."),
    (
        "time",
        "A point in time with a time zone, from `now()`, `time(\"2026-02-11\")`, `parse_time` and as the time of a file. Two of \
         them compare, and subtract to seconds; `now() - \"1d\"`, `now() - 86400` and `now() + 0.5` are times again.",
    ),
];

/// The introduction of the manual.
const HEAD: &str = "\
# The functions of scripts

Scripts are written in [Rhai](https://rhai.rs/book/); [tour.md](tour.md) shows the language in ten minutes. This page has
the functions that portolan adds, and under *Text*, *Array*, *Map*, *Number*, *Blob* and *Language* also those of the
language itself. `portolan functions NAME` shows one of them, `portolan check` finds calls that do not fit.

The name before a dot stands for any value of its kind: `text.len()` is `\"abc\".len()`, `site.get(…)` a call on what
`ftp::connect` returns.

What fails in a closure fails in the function that calls it, also in the comparator of `sort`. A comparator gives a
number (below 0 if its first argument comes first) or `true` if it does; a predicate, as of `filter` and `retain`, gives
`true` or `false`. Anything else is an error.

Durations are texts such as `\"90s\"` or `\"5m\"`, or a number of seconds. Options are maps, `#{ key: value }`; a key that
is not known is an error.

This page is written by `portolan functions --markdown`.
";

/// A function or property with all its overloads.
#[derive(Debug, Clone)]
pub struct DocEntry {
    /// The family to which it belongs.
    pub family: String,
    /// The name by which it is called: `ftp::connect`, `site.get`.
    pub path: String,
    /// The name without its prefix.
    pub name: String,
    /// True if it is read without parentheses.
    pub is_property: bool,
    /// The overloads, the one with the fewest arguments first.
    pub overloads: Vec<Overload>,
    /// The options that it accepts.
    pub options: Vec<&'static str>,
}

/// One overload of a function.
#[derive(Debug, Clone)]
pub struct Overload {
    /// The signature, such as `site.get(remote: string, local: string) -> Report`.
    pub signature: String,
    /// The names of its arguments.
    pub arguments: Vec<String>,
    /// The description, without the examples.
    pub text: String,
    /// The example scripts.
    pub examples: Vec<String>,
}

/// Returns all functions and properties that portolan adds, by family and name; properties come last in a family.
pub fn functions() -> Vec<DocEntry> {
    collected(&[])
}

/// Returns the same with the functions of the language itself: the whole manual.
pub fn all_functions() -> Vec<DocEntry> {
    collected(&language::entries())
}

fn collected(language: &[DocEntry]) -> Vec<DocEntry> {
    let mut entries: BTreeMap<(usize, bool, String), DocEntry> = BTreeMap::new();
    for one in ours(&engine::bare()).iter().filter(|one| !is_internal(one)) {
        let family = family(one);
        let order = FAMILIES.iter().position(|(known, _)| *known == family);
        let path = one.path();
        let key = (order.unwrap_or(FAMILIES.len()), one.is_property, path.clone());
        let entry = entries.entry(key).or_insert_with(|| DocEntry {
            family,
            name: one.name.clone(),
            is_property: one.is_property,
            overloads: Vec::new(),
            options: taker(&path)
                .or_else(|| taker(&one.name).filter(|_| one.receiver().is_some()))
                .map_or_else(Vec::new, Taker::keys),
            path,
        });
        entry.overloads.push(overload(one));
    }
    for entry in language.iter().cloned() {
        let order = FAMILIES.iter().position(|(known, _)| *known == entry.family);
        let key = (order.unwrap_or(FAMILIES.len()), false, entry.path.clone());
        match entries.get_mut(&key) {
            Some(known) => known.overloads.extend(entry.overloads),
            None => drop(entries.insert(key, entry)),
        }
    }
    let mut entries: Vec<_> = entries.into_values().collect();
    for entry in &mut entries {
        // Of several with the same number of arguments the one with the longest text comes first.
        entry.overloads.sort_by_cached_key(|one| {
            let length = one.text.len();
            (one.arguments.len(), usize::MAX - length, one.signature.clone())
        });
    }
    entries
}

/// Returns true if this only prints a value, which no script calls by name.
fn is_internal(one: &Signature) -> bool {
    let is_printer = matches!(one.name.as_str(), "to_string" | "to_debug" | "print" | "debug");
    is_printer && (one.namespace.is_empty() || one.receiver().is_some())
}

fn family(one: &Signature) -> String {
    match one.receiver() {
        Some(receiver) => match receiver.kind.as_str() {
            "string" => "text".into(),
            "int" | "float" => "number".into(),
            other => other.to_lowercase(),
        },
        None if one.namespace.is_empty() => "run".into(),
        None => format!("{}::", one.namespace),
    }
}

fn overload(one: &Signature) -> Overload {
    let mut text = Vec::new();
    let mut examples = Vec::new();
    let mut example: Option<Vec<&str>> = None;
    let doc = with_options(&one.doc);
    for line in doc.lines() {
        match (line.trim_end(), &mut example) {
            ("```rhai", None) => example = Some(Vec::new()),
            ("```", Some(lines)) => {
                examples.push(lines.join("\n"));
                example = None;
            }
            (line, Some(lines)) => lines.push(line),
            (line, None) => text.push(line),
        }
    }
    Overload {
        signature: one.shown(),
        arguments: one.arguments().iter().map(|param| param.name.clone()).collect(),
        text: text.join("\n").trim().to_owned(),
        examples,
    }
}

/// The width of the lines that are written for options.
const WIDTH: usize = 116;

/// Returns a text in which each line "{options of `NAME`}" is replaced by the paragraphs about the options of that
/// function. What stands before it in the line is repeated: comment signs.
fn with_options(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let found = line.split_once("{options of `");
        let found =
            found.and_then(|(before, rest)| Some((before, taker(rest.strip_suffix("`}")?)?)));
        let Some((before, taker)) = found else {
            lines.push(line.to_owned());
            continue;
        };
        for paragraph in taker.paragraphs() {
            for (number, part) in folded(&paragraph, WIDTH).into_iter().enumerate() {
                let sign = if number == 0 { "- " } else { "  " };
                lines.push(format!("{before}{sign}{part}"));
            }
        }
    }
    lines.join("\n") + if text.ends_with('\n') { "\n" } else { "" }
}

/// Wraps the words of `text` into lines of at most `room` characters, unless a word is longer.
pub fn folded(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl DocEntry {
    /// Returns the short form, such as `site.get(remote, local[, options])`.
    pub fn short(&self) -> String {
        if self.is_property {
            return self.path.clone();
        }
        let mut parts = Vec::new();
        let mut given = 0;
        for overload in &self.overloads {
            let more = overload.arguments.get(given..).unwrap_or_default();
            if more.is_empty() {
                continue;
            }
            let comma = if given > 0 { ", " } else { "" };
            let more = more.join(", ");
            let is_first = parts.is_empty() && !self.may_be_empty();
            parts.push(if is_first { more } else { format!("[{comma}{more}]") });
            given = overload.arguments.len();
        }
        format!("{}({})", self.path, parts.concat())
    }

    fn may_be_empty(&self) -> bool {
        self.overloads.first().is_some_and(|one| one.arguments.is_empty())
    }

    /// Returns the first clause of the description.
    pub fn summary(&self) -> String {
        let text = self.overloads.first().map_or("", |one| one.text.as_str());
        let paragraph = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
        let ends = [". ", ": ", "; "].map(|end| paragraph.find(end));
        let end = ends.into_iter().flatten().min().unwrap_or(paragraph.len());
        paragraph.get(..end).unwrap_or(&paragraph).trim_end_matches(['.', ':']).to_owned()
    }
}

/// Returns the entries that `name` means: a path such as `ftp::connect`, or a name such as `get`.
pub fn find<'e>(entries: &'e [DocEntry], name: &str) -> Vec<&'e DocEntry> {
    let name = name.trim_end_matches("()");
    let is_it =
        |entry: &&DocEntry| entry.path == name || entry.name == name || entry.member() == name;
    entries.iter().filter(is_it).collect()
}

/// Returns the path or name most similar to `name`.
pub fn near<'e>(entries: &'e [DocEntry], name: &str) -> Option<&'e str> {
    let names = entries.iter().flat_map(|entry| [entry.path.as_str(), entry.name.as_str()]);
    nearest(name, &names.collect::<Vec<_>>())
}

impl DocEntry {
    /// Returns the name under its family, such as `session.get`.
    fn member(&self) -> String {
        format!("{}.{}", self.family, self.name)
    }
}

/// Returns the description of a family.
pub fn about(family: &str) -> &'static str {
    FAMILIES.iter().find(|(known, _)| *known == family).map_or("", |(_, about)| about)
}

/// Returns the whole manual.
pub fn markdown(entries: &[DocEntry]) -> String {
    let mut parts = vec![HEAD.to_owned()];
    let mut family = "";
    for entry in entries {
        if entry.family != family {
            family = &entry.family;
            let heading =
                if family.ends_with("::") { format!("`{family}`") } else { capital(family) };
            parts.push(format!("\n## {heading}\n\n{}\n", about(family)));
        }
        parts.push(format!("\n### `{}`\n", entry.path));
        for overload in &entry.overloads {
            parts.push(format!("\n`{}`\n", overload.signature));
            if !overload.text.is_empty() {
                parts.push(format!("\n{}\n", overload.text));
            }
            for example in &overload.examples {
                parts.push(format!("\n```rhai\n{example}\n```\n"));
            }
        }
        if let Some(first) = entry.options.first() {
            let paragraph = format!("- `{first}`");
            if !entry.overloads.iter().any(|one| one.text.contains(&paragraph)) {
                let options: Vec<_> = entry.options.iter().map(|one| format!("`{one}`")).collect();
                parts.push(format!("\nOptions: {}.\n", options.join(", ")));
            }
        }
    }
    parts.concat()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>());
    first.unwrap_or_default() + chars.as_str()
}

/// Returns the language as editors read it: a definition file in Rhai's own format.
pub fn definitions() -> String {
    let engine = engine::bare();
    let text = engine.definitions().include_standard_packages(false).single_file();
    // The name of the Rust type appears in some signatures.
    with_options(&text.replace(": Remote", ": Session"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{
        check::{Severity, check},
        source::ScriptSource,
    };

    #[test]
    fn every_function_has_its_text_and_an_example() {
        let mut missing = Vec::new();
        for entry in all_functions() {
            let has_example = entry.overloads.iter().any(|one| !one.examples.is_empty());
            if !entry.is_property && !has_example {
                missing.push(format!("{}: no example", entry.path));
            }
            let silent = entry.overloads.iter().filter(|one| one.text.is_empty());
            missing.extend(silent.map(|one| format!("{}: no text", one.signature)));
            if about(&entry.family).is_empty() {
                missing.push(format!("{}: nothing is said of {}", entry.path, entry.family));
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn a_text_is_folded_between_words() {
        assert_eq!(folded("one two three", 7), ["one two", "three"]);
        assert_eq!(folded("one two three", usize::MAX), ["one two three"]);
        assert_eq!(folded("incomprehensible", 5), ["incomprehensible"]);
    }

    #[test]
    fn options_stand_in_the_text_of_every_function_that_takes_them() {
        let text = with_options("/// a\n  /// {options of `retry`}\n{options of `nobody`}\n");
        let expected = "/// a\n  /// - `attempts` (3; 1 to 10): the number of attempts in all\n  \
                        /// - `backoff` (\"1s\"): the pause after the first attempt, which doubles each time\n\
                        {options of `nobody`}\n";
        assert_eq!(text, expected);
        for entry in functions() {
            for overload in &entry.overloads {
                assert!(!overload.text.contains("{options"), "{}: {}", entry.path, overload.text);
            }
        }
    }

    #[test]
    fn every_example_passes_the_check() {
        for entry in all_functions() {
            for example in entry.overloads.iter().flat_map(|one| &one.examples) {
                let source = ScriptSource::from_text(example, entry.path.clone(), ".");
                let wrong: Vec<_> = check(&source).into_iter().map(|one| one.message).collect();
                assert!(wrong.is_empty(), "{}: {wrong:?}\n{example}", entry.path);
                assert!(check(&source).iter().all(|one| one.level != Severity::Error));
            }
        }
    }

    #[test]
    fn overloads_are_one_entry() {
        let all = functions();
        let short: Vec<_> = all.iter().map(DocEntry::short).collect();
        for wanted in [
            "ftp::connect(url[, options])",
            "site.get(remote, local[, options])",
            "site.list([folder])",
            "site.checksum(file[, algorithm])",
            "site.route",
            "local::temp_dir()",
            "sleep(time)",
        ] {
            assert!(short.iter().any(|one| one == wanted), "{wanted} is not in {short:#?}");
        }
        let get = find(&all, "site.get");
        assert_eq!(get.iter().map(|entry| entry.overloads.len()).collect::<Vec<_>>(), [2]);
        assert_eq!(find(&all, "session.get").len(), 1);
        assert_eq!(near(&all, "conect"), Some("connect"));
    }
}
