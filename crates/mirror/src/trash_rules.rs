//! The rules of the trash: which files go there besides those that are deleted, and how long they stay.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

use portolan_core::{
    duration::parse_duration,
    error::{Error, Result},
    similar::nearest,
};

/// The form of the time in the names of old versions: `page.html~20261130T120000Z`.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// The number of bytes in such a time.
const STAMP_BYTES: usize = 16;
/// The keys of the option `trash`.
const KEYS: [&str; 3] = ["folder", "overwritten", "keep"];

/// The description of the option `trash` in the manual.
pub(super) const TRASH_MANUAL: &str = "a folder on the target's side to which files are moved in place of being deleted, or a map: `folder`; \
         `overwritten`: true moves a file there before it is overwritten as well; `keep`: what stays there, a number \
         of versions of each file, such as 5, or a time, such as \"30d\". With `overwritten`, a file whose old version \
         cannot be moved there is not overwritten, and fails. Old versions have their time behind a `~` in their \
         names; `keep` removes them after a run without failures, and no other file";
/// The help of its flag.
pub(super) const TRASH_HELP: &str = "Move deleted files to this directory on the target side; with folder=DIR,overwritten=true,keep=30d \
                    overwritten ones, too";

/// The rules of the trash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrashRules {
    /// True if files are moved there before they are overwritten.
    pub overwritten: bool,
    /// The limit of what stays there; `None` keeps everything.
    pub keep: Option<TrashKeep>,
}

/// The limit of what stays in a trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrashKeep {
    /// The newest versions of each file, so many.
    Versions(u64),
    /// The versions of so many seconds.
    Seconds(u64),
}

/// Returns the error for a key that the option does not have.
fn unknown_key(name: &str) -> Error {
    let near = nearest(name, &KEYS).map(|near| format!("; did you mean `{near}`?"));
    Error::invalid(format!("`trash` has no key `{name}`{}", near.unwrap_or_default()))
}

impl TrashRules {
    /// Returns true if only deleted files go there, and all stay.
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the option `trash`: a directory, or its keys with their values.
    pub(super) fn read(pairs: &[(String, String)]) -> Result<(String, Self)> {
        let is_key = |key: &str, value: &str| KEYS.contains(&key) && !value.is_empty();
        if !pairs.iter().any(|(key, value)| is_key(key, value)) {
            let is_misspelt = |(key, value): &&(String, String)| {
                !value.is_empty() && !KEYS.contains(&key.as_str()) && nearest(key, &KEYS).is_some()
            };
            if let Some((key, _)) = pairs.iter().find(is_misspelt) {
                return Err(unknown_key(key));
            }
            // A name, which may have commas and equals signs itself.
            let part = |(key, value): &(String, String)| match value.as_str() {
                "" => key.clone(),
                value => format!("{key}={value}"),
            };
            return Ok((pairs.iter().map(part).collect::<Vec<_>>().join(","), Self::default()));
        }
        let (mut folder, mut rules) = (None, Self::default());
        for (key, value) in pairs {
            match (key.as_str(), value.as_str()) {
                ("folder", value) => folder = Some(value.to_owned()),
                ("overwritten", "true") => rules.overwritten = true,
                ("overwritten", "false") => rules.overwritten = false,
                ("overwritten", value) => {
                    let message =
                        format!("`overwritten` of `trash` wants true or false, got `{value}`");
                    return Err(Error::invalid(message));
                }
                ("keep", value) => rules.keep = Some(TrashKeep::read(value)?),
                (name, "") if folder.is_none() => folder = Some(name.to_owned()),
                (name, _) => return Err(unknown_key(name)),
            }
        }
        let folder = folder.ok_or_else(|| {
            Error::invalid(
                "`trash` wants a `folder`, such as #{ folder: \".old\", overwritten: true }",
            )
        })?;
        Ok((folder, rules))
    }

    /// Returns the names that an entry of the trash may get, the best one first.
    pub(super) fn names(&self, path: &[u8], now: Timestamp) -> Vec<Vec<u8>> {
        let stamped = (0..5).filter_map(|second| {
            let time = now.checked_add(Duration::from_secs(second)).ok()?;
            Some([path, b"~", time.strftime(STAMP).to_string().as_bytes()].concat())
        });
        // The age of a version is that of its name.
        let plain = self.keep.is_none().then(|| path.to_vec());
        plain.into_iter().chain(stamped).collect()
    }

    /// Returns those of the `paths` in a trash that have to go. A name without a time stays.
    pub(super) fn expired<'n>(&self, paths: &'n [Vec<u8>], now: Timestamp) -> Vec<&'n [u8]> {
        let versions = paths.iter().filter_map(|path| {
            let (name, time) = version(path)?;
            Some((name, time, &**path))
        });
        match self.keep {
            None => Vec::new(),
            Some(TrashKeep::Seconds(seconds)) => {
                let oldest = now.checked_sub(Duration::from_secs(seconds));
                let Ok(oldest) = oldest else { return Vec::new() };
                versions.filter(|(_, time, _)| *time < oldest).map(|(.., path)| path).collect()
            }
            Some(TrashKeep::Versions(count)) => {
                let mut all: BTreeMap<&[u8], Vec<(Timestamp, &[u8])>> = BTreeMap::new();
                for (name, time, path) in versions {
                    all.entry(name).or_default().push((time, path));
                }
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let old = all.into_values().flat_map(|mut versions| {
                    versions.sort_unstable();
                    let end = versions.len().saturating_sub(count);
                    versions.into_iter().take(end).map(|(_, path)| path)
                });
                old.collect()
            }
        }
    }
}

impl TrashKeep {
    fn read(text: &str) -> Result<Self> {
        let age = || parse_duration(text).filter(|age| age.as_secs() > 0);
        match text.parse::<u64>() {
            Ok(count) if count > 0 => Ok(Self::Versions(count)),
            Err(_) if let Some(age) = age() => Ok(Self::Seconds(age.as_secs())),
            _ => Err(Error::invalid(format!(
                "`keep` of `trash` wants a number of versions from 1, or a time such as \"30d\", got `{text}`"
            ))),
        }
    }
}

/// Splits the path of an old version into that of the file and the time of the version.
fn version(path: &[u8]) -> Option<(&[u8], Timestamp)> {
    let at = path.len().checked_sub(STAMP_BYTES + 1)?;
    let (name, stamp) = path.split_at_checked(at)?;
    let stamp = std::str::from_utf8(stamp.strip_prefix(b"~")?).ok()?;
    let time = DateTime::strptime(STAMP, stamp).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let is_exact = time.strftime(STAMP).to_string() == stamp;
    (is_exact && !name.is_empty()).then_some((name, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        portolan_core::option_table::parse_pairs(text)
    }

    fn now() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_option_is_a_folder_or_its_keys() {
        let read = |text| TrashRules::read(&pairs(text)).unwrap();
        for text in ["old", ".trash/deep", "a=b", "a,b", "keep", "keep,folder"] {
            assert_eq!(read(text), (text.to_owned(), TrashRules::default()), "{text}");
        }
        let versions =
            |count| TrashRules { overwritten: true, keep: Some(TrashKeep::Versions(count)) };
        assert_eq!(read("folder=old,overwritten=true,keep=5"), ("old".into(), versions(5)));
        assert_eq!(read("old,overwritten=true,keep=1"), ("old".into(), versions(1)));
        let age = TrashRules { overwritten: false, keep: Some(TrashKeep::Seconds(30 * 86_400)) };
        assert_eq!(read("folder=old,keep=30d"), ("old".into(), age));
    }

    #[test]
    fn nonsense_is_refused_with_what_is_wanted() {
        for (text, wanted) in [
            ("folder=old,keep=0", "a number of versions from 1"),
            ("folder=old,keep=soon", "such as \"30d\""),
            ("folder=old,keep=-1", "got `-1`"),
            ("folder=old,overwritten=yes", "wants true or false"),
            ("folder=old,overwriten=true", "did you mean `overwritten`?"),
            ("overwritten=true", "wants a `folder`"),
        ] {
            let fault = TrashRules::read(&pairs(text)).unwrap_err();
            assert!(fault.message.contains(wanted), "{text}: {fault}");
        }
    }

    #[test]
    fn names_have_a_time_where_versions_are_counted() {
        let names = |rules: TrashRules| {
            let names = rules.names(b"a/b", now()).into_iter().take(2);
            names.map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names(TrashRules::default()), ["a/b", "a/b~20261130T120000Z"]);
        let keep = Some(TrashKeep::Versions(2));
        let rules = TrashRules { keep, ..TrashRules::default() };
        assert_eq!(names(rules), ["a/b~20261130T120000Z", "a/b~20261130T120001Z"]);
    }

    #[test]
    fn old_versions_go_and_names_without_a_time_stay() {
        let paths: Vec<Vec<u8>> = [
            "a~20261101T000000Z",
            "a~20261129T000000Z",
            "a~20261130T000000Z",
            "d/b~20261101T000000Z",
            "b",
            "b~20261301T000000Z",
            "b~20261101T000000",
            "~20261101T000000Z",
        ]
        .map(|path| path.as_bytes().to_vec())
        .into();
        let expired = |keep| {
            let rules = TrashRules { overwritten: true, keep };
            let found = rules.expired(&paths, now()).into_iter();
            found.map(|path| std::str::from_utf8(path).unwrap()).collect::<Vec<_>>()
        };
        assert!(expired(None).is_empty());
        assert_eq!(expired(Some(TrashKeep::Versions(2))), ["a~20261101T000000Z"]);
        assert_eq!(
            expired(Some(TrashKeep::Versions(1))),
            ["a~20261101T000000Z", "a~20261129T000000Z"]
        );
        assert_eq!(
            expired(Some(TrashKeep::Seconds(7 * 86_400))),
            ["a~20261101T000000Z", "d/b~20261101T000000Z"]
        );
    }
}
