//! The proof of a ruleset by FTP: real sessions through the gateway, during the trial.

use std::{net::IpAddr, time::Duration};

use crate::{
    error::{Error, ErrorKind, Result},
    ftp::{
        doctor::{Diagnosis, DoctorOptions, Endpoint, LoginOutcome, ModeProbe, survey},
        session::RunContext,
        site::{Mode, Site, TlsMode},
    },
    nat::{
        NatError,
        check::Family,
        host::HostNetwork,
        model::RulesetSpec,
        proof::{ProofSession, sessions},
    },
};

/// The maximum time of one session, which is below that of the usual trial.
const SESSION_TIME_MAX: Duration = Duration::from_secs(45);

/// Proves `ruleset` by sessions with the server of `site`, and returns the steps that worked. Nothing is written to the
/// server. Fails with `nat.probe_failed` and the name of the step.
pub async fn prove(
    site: &Site,
    ruleset: &RulesetSpec,
    context: &RunContext,
) -> Result<Vec<String>> {
    let is_v6 = site.host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6());
    let family = if is_v6 { Family::V6 } else { Family::V4 };
    let options = DoctorOptions { read_only: true, sessions: 1, time: SESSION_TIME_MAX };
    let mut worked = Vec::new();
    for session in sessions(ruleset, &HostNetwork::look(), family) {
        let site = Site { source_address: session.source, ..site.clone() };
        let found = survey(&site, &options, context).await?;
        if let Some(error) = &found.lookup {
            return Err(failed("look-up", error));
        }
        if let Some(fault) = not_entered(&site, &found) {
            return Err(failed("login", &fault));
        }
        for endpoint in &found.endpoints {
            worked.extend(judged(endpoint, &session)?);
        }
    }
    Ok(worked)
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
fn judged(endpoint: &Endpoint, session: &ProofSession) -> Result<Vec<String>> {
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
        let name = step(mode, is_plain, session.source);
        let tried: Vec<&ModeProbe> =
            endpoint.trials.iter().filter(|one| one.step.kind() == mode).collect();
        if tried.iter().any(|one| one.carries()) {
            worked.push(name);
        } else if must {
            let fault = tried.iter().find_map(|one| one.fault());
            let fault =
                fault.cloned().unwrap_or_else(|| Error::invalid("it was not tried in time"));
            return Err(failed(&name, &fault));
        }
    }
    Ok(worked)
}

fn step(mode: Mode, is_plain: bool, source: Option<IpAddr>) -> String {
    let mode = if mode == Mode::Passive { "passive mode" } else { "active mode" };
    let tls = if is_plain { "plain" } else { "TLS" };
    match source {
        Some(source) => format!("{mode}, {tls}, from {source}"),
        None => format!("{mode}, {tls}"),
    }
}

fn failed(step: &str, error: &Error) -> Error {
    NatError::ProbeFailed
        .fault(format!("the probe failed at this step: {step} ({})", error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named_with_mode_protection_and_source() {
        let inner = "192.168.0.1".parse().ok();
        assert_eq!(step(Mode::Passive, true, inner), "passive mode, plain, from 192.168.0.1");
        assert_eq!(step(Mode::Active, false, None), "active mode, TLS");
        let fault = failed("login", &Error::invalid("530 no"));
        assert_eq!(fault.name, Some("nat.probe_failed"));
        assert!(fault.message.ends_with("this step: login (530 no)"), "{}", fault.message);
    }
}
