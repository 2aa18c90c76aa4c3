//! Intents: the changes that a run is about to make to files of the target, recorded before they are made, so that
//! after a run that was killed its own files are never taken for changes by others.
//!
//! An intent states what a file of the target is about to become: a file of a certain size, or none. It is settled when
//! the resulting state of both sides is recorded. An open intent tells the next run which files may be those of the
//! last one. A difference in them is not a change by others: they are sent or removed again without a message.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    endpoints::{Direction, Endpoints},
    filter::Filter,
    manifest,
    plan::{Action, MirrorPlan},
    state::{MirrorState, StatePlace},
    sync_base::{Intent, Intents, MirrorId, MirrorStateStore, SyncBase, SyncedFile},
    tree::{Node, NodeKind, ScanResult, utc},
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
use portolan_remote::{fs::RemoteFs, path::RemotePath, source_sink::MemorySource};

/// The journal in which one run records its intents. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    kept: JournalPlace,
    /// True if nothing may be changed without a recorded intent: it would later count as a change by others, which the
    /// options of the mirror protect.
    is_strict: bool,
}

#[derive(Debug, Clone)]
enum JournalPlace {
    /// No journal: there is no state with which a file could be compared.
    Nowhere,
    /// With the rest of the local state.
    Here(Arc<dyn MirrorStateStore>, MirrorId),
    /// In a file on the server, which one session at a time writes: each writes all of it.
    There(Arc<Mutex<OnServer>>, Arc<tokio::sync::Mutex<()>>),
}

/// The journal of a base on the server.
#[derive(Debug)]
pub(super) struct OnServer {
    folder: RemotePath,
    file: RemotePath,
    /// The contents of the file.
    written: Intents,
    /// The paths of the intents that are not settled.
    open: BTreeSet<Vec<u8>>,
    /// True if the file exists.
    is_there: bool,
    /// True if the file may lack some of `written`.
    is_behind: bool,
    /// True if the file has intents that are settled, beside others that stay open.
    has_settled: bool,
}

impl Journal {
    /// Returns the journal that belongs to `ledger`; if it `is_strict`, nothing is changed without a recorded intent.
    pub(super) fn of(ledger: &MirrorState, is_strict: bool) -> Self {
        let kept = match ledger.place() {
            StatePlace::Nowhere => JournalPlace::Nowhere,
            StatePlace::Here(memory, sides) => {
                JournalPlace::Here(Arc::clone(memory), sides.clone())
            }
            StatePlace::There(there) => {
                JournalPlace::There(Arc::clone(&there.journal), Arc::default())
            }
        };
        Self { kept, is_strict }
    }

    /// Records the intents of `plan`, as far as they are known in advance. Fails if they cannot be recorded and must
    /// be.
    pub(super) async fn begin(&self, session: &mut impl RemoteFs, plan: &MirrorPlan) -> Result<()> {
        if !plan.steps.iter().any(|step| intent_of(step.act, step.size).is_some()) {
            return Ok(());
        }
        let is_there = matches!(self.kept, JournalPlace::There(..));
        let planned = plan.steps.iter().filter_map(|step| {
            // Locally, a transfer is recorded only once the file has arrived, with its own size and time.
            let intent = intent_of(step.act, step.size)?;
            (is_there || intent == Intent::Gone).then(|| (step.path.clone(), intent))
        });
        self.note(session, planned.collect()).await.map_err(|fault| {
            let message = format!("{}: nothing was changed", fault.message);
            Error { message, ..fault }
        })
    }

    /// Records `intents`, which are carried out right after.
    pub(super) async fn note(
        &self,
        session: &mut impl RemoteFs,
        intents: Vec<(Vec<u8>, Intent)>,
    ) -> Result<()> {
        let noted = match &self.kept {
            JournalPlace::Nowhere => return Ok(()),
            JournalPlace::Here(memory, sides) => {
                let (memory, sides) = (Arc::clone(memory), sides.clone());
                // The disk may be slow, and the sessions share this thread.
                let noted = tokio::task::spawn_blocking(move || memory.intend(&sides, &intents));
                noted.await.unwrap_or_else(|error| {
                    let message = "the intents of this run could not be noted";
                    Err(Error::new(ErrorKind::Local, Origin::Here, message).with_source(error))
                })
            }
            JournalPlace::There(journal, turn) => {
                let _turn = turn.lock().await;
                let Some((bytes, file)) = changed(journal, intents) else { return Ok(()) };
                let size = bytes.len() as u64;
                let sent = session.upload(&mut MemorySource::new(&bytes), size, None, &file).await;
                sent.map(|_| {
                    journal.lock().unwrap_or_else(PoisonError::into_inner).is_behind = false;
                })
            }
        };
        match noted {
            Err(fault) if self.is_strict || fault.kind == ErrorKind::Interrupted => {
                Err(unnoted(fault))
            }
            Err(fault) if matches!(self.kept, JournalPlace::There(..)) => {
                let text = format!(
                    "if this run is cut off, the next one may treat its files as changed by others: {fault}"
                );
                session.observer().warn_once(text);
                Ok(())
            }
            // The local state reports by itself that it keeps nothing more.
            _ => Ok(()),
        }
    }
}

fn unnoted(fault: Error) -> Error {
    if fault.kind == ErrorKind::Interrupted {
        return fault;
    }
    let message = format!(
        "{}; with `on_conflict` \"keep\" or \"fail\" nothing is changed that cannot be noted before, since later runs \
         would treat it as a change by others",
        fault.message
    );
    Error { message, ..fault }
}

/// Returns the journal with `intents` added, and its path; `None` if it already has them.
fn changed(
    journal: &Mutex<OnServer>,
    intents: Vec<(Vec<u8>, Intent)>,
) -> Option<(Vec<u8>, RemotePath)> {
    let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
    let mut is_new = false;
    for (path, intent) in intents {
        // The path has an open intent already: the file may be as that one says, too.
        let intent = match journal.written.get(&path) {
            Some(before) if *before != intent && journal.open.contains(&path) => Intent::Any,
            _ => intent,
        };
        journal.open.insert(path.clone());
        is_new |= journal.written.insert(path, intent) != Some(intent);
    }
    journal.is_behind |= is_new;
    journal.is_there |= is_new;
    let OnServer { folder, file, written, is_behind, .. } = &*journal;
    is_behind.then(|| (manifest::write_intents(written, folder), file.clone()))
}

impl OnServer {
    /// Creates the journal of the base in `folder`, stored as `file`.
    pub(super) fn new(folder: RemotePath, file: RemotePath) -> Self {
        let (written, open) = (Intents::new(), BTreeSet::new());
        Self { folder, file, written, open, is_there: false, is_behind: false, has_settled: false }
    }

    /// Returns its path on the server.
    pub(super) const fn file(&self) -> &RemotePath {
        &self.file
    }

    /// Takes over the intents left in the journal by a run that is over.
    pub(super) fn found(&mut self, intents: Intents) {
        self.is_there = true;
        self.open = intents.keys().cloned().collect();
        self.written = intents;
    }

    /// Settles the intent of `path`, as the state of both sides is known. Returns true if there was one.
    pub(super) fn apply_intents(&mut self, path: &[u8]) -> bool {
        self.open.remove(path)
    }

    /// Settles all intents but those for the files in `kept`.
    pub(super) fn settle_all(&mut self, kept: &BTreeSet<Vec<u8>>) {
        self.open.retain(|path| kept.contains(path));
        let before = self.written.len();
        self.written.retain(|path, _| self.open.contains(path));
        self.has_settled |= self.written.len() < before;
    }

    /// Returns the journal without the intents that `settle_all` has settled; `None` if the file has none of them.
    pub(super) fn shortened(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.has_settled)
            .then(|| manifest::write_intents(&self.written, &self.folder))
    }

    /// Returns true if the journal is no longer needed; the caller then removes it.
    pub(super) fn is_over(&mut self) -> bool {
        let is_over = self.is_there && self.open.is_empty();
        if is_over {
            (self.is_there, self.is_behind, self.has_settled) = (false, false, false);
            self.written.clear();
        }
        is_over
    }
}

/// Returns the intent of a step: the expected state of a file of the target, if it changes one.
pub(super) const fn intent_of(act: Action, size: Option<u64>) -> Option<Intent> {
    match (act, size) {
        (Action::Put(_) | Action::Get(_), Some(size)) => Some(Intent::Bytes(size, None)),
        (Action::Put(_) | Action::Get(_), None) => Some(Intent::Any),
        (Action::DeleteFile, _) => Some(Intent::Gone),
        (Action::Sweep | Action::MakeFolder | Action::DeleteFolder, _) => None,
    }
}

/// The conclusions from the intents of runs that are over.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The files that may be as such a run left them, whatever the base says about them.
    pub(super) ours: BTreeSet<Vec<u8>>,
    /// The updates of the base: `None` for files that are gone, the pair that it has for files that were not touched.
    pub(super) learnt: Vec<(Vec<u8>, Option<SyncedFile>)>,
    /// The files that are excluded from this run, so that the trees do not show their state.
    pub(super) open: BTreeSet<Vec<u8>>,
}

/// Settles `intents` by the state of `target`, but for files that `filter` leaves out.
pub(super) fn settle(
    intents: &Intents,
    base: &SyncBase,
    target: &ScanResult,
    filter: &Filter,
    heading: &Endpoints,
) -> Settled {
    let mut settled = Settled::default();
    for (path, intent) in intents {
        if filter.leaves_out(path) {
            settled.open.insert(path.clone());
            continue;
        }
        let pair = base.get(&path[..]);
        let node = target.tree.get(path).filter(|node| node.kind == NodeKind::File);
        match node {
            // It was removed as intended, or the old file was set aside for a new one that never arrived.
            None if target.is_seen_missing(path) => settled.learnt.push((path.clone(), None)),
            None => settled.ours.extend([path.clone()]),
            Some(node) if pair.is_some_and(|pair| is_surely(pair, node, heading.direction)) => {
                settled.learnt.push((path.clone(), pair.copied()));
            }
            Some(node) if may_be(*intent, node) => settled.ours.extend([path.clone()]),
            Some(_) => settled.learnt.push((path.clone(), pair.copied())),
        }
    }
    settled
}

/// Returns the files with unsettled intents that are left out of a tree for another reason than the filter, such as their
/// size: nothing is done about them, so that what an earlier run made of them stays unknown.
pub(super) fn left_out(source: &ScanResult, target: &ScanResult) -> BTreeSet<Vec<u8>> {
    let left_out = source.left_out.iter().chain(&target.left_out).map(|(path, _)| path);
    left_out.filter(|path| target.ours.contains(*path)).cloned().collect()
}

/// Returns true if a file of the target is certainly as the base says, so that it was not touched.
fn is_surely(pair: &SyncedFile, node: &Node, direction: Direction) -> bool {
    match direction {
        Direction::Up => {
            let agrees = pair.remote_time.zip(node.modified).map(|(one, two)| one.agrees(two));
            pair.remote_size == node.size && node.size.is_some() && agrees == Some(Some(true))
        }
        Direction::Down => node
            .size
            .zip(utc(node))
            .is_some_and(|(size, time)| pair.is_local(size, time) == Some(true)),
    }
}

/// Returns true if a file of the target may be the intended one.
fn may_be(intent: Intent, node: &Node) -> bool {
    match intent {
        Intent::Any => true,
        Intent::Gone => false,
        Intent::Bytes(size, time_us) => {
            let is_time = |time_us| utc(node).is_none_or(|time| time.as_microsecond() == time_us);
            node.size.is_none_or(|now| now == size) && time_us.is_none_or(is_time)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_that_stays_open_does_not_keep_those_that_are_settled() {
        let folder = RemotePath::root();
        let mut journal = OnServer::new(folder.clone(), RemotePath::parse("/j").unwrap());
        let all: Intents = [(b"a".to_vec(), Intent::Any), (b"b".to_vec(), Intent::Gone)].into();
        journal.found(all.clone());
        assert_eq!(journal.shortened(), None);
        journal.apply_intents(b"a");
        journal.settle_all(&[b"b".to_vec()].into());
        assert!(!journal.is_over());
        let left = manifest::read_intents(&journal.shortened().unwrap(), &folder).unwrap();
        assert_eq!(left, [(b"b".to_vec(), Intent::Gone)].into());
        assert_eq!(journal.shortened(), None, "once is enough");
        journal.settle_all(&BTreeSet::new());
        assert!(journal.is_over());
    }
}
