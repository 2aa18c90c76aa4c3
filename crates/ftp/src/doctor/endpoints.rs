//! The endpoints of a server: addresses, protection, certificates, logins.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    certificate::ServerCertificate,
    diagnosis::{Address, Diagnosis, Endpoint, LoginOutcome, Sessions, TlsInfo},
    prober::Prober,
};
use crate::{
    control::{ControlConnection, FtpCommand, connect, dial, resolve},
    login::begins_tls,
    reply::Reply,
    session::Session,
    site::{Mode, Site, TlsMode},
    tls::{TlsContext, TlsVersions},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result, codes::LOGIN_TOO_MANY_SESSIONS},
    limits::SURVEY_ADDRESSES_MAX,
};
use portolan_proto::Verb;

/// The port of implicit TLS.
const IMPLICIT_PORT: u16 = 990;
/// The port of plain FTP and explicit TLS.
const PORT: u16 = 21;
/// The time for a server to notice that a session has ended, before "too many" is believed.
const SETTLE_TIME: Duration = Duration::from_millis(400);

/// Describes an endpoint, for the progress line.
pub(super) fn words(endpoint: &Endpoint) -> String {
    let how = match endpoint.tls {
        TlsMode::Off => "without TLS",
        TlsMode::Explicit => "with TLS",
        TlsMode::Implicit => "with TLS from the first byte",
    };
    format!("{how} at {}", endpoint.address)
}

impl Prober<'_> {
    /// Resolves the host and connects to each of its addresses.
    pub(super) async fn look_up(&self, diagnosis: &mut Diagnosis) -> Result<()> {
        self.say(format!("looking up {}", self.site.host));
        let mut addresses = match self.inner.stop.run_until_cancelled(resolve(&self.site)).await? {
            Ok(addresses) => addresses,
            Err(error) => {
                diagnosis.lookup = Some(error);
                return Ok(());
            }
        };
        addresses.truncate(SURVEY_ADDRESSES_MAX);
        for address in addresses {
            self.say(format!("connecting to {address}"));
            let started = Instant::now();
            let connected =
                timeout(self.site.connect_timeout, connect(address, self.site.source_address));
            let reached = match self.inner.stop.run_until_cancelled(connected).await? {
                Ok(Ok(_)) => Ok(started.elapsed()),
                Ok(Err(error)) => Err(Error::network("cannot connect", error)),
                Err(_) => Err(silent(self.site.connect_timeout)),
            };
            diagnosis.addresses.push(Address { address, reached });
        }
        Ok(())
    }

    /// Probes the kinds of TLS that are offered at `address`, and returns the endpoints to log in at.
    pub(super) async fn probe_port(
        &self,
        address: SocketAddr,
        diagnosis: &mut Diagnosis,
    ) -> Result<Vec<Endpoint>> {
        let mut wanted = Vec::new();
        let asked = self.site.tls;
        if asked == TlsMode::Off {
            wanted.push(new_endpoint(TlsMode::Off, address));
        }
        let (here, elsewhere) = match asked {
            TlsMode::Implicit => (TlsMode::Implicit, (TlsMode::Explicit, PORT)),
            _ => (TlsMode::Explicit, (TlsMode::Implicit, IMPLICIT_PORT)),
        };
        let mut protected = self.probe_certificate(new_endpoint(here, address), diagnosis).await?;
        if protected.protection.is_some() && self.may_enter(&protected) {
            wanted.push(protected);
        } else {
            if protected.protection.is_some() {
                protected.entry = LoginOutcome::Offered(UNTRUSTED);
            }
            diagnosis.endpoints.push(protected);
        }
        // In a rehearsal there is one server at one port.
        if self.site.detour.is_none() && elsewhere.1 != address.port() {
            let there = new_endpoint(elsewhere.0, SocketAddr::new(address.ip(), elsewhere.1));
            let there = self.probe_certificate(there, diagnosis).await?;
            diagnosis.endpoints.push(there);
        }
        Ok(wanted)
    }

    /// Returns true if the password, if there is one, may be sent to this endpoint.
    fn may_enter(&self, endpoint: &Endpoint) -> bool {
        let distrust =
            endpoint.protection.as_ref().and_then(|protection| protection.distrust.as_ref());
        distrust.is_none() || self.site.password.is_none()
    }

    /// Makes a TLS handshake and reads the certificate, without a login.
    async fn probe_certificate(
        &self,
        mut endpoint: Endpoint,
        diagnosis: &mut Diagnosis,
    ) -> Result<Endpoint> {
        self.say(format!("shaking hands {}", words(&endpoint)));
        let mut site = self.site_of(&endpoint);
        let mut peeked = self.peek_with(&site, diagnosis).await;
        let mut distrust = None;
        if let Err(error) = &peeked
            && error.kind == ErrorKind::Tls
            && error.code == 0
            && !site.trust.insecure
        {
            distrust = Some(error.clone());
            site.trust.insecure = true;
            peeked = self.peek_with(&site, diagnosis).await;
        }
        self.inner.stop.check()?;
        match peeked {
            Ok((version, certificate)) => {
                let certificate = certificate.as_deref().map(ServerCertificate::read);
                endpoint.protection = Some(TlsInfo { version, certificate, distrust });
                endpoint.entry = LoginOutcome::Offered(ELSEWHERE);
            }
            Err(error) => endpoint.entry = LoginOutcome::Shut(distrust.unwrap_or(error)),
        }
        Ok(endpoint)
    }

    async fn peek_with(
        &self,
        site: &Site,
        diagnosis: &mut Diagnosis,
    ) -> Result<(String, Option<Vec<u8>>)> {
        let security = TlsContext::new(site.certified_name(), &site.trust, TlsVersions::All)?;
        let implicit = Some(&security).filter(|_| site.tls == TlsMode::Implicit);
        let stop = &self.inner.stop;
        let line = dial(site, None, &self.inner).await?;
        let (mut control, greeting) =
            ControlConnection::greeted(line, site, implicit, stop).await?;
        diagnosis.greeting.get_or_insert_with(|| welcome(&greeting));
        if !greeting.is_done() {
            return Err(greeting.fault());
        }
        if implicit.is_none() {
            let reply = control.ask(&FtpCommand::with(Verb::Auth, "TLS")).await?;
            if !begins_tls(&reply) {
                control.ask(&FtpCommand::bare(Verb::Quit)).await?;
                return Err(reply.fault());
            }
            control.upgrade(&security);
        }
        // The handshake takes place with the first command.
        control.ask(&FtpCommand::with(Verb::Pbsz, "0")).await?;
        let found = (control.tls().unwrap_or_default(), control.certificate());
        control.ask(&FtpCommand::bare(Verb::Quit)).await?;
        Ok(found)
    }

    /// Opens a session at `endpoint`. A server that reports too many sessions is retried after a moment.
    pub(super) async fn enter(&self, endpoint: &Endpoint) -> Result<Session> {
        let opened = Session::open(self.site_of(endpoint), self.inner.clone()).await;
        match opened {
            Err(error) if error.name == Some(LOGIN_TOO_MANY_SESSIONS) => {
                self.inner.stop.run_until_cancelled(tokio::time::sleep(SETTLE_TIME)).await?;
                Session::open(self.site_of(endpoint), self.inner.clone()).await
            }
            opened => opened,
        }
    }

    /// Opens sessions at the same time until one is refused or the maximum is reached.
    pub(super) async fn probe_session_limit(
        &self,
        endpoint: &Endpoint,
        diagnosis: &mut Diagnosis,
    ) -> Result<()> {
        let most = self.options.sessions.min(portolan_core::limits::SURVEY_SESSIONS_MAX);
        let mut held = Vec::new();
        let mut refusal = None;
        self.say(format!("opening up to {most} sessions at a time"));
        while held.len() < usize::from(most) && refusal.is_none() {
            match self.enter(endpoint).await {
                Ok(session) => held.push(session),
                Err(error) => refusal = Some(error),
            }
        }
        let open = u16::try_from(held.len()).unwrap_or(most);
        for session in held {
            session.close().await;
        }
        self.inner.stop.check()?;
        if let Some(server) = &mut diagnosis.server {
            server.sessions = Some(Sessions { open, refusal });
        }
        Ok(())
    }

    fn site_of(&self, endpoint: &Endpoint) -> Site {
        let mut site = self.site.clone();
        // Every mode is tried separately.
        site.mode = Mode::Auto;
        site.tls = endpoint.tls;
        site.port = endpoint.address.port();
        site.address = Some(endpoint.address);
        if endpoint.protection.as_ref().is_some_and(|protection| protection.distrust.is_some()) {
            // The distrust is known already, and no password is sent there: see `may_enter`.
            site.trust.insecure = true;
        }
        site
    }
}

/// The reason for not logging in at an endpoint whose certificate is not trusted.
const UNTRUSTED: &str = "its certificate is not trusted, so it is not shown the password";
const ELSEWHERE: &str = "another port than the URL's, so it is not shown the password";

fn new_endpoint(tls: TlsMode, address: SocketAddr) -> Endpoint {
    let entry = LoginOutcome::Offered(ELSEWHERE);
    Endpoint { tls, address, local: None, protection: None, entry, trials: Vec::new() }
}

/// Returns a greeting in one line, without the codes in front of its lines.
fn welcome(greeting: &Reply) -> String {
    let text = greeting.text();
    let code = format!("{}-", greeting.code);
    let lines = text.split(" / ").map(|line| line.strip_prefix(&code).unwrap_or(line).trim());
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join(" / ")
}

fn silent(time: Duration) -> Error {
    let message = format!("cannot connect: no answer in {} s", time.as_secs_f32());
    Error::new(ErrorKind::Timeout, Origin::Network, message)
}
