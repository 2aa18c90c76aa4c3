//! The JSON form of a run for other programs: `runs --json`, webhooks, notification commands.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::machines::MachineState;
use crate::{
    observe::{account::RunSummary, visible},
    store::{
        history::{
            ArrivedFile, AttemptRecord, FallBack, FileMoved, HistoryRun, JobStateRecord, Notice,
            ProgressPoint,
        },
        releases::{PublishedRelease, ReleaseFile},
        routes::KnownServer,
    },
};

/// Returns a run as JSON. The names are an interface.
pub fn run(run: &HistoryRun) -> Value {
    let late = run.scheduled_for.zip(run.started_at);
    let late = late.map(|(due, start)| start.duration_since(due).as_secs().max(0));
    json!({
        "id": run.id,
        "job": run.job,
        "slot": run.slot,
        "scheduled_for": time(run.scheduled_for),
        "moved_from": run.moved_from,
        "started_at": time(run.started_at),
        "ended_at": time(run.ended_at),
        "late_s": late,
        "outcome": run.state.as_str(),
        "trigger": run.cause.as_str(),
        "reason": run.reason,
        "reason_code": run.reason_code,
        "covers": run.covers,
        "attempts": run.attempts,
        "files": run.sum.files,
        "bytes": run.sum.bytes,
        "route": run.sum.route,
        "fallbacks": run.fallbacks,
        "error": run.sum.error,
        "error_kind": run.sum.error_kind,
        "exit_code": run.sum.exit_code,
        "script": run.script,
        "machine": run.machine,
    })
}

/// Returns a run with all its details.
pub fn whole(
    of: &HistoryRun,
    attempts: &[AttemptRecord],
    files: &[FileMoved],
    fallbacks: &[FallBack],
    notices: &[Notice],
    files_given: &[ArrivedFile],
) -> Value {
    let mut whole = run(of);
    let parts = json!({
        "each_attempt": attempts.iter().map(attempt).collect::<Vec<_>>(),
        "each_file": files.iter().map(file).collect::<Vec<_>>(),
        "each_fallback": fallbacks.iter().map(fallback).collect::<Vec<_>>(),
        "each_notice": notices.iter().map(notice).collect::<Vec<_>>(),
        "each_given": files_given.iter().map(given).collect::<Vec<_>>(),
    });
    if let (Value::Object(whole), Value::Object(parts)) = (&mut whole, parts) {
        whole.extend(parts);
    }
    whole
}

/// Returns a file whose arrival has started a run.
fn given(file: &ArrivedFile) -> Value {
    let site = Some(&file.site).filter(|site| !site.is_empty());
    let bytes = Some(file.size).filter(|bytes| *bytes >= 0);
    json!({ "path": file.path(), "site": site, "size": bytes })
}

/// Returns the bytes of a run over time.
pub fn progress(points: &[ProgressPoint]) -> Value {
    let point = |point: &ProgressPoint| json!({ "attempt": point.attempt, "ms": point.elapsed_ms, "bytes": point.bytes });
    points.iter().map(point).collect()
}

/// Returns the points of an attempt as rows.
pub fn points(attempt: i64, points: &[(std::time::Duration, u64)]) -> Vec<ProgressPoint> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let point = |(elapsed, bytes): &(std::time::Duration, u64)| ProgressPoint {
        attempt,
        elapsed_ms: i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX),
        bytes: number(*bytes),
    };
    points.iter().map(point).collect()
}

/// Returns a machine of a fleet.
pub fn machine(machine: &MachineState) -> Value {
    let record = &machine.record;
    let labels = record.labels.lines().filter_map(|label| label.split_once('='));
    let labels: serde_json::Map<_, _> =
        labels.map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    let seconds = |ms: i64| std::time::Duration::from_millis(ms.unsigned_abs()).as_secs_f64();
    let ahead = seconds(record.clock_ahead_ms);
    json!({
        "name": record.name,
        "role": machine.role(),
        "alive": machine.is_alive(),
        "heartbeat_age_s": machine.age.as_secs_f64(),
        "labels": labels,
        "running": machine.running,
        "room": record.room,
        "draining": record.is_draining,
        "version": record.version,
        "release": record.release,
        "release_number": machine.release_number,
        "has_leaders_jobs": machine.has_leaders_jobs,
        "missing_secrets": record.missing.lines().collect::<Vec<_>>(),
        "fault": Some(&record.fault).filter(|fault| !fault.is_empty()),
        "clock_ahead_s": if record.clock_ahead_ms < 0 { -ahead } else { ahead },
        "lease_s": seconds(record.lease_ms),
        "started_at": record.started_at.to_string(),
    })
}

/// Returns a published release.
pub fn release(release: &PublishedRelease) -> Value {
    json!({
        "number": release.number,
        "current": release.is_current,
        "digest": release.digest,
        "published_at": release.published_at.to_string(),
        "published_by": release.published_by,
        "message": release.message,
        "jobs_file": release.jobs_file,
        "files": release.files,
        "bytes": release.bytes,
        "version": release.version,
        "current_at": release.current_at.to_string(),
        "current_by": release.current_by,
    })
}

/// Returns a file of a release.
pub fn release_file(file: &ReleaseFile) -> Value {
    json!({
        "path": file.path,
        "bytes": file.bytes,
        "digest": file.digest,
        "executable": file.is_program,
    })
}

/// Returns what was learned of a server.
pub fn server(record: &KnownServer) -> Value {
    let KnownServer { key, route, seen_at, expires_at } = record;
    let mode = if matches!(route.step.as_str(), "eprt" | "port") { "active" } else { "passive" };
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    json!({
        "host": key.host,
        "port": key.port,
        "user": key.login,
        "network": key.network,
        "tls": key.protection,
        "mode": mode,
        "method": route.step,
        "failed_mode": text(&route.failed_mode),
        "announced_address": route.is_elsewhere,
        "tls12_only": route.tls12_only,
        "refuses_list_all": route.refuses_list_all,
        "round_trip_ms": u64::try_from(route.round_trip.as_millis()).unwrap_or(u64::MAX),
        "pipelining": text(&pipelining(&route.habits)),
        "seen_at": seen_at.to_string(),
        "expires_at": expires_at.to_string(),
    })
}

/// Returns the words of a server's habits that are not those of most servers.
fn pipelining(habits: &str) -> String {
    let words = habits.split(' ').filter(|word| !word.starts_with("login="));
    words.collect::<Vec<_>>().join(" ")
}

fn attempt(attempt: &AttemptRecord) -> Value {
    json!({
        "number": attempt.number,
        "started_at": attempt.started_at.to_string(),
        "ended_at": time(attempt.ended_at),
        "outcome": attempt.state.as_str(),
        "files": attempt.sum.files,
        "bytes": attempt.sum.bytes,
        "route": attempt.sum.route,
        "error": attempt.sum.error,
        "error_kind": attempt.sum.error_kind,
        "exit_code": attempt.sum.exit_code,
    })
}

fn file(file: &FileMoved) -> Value {
    json!({
        "attempt": file.attempt,
        "verb": file.verb,
        "path": file.path,
        "bytes": file.bytes,
        "verified": file.verified,
        "error": file.error,
    })
}

fn fallback(one: &FallBack) -> Value {
    json!({
        "attempt": one.attempt,
        "host": one.host,
        "from": one.from,
        "to": one.to,
        "reason": one.reason,
    })
}

fn notice(notice: &Notice) -> Value {
    json!({
        "event": notice.what.event,
        "channel": notice.what.channel,
        "outcome": notice.outcome,
        "tries": notice.tries,
        "error": notice.error,
    })
}

/// Returns the state of a job.
pub fn job(state: &JobStateRecord) -> Value {
    json!({
        "job": state.job,
        "paused": state.paused_at.is_some(),
        "paused_at": time(state.paused_at),
        "reason": state.pause_reason,
        "last_success": time(state.last_success),
        "health": state.health.as_str(),
    })
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// The maximum bytes of the error of one file: a run may have a thousand such rows.
const FILE_ERROR_BYTES_MAX: usize = 1024;

fn short(text: &str) -> String {
    visible::cut(text, FILE_ERROR_BYTES_MAX, "")
}

/// Returns the files and fallbacks of an attempt as rows.
pub fn parts(attempt: i64, account: &RunSummary) -> (Vec<FileMoved>, Vec<FallBack>) {
    let files = account.moved.iter().map(|moved| FileMoved {
        attempt,
        verb: moved.verb.clone(),
        path: moved.path.clone(),
        bytes: i64::try_from(moved.bytes).unwrap_or(i64::MAX),
        verified: moved.verified,
        error: moved.error.as_deref().map(short),
    });
    let fallbacks = account.fallbacks.iter().map(|detour| FallBack {
        attempt,
        host: detour.host.clone(),
        from: detour.from.clone(),
        to: detour.to.clone(),
        reason: short(&detour.reason),
    });
    (files.collect(), fallbacks.collect())
}
