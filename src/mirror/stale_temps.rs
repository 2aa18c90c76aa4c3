//! Temporary files left by killed runs: their owner, and the conditions under which they can be removed safely.
//!
//! Each mirror has an owner tag in its temporary names, kept in the state directory, and the run that uses the tag
//! holds a lock. So a file with our tag, while we hold the lock, belongs to a run that is over. A file with another tag
//! may belong to a run that is alive, here or on another host: it is removed only if its name shows that it was created
//! more than a week ago. Names without a tag are never touched.
//!
//! On a server that cannot rename over an existing file, the old file is set aside for the moment between two renames.
//! One that stayed there gets its name back, unless a new file has that name by now.

use std::{os::unix::ffi::OsStrExt, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    apply::Executor,
    execution::Execution,
    own_files::{FileId, identity},
    plan::{Direction, Endpoints, Leftover},
    scan::place,
    tree::{ScanResult, parent},
};
use crate::{
    error::{ErrorKind, Result},
    files::{OwnerTag, read_marked, read_set_aside},
    ftp::{
        path::RemotePath,
        session::Session,
        sync_base::{MirrorId, TagLease, path_text},
    },
    limits::PART_AGE_MAX,
    observe::{MessageLevel, visible::visible},
};

/// The age beyond which an old file that was set aside is no longer between two renames, whoever set it aside.
const ASIDE_AGE_MAX: Duration = Duration::from_hours(1);

/// The owner tag of one mirror in one run.
#[derive(Debug)]
pub(super) struct StaleTemps {
    claim: TagLease,
    now: Timestamp,
    /// The state directory of this run.
    state: Option<FileId>,
}

impl StaleTemps {
    /// Takes the tag of the mirror that `heading` names; without a local state, one that other runs may have as well.
    pub(super) fn of(session: &Session, heading: &Endpoints) -> Self {
        let memory = session.context().bases.as_ref();
        let sides = sides(session, heading);
        let claim = memory.and_then(|memory| memory.claim(&sides));
        let claim = claim.unwrap_or_else(|| TagLease { mark: mark_of(&sides), lock: None });
        let state = memory.and_then(|memory| memory.folder()).and_then(identity);
        Self { claim, now: session.now(), state }
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

impl Executor<'_> {
    /// Renames old files that were set aside back to their names.
    pub(super) async fn put_back(&self, session: &mut Session, run: &mut Execution<'_, '_>) {
        for (aside, path) in &self.plan.left.asides {
            match self.put_one_back(session, aside, path).await {
                Ok(()) => {
                    let name = visible(path);
                    let text = format!("{name}: put back, a run that is over had put it aside");
                    session.context().observer.message(MessageLevel::Info, text);
                }
                Err(fault) => run.fail_with(fault.at(visible(path))),
            }
        }
    }

    async fn put_one_back(&self, session: &mut Session, aside: &[u8], path: &[u8]) -> Result<()> {
        let top = &self.plan.heading.remote;
        session.rename(&place(top, aside)?, &place(top, path)?).await
    }

    /// Removes a temporary file of an earlier run, `there` or `here`. If that is impossible, nothing fails: the file is
    /// no part of the mirror.
    pub(super) async fn sweep(&self, session: &mut Session, there: &RemotePath, here: &Path) {
        let removed = match self.plan.heading.direction {
            Direction::Up => session.delete(there).await,
            Direction::Down => self.root.remove_file(here),
        };
        let observer = &session.context().observer;
        match removed {
            // A file that was resumed is gone, and has its own name.
            Err(fault) if fault.kind == ErrorKind::NotFound => {}
            Err(fault) => observer.warn(format!("cannot remove a stale temporary file: {fault}")),
            Ok(()) => {
                let name = here.as_os_str().as_bytes();
                let text =
                    format!("{}: removed, a temporary file of an earlier run", visible(name));
                observer.message(MessageLevel::Info, text);
            }
        }
    }
}

/// Returns true if `path` is a temporary file that can be resumed.
pub(super) fn is_lasting(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    read_marked(name).is_some_and(|marked| marked.made.is_none())
}

/// Returns the tag of a mirror without local state: a resumable file has the same name each time.
fn mark_of(sides: &MirrorId) -> OwnerTag {
    let MirrorId { host, port, user, remote, local } = sides;
    let (remote, local) = (path_text(remote.as_bytes()), path_text(local.as_os_str().as_bytes()));
    OwnerTag::of(format!("{host}\n{port}\n{user}\n{remote}\n{local}").as_bytes())
}

/// Returns the two sides of the mirror that `heading` names.
pub(super) fn sides(session: &Session, heading: &Endpoints) -> MirrorId {
    let site = session.site();
    // One directory has many paths; one that does not exist yet has the path by which it will be created.
    let local = heading.local.canonicalize();
    let local = local.or_else(|_| std::path::absolute(&heading.local));
    MirrorId {
        host: site.host.to_ascii_lowercase(),
        port: site.port,
        user: site.user.clone(),
        remote: heading.remote.clone(),
        local: local.unwrap_or_else(|_| heading.local.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_alive_is_left_and_what_cannot_be_is_stale() {
        let now = Timestamp::from_second(1_780_000_000).unwrap();
        let (ours, other) = (OwnerTag::random(), OwnerTag::random());
        let lock = || Some(tempfile::tempfile().unwrap());
        let ago = |hours| now - SignedDuration::from_hours(hours);
        let alone =
            StaleTemps { claim: TagLease { mark: ours.clone(), lock: lock() }, now, state: None };
        let beside =
            StaleTemps { claim: TagLease { mark: ours.clone(), lock: None }, now, state: None };
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
            (crate::files::temporary_name(), false, false),
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
