//! Faults as scripts see them, and script errors as the program sees them.

use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

use super::{advice::ScriptMistake, budget::limit, show};
use crate::error::{Error, ErrorKind, Origin, Result};

/// The result of a script function. Rhai's definition writer strips exactly this name.
pub type RhaiResultOf<T> = Result<T, Box<EvalAltResult>>;

/// A conversion of [`Result`] into the result that the engine expects.
pub trait Raise<T> {
    /// Returns the value, or raises the fault at the script's call of the function to which `ctx` belongs.
    fn or_raise(self, ctx: &NativeCallContext<'_>) -> RhaiResultOf<T>;
}

impl<T> Raise<T> for Result<T> {
    fn or_raise(self, ctx: &NativeCallContext<'_>) -> RhaiResultOf<T> {
        // For qualified calls the engine sets no position by itself.
        self.map_err(|fault| raised(fault, ctx.call_position()))
    }
}

/// Wraps a fault as an error of the engine. An interruption cannot be caught: the run is over.
pub fn raised(fault: Error, position: Position) -> Box<EvalAltResult> {
    Box::new(if fault.kind == ErrorKind::Interrupted {
        EvalAltResult::ErrorTerminated(Dynamic::from(fault), position)
    } else {
        EvalAltResult::ErrorRuntime(Dynamic::from(fault), position)
    })
}

/// The error that ended a script, and its position.
#[derive(Debug, Clone)]
pub struct ScriptFailure {
    /// The error itself.
    pub fault: Error,
    /// The position in the script.
    pub place: Option<ScriptLocation>,
    /// The call stack, innermost first.
    pub calls: Vec<Call>,
    /// True if the cause is a bug of portolan.
    pub is_bug: bool,
    /// The mistake in the script, if the language reports it and there is advice for it.
    pub mistake: Option<ScriptMistake>,
}

/// A position in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptLocation {
    /// The script's path, as shown.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1; 0 if only the line is known.
    pub column: usize,
}

/// A call of a script function in the stack of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The name of the function.
    pub function: String,
    /// The position of the call.
    pub place: Option<ScriptLocation>,
}

impl From<Error> for ScriptFailure {
    fn from(fault: Error) -> Self {
        Self { fault, place: None, calls: Vec::new(), is_bug: false, mistake: None }
    }
}

impl ScriptFailure {
    /// Returns the same failure, marked as a bug of portolan.
    #[must_use]
    pub const fn as_bug(mut self) -> Self {
        self.is_bug = true;
        self
    }

    /// Converts an error of the engine. `main` is the script that was run.
    pub fn read(error: EvalAltResult, main: &str) -> Self {
        let mut calls = Vec::new();
        let mut file = main.to_owned();
        let mut error = error;
        loop {
            match error {
                EvalAltResult::ErrorInFunctionCall(function, source, inner, position) => {
                    let place = place(&file, position);
                    calls.insert(0, Call { function: called(function), place });
                    if !source.is_empty() {
                        file = source;
                    }
                    error = *inner;
                }
                EvalAltResult::ErrorInModule(source, inner, position) => {
                    if !source.is_empty() && !matches!(*inner, EvalAltResult::ErrorRuntime(..)) {
                        file = source;
                    } else if position.is_none() {
                        main.clone_into(&mut file);
                    }
                    error = *inner;
                }
                other => {
                    let place = place(&file, other.position());
                    let mistake = ScriptMistake::of(&other);
                    let fault = read_fault(other);
                    return Self { fault, place, calls, is_bug: false, mistake };
                }
            }
        }
    }
}

/// Returns the name of a function for messages: closures have generated names.
fn called(function: String) -> String {
    if function.starts_with("anon$") { "a closure".into() } else { function }
}

fn place(file: &str, position: Position) -> Option<ScriptLocation> {
    let line = position.line()?;
    Some(ScriptLocation { file: file.to_owned(), line, column: position.position().unwrap_or(0) })
}

/// Returns the fault behind an engine error.
fn read_fault(error: EvalAltResult) -> Error {
    match error {
        EvalAltResult::ErrorRuntime(value, _) => normal(value),
        EvalAltResult::ErrorTerminated(value, _) => value
            .try_cast::<Error>()
            .unwrap_or_else(|| Error::new(ErrorKind::Interrupted, Origin::Here, "interrupted")),
        EvalAltResult::ErrorTooManyOperations(_) => {
            limit("it took too many steps: is there an infinite loop?")
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            limit("its functions call one another too deeply: is there an endless recursion?")
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            limit(&format!("{} grew too large", what.to_lowercase()))
        }
        EvalAltResult::ErrorTooManyVariables(_) => limit("it has too many variables"),
        EvalAltResult::ErrorTooManyModules(_) => limit("it imports too many files"),
        other => Error::invalid(words(other)),
    }
}

/// Returns the engine's message without the position, which is printed beside the source line.
fn words(mut error: EvalAltResult) -> String {
    plain(&error.set_position(Position::NONE).to_string())
}

/// The message for the engine's data race: `site.names("/").filter(|name| site.exists(name))` holds `site` all the
/// while.
const ENTANGLED: &str = "a closure uses the value that the same line is still asking: keep the answer first, as in \
     `let names = site.names(\"/\");`, and go on with that, `names.filter(…)`";

/// Returns the engine's message in plainer words.
fn plain(text: &str) -> String {
    let text = text.strip_prefix("Syntax error: ").unwrap_or(text);
    if let Some(signature) = text.strip_prefix("Function not found: ") {
        let signature = signature.replace("&str | ImmutableString | String", "string");
        let (name, types) = signature.split_once(' ').unwrap_or((&signature, "()"));
        return format!("there is no function `{name}{types}`");
    }
    if text.starts_with("Data race detected") {
        return ENTANGLED.into();
    }
    if let Some((property, kind)) = text
        .strip_prefix("Unknown property '")
        .and_then(|rest| rest.split_once("' - a getter is not registered for type '"))
    {
        return format!("`{}` has no property `{property}`", kind.trim_end_matches('\''));
    }
    let mut text = text.trim_end_matches(['.', ' ']).to_owned();
    // The message follows a file name, so it begins in lower case, unless its first word is in capitals.
    let is_one_word_shouted = text.chars().nth(1).is_some_and(char::is_uppercase);
    if !is_one_word_shouted && let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// Converts any error value into a fault: a fault stays as it is, the engine's maps and thrown values become faults of
/// the script.
pub fn normal(value: Dynamic) -> Error {
    let value = match value.try_cast_result::<Error>() {
        Ok(fault) => return fault,
        Err(value) => value,
    };
    let message = match value.read_lock::<rhai::Map>() {
        Some(map) if map.contains_key("error") && map.contains_key("message") => {
            plain(&map.get("message").map(show::text).unwrap_or_default())
        }
        Some(map) if map.contains_key("message") => {
            map.get("message").map(show::text).unwrap_or_default()
        }
        _ => show::text(&value),
    };
    let is_silent = message.trim().is_empty();
    Error::invalid(if is_silent {
        "the script threw an error without words".into()
    } else {
        message
    })
}
