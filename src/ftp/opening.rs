//! Sessions, begun: the first with a server, further ones, and one in the place of another that is of no use.

use std::sync::Arc;

use super::{
    context::Context,
    control::{self, Command, Line},
    data::route::Step,
    login::{self, Haste},
    race,
    secure::Security,
    session::Session,
    site::{Mode, Site},
    way::Way,
};
use crate::{
    fault::{Kind, Outcome},
    observe::Level,
};

impl Session {
    /// Connects to `site` and logs in; in mode `race` it finds out as well what carries the data.
    pub async fn open(site: Site, context: Context) -> Outcome<Self> {
        site.check()?;
        let line = call(&site, &context).await?;
        let session = Self::open_alone(site, context, line, None).await?;
        if session.wants_race() { race::run(session).await } else { Ok(session) }
    }

    async fn open_alone(
        mut site: Site,
        context: Context,
        line: Line,
        haste: Option<&Haste>,
    ) -> Outcome<Self> {
        let begun = first_login(&mut site, &context, line, haste).await;
        let (
            login::LoggedIn { control, mut features, home, security, ours_there, is_plain },
            mut way,
        ) = begun.map_err(|fault| fault.on(&site.host))?;
        if is_plain {
            way.manners.logged_in_plainly();
        }
        features.refuses_list_all = way.known().is_some_and(|known| known.refuses_list_all);
        way.hear(ours_there);
        let folder = match &site.folder {
            Some(folder) => home.resolve(folder)?,
            None => home,
        };
        let host_pace = site.rate_limit.map(|rate| context.paces.of_host(&site.host, rate));
        let mut session = Self {
            site,
            context,
            control,
            features,
            security,
            way,
            buffer: Vec::new(),
            paces: [host_pace, None],
            mark: None,
            goes_on: false,
            follows: None,
            wonders: None,
            heard: None,
            folder,
            server_folder: None,
        };
        if session.site.folder.is_some() {
            let folder = session.folder.clone();
            session.visit(&folder).await?;
        }
        Ok(session)
    }

    /// Another session with the same server, as this one is now: for parallel work.
    pub fn another(&self) -> impl Future<Output = Outcome<Self>> + Send + use<> {
        self.another_after(std::future::ready(()))
    }

    /// The same, connected at once and logged in when `ready` is.
    pub(super) fn another_after<R: Future<Output = ()>>(
        &self,
        ready: R,
    ) -> impl Future<Output = Outcome<Self>> + use<R> {
        let site = Site { folder: None, ..self.site.clone() };
        let (context, folder) = (self.context.clone(), self.folder.clone());
        let (way, paces) = (self.way.for_another(), self.paces.clone());
        let mark = self.mark.clone();
        let haste = self.haste();
        async move {
            let line = call(&site, &context).await;
            ready.await;
            let line = line?;
            let opened =
                Self::open_alone(site.clone(), context.clone(), line, haste.as_ref()).await;
            let other = match opened {
                Err(fault) if haste.is_some() && !way.manners.may_log_in_hastily() => {
                    tracing::debug!(target: "portolan", "no login in one packet: {fault}");
                    let line = call(&site, &context).await?;
                    Self::open_alone(site, context, line, None).await?
                }
                opened => opened?,
            };
            Ok(Self { way, paces, mark, folder, ..other })
        }
    }

    /// How others may log in faster than this one did, if so.
    fn haste(&self) -> Option<Haste> {
        let manners = Arc::clone(&self.way.manners);
        manners.may_log_in_hastily().then(|| Haste { manners, ahead: self.port_command() })
    }

    /// What to send ahead of a transfer that follows, so that it has its port, where that is not done yet.
    pub(super) fn port_ahead(&self) -> Option<&'static str> {
        self.port_command().filter(|_| !self.control.has_ahead())
    }

    /// The command that names a port for the next transfer, where that is one without an argument.
    fn port_command(&self) -> Option<&'static str> {
        let first = self.way.ladder.steps().first().copied();
        (first == Some(Step::Epsv)).then_some("EPSV")
    }

    /// The next session with this server speaks TLS 1.2, since it does not take our TLS 1.3 data connections.
    pub(super) async fn renew_with_tls12(&mut self) -> Outcome<()> {
        self.site.trust.tls12_only = true;
        self.security = Security::of(&self.site)?;
        self.renew().await
    }

    /// A new connection in the place of the old one.
    pub(super) async fn renew(&mut self) -> Outcome<()> {
        // A server may wait for that before it has room for another.
        self.control.hang_up();
        let folder = self.server_folder.take();
        let logged_in = async {
            let line = control::dial(&self.site, &self.context.stop).await?;
            self.way.follow(&line);
            login::login(line, &self.site, self.security.as_ref(), &self.context, None).await
        };
        let logged_in = logged_in.await.map_err(|fault| fault.on(&self.site.host))?;
        self.control = logged_in.control;
        self.security = logged_in.security;
        // A command without a path may come next, and means the folder we were in.
        if let Some(folder) = folder {
            self.control.ask(&Command::path("CWD", &folder)).await?.done()?;
            self.server_folder = Some(folder);
        }
        Ok(())
    }
}

/// A connection with the server of `site`.
async fn call(site: &Site, context: &Context) -> Outcome<Line> {
    control::dial(site, &context.stop).await.map_err(|fault| fault.on(&site.host))
}

/// The login of a session, with what earlier runs knew of the server.
async fn first_login(
    site: &mut Site,
    context: &Context,
    mut line: Line,
    haste: Option<&Haste>,
) -> Outcome<(login::LoggedIn, Way)> {
    let security = Security::of(site)?;
    let mut way = Way::new(site, &line, context.memory.clone());
    if site.proxy.is_some() && site.mode == Mode::Active {
        let text = format!("{}: passive mode, since a proxy cannot carry active mode", site.host);
        context.observer.say_once(Level::Info, text);
    }
    let is_told_tls12 = way.known().is_some_and(|known| known.tls12_only);
    if is_told_tls12 && security.is_some() && !site.trust.tls12_only {
        site.trust.tls12_only = true;
        let tls12 = Security::of(site)?;
        match login::login(line, site, tls12.as_ref(), context, haste).await {
            // The server is not what it was: what is known of it must not be in the way.
            Err(fault) if fault.kind == Kind::Tls => {
                site.trust.tls12_only = false;
                line = control::dial(site, &context.stop).await?;
                way.forget();
            }
            result => return Ok((result?, way)),
        }
    }
    Ok((login::login(line, site, security.as_ref(), context, haste).await?, way))
}
