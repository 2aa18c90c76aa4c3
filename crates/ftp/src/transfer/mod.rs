//! Transfers in both directions: a temporary name, the data, the final reply, the size, then the rename.
//!
//! The final name holds the old data or the new data, never anything else, and a transfer is reported as done only
//! after the final reply has come *and* the size agrees. If the server cannot report a size, the result is unverified.

mod bytes;
mod claims;
mod commit;
mod ending;
pub(super) mod final_reply;
mod in_place;
mod min_rate;
mod names;
mod resume;
mod retry;
mod segments;
mod single;
mod staged;
mod temp_upload;
mod text;
pub(super) mod types;
mod unchanged;
mod verify_upload;
mod whole;

pub use portolan_remote::{
    hints::{NextTransfer, TransferHints},
    pending::{
        PendingDownload, SourceMeta, TempUpload, TransferStart, UploadName, VerifiedTemp,
        name_taken,
    },
    source_sink::{BoundedBuffer, ByteSink, ByteSource, MemorySource},
    transfer::{RemoteMeta, TransferStats, backoff, utc},
    transfer_options::{OPTIONS, TransferOptions},
};
