//! Operators on values of types that are ours: `now() - "x"` fails in the run, and `now() < 5` says nothing that is true.

use rhai::{FnCallExpr, Position};

use super::calls::Calls;

/// Those that a script may be wrong about; of `==` and `!=` any two values have an answer.
const LOOKED_AT: [&str; 11] = ["+", "-", "*", "/", "%", "**", "<", ">", "<=", ">=", "<<"];

/// Looks at an operator with two sides.
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
