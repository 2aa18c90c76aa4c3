//! A session: a control connection that is logged in, and the knowledge about its server.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

pub use super::context::RunContext;
use super::{
    control::{ControlConnection, FtpCommand, may_be_repeated},
    data_path::DataPath,
    login::Features,
    path::RemotePath,
    path_syntax::{PathSyntax, no_folders},
    rate_limit::RateLimiter,
    reply::Reply,
    site::{InPlace, Site},
    tls::TlsContext,
    transfer::types::RefusedUpload,
};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::FAREWELL_TIMEOUT,
    observe::ConnectAttempt,
    random::random_u64,
};
use portolan_fs::{OwnerTag, temporary_name, temporary_name_of, without_dot};
use portolan_proto::Verb;

/// A session with one server. It reconnects automatically, unless that could execute an operation twice.
#[derive(Debug)]
pub struct Session {
    pub(super) site: Site,
    pub(super) context: RunContext,
    pub(super) control: ControlConnection,
    pub(super) features: Features,
    pub(super) security: Option<TlsContext>,
    pub(super) data_path: DataPath,
    /// The buffer of a transfer; empty before the first.
    pub(super) buffer: Vec<u8>,
    /// The rate limits of transfers: the host's, and one for the current operation.
    pub(super) paces: [Option<RateLimiter>; 2],
    /// The owner tag in the temporary names that it makes.
    pub(super) mark: Option<OwnerTag>,
    /// The uploads whose rename was refused, and that continue under their final names.
    pub(super) refused: Vec<RefusedUpload>,
    /// True if the current transfer has reached the data connection.
    pub(super) has_moved: bool,
    /// The directory to which relative paths are resolved, absolute.
    pub(super) folder: RemotePath,
    /// The current directory on the server, if it is known.
    pub(super) server_folder: Option<RemotePath>,
}

impl Session {
    /// Sets a rate limit for transfers in addition to the host's; `None` removes it.
    pub(crate) fn set_rate_limit(&mut self, pace: Option<RateLimiter>) {
        let [_, own] = &mut self.paces;
        *own = pace;
    }

    /// Sets the owner tag that is embedded in temporary names.
    pub(crate) fn set_owner_tag(&mut self, mark: Option<OwnerTag>) {
        self.mark = mark;
    }

    /// Sets whether uploads go directly to their final names; returns the previous setting.
    pub(crate) const fn set_in_place(&mut self, in_place: InPlace) -> InPlace {
        std::mem::replace(&mut self.site.in_place, in_place)
    }

    /// Returns a new temporary name.
    pub(super) fn temporary_name(&self) -> String {
        if self.wants_short_names() {
            return short_name(random_u64());
        }
        self.shaped(self.mark().name(self.now()))
    }

    /// Returns the temporary name for the old file `remote`, which makes room for a new one. For single files it is the
    /// same each time, so that the next upload can look for it.
    pub(super) fn aside_name(&self, remote: &RemotePath) -> Result<RemotePath> {
        if self.wants_short_names() || self.data_path.profile.wants_plain_names() {
            return remote.parent().join(self.unmarked_name().as_bytes());
        }
        let now = if self.mark.is_some() { self.now() } else { Timestamp::UNIX_EPOCH };
        remote.parent().join(self.mark().set_aside_name(now, remote.name()).as_bytes())
    }

    /// Returns true if files are transferred one by one, and not for a mirror.
    pub(super) const fn is_unmarked(&self) -> bool {
        self.mark.is_none()
    }

    /// Returns the owner tag for temporary names: that of the mirror, otherwise that of the server, so that an
    /// abandoned file can be recognised as old.
    fn mark(&self) -> OwnerTag {
        let Site { host, port, user, .. } = &self.site;
        let single = || {
            OwnerTag::of(
                format!("single\n{}\n{port}\n{user}", host.to_ascii_lowercase()).as_bytes(),
            )
        };
        self.mark.clone().unwrap_or_else(single)
    }

    /// Returns a new temporary name without the owner tag of a mirror.
    pub(super) fn unmarked_name(&self) -> String {
        if self.wants_short_names() {
            return short_name(random_u64());
        }
        self.shaped(temporary_name())
    }

    /// Returns true if the server has no long names, or shortens them.
    pub(super) fn wants_short_names(&self) -> bool {
        self.is_flat() || self.data_path.profile.shortens_names()
    }

    /// Returns a temporary name in the form that the server accepts.
    fn shaped(&self, name: String) -> String {
        if self.data_path.profile.wants_plain_names() { without_dot(&name) } else { name }
    }

    /// Returns the temporary name for a file that is fully described by `identity`.
    pub(super) fn lasting_name_of(&self, identity: &[u8]) -> String {
        if self.wants_short_names() {
            let number =
                |all: u64, byte: &u8| (all ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            return short_name(identity.iter().fold(0xcbf2_9ce4_8422_2325, number));
        }
        let unmarked = || temporary_name_of(identity);
        self.shaped(self.mark.as_ref().map_or_else(unmarked, |mark| mark.resumable_name(identity)))
    }

    /// Returns the site that it is connected to.
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Returns the context of the run it belongs to.
    pub(crate) const fn context(&self) -> &RunContext {
        &self.context
    }

    /// Returns the time of day of the run.
    pub(crate) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Returns the method that carries the data now: `epsv`, `pasv`, `eprt`, `port`, or empty before the first
    /// transfer.
    pub(crate) fn route(&self) -> &'static str {
        match self.data_path.fallback_order.current() {
            Some(step) => step.as_str(),
            None => "",
        }
    }

    /// Returns every attempt to make a data connection, the latest last.
    pub const fn attempts(&self) -> &VecDeque<ConnectAttempt> {
        &self.data_path.history.attempts
    }

    /// Returns the features that the server named, each with its parameters.
    pub const fn features(&self) -> &BTreeMap<String, String> {
        &self.features.named
    }

    /// Returns the directory to which relative paths are resolved.
    pub const fn folder(&self) -> &RemotePath {
        &self.folder
    }

    /// Returns the absolute path of `path`.
    pub(crate) fn absolute(&self, path: &RemotePath) -> Result<RemotePath> {
        let path = self.folder.resolve(path)?;
        match self.control.syntax.check(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(error.at(path.to_string()).with_host(&self.site.host)),
        }
    }

    /// Makes `path` the directory to which relative paths are resolved; fails if it is none.
    pub async fn cd(&mut self, path: &RemotePath) -> Result<()> {
        let path = self.absolute(path)?;
        self.visit(&path).await?;
        self.folder = path;
        Ok(())
    }

    /// Enters the directory that a user names, with an error that tells whether it is missing or forbidden.
    pub(super) async fn visit(&mut self, folder: &RemotePath) -> Result<()> {
        let entered = self.enter(folder).await;
        self.placed(entered, folder).await
    }

    /// Sends a command as written and returns the reply, whatever it is. Not for commands that move data.
    pub async fn quote(&mut self, line: &[u8]) -> Result<Reply> {
        let command = FtpCommand::parse(line)?;
        let (verb, word) = (command.verb(), command.word().to_ascii_uppercase());
        let begins_session = matches!(verb, Verb::Auth | Verb::Prot | Verb::User | Verb::Pass);
        if verb.needs_data_connection() || begins_session || word == "STOU" {
            let message = format!("`quote` cannot send {word}: it needs a data connection");
            return Err(Error::invalid(message));
        }
        // Whatever the command did, the directory and the type may have changed.
        self.server_folder = None;
        let reply = self.ask(&command).await?;
        if verb == Verb::Type {
            self.ask(&FtpCommand::with(Verb::Type, "I")).await?.done()?;
        }
        Ok(reply)
    }

    /// Sends QUIT and waits briefly for the reply: then the server has room for another session.
    pub async fn close(mut self) {
        if self.control.poison_reason().is_none() {
            self.control.set_reply_timeout(FAREWELL_TIMEOUT);
            if let Err(error) = self.control.ask(&FtpCommand::bare(Verb::Quit)).await {
                tracing::debug!(target: "portolan", "QUIT failed: {error}");
            }
        }
    }

    /// Sends QUIT without waiting for the reply: nothing else depends on it.
    pub(crate) fn leave(mut self) {
        self.control.quit_nowait();
    }

    /// Sends `command`; if the connection is found dead before anything was sent, reconnects first.
    pub(super) async fn ask(&mut self, command: &FtpCommand) -> Result<Reply> {
        self.ensure().await?;
        match self.control.ask(command).await {
            Err(error) if self.is_unsent(&error) => {
                self.reconnect().await?;
                self.control.ask(command).await
            }
            result => result,
        }
    }

    /// Sends several commands without data in one packet, like [`ask`](Self::ask).
    pub(super) async fn ask_all(&mut self, commands: &[FtpCommand]) -> Result<Vec<Reply>> {
        self.ask_all_and(commands, None).await
    }

    /// Does the same with a further command whose reply the next transfer consumes.
    pub(super) async fn ask_all_and(
        &mut self,
        commands: &[FtpCommand],
        ahead: Option<Verb>,
    ) -> Result<Vec<Reply>> {
        self.ensure().await?;
        match self.control.ask_all_and(commands, ahead).await {
            Err(error) if self.is_unsent(&error) => {
                self.reconnect().await?;
                self.control.ask_all_and(commands, ahead).await
            }
            // The packet may have been too much for the server, or for a filter before it.
            Err(_) if self.control.lost_packet() && may_be_repeated(commands) => {
                self.reconnect().await?;
                self.control.ask_each(commands).await
            }
            result => result,
        }
    }

    /// Enters `folder` and verifies that the server is there: a banner could say anything (security class C9).
    pub(super) async fn enter(&mut self, folder: &RemotePath) -> Result<()> {
        if self.server_folder.as_ref() == Some(folder) {
            return Ok(());
        }
        if self.is_flat() {
            let is_here = folder.is_root();
            return if is_here { Ok(()) } else { Err(no_folders().at(folder.to_string())) };
        }
        self.server_folder = None;
        let commands = [FtpCommand::path(Verb::Cwd, folder), FtpCommand::bare(Verb::Pwd)];
        let replies = self.ask_all(&commands).await?;
        let [entered, said] = replies.as_slice() else {
            return Err(Error::protocol("two commands, not two replies"));
        };
        entered.clone().done().map_err(|error| error.at(folder.to_string()))?;
        // A server that does not report its directory is believed; one that reports another directory is not.
        if let Some(there) = said.folder_path() {
            let there =
                RemotePath::parse(there).and_then(|it| RemotePath::root().resolve(&it)).ok();
            let is_right = match &there {
                _ if said.names(folder.as_bytes()) => true,
                Some(there) => there == folder || self.is_alias(folder, there).await,
                None => false,
            };
            if !is_right {
                let message = format!("after CWD the server says \"{}\"", said.words());
                let error = Error::protocol(message).at(folder.to_string());
                self.control.poison(&error);
                return Err(error);
            }
        }
        self.server_folder = Some(folder.clone());
        Ok(())
    }

    /// Returns true if names on the server have no slashes: then only the directory after the login is known.
    pub(super) fn is_flat(&self) -> bool {
        self.control.syntax == PathSyntax::Flat
    }

    /// Returns true if the server consistently reports `folder` under another name (a link, another case, a drive):
    /// then the same commands have the same result with the reported name.
    async fn is_alias(&mut self, folder: &RemotePath, there: &RemotePath) -> bool {
        let pwd = FtpCommand::bare(Verb::Pwd);
        let cwd = |path| FtpCommand::path(Verb::Cwd, path);
        let again = [cwd(there), pwd.clone(), cwd(folder), pwd];
        match self.control.ask_all(&again).await.as_deref() {
            Ok([to, first, back, second]) => {
                to.is_done()
                    && back.is_done()
                    && first.folder_path().as_deref() == Some(there.as_bytes())
                    && second.folder_path() == first.folder_path()
            }
            _ => false,
        }
    }

    /// Fails if the server refuses binary transfers: files can be neither transferred nor measured unchanged.
    pub(super) fn needs_binary(&self) -> Result<()> {
        let Some(error) = self.features.no_binary.clone() else { return Ok(()) };
        let message = format!("files cannot be had byte for byte: to TYPE I {}", error.message);
        Err(Error { message, ..error }.with_host(&self.site.host))
    }

    /// Reconnects if the connection is broken.
    pub(super) async fn ensure(&mut self) -> Result<()> {
        self.context.stop.check()?;
        if self.control.poison_reason().is_some() { self.reconnect().await } else { Ok(()) }
    }

    /// Returns true if the connection was found unusable before the command was sent, so that sending it again is safe.
    pub(super) fn is_unsent(&self, error: &Error) -> bool {
        error.kind != ErrorKind::Interrupted && self.control.sent_nothing()
    }
}

/// Returns a temporary name of at most eight capitals and digits: z/OS, VMS, Guardian, MPE and FAT accept it.
pub(super) fn short_name(number: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let digit = |place: u32| {
        let at = usize::try_from(number / 36_u64.pow(place) % 36).unwrap_or(0);
        DIGITS.get(at).copied().map_or('0', char::from)
    };
    let digits: String = (0..6).map(digit).collect();
    format!("PT{digits}")
}
