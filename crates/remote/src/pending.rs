//! Transfers whose bytes have arrived and that have not ended: under temporary names, or not yet reported.

use std::{os::unix::net::UnixListener, sync::Arc, time::Instant};

use jiff::Timestamp;

use super::{entry::Modified, path::RemotePath};
use portolan_core::{
    error::{Error, ErrorKind, Origin},
    observe::TransferId,
};

/// A claim on a temporary name: no other run on the host uses it as long as this lives.
pub type NameClaim = Arc<UnixListener>;

/// A transfer that has started, and whose end must be reported.
#[derive(Debug, Clone, Copy)]
pub struct TransferStart {
    /// Its number in events.
    pub id: TransferId,
    /// The time at which it began.
    pub at: Instant,
}

/// The properties of a source that its upload is to have on the server.
#[derive(Debug, Clone, Copy)]
pub struct SourceMeta {
    /// The size in bytes.
    pub size: u64,
    /// The modification time, if it is to be kept.
    pub modified: Option<Timestamp>,
}

/// A file that the server has accepted under a temporary name; its size has not been verified.
#[derive(Debug)]
#[must_use = "it is under a temporary name"]
pub struct TempUpload {
    /// The transfer.
    pub start: TransferStart,
    /// Its final name, absolute.
    pub remote: RemotePath,
    /// Its path until the rename.
    pub temporary: RemotePath,
    /// The kind of that path.
    pub name: UploadName,
    /// The size in bytes.
    pub size: u64,
    /// The time that it is to have.
    pub modified: Option<Timestamp>,
    /// True if no file may have its final name yet, which is then checked first.
    pub is_new: bool,
    /// The claim that keeps other runs on the same host from choosing the same temporary name.
    pub claim: Option<NameClaim>,
}

/// The kind of name under which the data of an upload arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadName {
    /// A temporary name.
    Temporary,
    /// The final name, under which no file was seen before.
    Free,
    /// The final name, in place of another file.
    Taken,
}

impl TempUpload {
    /// Creates the record of a transfer that has started and whose data is at `temporary`.
    pub const fn new(
        start: TransferStart,
        remote: RemotePath,
        temporary: RemotePath,
        name: UploadName,
        SourceMeta { size, modified }: SourceMeta,
    ) -> Self {
        Self { start, remote, temporary, name, size, modified, is_new: false, claim: None }
    }

    /// Returns its size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Requires that no file has its final name, in any spelling that the server lists.
    pub const fn expect_new(&mut self) {
        self.is_new = true;
    }
}

/// A file on the server under a temporary name that is complete, as far as the server reports.
#[derive(Debug)]
#[must_use = "it is under a temporary name"]
pub struct VerifiedTemp {
    /// The upload.
    pub aside: TempUpload,
    /// True if the server reported the full size; false if it reported none.
    pub is_whole: bool,
}

impl VerifiedTemp {
    /// Returns its size in bytes.
    pub const fn size(&self) -> u64 {
        self.aside.size
    }

    /// Returns true if the server reported the full size; false if it reported none.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// A file whose data has arrived, and whose transfer is not reported as done yet.
#[derive(Debug)]
#[must_use = "its end has not been reported"]
pub struct PendingDownload {
    /// The transfer.
    pub start: TransferStart,
    /// The file, absolute.
    pub remote: RemotePath,
    /// The number of bytes.
    pub bytes: u64,
    /// True if its size was known and agrees.
    pub is_verified: bool,
    /// The time that it has on the server, if known.
    pub modified: Option<Modified>,
}

impl PendingDownload {
    /// Returns true if its size was known and agrees.
    pub const fn is_verified(&self) -> bool {
        self.is_verified
    }
}

/// Returns the fault of a file whose name the server takes for that of another.
pub fn name_taken() -> Error {
    let message = "the server has it already, though it did not list it, so its name is that of another file there: it is left out";
    Error::new(ErrorKind::Refused, Origin::Server, message)
}
