//! Hints for common beginners' mistakes that the language reports in its own wording.

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
const MODULES: [&str; 5] = ["ftp", "local", "log", "nat", "job"];

/// Returns the function that a caller of `name` most likely means.
pub fn meant(name: &str) -> Option<&'static str> {
    OTHER_WORDS.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours)
}

/// Returns a hint for `message`, an error at character `column` (from 1) of `line`.
pub fn advice(message: &str, line: &str, column: usize) -> Option<String> {
    let before: String = line.chars().take(column.saturating_sub(1)).collect();
    if let Some(name) = message.strip_prefix("there is no variable `") {
        return variable(name.trim_end_matches('`'), line, before.trim_end());
    }
    if let Some(signature) = message.strip_prefix("there is no function `") {
        return function(signature);
    }
    if message.starts_with("invalid character: ") {
        return Some("a text stands in double quotes: single ones hold one character".into());
    }
    if message.starts_with("expecting ';'") {
        let where_to = if before.trim().is_empty() {
            " at the end of the line above, or a } below it"
        } else {
            ""
        };
        return Some(format!("something is missing before this place: a semicolon{where_to}"));
    }
    if message.starts_with("open string") {
        return Some("a text ends in its line; one in `backticks` may go on in the next".into());
    }
    if message.ends_with("is a reserved keyword") {
        let is_nothing = ["'null'", "'nil'", "'void'"].iter().any(|word| message.starts_with(word));
        return Some(if is_nothing {
            "nothing is written `()`".into()
        } else {
            "the language keeps this word for itself: take another name".into()
        });
    }
    if message.contains("out of bounds") && line.contains("args[") {
        let example = "`portolan run SCRIPT ARGUMENT…`";
        return Some(format!(
            "the script was given too few arguments: {example}; `args.len()` counts them"
        ));
    }
    None
}

/// Returns a hint for a function that exists with other arguments, or as a method of another type.
fn function(signature: &str) -> Option<String> {
    let (name, types) = signature.split_once('(')?;
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
        for (message, line, column, wanted) in [
            ("there is no variable `ftp`", "let s = ftp.connect(1);", 9, "`ftp::…`"),
            ("there is no variable `site`", "site = 5;", 1, "`let site = …`"),
            ("there is no variable `mode`", "f({ mode: 1 });", 5, "#{ … }"),
            ("there is no variable `passive`", "f(#{ mode: passive });", 12, "\"passive\""),
            ("there is no variable `finally`", "} finally {", 3, "try"),
            ("there is no variable `True`", "f(#{ delete: True });", 14, "`true`"),
            ("invalid character: 'ab'", "f('ab')", 3, "double quotes"),
            ("expecting ';' to terminate this statement", "g();", 1, "line above"),
            ("open string is not terminated", "f(\"a);", 3, "ends in its line"),
            ("'null' is a reserved keyword", "let x = null;", 9, "`()`"),
            ("'sync' is a reserved keyword", "let sync = 1;", 5, "another name"),
            ("there is no function `list(string)`", "list(\".\")", 1, "`site.list(…)`"),
            ("array index 0 out of bounds: array is empty", "f(args[0])", 8, "too few arguments"),
        ] {
            let found = advice(message, line, column);
            assert!(
                found.as_ref().is_some_and(|text| text.contains(wanted)),
                "{message}: {found:?}"
            );
        }
        assert_eq!(advice("there is no function `list(Session, i64)`", "site.list(1)", 6), None);
        assert_eq!(advice("there is no function `nothing()`", "nothing()", 1), None);
        assert_eq!(advice("there is no variable `reprt`", "print(reprt);", 7), None);
        assert_eq!(meant("upload"), Some("put"));
    }

    #[test]
    fn what_is_meant_is_a_function_of_a_session() {
        let all = docs::functions();
        for (_, ours) in OTHER_WORDS {
            assert!(!docs::find(&all, &format!("site.{ours}")).is_empty(), "{ours}");
        }
    }
}
