//! The session that a script holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Map, NativeCallContext};

use super::{
    raise::{Raise, RhaiResultOf},
    run::ScriptRun,
    site::site,
    sites,
    value::NameText,
};
use crate::{
    error::{Error, Result},
    ftp::{session::Session, site::Site},
};

/// A session with one server, shared by all copies of the value.
#[derive(Clone)]
pub struct Remote {
    session: Arc<Mutex<Option<Session>>>,
    host: String,
    mode: &'static str,
    names: NameText,
    parallel: u16,
}

impl Remote {
    /// Opens a session with the server of `url`, with the options of `ftp::connect`. A script that only describes rulesets
    /// gets one that is opened by none of its calls: the first one ends the script.
    pub fn open(run: &ScriptRun, url: &str, options: &Map) -> Result<Self> {
        let is_saved = url.starts_with('@');
        let url = sites::parse_url(url)?;
        if url.site.password.is_some() && !is_saved {
            let advice = "a password stands in the URL: secret(\"NAME\") keeps it out of scripts";
            run.context.observer.warn_once(advice);
        }
        if url.is_text {
            let message =
                "`;type=a` is for one file: `get` and `put` have the option `type: \"ascii\"`";
            return Err(Error::invalid(message));
        }
        let site = run.aim(site(&url, options, &run.settings.overrides)?, options)?;
        if run.settings.nat.described.is_some() {
            return Ok(Self::of(&site, None));
        }
        run.wait(Session::open(site, run.context.clone())).map(Self::new)
    }

    /// Wraps `session` for a script.
    pub fn new(session: Session) -> Self {
        let site = session.site().clone();
        Self::of(&site, Some(session))
    }

    fn of(site: &Site, session: Option<Session>) -> Self {
        let names = NameText(site.encoding);
        let (host, mode) = (site.host.clone(), site.mode.as_str());
        let parallel = site.parallel;
        Self { session: Arc::new(Mutex::new(session)), host, mode, names, parallel }
    }

    /// Returns the server, as the script named it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the requested mode.
    pub const fn mode(&self) -> &'static str {
        self.mode
    }

    /// Returns the encoding of names on the server.
    pub const fn names(&self) -> NameText {
        self.names
    }

    /// Returns the number of sessions that a mirror uses unless it is told otherwise.
    pub const fn parallel(&self) -> u16 {
        self.parallel
    }

    /// Runs `work` with the session on the script's thread, and raises its error.
    pub fn with<T>(
        &self,
        ctx: &NativeCallContext<'_>,
        work: impl AsyncFnOnce(&mut Session, &ScriptRun) -> Result<T>,
    ) -> RhaiResultOf<T> {
        let run = ScriptRun::of(ctx)?;
        self.within(&run, work).or_raise(ctx)
    }

    /// Runs `work` with the session on the thread of `run`.
    pub fn within<T>(
        &self,
        run: &ScriptRun,
        work: impl AsyncFnOnce(&mut Session, &ScriptRun) -> Result<T>,
    ) -> Result<T> {
        run.only_rulesets()?;
        let mut session = self.lock();
        let open = session.as_mut().ok_or_else(|| self.closed())?;
        run.wait(work(open, run))
    }

    /// Inspects the session with `look`, without a request to the server; returns `None` if it is closed.
    pub fn look<T>(&self, look: impl FnOnce(&Session) -> T) -> Option<T> {
        self.lock().as_ref().map(look)
    }

    /// Ends the session; a second call does nothing.
    pub fn close(&self, ctx: &NativeCallContext<'_>) -> RhaiResultOf<()> {
        let run = ScriptRun::of(ctx)?;
        self.close_within(&run).or_raise(ctx)
    }

    /// Ends the session, without a script.
    pub fn close_within(&self, run: &ScriptRun) -> Result<()> {
        let session = self.lock().take();
        let Some(session) = session else { return Ok(()) };
        run.wait(async {
            session.close().await;
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> Error {
        Error::invalid("this session is closed").with_host(&self.host)
    }
}
