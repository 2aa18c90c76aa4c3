//! Everything learned of a server, shared by all sessions with it in one run. What is certain of it is saved for later
//! runs.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    data::{
        address::PasvHint,
        method::{DataMethod, FallbackOrder},
    },
    list_command::ListCommand,
    pipelining::{Habits, Pipelining},
    server_store::{ServerHandle, ServerRecord},
    site::Mode,
    tls::TlsVersions,
};
use portolan_core::limits::STEPS_KEPT_MIN;
use portolan_proto::Verb;

/// An ability of a server, as far as it was observed. What was refuted once stays refuted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Support {
    /// It was not observed.
    #[default]
    Unknown,
    /// The server has shown it.
    Proven,
    /// The server failed once.
    Refuted,
}

/// The order of a server's replies to commands that are sent before the end of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyOrder {
    /// It was kept, in so many transfers.
    Kept(u8),
    /// It was not kept once, or may not have been.
    Doubted,
}

impl Default for ReplyOrder {
    fn default() -> Self {
        Self::Kept(0)
    }
}

/// The data-connection method that one session has found, for sessions that were opened before it was known.
#[derive(Debug, Clone)]
pub(super) struct SharedMethod {
    pub(super) fallback_order: FallbackOrder,
    /// The mode that was last reported to the user.
    pub(super) reported_mode: Option<&'static str>,
}

/// The observations.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is another observation")]
struct Learned {
    /// The order at the end of downloads and listings.
    downloads: ReplyOrder,
    /// The order at the end of uploads: a server may poll the control connection while it still receives data.
    uploads: ReplyOrder,
    /// The agreement of STAT listings over the control connection with LIST.
    stat_listing: Support,
    /// True if only an earlier run has found that they agree.
    remembers_stat_listing: bool,
    /// The commands for listings: those with which it has shown entries, and those that it refused, or that showed nothing,
    /// when another showed entries.
    list_commands: [Support; ListCommand::ALL.len()],
    /// A login in one packet: only user and password are requested.
    one_packet_login: Support,
    /// Temporary names that begin with a dot.
    dotted_names: Support,
    /// Set once it has renamed a temporary file.
    has_renamed: bool,
    /// True if it refuses temporary names or renames, and accepts final names.
    wants_in_place: bool,
    /// True if an earlier run has found that out.
    remembers_in_place: bool,
    /// The number of sessions at a time beyond which it refused one; 0 if it never did.
    sessions_max: u16,
    /// The agreement of the times in its listings with its MDTM.
    listed_times: Support,
    /// Long names: it keeps them whole, or shortens them.
    long_names: Support,
    /// SIZE: it reports none for a name that does not exist.
    true_sizes: Support,
    /// The versions of TLS with which its data connections work.
    tls_versions: TlsVersions,
    /// The knowledge about its own address for data.
    pasv_hint: PasvHint,
    /// The one of its addresses that answers when an earlier one in the list does not.
    second_address: Option<IpAddr>,
    /// The shortest time that a reply has taken: close to the round-trip time, whatever else the server was busy with.
    round_trip: Option<Duration>,
    /// The method that carried data last.
    method: Option<SharedMethod>,
    /// The record of earlier runs, to be updated for later ones.
    record: Option<ServerHandle>,
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
    /// Returns the profile of a server with the `record` of earlier runs.
    pub(super) fn with_record(record: ServerHandle) -> Self {
        let known = record.known();
        let habits = known.map(|known| known.habits).unwrap_or_default();
        let mut learned = Learned { record: Some(record), ..Learned::default() };
        if habits.short_names {
            learned.long_names = Support::Refuted;
        }
        if let Some(known) = known {
            learned.adopt(&known);
        }
        let pipelining = Pipelining::from_habits(habits);
        Self(Arc::new(ProfileParts {
            pipelining,
            learned: Mutex::new(learned),
            slot_requests: AtomicUsize::new(0),
        }))
    }

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

    /// Returns the record of earlier runs, or of this one.
    pub(super) fn known(&self) -> Option<ServerRecord> {
        self.learned().record.as_ref().and_then(ServerHandle::known)
    }

    /// Updates the state for a new connection from the local address `ours`; `second` is the address of the server if
    /// an earlier one in the list did not answer.
    pub(super) fn follow(&self, ours: IpAddr, second: Option<IpAddr>) {
        let mut learned = self.learned();
        learned.second_address = second;
        if learned.record.as_mut().is_some_and(|record| record.follow(ours)) {
            learned.round_trip = None;
        }
    }

    /// Saves the working method `step` for later runs, with the other facts; `failed` is the mode that has failed
    /// besides, if one has.
    pub(super) fn save(&self, step: DataMethod, failed: Option<Mode>) {
        let mut habits = self.pipelining().habits();
        habits.short_names = self.shortens_names();
        let is_proven = self.pipelining().is_proven();
        let refuses_list_all = self.fails_in(ListCommand::ListAll);
        let mut learned = self.learned();
        habits.in_place = learned.wants_in_place;
        habits.sessions_max = learned.sessions_max;
        habits.lists_by_stat = learned.stat_listing == Support::Proven;
        habits.takes_whole_login = match learned.one_packet_login {
            Support::Proven => Some(true).filter(|_| is_proven),
            Support::Refuted => Some(false),
            Support::Unknown => None,
        };
        let (round_trip, address) =
            (learned.round_trip.unwrap_or_default(), learned.second_address);
        let tls12_only = learned.tls_versions == TlsVersions::Only12;
        let is_elsewhere = learned.pasv_hint == PasvHint::Worse;
        let Some(record) = &mut learned.record else { return };
        let before = record.known().and_then(|known| known.failed_mode);
        record.learn(ServerRecord {
            step,
            failed_mode: failed.or(before.filter(|mode| *mode != step.kind())),
            tls12_only,
            refuses_list_all,
            is_elsewhere,
            round_trip,
            habits,
            address,
        });
    }

    /// Records that `step` does not work now.
    pub(super) fn unlearn(&self, step: DataMethod) {
        if let Some(record) = &mut self.learned().record {
            record.unlearn(step);
        }
    }

    /// Discards the assumptions from earlier runs about data connections.
    pub(super) fn forget(&self) {
        if let Some(known) = self.known() {
            self.unlearn(known.step);
        }
        let mut learned = self.learned();
        (learned.pasv_hint, learned.tls_versions) = (PasvHint::Nothing, TlsVersions::All);
    }
}

impl Learned {
    /// Adopts what an earlier run has saved.
    fn adopt(&mut self, known: &ServerRecord) {
        if known.tls12_only {
            self.tls_versions = TlsVersions::Only12;
        }
        if known.is_elsewhere {
            self.pasv_hint = PasvHint::Worse;
        }
        self.wants_in_place = known.habits.in_place;
        self.remembers_in_place = known.habits.in_place;
        self.sessions_max = known.habits.sessions_max;
        if known.habits.lists_by_stat {
            self.stat_listing.observe(true);
            self.remembers_stat_listing = true;
        }
        if let Some(is_whole) = known.habits.takes_whole_login {
            self.one_packet_login.observe(is_whole);
        }
        if known.refuses_list_all {
            self.list_command(ListCommand::ListAll).observe(false);
        }
    }

    /// Saves a change of habits, if there is a record already; without one they are saved with its first.
    fn save_habits(&mut self, change: impl FnOnce(&mut Habits)) {
        if let Some(record) = &mut self.record
            && let Some(known) = record.known()
        {
            let mut habits = known.habits;
            change(&mut habits);
            record.learn(ServerRecord { habits, ..known });
        }
    }

    fn order_of(&mut self, verb: Verb) -> &mut ReplyOrder {
        if verb.is_upload() { &mut self.uploads } else { &mut self.downloads }
    }

    fn list_command(&mut self, command: ListCommand) -> &mut Support {
        let [facts, list_all, list, status, names] = &mut self.list_commands;
        match command {
            ListCommand::Facts => facts,
            ListCommand::ListAll => list_all,
            ListCommand::List => list,
            ListCommand::Status => status,
            ListCommand::Names => names,
        }
    }
}

impl Support {
    /// Records a success or a failure.
    fn observe(&mut self, is_good: bool) {
        *self = (*self).max(if is_good { Self::Proven } else { Self::Refuted });
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
