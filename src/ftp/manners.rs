//! How a server takes commands that come early, as far as it was seen. Shared by all sessions with it in one run.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use super::{
    control::{Habits, Pipelining},
    data::route::Step,
    forms::Form,
};
use crate::limits::STEPS_KEPT_MIN;

/// The server was out of step once.
const DOUBTED: u8 = u8::MAX;

/// The server has shown that it can.
const PROVEN: u8 = 1;

/// What has been seen of transfers each way.
#[derive(Debug, Default)]
pub(super) struct Manners {
    /// So often it kept step at the end of a download or listing, or [`DOUBTED`].
    down: AtomicU8,
    /// The same for uploads: whoever still receives may look at the control connection.
    up: AtomicU8,
    /// Whether it lists the same over the control connection: [`PROVEN`], [`DOUBTED`], or not tried.
    stat: AtomicU8,
    /// The forms of listing in which it has shown entries.
    lists: AtomicU8,
    /// Those that it refused, or that showed nothing, where another showed entries.
    lists_not: AtomicU8,
    /// Whether all of a login may come in one packet: [`PROVEN`] that nothing is wanted but user and password,
    /// [`DOUBTED`], or not known.
    login: AtomicU8,
    /// Whether commands may share a packet at all.
    pub(super) pipelining: Arc<Pipelining>,
    /// Whether it refuses temporary names that begin with a dot, and takes others.
    plain_names: AtomicBool,
    /// Whether it has renamed a temporary file.
    renames: AtomicBool,
    /// Whether it refuses temporary names or renames, and takes final names.
    in_place: AtomicBool,
    /// Whether its listings tell other times than its MDTM.
    other_times: AtomicBool,
    /// Whether it keeps long names whole: [`PROVEN`], [`DOUBTED`] where it shortens them, or not known.
    long_names: AtomicU8,
    /// Whether it tells a size for whatever it is asked for.
    any_size: AtomicBool,
}

impl Manners {
    /// With what is known from earlier runs.
    pub(super) fn with_habits(habits: Habits) -> Self {
        let long_names = if habits.short_names { DOUBTED } else { 0 };
        Self {
            pipelining: Arc::new(Pipelining::from_habits(habits)),
            long_names: AtomicU8::new(long_names),
            ..Self::default()
        }
    }

    /// What there is to remember for later runs.
    pub(super) fn habits(&self) -> Habits {
        let mut habits = self.pipelining.habits();
        habits.short_names = self.shortens_names();
        habits
    }

    /// What to send ahead of the reply that ends transfer `verb`, when `step` carries the data and another transfer
    /// follows. First a command that does no harm wherever it comes; then the one that saves the round trip, in active
    /// mode with the transfer behind it.
    pub(super) fn ahead(&self, verb: &str, step: Step) -> Option<&'static str> {
        let command = match step {
            Step::Epsv => "EPSV",
            Step::Pasv => "PASV",
            Step::Eprt => "EPRT",
            Step::Port => "PORT",
        };
        match self.of(verb).load(Ordering::Relaxed) {
            _ if self.pipelining.is_off() => None,
            DOUBTED => None,
            kept if kept < STEPS_KEPT_MIN => Some("NOOP"),
            _ => Some(command),
        }
    }

    /// Whether the server has kept step at the end of transfers like `verb` ever since, and often enough.
    pub(super) fn is_trusted(&self, verb: &str) -> bool {
        let has_kept = (STEPS_KEPT_MIN..DOUBTED).contains(&self.of(verb).load(Ordering::Relaxed));
        has_kept && !self.pipelining.is_off()
    }

    /// Whether nothing is sent ahead any more at the end of transfers like `verb`.
    pub(super) fn is_doubted(&self, verb: &str) -> bool {
        self.of(verb).load(Ordering::Relaxed) == DOUBTED || self.pipelining.is_off()
    }

    /// The server kept step at the end of `verb`.
    pub(super) fn kept(&self, verb: &str) {
        let more = |kept: u8| (kept < STEPS_KEPT_MIN).then(|| kept + 1);
        // The closure says what there is to do, and an error only that it was nothing.
        let _ = self.of(verb).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// It did not, or may not have: nothing is sent ahead any more.
    pub(super) fn doubt(&self, verb: &str) {
        self.of(verb).store(DOUBTED, Ordering::Relaxed);
    }

    /// Whether STAT may be tried for a listing, or has proven to do.
    pub(super) fn may_list_by_stat(&self) -> bool {
        self.stat.load(Ordering::Relaxed) != DOUBTED && !self.pipelining.is_off()
    }

    /// Whether STAT has proven to give the same listing as LIST, ever since.
    pub(super) fn lists_by_stat(&self) -> bool {
        self.stat.load(Ordering::Relaxed) == PROVEN && !self.pipelining.is_off()
    }

    /// STAT gave the same listing as LIST, or did not; the first that is not the same counts for good.
    pub(super) fn listed_by_stat(&self, is_same: bool) {
        let now = if is_same { PROVEN } else { DOUBTED };
        self.stat.fetch_max(now, Ordering::Relaxed);
    }

    /// Whether the server has shown entries in this form of listing: one that shows nothing is then an empty folder.
    pub(super) fn lists_in(&self, form: Form) -> bool {
        self.lists.load(Ordering::Relaxed) & form.bit() != 0
    }

    /// The server has shown entries in this form.
    pub(super) fn listed_in(&self, form: Form) {
        self.lists.fetch_or(form.bit(), Ordering::Relaxed);
    }

    /// Whether the server showed nothing in this form where it did in another.
    pub(super) fn fails_in(&self, form: Form) -> bool {
        self.lists_not.load(Ordering::Relaxed) & form.bit() != 0
    }

    /// The server showed nothing in this form where it did in another.
    pub(super) fn failed_in(&self, form: Form) {
        self.lists_not.fetch_or(form.bit(), Ordering::Relaxed);
    }

    /// Whether the next login may be sent in one packet.
    pub(super) fn may_log_in_hastily(&self) -> bool {
        self.login.load(Ordering::Relaxed) == PROVEN && !self.pipelining.is_off()
    }

    /// The server wanted user and password, and nothing else.
    pub(super) fn logged_in_plainly(&self) {
        self.login.fetch_max(PROVEN, Ordering::Relaxed);
    }

    /// It did not take that in one packet, or may not have.
    pub(super) fn doubt_hasty_login(&self) {
        self.login.store(DOUBTED, Ordering::Relaxed);
    }

    /// Whether temporary names have no dot at their beginning.
    pub(super) fn wants_plain_names(&self) -> bool {
        self.plain_names.load(Ordering::Relaxed)
    }

    /// It refused a temporary name that began with a dot, and took one without.
    pub(super) fn took_plain_name(&self) {
        self.plain_names.store(true, Ordering::Relaxed);
    }

    /// It has renamed a temporary file.
    pub(super) fn renamed(&self) {
        self.renames.store(true, Ordering::Relaxed);
        self.in_place.store(false, Ordering::Relaxed);
    }

    /// Whether it is known to rename temporary files.
    pub(super) fn has_renamed(&self) -> bool {
        self.renames.load(Ordering::Relaxed)
    }

    /// It took a file under its final name, of which it had refused the temporary name or the rename. Where it does
    /// rename others, that was about this name alone.
    pub(super) fn took_in_place(&self) {
        if !self.renames.load(Ordering::Relaxed) {
            self.in_place.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it is known to take final names only.
    pub(super) fn wants_in_place(&self) -> bool {
        self.in_place.load(Ordering::Relaxed)
    }

    /// Whether a listing told another time of a file than MDTM, and the file was the same.
    pub(super) fn lists_other_times(&self) -> bool {
        self.other_times.load(Ordering::Relaxed)
    }

    /// A listing did.
    pub(super) fn listed_other_times(&self) {
        self.other_times.store(true, Ordering::Relaxed);
    }

    /// Whether it shortens long names, so that two of them may become one.
    pub(super) fn shortens_names(&self) -> bool {
        self.long_names.load(Ordering::Relaxed) == DOUBTED
    }

    /// Whether it is known to keep long names whole, or to shorten them.
    pub(super) fn knows_long_names(&self) -> bool {
        self.long_names.load(Ordering::Relaxed) != 0
    }

    /// It keeps long names whole, or shortens them; the first that it shortens counts for good.
    pub(super) fn took_long_name(&self, is_whole: bool) {
        self.long_names.fetch_max(if is_whole { PROVEN } else { DOUBTED }, Ordering::Relaxed);
    }

    /// Whether it tells a size for names that nobody ever gave.
    pub(super) fn has_any_size(&self) -> bool {
        self.any_size.load(Ordering::Relaxed)
    }

    /// It did.
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
        let manners = Manners::default();
        for _ in 0..STEPS_KEPT_MIN {
            assert_eq!(manners.ahead("RETR", Step::Epsv), Some("NOOP"));
            manners.kept("RETR");
        }
        assert_eq!(manners.ahead("RETR", Step::Epsv), Some("EPSV"));
        assert_eq!((manners.is_trusted("RETR"), manners.is_trusted("STOR")), (true, false));
        assert_eq!(manners.ahead("LIST", Step::Pasv), Some("PASV"));
        assert_eq!(manners.ahead("RETR", Step::Port), Some("PORT"));
        assert_eq!(manners.ahead("STOR", Step::Epsv), Some("NOOP"));
    }

    #[test]
    fn after_one_doubt_nothing_is_sent_ahead_that_way() {
        let manners = Manners::default();
        manners.doubt("STOR");
        for _ in 0..=STEPS_KEPT_MIN {
            manners.kept("STOR");
        }
        assert_eq!((manners.ahead("STOR", Step::Epsv), manners.is_trusted("STOR")), (None, false));
        assert_eq!(manners.ahead("RETR", Step::Epsv), Some("NOOP"));
    }
}
