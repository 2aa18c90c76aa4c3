//! The values of transfers over FTP: times in replies, and uploads whose rename was refused.

use super::TransferStart;
use crate::{
    listing::{Modified, parse_mlst, parse_time_val},
    path::RemotePath,
    reply::Reply,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
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

/// Returns the size of what was sent. Fails if another number of bytes was read from the source than it has.
pub(super) fn expect_size(sent: u64, known: Option<u64>) -> Result<u64> {
    let Some(size) = known.filter(|size| *size != sent) else { return Ok(sent) };
    let message = format!("{sent} bytes were read where {size} were expected");
    Err(Error::new(ErrorKind::Local, Origin::Here, message))
}
