//! `ftp::doctor`: a survey of the connection modes of a server, as a value.

use rhai::{Map, NativeCallContext, export_module};

use crate::script::{
    raise::{Raise, RhaiResultOf},
    run::ScriptRun,
    survey,
};

fn examine(ctx: &NativeCallContext<'_>, url: &str, options: &Map) -> RhaiResultOf<Map> {
    survey::examine(&*ScriptRun::of(ctx)?, url, options).or_raise(ctx)
}

/// A survey of the connection modes of a server.
#[export_module]
pub mod functions {
    /// Tries every mode on the server of `url` and returns the results; a mode that fails raises no error.
    ///
    /// The map has `verdict` (a sentence), `works`, `mode` ("passive", "active" or `()`), `route`, `tls`, `options`
    /// (for `ftp::connect`), `snippet`, `modes` (an array of maps with `tls`, `mode`, `step`, `works`, `ms`, `fault`),
    /// `findings` (an array of maps with `weight`, `text`), `rules` (with `side`, `nft`, `nft_note`, `iptables`, `words`,
    /// `setting`), `addresses`, `doors`, `server` and `left`, as `portolan doctor --json` has them.
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
