//! What is known of a server from earlier runs, and told for later ones.

use std::{
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use super::{
    control::{Habits, Line},
    data::route::Step,
    site::{Mode, Site},
};
use crate::limits::ROUTE_WRITES_MAX;

/// Keeps what was learnt of servers. Losing it costs a few tries, so none of this can fail.
pub trait RouteMemory: Debug + Send + Sync {
    /// What is known of `place` and still holds.
    fn recall(&self, place: &Place) -> Option<Known>;

    /// Puts `known` in the place of what was known of `place`.
    fn remember(&self, place: &Place, known: Known);

    /// `step` was the way to `place` and is it no more.
    fn forget(&self, place: &Place, step: Step);
}

/// A server, as somebody and from somewhere: what carries data in one network may not in another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The server's name, in small letters.
    pub host: String,
    /// Its control port.
    pub port: u16,
    /// The login name.
    pub user: String,
    /// `off`, `explicit` or `implicit`.
    pub protection: &'static str,
    /// The network that we are in, such as `192.0.2.0/24`.
    pub network: String,
}

/// What is known of the way to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What carried the data.
    pub step: Step,
    /// The mode that was tried before and did not.
    pub failed_mode: Option<Mode>,
    /// Whether the server takes our data connections with TLS 1.2 only.
    pub tls12_only: bool,
    /// Whether it does not take `LIST -a`.
    pub refuses_list_all: bool,
    /// Whether data is behind the address that PASV announces, and not behind the server's own.
    pub is_elsewhere: bool,
    /// From a command to its reply, at best.
    pub round_trip: Duration,
    /// How it takes commands.
    pub habits: Habits,
    /// The one of its addresses that answers where another, which stands before it, does not.
    pub address: Option<IpAddr>,
}

impl Place {
    /// The server of `site`, seen from our address `ours`.
    pub(super) fn of(site: &Site, ours: IpAddr) -> Self {
        Self {
            host: site.host.to_ascii_lowercase(),
            port: site.port,
            user: site.user.clone(),
            protection: site.tls.word(),
            network: network(ours),
        }
    }
}

impl Known {
    /// Whether one who asks for `mode` may begin with the step: it is of that mode, or that mode did not work.
    pub(super) fn suits(&self, mode: Mode) -> bool {
        matches!(mode, Mode::Auto | Mode::Race)
            || mode == self.step.kind()
            || Some(mode) == self.failed_mode
    }

    /// Whether it says the same of the server; round trips are never the same.
    fn agrees_with(&self, other: &Self) -> bool {
        *self == Self { round_trip: self.round_trip, ..*other }
    }
}

/// What one session knows, and where it tells it.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    memory: Arc<dyn RouteMemory>,
    place: Place,
    known: Option<Known>,
    writes_left: u32,
}

impl Notes {
    /// What `memory` has on `site`, to which `line` leads.
    pub(super) fn of(memory: Arc<dyn RouteMemory>, site: &Site, line: &Line) -> Self {
        let place = Place::of(site, line.local.ip());
        let known = memory.recall(&place);
        Self { memory, place, known, writes_left: ROUTE_WRITES_MAX }
    }

    /// The session goes on over `line`: in another network nothing is known of it yet.
    pub(super) fn follow(&mut self, line: &Line) {
        let network = network(line.local.ip());
        if network != self.place.network {
            self.place.network = network;
            self.known = None;
        }
    }

    /// What was known before, or has been learnt since.
    pub(super) const fn known(&self) -> Option<Known> {
        self.known
    }

    /// Notes what works now. Where that is nothing new, nothing is written.
    pub(super) fn learn(&mut self, learnt: Known) {
        if self.known.is_none_or(|known| !known.agrees_with(&learnt)) {
            self.known = Some(learnt);
            self.write(|memory, place| memory.remember(place, learnt));
        }
    }

    /// Notes that `step` does not work now.
    pub(super) fn unlearn(&mut self, step: Step) {
        if self.known.take_if(|known| known.step == step).is_some() {
            self.write(|memory, place| memory.forget(place, step));
        }
    }

    fn write(&mut self, write: impl FnOnce(&dyn RouteMemory, &Place)) {
        if let Some(left) = self.writes_left.checked_sub(1) {
            self.writes_left = left;
            write(self.memory.as_ref(), &self.place);
        }
    }
}

/// The network of one of our addresses: as much of it as tells home from office.
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
        let known = |step, failed_mode| Known {
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
            (Step::Epsv, None, Mode::Auto, true),
            (Step::Eprt, None, Mode::Auto, true),
            (Step::Eprt, None, Mode::Race, true),
            (Step::Epsv, None, Mode::Passive, true),
            (Step::Epsv, None, Mode::Active, false),
            (Step::Epsv, Some(Mode::Active), Mode::Active, true),
            (Step::Port, None, Mode::Passive, false),
            (Step::Port, Some(Mode::Passive), Mode::Passive, true),
        ] {
            assert_eq!(known(step, failed_mode).suits(mode), suits, "{step:?} {mode:?}");
        }
    }
}
