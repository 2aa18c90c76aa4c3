//! Observations of whether a server, or a firewall before it, supports several commands in one packet. Shared by all
//! sessions with the server in one run; what is certain is saved for the next.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    time::Duration,
};

use portolan_proto::Verb;

/// The time that the next reply to a packet may take beyond a few round trips: most servers need a millisecond. A
/// slower server is sent one probe, with no further consequence.
const NEXT_REPLY_TIME: Duration = Duration::from_secs(1);
/// The time for the first reply to the first packet, and for a sign of life if its replies stop: a filter that drops
/// packets of several commands stays silent forever.
pub(super) const SIGN_OF_LIFE_TIME: Duration = Duration::from_secs(5);
/// The time within which a second reply to the same command comes, beyond a few round trips: both are sent together.
const SPARE_REPLY_TIME: Duration = Duration::from_millis(100);
/// The number of round trips that either may take: one reply, and a lost packet.
const ROUND_TRIPS: u32 = 4;
/// The number of replies after which a further one is awaited, once a spare reply has come, to find the command that it
/// belongs to.
const LOOKS: u8 = 16;
/// The number of connections that may end in the middle of a packet before the packet is blamed, if other packets were
/// answered.
const LOSSES_MAX: u8 = 2;

/// The commands that may be answered twice; for those that move data there are other signs.
const VERBS: [Verb; 22] = [
    Verb::Cwd,
    Verb::Pwd,
    Verb::Type,
    Verb::Size,
    Verb::Mdtm,
    Verb::Dele,
    Verb::Mkd,
    Verb::Rmd,
    Verb::Rnfr,
    Verb::Rnto,
    Verb::Noop,
    Verb::Rest,
    Verb::Pbsz,
    Verb::Prot,
    Verb::User,
    Verb::Pass,
    Verb::Feat,
    Verb::Opts,
    Verb::Site,
    Verb::Mfmt,
    Verb::Mlst,
    Verb::Cdup,
];

/// The word of the answer to a login in one packet, in what is saved.
const LOGIN: &str = "login=";
const WHOLE: &str = "whole";
const APART: &str = "apart";

/// The observed behaviour of a server towards commands, to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is another habit")]
pub struct Habits {
    /// True if it accepts only one command per packet.
    alone: bool,
    /// The commands that it answers twice, as a bit set of their positions in [`VERBS`].
    twice: u32,
    /// True if it shortens long names.
    pub short_names: bool,
    /// True if it refuses temporary names or renames, and accepts final names.
    pub in_place: bool,
    /// The number of sessions at a time beyond which it refused one; 0 if it never did.
    pub sessions_max: u16,
    /// Its answer to a login in one packet: true if it asks for user and password only and takes several commands at a
    /// time, false if it does not accept such a login; `None` if that is not known.
    pub takes_whole_login: Option<bool>,
    /// True if its listings by STAT were the same as those by LIST.
    pub lists_by_stat: bool,
    /// True if EPRT or PORT must be answered before the transfer command is sent.
    pub separate_ports: bool,
}

impl Habits {
    /// The behaviour of most servers.
    pub const NONE: Self = Self {
        alone: false,
        twice: 0,
        short_names: false,
        in_place: false,
        sessions_max: 0,
        takes_whole_login: None,
        lists_by_stat: false,
        separate_ports: false,
    };

    /// Returns the words for storage: `alone`, `short-names`, `in-place`, `lists-by-stat`, `separate-ports`, `login=whole` or `login=apart`,
    /// `sessions=2` and `twice=CWD`; empty for the usual behaviour.
    pub fn words(self) -> String {
        let twice = VERBS.iter().enumerate().filter(|(at, _)| self.twice >> at & 1 == 1);
        let twice = twice.map(|(_, verb)| format!("twice={verb}"));
        let flags = [
            ("alone", self.alone),
            ("short-names", self.short_names),
            ("in-place", self.in_place),
            ("lists-by-stat", self.lists_by_stat),
            ("separate-ports", self.separate_ports),
        ];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
        let sessions = Some(self.sessions_max).filter(|count| *count > 0);
        let sessions = sessions.map(|count| format!("sessions={count}"));
        let login = self.takes_whole_login.map(|is_whole| {
            let word = if is_whole { WHOLE } else { APART };
            format!("{LOGIN}{word}")
        });
        let flags = flags.map(|(word, _)| word.to_owned());
        let words: Vec<_> = flags.chain(login).chain(sessions).chain(twice).collect();
        words.join(" ")
    }

    /// Parses [`words`](Self::words); unknown words from another version are ignored.
    pub fn read(words: &str) -> Self {
        let twice =
            words.split(' ').filter_map(|word| bit(Verb::parse(word.strip_prefix("twice=")?)?));
        let sessions = words.split(' ').find_map(|word| word.strip_prefix("sessions="));
        let has = |flag| words.split(' ').any(|word| word == flag);
        Self {
            alone: has("alone"),
            short_names: has("short-names"),
            in_place: has("in-place"),
            lists_by_stat: has("lists-by-stat"),
            separate_ports: has("separate-ports"),
            sessions_max: sessions.and_then(|count| count.parse().ok()).unwrap_or(0),
            takes_whole_login: match words.split(' ').find_map(|word| word.strip_prefix(LOGIN)) {
                Some(WHOLE) => Some(true),
                Some(APART) => Some(false),
                _ => None,
            },
            twice: twice.fold(0, |all, bit| all | bit),
        }
    }
}

fn bit(verb: Verb) -> Option<u32> {
    VERBS.iter().position(|known| *known == verb).map(|at| 1 << at)
}

/// The observations so far.
#[derive(Debug, Default)]
pub struct Pipelining {
    /// True if commands are sent one at a time.
    alone: AtomicBool,
    /// Set once a packet of several commands was answered in full.
    proven: AtomicBool,
    /// The number of connections that have ended in the middle of a packet.
    losses: AtomicU8,
    /// Set once that happened in the middle of a packet that cannot be sent again: no more such packets are sent in
    /// this run.
    is_wary: AtomicBool,
    twice: AtomicU32,
    /// The number of replies after which a spare one is still awaited.
    looks: AtomicU8,
}

impl Pipelining {
    /// Returns the state with the habits saved by an earlier run.
    pub fn from_habits(habits: Habits) -> Self {
        Self { alone: habits.alone.into(), twice: habits.twice.into(), ..Self::default() }
    }

    /// Returns the habits to save.
    pub fn habits(&self) -> Habits {
        Habits {
            alone: self.alone.load(Ordering::Relaxed),
            twice: self.twice.load(Ordering::Relaxed),
            short_names: false,
            in_place: false,
            sessions_max: 0,
            takes_whole_login: None,
            lists_by_stat: false,
            separate_ports: false,
        }
    }

    /// Returns true if each command must wait for the reply to the one before.
    pub fn is_off(&self) -> bool {
        let is_careful =
            self.looks.load(Ordering::Relaxed) > 0 || self.is_wary.load(Ordering::Relaxed);
        is_careful || self.habits() != Habits::NONE
    }

    /// Records that a packet of several commands was answered in full.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Returns true if such a packet was answered in full.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Records that the commands after the first of a packet were discarded, or never let through.
    pub(super) fn turn_off(&self) {
        self.alone.store(true, Ordering::Relaxed);
    }

    /// Records that the connection ended, or fell silent, in the middle of a packet: the packet is blamed if none was
    /// ever answered in full, or if it happens again.
    pub(super) fn lost(&self, may_be_repeated: bool) {
        self.is_wary.fetch_or(!may_be_repeated, Ordering::Relaxed);
        let losses = self.losses.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !self.is_proven() || losses >= LOSSES_MAX {
            self.turn_off();
        }
    }

    /// Records a reply that nothing had asked for; `verb` is the command before it, if it can have been no other.
    pub(super) fn saw_spare(&self, verb: Option<Verb>) {
        match verb.map(bit) {
            Some(Some(bit)) => {
                self.twice.fetch_or(bit, Ordering::Relaxed);
                self.looks.store(0, Ordering::Relaxed);
            }
            // A duplicate end of a transfer: its consequences are detected elsewhere.
            Some(None) => {}
            None => self.looks.store(LOOKS, Ordering::Relaxed),
        }
    }

    /// Records that an unexpected reply came where a second one to `verb` would.
    pub(super) fn suspect(&self, verb: Verb) {
        self.twice.fetch_or(bit(verb).unwrap_or(0), Ordering::Relaxed);
    }

    /// Records that no further reply came after that to `verb`.
    pub(super) fn saw_no_spare(&self, verb: Verb) {
        if let Some(bit) = bit(verb) {
            self.twice.fetch_and(!bit, Ordering::Relaxed);
        }
        let fewer = |looks: u8| looks.checked_sub(1);
        // The closure decides whether there is anything to update; the error only reports that there was not.
        let _ = self.looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }

    /// Returns true if a second reply to `verb` must be awaited.
    pub(super) fn expects_spare(&self, verb: Verb) -> bool {
        let Some(bit) = bit(verb) else { return false };
        let twice = self.twice.load(Ordering::Relaxed);
        // A late one must not be mistaken for the success of the next such command.
        let matters = twice != 0 && matches!(verb, Verb::Dele | Verb::Rnto | Verb::Mkd | Verb::Rmd);
        twice & bit != 0 || matters || self.looks.load(Ordering::Relaxed) > 0
    }
}

/// Returns the time for the next reply to a packet whose first command was answered.
pub(super) fn next_reply_time(round_trip: Option<Duration>) -> Duration {
    NEXT_REPLY_TIME + round_trip.unwrap_or_default() * ROUND_TRIPS
}

/// Returns the time for a spare reply.
pub(super) fn spare_reply_time(round_trip: Option<Duration>) -> Duration {
    SPARE_REPLY_TIME + round_trip.unwrap_or_default() * ROUND_TRIPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_kept_as_words_and_unknown_words_say_nothing() {
        let pipelining = Pipelining::default();
        assert_eq!(pipelining.habits().words(), "");
        pipelining.turn_off();
        pipelining.saw_spare(Some(Verb::Cwd));
        pipelining.saw_spare(Some(Verb::Cdup));
        let habits = pipelining.habits();
        assert_eq!(habits.words(), "alone twice=CWD twice=CDUP");
        assert_eq!(Habits::read(&habits.words()), habits);
        assert_eq!(Habits::read("later twice=LATER =").words(), "");
        let habits = Habits {
            short_names: true,
            lists_by_stat: true,
            takes_whole_login: Some(false),
            ..habits
        };
        let words = "alone short-names lists-by-stat login=apart twice=CWD twice=CDUP";
        assert_eq!(habits.words(), words);
        assert_eq!(Habits::read("login=whole").takes_whole_login, Some(true));
        assert_eq!(Habits::read(&habits.words()), habits);
        assert!(Pipelining::from_habits(habits).is_off());
    }

    #[test]
    fn a_connection_that_ends_once_is_not_laid_on_the_packet() {
        let pipelining = Pipelining::default();
        pipelining.prove();
        pipelining.lost(true);
        assert!(!pipelining.is_off());
        pipelining.lost(true);
        assert!(pipelining.is_off() && pipelining.habits() != Habits::NONE);
        let unproven = Pipelining::default();
        unproven.lost(true);
        assert!(unproven.is_off());
        // It is unknown how far the renames got: no more of them share a packet in this run.
        let wary = Pipelining::default();
        wary.prove();
        wary.lost(false);
        assert!(wary.is_off() && wary.habits() == Habits::NONE);
    }

    #[test]
    fn a_spare_reply_of_which_nothing_more_is_seen_is_forgotten() {
        let pipelining = Pipelining::default();
        pipelining.saw_spare(None);
        for _ in 0..LOOKS {
            assert!(pipelining.is_off() && pipelining.expects_spare(Verb::Dele));
            pipelining.saw_no_spare(Verb::Dele);
        }
        assert!(!pipelining.is_off() && !pipelining.expects_spare(Verb::Dele));
        // One that came after a transfer is detected by other means.
        pipelining.saw_spare(Some(Verb::Cwd));
        assert!(pipelining.expects_spare(Verb::Cwd) && !pipelining.expects_spare(Verb::Size));
        assert!(pipelining.expects_spare(Verb::Dele), "its success matters");
        pipelining.saw_no_spare(Verb::Cwd);
        assert!(!pipelining.is_off());
    }
}
