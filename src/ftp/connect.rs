//! Session setup: the first session with a server, further ones, and the replacement of a broken connection.

use std::sync::Arc;

use super::{
    context::RunContext,
    control::{self, DialedConnection, FtpCommand},
    data::method::DataMethod,
    data_path::DataPath,
    login::{self, PipelinedLogin},
    path_syntax::PathSyntax,
    profile::ServerProfile,
    race,
    session::Session,
    site::{Mode, Site},
    tls::TlsContext,
};
use crate::{
    error::{Error, ErrorKind, Result},
    observe::MessageLevel,
};

impl Session {
    /// Connects to `site` and logs in; in mode `race` it also determines the method that carries the data.
    pub async fn open(site: Site, context: RunContext) -> Result<Self> {
        site.check()?;
        let line = dial(&site, &context).await?;
        let session = Self::open_alone(site, context, line, Precedent::None).await?;
        if session.wants_race() { race::run(session).await } else { Ok(session) }
    }

    async fn open_alone(
        mut site: Site,
        context: RunContext,
        line: DialedConnection,
        precedent: Precedent<'_>,
    ) -> Result<Self> {
        let begun = first_login(&mut site, &context, line, precedent).await;
        let (
            login::LoggedIn { control, mut features, home, security, ours_there, syntax, is_plain },
            mut way,
        ) = begun.map_err(|fault| fault.with_host(&site.host))?;
        if is_plain {
            way.manners.record_plain_login();
        }
        // The server would take it for the name of a file.
        features.refuses_list_all =
            syntax == PathSyntax::Flat || way.known().is_some_and(|known| known.refuses_list_all);
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
            refused: Vec::new(),
            has_moved: false,
            folder,
            server_folder: None,
        };
        if session.site.folder.is_some() {
            let folder = session.folder.clone();
            session.visit(&folder).await?;
        }
        Ok(session)
    }

    /// Opens another session with the same server, in the current state of this one, for parallel work.
    pub fn open_sibling(&self) -> impl Future<Output = Result<Self>> + Send + use<> {
        self.open_sibling_after(std::future::ready(()))
    }

    /// Opens another session, connected at once and logged in once `ready` completes.
    pub(super) fn open_sibling_after<R: Future<Output = ()>>(
        &self,
        ready: R,
    ) -> impl Future<Output = Result<Self>> + use<R> {
        let site = Site { folder: None, ..self.site.clone() };
        let (context, folder) = (self.context.clone(), self.folder.clone());
        let (way, paces) = (self.way.for_another(), self.paces.clone());
        let mark = self.mark.clone();
        let (haste, manners) = (self.haste(), Arc::clone(&self.way.manners));
        async move {
            let line = dial(&site, &context).await;
            ready.await;
            let line = line?;
            let precedent = Precedent::Session(&manners, haste.as_ref());
            let opened = Self::open_alone(site.clone(), context.clone(), line, precedent).await;
            let other = match opened {
                Err(fault) if haste.is_some() && !way.manners.may_pipeline_login() => {
                    tracing::debug!(target: "portolan", "no login in one packet: {fault}");
                    let line = dial(&site, &context).await?;
                    Self::open_alone(site, context, line, Precedent::Session(&manners, None))
                        .await?
                }
                opened => opened?,
            };
            Ok(Self { way, paces, mark, folder, ..other })
        }
    }

    /// Returns the parameters of a pipelined login for further sessions, if the server supports it.
    fn haste(&self) -> Option<PipelinedLogin> {
        let manners = Arc::clone(&self.way.manners);
        manners.may_pipeline_login().then(|| PipelinedLogin { manners, ahead: self.port_command() })
    }

    /// Returns the command that fetches the port for the next transfer, if none is pipelined yet.
    pub(super) fn port_ahead(&self) -> Option<&'static str> {
        self.port_command().filter(|_| !self.control.has_ahead())
    }

    /// Returns the command that fetches a port for the next transfer, if it is one without an argument.
    fn port_command(&self) -> Option<&'static str> {
        let first = self.way.ladder.steps().first().copied();
        (first == Some(DataMethod::Epsv)).then_some("EPSV")
    }

    /// Reconnects with TLS 1.2, since this server does not accept our TLS 1.3 data connections.
    pub(super) async fn reconnect_with_tls12(&mut self) -> Result<()> {
        self.site.trust.tls12_only = true;
        self.security = TlsContext::of(&self.site)?;
        self.reconnect().await
    }

    /// Replaces the connection by a new one.
    pub(super) async fn reconnect(&mut self) -> Result<()> {
        // A server may wait for the close before it has room for another session.
        self.control.close_abruptly();
        let folder = self.server_folder.take();
        let logged_in = async {
            let line = dial(&self.site, &self.context).await?;
            self.way.follow(&line);
            let precedent = Precedent::Session(&self.way.manners, None);
            log_in(line, &self.site, self.security.as_ref(), &self.context, precedent).await
        };
        let logged_in = logged_in.await.map_err(|fault| fault.with_host(&self.site.host))?;
        self.control = logged_in.control;
        self.security = logged_in.security;
        // A command without a path may come next, and refers to the directory that was current before.
        if let Some(folder) = folder {
            self.control.ask(&FtpCommand::path("CWD", &folder)).await?.done()?;
            self.server_folder = Some(folder);
        }
        Ok(())
    }
}

/// Connects to the server of `site`.
async fn dial(site: &Site, context: &RunContext) -> Result<DialedConnection> {
    let last_address = context.answered.of(site).or(site.last_address);
    let site = &Site { last_address, ..site.clone() };
    let dialled = control::dial(site, context.memory.as_deref(), &context.stop).await;
    let line = dialled.map_err(|fault| fault.with_host(&site.host))?;
    if site.proxy.is_none() && site.detour.or(site.address).is_none() {
        context.answered.note(site, line.peer.ip());
    }
    Ok(line)
}

/// Logs in for a new session, using the server record of earlier runs.
async fn first_login(
    site: &mut Site,
    context: &RunContext,
    mut line: DialedConnection,
    precedent: Precedent<'_>,
) -> Result<(login::LoggedIn, DataPath)> {
    let security = TlsContext::of(site)?;
    let mut way = DataPath::new(site, &line, context.memory.clone());
    if let Precedent::Session(manners, _) = precedent {
        way.manners = Arc::clone(manners);
    }
    let manners = Arc::clone(&way.manners);
    let precedent = Precedent::Session(&manners, precedent.haste());
    if site.proxy.is_some() && site.mode == Mode::Active {
        let text = format!("{}: passive mode, since a proxy cannot carry active mode", site.host);
        context.observer.message_once(MessageLevel::Info, text);
    }
    let is_told_tls12 = way.known().is_some_and(|known| known.tls12_only);
    if is_told_tls12 && security.is_some() && !site.trust.tls12_only {
        site.trust.tls12_only = true;
        let tls12 = TlsContext::of(site)?;
        match log_in(line, site, tls12.as_ref(), context, precedent).await {
            // The server has changed: its old record must not interfere.
            Err(fault) if fault.kind == ErrorKind::Tls => {
                site.trust.tls12_only = false;
                line = dial(site, context).await?;
                way.forget();
            }
            result => return Ok((result?, way)),
        }
    }
    Ok((log_in(line, site, security.as_ref(), context, precedent).await?, way))
}

/// The experience of other sessions with the same server.
#[derive(Debug, Clone, Copy)]
enum Precedent<'a> {
    /// There is no other session.
    None,
    /// The observations of the server; and a pipelined login, if it supports that.
    Session(&'a Arc<ServerProfile>, Option<&'a PipelinedLogin>),
}

impl<'a> Precedent<'a> {
    const fn haste(self) -> Option<&'a PipelinedLogin> {
        match self {
            Self::None => None,
            Self::Session(_, haste) => haste,
        }
    }
}

/// Returns true if a login may have failed because its commands shared a packet.
const fn is_of_packet(fault: &Error) -> bool {
    fault.code == 0
        && matches!(fault.kind, ErrorKind::Timeout | ErrorKind::Unreachable | ErrorKind::Protocol)
}

/// Logs in; and again with one command at a time, if the first login has shown that the server requires that.
async fn log_in(
    line: DialedConnection,
    site: &Site,
    security: Option<&TlsContext>,
    context: &RunContext,
    precedent: Precedent<'_>,
) -> Result<login::LoggedIn> {
    let pipelining = match precedent {
        Precedent::None => Arc::default(),
        Precedent::Session(manners, _) => Arc::clone(&manners.pipelining),
    };
    let was_off = pipelining.is_off();
    // Boxed: otherwise it would be stored twice in the future of everything that may need a new connection.
    let haste = precedent.haste();
    let logged_in = Box::pin(login::login(line, site, security, context, haste, &pipelining)).await;
    match logged_in {
        Err(fault) if pipelining.is_off() && !was_off && is_of_packet(&fault) => {
            tracing::debug!(target: "portolan", "one command at a time from now on: {fault}");
            let line = dial(site, context).await?;
            Box::pin(login::login(line, site, security, context, None, &pipelining)).await
        }
        logged_in => logged_in,
    }
}
