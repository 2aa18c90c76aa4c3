//! Shortcuts such as `get a.csv`, known from other programs. Each is translated into a piece of script.

use super::{
    PromptRequest,
    listings::{du, ls},
    options,
    shown::ListForm,
    transfers,
    words::{self, PromptWord, literal},
};
use crate::{
    error::{Error, Result},
    ftp::transfer,
    mirror,
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
    make: fn(&[PromptWord]) -> Result<ShortcutStep>,
}

/// The action of a shortcut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShortcutStep {
    /// A piece of script.
    Script(String),
    /// A piece of script whose value is a listing, and the form in which it is shown.
    List(String, ListForm),
    /// A change to the folder in which the session began.
    Start,
    /// A change to another local folder, or to the home directory.
    Here(Option<String>),
    /// The name of the current local folder.
    WhereHere,
    /// The list of commands, or the help of one function.
    Help(Option<String>),
    /// A request to the program around the prompt.
    Ask(PromptRequest),
    /// The end of the prompt.
    End,
}

/// The commands that can run in the background.
const BACKGROUND: [&str; 6] = ["get", "put", "mget", "mput", "mirror", "rm"];

/// No limit on the number of arguments.
const MANY: usize = usize::MAX;

/// All shortcuts, in the order of `help`.
pub(super) const SHORTCUTS: &[Shortcut] = &[
    Shortcut {
        name: "ls",
        takes: "[-lhRtSr1] [FOLDER]",
        about: "what is in a folder of the server, or what matches",
        counts: (0, MANY),
        arguments: &[ArgumentNames::Remote],
        make: ls,
    },
    Shortcut {
        name: "cd",
        takes: "[FOLDER]",
        about: "goes to a folder; without one, back to where the session began",
        counts: (0, 1),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(text(words, 0).map_or(ShortcutStep::Start, |folder| call("cd", &[folder]))),
    },
    Shortcut {
        name: "pwd",
        takes: "",
        about: "the folder that the session is in",
        counts: (0, 0),
        arguments: &[],
        make: |_| Ok(call("pwd", &[])),
    },
    Shortcut {
        name: "find",
        takes: "[FOLDER] [--name PATTERN] [--type f|d|l]",
        about: "everything below a folder, or what matches",
        counts: (0, MANY),
        arguments: &[ArgumentNames::Remote],
        make: transfers::find,
    },
    Shortcut {
        name: "du",
        takes: "[-hs] [FOLDER]",
        about: "the bytes below each folder in a folder",
        counts: (0, MANY),
        arguments: &[ArgumentNames::Remote],
        make: du,
    },
    Shortcut {
        name: "cat",
        takes: "FILE",
        about: "shows a text file",
        counts: (1, 1),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(call("read", &texts(words))),
    },
    Shortcut {
        name: "less",
        takes: "FILE",
        about: "shows a text file page by page (PAGER)",
        counts: (1, 1),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(asked(words, PromptRequest::Page)),
    },
    Shortcut {
        name: "edit",
        takes: "FILE",
        about: "fetches a file, opens it in an editor (VISUAL, EDITOR), and sends it back",
        counts: (1, 1),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(asked(words, PromptRequest::Edit)),
    },
    Shortcut {
        name: "get",
        takes: "[-r] [OPTIONS] FILE [LOCAL]",
        about: "fetches a file; with -r a folder",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote, ArgumentNames::Local],
        make: transfers::get,
    },
    Shortcut {
        name: "put",
        takes: "[-r] [OPTIONS] LOCAL [FILE]",
        about: "sends a file; with -r a folder",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Local, ArgumentNames::Remote],
        make: transfers::put,
    },
    Shortcut {
        name: "mget",
        takes: "[OPTIONS] PATTERN…",
        about: "fetches the files that match",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: transfers::mget,
    },
    Shortcut {
        name: "mput",
        takes: "[OPTIONS] PATTERN…",
        about: "sends the files that match",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Local],
        make: transfers::mput,
    },
    Shortcut {
        name: "mirror",
        takes: "[-R] [OPTIONS] SOURCE [TARGET]",
        about: "fetches a folder; with -R sends one; the options of `portolan mirror`",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: transfers::mirror,
    },
    Shortcut {
        name: "jobs",
        takes: "",
        about: "the transfers in the background: `get FILE &` begins one",
        counts: (0, 0),
        arguments: &[],
        make: |_| Ok(ShortcutStep::Ask(PromptRequest::Jobs)),
    },
    Shortcut {
        name: "wait",
        takes: "[NUMBER]",
        about: "waits for those transfers, or for one",
        counts: (0, 1),
        arguments: &[ArgumentNames::None],
        make: |words| Ok(ShortcutStep::Ask(PromptRequest::Wait(number(words)?))),
    },
    Shortcut {
        name: "kill",
        takes: "NUMBER",
        about: "stops one of them",
        counts: (1, 1),
        arguments: &[ArgumentNames::None],
        make: |words| {
            Ok(ShortcutStep::Ask(PromptRequest::Kill(number(words)?.unwrap_or_default())))
        },
    },
    Shortcut {
        name: "mkdir",
        takes: "FOLDER…",
        about: "makes folders, with those above them",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(all("mkdir", words)),
    },
    Shortcut {
        name: "rm",
        takes: "[-r] FILE…",
        about: "removes files; with -r folders with all that is in them",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(transfers::rm(words)),
    },
    Shortcut {
        name: "rmdir",
        takes: "FOLDER…",
        about: "removes empty folders",
        counts: (1, MANY),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(all("rmdir", words)),
    },
    Shortcut {
        name: "mv",
        takes: "FROM TO",
        about: "renames",
        counts: (2, 2),
        arguments: &[ArgumentNames::Remote],
        make: |words| Ok(call("rename", &texts(words))),
    },
    Shortcut {
        name: "chmod",
        takes: "[-R] MODE FILE…",
        about: "sets permissions, such as 644; with -R of all that is in a folder as well",
        counts: (2, MANY),
        arguments: &[ArgumentNames::None, ArgumentNames::Remote],
        make: transfers::chmod,
    },
    Shortcut {
        name: "quote",
        takes: "COMMAND…",
        about: "sends an FTP command as it stands",
        counts: (1, MANY),
        arguments: &[ArgumentNames::None],
        make: |words| {
            let line: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
            Ok(call("quote", &[literal(&line.join(" "))]))
        },
    },
    Shortcut {
        name: "lls",
        takes: "[FOLDER]",
        about: "what is in a folder of this machine",
        counts: (0, 1),
        arguments: &[ArgumentNames::Local],
        make: |words| Ok(ShortcutStep::Script(format!("local::list({})", text_or(words, 0, ".")))),
    },
    Shortcut {
        name: "lcd",
        takes: "[FOLDER]",
        about: "goes to a folder of this machine",
        counts: (0, 1),
        arguments: &[ArgumentNames::Local],
        make: |words| Ok(ShortcutStep::Here(words.first().map(|word| word.text.clone()))),
    },
    Shortcut {
        name: "lpwd",
        takes: "",
        about: "the folder of this machine",
        counts: (0, 0),
        arguments: &[],
        make: |_| Ok(ShortcutStep::WhereHere),
    },
    Shortcut {
        name: "!",
        takes: "COMMAND…",
        about: "runs a command of this machine, as in `!ls -l`",
        counts: (0, MANY),
        arguments: &[ArgumentNames::Local],
        make: |_| Err(Error::invalid("`!` wants a command, as in `!ls -l`")),
    },
    Shortcut {
        name: "open",
        takes: "URL",
        about: "ends this session and opens another: a URL, or @NAME of a saved site",
        counts: (1, 1),
        arguments: &[ArgumentNames::None],
        make: |words| Ok(asked(words, PromptRequest::Open)),
    },
    Shortcut {
        name: "bookmark",
        takes: "[NAME]",
        about: "saves the server and the folder as @NAME; without one lists what is saved",
        counts: (0, 1),
        arguments: &[ArgumentNames::None],
        make: |words| {
            let name = words.first().map(|word| word.text.clone());
            Ok(ShortcutStep::Ask(PromptRequest::Bookmark(name)))
        },
    },
    Shortcut {
        name: "history",
        takes: "[NUMBER]",
        about: "the lines so far, or the last ones",
        counts: (0, 1),
        arguments: &[ArgumentNames::None],
        make: |words| Ok(ShortcutStep::Ask(PromptRequest::History(number(words)?))),
    },
    Shortcut {
        name: "help",
        takes: "[FUNCTION]",
        about: "this list, or what a function does",
        counts: (0, 1),
        arguments: &[ArgumentNames::Functions],
        make: |words| Ok(ShortcutStep::Help(words.first().map(|word| word.text.clone()))),
    },
    Shortcut {
        name: "exit",
        takes: "",
        about: "ends, as Ctrl-D does",
        counts: (0, 0),
        arguments: &[],
        make: |_| Ok(ShortcutStep::End),
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
        (self.make)(words)
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

/// Returns the help of the command `name`, with its options.
pub(super) fn explained(name: &str) -> Option<String> {
    let one = of(name)?;
    let flags = match one.name {
        "get" | "mget" => options::flags("get", &transfer::OPTIONS),
        "put" | "mput" => options::flags("put", &transfer::OPTIONS),
        "mirror" => options::flags("mirror", &mirror::OPTIONS),
        _ => String::new(),
    };
    let gap = if flags.is_empty() { "" } else { "\n" };
    Some(format!("{} {}\n  {}{gap}{flags}", one.name, one.takes, one.about))
}

/// Returns the shortcut most similar to an unknown first word.
pub(super) fn near(word: &str) -> Option<&'static str> {
    let names: Vec<_> = SHORTCUTS.iter().map(|one| one.name).collect();
    nearest(word, &names)
}

fn text(words: &[PromptWord], at: usize) -> Option<String> {
    words.get(at).map(|word| literal(&word.text))
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

/// Returns what the program around the prompt has to do with the first word.
fn asked(words: &[PromptWord], request: fn(String) -> PromptRequest) -> ShortcutStep {
    let text = words.first().map(|word| word.text.clone()).unwrap_or_default();
    ShortcutStep::Ask(request(text))
}

/// Returns the number that the first word is.
fn number(words: &[PromptWord]) -> Result<Option<usize>> {
    let Some(word) = words.first() else { return Ok(None) };
    let number = word.text.trim_start_matches('%').parse();
    number.map(Some).map_err(|_| Error::invalid(format!("a number is wanted, got `{}`", word.text)))
}

/// Returns the command of the machine in a line such as `!ls -l`.
pub(super) fn local_command(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('!').map(str::trim)
}

/// Returns a line that ends with `&` without it, if its command can run in the background.
pub(super) fn in_background(line: &str) -> Result<Option<&str>> {
    let words = words::read(line);
    let Some((last, before)) = words.split_last() else { return Ok(None) };
    let is_asked = last.text == "&" && !last.is_quoted && !before.is_empty();
    let (true, Some(command)) = (is_asked, of(line)) else { return Ok(None) };
    if !BACKGROUND.contains(&command.name) {
        let known = BACKGROUND.join(", ");
        let message = format!("`{}` cannot run in the background; {known} can", command.name);
        return Err(Error::invalid(message));
    }
    let line = line.get(..last.start).unwrap_or_default().trim_end();
    command.read(line).map(|_| Some(line))
}

fn all(function: &str, words: &[PromptWord]) -> ShortcutStep {
    let calls = words.iter().map(|word| format!("site.{function}({});", literal(&word.text)));
    ShortcutStep::Script(calls.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str) -> String {
        match of(line).unwrap().read(line) {
            Ok(ShortcutStep::Script(text) | ShortcutStep::List(text, _)) => text,
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
            ("ls -l *.csv", r#"site.list(".").filter(|entry| entry.name.matches("^.*\\.csv$"))"#),
            ("ls -lt pub/a?", r#"site.list("pub").filter(|entry| entry.name.matches("^a.$"))"#),
            ("ls */a.csv", r#"site.glob("*/a.csv")"#),
            ("ls -R pub", r#"site.find("pub")"#),
            (r"ls \*.csv", r#"site.list("*.csv")"#),
            ("get a.csv", r#"site.get("a.csv", "."); ()"#),
            ("get 'a b' c", r#"site.get("a b", "c"); ()"#),
            ("put a.csv in/", r#"site.put("a.csv", "in/"); ()"#),
            ("rm -r old", r#"{ let path = "old"; site.delete_tree(path); } ()"#),
            ("chmod 644 a", r#"{ let path = "a"; site.chmod(path, "644"); } ()"#),
            ("get --resume a", r#"site.get("a", ".", #{ "resume": true }); ()"#),
            ("get -r pub/a here/", r#"site.mirror_down("pub/a", "here/a"); ()"#),
            ("put -r dist", r#"site.mirror_up("dist", "./dist"); ()"#),
            ("put -r dist /htdocs", r#"site.mirror_up("dist", "/htdocs"); ()"#),
            ("mirror -n a", r#"site.mirror_down("a", "a", #{ "dry_run": true }).plan"#),
            ("find --type f pub", r#"site.find("pub").filter(|entry| entry.kind == "file")"#),
            ("quote SITE HELP", r#"site.quote("SITE HELP")"#),
            (
                "mirror -R --delete dist /htdocs",
                r#"site.mirror_up("dist", "/htdocs", #{ "delete": true }); ()"#,
            ),
            ("mirror pub/a/", r#"site.mirror_down("pub/a/", "a"); ()"#),
            ("rename a b", r#"site.rename("a", "b")"#),
        ] {
            assert_eq!(script(line), wanted, "{line}");
        }
        assert!(script("mget *.csv").contains("no file on the server matches *.csv"));
    }

    #[test]
    fn a_line_that_ends_with_an_ampersand_runs_in_the_background() {
        assert_eq!(in_background("get a b &").unwrap(), Some("get a b"));
        assert_eq!(in_background("mirror -R dist  &").unwrap(), Some("mirror -R dist"));
        for line in ["get a b", "get 'a &'", "get a '&'", "1 & 2 &", "&"] {
            assert_eq!(in_background(line).unwrap(), None, "{line}");
        }
        assert!(in_background("cd pub &").unwrap_err().message.contains("cannot run in"));
        assert!(in_background("get --resum a &").is_err(), "mistakes are told at once");
        assert_eq!(local_command(" !ls -l"), Some("ls -l"));
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
            if let Ok(ShortcutStep::Script(text) | ShortcutStep::List(text, _)) = one.read(&line) {
                let whole = format!("let site = 1; {text}");
                assert!(engine.compile(&whole).is_ok(), "{line}: {text}");
            }
        }
    }
}
