//! The values of transfers over FTP: times in replies, and uploads whose rename was refused.

use super::TransferStart;
use crate::{
    listing::{Modified, parse_mlst, parse_time_val},
    path::RemotePath,
    reply::Reply,
};
use portolan_proto::ReplyCode;

/// Returns the time in a reply to MDTM (RFC 3659, 3).
pub(crate) fn time_in(reply: &Reply) -> Option<Modified> {
    let digits =
        Some(reply.last_text().trim_ascii()).filter(|_| reply.code == ReplyCode::FILE_STATUS)?;
    parse_time_val(digits).map(|(time, precision)| Modified::Utc(time, precision))
}

/// Returns the time in a reply to MDTM or MLST.
pub(super) fn fact_in(reply: &Reply) -> Option<Modified> {
    if reply.code != ReplyCode::FILE_ACTION_OKAY {
        return time_in(reply);
    }
    let facts = reply.inner_lines().next()?;
    // The query has named the file.
    parse_mlst(facts.trim_ascii_start(), b"")?.modified
}

/// An upload whose rename was refused, and that continues under its final name.
#[derive(Debug)]
pub(crate) struct RefusedUpload {
    pub(super) remote: RemotePath,
    pub(super) start: TransferStart,
}
