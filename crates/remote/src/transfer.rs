//! Values of transfers: results, what is known before, rules and waits.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::Modified;
use portolan_core::{
    error::{Error, ErrorKind, Origin},
    limits::RETRY_WAIT_MAX,
};

/// The result of one transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferStats {
    /// The number of bytes transferred.
    pub bytes: u64,
    /// True if the size at the other end agrees.
    pub verified: bool,
    /// The duration.
    pub took: Duration,
    /// The time that the file now has on the server, if the server reported it.
    pub modified: Option<Modified>,
    /// True if it was written to its final name directly, which held half a file for a while.
    pub in_place: bool,
}

/// The known properties of a remote file before its download.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoteMeta {
    /// The size in bytes.
    pub size: Option<u64>,
    /// The modification time.
    pub modified: Option<Modified>,
    /// True if the time is from a listing, which may differ from that of MDTM.
    pub is_listed: bool,
}

/// The rule for uploading directly to the final name, without a temporary name and a rename.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// Never: if the server refuses the temporary name or the rename, the upload fails.
    Never,
    /// Only if the server refuses either, and no file is seen under the final name.
    #[default]
    Auto,
    /// Always: a file under the final name is lost when the upload begins.
    Always,
}

impl InPlace {
    /// Returns the rule for `true`, `false`, or `None`, which is "auto".
    pub const fn when(flag: Option<bool>) -> Self {
        match flag {
            None => Self::Auto,
            Some(false) => Self::Never,
            Some(true) => Self::Always,
        }
    }
}

/// Returns the error for a file whose size cannot be verified.
pub fn unproven() -> Error {
    let message = "the server tells no size: whether all of it arrived cannot be seen";
    Error::new(ErrorKind::Unsupported, Origin::Server, message)
}

/// Returns the wait before the retry after `tries` retries. The longest is `first` before the first retry, and twice as
/// long each time; `chance` selects the fraction of it, so that many sessions do not retry at the same moment.
pub fn backoff(first: Duration, tries: u16, chance: u64) -> Duration {
    let longest = first.saturating_mul(1 << tries.min(16)).min(RETRY_WAIT_MAX);
    longest * u32::try_from(chance % 1001).unwrap_or(0) / 1000
}

/// Returns the time of an entry if it is in UTC, and so comparable with local times.
pub fn utc(modified: Option<Modified>) -> Option<Timestamp> {
    match modified {
        Some(Modified::Utc(time, _)) => Some(time),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_may_be_twice_as_long_as_the_one_before_up_to_a_limit() {
        let first = Duration::from_secs(1);
        let longest = |tries| backoff(first, tries, 1000);
        assert_eq!(longest(0), first);
        assert_eq!(longest(3), first * 8);
        assert_eq!(longest(u16::MAX), RETRY_WAIT_MAX);
        assert_eq!(backoff(first, 3, 0), Duration::ZERO);
    }
}
