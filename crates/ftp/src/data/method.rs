//! The methods of opening a data connection, and the order in which they are tried. Pure: takes outcomes and returns
//! the next method.

use std::time::Duration;
use strum::{EnumString, IntoStaticStr};

use crate::site::Mode;
use portolan_core::{
    error::{Error, ErrorKind},
    limits::{LAST_STEP_TIME, STEP_ROUND_TRIPS, STEP_TIME, STEP_TIME_MAX},
};
use portolan_proto::{ReplyCode, Verb};

/// A method of opening a data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum DataMethod {
    /// Extended passive mode: the server names a port (RFC 2428, 3).
    Epsv,
    /// Passive mode: the server names address and port (RFC 959); only the port is trusted.
    Pasv,
    /// Extended active mode: the client names address and port (RFC 2428, 2).
    Eprt,
    /// Active mode in the form of RFC 959, IPv4 only.
    Port,
}

impl DataMethod {
    /// Returns the name used in events and in the record.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the verb of its command.
    pub const fn verb(self) -> Verb {
        match self {
            Self::Epsv => Verb::Epsv,
            Self::Pasv => Verb::Pasv,
            Self::Eprt => Verb::Eprt,
            Self::Port => Verb::Port,
        }
    }

    /// Returns true if the server opens the connection.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Eprt | Self::Port)
    }

    /// Returns the method of the same mode that uses the other command.
    const fn same_mode_sibling(self) -> Self {
        match self {
            Self::Epsv => Self::Pasv,
            Self::Pasv => Self::Epsv,
            Self::Eprt => Self::Port,
            Self::Port => Self::Eprt,
        }
    }

    /// Returns the method that would wait in vain for as long, after this one failed with `error` on its way to or from
    /// `address`. A refused connection or a 425 costs no time, so the sibling may try another port; and if no address
    /// was reached, only the command was lost.
    pub fn sibling_to_skip(self, error: &Error, address: &str) -> Option<Self> {
        let is_wait =
            matches!(error.kind, ErrorKind::Timeout | ErrorKind::DataConnection) && error.code == 0;
        (is_wait && !address.is_empty()).then_some(self.same_mode_sibling())
    }

    /// Returns `active` or `passive`.
    pub fn mode(self) -> &'static str {
        self.kind().as_str()
    }

    /// Returns the mode of the method.
    pub const fn kind(self) -> Mode {
        if self.is_active() { Mode::Active } else { Mode::Passive }
    }
}

/// Returns the timeout for the reply to the command of a method, over a link with this round trip.
pub fn answer_time(round_trip: Option<Duration>, budget: Duration) -> Duration {
    let usual = |trip: Duration| trip.saturating_mul(STEP_ROUND_TRIPS).saturating_add(STEP_TIME);
    let time = round_trip.map_or(STEP_TIME_MAX, usual);
    time.min(STEP_TIME_MAX).min(budget)
}

/// Returns the timeout for the connection of a method; longer if no other mode is among the methods `left`.
pub fn open_time(
    round_trip: Option<Duration>,
    budget: Duration,
    step: DataMethod,
    left: &[DataMethod],
) -> Duration {
    if left.iter().any(|other| other.is_active() != step.is_active()) {
        return answer_time(round_trip, budget);
    }
    LAST_STEP_TIME.min(budget)
}

/// The fallback order of the data-connection methods of one server.
#[derive(Debug, Clone)]
pub struct FallbackOrder {
    mode: Mode,
    fallback: bool,
    ipv6: bool,
    /// The only method to try, if it is under test.
    held: Option<DataMethod>,
    /// The method that carried data last.
    current: Option<DataMethod>,
    /// The method that carried data in an earlier run, until this run has learnt something.
    remembered: Option<DataMethod>,
    /// The methods that have ever carried data: the server supports them, whatever it replies later.
    carried: Vec<DataMethod>,
    /// The methods that have failed since, and are tried last.
    failed: Vec<DataMethod>,
    /// The methods that the server does not support, and that are not tried again.
    unknown: Vec<DataMethod>,
}

impl FallbackOrder {
    /// Returns an order in which no method has been tried.
    pub const fn new(mode: Mode, fallback: bool, ipv6: bool) -> Self {
        Self {
            mode,
            fallback,
            ipv6,
            held: None,
            current: None,
            remembered: None,
            carried: Vec::new(),
            failed: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Puts `step` first, if the order contains it.
    pub fn begin_with(&mut self, step: DataMethod) {
        self.remembered = Some(step);
    }

    /// Forgets the method of an earlier run.
    pub const fn forget(&mut self) {
        self.remembered = None;
    }

    /// Restricts the order to `step` alone.
    pub const fn hold(&mut self, step: DataMethod) {
        self.held = Some(step);
    }

    /// Restricts the order to the methods of `mode`, while another session tries the others.
    pub const fn start_race(&mut self, mode: Mode) {
        (self.mode, self.fallback) = (mode, false);
    }

    /// Restores all methods, with what the other side of the race has learnt.
    pub fn finish_race(&mut self, other: &Self) {
        (self.mode, self.fallback) = (Mode::Race, true);
        self.failed.extend(&other.failed);
        self.unknown.extend(&other.unknown);
    }

    /// Returns the mode of a method that was tried and carried no data, if it is not the mode of `step`.
    pub fn failed_besides(&self, step: DataMethod) -> Option<Mode> {
        let mut failed = self.failed.iter().chain(&self.unknown).map(|step| step.kind());
        failed.find(|mode| *mode != step.kind())
    }

    /// Returns the methods to try now, in order: the one that worked last, then those of the chosen mode, then those of
    /// the other mode, then those that have failed before.
    pub fn steps(&self) -> Vec<DataMethod> {
        if let Some(step) = self.held {
            return vec![step];
        }
        let (own, other) = match self.mode {
            Mode::Active => (self.active(), self.passive()),
            Mode::Auto | Mode::Passive | Mode::Race => (self.passive(), self.active()),
        };
        let other = if self.fallback { other } else { &[] };
        let mut steps: Vec<DataMethod> = own.iter().chain(other).copied().collect();
        steps.retain(|step| !self.unknown.contains(step));
        // The sort is stable: within a rank the order above is kept.
        let first = self.current.or(self.remembered);
        steps.sort_by_key(|step| {
            if first == Some(*step) { 0 } else { 1 + u8::from(self.failed.contains(step)) }
        });
        steps
    }

    /// Returns the method that carries data now.
    pub const fn current(&self) -> Option<DataMethod> {
        self.current
    }

    /// Returns true if a transfer may be started for a connection that never comes: in active mode, until one has come.
    pub fn may_begin_in_vain(&self) -> bool {
        self.current.is_none() && self.steps().first().is_some_and(|step| step.is_active())
    }

    /// Records that a method carried data.
    pub fn worked(&mut self, step: DataMethod) {
        self.current = Some(step);
        self.remembered = None;
        if !self.carried.contains(&step) {
            self.carried.push(step);
        }
        self.failed.retain(|failed| *failed != step);
    }

    /// Records that a method failed: it is tried after the others.
    pub fn failed(&mut self, step: DataMethod, error: &Error) {
        for known in [&mut self.current, &mut self.remembered] {
            known.take_if(|known| *known == step);
        }
        let is_unknown = error.kind == ErrorKind::Unsupported && !self.carried.contains(&step);
        let list = if is_unknown { &mut self.unknown } else { &mut self.failed };
        if !list.contains(&step) {
            list.push(step);
        }
    }

    const fn passive(&self) -> &'static [DataMethod] {
        if self.ipv6 { &[DataMethod::Epsv] } else { &[DataMethod::Epsv, DataMethod::Pasv] }
    }

    const fn active(&self) -> &'static [DataMethod] {
        if self.ipv6 { &[DataMethod::Eprt] } else { &[DataMethod::Eprt, DataMethod::Port] }
    }
}

/// Returns true if a reply that refuses a transfer blames the data connection, so that another method may succeed.
///
/// 425 and 426 concern the data connection (RFC 959, 4.2.2), 522 its TLS, and 503 the command that should have named a
/// port. 421, 530, 550 and 552 would be the same in any mode, and so would 500, 502 and 504: they concern the command
/// itself.
pub const fn is_matter_of_mode(code: ReplyCode) -> bool {
    matches!(
        code,
        ReplyCode::CANNOT_OPEN_DATA
            | ReplyCode::TRANSFER_ABORTED
            | ReplyCode::BAD_SEQUENCE
            | ReplyCode::PROTOCOL_REFUSED
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataMethod::{Eprt, Epsv, Pasv, Port};
    use portolan_core::error::Origin;

    fn fault(kind: ErrorKind) -> Error {
        Error::new(kind, Origin::Server, "x")
    }

    #[test]
    fn the_mode_says_where_to_begin_and_the_other_mode_follows() {
        for (mode, fallback, ipv6, steps) in [
            (Mode::Auto, true, false, vec![Epsv, Pasv, Eprt, Port]),
            (Mode::Passive, true, false, vec![Epsv, Pasv, Eprt, Port]),
            (Mode::Race, true, false, vec![Epsv, Pasv, Eprt, Port]),
            (Mode::Active, true, false, vec![Eprt, Port, Epsv, Pasv]),
            (Mode::Active, false, false, vec![Eprt, Port]),
            (Mode::Passive, false, true, vec![Epsv]),
            (Mode::Active, true, true, vec![Eprt, Epsv]),
        ] {
            assert_eq!(FallbackOrder::new(mode, fallback, ipv6).steps(), steps);
        }
    }

    #[test]
    fn only_active_mode_begins_in_vain_and_only_until_it_has_worked() {
        let mut fallback_order = FallbackOrder::new(Mode::Active, true, false);
        assert!(fallback_order.may_begin_in_vain());
        fallback_order.worked(Eprt);
        assert!(!fallback_order.may_begin_in_vain());
        assert!(!FallbackOrder::new(Mode::Auto, true, false).may_begin_in_vain());
    }

    #[test]
    fn what_worked_comes_first_and_what_failed_last() {
        let mut fallback_order = FallbackOrder::new(Mode::Active, true, false);
        fallback_order.failed(Eprt, &fault(ErrorKind::Timeout));
        fallback_order.failed(Port, &fault(ErrorKind::Timeout));
        fallback_order.worked(Epsv);
        assert_eq!(fallback_order.steps(), [Epsv, Pasv, Eprt, Port]);
        fallback_order.failed(Epsv, &fault(ErrorKind::Unreachable));
        assert_eq!(fallback_order.steps(), [Pasv, Eprt, Port, Epsv]);
    }

    #[test]
    fn what_worked_in_an_earlier_run_comes_first_where_it_is_allowed() {
        let begun = |mode, fallback, ipv6, step| {
            let mut fallback_order = FallbackOrder::new(mode, fallback, ipv6);
            fallback_order.begin_with(step);
            (fallback_order.current(), fallback_order.steps())
        };
        assert_eq!(begun(Mode::Active, true, false, Pasv).1, [Pasv, Eprt, Port, Epsv]);
        assert_eq!(begun(Mode::Active, false, false, Pasv).1, [Eprt, Port]);
        assert_eq!(begun(Mode::Auto, true, true, Port), (None, vec![Epsv, Eprt]));
        let mut fallback_order = FallbackOrder::new(Mode::Active, true, false);
        fallback_order.begin_with(Epsv);
        fallback_order.failed(Epsv, &fault(ErrorKind::Timeout));
        assert_eq!(fallback_order.steps(), [Eprt, Port, Pasv, Epsv]);
        assert_eq!(fallback_order.failed_besides(Eprt), Some(Mode::Passive));
        assert_eq!(fallback_order.failed_besides(Pasv), None);
    }

    #[test]
    fn no_connection_is_waited_for_twice() {
        for (step, kind, address, skipped) in [
            (Eprt, ErrorKind::DataConnection, "10.0.0.1:4000", Some(Port)),
            (Epsv, ErrorKind::Timeout, "10.0.0.1:4000", Some(Pasv)),
            (Epsv, ErrorKind::Timeout, "", None),
            (Epsv, ErrorKind::Unreachable, "10.0.0.1:4000", None),
        ] {
            assert_eq!(step.sibling_to_skip(&fault(kind), address), skipped, "{step:?} {kind}");
        }
        let busy = Error { code: 425, ..fault(ErrorKind::DataConnection) };
        assert_eq!(Eprt.sibling_to_skip(&busy, "10.0.0.1:4000"), None);
    }

    #[test]
    fn a_step_has_time_for_the_link_and_the_last_mode_has_more() {
        let ms = Duration::from_millis;
        for (round_trip, budget, time) in [
            (Some(0), 15_000, 3_000),
            (Some(100), 15_000, 3_400),
            (Some(800), 15_000, 5_000),
            (Some(0), 500, 500),
            (None, 15_000, 5_000),
        ] {
            let found = answer_time(round_trip.map(ms), ms(budget));
            assert_eq!(found, ms(time), "{round_trip:?}");
        }
        for (step, left, time) in [
            (Epsv, &[Pasv, Eprt, Port][..], 3_000),
            (Epsv, &[Pasv], 8_000),
            (Port, &[], 8_000),
            (Port, &[Epsv], 3_000),
        ] {
            let found = open_time(Some(ms(0)), ms(15_000), step, left);
            assert_eq!(found, ms(time), "{step:?} {left:?}");
        }
        assert_eq!(open_time(Some(ms(0)), ms(500), Port, &[]), ms(500));
    }

    #[test]
    fn a_side_of_a_race_has_one_mode_and_learns_of_the_other_afterwards() {
        let mut passive = FallbackOrder::new(Mode::Race, true, false);
        let mut active = passive.clone();
        passive.start_race(Mode::Passive);
        active.start_race(Mode::Active);
        assert_eq!((passive.steps(), active.steps()), (vec![Epsv, Pasv], vec![Eprt, Port]));
        passive.failed(Epsv, &fault(ErrorKind::Unsupported));
        passive.failed(Pasv, &fault(ErrorKind::Timeout));
        active.failed(Eprt, &fault(ErrorKind::Timeout));
        active.worked(Port);
        active.finish_race(&passive);
        assert_eq!(active.steps(), [Port, Pasv, Eprt]);
        assert_eq!(active.failed_besides(Port), Some(Mode::Passive));
    }

    #[test]
    fn what_the_server_does_not_know_is_not_asked_again() {
        let mut fallback_order = FallbackOrder::new(Mode::Auto, true, false);
        fallback_order.failed(Epsv, &fault(ErrorKind::Unsupported));
        fallback_order.worked(Pasv);
        assert_eq!(fallback_order.steps(), [Pasv, Eprt, Port]);
    }
    #[test]
    fn what_has_carried_data_is_known_to_the_server_whatever_it_says_later() {
        let mut fallback_order = FallbackOrder::new(Mode::Active, false, true);
        fallback_order.worked(Eprt);
        fallback_order.failed(Eprt, &fault(ErrorKind::Unsupported));
        assert_eq!((fallback_order.current(), fallback_order.steps()), (None, vec![Eprt]));
    }
}
