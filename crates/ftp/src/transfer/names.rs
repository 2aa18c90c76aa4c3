//! Servers that shorten names, as on FAT disks and appliances: the temporary names of two uploads may become one there,
//! and their data one file, which then gets the final name of either.
//!
//! Before the first file gets its final name, the server is asked for a control name, which differs from the temporary
//! name in the last letter only and was never used. If the server has a file of that name, it shortens names: the files
//! that have arrived under long names are not trusted, and are sent again under short ones.

use super::{TempUpload, UploadName as Name};
use crate::{
    control::FtpCommand,
    path::RemotePath,
    reply::Reply,
    session::{Session, short_name},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result, codes::TRANSFER_NAME_SHORTENED},
    random::random_u64,
};
use portolan_proto::{ReplyCode, Verb};

/// The length in bytes of the longest name that every server keeps: eight, as on FAT disks.
const SHORT_LENGTH: usize = 8;

impl Session {
    /// Returns the control name to query together with the sizes of `files`, or `None` if the server's handling of long
    /// names is known.
    pub(super) fn control_name(&self, files: &[TempUpload]) -> Option<RemotePath> {
        let file = files.first().filter(|file| has_long_name(file))?;
        if self.data_path.profile.knows_long_names() {
            return None;
        }
        let (_, start) = file.temporary.name().split_last()?;
        file.temporary.parent().join(&[start, b"x"].concat()).ok()
    }

    /// Evaluates the `sizes` that the server reported for the uploaded files, and its reply for `control`, under which
    /// no file was uploaded.
    pub(super) async fn see_control_name(
        &mut self,
        control: &RemotePath,
        sizes: &[Result<Vec<Reply>>],
        said: Result<Vec<Reply>>,
    ) -> Result<()> {
        let is_size = |replies: &[Reply]| {
            replies.first().is_some_and(|reply| reply.code == ReplyCode::FILE_STATUS)
        };
        let tells_sizes = sizes.iter().flatten().any(|replies| is_size(replies));
        let is_whole = if is_size(&said?) {
            // Some servers report a size for any name.
            let other = control.parent().join(short_name(random_u64()).as_bytes())?;
            let has_any_size = self.size_of(&other).await?.is_some();
            if has_any_size {
                self.data_path.profile.record_any_size();
            }
            has_any_size
        } else if tells_sizes {
            true
        } else {
            match self.ask(&FtpCommand::path(Verb::Rnfr, control)).await? {
                reply if reply.is_halfway() => {
                    // Any other command cancels the rename, whatever the reply to it (RFC 959, 4.1.3).
                    self.ask(&FtpCommand::bare(Verb::Noop)).await?;
                    false
                }
                reply if reply.code == ReplyCode::FILE_UNAVAILABLE => true,
                // A server without renames gives no file the name of another.
                _ => return Ok(()),
            }
        };
        self.data_path.profile.record_long_name(is_whole);
        Ok(())
    }

    /// Returns true if a file has the final name of `file`, by the replies to [`sizes`].
    pub(super) fn is_taken(&self, file: &TempUpload, replies: &[Reply]) -> bool {
        let is_there = replies.get(1).is_some_and(|reply| reply.code == ReplyCode::FILE_STATUS);
        file.is_new
            && file.name == Name::Temporary
            && is_there
            && !self.data_path.profile.has_any_size()
    }

    /// Finds out if the server shortens names, unless that is known: `path` is a listed path with a letter added.
    pub(crate) async fn ask_long_name(&mut self, path: &RemotePath) -> Result<()> {
        if !self.data_path.profile.knows_long_names() {
            let answers = self.answers(&[(path.clone(), false)]).await?;
            if answers.into_iter().flatten().next().is_some() {
                self.data_path.profile.record_long_name(false);
            }
        }
        Ok(())
    }

    /// Returns true if the server is known to shorten names.
    pub(crate) fn shortens_names(&self) -> bool {
        self.data_path.profile.shortens_names()
    }

    /// Returns true if `file` may contain data of another: it arrived under a long name, and the server shortens those.
    pub(super) fn is_mixed(&self, file: &TempUpload) -> bool {
        self.data_path.profile.shortens_names() && has_long_name(file)
    }
}

fn has_long_name(file: &TempUpload) -> bool {
    file.name == Name::Temporary && file.temporary.name().len() > SHORT_LENGTH
}

/// Returns the queries for the size of `file` under its temporary name, and under its final name if no file may have
/// that.
pub(super) fn sizes(file: &TempUpload) -> Vec<FtpCommand> {
    let final_name = Some(&file.remote).filter(|_| file.is_new);
    [&file.temporary]
        .into_iter()
        .chain(final_name)
        .map(|path| FtpCommand::path(Verb::Size, path))
        .collect()
}

/// Returns the error of a file that may contain data of another.
pub(super) fn shortened() -> Error {
    let message = "the server shortens names, so that the temporary names of files which come together may be one: it \
                   is sent again under a short one";
    Error::new(ErrorKind::DataConnection, Origin::Server, message)
        .with_name(TRANSFER_NAME_SHORTENED)
}

/// Returns true if `error` is already remedied, so that no wait is needed before the next attempt.
pub(super) fn is_mended(error: &Error) -> bool {
    error.name == Some(TRANSFER_NAME_SHORTENED)
}
