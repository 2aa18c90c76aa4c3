//! The verdict of a diagnosis: one sentence, and the options for the script. Pure.

use std::{net::SocketAddr, time::Duration};

use super::{
    advice,
    diagnosis::{Diagnosis, Endpoint, LoginOutcome, ModeProbe},
    total_failure,
};
use crate::{
    data::{
        method::DataMethod,
        nat_diagnosis::{ObservedAddresses, sees_two_addresses},
    },
    site::{Mode, TlsMode},
};
use portolan_core::{
    error::{Error, ErrorKind},
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
    pub error: Option<Error>,
}

/// Derives the verdict from a diagnosis.
pub fn verdict(diagnosis: &Diagnosis) -> Advice {
    let blank = |sentence: String, error: Option<Error>| Advice {
        sentence,
        mode: None,
        step: None,
        tls: entered(diagnosis).map_or(diagnosis.site.tls, |endpoint| endpoint.tls),
        server: entered(diagnosis).map(|endpoint| endpoint.address),
        options: Vec::new(),
        snippet: String::new(),
        error,
    };
    let Some((endpoint, trial)) = best(diagnosis) else {
        let (sentence, error) = total_failure::no_way(diagnosis);
        return blank(sentence, Some(error));
    };
    let mode = mode_of(trial.step);
    let mut sentence = match trial.fault() {
        None => format!("Use {} mode: it works {}", mode.as_str(), places(diagnosis, mode)),
        Some(error) => format!(
            "{} mode gets data through, but not every way: {}",
            capital(mode.as_str()),
            error.message
        ),
    };
    if let Some(time) = trial.time().filter(|_| trial.fault().is_none()) {
        let what = if trial.upload.is_some() { "a file" } else { "a listing" };
        sentence = format!("{sentence}, {} {what}", ms_text(time));
    }
    let sentence = ended(format!("{sentence}; {}", other_mode(diagnosis, endpoint, mode)));
    let options = advice::options(diagnosis, endpoint, mode);
    let snippet = advice::snippet(diagnosis, endpoint, &options);
    let (mode, step) = (Some(mode), Some(trial.step));
    let error = trial.fault().cloned();
    let server = Some(endpoint.address);
    Advice { sentence, mode, step, tls: endpoint.tls, server, options, snippet, error }
}

/// Returns the first endpoint at which the login succeeded.
pub(super) fn entered(diagnosis: &Diagnosis) -> Option<&Endpoint> {
    diagnosis.endpoints.iter().find(|endpoint| matches!(endpoint.entry, LoginOutcome::Entered(_)))
}

/// Returns the mode of a method.
pub(super) const fn mode_of(step: DataMethod) -> Mode {
    if step.is_active() { Mode::Active } else { Mode::Passive }
}

/// Returns the trial to recommend: one that did everything, under TLS if possible, passive if possible.
fn best(diagnosis: &Diagnosis) -> Option<(&Endpoint, &ModeProbe)> {
    let all = || {
        diagnosis
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.trials.iter().map(move |t| (endpoint, t)))
    };
    let rank = |(endpoint, trial): &(&Endpoint, &ModeProbe)| {
        (trial.fault().is_some(), endpoint.tls == TlsMode::Off, trial.step.is_active())
    };
    // Among equals the first one wins: the address that the resolver lists first.
    all().filter(|(_, trial)| trial.carries()).min_by_key(rank)
}

/// Returns the endpoints at which `mode` did everything.
fn works(diagnosis: &Diagnosis, mode: Mode) -> impl Iterator<Item = &Endpoint> {
    let does = move |trial: &ModeProbe| mode_of(trial.step) == mode && trial.fault().is_none();
    diagnosis.endpoints.iter().filter(move |endpoint| endpoint.trials.iter().any(does))
}

fn places(diagnosis: &Diagnosis, mode: Mode) -> &'static str {
    let plain = works(diagnosis, mode).any(|endpoint| endpoint.tls == TlsMode::Off);
    let protected = works(diagnosis, mode).any(|endpoint| endpoint.tls != TlsMode::Off);
    match (plain, protected) {
        (true, true) => "plain and under TLS",
        (false, true) => "under TLS",
        _ => "without TLS",
    }
}

fn other_mode(diagnosis: &Diagnosis, endpoint: &Endpoint, mode: Mode) -> String {
    let (other, word) = match mode {
        Mode::Active => (Mode::Passive, "passive"),
        _ => (Mode::Active, "active"),
    };
    let mut tried = endpoint.trials.iter().filter(|trial| mode_of(trial.step) == other).peekable();
    let Some(first) = tried.peek().copied() else { return format!("{word} mode was not tried") };
    if tried.any(|trial| trial.fault().is_none()) {
        return format!("{word} mode works as well");
    }
    match first.fault() {
        Some(error) => {
            format!("{word} mode does not, because {}", reason(diagnosis, endpoint, other, error))
        }
        None => format!("{word} mode works in part"),
    }
}

/// Returns the reason why a mode failed, in words for users who do not know how it works.
pub(super) fn reason(
    diagnosis: &Diagnosis,
    endpoint: &Endpoint,
    mode: Mode,
    error: &Error,
) -> String {
    let is_active = mode == Mode::Active;
    let nat = seen(diagnosis, endpoint).and_then(|seen| seen.explain(is_active, error));
    let nat = nat.map(|why| format!(" ({why})"));
    let is_of_network = matches!(
        error.kind,
        ErrorKind::DataConnection | ErrorKind::Timeout | ErrorKind::Unreachable
    );
    match (is_active, nat) {
        _ if sees_two_addresses(error) => {
            let why = seen(diagnosis, endpoint).and_then(|seen| seen.explain(is_active, error));
            format!("{} ({})", why.unwrap_or_default(), error.message)
        }
        (true, Some(nat)) => format!("the server cannot reach this machine{nat}"),
        (true, None) if is_of_network => {
            "the server's connection does not come through to this machine (a firewall here or on the way)".into()
        }
        (false, nat) if is_of_network => {
            let own = diagnosis.own_filters.join(" and ");
            let why = match nat {
                Some(nat) => nat,
                None if own.is_empty() => " (a firewall in front of it)".into(),
                None => format!(" (this machine's own filter {own} lets not all out, or a firewall in front of it)"),
            };
            format!("the ports that the server names cannot be reached{why}")
        }
        _ => error.message.clone(),
    }
}

/// Returns the addresses observed at an endpoint.
pub(super) fn seen(diagnosis: &Diagnosis, endpoint: &Endpoint) -> Option<ObservedAddresses> {
    let server = diagnosis.server.as_ref();
    Some(ObservedAddresses {
        ours: endpoint.local?.ip().to_canonical(),
        peer: endpoint.address.ip().to_canonical(),
        ours_there: server.and_then(|server| server.sees_us_at),
        announced: diagnosis.site.external_address,
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
