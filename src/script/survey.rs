//! The survey of the connection modes of a server, for scripts.

use rhai::{Dynamic, Map};

use super::{
    run::ScriptRun,
    site::{site, site_of},
    value::CallOptions,
};
use crate::{
    advice::{diagnosis_value, look_at_host},
    error::{Error, Result},
    ftp::{
        doctor::{DoctorOptions, OPTIONS, survey, verdict},
        site::OPTIONS as CONNECT,
    },
    nat::model::RulesetSpec,
    nat_proof,
    script::sites::parse_url,
};

/// Splits the options into those of the survey and those of the connection.
fn split(options: &Map) -> Result<(DoctorOptions, Map)> {
    let (connect_keys, own_keys) = (CONNECT.keys(), OPTIONS.keys());
    let given =
        CallOptions::new(options, "ftp::doctor", &[connect_keys, own_keys.clone()].concat())?;
    let mut found = DoctorOptions::default();
    given.fill(&OPTIONS, &mut found)?;
    let mut connect = options.clone();
    connect.retain(|key, _| !own_keys.contains(&key.as_str()));
    Ok((found, connect))
}

/// Tries every mode on the server of `url` with the options of `ftp::doctor`, and returns the results.
pub fn examine(run: &ScriptRun, url: &str, options: &Map) -> Result<Map> {
    let url = parse_url(url)?;
    let (options, connect) = split(options)?;
    let site = run.aim(site(&url, &connect, &run.settings.overrides)?, &connect)?;
    run.only_rulesets()?;
    let mut found = run.wait(survey(&site, &options, &run.context))?;
    look_at_host(&mut found);
    let value = diagnosis_value(&found, &verdict(&found));
    let map = rhai::serde::to_dynamic(value).ok().and_then(Dynamic::try_cast);
    map.ok_or_else(|| Error::invalid("what was found is too large for a script"))
}

/// Proves `ruleset` by sessions with the server of `url`, and returns the steps that worked.
pub fn prove(run: &ScriptRun, url: &str, ruleset: &RulesetSpec) -> Result<Vec<String>> {
    let site = run.aim(site_of(&parse_url(url)?, &run.settings.overrides)?, &Map::new())?;
    run.wait(nat_proof::prove(&site, ruleset, &run.context))
}
