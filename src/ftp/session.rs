//! A session: a control connection that is logged in, and what is known of its server.

use std::{collections::BTreeMap, time::Instant};

use jiff::Timestamp;

pub use super::context::Context;
use super::{
    control::{Command, Control, may_be_repeated},
    listing::Modified,
    login::Features,
    pace::Pace,
    path::RemotePath,
    path_syntax::{PathSyntax, no_folders},
    reply::Reply,
    secure::Security,
    site::{InPlace, Site},
    way::Way,
};
use crate::{
    fault::{Fault, Kind, Outcome},
    files::{Mark, chance, temporary_name, temporary_name_of, without_dot},
    limits::FAREWELL_TIMEOUT,
    observe::{Attempt, TransferId},
};

/// A session with one server. It remakes its connection by itself where nothing can be done twice by that.
#[derive(Debug)]
pub struct Session {
    pub(super) site: Site,
    pub(super) context: Context,
    pub(super) control: Control,
    pub(super) features: Features,
    pub(super) security: Option<Security>,
    pub(super) way: Way,
    /// Where the bytes of a transfer pass; empty before the first.
    pub(super) buffer: Vec<u8>,
    /// The paces that transfers keep: the host's, and one for what is done now.
    pub(super) paces: [Option<Pace>; 2],
    /// What is in the temporary names that it makes.
    pub(super) mark: Option<Mark>,
    /// Whether another transfer follows the next one at once.
    pub(super) goes_on: bool,
    /// What is fetched then, where that is known.
    pub(super) follows: Option<Command>,
    /// What to ask at the end of the next fetch: the file's time.
    pub(super) wonders: Option<Command>,
    /// The time that was told then.
    pub(super) heard: Option<Modified>,
    /// Uploads whose rename was refused, and that go on under their final names.
    pub(super) refused: Vec<(RemotePath, TransferId, Instant)>,
    /// Whether the transfer that is on its way has reached the data connection.
    pub(super) has_moved: bool,
    /// The folder from which relative paths count, absolute.
    pub(super) folder: RemotePath,
    /// The folder the server is in, where that is known.
    pub(super) server_folder: Option<RemotePath>,
}

impl Session {
    /// From now on transfers keep to `pace` as well as to the host's, or to that alone.
    pub fn keep_pace(&mut self, pace: Option<Pace>) {
        let [_, own] = &mut self.paces;
        *own = pace;
    }

    /// From now on its temporary names have `mark` in them.
    pub fn mark_names(&mut self, mark: Option<Mark>) {
        self.mark = mark;
    }

    /// From now on uploads go under their final names at once, or not; gives what was said of that before.
    pub const fn keep_in_place(&mut self, in_place: InPlace) -> InPlace {
        std::mem::replace(&mut self.site.in_place, in_place)
    }

    /// A new temporary name.
    pub(super) fn temporary_name(&self) -> String {
        if self.wants_short_names() {
            return short_name(chance());
        }
        self.shaped(self.mark().name(self.now()))
    }

    /// The temporary name for the old file `remote`, which makes room for a new one. Where files come one by one, it is
    /// the same each time, so that the next one can ask for it.
    pub(super) fn aside_name(&self, remote: &RemotePath) -> Outcome<RemotePath> {
        if self.wants_short_names() || self.way.manners.wants_plain_names() {
            return remote.parent().join(self.unmarked_name().as_bytes());
        }
        let now = if self.mark.is_some() { self.now() } else { Timestamp::UNIX_EPOCH };
        remote.parent().join(self.mark().aside_name(now, remote.name()).as_bytes())
    }

    /// Whether files come one by one, and not for a mirror.
    pub(super) const fn is_unmarked(&self) -> bool {
        self.mark.is_none()
    }

    /// What is in its temporary names: of its mirror, and else of the server, so that one that is left can be told to be
    /// old.
    fn mark(&self) -> Mark {
        let Site { host, port, user, .. } = &self.site;
        let single = || {
            Mark::of(format!("single\n{}\n{port}\n{user}", host.to_ascii_lowercase()).as_bytes())
        };
        self.mark.clone().unwrap_or_else(single)
    }

    /// A new temporary name of which no mirror is told.
    pub(super) fn unmarked_name(&self) -> String {
        if self.wants_short_names() {
            return short_name(chance());
        }
        self.shaped(temporary_name())
    }

    /// Whether the server has no long names, or shortens them.
    pub(super) fn wants_short_names(&self) -> bool {
        self.is_flat() || self.way.manners.shortens_names()
    }

    /// A temporary name as the server takes it.
    fn shaped(&self, name: String) -> String {
        if self.way.manners.wants_plain_names() { without_dot(&name) } else { name }
    }

    /// The temporary name for a file of which `identity` tells all there is to know.
    pub(super) fn lasting_name_of(&self, identity: &[u8]) -> String {
        if self.wants_short_names() {
            let number =
                |all: u64, byte: &u8| (all ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            return short_name(identity.iter().fold(0xcbf2_9ce4_8422_2325, number));
        }
        let unmarked = || temporary_name_of(identity);
        self.shaped(self.mark.as_ref().map_or_else(unmarked, |mark| mark.lasting_name(identity)))
    }

    /// Says that another transfer follows the next one at once, so that its way may be prepared meanwhile.
    pub fn go_on(&mut self, goes_on: bool) {
        self.goes_on = goes_on;
        self.follows = None;
    }

    /// Says that all of `file`, whose size is known, is fetched right after the next transfer.
    pub fn go_on_with(&mut self, file: &RemotePath) {
        self.go_on(true);
        self.follows = self.absolute(file).ok().map(|file| Command::path("RETR", &file));
    }

    /// Says that the time of `file` is wanted together with its bytes, which are fetched next. It is asked for behind
    /// them, where that costs no round trip.
    pub fn wonder(&mut self, file: &RemotePath) {
        // A server that names its features and not this one has no MDTM.
        let has_none = !self.features.named.is_empty() && !self.features.has("MDTM");
        let file = self.absolute(file).ok().filter(|_| !has_none);
        self.wonders = file.map(|file| Command::path("MDTM", &file));
    }

    /// What it is connected to.
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// The run it belongs to.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The time of day of the run.
    pub fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// What carries the data now: `epsv`, `pasv`, `eprt`, `port`, or empty before the first transfer.
    pub const fn route(&self) -> &'static str {
        match self.way.ladder.current() {
            Some(step) => step.word(),
            None => "",
        }
    }

    /// Every try to make a data connection, the latest last.
    pub fn attempts(&self) -> &[Attempt] {
        &self.way.attempts
    }

    /// The features that the server named, each with its parameters.
    pub const fn features(&self) -> &BTreeMap<String, String> {
        &self.features.named
    }

    /// The folder from which relative paths count.
    pub const fn folder(&self) -> &RemotePath {
        &self.folder
    }

    /// The absolute path of `path`.
    pub fn absolute(&self, path: &RemotePath) -> Outcome<RemotePath> {
        let path = self.folder.resolve(path)?;
        match self.control.syntax.check(&path) {
            Ok(()) => Ok(path),
            Err(fault) => Err(fault.at(path.to_string()).on(&self.site.host)),
        }
    }

    /// Makes `path` the folder from which relative paths count; fails where it is none.
    pub async fn cd(&mut self, path: &RemotePath) -> Outcome<()> {
        let path = self.absolute(path)?;
        self.visit(&path).await?;
        self.folder = path;
        Ok(())
    }

    /// Enters the folder that a user names, who wants to know whether it is missing or forbidden.
    pub(super) async fn visit(&mut self, folder: &RemotePath) -> Outcome<()> {
        let entered = self.enter(folder).await;
        self.placed(entered, folder).await
    }

    /// Sends a command as it stands and gives the reply, whatever it says. Not for commands that move data.
    pub async fn quote(&mut self, line: &[u8]) -> Outcome<Reply> {
        let command = Command::parse(line)?;
        let verb = command.verb().to_ascii_uppercase();
        if DATA_VERBS.contains(&verb.as_str()) {
            let message = format!("`quote` cannot send {verb}: it needs a data connection");
            return Err(Fault::invalid(message));
        }
        // Whatever it did, the folder and the type may be others now.
        self.server_folder = None;
        let reply = self.ask(&command).await?;
        if verb == "TYPE" {
            self.ask(&Command::bare("TYPE I")).await?.done()?;
        }
        Ok(reply)
    }

    /// Says goodbye and waits a little for the answer: then the server has room for another session.
    pub async fn close(mut self) {
        if self.control.broken().is_none() {
            self.control.hurry(FAREWELL_TIMEOUT);
            if let Err(fault) = self.control.ask(&Command::bare("QUIT")).await {
                tracing::debug!(target: "portolan", "no farewell: {fault}");
            }
        }
    }

    /// Says goodbye and waits for nothing: whoever was to go on has gone on.
    pub fn leave(mut self) {
        self.control.farewell();
    }

    /// Sends `command`; on a connection that is found dead before anything was sent, makes a new one first.
    pub(super) async fn ask(&mut self, command: &Command) -> Outcome<Reply> {
        self.ensure().await?;
        match self.control.ask(command).await {
            Err(fault) if self.is_unsent(&fault) => {
                self.renew().await?;
                self.control.ask(command).await
            }
            result => result,
        }
    }

    /// The same for several commands without data in one packet.
    pub(super) async fn ask_all(&mut self, commands: &[Command]) -> Outcome<Vec<Reply>> {
        self.ask_all_and(commands, None).await
    }

    /// The same with a command behind them whose reply the next transfer takes.
    pub(super) async fn ask_all_and(
        &mut self,
        commands: &[Command],
        ahead: Option<&'static str>,
    ) -> Outcome<Vec<Reply>> {
        self.ensure().await?;
        match self.control.ask_all_and(commands, ahead).await {
            Err(fault) if self.is_unsent(&fault) => {
                self.renew().await?;
                self.control.ask_all_and(commands, ahead).await
            }
            // The packet may have been too much for the server, or for a filter before it.
            Err(_) if self.control.lost_packet() && may_be_repeated(commands) => {
                self.renew().await?;
                self.control.ask_each(commands).await
            }
            result => result,
        }
    }

    /// Goes to `folder` and sees that the server is there: a banner could say anything (security class C9).
    pub(super) async fn enter(&mut self, folder: &RemotePath) -> Outcome<()> {
        if self.server_folder.as_ref() == Some(folder) {
            return Ok(());
        }
        if self.is_flat() {
            let is_here = folder.is_root();
            return if is_here { Ok(()) } else { Err(no_folders().at(folder.to_string())) };
        }
        self.server_folder = None;
        let commands = [Command::path("CWD", folder), Command::bare("PWD")];
        let replies = self.ask_all(&commands).await?;
        let [entered, said] = replies.as_slice() else {
            return Err(Fault::protocol("two commands, not two replies"));
        };
        entered.clone().done().map_err(|fault| fault.at(folder.to_string()))?;
        // A server that does not say where it is is believed; one that names another folder is not.
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
                let fault = Fault::protocol(message).at(folder.to_string());
                self.control.give_up(&fault);
                return Err(fault);
            }
        }
        self.server_folder = Some(folder.clone());
        Ok(())
    }

    /// Whether names on the server have no slashes: then only the folder after the login is known.
    pub(super) fn is_flat(&self) -> bool {
        self.control.syntax == PathSyntax::Flat
    }

    /// Whether the server names `folder` by another name all the time (a link, another case, a drive): then the same
    /// question has the same answer on a path through the name it gave.
    async fn is_alias(&mut self, folder: &RemotePath, there: &RemotePath) -> bool {
        let pwd = Command::bare("PWD");
        let cwd = |path| Command::path("CWD", path);
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

    /// Fails where the server refuses binary transfers: files cannot be moved, nor measured, as they are.
    pub(super) fn needs_binary(&self) -> Outcome<()> {
        let Some(fault) = self.features.no_binary.clone() else { return Ok(()) };
        let message = format!("files cannot be had byte for byte: to TYPE I {}", fault.message);
        Err(Fault { message, ..fault }.on(&self.site.host))
    }

    /// A new connection where the old one is of no use.
    pub(super) async fn ensure(&mut self) -> Outcome<()> {
        self.context.stop.check()?;
        if self.control.broken().is_some() { self.renew().await } else { Ok(()) }
    }

    /// Whether the connection was found unusable before the command went out, so that sending it again is safe.
    pub(super) fn is_unsent(&self, fault: &Fault) -> bool {
        fault.kind != Kind::Interrupted && self.control.sent_nothing()
    }
}

/// A temporary name where names are of capitals and digits, eight at most: z/OS, VMS, Guardian, MPE and FAT take it.
pub(super) fn short_name(number: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let digit = |place: u32| {
        let at = usize::try_from(number / 36_u64.pow(place) % 36).unwrap_or(0);
        DIGITS.get(at).copied().map_or('0', char::from)
    };
    let digits: String = (0..6).map(digit).collect();
    format!("PT{digits}")
}

/// Commands that open a data connection or change what the session relies on.
const DATA_VERBS: [&str; 16] = [
    "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD", "PORT", "EPRT", "PASV", "EPSV", "REST",
    "AUTH", "PROT", "USER", "PASS",
];
