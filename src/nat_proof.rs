//! The proof of a ruleset by FTP: real sessions through the gateway, during the trial.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    error::{Error, ErrorKind, Result},
    ftp::{
        doctor::{Diagnosis, DoctorOptions, Endpoint, LoginOutcome, ModeProbe, survey},
        session::RunContext,
        site::{Mode, Site, TlsMode},
    },
    nat::{
        NatError,
        check::Interface,
        host::HostNetwork,
        inside::InsideClient,
        model::RulesetSpec,
        proof::{ProofSession, sessions},
        twin::question,
    },
};

/// The maximum time of all sessions together, which is below that of the usual trial.
const SESSIONS_TIME_MAX: Duration = Duration::from_secs(45);
/// The minimum time for one of them: it tries two modes, whose timeouts are a few seconds.
const SESSION_TIME_MIN: Duration = Duration::from_secs(15);

/// Proves `ruleset` by sessions with the server of `site`, and returns the steps that worked. Nothing is written to the
/// server. Fails with `nat.probe_failed` and the name of the step.
///
/// Their clients stand inside: their packets are forwarded as those of every other host there. Where no client's place can
/// be had, sessions come from the host's own address inside, and the steps say so.
pub async fn prove(
    site: &Site,
    ruleset: &RulesetSpec,
    context: &RunContext,
) -> Result<Vec<String>> {
    // A namespace has no resolver.
    let servers = look_up(site).await.map_err(|error| failed("look-up", &error))?;
    let here = HostNetwork::look();
    // Of a server with both families, the one that the ruleset carries.
    let is_carried = |server: &&SocketAddr| {
        sessions(ruleset, &here, **server).iter().any(|session| session.inside.is_some())
    };
    let server = servers.iter().find(is_carried).or(servers.first());
    let server = *server.ok_or_else(|| failed("look-up", &Error::invalid("it has no address")))?;
    let site = Site { address: Some(server), ..site.clone() };
    let sessions = sessions(ruleset, &here, server);
    let count = u32::try_from(sessions.len()).unwrap_or(1).max(1);
    let time = (SESSIONS_TIME_MAX / count).max(SESSION_TIME_MIN);
    let mut worked = Vec::new();
    for session in sessions {
        let place = match &session.inside {
            None => ProofPlace::Here,
            Some(inside) => match InsideClient::open(inside) {
                Ok(client) => ProofPlace::Inside(client, inside.device.clone()),
                // A host with that address would be cut off.
                Err(fault) if inside.client.is_some() => {
                    worked.push(format!("active mode to a range not tried ({})", fault.message));
                    continue;
                }
                Err(fault) => ProofPlace::Beside(inside.gateway, fault.message),
            },
        };
        let site = place.site(&site, &session);
        let found = place.survey(&site, time, context).await?;
        if let Some(error) = &found.lookup {
            return Err(failed("look-up", error));
        }
        if let Some(fault) = not_entered(&site, &found) {
            return Err(failed(&place.named("login"), &with_rule(fault, place.stopped(server))));
        }
        for endpoint in &found.endpoints {
            worked.extend(judged(endpoint, &session, &place)?);
        }
    }
    Ok(worked)
}

async fn look_up(site: &Site) -> Result<Vec<SocketAddr>> {
    if let Some(address) = site.detour.or(site.address) {
        return Ok(vec![address]);
    }
    let found = tokio::net::lookup_host((site.host.as_str(), site.port)).await;
    Ok(found.map_err(|error| Error::network("cannot find the host", error))?.collect())
}

/// The place of a session's client.
enum ProofPlace {
    /// The host, for what is open to its own sessions.
    Here,
    /// A place in a network inside, and the interface of the host that is in it.
    Inside(InsideClient, String),
    /// An address of the host inside, and the reason why there is no other place.
    Beside(IpAddr, String),
}

impl ProofPlace {
    fn site(&self, site: &Site, session: &ProofSession) -> Site {
        let mut site = site.clone();
        match self {
            Self::Here => {}
            Self::Beside(address, _) => site.source_address = Some(*address),
            Self::Inside(..) => {
                if let Some((range, external)) = &session.announced {
                    site.port_range = Some(range.clone());
                    site.external_address = Some(*external);
                }
                site.map_ports = false;
            }
        }
        site
    }

    async fn survey(&self, site: &Site, time: Duration, context: &RunContext) -> Result<Diagnosis> {
        let options = DoctorOptions { read_only: true, sessions: 1, time };
        let Self::Inside(client, _) = self else {
            return survey(site, &options, context).await;
        };
        // Ports that are open on this host are not the client's.
        let context = RunContext { port_provider: None, ..context.clone() };
        client.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime
                .map_err(|error| Error::local("start", "the runtime of the client", error))?;
            runtime.block_on(survey(site, &options, &context))
        })?
    }

    /// Returns the reason why this host does not let the client's connection to `to` pass, with the rule that stops it.
    fn stopped(&self, to: SocketAddr) -> Option<String> {
        let Self::Inside(client, device) = self else { return None };
        question::reason(client.address, to, Some(Interface::parse(device).ok()?))
    }

    /// Returns a step with the place that it was tried from.
    fn named(&self, step: &str) -> String {
        match self {
            Self::Here => step.to_owned(),
            Self::Inside(client, _) => format!("{step}, from {}", client.address),
            Self::Beside(address, why) => format!("{step}, from {address} (of this host: {why})"),
        }
    }
}

/// Returns the reason why no session was held: at any endpoint, or at the one that the URL demands.
fn not_entered(site: &Site, found: &Diagnosis) -> Option<Error> {
    let is_wanted = |endpoint: &&Endpoint| site.tls == TlsMode::Off || endpoint.tls == site.tls;
    let is_entered = |endpoint: &Endpoint| matches!(endpoint.entry, LoginOutcome::Entered(_));
    let mut wanted = found.endpoints.iter().filter(is_wanted);
    if wanted.any(is_entered) {
        return None;
    }
    // A server without TLS refuses that as well: the ordinary endpoint tells more.
    let shut = |endpoint: &Endpoint| match &endpoint.entry {
        LoginOutcome::Shut(error) => Some(error.clone()),
        _ => None,
    };
    let plain = found.endpoints.iter().find(|one| one.tls == site.tls).and_then(shut);
    let unreached = found.addresses.iter().find_map(|one| one.reached.as_ref().err().cloned());
    let any = || found.endpoints.iter().find_map(shut);
    plain.or(unreached).or_else(any).or_else(|| Some(Error::invalid("no answer")))
}

/// Returns the steps that worked at an endpoint; none where no session was held.
fn judged(endpoint: &Endpoint, session: &ProofSession, place: &ProofPlace) -> Result<Vec<String>> {
    match &endpoint.entry {
        LoginOutcome::Entered(_) => {}
        // No password is sent to a server that is not trusted.
        LoginOutcome::Shut(error) if error.kind == ErrorKind::Tls => {
            return Ok(vec![format!("TLS not tried: {}", error.message)]);
        }
        LoginOutcome::Shut(_) | LoginOutcome::Offered(_) => return Ok(Vec::new()),
    }
    let is_plain = endpoint.tls == TlsMode::Off;
    let must_be_active = if is_plain { session.is_active } else { session.is_active_under_tls };
    let mut worked = Vec::new();
    for (mode, must) in [(Mode::Passive, true), (Mode::Active, must_be_active)] {
        let name = place.named(&step(mode, is_plain));
        let tried: Vec<&ModeProbe> =
            endpoint.trials.iter().filter(|one| one.step.kind() == mode).collect();
        if tried.iter().any(|one| one.carries()) {
            worked.push(name);
        } else if must {
            let fault = tried.iter().find_map(|one| one.fault());
            let fault =
                fault.cloned().unwrap_or_else(|| Error::invalid("it was not tried in time"));
            // Of the other direction only the kernel knows what a helper expects.
            let there = tried.iter().find_map(|one| one.address.parse().ok());
            let there = there.filter(|_| mode == Mode::Passive);
            let rule = there.and_then(|there| place.stopped(there));
            return Err(failed(&name, &with_rule(fault, rule)));
        }
    }
    Ok(worked)
}

fn step(mode: Mode, is_plain: bool) -> String {
    let mode = if mode == Mode::Passive { "passive mode" } else { "active mode" };
    let tls = if is_plain { "plain" } else { "TLS" };
    format!("{mode}, {tls}")
}

/// Returns a fault with the rule that did it, if it is known.
fn with_rule(fault: Error, rule: Option<String>) -> Error {
    let Some(rule) = rule else { return fault };
    Error { message: format!("{}; here {rule}", fault.message), ..fault }
}

fn failed(step: &str, error: &Error) -> Error {
    NatError::ProbeFailed
        .fault(format!("the probe failed at this step: {step} ({})", error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named_with_mode_protection_and_place() {
        assert_eq!(step(Mode::Passive, true), "passive mode, plain");
        let beside = ProofPlace::Beside("192.168.0.1".parse().unwrap(), "no `tc`".into());
        let name = beside.named(&step(Mode::Active, false));
        assert_eq!(name, "active mode, TLS, from 192.168.0.1 (of this host: no `tc`)");
        assert_eq!(ProofPlace::Here.named("login"), "login");
        let fault = failed("login", &Error::invalid("530 no"));
        assert_eq!(fault.name, Some("nat.probe_failed"));
        assert!(fault.message.ends_with("this step: login (530 no)"), "{}", fault.message);
    }
}
