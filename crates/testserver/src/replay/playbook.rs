//! The search for the recorded exchange that answers a command, and the account of where a replay went another way
//! (pure).

use super::{
    normal::{CommandKey, key_of, name_pairs},
    transcript::{Exchange, RecordedSession},
};
use portolan_proto::Verb;

/// The most differences that are kept: the first is what matters.
const DIFFERENCES_MAX: usize = 100;

/// The recorded sessions, and the progress of the replay.
#[derive(Debug)]
pub(super) struct Playbook {
    sessions: Vec<RecordedSession>,
    /// The number of recorded sessions, without those that were added.
    recorded: usize,
    /// True if sessions worked at the same time: then what one of them asks may be known to it from another.
    is_parallel: bool,
    /// The number of sessions that were begun.
    begun: usize,
    differences: Vec<PossibleDifference>,
    /// The temporary names of the recording, and those of the replay.
    names: Vec<(Vec<u8>, Vec<u8>)>,
    played: usize,
}

/// The progress of one session of the replay.
#[derive(Debug, Clone)]
pub(super) struct SessionCursor {
    session: usize,
    /// The position of the exchange that is expected next.
    next: usize,
    folder: Vec<u8>,
    before: Verb,
}

impl SessionCursor {
    /// Returns the number of the session, from 1.
    pub(super) const fn number(&self) -> usize {
        self.session + 1
    }
}

/// A difference that counts unless another session plays what was expected.
#[derive(Debug)]
struct PossibleDifference {
    /// The exchange that was expected; `None` at the end of the session.
    expected: Option<(usize, usize)>,
    difference: ReplayDifference,
    is_certain: bool,
}

/// A point at which a replay went another way than the recorded run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayDifference {
    /// The number of the session, from 1.
    pub session: usize,
    /// The number of its command, from 1.
    pub command: usize,
    /// The recorded command; `None` if there was no further one.
    pub expected: Option<Vec<u8>>,
    /// The command that was sent instead; `None` if there was no further one.
    pub got: Option<Vec<u8>>,
}

impl Playbook {
    pub(super) fn new(sessions: Vec<RecordedSession>) -> Self {
        Self {
            recorded: sessions.len(),
            is_parallel: sessions.iter().any(|session| session.is_beside),
            sessions,
            begun: 0,
            differences: Vec::new(),
            names: Vec::new(),
            played: 0,
        }
    }

    /// Begins a session, and returns its progress and its recording without the exchanges. A session beyond the recorded
    /// ones is answered as the last of them.
    pub(super) fn begin(&mut self) -> (SessionCursor, RecordedSession) {
        let session = self.begun;
        self.begun += 1;
        if session >= self.recorded {
            let difference = ReplayDifference {
                session: session + 1,
                command: 0,
                expected: None,
                got: Some(b"another session".to_vec()),
            };
            self.differ(None, difference, true);
            let like = self.recorded.checked_sub(1).and_then(|last| self.sessions.get(last));
            let mut added = like.cloned().unwrap_or_default();
            added.exchanges.iter_mut().for_each(|exchange| exchange.is_played = false);
            self.sessions.push(added);
        }
        let facts = self
            .sessions
            .get(session)
            .map(|it| RecordedSession { exchanges: Vec::new(), ..it.clone() });
        let cursor = SessionCursor { session, next: 0, folder: Vec::new(), before: Verb::Greeting };
        (cursor, facts.unwrap_or_default())
    }

    /// Returns the exchange that answers `line`, or `None` if the recording has none.
    pub(super) fn answer(&mut self, cursor: &mut SessionCursor, line: &[u8]) -> Option<Exchange> {
        let key = key_of(line, cursor.before);
        cursor.before = key.verb;
        let found = self.find(cursor, |exchange| exchange.key == key);
        let expected = self.expected(cursor);
        let got = || Some(shown(line));
        let place = match found {
            Some(place) if Some(place) == expected => place,
            Some(place) => {
                let difference = self.difference(cursor, expected, got());
                self.differ(expected, difference, false);
                place
            }
            None => {
                let difference = self.difference(cursor, expected, got());
                let again = self.played_before(cursor, |exchange| exchange.key == key);
                let is_certain = !(is_harmless(key.verb) || self.is_parallel && again.is_some());
                self.differ(expected, difference, is_certain);
                let (session, at) = again?;
                return self.sessions.get(session)?.exchanges.get(at).cloned();
            }
        };
        if place.0 == cursor.session {
            cursor.next = place.1 + 1;
        }
        let exchange = self.sessions.get_mut(place.0)?.exchanges.get_mut(place.1)?;
        exchange.is_played = true;
        let exchange = exchange.clone();
        self.played += usize::from(!line.is_empty());
        self.names.extend(name_pairs(&exchange.line, line));
        if key.verb == Verb::Cwd && exchange.is_answered() {
            cursor.folder.clone_from(&exchange.key.argument);
        }
        Some(exchange)
    }

    /// Returns the names to replace in what is played.
    pub(super) fn names(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.names
    }

    /// Returns the number of commands that were played, and of those that were recorded.
    pub(super) fn counts(&self) -> (usize, usize) {
        let recorded = self.sessions.iter().take(self.recorded);
        (self.played, recorded.map(|session| session.exchanges.len().saturating_sub(1)).sum())
    }

    /// Returns the number of sessions that were begun, and of those that were recorded.
    pub(super) const fn session_counts(&self) -> (usize, usize) {
        (self.begun, self.recorded)
    }

    /// Returns the first difference, once the replay is over.
    pub(super) fn first_difference(&self) -> Option<ReplayDifference> {
        let counts = |candidate: &&PossibleDifference| {
            candidate.is_certain || candidate.expected.is_some_and(|place| self.is_missed(place))
        };
        let first = self.differences.iter().find(counts).map(|it| it.difference.clone());
        first.or_else(|| {
            let recorded = self.sessions.iter().take(self.recorded).enumerate();
            recorded
                .flat_map(|(session, it)| (0..it.exchanges.len()).map(move |at| (session, at)))
                .find(|place| self.is_missed(*place))
                .map(|(session, at)| ReplayDifference {
                    session: session + 1,
                    command: at,
                    expected: self.line_of(Some((session, at))),
                    got: None,
                })
        })
    }

    fn is_missed(&self, (session, at): (usize, usize)) -> bool {
        let exchange = self.sessions.get(session).and_then(|it| it.exchanges.get(at));
        let counts = |verb: Verb| !(is_harmless(verb) || self.is_parallel && is_question(verb));
        exchange.is_some_and(|it| !it.is_played && at > 0 && counts(it.verb()))
    }

    /// Finds an exchange that was not played: in this session, from the expected one on; before it; in the others.
    fn find(
        &self,
        cursor: &SessionCursor,
        is_wanted: impl Fn(&Exchange) -> bool,
    ) -> Option<(usize, usize)> {
        let is_free = |exchange: &Exchange| !exchange.is_played && is_wanted(exchange);
        let own = self.sessions.get(cursor.session)?;
        let after = own.exchanges.iter().skip(cursor.next).position(is_free);
        let own_place = after
            .map(|at| at + cursor.next)
            .or_else(|| own.exchanges.iter().take(cursor.next).position(is_free));
        if let Some(at) = own_place {
            return Some((cursor.session, at));
        }
        let others = self.sessions.iter().enumerate().filter(|(at, _)| *at != cursor.session);
        let mut others = others;
        others.find_map(|(session, other)| {
            let is_there = |it: &Exchange| {
                is_free(it) && (it.folder == cursor.folder || !depends_on_folder(&it.key))
            };
            other.exchanges.iter().skip(1).position(is_there).map(|at| (session, at + 1))
        })
    }

    /// Finds an exchange that was played already, if it may be played again.
    fn played_before(
        &self,
        cursor: &SessionCursor,
        is_wanted: impl Fn(&Exchange) -> bool,
    ) -> Option<(usize, usize)> {
        let of_session = |session: usize| {
            let exchanges = &self.sessions.get(session)?.exchanges;
            let is_it = |it: &Exchange| is_wanted(it) && it.is_answered() && is_question(it.verb());
            exchanges.iter().rposition(is_it).map(|at| (session, at))
        };
        of_session(cursor.session).or_else(|| (0..self.sessions.len()).find_map(of_session))
    }

    /// Returns the place of the command that the session is expected to send next.
    fn expected(&self, cursor: &SessionCursor) -> Option<(usize, usize)> {
        let exchanges = &self.sessions.get(cursor.session)?.exchanges;
        let next = exchanges.iter().skip(cursor.next).position(|it| !it.is_played);
        next.map(|at| (cursor.session, at + cursor.next))
    }

    fn line_of(&self, place: Option<(usize, usize)>) -> Option<Vec<u8>> {
        let (session, at) = place?;
        self.sessions.get(session)?.exchanges.get(at).map(|it| shown(&it.line))
    }

    fn difference(
        &self,
        cursor: &SessionCursor,
        expected: Option<(usize, usize)>,
        got: Option<Vec<u8>>,
    ) -> ReplayDifference {
        let command = expected.map_or(cursor.next, |(_, at)| at);
        let expected = self.line_of(expected);
        ReplayDifference { session: cursor.number(), command, expected, got }
    }

    fn differ(
        &mut self,
        expected: Option<(usize, usize)>,
        difference: ReplayDifference,
        is_certain: bool,
    ) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(PossibleDifference { expected, difference, is_certain });
        }
    }
}

/// Returns a command as it may be shown: without credentials.
fn shown(line: &[u8]) -> Vec<u8> {
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_secret = matches!(Verb::of_word(word), Verb::Pass | Verb::Acct)
        || word.eq_ignore_ascii_case(b"ADAT");
    if is_secret { [word, b" ***"].concat() } else { line.to_vec() }
}

/// Returns true if the command concerns the session or its data connections, and no path.
const fn is_of_session(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::User
            | Verb::Pass
            | Verb::Acct
            | Verb::Auth
            | Verb::Pbsz
            | Verb::Prot
            | Verb::Feat
            | Verb::Opts
            | Verb::Syst
            | Verb::Type
            | Verb::Mode
            | Verb::Stru
            | Verb::Noop
            | Verb::Quit
            | Verb::Pasv
            | Verb::Epsv
            | Verb::Port
            | Verb::Eprt
    )
}

/// Returns true if the command means something else in another current directory.
fn depends_on_folder(key: &CommandKey) -> bool {
    let is_without_path = is_of_session(key.verb) || matches!(key.verb, Verb::Rest | Verb::Abor);
    // MFMT and SITE have their path after another word.
    !is_without_path && !key.argument.split(|byte| *byte == b' ').any(|word| word.starts_with(b"/"))
}

/// Returns true if it makes no difference whether the command was sent: it depends on times and on how the run ends.
const fn is_harmless(verb: Verb) -> bool {
    matches!(verb, Verb::Quit | Verb::Noop | Verb::Abor | Verb::Greeting | Verb::Epsv | Verb::Pasv)
}

/// Returns true if the command changes nothing on a server, so that the recorded reply answers it again.
const fn is_question(verb: Verb) -> bool {
    verb.is_listing()
        || is_of_session(verb)
        || matches!(
            verb,
            Verb::Stat
                | Verb::Pwd
                | Verb::Cwd
                | Verb::Cdup
                | Verb::Size
                | Verb::Mdtm
                | Verb::Hash
                | Verb::Mlst
        )
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use portolan_core::recording::Recording;

    use super::{super::transcript::sessions, *};

    fn book(of: &[&[&str]]) -> Playbook {
        let mut text = String::from(
            "{\"event\":\"recording\",\"version\":1,\"portolan\":\"0\",\"command\":\"run\"}\n",
        );
        for (session, lines) in (1..).zip(of) {
            let events = std::iter::once("220 hi").chain(lines.iter().copied());
            for line in events {
                let event = if line.starts_with(|c: char| c.is_ascii_digit()) {
                    "received"
                } else {
                    "sent"
                };
                writeln!(
                    text,
                    "{{\"session\":{session},\"event\":\"{event}\",\"line\":\"{line}\"}}"
                )
                .unwrap();
            }
        }
        Playbook::new(sessions(&Recording::read(text.as_bytes()).unwrap()))
    }

    fn play(book: &mut Playbook, lines: &[&str]) -> Vec<u16> {
        let (mut cursor, _) = book.begin();
        let mut codes = Vec::new();
        for line in std::iter::once(&"").chain(lines) {
            let answer = book.answer(&mut cursor, line.as_bytes());
            codes
                .push(answer.and_then(|it| it.replies.last().map(|reply| reply.code)).unwrap_or(0));
        }
        codes
    }

    fn difference(book: &Playbook) -> Option<(Option<String>, Option<String>)> {
        let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
        book.first_difference().map(|it| (it.expected.map(text), it.got.map(text)))
    }

    #[test]
    fn the_first_command_that_differs_is_named() {
        let recorded: &[&str] = &["CWD a", "250 ok", "DELE x", "550 no", "QUIT", "221 bye"];
        let some = |text: &str| Some(text.to_owned());
        for (lines, codes, expected) in [
            (&["CWD a", "DELE x", "QUIT"][..], vec![220, 250, 550, 221], None),
            (&["CWD a", "DELE x"], vec![220, 250, 550], None),
            (&["CWD a"], vec![220, 250], Some((some("DELE x"), None))),
            (&["CWD a", "DELE y"], vec![220, 250, 0], Some((some("DELE x"), some("DELE y")))),
            (&["DELE x"], vec![220, 550], Some((some("CWD a"), some("DELE x")))),
            (
                &["CWD a", "CWD a", "DELE x"],
                vec![220, 250, 250, 550],
                Some((some("DELE x"), some("CWD a"))),
            ),
            (
                &["CWD a", "DELE x", "PASS me"],
                vec![220, 250, 550, 0],
                Some((some("QUIT"), some("PASS ***"))),
            ),
        ] {
            let mut book = book(&[recorded]);
            assert_eq!(play(&mut book, lines), codes, "{lines:?}");
            assert_eq!(difference(&book), expected, "{lines:?}");
        }
    }

    #[test]
    fn sessions_in_parallel_may_share_their_work_in_another_way() {
        let mut book = book(&[&["RETR /a", "226 a", "RETR /b", "226 b"], &["RETR /c", "226 c"]]);
        assert_eq!(play(&mut book, &["RETR /c"]), [220, 226]);
        assert_eq!(play(&mut book, &["RETR /b", "RETR /a"]), [220, 226, 226]);
        assert_eq!(difference(&book), None);
        play(&mut book, &[]);
        assert_eq!(difference(&book), Some((None, Some("another session".into()))));
    }
}
