//! The verdict of a survey: one sentence, and the options for the script. Pure.

use std::{net::SocketAddr, time::Duration};

use super::{Diagnosis, Endpoint, LoginOutcome, ModeProbe, advice, total_failure};
use crate::{
    error::{Error, ErrorKind},
    ftp::{
        data::{
            method::DataMethod,
            nat_diagnosis::{ObservedAddresses, sees_two_addresses},
        },
        site::{Mode, TlsMode},
    },
    observe::format_duration,
};

/// The recommendation, for users who have never heard of active FTP.
#[derive(Debug, Clone)]
pub struct Advice {
    /// The summary in one sentence.
    pub sentence: String,
    /// The mode to use, if one works.
    pub mode: Option<Mode>,
    /// The first method of that mode that worked.
    pub step: Option<DataMethod>,
    /// The kind of TLS to use.
    pub tls: TlsMode,
    /// The server's address and port to which all this applies.
    pub server: Option<SocketAddr>,
    /// The options for `ftp::connect`, as script literals.
    pub options: Vec<(&'static str, String)>,
    /// The line for the script; empty if nothing works.
    pub snippet: String,
    /// The reason why no mode does everything that was tried.
    pub fault: Option<Error>,
}

/// Derives the verdict from a survey.
pub fn verdict(survey: &Diagnosis) -> Advice {
    let blank = |sentence: String, fault: Option<Error>| Advice {
        sentence,
        mode: None,
        step: None,
        tls: entered(survey).map_or(survey.site.tls, |door| door.tls),
        server: entered(survey).map(|door| door.address),
        options: Vec::new(),
        snippet: String::new(),
        fault,
    };
    let Some((door, trial)) = best(survey) else {
        let (sentence, fault) = total_failure::no_way(survey);
        return blank(sentence, Some(fault));
    };
    let mode = mode_of(trial.step);
    let mut sentence = match trial.fault() {
        None => format!("Use {} mode: it works {}", mode.word(), places(survey, mode)),
        Some(fault) => format!(
            "{} mode gets data through, but not every way: {}",
            capital(mode.word()),
            fault.message
        ),
    };
    if let Some(time) = trial.time().filter(|_| trial.fault().is_none()) {
        let what = if trial.upload.is_some() { "a file" } else { "a listing" };
        sentence = format!("{sentence}, {} {what}", ms_text(time));
    }
    let sentence = ended(format!("{sentence}; {}", other_mode(survey, door, mode)));
    let options = advice::options(survey, door, mode);
    let snippet = advice::snippet(survey, door, &options);
    let (mode, step) = (Some(mode), Some(trial.step));
    let fault = trial.fault().cloned();
    let server = Some(door.address);
    Advice { sentence, mode, step, tls: door.tls, server, options, snippet, fault }
}

/// Returns the first endpoint at which the login succeeded.
pub(super) fn entered(survey: &Diagnosis) -> Option<&Endpoint> {
    survey.doors.iter().find(|door| matches!(door.entry, LoginOutcome::Entered(_)))
}

/// Returns the mode of a method.
pub(super) const fn mode_of(step: DataMethod) -> Mode {
    if step.is_active() { Mode::Active } else { Mode::Passive }
}

/// Returns the trial to recommend: one that did everything, under TLS if possible, passive if possible.
fn best(survey: &Diagnosis) -> Option<(&Endpoint, &ModeProbe)> {
    let all = || survey.doors.iter().flat_map(|door| door.trials.iter().map(move |t| (door, t)));
    let rank = |(door, trial): &(&Endpoint, &ModeProbe)| {
        (trial.fault().is_some(), door.tls == TlsMode::Off, trial.step.is_active())
    };
    // Among equals the first one wins: the address that the resolver lists first.
    all().filter(|(_, trial)| trial.carries()).min_by_key(rank)
}

/// Returns the endpoints at which `mode` did everything.
fn works(survey: &Diagnosis, mode: Mode) -> impl Iterator<Item = &Endpoint> {
    let does = move |trial: &ModeProbe| mode_of(trial.step) == mode && trial.fault().is_none();
    survey.doors.iter().filter(move |door| door.trials.iter().any(does))
}

fn places(survey: &Diagnosis, mode: Mode) -> &'static str {
    let plain = works(survey, mode).any(|door| door.tls == TlsMode::Off);
    let protected = works(survey, mode).any(|door| door.tls != TlsMode::Off);
    match (plain, protected) {
        (true, true) => "plain and under TLS",
        (false, true) => "under TLS",
        _ => "without TLS",
    }
}

fn other_mode(survey: &Diagnosis, door: &Endpoint, mode: Mode) -> String {
    let (other, word) = match mode {
        Mode::Active => (Mode::Passive, "passive"),
        _ => (Mode::Active, "active"),
    };
    let mut tried = door.trials.iter().filter(|trial| mode_of(trial.step) == other).peekable();
    let Some(first) = tried.peek().copied() else { return format!("{word} mode was not tried") };
    if tried.any(|trial| trial.fault().is_none()) {
        return format!("{word} mode works as well");
    }
    match first.fault() {
        Some(fault) => {
            format!("{word} mode does not, because {}", reason(survey, door, other, fault))
        }
        None => format!("{word} mode works in part"),
    }
}

/// Returns the reason why a mode failed, in words for users who do not know how it works.
pub(super) fn reason(survey: &Diagnosis, door: &Endpoint, mode: Mode, fault: &Error) -> String {
    let is_active = mode == Mode::Active;
    let nat = seen(survey, door).and_then(|seen| seen.explain(is_active, fault));
    let nat = nat.map(|why| {
        format!(
            " ({})",
            why.replacen("this machine is", "it is", 1).replacen("this machine's", "its", 1)
        )
    });
    let is_of_network = matches!(
        fault.kind,
        ErrorKind::DataConnection | ErrorKind::Timeout | ErrorKind::Unreachable
    );
    match (is_active, nat) {
        _ if sees_two_addresses(fault) => {
            let why = seen(survey, door).and_then(|seen| seen.explain(is_active, fault));
            format!("{} ({})", why.unwrap_or_default(), fault.message)
        }
        (true, Some(nat)) => format!("the server cannot reach this machine{nat}"),
        (true, None) if is_of_network => {
            "the server's connection does not come through to this machine (a firewall here or on the way)".into()
        }
        (false, nat) if is_of_network => {
            let why = nat.unwrap_or_else(|| " (a firewall in front of it)".into());
            format!("the ports that the server names cannot be reached{why}")
        }
        _ => fault.message.clone(),
    }
}

/// Returns the addresses observed at an endpoint.
pub(super) fn seen(survey: &Diagnosis, door: &Endpoint) -> Option<ObservedAddresses> {
    let server = survey.server.as_ref();
    Some(ObservedAddresses {
        ours: door.local?.ip().to_canonical(),
        peer: door.address.ip().to_canonical(),
        ours_there: server.and_then(|server| server.sees_us_at),
        announced: survey.site.external_address,
        named: server.and_then(|server| server.passive_address),
    })
}

/// Formats a duration in whole milliseconds; the fraction is of no interest.
pub fn ms_text(time: Duration) -> String {
    if time < Duration::from_millis(1) { "under 1 ms".into() } else { format_duration(time) }
}

/// Returns the sentence with its full stop, unless it ends with the server's own.
pub(super) fn ended(sentence: String) -> String {
    if sentence.ends_with(".\"") { sentence } else { sentence + "." }
}

/// Returns the text with a capital first letter.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
