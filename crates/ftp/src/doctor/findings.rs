//! The other findings of a diagnosis, one line each: first those that should be fixed, then those that are good to know.
//! Pure.

use jiff::Timestamp;
use strum::IntoStaticStr;

use super::{
    certificate::ServerCertificate,
    diagnosis::{Diagnosis, Endpoint, LoginOutcome, ServerInfo, TlsInfo},
    verdict::{ms_text, seen},
};
use crate::site::TlsMode;
use portolan_core::{
    error::{Error, ErrorKind, Origin},
    observe::{format_duration, visible::visible},
};

/// A finding of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorFinding {
    /// Its severity.
    pub weight: FindingSeverity,
    /// The text.
    pub text: String,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum FindingSeverity {
    /// A finding that should be fixed.
    Warning,
    /// A finding that is good to know.
    Note,
}

impl FindingSeverity {
    /// Returns the name used in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The number of days before its expiry from which a certificate is warned about.
const EXPIRY_WARNING_DAYS: i64 = 14;
const DAY_S: i64 = 86_400;

/// Returns the findings of a diagnosis.
pub fn findings(diagnosis: &Diagnosis) -> Vec<DoctorFinding> {
    let mut list = List(Vec::new());
    list.left(diagnosis);
    list.ways_in(diagnosis);
    list.network(diagnosis);
    if let Some(server) = &diagnosis.server {
        list.shortcomings(server, diagnosis);
        list.abilities(server);
    }
    list.0.sort_by_key(|finding| finding.weight);
    list.0
}

fn note(text: impl Into<String>) -> DoctorFinding {
    DoctorFinding { weight: FindingSeverity::Note, text: text.into() }
}

struct List(Vec<DoctorFinding>);

impl List {
    fn warn(&mut self, text: impl Into<String>) {
        self.0.push(DoctorFinding { weight: FindingSeverity::Warning, text: text.into() });
    }

    fn note(&mut self, text: impl Into<String>) {
        self.0.push(note(text));
    }

    fn left(&mut self, diagnosis: &Diagnosis) {
        for name in &diagnosis.left {
            self.warn(format!("{name} is left on the server: it could not be removed"));
        }
        if diagnosis.is_cut_short {
            self.warn(
                "the time ran out before everything was tried: results that are missing were not tested",
            );
        }
    }

    fn ways_in(&mut self, diagnosis: &Diagnosis) {
        let plain = diagnosis.endpoints.iter().any(|endpoint| {
            endpoint.tls == TlsMode::Off && matches!(endpoint.entry, LoginOutcome::Entered(_))
        });
        if plain && diagnosis.site.password.is_some() {
            self.warn(if offered(diagnosis) { "ftp:// sends the password and all files in clear, and the server offers TLS: use ftpes://" } else { "the password and all files go over the network in clear: the server offers no TLS" });
        }
        for endpoint in &diagnosis.endpoints {
            let place = place(diagnosis, endpoint);
            match (&endpoint.entry, &endpoint.protection) {
                (LoginOutcome::Shut(error), None) if endpoint.tls != TlsMode::Off => {
                    let place = place.trim_start_matches("with ");
                    let text = format!("no {place}: {}", error.message);
                    if endpoint.tls == diagnosis.site.tls {
                        self.warn(text);
                    } else {
                        self.note(text);
                    }
                }
                (LoginOutcome::Shut(error), _) => {
                    self.warn(format!("no way in {place}: {}", error.message));
                }
                (LoginOutcome::Offered(why), Some(protection)) => {
                    self.note(format!(
                        "{} is offered {place}; not tried: {why}",
                        version(protection)
                    ));
                }
                (LoginOutcome::Entered(took), Some(protection)) => self.note(format!(
                    "login {place} takes {}, by {}",
                    ms_text(*took),
                    version(protection)
                )),
                (LoginOutcome::Entered(took), None) => {
                    self.note(format!("login {place} takes {}", ms_text(*took)));
                }
                (LoginOutcome::Offered(_), None) => {}
            }
        }
        self.certificates(diagnosis);
    }

    /// Reports each certificate once, regardless of the number of endpoints that present it.
    fn certificates(&mut self, diagnosis: &Diagnosis) {
        let mut seen: Vec<&ServerCertificate> = Vec::new();
        for protection in
            diagnosis.endpoints.iter().filter_map(|endpoint| endpoint.protection.as_ref())
        {
            let Some(certificate) = protection.certificate.as_ref() else { continue };
            if seen.contains(&certificate) {
                continue;
            }
            seen.push(certificate);
            if let Some(error) = &protection.distrust {
                self.warn(format!("its certificate is not trusted: {}", error.message));
                self.note(format!(
                    "if it is the right one, this option believes it and no other: pin: \"{}\"",
                    certificate.pin
                ));
            }
            let until = certificate.expires.map(|end| format!(", until {}", day(end)));
            self.note(format!(
                "certificate for {}, from {}{}",
                named(&certificate.subject),
                named(&certificate.issuer),
                until.unwrap_or_default()
            ));
            let end = certificate.expires.filter(|_| protection.distrust.is_none());
            if let Some(text) = end.and_then(|end| expiry(end, diagnosis.at)) {
                self.warn(text);
            }
        }
    }

    fn network(&mut self, diagnosis: &Diagnosis) {
        for address in &diagnosis.addresses {
            match &address.reached {
                Ok(time) => {
                    self.note(format!("{} answers in {}", address.address, ms_text(*time)));
                }
                Err(error) => self.warn(format!("{}: {}", address.address, error.message)),
            }
        }
        let Some(server) = &diagnosis.server else { return };
        let seen = diagnosis.endpoints.iter().find_map(|endpoint| seen(diagnosis, endpoint));
        // The problem to expect if the server were to connect to us.
        let called = Error::new(ErrorKind::DataConnection, Origin::Network, "");
        self.0.extend(seen.and_then(|seen| seen.explain(true, &called)).map(note));
        if let (Some(named), Some(seen)) = (server.passive_address, seen)
            && !named.is_unspecified()
            && seen.peer != named
        {
            let what = match seen.explain(false, &called) {
                Some(why) => why,
                None => format!("the server's PASV names another address, {named}"),
            };
            self.note(format!("{what}; portolan connects to {} instead", seen.peer));
        }
    }

    fn shortcomings(&mut self, server: &ServerInfo, diagnosis: &Diagnosis) {
        if let Some(ahead) = server.clock_ahead_s.filter(|ahead| *ahead != 0) {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let time = std::time::Duration::from_secs(ahead.unsigned_abs());
            self.warn(format!("the server's clock is {} {way} ours", format_duration(time)));
        }
        if server.sets_times == Some(false) {
            self.warn(
                "the server cannot set the time of a file: uploads are as old as their transfer",
            );
        }
        if let Some(sessions) = &server.sessions {
            let open = sessions.open;
            match &sessions.refusal {
                Some(error) => self.warn(format!(
                    "sessions are limited to {open} at a time (then: {}): use parallel: {}",
                    error.message,
                    open.max(1)
                )),
                None => {
                    self.note(format!(
                        "{open} sessions at a time are allowed, more were not tried"
                    ));
                }
            }
        }
        match &server.renames_over {
            Some(Ok(())) => self.note("a rename replaces the file that has the name"),
            Some(Err(error)) => self.warn(format!(
                "a rename does not replace the file that has the name ({}): for a moment there is none",
                error.message
            )),
            None => {}
        }
        let failed =
            diagnosis.endpoints.iter().flat_map(|endpoint| &endpoint.trials).find_map(|trial| {
                match &trial.upload {
                    Some(Err(error)) if trial.carries() => Some(error),
                    _ => None,
                }
            });
        if let Some(error) = failed {
            self.warn(format!("an upload to {} fails: {}", server.folder, error.message));
        }
    }

    fn abilities(&mut self, server: &ServerInfo) {
        if let Some(time) = server.round_trip {
            self.note(format!("a command and its reply take {}", ms_text(time)));
        }
        if server.clock_ahead_s == Some(0) {
            self.note("the server's clock is right");
        }
        if server.sets_times == Some(true) {
            self.note("the time of a file can be set");
        }
        if let Some(hidden) = server.hidden {
            self.note(match (hidden.by_list, hidden.by_list_all) {
                (true, _) => "names that begin with a dot are listed",
                (false, true) => "names that begin with a dot are listed by LIST -a alone",
                (false, false) => "names that begin with a dot are never listed",
            });
        }
        if let Some(reuse) = server.reuse {
            self.note(match (reuse.resumed, reuse.required) {
                (true, Some(true)) => "data connections must resume the TLS session, and ours do",
                (true, _) => {
                    "data connections resume the TLS session, which saves time; they need not"
                }
                (false, Some(true)) => {
                    "data connections must resume the TLS session, and ours do not"
                }
                (false, _) => "data connections make a TLS session of their own each time",
            });
        }
        if server.tls12_only {
            self.note("its TLS 1.3 refuses data connections, so portolan speaks TLS 1.2 with it");
        }
        let has = |feature: &str| server.features.contains_key(feature);
        let hashes: Vec<_> = server
            .features
            .iter()
            .filter(|(name, _)| {
                matches!(
                    name.as_str(),
                    "HASH" | "XCRC" | "XMD5" | "XSHA" | "XSHA1" | "XSHA256" | "XSHA512"
                )
            })
            .map(
                |(name, with)| {
                    if with.is_empty() { name.clone() } else { format!("{name} {with}") }
                },
            )
            .collect();
        let by =
            if hashes.is_empty() { String::new() } else { format!(" by {}", hashes.join(", ")) };
        let checksums = format!("checksums{by}");
        let abilities = [
            (has("MLSD") || has("MLST"), "MLSD".to_owned()),
            (server.restarts.unwrap_or(false), "REST".to_owned()),
            (has("MFMT"), "MFMT".to_owned()),
            (has("UTF8"), "UTF8".to_owned()),
            (!hashes.is_empty(), checksums),
        ];
        for (is_there, verb) in [(true, "has"), (false, "has no")] {
            let named = abilities.iter().filter(|(is, _)| *is == is_there);
            let named: Vec<_> = named.map(|(_, name)| name.as_str()).collect();
            if !named.is_empty() {
                self.note(format!("it {verb} {}", named.join(", ")));
            }
        }
        if let Some(system) = &server.system {
            self.note(format!("its system: {}", visible(system)));
        }
    }
}

/// Returns true if TLS was offered at all, trusted or not.
fn offered(diagnosis: &Diagnosis) -> bool {
    diagnosis.endpoints.iter().any(|endpoint| endpoint.protection.is_some())
}

fn place(diagnosis: &Diagnosis, endpoint: &Endpoint) -> String {
    let how = match endpoint.tls {
        TlsMode::Off => "without TLS",
        TlsMode::Explicit => "with TLS",
        TlsMode::Implicit => "with TLS from the first byte",
    };
    let families = diagnosis.addresses.len() > 1;
    let port = endpoint.address.port();
    if families {
        format!("{how} at {}", endpoint.address)
    } else {
        format!("{how} at port {port}")
    }
}

fn version(protection: &TlsInfo) -> String {
    protection.version.replace("TLSv1.", "TLS 1.")
}

fn named(name: &str) -> &str {
    if name.is_empty() { "nobody" } else { name }
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

fn expiry(end: Timestamp, now: Timestamp) -> Option<String> {
    let days = (end.as_second() - now.as_second()).div_euclid(DAY_S);
    match days {
        ..0 => Some(format!("its certificate expired on {}", day(end))),
        0 => Some("its certificate ends today".into()),
        1 => Some("its certificate ends tomorrow".into()),
        2..=EXPIRY_WARNING_DAYS => Some(format!("its certificate ends in {days} days")),
        _ => None,
    }
}
