//! Shortcuts such as `get a.csv`, known from other programs. Each is translated into a piece of script.

use super::words::{self, PromptWord, literal};
use crate::{
    error::{Error, Result},
    ftp::find::is_pattern,
    similar::nearest,
};

/// The kind of name that an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentNames {
    Remote,
    Local,
    Functions,
    None,
}

/// A command that is translated into a piece of script.
pub(super) struct Shortcut {
    pub(super) name: &'static str,
    /// The arguments, as `help` shows them.
    takes: &'static str,
    about: &'static str,
    /// The minimum and maximum number of arguments.
    counts: (usize, usize),
    /// The kinds of the arguments; the last applies to all that follow.
    pub(super) arguments: &'static [ArgumentNames],
    make: fn(&[PromptWord]) -> ShortcutStep,
}

/// The action of a shortcut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShortcutStep {
    /// A piece of script.
    Script(String),
    /// A change to the folder in which the session began.
    Start,
    /// A change to another local folder, or to the home directory.
    Here(Option<String>),
    /// The name of the current local folder.
    WhereHere,
    /// The list of commands, or the help of one function.
    Help(Option<String>),
    /// The end of the prompt.
    End,
}

/// No limit on the number of arguments.
const MANY: usize = usize::MAX;

/// All shortcuts, in the order of `help`.
pub(super) const SHORTCUTS: &[Shortcut] = &[
    Shortcut {
        name: "ls",
        takes: "[FOLDER]",
        about: "what is in a folder of the server",
        counts: (0, 1),
        arguments: &[ArgumentNames::Remote],
        make: ls,
    },
    Shortcut {
        name: "cd",
        takes: "[FOLDER]",
        about: "goes to a folder; without one, back to where the session began",
        counts: (0, 1),
        arguments: &[ArgumentNames::Remote],
        make: |words| text(words, 0).map_or(ShortcutStep::Start, |folder| call("cd", &[folder])),
    },
    Shortcut {
        name: "pwd",
        takes: "",
        about: "the folder that the session is in",
        counts: (0, 0),
        arguments: &[],
        make: |_| call("pwd", &[]),
    },
    Shortcut {
        name: "find",
        takes: "[FOLDER]",
        about: "everything below a folder",
        counts: (0, 1),
        arguments: &[ArgumentNames::Remote],
        make: |words| call("find", &[text(words, 0).unwrap_or_else(|| literal("."))]),
    },
    Shortcut {
        name: "cat",
        takes: "FILE",
        about: "shows a text file",
        counts: (1, 1),
        arguments: &[ArgumentNames::Remote],
        make: |words| call("read", &texts(words)),
    },
    Shortcut {
        name: "get",
        takes: "FILE [LOCAL]",
        about: "fetches a file",
        counts: (1, 2),
        arguments: &[ArgumentNames::Remote, ArgumentNames::Local],
        make: |words| match words {
            [one] if has_pattern(one) => each_remote(words, r#"site.get(path, ".");"#),
            _ => quiet("get", &[literal_at(words, 0), text_or(words, 1, ".")]),
        },
    },
    Shortcut {
        name: "put",
        takes: "LOCAL [FILE]",
        about: "sends a file",
        counts: (1, 2),
        arguments: &[ArgumentNames::Local, ArgumentNames::Remote],
        make: |words| match words {
            [one] if has_pattern(one) => each_local(words),
            _ => quiet("put", &[literal_at(words, 0), text_or(words, 1, "./")]),
        },
    },
    Shortcut {
        name: "mget",
        takes: "PATTERN…",
        about: "fetches the files that match",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: |words| each_remote(words, r#"site.get(path, ".");"#),
    },
    Shortcut {
        name: "mput",
        takes: "PATTERN…",
        about: "sends the files that match",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Local],
        make: each_local,
    },
    Shortcut {
        name: "mirror",
        takes: "[-R] [--delete] [--dry-run] SOURCE [TARGET]",
        about: "fetches a folder; with -R sends one",
        counts: (1, 5),
        arguments: &[ArgumentNames::Remote],
        make: mirror,
    },
    Shortcut {
        name: "mkdir",
        takes: "FOLDER…",
        about: "makes folders, with those above them",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: |words| all("mkdir", words),
    },
    Shortcut {
        name: "rm",
        takes: "[-r] FILE…",
        about: "removes files; with -r folders with all that is in them",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: rm,
    },
    Shortcut {
        name: "rmdir",
        takes: "FOLDER…",
        about: "removes empty folders",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: |words| all("rmdir", words),
    },
    Shortcut {
        name: "mv",
        takes: "FROM TO",
        about: "renames",
        counts: (2, 2),
        arguments: &[ArgumentNames::Remote],
        make: |words| call("rename", &texts(words)),
    },
    Shortcut {
        name: "chmod",
        takes: "MODE FILE",
        about: "sets permissions, such as 644",
        counts: (2, 2),
        arguments: &[ArgumentNames::None, ArgumentNames::Remote],
        make: |words| call("chmod", &[literal_at(words, 1), literal_at(words, 0)]),
    },
    Shortcut {
        name: "quote",
        takes: "COMMAND…",
        about: "sends an FTP command as it stands",
        counts: (1, MANY),
        arguments: &[ArgumentNames::None],
        make: |words| {
            let line: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
            call("quote", &[literal(&line.join(" "))])
        },
    },
    Shortcut {
        name: "lls",
        takes: "[FOLDER]",
        about: "what is in a folder of this machine",
        counts: (0, 1),
        arguments: &[ArgumentNames::Local],
        make: |words| ShortcutStep::Script(format!("local::list({})", text_or(words, 0, "."))),
    },
    Shortcut {
        name: "lcd",
        takes: "[FOLDER]",
        about: "goes to a folder of this machine",
        counts: (0, 1),
        arguments: &[ArgumentNames::Local],
        make: |words| ShortcutStep::Here(words.first().map(|word| word.text.clone())),
    },
    Shortcut {
        name: "lpwd",
        takes: "",
        about: "the folder of this machine",
        counts: (0, 0),
        arguments: &[],
        make: |_| ShortcutStep::WhereHere,
    },
    Shortcut {
        name: "help",
        takes: "[FUNCTION]",
        about: "this list, or what a function does",
        counts: (0, 1),
        arguments: &[ArgumentNames::Functions],
        make: |words| ShortcutStep::Help(words.first().map(|word| word.text.clone())),
    },
    Shortcut {
        name: "exit",
        takes: "",
        about: "ends, as Ctrl-D does",
        counts: (0, 0),
        arguments: &[],
        make: |_| ShortcutStep::End,
    },
];

/// The aliases of shortcuts.
const ALIASES: &[(&str, &str)] = &[
    ("?", "help"),
    ("bye", "exit"),
    ("delete", "rm"),
    ("dir", "ls"),
    ("mrm", "rm"),
    ("quit", "exit"),
    ("rename", "mv"),
];

/// Returns the shortcut with which `line` begins, if the line is a command with arguments and no piece of script.
pub(super) fn of(line: &str) -> Option<&'static Shortcut> {
    let line = line.trim_start();
    let word = line.split(char::is_whitespace).next()?;
    let rest = line.get(word.len()..)?.trim_start();
    // `get = 5` and `find += 1` assign to a variable.
    let is_script = rest.trim_start_matches(['+', '-', '*', '/', '%', '|', '&']).starts_with('=');
    let name = ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, name)| name);
    SHORTCUTS.iter().find(|one| one.name == name).filter(|_| !is_script)
}

impl Shortcut {
    /// Translates `line`, which begins with this shortcut.
    pub(super) fn read(&self, line: &str) -> Result<ShortcutStep> {
        let words = words::split(line)?;
        let words = words.get(1..).unwrap_or_default();
        if words.len() < self.counts.0 || words.len() > self.counts.1 {
            let takes = if self.takes.is_empty() { "nothing" } else { self.takes };
            let name = self.name;
            let message = format!("`{name}` takes {takes}; names with spaces stand in quotes");
            return Err(Error::invalid(message));
        }
        Ok((self.make)(words))
    }
}

/// Returns the text of `help`.
pub(super) fn help() -> String {
    let shown = |one: &Shortcut| format!("{} {}", one.name, one.takes);
    let lines = SHORTCUTS.iter().map(|one| {
        let shown = shown(one);
        // The description of a shortcut that is longer than its column goes on the next line.
        if shown.chars().count() > 22 {
            format!("  {shown}\n  {:22}  {}\n", "", one.about)
        } else {
            format!("  {shown:22}  {}\n", one.about)
        }
    });
    let lines: String = lines.collect();
    format!(
        "{lines}\nEverything else is script: `site` is the session, `site.size(\"a.csv\")` a function of it, and what\n\
         `let` names stays. `help ftp::connect` tells of a function; Tab completes. A line that is not\n\
         complete goes on; an empty one ends it."
    )
}

/// Returns the shortcut most similar to an unknown first word.
pub(super) fn near(word: &str) -> Option<&'static str> {
    let names: Vec<_> = SHORTCUTS.iter().map(|one| one.name).collect();
    nearest(word, &names)
}

fn text(words: &[PromptWord], at: usize) -> Option<String> {
    words.get(at).map(|word| literal(&word.text))
}

fn literal_at(words: &[PromptWord], at: usize) -> String {
    text(words, at).unwrap_or_else(|| literal(""))
}

fn text_or(words: &[PromptWord], at: usize, usual: &str) -> String {
    text(words, at).unwrap_or_else(|| literal(usual))
}

fn texts(words: &[PromptWord]) -> Vec<String> {
    words.iter().map(|word| literal(&word.text)).collect()
}

fn call(function: &str, arguments: &[String]) -> ShortcutStep {
    ShortcutStep::Script(format!("site.{function}({})", arguments.join(", ")))
}

/// Calls a function without showing its value: the outcome of a transfer has been reported by then.
fn quiet(function: &str, arguments: &[String]) -> ShortcutStep {
    ShortcutStep::Script(format!("site.{function}({}); ()", arguments.join(", ")))
}

fn has_pattern(word: &PromptWord) -> bool {
    !word.is_quoted && is_pattern(word.text.as_bytes())
}

fn ls(words: &[PromptWord]) -> ShortcutStep {
    match words {
        // The flags are accepted out of habit; everything is shown anyway.
        [one] if ["-l", "-a", "-la", "-al"].contains(&one.text.as_str()) => ls(&[]),
        [one] if has_pattern(one) => call("glob", &texts(words)),
        _ => call("list", &[text_or(words, 0, ".")]),
    }
}

fn all(function: &str, words: &[PromptWord]) -> ShortcutStep {
    let calls = words.iter().map(|word| format!("site.{function}({});", literal(&word.text)));
    ShortcutStep::Script(calls.collect::<Vec<_>>().join(" "))
}

/// Repeats `what` for each remote file that one of `words` matches, with `path` as its name. A pattern without a match
/// is an error.
fn each_remote(words: &[PromptWord], what: &str) -> ShortcutStep {
    ShortcutStep::Script(
        words.iter().map(|word| one_remote(word, what)).collect::<Vec<_>>().join(" ") + " ()",
    )
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

fn each_local(words: &[PromptWord]) -> ShortcutStep {
    let each = words.iter().map(|word| {
        let name = literal(&word.text);
        if !has_pattern(word) {
            return format!("site.put({name}, \"./\");");
        }
        let none = literal(&format!("no file here matches {}", word.text));
        format!(
            "{{ let all = local::glob({name}); if all.is_empty() {{ fail({none}); }} \
             for path in all {{ site.put(path, \"./\"); }} }}"
        )
    });
    ShortcutStep::Script(each.collect::<Vec<_>>().join(" ") + " ()")
}

fn rm(words: &[PromptWord]) -> ShortcutStep {
    let is_tree =
        |word: &&PromptWord| matches!(word.text.as_str(), "-r" | "-rf" | "-R" | "--recursive");
    let rest: Vec<_> = words.iter().filter(|word| !is_tree(word)).cloned().collect();
    if rest.len() < words.len() {
        return all("delete_tree", &rest);
    }
    each_remote(words, "site.delete(path);")
}

fn mirror(words: &[PromptWord]) -> ShortcutStep {
    let (flags, paths): (Vec<&PromptWord>, Vec<&PromptWord>) =
        words.iter().partition(|word| word.text.starts_with('-') && !word.is_quoted);
    let has = |names: &[&str]| flags.iter().any(|flag| names.contains(&flag.text.as_str()));
    let known = ["-R", "--reverse", "-e", "--delete", "-n", "--dry-run"];
    if let Some(flag) = flags.iter().find(|flag| !known.contains(&flag.text.as_str())) {
        let message = format!(
            "mirror here knows -R, --delete and --dry-run, not {}: site.mirror_down(…) has all options",
            flag.text
        );
        return ShortcutStep::Script(format!("fail({})", literal(&message)));
    }
    let Some(source) = paths.first() else {
        return ShortcutStep::Script(format!("fail({})", literal("mirror wants a folder")));
    };
    let (delete, dry_run) = (has(&["-e", "--delete"]), has(&["-n", "--dry-run"]));
    let name = source.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let usual = if name.is_empty() || name == ".." { "." } else { name };
    let target = paths.get(1).map_or(usual, |word| word.text.as_str());
    let way = if has(&["-R", "--reverse"]) { "mirror_up" } else { "mirror_down" };
    let options = format!("#{{ delete: {delete}, dry_run: {dry_run} }}");
    let arguments = [literal(&source.text), literal(target), options];
    // The report of a dry run has its plan; a real mirror has reported its outcome already.
    if dry_run {
        ShortcutStep::Script(format!("site.{way}({}).plan", arguments.join(", ")))
    } else {
        quiet(way, &arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str) -> String {
        match of(line).unwrap().read(line) {
            Ok(ShortcutStep::Script(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_shortcut_becomes_a_piece_of_script() {
        for (line, wanted) in [
            ("ls", r#"site.list(".")"#),
            ("ls -la", r#"site.list(".")"#),
            ("ls pub", r#"site.list("pub")"#),
            ("ls *.csv", r#"site.glob("*.csv")"#),
            (r"ls \*.csv", r#"site.list("*.csv")"#),
            ("get a.csv", r#"site.get("a.csv", "."); ()"#),
            ("get 'a b' c", r#"site.get("a b", "c"); ()"#),
            ("put a.csv in/", r#"site.put("a.csv", "in/"); ()"#),
            ("rm -r old", r#"site.delete_tree("old");"#),
            ("chmod 644 a", r#"site.chmod("a", "644")"#),
            ("quote SITE HELP", r#"site.quote("SITE HELP")"#),
            (
                "mirror -R --delete dist /htdocs",
                r#"site.mirror_up("dist", "/htdocs", #{ delete: true, dry_run: false }); ()"#,
            ),
            (
                "mirror pub/a/",
                r#"site.mirror_down("pub/a/", "a", #{ delete: false, dry_run: false }); ()"#,
            ),
            ("rename a b", r#"site.rename("a", "b")"#),
        ] {
            assert_eq!(script(line), wanted, "{line}");
        }
        assert!(script("mget *.csv").contains("no file on the server matches *.csv"));
    }

    #[test]
    fn what_is_script_stays_script() {
        for line in ["let x = 1", "site.list()", "get = 5", "find += 1", "print(1)", "lsx", ""] {
            assert!(of(line).is_none(), "{line}");
        }
        for line in ["rm -r a=b", "get --x=1", "ls a=b", "exit"] {
            assert!(of(line).is_some(), "{line}");
        }
    }

    #[test]
    fn a_wrong_number_of_words_says_what_is_wanted() {
        let fault = of("mv a").unwrap().read("mv a").unwrap_err();
        assert_eq!(fault.message, "`mv` takes FROM TO; names with spaces stand in quotes");
        assert!(of("pwd x").unwrap().read("pwd x").unwrap_err().message.contains("takes nothing"));
    }

    #[test]
    fn every_shortcut_makes_a_script_that_can_be_read() {
        let engine = crate::script::engine::bare();
        for one in SHORTCUTS {
            let words = one.counts.0.max(1).min(one.counts.1);
            let line =
                format!("{} {}", one.name, ["'a b'", "*.c"].repeat(words)[..words].join(" "));
            if let Ok(ShortcutStep::Script(text)) = one.read(&line) {
                let whole = format!("let site = 1; {text}");
                assert!(engine.compile(&whole).is_ok(), "{line}: {text}");
            }
        }
    }
}
