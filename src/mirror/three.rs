//! Three ways: what has changed since both sides of a file were the same, on which side, and who wins.

use std::{cmp::Ordering, collections::BTreeSet, fmt};

use super::{
    compare::{Difference, Judgement, compare},
    plan::{Direction, Heading},
    rules::{Compare, OnConflict, Rules},
    tree::{Node, utc},
    zone::Times,
};
use crate::{
    ftp::{
        base::{Base, Pair},
        listing::Modified,
    },
    observe::visible::visible,
};

/// A change of the target that no mirror made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Which file.
    pub path: Vec<u8>,
    /// What became of it.
    pub change: Change,
    /// Whether the source does not have the file, so that it goes where it does not stay.
    pub is_extra: bool,
    /// Whether it stays so.
    pub kept: bool,
}

/// What became of a file of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has other bytes, or another time.
    Changed,
    /// It came.
    Added,
    /// It went.
    Removed,
}

impl Drift {
    /// Says what became of it in a run in which the step for it was done, or was not.
    pub fn ended(&self, is_done: bool) -> String {
        let then = match (self.kept, is_done) {
            (true, _) => return self.to_string(),
            (false, true) => self.answer().to_owned(),
            (false, false) => format!("not {}", self.answer()),
        };
        format!("{}: {}, {then}", visible(&self.path), self.change)
    }

    /// The answer of a mirror that does not keep it.
    const fn answer(&self) -> &'static str {
        match self.change {
            Change::Changed if !self.is_extra => "overwritten",
            Change::Changed | Change::Added => "deleted",
            Change::Removed => "put back",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed in the target since the last run",
            Self::Added => "added to the target since the last run",
            Self::Removed => "removed from the target since the last run",
        })
    }
}

/// What is planned: only [`Drift::ended`] says that anything was done.
impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, ", visible(&self.path), self.change)?;
        if self.kept { f.write_str("kept so") } else { write!(f, "to be {}", self.answer()) }
    }
}

/// Who has the say about a change of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    /// The target's change goes.
    Overwritten,
    /// It stays.
    Kept,
    /// Nobody: the run fails.
    Nobody,
}

/// What is to become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) judgement: Judgement,
    /// What became of the target's, if that is known, and who has the say.
    pub(super) drift: Option<(Change, Say)>,
}

/// Judges files by what both sides were; without a base by what they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Three<'a> {
    base: Option<&'a Base>,
    heading: &'a Heading,
    rules: &'a Rules,
    /// Of the server's files.
    times: &'a Times,
    /// Files of the target that may be as a run left them which was cut off.
    ours: Option<&'a BTreeSet<Vec<u8>>>,
}

impl<'a> Three<'a> {
    pub(super) fn new(
        base: Option<&'a Base>,
        heading: &'a Heading,
        rules: &'a Rules,
        times: &'a Times,
    ) -> Self {
        let base = base.filter(|_| rules.compare == Compare::Auto);
        Self { base, heading, rules, times, ours: None }
    }

    /// The same where nobody else is to be blamed for `ours`.
    pub(super) fn with_ours(self, ours: &'a BTreeSet<Vec<u8>>) -> Self {
        Self { ours: Some(ours), ..self }
    }

    fn is_ours(&self, path: &[u8]) -> bool {
        self.ours.is_some_and(|ours| ours.contains(path))
    }

    /// What both sides were at `path`.
    pub(super) fn pair(&self, path: &[u8]) -> Option<&'a Pair> {
        self.base?.get(path)
    }

    /// A file that both sides have.
    pub(super) fn both(&self, path: &[u8], source: &Node, target: &Node) -> Verdict {
        let is_remote_same = self.pair(path).is_some_and(|pair| {
            let remote = if self.heading.direction == Direction::Up { target } else { source };
            self.is_remote(pair, path, remote)
        });
        let (source, target) = match self.heading.direction {
            Direction::Up => (source, &self.times.seen(path, target)),
            Direction::Down => (&self.times.seen(path, source), target),
        };
        let Some(pair) = self.pair(path) else {
            let judgement = compare(source, target, self.rules, self.heading);
            return Verdict { judgement, drift: None };
        };
        let (is_source_same, is_target_same) = match self.heading.direction {
            Direction::Up => (is_local(pair, source), is_remote_same),
            Direction::Down => (is_remote_same, is_local(pair, target)),
        };
        let order = source.order(target, self.heading.unit_ns());
        let is_same_size = source.size.is_some() && source.size == target.size;
        let is_equal = is_same_size && order == Some(Ordering::Equal);
        if is_source_same && is_target_same || !is_target_same && is_equal {
            return Verdict { judgement: Judgement::Same, drift: None };
        }
        if !is_target_same && !self.is_ours(path) {
            let say = self.say(order);
            let judgement = match say {
                Say::Overwritten => self.unless_newer(Difference::Drift, order),
                Say::Kept | Say::Nobody => Judgement::Kept,
            };
            let say =
                if judgement == Judgement::Kept && say != Say::Nobody { Say::Kept } else { say };
            return Verdict { judgement, drift: Some((Change::Changed, say)) };
        }
        let difference = match self.heading.direction {
            _ if !is_same_size => Difference::Size,
            Direction::Up => Difference::Content,
            Direction::Down => Difference::Time,
        };
        Verdict { judgement: self.unless_newer(difference, order), drift: None }
    }

    /// A file that only the source has, and that is seen to be gone from the target: whether somebody removed it, and
    /// who has the say.
    pub(super) fn removed(&self, path: &[u8]) -> Option<Say> {
        self.pair(path).filter(|_| !self.is_ours(path))?;
        // A file that is gone has no time: it is not newer.
        Some(self.say(Some(Ordering::Greater)))
    }

    /// A file that the source has, and that may stand in the target or not, since its folder there shows nothing: whether
    /// it is left alone, because it was sent as it is now and what became of it is not the source's to decide.
    pub(super) fn stays_unseen(&self, path: &[u8], source: &Node) -> bool {
        let is_sent = self.pair(path).is_some_and(|pair| match self.heading.direction {
            Direction::Up => is_local(pair, source),
            Direction::Down => self.is_remote(pair, path, source),
        });
        is_sent && self.rules.on_conflict != OnConflict::Source
    }

    /// A file that only the target has and that would go: what became of it, if it is not as the last run left it.
    pub(super) fn extra(&self, path: &[u8], target: &Node) -> Option<(Change, Say)> {
        if self.base?.is_empty() || self.is_ours(path) {
            return None;
        }
        let change = match (self.pair(path), self.heading.direction) {
            (None, _) => Change::Added,
            (Some(pair), Direction::Up) if self.is_remote(pair, path, target) => return None,
            (Some(pair), Direction::Down) if is_local(pair, target) => return None,
            _ => Change::Changed,
        };
        Some((change, self.say(None)))
    }

    /// What the base is to know of a file that is the same on both sides; nothing where it does already.
    pub(super) fn learnt(&self, path: &[u8], source: &Node, target: &Node) -> Option<Pair> {
        self.base?;
        let (local, remote) = match self.heading.direction {
            Direction::Up => (source, target),
            Direction::Down => (target, source),
        };
        let before = self.pair(path);
        let is_known = before.is_some_and(|pair| is_local(pair, local));
        let remote_time = match (before.and_then(|pair| pair.remote_time), remote.modified) {
            // The more exact of two that agree.
            (Some(before), Some(now))
                if before.agrees(now) == Some(true) && before.precision() <= now.precision() =>
            {
                Some(before)
            }
            (before, now) => now.or(before),
        };
        let pair = Pair {
            hash: before.filter(|_| is_known).and_then(|pair| pair.hash),
            local_size: local.size?,
            local_us: Some(utc(local)?.as_microsecond()),
            remote_size: remote.size,
            remote_time,
        };
        (before != Some(&pair)).then_some(pair)
    }

    /// Whether a file of the server is as it was. Its time is compared as it was listed then; one that was asked for is
    /// compared in universal time, as far as that of the listing is known.
    fn is_remote(&self, pair: &Pair, path: &[u8], node: &Node) -> bool {
        let modified = match pair.remote_time {
            Some(Modified::Utc(..)) => self.times.of(path, node.modified),
            _ => node.modified,
        };
        let is_same_size = node.size.is_some() && node.size == pair.remote_size;
        let is_moved = || {
            let before = self.times.before(node.modified).filter(|_| is_same_size);
            let is_listed = matches!(pair.remote_time, Some(Modified::Server(..)));
            is_listed && before.is_some_and(|before| pair.is_remote(node.size, Some(before)))
        };
        pair.is_remote(node.size, modified) || is_moved()
    }

    /// Whether what becomes of a file hangs on a time that the listing of the server tells without its zone.
    pub(super) fn hangs_on_zone(&self, path: &[u8], source: &Node, target: &Node) -> bool {
        let remote = if self.heading.direction == Direction::Up { target } else { source };
        let is_open = matches!(remote.modified, Some(Modified::Server(..)));
        if !is_open || self.times.is_exact(path) {
            return false;
        }
        let wants_newer = self.rules.newer_only || self.rules.on_conflict == OnConflict::Newer;
        let judgement = self.both(path, source, target).judgement;
        match (self.pair(path), judgement) {
            (None, Judgement::Same) => self.is_beside(path, source, target),
            (_, Judgement::Same | Judgement::SameSize) => false,
            _ if wants_newer => true,
            (None, judgement) => judgement != Judgement::Differs(Difference::Size),
            (Some(pair), judgement) => {
                judgement == Judgement::Differs(Difference::Drift)
                    || matches!(pair.remote_time, Some(Modified::Utc(..)))
            }
        }
    }

    /// Whether both times are so near to each other that they could be the same, and yet the one is not in the day or
    /// minute that is listed.
    fn is_beside(&self, path: &[u8], source: &Node, target: &Node) -> bool {
        let (local, remote) = match self.heading.direction {
            Direction::Up => (source, target),
            Direction::Down => (target, source),
        };
        let remote = self.times.seen(path, remote);
        let Some((Modified::Utc(listed, precision), time)) = remote.modified.zip(utc(local)) else {
            return false;
        };
        let after_ns = time.as_nanosecond() - listed.as_nanosecond();
        let is_near = local.order(&remote, self.heading.unit_ns()) == Some(Ordering::Equal);
        is_near && !(0..precision.nanoseconds()).contains(&after_ns)
    }

    fn say(&self, order: Option<Ordering>) -> Say {
        match self.rules.on_conflict {
            OnConflict::Source => Say::Overwritten,
            OnConflict::Newer if order == Some(Ordering::Greater) => Say::Overwritten,
            // On times that cannot be compared no choice is made (S58).
            OnConflict::Keep | OnConflict::Newer => Say::Kept,
            OnConflict::Fail => Say::Nobody,
        }
    }

    fn unless_newer(&self, difference: Difference, order: Option<Ordering>) -> Judgement {
        if self.rules.newer_only && order != Some(Ordering::Greater) {
            Judgement::Kept
        } else {
            Judgement::Differs(difference)
        }
    }
}

/// Whether a file of this machine has the bytes that it had.
fn is_local(pair: &Pair, node: &Node) -> bool {
    node.same_content
        || node
            .size
            .zip(utc(node))
            .is_some_and(|(size, time)| pair.is_local(size, time) == Some(true))
}
