//! The verdicts for servers over which no data came through at all. Pure.

use super::{
    Diagnosis, Endpoint, LoginOutcome,
    verdict::{capital, ended, entered, mode_of, reason},
};
use crate::{
    error::{Error, ErrorKind, Origin},
    ftp::site::TlsMode,
    observe::visible::visible,
};

/// Returns the sentence, and the fault that is its cause.
pub(super) fn no_way(survey: &Diagnosis) -> (String, Error) {
    let tried = [unknown, silent, deaf, distrusted, shut];
    tried.iter().find_map(|read| read(survey)).unwrap_or_else(|| {
        let message = "the time was over before a mode was tried";
        let fault = Error::new(ErrorKind::Timeout, Origin::Here, message);
        (format!("{}.", capital(message)), fault)
    })
}

/// The verdict for a host name that cannot be resolved.
fn unknown(survey: &Diagnosis) -> Option<(String, Error)> {
    let fault = survey.lookup.clone()?;
    let host = visible(&survey.site.host);
    Some((format!("The name {host} is not known here: {}.", fault.message), fault))
}

/// The verdict for a host of which no address responds.
fn silent(survey: &Diagnosis) -> Option<(String, Error)> {
    if survey.addresses.iter().any(|address| address.reached.is_ok()) {
        return None;
    }
    let fault = survey.addresses.iter().find_map(|address| address.reached.as_ref().err())?;
    let (host, port) = (visible(&survey.site.host), survey.site.port);
    Some((format!("Nothing answers at {host}, port {port}: {}.", fault.message), fault.clone()))
}

/// The verdict for a server that accepts the login while no mode works.
fn deaf(survey: &Diagnosis) -> Option<(String, Error)> {
    let door = entered(survey)?;
    let failed = |is_active: bool| {
        let trial = door.trials.iter().find(|trial| trial.step.is_active() == is_active)?;
        let (mode, fault) = (mode_of(trial.step), trial.fault()?);
        let why = reason(survey, door, mode, fault);
        Some((format!("{} mode does not work, because {why}", mode.word()), fault.clone()))
    };
    let (passive, fault) = failed(false)?;
    let active = failed(true).map(|(active, _)| format!("; {active}")).unwrap_or_default();
    let sentence = "The login works, but no data comes through in either mode";
    Some((ended(format!("{sentence}: {passive}{active}")), fault))
}

/// The verdict for an untrusted certificate at the requested endpoint.
fn distrusted(survey: &Diagnosis) -> Option<(String, Error)> {
    let asked = |door: &&Endpoint| door.tls == survey.site.tls;
    let protection = survey.doors.iter().find(asked)?.protection.as_ref()?;
    let fault = protection.distrust.clone()?;
    let reason = capital(&fault.message);
    Some((format!("{reason}; so no password was sent, and no mode was tried."), fault))
}

/// The verdict for a server that refuses every login.
fn shut(survey: &Diagnosis) -> Option<(String, Error)> {
    let of = |door: &Endpoint| match &door.entry {
        LoginOutcome::Shut(fault) => Some(fault.clone()),
        _ => None,
    };
    let asked = survey.doors.iter().filter(|door| door.tls == survey.site.tls).find_map(of);
    let fault = asked.or_else(|| survey.doors.iter().find_map(of))?;
    let advice = match survey.doors.iter().find(|door| door.protection.is_some()) {
        Some(door) if survey.site.tls == TlsMode::Off && door.tls == TlsMode::Explicit => {
            "; it offers TLS, so ftpes:// may do"
        }
        _ => "",
    };
    let sentence = "The server answers, but does not let us in";
    Some((ended(format!("{sentence}: {}{advice}", fault.message)), fault))
}
