//! The check of operators on values of our types: `now() - "x"` fails at run time, and `now() < 5` has no meaning.

use rhai::{FnCallExpr, Position};

use super::calls::Calls;

/// The operators that are checked; `==` and `!=` are defined for any two values.
const LOOKED_AT: [&str; 11] = ["+", "-", "*", "/", "%", "**", "<", ">", "<=", ">=", "<<"];

/// Checks a binary operator.
pub(super) fn check(calls: &mut Calls<'_>, call: &FnCallExpr, at: Position) {
    let name = call.name.as_str();
    let [left, right] = call.args.as_slice() else { return };
    if !LOOKED_AT.contains(&name) {
        return;
    }
    let kinds = (calls.types.kind(left), calls.types.kind(right));
    let (Some(left), Some(right)) = kinds else { return };
    let is_ours = |kind: &str| kind.starts_with(char::is_uppercase);
    if !(is_ours(left) || is_ours(right)) || calls.names.operator(name, left, right).is_some() {
        return;
    }
    let message = format!("there is no `{name}` between {} and {}", article(left), article(right));
    let hint = [left, right].contains(&"Time").then_some(
        "a time takes seconds, as in `now() - 86400`, and two times have an order and a difference",
    );
    calls.wrong_value(at, message, hint.map(ToOwned::to_owned));
}

fn article(kind: &str) -> String {
    let kind = if kind.is_empty() { "()" } else { kind };
    let is_vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
    format!("{} {}", if is_vowel { "an" } else { "a" }, kind.to_lowercase())
}
