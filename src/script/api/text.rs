//! Strings: regular expressions, and copies where the language's own functions change a string in place.

use std::cell::RefCell;

use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, ImmutableString, Map, NativeCallContext, export_module};

use super::sizes::{fits_array, fits_text};
use crate::{
    error::{Error, Result},
    script::raise::{Raise, RhaiResultOf},
};

/// The maximum size of a compiled regular expression: `\w{1000}` is refused, what people write is not.
const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// The number of regular expressions that are kept compiled: those of one loop.
const REGEXES_KEPT: usize = 32;

thread_local! {
    /// The expressions that were used last. A script uses the same one for each line of a file.
    static COMPILED: RefCell<Vec<(String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// Returns the compiled expression.
fn regex(pattern: &str) -> Result<Regex> {
    COMPILED.with_borrow_mut(|kept| {
        if let Some(index) = kept.iter().position(|(known, _)| known == pattern) {
            let found = kept.remove(index);
            kept.push(found);
        } else {
            if kept.len() >= REGEXES_KEPT {
                kept.remove(0);
            }
            kept.push((pattern.to_owned(), compile(pattern)?));
        }
        let last = kept.last().map(|(_, regex)| regex.clone());
        last.ok_or_else(|| Error::invalid("there is no regular expression"))
    })
}

fn compile(pattern: &str) -> Result<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| {
        let text = match &error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            other => {
                // The crate draws the pattern above its last line.
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
        };
        Error::invalid(format!("`{pattern}` is not a regular expression: {text}"))
    })
}

/// Returns the groups of a match, `()` for one that took no part.
fn groups(found: &regex::Captures<'_>) -> Array {
    let value = |part: Option<regex::Match<'_>>| {
        part.map_or(Dynamic::UNIT, |part| part.as_str().to_owned().into())
    };
    found.iter().map(value).collect()
}

/// Returns a number of characters as scripts give it; less than none is none.
fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Returns `width` characters of `filler` less those that `text` has.
fn filling(text: &str, width: i64, filler: &str) -> RhaiResultOf<String> {
    let missing = count(width).saturating_sub(text.chars().count());
    fits_text(text.len(), missing.saturating_mul(4))?;
    Ok(filler.chars().cycle().take(missing).collect())
}

/// Strings.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// Returns true if a regular expression matches anywhere in the text; `^` and `$` tie it to the beginning and the end.
    /// The syntax is that of the crate [regex](https://docs.rs/regex/latest/regex/#syntax): `\d`, `[a-z]`, `(…)`, `(?i)` for
    /// any case; no look-around and no back-references. The time is linear in the length of the text. Write it between
    /// backticks, in which a backslash is one. Raises `invalid`.
    ///
    /// ```rhai
    /// let name = "orders-20260211.csv";
    /// if name.matches(`^orders-\d{8}\.csv$`) { print("an order"); }
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn matches(
        ctx: NativeCallContext<'_>,
        text: &mut ImmutableString,
        pattern: &str,
    ) -> RhaiResultOf<bool> {
        regex(pattern).map(|regex| regex.is_match(text)).or_raise(&ctx)
    }

    /// Returns the first match of a regular expression as an array: the whole match, then its groups, `()` for one that took
    /// no part; `()` if there is no match.
    ///
    /// ```rhai
    /// let found = "orders-20260211.csv".captures(`-(\d{4})(\d\d)(\d\d)`);
    /// if found != () { print(`year ${found[1]}, month ${found[2]}`); }
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn captures(
        ctx: NativeCallContext<'_>,
        text: &mut ImmutableString,
        pattern: &str,
    ) -> RhaiResultOf<Dynamic> {
        let found = regex(pattern).or_raise(&ctx)?;
        let found = found.captures(text);
        Ok(found.map_or(Dynamic::UNIT, |found| Dynamic::from_array(groups(&found))))
    }

    /// Returns the named groups of the first match, `(?<name>…)`, as a map; `()` if there is no match.
    ///
    /// ```rhai
    /// let found = "acme_2026-02.csv".named_captures(`^(?<who>\w+?)_(?<month>[\d-]+)`);
    /// if found != () { print(found.who); }
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn named_captures(
        ctx: NativeCallContext<'_>,
        text: &mut ImmutableString,
        pattern: &str,
    ) -> RhaiResultOf<Dynamic> {
        let regex = regex(pattern).or_raise(&ctx)?;
        let Some(found) = regex.captures(text) else { return Ok(Dynamic::UNIT) };
        let mut map = Map::new();
        for name in regex.capture_names().flatten() {
            let part = found.name(name).map(|part| part.as_str().to_owned());
            map.insert(name.into(), part.map_or(Dynamic::UNIT, Dynamic::from));
        }
        Ok(Dynamic::from_map(map))
    }

    /// Returns every match of a regular expression: an array of strings.
    ///
    /// ```rhai
    /// let numbers = "1 of 20, 3 of 40".find_all(`\d+`);
    /// print(numbers.len());
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn find_all(
        ctx: NativeCallContext<'_>,
        text: &mut ImmutableString,
        pattern: &str,
    ) -> RhaiResultOf<Array> {
        let regex = regex(pattern).or_raise(&ctx)?;
        let mut all = Array::new();
        for found in regex.find_iter(text) {
            fits_array(all.len(), 1)?;
            all.push(found.as_str().to_owned().into());
        }
        Ok(all)
    }

    /// Returns every match of a regular expression with its groups: an array of arrays as of `captures`.
    ///
    /// ```rhai
    /// for pair in "a=1, b=2".captures_all(`(\w)=(\d)`) { print(`${pair[1]} is ${pair[2]}`); }
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn captures_all(
        ctx: NativeCallContext<'_>,
        text: &mut ImmutableString,
        pattern: &str,
    ) -> RhaiResultOf<Array> {
        let regex = regex(pattern).or_raise(&ctx)?;
        let mut all = Array::new();
        for found in regex.captures_iter(text) {
            fits_array(all.len(), 1)?;
            all.push(Dynamic::from_array(groups(&found)));
        }
        Ok(all)
    }

    /// Returns the text with every match of a regular expression replaced; `$1` and `${name}` in `with` are the groups of the
    /// match, `$$` is a dollar sign. The text itself stays as it is.
    ///
    /// ```rhai
    /// let iso = "11.02.2026".replace_regex(`(\d+)\.(\d+)\.(\d+)`, "$3-$2-$1");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn replace_regex(
        ctx: NativeCallContext<'_>,
        text: &mut ImmutableString,
        pattern: &str,
        with: &str,
    ) -> RhaiResultOf<String> {
        let regex = regex(pattern).or_raise(&ctx)?;
        let mut result = String::new();
        let mut end = 0;
        for found in regex.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            result.push_str(text.get(end..whole.start()).unwrap_or_default());
            found.expand(with, &mut result);
            fits_text(result.len(), 0)?;
            end = whole.end();
        }
        let rest = text.get(end..).unwrap_or_default();
        fits_text(result.len(), rest.len())?;
        Ok(result + rest)
    }

    /// Returns the parts of the text between the matches of a regular expression.
    ///
    /// ```rhai
    /// let fields = "one, two;three".split_regex(`[,;]\s*`);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn split_regex(
        ctx: NativeCallContext<'_>,
        text: &mut ImmutableString,
        pattern: &str,
    ) -> RhaiResultOf<Array> {
        let regex = regex(pattern).or_raise(&ctx)?;
        let mut all = Array::new();
        for part in regex.split(text) {
            fits_array(all.len(), 1)?;
            all.push(part.to_owned().into());
        }
        Ok(all)
    }

    /// Returns the text with a backslash before each character that means something in a regular expression.
    ///
    /// ```rhai
    /// let pattern = "^" + "report (final).csv".escape_regex() + "$";
    /// ```
    #[rhai_fn(pure)]
    pub fn escape_regex(text: &mut ImmutableString) -> String {
        regex::escape(text)
    }

    /// Returns the text without white space at both ends; `trim` changes the text itself and returns `()`.
    ///
    /// ```rhai
    /// let version = local::read("VERSION").trimmed();
    /// ```
    #[rhai_fn(pure)]
    pub fn trimmed(text: &mut ImmutableString) -> ImmutableString {
        text.trim().into()
    }

    /// Returns the text with every `find` replaced; `replace` changes the text itself and returns `()`.
    ///
    /// ```rhai
    /// let price = "1,50".replaced(",", ".").parse_float();
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn replaced(text: &mut ImmutableString, find: &str, with: &str) -> RhaiResultOf<String> {
        let count = text.matches(find).count();
        fits_text(text.len() - count * find.len(), count.saturating_mul(with.len()))?;
        Ok(text.replace(find, with))
    }

    /// Returns the lines of the text, without their ends (`\n` or `\r\n`). For files that are large, see `local::lines`.
    ///
    /// ```rhai
    /// for line in local::read("names.txt").lines() { print(line); }
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn lines(text: &mut ImmutableString) -> RhaiResultOf<Array> {
        let mut all = Array::new();
        for line in text.lines() {
            fits_array(all.len(), 1)?;
            all.push(line.to_owned().into());
        }
        Ok(all)
    }

    /// Returns the text, preceded by spaces, so that it has `width` characters.
    ///
    /// ```rhai
    /// print("7".pad_left(3) + " files");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn pad_left(text: &mut ImmutableString, width: i64) -> RhaiResultOf<String> {
        Ok(filling(text, width, " ")? + text.as_str())
    }

    /// Returns the text, preceded by `filler`, so that it has `width` characters.
    ///
    /// ```rhai
    /// let number = "7".pad_left(3, "0");
    /// ```
    #[rhai_fn(name = "pad_left", return_raw, pure)]
    pub fn pad_left_with(
        text: &mut ImmutableString,
        width: i64,
        filler: &str,
    ) -> RhaiResultOf<String> {
        Ok(filling(text, width, filler)? + text.as_str())
    }

    /// Returns the text, followed by spaces, so that it has `width` characters.
    ///
    /// ```rhai
    /// print("name".pad_right(20) + "size");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn pad_right(text: &mut ImmutableString, width: i64) -> RhaiResultOf<String> {
        Ok(format!("{text}{}", filling(text, width, " ")?))
    }

    /// Returns the text, followed by `filler`, so that it has `width` characters.
    ///
    /// ```rhai
    /// print("name".pad_right(20, "."));
    /// ```
    #[rhai_fn(name = "pad_right", return_raw, pure)]
    pub fn pad_right_with(
        text: &mut ImmutableString,
        width: i64,
        filler: &str,
    ) -> RhaiResultOf<String> {
        Ok(format!("{text}{}", filling(text, width, filler)?))
    }

    /// Returns the text `times` times in a row.
    ///
    /// ```rhai
    /// print("-".repeat(40));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn repeat(text: &mut ImmutableString, times: i64) -> RhaiResultOf<String> {
        fits_text(0, text.len().saturating_mul(count(times)))?;
        Ok(text.repeat(count(times)))
    }
}

#[cfg(test)]
mod tests {
    use rhai::Dynamic;

    use crate::script::{engine, show};

    fn result(text: &str) -> String {
        match engine::bare().eval::<Dynamic>(text) {
            Ok(value) => show::text(&value),
            Err(error) => match error.unwrap_inner() {
                rhai::EvalAltResult::ErrorRuntime(value, _) => show::text(value),
                other => other.to_string(),
            },
        }
    }

    #[test]
    fn expressions_match_capture_replace_and_split() {
        for (text, wanted) in [
            (r#""ab12".matches(`\d+`)"#, "true"),
            (r#""ab12".matches(`^\d+`)"#, "false"),
            (r#""ab12".captures(`([a-z]+)(\d)(x)?`)"#, r#"["ab1", "ab", "1", ]"#),
            (r#""ab12".captures(`x`)"#, ""),
            (
                r#""k=v".named_captures(`(?<key>\w)=(?<value>\w)`)"#,
                r#"#{"key": "k", "value": "v"}"#,
            ),
            (r#""a1b22".find_all(`\d+`)"#, r#"["1", "22"]"#),
            (r#""a=1,b=2".captures_all(`(\w)=(\d)`)"#, r#"[["a=1", "a", "1"], ["b=2", "b", "2"]]"#),
            (r#""11.02.2026".replace_regex(`(\d+)\.(\d+)\.(\d+)`, "$3-$2-$1")"#, "2026-02-11"),
            (r#""abc".replace_regex(`x*`, "-")"#, "-a-b-c-"),
            (r#""grün".replace_regex(`ü`, "ue")"#, "gruen"),
            (r#""one, two;three".split_regex(`[,;]\s*`)"#, r#"["one", "two", "three"]"#),
            (r#""a.b".escape_regex()"#, r"a\.b"),
            (r#"" x ".trimmed() + "1,5".replaced(",", ".")"#, "x1.5"),
            (r#""a\r\nb\n\nc".lines()"#, r#"["a", "b", "", "c"]"#),
            (
                r#""7".pad_left(3, "0") + "|" + "7".pad_right(3) + "|" + "ab".repeat(2)"#,
                "007|7  |abab",
            ),
            (r#""x".pad_left(-1) + "y".repeat(-2)"#, "x"),
        ] {
            assert_eq!(result(text), wanted, "{text}");
        }
    }

    #[test]
    fn expressions_that_cannot_be_used_are_named() {
        assert_eq!(
            result(r#""x".matches("(a")"#),
            "`(a` is not a regular expression: unclosed group"
        );
        let text = result(r#""x".matches(`\w{1000}{1000}`)"#);
        assert_eq!(text, "`\\w{1000}{1000}` is not a regular expression: it is too large");
    }

    #[test]
    fn results_have_the_limits_of_all_values() {
        for text in [
            r#""x".repeat(9000000)"#,
            r#""x".pad_left(90000000)"#,
            r#"let s = "a".repeat(5000); s.replaced("a", s)"#,
            r#"let s = "a".repeat(5000); s.replace_regex("a", s)"#,
        ] {
            assert!(result(text).contains("Length of string"), "{text}: {}", result(text));
        }
        let many = r#""\n".repeat(600000).lines()"#;
        assert!(result(many).contains("Size of array"), "{}", result(many));
    }
}
