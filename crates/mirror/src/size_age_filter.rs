//! The limits of size and time for the files of a mirror.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::tree::{Node, NodeKind, ScanResult, Why, utc};
use portolan_core::error::Result;

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

    /// Leaves out the files of `source` that are out of bounds.
    pub(super) fn apply(&self, source: &mut ScanResult) -> Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        let files = source.tree.nodes().filter(|(_, node)| node.kind == NodeKind::File);
        let out = files.filter(|(_, node)| self.holds(node) != Some(true));
        for path in out.map(|(path, _)| path.to_vec()).collect::<Vec<_>>() {
            source.tree.remove(&path);
            source.leave_out(path, Why::Bounds)?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_remote::entry::Modified;

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
}
