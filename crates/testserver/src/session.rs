//! The session of one client: its commands in order, and the state between them.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use rustls::ServerConfig;
use tokio::{net::TcpStream, time::timeout};

use super::{
    account::{DataProtection, Who},
    command::{ClientCommand, is_public, needs_argument},
    control::{ClientConnection, ReceivedLine},
    data::DataPort,
    effect::{CommandEffect, Effect, When},
    listing::FactSelection,
    plan::Scene,
    reply::{CommandResult, ServerReply},
    root::ServedPath,
    server::ServerShared,
    stream::Stream,
};
use portolan_proto::{ReplyCode, Verb};

/// The step after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The session continues with the next command.
    Command,
    /// The session ends.
    Close,
}

/// The session of one client.
#[derive(Debug)]
pub(super) struct ClientSession {
    pub(super) control: ClientConnection,
    pub(super) stage: Arc<ServerShared>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// The TLS configuration of this control connection and its data connections.
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) who: Who,
    pub(super) protection: DataProtection,
    pub(super) folder: ServedPath,
    pub(super) facts: FactSelection,
    /// True if transfers convert line ends (`TYPE A`), the default until the client sends `TYPE I`.
    pub(super) converts: bool,
    /// The offset at which the next transfer begins (`REST`).
    pub(super) restart: u64,
    /// The path that the next `RNTO` renames.
    pub(super) renaming: Option<ServedPath>,
    /// The origin of the next data connection.
    pub(super) port: DataPort,
    /// Set once the client has promised to use nothing but `EPSV` (`EPSV ALL`).
    pub(super) extended_only: bool,
    /// Set if a transfer has already handled the `ABOR` that comes next.
    pub(super) aborted: bool,
    /// The final reply of the next successful transfer, if it is not the usual one.
    pub(super) closing: Option<&'static str>,
}

impl ClientSession {
    /// Serves a client until either side ends the session.
    pub(super) async fn serve(
        socket: TcpStream,
        peer: SocketAddr,
        stage: Arc<ServerShared>,
        number: usize,
    ) {
        let Ok(local) = socket.local_addr() else { return };
        // Sends small packets at once: a reply must not wait for the acknowledgement of the one before.
        drop(socket.set_nodelay(true));
        let mut session = Self {
            control: ClientConnection::new(Stream::Plain(socket), Arc::clone(&stage), number),
            peer,
            local,
            tls: stage.identity.as_ref().map(super::certificate::ServerIdentity::config),
            who: Who::LoggedOut,
            protection: DataProtection::None,
            folder: ServedPath::root(),
            facts: FactSelection::all(),
            converts: !stage.plans.have(&Effect::Binary),
            restart: 0,
            renaming: None,
            port: DataPort::Closed,
            extended_only: false,
            aborted: false,
            closing: None,
            stage,
        };
        // Errors of the control connection are not reported: the client has gone.
        if session.converse().await.is_ok() {
            session.control.close().await;
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        if let (true, Some(config)) = (self.stage.tls_first(), &self.tls) {
            self.control.secure(Arc::clone(config)).await?;
        }
        let mut next = self.greet().await?;
        while next == Next::Command {
            next = match timeout(self.stage.setup.idle_timeout, self.control.line()).await {
                Ok(line) => self.hear(line?).await?,
                Err(_) => self.control.send(b"421 Timeout.\r\n").await.map(|()| Next::Close)?,
            };
        }
        Ok(())
    }

    async fn greet(&mut self) -> io::Result<Next> {
        let scene = Scene::of(Verb::Greeting);
        match self.instead(&scene) {
            Some(act) => self.control.act(scene.verb, act).await,
            None => {
                self.say(&scene, ServerReply::new(ReplyCode::READY, "portolan rehearsal ready."))
                    .await
            }
        }
    }

    async fn hear(&mut self, line: ReceivedLine) -> io::Result<Next> {
        match line {
            ReceivedLine::End => Ok(Next::Close),
            ReceivedLine::TooLong => {
                self.say(
                    &Scene::of(Verb::Other),
                    ServerReply::new(ReplyCode::UNKNOWN_COMMAND, "Command line too long."),
                )
                .await
            }
            ReceivedLine::Whole(line) => {
                let command = ClientCommand::parse(&line);
                let names_port = matches!(command.verb, Verb::Port | Verb::Eprt);
                if names_port && self.stage.plans.have(&Effect::Overtaken) {
                    return self.be_overtaken(&command).await;
                }
                self.obey(&command).await
            }
        }
    }

    /// Executes PORT or EPRT after a download that has arrived with it, whose data is not sent.
    async fn be_overtaken(&mut self, port: &ClientCommand) -> io::Result<Next> {
        let Some(ReceivedLine::Whole(line)) = self.control.take_line() else {
            return self.obey(port).await;
        };
        let next = ClientCommand::parse(&line);
        if matches!(next.verb, Verb::Retr | Verb::List | Verb::Mlsd | Verb::Nlst) {
            let opening = ServerReply::new(ReplyCode::OPENING_DATA, "File status okay.");
            self.say(&Scene::of(next.verb), opening).await?;
            let next = self.obey(port).await?;
            self.port = DataPort::Closed;
            return Ok(next);
        }
        match self.obey(port).await? {
            Next::Command => self.obey(&next).await,
            Next::Close => Ok(Next::Close),
        }
    }

    async fn obey(&mut self, command: &ClientCommand) -> io::Result<Next> {
        let asked = command.path().map(|path| self.place(path)).transpose();
        let place = asked.as_ref().ok().cloned().flatten();
        let scene = Scene {
            verb: command.verb,
            path: place.as_ref(),
            active: matches!(self.port, DataPort::Calling(_)),
            name_taken: place.as_ref().is_some_and(|place| self.is_taken(place)),
        };
        if let Some(act) = self.instead(&scene) {
            if scene.verb.is_transfer() {
                self.port = DataPort::Closed;
            }
            return self.control.act(scene.verb, act).await;
        }
        if let Some(refusal) = self.refusal(&scene, command) {
            return self.say(&scene, refusal).await;
        }
        let place = match &asked {
            Ok(place) => place.clone().unwrap_or_else(|| self.folder.clone()),
            Err(refusal) => return self.say(&scene, refusal.clone()).await,
        };
        match command.verb {
            Verb::Quit => {
                self.stage.farewells.fetch_add(1, Ordering::Relaxed);
                self.say(&scene, ServerReply::new(ReplyCode::CLOSING_CONTROL, "Goodbye.")).await?;
                Ok(Next::Close)
            }
            Verb::Auth => self.begin_tls(&scene, command).await,
            Verb::Mlsd | Verb::List | Verb::Nlst => self.list(&scene, &place, command).await,
            Verb::Retr => self.retrieve(&scene, &place).await,
            Verb::Stor | Verb::Appe => self.store(&scene, &place).await,
            _ => {
                let reply = self.answer(command, &place).unwrap_or_else(|refusal| refusal);
                self.say(&scene, reply).await
            }
        }
    }

    /// Returns the served path that the path of a command refers to.
    fn place(&self, path: &[u8]) -> Result<ServedPath, ServerReply> {
        let stage = &self.stage;
        let place = stage.syntax.place(&self.folder, path)?;
        let refusal = place.names().iter().find_map(|name| stage.root.refusal(name));
        refusal.map_or(Ok(place), Err)
    }

    /// Executes a command that is answered by a single reply.
    fn answer(&mut self, command: &ClientCommand, place: &ServedPath) -> CommandResult {
        match command.verb {
            Verb::User => self.user(&command.text()),
            Verb::Pass => self.password(&command.text()),
            Verb::Acct => self.account(&command.text()),
            Verb::Pbsz => self.buffer_size(),
            Verb::Prot => self.protect(&command.text()),
            Verb::Feat => Ok(self.features()),
            Verb::Opts => self.options(&command.text()),
            Verb::Type => self.representation(&command.text()),
            Verb::Mode => only(&command.text(), "S"),
            Verb::Stru => only(&command.text(), "F"),
            Verb::Syst => Ok(self.stage.syntax.system()),
            Verb::Noop => Ok(ServerReply::new(ReplyCode::OKAY, "NOOP ok.")),
            Verb::Help => Ok(self.help()),
            Verb::Rest => self.restart_at(&command.text()),
            Verb::Abor => Ok(self.abort()),
            Verb::Pwd => Ok(self.current_folder()),
            Verb::Cwd => self.enter(place),
            Verb::Cdup => self.enter(&self.folder.parent()),
            Verb::Mkd => self.make_folder(place),
            Verb::Rmd => self.remove_folder(place),
            Verb::Dele => self.delete(place),
            Verb::Rnfr => self.rename_from(place),
            Verb::Rnto => self.rename_to(place),
            Verb::Size => self.size(place),
            Verb::Mdtm => self.modified(place),
            Verb::Mfmt => self.set_modified(command, place),
            Verb::Hash => self.hash(place),
            Verb::Site => self.site(command, place),
            Verb::Mlst => self.facts_of(place),
            Verb::Stat => self.status(place, command),
            Verb::Pasv | Verb::Epsv => self.listen(command),
            Verb::Port | Verb::Eprt => self.call(command),
            _ => Err(ServerReply::new(ReplyCode::UNKNOWN_COMMAND, "Unknown command.")),
        }
    }

    /// Returns the reply to a command that cannot be executed whatever its argument.
    fn refusal(&self, scene: &Scene<'_>, command: &ClientCommand) -> Option<ServerReply> {
        let verb = command.verb;
        let missing = |effect: &Effect| (*effect == Effect::Missing(verb)).then_some(());
        if self.stage.plans.first(scene, missing).is_some() || self.is_missing(verb) {
            return Some(ServerReply::new(ReplyCode::UNKNOWN_COMMAND, "Unknown command."));
        }
        if !is_public(verb) && self.who != Who::Known {
            return Some(ServerReply::new(
                ReplyCode::NOT_LOGGED_IN,
                "Please login with USER and PASS.",
            ));
        }
        let empty = needs_argument(verb) && command.argument.is_empty();
        empty.then(|| ServerReply::new(ReplyCode::BAD_ARGUMENT, "An argument is missing."))
    }

    /// Returns true if the server does not have a command, whatever its argument.
    pub(super) fn is_missing(&self, verb: Verb) -> bool {
        let tls_only = matches!(verb, Verb::Auth | Verb::Pbsz | Verb::Prot);
        verb == Verb::Other
            || tls_only && self.tls.is_none()
            || self.stage.setup.without.contains(&verb)
            || self.stage.plans.miss(verb)
    }

    /// Returns the action that a plan puts in place of a command.
    fn instead(&self, scene: &Scene<'_>) -> Option<CommandEffect> {
        self.stage.plans.first(scene, |effect| match effect {
            Effect::HangUpAt(at) if *at == self.control.heard => Some(CommandEffect::Close),
            Effect::Instead { to, when, act } if to.contains(&scene.verb) => {
                let now = match when {
                    When::Always => true,
                    When::Active => scene.active,
                    When::NameTaken => scene.name_taken,
                    When::Hidden => scene.path.is_some_and(|place| place.name().starts_with(b".")),
                };
                now.then(|| act.clone())
            }
            _ => None,
        })
    }

    /// Sends a reply, after which the next command is read.
    pub(super) async fn say(&mut self, scene: &Scene<'_>, reply: ServerReply) -> io::Result<Next> {
        self.control.reply(scene, reply).await?;
        Ok(Next::Command)
    }
}

/// Executes `MODE` or `STRU`, for which clients use only one value.
fn only(given: &str, known: &str) -> CommandResult {
    if given.eq_ignore_ascii_case(known) {
        return Ok(ServerReply::new(ReplyCode::OKAY, format!("Set to {known}.")));
    }
    Err(ServerReply::new(ReplyCode::NOT_IMPLEMENTED_FOR, format!("Only {known} is known.")))
}
