//! Servers that shorten names, as on FAT disks and appliances: the temporary names of two uploads may become one there,
//! and the bytes of both one file, which then gets the final name of either.
//!
//! Before the first file of a server gets its final name, the server is asked for a name that differs from its temporary
//! name in the last letter alone, and that nobody ever gave. Where it has that, it shortens names: what has arrived
//! under long ones is not believed, and goes again under a short one.

use super::{Aside, aside::Name};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::chance,
    ftp::{
        control::Command,
        path::RemotePath,
        reply::Reply,
        session::{Session, short_name},
    },
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
        let is_size = |replies: &[Reply]| replies.first().is_some_and(|reply| reply.code == 213);
        let tells_sizes = sizes.iter().flatten().any(|replies| is_size(replies));
        let is_whole = if is_size(&said?) {
            // Some servers have a size for whatever they are asked for.
            let other = control.parent().join(short_name(chance()).as_bytes())?;
            let has_any_size = self.size_of(&other).await?.is_some();
            if has_any_size {
                self.way.manners.told_any_size();
            }
            has_any_size
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

    /// Whether the server has what `file` is to be called, by its replies to [`sizes`].
    pub(super) fn is_taken(&self, file: &Aside, replies: &[Reply]) -> bool {
        let is_there = replies.get(1).is_some_and(|reply| reply.code == 213);
        file.is_new && file.name == Name::Temporary && is_there && !self.way.manners.has_any_size()
    }

    /// Finds out whether the server shortens names, unless that is known: `path` is one that it lists, and a letter.
    pub async fn ask_long_name(&mut self, path: &RemotePath) -> Outcome<()> {
        if !self.way.manners.knows_long_names() {
            let answers = self.answers(&[(path.clone(), false)]).await?;
            if answers.into_iter().flatten().next().is_some() {
                self.way.manners.took_long_name(false);
            }
        }
        Ok(())
    }

    /// Whether the server is known to shorten names.
    pub fn shortens_names(&self) -> bool {
        self.way.manners.shortens_names()
    }

    /// Whether `file` may have bytes of another: it came under a long name, and the server shortens those.
    pub(super) fn is_mixed(&self, file: &Aside) -> bool {
        self.way.manners.shortens_names() && has_long_name(file)
    }
}

fn has_long_name(file: &Aside) -> bool {
    file.name == Name::Temporary && file.temporary.name().len() > SHORT_LENGTH
}

/// The questions for the size of `file` under its temporary name, and for what has its final name where nothing is to.
pub(super) fn sizes(file: &Aside) -> Vec<Command> {
    let final_name = Some(&file.remote).filter(|_| file.is_new);
    [&file.temporary]
        .into_iter()
        .chain(final_name)
        .map(|path| Command::path("SIZE", path))
        .collect()
}

/// The fault of a file whose name the server takes for that of another.
pub fn name_taken() -> Fault {
    let message = "the server has it already, though it did not list it, so its name is that of another file there: it is left out";
    Fault::new(Kind::Refused, Side::Server, message)
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
