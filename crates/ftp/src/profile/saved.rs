//! The part of the observations that is kept for later runs.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, atomic::AtomicUsize},
};

use super::{
    ProfileParts, ServerProfile,
    learned::{Learned, Support},
};
use crate::{
    data::{address::PasvHint, method::DataMethod},
    list_command::ListCommand,
    pipelining::{Habits, Pipelining},
    server_store::{ServerHandle, ServerRecord},
    site::Mode,
    tls::TlsVersions,
};

impl ServerProfile {
    /// Returns the profile of a server with the `record` of earlier runs.
    pub(crate) fn with_record(record: ServerHandle) -> Self {
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

    /// Returns the record of earlier runs, or of this one.
    pub(crate) fn known(&self) -> Option<ServerRecord> {
        self.learned().record.as_ref().and_then(ServerHandle::known)
    }

    /// Updates the state for a new connection from the local address `ours`; `second` is the address of the server if
    /// an earlier one in the list did not answer.
    pub(crate) fn follow(&self, ours: IpAddr, second: Option<IpAddr>) {
        let mut learned = self.learned();
        learned.second_address = second;
        if learned.record.as_mut().is_some_and(|record| record.follow(ours)) {
            learned.round_trip = None;
        }
    }

    /// Saves the working method `step` for later runs, with the other facts; `failed` is the mode that has failed
    /// besides, if one has.
    pub(crate) fn save(&self, step: DataMethod, failed: Option<Mode>) {
        let mut habits = self.pipelining().habits();
        habits.short_names = self.shortens_names();
        let is_proven = self.pipelining().is_proven();
        let refuses_list_all = self.fails_in(ListCommand::ListAll);
        let mut learned = self.learned();
        habits.in_place = learned.wants_in_place;
        habits.sessions_max = learned.sessions_max;
        habits.separate_ports = learned.separate_ports;
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
    pub(crate) fn unlearn(&self, step: DataMethod) {
        if let Some(record) = &mut self.learned().record {
            record.unlearn(step);
        }
    }

    /// Discards the assumptions from earlier runs about data connections.
    pub(crate) fn forget(&self) {
        if let Some(known) = self.known() {
            self.unlearn(known.step);
        }
        let mut learned = self.learned();
        (learned.pasv_hint, learned.tls_versions) = (PasvHint::Nothing, TlsVersions::All);
    }
}

impl Learned {
    /// Adopts what an earlier run has saved.
    pub(super) fn adopt(&mut self, known: &ServerRecord) {
        if known.tls12_only {
            self.tls_versions = TlsVersions::Only12;
        }
        if known.is_elsewhere {
            self.pasv_hint = PasvHint::Worse;
        }
        self.wants_in_place = known.habits.in_place;
        self.remembers_in_place = known.habits.in_place;
        self.separate_ports = known.habits.separate_ports;
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
    pub(super) fn save_habits(&mut self, change: impl FnOnce(&mut Habits)) {
        if let Some(record) = &mut self.record
            && let Some(known) = record.known()
        {
            let mut habits = known.habits;
            change(&mut habits);
            record.learn(ServerRecord { habits, ..known });
        }
    }
}
