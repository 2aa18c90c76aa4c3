//! The record of a session's data path: what was attempted, the mode that the user is told of, and what later runs
//! are to know.

use std::time::Instant;

use super::{
    data::{method::DataMethod, open::OpenedData},
    data_path::FailedMethod,
    session::Session,
    site::Mode,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, codes::DATA_FALLBACK_OFF},
    limits::ATTEMPTS_KEPT_MAX,
    observe::{ConnectAttempt, Event, MessageLevel},
};

impl Session {
    /// Records that a step has worked.
    pub(super) fn settle(&mut self, step: DataMethod, opened: &OpenedData, started: Instant) {
        self.data_path.history.began_fresh_tls = opened.data.is_fresh_tls();
        if opened.is_elsewhere {
            self.data_path.profile.record_elsewhere();
        }
        self.record(step, opened.address.clone(), None, started);
        self.data_path.fallback_order.worked(step);
        self.data_path.save(step);
    }

    pub(super) fn record(
        &mut self,
        step: DataMethod,
        address: String,
        error: Option<&Error>,
        started: Instant,
    ) {
        let attempt = ConnectAttempt {
            step: step.as_str(),
            address,
            worked: error.is_none(),
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            words: error.map(|error| error.message.clone()).unwrap_or_default(),
        };
        let host = self.site.host.clone();
        self.context.observer.emit(&Event::Attempted { host, attempt: attempt.clone() });
        let attempts = &mut self.data_path.history.attempts;
        if attempts.len() >= ATTEMPTS_KEPT_MAX {
            attempts.pop_front();
        }
        attempts.push_back(attempt);
    }

    /// Reports once that the data uses another mode than requested or than before, and why.
    pub(super) fn tell_mode(&mut self, step: DataMethod, failed: &[FailedMethod]) {
        let wanted = match self.site.mode {
            Mode::Active => "active",
            Mode::Passive | Mode::Auto | Mode::Race => "passive",
        };
        let (from, to) = (self.data_path.reported_mode.unwrap_or(wanted), step.mode());
        self.data_path.reported_mode = Some(to);
        if from == to {
            return;
        }
        let host = self.site.host.clone();
        if self.data_path.fallback_order.failed_besides(step).is_some() {
            let why = failed.iter().find(|failed| failed.step.mode() == from).or(failed.last());
            let reason = why.map(|failed| self.data_path.explained(failed)).unwrap_or_default();
            self.context.observer.emit(&Event::FellBack { host, from, to, reason });
        } else if !matches!(self.site.mode, Mode::Auto | Mode::Race) {
            // A user who requested no mode needs no notice.
            let text =
                format!("{host}: {to} mode at once, since {from} mode failed in an earlier run");
            self.context.observer.message_once(MessageLevel::Info, text);
        }
    }

    pub(super) fn no_way(&self, failed: Vec<FailedMethod>) -> Error {
        let tried = match (&self.site.proxy, self.site.fallback) {
            (Some(_), _) => "and a proxy carries passive mode only",
            (None, true) => "in either mode",
            (None, false) => "and `fallback` is off",
        };
        let each = |failed: &FailedMethod| {
            format!("{}: {}", failed.step.mode(), self.data_path.explained(failed))
        };
        let reasons: Vec<_> = failed.iter().map(each).collect();
        let message = format!("no data connection could be made, {tried}: {}", reasons.join("; "));
        let error = match failed.into_iter().next_back() {
            Some(FailedMethod { error, .. }) => {
                Error { message, kind: ErrorKind::DataConnection, ..error }
            }
            None => Error::new(ErrorKind::DataConnection, Origin::Server, message),
        };
        let is_one_mode = self.site.proxy.is_none() && !self.site.fallback;
        let name = error.name.or_else(|| is_one_mode.then_some(DATA_FALLBACK_OFF));
        let error = Error { name, ..error };
        error.with_host(&self.site.host)
    }
}
