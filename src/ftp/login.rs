//! Login: greeting, TLS, credentials, and the features of the server.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    context::RunContext,
    control::{ControlConnection, DialedConnection, FtpCommand, Pipelining},
    data::nat_diagnosis::our_address_in,
    path::RemotePath,
    path_syntax::PathSyntax,
    profile::ServerProfile,
    reply::Reply,
    secret::Secret,
    site::{Site, TlsMode},
    tls::TlsContext,
};
use crate::{
    error::{
        Error, ErrorKind, Origin, Result,
        codes::{LOGIN_DENIED, TLS_NOT_OFFERED, TLS_REQUIRED},
    },
    limits::HASTY_LOGIN_TIME,
    observe::{Event, visible::visible},
};

/// The features that a server advertises (RFC 2389).
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// The features in upper case, each with its parameters.
    pub named: BTreeMap<String, String>,
    /// True if it takes the `-a` of `LIST -a` for a file; detected, not advertised.
    pub refuses_list_all: bool,
    /// The refusal of binary transfers: without them sizes are wrong and bytes are changed (security class C17), while
    /// listings still work.
    pub no_binary: Option<Error>,
}

impl Features {
    /// Parses the reply to FEAT; a server without FEAT has no features.
    pub fn read(reply: &Reply) -> Self {
        let mut named = BTreeMap::new();
        if reply.code == 211 {
            let mask = reply.mask.after_login();
            for line in reply.inner_lines() {
                // Some servers put `211-` before every line.
                let line = line.strip_prefix(b"211-").unwrap_or(line);
                let text = visible(mask.hide(line.trim_ascii()));
                let (name, parameters) = text.split_once(' ').unwrap_or((&text, ""));
                named.insert(name.to_ascii_uppercase(), parameters.trim().to_owned());
            }
        }
        Self { named, refuses_list_all: false, no_binary: None }
    }

    /// Returns true if the server named `feature`.
    pub fn has(&self, feature: &str) -> bool {
        self.named.contains_key(feature)
    }
}

/// A session right after its login.
pub(super) struct LoggedIn {
    pub(super) control: ControlConnection,
    pub(super) features: Features,
    /// The directory after the login.
    pub(super) home: RemotePath,
    pub(super) security: Option<TlsContext>,
    /// The local address as the greeting reports it, if it does.
    pub(super) ours_there: Option<IpAddr>,
    /// The path syntax of the server.
    pub(super) syntax: PathSyntax,
    /// True if the server asked for user and password only, and so is expected to do so again.
    pub(super) is_plain: bool,
}

/// The parameters of a pipelined login, for servers that are known to ask for user and password only: all in one
/// packet.
#[derive(Debug, Clone)]
pub(super) struct PipelinedLogin {
    /// The observations of the server, in which a failure of the pipelined login is recorded.
    pub(super) manners: Arc<ServerProfile>,
    /// The command to send after all the others.
    pub(super) ahead: Option<&'static str>,
}

/// Reads the greeting, starts TLS and logs in over `line`. What was learnt before TLS is discarded (security class
/// C13).
pub(super) async fn login(
    line: DialedConnection,
    site: &Site,
    security: Option<&TlsContext>,
    context: &RunContext,
    haste: Option<&PipelinedLogin>,
    pipelining: &Arc<Pipelining>,
) -> Result<LoggedIn> {
    let began = line.began;
    let security = security.map(TlsContext::fresh);
    let implicit = security.as_ref().filter(|_| site.tls == TlsMode::Implicit);
    let (mut control, greeting) =
        ControlConnection::greeted(line, site, implicit, &context.stop).await?;
    control.share(pipelining);
    let is_greeting = greeting.is_done();
    if !is_greeting {
        return Err(unless_tls_is_wanted(greeting.fault(), site, &greeting));
    }
    if site.tls == TlsMode::Explicit
        && let Some(security) = &security
    {
        start_tls(&mut control, security).await?;
    }
    let is_protected = security.is_some();
    let mut is_plain = false;
    let (features, home, syntax) = if let Some(haste) = haste {
        log_in_at_once(&mut control, site, is_protected, haste).await?
    } else {
        if is_protected {
            protect_data(&mut control).await?;
        }
        if greeting.code != 230 || is_protected {
            is_plain = identify(&mut control, site).await?;
        }
        look_around(&control.ask_all(&questions(site)).await?)?
    };
    context.observer.emit(&Event::Connected {
        host: site.host.clone(),
        address: site.proxy.as_ref().map_or_else(|| control.peer.to_string(), ToString::to_string),
        tls: control.tls(),
        took: began.elapsed(),
    });
    if site.tls == TlsMode::Off
        && features.named.iter().any(|(name, with)| name == "AUTH" && with.contains("TLS"))
    {
        let message = "the server offers TLS and this session is without: ftpes:// protects password and files";
        context.observer.warn_once(format!("{}: {message}", site.host));
    }
    if site.trust.insecure && security.is_some() {
        let message = "its certificate is not checked (`insecure`): anyone in between can read and change all";
        context.observer.warn_once(format!("{}: {message}", site.host));
    }
    control.end_login();
    let ours_there = our_address_in(&greeting.text(), control.peer.ip());
    control.syntax = syntax;
    Ok(LoggedIn { control, features, home, security, ours_there, syntax, is_plain })
}

/// Logs in with all commands in one packet. A server that answers differently from before gets no pipelined login
/// again.
async fn log_in_at_once(
    control: &mut ControlConnection,
    site: &Site,
    is_protected: bool,
    haste: &PipelinedLogin,
) -> Result<(Features, RemotePath, PathSyntax)> {
    let password = site.password.as_ref().map_or(ANONYMOUS, Secret::reveal);
    let mut commands = Vec::new();
    if is_protected {
        commands.extend(PROTECTION.map(FtpCommand::bare));
    }
    let at = commands.len();
    commands.push(credential("USER", &site.user, "user")?);
    commands.push(credential("PASS", password, "password")?);
    commands.extend(questions(site));
    control.set_reply_timeout(HASTY_LOGIN_TIME.min(site.reply_timeout));
    let replies = control.ask_all_and(&commands, haste.ahead).await;
    control.set_reply_timeout(site.reply_timeout);
    let replies = replies.inspect_err(|fault| {
        if fault.code != 421 && fault.kind != ErrorKind::Interrupted {
            haste.manners.disable_pipelined_login();
        }
    })?;
    let is_user_known = |protected: &[Reply], user: &Reply| {
        protected.iter().all(Reply::is_done) && user.code == 331
    };
    match replies.split_at_checked(at) {
        Some((before, [user, pass, ..]))
            if is_user_known(before, user) && matches!(pass.code, 421 | 430 | 530) =>
        {
            return Err(refused(site, pass));
        }
        Some((before, [user, pass, seen @ ..]))
            if is_user_known(before, user) && pass.is_done() =>
        {
            look_around(seen)
        }
        _ => Err(Error::protocol("the server does not take a login in one packet")),
    }
    .inspect_err(|_| haste.manners.disable_pipelined_login())
}

/// Sends AUTH TLS (RFC 4217, 4). A refusal ends the login before any password is sent.
async fn start_tls(control: &mut ControlConnection, security: &TlsContext) -> Result<()> {
    let reply = control.ask(&FtpCommand::bare("AUTH TLS")).await?;
    if !begins_tls(&reply) {
        let message = format!("the server refused TLS, saying \"{}\"", reply.words());
        let fault = Error::new(ErrorKind::Tls, Origin::Server, message);
        return Err(Error { code: reply.code, ..fault.with_name(TLS_NOT_OFFERED) });
    }
    control.upgrade(security);
    Ok(())
}

/// Returns true if TLS begins after this reply to AUTH: 234 (RFC 4217, 4), 334 as in the drafts of the RFC, or any
/// other completion reply.
pub(super) const fn begins_tls(reply: &Reply) -> bool {
    reply.is_done() || reply.code == 334
}

/// The commands PBSZ and PROT (RFC 4217, 8 and 9).
const PROTECTION: [&str; 2] = ["PBSZ 0", "PROT P"];

/// The password of an anonymous login.
const ANONYMOUS: &str = "portolan@";

/// Protects the data connections; data is never sent in the clear if protection was requested.
async fn protect_data(control: &mut ControlConnection) -> Result<()> {
    for line in PROTECTION {
        let reply = control.ask(&FtpCommand::bare(line)).await?;
        if !reply.is_done() {
            let message =
                format!("the server does not protect data ({line}: \"{}\")", reply.words());
            let fault = Error::new(ErrorKind::Tls, Origin::Server, message);
            return Err(Error { code: reply.code, ..fault.with_name(TLS_NOT_OFFERED) });
        }
    }
    Ok(())
}

/// Sends USER, PASS and ACCT (RFC 959, 4.1.1). Returns true if the server asked for the first two only.
async fn identify(control: &mut ControlConnection, site: &Site) -> Result<bool> {
    let anonymous = site.user.eq_ignore_ascii_case("anonymous") || site.user == "ftp";
    let mut reply = control.ask(&credential("USER", &site.user, "user")?).await?;
    let wants_password = reply.code == 331;
    if wants_password {
        let password = match &site.password {
            Some(password) => password.reveal(),
            None if anonymous => ANONYMOUS,
            None => {
                let message = format!(
                    "the server wants a password for `{}`, and none was given",
                    visible(&site.user)
                );
                let fault = Error::new(ErrorKind::Denied, Origin::Script, message);
                return Err(fault.with_name(LOGIN_DENIED));
            }
        };
        reply = control.ask(&credential("PASS", password, "password")?).await?;
    }
    let wants_account = reply.code == 332;
    if wants_account {
        let Some(account) = &site.account else {
            let message = "the server wants an account (`account`), and none was given";
            return Err(Error::new(ErrorKind::Denied, Origin::Script, message));
        };
        reply = control.ask(&credential("ACCT", account.reveal(), "account")?).await?;
    }
    if reply.is_done() { Ok(wants_password && !wants_account) } else { Err(refused(site, &reply)) }
}

/// Returns the error for a login that ended with `reply`.
fn refused(site: &Site, reply: &Reply) -> Error {
    let fault = reply.fault();
    let (user, words) = (visible(&site.user), reply.words());
    let message = format!("the login as `{user}` failed: the server said \"{words}\"");
    let kind = if reply.code / 100 == 5 { ErrorKind::Denied } else { fault.kind };
    let name = (kind == ErrorKind::Denied).then_some(LOGIN_DENIED);
    unless_tls_is_wanted(Error { kind, message, name, ..fault }, site, reply)
}

/// Returns `fault`, with advice if the server accepts no login without TLS.
fn unless_tls_is_wanted(fault: Error, site: &Site, reply: &Reply) -> Error {
    if site.tls != TlsMode::Off || !reply.wants_tls() {
        return fault;
    }
    // A retry without TLS would fail as well.
    let message = format!("{}: it wants TLS, which ftpes:// turns to", fault.message);
    Error { kind: ErrorKind::Denied, message, ..fault.with_name(TLS_REQUIRED) }
}

/// Builds a command with a text from the user; an error names the option, never the text.
fn credential(verb: &str, text: &str, option: &str) -> Result<FtpCommand> {
    FtpCommand::parse(format!("{verb} {text}"))
        .map_err(|_| Error::invalid(format!("`{option}` cannot hold a line end or a NUL")))
}

/// Returns the commands for the binary type, the features, the current directory, and names in UTF-8: one round trip.
fn questions(site: &Site) -> Vec<FtpCommand> {
    let mut commands =
        vec![FtpCommand::bare("TYPE I"), FtpCommand::bare("FEAT"), FtpCommand::bare("PWD")];
    if !site.latin1 {
        commands.push(FtpCommand::bare("OPTS UTF8 ON"));
    }
    commands
}

/// Parses the replies to these commands.
fn look_around(replies: &[Reply]) -> Result<(Features, RemotePath, PathSyntax)> {
    let [binary, features, folder, ..] = replies else {
        return Err(Error::protocol("fewer replies than commands"));
    };
    let no_binary = match binary.clone().done() {
        Ok(_) => None,
        Err(fault) if matches!(binary.code, 500..=504) => Some(fault),
        Err(fault) => return Err(fault),
    };
    // If it is not reported, or not in a readable form, the root is assumed.
    let home = folder.folder_path().and_then(|path| RemotePath::parse(path).ok());
    let home = home.unwrap_or_else(RemotePath::root);
    let syntax = PathSyntax::of(home.as_bytes());
    // If directories have no names with slashes, this one is the only one.
    let home = if syntax == PathSyntax::Flat { RemotePath::root() } else { home };
    let features = Features { no_binary, ..Features::read(features) };
    Ok((features, RemotePath::root().resolve(&home)?, syntax))
}
