//! Every node of a script with what it stands in.

use rhai::{AST, ASTNode, Expr, Position, Stmt};

use crate::script::raise::Place;

/// Shows `look` each node of `ast` behind its ancestors, those in functions and closures included.
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

/// The place of `position` in `file`.
pub(super) fn place(file: &str, position: Position) -> Place {
    Place {
        file: file.to_owned(),
        line: position.line().unwrap_or(1),
        column: position.position().unwrap_or(0),
    }
}

/// The expression that a node is.
pub(super) const fn expression<'a>(node: &ASTNode<'a>) -> Option<&'a Expr> {
    match node {
        ASTNode::Expr(expression) => Some(expression),
        _ => None,
    }
}
