//! Values that a job or script keeps from run to run.

use std::{collections::BTreeSet, sync::PoisonError};

use rhai::{Array, Dynamic, Map, NativeCallContext, export_module};

use super::json::parsed;
use crate::{
    error::{Error, Result},
    mirror::sync_base::no_values,
    script::{
        raise::{Raise, RhaiResultOf},
        run::ScriptRun,
        show,
    },
    secret::Secret,
};

/// The maximum length of a key in bytes.
const KEY_BYTES_MAX: usize = 200;

fn checked(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.contains(char::is_control) {
        let message = format!("a key has 1 to {KEY_BYTES_MAX} bytes and no control characters");
        return Err(Error::invalid(message));
    }
    Ok(())
}

fn owner(run: &ScriptRun) -> &str {
    run.owner.get().map_or("", String::as_str)
}

/// Returns what is kept under `key`.
fn kept(run: &ScriptRun, key: &str) -> Result<Option<Dynamic>> {
    checked(key)?;
    let rehearsed = run.rehearsed.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
    let text = match (rehearsed, &run.settings.states) {
        (Some(text), _) => text,
        (None, Some(states)) => states.script_value(owner(run), key)?,
        // A rehearsal that has no state begins with none.
        (None, None) if run.settings.rehearsal.is_some() => None,
        (None, None) => return Err(no_values()),
    };
    text.map(|text| parsed(&text)).transpose()
}

/// Keeps `value` under `key`; `()` removes what is there.
fn keep(run: &ScriptRun, key: &str, value: &Dynamic) -> Result<()> {
    checked(key)?;
    if has_secret(value) {
        return Err(Error::invalid("a secret is not kept: it would lie in the state folder"));
    }
    let text = (!value.is_unit()).then(|| show::json(value));
    if run.settings.rehearsal.is_some() {
        let mut all = run.rehearsed.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key.to_owned(), text);
        return Ok(());
    }
    run.only_rulesets()?;
    let states = run.settings.states.as_ref().ok_or_else(no_values)?;
    states.keep_script_value(owner(run), key, text.as_deref())
}

fn has_secret(value: &Dynamic) -> bool {
    if let Some(array) = value.read_lock::<Array>() {
        return array.iter().any(has_secret);
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.values().any(has_secret);
    }
    value.read_lock::<Secret>().is_some()
}

/// Values that are kept from run to run.
#[export_module]
pub mod functions {
    /// Returns what an earlier run has kept under `key`; `()` if there is nothing.
    ///
    /// ```rhai
    /// let seen = state::get("seen") ?? [];
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn get(ctx: NativeCallContext<'_>, key: &str) -> RhaiResultOf<Dynamic> {
        let run = ScriptRun::of(&ctx)?;
        Ok(kept(&run, key).or_raise(&ctx)?.unwrap_or(Dynamic::UNIT))
    }

    /// Keeps a value under `key`, at once and also if the run fails later; `()` removes it. Anything that JSON can say is kept:
    /// a time becomes its text, and a secret is refused. One job or script keeps at most 1,000 values and 8 MiB. Raises `full`.
    ///
    /// ```rhai
    /// let seen = state::get("seen") ?? [];
    /// seen.push("order-7.csv");
    /// state::set("seen", seen);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn set(ctx: NativeCallContext<'_>, key: &str, value: Dynamic) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        keep(&run, key, &value).or_raise(&ctx)
    }

    /// Removes what is kept under `key`.
    ///
    /// ```rhai
    /// state::delete("seen");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn delete(ctx: NativeCallContext<'_>, key: &str) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        keep(&run, key, &Dynamic::UNIT).or_raise(&ctx)
    }

    /// Returns the keys under which something is kept, sorted.
    ///
    /// ```rhai
    /// for key in state::keys() { print(key); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn keys(ctx: NativeCallContext<'_>) -> RhaiResultOf<Array> {
        let run = ScriptRun::of(&ctx)?;
        let stored = match &run.settings.states {
            Some(states) => states.script_keys(owner(&run)),
            None if run.settings.rehearsal.is_some() => Ok(Vec::new()),
            None => Err(no_values()),
        };
        let mut keys: BTreeSet<String> = stored.or_raise(&ctx)?.into_iter().collect();
        let rehearsed = run.rehearsed.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, text) in rehearsed.iter() {
            if text.is_some() {
                keys.insert(key.clone());
            } else {
                keys.remove(key);
            }
        }
        Ok(keys.into_iter().map(Dynamic::from).collect())
    }
}
