//! The recording of data connections: numbers of bytes, and the bytes of listings only.

use std::sync::Arc;

use super::{RunRecorder, SessionRecorder};
use portolan_core::{
    error::Error,
    limits::RECORDED_LISTING_BYTES_MAX,
    recording::{RecordedData, RecordedEvent, RecordedFailure, WireText},
};
use portolan_proto::Verb;

/// The recorder of one data connection, whose end it records when it is dropped.
pub(crate) struct DataRecorder {
    run: Arc<RunRecorder>,
    session: u32,
    so_far: RecordedData,
    /// The bytes of a listing.
    listing: Option<Vec<u8>>,
}

impl SessionRecorder {
    /// Records a data connection for `verb` that was opened by `method`, and returns the recorder of its bytes.
    /// `resumed` tells whether TLS resumed a session; `None` is a connection without TLS.
    pub(crate) fn opened(
        &self,
        method: &str,
        verb: Verb,
        address: &str,
        resumed: Option<bool>,
    ) -> DataRecorder {
        let mut state = self.run.lock();
        state.data += 1;
        let number = state.data;
        drop(state);
        self.note(RecordedEvent::DataOpened {
            data: number,
            method: method.to_owned(),
            verb: verb.as_str().to_owned(),
            address: address.to_owned(),
            tls: resumed.is_some(),
            resumed: resumed == Some(true),
        });
        DataRecorder {
            run: Arc::clone(&self.run),
            session: self.session,
            so_far: RecordedData { data: number, ..RecordedData::default() },
            listing: verb.is_listing().then(Vec::new),
        }
    }

    /// Records that no data connection for `verb` could be opened by `method`.
    pub(crate) fn data_failed(&self, method: &str, verb: Verb, error: &Error) {
        let failure = self.run.masked(RecordedFailure::of(error));
        self.note(RecordedEvent::DataFailed {
            method: method.to_owned(),
            verb: verb.as_str().to_owned(),
            failure,
        });
    }
}

impl DataRecorder {
    /// Records bytes that were received; none at the end of the data.
    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.so_far.received += bytes.len() as u64;
        self.so_far.ended |= bytes.is_empty();
        if let Some(listing) = &mut self.listing {
            listing.extend_from_slice(bytes);
            if listing.len() > RECORDED_LISTING_BYTES_MAX {
                self.listing = None;
            }
        }
    }

    /// Records a number of bytes that were sent.
    pub(crate) const fn sent(&mut self, count: usize) {
        self.so_far.sent += count as u64;
    }

    /// Records that all was sent.
    pub(crate) const fn finished(&mut self) {
        self.so_far.ended = true;
    }

    /// Records the failure of the connection; only the first counts.
    pub(crate) fn failed(&mut self, error: &Error) {
        let failure = self.run.masked(RecordedFailure::of(error));
        self.so_far.failure.get_or_insert(failure);
    }
}

impl Drop for DataRecorder {
    fn drop(&mut self) {
        let mut ended = std::mem::take(&mut self.so_far);
        ended.content = self.listing.take().map(|bytes| WireText(self.run.hidden(&bytes)));
        self.run.note(self.session, RecordedEvent::DataEnded(ended));
    }
}
