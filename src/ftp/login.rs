//! From nothing to a session: greeting, TLS, login, and what the server can do.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    context::Context,
    control::{Command, Control, Line},
    data::nat_signs::our_address_in,
    path::RemotePath,
    reply::Reply,
    secure::Security,
    site::{Site, Tls},
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    observe::{Event, visible::visible},
};

/// What a server says it can do (RFC 2389).
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// Each feature, in capitals, with its parameters.
    pub named: BTreeMap<String, String>,
    /// Whether it takes the `-a` of `LIST -a` for a file; found out, not said.
    pub refuses_list_all: bool,
}

impl Features {
    /// Reads the reply to FEAT; a server without FEAT has none.
    pub fn read(reply: &Reply) -> Self {
        let mut named = BTreeMap::new();
        if reply.code == 211 {
            for line in reply.inner_lines() {
                // Some servers put `211-` before every line.
                let line = line.strip_prefix(b"211-").unwrap_or(line);
                let text = visible(line.trim_ascii());
                let (name, parameters) = text.split_once(' ').unwrap_or((&text, ""));
                named.insert(name.to_ascii_uppercase(), parameters.trim().to_owned());
            }
        }
        Self { named, refuses_list_all: false }
    }

    /// Whether the server named `feature`.
    pub fn has(&self, feature: &str) -> bool {
        self.named.contains_key(feature)
    }
}

/// A session just begun.
pub(super) struct LoggedIn {
    pub(super) control: Control,
    pub(super) features: Features,
    /// The folder after the login.
    pub(super) home: RemotePath,
    pub(super) security: Option<Security>,
    /// Our address, if the greeting told.
    pub(super) ours_there: Option<IpAddr>,
}

/// Greets, protects and logs in over `line`. What was learnt before TLS is not kept (security class C13).
pub(super) async fn login(
    line: Line,
    site: &Site,
    security: Option<&Security>,
    context: &Context,
) -> Outcome<LoggedIn> {
    let began = line.began;
    let security = security.map(Security::fresh);
    let implicit = security.as_ref().filter(|_| site.tls == Tls::Implicit);
    let (mut control, greeting) = Control::greeted(line, site, implicit, &context.stop).await?;
    let is_greeting = greeting.is_done();
    if !is_greeting {
        return Err(greeting.fault());
    }
    if site.tls == Tls::Explicit
        && let Some(security) = &security
    {
        start_tls(&mut control, security).await?;
    }
    if security.is_some() {
        protect_data(&mut control).await?;
    }
    if greeting.code != 230 || security.is_some() {
        identify(&mut control, site).await?;
    }
    let (features, home) = look_around(&mut control, site).await?;
    context.observer.tell(&Event::Connected {
        host: site.host.clone(),
        address: site.proxy.as_ref().map_or_else(|| control.peer.to_string(), ToString::to_string),
        tls: control.tls(),
        took: began.elapsed(),
    });
    if site.tls == Tls::Off
        && features.named.iter().any(|(name, with)| name == "AUTH" && with.contains("TLS"))
    {
        let message = "the server offers TLS and this session is without: ftpes:// protects password and files";
        context.observer.warn_once(format!("{}: {message}", site.host));
    }
    if site.trust.insecure && security.is_some() {
        let message = "its certificate is not checked (`insecure`): anyone in between can read and change all";
        context.observer.warn_once(format!("{}: {message}", site.host));
    }
    let ours_there = our_address_in(&greeting.text(), control.peer.ip());
    Ok(LoggedIn { control, features, home, security, ours_there })
}

/// AUTH TLS (RFC 4217, 4). A refusal ends it here, before any password is sent.
async fn start_tls(control: &mut Control, security: &Security) -> Outcome<()> {
    let reply = control.ask(&Command::bare("AUTH TLS")).await?;
    if reply.code != 234 {
        let message = format!("the server refused TLS, saying \"{}\"", reply.words());
        let fault = Fault::new(Kind::Tls, Side::Server, message);
        return Err(Fault { code: reply.code, ..fault });
    }
    control.upgrade(security);
    Ok(())
}

/// PBSZ and PROT (RFC 4217, 8 and 9); data never goes clear when protection was asked for.
async fn protect_data(control: &mut Control) -> Outcome<()> {
    for line in ["PBSZ 0", "PROT P"] {
        let reply = control.ask(&Command::bare(line)).await?;
        if !reply.is_done() {
            let message =
                format!("the server does not protect data ({line}: \"{}\")", reply.words());
            let fault = Fault::new(Kind::Tls, Side::Server, message);
            return Err(Fault { code: reply.code, ..fault });
        }
    }
    Ok(())
}

/// USER, PASS, ACCT (RFC 959, 4.1.1).
async fn identify(control: &mut Control, site: &Site) -> Outcome<()> {
    let anonymous = site.user.eq_ignore_ascii_case("anonymous") || site.user == "ftp";
    let mut reply = control.ask(&credential("USER", &site.user, "user")?).await?;
    if reply.code == 331 {
        let password = match &site.password {
            Some(password) => password.reveal(),
            None if anonymous => "portolan@",
            None => {
                let message = format!(
                    "the server wants a password for `{}`, and none was given",
                    visible(&site.user)
                );
                return Err(Fault::new(Kind::Denied, Side::Script, message));
            }
        };
        reply = control.ask(&credential("PASS", password, "password")?).await?;
    }
    if reply.code == 332 {
        let Some(account) = &site.account else {
            let message = "the server wants an account (`account`), and none was given";
            return Err(Fault::new(Kind::Denied, Side::Script, message));
        };
        reply = control.ask(&credential("ACCT", account.reveal(), "account")?).await?;
    }
    if reply.is_done() {
        return Ok(());
    }
    let fault = reply.fault();
    let mut words = reply.words();
    // A server that quotes the password back must not bring it into a log.
    if let Some(password) = site.password.as_ref().filter(|password| !password.reveal().is_empty())
    {
        words = words.replace(password.reveal(), "***");
    }
    let message =
        format!("the login as `{}` failed: the server said \"{words}\"", visible(&site.user));
    let kind = if reply.code / 100 == 5 { Kind::Denied } else { fault.kind };
    Err(Fault { kind, message, ..fault })
}

/// A command with a text of the user's; the fault names the option, never the text.
fn credential(verb: &str, text: &str, option: &str) -> Outcome<Command> {
    Command::parse(format!("{verb} {text}"))
        .map_err(|_| Fault::invalid(format!("`{option}` cannot hold a line end or a NUL")))
}

/// Binary type, features, names in UTF-8, and where we are: one round trip.
async fn look_around(control: &mut Control, site: &Site) -> Outcome<(Features, RemotePath)> {
    let mut commands = vec![Command::bare("TYPE I"), Command::bare("FEAT"), Command::bare("PWD")];
    if !site.latin1 {
        commands.push(Command::bare("OPTS UTF8 ON"));
    }
    let replies = control.ask_all(&commands).await?;
    let [binary, features, folder, ..] = replies.as_slice() else {
        return Err(Fault::protocol("fewer replies than commands"));
    };
    // Without it sizes are wrong and bytes are changed (security class C17).
    binary.clone().done()?;
    let home = match folder.code {
        257 => {
            let path = folder.quoted_path().and_then(|path| RemotePath::parse(path).ok());
            path.ok_or_else(|| {
                Fault::protocol(format!("cannot read the folder in \"{}\"", folder.words()))
            })?
        }
        _ => RemotePath::root(),
    };
    Ok((Features::read(features), RemotePath::root().resolve(&home)?))
}
