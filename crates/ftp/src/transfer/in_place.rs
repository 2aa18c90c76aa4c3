//! Uploads to the final name, for servers that refuse temporary names or renames: drop boxes, printers, hosts that only
//! accept names of a certain form.
//!
//! Until such an upload has ended, half a file has the final name. It is therefore used if the user asks for it, and
//! otherwise only if the server refuses temporary names or renames, and no file is seen under the final name: then no
//! data can be lost.

use crate::reply::CausedByReply as _;
use jiff::Timestamp;

use super::{
    ByteSource, NextTransfer, SourceMeta, TempUpload, UploadName as Name, types::expect_size,
};
use crate::{path::RemotePath, session::Session, site::InPlace};
use portolan_core::{
    error::{
        Error, ErrorKind, Result,
        codes::{TRANSFER_NAME_REFUSED, TRANSFER_RENAME_REFUSED},
    },
    observe::{MessageLevel, Operation, TransferId},
};
use portolan_fs::without_dot;
use portolan_proto::Verb;

impl Session {
    /// Returns the kind of final name that an upload to `remote` is written to directly, or `None` if it uses a
    /// temporary name.
    pub(super) async fn direct_name(&mut self, remote: &RemotePath) -> Result<Option<Name>> {
        match self.site.in_place {
            InPlace::Never => return Ok(None),
            InPlace::Auto if !self.data_path.profile.wants_in_place() => return Ok(None),
            InPlace::Auto | InPlace::Always => {}
        }
        let is_taken = self.is_seen(remote).await?;
        let is_auto = self.site.in_place == InPlace::Auto;
        if is_auto && !is_taken && self.data_path.profile.remembers_in_place() {
            let text = format!(
                "{}: files go under their final names at once, since the server has refused renames or temporary names",
                self.site.host
            );
            self.context.observer.message_once(MessageLevel::Info, text);
        }
        match self.site.in_place {
            InPlace::Auto if is_taken => Ok(None),
            _ => Ok(Some(if is_taken { Name::Taken } else { Name::Free })),
        }
    }

    /// Returns true if there is a file at `remote`, as far as the server reveals that.
    async fn is_seen(&mut self, remote: &RemotePath) -> Result<bool> {
        if self.size_of(remote).await?.is_some() {
            return Ok(true);
        }
        match self.find(remote).await {
            Ok(found) => Ok(found.is_some()),
            // A file that may not be listed cannot be seen.
            Err(error) if error.reply_code().is_permanent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns true if an upload that failed with `error` may be sent to its final name.
    pub(crate) fn may_go_directly(&self, error: &Error) -> bool {
        let is_refused =
            matches!(error.name, Some(TRANSFER_NAME_REFUSED | TRANSFER_RENAME_REFUSED));
        is_refused && self.site.in_place == InPlace::Auto
    }

    /// Returns true if a server refused the name of an upload, before any data moved.
    pub(super) const fn is_name_refused(&self, error: &Error) -> bool {
        matches!(error.kind, ErrorKind::Refused) && !self.has_moved
    }

    /// Sends `source` to its final name, after the upload by a temporary name was `refused` as in [`may_go_directly`];
    /// returns that failure if a file is there.
    ///
    /// [`may_go_directly`]: Self::may_go_directly
    pub(crate) async fn put_directly(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        refused: Error,
    ) -> Result<TempUpload> {
        let remote = self.absolute(remote)?;
        let begun = self.refused.iter().position(|refused| refused.remote == remote);
        let start = if let Some(at) = begun {
            self.refused.swap_remove(at).start
        } else {
            let known = Some(size).filter(|_| !source.is_stream());
            self.begin(Operation::Upload, &remote, known)?
        };
        match self.store_instead(source, size, &remote, start.id, refused).await {
            Ok(size) => {
                let (name, temporary) = (Name::Free, remote.clone());
                let meta = SourceMeta { size, modified };
                Ok(TempUpload::new(start, remote, temporary, name, meta))
            }
            Err(error) => Err(self.failed(start.id, &remote, error)),
        }
    }

    /// Does the same for a transfer that has started; returns the size.
    pub(super) async fn store_instead(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        remote: &RemotePath,
        id: TransferId,
        refused: Error,
    ) -> Result<u64> {
        if self.is_seen(remote).await? {
            return Err(refused);
        }
        match self.store_final(source, size, remote, Name::Free, id, NextTransfer::None).await {
            Ok(sent) => {
                self.data_path.profile.record_in_place();
                let what = if refused.name == Some(TRANSFER_NAME_REFUSED) {
                    "temporary names"
                } else {
                    "renames"
                };
                let text = format!(
                    "{}: the server refuses {what}: files that are not there yet go under their final names at once, \
                     and are half files until they have arrived",
                    self.site.host
                );
                self.context.observer.warn_once(text);
                Ok(sent)
            }
            // The cause is the directory or the permissions, not the temporary name.
            Err(error) if refused.name == Some(TRANSFER_NAME_REFUSED) => Err(error),
            Err(error) if error.kind == ErrorKind::Refused => Err(refused),
            Err(error) => Err(error),
        }
    }

    /// Sends `source` to its final name; `name` tells if another file has it.
    pub(super) async fn store_directly(
        &mut self,
        source: &mut impl ByteSource,
        meta: SourceMeta,
        remote: &RemotePath,
        name: Name,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        let known = Some(meta.size).filter(|_| !source.is_stream());
        let start = self.begin(Operation::Upload, remote, known)?;
        match self.store_final(source, meta.size, remote, name, start.id, next).await {
            Ok(size) => {
                let (remote, temporary) = (remote.clone(), remote.clone());
                let meta = SourceMeta { size, ..meta };
                Ok(TempUpload::new(start, remote, temporary, name, meta))
            }
            Err(error) => Err(self.failed(start.id, remote, error)),
        }
    }

    async fn store_final(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        remote: &RemotePath,
        name: Name,
        id: TransferId,
        next: NextTransfer<'_>,
    ) -> Result<u64> {
        let known = Some(size).filter(|_| !source.is_stream());
        let work = async {
            let mut sent = self.store(Verb::Stor, remote, source, id, next).await?;
            if let Err(changed) = source.check() {
                sent = self.store_anew(source, remote, id, changed, next).await?;
            }
            expect_size(sent, known)
        };
        let stored = work.await;
        // If it was refused before any data moved, the file may be another's that cannot be seen.
        if stored.is_err() && self.has_moved && name == Name::Free {
            self.cleanup_temps(&[remote]).await;
        }
        stored
    }
}

/// Returns the temporary name without its leading dot, if it has one.
pub(super) fn plain_name(temporary: &RemotePath) -> Option<RemotePath> {
    let name = std::str::from_utf8(temporary.name()).ok()?;
    let plain = without_dot(name);
    (plain != name).then(|| temporary.parent().join(plain.as_bytes()).ok()).flatten()
}

fn shown(temporary: &RemotePath) -> String {
    String::from_utf8_lossy(temporary.name()).into_owned()
}

/// Returns the error of an upload whose temporary name was refused.
pub(super) fn name_refused(error: Error, temporary: &RemotePath) -> Error {
    let message = format!(
        "the server refused the name `{}`, under which it was to arrive: {}",
        shown(temporary),
        error.message
    );
    Error { message, ..error.with_name(TRANSFER_NAME_REFUSED) }
}

/// Returns the error of a rename of a temporary file, with the names in it if it was refused.
pub(super) fn rename_refused(error: Error, temporary: &RemotePath) -> Error {
    if error.code == 0 {
        return error;
    }
    let message = format!(
        "the server refused to rename it from `{}`, under which it had arrived: {}",
        shown(temporary),
        error.message
    );
    let error = Error { message, ..error };
    if error.reply_code().is_permanent() { error.with_name(TRANSFER_RENAME_REFUSED) } else { error }
}
