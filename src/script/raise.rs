//! Faults as scripts see them, and script errors as the program sees them.

use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

use super::{budget::limit, show};
use crate::fault::{Fault, Kind, Outcome, Side};

/// What a script function returns. The name is the one that rhai's writer of definitions strips.
pub type RhaiResultOf<T> = Result<T, Box<EvalAltResult>>;

/// Turns our results into those that the engine takes.
pub trait Raise<T> {
    /// The value, or the fault raised where the script called the function that `ctx` belongs to.
    fn or_raise(self, ctx: &NativeCallContext<'_>) -> RhaiResultOf<T>;
}

impl<T> Raise<T> for Outcome<T> {
    fn or_raise(self, ctx: &NativeCallContext<'_>) -> RhaiResultOf<T> {
        // For qualified calls the engine sets no position by itself.
        self.map_err(|fault| raised(fault, ctx.call_position()))
    }
}

/// A fault on its way through a script. An interruption cannot be caught: the run is over.
pub fn raised(fault: Fault, position: Position) -> Box<EvalAltResult> {
    Box::new(if fault.kind == Kind::Interrupted {
        EvalAltResult::ErrorTerminated(Dynamic::from(fault), position)
    } else {
        EvalAltResult::ErrorRuntime(Dynamic::from(fault), position)
    })
}

/// Why a script ended before its end, and where.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What happened.
    pub fault: Fault,
    /// Where in which script.
    pub place: Option<Place>,
    /// The calls on the way there, innermost first.
    pub calls: Vec<Call>,
    /// Whether portolan itself is to blame.
    pub is_bug: bool,
}

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The script's path, as shown.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1; 0 if only the line is known.
    pub column: usize,
}

/// One call of a script function on the way to an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub function: String,
    /// Where it was called.
    pub place: Option<Place>,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { fault, place: None, calls: Vec::new(), is_bug: false }
    }
}

impl Failure {
    /// The same, with portolan itself to blame.
    #[must_use]
    pub const fn as_bug(mut self) -> Self {
        self.is_bug = true;
        self
    }

    /// Reads what the engine ended with. `main` is the script that was run.
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
                    let fault = read_fault(other);
                    return Self { fault, place, calls, is_bug: false };
                }
            }
        }
    }
}

/// A function as its writer calls it: closures have names that the engine makes up.
fn called(function: String) -> String {
    if function.starts_with("anon$") { "a closure".into() } else { function }
}

fn place(file: &str, position: Position) -> Option<Place> {
    let line = position.line()?;
    Some(Place { file: file.to_owned(), line, column: position.position().unwrap_or(0) })
}

/// The fault behind an engine error.
fn read_fault(error: EvalAltResult) -> Fault {
    match error {
        EvalAltResult::ErrorRuntime(value, _) => normal(value),
        EvalAltResult::ErrorTerminated(value, _) => value
            .try_cast::<Fault>()
            .unwrap_or_else(|| Fault::new(Kind::Interrupted, Side::Here, "interrupted")),
        EvalAltResult::ErrorTooManyOperations(_) => {
            limit("it took too many steps: is there an endless loop?")
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            limit("its functions call one another too deeply: is there an endless recursion?")
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            limit(&format!("{} grew too large", what.to_lowercase()))
        }
        EvalAltResult::ErrorTooManyVariables(_) => limit("it has too many variables"),
        EvalAltResult::ErrorTooManyModules(_) => limit("it imports too many files"),
        other => Fault::invalid(words(other)),
    }
}

/// The engine's own words without the position, which is printed beside the source line.
fn words(mut error: EvalAltResult) -> String {
    plain(&error.set_position(Position::NONE).to_string())
}

/// What the engine calls a data race: `site.names("/").filter(|name| site.exists(name))` holds `site` all the while.
const ENTANGLED: &str = "a closure uses the value that the same line is still asking: keep the answer first, as in \
     `let names = site.names(\"/\");`, and go on with that, `names.filter(…)`";

/// The engine's words as people say them.
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
    // It reads on behind a file name, unless it begins with a name in capitals.
    let is_one_word_shouted = text.chars().nth(1).is_some_and(char::is_uppercase);
    if !is_one_word_shouted && let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// Any error value as a fault: ours as it is, the engine's maps and thrown values as faults of the script.
pub fn normal(value: Dynamic) -> Fault {
    let value = match value.try_cast_result::<Fault>() {
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
    Fault::invalid(if is_silent {
        "the script threw an error without words".into()
    } else {
        message
    })
}
