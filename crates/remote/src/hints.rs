//! Hints for one transfer: whether another one follows it, and whether the modification time is wanted.

use super::path::RemotePath;

/// The transfer that immediately follows another one: its data connection may be prepared meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NextTransfer<'a> {
    /// No transfer follows, as far as is known.
    #[default]
    None,
    /// Some transfer follows.
    Any,
    /// All of this file is downloaded, and its size is known.
    Download(&'a RemotePath),
}

/// The circumstances of one transfer.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransferHints<'a> {
    /// The next transfer.
    pub next: NextTransfer<'a>,
    /// True if the modification time of the file is wanted along with its bytes. MDTM is sent right after the data,
    /// provided that it costs no round trip, and else after the final reply.
    pub wants_mtime: bool,
}

impl NextTransfer<'_> {
    /// Returns true if a transfer follows.
    pub const fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Returns that some transfer follows if `is_likely`.
    pub const fn likely(is_likely: bool) -> Self {
        if is_likely { Self::Any } else { Self::None }
    }
}

impl<'a> TransferHints<'a> {
    /// Returns the hints of a transfer that `next` follows.
    pub const fn before(next: NextTransfer<'a>) -> Self {
        Self { next, wants_mtime: false }
    }
}
