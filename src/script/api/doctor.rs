//! `ftp::doctor`: a survey of the connection modes of a server, as a value.

use rhai::{Dynamic, Map, NativeCallContext, export_module};

use crate::{
    error::{Error, Result},
    ftp::{
        doctor::{DoctorOptions as Survey, OPTIONS, survey, value, verdict},
        site::OPTIONS as CONNECT,
        url::Url,
    },
    script::{
        raise::{Raise, RhaiResultOf},
        run::ScriptRun,
        site::site,
        value::CallOptions,
    },
};

/// Splits the options into those of the survey and those of the connection.
fn split(options: &Map) -> Result<(Survey, Map)> {
    let (connect_keys, own_keys) = (CONNECT.keys(), OPTIONS.keys());
    let given =
        CallOptions::new(options, "ftp::doctor", &[connect_keys, own_keys.clone()].concat())?;
    let mut found = Survey::default();
    given.fill(&OPTIONS, &mut found)?;
    let mut connect = options.clone();
    connect.retain(|key, _| !own_keys.contains(&key.as_str()));
    Ok((found, connect))
}

fn examine(ctx: &NativeCallContext<'_>, url: &str, options: &Map) -> RhaiResultOf<Map> {
    let run = ScriptRun::of(ctx)?;
    let examined = || -> Result<Map> {
        let url = Url::parse(url)?;
        let (options, connect) = split(options)?;
        let site = run.aim(site(&url, &connect, &run.settings.overrides)?)?;
        let found = run.wait(survey(&site, &options, &run.context))?;
        let value = value(&found, &verdict(&found));
        let map = rhai::serde::to_dynamic(value).ok().and_then(Dynamic::try_cast);
        map.ok_or_else(|| Error::invalid("what was found is too large for a script"))
    };
    examined().or_raise(ctx)
}

/// A survey of the connection modes of a server.
#[export_module]
pub mod functions {
    /// Tries every mode on the server of `url` and returns the results; a mode that fails raises no error.
    ///
    /// The map has `verdict` (a sentence), `works`, `mode` ("passive", "active" or `()`), `route`, `tls`, `options`
    /// (for `ftp::connect`), `snippet`, `modes` (an array of maps with `tls`, `mode`, `step`, `works`, `ms`, `fault`),
    /// `findings` (an array of maps with `weight`, `text`), `rules` (with `side`, `nft`, `iptables`, `words`),
    /// `addresses`, `doors`, `server` and `left`, as `portolan doctor --json` has them.
    ///
    /// ```rhai
    /// let found = ftp::doctor("ftp://ftp.example.org/pub");
    /// print(found.verdict);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn doctor(ctx: NativeCallContext<'_>, url: &str) -> RhaiResultOf<Map> {
        examine(&ctx, url, &Map::new())
    }

    /// Tries every mode with options: those of `ftp::connect` except `proxy`, and two more.
    ///
    /// {options of `ftp::doctor`}
    ///
    /// ```rhai
    /// let found = ftp::doctor("ftpes://deploy@www.example.com", #{
    ///     password: secret("WWW_PASSWORD"),
    ///     read_only: true,
    /// });
    /// for tried in found.modes { print(`${tried.step}: ${tried.works}`); }
    /// ```
    #[rhai_fn(name = "doctor", return_raw, volatile)]
    pub fn doctor_with(ctx: NativeCallContext<'_>, url: &str, options: Map) -> RhaiResultOf<Map> {
        examine(&ctx, url, &options)
    }
}
