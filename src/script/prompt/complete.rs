//! Completion of a line: shortcuts, functions, and names of remote and local files.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    shortcuts::{self, ArgumentNames},
    words,
};
use crate::{
    ftp::listing::EntryKind,
    limits::COMPLETION_TIME_MAX,
    script::{
        docs::{self, DocEntry},
        remote::Remote,
        run::ScriptRun,
    },
};

/// A completion candidate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The text in the list of candidates.
    pub shown: String,
    /// The text that is inserted into the line.
    pub text: String,
}

/// The kind of completion at the end of a line.
#[derive(Debug, PartialEq, Eq)]
enum Completion {
    /// A shortcut or a function, as the first word.
    Start(String),
    /// A function, a module or a variable inside a piece of script.
    Name(String),
    /// A function or property of `site`.
    Member(String),
    /// A file or folder: its side, its beginning, the open quote, and whether it is inside of a script.
    File {
        is_local: bool,
        begun: String,
        open: Option<char>,
        is_script: bool,
    },
    /// A function, as the argument of `help`.
    Function(String),
    Nothing,
}

/// The functions of a session whose first argument is a local name.
const TAKE_LOCAL: [&str; 4] = ["put", "mirror_up", "plan_up", "append"];

/// The completer of lines on one session.
pub struct Completer {
    site: Remote,
    run: Arc<ScriptRun>,
    functions: Vec<DocEntry>,
    variables: Vec<String>,
    /// The folders of the server that have been listed for this line.
    seen: RefCell<BTreeMap<String, Vec<(String, bool)>>>,
}

impl Completer {
    pub(super) fn new(site: Remote, run: Arc<ScriptRun>, variables: Vec<String>) -> Self {
        let functions = docs::functions();
        Self { site, run, functions, variables, seen: RefCell::default() }
    }

    /// Returns the candidates for the end of `before`, and the byte offset of the part that they replace.
    pub fn candidates(&self, before: &str) -> (usize, Vec<Candidate>) {
        let (start, wanted) = wanted(before);
        let mut all = match wanted {
            Completion::Start(begun) => {
                let names = shortcuts::names().map(str::to_owned);
                plain(names.chain(self.names()), &begun)
            }
            Completion::Name(begun) => plain(self.names(), &begun),
            Completion::Member(begun) => {
                let members = self.functions.iter().filter_map(|entry| {
                    let name = entry.path.strip_prefix("site.")?;
                    Some(if entry.is_property { name.to_owned() } else { format!("{name}(") })
                });
                plain(members, &begun)
            }
            Completion::Function(begun) => {
                plain(self.functions.iter().map(|entry| entry.path.clone()), &begun)
            }
            Completion::File { is_local, begun, open, is_script } => {
                self.files(is_local, &begun, open, is_script)
            }
            Completion::Nothing => Vec::new(),
        };
        all.sort();
        all.dedup();
        (start, all)
    }

    /// Returns the names that can stand alone in a piece of script.
    fn names(&self) -> impl Iterator<Item = String> {
        let functions = self.functions.iter().filter(|entry| !entry.path.contains('.'));
        let functions = functions.map(|entry| format!("{}(", entry.path));
        let modules = ["ftp::", "local::", "log::", "nat::", "job::"].map(str::to_owned);
        functions.chain(modules).chain(self.variables.iter().cloned())
    }

    fn files(
        &self,
        is_local: bool,
        begun: &str,
        open: Option<char>,
        is_script: bool,
    ) -> Vec<Candidate> {
        let cut = begun.rfind('/').map_or(0, |at| at + 1);
        let (folder, begun) = begun.split_at(cut);
        let found = if is_local { local(folder) } else { self.remote(folder) };
        let matching = found.into_iter().filter(|(name, _)| {
            // Hidden files are listed only if the typed name begins with a dot.
            name.starts_with(begun) && (!name.starts_with('.') || begun.starts_with('.'))
        });
        let candidates = matching.map(|(name, is_folder)| {
            let slash = if is_folder { "/" } else { "" };
            let path = format!("{folder}{name}{slash}");
            let text = if is_script {
                let literal = words::literal(&path);
                literal.trim_matches('"').to_owned()
            } else {
                words::quoted(&path, open)
            };
            Candidate { shown: format!("{name}{slash}"), text }
        });
        candidates.collect()
    }

    /// Returns the names in a folder of the server, and whether each is a folder. An error yields no names: completion
    /// is not the place to report it.
    fn remote(&self, folder: &str) -> Vec<(String, bool)> {
        if let Some(known) = self.seen.borrow().get(folder) {
            return known.clone();
        }
        let names = self.site.names();
        let asked = if folder.is_empty() { "." } else { folder };
        let listed = names.path(asked).and_then(|path| {
            self.site.within(&self.run, async |session, run| {
                let stop = &run.context.stop;
                stop.reset();
                let listed = session.list(&path);
                tokio::pin!(listed);
                tokio::select! {
                    listed = &mut listed => listed,
                    () = tokio::time::sleep(COMPLETION_TIME_MAX) => {
                        stop.set();
                        let late = listed.await;
                        stop.reset();
                        late
                    }
                }
            })
        });
        let entries = listed.map(|listing| listing.entries).unwrap_or_default();
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (names.text(&entry.name), entry.kind == EntryKind::Dir))
            .collect();
        self.seen.borrow_mut().insert(folder.to_owned(), found.clone());
        found
    }
}

fn plain(all: impl Iterator<Item = String>, begun: &str) -> Vec<Candidate> {
    let matching = all.filter(|one| one.starts_with(begun));
    matching.map(|one| Candidate { shown: one.clone(), text: one }).collect()
}

/// Returns the names in a local folder, and whether each is a folder.
fn local(folder: &str) -> Vec<(String, bool)> {
    let path = if folder.is_empty() { PathBuf::from(".") } else { PathBuf::from(folder) };
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name, Path::new(&entry.path()).is_dir()))
    });
    named.collect()
}

/// Returns the kind of completion at the end of `before`, and the byte offset where it begins.
fn wanted(before: &str) -> (usize, Completion) {
    let start = before.len() - before.trim_start().len();
    let typed = before.get(start..).unwrap_or_default();
    let is_first_word = typed.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':'));
    if is_first_word {
        return (start, Completion::Start(typed.to_owned()));
    }
    match shortcuts::of(before) {
        Some(shortcut) => word_of(shortcut.arguments, before),
        None => piece_of_script(before),
    }
}

/// Completes an argument of a shortcut.
fn word_of(arguments: &[ArgumentNames], before: &str) -> (usize, Completion) {
    let words = words::read(before);
    let is_new = before.ends_with(char::is_whitespace)
        && words.last().is_some_and(|word| word.open.is_none());
    let (index, start, begun, open) = match words.last() {
        Some(word) if !is_new => {
            let open = word.open.filter(|_| {
                before.get(word.start..).is_some_and(|text| text.starts_with(['"', '\'']))
            });
            (words.len() - 1, word.start, word.text.clone(), open)
        }
        _ => (words.len(), before.len(), String::new(), None),
    };
    // Flags are not names.
    let flags = words.iter().skip(1).take(index.saturating_sub(1));
    let flags = flags.filter(|word| word.text.starts_with('-')).count();
    let place = arguments.get(index.saturating_sub(1 + flags)).or_else(|| arguments.last());
    let sends = words.first().is_some_and(|word| word.text == "mirror")
        && words.iter().any(|word| matches!(word.text.as_str(), "-R" | "--reverse"));
    let is_first = index.saturating_sub(flags) == 1;
    let wanted = match place {
        _ if begun.starts_with('-') => Completion::Nothing,
        Some(ArgumentNames::Remote | ArgumentNames::Local) => {
            let is_mirror = words.first().is_some_and(|word| word.text == "mirror");
            let is_local =
                if is_mirror { sends == is_first } else { place == Some(&ArgumentNames::Local) };
            Completion::File { is_local, begun, open, is_script: false }
        }
        Some(ArgumentNames::Functions) => Completion::Function(begun),
        Some(ArgumentNames::None) | None => Completion::Nothing,
    };
    (start, wanted)
}

/// Completes a part of a piece of script: a string with a name in it, or an identifier.
fn piece_of_script(before: &str) -> (usize, Completion) {
    let mut open: Option<usize> = None;
    let mut chars = before.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if open.is_some() => drop(chars.next()),
            '"' => open = if open.is_some() { None } else { Some(at) },
            _ => {}
        }
    }
    if let Some(quote) = open {
        let begun = before.get(quote + 1..).unwrap_or_default().to_owned();
        let call = before.get(..quote).unwrap_or_default();
        let is_local = is_local(call);
        return (quote + 1, Completion::File { is_local, begun, open: None, is_script: true });
    }
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let start = before.rfind(|c| !is_name(c)).map_or(0, |at| {
        at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    let begun = before.get(start..).unwrap_or_default().to_owned();
    let ahead = before.get(..start).unwrap_or_default();
    if ahead.ends_with("site.") {
        return (start, Completion::Member(begun));
    }
    let wanted = if ahead.ends_with('.') || begun.is_empty() {
        Completion::Nothing
    } else {
        Completion::Name(begun)
    };
    (start, wanted)
}

/// Returns true if the argument that follows `call` is a local name.
fn is_local(call: &str) -> bool {
    let Some((function, arguments)) = call.rsplit_once('(') else { return false };
    let name = function.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
    let is_first = !arguments.contains(',');
    let ahead = function.get(..function.len() - name.len()).unwrap_or_default();
    if ahead.ends_with("local::") {
        return true;
    }
    match name {
        "get" | "mirror_down" | "plan_down" => !is_first,
        _ => TAKE_LOCAL.contains(&name) && is_first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(is_local: bool, begun: &str, open: Option<char>, is_script: bool) -> Completion {
        Completion::File { is_local, begun: begun.into(), open, is_script }
    }

    #[test]
    fn what_is_asked_for_comes_from_what_stands_before() {
        for (before, start, expected) in [
            ("", 0, Completion::Start(String::new())),
            ("  m", 2, Completion::Start("m".into())),
            ("ftp::co", 0, Completion::Start("ftp::co".into())),
            ("get pub/a", 4, file(false, "pub/a", None, false)),
            ("get ", 4, file(false, "", None, false)),
            ("get a.csv ", 10, file(true, "", None, false)),
            ("get \"annual r", 4, file(false, "annual r", Some('"'), false)),
            ("put lo", 4, file(true, "lo", None, false)),
            ("put a b", 6, file(false, "b", None, false)),
            ("rm -r o", 6, file(false, "o", None, false)),
            ("mirror -R di", 10, file(true, "di", None, false)),
            ("mirror pub ", 11, file(true, "", None, false)),
            ("rm -", 3, Completion::Nothing),
            ("chmod 644 a", 10, file(false, "a", None, false)),
            ("help si", 5, Completion::Function("si".into())),
            ("quote SI", 6, Completion::Nothing),
            ("site.g", 5, Completion::Member("g".into())),
            ("let x = site.", 13, Completion::Member(String::new())),
            ("site.get(\"/pub/a", 10, file(false, "/pub/a", None, true)),
            ("site.get(\"a\", \"b", 15, file(true, "b", None, true)),
            ("site.put(\"b", 10, file(true, "b", None, true)),
            ("local::read(\"b", 13, file(true, "b", None, true)),
            ("print(ret", 6, Completion::Name("ret".into())),
            ("x.f", 2, Completion::Nothing),
        ] {
            assert_eq!(wanted(before), (start, expected), "{before}");
        }
    }
}
