//! Imports: files in the script's folder and below, each loaded once, without cycles.
//!
//! The engine's own resolver accepts `../secret` and absolute paths, and an import cycle overflows the stack and aborts
//! the whole program (`facts`, rhai).

use std::{
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rhai::{Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::{raise::raised, source::read_text};
use crate::{
    error::{Error, Origin, Result},
    files::owned,
};

/// A file that an import names.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The path relative to the working directory at the start of the program, for messages.
    pub path: PathBuf,
    /// The canonical path, which is the same for every import of the file.
    pub real: PathBuf,
}

/// The resolver that finds `import "lib/tools"` as `lib/tools.rhai` below its root.
pub struct Imports {
    root: PathBuf,
    is_guarded: bool,
    /// The files being loaded, to detect a cycle.
    under_way: Mutex<Vec<PathBuf>>,
    done: Mutex<Vec<(PathBuf, Shared<Module>)>>,
}

impl Imports {
    /// Creates a resolver for `root` and below; with `is_guarded` only files are loaded that no other user can change.
    pub fn new(root: &Path, is_guarded: bool) -> Self {
        Self {
            root: root.to_owned(),
            is_guarded,
            under_way: Mutex::default(),
            done: Mutex::default(),
        }
    }

    /// Returns the file that `name` means; fails with `invalid` if it is outside of the root.
    pub fn find(&self, name: &str) -> Result<Imported> {
        let relative = Path::new(name);
        let stays = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if name.is_empty() || !stays {
            let message = format!(
                "cannot import \"{name}\": an import names a file below the script's own folder"
            );
            return Err(Error::invalid(message));
        }
        let mut file: PathBuf = self.root.join(relative).components().collect();
        file = file.strip_prefix(".").map(Path::to_owned).unwrap_or(file);
        if file.extension().is_none_or(|extension| extension != "rhai") {
            file.as_mut_os_string().push(".rhai");
        }
        let missing = |error: std::io::Error| {
            let fault = Error::local(&format!("import \"{name}\""), &file, error);
            Error { side: Origin::Script, ..fault }
        };
        let root = self.root.canonicalize().map_err(missing)?;
        let real = file.canonicalize().map_err(missing)?;
        if !real.starts_with(&root) {
            let message = format!("cannot import \"{name}\": it leads out of the script's folder");
            return Err(Error::invalid(message));
        }
        Ok(Imported { path: file, real })
    }

    fn load(&self, engine: &Engine, name: &str) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let raise = |fault| raised(fault, Position::NONE);
        let Imported { path, real: file } = self.find(name).map_err(raise)?;
        if self.is_guarded {
            owned::guard(&file).map_err(raise)?;
        }
        {
            let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, module)) = done.iter().find(|(path, _)| *path == file) {
                return Ok(Shared::clone(module));
            }
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if under_way.contains(&file) {
                let message = format!("the import of \"{name}\" goes in a circle");
                return Err(raise(Error::invalid(message)));
            }
            under_way.push(file.clone());
        }
        let module = compile(engine, &path, &file);
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != file);
        let module = Shared::new(module?);
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push((file, Shared::clone(&module)));
        Ok(module)
    }
}

fn compile(engine: &Engine, shown: &Path, file: &Path) -> Result<Module, Box<EvalAltResult>> {
    let shown = shown.to_string_lossy().into_owned();
    let text = read_text(file).map_err(|fault| raised(fault, Position::NONE))?;
    let mut ast = super::engine::compile(engine, &text).map_err(|error| {
        let inner = EvalAltResult::from(error);
        EvalAltResult::ErrorInModule(shown.clone(), Box::new(inner), Position::NONE)
    })?;
    ast.set_source(shown);
    Module::eval_ast_as_new(Scope::new(), &ast, engine)
}

impl ModuleResolver for Imports {
    fn resolve(
        &self,
        engine: &Engine,
        _source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        self.load(engine, path).map_err(|mut error| {
            if error.position().is_none() {
                error.set_position(position);
            }
            error
        })
    }
}
