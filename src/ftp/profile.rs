//! Observations of a server's support for pipelined commands and other behaviour. Shared by all sessions with it in one
//! run.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use super::{
    control::{Habits, Pipelining},
    data::method::DataMethod,
    list_commands::ListCommand,
};
use crate::limits::STEPS_KEPT_MIN;

/// The value for a server that answered out of order, or otherwise failed, once.
const DOUBTED: u8 = u8::MAX;

/// The value for a server that has proved its support.
const PROVEN: u8 = 1;

/// The observations of a server's behaviour.
#[derive(Debug, Default)]
pub(super) struct ServerProfile {
    /// The number of downloads or listings at whose end it answered in order, or [`DOUBTED`].
    down: AtomicU8,
    /// The same for uploads: a server may poll the control connection while it still receives data.
    up: AtomicU8,
    /// The agreement of STAT listings over the control connection with LIST: [`PROVEN`], [`DOUBTED`], or not tried.
    stat: AtomicU8,
    /// The forms of listing in which it has shown entries.
    lists: AtomicU8,
    /// The forms that it refused, or that showed nothing, when another showed entries.
    lists_not: AtomicU8,
    /// The support for a login in one packet: [`PROVEN`] that only user and password are requested, [`DOUBTED`], or not
    /// known.
    login: AtomicU8,
    /// The support for several commands in one packet.
    pub(super) pipelining: Arc<Pipelining>,
    /// Set once it refused a temporary name that begins with a dot, and accepted another.
    plain_names: AtomicBool,
    /// Set once it has renamed a temporary file.
    renames: AtomicBool,
    /// True if it refuses temporary names or renames, and accepts final names.
    in_place: AtomicBool,
    /// Set once its listings showed other times than its MDTM.
    other_times: AtomicBool,
    /// The handling of long names: [`PROVEN`] to keep them whole, [`DOUBTED`] if it shortens them, or not known.
    long_names: AtomicU8,
    /// Set once it reported a size for a name that does not exist.
    any_size: AtomicBool,
}

impl ServerProfile {
    /// Returns the state with the habits saved by earlier runs.
    pub(super) fn with_habits(habits: Habits) -> Self {
        let long_names = if habits.short_names { DOUBTED } else { 0 };
        Self {
            pipelining: Arc::new(Pipelining::from_habits(habits)),
            long_names: AtomicU8::new(long_names),
            ..Self::default()
        }
    }

    /// Returns the habits to save for later runs.
    pub(super) fn habits(&self) -> Habits {
        let mut habits = self.pipelining.habits();
        habits.short_names = self.shortens_names();
        habits
    }

    /// Returns the command to send before the reply that ends transfer `verb`, if `step` carries the data and another
    /// transfer follows. At first a command that is harmless wherever it arrives; then the one that saves the round
    /// trip, in active mode followed by the transfer.
    pub(super) fn ahead(&self, verb: &str, step: DataMethod) -> Option<&'static str> {
        let command = match step {
            DataMethod::Epsv => "EPSV",
            DataMethod::Pasv => "PASV",
            DataMethod::Eprt => "EPRT",
            DataMethod::Port => "PORT",
        };
        match self.of(verb).load(Ordering::Relaxed) {
            _ if self.pipelining.is_off() => None,
            DOUBTED => None,
            kept if kept < STEPS_KEPT_MIN => Some("NOOP"),
            _ => Some(command),
        }
    }

    /// Returns true if the server has always answered in order at the end of transfers like `verb`, and often enough.
    pub(super) fn is_trusted(&self, verb: &str) -> bool {
        let has_kept = (STEPS_KEPT_MIN..DOUBTED).contains(&self.of(verb).load(Ordering::Relaxed));
        has_kept && !self.pipelining.is_off()
    }

    /// Returns true if no more commands are pipelined at the end of transfers like `verb`.
    pub(super) fn is_disabled(&self, verb: &str) -> bool {
        self.of(verb).load(Ordering::Relaxed) == DOUBTED || self.pipelining.is_off()
    }

    /// Records that the server answered in order at the end of `verb`.
    pub(super) fn record_in_order(&self, verb: &str) {
        let more = |kept: u8| (kept < STEPS_KEPT_MIN).then(|| kept + 1);
        // The closure decides whether there is anything to update; the error only reports that there was not.
        let _ = self.of(verb).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Records that it did not, or may not have: no more commands are pipelined.
    pub(super) fn disable(&self, verb: &str) {
        self.of(verb).store(DOUBTED, Ordering::Relaxed);
    }

    /// Returns true if STAT may be tried for a listing, or has proved to work.
    pub(super) fn may_list_by_stat(&self) -> bool {
        self.stat.load(Ordering::Relaxed) != DOUBTED && !self.pipelining.is_off()
    }

    /// Returns true if STAT has always returned the same listing as LIST.
    pub(super) fn lists_by_stat(&self) -> bool {
        self.stat.load(Ordering::Relaxed) == PROVEN && !self.pipelining.is_off()
    }

    /// Records whether STAT returned the same listing as LIST; the first difference is final.
    pub(super) fn listed_by_stat(&self, is_same: bool) {
        let now = if is_same { PROVEN } else { DOUBTED };
        self.stat.fetch_max(now, Ordering::Relaxed);
    }

    /// Returns true if the server has shown entries in this form of listing: an empty result then is an empty
    /// directory.
    pub(super) fn lists_in(&self, form: ListCommand) -> bool {
        self.lists.load(Ordering::Relaxed) & form.bit() != 0
    }

    /// Records that the server has shown entries in this form.
    pub(super) fn listed_in(&self, form: ListCommand) {
        self.lists.fetch_or(form.bit(), Ordering::Relaxed);
    }

    /// Returns true if the server showed nothing in this form when it did in another.
    pub(super) fn fails_in(&self, form: ListCommand) -> bool {
        self.lists_not.load(Ordering::Relaxed) & form.bit() != 0
    }

    /// Records that the server showed nothing in this form when it did in another.
    pub(super) fn failed_in(&self, form: ListCommand) {
        self.lists_not.fetch_or(form.bit(), Ordering::Relaxed);
    }

    /// Returns true if the next login may be sent in one packet.
    pub(super) fn may_pipeline_login(&self) -> bool {
        self.login.load(Ordering::Relaxed) == PROVEN && !self.pipelining.is_off()
    }

    /// Records that the server asked for user and password only.
    pub(super) fn record_plain_login(&self) {
        self.login.fetch_max(PROVEN, Ordering::Relaxed);
    }

    /// Records that it did not accept a login in one packet, or may not have.
    pub(super) fn disable_pipelined_login(&self) {
        self.login.store(DOUBTED, Ordering::Relaxed);
    }

    /// Returns true if temporary names must not begin with a dot.
    pub(super) fn wants_plain_names(&self) -> bool {
        self.plain_names.load(Ordering::Relaxed)
    }

    /// Records that it refused a temporary name that began with a dot, and accepted one without.
    pub(super) fn took_plain_name(&self) {
        self.plain_names.store(true, Ordering::Relaxed);
    }

    /// Records that it has renamed a temporary file.
    pub(super) fn renamed(&self) {
        self.renames.store(true, Ordering::Relaxed);
        self.in_place.store(false, Ordering::Relaxed);
    }

    /// Returns true if it is known to rename temporary files.
    pub(super) fn has_renamed(&self) -> bool {
        self.renames.load(Ordering::Relaxed)
    }

    /// Records that it accepted a file under its final name after it had refused the temporary name or the rename. If
    /// it renames other files, the refusal was about this name only.
    pub(super) fn took_in_place(&self) {
        if !self.renames.load(Ordering::Relaxed) {
            self.in_place.store(true, Ordering::Relaxed);
        }
    }

    /// Returns true if it is known to accept final names only.
    pub(super) fn wants_in_place(&self) -> bool {
        self.in_place.load(Ordering::Relaxed)
    }

    /// Returns true if a listing showed another time of an unchanged file than MDTM.
    pub(super) fn lists_other_times(&self) -> bool {
        self.other_times.load(Ordering::Relaxed)
    }

    /// Records that a listing did.
    pub(super) fn listed_other_times(&self) {
        self.other_times.store(true, Ordering::Relaxed);
    }

    /// Returns true if it shortens long names, so that two of them may become one.
    pub(super) fn shortens_names(&self) -> bool {
        self.long_names.load(Ordering::Relaxed) == DOUBTED
    }

    /// Returns true if it is known whether it keeps long names whole or shortens them.
    pub(super) fn knows_long_names(&self) -> bool {
        self.long_names.load(Ordering::Relaxed) != 0
    }

    /// Records whether it kept a long name whole; the first shortened one is final.
    pub(super) fn took_long_name(&self, is_whole: bool) {
        self.long_names.fetch_max(if is_whole { PROVEN } else { DOUBTED }, Ordering::Relaxed);
    }

    /// Returns true if it reports a size for names that do not exist.
    pub(super) fn has_any_size(&self) -> bool {
        self.any_size.load(Ordering::Relaxed)
    }

    /// Records that it did.
    pub(super) fn told_any_size(&self) {
        self.any_size.store(true, Ordering::Relaxed);
    }

    fn of(&self, verb: &str) -> &AtomicU8 {
        if matches!(verb, "STOR" | "APPE") { &self.up } else { &self.down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_tried_with_something_harmless_before_it_is_trusted() {
        let manners = ServerProfile::default();
        for _ in 0..STEPS_KEPT_MIN {
            assert_eq!(manners.ahead("RETR", DataMethod::Epsv), Some("NOOP"));
            manners.record_in_order("RETR");
        }
        assert_eq!(manners.ahead("RETR", DataMethod::Epsv), Some("EPSV"));
        assert_eq!((manners.is_trusted("RETR"), manners.is_trusted("STOR")), (true, false));
        assert_eq!(manners.ahead("LIST", DataMethod::Pasv), Some("PASV"));
        assert_eq!(manners.ahead("RETR", DataMethod::Port), Some("PORT"));
        assert_eq!(manners.ahead("STOR", DataMethod::Epsv), Some("NOOP"));
    }

    #[test]
    fn after_one_doubt_nothing_is_sent_ahead_that_way() {
        let manners = ServerProfile::default();
        manners.disable("STOR");
        for _ in 0..=STEPS_KEPT_MIN {
            manners.record_in_order("STOR");
        }
        assert_eq!(
            (manners.ahead("STOR", DataMethod::Epsv), manners.is_trusted("STOR")),
            (None, false)
        );
        assert_eq!(manners.ahead("RETR", DataMethod::Epsv), Some("NOOP"));
    }
}
