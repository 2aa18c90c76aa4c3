//! The check of every call of a file against the functions that exist.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::{
    ScriptFinding,
    files::File,
    in_place,
    names::{KEYWORDS, ScriptNames, near, public},
    operators, options,
    types::Types,
    walk::{place, walk},
};
use crate::script::{
    advice,
    engine::JOB_FACTS,
    raise::ScriptLocation,
    signatures::{Param, Signature},
};

/// The maximum number of signatures in a hint.
const SIGNATURES_LISTED_MAX: usize = 4;

/// The check of one file.
pub(super) struct Calls<'c> {
    pub(super) names: &'c ScriptNames<'c>,
    pub(super) file: &'c File,
    pub(super) types: Types<'c>,
    pub(super) findings: Vec<ScriptFinding>,
    /// True if the script catches errors here: a wrong value may be intended.
    is_tried: bool,
}

/// The ways to call a function: the number of arguments of each, and its signature.
#[derive(Default)]
struct CallForms(BTreeSet<(usize, String)>);

impl CallForms {
    fn add(&mut self, count: usize, shown: String) {
        self.0.insert((count, shown));
    }
}

impl<'c> Calls<'c> {
    /// Returns the findings in the calls of `file`.
    pub(super) fn check(names: &'c ScriptNames<'c>, file: &'c File) -> Vec<ScriptFinding> {
        let types = Types::new(names, &file.ast);
        let mut calls = Self { names, file, types, findings: Vec::new(), is_tried: false };
        walk(&file.ast, &mut |path| calls.node(path));
        calls.findings
    }

    fn node(&mut self, path: &[ASTNode<'_>]) {
        self.is_tried = path.windows(2).any(is_tried);
        match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)))
                if call.op_token.is_none() =>
            {
                self.function(call, *at);
            }
            Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                operators::check(self, call, *at);
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, at))) if call.namespace.path.is_empty() => {
                let receiver = self.types.receiver(path);
                self.method(call, receiver, *at);
                in_place::check(self, path, call, receiver, *at);
            }
            Some(ASTNode::Expr(Expr::Property(property, at))) => {
                if let Some(receiver) = self.types.receiver(path) {
                    self.property(&property.2, receiver, *at);
                }
            }
            Some(ASTNode::Expr(Expr::Variable(variable, _, at))) => {
                if let [module] = variable.2.path.as_slice()
                    && !self.is_import(&module.name)
                {
                    self.fact(&module.name, &variable.1, *at);
                }
            }
            _ => {}
        }
    }

    pub(super) fn place(&self, at: Position) -> ScriptLocation {
        place(&self.file.shown, at)
    }

    fn is_import(&self, module: &str) -> bool {
        self.file.modules.iter().any(|(alias, _)| alias == module)
    }

    fn function(&mut self, call: &FnCallExpr, at: Position) {
        match call.namespace.path.as_slice() {
            [] => self.plain(call, at),
            [module] if self.is_import(&module.name) => self.imported(&module.name, call, at),
            [module] if self.names.is_module(&module.name) => {
                self.qualified(&module.name, call, at);
            }
            [module, ..] if !self.is_import(&module.name) => {
                self.unknown_module(&module.name, module.pos);
            }
            // Modules of modules are known only at run time.
            _ => {}
        }
    }

    fn plain(&mut self, call: &FnCallExpr, at: Position) {
        let name = call.name.as_str();
        if name == "Fn" {
            self.pointer(call);
        }
        if KEYWORDS.contains(&name) {
            return;
        }
        let mut ways = CallForms::default();
        for own in self.names.own(self.file, name) {
            ways.add(own.params.len(), format!("{name}({})", own.params.join(", ")));
        }
        for native in self.names.named(name).filter(|one| one.is_global) {
            ways.add(native.params.len(), native.shown());
        }
        if ways.0.is_empty() {
            let hint = if self.types.variables.has(name) {
                Some(format!("`{name}` is a variable: `{name}.call(…)` calls the closure in it"))
            } else {
                did_you_mean(self.names.near_function(name, self.file))
            };
            self.error(at, format!("there is no function `{name}`"), hint);
        } else {
            self.count(name, call.args.len(), &ways, at);
            options::check(self, name, call);
        }
    }

    /// Checks `Fn("name")`: the function must exist, with any number of arguments.
    fn pointer(&mut self, call: &FnCallExpr) {
        let [Expr::StringConstant(name, at)] = call.args.as_slice() else { return };
        let is_known = self.names.own(self.file, name).next().is_some()
            || KEYWORDS.contains(&name.as_str())
            || self.names.named(name).next().is_some();
        // Operators are functions as well: Fn("+").
        if !is_known && name.starts_with(char::is_alphabetic) {
            let hint = did_you_mean(self.names.near_function(name, self.file));
            self.error(*at, format!("there is no function `{name}`"), hint);
        }
    }

    fn qualified(&mut self, module: &str, call: &FnCallExpr, at: Position) {
        if module == "global" {
            return;
        }
        let name = call.name.as_str();
        let mut ways = CallForms::default();
        for native in self.names.named(name).filter(|one| one.namespace == module) {
            ways.add(native.params.len(), native.shown());
        }
        let path = format!("{module}::{name}");
        if ways.0.is_empty() {
            let near = self.names.near_qualified(module, name);
            if let Some(near) = &near {
                // The options are most likely those of the similar function.
                options::check(self, near, call);
            }
            self.error(at, format!("there is no function `{path}`"), did_you_mean(near));
        } else {
            self.count(&path, call.args.len(), &ways, at);
            options::check(self, &path, call);
        }
    }

    fn imported(&mut self, module: &str, call: &FnCallExpr, at: Position) {
        let import = self.file.modules.iter().find(|(alias, _)| alias == module);
        let Some(file) = import.and_then(|(_, file)| self.names.file((*file)?)) else { return };
        let name = call.name.as_str();
        let mut ways = CallForms::default();
        for function in public(file).filter(|one| one.name == name) {
            let params = function.params.join(", ");
            ways.add(function.params.len(), format!("{module}::{name}({params})"));
        }
        let path = format!("{module}::{name}");
        if ways.0.is_empty() {
            let known: Vec<_> = public(file).map(|one| one.name).collect();
            let hint = did_you_mean(near(name, &known).map(|near| format!("{module}::{near}")));
            self.error(at, format!("there is no function `{path}` in {}", file.shown), hint);
        } else {
            self.count(&path, call.args.len(), &ways, at);
        }
    }

    fn method(&mut self, call: &FnCallExpr, receiver: Option<&str>, at: Position) {
        let name = call.name.as_str();
        if KEYWORDS.contains(&name) {
            return;
        }
        let fits = |first: &Param| match receiver {
            Some(receiver) => first.kind == receiver || first.kind == "any",
            None => true,
        };
        let mut ways = CallForms::default();
        for own in self.names.own(self.file, name) {
            ways.add(own.params.len(), format!("{name}({})", own.params.join(", ")));
        }
        for native in self.names.named(name).filter(|one| one.is_global) {
            if native.params.first().is_some_and(fits) {
                ways.add(native.params.len() - 1, native.shown());
            }
        }
        if !ways.0.is_empty() {
            let is_closure = receiver.is_none() && self.names.is_key(name);
            if !is_closure {
                self.count(name, call.args.len(), &ways, at);
            }
            options::check(self, name, call);
            if receiver == Some("Ruleset") {
                options::check(self, &format!("rules.{name}"), call);
            }
        } else if let Some(receiver) = receiver {
            let message = format!("a {} has no function `{name}`", receiver.to_lowercase());
            self.error(at, message, self.near_member(receiver, name));
        } else if self.names.is_closure_key(name) {
            // A map's closure, called as a function of the map.
        } else if self.names.is_key(name) {
            let message = format!("there is no function `{name}` that is called behind a dot");
            let hint = "it works if the map's `".to_owned() + name + "` is a closure";
            self.findings.push(ScriptFinding::warning(self.place(at), message).hint(Some(hint)));
        } else {
            let hint = did_you_mean(self.names.near_method(name, self.file));
            self.error(at, format!("there is no function `{name}`"), hint);
        }
    }

    fn property(&mut self, name: &str, receiver: &str, at: Position) {
        let mut members = self.members(receiver);
        if members.any(|one| one.is_property && one.name == name) {
            return;
        }
        drop(members);
        let message = format!("a {} has no property `{name}`", receiver.to_lowercase());
        self.error(at, message, self.near_member(receiver, name));
    }

    /// Returns the functions and properties of a type of ours.
    fn members(&self, receiver: &str) -> impl Iterator<Item = &'c Signature> {
        let all = self.names.signatures().iter();
        all.filter(move |one| one.receiver().is_some_and(|found| found.kind == receiver))
    }

    fn near_member(&self, receiver: &str, name: &str) -> Option<String> {
        let known: Vec<_> = self.members(receiver).map(|one| one.name.as_str()).collect();
        let near = advice::meant(name).map(str::to_owned).filter(|_| receiver == "Session");
        let near = near.or_else(|| self::near(name, &known))?;
        let is_property = self.members(receiver).any(|one| one.is_property && one.name == near);
        let how = if is_property { "a property, without parentheses" } else { "a function" };
        Some(if near == name {
            format!("`{near}` is {how}")
        } else {
            format!("did you mean `{near}`?")
        })
    }

    fn fact(&mut self, module: &str, name: &str, at: Position) {
        if !self.names.is_module(module) {
            self.unknown_module(module, at);
        } else if module == "job" && !JOB_FACTS.contains(&name) {
            let near = near(name, &JOB_FACTS).map(|near| format!("job::{near}"));
            let known = JOB_FACTS.map(|fact| format!("`job::{fact}`")).join(", ");
            let hint = did_you_mean(near).or(Some(format!("there are {known}")));
            self.error(at, format!("there is no `job::{name}`"), hint);
        }
    }

    fn unknown_module(&mut self, module: &str, at: Position) {
        let own = self.file.modules.iter().map(|(alias, _)| alias.as_str());
        let known: Vec<_> = self.names.modules().into_iter().chain(own).collect();
        let hint = did_you_mean(near(module, &known));
        self.error(at, format!("there is no module `{module}`"), hint);
    }

    fn count(&mut self, name: &str, given: usize, ways: &CallForms, at: Position) {
        let counts: BTreeSet<_> = ways.0.iter().map(|(count, _)| *count).collect();
        if counts.contains(&given) {
            return;
        }
        let message = format!("`{name}` takes {}, {given} given", wanted(&counts));
        let listed = ways.0.iter().take(SIGNATURES_LISTED_MAX);
        let listed: Vec<_> = listed.map(|(_, one)| format!("`{one}`")).collect();
        self.error(at, message, Some(listed.join(" or ")));
    }

    /// Reports a value that a function will not accept: a warning if the script catches the error.
    pub(super) fn wrong_value(&mut self, at: Position, message: String, hint: Option<String>) {
        let finding = if self.is_tried { ScriptFinding::warning } else { ScriptFinding::error }(
            self.place(at),
            message,
        );
        self.findings.push(finding.hint(hint));
    }

    pub(super) fn error(&mut self, at: Position, message: String, hint: Option<String>) {
        self.findings.push(ScriptFinding::error(self.place(at), message).hint(hint));
    }
}

/// Returns true if the second of two nodes is in the body of the first, a `try`.
fn is_tried(pair: &[ASTNode<'_>]) -> bool {
    let [ASTNode::Stmt(Stmt::TryCatch(parts, _)), ASTNode::Stmt(inner)] = pair else {
        return false;
    };
    parts.body.iter().any(|statement| std::ptr::eq(&raw const *statement, *inner))
}

fn did_you_mean(near: Option<String>) -> Option<String> {
    near.map(|near| format!("did you mean `{near}`?"))
}

/// Formats a number of arguments: `no arguments`, `1 argument`, `2 or 3 arguments`.
fn wanted(counts: &BTreeSet<usize>) -> String {
    let counts: Vec<_> = counts.iter().copied().collect();
    match counts.as_slice() {
        [] | [0] => "no arguments".into(),
        [1] => "1 argument".into(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            let or = if first.is_empty() { "" } else { " or " };
            format!("{}{or}{last} arguments", first.join(", "))
        }
    }
}
