//! Ordered patterns: globs as in `.gitignore`, and regular expressions after `re:`. Of several, the last match wins.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use regex::bytes::Regex;

use super::{
    gitignore::{GitignoreFiles, PatternMatch},
    tree::{above, join},
};
use portolan_core::error::{Error, Result};

/// The prefix of a pattern that is a regular expression.
const EXPRESSION: &str = "re:";

/// The patterns of an option, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct PatternList(Vec<PatternPart>);

/// Some patterns of a list that are compiled together.
#[derive(Debug, Clone)]
enum PatternPart {
    Globs(Gitignore),
    Expression { expression: Regex, is_negated: bool, text: String, from: String },
    Files(GitignoreFiles),
}

impl PatternList {
    /// Returns the pattern that decides about `path`; `None` if none matches.
    pub(super) fn matched(&self, path: &[u8], is_folder: bool) -> Option<PatternMatch<'_>> {
        self.0.iter().rev().find_map(|part| match part {
            PatternPart::Globs(globs) => {
                let found = globs.matched(Path::new(OsStr::from_bytes(path)), is_folder);
                PatternMatch::of(&found)
            }
            PatternPart::Expression { expression, is_negated, text, from } => {
                let slash = if is_folder { join(path, b"") } else { path.to_vec() };
                let found = PatternMatch { is_match: !is_negated, text, from: Path::new(from) };
                expression.is_match(&slash).then_some(found)
            }
            PatternPart::Files(files) => files.matched(path, is_folder),
        })
    }

    /// Returns the pattern that decides about `path`, or else about the nearest directory above it.
    pub(super) fn matched_below(&self, path: &[u8], is_folder: bool) -> Option<PatternMatch<'_>> {
        let above = || above(path).find_map(|folder| self.matched(folder, true));
        self.matched(path, is_folder).or_else(above)
    }
}

/// A list of patterns that is being compiled.
#[derive(Debug, Default)]
pub(super) struct PatternListBuilder {
    parts: Vec<PatternPart>,
    /// The globs since the last regular expression.
    globs: Option<GitignoreBuilder>,
}

impl PatternListBuilder {
    /// Adds the pattern `text` of the origin `from`; `written` is shown in messages.
    pub(super) fn add(&mut self, from: &str, text: &str, written: &str) -> Result<()> {
        let (is_negated, plain) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
        if let Some(expression) = plain.strip_prefix(EXPRESSION) {
            self.close(written)?;
            let expression = Regex::new(expression)
                .map_err(|error| unreadable(written, error.to_string().trim_end()))?;
            let (text, from) = (text.to_owned(), from.to_owned());
            self.parts.push(PatternPart::Expression { expression, is_negated, text, from });
            return Ok(());
        }
        let globs = self.globs.get_or_insert_with(|| {
            let mut globs = GitignoreBuilder::new("");
            globs.allow_unclosed_class(false);
            globs
        });
        let added = globs.add_line(Some(PathBuf::from(from)), text);
        added.map(drop).map_err(|error| unglobbed(written, error))
    }

    /// Adds the patterns of `.gitignore` files.
    pub(super) fn add_files(&mut self, files: GitignoreFiles) -> Result<()> {
        self.close("")?;
        self.parts.push(PatternPart::Files(files));
        Ok(())
    }

    /// Compiles the list.
    pub(super) fn build(mut self, written: &str) -> Result<PatternList> {
        self.close(written)?;
        Ok(PatternList(self.parts))
    }

    fn close(&mut self, written: &str) -> Result<()> {
        if let Some(globs) = self.globs.take() {
            let globs = globs.build().map_err(|error| unglobbed(written, error))?;
            self.parts.push(PatternPart::Globs(globs));
        }
        Ok(())
    }
}

/// Refuses the pattern `text` if it is empty or names the tree itself.
pub(super) fn check(text: &str) -> Result<()> {
    let plain = text.strip_prefix('!').unwrap_or(text);
    let is_nothing = if let Some(expression) = plain.strip_prefix(EXPRESSION) {
        expression.trim().is_empty()
    } else {
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        let plain = plain.strip_prefix('/').unwrap_or(plain);
        plain.split('/').any(|part| matches!(part.trim(), "" | "." | ".."))
    };
    if is_nothing {
        let message = format!("the pattern `{text}` names no file or folder inside of the mirror");
        return Err(Error::invalid(message));
    }
    Ok(())
}

fn unglobbed(pattern: &str, error: ignore::Error) -> Error {
    match error {
        // The text of the error would repeat the pattern.
        ignore::Error::Glob { err, .. } => unreadable(pattern, &err),
        other => unreadable(pattern, &other.to_string()),
    }
}

fn unreadable(pattern: &str, why: &str) -> Error {
    // The library shows the expression again, with a caret in a line of its own; its last line has the reason.
    let why = why.lines().last().unwrap_or(why);
    let why = why.strip_prefix("error: ").unwrap_or(why);
    Error::invalid(format!("cannot read the pattern `{pattern}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> PatternList {
        let mut builder = PatternListBuilder::default();
        for text in texts {
            builder.add("a test", text, text).unwrap();
        }
        builder.build("").unwrap()
    }

    #[test]
    fn expressions_and_globs_count_in_their_order() {
        let patterns = list(&["*.jpg", "!re:^keep/", "re:raw.*\\.jpg$", "!raw.jpg"]);
        for (path, wanted) in [
            ("a.jpg", Some(true)),
            ("keep/a.jpg", Some(false)),
            ("keep/raw1.jpg", Some(true)),
            ("raw.jpg", Some(false)),
            ("a.png", None),
        ] {
            let found = patterns.matched(path.as_bytes(), false).map(|found| found.is_match);
            assert_eq!(found, wanted, "{path}");
        }
        assert!(list(&["re:^build/$"]).matched(b"build", true).is_some());
        assert!(list(&["re:^build/$"]).matched(b"build", false).is_none());
        assert!(list(&["re:^a.b$"]).matched(b"a\nb", false).is_none());
    }

    #[test]
    fn an_expression_that_cannot_be_read_or_is_empty_is_refused() {
        let fault = PatternListBuilder::default().add("", "re:(a", "re:(a").unwrap_err();
        assert!(fault.message.starts_with("cannot read the pattern `re:(a`: "), "{fault}");
        assert!(check("re:").is_err() && check("!re: ").is_err() && check("re:..").is_ok());
    }
}
