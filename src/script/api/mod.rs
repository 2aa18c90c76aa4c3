//! The functions that are available to scripts, and the only list of the families.

mod closures;
pub mod connect;
pub mod deployments;
pub mod doctor;
pub mod faults;
pub mod local;
pub mod log;
pub mod names;
pub mod nat;
pub mod reports;
pub mod routers;
pub mod run;
mod strings;
pub mod suggest;
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
    combine_with_exported_module!(&mut ftp, "transfers", transfers::functions);
    combine_with_exported_module!(&mut ftp, "trees", trees::functions);
    combine_with_exported_module!(&mut ftp, "deployments", deployments::functions);
    engine.register_static_module("ftp", ftp.into());
    let mut nat = Module::new();
    combine_with_exported_module!(&mut nat, "rulesets", nat::functions);
    combine_with_exported_module!(&mut nat, "routers", routers::functions);
    engine.register_static_module("nat", nat.into());
    engine.register_static_module("local", exported_module!(local::functions).into());
    engine.register_static_module("log", exported_module!(log::functions).into());
    engine.register_global_module(exported_module!(run::functions).into());
    engine.register_global_module(exported_module!(faults::functions).into());
    engine.register_global_module(exported_module!(times::functions).into());
    engine.register_global_module(exported_module!(reports::functions).into());
    let mut safe = Module::new();
    closures::register(&mut safe);
    strings::register(&mut safe);
    engine.register_global_module(safe.into());
}
