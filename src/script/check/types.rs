//! The types of values, where they are certain: of a variable that is assigned once, from a function of ours.

use std::collections::BTreeMap;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Stmt};

use super::{
    names::ScriptNames,
    walk::{expression, walk},
};
use crate::script::signatures::Signature;

/// The maximum number of variables to follow from one to the next.
const STEPS_MAX: usize = 8;

/// The values that are assigned to the variables of a file.
pub(super) struct Variables {
    /// The expression by name; `None` for a variable whose value is uncertain.
    all: BTreeMap<String, Option<Expr>>,
}

impl Variables {
    pub(super) fn of(ast: &AST) -> Self {
        let mut found = Self { all: BTreeMap::new() };
        // Captured variables come first among the parameters of a closure.
        let mut captured = BTreeMap::new();
        walk(ast, &mut |path| match path.last() {
            Some(ASTNode::Stmt(statement)) => found.statement(statement),
            Some(ASTNode::Expr(Expr::FnCall(call, _))) if call.name == "curry" => {
                if let Some(closure) = closure_name(call) {
                    captured.insert(closure, call.args.len() - 1);
                }
            }
            _ => {}
        });
        for function in ast.iter_functions() {
            let skipped = captured.get(function.name).copied().unwrap_or(0);
            for own in function.params.iter().skip(skipped) {
                found.doubt(own);
            }
        }
        found
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Var(var, ..) => {
                let name = var.0.name.to_string();
                let is_known = self.all.contains_key(&name);
                self.all.insert(name, (!is_known).then(|| var.1.clone()));
            }
            Stmt::Assignment(parts) => {
                if let Expr::Variable(variable, ..) = &parts.1.lhs {
                    self.doubt(&variable.1);
                }
            }
            Stmt::For(parts, _) => {
                self.doubt(&parts.0.name);
                if let Some(counter) = &parts.1 {
                    self.doubt(&counter.name);
                }
            }
            Stmt::TryCatch(parts, _) => {
                if let Expr::Variable(variable, ..) = &parts.expr {
                    self.doubt(&variable.1);
                }
            }
            _ => {}
        }
    }

    fn doubt(&mut self, name: &str) {
        self.all.insert(name.to_owned(), None);
    }

    /// Returns true if there is a variable of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// Returns the expression that is assigned to the variable, if it is assigned once.
    pub(super) fn value(&self, name: &str) -> Option<&Expr> {
        self.all.get(name)?.as_ref()
    }
}

fn closure_name(call: &FnCallExpr) -> Option<String> {
    let value = call.args.first()?.get_literal_value(None)?;
    value.try_cast::<rhai::FnPtr>().map(|closure| closure.fn_name().to_owned())
}

/// The inference of the types of expressions.
pub(super) struct Types<'t> {
    names: &'t ScriptNames<'t>,
    pub(super) variables: Variables,
}

impl<'t> Types<'t> {
    pub(super) fn new(names: &'t ScriptNames<'t>, ast: &AST) -> Self {
        Self { names, variables: Variables::of(ast) }
    }

    /// Returns the type of the value on which the last node of `path` is called, if it is one of ours.
    pub(super) fn receiver(&self, path: &[ASTNode<'_>]) -> Option<&'t str> {
        let (node, above) = path.split_last()?;
        let Expr::Dot(pair, ..) = expression(above.last()?)? else { return None };
        let node = expression(node)?;
        if std::ptr::eq(&raw const pair.lhs, node) {
            // In `a.b().c()` the tree has `b` on the left of a dot that is on the right of that of `a`.
            return is_link(above).then(|| self.receiver(above)).flatten();
        }
        if is_link(above) {
            let receiver = self.receiver(above)?;
            return self.step(Some(receiver), &pair.lhs);
        }
        if is_index(above) { None } else { self.of(&pair.lhs, STEPS_MAX) }
    }

    /// Returns the type of `value` as scripts call it, if it is a literal or one of ours.
    pub(super) fn kind(&self, value: &Expr) -> Option<&'t str> {
        self.kind_within(value, STEPS_MAX)
    }

    fn kind_within(&self, value: &Expr, steps: usize) -> Option<&'t str> {
        let fewer = steps.checked_sub(1)?;
        match value {
            Expr::Variable(variable, ..) if variable.2.path.is_empty() => {
                self.kind_within(self.variables.value(&variable.1)?, fewer)
            }
            Expr::FnCall(call, _) if call.op_token.is_some() => {
                let [left, right] = call.args.as_slice() else { return None };
                let (left, right) =
                    (self.kind_within(left, fewer)?, self.kind_within(right, fewer)?);
                let found = self.names.operator(&call.name, left, right)?;
                found.returns.starts_with(char::is_uppercase).then_some(&found.returns)
            }
            Expr::InterpolatedString(..) => Some("string"),
            Expr::Array(..) => Some("array"),
            Expr::Map(..) => Some("map"),
            _ => value
                .get_literal_value(None)
                .map_or_else(|| self.of(value, steps), |found| literal(&found)),
        }
    }

    fn of(&self, value: &Expr, steps: usize) -> Option<&'t str> {
        let steps = steps.checked_sub(1)?;
        match value {
            Expr::Variable(variable, ..) if variable.2.path.is_empty() => {
                self.of(self.variables.value(&variable.1)?, steps)
            }
            Expr::FnCall(call, _) if call.op_token.is_none() => {
                let module = call.namespace.path.first().map_or("", |part| part.name.as_str());
                let all = self.names.named(&call.name);
                one_type(all.filter(|one| {
                    one.params.len() == call.args.len()
                        && (one.namespace == module || (module.is_empty() && one.is_global))
                }))
            }
            Expr::Dot(pair, ..) => {
                let mut found = self.of(&pair.lhs, steps);
                let mut rest = &pair.rhs;
                while let Expr::Dot(pair, ..) = rest {
                    found = self.step(found, &pair.lhs);
                    rest = &pair.rhs;
                }
                self.step(found, rest)
            }
            _ => None,
        }
    }

    /// Returns the type of one step after a dot.
    fn step(&self, receiver: Option<&str>, step: &Expr) -> Option<&'t str> {
        let receiver = receiver?;
        let is_on = |one: &&Signature| one.receiver().is_some_and(|found| found.kind == receiver);
        match step {
            Expr::MethodCall(call, _) => {
                let all = self.names.named(&call.name).filter(is_on);
                one_type(all.filter(|one| one.arguments().len() == call.args.len()))
            }
            Expr::Property(property, _) => {
                let all = self.names.signatures().iter().filter(is_on);
                one_type(all.filter(|one| one.is_property && one.name == property.2.as_str()))
            }
            _ => None,
        }
    }
}

/// Returns the type of a constant as scripts call it.
fn literal<'s>(value: &rhai::Dynamic) -> Option<&'s str> {
    match value.type_name() {
        "i64" => Some("int"),
        "f64" => Some("float"),
        "string" => Some("string"),
        "bool" => Some("bool"),
        "char" => Some("char"),
        "array" => Some("array"),
        "map" => Some("map"),
        "()" => Some("()"),
        _ => None,
    }
}

/// Returns the type of ours that all of these functions return.
fn one_type<'s>(all: impl Iterator<Item = &'s Signature>) -> Option<&'s str> {
    let of_ours = |one: &'s Signature| if one.is_ours { one.returns.as_str() } else { "" };
    let mut types = all.map(of_ours);
    let first = types.next().filter(|name| name.starts_with(char::is_uppercase))?;
    types.all(|other| other == first).then_some(first)
}

/// Returns true if the last node of `path` is on the right of a dot, as the rest of a chain.
fn is_link(path: &[ASTNode<'_>]) -> bool {
    let [.., above, node] = path else { return false };
    let (Some(Expr::Dot(pair, ..)), Some(node)) = (expression(above), expression(node)) else {
        return false;
    };
    std::ptr::eq(&raw const pair.rhs, node)
}

/// Returns true if the last node of `path` is the rest of a chain after an index: its left side is the index.
fn is_index(path: &[ASTNode<'_>]) -> bool {
    let [.., above, node] = path else { return false };
    let (Some(Expr::Index(pair, ..)), Some(node)) = (expression(above), expression(node)) else {
        return false;
    };
    std::ptr::eq(&raw const pair.rhs, node)
}
