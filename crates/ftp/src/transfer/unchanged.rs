//! A check that a file on the server is the same after its transfer as before: data of two versions must not be mixed.
//!
//! The time of the file is queried after its data, and compared with the earlier time. Times must come from the same
//! source: if the times of the server's listings are not those of MDTM, as in another time zone, the listing is
//! requested again.

use super::{ByteSink, RemoteMeta, TransferHints, bytes::FetchResult, types::fact_in};
use crate::{
    control::FtpCommand,
    listing::{Modified, Precision},
    path::RemotePath,
    session::Session,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result, codes::TRANSFER_SOURCE_CHANGED},
    observe::TransferId,
};
use portolan_proto::Verb;

/// The maximum number of immediate downloads of a file that changes on the server meanwhile; after that, a retry comes
/// later.
const FETCHES_MAX: usize = 2;
/// The number of bytes that every server reads from its disk at once: a page.
const READ_AT_ONCE_BYTES: u64 = 4096;
/// The number of bytes beside which a round trip costs little: at 100 Mbit/s, 20 ms.
const WORTH_A_QUESTION_BYTES: u64 = 256 * 1024;
/// The step between time zones: a quarter of an hour.
const ZONE_STEP_NS: i128 = 15 * 60 * 1_000_000_000;
/// The largest offset of a time zone from UTC (Kiribati).
const ZONE_NS_MAX: i128 = 14 * 3600 * 1_000_000_000;

/// A file that was downloaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct FetchedFile {
    /// The number of bytes received.
    pub(super) bytes: u64,
    /// The properties of the version that was downloaded.
    pub(super) known: RemoteMeta,
}

impl Session {
    /// Downloads `remote`, and once more if it changes meanwhile.
    pub(super) async fn fetch_same(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        id: TransferId,
        hints: TransferHints<'_>,
    ) -> Result<FetchedFile> {
        let mut known = known;
        let is_unsure = self.data_path.profile.lists_other_times() || is_large_and_coarse(known);
        if known.is_listed && known.modified.is_some() && is_unsure {
            let asked = self.ask_known(remote).await?;
            if asked.modified.is_some() {
                known = RemoteMeta { size: asked.size.or(known.size), ..asked };
            }
        }
        let mut tries = 1;
        loop {
            let changed = match self.fetch_begun(remote, sink, known, id, hints).await {
                Ok(FetchResult { bytes, modified }) => {
                    let now = self.time_now(remote, known, modified).await?;
                    if self.is_same(remote, known, now).await? {
                        let modified = now.or(known.modified);
                        return Ok(FetchedFile { bytes, known: RemoteMeta { modified, ..known } });
                    }
                    changed()
                }
                Err(error) if self.may_be_of_size(&error) => error,
                Err(error) => return Err(error),
            };
            if tries == FETCHES_MAX || !sink.is_whole() {
                return Err(changed);
            }
            let now = self.ask_known(remote).await?;
            if now.size == known.size && changed.name != Some(TRANSFER_SOURCE_CHANGED) {
                return Err(changed);
            }
            tracing::info!(target: "portolan", "{remote}: fetched once more, since {changed}");
            sink.restart()?;
            known = now;
            tries += 1;
        }
    }

    /// Returns true if a transfer may have failed because the size of the file differs from the known one.
    fn may_be_of_size(&self, error: &Error) -> bool {
        error.side == Origin::Server
            && error.code == 0
            && matches!(error.kind, ErrorKind::Protocol | ErrorKind::DataConnection)
            && self.control.poison_reason().is_none()
    }

    /// Returns the query that shows if `remote` is still as `known`, if it is to be sent after the data. If that costs
    /// a round trip, small files of a mirror do without: a server has read them before anything can write to them.
    pub(super) fn doubt_of(&self, remote: &RemotePath, known: RemoteMeta) -> Option<FtpCommand> {
        let is_small = known.is_listed && known.size.is_some_and(|size| size <= READ_AT_ONCE_BYTES);
        if known.modified.is_none() || is_small && self.data_path.profile.is_disabled(Verb::Retr) {
            return None;
        }
        self.time_question(remote)
    }

    /// Returns the query for the modification time of `remote` by MDTM. A server that lists its features without it has
    /// none.
    pub(super) fn mtime_question(&self, remote: &RemotePath) -> Option<FtpCommand> {
        let has_none = !self.features.named.is_empty() && !self.features.has("MDTM");
        (!has_none).then(|| FtpCommand::path(Verb::Mdtm, remote))
    }

    /// Returns the query for the time of `remote`, if the server may support one.
    fn time_question(&self, remote: &RemotePath) -> Option<FtpCommand> {
        let has_facts = self.features.has("MLST") || self.features.has("MLSD");
        let by_facts = || has_facts.then(|| FtpCommand::path(Verb::Mlst, remote));
        self.mtime_question(remote).or_else(by_facts)
    }

    /// Returns the time of `remote` after its download: as `reported` then, or queried now if the connection ended
    /// after the data and the time before is `known`.
    async fn time_now(
        &mut self,
        remote: &RemotePath,
        known: RemoteMeta,
        reported: Option<Modified>,
    ) -> Result<Option<Modified>> {
        let is_lost = reported.is_none() && self.control.poison_reason().is_some();
        match self.time_question(remote) {
            Some(question) if is_lost && known.modified.is_some() => {
                Ok(fact_in(&self.ask(&question).await?))
            }
            _ => Ok(reported),
        }
    }

    /// Returns true if `remote`, which has just been downloaded and has the time `now`, is still as `known`.
    async fn is_same(
        &mut self,
        remote: &RemotePath,
        known: RemoteMeta,
        now: Option<Modified>,
    ) -> Result<bool> {
        let (Some(before), Some(after)) = (known.modified, now) else { return Ok(true) };
        if !differ(before, after) {
            return Ok(true);
        }
        if !known.is_listed {
            return Ok(false);
        }
        let Ok(Some(entry)) = self.find(remote).await else { return Ok(false) };
        let is_same_time = entry.modified.and_then(|time| time.agrees(before)) == Some(true);
        let is_same = is_same_time && (entry.size == known.size || entry.size.is_none());
        if is_same {
            self.data_path.profile.record_other_times();
        }
        Ok(is_same)
    }
}

/// Returns true if the time of a file is not known to the second, and a query for it costs little beside its data.
fn is_large_and_coarse(known: RemoteMeta) -> bool {
    let is_coarse = known.modified.is_some_and(|time| time.precision() > Precision::Second);
    is_coarse && known.size.is_some_and(|size| size >= WORTH_A_QUESTION_BYTES)
}

/// The message for a file that changed during its download.
const CHANGED: &str = "it was changed on the server while it was fetched";

/// Returns the error of a file that changed during its download: data of two versions must not be mixed.
pub(super) fn changed() -> Error {
    Error::new(ErrorKind::DataConnection, Origin::Server, CHANGED)
        .with_name(TRANSFER_SOURCE_CHANGED)
}

/// Returns true if two times cannot be the same, at the precision of the coarser one. A time in the server's own zone
/// may be in any zone.
fn differ(one: Modified, other: Modified) -> bool {
    let ((Modified::Server(civil, _), Modified::Utc(utc, _))
    | (Modified::Utc(utc, _), Modified::Server(civil, _))) = (one, other)
    else {
        return one.agrees(other) == Some(false);
    };
    let precision = one.precision().max(other.precision());
    let Ok(civil) = jiff::tz::TimeZone::UTC.to_timestamp(civil) else { return false };
    let apart = civil.as_nanosecond() - utc.as_nanosecond();
    if apart.abs() > ZONE_NS_MAX + precision.nanoseconds() {
        return true;
    }
    let rest = apart.rem_euclid(ZONE_STEP_NS);
    precision < Precision::Day && rest.min(ZONE_STEP_NS - rest) >= precision.nanoseconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_differ_where_no_zone_and_no_coarseness_makes_them_one() {
        let at = |text| Modified::read(text).unwrap();
        for (one, other, apart) in [
            ("2026-02-11T14:22:07Z", "2026-02-11T14:22:07Z", false),
            ("2026-02-11T14:22:07Z", "2026-02-11T14:22:08Z", true),
            ("2026-02-11T14:22:07Z", "2026-02-11T14:22:07.999Z", false),
            ("2026-02-11T14:22Z", "2026-02-11T14:22:59Z", false),
            ("2026-02-11T14:22Z", "2026-02-11T14:23:00Z", true),
            ("2026-02-11T19:52", "2026-02-11T14:22:07Z", false),
            ("2026-02-11T14:22", "2026-02-11T14:22:59Z", false),
            ("2026-02-11T14:22", "2026-02-11T14:25:01Z", true),
            ("2026-02-11T14:22", "2026-02-12T14:22:07Z", true),
            ("2026-02-11", "2026-02-12T13:22:07Z", false),
            ("2026-02-11", "2026-02-14T13:22:07Z", true),
            ("2026-02-11T14:22:07", "2026-02-11T15:22:07Z", false),
            ("2026-02-11T14:22:07", "2026-02-11T15:22:09Z", true),
        ] {
            assert_eq!(differ(at(one), at(other)), apart, "{one} {other}");
            assert_eq!(differ(at(other), at(one)), apart, "{other} {one}");
        }
    }
}
