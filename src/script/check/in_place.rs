//! The use of results that do not exist: `let line = line.trim()` makes `line` nothing.

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::{ScriptFinding, calls::Calls, walk::expression};

/// The functions that return a copy in place of a change.
const COPIES: [(&str, &str); 9] = [
    ("trim", "trimmed"),
    ("replace", "replaced"),
    ("sort", "order"),
    ("sort_by", "order_by"),
    ("sort_desc", "order_desc"),
    ("make_upper", "to_upper"),
    ("make_lower", "to_lower"),
    ("pad", "pad_right"),
    ("crop", "sub_string"),
];

/// Checks a call behind a dot whose result is used.
pub(super) fn check(
    calls: &mut Calls<'_>,
    path: &[ASTNode<'_>],
    call: &FnCallExpr,
    receiver: Option<&str>,
    at: Position,
) {
    if is_used(path) && returns_nothing(calls, call, receiver) {
        report(calls, call, value(path), at);
    }
}

fn report(calls: &mut Calls<'_>, call: &FnCallExpr, value: Option<String>, at: Position) {
    let name = call.name.as_str();
    let value = value.unwrap_or_else(|| "the value".into());
    let copy = COPIES.iter().find(|(changing, _)| *changing == name).map(|(_, copy)| *copy);
    let (message, hint) = match copy {
        Some(copy) => (
            format!("`{name}` changes {value} itself and returns `()`"),
            format!(
                "`{copy}` returns a changed copy; or call `{name}` first, and then use {value}"
            ),
        ),
        None => (
            format!("`{name}` returns `()`, and that is used here"),
            format!("call `{name}` in a statement of its own"),
        ),
    };
    let finding = ScriptFinding::warning(calls.place(at), message);
    calls.findings.push(finding.hint(Some(hint)));
}

/// Returns true if every function that the call can mean returns nothing.
fn returns_nothing(calls: &Calls<'_>, call: &FnCallExpr, receiver: Option<&str>) -> bool {
    let name = call.name.as_str();
    if calls.names.own(calls.file, name).next().is_some() || calls.names.is_key(name) {
        return false;
    }
    let all = calls.names.named(name).filter(|one| {
        let first = one.params.first();
        one.is_global
            && one.params.len() == call.args.len() + 1
            && first.is_some_and(|first| {
                receiver.is_none_or(|kind| first.kind == kind || first.kind == "any")
            })
    });
    let returns: Vec<_> = all.map(|one| one.returns.is_empty()).collect();
    !returns.is_empty() && returns.into_iter().all(|is_nothing| is_nothing)
}

/// Returns true if the result of the call at the end of `path` is used: it is the value of something else than a
/// statement of its own.
fn is_used(path: &[ASTNode<'_>]) -> bool {
    let mut rest = path;
    loop {
        let [above @ .., node] = rest else { return false };
        let (Some(parent), Some(node)) = (above.last(), expression(node)) else { return false };
        match parent {
            ASTNode::Expr(Expr::Dot(pair, ..) | Expr::Index(pair, ..)) => {
                if std::ptr::eq(&raw const pair.lhs, node) {
                    return true;
                }
                rest = above;
            }
            ASTNode::Expr(Expr::Stmt(_)) | ASTNode::Stmt(Stmt::Expr(_)) => {
                return is_interpolated(above);
            }
            ASTNode::Expr(_) => return true,
            ASTNode::Stmt(statement) => {
                return matches!(
                    statement,
                    Stmt::Var(..)
                        | Stmt::Assignment(..)
                        | Stmt::FnCall(..)
                        | Stmt::If(..)
                        | Stmt::Switch(..)
                        | Stmt::While(..)
                        | Stmt::For(..)
                );
            }
            _ => return false,
        }
    }
}

/// Returns true if the statement at the end of `path` is the `${…}` of a text.
fn is_interpolated(path: &[ASTNode<'_>]) -> bool {
    let outside = path.iter().rev().find(|node| match node {
        ASTNode::Expr(Expr::Stmt(block)) => block.statements().len() > 1,
        ASTNode::Stmt(Stmt::Expr(_)) => false,
        _ => true,
    });
    matches!(outside, Some(ASTNode::Expr(Expr::InterpolatedString(..))))
}

/// Returns the name of the variable on which the call at the end of `path` is made, in backticks.
fn value(path: &[ASTNode<'_>]) -> Option<String> {
    let [above @ .., call] = path else { return None };
    let call = expression(call)?;
    // In `a.trim().len()` the call is the left side of the second dot, which is the right side of the first.
    let mut dots = above.iter().rev().map_while(|node| match node {
        ASTNode::Expr(Expr::Dot(pair, ..)) => Some(&pair.lhs),
        _ => None,
    });
    dots.find(|left| !std::ptr::eq(&raw const **left, call)).and_then(name)
}

fn name(value: &Expr) -> Option<String> {
    match value {
        Expr::Variable(variable, ..) => Some(format!("`{}`", variable.1)),
        _ => None,
    }
}
