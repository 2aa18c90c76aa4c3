//! The names that can be called: functions of the language, of portolan, and of the scripts.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnAccess, ScriptFnMetadata, Stmt};

use super::{files::File, walk::walk};
use crate::{script::signatures::Signature, similar::nearest};

/// The functions that are built into the language and in none of its lists.
pub(super) const KEYWORDS: &[&str] =
    &["print", "debug", "type_of", "Fn", "call", "curry", "is_shared", "is_def_var", "is_def_fn"];

/// The functions and map keys of a script and its imports.
pub(super) struct ScriptNames<'f> {
    signatures: &'f [Signature],
    operators: &'f [Signature],
    files: &'f [File],
    /// The keys of maps: a map may hold closures, which are called like methods.
    keys: BTreeSet<String>,
    /// The keys to which a closure is assigned.
    closures: BTreeSet<String>,
}

impl<'f> ScriptNames<'f> {
    pub(super) fn new(
        signatures: &'f [Signature],
        operators: &'f [Signature],
        files: &'f [File],
    ) -> Self {
        let mut keys = BTreeSet::new();
        let mut closures = BTreeSet::new();
        let mut note = |key: String, value: &Expr| {
            if is_closure(value) {
                closures.insert(key.clone());
            }
            keys.insert(key);
        };
        for file in files {
            walk(&file.ast, &mut |path| match path.last() {
                Some(ASTNode::Expr(Expr::Map(map, _))) => {
                    map.0.iter().for_each(|(key, value)| note(key.name.to_string(), value));
                }
                Some(ASTNode::Stmt(Stmt::Assignment(parts))) => {
                    if let Some(key) = last_key(&parts.1.lhs) {
                        note(key, &parts.1.rhs);
                    }
                }
                _ => {}
            });
        }
        Self { signatures, operators, files, keys, closures }
    }

    /// Returns the functions called `name`, without properties.
    pub(super) fn named<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'f Signature> + 'n {
        let functions = self.signatures.iter().filter(|one| !one.is_property);
        functions.filter(move |one| one.name == name)
    }

    /// Returns the operator `name` between values of these types. A comparison that takes any type only raises, and is
    /// left out.
    pub(super) fn operator(&self, name: &str, left: &str, right: &str) -> Option<&'f Signature> {
        let is_order = name.starts_with(['<', '>']);
        let takes = |one: &Signature, index: usize, kind: &str| {
            let param = one.params.get(index);
            param.is_some_and(|param| param.kind == kind || (param.kind == "any" && !is_order))
        };
        let mut named = self.operators.iter().filter(|one| one.name == name);
        named.find(|one| takes(one, 0, left) && takes(one, 1, right))
    }

    pub(super) fn signatures(&self) -> &'f [Signature] {
        self.signatures
    }

    pub(super) fn file(&self, index: usize) -> Option<&'f File> {
        self.files.get(index)
    }

    /// Returns true if a map of the scripts has this key.
    pub(super) fn is_key(&self, name: &str) -> bool {
        self.keys.contains(name)
    }

    /// Returns true if a map of the scripts has a closure under this key.
    pub(super) fn is_closure_key(&self, name: &str) -> bool {
        self.closures.contains(name)
    }

    /// Returns true if portolan has a module of this name.
    pub(super) fn is_module(&self, name: &str) -> bool {
        self.modules().contains(name)
    }

    pub(super) fn modules(&self) -> BTreeSet<&'f str> {
        let modules = self.signatures.iter().map(|one| one.namespace.as_str());
        modules.filter(|name| !name.is_empty()).chain(["job", "global"]).collect()
    }

    /// Returns the script functions that a call without a module can reach from `file`: its own, and those of the
    /// script that is run.
    pub(super) fn own<'n>(
        &'n self,
        file: &'n File,
        name: &'n str,
    ) -> impl Iterator<Item = ScriptFnMetadata<'n>> {
        let main = self.files.first().filter(|main| !std::ptr::eq(*main, file));
        main.into_iter().chain([file]).flat_map(functions).filter(move |one| one.name == name)
    }

    /// Returns the most similar function for a call of `name` without a module.
    pub(super) fn near_function(&self, name: &str, file: &File) -> Option<String> {
        let own = functions(file).map(|one| one.name);
        let global = self.signatures.iter().filter(|one| one.is_global && !one.is_property);
        let plain = global.filter(|one| one.receiver().is_none()).map(|one| one.name.as_str());
        let known: Vec<_> = own.chain(plain).chain(KEYWORDS.iter().copied()).collect();
        let qualified = self.named(name).find(|one| !one.is_global).map(Signature::path);
        qualified.or_else(|| near(name, &known))
    }

    /// Returns the most similar function for a call of `name` in module `module`.
    pub(super) fn near_qualified(&self, module: &str, name: &str) -> Option<String> {
        let inside = self.signatures.iter().filter(|one| one.namespace == module);
        let known: Vec<_> =
            inside.filter(|one| one.receiver().is_none()).map(|one| one.name.as_str()).collect();
        near(name, &known).map(|near| format!("{module}::{near}"))
    }

    /// Returns the most similar function for a method call of `name`: ours before the language's own.
    pub(super) fn near_method(&self, name: &str, file: &File) -> Option<String> {
        let methods = |is_ours: bool| {
            let all = self
                .signatures
                .iter()
                .filter(move |one| one.is_global && !one.is_property && !one.params.is_empty());
            all.filter(move |one| one.is_ours == is_ours && one.receiver().is_some() == is_ours)
                .map(|one| one.name.as_str())
        };
        let known: Vec<_> = methods(true).chain(functions(file).map(|one| one.name)).collect();
        near(name, &known).or_else(|| near(name, &methods(false).collect::<Vec<_>>()))
    }
}

/// Returns true if `value` is a closure, with or without captured variables, or a `Fn("name")`.
fn is_closure(value: &Expr) -> bool {
    match value {
        Expr::FnCall(call, _) => matches!(call.name.as_str(), "curry" | "Fn"),
        // A closure with captured variables is a block that shares them first.
        Expr::Stmt(block) => block.iter().last().is_some_and(|last| match last {
            Stmt::Expr(value) => is_closure(value),
            Stmt::FnCall(call, _) => call.name == "curry",
            _ => false,
        }),
        constant => constant.get_literal_value(None).is_some_and(|value| value.is_fnptr()),
    }
}

/// Returns the key that an assignment to `target` sets.
fn last_key(target: &Expr) -> Option<String> {
    match target {
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => last_key(&pair.rhs),
        Expr::Property(property, _) => Some(property.2.to_string()),
        Expr::StringConstant(key, _) => Some(key.to_string()),
        _ => None,
    }
}

/// Returns the nearest of `known`, as an owned name.
pub(super) fn near(name: &str, known: &[&str]) -> Option<String> {
    nearest(name, known).map(ToOwned::to_owned)
}

/// Returns the named functions that a file defines.
pub(super) fn functions(file: &File) -> impl Iterator<Item = ScriptFnMetadata<'_>> {
    file.ast.iter_functions().filter(|one| !one.name.starts_with("anon$"))
}

/// Returns the functions that an importing file may call.
pub(super) fn public(file: &File) -> impl Iterator<Item = ScriptFnMetadata<'_>> {
    functions(file).filter(|one| one.access == FnAccess::Public)
}
