//! What a user may say about a mirror.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    claims::CLAIM_FOLDER,
    filter::{Filter, ignore_file},
    ledger::STATE_FILE,
    plan::Direction,
    tree::{Node, utc},
};
use crate::{
    fault::{Fault, Outcome},
    files::Links,
    ftp::{
        path::component,
        site::{InPlace, PARALLEL_AUTO},
    },
    limits::{MIRROR_RETRIES, MIRROR_RETRIES_MAX, PARALLEL_MAX},
};

/// How two files are held to be the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// What changed since the last run, where that is remembered: content here, size and time there. Else size and
    /// time.
    #[default]
    Auto,
    /// Size alone.
    Size,
    /// Size and time.
    SizeTime,
    /// Content, by a hash of the server's, or read back where it has none.
    Checksum,
}

impl Compare {
    /// Every word that scripts and the command line use, and what it means.
    pub const ALL: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("size", Self::Size),
        ("size_time", Self::SizeTime),
        ("checksum", Self::Checksum),
    ];
}

/// Who wins where the target has changed since the last run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The source: the target becomes like it.
    #[default]
    Source,
    /// The target's change stays.
    Keep,
    /// The newer file; the target's where times cannot be compared.
    Newer,
    /// Nobody: nothing at all is done.
    Fail,
}

impl OnConflict {
    /// Every word that scripts and the command line use, and what it means.
    pub const ALL: [(&str, Self); 4] = [
        ("source", Self::Source),
        ("keep", Self::Keep),
        ("newer", Self::Newer),
        ("fail", Self::Fail),
    ];
}

/// Where a mirror keeps what both sides were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateIn {
    /// On this machine, in the state folder.
    #[default]
    Local,
    /// On the server, beside the files: for machines that remember nothing.
    Remote,
}

impl StateIn {
    /// Every word that scripts and the command line use, and what it means.
    pub const ALL: [(&str, Self); 2] = [("local", Self::Local), ("remote", Self::Remote)];
}

/// Which files take part by their size and time; others are neither sent nor deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The fewest bytes.
    pub min_size: Option<u64>,
    /// The most bytes.
    pub max_size: Option<u64>,
    /// Nothing from before.
    #[serde(with = "moment")]
    pub after: Option<Timestamp>,
    /// Nothing from after.
    #[serde(with = "moment")]
    pub before: Option<Timestamp>,
}

impl Bounds {
    /// Whether a file is inside of them; nothing where its size or time would have to be known and is not.
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

    /// The moment so long before `now`.
    pub fn ago(now: Timestamp, time: std::time::Duration) -> Timestamp {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        now.saturating_sub(time).unwrap_or(Timestamp::MIN)
    }
}

/// Moments as text.
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

/// What a run may not go beyond: then nothing is done at all (class C19).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Bytes of one file.
    pub max_file_size: Option<u64>,
    /// Bytes of all files that move.
    pub max_total: Option<u64>,
    /// Bytes that stay free on the disk of this machine.
    pub min_free: Option<u64>,
}

/// What is to be done, and what not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the user's")]
pub struct Rules {
    /// Whether what is not in the source goes from the target.
    pub delete: bool,
    /// Patterns of which a file must match one, if there are any.
    pub include: Vec<String>,
    /// Patterns of what is neither sent nor deleted; they win over `include`.
    pub exclude: Vec<String>,
    /// When two files are the same.
    pub compare: Compare,
    /// Deletes above which nothing at all is done.
    pub max_delete: Option<u64>,
    /// Sessions to work with at the same time, or [`PARALLEL_AUTO`].
    pub parallel: u16,
    /// Whether files get the times that they have in the source.
    pub preserve_times: bool,
    /// Whether a file of the target stays unless that of the source is newer.
    pub newer_only: bool,
    /// Whether a file that broke off goes on where it ended, if it is provably the same.
    pub resume: bool,
    /// How often a file is tried again after a failure that may pass.
    pub retries: u16,
    /// Bytes per second, all sessions together.
    pub rate_limit: Option<u64>,
    /// Who wins where the target has changed since the last run.
    pub on_conflict: OnConflict,
    /// The folder of the target's side that takes what is deleted.
    pub trash: Option<String>,
    /// Whether no file gets its final name before all have arrived.
    pub staged: bool,
    /// Whether links of the source are followed: here as long as they stay inside, on a server wherever they lead.
    pub follow_links: bool,
    /// Whether a transfer counts as failed when its size cannot be seen to agree; usually where `delete` is on.
    pub verify: Option<bool>,
    /// Whether uploads go under their final names at once; what was said of the connection, if nothing.
    #[serde(rename = "inplace")]
    pub in_place: Option<InPlace>,
    /// Where it is kept what both sides were.
    pub state: StateIn,
    /// Whether the server is believed to be as the state says, but for a few files that are asked for.
    pub trust_state: bool,
    /// Which files take part by size and time.
    pub bounds: Bounds,
    /// What the run may not go beyond.
    pub caps: Caps,
}

impl Default for Rules {
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
            bounds: Bounds::default(),
            caps: Caps::default(),
        }
    }
}

impl Rules {
    /// The patterns, made ready, with those of the folder `local` of this machine; fails with `invalid` on one that
    /// cannot be meant, and on values out of bounds.
    pub fn filter(&self, local: &Path) -> Outcome<Filter> {
        if self.parallel != PARALLEL_AUTO && !(1..=PARALLEL_MAX).contains(&self.parallel) {
            let message =
                format!("`parallel` wants 1 to {PARALLEL_MAX} or \"auto\", not {}", self.parallel);
            return Err(Fault::invalid(message));
        }
        if self.retries > MIRROR_RETRIES_MAX {
            let message =
                format!("`retries` wants 0 to {MIRROR_RETRIES_MAX}, not {}", self.retries);
            return Err(Fault::invalid(message));
        }
        if self.trust_state && self.compare != Compare::Auto {
            let message = "`trust_state` goes with `compare = \"auto\"` only";
            return Err(Fault::invalid(message));
        }
        if self.staged && self.in_place == Some(InPlace::Always) {
            let message = "`inplace` gives each file its name at once, and `staged` none before all have arrived";
            return Err(Fault::invalid(message));
        }
        self.check_trash()?;
        let filter = Filter::new(&self.include, &self.exclude, &ignore_file(local)?)?;
        Ok(filter.without(STATE_FILE).without(CLAIM_FOLDER))
    }

    fn check_trash(&self) -> Outcome<()> {
        let Some(trash) = &self.trash else { return Ok(()) };
        let parts = trash.strip_prefix('/').unwrap_or(trash).trim_end_matches('/');
        if parts.split('/').any(|part| component(part.as_bytes()).is_err()) {
            let message = format!("`trash` wants a folder, and `{trash}` names none");
            return Err(Fault::invalid(message));
        }
        Ok(())
    }

    /// What becomes of links of this machine. In a target none is ever followed.
    pub(super) const fn links(&self, direction: Direction) -> Links {
        match direction {
            Direction::Up if self.follow_links => Links::Within,
            _ => Links::Refused,
        }
    }

    /// Whether uploads go under their final names at once, where `usual` was said of the connection.
    pub(super) fn in_place(&self, usual: InPlace) -> InPlace {
        if self.staged { InPlace::Never } else { self.in_place.unwrap_or(usual) }
    }

    /// Whether a transfer whose size nobody could see to agree has failed.
    pub fn wants_proof(&self) -> bool {
        self.verify.unwrap_or(self.delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftp::listing::Modified;

    #[test]
    fn a_file_is_in_bounds_out_of_them_or_not_known_to_be() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let bounds = Bounds {
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
        assert_eq!(Bounds::default().holds(&nothing), Some(true));
    }

    #[test]
    fn a_trash_must_be_a_folder_that_can_be_named() {
        let rules = |trash: &str| Rules { trash: Some(trash.to_owned()), ..Rules::default() };
        let here = Path::new("/nowhere");
        for good in ["old", ".trash", "/old/files", "a/b/"] {
            assert!(rules(good).filter(here).is_ok(), "{good}");
        }
        for bad in ["", "/", ".", "..", "../x", "a//b", "a/../b"] {
            assert!(rules(bad).filter(here).is_err(), "{bad}");
        }
    }
}
