//! Scripts: the engine, the functions that are available to scripts, and the check of a script before it runs.
//!
//! This is the only module that uses rhai directly.

pub mod advice;
pub mod api;
mod attend;
mod budget;
pub mod check;
pub mod docs;
pub mod engine;
mod http_client;
pub mod imports;
mod language;
pub mod needs;
pub mod netrc;
pub mod options;
mod overlay;
pub mod path_recorder;
mod programs;
pub mod prompt;
pub mod raise;
pub mod redact;
pub mod remote;
pub mod rule_options;
pub mod rules;
pub mod run;
pub mod secrets;
pub mod show;
pub mod signatures;
pub mod site;
pub mod sites;
pub mod source;
pub mod supervised;
pub mod survey;
pub mod time;
pub mod value;

use rhai::{AST, Engine, EvalAltResult};

use self::{raise::ScriptFailure, source::ScriptSource};

/// Compiles `source`; the error has the position of the first mistake.
pub fn compile(engine: &Engine, source: &ScriptSource) -> Result<AST, Box<ScriptFailure>> {
    let mut ast = engine::compile(engine, source.text()).map_err(|error| {
        Box::new(ScriptFailure::read(EvalAltResult::from(error), source.shown()))
    })?;
    ast.set_source(source.shown());
    Ok(ast)
}
