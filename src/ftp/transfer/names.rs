//! Servers that shorten names, as on FAT disks and appliances: the temporary names of two uploads may become one there,
//! and the bytes of both one file, which then gets the final name of either.
//!
//! Before the first file of a server gets its final name, the server is asked for a name that differs from its temporary
//! name in the last letter alone, and that nobody ever gave. Where it has that, it shortens names: what has arrived
//! under long ones is not believed, and goes again under a short one.

use super::{Aside, aside::Name};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{control::Command, path::RemotePath, reply::Reply, session::Session},
};

/// Bytes of the longest name that every server keeps: eight, as on FAT disks.
const SHORT_LENGTH: usize = 8;
/// The name of the failure that a file came under a name that was shortened.
const NAME_SHORTENED: &str = "transfer.name_shortened";

impl Session {
    /// The name to ask for together with the sizes of `files`; nothing where it is known how the server has long names.
    pub(super) fn control_name(&self, files: &[Aside]) -> Option<RemotePath> {
        let file = files.first().filter(|file| has_long_name(file))?;
        if self.way.manners.knows_long_names() {
            return None;
        }
        let (_, start) = file.temporary.name().split_last()?;
        file.temporary.parent().join(&[start, b"x"].concat()).ok()
    }

    /// Takes in the `sizes` that the server told of files that have come, and what it said of `control`, for which no file
    /// came.
    pub(super) async fn see_control_name(
        &mut self,
        control: &RemotePath,
        sizes: &[Outcome<Vec<Reply>>],
        said: Outcome<Vec<Reply>>,
    ) -> Outcome<()> {
        let size = |replies: &[Reply]| {
            replies.first().filter(|reply| reply.code == 213).and_then(Reply::number)
        };
        let first = sizes.first().and_then(|replies| size(replies.as_ref().ok()?));
        let tells_sizes = sizes.iter().flatten().any(|replies| size(replies).is_some());
        let is_whole = if let Some(control) = size(&said?) {
            // Some servers have a size for whatever they are asked for.
            first.is_some_and(|first| first != control)
        } else if tells_sizes {
            true
        } else {
            match self.ask(&Command::path("RNFR", control)).await? {
                reply if reply.is_halfway() => {
                    // Any other command takes the rename back, whatever the reply to it (RFC 959, 4.1.3).
                    self.ask(&Command::bare("NOOP")).await?;
                    false
                }
                reply if reply.code == 550 => true,
                // A server without renames gives no file the name of another.
                _ => return Ok(()),
            }
        };
        self.way.manners.took_long_name(is_whole);
        Ok(())
    }

    /// Whether `file` may have bytes of another: it came under a long name, and the server shortens those.
    pub(super) fn is_mixed(&self, file: &Aside) -> bool {
        self.way.manners.shortens_names() && has_long_name(file)
    }
}

fn has_long_name(file: &Aside) -> bool {
    file.name == Name::Temporary && file.temporary.name().len() > SHORT_LENGTH
}

/// The fault of a file that may have bytes of another.
pub(super) fn shortened() -> Fault {
    let message = "the server shortens names, so that the temporary names of files which come together may be one: it \
                   is sent again under a short one";
    Fault::new(Kind::DataConnection, Side::Server, message).named(NAME_SHORTENED)
}

/// Whether `fault` is gone at once, so that nobody need wait before the next try.
pub(super) fn is_mended(fault: &Fault) -> bool {
    fault.name == Some(NAME_SHORTENED)
}
