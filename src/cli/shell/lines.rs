//! The source of the prompt's lines: a user at a terminal, or a pipe.

use std::{
    io::{self, BufRead},
    path::PathBuf,
};

use rustyline::{
    CompletionType, Config, Context, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::history::may_keep;
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::PROMPT_LINES_KEPT_MAX,
    script::prompt::{self, LineValidator, Prompt},
};

/// A source of lines, each a complete piece of script.
pub(super) enum LineSource {
    Typed { editor: Box<Editor<Keys, FileHistory>>, history: Option<PathBuf> },
    Piped(io::Lines<io::StdinLock<'static>>),
}

impl LineSource {
    /// Returns lines that a user types, with the earlier ones from `history`.
    pub(super) fn typed(history: Option<PathBuf>) -> Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(PROMPT_LINES_KEPT_MAX)
            .map(rustyline::config::Builder::build);
        let mut editor = config.and_then(Editor::with_config).map_err(|error| trouble(&error))?;
        if let Some(file) = &history
            && let Err(error) = editor.load_history(file)
        {
            tracing::debug!(target: "portolan", "no history: {error}");
        }
        Ok(Self::Typed { editor: Box::new(editor), history })
    }

    /// Returns the lines of standard input.
    pub(super) fn piped() -> Self {
        Self::Piped(io::stdin().lock().lines())
    }

    /// Returns true if a user types the lines.
    pub(super) const fn are_typed(&self) -> bool {
        matches!(self, Self::Typed { .. })
    }

    /// Returns the next line, joined with its continuation lines; `None` at the end.
    pub(super) fn next(&mut self, prompt: &Prompt) -> Result<Option<String>> {
        let text = match self {
            Self::Typed { editor, .. } => typed(editor, prompt)?,
            Self::Piped(lines) => piped(lines, prompt)?,
        };
        if let Some(text) = &text {
            self.keep(text);
        }
        Ok(text)
    }

    fn keep(&mut self, text: &str) {
        let Self::Typed { editor, history: Some(file) } = self else { return };
        if text.trim().is_empty() || !may_keep(text) {
            return;
        }
        let kept = editor.add_history_entry(text).and_then(|_| editor.append_history(file));
        if let Err(error) = kept {
            tracing::debug!(target: "portolan", "not kept in the history: {error}");
        }
    }
}

fn typed(editor: &mut Editor<Keys, FileHistory>, prompt: &Prompt) -> Result<Option<String>> {
    editor.set_helper(Some(Keys { completer: prompt.completer(), reader: prompt.reader() }));
    loop {
        match editor.readline(&format!("{}> ", prompt.title())) {
            Ok(line) => return Ok(Some(line)),
            Err(ReadlineError::Eof) => return Ok(None),
            // The unfinished line is discarded.
            Err(ReadlineError::Interrupted) => {}
            Err(error) => return Err(trouble(&error)),
        }
    }
}

fn piped(lines: &mut io::Lines<io::StdinLock<'static>>, prompt: &Prompt) -> Result<Option<String>> {
    let reader = prompt.reader();
    let mut text: Option<String> = None;
    for line in lines {
        let line = line.map_err(|error| Error::local("read standard input", "-", error))?;
        let whole = text.map_or_else(|| line.clone(), |text| format!("{text}\n{line}"));
        if !reader.is_unfinished(&whole) {
            return Ok(Some(whole));
        }
        text = Some(whole);
    }
    // A pipe that ends in an unfinished line: parsing it reports what is missing.
    Ok(text)
}

fn trouble(error: &ReadlineError) -> Error {
    Error::new(ErrorKind::Local, Origin::Here, format!("cannot read from this terminal: {error}"))
}

/// The handling of the keys Tab and Enter.
pub(super) struct Keys {
    completer: Option<prompt::Completer>,
    reader: LineValidator,
}

impl Completer for Keys {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..position).unwrap_or_default();
        let (start, found) =
            self.completer.as_ref().map(|one| one.candidates(before)).unwrap_or_default();
        let pair = |one: prompt::Candidate| Pair { display: one.shown, replacement: one.text };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Highlighter for Keys {}
impl Hinter for Keys {
    type Hint = String;
}
impl Validator for Keys {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let goes_on = self.reader.is_unfinished(typed.input());
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}
impl Helper for Keys {}
