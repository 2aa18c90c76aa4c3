//! Checks whether a path that a listing does not show is gone, by every by-name query that the server supports.
//!
//! A listing may be truncated, and a refusal may mean that the server does not know the command. Therefore a path is
//! gone only if a command that confirms a path known to exist refuses this one, and no other command contradicts.

use super::{
    control::FtpCommand,
    listing::{Entry, EntryKind, ListingReader},
    path::RemotePath,
    reply::Reply,
    session::Session,
    transfer::NextTransfer,
};
use crate::reply::CausedByReply as _;
use portolan_core::error::{Error, Result};
use portolan_proto::{ReplyCode, Verb};
pub use portolan_remote::facts::{Absent, Presence, Present};

/// The maximum number of paths that one call lists one by one, if the server has no command that tells whether a path
/// exists: each costs a data connection.
const LISTED_BY_NAME_MAX: usize = 32;
/// The characters besides letters and digits without a special meaning in an argument of LIST.
const PLAIN: &[u8] = b"._-+@,=~#";
/// The words of a refusal that is about permissions, and so not about existence.
const DENIALS: [&str; 8] = [
    "denied",
    "permission",
    "not allowed",
    "not permitted",
    "forbidden",
    "prohibited",
    "privilege",
    "authori",
];

/// The meaning of a reply to a query for one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AbsenceAnswer {
    /// The path exists.
    There,
    /// The path does not exist, if the server knows the command.
    Gone,
    /// No information: the command is not known, or not allowed.
    Nothing,
    /// A temporary failure: the server may answer later.
    Unsure,
}

impl AbsenceAnswer {
    fn of(reply: &Reply) -> Self {
        match reply.code {
            code if code.is_completion() => Self::There,
            ReplyCode::FILE_UNAVAILABLE if !is_denial(&reply.text()) => Self::Gone,
            code if code.is_permanent() => Self::Nothing,
            _ => Self::Unsure,
        }
    }
}

/// Returns true if the words of a refusal are about permissions.
pub(super) fn is_denial(words: &str) -> bool {
    let words = words.to_lowercase();
    DENIALS.iter().any(|denial| words.contains(denial))
}

/// The replies to the queries for one path, in the order of [`AbsenceCommands::questions`].
#[derive(Debug)]
struct Answers {
    mlst: Option<AbsenceAnswer>,
    size: AbsenceAnswer,
    time: Option<AbsenceAnswer>,
    entered: AbsenceAnswer,
}

impl Answers {
    fn all(&self) -> impl Iterator<Item = AbsenceAnswer> {
        [self.mlst, Some(self.size), self.time, Some(self.entered)].into_iter().flatten()
    }

    /// Returns the answers that are conclusive for a file, or for a directory.
    fn telling(&self, is_folder: bool) -> [Option<AbsenceAnswer>; 3] {
        if is_folder {
            [self.mlst, None, Some(self.entered)]
        } else {
            [self.mlst, Some(self.size), self.time]
        }
    }
}

/// The commands that a server may support for these queries.
#[derive(Debug, Clone, Copy)]
struct AbsenceCommands {
    has_mlst: bool,
    has_time: bool,
}

impl AbsenceCommands {
    fn count(self) -> usize {
        2 + usize::from(self.has_mlst) + usize::from(self.has_time)
    }

    fn questions(self, file: &RemotePath, folder: &RemotePath) -> Vec<FtpCommand> {
        let mlst = self.has_mlst.then(|| FtpCommand::path(Verb::Mlst, file));
        let size = Some(FtpCommand::path(Verb::Size, file));
        let time = self.has_time.then(|| FtpCommand::path(Verb::Mdtm, file));
        let entered = Some(FtpCommand::path(Verb::Cwd, folder));
        [mlst, size, time, entered].into_iter().flatten().collect()
    }

    fn read(self, replies: &[Reply]) -> Option<Answers> {
        let mut answers = replies.iter().map(AbsenceAnswer::of);
        let mlst = if self.has_mlst { Some(answers.next()?) } else { None };
        let size = answers.next()?;
        let time = if self.has_time { Some(answers.next()?) } else { None };
        Some(Answers { mlst, size, time, entered: answers.next()? })
    }
}

/// Returns the presence of a path according to these answers, given those for paths that exist; `None` if no command is
/// known to be conclusive.
fn presence(is_folder: bool, answers: &Answers, known: &Answers) -> Option<Presence> {
    if answers.all().any(|answer| answer == AbsenceAnswer::There) {
        return Some(Presence::There);
    }
    if answers.all().any(|answer| answer == AbsenceAnswer::Unsure) {
        return Some(Presence::Unknown);
    }
    let pairs = answers.telling(is_folder).into_iter().zip(known.telling(is_folder));
    let mut proven = pairs
        .filter(|(_, known)| *known == Some(AbsenceAnswer::There))
        .filter_map(|(answer, _)| answer)
        .peekable();
    proven.peek()?;
    let is_gone = proven.all(|answer| answer == AbsenceAnswer::Gone);
    Some(if is_gone { Presence::Gone } else { Presence::Unknown })
}

impl Session {
    /// Determines for each of `absent` whether it is gone, or only not shown by a listing: queries it by name, in as
    /// few round trips as possible. A command is trusted only if it confirms what is `present`.
    pub(crate) async fn presence(
        &mut self,
        absent: &[Absent],
        present: &Present,
    ) -> Result<Vec<Presence>> {
        if self.is_flat() {
            // CWD with a name has an unknown effect there, and SIZE is not supported.
            return Ok(vec![Presence::Unknown; absent.len()]);
        }
        let named = &self.features.named;
        let has_mlst = self.features.has("MLST") || self.features.has("MLSD");
        let ways =
            AbsenceCommands { has_mlst, has_time: named.is_empty() || self.features.has("MDTM") };
        let folder = self.absolute(&present.folder)?;
        let file = present.file.as_ref().map(|file| self.absolute(file)).transpose()?;
        let paths: Vec<_> =
            absent.iter().map(|one| self.absolute(&one.path)).collect::<Result<_>>()?;
        let mut commands = ways.questions(file.as_ref().unwrap_or(&folder), &folder);
        commands.extend(paths.iter().flat_map(|path| ways.questions(path, path)));
        self.server_folder = None;
        let replies = self.ask_all(&commands).await?;
        let mut answers = replies.chunks_exact(ways.count()).filter_map(|part| ways.read(part));
        let Some(mut known) = answers.next() else {
            return Err(Error::protocol("fewer replies than commands"));
        };
        if file.is_none() {
            // Commands that do not apply to directories cannot be tested by one.
            (known.size, known.time) = (AbsenceAnswer::Nothing, None);
        }
        let answers: Vec<_> = answers.collect();
        let (mut all, mut listed) = (Vec::with_capacity(absent.len()), 0);
        for ((one, path), answers) in absent.iter().zip(&paths).zip(&answers) {
            let found = match presence(one.is_folder, answers, &known) {
                Some(presence) => presence,
                None if listed == LISTED_BY_NAME_MAX => Presence::Unknown,
                None => {
                    listed += 1;
                    let is_gone = self.is_unlisted(path, answers, file.as_ref()).await?;
                    if is_gone { Presence::Gone } else { Presence::Unknown }
                }
            };
            all.push(found);
        }
        Ok(all)
    }

    /// Returns true if `path` is gone according to LIST, for servers on which no other command is conclusive: LIST must
    /// show a `present` file alone when given its name, and must show nothing for this one. Without such a file every
    /// command must have refused the path, and the names of its directory must lack it.
    async fn is_unlisted(
        &mut self,
        path: &RemotePath,
        answers: &Answers,
        present: Option<&RemotePath>,
    ) -> Result<bool> {
        let Some(present) = present else {
            return Ok(answers.all().all(|answer| answer == AbsenceAnswer::Gone)
                && self.names_lack(path).await?);
        };
        let shown = self.listed_by_name(present).await?;
        let is_telling = matches!(&shown, Some(names) if *names == [present.name()]);
        Ok(is_telling && self.listed_by_name(path).await?.is_some_and(|names| names.is_empty()))
    }

    /// Returns the names that LIST shows for the name of `path`, in its directory; `None` if LIST is not conclusive.
    async fn listed_by_name(&mut self, path: &RemotePath) -> Result<Option<Vec<Vec<u8>>>> {
        let name = path.name();
        let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || PLAIN.contains(byte));
        if !is_plain || name.starts_with(b"-") || name.starts_with(b"~") {
            return Ok(None);
        }
        if !self.may_enter(&path.parent()).await? {
            return Ok(None);
        }
        let command = FtpCommand::parse([b"LIST ", name].concat())?;
        let listed = self.fetch_listing_once(&command).await;
        match listed {
            Ok(listing) if listing.complete => {
                let names = listing.entries.into_iter().filter(|entry| {
                    // A directory of that name shows its entries, and itself.
                    entry.kind != EntryKind::Other
                });
                Ok(Some(names.map(|entry| entry.name).collect()))
            }
            Ok(_) => Ok(None),
            Err(error) => match error.code {
                450 | 550 if !is_denial(&error.message) => Ok(Some(Vec::new())),
                400..=599 => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Enters `folder`; returns false if the server refuses that.
    async fn may_enter(&mut self, folder: &RemotePath) -> Result<bool> {
        match self.enter(folder).await {
            Ok(()) => Ok(true),
            Err(error) if error.reply_code().is_refusal() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns true if NLST does not show the name of `path` in its directory.
    async fn names_lack(&mut self, path: &RemotePath) -> Result<bool> {
        if !self.may_enter(&path.parent()).await? {
            return Ok(false);
        }
        let command = FtpCommand::bare(Verb::Nlst);
        match self.fetch_with(&command, ListingReader::names(), NextTransfer::None).await {
            Ok(listing) => {
                let is_it = |entry: &Entry| entry.name == path.name();
                Ok(listing.complete && !listing.entries.iter().any(is_it))
            }
            Err(error) => match error.code {
                450 | 550 => Ok(!is_denial(&error.message)),
                200..=299 => Ok(true),
                400..=599 => Ok(false),
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(text: &str) -> Answers {
        let replies: Vec<_> = text
            .split(' ')
            .map(|code| Reply::new(format!("{code} x\r\n").into_bytes()).unwrap())
            .collect();
        AbsenceCommands { has_mlst: true, has_time: true }.read(&replies).unwrap()
    }

    #[test]
    fn a_path_is_gone_only_by_a_command_that_tells_of_another() {
        use Presence::{Gone, There, Unknown};
        for (known, asked, file, folder) in [
            // The replies to MLST, SIZE, MDTM and CWD for a path that exists, and for the queried one.
            ("250 213 213 250", "550 550 550 550", Some(Gone), Some(Gone)),
            ("502 213 213 250", "502 550 550 550", Some(Gone), Some(Gone)),
            ("502 213 502 250", "502 213 502 550", Some(There), Some(There)),
            ("250 502 502 250", "550 502 502 550", Some(Gone), Some(Gone)),
            // There is a directory of that name.
            ("250 213 213 250", "550 550 550 250", Some(There), Some(There)),
            // One of two conclusive commands gives no information.
            ("250 213 213 250", "502 550 550 550", Some(Unknown), Some(Unknown)),
            ("250 213 213 250", "550 450 550 550", Some(Unknown), Some(Unknown)),
            // No command is conclusive.
            ("502 502 502 250", "502 502 502 550", None, Some(Gone)),
            ("550 550 550 550", "550 550 550 550", None, None),
            ("501 504 500 502", "501 504 500 502", None, None),
            ("550 550 550 250", "550 550 213 550", Some(There), Some(There)),
        ] {
            let (known, asked) = (answers(known), answers(asked));
            assert_eq!(presence(false, &asked, &known), file, "{asked:?}");
            assert_eq!(presence(true, &asked, &known), folder, "{asked:?}");
        }
    }

    #[test]
    fn a_refusal_that_speaks_of_rights_says_nothing_of_what_is_there() {
        for (words, answer) in [
            ("550 Access is denied.", AbsenceAnswer::Nothing),
            ("550 x: Operation not permitted", AbsenceAnswer::Nothing),
            ("550 No such file or directory.", AbsenceAnswer::Gone),
            ("550 Can't check for file existence", AbsenceAnswer::Gone),
            ("553 Prohibited file name", AbsenceAnswer::Nothing),
            ("450 Try later.", AbsenceAnswer::Unsure),
        ] {
            let reply = Reply::new(format!("{words}\r\n").into_bytes()).unwrap();
            assert_eq!(AbsenceAnswer::of(&reply), answer, "{words}");
        }
    }
}
