//! Temporary files left by killed runs: their owner, and the conditions under which they can be removed safely.
//!
//! Each mirror has an owner tag in its temporary names, kept in the state directory, and the run that uses the tag
//! holds a lock. So a file with our tag, while we hold the lock, belongs to a run that is over. A file with another tag
//! may belong to a run that is alive, here or on another host: it is removed only if its name shows that it was created
//! more than a week ago. Names without a tag are never touched.
//!
//! On a server that cannot rename over an existing file, the old file is set aside for the moment between two renames.
//! One that stayed there gets its name back, unless a new file has that name by now.

use std::{collections::BTreeSet, os::unix::ffi::OsStrExt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    endpoints::{Direction, Endpoints, place},
    own_files::{FileId, identity},
    plan::Leftover,
    sync_base::{MirrorId, MirrorStates, TagLease, path_text},
    tree::{ScanResult, parent},
};
use portolan_core::limits::PART_AGE_MAX;
use portolan_fs::{OwnerTag, read_marked, read_set_aside};
use portolan_remote::{fs::RemoteFs, path::RemotePath};

/// The age beyond which an old file that was set aside is no longer between two renames of any run.
const ASIDE_AGE_MAX: Duration = Duration::from_hours(1);

/// The owner tag of one mirror in one run.
#[derive(Debug)]
pub(super) struct StaleTemps {
    claim: TagLease,
    now: Timestamp,
    /// The state directory of this run.
    state: Option<FileId>,
    /// The files that killed uploads of this host have left on the server, by their records.
    recorded: BTreeSet<RemotePath>,
}

impl StaleTemps {
    /// Takes the tag of the mirror that `heading` names; without a local state, one that other runs may have as well.
    pub(super) fn of(
        session: &impl RemoteFs,
        states: MirrorStates<'_>,
        heading: &Endpoints,
    ) -> Self {
        let sides = heading.identity(session);
        let claim = states.and_then(|states| states.claim(&sides));
        let claim = claim.unwrap_or_else(|| TagLease { mark: mark_of(&sides), lock: None });
        let state = states.and_then(|states| states.folder()).and_then(identity);
        let recorded = match heading.direction {
            Direction::Up => session.left_temps().into_iter().collect(),
            Direction::Down => BTreeSet::new(),
        };
        Self { claim, now: session.now(), state, recorded }
    }

    /// Returns true if a local directory is the one in which this run keeps its state.
    pub(super) fn is_state(&self, folder: FileId) -> bool {
        self.state == Some(folder)
    }

    /// Returns the tag with which the temporary names of this run begin.
    pub(super) const fn mark(&self) -> &OwnerTag {
        &self.claim.mark
    }

    /// Returns true if no other run of this mirror is alive on the local host.
    pub(super) const fn is_alone(&self) -> bool {
        self.claim.lock.is_some()
    }

    /// Returns true if the file `name` is an old one that was set aside by a run that is over. Such a file exists only
    /// for the moment between two renames, so an age of one hour is sufficient for files of other mirrors as well.
    pub(super) fn is_set_aside(&self, name: &[u8]) -> bool {
        let Some(aside) = read_set_aside(name) else { return false };
        let is_ours = aside.mark == self.claim.mark.text() && self.claim.lock.is_some();
        let age = SignedDuration::try_from(ASIDE_AGE_MAX).unwrap_or(SignedDuration::MAX);
        is_ours || self.now.duration_since(aside.made) > age
    }

    /// Returns true if the file `path` below `top` was left by an upload that was killed.
    pub(super) fn is_recorded(&self, top: &RemotePath, path: &[u8]) -> bool {
        !self.recorded.is_empty()
            && place(top, path).is_ok_and(|path| self.recorded.contains(&path))
    }

    /// Returns true if the file `name` was left by a run that is over.
    pub(super) fn is_stale(&self, name: &[u8]) -> bool {
        let Some(marked) = read_marked(name) else { return false };
        if marked.mark == self.claim.mark.text() && self.claim.lock.is_some() {
            return true;
        }
        let age = SignedDuration::try_from(PART_AGE_MAX).unwrap_or(SignedDuration::MAX);
        marked.made.is_some_and(|made| self.now.duration_since(made) > age)
    }
}

/// Finds the original names of the old files that were set aside in `target`, among `names` and the names in both
/// trees. The files get them back, and the target counts as having them; a file whose name is taken by a new file is
/// swept.
pub(super) fn find_names<'n>(
    source: &ScanResult,
    target: &mut ScanResult,
    names: &(impl Iterator<Item = &'n [u8]> + Clone),
    left: &mut Leftover,
) {
    for (aside, node) in std::mem::take(&mut target.asides) {
        let folder = parent(&aside);
        let name = aside.get(folder.len()..).unwrap_or_default();
        let Some(read) = read_set_aside(name.strip_prefix(b"/").unwrap_or(name)) else { continue };
        let is_it = |path: &&[u8]| {
            let name = path.get(folder.len()..).unwrap_or_default();
            parent(path) == folder && read.is_of(name.strip_prefix(b"/").unwrap_or(name))
        };
        let found = {
            let mut all = source.tree.nodes().chain(target.tree.nodes()).map(|(path, _)| path);
            all.find(is_it).or_else(|| names.clone().find(is_it)).map(<[u8]>::to_vec)
        };
        match found {
            Some(path) if target.tree.get(&path).is_some() => target.leftovers.push(aside),
            Some(path) => {
                target.tree.set(path.clone(), node);
                left.asides.push((aside, path));
            }
            // Its original name is no longer known: it stays for a person to see.
            None => target.tree.keep_folder_of(&aside),
        }
    }
}

/// Returns the tag of a mirror without local state: a resumable file has the same name each time.
fn mark_of(sides: &MirrorId) -> OwnerTag {
    let MirrorId { host, port, user, remote, local } = sides;
    let (remote, local) = (path_text(remote.as_bytes()), path_text(local.as_os_str().as_bytes()));
    OwnerTag::of(format!("{host}\n{port}\n{user}\n{remote}\n{local}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_files::is_lasting;

    #[test]
    fn what_may_be_alive_is_left_and_what_cannot_be_is_stale() {
        let now = Timestamp::from_second(1_780_000_000).unwrap();
        let (ours, other) = (OwnerTag::random(), OwnerTag::random());
        let lock = || Some(tempfile::tempfile().unwrap());
        let ago = |hours| now - SignedDuration::from_hours(hours);
        let alone = StaleTemps {
            claim: TagLease { mark: ours.clone(), lock: lock() },
            now,
            state: None,
            recorded: BTreeSet::new(),
        };
        let beside = StaleTemps {
            claim: TagLease { mark: ours.clone(), lock: None },
            now,
            state: None,
            recorded: BTreeSet::new(),
        };
        for (name, is_alone, is_beside) in [
            (ours.name(ago(0)), true, false),
            (ours.name(ago(9 * 24)), true, true),
            (ours.resumable_name(&[7; 32]), true, false),
            (other.name(ago(0)), false, false),
            (other.name(ago(6 * 24)), false, false),
            (other.name(ago(8 * 24)), true, true),
            // A clock that was wrong proves nothing.
            (other.name(now + SignedDuration::from_hours(99 * 24)), false, false),
            (other.resumable_name(&[7; 32]), false, false),
            (portolan_fs::temporary_name(), false, false),
            ("film.part".to_owned(), false, false),
        ] {
            assert_eq!(alone.is_stale(name.as_bytes()), is_alone, "{name}");
            assert_eq!(beside.is_stale(name.as_bytes()), is_beside, "{name}");
        }
        for (name, is_alone, is_beside) in [
            (ours.set_aside_name(ago(0), b"a"), true, false),
            (ours.set_aside_name(ago(2), b"a"), true, true),
            (other.set_aside_name(ago(0), b"a"), false, false),
            (other.set_aside_name(ago(2), b"a"), true, true),
            // As for files that arrive one by one.
            (other.set_aside_name(Timestamp::UNIX_EPOCH, b"a"), true, true),
        ] {
            assert_eq!(alone.is_set_aside(name.as_bytes()), is_alone, "{name}");
            assert_eq!(beside.is_set_aside(name.as_bytes()), is_beside, "{name}");
            assert!(!alone.is_stale(name.as_bytes()), "{name}");
        }
        assert!(is_lasting(format!("a/b/{}", ours.resumable_name(&[7; 32])).as_bytes()));
        assert!(!is_lasting(format!("a/b/{}", ours.name(now)).as_bytes()));
    }
}
