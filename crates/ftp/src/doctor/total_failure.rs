//! The verdicts for servers over which no data came through at all. Pure.

use super::{
    diagnosis::{Diagnosis, Endpoint, LoginOutcome},
    verdict::{capital, ended, entered, mode_of, reason},
};
use crate::site::TlsMode;
use portolan_core::{
    error::{Error, ErrorKind, Origin},
    observe::visible::visible,
};

/// Returns the sentence, and the fault that is its cause.
pub(super) fn no_way(diagnosis: &Diagnosis) -> (String, Error) {
    let tried = [unknown, silent, deaf, distrusted, shut];
    tried.iter().find_map(|read| read(diagnosis)).unwrap_or_else(|| {
        let message = "the time was over before a mode was tried";
        let error = Error::new(ErrorKind::Timeout, Origin::Here, message);
        (format!("{}.", capital(message)), error)
    })
}

/// The verdict for a host name that cannot be resolved.
fn unknown(diagnosis: &Diagnosis) -> Option<(String, Error)> {
    let error = diagnosis.lookup.clone()?;
    let host = visible(&diagnosis.site.host);
    Some((format!("The name {host} is not known here: {}.", error.message), error))
}

/// The verdict for a host of which no address responds.
fn silent(diagnosis: &Diagnosis) -> Option<(String, Error)> {
    if diagnosis.addresses.iter().any(|address| address.reached.is_ok()) {
        return None;
    }
    let error = diagnosis.addresses.iter().find_map(|address| address.reached.as_ref().err())?;
    let (host, port) = (visible(&diagnosis.site.host), diagnosis.site.port);
    Some((format!("Nothing answers at {host}, port {port}: {}.", error.message), error.clone()))
}

/// The verdict for a server that accepts the login while no mode works.
fn deaf(diagnosis: &Diagnosis) -> Option<(String, Error)> {
    let endpoint = entered(diagnosis)?;
    let failed = |is_active: bool| {
        let trial = endpoint.trials.iter().find(|trial| trial.step.is_active() == is_active)?;
        let (mode, error) = (mode_of(trial.step), trial.fault()?);
        let why = reason(diagnosis, endpoint, mode, error);
        Some((format!("{} mode does not work, because {why}", mode.as_str()), error.clone()))
    };
    let (passive, error) = failed(false)?;
    let active = failed(true).map(|(active, _)| format!("; {active}")).unwrap_or_default();
    let sentence = "The login works, but no data comes through in either mode";
    Some((ended(format!("{sentence}: {passive}{active}")), error))
}

/// The verdict for an untrusted certificate at the requested endpoint.
fn distrusted(diagnosis: &Diagnosis) -> Option<(String, Error)> {
    let asked = |endpoint: &&Endpoint| endpoint.tls == diagnosis.site.tls;
    let protection = diagnosis.endpoints.iter().find(asked)?.protection.as_ref()?;
    let error = protection.distrust.clone()?;
    let reason = capital(&error.message);
    Some((format!("{reason}; so no password was sent, and no mode was tried."), error))
}

/// The verdict for a server that refuses every login.
fn shut(diagnosis: &Diagnosis) -> Option<(String, Error)> {
    let of = |endpoint: &Endpoint| match &endpoint.entry {
        LoginOutcome::Shut(error) => Some(error.clone()),
        _ => None,
    };
    let asked = diagnosis
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.tls == diagnosis.site.tls)
        .find_map(of);
    let error = asked.or_else(|| diagnosis.endpoints.iter().find_map(of))?;
    let advice = match diagnosis.endpoints.iter().find(|endpoint| endpoint.protection.is_some()) {
        Some(endpoint)
            if diagnosis.site.tls == TlsMode::Off && endpoint.tls == TlsMode::Explicit =>
        {
            "; it offers TLS, so ftpes:// may do"
        }
        _ => "",
    };
    let sentence = "The server answers, but does not let us in";
    Some((ended(format!("{sentence}: {}{advice}", error.message)), error))
}
