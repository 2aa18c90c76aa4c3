//! The state of one mirror: the place of its base, and the updates that completed steps add to it.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    endpoints::{Direction, Endpoints, place},
    intents::OnServer,
    local_hash::hash_of,
    manifest,
    options::StateIn,
    pass_options::StatePolicy,
    plan::MirrorPlan,
    state_file::StateFile,
    sync_base::{Intents, MirrorId, MirrorStateStore, MirrorStates, SyncBase, SyncedFile},
};
use portolan_core::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
    limits::{
        COPY_BYTES, MIRROR_FRESH_TIME, MIRROR_NOTE_FILES, MIRROR_STATE_TIME, STATE_BYTES_MAX,
    },
    observe::MessageLevel,
};
use portolan_fs::{RootDir, SymlinkPolicy};
use portolan_remote::{
    fs::RemoteFs,
    path::{RelativePath, RemotePath},
    source_sink::MemorySource,
};

/// The file on the server that holds the intents of a run. Its name is a temporary one, which every version leaves
/// alone.
const JOURNAL_FILE: &[u8] = b".portolan-intents.part";

/// The place of the base of one mirror, and the updates that have not been written yet.
#[derive(Debug)]
pub(super) struct MirrorState {
    place: StatePlace,
    clock: Clock,
    waiting: Vec<(Vec<u8>, Option<SyncedFile>)>,
}

#[derive(Debug)]
pub(super) enum StatePlace {
    /// No place: the sides are compared as they are.
    Nowhere,
    /// With the rest of the local state.
    Here(Arc<dyn MirrorStateStore>, MirrorId),
    /// On the server.
    There(There),
}

/// A base on the server.
#[derive(Debug)]
pub(super) struct There {
    folder: RemotePath,
    file: StateFile,
    base: Arc<SyncBase>,
    written: Instant,
    pub(super) journal: Arc<Mutex<OnServer>>,
}

/// A base as it was found.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The state that the last run left; `None` if none is kept.
    pub(super) base: Option<Arc<SyncBase>>,
    /// The intents of runs that are over.
    pub(super) intents: Intents,
    /// The reason why the base may be incomplete, so that nothing is deleted in this run, and the level at which it is
    /// reported.
    pub(super) doubt: Option<(MessageLevel, String)>,
}

impl MirrorState {
    /// Returns the ledger of the mirror that `heading` names.
    pub(super) fn of(
        session: &impl RemoteFs,
        states: MirrorStates<'_>,
        heading: &Endpoints,
        policy: StatePolicy,
    ) -> Result<Self> {
        let place = match (states, policy.state) {
            (_, Some(StateIn::Remote)) => StatePlace::There(There {
                folder: heading.remote.clone(),
                file: StateFile::of(&heading.remote, policy.deploys)?,
                base: Arc::default(),
                written: Instant::now(),
                journal: Arc::new(Mutex::new(OnServer::new(
                    heading.remote.clone(),
                    place(&heading.remote, JOURNAL_FILE)?,
                ))),
            }),
            (None, _) | (_, None) => StatePlace::Nowhere,
            (Some(memory), Some(StateIn::Local)) => {
                let sides = heading.identity(session);
                StatePlace::Here(Arc::clone(memory), sides)
            }
        };
        Ok(Self { place, clock: session.clock().clone(), waiting: Vec::new() })
    }

    /// Returns the place of the base.
    pub(super) const fn place(&self) -> &StatePlace {
        &self.place
    }

    /// Returns true if any state is kept.
    pub(super) const fn is_kept(&self) -> bool {
        !matches!(self.place, StatePlace::Nowhere)
    }

    /// Loads the state that the last run left.
    pub(super) async fn load(&mut self, session: &mut impl RemoteFs) -> Result<Loaded> {
        let there = match &mut self.place {
            StatePlace::Nowhere => return Ok(Loaded::default()),
            StatePlace::Here(memory, sides) => {
                let base = Some(Arc::new(memory.base(sides)));
                return Ok(Loaded { base, intents: memory.intents(sides), doubt: None });
            }
            StatePlace::There(there) => there,
        };
        let journal = there.journal.lock().unwrap_or_else(PoisonError::into_inner).file().clone();
        let read = there.file.read(session, &journal).await;
        let shown = there.file.path()?;
        let (found, is_journal) = match read {
            Err(fault) if fault.kind == ErrorKind::Invalid => {
                let text = format!("the state on the server ({shown}) is not read: {fault}");
                let (base, doubt) = (Arc::clone(&there.base), Some((MessageLevel::Warn, text)));
                return Ok(Loaded { base: Some(base), intents: Intents::new(), doubt });
            }
            found => found?,
        };
        let intents =
            if is_journal { there.intents(session, &journal).await? } else { Intents::new() };
        let doubt = if let Some(bytes) = found {
            match manifest::read(&bytes, &there.folder) {
                Ok(base) => {
                    there.base = Arc::new(base);
                    None
                }
                Err(why) => {
                    let text = format!("the state on the server ({shown}) {}", why.text());
                    Some((MessageLevel::Warn, text))
                }
            }
        } else {
            // As before the first run.
            Some((MessageLevel::Info, format!("there is no state on the server yet ({shown})")))
        };
        Ok(Loaded { base: Some(Arc::clone(&there.base)), intents, doubt })
    }

    /// Records the state of one file on both sides, or that neither side has it.
    pub(super) fn note(&mut self, path: &[u8], pair: Option<SyncedFile>) {
        if !self.is_kept() {
            return;
        }
        let pair = pair.map(|pair| self.settled(pair));
        if let StatePlace::There(there) = &self.place {
            there.journal.lock().unwrap_or_else(PoisonError::into_inner).apply_intents(path);
            if there.base.get(path) == pair.as_ref() {
                return;
            }
        }
        self.waiting.push((path.to_vec(), pair));
        if let StatePlace::Here(memory, sides) = &self.place
            && self.waiting.len() >= MIRROR_NOTE_FILES
        {
            memory.note(sides, &std::mem::take(&mut self.waiting));
        }
    }

    /// Records the results of the scans of `plan`. Local files that were never hashed are read now if they are the
    /// source, so that the next run recognizes them under any time.
    pub(super) async fn learn(
        &mut self,
        plan: &MirrorPlan,
        links: SymlinkPolicy,
        session: &impl RemoteFs,
    ) -> Result<()> {
        if !self.is_kept() {
            return Ok(());
        }
        for (path, pair) in &plan.left.settled {
            self.note(path, *pair);
        }
        // The intents that follow are based on it.
        if let StatePlace::Here(memory, sides) = &self.place
            && !self.waiting.is_empty()
        {
            memory.note(sides, &std::mem::take(&mut self.waiting));
        }
        if plan.learnt.is_empty() {
            return Ok(());
        }
        let mut learnt = plan.learnt.clone();
        if plan.heading.direction == Direction::Up {
            let (local, stop) = (plan.heading.local.clone(), session.stop().clone());
            let read = move || read_all(learnt, (&local, links), &stop);
            learnt = tokio::task::spawn_blocking(read).await.map_err(|error| {
                Error::new(ErrorKind::Local, Origin::Here, "the files could not be read")
                    .with_source(error)
            })??;
        }
        for (path, pair) in learnt {
            self.note(&path, pair);
        }
        Ok(())
    }

    /// Settles all intents but those for the files in `kept`: each was carried out, or was not necessary.
    pub(super) fn settle_all(&mut self, kept: &BTreeSet<Vec<u8>>) {
        match &self.place {
            StatePlace::Nowhere => {}
            StatePlace::Here(memory, sides) => {
                // The results first: a run that is killed in between must leave one or the other.
                if !self.waiting.is_empty() {
                    memory.note(sides, &std::mem::take(&mut self.waiting));
                }
                memory.settle(sides, kept);
            }
            StatePlace::There(there) => {
                there.journal.lock().unwrap_or_else(PoisonError::into_inner).settle_all(kept);
            }
        }
    }

    /// Returns true if it is time to write pending updates to the server, so that they survive if the run is killed.
    pub(super) fn is_due(&self) -> bool {
        let StatePlace::There(there) = &self.place else { return false };
        // A tenth of the whole, so that all that is written stays within a few times the whole.
        let many = MIRROR_NOTE_FILES.max(there.base.len() / 10);
        self.waiting.len() >= many
            || !self.waiting.is_empty() && there.written.elapsed() >= MIRROR_STATE_TIME
    }

    /// Writes pending updates to the place of the base.
    pub(super) async fn flush(&mut self, session: &mut impl RemoteFs) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let there = match &mut self.place {
            StatePlace::Here(memory, sides) if !waiting.is_empty() => {
                memory.note(sides, &waiting);
                return Ok(());
            }
            StatePlace::Nowhere | StatePlace::Here(..) => return Ok(()),
            StatePlace::There(there) => there,
        };
        if !waiting.is_empty() {
            there.write(session, waiting).await?;
        }
        // The base now says all that the journal says.
        let (is_over, shortened, file) = {
            let mut journal = there.journal.lock().unwrap_or_else(PoisonError::into_inner);
            (journal.is_over(), journal.shortened(), journal.file().clone())
        };
        let changed = match shortened {
            _ if is_over => session.remove(&file).await,
            Some(bytes) => {
                let size = bytes.len() as u64;
                session.upload(&mut MemorySource::new(&bytes), size, None, &file).await.map(drop)
            }
            None => return Ok(()),
        };
        match changed {
            Err(fault) if fault.kind == ErrorKind::Interrupted => Err(fault),
            Err(fault) => {
                // What the journal says and does not stay open, the base says as well.
                session.observer().message(MessageLevel::Info, format!("{file} stays: {fault}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Returns `pair` without a local time that is so recent that the file could change again under it, or that is
    /// meaningless where the pair is kept.
    fn settled(&self, pair: SyncedFile) -> SyncedFile {
        if let StatePlace::There(_) = self.place {
            return SyncedFile { local_us: None, ..pair };
        }
        let local_us = pair.local_us.filter(|time| {
            pair.hash.is_none()
                || *time <= self.clock.now().as_microsecond() - us(MIRROR_FRESH_TIME)
        });
        SyncedFile { local_us, ..pair }
    }
}

impl There {
    /// Loads the intents that an interrupted run left in the journal.
    async fn intents(&self, session: &mut impl RemoteFs, file: &RemotePath) -> Result<Intents> {
        let Some(bytes) = session.read_if_there_and(file, file, STATE_BYTES_MAX).await?.0 else {
            return Ok(Intents::new());
        };
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match manifest::read_intents(&bytes, &self.folder) {
            Ok(intents) => {
                journal.found(intents.clone());
                Ok(intents)
            }
            Err(why) => {
                journal.found(Intents::new());
                let text =
                    format!("what a run was about to do that was cut off ({file}) {}", why.text());
                session.observer().warn(text);
                Ok(Intents::new())
            }
        }
    }

    /// Writes the base with `changes`.
    async fn write(
        &mut self,
        session: &mut impl RemoteFs,
        changes: Vec<(Vec<u8>, Option<SyncedFile>)>,
    ) -> Result<()> {
        let there = self;
        let base = Arc::make_mut(&mut there.base);
        for (path, pair) in changes {
            match pair {
                Some(pair) => base.insert(RelativePath::parse(path)?, pair),
                None => base.remove(&path[..]),
            };
        }
        let bytes = manifest::write(&there.base, &there.folder);
        there.written = Instant::now();
        there.file.write(session, &bytes).await
    }
}

fn us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn read_all(
    mut learnt: Vec<(Vec<u8>, Option<SyncedFile>)>,
    (local, links): (&Path, SymlinkPolicy),
    stop: &CancelToken,
) -> Result<Vec<(Vec<u8>, Option<SyncedFile>)>> {
    let root = RootDir::open_with(local, links)?;
    let mut buffer = vec![0; COPY_BYTES];
    for (path, pair) in &mut learnt {
        if let Some(pair) = pair.as_mut().filter(|pair| pair.hash.is_none()) {
            pair.hash = hash_of(&root, path, &mut buffer, stop)?;
        }
    }
    Ok(learnt)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::sync_base::{Intent, TagLease};

    /// A store that records the calls of its methods.
    #[derive(Debug, Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Recorder {
        fn record(&self, call: String) {
            self.0.lock().unwrap().push(call);
        }
    }

    impl MirrorStateStore for Recorder {
        fn base(&self, _: &MirrorId) -> SyncBase {
            SyncBase::new()
        }

        fn folder(&self) -> Option<&Path> {
            None
        }

        fn claim(&self, _: &MirrorId) -> Option<TagLease> {
            None
        }

        fn note(&self, _: &MirrorId, changes: &[(Vec<u8>, Option<SyncedFile>)]) {
            self.record(format!("note {}", changes.len()));
        }

        fn intents(&self, _: &MirrorId) -> Intents {
            Intents::new()
        }

        fn settle(&self, _: &MirrorId, _: &BTreeSet<Vec<u8>>) {
            self.record("settle".into());
        }

        fn intend(&self, _: &MirrorId, _: &[(Vec<u8>, Intent)]) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn intents_go_after_their_results_are_recorded() {
        let sides = MirrorId {
            host: "ftp.example.org".into(),
            port: 21,
            user: "anna".into(),
            remote: RemotePath::root(),
            local: PathBuf::from("/tree"),
        };
        for (count, calls) in
            [(0, &["settle"][..]), (1, &["note 1", "settle"]), (7, &["note 7", "settle"])]
        {
            let recorder = Arc::new(Recorder::default());
            let place = StatePlace::Here(Arc::<Recorder>::clone(&recorder), sides.clone());
            let mut state = MirrorState { place, clock: Clock::default(), waiting: Vec::new() };
            for number in 0..count {
                state.note(&[b'a' + number], None);
            }
            state.settle_all(&BTreeSet::new());
            assert_eq!(*recorder.0.lock().unwrap(), calls, "{count}");
            assert!(state.waiting.is_empty());
        }
    }
}
