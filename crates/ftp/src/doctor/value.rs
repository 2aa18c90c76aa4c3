//! The JSON form of a diagnosis. Fields are never renamed; new ones may be added.
//!
//! ```text
//! verdict      the sentence
//! works        whether some mode did everything that was tried
//! mode, route  the mode to use ("passive" "active") and the step of it that worked ("epsv" …), or null
//! tls          the protection to use: "off" "explicit" "implicit"
//! options      an object: the options for ftp::connect, as written in a script
//! snippet      the line for the script
//! fault        why nothing did everything, or null: {kind, side, message, code, host, path, may_retry}
//! host, port, read_only, at, ms, cut_short, greeting
//! addresses    [{address, ms, fault}]
//! doors        [{tls, address, local, entered, ms, fault, not_tried, version, trusted, distrust,
//!                certificate {subject, issuer, expires, pin}}]
//! modes        [{tls, address (of the server), mode, step, works, data_address, ms, listing_ms, upload_ms,
//!                download_ms, fault}]
//! server       null, or {system, features, folder, round_trip_ms, sees_us_at, passive_address, rest, clock_ahead_s,
//!              sets_times, renames_over, hidden, tls_resumed, tls_resume_required, tls12_only, sessions,
//!              sessions_refused}
//! findings     [{weight ("warning" "note"), text}]
//! left         names that could not be removed from the server
//! ```

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    certificate::ServerCertificate,
    diagnosis::{Diagnosis, Endpoint, LoginOutcome, ModeProbe, ServerInfo},
    findings::findings,
    verdict::{Advice, mode_of},
};
use crate::{
    data::method::DataMethod,
    site::{Mode, TlsMode},
};
use portolan_core::{error::Result, observe::json::fault_value};

/// Returns the whole diagnosis as JSON.
pub fn value(diagnosis: &Diagnosis, verdict: &Advice) -> Value {
    let options: Map<_, _> =
        verdict.options.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
    let findings: Vec<_> = findings(diagnosis)
        .into_iter()
        .map(|finding| json!({ "weight": finding.weight.as_str(), "text": finding.text }))
        .collect();
    let addresses: Vec<_> = diagnosis
        .addresses
        .iter()
        .map(|found| {
            json!({
                "address": found.address.to_string(),
                "ms": found.reached.as_ref().ok().map(ms),
                "fault": found.reached.as_ref().err().map(fault_value),
            })
        })
        .collect();
    let modes: Vec<_> = diagnosis
        .endpoints
        .iter()
        .flat_map(|endpoint| endpoint.trials.iter().map(move |found| trial(endpoint, found)))
        .collect();
    json!({
        "verdict": verdict.sentence,
        "works": verdict.mode.is_some() && verdict.error.is_none(),
        "mode": verdict.mode.map(Mode::as_str),
        "route": verdict.step.map(DataMethod::as_str),
        "tls": tls(verdict.tls),
        "options": options,
        "snippet": verdict.snippet,
        "fault": verdict.error.as_ref().map(fault_value),
        "host": diagnosis.site.host,
        "port": diagnosis.site.port,
        "read_only": diagnosis.read_only,
        "at": diagnosis.at.to_string(),
        "ms": ms(&diagnosis.took),
        "cut_short": diagnosis.is_cut_short,
        "greeting": diagnosis.greeting,
        "addresses": addresses,
        "doors": diagnosis.endpoints.iter().map(endpoint_value).collect::<Vec<_>>(),
        "modes": modes,
        "server": diagnosis.server.as_ref().map(server),
        "findings": findings,
        "left": diagnosis.left,
    })
}

fn endpoint_value(endpoint: &Endpoint) -> Value {
    let (took, error, not_tried) = match &endpoint.entry {
        LoginOutcome::Entered(took) => (Some(ms(took)), None, None),
        LoginOutcome::Shut(error) => (None, Some(fault_value(error)), None),
        LoginOutcome::Offered(why) => (None, None, Some(*why)),
    };
    let protection = endpoint.protection.as_ref();
    let distrust = protection.and_then(|protection| protection.distrust.as_ref());
    json!({
        "tls": tls(endpoint.tls),
        "address": endpoint.address.to_string(),
        "local": endpoint.local.map(|local| local.to_string()),
        "entered": took.is_some(),
        "ms": took,
        "fault": error,
        "not_tried": not_tried,
        "version": protection.map(|protection| &protection.version),
        "trusted": protection.map(|protection| protection.distrust.is_none()),
        "distrust": distrust.map(|error| &error.message),
        "certificate": protection.and_then(|protection| protection.certificate.as_ref()).map(certificate),
    })
}

fn certificate(certificate: &ServerCertificate) -> Value {
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "expires": certificate.expires.map(|end| end.to_string()),
        "pin": certificate.pin,
    })
}

fn trial(endpoint: &Endpoint, trial: &ModeProbe) -> Value {
    let time = |tried: Option<&Result<Duration>>| {
        tried.and_then(|tried| tried.as_ref().ok()).map(exact_ms)
    };
    json!({
        "tls": tls(endpoint.tls),
        "address": endpoint.address.to_string(),
        "mode": mode_of(trial.step).as_str(),
        "step": trial.step.as_str(),
        "works": trial.fault().is_none(),
        "data_address": trial.address,
        "ms": trial.time().as_ref().map(exact_ms),
        "listing_ms": time(Some(&trial.listing)),
        "upload_ms": time(trial.upload.as_ref()),
        "download_ms": time(trial.download.as_ref()),
        "fault": trial.fault().map(fault_value),
    })
}

fn server(server: &ServerInfo) -> Value {
    let sessions = server.sessions.as_ref();
    json!({
        "system": server.system,
        "features": server.features,
        "folder": server.folder,
        "round_trip_ms": server.round_trip.as_ref().map(exact_ms),
        "sees_us_at": server.sees_us_at.map(|address| address.to_string()),
        "passive_address": server.passive_address.map(|address| address.to_string()),
        "rest": server.restarts,
        "clock_ahead_s": server.clock_ahead_s,
        "sets_times": server.sets_times,
        "renames_over": server.renames_over.as_ref().map(Result::is_ok),
        "hidden": server.hidden.map(|hidden| json!({
            "list": hidden.by_list, "list_all": hidden.by_list_all,
        })),
        "tls_resumed": server.reuse.map(|reuse| reuse.resumed),
        "tls_resume_required": server.reuse.and_then(|reuse| reuse.required),
        "tls12_only": server.tls12_only,
        "sessions": sessions.map(|sessions| sessions.open),
        "sessions_refused": sessions
            .and_then(|sessions| sessions.refusal.as_ref())
            .map(|error| error.message.clone()),
    })
}

const fn tls(tls: TlsMode) -> &'static str {
    match tls {
        TlsMode::Off => "off",
        TlsMode::Explicit => "explicit",
        TlsMode::Implicit => "implicit",
    }
}

fn ms(time: &Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns milliseconds with three decimals, for durations below one.
fn exact_ms(time: &Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
