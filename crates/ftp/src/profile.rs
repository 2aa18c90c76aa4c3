//! Everything learned of a server, shared by all sessions with it in one run. What is certain of it is saved for later
//! runs.

mod learned;
mod saved;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use self::learned::{Learned, ReplyOrder, Support};
use super::{
    data::{
        address::PasvHint,
        method::{DataMethod, FallbackOrder},
    },
    list_command::ListCommand,
    pipelining::Pipelining,
    tls::TlsVersions,
};
use portolan_core::limits::STEPS_KEPT_MIN;
use portolan_proto::Verb;

/// The data-connection method that one session has found, for sessions that were opened before it was known.
#[derive(Debug, Clone)]
pub(super) struct SharedMethod {
    pub(super) fallback_order: FallbackOrder,
    /// The mode that was last reported to the user.
    pub(super) reported_mode: Option<&'static str>,
}

#[derive(Debug, Default)]
struct ProfileParts {
    /// The support for several commands in one packet.
    pipelining: Pipelining,
    learned: Mutex<Learned>,
    /// The number of sessions that wait because the server accepts no more at a time.
    slot_requests: AtomicUsize,
}

/// A session's request that others give way, withdrawn when it is dropped.
#[derive(Debug)]
pub(super) struct SlotRequest(ServerProfile);

impl Drop for SlotRequest {
    fn drop(&mut self) {
        self.0.0.slot_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The observations of a server's behaviour. All clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerProfile(Arc<ProfileParts>);

impl ServerProfile {
    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.0.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns its support for several commands in one packet.
    pub(super) fn pipelining(&self) -> &Pipelining {
        &self.0.pipelining
    }

    /// Returns the command to send before the reply that ends transfer `verb`, if `step` carries the data and another
    /// transfer follows. At first a command that is harmless wherever it arrives; then the one that saves the round
    /// trip, in active mode followed by the transfer.
    pub(super) fn ahead(&self, verb: Verb, step: DataMethod) -> Option<Verb> {
        match *self.learned().order_of(verb) {
            _ if self.pipelining().is_off() => None,
            ReplyOrder::Doubted => None,
            ReplyOrder::Kept(times) if times < STEPS_KEPT_MIN => Some(Verb::Noop),
            ReplyOrder::Kept(_) => Some(step.verb()),
        }
    }

    /// Returns true if the server has always answered in order at the end of transfers like `verb`, and often enough.
    pub(super) fn is_trusted(&self, verb: Verb) -> bool {
        let order = *self.learned().order_of(verb);
        let has_kept = matches!(order, ReplyOrder::Kept(times) if times >= STEPS_KEPT_MIN);
        has_kept && !self.pipelining().is_off()
    }

    /// Returns true if no more commands are pipelined at the end of transfers like `verb`.
    pub(super) fn is_disabled(&self, verb: Verb) -> bool {
        *self.learned().order_of(verb) == ReplyOrder::Doubted || self.pipelining().is_off()
    }

    /// Records that the server answered in order at the end of `verb`.
    pub(super) fn record_in_order(&self, verb: Verb) {
        if let ReplyOrder::Kept(times) = self.learned().order_of(verb) {
            *times = times.saturating_add(1).min(STEPS_KEPT_MIN);
        }
    }

    /// Records that it did not, or may not have: no more commands are pipelined.
    pub(super) fn disable(&self, verb: Verb) {
        *self.learned().order_of(verb) = ReplyOrder::Doubted;
    }

    /// Returns true if STAT may be tried for a listing, or has proved to work.
    pub(super) fn may_list_by_stat(&self) -> bool {
        self.learned().stat_listing != Support::Refuted && !self.pipelining().is_off()
    }

    /// Returns true if STAT has always returned the same listing as LIST.
    pub(super) fn lists_by_stat(&self) -> bool {
        self.learned().stat_listing == Support::Proven && !self.pipelining().is_off()
    }

    /// Records whether STAT returned the same listing as LIST.
    pub(super) fn record_stat_listing(&self, is_same: bool) {
        let mut learned = self.learned();
        learned.stat_listing.observe(is_same);
        learned.remembers_stat_listing = false;
        let is_proven = learned.stat_listing == Support::Proven;
        learned.save_habits(|habits| habits.lists_by_stat = is_proven);
    }

    /// Records that STAT returned something else than a listing: the server lists nothing by STAT, unless it has in this
    /// run.
    pub(super) fn record_unclear_stat(&self) {
        let has_listed = {
            let learned = self.learned();
            learned.stat_listing == Support::Proven && !learned.remembers_stat_listing
        };
        if !has_listed {
            self.record_stat_listing(false);
        }
    }

    /// Returns true if the server has shown entries with this command: an empty result then is an empty
    /// directory.
    pub(super) fn lists_in(&self, command: ListCommand) -> bool {
        *self.learned().list_command(command) == Support::Proven
    }

    /// Returns true if the server refuses this command, or showed nothing with it when it did with another.
    pub(super) fn fails_in(&self, command: ListCommand) -> bool {
        *self.learned().list_command(command) == Support::Refuted
    }

    /// Records whether the server has shown entries with this command, or failed.
    pub(super) fn record_listing(&self, command: ListCommand, is_good: bool) {
        self.learned().list_command(command).observe(is_good);
    }

    /// Returns true if the next login may be sent in one packet.
    pub(super) fn may_pipeline_login(&self) -> bool {
        self.learned().one_packet_login == Support::Proven && !self.pipelining().is_off()
    }

    /// Records whether the server asked for user and password only; false also if it did not accept a login in one
    /// packet, or may not have.
    pub(super) fn record_plain_login(&self, is_plain: bool) {
        let mut learned = self.learned();
        learned.one_packet_login.observe(is_plain);
        if !is_plain {
            learned.save_habits(|habits| habits.takes_whole_login = Some(false));
        }
    }

    /// Returns true if temporary names must not begin with a dot.
    pub(super) fn wants_plain_names(&self) -> bool {
        self.learned().dotted_names == Support::Refuted
    }

    /// Records that it refused a temporary name that began with a dot, and accepted one without.
    pub(super) fn record_plain_name(&self) {
        self.learned().dotted_names.observe(false);
    }

    /// Records that it has renamed a temporary file.
    pub(super) fn record_rename(&self) {
        let mut learned = self.learned();
        learned.has_renamed = true;
        learned.wants_in_place = false;
    }

    /// Returns true if it is known to rename temporary files.
    pub(super) fn has_renamed(&self) -> bool {
        self.learned().has_renamed
    }

    /// Records that it accepted a file under its final name after it had refused the temporary name or the rename. If
    /// it renames other files, the refusal was about this name only.
    pub(super) fn record_in_place(&self) {
        let mut learned = self.learned();
        learned.wants_in_place |= !learned.has_renamed;
        let in_place = learned.wants_in_place;
        learned.save_habits(|habits| habits.in_place = in_place);
    }

    /// Returns the number of sessions at a time that the server accepted when it refused one more, in this run or an
    /// earlier one.
    pub(super) fn session_limit(&self) -> Option<u16> {
        Some(self.learned().sessions_max).filter(|count| *count > 0)
    }

    /// Records that number; `None` if it refuses none.
    pub(super) fn record_session_limit(&self, count: Option<u16>) {
        let count = count.unwrap_or(0);
        let mut learned = self.learned();
        learned.sessions_max = count;
        learned.save_habits(|habits| habits.sessions_max = count);
    }

    /// Asks the other sessions of the run to give way, until the result is dropped.
    pub(super) fn request_slot(&self) -> SlotRequest {
        self.0.slot_requests.fetch_add(1, Ordering::Relaxed);
        SlotRequest(self.clone())
    }

    /// Returns true if a session of the run waits for another to end.
    pub(super) fn is_slot_requested(&self) -> bool {
        self.0.slot_requests.load(Ordering::Relaxed) > 0
    }

    /// Returns true if it is known to accept final names only.
    pub(super) fn wants_in_place(&self) -> bool {
        self.learned().wants_in_place
    }

    /// Returns true if an earlier run has found that it accepts final names only.
    pub(super) fn remembers_in_place(&self) -> bool {
        self.learned().remembers_in_place
    }

    /// Returns true if a listing showed another time of an unchanged file than MDTM.
    pub(super) fn lists_other_times(&self) -> bool {
        self.learned().listed_times == Support::Refuted
    }

    /// Records that a listing did.
    pub(super) fn record_other_times(&self) {
        self.learned().listed_times.observe(false);
    }

    /// Returns true if it shortens long names, so that two of them may become one.
    pub(super) fn shortens_names(&self) -> bool {
        self.learned().long_names == Support::Refuted
    }

    /// Returns true if it is known whether it keeps long names whole or shortens them.
    pub(super) fn knows_long_names(&self) -> bool {
        self.learned().long_names != Support::Unknown
    }

    /// Records whether it kept a long name whole.
    pub(super) fn record_long_name(&self, is_whole: bool) {
        self.learned().long_names.observe(is_whole);
    }

    /// Returns true if it reports a size for names that do not exist.
    pub(super) fn has_any_size(&self) -> bool {
        self.learned().true_sizes == Support::Refuted
    }

    /// Records that it did.
    pub(super) fn record_any_size(&self) {
        self.learned().true_sizes.observe(false);
    }

    /// Returns true if EPRT or PORT must be answered before the transfer command is sent.
    pub(super) fn wants_separate_ports(&self) -> bool {
        self.learned().separate_ports
    }

    /// Records that it answers a transfer command before the EPRT or PORT in front of it, and then may send no data.
    pub(super) fn record_separate_ports(&self) {
        let mut learned = self.learned();
        learned.separate_ports = true;
        learned.save_habits(|habits| habits.separate_ports = true);
    }

    /// Returns the versions of TLS with which its data connections work.
    pub(super) fn tls_versions(&self) -> TlsVersions {
        self.learned().tls_versions
    }

    /// Records that its data connections need TLS 1.2.
    pub(super) fn require_tls12(&self) {
        self.learned().tls_versions = TlsVersions::Only12;
    }

    /// Returns the knowledge about its own address for data.
    pub(super) fn pasv_hint(&self) -> PasvHint {
        self.learned().pasv_hint
    }

    /// Records that data is reachable at the address that PASV announces, and not at the server's own.
    pub(super) fn record_elsewhere(&self) {
        self.learned().pasv_hint = PasvHint::Worse;
    }

    /// Returns the round-trip time, if it is known.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.learned().round_trip
    }

    /// Records the time that a reply took.
    pub(super) fn record_reply_time(&self, time: Duration) {
        let mut learned = self.learned();
        learned.round_trip = Some(learned.round_trip.map_or(time, |known| known.min(time)));
    }

    /// Returns the method that another session has found, if there is one.
    pub(super) fn method(&self) -> Option<SharedMethod> {
        self.learned().method.clone()
    }

    /// Shares a method with the other sessions, if it is new.
    pub(super) fn share_method(
        &self,
        fallback_order: &FallbackOrder,
        reported_mode: Option<&'static str>,
    ) {
        let mut learned = self.learned();
        let method = &mut learned.method;
        if method
            .as_ref()
            .is_none_or(|known| known.fallback_order.current() != fallback_order.current())
        {
            *method = Some(SharedMethod { fallback_order: fallback_order.clone(), reported_mode });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_tried_with_something_harmless_before_it_is_trusted() {
        let profile = ServerProfile::default();
        for _ in 0..STEPS_KEPT_MIN {
            assert_eq!(profile.ahead(Verb::Retr, DataMethod::Epsv), Some(Verb::Noop));
            profile.record_in_order(Verb::Retr);
        }
        assert_eq!(profile.ahead(Verb::Retr, DataMethod::Epsv), Some(Verb::Epsv));
        assert_eq!((profile.is_trusted(Verb::Retr), profile.is_trusted(Verb::Stor)), (true, false));
        assert_eq!(profile.ahead(Verb::List, DataMethod::Pasv), Some(Verb::Pasv));
        assert_eq!(profile.ahead(Verb::Retr, DataMethod::Port), Some(Verb::Port));
        assert_eq!(profile.ahead(Verb::Stor, DataMethod::Epsv), Some(Verb::Noop));
    }

    #[test]
    fn after_one_doubt_nothing_is_sent_ahead_that_way() {
        let profile = ServerProfile::default();
        profile.disable(Verb::Stor);
        for _ in 0..=STEPS_KEPT_MIN {
            profile.record_in_order(Verb::Stor);
        }
        assert_eq!(
            (profile.ahead(Verb::Stor, DataMethod::Epsv), profile.is_trusted(Verb::Stor)),
            (None, false)
        );
        assert_eq!(profile.ahead(Verb::Retr, DataMethod::Epsv), Some(Verb::Noop));
    }

    #[test]
    fn a_failure_is_final_whatever_succeeds_later() {
        let profile = ServerProfile::default();
        assert!(profile.may_list_by_stat() && !profile.lists_by_stat());
        profile.record_stat_listing(true);
        assert!(profile.lists_by_stat());
        profile.record_stat_listing(false);
        profile.record_stat_listing(true);
        assert!(!profile.may_list_by_stat() && !profile.lists_by_stat());
    }

    #[test]
    fn all_sessions_share_the_shortest_reply_time() {
        let profile = ServerProfile::default();
        let other = profile.clone();
        assert_eq!(other.round_trip(), None);
        for (ms, shortest) in [(9, 9), (4, 4), (7, 4)] {
            profile.record_reply_time(Duration::from_millis(ms));
            assert_eq!(other.round_trip(), Some(Duration::from_millis(shortest)));
        }
    }
}
