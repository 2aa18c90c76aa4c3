//! The signatures of all functions that a script may call, from the engine's metadata: for the check and the manual.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{Engine, FnNamespace, FuncInfo};

/// An overload of a function, or a property.
#[derive(Debug, Clone)]
pub struct Signature {
    /// The module that qualifies it; empty for global functions.
    pub namespace: String,
    /// The name of the function or property.
    pub name: String,
    /// The parameters, the value before the dot first.
    pub params: Vec<Param>,
    /// The return type as scripts call it; empty for none.
    pub returns: String,
    /// The doc comment without the slashes.
    pub doc: String,
    /// True if scripts may call it without its module.
    pub is_global: bool,
    /// True if it is read as `value.name`.
    pub is_property: bool,
    /// True if portolan adds it to the language.
    pub is_ours: bool,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The name; `_` if the engine knows none.
    pub name: String,
    /// The type as scripts call it.
    pub kind: String,
    is_receiver: bool,
}

/// Returns every function of `engine` that has a name: operators are left out.
pub fn all(engine: &Engine) -> Vec<Signature> {
    let ours = ours(engine);
    // This comes before each run, and there are some thousand functions.
    let mut by_name: BTreeMap<&str, Vec<&Signature>> = BTreeMap::new();
    for own in &ours {
        by_name.entry(&own.name).or_default().push(own);
    }
    let every = engine.collect_fn_metadata(None, |info| signature(&info, false), true);
    let is_standard = |found: &Signature| {
        let own = by_name.get(found.name.as_str());
        !own.is_some_and(|own| own.iter().any(|own| own.is_same(found)))
    };
    let standard: Vec<_> = every.into_iter().filter(is_standard).collect();
    ours.into_iter().chain(standard).collect()
}

/// Returns the functions that portolan adds to the language. A function of the language that it replaces with a safer
/// one has no documentation and is not among them.
pub fn ours(engine: &Engine) -> Vec<Signature> {
    let all = engine.collect_fn_metadata(None, |info| signature(&info, true), false);
    let names = language();
    all.into_iter().filter(|one| !one.doc.is_empty() || !names.contains(&one.name)).collect()
}

/// Returns the names of the language's own functions.
fn language() -> BTreeSet<String> {
    let name = |info: FuncInfo<'_>| Some(info.metadata.name.to_string());
    Engine::new().collect_fn_metadata(None, name, true).into_iter().collect()
}

/// Returns the binary operators, both ours and the language's.
pub fn operators(engine: &Engine) -> Vec<Signature> {
    let operator = |info: FuncInfo<'_>| {
        let known = info.metadata;
        let is_one = !known.name.contains(char::is_alphanumeric) && known.num_params == 2;
        is_one.then(|| described(&info, true))
    };
    engine.collect_fn_metadata(None, operator, true)
}

fn signature(info: &FuncInfo<'_>, is_ours: bool) -> Option<Signature> {
    let name = info.metadata.name.as_str();
    let name = name.strip_prefix("get$").unwrap_or(name);
    let is_function =
        name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !name.contains('$');
    is_function.then(|| described(info, is_ours))
}

fn described(info: &FuncInfo<'_>, is_ours: bool) -> Signature {
    let known = info.metadata;
    let name = known.name.as_str();
    let property = name.strip_prefix("get$");
    let name = property.unwrap_or(name);
    let named = known.params_info.iter().map(|text| param(text));
    let params = if known.params_info.is_empty() {
        vec![param(""); known.num_params]
    } else {
        named.collect()
    };
    Signature {
        namespace: info.namespace.to_string(),
        name: name.to_owned(),
        params,
        returns: kind(&known.return_type),
        doc: doc(known.comments.iter().map(AsRef::as_ref)),
        is_global: info.namespace.is_empty() || known.namespace == FnNamespace::Global,
        is_property: property.is_some(),
        is_ours,
    }
}

/// Returns true for the name of a type of ours.
fn is_own(kind: &str) -> bool {
    kind.starts_with(char::is_uppercase)
}

fn param(text: &str) -> Param {
    let (name, typed) = text.split_once(':').unwrap_or((text, ""));
    let name = if name.trim().is_empty() { "_" } else { name.trim() };
    let is_receiver = typed.trim().starts_with("&mut ");
    Param { name: name.to_owned(), kind: kind(typed), is_receiver }
}

/// Returns the name that scripts use for a Rust type.
fn kind(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("RhaiResultOf<").and_then(|t| t.strip_suffix('>')).unwrap_or(text);
    let text = text.trim().trim_start_matches("&mut ").trim();
    match text.rsplit("::").next().unwrap_or(text) {
        "&str" | "String" | "ImmutableString" => "string",
        "i64" | "INT" => "int",
        "f64" | "FLOAT" => "float",
        "Array" => "array",
        "Blob" => "blob",
        "Map" => "map",
        "FnPtr" => "closure",
        "Dynamic" | "RhaiResult" | "?" | "" => "any",
        "()" => "",
        "Remote" => "Session",
        other => other,
    }
    .to_owned()
}

/// Returns the text of a doc comment.
fn doc<'c>(comments: impl Iterator<Item = &'c str>) -> String {
    let lines = comments.flat_map(str::lines).map(|line| {
        let line = line.trim_start().trim_start_matches("///");
        line.strip_prefix(' ').unwrap_or(line).trim_end()
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Signature {
    fn is_same(&self, other: &Self) -> bool {
        self.namespace == other.namespace
            && self.name == other.name
            && self.is_property == other.is_property
            && self.params == other.params
    }

    /// Returns the value before the dot, for a function that portolan adds to a type. Its manual has always shown
    /// `to_json` with the value between the parentheses.
    pub fn receiver(&self) -> Option<&Param> {
        self.params.first().filter(|first| {
            self.is_ours && first.is_receiver && (is_own(&first.kind) || self.name != "to_json")
        })
    }

    /// Returns the name by which it is called: `ftp::connect`, `site.get`, `sleep`.
    pub fn path(&self) -> String {
        match self.receiver() {
            Some(receiver) => format!("{}.{}", receiver.name, self.name),
            None if self.namespace.is_empty() => self.name.clone(),
            None => format!("{}::{}", self.namespace, self.name),
        }
    }

    /// Returns the parameters between the parentheses.
    pub fn arguments(&self) -> &[Param] {
        self.params.get(usize::from(self.receiver().is_some())..).unwrap_or_default()
    }

    /// Returns the signature, such as `site.get(remote: string, local: string) -> Report`.
    pub fn shown(&self) -> String {
        let mut text = self.path();
        if !self.is_property {
            let arguments =
                self.arguments().iter().map(|param| format!("{}: {}", param.name, param.kind));
            text = format!("{text}({})", arguments.collect::<Vec<_>>().join(", "));
        }
        if !self.returns.is_empty() {
            text = format!("{text} -> {}", self.returns);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_speaks_the_words_of_scripts() {
        let all = ours(&crate::script::engine::bare());
        let shown: Vec<_> = all.iter().map(Signature::shown).collect();
        for wanted in [
            "ftp::connect(url: string, options: map) -> Session",
            "site.get(remote: string, local: string, options: map) -> Report",
            "site.close()",
            "site.route -> string",
            "retry(attempts: int, work: closure) -> any",
            "local::size(path: string) -> int",
        ] {
            assert!(shown.iter().any(|one| one == wanted), "{wanted} is not in {shown:#?}");
        }
        assert!(!shown.iter().any(|one| one.starts_with('=')), "operators are no functions");
    }

    #[test]
    fn standard_functions_are_known_and_told_apart() {
        let all = all(&crate::script::engine::bare());
        let of = |name: &str| all.iter().filter(|one| one.name == name).collect::<Vec<_>>();
        assert!(of("filter").iter().all(|one| !one.is_ours && one.is_global));
        assert!(of("connect").iter().all(|one| one.is_ours && !one.is_global));
        assert!(of("sleep").iter().any(|one| one.is_ours));
    }
}
