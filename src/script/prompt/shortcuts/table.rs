//! The table of all shortcuts, and the pieces of script that they make.

use super::{ArgumentNames, MANY, Shortcut, ShortcutStep};
use crate::{
    error::{Error, Result},
    script::prompt::{
        PromptRequest,
        listings::{du, ls},
        transfers,
        words::{PromptWord, literal},
    },
};

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
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("?", "help"),
    ("bye", "exit"),
    ("delete", "rm"),
    ("dir", "ls"),
    ("mrm", "rm"),
    ("quit", "exit"),
    ("rename", "mv"),
];

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

fn all(function: &str, words: &[PromptWord]) -> ShortcutStep {
    let calls = words.iter().map(|word| format!("site.{function}({});", literal(&word.text)));
    ShortcutStep::Script(calls.collect::<Vec<_>>().join(" "))
}
