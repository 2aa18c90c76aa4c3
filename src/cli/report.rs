//! The only module that prints faults: each one once, with the source line, a caret and a hint.

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::{habits, table::is_terminal};
use crate::{
    error::{Error, ErrorKind},
    exit_code::Exit,
    observe::{
        json::line,
        output::{self, Output},
        paint,
        visible::visible,
    },
    schedule::cron::Mistake,
    script::{
        check::ScriptFinding,
        raise::{ScriptFailure, ScriptLocation},
        redact::Veil,
    },
    similar::nearest,
};

/// The maximum number of characters of a source line in an error; generated scripts have lines of thousands.
const LINE_SHOWN_MAX: usize = 120;

/// Prints clap's message about a command line, and returns the exit code: a request for help is no error.
pub(super) fn usage(
    mut error: clap::Error,
    command: &clap::Command,
    args: &[OsString],
) -> ExitCode {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let near = error.get(ContextKind::SuggestedSubcommand);
    let typed = error.get(ContextKind::InvalidSubcommand);
    if let (Some(ContextValue::Strings(near)), Some(ContextValue::String(typed))) = (near, typed) {
        let names: Vec<&str> = near.iter().map(String::as_str).collect();
        if let Some(nearest) = nearest(typed, &names).map(ToOwned::to_owned) {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![nearest]));
        }
    }
    let habit = habits::advice(&error, args);
    if habit.is_some() {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Suggested);
    }
    let is_wrong = error.use_stderr();
    #[expect(clippy::disallowed_methods, reason = "clap writes by itself; its error is remembered")]
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    if let (Err(error), false) = (printed, is_wrong) {
        output::remember(Output::Results, &error);
    }
    if let Some(habit) = habit {
        print(&format!("\nhint: {habit}\n"));
    }
    if error.kind() == ErrorKind::MissingRequiredArgument
        && let Some(hint) = missing_hint(command, args)
    {
        print(&format!("\n{hint}\n"));
    }
    end(if is_wrong { Exit::Usage } else { Exit::Done })
}

/// Returns an example of the command in `args`, for a user who has left out an operand; `None` if it has none.
fn missing_hint(command: &clap::Command, args: &[OsString]) -> Option<String> {
    let named = args.iter().skip(1).find_map(|word| command.find_subcommand(word))?;
    let help = named.get_after_help()?.to_string();
    let example = help.lines().skip_while(|line| *line != "Examples:").nth(1)?.trim().to_owned();
    let site = if example.contains("://") {
        "\na saved site does for a URL: @NAME/path, see `portolan site list`"
    } else {
        ""
    };
    Some(format!("for example: {example}{site}"))
}

/// Prints `failure`, with the line of `source` that it happened in, and returns the exit code.
pub(super) fn failure(failure: &ScriptFailure, source: Option<&str>) -> Exit {
    let file = failure.place.as_ref().map(|place| place.file.as_str());
    let veil = source.map(|source| Veil::of(file.unwrap_or_default(), source)).unwrap_or_default();
    let failure = &veil.failure(failure.clone());
    let mut lines = vec![format!("error: {}", visible(failure.fault.to_string()))];
    lines.extend(failure.place.iter().flat_map(|place| excerpt(place, source, &veil)));
    lines.extend(failure.calls.iter().map(|call| {
        let at = call.place.as_ref().map(|place| format!(" at {}", shown(place)));
        format!("  in {}{}", visible(&call.function), at.unwrap_or_default())
    }));
    lines.extend(hint(failure, source).map(|hint| format!("hint: {}", veil.words(&hint))));
    lines.extend(failure.fault.name.map(|code| format!("more: portolan explain {code}")));
    print(&(lines.join("\n") + "\n"));
    if failure.is_bug { Exit::Bug } else { Exit::of_failure(&failure.fault) }
}

/// Prints the findings of a check, each with the line of its script.
pub(super) fn findings<'f>(
    all: impl IntoIterator<Item = &'f ScriptFinding>,
    text_of: &dyn Fn(&str) -> Option<String>,
) {
    for finding in all {
        let text = text_of(&finding.place.file);
        let veil =
            text.as_ref().map(|text| Veil::of(&finding.place.file, text)).unwrap_or_default();
        let shown = |words: &str| visible(veil.words(words));
        let mut lines = vec![format!("{}: {}", finding.level.as_str(), shown(&finding.message))];
        lines.extend(excerpt(&finding.place, text.as_deref(), &veil));
        lines.extend(finding.hint.iter().map(|hint| format!("hint: {}", shown(hint))));
        print(&(lines.join("\n") + "\n\n"));
    }
}

/// Returns the lines that describe an error in a cron expression of the command line, with a caret below the part.
pub(super) fn mistake(level: &str, text: &str, mistake: &Mistake) -> Vec<String> {
    let count = |text: Option<&str>| text.unwrap_or_default().chars().count();
    let before = " ".repeat(count(text.get(..mistake.at.start)));
    let carets = "^".repeat(count(text.get(mistake.at.clone())).max(1));
    let mut lines = vec![format!("{level}: {}", visible(&mistake.message))];
    lines.push(format!("  | {}", visible(text)));
    lines.push(format!("  | {before}{carets}"));
    lines.extend(mistake.hint.iter().map(|hint| format!("hint: {}", visible(hint))));
    lines
}

/// An error in the command line that was typed: it has the exit code for wrong usage.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct UsageError(pub(super) Error);

/// The end of a command that has printed already why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{0:?}")]
pub(super) struct Reported(pub(super) Exit);

/// Prints the error of a command, and returns the exit code for it.
pub(super) fn failed(error: &anyhow::Error) -> Exit {
    if let Some(Reported(exit)) = error.downcast_ref() {
        return *exit;
    }
    if let Some(UsageError(error)) = error.downcast_ref() {
        // At the question for a password.
        if error.kind == ErrorKind::Interrupted {
            return Exit::Interrupted;
        }
        return wrong_usage(error);
    }
    if let Some(error) = error.downcast_ref() {
        return fault(error);
    }
    // An error of another library: its text is without its causes, which a message of ours repeats.
    print(&format!("error: {}\n", visible(format!("{error:#}"))));
    Exit::Never
}

/// Prints a fault of the command line itself, and returns the exit code.
pub(super) fn fault(fault: &Error) -> Exit {
    let message = fault.message.replace("`max_delete` allows", "`--max-delete` allows");
    failure(&ScriptFailure::from(Error { message, ..fault.clone() }), None)
}

/// Prints a fault in the command line that was typed, and returns the exit code for it.
pub(super) fn wrong_usage(found: &Error) -> Exit {
    fault(found);
    Exit::Usage
}

/// Returns ` --> file:line:column` and the line, without the parts that `veil` hides, with a caret below it.
pub(super) fn excerpt(place: &ScriptLocation, source: Option<&str>, veil: &Veil) -> Vec<String> {
    let mut lines = vec![format!("  --> {}", shown(place))];
    let line = source.and_then(|source| veil.line(source, place.line, place.column));
    if let Some((line, column)) = line {
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let (text, before) = window(&line, column.saturating_sub(1));
        let caret = if place.column > 0 { "^" } else { "" };
        lines.push(format!("{margin} |"));
        lines.push(format!("{number} | {text}"));
        lines.push(format!("{margin} | {}{caret}", " ".repeat(before)));
    }
    lines
}

/// Returns the displayed part of a line around its character `at`, and the number of characters before it in that
/// part.
fn window(line: &str, at: usize) -> (String, usize) {
    let first = if at < LINE_SHOWN_MAX - 20 { 0 } else { at + 20 - LINE_SHOWN_MAX };
    let line = line.replace('\t', " ");
    let part = |from: usize, to: usize| -> String {
        visible(line.chars().skip(from).take(to.saturating_sub(from)).collect::<String>())
    };
    let ellipsis = |is_cut| if is_cut { "…" } else { "" };
    // Characters, not columns of the screen: wide ones shift the caret, which is better than none.
    let before = format!("{}{}", ellipsis(first > 0), part(first, at));
    let last = first + LINE_SHOWN_MAX;
    let is_cut = line.chars().nth(last).is_some();
    (format!("{before}{}{}", part(at, last), ellipsis(is_cut)), before.chars().count())
}

fn shown(place: &ScriptLocation) -> String {
    let file = visible(&place.file);
    if place.column > 0 {
        format!("{file}:{}:{}", place.line, place.column)
    } else {
        format!("{file}:{}", place.line)
    }
}

/// Returns the hint for a failure: the remedy of its error, or advice about the source line.
fn hint(failure: &ScriptFailure, source: Option<&str>) -> Option<String> {
    let fault = &failure.fault;
    if fault.kind == ErrorKind::NotFound
        && fault.path.as_ref().is_some_and(|path| path.contains('*'))
    {
        return Some(WILDCARD.to_owned());
    }
    let advised = || {
        let place = failure.place.as_ref()?;
        let line = source?.lines().nth(place.line.saturating_sub(1))?;
        failure.mistake.as_ref()?.advice(line, place.column)
    };
    fault.hint().map(str::to_owned).or_else(advised)
}

/// The hint for a path with a pattern in it, where none is expanded.
const WILDCARD: &str = "a * is a name here: patterns go with `portolan get`, `cat` and `rm`, `mget` in `portolan shell`, `--include` of `mirror`, and site.glob() in scripts";

/// Writes to standard error; a failure cannot be reported anywhere else.
pub(super) fn print(text: &str) {
    let is_coloured = paint::is_coloured(std::io::stderr().is_terminal());
    let text = if is_coloured { paint::paint_messages(text) } else { text.to_owned() };
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// Writes a value to standard output as one line of JSON.
pub(super) fn json(value: &impl Serialize) {
    let mut bytes = line(value);
    bytes.push(b'\n');
    output(&String::from_utf8_lossy(&bytes));
}

/// Writes to standard output. A failure is reflected in the exit code, by [`settled`].
pub(super) fn output(text: &str) {
    let mut out = output::results();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written {
        tracing::debug!(target: "portolan", "standard output: {error}");
    }
}

/// Writes the lines of a plan to standard output.
pub(super) fn plan(lines: &[String]) {
    let mut text = lines.join("\n");
    if !lines.is_empty() {
        text.push('\n');
    }
    painted(&text, paint::paint_steps);
}

/// Writes a table of runs to standard output.
pub(super) fn runs(table: &str) {
    painted(table, paint::paint_results);
}

fn painted(text: &str, paint: fn(&str) -> String) {
    if paint::is_coloured(is_terminal()) {
        output(&paint(text));
    } else {
        output(text);
    }
}

/// Returns the exit code of a command that ended with `code`: that of output that could not be written if the command
/// succeeded otherwise. Its own failure takes precedence.
pub(super) fn settled(code: Exit) -> Exit {
    let is_fine = matches!(code, Exit::Done | Exit::NatChanges);
    if is_fine && output::trouble().is_some() { Exit::Bug } else { code }
}

/// Ends the program: reports output that could not be written, and converts `code` for the caller.
pub(super) fn end(code: Exit) -> ExitCode {
    if let Some(fault) = output::trouble() {
        print(&format!("error: {}\n", visible(fault.to_string())));
    }
    ExitCode::from(settled(code).code())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::error::Origin;

    #[test]
    fn the_error_of_a_command_has_the_exit_code_of_its_kind() {
        let missing = || Error::new(ErrorKind::NotFound, Origin::Here, "there is no run 7");
        let timeout = Error::new(ErrorKind::Timeout, Origin::Server, "no reply");
        let foreign = std::io::Error::other("no more threads");
        for (error, exit) in [
            (anyhow::Error::from(missing()), Exit::Never),
            (timeout.into(), Exit::Later),
            (UsageError(missing()).into(), Exit::Usage),
            (Reported(Exit::Script).into(), Exit::Script),
            (foreign.into(), Exit::Never),
        ] {
            assert_eq!(failed(&error), exit, "{error:?}");
            let in_context = Err::<(), _>(error).context("doing this").unwrap_err();
            assert_eq!(failed(&in_context), exit, "{in_context:?}");
        }
    }
}
