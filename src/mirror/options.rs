//! The options of a mirror.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    endpoints::Direction,
    filter::{Filter, ignore_file},
    own_files::{CLAIM_FOLDER, STATE_FILE},
    tree::{Node, utc},
};
use crate::{
    error::{Error, Result},
    files::SymlinkPolicy,
    limits::{MIRROR_RETRIES, MIRROR_RETRIES_MAX, PARALLEL_AUTO, PARALLEL_MAX},
    remote::{path::component, transfer::InPlace},
};

/// The method by which two files are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// Changes since the last run, if its state is known: by content locally, by size and time on the server. Otherwise
    /// size and time.
    #[default]
    Auto,
    /// Size only.
    Size,
    /// Size and time.
    SizeTime,
    /// Content, by a hash from the server, or by reading the file back if the server offers none.
    Checksum,
}

impl Compare {
    /// Every name that scripts and the command line use, with its value.
    pub const ALL: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("size", Self::Size),
        ("size_time", Self::SizeTime),
        ("checksum", Self::Checksum),
    ];
}

/// The side that wins if the target has changed since the last run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The source: the target is made like it.
    #[default]
    Source,
    /// The target: its change is kept.
    Keep,
    /// The newer file; the target's if the times cannot be compared.
    Newer,
    /// Neither: the run fails without doing anything.
    Fail,
}

impl OnConflict {
    /// Every name that scripts and the command line use, with its value.
    pub const ALL: [(&str, Self); 4] = [
        ("source", Self::Source),
        ("keep", Self::Keep),
        ("newer", Self::Newer),
        ("fail", Self::Fail),
    ];
}

/// The location of the state that a mirror keeps of both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateIn {
    /// On the local host, in the state directory.
    #[default]
    Local,
    /// On the server, beside the files: for hosts that keep no state.
    Remote,
}

impl StateIn {
    /// Every name that scripts and the command line use, with its value.
    pub const ALL: [(&str, Self); 2] = [("local", Self::Local), ("remote", Self::Remote)];
}

/// The limits of size and time within which files take part; other files are neither sent nor deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeAgeFilter {
    /// The minimum size in bytes.
    pub min_size: Option<u64>,
    /// The maximum size in bytes.
    pub max_size: Option<u64>,
    /// The earliest modification time.
    #[serde(with = "moment")]
    pub after: Option<Timestamp>,
    /// The latest modification time.
    #[serde(with = "moment")]
    pub before: Option<Timestamp>,
}

impl SizeAgeFilter {
    /// Returns whether a file is within the bounds; `None` if that depends on a size or time that is unknown.
    pub fn holds(&self, node: &Node) -> Option<bool> {
        let by_size = |limit: Option<u64>, is_in: fn(u64, u64) -> bool| match limit {
            None => Some(true),
            Some(limit) => node.size.map(|size| is_in(size, limit)),
        };
        let by_time =
            |limit: Option<Timestamp>, is_in: fn(Timestamp, Timestamp) -> bool| match limit {
                None => Some(true),
                Some(limit) => utc(node).map(|time| is_in(time, limit)),
            };
        let all = [
            by_size(self.min_size, |size, limit| size >= limit),
            by_size(self.max_size, |size, limit| size <= limit),
            by_time(self.after, |time, limit| time >= limit),
            by_time(self.before, |time, limit| time <= limit),
        ];
        if all.contains(&Some(false)) {
            return Some(false);
        }
        all.into_iter().all(|is_in| is_in.is_some()).then_some(true)
    }

    /// Returns the time that lies `time` before `now`.
    pub fn ago(now: Timestamp, time: std::time::Duration) -> Timestamp {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        now.saturating_sub(time).unwrap_or(Timestamp::MIN)
    }
}

/// Serialization of timestamps as text.
mod moment {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// The limits that a run may not exceed: otherwise nothing is done at all (class C19).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// The maximum size of one file in bytes.
    pub max_file_size: Option<u64>,
    /// The maximum number of bytes transferred in all.
    pub max_total: Option<u64>,
    /// The minimum number of bytes that stay free on the local disk.
    pub min_free: Option<u64>,
}

/// The options of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the user's")]
pub struct MirrorOptions {
    /// True if entries that are missing from the source are deleted from the target.
    pub delete: bool,
    /// The patterns of which a file must match one, if there are any.
    pub include: Vec<String>,
    /// The patterns of entries that are neither sent nor deleted; they take precedence over `include`.
    pub exclude: Vec<String>,
    /// The method by which two files are compared.
    pub compare: Compare,
    /// The number of deletes above which nothing is done at all.
    pub max_delete: Option<u64>,
    /// The number of concurrent sessions, or [`PARALLEL_AUTO`].
    pub parallel: u16,
    /// True if files get the modification times that they have in the source.
    pub preserve_times: bool,
    /// True if a file of the target is kept unless that of the source is newer.
    pub newer_only: bool,
    /// True if an interrupted transfer is resumed, provided that the file is provably the same.
    pub resume: bool,
    /// The maximum number of retries of a file after a transient failure.
    pub retries: u16,
    /// The rate limit in bytes per second, for all sessions together.
    pub rate_limit: Option<u64>,
    /// The side that wins if the target has changed since the last run.
    pub on_conflict: OnConflict,
    /// The directory on the target's side that takes deleted files.
    pub trash: Option<String>,
    /// True if no file gets its final name before all have arrived.
    pub staged: bool,
    /// True if symbolic links of the source are followed: locally as long as they stay inside, on a server wherever
    /// they lead.
    pub follow_links: bool,
    /// True if a transfer counts as failed when its size cannot be verified; `None` means that `delete` decides.
    pub verify: Option<bool>,
    /// The use of final names during uploads; `None` means the setting of the connection.
    #[serde(rename = "inplace")]
    pub in_place: Option<InPlace>,
    /// The location of the state of both sides.
    pub state: StateIn,
    /// True if the server is trusted to be as the state says, apart from a few files that are checked.
    pub trust_state: bool,
    /// The limits of size and time within which files take part.
    pub bounds: SizeAgeFilter,
    /// The limits that the run may not exceed.
    pub caps: Quotas,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self {
            delete: false,
            include: Vec::new(),
            exclude: Vec::new(),
            compare: Compare::default(),
            max_delete: None,
            parallel: 1,
            preserve_times: true,
            newer_only: false,
            resume: false,
            retries: MIRROR_RETRIES,
            rate_limit: None,
            on_conflict: OnConflict::default(),
            trash: None,
            staged: false,
            follow_links: false,
            verify: None,
            in_place: None,
            state: StateIn::default(),
            trust_state: false,
            bounds: SizeAgeFilter::default(),
            caps: Quotas::default(),
        }
    }
}

impl MirrorOptions {
    /// Compiles the patterns, with those in the ignore file of the local directory `local`. Fails with `invalid` on a
    /// pattern that cannot be meant, and on options that are out of range.
    pub fn filter(&self, local: &Path) -> Result<Filter> {
        if self.parallel != PARALLEL_AUTO && !(1..=PARALLEL_MAX).contains(&self.parallel) {
            let message =
                format!("`parallel` wants 1 to {PARALLEL_MAX} or \"auto\", not {}", self.parallel);
            return Err(Error::invalid(message));
        }
        if self.retries > MIRROR_RETRIES_MAX {
            let message =
                format!("`retries` wants 0 to {MIRROR_RETRIES_MAX}, not {}", self.retries);
            return Err(Error::invalid(message));
        }
        if self.trust_state && self.compare != Compare::Auto {
            let message = "`trust_state` goes with `compare = \"auto\"` only";
            return Err(Error::invalid(message));
        }
        if self.staged && self.in_place == Some(InPlace::Always) {
            let message = "`inplace` gives each file its name at once, and `staged` none before all have arrived";
            return Err(Error::invalid(message));
        }
        self.check_trash()?;
        let filter = Filter::new(&self.include, &self.exclude, &ignore_file(local)?)?;
        Ok(filter.without(STATE_FILE).without(CLAIM_FOLDER))
    }

    fn check_trash(&self) -> Result<()> {
        let Some(trash) = &self.trash else { return Ok(()) };
        let parts = trash.strip_prefix('/').unwrap_or(trash).trim_end_matches('/');
        if parts.split('/').any(|part| component(part.as_bytes()).is_err()) {
            let message = format!("`trash` wants a folder, and `{trash}` names none");
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    /// Returns the policy for local symbolic links. In a target none is ever followed.
    pub(super) const fn links(&self, direction: Direction) -> SymlinkPolicy {
        match direction {
            Direction::Up if self.follow_links => SymlinkPolicy::Within,
            _ => SymlinkPolicy::Refused,
        }
    }

    /// Returns true if a transfer whose size could not be verified counts as failed.
    pub fn wants_proof(&self) -> bool {
        self.verify.unwrap_or(self.delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::entry::Modified;

    #[test]
    fn a_file_is_in_bounds_out_of_them_or_not_known_to_be() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let bounds = SizeAgeFilter {
            min_size: Some(2),
            max_size: Some(4),
            after: Some(at(100)),
            before: Some(at(200)),
        };
        for (size, time, holds) in [
            (Some(2), Some("1970-01-01T00:01:40Z"), Some(true)),
            (Some(4), Some("1970-01-01T00:03:20Z"), Some(true)),
            (Some(1), Some("1970-01-01T00:02:00Z"), Some(false)),
            (Some(5), None, Some(false)),
            (Some(3), Some("1970-01-01T00:01:39Z"), Some(false)),
            (None, Some("1970-01-01T00:03:21Z"), Some(false)),
            (Some(3), Some("1970-01-01T00:02"), None),
            (None, Some("1970-01-01T00:02:00Z"), None),
        ] {
            let node = Node::file(size, time.and_then(Modified::read), None);
            assert_eq!(bounds.holds(&node), holds, "{size:?} {time:?}");
        }
        let nothing = Node::file(None, None, None);
        assert_eq!(SizeAgeFilter::default().holds(&nothing), Some(true));
    }

    #[test]
    fn a_trash_must_be_a_folder_that_can_be_named() {
        let rules = |trash: &str| MirrorOptions {
            trash: Some(trash.to_owned()),
            ..MirrorOptions::default()
        };
        let here = Path::new("/nowhere");
        for good in ["old", ".trash", "/old/files", "a/b/"] {
            assert!(rules(good).filter(here).is_ok(), "{good}");
        }
        for bad in ["", "/", ".", "..", "../x", "a//b", "a/../b"] {
            assert!(rules(bad).filter(here).is_err(), "{bad}");
        }
    }
}
