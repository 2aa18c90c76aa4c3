//! The commands of the prompt that move files, as pieces of script.

use std::path::Path;

use super::{
    options::{self, OwnFlag, ShortcutWords},
    shortcuts::ShortcutStep,
    words::{PromptWord, literal},
};
use crate::{
    error::{Error, Result},
    ftp::{find::is_pattern, transfer},
    mirror,
};

const RECURSIVE: &[OwnFlag] = &[("recursive", &["-r", "-R", "--recursive"])];
const REVERSE: &[OwnFlag] = &[("reverse", &["-R", "--reverse"])];
/// The short forms of flags of a mirror, known from lftp and others.
const MIRROR_SHORT: &[(&str, &str)] = &[("-e", "--delete"), ("-n", "--dry-run")];

pub(super) fn has_pattern(word: &PromptWord) -> bool {
    !word.is_quoted && is_pattern(word.text.as_bytes())
}

/// Repeats `what` for each remote file that one of `words` matches, with `path` as its name. A pattern without a match
/// is an error.
pub(super) fn each_remote(words: &[PromptWord], what: &str) -> ShortcutStep {
    let each = words.iter().map(|word| one_remote(word, what));
    ShortcutStep::Script(each.collect::<Vec<_>>().join(" ") + " ()")
}

fn one_remote(word: &PromptWord, what: &str) -> String {
    let name = literal(&word.text);
    if !has_pattern(word) {
        return format!("{{ let path = {name}; {what} }}");
    }
    let none = literal(&format!("no file on the server matches {}", word.text));
    format!(
        "{{ let all = site.glob({name}); if all.is_empty() {{ fail({none}); }} for path in all {{ {what} }} }}"
    )
}

/// Sends each local file that one of `words` matches to `target`.
fn each_local(words: &[PromptWord], target: &str, options: &str) -> ShortcutStep {
    let each = words.iter().map(|word| {
        let (name, target) = (literal(&word.text), literal(target));
        if !has_pattern(word) {
            return format!("site.put({name}, {target}{options});");
        }
        let none = literal(&format!("no file here matches {}", word.text));
        format!(
            "{{ let all = local::glob({name}); if all.is_empty() {{ fail({none}); }} \
             for path in all {{ site.put(path, {target}{options}); }} }}"
        )
    });
    ShortcutStep::Script(each.collect::<Vec<_>>().join(" ") + " ()")
}

/// Returns the words of `name`, whose operands are from `least` to `most`.
fn counted(
    name: &str,
    words: ShortcutWords,
    least: usize,
    most: usize,
    takes: &str,
) -> Result<ShortcutWords> {
    if (least..=most).contains(&words.operands.len()) {
        return Ok(words);
    }
    Err(Error::invalid(format!("`{name}` takes {takes}; names with spaces stand in quotes")))
}

/// Returns the last name in a path.
fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

pub(super) fn get(words: &[PromptWord]) -> Result<ShortcutStep> {
    let words = options::read("get", &transfer::OPTIONS, RECURSIVE, &[], words)?;
    let words = counted("get", words, 1, 2, "[OPTIONS] FILE [LOCAL]")?;
    let [source, rest @ ..] = &words.operands[..] else {
        return Err(Error::invalid("a file is wanted"));
    };
    let target = rest.first().map_or(".", |word| word.text.as_str());
    let options = words.argument();
    if words.has("recursive") {
        let name = base(&source.text);
        let is_folder = target.ends_with('/') || Path::new(target).is_dir();
        let target = match name {
            "" | "." | ".." => target.to_owned(),
            name if is_folder => format!("{}/{name}", target.trim_end_matches('/')),
            _ => target.to_owned(),
        };
        let source = literal(&source.text);
        return Ok(quiet(&format!("site.mirror_down({source}, {}{options})", literal(&target))));
    }
    let target = literal(target);
    if has_pattern(source) {
        let what = format!("site.get(path, {target}{options});");
        return Ok(each_remote(std::slice::from_ref(source), &what));
    }
    Ok(quiet(&format!("site.get({}, {target}{options})", literal(&source.text))))
}

pub(super) fn mget(words: &[PromptWord]) -> Result<ShortcutStep> {
    let words = options::read("get", &transfer::OPTIONS, &[], &[], words)?;
    let words = counted("mget", words, 1, usize::MAX, "[OPTIONS] PATTERN…")?;
    let what = format!("site.get(path, \".\"{});", words.argument());
    Ok(each_remote(&words.operands, &what))
}

pub(super) fn put(words: &[PromptWord]) -> Result<ShortcutStep> {
    let words = options::read("put", &transfer::OPTIONS, RECURSIVE, &[], words)?;
    let words = counted("put", words, 1, 2, "[OPTIONS] LOCAL [FILE]")?;
    let [source, rest @ ..] = &words.operands[..] else {
        return Err(Error::invalid("a file is wanted"));
    };
    let target = rest.first().map_or("./", |word| word.text.as_str());
    let options = words.argument();
    if words.has("recursive") {
        let name = base(&source.text);
        let is_inside = target.ends_with('/') && !matches!(name, "" | "." | "..");
        let target = if is_inside { format!("{target}{name}") } else { target.to_owned() };
        let source = literal(&source.text);
        return Ok(quiet(&format!("site.mirror_up({source}, {}{options})", literal(&target))));
    }
    if has_pattern(source) {
        return Ok(each_local(std::slice::from_ref(source), target, &options));
    }
    Ok(quiet(&format!("site.put({}, {}{options})", literal(&source.text), literal(target))))
}

pub(super) fn mput(words: &[PromptWord]) -> Result<ShortcutStep> {
    let words = options::read("put", &transfer::OPTIONS, &[], &[], words)?;
    let words = counted("mput", words, 1, usize::MAX, "[OPTIONS] PATTERN…")?;
    Ok(each_local(&words.operands, "./", &words.argument()))
}

pub(super) fn mirror(words: &[PromptWord]) -> Result<ShortcutStep> {
    let words = options::read("mirror", &mirror::OPTIONS, REVERSE, MIRROR_SHORT, words)?;
    let words = counted("mirror", words, 1, 2, "[-R] [OPTIONS] SOURCE [TARGET]")?;
    let source = words.operands.first().map_or("", |word| &word.text);
    let usual = match base(source) {
        "" | ".." => ".",
        name => name,
    };
    let target = words.operands.get(1).map_or(usual, |word| word.text.as_str());
    let way = if words.has("reverse") { "mirror_up" } else { "mirror_down" };
    let call = format!("site.{way}({}, {}{})", literal(source), literal(target), words.argument());
    // The report of a dry run has its plan; a real mirror has reported its outcome already.
    Ok(if words.option("dry_run") == Some("true") {
        ShortcutStep::Script(format!("{call}.plan"))
    } else {
        quiet(&call)
    })
}

/// Calls a function without showing its value: the outcome of a transfer has been reported by then.
fn quiet(call: &str) -> ShortcutStep {
    ShortcutStep::Script(format!("{call}; ()"))
}

pub(super) fn rm(words: &[PromptWord]) -> ShortcutStep {
    let is_tree =
        |word: &&PromptWord| matches!(word.text.as_str(), "-r" | "-rf" | "-R" | "--recursive");
    let rest: Vec<_> = words.iter().filter(|word| !is_tree(word)).cloned().collect();
    if rest.len() < words.len() {
        return each_remote(&rest, "site.delete_tree(path);");
    }
    each_remote(words, "site.delete(path);")
}

pub(super) fn chmod(words: &[PromptWord]) -> Result<ShortcutStep> {
    let is_tree = |word: &&PromptWord| matches!(word.text.as_str(), "-R" | "-r" | "--recursive");
    let rest: Vec<_> = words.iter().filter(|word| !is_tree(word)).cloned().collect();
    let [mode, files @ ..] = &rest[..] else { return Err(Error::invalid("a mode is wanted")) };
    if files.is_empty() {
        return Err(Error::invalid(
            "`chmod` takes [-R] MODE FILE…; names with spaces stand in quotes",
        ));
    }
    let mode = literal(&mode.text);
    Ok(if rest.len() < words.len() {
        let below = format!(
            "for below in site.find(path) {{ if below.kind != \"link\" {{ site.chmod(below.path, {mode}); }} }} \
             site.chmod(path, {mode});"
        );
        each_remote(files, &below)
    } else {
        each_remote(files, &format!("site.chmod(path, {mode});"))
    })
}

/// Returns the regular expression of a pattern with `*` and `?`.
pub(super) fn expression(pattern: &str) -> String {
    let part = |c: char| match c {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        c if c.is_alphanumeric() => c.to_string(),
        c => format!("\\{c}"),
    };
    format!("^{}$", pattern.chars().map(part).collect::<String>())
}

/// Lists everything below a folder, or what matches.
pub(super) fn find(words: &[PromptWord]) -> Result<ShortcutStep> {
    let (mut folder, mut name, mut kind) = (None, None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (flag, given) =
            word.text.split_once('=').map_or((&*word.text, None), |(a, b)| (a, Some(b.to_owned())));
        let mut value = || {
            let value = given.clone().or_else(|| words.next().map(|word| word.text.clone()));
            value.ok_or_else(|| Error::invalid(format!("{flag} wants a value")))
        };
        match flag {
            "-name" | "--name" if !word.is_quoted => name = Some(value()?),
            "-type" | "--type" if !word.is_quoted => {
                let letter = value()?;
                kind = Some(match letter.as_str() {
                    "f" => "file",
                    "d" => "dir",
                    "l" => "link",
                    other => {
                        let message = format!("--type wants f, d or l, got `{other}`");
                        return Err(Error::invalid(message));
                    }
                });
            }
            flag if flag.starts_with('-') && !word.is_quoted => {
                let message = format!("`find` has no option {flag}; it has --name and --type");
                return Err(Error::invalid(message));
            }
            _ if folder.is_none() => folder = Some(word.text.clone()),
            _ => {
                return Err(Error::invalid(
                    "`find` takes [FOLDER] [--name PATTERN] [--type f|d|l]",
                ));
            }
        }
    }
    let folder = literal(folder.as_deref().unwrap_or("."));
    let mut call = format!("site.find({folder})");
    if let Some(kind) = kind {
        call = format!("{call}.filter(|entry| entry.kind == {})", literal(kind));
    }
    if let Some(pattern) = name {
        call = format!(
            "{call}.filter(|entry| entry.name.matches({}))",
            literal(&expression(&pattern))
        );
    }
    Ok(ShortcutStep::Script(call))
}
