//! A script and all files that it imports by a constant name, each parsed once.

use crate::similar::nearest;
use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

use rhai::{AST, ASTNode, Engine, EvalAltResult, Expr, OptimizationLevel, ParseError, Stmt};

use super::{
    ScriptFinding,
    walk::{place, walk},
};
use crate::{
    limits::SCRIPT_MODULES_MAX,
    observe::visible::visible,
    script::{
        advice::ScriptMistake,
        engine,
        imports::Imports,
        raise::{ScriptFailure, ScriptLocation},
        source::{ScriptSource, read_text},
    },
};

/// A parsed file.
pub(super) struct File {
    /// The path for messages.
    pub(super) shown: String,
    pub(super) ast: AST,
    /// The modules that it imports under a name, and the index of the file of each, if known.
    pub(super) modules: Vec<(String, Option<usize>)>,
}

/// The engines of the check, which do not optimize the tree.
pub(super) struct Engines {
    /// Refuses unknown variables and modules, as a run does.
    pub(super) strict: Engine,
    /// Accepts them, so that the rest can be checked. Most scripts need none.
    lax: OnceCell<Engine>,
}

impl Engines {
    pub(super) fn new() -> Self {
        Self { strict: Self::engine(true), lax: OnceCell::new() }
    }

    fn engine(is_strict: bool) -> Engine {
        let mut engine = engine::bare();
        engine.set_optimization_level(OptimizationLevel::None).set_strict_variables(is_strict);
        engine
    }

    fn lax(&self) -> &Engine {
        self.lax.get_or_init(|| Self::engine(false))
    }
}

/// A script and its imports.
pub(super) struct ScriptFiles<'e> {
    engines: &'e Engines,
    imports: Imports,
    /// The script first, then its imports, without the files that cannot be parsed.
    pub(super) all: Vec<File>,
    pub(super) findings: Vec<ScriptFinding>,
    /// The real path of every file, with its index in `all` if it could be parsed.
    seen: Vec<(PathBuf, Option<usize>)>,
    under_way: Vec<PathBuf>,
    real: Option<PathBuf>,
}

/// An import statement.
struct Import {
    /// The file; `None` if it is known only at run time.
    file: Option<String>,
    alias: String,
    place: ScriptLocation,
}

impl<'e> ScriptFiles<'e> {
    /// Parses `source` and its imports.
    pub(super) fn load(engines: &'e Engines, source: &ScriptSource) -> Self {
        let real = Path::new(source.shown()).canonicalize().ok();
        let mut files = Self {
            engines,
            imports: Imports::new(source.root(), false),
            all: Vec::new(),
            findings: Vec::new(),
            seen: Vec::new(),
            under_way: real.iter().cloned().collect(),
            real,
        };
        files.add(source.shown(), source.text());
        files
    }

    /// Returns the path of the script's own file, if it has one.
    pub(super) fn real(&self) -> Option<&Path> {
        self.real.as_deref()
    }

    /// Returns the real paths of the imports; `None` if the name of one is known only at run time.
    pub(super) fn import_paths(&self) -> Option<Vec<PathBuf>> {
        let is_known = |file: &File| {
            imports(&file.ast, &file.shown).iter().all(|import| import.file.is_some())
        };
        let paths = self.seen.iter().map(|(path, _)| path.clone());
        self.all.iter().all(is_known).then(|| paths.collect())
    }

    /// Returns the paths of the imports, as seen from the current directory.
    pub(super) fn imported(&self) -> Vec<PathBuf> {
        self.all.iter().skip(1).map(|file| PathBuf::from(&file.shown)).collect()
    }

    /// Returns true if the file `real` is among the imports.
    pub(super) fn imports(&self, real: &Path) -> bool {
        self.seen.iter().any(|(path, _)| path == real)
    }

    /// Returns true if `real` is a file among the imports.
    pub(super) fn imports_any(&self, real: Option<&Path>) -> bool {
        real.is_some_and(|real| self.imports(real))
    }

    fn add(&mut self, shown: &str, text: &str) -> Option<usize> {
        let ast = self.parse(shown, text)?;
        let index = self.all.len();
        let imports = imports(&ast, shown);
        self.all.push(File { shown: shown.to_owned(), ast, modules: Vec::new() });
        for import in imports {
            let found = import.file.and_then(|name| self.follow(&name, &import.place));
            if let Some(file) = self.all.get_mut(index) {
                file.modules.push((import.alias, found));
            }
        }
        Some(index)
    }

    fn follow(&mut self, name: &str, place: &ScriptLocation) -> Option<usize> {
        let found = self.imports.find(name).and_then(|found| {
            let text = read_text(&found.real)?;
            Ok((found, text))
        });
        let (found, text) = match found {
            Ok(found) => found,
            Err(fault) => {
                self.findings.push(ScriptFinding::error(place.clone(), fault.to_string()));
                return None;
            }
        };
        if self.under_way.contains(&found.real) {
            let message = format!("the import of \"{name}\" goes in a circle");
            self.findings.push(ScriptFinding::error(place.clone(), message));
            return None;
        }
        if let Some((_, index)) = self.seen.iter().find(|(path, _)| *path == found.real) {
            return *index;
        }
        if self.seen.len() >= SCRIPT_MODULES_MAX {
            let message = format!("a script imports at most {SCRIPT_MODULES_MAX} files");
            self.findings.push(ScriptFinding::error(place.clone(), message));
            return None;
        }
        self.under_way.push(found.real.clone());
        self.seen.push((found.real.clone(), None));
        let index = self.add(&visible(found.path.as_os_str().as_encoded_bytes()), &text);
        self.under_way.retain(|path| *path != found.real);
        for (path, known) in &mut self.seen {
            if *path == found.real {
                *known = index;
            }
        }
        index
    }

    /// Returns the parsed text. An unknown variable is one finding, and the rest is checked nevertheless.
    fn parse(&mut self, shown: &str, text: &str) -> Option<AST> {
        let error = match engine::compile(&self.engines.strict, text) {
            Ok(ast) => return Some(ast),
            Err(error) => error,
        };
        let parsed = engine::compile(self.engines.lax(), text).ok();
        let is_module = matches!(*error.0, rhai::ParseErrorType::ModuleUndefined(_));
        // Calls into an unknown module are reported one by one.
        if parsed.is_none() || !is_module {
            self.findings.push(syntax(error, shown, text));
        }
        parsed
    }
}

fn imports(ast: &AST, shown: &str) -> Vec<Import> {
    let mut found = Vec::new();
    walk(ast, &mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, _))) = path.last() {
            let (file, alias) = &**import;
            let name = match file {
                Expr::StringConstant(name, _) => Some(name.to_string()),
                _ => None,
            };
            let place = place(shown, file.start_position());
            found.push(Import { file: name, alias: alias.name.to_string(), place });
        }
    });
    found
}

/// Converts a parser error into a finding.
fn syntax(error: ParseError, shown: &str, text: &str) -> ScriptFinding {
    let at = place(shown, error.1);
    let mistake = ScriptMistake::of_syntax(&error.0);
    let advised = |at: &ScriptLocation| mistake.as_ref()?.advice(line_of(text, at), at.column);
    if let rhai::ParseErrorType::VariableUndefined(name) = &*error.0 {
        let known = variables(text);
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let message = format!("there is no variable `{name}`");
        let near = nearest(name, &known).map(|near| {
            if near == name {
                format!("a function sees only its own variables: give it `{name}` as an argument")
            } else {
                format!("did you mean `{near}`?")
            }
        });
        let hint = near.or_else(|| advised(&at));
        return ScriptFinding::error(at, message).hint(hint);
    }
    let failure = ScriptFailure::read(EvalAltResult::from(error), shown);
    let at = failure.place.unwrap_or(at);
    let hint = advised(&at);
    ScriptFinding::error(at, failure.fault.message).hint(hint)
}

fn line_of<'t>(text: &'t str, place: &ScriptLocation) -> &'t str {
    text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default()
}

/// Returns the names that a text seems to give to variables. There is no tree yet in which to look them up.
fn variables(text: &str) -> Vec<String> {
    let words: Vec<_> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let named = words.windows(2).filter_map(|pair| match pair {
        ["let" | "const" | "for" | "catch", name] => Some((*name).to_owned()),
        _ => None,
    });
    named.chain(["args".to_owned()]).collect()
}
