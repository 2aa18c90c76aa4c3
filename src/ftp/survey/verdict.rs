//! What a survey comes to: one sentence, and the options to put into the script. Pure.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Door, Survey, Trial, advice, hopeless};
use crate::{
    fault::{Fault, Kind},
    ftp::{
        data::route::Step,
        site::{Mode, Tls},
    },
    observe::duration_text,
};

/// What to do, for someone who has never heard of active FTP.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// All of it in one sentence.
    pub sentence: String,
    /// The mode to use, if one works.
    pub mode: Option<Mode>,
    /// The step of it that worked first.
    pub step: Option<Step>,
    /// The protection to use.
    pub tls: Tls,
    /// The address and port of the server to which all this applies.
    pub server: Option<SocketAddr>,
    /// The options for `ftp::connect`, in the language's own notation.
    pub options: Vec<(&'static str, String)>,
    /// The line for the script; empty where nothing works.
    pub snippet: String,
    /// Why nothing works for everything that was tried.
    pub fault: Option<Fault>,
}

/// Reads a survey.
pub fn verdict(survey: &Survey) -> Verdict {
    let blank = |sentence: String, fault: Option<Fault>| Verdict {
        sentence,
        mode: None,
        step: None,
        tls: survey.site.tls,
        server: None,
        options: Vec::new(),
        snippet: String::new(),
        fault,
    };
    let Some((door, trial)) = best(survey) else {
        let (sentence, fault) = hopeless::no_way(survey);
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
    let sentence = format!("{sentence}; {}.", other_mode(survey, door, mode));
    let options = advice::options(survey, door, mode);
    let snippet = advice::snippet(survey, door, &options);
    let (mode, step) = (Some(mode), Some(trial.step));
    let fault = trial.fault().cloned();
    let server = Some(door.address);
    Verdict { sentence, mode, step, tls: door.tls, server, options, snippet, fault }
}

/// The mode that a step belongs to.
pub(super) const fn mode_of(step: Step) -> Mode {
    if step.is_active() { Mode::Active } else { Mode::Passive }
}

/// The trial to recommend: one that did everything, under TLS if it can be, passive if it can be.
fn best(survey: &Survey) -> Option<(&Door, &Trial)> {
    let all = || survey.doors.iter().flat_map(|door| door.trials.iter().map(move |t| (door, t)));
    let rank = |(door, trial): &(&Door, &Trial)| {
        (trial.fault().is_some(), door.tls == Tls::Off, trial.step.is_active())
    };
    // Of equals the first one wins: the address that the resolver names first.
    all().filter(|(_, trial)| trial.carries()).min_by_key(rank)
}

/// The doors at which `mode` did everything.
fn works(survey: &Survey, mode: Mode) -> impl Iterator<Item = &Door> {
    let does = move |trial: &Trial| mode_of(trial.step) == mode && trial.fault().is_none();
    survey.doors.iter().filter(move |door| door.trials.iter().any(does))
}

fn places(survey: &Survey, mode: Mode) -> &'static str {
    let plain = works(survey, mode).any(|door| door.tls == Tls::Off);
    let protected = works(survey, mode).any(|door| door.tls != Tls::Off);
    match (plain, protected) {
        (true, true) => "plain and under TLS",
        (false, true) => "under TLS",
        _ => "without TLS",
    }
}

fn other_mode(survey: &Survey, door: &Door, mode: Mode) -> String {
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

/// Why a mode failed, in words for someone who does not know how it works.
pub(super) fn reason(survey: &Survey, door: &Door, mode: Mode, fault: &Fault) -> String {
    let is_of_network = fault.code == 425
        || matches!(fault.kind, Kind::DataConnection | Kind::Timeout | Kind::Unreachable);
    match mode {
        Mode::Active if is_of_network || fault.code == 500 || fault.code == 501 => {
            match private_here(survey, door) {
                Some(address) => format!(
                    "the server cannot reach this machine (it is behind NAT: {address} is a private address)"
                ),
                None if is_of_network => {
                    "the server's connection does not come through to this machine (a firewall here or on the way)".into()
                }
                None => fault.message.clone(),
            }
        }
        Mode::Passive | Mode::Auto if is_of_network => {
            "the ports that the server names cannot be reached (a firewall in front of it)".into()
        }
        _ => fault.message.clone(),
    }
}

/// Our own address, where the server cannot know it: it is private, and the server's is not, or it sees another.
pub(super) fn private_here(survey: &Survey, door: &Door) -> Option<IpAddr> {
    let ours = door.local?.ip().to_canonical();
    if survey.site.external_address.is_some() {
        return None;
    }
    let seen = survey.server.as_ref().and_then(|server| server.sees_us_at);
    let is_seen_as_other =
        seen.is_some_and(|seen| seen.is_ipv4() == ours.is_ipv4() && seen != ours);
    let is_outside = !is_private(door.address.ip().to_canonical());
    (is_private(ours) && !ours.is_loopback() && (is_outside || is_seen_as_other)).then_some(ours)
}

/// Whether an address means something only in its own network.
pub(super) const fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64/10 is between a provider and its customers (RFC 6598).
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whole milliseconds while they are few: nobody waits for the rest.
pub fn ms_text(time: Duration) -> String {
    if time < Duration::from_millis(1) { "under 1 ms".into() } else { duration_text(time) }
}

/// The text with a capital in front.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
