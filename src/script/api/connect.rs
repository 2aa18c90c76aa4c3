//! `ftp::connect` and the properties of a session.

use rhai::{Dynamic, Map, NativeCallContext, export_module};

use crate::remote::fs::RemoteFs as _;
use crate::script::{
    raise::{Raise, RhaiResultOf},
    remote::Remote,
    run::ScriptRun,
};

fn open(ctx: &NativeCallContext<'_>, url: &str, options: &Map) -> RhaiResultOf<Remote> {
    Remote::open(&*ScriptRun::of(ctx)?, url, options).or_raise(ctx)
}

/// Returns the URL of a saved site; its name may begin with `@`, as elsewhere.
fn saved(name: &str) -> String {
    format!("@{}", name.strip_prefix('@').unwrap_or(name))
}

/// Sessions with FTP servers, and their functions.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A session with one server.
    pub type Session = Remote;

    /// Connects to the server of `url` and logs in; raises `unreachable`, `timeout`, `denied` or `tls`.
    ///
    /// `ftp://` is plain, `ftpes://` upgrades to TLS on the ordinary port, `ftps://` uses TLS from the first byte, on
    /// port 990. A path in the URL is the folder in which the session starts. `@acme/in` is the folder `in` of the saved
    /// site `acme`, with its options.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org/pub");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn connect(ctx: NativeCallContext<'_>, url: &str) -> RhaiResultOf<Session> {
        open(&ctx, url, &Map::new())
    }

    /// Connects with options.
    ///
    /// {options of `ftp::connect`}
    ///
    /// In mode "active" the server opens the data connections; if it cannot, the session falls back to passive mode and
    /// logs this, unless `fallback` is false. Through a proxy it is passive from the start.
    ///
    /// In mode "race", if nothing is known about the server yet, passive and active mode are tried in parallel in two
    /// sessions, and the first that delivers a listing is kept; `data_connection` is raised if neither does. If there
    /// is an earlier result, `fallback` is false, there is a proxy, or the server refuses a second session, it works
    /// like "auto".
    ///
    /// ```rhai
    /// let site = ftp::connect("ftpes://deploy@www.example.com/htdocs", #{
    ///     password: secret("WWW_PASSWORD"),
    ///     mode: "active",
    ///     port_range: "50000-50010",
    /// });
    /// ```
    #[rhai_fn(name = "connect", return_raw, volatile)]
    pub fn connect_with(
        ctx: NativeCallContext<'_>,
        url: &str,
        options: Map,
    ) -> RhaiResultOf<Session> {
        open(&ctx, url, &options)
    }

    /// Connects to the saved site `name` of `sites.toml` and logs in, as `ftp::connect("@name")` does; raises `invalid` for
    /// a name that is not there.
    ///
    /// ```rhai
    /// let site = ftp::site("acme");
    /// ```
    #[rhai_fn(name = "site", return_raw, volatile)]
    pub fn saved_site(ctx: NativeCallContext<'_>, name: &str) -> RhaiResultOf<Session> {
        open(&ctx, &saved(name), &Map::new())
    }

    /// Connects to a saved site, with options that count before those of the site.
    ///
    /// ```rhai
    /// let site = ftp::site("acme", #{ mode: "passive" });
    /// ```
    #[rhai_fn(name = "site", return_raw, volatile)]
    pub fn saved_site_with(
        ctx: NativeCallContext<'_>,
        name: &str,
        options: Map,
    ) -> RhaiResultOf<Session> {
        open(&ctx, &saved(name), &options)
    }

    /// Ends the session. A session that is not closed ends with the script.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.close();
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn close(ctx: NativeCallContext<'_>, site: &mut Session) -> RhaiResultOf<()> {
        site.close(&ctx)
    }

    /// The command by which data connections are opened now: "epsv", "pasv", "eprt" or "port"; empty before the first
    /// transfer.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.route);
    /// ```
    #[rhai_fn(global, get = "route", volatile)]
    pub fn route(site: &mut Session) -> String {
        site.look(|session| session.route().to_owned()).unwrap_or_default()
    }

    /// The requested mode: "auto", "active", "passive" or "race".
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.mode);
    /// ```
    #[rhai_fn(global, get = "mode", volatile)]
    pub fn mode(site: &mut Session) -> String {
        site.mode().to_owned()
    }

    /// The server, as it was given to `connect`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.host);
    /// ```
    #[rhai_fn(global, get = "host", volatile)]
    pub fn host(site: &mut Session) -> String {
        site.host().to_owned()
    }

    /// The attempts to open a data connection, as maps of `step`, `address`, `worked`, `ms` and `words`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// for attempt in site.attempts { print(`${attempt.step}: ${attempt.words}`); }
    /// ```
    #[rhai_fn(global, get = "attempts", volatile)]
    pub fn attempts(site: &mut Session) -> Dynamic {
        let map = |attempt: &crate::observe::ConnectAttempt| {
            let mut map = Map::new();
            map.insert("step".into(), attempt.step.into());
            map.insert("address".into(), attempt.address.clone().into());
            map.insert("worked".into(), attempt.worked.into());
            map.insert("ms".into(), i64::try_from(attempt.ms).unwrap_or(i64::MAX).into());
            map.insert("words".into(), attempt.words.clone().into());
            Dynamic::from_map(map)
        };
        let all = site.look(|session| session.attempts().iter().map(map).collect());
        Dynamic::from_array(all.unwrap_or_default())
    }
}
