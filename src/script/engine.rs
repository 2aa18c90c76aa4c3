//! The engine of one run: limits, hooks, and every function that is available to scripts.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use rhai::{AST, Dynamic, Engine, Module, OptimizationLevel, ParseError, Scope, Token};

use super::{
    api,
    imports::Imports,
    run::{JobFacts, ScriptRun, Settings},
    source::ScriptSource,
    time::Time,
};
use crate::{
    limits::{
        SCRIPT_CALL_LEVELS_MAX, SCRIPT_EXPRESSION_DEPTHS_MAX, SCRIPT_FUNCTIONS_MAX,
        SCRIPT_MODULES_MAX, SCRIPT_OPERATIONS_MAX, SCRIPT_VARIABLES_MAX,
    },
    observe::{MessageLevel, visible::visible},
};

/// The variables of the module `job`, such as `job::NAME`.
pub const JOB_FACTS: [&str; 7] =
    ["NAME", "ATTEMPT", "SCHEDULED_FOR", "TRIGGER", "TIMEZONE", "LAST_SUCCESS", "FILES"];

/// Creates an engine with the language and its limits, but no run: for the check and the manual.
pub fn bare() -> Engine {
    let mut engine = Engine::new();
    engine
        .set_max_operations(SCRIPT_OPERATIONS_MAX)
        .set_max_call_levels(SCRIPT_CALL_LEVELS_MAX)
        .set_max_expr_depths(SCRIPT_EXPRESSION_DEPTHS_MAX.0, SCRIPT_EXPRESSION_DEPTHS_MAX.1)
        .set_max_variables(SCRIPT_VARIABLES_MAX)
        .set_max_functions(SCRIPT_FUNCTIONS_MAX)
        .set_max_modules(SCRIPT_MODULES_MAX)
        // The limits on sizes are in `api/sizes.rs`, which replaces operators as well.
        .set_fast_operators(false)
        .set_optimization_level(OptimizationLevel::Simple)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .disable_symbol("eval");
    allow_own_words(&mut engine);
    api::register(&mut engine);
    tell(&mut engine, &Settings::default());
    engine
}

/// Allows reserved words in two places where the parser refuses them: `debug` as the name of `log::debug`, since it is
/// a function of the language itself; and `in` and `match` as keys in `#{ in: "eth0" }`, where neither a loop nor anything
/// else can be.
#[expect(deprecated, reason = "the engine calls this hook volatile; this is its only use")]
fn allow_own_words(engine: &mut Engine) {
    let is_behind_colons = AtomicBool::new(false);
    let is_at_key = AtomicBool::new(false);
    engine.on_parse_token(move |token, _, _| {
        let is_name = is_behind_colons.swap(token == Token::DoubleColon, Ordering::Relaxed);
        let begins_key = matches!(token, Token::MapStart | Token::Comma);
        let is_key = is_at_key.swap(begins_key, Ordering::Relaxed);
        match token {
            Token::Reserved(word) if is_name && *word == "debug" => Token::Identifier(word),
            Token::Reserved(word) if is_key && *word == "match" => Token::Identifier(word),
            Token::In if is_key => Token::Identifier(Box::new("in".into())),
            other => other,
        }
    });
}

/// Creates the engine of `run`, which runs `source`.
pub fn for_run(run: &Arc<ScriptRun>, source: &ScriptSource) -> Engine {
    let mut engine = bare();
    run.owner.get_or_init(|| owner(&run.settings, source));
    engine.set_default_tag(Dynamic::from(Arc::clone(run)));
    engine.set_module_resolver(Imports::new(source.root(), source.is_guarded()));
    let watched = Arc::clone(run);
    engine.on_progress(move |_| watched.must_end().map(Dynamic::from));
    let printer = Arc::clone(run);
    engine.on_print(move |text| printer.print(text));
    let debugger = Arc::clone(run);
    engine.on_debug(move |text, _, position| {
        debugger.say(MessageLevel::Debug, format!("{position}: {}", visible(text)));
    });
    tell(&mut engine, &run.settings);
    engine
}

/// Returns the owner of the values that a script keeps: its job, and outside of one the script itself.
fn owner(settings: &Settings, source: &ScriptSource) -> String {
    if settings.job.is_scheduled {
        return format!("job:{}", settings.job.name);
    }
    let path = Path::new(source.shown());
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    format!("script:{}", path.display())
}

/// Compiles a script or an import; `args` is declared, though it has a value only in a run.
pub fn compile(engine: &Engine, text: &str) -> Result<AST, ParseError> {
    engine.compile_with_scope(&scope(&Settings::default()), text)
}

/// Returns the variables of a script at its start. Closures capture from here; functions see the global module.
pub fn scope(settings: &Settings) -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push_dynamic("args", args(settings));
    scope
}

/// Returns the arguments of the command line, or those of the jobs file.
fn args(settings: &Settings) -> Dynamic {
    match &settings.job.args {
        serde_json::Value::Null => {
            Dynamic::from_array(settings.args.iter().cloned().map(Dynamic::from).collect())
        }
        // Every JSON value is one of the language.
        given => rhai::serde::to_dynamic(given).unwrap_or_default(),
    }
}

fn of_time(at: Timestamp) -> Dynamic {
    Dynamic::from(Time::utc(at))
}

/// Registers the facts of the run under plain names, which functions see as well (unlike the constants of a scope).
fn tell(engine: &mut Engine, settings: &Settings) {
    let mut facts = Module::new();
    facts.set_var("args", args(settings));
    engine.register_global_module(facts.into());
    let mut job = Module::new();
    let JobFacts { name, attempt, scheduled_for, trigger, timezone, last_success, files, .. } =
        settings.job.clone();
    // Outside the scheduler there is no slot, and the text is empty as it always was.
    let slot = scheduled_for.parse().map_or_else(|_| scheduled_for.into(), of_time);
    let last = last_success.map_or(Dynamic::UNIT, of_time);
    let files = Dynamic::from_array(files.into_iter().map(Dynamic::from).collect());
    let values: [Dynamic; 7] =
        [name.into(), attempt.into(), slot, trigger.into(), timezone.into(), last, files];
    for (fact, value) in JOB_FACTS.into_iter().zip(values) {
        job.set_var(fact, value);
    }
    engine.register_static_module("job", job.into());
}
