//! Three-way comparison: the changes since both sides of a file were the same, the side on which they happened, and the
//! side that wins.

use std::{cmp::Ordering, collections::BTreeSet};

use super::{
    compare::{Judgement, compare},
    endpoints::{Direction, Endpoints},
    options::{Compare, OnConflict},
    pass_options::CompareOptions,
    plan::{Difference, TargetChange},
    server_timezone::Times,
    sync_base::{SyncBase, SyncedFile},
    tree::{Node, utc},
};
use portolan_remote::entry::Modified;

/// The resolution of a change of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    /// The change is overwritten.
    Overwritten,
    /// The change is kept.
    Kept,
    /// Neither side wins: the run fails.
    Undecided,
}

/// The result of comparing both sides of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileVerdict {
    pub(super) judgement: Judgement,
    /// The change of the target's file, if one is known, and its resolution.
    pub(super) drift: Option<(TargetChange, Say)>,
}

/// A comparison of files with the recorded state of both sides, or without a base by their current state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Three<'a> {
    base: Option<&'a SyncBase>,
    heading: &'a Endpoints,
    options: CompareOptions,
    /// The times of the server's files.
    times: &'a Times,
    /// The files of the target that may be as an interrupted run left them.
    ours: Option<&'a BTreeSet<Vec<u8>>>,
}

impl<'a> Three<'a> {
    pub(super) fn new(
        base: Option<&'a SyncBase>,
        heading: &'a Endpoints,
        options: CompareOptions,
        times: &'a Times,
    ) -> Self {
        let base = base.filter(|_| options.compare == Compare::Auto);
        Self { base, heading, options, times, ours: None }
    }

    /// Returns the same comparison in which differences in `ours` do not count as changes by others.
    pub(super) fn with_ours(self, ours: &'a BTreeSet<Vec<u8>>) -> Self {
        Self { ours: Some(ours), ..self }
    }

    pub(super) fn is_ours(&self, path: &[u8]) -> bool {
        self.ours.is_some_and(|ours| ours.contains(path))
    }

    /// Returns the recorded state of both sides at `path`.
    pub(super) fn pair(&self, path: &[u8]) -> Option<&'a SyncedFile> {
        self.base?.get(path)
    }

    /// Compares a file that both sides have.
    pub(super) fn both(&self, path: &[u8], source: &Node, target: &Node) -> FileVerdict {
        let is_remote_same = self.pair(path).is_some_and(|pair| {
            let remote = if self.heading.direction == Direction::Up { target } else { source };
            self.is_remote(pair, path, remote)
        });
        let (source, target) = match self.heading.direction {
            Direction::Up => (source, &self.times.seen(path, target)),
            Direction::Down => (&self.times.seen(path, source), target),
        };
        let Some(pair) = self.pair(path) else {
            let judgement = compare(source, target, self.options, self.heading);
            return FileVerdict { judgement, drift: None };
        };
        let (is_source_same, is_target_same) = match self.heading.direction {
            Direction::Up => (is_local(pair, source), is_remote_same),
            Direction::Down => (is_remote_same, is_local(pair, target)),
        };
        let order = source.order(target, self.heading.unit_ns());
        let is_same_size = source.size.is_some() && source.size == target.size;
        let is_equal = is_same_size && order == Some(Ordering::Equal);
        if is_source_same && is_target_same || !is_target_same && is_equal {
            return FileVerdict { judgement: Judgement::Same, drift: None };
        }
        if !is_target_same && !self.is_ours(path) {
            let say = self.say(order);
            let judgement = match say {
                Say::Overwritten => self.unless_newer(Difference::Drift, order),
                Say::Kept | Say::Undecided => Judgement::Kept,
            };
            let say =
                if judgement == Judgement::Kept && say != Say::Undecided { Say::Kept } else { say };
            return FileVerdict { judgement, drift: Some((TargetChange::Changed, say)) };
        }
        let difference = match self.heading.direction {
            _ if !is_same_size => Difference::Size,
            Direction::Up => Difference::Content,
            Direction::Down => Difference::Time,
        };
        FileVerdict { judgement: self.unless_newer(difference, order), drift: None }
    }

    /// Returns the resolution for a file that only the source has and that is known to be missing from the target;
    /// `None` if it was not removed by others.
    pub(super) fn removed(&self, path: &[u8]) -> Option<Say> {
        self.pair(path).filter(|_| !self.is_ours(path))?;
        // A missing file has no time, so it is not newer.
        Some(self.say(Some(Ordering::Greater)))
    }

    /// Returns true if a file of the source is left alone that may be in the target or not, since its directory there
    /// shows no entries: it was sent in its current form, and the source does not decide about its later fate.
    pub(super) fn stays_unseen(&self, path: &[u8], source: &Node) -> bool {
        self.is_sent(path, source) && self.options.on_conflict != OnConflict::Source
    }

    /// Returns true if a file of the source is left alone, whatever became of it in the target: it was sent in its
    /// current form, and each form is sent once. A run that was interrupted may have left a part of it, which is no use
    /// to anybody.
    pub(super) fn is_done(&self, path: &[u8], source: &Node) -> bool {
        self.options.once && !self.is_ours(path) && self.is_sent(path, source)
    }

    /// Returns true if a file of the source was sent in its current form.
    fn is_sent(&self, path: &[u8], source: &Node) -> bool {
        self.pair(path).is_some_and(|pair| match self.heading.direction {
            Direction::Up => is_local(pair, source),
            Direction::Down => self.is_remote(pair, path, source),
        })
    }

    /// Returns the change and its resolution for a file that only the target has and that would be deleted; `None` if
    /// it is as the last run left it.
    pub(super) fn extra(&self, path: &[u8], target: &Node) -> Option<(TargetChange, Say)> {
        if self.base?.is_empty() || self.is_ours(path) {
            return None;
        }
        let change = match (self.pair(path), self.heading.direction) {
            (None, _) => TargetChange::Added,
            (Some(pair), Direction::Up) if self.is_remote(pair, path, target) => return None,
            (Some(pair), Direction::Down) if is_local(pair, target) => return None,
            _ => TargetChange::Changed,
        };
        Some((change, self.say(None)))
    }

    /// Returns the entry that the base needs for a file that is the same on both sides; `None` if it already has it.
    pub(super) fn learnt(&self, path: &[u8], source: &Node, target: &Node) -> Option<SyncedFile> {
        self.base?;
        let (local, remote) = match self.heading.direction {
            Direction::Up => (source, target),
            Direction::Down => (target, source),
        };
        let before = self.pair(path);
        let is_known = before.is_some_and(|pair| is_local(pair, local));
        let remote_time = match (before.and_then(|pair| pair.remote_time), remote.modified) {
            // The more precise of two times that agree.
            (Some(before), Some(now))
                if before.agrees(now) == Some(true) && before.precision() <= now.precision() =>
            {
                Some(before)
            }
            (before, now) => now.or(before),
        };
        let pair = SyncedFile {
            hash: before.filter(|_| is_known).and_then(|pair| pair.hash),
            local_size: local.size?,
            local_us: Some(utc(local)?.as_microsecond()),
            remote_size: remote.size,
            remote_time,
        };
        (before != Some(&pair)).then_some(pair)
    }

    /// Returns true if a file of the server is unchanged. Its time is compared as it was listed at the time; one that
    /// was queried is compared in UTC, as far as the listed time is known in it.
    pub(super) fn is_remote(&self, pair: &SyncedFile, path: &[u8], node: &Node) -> bool {
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

    /// Returns true if the result for a file depends on a time that the server lists without its time zone.
    pub(super) fn hangs_on_zone(&self, path: &[u8], source: &Node, target: &Node) -> bool {
        let remote = if self.heading.direction == Direction::Up { target } else { source };
        let is_open = matches!(remote.modified, Some(Modified::Server(..)));
        if !is_open || self.times.is_exact(path) {
            return false;
        }
        let wants_newer = self.options.newer_only || self.options.on_conflict == OnConflict::Newer;
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

    /// Returns true if both times are close enough to be the same although the local one is not within the listed day
    /// or minute.
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
        match self.options.on_conflict {
            OnConflict::Source => Say::Overwritten,
            OnConflict::Newer if order == Some(Ordering::Greater) => Say::Overwritten,
            // Times that cannot be compared decide nothing (S58).
            OnConflict::Keep | OnConflict::Newer => Say::Kept,
            OnConflict::Fail => Say::Undecided,
        }
    }

    fn unless_newer(&self, difference: Difference, order: Option<Ordering>) -> Judgement {
        if self.options.newer_only && order != Some(Ordering::Greater) {
            Judgement::Kept
        } else {
            Judgement::Differs(difference)
        }
    }
}

/// Returns true if a local file has the recorded bytes.
fn is_local(pair: &SyncedFile, node: &Node) -> bool {
    node.same_content
        || node
            .size
            .zip(utc(node))
            .is_some_and(|(size, time)| pair.is_local(size, time) == Some(true))
}
