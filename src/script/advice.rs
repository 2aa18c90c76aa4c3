//! Hints for common beginners' mistakes that the language reports in its own wording.

use rhai::{EvalAltResult, LexError, ParseErrorType};

use super::docs;

/// The names that other programs and languages use for functions of a session.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("chdir", "cd"),
    ("cwd", "cd"),
    ("dir", "list"),
    ("disconnect", "close"),
    ("download", "get"),
    ("ls", "list"),
    ("makedirs", "mkdir"),
    ("mdtm", "modified"),
    ("move", "rename"),
    ("mv", "rename"),
    ("nlst", "names"),
    ("quit", "close"),
    ("remove", "delete"),
    ("rm", "delete"),
    ("rmtree", "delete_tree"),
    ("unlink", "delete"),
    ("upload", "put"),
    ("walk", "find"),
];

/// The modules whose functions are called with two colons.
const MODULES: [&str; 12] =
    ["base64", "csv", "ftp", "http", "job", "json", "local", "log", "nat", "path", "run", "state"];

/// Returns the function that a caller of `name` most likely means.
pub fn meant(name: &str) -> Option<&'static str> {
    OTHER_WORDS.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours)
}

/// A mistake in a script for which there may be advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptMistake {
    /// A variable of this name does not exist.
    UnknownVariable(String),
    /// A function of this signature does not exist.
    UnknownFunction(String),
    /// A literal in single quotes has several characters.
    LongCharacter,
    /// A semicolon is missing.
    MissingSemicolon,
    /// A string has no closing quote.
    OpenString,
    /// The name is a word of the language.
    ReservedWord(String),
    /// An array has no element of this index.
    OutOfBounds,
    /// A loop is to go over a value that has no elements in order.
    NotIterable,
}

impl ScriptMistake {
    /// Returns the mistake that an error of the engine reports.
    pub fn of(error: &EvalAltResult) -> Option<Self> {
        match error {
            EvalAltResult::ErrorVariableNotFound(name, _) => {
                Some(Self::UnknownVariable(name.clone()))
            }
            EvalAltResult::ErrorFunctionNotFound(signature, _) => {
                Some(Self::UnknownFunction(signature.clone()))
            }
            EvalAltResult::ErrorArrayBounds(..) => Some(Self::OutOfBounds),
            EvalAltResult::ErrorFor(..) => Some(Self::NotIterable),
            EvalAltResult::ErrorParsing(error, _) => Self::of_syntax(error),
            _ => None,
        }
    }

    /// Returns the mistake that an error of the parser reports.
    pub fn of_syntax(error: &ParseErrorType) -> Option<Self> {
        match error {
            ParseErrorType::VariableUndefined(name) => Some(Self::UnknownVariable(name.clone())),
            ParseErrorType::BadInput(LexError::MalformedChar(_)) => Some(Self::LongCharacter),
            ParseErrorType::BadInput(LexError::UnterminatedString) => Some(Self::OpenString),
            ParseErrorType::MissingToken(token, _) if token == ";" => Some(Self::MissingSemicolon),
            ParseErrorType::MismatchedType(wanted, _) if wanted.contains("iterable") => {
                Some(Self::NotIterable)
            }
            ParseErrorType::Reserved(word) => Some(Self::ReservedWord(word.clone())),
            _ => None,
        }
    }

    /// Returns a hint for the mistake at character `column` (from 1) of `line`.
    pub fn advice(&self, line: &str, column: usize) -> Option<String> {
        let before: String = line.chars().take(column.saturating_sub(1)).collect();
        match self {
            Self::UnknownVariable(name) => variable(name, line, before.trim_end()),
            Self::UnknownFunction(signature) => function(signature),
            Self::LongCharacter => {
                Some("a text stands in double quotes: single ones hold one character".into())
            }
            Self::MissingSemicolon => {
                let where_to = if before.trim().is_empty() {
                    " at the end of the line above, or a } below it"
                } else {
                    ""
                };
                Some(format!("something is missing before this place: a semicolon{where_to}"))
            }
            Self::OpenString => {
                Some("a text ends in its line; one in `backticks` may go on in the next".into())
            }
            Self::ReservedWord(word) if matches!(&**word, "null" | "nil" | "void") => {
                Some("nothing is written `()`".into())
            }
            Self::ReservedWord(_) => {
                Some("the language keeps this word for itself: take another name".into())
            }
            Self::OutOfBounds if line.contains("args[") => Some(
                "the script was given too few arguments: `portolan run SCRIPT ARGUMENT…`; `args.len()` counts them"
                    .into(),
            ),
            Self::OutOfBounds => None,
            Self::NotIterable => Some(
                "`for` goes over arrays, ranges and texts; over a map it takes its keys: `for key in map.keys()`"
                    .into(),
            ),
        }
    }
}

/// Returns a hint for a function that exists with other arguments, or as a method of another type.
fn function(signature: &str) -> Option<String> {
    let (name, types) = signature.split_once(" (")?;
    let all = docs::functions();
    let of_session = docs::find(&all, &format!("site.{name}"));
    let is_asked = types.starts_with("Session");
    let hint = || format!("it is a function of a session: `site.{name}(…)`");
    (!is_asked && !of_session.is_empty()).then(hint)
}

/// Returns a hint for an unknown variable.
fn variable(name: &str, line: &str, before: &str) -> Option<String> {
    let after = line.get(before.len()..).unwrap_or_default().trim_start();
    let after = after.strip_prefix(name).unwrap_or_default().trim_start();
    if MODULES.contains(&name) && after.starts_with('.') {
        return Some(format!("what `{name}` has stands behind two colons: `{name}::…`"));
    }
    if before.is_empty() && after.starts_with('=') && !after.starts_with("==") {
        return Some(format!("a name is made by `let {name} = …`"));
    }
    if after.starts_with(':') && before.ends_with(['{', ',']) && !line.contains("#{") {
        return Some("options stand in `#{ … }`, with a # in front".into());
    }
    if name == "finally" || name == "elif" || name == "elseif" {
        return Some("there are `try … catch (err)` and `if … else if … else`".into());
    }
    if let word @ ("True" | "False") = name {
        return Some(format!("did you mean `{}`?", word.to_lowercase()));
    }
    let is_value = before.ends_with(':') && !before.ends_with("::");
    is_value.then(|| format!("a text stands in quotes: \"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_of_beginners_have_an_answer() {
        use ScriptMistake::{
            LongCharacter, MissingSemicolon, OpenString, OutOfBounds, ReservedWord,
            UnknownFunction, UnknownVariable,
        };
        let unknown = |name: &str| UnknownVariable(name.into());
        for (mistake, line, column, wanted) in [
            (unknown("ftp"), "let s = ftp.connect(1);", 9, "`ftp::…`"),
            (unknown("site"), "site = 5;", 1, "`let site = …`"),
            (unknown("mode"), "f({ mode: 1 });", 5, "#{ … }"),
            (unknown("passive"), "f(#{ mode: passive });", 12, "\"passive\""),
            (unknown("finally"), "} finally {", 3, "try"),
            (unknown("True"), "f(#{ delete: True });", 14, "`true`"),
            (LongCharacter, "f('ab')", 3, "double quotes"),
            (MissingSemicolon, "g();", 1, "line above"),
            (OpenString, "f(\"a);", 3, "ends in its line"),
            (ReservedWord("null".into()), "let x = null;", 9, "`()`"),
            (ReservedWord("sync".into()), "let sync = 1;", 5, "another name"),
            (UnknownFunction("list (string)".into()), "list(\".\")", 1, "`site.list(…)`"),
            (OutOfBounds, "f(args[0])", 8, "too few arguments"),
        ] {
            let found = mistake.advice(line, column);
            assert!(
                found.as_ref().is_some_and(|text| text.contains(wanted)),
                "{mistake:?}: {found:?}"
            );
        }
        for (mistake, line, column) in [
            (UnknownFunction("list (Session, i64)".into()), "site.list(1)", 6),
            (UnknownFunction("nothing ()".into()), "nothing()", 1),
            (unknown("reprt"), "print(reprt);", 7),
        ] {
            assert_eq!(mistake.advice(line, column), None);
        }
        assert_eq!(meant("upload"), Some("put"));
    }

    #[test]
    fn the_engine_reports_these_mistakes() {
        use ScriptMistake::{
            LongCharacter, MissingSemicolon, OpenString, OutOfBounds, ReservedWord,
            UnknownFunction, UnknownVariable,
        };
        let engine = rhai::Engine::new();
        for (script, mistake) in [
            ("print(x)", UnknownVariable("x".into())),
            ("f(1)", UnknownFunction("f (i64)".into())),
            ("let a = 'ab';", LongCharacter),
            ("let a = 1 let b = 2;", MissingSemicolon),
            ("let a = \"b;", OpenString),
            ("let a = null;", ReservedWord("null".into())),
            ("let a = []; a[0]", OutOfBounds),
        ] {
            let error = engine.eval::<rhai::Dynamic>(script).unwrap_err();
            assert_eq!(ScriptMistake::of(&error), Some(mistake), "{script}: {error}");
        }
    }

    #[test]
    fn what_is_meant_is_a_function_of_a_session() {
        let all = docs::functions();
        for (_, ours) in OTHER_WORDS {
            assert!(!docs::find(&all, &format!("site.{ours}")).is_empty(), "{ours}");
        }
    }
}
