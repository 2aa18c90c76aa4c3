//! `RETR`, `STOR`, `APPE`, and the common parts of all commands with a data connection.

use std::{
    fs::{File, OpenOptions},
    future::Future,
    io::{self, Seek, SeekFrom},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    account::DataProtection,
    control::{Interruption, LATE},
    data::DataPort,
    effect::{ActiveModeFault, Effect, Ending},
    flow::Flow,
    plan::Scene,
    reply::ServerReply,
    root::ServedPath,
    server::ServerShared,
    session::{ClientSession, Next},
    source::ByteStream,
    stream::Stream,
};
use portolan_core::limits::REPLY_TIMEOUT;
use portolan_proto::{ReplyCode, Verb};

/// The delay of the second copy of a final reply.
const AGAIN: Duration = Duration::from_millis(50);

/// The content of a data connection.
pub(super) enum Cargo {
    /// Bytes sent to the client.
    Out(ByteStream),
    /// Bytes received from the client and written to this file.
    In {
        /// The file, positioned at the start of the transfer.
        file: File,
        /// True if line ends are converted.
        converts: bool,
    },
}

impl Cargo {
    /// Returns the lines of a listing, each with its line end.
    pub(super) fn text(lines: &[Vec<u8>]) -> Self {
        let mut text = lines.join(&b"\r\n"[..]);
        if !lines.is_empty() {
            text.extend_from_slice(b"\r\n");
        }
        Self::Out(ByteStream::bytes(text))
    }

    /// Returns the 150. Clients parse the size out of it, as they do with real servers.
    fn announcement(&self, code: ReplyCode, scene: &Scene<'_>) -> ServerReply {
        match (self, scene.verb, scene.path) {
            (Self::Out(source), Verb::Retr, Some(place)) => {
                let size = format!(" ({} bytes).", source.size);
                let opening = b"Opening data connection for ".as_slice();
                ServerReply::new(code, [opening, place.name(), size.as_bytes()].concat())
            }
            _ => ServerReply::new(code, "Ok to send data."),
        }
    }

    async fn carry(self, stream: Stream, flow: &Flow) -> Result<(), ServerReply> {
        match self {
            Self::Out(source) => flow.send(stream, source).await,
            Self::In { file, converts } => flow.receive(stream, file, converts).await,
        }
    }
}

impl ClientSession {
    /// Executes `RETR`.
    pub(super) async fn retrieve(
        &mut self,
        scene: &Scene<'_>,
        place: &ServedPath,
    ) -> io::Result<Next> {
        let is_rewritten = |effect: &Effect| (*effect == Effect::Rewritten).then_some(());
        let is_rewritten = self.stage.plans.first(scene, is_rewritten).is_some();
        let cargo = self.file_to_send(place, is_rewritten);
        self.transfer_if(scene, cargo).await
    }

    /// Executes `STOR` or `APPE`.
    pub(super) async fn store(
        &mut self,
        scene: &Scene<'_>,
        place: &ServedPath,
    ) -> io::Result<Next> {
        let cargo = self.file_to_store(scene.verb, place);
        self.transfer_if(scene, cargo).await
    }

    async fn transfer_if(
        &mut self,
        scene: &Scene<'_>,
        cargo: Result<Cargo, ServerReply>,
    ) -> io::Result<Next> {
        match cargo {
            Ok(cargo) => self.transfer(scene, cargo).await,
            Err(refusal) => {
                self.port.close();
                self.say(scene, refusal).await
            }
        }
    }

    fn file_to_send(
        &mut self,
        place: &ServedPath,
        is_rewritten: bool,
    ) -> Result<Cargo, ServerReply> {
        let start = std::mem::take(&mut self.restart);
        let path = self.file(place)?;
        let mut file = File::open(&path)?;
        let size = file.metadata()?.len();
        if start > size {
            return Err(ServerReply::new(
                ReplyCode::BAD_RESTART,
                "The restart position is behind the end of the file.",
            ));
        }
        file.seek(SeekFrom::Start(start))?;
        if is_rewritten {
            return Ok(Cargo::Out(ByteStream::rewritten(file, path, size - start)));
        }
        Ok(Cargo::Out(ByteStream::file(file, size - start, self.converts)))
    }

    /// Opens the named file itself, as real servers do: a broken upload leaves a short file.
    fn file_to_store(&mut self, verb: Verb, place: &ServedPath) -> Result<Cargo, ServerReply> {
        let start = std::mem::take(&mut self.restart);
        if matches!(self.port, DataPort::Closed) {
            return Err(no_port());
        }
        self.may_change(place)?;
        if self.stage.plans.have(&Effect::SizeLater) {
            let mut fresh = self.stage.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.insert(place.clone());
        }
        let path = self.stage.root.writable(place)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        if verb == Verb::Appe {
            file.seek(SeekFrom::End(0))?;
        } else {
            file.set_len(start)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Cargo::In { file, converts: self.converts })
    }

    /// Performs a transfer, from the 150 to the final reply.
    pub(super) async fn transfer(&mut self, scene: &Scene<'_>, cargo: Cargo) -> io::Result<Next> {
        let port = std::mem::replace(&mut self.port, DataPort::Closed);
        if matches!(port, DataPort::Closed) {
            return self.say(scene, no_port()).await;
        }
        if self.stage.tls_required() && self.protection != DataProtection::Private {
            let refusal = ServerReply::new(
                ReplyCode::BAD_PROTECTION_LEVEL,
                "Data connections must be encrypted.",
            );
            return self.say(scene, refusal).await;
        }
        let stage = Arc::clone(&self.stage);
        let ending = stage.plans.first(scene, |effect| match effect {
            Effect::Final(verbs, ending) if verbs.contains(&scene.verb) => Some(ending.clone()),
            _ => None,
        });
        let is_125 = |effect: &Effect| {
            (*effect == Effect::Begins125).then_some(ReplyCode::DATA_ALREADY_OPEN)
        };
        let code = stage.plans.first(scene, is_125).unwrap_or(ReplyCode::OPENING_DATA);
        let mut beginning = cargo.announcement(code, scene);
        if ending == Some(Ending::Early) {
            beginning = beginning.then(&complete());
        }
        let done = match self.open(scene, &port, beginning).await? {
            DataResult::Stream(stream) => {
                let flow = Flow::new(stage.bends(scene));
                self.watch(cargo.carry(stream, &flow)).await
            }
            DataResult::Refused(reply) => Ok(Err(reply)),
            DataResult::Silent => return Ok(Next::Command),
            DataResult::Interrupted(why) => Err(why),
        };
        match done {
            Ok(Ok(())) => self.finish(scene, ending).await,
            Ok(Err(failure)) => self.say(scene, failure).await,
            Err(Interruption::Gone) => Ok(Next::Close),
            Err(Interruption::Abort) => {
                self.aborted = true;
                self.say(scene, ServerReply::new(ReplyCode::TRANSFER_ABORTED, "Transfer aborted."))
                    .await
            }
        }
    }

    /// Opens the data connection: in active mode after the 150, in passive mode before it.
    async fn open(
        &mut self,
        scene: &Scene<'_>,
        port: &DataPort,
        beginning: ServerReply,
    ) -> io::Result<DataResult> {
        let stage = Arc::clone(&self.stage);
        let trouble = stage.plans.first(scene, |effect| match effect {
            Effect::Active(trouble) if scene.active => Some(*trouble),
            _ => None,
        });
        if scene.active {
            self.control.begin(beginning.clone()).await?;
        }
        match trouble {
            Some(ActiveModeFault::Silent) => return Ok(DataResult::Silent),
            Some(ActiveModeFault::Late425) => return Ok(DataResult::Refused(no_connection())),
            Some(ActiveModeFault::Stranger | ActiveModeFault::Late(_)) | None => {}
        }
        let (local, peer) = (self.local.ip(), self.peer.ip());
        let opening = timeout(stage.setup.open_timeout, async {
            let _stranger = match trouble {
                Some(ActiveModeFault::Stranger) => port.let_stranger_call().await?,
                Some(ActiveModeFault::Late(ms)) => {
                    sleep(Duration::from_millis(ms)).await;
                    None
                }
                _ => None,
            };
            port.open(local, peer).await
        });
        let socket = match self.watch(opening).await {
            Ok(Ok(Ok(socket))) => socket,
            Ok(_) => return Ok(DataResult::Refused(no_connection())),
            Err(why) => return Ok(DataResult::Interrupted(why)),
        };
        if !scene.active {
            self.control.begin(beginning).await?;
        }
        self.protected(scene, Stream::Plain(socket)).await
    }

    /// Starts TLS on the connection, if the client has asked for it.
    async fn protected(&mut self, scene: &Scene<'_>, stream: Stream) -> io::Result<DataResult> {
        let config = self.tls.clone().filter(|_| self.protection == DataProtection::Private);
        let Some(config) = config else { return Ok(DataResult::Stream(stream)) };
        let stream = match self.watch(timeout(REPLY_TIMEOUT, stream.secure(config))).await {
            Ok(Ok(Ok(stream))) => stream,
            Ok(_) => {
                return Ok(DataResult::Refused(ServerReply::new(
                    ReplyCode::CANNOT_OPEN_DATA,
                    "TLS negotiation failed.",
                )));
            }
            Err(why) => return Ok(DataResult::Interrupted(why)),
        };
        let strict = |effect: &Effect| (*effect == Effect::ReuseTls).then_some(());
        if !stream.is_resumed() && self.stage.plans.first(scene, strict).is_some() {
            let text = "SSL connection failed: session reuse required.";
            return Ok(DataResult::Refused(ServerReply::new(ReplyCode::PROTOCOL_REFUSED, text)));
        }
        Ok(DataResult::Stream(stream))
    }

    /// Sends the final reply of a successful transfer, altered by `ending`.
    async fn finish(&mut self, scene: &Scene<'_>, ending: Option<Ending>) -> io::Result<Next> {
        match ending {
            None => {
                let closing = self.closing.take();
                self.say(
                    scene,
                    closing.map_or_else(complete, |text| {
                        ServerReply::new(ReplyCode::TRANSFER_COMPLETE, text)
                    }),
                )
                .await
            }
            Some(Ending::Say(line)) => {
                self.say(scene, ServerReply::exactly(format!("{line}\r\n").into_bytes())).await
            }
            Some(Ending::Words(lines)) => self.say(scene, ServerReply::exactly(lines)).await,
            Some(Ending::Late) => {
                sleep(LATE).await;
                self.say(scene, complete()).await
            }
            Some(Ending::Again) => {
                self.say(scene, complete()).await?;
                sleep(AGAIN).await;
                self.say(scene, complete()).await
            }
            Some(Ending::Early | Ending::Never) => Ok(Next::Command),
        }
    }

    /// Returns the result of `work`, unless the client interrupts it.
    async fn watch<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interruption> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            why = self.control.interruption() => Err(why),
        }
    }
}

impl ServerShared {
    fn bends(&self, scene: &Scene<'_>) -> Vec<super::effect::Bend> {
        self.plans.every(scene, |effect| match effect {
            Effect::Flow(verbs, bend) if verbs.contains(&scene.verb) => Some(bend.clone()),
            _ => None,
        })
    }
}

/// The outcome of an attempt to open a data connection.
enum DataResult {
    /// It is open.
    Stream(Stream),
    /// It could not be opened.
    Refused(ServerReply),
    /// A plan wants neither a connection nor a reply.
    Silent,
    /// The client has interrupted the attempt.
    Interrupted(Interruption),
}

fn complete() -> ServerReply {
    ServerReply::new(ReplyCode::TRANSFER_COMPLETE, "Transfer complete.")
}

fn no_port() -> ServerReply {
    ServerReply::new(ReplyCode::CANNOT_OPEN_DATA, "Use PORT or PASV first.")
}

fn no_connection() -> ServerReply {
    ServerReply::new(ReplyCode::CANNOT_OPEN_DATA, "Failed to establish connection.")
}
