//! Session setup: the first session with a server, further ones, and the replacement of a broken connection.

use super::{
    context::RunContext,
    control::{self, DialedConnection, FtpCommand},
    data::method::DataMethod,
    data_path::DataPath,
    list_command::ListCommand,
    login::{self, PipelinedLogin, is_anonymous},
    path_syntax::PathSyntax,
    profile::ServerProfile,
    race,
    reply::CausedByReply as _,
    session::Session,
    site::{Mode, ProxyOrigin, Site, TlsMode},
    tls::{TlsContext, TlsVersions},
};
use portolan_core::{
    error::{
        Error, ErrorKind, Result,
        codes::{LOGIN_TOO_MANY_SESSIONS, TLS_NOT_OFFERED},
    },
    limits::{RECONNECT_WAITS, RECONNECT_WAITS_ALONE},
    observe::MessageLevel,
};
use portolan_proto::{ReplyCode, Verb};

/// Names the variable that has led to the proxy of a failed connection.
fn by_way(error: Error, site: &Site) -> Error {
    let ProxyOrigin::Environment(variable) = site.proxy_origin else { return error };
    let message = format!(
        "{} (by way of the proxy that {variable} names; `no_proxy` and `--set proxy=none` go without)",
        error.message
    );
    Error { message, ..error }
}

impl Session {
    /// Connects to `site` and logs in; in mode `race` it also determines the method that carries the data.
    pub fn open(
        site: Site,
        context: RunContext,
    ) -> impl Future<Output = Result<Self>> + Send + use<> {
        // Boxed: site and context would be stored in the future of every caller.
        Box::pin(async move {
            site.check()?;
            if site.tls_if_offered {
                Self::open_if_offered(site, context).await
            } else {
                Self::open_as(site, context).await
            }
        })
    }

    /// Connects with TLS if the server offers it, and without it only if no earlier session had it.
    async fn open_if_offered(site: Site, context: RunContext) -> Result<Self> {
        let site = Site { tls_if_offered: false, ..site };
        let protected = Self::open_as(site.clone(), context.clone());
        let error = match Box::pin(protected).await {
            Err(error) if error.name == Some(TLS_NOT_OFFERED) => error,
            opened => return opened,
        };
        let memory = context.memory.as_ref();
        if memory.is_some_and(|memory| memory.has_used_tls(&site.host, site.port)) {
            let message = format!(
                "{}; an earlier session with it was protected, and `tls: \"if_offered\"` does not go back",
                error.message
            );
            return Err(Error { message, ..error });
        }
        if !refuses_tls(&site, &context).await? {
            return Err(error);
        }
        let text = format!("{}: the server offers no TLS: this session is without", site.host);
        context.observer.message_once(MessageLevel::Info, text);
        let site = Site { tls: TlsMode::Off, ..site };
        Box::pin(Self::open_as(site, context)).await
    }

    async fn open_as(site: Site, context: RunContext) -> Result<Self> {
        let line = dial(&site, &context).await.map_err(|error| by_way(error, &site))?;
        let mut path = DataPath::new(&site, &line, context.memory.clone());
        if let (Some(proxy), ProxyOrigin::Environment(variable)) = (&site.proxy, site.proxy_origin)
        {
            let text = format!(
                "{}: by way of the proxy {proxy}, which the environment variable {variable} names",
                site.host
            );
            context.observer.message_once(MessageLevel::Info, text);
        }
        if site.proxy.is_some() && site.mode == Mode::Active {
            let text =
                format!("{}: passive mode, since a proxy cannot carry active mode", site.host);
            context.observer.message_once(MessageLevel::Info, text);
        }
        let is_limited = path.profile.tls_versions() == TlsVersions::Only12
            && !site.trust.tls12_only
            && site.tls != TlsMode::Off;
        // The login of an earlier run has shown that it can be sent in one packet.
        let has_password = site.password.is_some() || is_anonymous(&site.user);
        let may_pipeline = has_password && path.profile.may_pipeline_login();
        let whole = may_pipeline.then_some(PipelinedLogin { ahead: None });
        // Boxed: otherwise it would be stored twice in the future of every caller.
        let (here, run) = (site.clone(), context.clone());
        let first = Self::open_over(line, here, run, path.clone(), whole.as_ref());
        let session = match Box::pin(first).await {
            Err(error) if whole.is_some() && !path.profile.may_pipeline_login() => {
                tracing::debug!(target: "portolan", "no login in one packet: {error}");
                let line = dial(&site, &context).await?;
                Box::pin(Self::open_over(line, site, context, path, None)).await?
            }
            // The server has changed: its old record must not interfere.
            Err(error) if is_limited && error.kind == ErrorKind::Tls => {
                path.forget();
                let line = dial(&site, &context).await?;
                Box::pin(Self::open_over(line, site, context, path, None)).await?
            }
            opened => opened?,
        };
        if session.wants_race() { race::run(session).await } else { Ok(session) }
    }

    /// Logs in over `line`.
    async fn open_over(
        line: DialedConnection,
        site: Site,
        context: RunContext,
        mut data_path: DataPath,
        pipelined: Option<&PipelinedLogin>,
    ) -> Result<Self> {
        let logged_in = async {
            let security = TlsContext::of(&site, data_path.profile.tls_versions())?;
            log_in(line, &site, security.as_ref(), &context, &data_path.profile, pipelined).await
        };
        let login::LoggedIn { control, features, home, security, ours_there, syntax, is_plain } =
            logged_in.await.map_err(|error| error.with_host(&site.host))?;
        if is_plain {
            data_path.profile.record_plain_login(true);
        }
        if features.is_pyftpdlib() {
            data_path.profile.disable(Verb::Stor);
            data_path.profile.record_separate_ports();
        }
        if syntax == PathSyntax::Flat {
            // The server would take the option for the name of a file.
            data_path.profile.record_listing(ListCommand::ListAll, false);
        }
        data_path.hear(ours_there);
        let folder = match &site.folder {
            Some(folder) => home.resolve(folder)?,
            None => home,
        };
        let folder = folder.in_encoding(site.encoding);
        let host_pace = site.rate_limit.map(|rate| context.paces.of_host(&site.host, rate));
        let mut session = Self {
            site,
            context,
            control,
            features,
            security,
            data_path,
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
    pub(crate) fn open_sibling(&self) -> impl Future<Output = Result<Self>> + Send + use<> {
        self.open_sibling_after(std::future::ready(()))
    }

    /// Opens another session, connected at once and logged in once `ready` completes.
    pub(super) fn open_sibling_after<R: Future<Output = ()>>(
        &self,
        ready: R,
    ) -> impl Future<Output = Result<Self>> + use<R> {
        let site = Site { folder: None, ..self.site.clone() };
        let (context, folder) = (self.context.clone(), self.folder.clone());
        let (data_path, paces) = (self.data_path.for_another(), self.paces.clone());
        let (mark, pipelined) = (self.mark.clone(), self.pipelined_login());
        async move {
            let line = dial(&site, &context).await;
            ready.await;
            let (again, run, path) = (site.clone(), context.clone(), data_path.clone());
            let first = Self::open_over(line?, again, run, path, pipelined.as_ref());
            let other = match Box::pin(first).await {
                Err(error) if pipelined.is_some() && !data_path.profile.may_pipeline_login() => {
                    tracing::debug!(target: "portolan", "no login in one packet: {error}");
                    let line = dial(&site, &context).await?;
                    Box::pin(Self::open_over(line, site, context, data_path, None)).await?
                }
                opened => opened?,
            };
            Ok(Self { paces, mark, folder, ..other })
        }
    }

    /// Returns the parameters of a pipelined login for further sessions, if the server supports it.
    fn pipelined_login(&self) -> Option<PipelinedLogin> {
        let may_pipeline = self.data_path.profile.may_pipeline_login();
        may_pipeline.then(|| PipelinedLogin { ahead: self.port_command() })
    }

    /// Returns the command that fetches the port for the next transfer, if none is pipelined yet.
    pub(super) fn port_ahead(&self) -> Option<Verb> {
        self.port_command().filter(|_| !self.control.has_ahead())
    }

    /// Returns the command that fetches a port for the next transfer, if it is one without an argument.
    fn port_command(&self) -> Option<Verb> {
        let first = self.data_path.fallback_order.steps().first().copied();
        (first == Some(DataMethod::Epsv)).then_some(Verb::Epsv)
    }

    /// Reconnects with TLS 1.2, since this server does not accept our TLS 1.3 data connections.
    pub(super) async fn reconnect_with_tls12(&mut self) -> Result<()> {
        self.data_path.profile.require_tls12();
        self.security = TlsContext::of(&self.site, TlsVersions::Only12)?;
        self.reconnect().await
    }

    /// Logs in again. A server that accepts no further session may not have noticed yet that the last one has ended: it
    /// is asked again after short waits, during which other sessions of the run are asked to give way.
    async fn log_in_again(&mut self) -> Result<login::LoggedIn> {
        let profile = self.data_path.profile.clone();
        let mut waits = RECONNECT_WAITS.into_iter().enumerate();
        let mut request = None;
        loop {
            let logged_in = async {
                let line = dial(&self.site, &self.context).await?;
                self.data_path.follow(&line);
                let security = self.security.as_ref();
                log_in(line, &self.site, security, &self.context, &profile, None).await
            };
            let error = match logged_in.await {
                Err(error) if is_refused_session(&error) => error,
                ended => return ended.map_err(|error| error.with_host(&self.site.host)),
            };
            let Some((count, wait)) = waits.next() else {
                return Err(error.with_name(LOGIN_TOO_MANY_SESSIONS).with_host(&self.site.host));
            };
            if count >= RECONNECT_WAITS_ALONE && request.is_none() {
                request = Some(profile.request_slot());
            }
            self.context.stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
        }
    }

    /// Replaces the connection by a new one.
    pub(super) async fn reconnect(&mut self) -> Result<()> {
        // A server may wait for the close before it has room for another session.
        self.control.close_abruptly();
        let folder = self.server_folder.take();
        let logged_in = self.log_in_again().await?;
        self.control = logged_in.control;
        self.security = logged_in.security;
        // A command without a path may come next, and refers to the directory that was current before.
        if let Some(folder) = folder {
            self.control.ask(&FtpCommand::path(Verb::Cwd, &folder)).await?.done()?;
            self.server_folder = Some(folder);
        }
        Ok(())
    }
}

/// Returns true if the server answers AUTH with a permanent refusal, on a connection of its own.
async fn refuses_tls(site: &Site, context: &RunContext) -> Result<bool> {
    let line = dial(site, context).await?;
    let (mut control, greeting) =
        control::ControlConnection::greeted(line, site, None, &context.stop).await?;
    if !greeting.is_done() {
        return Err(greeting.fault());
    }
    let reply = control.ask(&FtpCommand::with(Verb::Auth, "TLS")).await?;
    control.close_abruptly();
    Ok(reply.code.is_permanent())
}

/// Connects to the server of `site`.
async fn dial(site: &Site, context: &RunContext) -> Result<DialedConnection> {
    let last_address = context.answered.of(site).or(site.last_address);
    let site = &Site { last_address, ..site.clone() };
    let dialled = control::dial(site, context.memory.as_deref(), context).await;
    let line = dialled.map_err(|error| error.with_host(&site.host))?;
    if site.proxy.is_none() && site.detour.or(site.address).is_none() {
        context.answered.note(site, line.peer.ip());
    }
    Ok(line)
}

/// Returns true if a login failed because the server accepts no further session now.
fn is_refused_session(error: &Error) -> bool {
    error.name == Some(LOGIN_TOO_MANY_SESSIONS)
        || (error.name.is_none() && error.reply_code() == ReplyCode::SERVICE_UNAVAILABLE)
}

/// Returns true if a login may have failed because its commands shared a packet.
const fn is_of_packet(error: &Error) -> bool {
    error.code == 0
        && matches!(error.kind, ErrorKind::Timeout | ErrorKind::Unreachable | ErrorKind::Protocol)
}

/// Logs in; and again with one command at a time, if the first login has shown that the server requires that.
async fn log_in(
    line: DialedConnection,
    site: &Site,
    security: Option<&TlsContext>,
    context: &RunContext,
    profile: &ServerProfile,
    pipelined: Option<&PipelinedLogin>,
) -> Result<login::LoggedIn> {
    let was_off = profile.pipelining().is_off();
    // Boxed: otherwise it would be stored twice in the future of everything that may need a new connection.
    let logged_in = Box::pin(login::login(line, site, security, context, pipelined, profile)).await;
    match logged_in {
        Err(error) if profile.pipelining().is_off() && !was_off && is_of_packet(&error) => {
            tracing::debug!(target: "portolan", "one command at a time from now on: {error}");
            let line = dial(site, context).await?;
            Box::pin(login::login(line, site, security, context, None, profile)).await
        }
        logged_in => logged_in,
    }
}
