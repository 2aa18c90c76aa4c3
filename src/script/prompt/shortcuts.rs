//! Shortcuts such as `get a.csv`, known from other programs. Each is translated into a piece of script.

mod table;

use self::table::{ALIASES, SHORTCUTS};
use super::{
    PromptRequest, options,
    shown::ListForm,
    words::{self, PromptWord},
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
            let quotes = if words.len() > self.counts.1 && self.counts.1 > 0 {
                "; names with spaces stand in quotes"
            } else {
                ""
            };
            let message = format!("`{name}` takes {takes}{quotes}");
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
        // A shortcut that is longer than its column has its description on the next line.
        if shown.chars().count() > 22 {
            format!("  {shown}\n  {:22}  {}\n", "", one.about)
        } else {
            format!("  {shown:22}  {}\n", one.about)
        }
    });
    let lines: String = lines.collect();
    format!(
        "{lines}\nEverything else is script: `site` is the session, `site.size(\"a.csv\")` a function of it, and what\n\
         `let` names stays. `help ftp::connect` tells of a function; Tab completes. An incomplete\n\
         line continues on the next one; an empty line ends it."
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

/// Returns the names of all shortcuts.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHORTCUTS.iter().map(|one| one.name)
}

/// Returns the shortcut most similar to an unknown first word.
pub(super) fn near(word: &str) -> Option<&'static str> {
    let names: Vec<_> = names().collect();
    nearest(word, &names)
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
        assert_eq!(fault.message, "`mv` takes FROM TO");
        let fault = of("mv a b c").unwrap().read("mv a b c").unwrap_err();
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
