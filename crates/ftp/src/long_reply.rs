//! Replies of many lines, which may be a listing.

use super::framing::Malformed;
use portolan_core::limits::LISTING_BYTES_MAX;

/// The lines of replies before the last line of each, if they may be a listing.
#[derive(Default)]
pub(super) struct LongReplyBuffer {
    /// The lines that have not been consumed yet.
    pub(super) lines: Vec<u8>,
    /// The total number of bytes: many replies to one packet must not take more memory than one listing may.
    bytes: usize,
}

impl LongReplyBuffer {
    /// Appends a line. Fails if that is more than a listing may have.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<(), Malformed> {
        self.bytes += line.len() + 2;
        if self.bytes > LISTING_BYTES_MAX {
            return Err(Malformed::EndlessListings);
        }
        self.lines.extend_from_slice(line);
        self.lines.extend_from_slice(b"\r\n");
        Ok(())
    }
}
