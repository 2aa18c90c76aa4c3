//! The functions that are available to scripts, and the only list of the families.

pub mod base64;
mod closures;
pub mod command;
pub mod connect;
pub mod csv;
pub mod deployments;
pub mod doctor;
pub mod faults;
pub mod files;
pub mod http;
pub mod json;
pub mod lines;
pub mod local;
pub mod log;
pub mod names;
pub mod nat;
mod nat_changes;
pub mod numbers;
pub mod parallel;
pub mod paths;
pub mod reports;
pub mod retention;
pub mod routers;
pub mod run;
mod sizes;
pub mod state;
pub mod suggest;
pub mod text;
pub mod times;
pub mod transfers;
pub mod trees;

use rhai::{Engine, Module, combine_with_exported_module, exported_module};

/// Registers every family.
pub fn register(engine: &mut Engine) {
    let mut ftp = Module::new();
    combine_with_exported_module!(&mut ftp, "connect", connect::functions);
    combine_with_exported_module!(&mut ftp, "doctor", doctor::functions);
    combine_with_exported_module!(&mut ftp, "names", names::functions);
    combine_with_exported_module!(&mut ftp, "retention", retention::functions);
    combine_with_exported_module!(&mut ftp, "transfers", transfers::functions);
    combine_with_exported_module!(&mut ftp, "trees", trees::functions);
    combine_with_exported_module!(&mut ftp, "deployments", deployments::functions);
    engine.register_static_module("ftp", ftp.into());
    let mut nat = Module::new();
    combine_with_exported_module!(&mut nat, "rulesets", nat::functions);
    combine_with_exported_module!(&mut nat, "routers", routers::functions);
    engine.register_static_module("nat", nat.into());
    let mut local = Module::new();
    combine_with_exported_module!(&mut local, "files", local::functions);
    combine_with_exported_module!(&mut local, "more_files", files::functions);
    engine.register_static_module("local", local.into());
    engine.register_static_module("base64", exported_module!(base64::functions).into());
    engine.register_static_module("csv", exported_module!(csv::functions).into());
    engine.register_static_module("http", exported_module!(http::functions).into());
    engine.register_static_module("run", exported_module!(command::functions).into());
    engine.register_static_module("state", exported_module!(state::functions).into());
    engine.register_static_module("json", exported_module!(json::functions).into());
    engine.register_static_module("path", exported_module!(paths::functions).into());
    engine.register_static_module("log", exported_module!(log::functions).into());
    engine.register_global_module(exported_module!(run::functions).into());
    engine.register_global_module(exported_module!(faults::functions).into());
    engine.register_global_module(exported_module!(times::functions).into());
    engine.register_global_module(exported_module!(reports::functions).into());
    engine.register_global_module(exported_module!(parallel::functions).into());
    engine.register_global_module(exported_module!(text::functions).into());
    engine.register_global_module(exported_module!(numbers::functions).into());
    csv::register(engine);
    lines::register(engine);
    let mut safe = Module::new();
    closures::register(&mut safe);
    sizes::register(&mut safe);
    engine.register_global_module(safe.into());
}
