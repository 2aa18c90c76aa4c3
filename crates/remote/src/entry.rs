//! An entry of a directory, and the precision of its time.

use jiff::{Timestamp, civil, tz::TimeZone};
use strum::IntoStaticStr;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, pipe, socket, or anything else that cannot be downloaded.
    Other,
}

impl EntryKind {
    /// Returns the name used in scripts and `--json`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The precision of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Milliseconds or better.
    Millisecond,
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Days.
    Day,
}

impl Precision {
    /// Returns the largest error of a time of this precision.
    pub const fn nanoseconds(self) -> i128 {
        match self {
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60 * 1_000_000_000,
            Self::Day => 24 * 3600 * 1_000_000_000,
        }
    }
}

/// The modification time of an entry, as exact as the server reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modified {
    /// A time in UTC (MLSD, MDTM, EPLF).
    Utc(Timestamp, Precision),
    /// A time in the server's own, unknown zone (LIST).
    Server(civil::DateTime, Precision),
}

impl Modified {
    /// Returns its precision.
    pub const fn precision(self) -> Precision {
        match self {
            Self::Utc(_, precision) | Self::Server(_, precision) => precision,
        }
    }

    /// Returns true if both are the same time, at the coarser of the two precisions; `None` if they cannot be compared,
    /// since only one of them is in universal time.
    pub fn agrees(self, other: Self) -> Option<bool> {
        let apart_ns = match (self, other) {
            (Self::Utc(one, _), Self::Utc(two, _)) => one.as_nanosecond() - two.as_nanosecond(),
            (Self::Server(one, _), Self::Server(two, _)) => one.duration_since(two).as_nanos(),
            _ => return None,
        };
        Some(apart_ns.abs() < self.precision().max(other.precision()).nanoseconds())
    }

    /// Formats the time with its precision, ending in `Z` if it is universal: `2026-02-11T14:22:07Z`,
    /// `2026-02-11T14:22`. `None` outside the years 0 to 9999.
    pub fn text(self) -> Option<String> {
        let (at, zone) = match self {
            Self::Utc(time, _) => (TimeZone::UTC.to_datetime(time), "Z"),
            Self::Server(time, _) => (time, ""),
        };
        let form = match self.precision() {
            Precision::Millisecond => "%Y-%m-%dT%H:%M:%S%.3f",
            Precision::Second => "%Y-%m-%dT%H:%M:%S",
            Precision::Minute => "%Y-%m-%dT%H:%M",
            Precision::Day => "%Y-%m-%d",
        };
        (at.year() >= 0).then(|| format!("{}{zone}", at.strftime(form)))
    }

    /// Parses the output of [`text`](Self::text).
    pub fn read(text: &str) -> Option<Self> {
        let (plain, is_universal) = match text.strip_suffix('Z') {
            Some(plain) => (plain, true),
            None => (text, false),
        };
        let (rest, precision) = match plain.len() {
            10 => ("T00:00:00", Precision::Day),
            16 => (":00", Precision::Minute),
            19 => ("", Precision::Second),
            23 => ("", Precision::Millisecond),
            _ => return None,
        };
        let at: civil::DateTime = format!("{plain}{rest}").parse().ok()?;
        if !is_universal {
            return Some(Self::Server(at, precision));
        }
        Some(Self::Utc(TimeZone::UTC.to_timestamp(at).ok()?, precision))
    }
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The exact bytes of its name: one path component.
    pub name: Vec<u8>,
    /// Its kind.
    pub kind: EntryKind,
    /// The size of a file in bytes, if the listing shows it exactly.
    pub size: Option<u64>,
    /// The modification time, if the listing shows a valid one.
    pub modified: Option<Modified>,
    /// The permission bits (`0o644`), if they are listed.
    pub mode: Option<u32>,
    /// The target of a link, as plain data: it is never followed unchecked.
    pub target: Option<Vec<u8>>,
    /// The owner, as listed.
    pub owner: Option<Vec<u8>>,
    /// The group, as listed.
    pub group: Option<Vec<u8>>,
}

impl Entry {
    /// Returns the root directory, which no listing contains.
    pub fn root() -> Self {
        Self::new(b"/", EntryKind::Dir)
    }

    /// Returns an entry of which only the name and the kind are known.
    pub fn new(name: &[u8], kind: EntryKind) -> Self {
        Self {
            name: name.to_vec(),
            kind,
            size: None,
            modified: None,
            mode: None,
            target: None,
            owner: None,
            group: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_exact_as_it_was() {
        for text in [
            "2026-02-11T14:22:07.250Z",
            "2026-02-11T14:22:07Z",
            "2026-02-11T14:22Z",
            "2026-02-11Z",
            "2026-02-11T14:22:07",
            "2026-02-11T14:22",
            "0000-02-29",
        ] {
            assert_eq!(Modified::read(text).unwrap().text().unwrap(), text);
        }
        for text in ["", "Z", "2026", "2026-02-30", "2026-02-11T14:22:61Z", "é026-02-1"] {
            assert_eq!(Modified::read(text), None, "{text}");
        }
    }

    #[test]
    fn times_agree_as_exactly_as_the_coarser_is_known() {
        let at = |text| Modified::read(text).unwrap();
        for (one, two, agree) in [
            ("2026-02-11T14:22:07Z", "2026-02-11T14:22:07.999Z", Some(true)),
            ("2026-02-11T14:22:07Z", "2026-02-11T14:22:08Z", Some(false)),
            ("2026-02-11T14:22:07Z", "2026-02-11T14:22Z", Some(true)),
            ("2026-02-11T14:22", "2026-02-11T14:23", Some(false)),
            ("2026-02-11T14:22", "2026-02-11", Some(true)),
            ("2026-02-11T14:22:07Z", "2026-02-11T14:22:07", None),
        ] {
            assert_eq!(at(one).agrees(at(two)), agree, "{one} {two}");
            assert_eq!(at(two).agrees(at(one)), agree, "{two} {one}");
        }
    }
}
