//! Absence: whether a path that a listing does not show is gone, asked for by name in every way that the server has.
//!
//! A listing may be cut, and a refusal may mean that the server does not know the command. So a path is gone only where
//! a command that tells of a path known to be there refuses this one, and no other command contradicts.

use super::{
    control::Command,
    listing::{Entry, EntryKind, Reader},
    path::RemotePath,
    reply::Reply,
    session::Session,
};
use crate::fault::{Fault, Outcome};

/// Paths that are listed one by one in one call, where the server has no command that tells whether one is there: each
/// costs a data connection.
const LISTED_BY_NAME_MAX: usize = 32;
/// Characters besides letters and digits with no meaning of their own in an argument of LIST.
const PLAIN: &[u8] = b"._-+@,=~#";
/// Words of a refusal that speaks of rights, and so not of what is there.
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

/// A path that a listing does not show.
#[derive(Debug, Clone)]
pub struct Absent {
    /// The path.
    pub path: RemotePath,
    /// Whether it was a folder when it was last seen.
    pub is_folder: bool,
}

/// Paths that are known to be there, by which the commands are tested.
#[derive(Debug, Clone)]
pub struct Present {
    /// A folder.
    pub folder: RemotePath,
    /// A file, where the listings show one.
    pub file: Option<RemotePath>,
}

/// What is known of a path that a listing does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The server has it.
    There,
    /// The server does not tell.
    Unknown,
    /// It is gone.
    Gone,
}

/// The meaning of a reply to a question for one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It is there.
    There,
    /// It is not there, if the server knows the command.
    Gone,
    /// Nothing: the command is not known, or not allowed.
    Nothing,
    /// It may be told later.
    Unsure,
}

impl Answer {
    fn of(reply: &Reply) -> Self {
        match reply.code {
            200..=299 => Self::There,
            550 if !is_denial(&reply.text()) => Self::Gone,
            500..=599 => Self::Nothing,
            _ => Self::Unsure,
        }
    }
}

/// Whether the words of a refusal speak of rights.
pub(super) fn is_denial(words: &str) -> bool {
    let words = words.to_lowercase();
    DENIALS.iter().any(|denial| words.contains(denial))
}

/// The replies to the questions for one path, in the order of [`Ways::questions`].
#[derive(Debug)]
struct Answers {
    mlst: Option<Answer>,
    size: Answer,
    time: Option<Answer>,
    entered: Answer,
}

impl Answers {
    fn all(&self) -> impl Iterator<Item = Answer> {
        [self.mlst, Some(self.size), self.time, Some(self.entered)].into_iter().flatten()
    }

    /// Those that tell of a file, or of a folder.
    fn telling(&self, is_folder: bool) -> [Option<Answer>; 3] {
        if is_folder {
            [self.mlst, None, Some(self.entered)]
        } else {
            [self.mlst, Some(self.size), self.time]
        }
    }
}

/// Which commands a server may have for that.
#[derive(Debug, Clone, Copy)]
struct Ways {
    has_mlst: bool,
    has_time: bool,
}

impl Ways {
    fn count(self) -> usize {
        2 + usize::from(self.has_mlst) + usize::from(self.has_time)
    }

    fn questions(self, file: &RemotePath, folder: &RemotePath) -> Vec<Command> {
        let mlst = self.has_mlst.then(|| Command::path("MLST", file));
        let size = Some(Command::path("SIZE", file));
        let time = self.has_time.then(|| Command::path("MDTM", file));
        let entered = Some(Command::path("CWD", folder));
        [mlst, size, time, entered].into_iter().flatten().collect()
    }

    fn read(self, replies: &[Reply]) -> Option<Answers> {
        let mut answers = replies.iter().map(Answer::of);
        let mlst = if self.has_mlst { Some(answers.next()?) } else { None };
        let size = answers.next()?;
        let time = if self.has_time { Some(answers.next()?) } else { None };
        Some(Answers { mlst, size, time, entered: answers.next()? })
    }
}

/// What these answers say of a path, given those for paths that are there; none where no command is known to tell.
fn presence(is_folder: bool, answers: &Answers, known: &Answers) -> Option<Presence> {
    if answers.all().any(|answer| answer == Answer::There) {
        return Some(Presence::There);
    }
    if answers.all().any(|answer| answer == Answer::Unsure) {
        return Some(Presence::Unknown);
    }
    let pairs = answers.telling(is_folder).into_iter().zip(known.telling(is_folder));
    let mut proven = pairs
        .filter(|(_, known)| *known == Some(Answer::There))
        .filter_map(|(answer, _)| answer)
        .peekable();
    proven.peek()?;
    let is_gone = proven.all(|answer| answer == Answer::Gone);
    Some(if is_gone { Presence::Gone } else { Presence::Unknown })
}

impl Session {
    /// Whether each of `absent` is gone, or only not shown by a listing: asked for by name, in as few round trips as
    /// that fits into. The commands are believed as far as they tell of what is `present`.
    pub async fn presence(
        &mut self,
        absent: &[Absent],
        present: &Present,
    ) -> Outcome<Vec<Presence>> {
        if self.is_flat() {
            // CWD with a name leads nobody knows where, and SIZE is not known there.
            return Ok(vec![Presence::Unknown; absent.len()]);
        }
        let named = &self.features.named;
        let has_mlst = self.features.has("MLST") || self.features.has("MLSD");
        let ways = Ways { has_mlst, has_time: named.is_empty() || self.features.has("MDTM") };
        let folder = self.absolute(&present.folder)?;
        let file = present.file.as_ref().map(|file| self.absolute(file)).transpose()?;
        let paths: Vec<_> =
            absent.iter().map(|one| self.absolute(&one.path)).collect::<Outcome<_>>()?;
        let mut commands = ways.questions(file.as_ref().unwrap_or(&folder), &folder);
        commands.extend(paths.iter().flat_map(|path| ways.questions(path, path)));
        self.server_folder = None;
        let replies = self.ask_all(&commands).await?;
        let mut answers = replies.chunks_exact(ways.count()).filter_map(|part| ways.read(part));
        let Some(mut known) = answers.next() else {
            return Err(Fault::protocol("fewer replies than commands"));
        };
        if file.is_none() {
            // What says nothing of folders cannot be tested by one.
            (known.size, known.time) = (Answer::Nothing, None);
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

    /// Whether `path` is gone by the word of LIST, where no other command tells: one that shows a `present` file alone
    /// by its name must show nothing for this one. Without such a file every command must have refused the path, and
    /// the names of its folder must lack it.
    async fn is_unlisted(
        &mut self,
        path: &RemotePath,
        answers: &Answers,
        present: Option<&RemotePath>,
    ) -> Outcome<bool> {
        let Some(present) = present else {
            return Ok(
                answers.all().all(|answer| answer == Answer::Gone) && self.names_lack(path).await?
            );
        };
        let shown = self.listed_by_name(present).await?;
        let is_telling = matches!(&shown, Some(names) if *names == [present.name()]);
        Ok(is_telling && self.listed_by_name(path).await?.is_some_and(|names| names.is_empty()))
    }

    /// The names that LIST shows for the name of `path`, in its folder; none where it tells nothing.
    async fn listed_by_name(&mut self, path: &RemotePath) -> Outcome<Option<Vec<Vec<u8>>>> {
        let name = path.name();
        let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || PLAIN.contains(byte));
        if !is_plain || name.starts_with(b"-") || name.starts_with(b"~") {
            return Ok(None);
        }
        if !self.may_enter(&path.parent()).await? {
            return Ok(None);
        }
        let command = Command::parse([b"LIST ", name].concat())?;
        let listed = self.fetch_listing_once(&command).await;
        match listed {
            Ok(listing) if listing.complete => {
                let names = listing.entries.into_iter().filter(|entry| {
                    // A folder of that name shows what is in it, and itself.
                    entry.kind != EntryKind::Other
                });
                Ok(Some(names.map(|entry| entry.name).collect()))
            }
            Ok(_) => Ok(None),
            Err(fault) => match fault.code {
                450 | 550 if !is_denial(&fault.message) => Ok(Some(Vec::new())),
                400..=599 => Ok(None),
                _ => Err(fault),
            },
        }
    }

    /// Enters `folder`; false where the server refuses that.
    async fn may_enter(&mut self, folder: &RemotePath) -> Outcome<bool> {
        match self.enter(folder).await {
            Ok(()) => Ok(true),
            Err(fault) if (400..=599).contains(&fault.code) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Whether NLST names nothing like `path` in its folder.
    async fn names_lack(&mut self, path: &RemotePath) -> Outcome<bool> {
        if !self.may_enter(&path.parent()).await? {
            return Ok(false);
        }
        match self.fetch_with(&Command::bare("NLST"), Reader::names()).await {
            Ok(listing) => {
                let is_it = |entry: &Entry| entry.name == path.name();
                Ok(listing.complete && !listing.entries.iter().any(is_it))
            }
            Err(fault) => match fault.code {
                450 | 550 => Ok(!is_denial(&fault.message)),
                200..=299 => Ok(true),
                400..=599 => Ok(false),
                _ => Err(fault),
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
        Ways { has_mlst: true, has_time: true }.read(&replies).unwrap()
    }

    #[test]
    fn a_path_is_gone_only_by_a_command_that_tells_of_another() {
        use Presence::{Gone, There, Unknown};
        for (known, asked, file, folder) in [
            // MLST, SIZE, MDTM and CWD of what is there, and of what is asked for.
            ("250 213 213 250", "550 550 550 550", Some(Gone), Some(Gone)),
            ("502 213 213 250", "502 550 550 550", Some(Gone), Some(Gone)),
            ("502 213 502 250", "502 213 502 550", Some(There), Some(There)),
            ("250 502 502 250", "550 502 502 550", Some(Gone), Some(Gone)),
            // A folder is there of that name.
            ("250 213 213 250", "550 550 550 250", Some(There), Some(There)),
            // One of two that tell says nothing of it.
            ("250 213 213 250", "502 550 550 550", Some(Unknown), Some(Unknown)),
            ("250 213 213 250", "550 450 550 550", Some(Unknown), Some(Unknown)),
            // Commands that tell of nothing.
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
            ("550 Access is denied.", Answer::Nothing),
            ("550 x: Operation not permitted", Answer::Nothing),
            ("550 No such file or directory.", Answer::Gone),
            ("550 Can't check for file existence", Answer::Gone),
            ("553 Prohibited file name", Answer::Nothing),
            ("450 Try later.", Answer::Unsure),
        ] {
            let reply = Reply::new(format!("{words}\r\n").into_bytes()).unwrap();
            assert_eq!(Answer::of(&reply), answer, "{words}");
        }
    }
}
