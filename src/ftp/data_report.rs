//! The record of a session's data path: what was attempted, the mode that the user is told of, and what later runs
//! are to know.

use std::time::Instant;

use super::{
    data::{address, method::DataMethod, open::OpenedData},
    data_path::FailedMethod,
    server_store::ServerRecord,
    session::Session,
    site::Mode,
};
use crate::{
    error::{Error, ErrorKind, Origin, codes::DATA_FALLBACK_OFF},
    limits::ATTEMPTS_KEPT_MAX,
    observe::{ConnectAttempt, Event, MessageLevel},
};

impl Session {
    /// Records that a step has worked.
    pub(super) fn settle(&mut self, step: DataMethod, opened: &OpenedData, started: Instant) {
        self.way.began_fresh_tls = opened.data.is_fresh_tls();
        if opened.is_elsewhere {
            self.way.address = address::PasvHint::Worse;
        }
        self.record(step, opened.address.clone(), None, started);
        self.way.ladder.worked(step);
        self.learn(step);
    }

    pub(super) fn record(
        &mut self,
        step: DataMethod,
        address: String,
        fault: Option<&Error>,
        started: Instant,
    ) {
        let attempt = ConnectAttempt {
            step: step.word(),
            address,
            worked: fault.is_none(),
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            words: fault.map(|fault| fault.message.clone()).unwrap_or_default(),
        };
        let host = self.site.host.clone();
        self.context.observer.emit(&Event::Attempted { host, attempt: attempt.clone() });
        if self.way.attempts.len() >= ATTEMPTS_KEPT_MAX {
            self.way.attempts.remove(0);
        }
        self.way.attempts.push(attempt);
    }

    /// Reports once that the data uses another mode than requested or than before, and why.
    pub(super) fn tell_mode(&mut self, step: DataMethod, failed: &[FailedMethod]) {
        let wanted = match self.site.mode {
            Mode::Active => "active",
            Mode::Passive | Mode::Auto | Mode::Race => "passive",
        };
        let (from, to) = (self.way.told_mode.unwrap_or(wanted), step.mode());
        self.way.told_mode = Some(to);
        if from == to {
            return;
        }
        let host = self.site.host.clone();
        if self.way.ladder.failed_besides(step).is_some() {
            let why = failed.iter().find(|failed| failed.step.mode() == from).or(failed.last());
            let reason = why.map(|failed| self.way.explained(failed)).unwrap_or_default();
            self.context.observer.emit(&Event::FellBack { host, from, to, reason });
        } else if !matches!(self.site.mode, Mode::Auto | Mode::Race) {
            // A user who requested no mode needs no notice.
            let text =
                format!("{host}: {to} mode at once, since {from} mode failed in an earlier run");
            self.context.observer.message_once(MessageLevel::Info, text);
        }
    }

    /// Saves the working method for later runs.
    pub(super) fn learn(&mut self, step: DataMethod) {
        let Some(notes) = &mut self.way.notes else { return };
        let before = notes.known().and_then(|known| known.failed_mode);
        let failed = self.way.ladder.failed_besides(step);
        notes.learn(ServerRecord {
            step,
            failed_mode: failed.or(before.filter(|mode| *mode != step.kind())),
            tls12_only: self.site.trust.tls12_only,
            refuses_list_all: self.features.refuses_list_all,
            is_elsewhere: matches!(self.way.address, address::PasvHint::Worse),
            round_trip: self.control.round_trip,
            habits: self.way.manners.habits(),
            address: self.way.second,
        });
    }

    pub(super) fn no_way(&self, failed: Vec<FailedMethod>) -> Error {
        let tried = match (&self.site.proxy, self.site.fallback) {
            (Some(_), _) => "and a proxy carries passive mode only",
            (None, true) => "in either mode",
            (None, false) => "and `fallback` is off",
        };
        let each = |failed: &FailedMethod| {
            format!("{}: {}", failed.step.mode(), self.way.explained(failed))
        };
        let reasons: Vec<_> = failed.iter().map(each).collect();
        let message = format!("no data connection could be made, {tried}: {}", reasons.join("; "));
        let fault = match failed.into_iter().next_back() {
            Some(FailedMethod { fault, .. }) => {
                Error { message, kind: ErrorKind::DataConnection, ..fault }
            }
            None => Error::new(ErrorKind::DataConnection, Origin::Server, message),
        };
        let is_one_mode = self.site.proxy.is_none() && !self.site.fallback;
        let name = fault.name.or_else(|| is_one_mode.then_some(DATA_FALLBACK_OFF));
        let fault = Error { name, ..fault };
        fault.with_host(&self.site.host)
    }
}
