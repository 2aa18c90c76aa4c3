//! Login: greeting, TLS, credentials, and the features of the server.

use crate::reply::CausedByReply as _;
use std::{collections::BTreeMap, net::IpAddr};

use super::{
    context::RunContext,
    control::{ControlConnection, DialedConnection, FtpCommand},
    data::nat_diagnosis::our_address_in,
    path::{NameEncoding, RemotePath},
    path_syntax::PathSyntax,
    profile::ServerProfile,
    reply::Reply,
    secret::Secret,
    site::{Site, TlsMode},
    tls::TlsContext,
};
use portolan_core::{
    error::{
        Error, ErrorKind, Origin, Result,
        codes::{LOGIN_DENIED, LOGIN_TOO_MANY_SESSIONS, TLS_NOT_OFFERED, TLS_REQUIRED},
    },
    limits::HASTY_LOGIN_TIME,
    observe::{Event, visible::visible},
};
use portolan_proto::{ReplyCode, Verb};

/// The features that a server advertises (RFC 2389).
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// The features in upper case, each with its parameters.
    pub named: BTreeMap<String, String>,
    /// The refusal of binary transfers: without them sizes are wrong and bytes are changed (security class C17), while
    /// listings still work.
    pub no_binary: Option<Error>,
}

impl Features {
    /// Parses the reply to FEAT; a server without FEAT has no features.
    pub fn read(reply: &Reply) -> Self {
        let mut named = BTreeMap::new();
        if reply.code == ReplyCode::SYSTEM_STATUS {
            let mask = reply.mask.after_login();
            for line in reply.inner_lines() {
                // Some servers put `211-` before every line.
                let line = line.strip_prefix(b"211-").unwrap_or(line);
                let text = visible(mask.hide(line.trim_ascii()));
                let (name, parameters) = text.split_once(' ').unwrap_or((&text, ""));
                named.insert(name.to_ascii_uppercase(), parameters.trim().to_owned());
            }
        }
        Self { named, no_binary: None }
    }

    /// Returns true for pyftpdlib (2.2.0, measured; 1.5.10, read), by the facts that only it names: it
    /// handles EPSV at once and closes the data connection of the upload before it, whose last bytes may still be on their
    /// way. Both replies can be in order all the same. In active mode it sends no data for a command that arrives before it
    /// has connected.
    pub fn is_pyftpdlib(&self) -> bool {
        let facts = self.named.get("MLST").map(|facts| facts.replace('*', ""));
        facts.is_some_and(|facts| {
            facts.starts_with("type;perm;size;modify;unique;unix.mode;unix.uid;unix.gid;")
        })
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
    /// The command to send after all the others.
    pub(super) ahead: Option<Verb>,
}

/// Reads the greeting, starts TLS and logs in over `line`. What was learnt before TLS is discarded (security class
/// C13).
pub(super) async fn login(
    line: DialedConnection,
    site: &Site,
    security: Option<&TlsContext>,
    context: &RunContext,
    pipelined: Option<&PipelinedLogin>,
    profile: &ServerProfile,
) -> Result<LoggedIn> {
    let began = line.began;
    let security = security.map(TlsContext::fresh);
    let implicit = security.as_ref().filter(|_| site.tls == TlsMode::Implicit);
    let (mut control, greeting) =
        ControlConnection::greeted(line, site, implicit, &context.stop).await?;
    control.share(profile);
    let is_greeting = greeting.is_done();
    if !is_greeting {
        return Err(unless_tls_is_wanted(of_session(greeting.fault(), &greeting), site, &greeting));
    }
    if site.tls == TlsMode::Explicit
        && let Some(security) = &security
    {
        start_tls(&mut control, security).await?;
    }
    let is_protected = security.is_some();
    let mut is_plain = false;
    let (features, home, syntax) = if let Some(pipelined) = pipelined {
        log_in_at_once(&mut control, site, pipelined, profile).await?
    } else {
        if is_protected {
            protect_data(&mut control).await?;
        }
        if greeting.code != ReplyCode::LOGGED_IN || is_protected {
            is_plain = identify(&mut control, site).await?;
        }
        look_around(&control.ask_all(&questions(site)).await?)?
    };
    for command in &site.site_commands {
        let command = FtpCommand::parse(format!("{} {command}", Verb::Site))?;
        control.ask(&command).await?.done()?;
    }
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
    pipelined: &PipelinedLogin,
    profile: &ServerProfile,
) -> Result<(Features, RemotePath, PathSyntax)> {
    let password = site.password.as_ref().map_or(ANONYMOUS, Secret::reveal);
    let mut commands = Vec::new();
    if site.tls != TlsMode::Off {
        commands.extend(PROTECTION.map(|(verb, argument)| FtpCommand::with(verb, argument)));
    }
    let at = commands.len();
    commands.push(credential(Verb::User, &site.user, "user")?);
    commands.push(credential(Verb::Pass, password, "password")?);
    commands.extend(questions(site));
    control.set_reply_timeout(HASTY_LOGIN_TIME.min(site.reply_timeout));
    let replies = control.ask_all_and(&commands, pipelined.ahead).await;
    control.set_reply_timeout(site.reply_timeout);
    let replies = replies.inspect_err(|error| {
        if error.reply_code() != ReplyCode::SERVICE_UNAVAILABLE
            && error.kind != ErrorKind::Interrupted
        {
            profile.record_plain_login(false);
        }
    })?;
    let is_user_known = |protected: &[Reply], user: &Reply| {
        protected.iter().all(Reply::is_done) && user.code == ReplyCode::PASSWORD_NEEDED
    };
    match replies.split_at_checked(at) {
        Some((before, [user, pass, ..]))
            if is_user_known(before, user)
                && matches!(
                    pass.code,
                    ReplyCode::SERVICE_UNAVAILABLE
                        | ReplyCode::BAD_CREDENTIALS
                        | ReplyCode::NOT_LOGGED_IN
                ) =>
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
    .inspect_err(|_| profile.record_plain_login(false))
}

/// Sends AUTH TLS (RFC 4217, 4). A refusal ends the login before any password is sent.
async fn start_tls(control: &mut ControlConnection, security: &TlsContext) -> Result<()> {
    let reply = control.ask(&FtpCommand::with(Verb::Auth, "TLS")).await?;
    if !begins_tls(&reply) {
        let message = format!("the server refused TLS, saying \"{}\"", reply.words());
        let error = Error::new(ErrorKind::Tls, Origin::Server, message);
        return Err(Error { code: reply.code.value(), ..error.with_name(TLS_NOT_OFFERED) });
    }
    control.upgrade(security);
    Ok(())
}

/// Returns true if TLS begins after this reply to AUTH: 234 (RFC 4217, 4), 334 as in the drafts of the RFC, or any
/// other completion reply.
pub(super) fn begins_tls(reply: &Reply) -> bool {
    reply.is_done() || reply.code == ReplyCode::MORE_SECURITY_DATA
}

/// The commands PBSZ and PROT (RFC 4217, 8 and 9).
const PROTECTION: [(Verb, &str); 2] = [(Verb::Pbsz, "0"), (Verb::Prot, "P")];

/// The password of an anonymous login.
const ANONYMOUS: &str = "portolan@";

/// Protects the data connections; data is never sent in the clear if protection was requested.
async fn protect_data(control: &mut ControlConnection) -> Result<()> {
    for (verb, argument) in PROTECTION {
        let reply = control.ask(&FtpCommand::with(verb, argument)).await?;
        if !reply.is_done() {
            let message = format!(
                "the server does not protect data ({verb} {argument}: \"{}\")",
                reply.words()
            );
            let error = Error::new(ErrorKind::Tls, Origin::Server, message);
            return Err(Error { code: reply.code.value(), ..error.with_name(TLS_NOT_OFFERED) });
        }
    }
    Ok(())
}

/// Returns true for a user who needs no password.
pub(super) fn is_anonymous(user: &str) -> bool {
    user.eq_ignore_ascii_case("anonymous") || user == "ftp"
}

/// Sends USER, PASS and ACCT (RFC 959, 4.1.1). Returns true if the server asked for the first two only.
async fn identify(control: &mut ControlConnection, site: &Site) -> Result<bool> {
    let anonymous = is_anonymous(&site.user);
    let mut reply = control.ask(&credential(Verb::User, &site.user, "user")?).await?;
    let wants_password = reply.code == ReplyCode::PASSWORD_NEEDED;
    if wants_password {
        let password = match &site.password {
            Some(password) => password.reveal(),
            None if anonymous => ANONYMOUS,
            None => {
                let message = format!(
                    "the server wants a password for `{}`, and none was given",
                    visible(&site.user)
                );
                let error = Error::new(ErrorKind::Denied, Origin::Script, message);
                return Err(error.with_name(LOGIN_DENIED));
            }
        };
        reply = control.ask(&credential(Verb::Pass, password, "password")?).await?;
    }
    let wants_account = reply.code == ReplyCode::ACCOUNT_NEEDED;
    if wants_account {
        let Some(account) = &site.account else {
            let message = "the server wants an account (`account`), and none was given";
            return Err(Error::new(ErrorKind::Denied, Origin::Script, message));
        };
        reply = control.ask(&credential(Verb::Acct, account.reveal(), "account")?).await?;
    }
    if reply.is_done() { Ok(wants_password && !wants_account) } else { Err(refused(site, &reply)) }
}

/// Returns the error for a login that ended with `reply`.
fn refused(site: &Site, reply: &Reply) -> Error {
    let error = reply.fault();
    let (user, words) = (visible(&site.user), reply.words());
    let message = format!("the login as `{user}` failed: the server said \"{words}\"");
    let kind = if reply.code.is_permanent() { ErrorKind::Denied } else { error.kind };
    let name = (reply.code == ReplyCode::NOT_LOGGED_IN).then_some(LOGIN_DENIED);
    unless_tls_is_wanted(of_session(Error { kind, message, name, ..error }, reply), site, reply)
}

/// Returns the error of a login that ended with `reply`; it is temporary if the server accepts no further session now.
fn of_session(error: Error, reply: &Reply) -> Error {
    if !reply.refuses_session() {
        return error;
    }
    Error { kind: ErrorKind::Busy, ..error.with_name(LOGIN_TOO_MANY_SESSIONS) }
}

/// Returns `error`, with advice if the server accepts no login without TLS.
fn unless_tls_is_wanted(error: Error, site: &Site, reply: &Reply) -> Error {
    if site.tls != TlsMode::Off || !reply.wants_tls() {
        return error;
    }
    // A retry without TLS would fail as well.
    let message = format!("{}: it wants TLS, which ftpes:// turns to", error.message);
    Error { kind: ErrorKind::Denied, message, ..error.with_name(TLS_REQUIRED) }
}

/// Builds a command with a text from the user; an error names the option, never the text.
fn credential(verb: Verb, text: &str, option: &str) -> Result<FtpCommand> {
    FtpCommand::parse(format!("{verb} {text}"))
        .map_err(|_| Error::invalid(format!("`{option}` cannot hold a line end or a NUL")))
}

/// Returns the commands for the binary type, the features, the current directory, and names in UTF-8: one round trip.
fn questions(site: &Site) -> Vec<FtpCommand> {
    let mut commands = vec![
        FtpCommand::with(Verb::Type, site.transfer_type.argument()),
        FtpCommand::bare(Verb::Feat),
        FtpCommand::bare(Verb::Pwd),
    ];
    if site.encoding == NameEncoding::Same {
        commands.push(FtpCommand::with(Verb::Opts, "UTF8 ON"));
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
        Err(error) if binary.code.is_syntax_error() => Some(error),
        Err(error) => return Err(error),
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
