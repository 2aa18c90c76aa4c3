//! The server record: the facts learnt in earlier runs, and saved for later ones.

use std::{
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use super::{
    data::method::DataMethod,
    pipelining::Habits,
    site::{Mode, Site},
};
use portolan_core::limits::ROUTE_WRITES_MAX;

/// A store of server records. Losing one costs a few attempts, so none of its methods can fail.
pub trait ServerStore: Debug + Send + Sync {
    /// Returns the record of `place` if it is still valid.
    fn recall(&self, place: &ServerPlace) -> Option<ServerRecord>;

    /// Replaces the record of `place` by `known`.
    fn remember(&self, place: &ServerPlace, known: ServerRecord);

    /// Returns true if a session with that server was protected by TLS, in any network and with any login.
    fn has_used_tls(&self, _host: &str, _port: u16) -> bool {
        false
    }

    /// Removes `step`, which does not work any more, from the record of `place`.
    fn forget(&self, place: &ServerPlace, step: DataMethod);
}

/// The key of a record: a server, a user and a local network, since the method that carries data in one network may not
/// in another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerPlace {
    /// The server's name, in lower case.
    pub host: String,
    /// Its control port.
    pub port: u16,
    /// The login name.
    pub user: String,
    /// The protection: `off`, `explicit` or `implicit`.
    pub protection: &'static str,
    /// The local network, such as `192.0.2.0/24`.
    pub network: String,
}

/// The record of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerRecord {
    /// The method that carried the data.
    pub step: DataMethod,
    /// The mode that was tried before and failed.
    pub failed_mode: Option<Mode>,
    /// True if the server accepts data connections with TLS 1.2 only.
    pub tls12_only: bool,
    /// True if it does not accept `LIST -a`.
    pub refuses_list_all: bool,
    /// True if data is reachable at the address that PASV announces, and not at the server's own.
    pub is_elsewhere: bool,
    /// The shortest time from a command to its reply.
    pub round_trip: Duration,
    /// Its behaviour towards commands.
    pub habits: Habits,
    /// The one of its addresses that answers when an earlier one in the list does not.
    pub address: Option<IpAddr>,
}

impl ServerPlace {
    /// Returns the key for the server of `site`, seen from the local address `ours`.
    pub(super) fn of(site: &Site, ours: IpAddr) -> Self {
        Self {
            host: site.host.to_ascii_lowercase(),
            port: site.port,
            user: site.user.clone(),
            protection: site.tls.as_str(),
            network: network(ours),
        }
    }
}

impl ServerRecord {
    /// Returns true if a session in `mode` may begin with the recorded step: it is of that mode, or that mode failed.
    pub(super) fn suits(&self, mode: Mode) -> bool {
        matches!(mode, Mode::Auto | Mode::Race)
            || mode == self.step.kind()
            || Some(mode) == self.failed_mode
    }

    /// Returns true if both records say the same of the server; round trips always differ.
    fn agrees_with(&self, other: &Self) -> bool {
        *self == Self { round_trip: self.round_trip, ..*other }
    }
}

/// The record that the sessions with one server use and update.
#[derive(Debug)]
pub(super) struct ServerHandle {
    memory: Arc<dyn ServerStore>,
    place: ServerPlace,
    known: Option<ServerRecord>,
    writes_left: u32,
}

impl ServerHandle {
    /// Loads the record of `site`, seen from the local address `ours`, from `memory`.
    pub(super) fn of(memory: Arc<dyn ServerStore>, site: &Site, ours: IpAddr) -> Self {
        let place = ServerPlace::of(site, ours);
        let known = memory.recall(&place);
        Self { memory, place, known, writes_left: ROUTE_WRITES_MAX }
    }

    /// Updates the key for a new connection from the local address `ours`, and returns true if that is in another
    /// network, of which no record exists yet.
    pub(super) fn follow(&mut self, ours: IpAddr) -> bool {
        let network = network(ours);
        let is_other = network != self.place.network;
        if is_other {
            self.place.network = network;
            self.known = None;
        }
        is_other
    }

    /// Returns the record as loaded, or as updated since.
    pub(super) const fn known(&self) -> Option<ServerRecord> {
        self.known
    }

    /// Records the working method. An unchanged record is not written.
    pub(super) fn learn(&mut self, learnt: ServerRecord) {
        if self.known.is_none_or(|known| !known.agrees_with(&learnt)) {
            self.known = Some(learnt);
            self.write(|memory, place| memory.remember(place, learnt));
        }
    }

    /// Records that `step` does not work now.
    pub(super) fn unlearn(&mut self, step: DataMethod) {
        if self.known.take_if(|known| known.step == step).is_some() {
            self.write(|memory, place| memory.forget(place, step));
        }
    }

    fn write(&mut self, write: impl FnOnce(&dyn ServerStore, &ServerPlace)) {
        if let Some(left) = self.writes_left.checked_sub(1) {
            self.writes_left = left;
            write(self.memory.as_ref(), &self.place);
        }
    }
}

/// Returns the network of a local address: enough of it to tell home from office.
fn network(ours: IpAddr) -> String {
    match ours.to_canonical() {
        IpAddr::V4(ip) => {
            let [one, two, three, _] = ip.octets();
            format!("{}/24", Ipv4Addr::new(one, two, three, 0))
        }
        IpAddr::V6(ip) => format!("{}/64", Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_its_machines_share() {
        for (ours, wanted) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(network(ours.parse().unwrap()), wanted);
        }
    }

    #[test]
    fn a_mode_that_was_asked_for_is_left_only_if_it_failed() {
        let known = |step, failed_mode| ServerRecord {
            step,
            failed_mode,
            tls12_only: false,
            refuses_list_all: false,
            is_elsewhere: false,
            round_trip: Duration::ZERO,
            habits: Habits::default(),
            address: None,
        };
        for (step, failed_mode, mode, suits) in [
            (DataMethod::Epsv, None, Mode::Auto, true),
            (DataMethod::Eprt, None, Mode::Auto, true),
            (DataMethod::Eprt, None, Mode::Race, true),
            (DataMethod::Epsv, None, Mode::Passive, true),
            (DataMethod::Epsv, None, Mode::Active, false),
            (DataMethod::Epsv, Some(Mode::Active), Mode::Active, true),
            (DataMethod::Port, None, Mode::Passive, false),
            (DataMethod::Port, Some(Mode::Passive), Mode::Passive, true),
        ] {
            assert_eq!(known(step, failed_mode).suits(mode), suits, "{step:?} {mode:?}");
        }
    }
}
