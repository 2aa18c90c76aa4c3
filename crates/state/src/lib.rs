//! The state that runs keep about servers and mirrors: implements the storage traits of `ftp` and
//! `mirror` on top of the store.

mod marks;
pub mod nat;
#[cfg(test)]
mod sessions;

use std::{
    collections::BTreeSet,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use portolan_core::{
    clock::Clock,
    error::{Error, Result},
    observe::{EventEmitter, MessageLevel},
};
use portolan_fs::owned;
use portolan_ftp::{
    data::method::DataMethod,
    listing::Modified,
    path::RelativePath,
    pipelining::Habits,
    server_store::{ServerPlace, ServerRecord, ServerStore},
    site::Mode,
};
use portolan_mirror::sync_base::{
    Intent, Intents, MirrorId, MirrorStateStore, SyncBase, SyncedFile, TagLease, hash_text,
    path_bytes, path_text, read_hash,
};
use portolan_store as store;
use portolan_store::{
    Store,
    bases::{self, FileRow, IntentRow},
    routes::{Route, ServerKey},
};

/// The persistent state in a state folder. It is opened on first use; after an error it is off for the rest of the run,
/// which continues without it.
#[derive(Debug)]
pub struct StateAdapter {
    folder: PathBuf,
    /// The level at which a missing folder is reported: users who named none may not want any.
    no_folder: MessageLevel,
    observer: EventEmitter,
    clock: Clock,
    state: Mutex<StoreState>,
}

#[derive(Debug)]
enum StoreState {
    Unopened,
    Open(Store),
    /// Switched off by this error.
    Off(Error),
}

impl StateAdapter {
    /// Creates the state store for `folder`, which the user has named.
    pub fn named(folder: &Path, observer: EventEmitter, clock: Clock) -> Self {
        Self::new(folder, MessageLevel::Warn, observer, clock)
    }

    /// Creates the state store for the default `folder`. If it does not exist and cannot be created, there is no state,
    /// and this is reported at debug level only.
    pub fn usual(folder: &Path, observer: EventEmitter, clock: Clock) -> Self {
        Self::new(folder, MessageLevel::Debug, observer, clock)
    }

    fn new(folder: &Path, no_folder: MessageLevel, observer: EventEmitter, clock: Clock) -> Self {
        let state = Mutex::new(StoreState::Unopened);
        Self { folder: folder.to_owned(), no_folder, observer, clock, state }
    }

    /// Returns the result of `work`, or `None` if there is no usable state (any more).
    fn with<T>(&self, work: impl FnOnce(&mut Store) -> Result<T>) -> Option<T> {
        self.try_with(work).ok()
    }

    /// Like [`Self::with`], but returns the reason if there is no state.
    fn try_with<T>(&self, work: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let StoreState::Unopened = *state {
            *state = self.open();
        }
        let store = match &mut *state {
            StoreState::Open(store) => store,
            StoreState::Off(fault) => return Err(fault.clone()),
            StoreState::Unopened => return Err(Error::protocol("a store that was not opened")),
        };
        work(store).inspect_err(|fault| {
            self.observer
                .warn(format!("the state is switched off for the rest of this run: {fault}"));
            *state = StoreState::Off(fault.clone());
        })
    }

    fn open(&self) -> StoreState {
        if let Err(fault) = store::make_folder(&self.folder) {
            self.observer.message(self.no_folder, format!("nothing is remembered: {fault}"));
            return StoreState::Off(fault);
        }
        if let Ok(Some(exposed)) = owned::exposed(&self.folder) {
            let (folder, why) = (self.folder.display(), exposed.words());
            self.observer.warn(format!("the state folder {folder}: {why}"));
        }
        match Store::open(&self.folder) {
            Ok(store) => StoreState::Open(store),
            Err(fault) => {
                self.observer.warn(format!("nothing is remembered in this run: {fault}"));
                StoreState::Off(fault)
            }
        }
    }
}

impl ServerStore for StateAdapter {
    fn recall(&self, place: &ServerPlace) -> Option<ServerRecord> {
        let found = self.with(|store| store.recall(&key(place), self.clock.now()))??;
        // A step that this version does not know cannot be used to start with.
        let step = found.step.parse().ok()?;
        Some(ServerRecord {
            step,
            failed_mode: found.failed_mode.parse().ok(),
            tls12_only: found.tls12_only,
            refuses_list_all: found.refuses_list_all,
            is_elsewhere: found.is_elsewhere,
            round_trip: found.round_trip,
            habits: Habits::read(&found.habits),
            address: found
                .habits
                .split(' ')
                .find_map(|word| word.strip_prefix(ADDRESS)?.parse().ok()),
        })
    }

    fn remember(&self, place: &ServerPlace, known: ServerRecord) {
        let route = Route {
            step: known.step.as_str().into(),
            failed_mode: known.failed_mode.map_or("", Mode::as_str).into(),
            tls12_only: known.tls12_only,
            refuses_list_all: known.refuses_list_all,
            is_elsewhere: known.is_elsewhere,
            round_trip: known.round_trip,
            habits: habits(&known),
        };
        self.with(|store| store.remember(&key(place), &route, self.clock.now()));
    }

    fn has_used_tls(&self, host: &str, port: u16) -> bool {
        self.with(|store| store.has_used_tls(&host.to_ascii_lowercase(), port)).unwrap_or(false)
    }

    fn forget(&self, place: &ServerPlace, step: DataMethod) {
        self.with(|store| store.forget(&key(place), step.as_str()));
    }
}

/// The prefix of the address in the list of habits.
const ADDRESS: &str = "address=";

/// Returns the stored text of what is known of the server's habits and of the address that answers.
fn habits(known: &ServerRecord) -> String {
    let words = known.habits.words();
    let address = known.address.map(|address| format!("{ADDRESS}{address}"));
    let all = [Some(words).filter(|words| !words.is_empty()), address];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl MirrorStateStore for StateAdapter {
    fn base(&self, sides: &MirrorId) -> SyncBase {
        let read = |store: &mut Store| {
            let mut base = SyncBase::new();
            store.base(&mirror(sides), |path, row| {
                // A row of another version, or a path that leads outside, is treated as missing.
                let path = path_bytes(&path).and_then(|path| RelativePath::parse(path).ok());
                base.extend(path.zip(pair(&row)));
            })?;
            Ok(base)
        };
        self.with(read).unwrap_or_default()
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn script_value(&self, owner: &str, key: &str) -> Result<Option<String>> {
        self.try_with(|store| store.script_value(owner, key))
    }

    fn script_keys(&self, owner: &str) -> Result<Vec<String>> {
        self.try_with(|store| store.script_keys(owner))
    }

    fn keep_script_value(&self, owner: &str, key: &str, content: Option<&str>) -> Result<()> {
        // Too much of a script's own is no reason to switch the state off.
        let now = self.clock.now();
        self.try_with(|store| Ok(store.keep_script_value(owner, key, content, now)))?
    }

    fn claim(&self, sides: &MirrorId) -> Option<TagLease> {
        // The folder may be usable even if the store is not.
        store::make_folder(&self.folder).ok()?;
        match marks::claim(&self.folder, sides) {
            Ok(claim) => claim,
            Err(error) => {
                tracing::info!(target: "portolan", "no owner tag for temporary names: {error}");
                None
            }
        }
    }

    fn note(&self, sides: &MirrorId, changes: &[(Vec<u8>, Option<SyncedFile>)]) {
        let rows: Vec<_> =
            changes.iter().map(|(path, pair)| (path_text(path), pair.map(row))).collect();
        let rows = || rows.iter().map(|(path, row)| (path.clone(), row.as_ref()));
        self.with(|store| store.note(&mirror(sides), rows(), self.clock.now()));
    }

    fn intents(&self, sides: &MirrorId) -> Intents {
        let read = |store: &mut Store| {
            let mut intents = Intents::new();
            store.intents(&mirror(sides), |path, row| {
                // A path that leads elsewhere is not one of ours.
                let path =
                    path_bytes(&path).filter(|path| RelativePath::parse(path.clone()).is_ok());
                intents.extend(path.map(|path| (path, intent(&row))));
            })?;
            Ok(intents)
        };
        self.with(read).unwrap_or_default()
    }

    fn settle(&self, sides: &MirrorId, kept: &BTreeSet<Vec<u8>>) {
        let kept: BTreeSet<_> = kept.iter().map(|path| path_text(path)).collect();
        self.with(|store| store.settle(&mirror(sides), &kept));
    }

    fn intend(&self, sides: &MirrorId, intents: &[(Vec<u8>, Intent)]) -> Result<()> {
        let rows: Vec<_> =
            intents.iter().map(|(path, intent)| (path_text(path), intent_row(*intent))).collect();
        let rows = || rows.iter().map(|(path, row)| (path.clone(), row));
        let any = word(Intent::Any);
        self.try_with(|store| store.intend(&mirror(sides), rows(), any, self.clock.now()))
    }
}

/// Returns the word that is stored for an intent.
const fn word(intent: Intent) -> &'static str {
    match intent {
        Intent::Gone => "gone",
        Intent::Bytes(..) => "bytes",
        Intent::Any => "any",
    }
}

fn intent_row(intent: Intent) -> IntentRow {
    let (size, local_us) = match intent {
        Intent::Bytes(size, local_us) => (Some(size), local_us),
        Intent::Gone | Intent::Any => (None, None),
    };
    IntentRow { what: word(intent).into(), size, local_us }
}

/// Reads a stored intent; an unknown word of another version allows no conclusion and becomes `Any`.
fn intent(row: &IntentRow) -> Intent {
    match (&*row.what, row.size) {
        ("gone", _) => Intent::Gone,
        ("bytes", Some(size)) => Intent::Bytes(size, row.local_us),
        _ => Intent::Any,
    }
}

fn mirror(sides: &MirrorId) -> bases::MirrorKey {
    bases::MirrorKey {
        host: sides.host.clone(),
        port: sides.port,
        login: sides.user.clone(),
        remote: path_text(sides.remote.as_bytes()),
        local: path_text(sides.local.as_os_str().as_bytes()),
    }
}

fn row(pair: SyncedFile) -> FileRow {
    FileRow {
        hash: pair.hash.as_ref().map(hash_text).unwrap_or_default(),
        local_size: pair.local_size,
        local_us: pair.local_us,
        remote_size: pair.remote_size,
        remote_time: pair.remote_time.and_then(Modified::text).unwrap_or_default(),
    }
}

fn pair(row: &FileRow) -> Option<SyncedFile> {
    let hash = if row.hash.is_empty() { None } else { Some(read_hash(&row.hash)?) };
    let is_timed = !row.remote_time.is_empty();
    let remote_time = if is_timed { Some(Modified::read(&row.remote_time)?) } else { None };
    let FileRow { local_size, local_us, remote_size, .. } = *row;
    Some(SyncedFile { hash, local_size, local_us, remote_size, remote_time })
}

fn key(place: &ServerPlace) -> ServerKey {
    let ServerPlace { host, port, user, protection, network } = place.clone();
    ServerKey { host, port, login: user, network, protection: protection.into() }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use portolan_core::observe::{Event, Sink};
    use portolan_ftp::path::RemotePath;

    /// A sink that collects all messages, whatever their level.
    #[derive(Default)]
    struct Said(Mutex<Vec<String>>);

    impl Sink for Said {
        fn event(&self, event: &Event) {
            if let Event::Said { level, text } = event {
                self.0.lock().unwrap().push(format!("{level:?}: {text}"));
            }
        }
    }

    fn observed() -> (EventEmitter, Arc<Said>) {
        let said = Arc::new(Said::default());
        (EventEmitter::new(vec![Box::new(Arc::clone(&said))]), said)
    }

    fn place() -> ServerPlace {
        ServerPlace {
            host: "a".into(),
            port: 21,
            user: "tester".into(),
            protection: "explicit",
            network: "192.0.2.0/24".into(),
        }
    }

    const KNOWN: ServerRecord = ServerRecord {
        step: DataMethod::Port,
        failed_mode: Some(Mode::Passive),
        tls12_only: true,
        refuses_list_all: false,
        is_elsewhere: true,
        round_trip: Duration::from_millis(20),
        habits: Habits::NONE,
        address: None,
    };

    #[test]
    fn what_was_known_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::standing_at(100);
        let open = || StateAdapter::named(folder.path(), EventEmitter::default(), clock.clone());
        open().remember(&place(), KNOWN);
        assert_eq!(open().recall(&place()), Some(KNOWN));
        open().forget(&place(), DataMethod::Port);
        assert_eq!(open().recall(&place()), None);
    }

    #[test]
    fn the_base_of_a_mirror_comes_back_whole_and_for_no_other_folder() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::standing_at(100);
        let open = || StateAdapter::named(folder.path(), EventEmitter::default(), clock.clone());
        let sides = |local: &str| MirrorId {
            host: "a".into(),
            port: 21,
            user: "tester".into(),
            remote: RemotePath::parse("/in").unwrap(),
            local: local.into(),
        };
        let pair = |hash, time| SyncedFile {
            hash,
            local_size: 3,
            local_us: Some(-5),
            remote_size: Some(3),
            remote_time: Modified::read(time),
        };
        let pairs = [
            (b"caf\xe9/100%".to_vec(), Some(pair(Some([7; 32]), "2026-02-11T14:22"))),
            (b"b".to_vec(), Some(pair(None, ""))),
        ];
        open().note(&sides("/x"), &pairs);
        let base = open().base(&sides("/x"));
        assert_eq!(base.len(), 2);
        for (path, pair) in &pairs {
            assert_eq!(base.get(&path[..]).copied(), *pair);
        }
        assert_eq!(open().base(&sides("/y")), SyncBase::new());
    }

    #[test]
    fn a_store_that_is_held_is_said_once_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let (observer, said) = observed();
        let memory = StateAdapter::named(folder.path(), observer, Clock::standing_at(100));
        assert_eq!(memory.recall(&place()), None);
        Store::open(folder.path())
            .unwrap()
            .held(|| {
                memory.remember(&place(), KNOWN);
                memory.forget(&place(), KNOWN.step);
            })
            .unwrap();
        memory.remember(&place(), KNOWN);
        assert_eq!(memory.recall(&place()), None);
        let said = said.0.lock().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("Warn: the state is switched off for the rest of this run: "),
            "{said:?}"
        );
    }

    #[test]
    fn a_default_folder_that_is_missing_is_no_error() {
        for (make, level) in [
            (StateAdapter::named as fn(&Path, EventEmitter, Clock) -> StateAdapter, "Warn"),
            (StateAdapter::usual, "Debug"),
        ] {
            let (observer, said) = observed();
            let memory = make(Path::new("/proc/nowhere"), observer, Clock::System);
            memory.remember(&place(), KNOWN);
            assert_eq!(memory.recall(&place()), None);
            let said = said.0.lock().unwrap();
            assert_eq!(said.len(), 1, "{said:?}");
            let start = format!("{level}: nothing is remembered: /proc/nowhere: cannot use");
            assert!(said[0].starts_with(&start), "{said:?}");
        }
    }
}
