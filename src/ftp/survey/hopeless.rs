//! The verdicts for servers over which no data came through at all. Pure.

use super::{
    Door, Entry, Survey,
    verdict::{capital, ended, entered, mode_of, reason},
};
use crate::{
    fault::{Fault, Kind, Side},
    ftp::site::Tls,
    observe::visible::visible,
};

/// Returns the sentence, and the fault that is its cause.
pub(super) fn no_way(survey: &Survey) -> (String, Fault) {
    let tried = [unknown, silent, deaf, distrusted, shut];
    tried.iter().find_map(|read| read(survey)).unwrap_or_else(|| {
        let message = "the time was over before a mode was tried";
        let fault = Fault::new(Kind::Timeout, Side::Here, message);
        (format!("{}.", capital(message)), fault)
    })
}

/// The verdict for a host name that cannot be resolved.
fn unknown(survey: &Survey) -> Option<(String, Fault)> {
    let fault = survey.lookup.clone()?;
    let host = visible(&survey.site.host);
    Some((format!("The name {host} is not known here: {}.", fault.message), fault))
}

/// The verdict for a host of which no address responds.
fn silent(survey: &Survey) -> Option<(String, Fault)> {
    if survey.addresses.iter().any(|address| address.reached.is_ok()) {
        return None;
    }
    let fault = survey.addresses.iter().find_map(|address| address.reached.as_ref().err())?;
    let (host, port) = (visible(&survey.site.host), survey.site.port);
    Some((format!("Nothing answers at {host}, port {port}: {}.", fault.message), fault.clone()))
}

/// The verdict for a server that accepts the login while no mode works.
fn deaf(survey: &Survey) -> Option<(String, Fault)> {
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
fn distrusted(survey: &Survey) -> Option<(String, Fault)> {
    let asked = |door: &&Door| door.tls == survey.site.tls;
    let protection = survey.doors.iter().find(asked)?.protection.as_ref()?;
    let fault = protection.distrust.clone()?;
    let reason = capital(&fault.message);
    Some((format!("{reason}; so no password was sent, and no mode was tried."), fault))
}

/// The verdict for a server that refuses every login.
fn shut(survey: &Survey) -> Option<(String, Fault)> {
    let of = |door: &Door| match &door.entry {
        Entry::Shut(fault) => Some(fault.clone()),
        _ => None,
    };
    let asked = survey.doors.iter().filter(|door| door.tls == survey.site.tls).find_map(of);
    let fault = asked.or_else(|| survey.doors.iter().find_map(of))?;
    let advice = match survey.doors.iter().find(|door| door.protection.is_some()) {
        Some(door) if survey.site.tls == Tls::Off && door.tls == Tls::Explicit => {
            "; it offers TLS, so ftpes:// may do"
        }
        _ => "",
    };
    let sentence = "The server answers, but does not let us in";
    Some((ended(format!("{sentence}: {}{advice}", fault.message)), fault))
}
