//! Commands in one packet: whether a server, or a firewall before it, takes them, as far as it was seen. Shared by all
//! sessions with the server in one run; what is certain is remembered for the next.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    time::Duration,
};

use super::Command;

/// Time that the next reply to a packet may take beyond a few round trips: most servers need a millisecond. Whoever is
/// slower is asked for one more reply, and nothing else follows from it.
const NEXT_REPLY_TIME: Duration = Duration::from_secs(1);
/// Time for the first reply to the first packet, and for a sign of life where its replies stop: a filter that drops
/// packets of several commands stays silent for ever.
pub(super) const SIGN_OF_LIFE_TIME: Duration = Duration::from_secs(5);
/// Time in which a second reply to the same command comes, beyond a few round trips: both are sent together.
const SPARE_REPLY_TIME: Duration = Duration::from_millis(100);
/// Round trips that either may take: one reply, and a lost packet.
const ROUND_TRIPS: u32 = 4;
/// Replies that are looked behind after a spare one has come, to see to which command it belonged.
const LOOKS: u8 = 16;
/// Connections that may end in the middle of a packet before that is laid on the packet, where others were answered.
const LOSSES_MAX: u8 = 2;

/// Commands that may be answered twice; of those that move data other signs are known.
const VERBS: [&str; 22] = [
    "CWD", "PWD", "TYPE", "SIZE", "MDTM", "DELE", "MKD", "RMD", "RNFR", "RNTO", "NOOP", "REST",
    "PBSZ", "PROT", "USER", "PASS", "FEAT", "OPTS", "SITE", "MFMT", "MLST", "CDUP",
];

/// How a server takes commands, to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Habits {
    /// Whether it takes one command a packet only.
    alone: bool,
    /// The commands that it answers twice, as bits of their places in [`VERBS`].
    twice: u32,
    /// Whether it shortens long names.
    pub short_names: bool,
}

impl Habits {
    /// Those of most servers.
    pub const NONE: Self = Self { alone: false, twice: 0, short_names: false };

    /// The words by which they are kept: `alone`, `short-names` and `twice=CWD`; empty for the usual ones.
    pub fn words(self) -> String {
        let twice = VERBS.iter().enumerate().filter(|(at, _)| self.twice >> at & 1 == 1);
        let twice = twice.map(|(_, verb)| format!("twice={verb}"));
        let flags = [("alone", self.alone), ("short-names", self.short_names)];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
        let words: Vec<_> = flags.map(|(word, _)| word.to_owned()).chain(twice).collect();
        words.join(" ")
    }

    /// Reads [`words`](Self::words); those of another version say nothing.
    pub fn read(words: &str) -> Self {
        let twice = words.split(' ').filter_map(|word| bit(word.strip_prefix("twice=")?));
        let has = |flag| words.split(' ').any(|word| word == flag);
        Self {
            alone: has("alone"),
            short_names: has("short-names"),
            twice: twice.fold(0, |all, bit| all | bit),
        }
    }
}

fn bit(verb: &str) -> Option<u32> {
    VERBS.iter().position(|known| verb.eq_ignore_ascii_case(known)).map(|at| 1 << at)
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Pipelining {
    /// Whether commands go one at a time.
    alone: AtomicBool,
    /// Whether a packet of several commands was answered in full.
    proven: AtomicBool,
    /// So many connections have ended in the middle of a packet.
    losses: AtomicU8,
    /// Whether that was in the middle of one that cannot be sent again: in this run, nothing of the kind is risked.
    is_wary: AtomicBool,
    twice: AtomicU32,
    /// Replies that are still looked behind for a spare one.
    looks: AtomicU8,
}

impl Pipelining {
    /// As it was in an earlier run.
    pub fn from_habits(habits: Habits) -> Self {
        Self { alone: habits.alone.into(), twice: habits.twice.into(), ..Self::default() }
    }

    /// What there is to remember.
    pub fn habits(&self) -> Habits {
        Habits {
            alone: self.alone.load(Ordering::Relaxed),
            twice: self.twice.load(Ordering::Relaxed),
            short_names: false,
        }
    }

    /// Whether each command must wait for the reply to the one before.
    pub fn is_off(&self) -> bool {
        let is_careful =
            self.looks.load(Ordering::Relaxed) > 0 || self.is_wary.load(Ordering::Relaxed);
        is_careful || self.habits() != Habits::NONE
    }

    /// A packet of several commands was answered in full.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether one was.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// What came behind the first command of a packet was thrown away, or never let through.
    pub(in crate::ftp) fn turn_off(&self) {
        self.alone.store(true, Ordering::Relaxed);
    }

    /// The connection ended, or fell silent, in the middle of a packet: a matter of the packet if none was ever answered
    /// in full, or if it happens again.
    pub(super) fn lost(&self, may_be_repeated: bool) {
        self.is_wary.fetch_or(!may_be_repeated, Ordering::Relaxed);
        let losses = self.losses.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !self.is_proven() || losses >= LOSSES_MAX {
            self.turn_off();
        }
    }

    /// A reply came that nothing had asked for, after that to the command `verb` where it can have been no other.
    pub(super) fn saw_spare(&self, verb: Option<&str>) {
        match verb.map(bit) {
            Some(Some(bit)) => {
                self.twice.fetch_or(bit, Ordering::Relaxed);
                self.looks.store(0, Ordering::Relaxed);
            }
            // The end of a transfer, told twice: what comes of that is seen elsewhere.
            Some(None) => {}
            None => self.looks.store(LOOKS, Ordering::Relaxed),
        }
    }

    /// A reply that nothing had asked for came in the place where a second one to `verb` would.
    pub(super) fn suspect(&self, verb: &str) {
        self.twice.fetch_or(bit(verb).unwrap_or(0), Ordering::Relaxed);
    }

    /// None came after that to `verb`.
    pub(super) fn saw_no_spare(&self, verb: &str) {
        if let Some(bit) = bit(verb) {
            self.twice.fetch_and(!bit, Ordering::Relaxed);
        }
        let fewer = |looks: u8| looks.checked_sub(1);
        // The closure says what there is to do, and an error only that it was nothing.
        let _ = self.looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }

    /// Whether a second reply to `verb` is waited for.
    pub(super) fn expects_spare(&self, verb: &str) -> bool {
        let Some(bit) = bit(verb) else { return false };
        let twice = self.twice.load(Ordering::Relaxed);
        // One that comes late must not be taken for the success of the next such command.
        let matters = twice != 0 && ["DELE", "RNTO", "MKD", "RMD"].contains(&verb);
        twice & bit != 0 || matters || self.looks.load(Ordering::Relaxed) > 0
    }
}

/// Time for the next reply to a packet of which the first was answered.
pub(super) fn next_reply_time(round_trip: Duration) -> Duration {
    NEXT_REPLY_TIME + known(round_trip) * ROUND_TRIPS
}

/// Time for a spare reply.
pub(super) fn spare_reply_time(round_trip: Duration) -> Duration {
    SPARE_REPLY_TIME + known(round_trip) * ROUND_TRIPS
}

/// The round trip as far as it is known: it stands at its maximum before the first reply.
fn known(round_trip: Duration) -> Duration {
    if round_trip == Duration::MAX { Duration::ZERO } else { round_trip }
}

/// Whether all of `commands` may be sent again where it is not known which of them were done.
pub(in crate::ftp) fn may_be_repeated(commands: &[Command]) -> bool {
    const HARMLESS: [&str; 10] =
        ["CWD", "PWD", "SIZE", "MDTM", "MFMT", "MLST", "REST", "NOOP", "TYPE", "OPTS"];
    commands.iter().all(|command| HARMLESS.contains(&command.verb().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_kept_as_words_and_unknown_words_say_nothing() {
        let pipelining = Pipelining::default();
        assert_eq!(pipelining.habits().words(), "");
        pipelining.turn_off();
        pipelining.saw_spare(Some("CWD"));
        pipelining.saw_spare(Some("CDUP"));
        let habits = pipelining.habits();
        assert_eq!(habits.words(), "alone twice=CWD twice=CDUP");
        assert_eq!(Habits::read(&habits.words()), habits);
        assert_eq!(Habits::read("later twice=LATER =").words(), "");
        let habits = Habits { short_names: true, ..habits };
        assert_eq!(habits.words(), "alone short-names twice=CWD twice=CDUP");
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
        // Of renames nobody knows how far they came: no more of them together, in this run.
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
            assert!(pipelining.is_off() && pipelining.expects_spare("DELE"));
            pipelining.saw_no_spare("DELE");
        }
        assert!(!pipelining.is_off() && !pipelining.expects_spare("DELE"));
        // One that came after a transfer has ways of its own to be seen.
        pipelining.saw_spare(Some("CWD"));
        assert!(pipelining.expects_spare("CWD") && !pipelining.expects_spare("SIZE"));
        assert!(pipelining.expects_spare("DELE"), "its success matters");
        pipelining.saw_no_spare("CWD");
        assert!(!pipelining.is_off());
    }
}
