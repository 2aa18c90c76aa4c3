//! `ftp::connect` and what a session is.

use rhai::{Dynamic, Map, NativeCallContext, export_module};

use crate::{
    fault::Outcome,
    ftp::{self, url::Url},
    script::{
        raise::{Raise, RhaiResultOf},
        remote::Remote,
        run::Run,
        site::site,
    },
};

fn open(ctx: &NativeCallContext<'_>, url: &str, options: &Map) -> RhaiResultOf<Remote> {
    let run = Run::of(ctx)?;
    let opened = || -> Outcome<Remote> {
        let url = Url::parse(url)?;
        if url.site.password.is_some() {
            let advice = "a password stands in the URL: secret(\"NAME\") keeps it out of scripts";
            run.context.observer.warn_once(advice);
        }
        let site = run.aim(site(&url, options, &run.settings.overrides)?)?;
        let session = run.wait(ftp::session::Session::open(site, run.context.clone()))?;
        Ok(Remote::new(session))
    };
    opened().or_raise(ctx)
}

/// Sessions with FTP servers, and what is done in them.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A session with one server.
    pub type Session = Remote;

    /// Connects to the server of `url` and logs in; raises `unreachable`, `timeout`, `denied` or `tls`.
    ///
    /// `ftp://` is plain, `ftpes://` turns to TLS on the ordinary port, `ftps://` is TLS from the first byte on port
    /// 990. A path in the URL is the folder that the session starts in.
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
    /// - `user`, `password`, `account`: the login, in place of the URL's; `secret("NAME")` gives a password
    /// - `mode`: "auto" (what worked last, else passive), "active", "passive" or "race"; `fallback` (true): try the
    ///   other
    /// - `port_range`: where to listen in active mode, such as "50000-50010"; `external_address`: what to announce.
    ///   Without them, a ruleset of this machine that opens a range (`ftp_active` without `to`) says so
    /// - `map_ports` ("off"): "auto" asks the home router for the ports by itself, when active mode is tried from a
    ///   private address with a server outside; without `port_range` any free ports will do. What cannot be had is said,
    ///   and the session goes on without
    /// - `source_address`: the address to connect from
    /// - `proxy`: `"socks5://[user:password@]host[:1080]"` or `"http://[user:password@]host[:8080]"`; it carries every
    ///   connection of the session, in passive mode, and looks up the server's name. `secret("NAME")` gives one that
    ///   has a password in it
    /// - `tls`: "off", "explicit" or "implicit", in place of what the URL says
    /// - `ca_file`: authorities to believe besides the system's; `pin`: the SHA-256 of the only certificate to
    ///   believe; `insecure`: believe any; `client_cert`, `client_key`: our own, in PEM files
    /// - `connect_timeout` ("15s"), `reply_timeout` ("30s"), `data_timeout` ("60s")
    /// - `min_rate`: bytes per second that a transfer must reach over five minutes, else it fails (100; 0 is no limit)
    /// - `inplace`: whether uploads go under their final names at once: "auto", true or false, as for `put`
    /// - `encoding`: "utf-8", or "latin-1" for servers whose names are; `list_command`: such as "LIST -a"
    /// - `parallel`: sessions that a mirror may use, or `"auto"`; `rate_limit`: bytes per second to and from the host,
    ///   in all sessions of the run together, such as `"2MiB"`
    ///
    /// In mode "active" the server opens the data connections; when it cannot, the session goes over to passive by
    /// itself and says so, unless `fallback` is false. Through a proxy it is passive from the first.
    ///
    /// In mode "race", where nothing is known of the server yet, passive and active are tried side by side on two
    /// sessions, and the first that delivers a listing is kept; `data_connection` is raised when neither does. With
    /// something remembered, with `fallback` false, with a proxy, or where the server lets no second session in, it is as
    /// "auto".
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

    /// Ends the session. What is not closed ends with the script.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.close();
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn close(ctx: NativeCallContext<'_>, site: &mut Session) -> RhaiResultOf<()> {
        site.close(&ctx)
    }

    /// The way that carries the data now: "epsv", "pasv", "eprt" or "port"; empty before the first transfer.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.route);
    /// ```
    #[rhai_fn(global, get = "route", volatile)]
    pub fn route(site: &mut Session) -> String {
        site.look(|session| session.route().to_owned()).unwrap_or_default()
    }

    /// The mode that was asked for: "auto", "active", "passive" or "race".
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.mode);
    /// ```
    #[rhai_fn(global, get = "mode", volatile)]
    pub fn mode(site: &mut Session) -> String {
        site.mode().to_owned()
    }

    /// The server, as `connect` named it.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.host);
    /// ```
    #[rhai_fn(global, get = "host", volatile)]
    pub fn host(site: &mut Session) -> String {
        site.host().to_owned()
    }

    /// Every try to make a data connection, as maps of `step`, `address`, `worked`, `ms` and `words`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// for attempt in site.attempts { print(`${attempt.step}: ${attempt.words}`); }
    /// ```
    #[rhai_fn(global, get = "attempts", volatile)]
    pub fn attempts(site: &mut Session) -> Dynamic {
        let map = |attempt: &crate::observe::Attempt| {
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
