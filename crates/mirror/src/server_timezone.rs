//! Conversion of times that a listing shows without their time zone to UTC. Pure.
//!
//! LIST shows times in the server's own zone, to the minute or to the day. Its offset from UTC is derived from a few
//! files of which the server reports the exact time (MDTM); across a change to daylight saving time some files are off
//! by an hour, so a listed time decides nothing before the file's own has been queried (S58).

use std::collections::BTreeMap;

use jiff::{SignedDuration, civil::DateTime, tz::TimeZone};

use portolan_remote::entry::{Modified, Precision};

/// The granularity of time zone offsets in seconds.
const QUARTER_S: i64 = 15 * 60;
/// The maximum offset of a time zone from UTC.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(14);

/// The information about the times of a tree beyond its listings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// The offset of listed times from UTC.
    ahead: Option<SignedDuration>,
    /// The times of single files that were queried.
    exact: BTreeMap<Vec<u8>, Modified>,
    /// The offset of listed times from those of the last run, the same for all of them.
    moved: Option<SignedDuration>,
}

impl Times {
    /// Sets the offset of listed times from UTC.
    pub(super) const fn set_ahead(&mut self, ahead: Option<SignedDuration>) {
        self.ahead = ahead;
    }

    /// Sets the offset of listed times from those of the last run.
    pub(super) const fn set_moved(&mut self, by: SignedDuration) {
        self.moved = Some(by);
    }

    /// Returns the time that the last run would have seen in place of `listed`, if all times have shifted since.
    pub(super) fn before(&self, listed: Option<Modified>) -> Option<Modified> {
        match listed? {
            Modified::Server(at, precision) => {
                Some(Modified::Server(at.checked_sub(self.moved?).ok()?, precision))
            }
            Modified::Utc(..) => None,
        }
    }

    /// Records the exact time of the file `path`.
    pub(super) fn set_exact(&mut self, path: Vec<u8>, modified: Modified) {
        self.exact.insert(path, modified);
    }

    /// Returns true if the server was asked for the time of the file `path`, and reported it.
    pub(super) fn is_exact(&self, path: &[u8]) -> bool {
        self.exact.contains_key(path)
    }

    /// Returns the time of the file `path` that is listed as `listed`, in UTC if that is known.
    pub(super) fn of(&self, path: &[u8], listed: Option<Modified>) -> Option<Modified> {
        let Some(Modified::Server(at, precision)) = listed else { return listed };
        if let Some(exact) = self.exact.get(path) {
            return Some(*exact);
        }
        let universal = self.ahead.and_then(|ahead| at.checked_sub(ahead).ok());
        let universal = universal.and_then(|at| TimeZone::UTC.to_timestamp(at).ok());
        universal.map_or(listed, |time| Some(Modified::Utc(time, precision)))
    }
}

/// Returns the offset of listed times from UTC, derived from files of which the `listed` and the exact time are known;
/// `None` if they do not show it. If some fall in daylight saving time and some do not, the majority wins.
pub(super) fn ahead(samples: &[(Modified, Modified)]) -> Option<SignedDuration> {
    let samples = samples.iter().filter_map(|(listed, exact)| match (*listed, *exact) {
        (Modified::Server(at, precision), Modified::Utc(time, _)) => {
            Some((at, precision, TimeZone::UTC.to_datetime(time)))
        }
        _ => None,
    });
    let (days, clocks): (Vec<_>, Vec<_>) =
        samples.partition(|(_, precision, _)| *precision == Precision::Day);
    let mut counts = BTreeMap::<SignedDuration, usize>::new();
    for ahead in clocks.iter().filter_map(|(listed, _, exact)| by_clock(*listed, *exact)) {
        *counts.entry(ahead).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(ahead, count)| (*count, -ahead.abs()));
    most.map(|(ahead, _)| ahead).or_else(|| by_days(&days))
}

/// Returns the offset by a listed time of day, which is that of the zone without the parts that are not shown.
fn by_clock(listed: DateTime, exact: DateTime) -> Option<SignedDuration> {
    // Seconds that are not shown make the listed time earlier, never later.
    let ahead_s = listed.duration_since(exact).as_secs();
    let quarters = (ahead_s + QUARTER_S - 1).div_euclid(QUARTER_S);
    let ahead = SignedDuration::from_secs(quarters * QUARTER_S);
    let is_zone = quarters * QUARTER_S - ahead_s < 60 && ahead.abs() <= AHEAD_MAX;
    is_zone.then_some(ahead)
}

/// Returns the offset nearest to UTC by which each exact time falls on its listed day.
fn by_days(samples: &[(DateTime, Precision, DateTime)]) -> Option<SignedDuration> {
    let all = |ahead: SignedDuration| {
        samples.iter().all(|(listed, _, exact)| {
            exact.checked_add(ahead).is_ok_and(|there| there.date() == listed.date())
        })
    };
    let quarters = (0..=AHEAD_MAX.as_secs() / QUARTER_S).flat_map(|number| [number, -number]);
    let mut zones = quarters.map(|number| SignedDuration::from_secs(number * QUARTER_S));
    if samples.is_empty() { None } else { zones.find(|ahead| all(*ahead)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Modified {
        Modified::read(text).unwrap()
    }

    fn hours(hours: i64, minutes: i64) -> SignedDuration {
        SignedDuration::from_mins(hours * 60 + minutes)
    }

    #[test]
    fn the_zone_is_seen_by_files_of_which_both_times_are_known() {
        for (samples, wanted) in [
            (&[("2026-06-01T21:03", "2026-06-01T12:03:59Z")][..], Some(hours(9, 0))),
            (&[("2026-06-01T01:03", "2026-06-01T12:03:00Z")], Some(hours(-11, 0))),
            (&[("2026-06-01T17:33", "2026-06-01T12:03:30Z")], Some(hours(5, 30))),
            (&[("2026-06-01T12:03:30", "2026-06-01T12:03:30Z")], Some(hours(0, 0))),
            // Two in daylight saving time, one not.
            (
                &[
                    ("2026-06-01T14:03", "2026-06-01T12:03:59Z"),
                    ("2026-02-01T13:03", "2026-02-01T12:03:59Z"),
                    ("2026-07-01T14:03", "2026-07-01T12:03:59Z"),
                ],
                Some(hours(2, 0)),
            ),
            // A year that was guessed wrong, and a clock that is off by minutes, prove nothing.
            (&[("2025-06-01T12:03", "2026-06-01T12:03:59Z")], None),
            (&[("2026-06-01T12:08", "2026-06-01T12:03:59Z")], None),
            // Days only: the offset nearest to UTC that is right for all of them.
            (&[("2025-06-01", "2025-06-01T12:03:59Z")], Some(hours(0, 0))),
            (&[("2025-06-02", "2025-06-01T18:00:00Z")], Some(hours(6, 0))),
            (&[("2025-05-31", "2025-06-01T10:00:00Z")], Some(hours(-10, -15))),
            (&[("2025-05-30", "2025-06-01T10:00:00Z")], None),
            (&[], None),
        ] {
            let samples: Vec<_> = samples.iter().map(|(one, two)| (at(one), at(two))).collect();
            assert_eq!(ahead(&samples), wanted, "{samples:?}");
        }
    }

    #[test]
    fn a_listed_time_becomes_universal_where_the_zone_is_known_and_its_own_wins() {
        let listed = Some(at("2026-06-01T21:03"));
        let mut times = Times::default();
        assert_eq!(times.of(b"a", listed), listed);
        times.set_ahead(Some(hours(9, 0)));
        assert_eq!(times.of(b"a", listed), Some(at("2026-06-01T12:03Z")));
        let told = at("2026-06-01T11:03:07Z");
        times.set_exact(b"a".to_vec(), told);
        assert_eq!(times.of(b"a", listed), Some(told));
        assert_eq!(times.of(b"b", Some(told)), Some(told));
        assert_eq!(times.of(b"b", None), None);
    }
}
