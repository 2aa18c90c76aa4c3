//! A walk over every node of a script, with its ancestors.

use rhai::{AST, ASTNode, Expr, Position, Stmt};

use crate::script::raise::ScriptLocation;

/// Calls `look` with each node of `ast` after its ancestors, including those in functions and closures.
pub(super) fn walk(ast: &AST, look: &mut dyn FnMut(&[ASTNode<'_>])) {
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        look(path);
        // The engine's own walk leaves out the value of a `break`.
        if let Some(ASTNode::Stmt(Stmt::BreakLoop(Some(value), ..))) = path.last() {
            value.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
                look(path);
                true
            });
        }
        true
    });
}

/// Returns the place of `position` in `file`.
pub(super) fn place(file: &str, position: Position) -> ScriptLocation {
    ScriptLocation {
        file: file.to_owned(),
        line: position.line().unwrap_or(1),
        column: position.position().unwrap_or(0),
    }
}

/// Returns the expression of a node, if it is one.
pub(super) const fn expression<'a>(node: &ASTNode<'a>) -> Option<&'a Expr> {
    match node {
        ASTNode::Expr(expression) => Some(expression),
        _ => None,
    }
}
