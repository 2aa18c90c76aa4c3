//! Logins: the sessions of browsers, and the limit on failed tries. Both are in memory and bounded.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::tokens::hash_of;
use crate::{
    encoding::to_hex,
    error::{Error, ErrorKind, Origin, Result, web_codes::WEB_TOO_MANY_LOGINS},
    random::random_bytes,
};

/// The lifetime of a session: a working day.
pub(super) const SESSION_TIME: Duration = Duration::from_hours(12);
/// The maximum number of sessions; the oldest is ended for a new one.
const SESSIONS_MAX: usize = 1_000;
/// The failed tries of one address that are allowed within `TRIES_TIME`.
const TRIES_MAX: u32 = 10;
/// The time for which failed tries count.
const TRIES_TIME: Duration = Duration::from_mins(1);
/// The maximum number of addresses whose tries are counted; beyond it all others share one count.
const ADDRESSES_MAX: usize = 10_000;

/// A session of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginSession {
    /// The hash of the token that it began with: it ends when that is revoked.
    pub(super) token: String,
    /// The text that its forms contain.
    pub(super) csrf: String,
    begun: Timestamp,
}

/// All sessions, by the hash of their cookie.
#[derive(Debug, Default)]
pub(super) struct LoginSessions {
    all: Mutex<BTreeMap<String, LoginSession>>,
    tries: Mutex<FailedTries>,
}

impl LoginSessions {
    /// Begins a session with the token of this hash. Returns the value of its cookie.
    pub(super) fn begin(&self, token: String, now: Timestamp) -> String {
        let (cookie, csrf) = (to_hex(random_bytes::<32>()), to_hex(random_bytes::<16>()));
        let mut all = lock(&self.all);
        all.retain(|_, session| !is_over(session.begun, SESSION_TIME, now));
        if all.len() >= SESSIONS_MAX {
            let oldest = all.iter().min_by_key(|(_, session)| session.begun);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(hash_of(&cookie), LoginSession { token, csrf, begun: now });
        cookie
    }

    /// Returns the session of a cookie, unless it is over.
    pub(super) fn of(&self, cookie: &str, now: Timestamp) -> Option<LoginSession> {
        let session = lock(&self.all).get(&hash_of(cookie)).cloned();
        session.filter(|session| !is_over(session.begun, SESSION_TIME, now))
    }

    /// Ends the session of a cookie.
    pub(super) fn end(&self, cookie: &str) {
        lock(&self.all).remove(&hash_of(cookie));
    }

    /// Fails if too many logins from this address have failed lately.
    pub(super) fn may_try(&self, from: IpAddr, now: Timestamp) -> Result<()> {
        if !lock(&self.tries).is_exhausted(from, now) {
            return Ok(());
        }
        let message = "too many logins have failed; wait a minute";
        Err(Error::new(ErrorKind::Busy, Origin::Script, message).with_name(WEB_TOO_MANY_LOGINS))
    }

    /// Counts a failed login.
    pub(super) fn has_failed(&self, from: IpAddr, now: Timestamp) {
        lock(&self.tries).count(from, now);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_over(begun: Timestamp, time: Duration, now: Timestamp) -> bool {
    let spent = now.duration_since(begun);
    // A clock that was set back ends it as well.
    spent.is_negative() || spent.unsigned_abs() >= time
}

/// The failed tries of each address, with the time of the first of them.
#[derive(Debug, Default)]
struct FailedTries(BTreeMap<IpAddr, (Timestamp, u32)>);

impl FailedTries {
    fn is_exhausted(&self, from: IpAddr, now: Timestamp) -> bool {
        let found = self.0.get(&self.key(from));
        found.is_some_and(|(since, count)| *count >= TRIES_MAX && !is_over(*since, TRIES_TIME, now))
    }

    fn count(&mut self, from: IpAddr, now: Timestamp) {
        self.0.retain(|_, (since, _)| !is_over(*since, TRIES_TIME, now));
        let key = self.key(from);
        self.0.entry(key).or_insert((now, 0)).1 += 1;
    }

    /// Returns the key of an address: one customer has all addresses of an IPv6 network of 64 bits.
    fn key(&self, from: IpAddr) -> IpAddr {
        let key = match from {
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
            IpAddr::V4(_) => from,
        };
        let is_full = self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&key);
        if is_full { IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED) } else { key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_session_lasts_a_working_day_or_until_its_end() {
        let sessions = LoginSessions::default();
        let cookie = sessions.begin("hash".into(), at(0));
        let other = sessions.begin("hash".into(), at(0));
        assert_ne!(cookie, other);
        let found = sessions.of(&cookie, at(12 * 3600 - 1)).unwrap();
        assert_eq!((found.token.as_str(), found.csrf.len()), ("hash", 32));
        assert_eq!(sessions.of(&cookie, at(12 * 3600)), None);
        assert_eq!(sessions.of(&cookie, at(-1)), None);
        assert_eq!(sessions.of("another", at(1)), None);
        sessions.end(&cookie);
        assert_eq!(sessions.of(&cookie, at(1)), None);
        assert!(sessions.of(&other, at(1)).is_some());
    }

    #[test]
    fn of_too_many_sessions_the_oldest_ends() {
        let sessions = LoginSessions::default();
        let first = sessions.begin("hash".into(), at(0));
        for number in 1..=1_000 {
            drop(sessions.begin("hash".into(), at(number)));
        }
        assert_eq!(sessions.of(&first, at(1_001)), None);
        assert_eq!(lock(&sessions.all).len(), SESSIONS_MAX);
    }

    #[test]
    fn ten_tries_a_minute_may_fail_from_each_address() {
        let sessions = LoginSessions::default();
        let (one, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for number in 0..10 {
            assert!(sessions.may_try(one, at(number)).is_ok());
            sessions.has_failed(one, at(number));
        }
        assert_eq!(sessions.may_try(one, at(10)).unwrap_err().name, Some(WEB_TOO_MANY_LOGINS));
        assert!(sessions.may_try(other, at(10)).is_ok());
        assert!(sessions.may_try(one, at(60)).is_ok());
        let (near, far): (IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "2001:db8:0:1::1".parse().unwrap());
        for _ in 0..10 {
            sessions.has_failed(near, at(100));
        }
        assert!(sessions.may_try("2001:db8::2".parse().unwrap(), at(101)).is_err());
        assert!(sessions.may_try(far, at(101)).is_ok());
    }

    #[test]
    fn the_addresses_that_are_counted_are_limited() {
        let sessions = LoginSessions::default();
        for number in 0..11_000_u32 {
            sessions.has_failed(IpAddr::V4(number.into()), at(0));
        }
        assert!(lock(&sessions.tries).0.len() <= ADDRESSES_MAX + 1);
    }
}
