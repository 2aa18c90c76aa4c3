//! The records that undo NAT rules: implements the ledger of `nat` on top of the store.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::Mutex,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use portolan_core::{
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
};
use portolan_fs::owned;
use portolan_nat::{
    NatError,
    history::HistoryEntry,
    ruleset_store::{RulesetRecord, RulesetStore},
};
use portolan_store as store;
use portolan_store::Store;

/// The lock file in the state folder that lets only one portolan process change rules at a time.
const LOCK: &str = "nat.lock";

/// The ledger in a state folder. Without its records nothing could be undone, so its failures are errors.
#[derive(Debug)]
pub struct NatLedger {
    folder: PathBuf,
    clock: Clock,
    /// The store, opened on first use.
    store: Mutex<Option<Store>>,
    /// The ledger of earlier versions: its records are read, and go with those of this one.
    older: Option<Box<Self>>,
}

impl NatLedger {
    /// Creates a ledger for `folder`.
    pub fn new(folder: &Path, clock: Clock) -> Self {
        Self { folder: folder.to_owned(), clock, store: Mutex::new(None), older: None }
    }

    /// Adds a folder in which earlier versions kept their records, behind those that were added before it.
    #[must_use]
    pub fn with_older(self, folder: &Path) -> Self {
        let older = match self.older {
            Some(older) => older.with_older(folder),
            None => Self::new(folder, self.clock.clone()),
        };
        Self { older: Some(Box::new(older)), ..self }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        let mut store = self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let open = match store.take() {
            Some(open) => open,
            None => Store::open(&self.folder)?,
        };
        work(store.insert(open))
    }

    /// Returns true if the state folder exists; read-only use must not create it.
    fn is_there(&self) -> bool {
        self.folder.is_dir()
    }
}

impl RulesetStore for NatLedger {
    fn lock(&self) -> Result<File> {
        store::make_folder(&self.folder)?;
        let path = self.folder.join(LOCK);
        let file = owned::open(&path, OpenOptions::new().append(true).create(true));
        let file = file.map_err(|error| Error::local("open", &path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => {
                Err(NatError::Busy.fault("another portolan is changing rules just now"))
            }
            Err(error) => Err(Error::local("lock", &path, error.into())),
        }
    }

    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn load(&self, ruleset: &str) -> Result<Option<RulesetRecord>> {
        let own =
            if self.is_there() { self.with(|store| store.nat_record(ruleset))? } else { None };
        match (own, &self.older) {
            (Some(text), _) => read(&text).map(Some),
            (None, Some(older)) => older.load(ruleset),
            (None, None) => Ok(None),
        }
    }

    fn save(&self, record: &RulesetRecord) -> Result<()> {
        let text = serde_json::to_string(record).map_err(|error| damaged(&error))?;
        let now = self.clock.now();
        self.with(|store| store.keep_nat_record(&record.ruleset, &text, now))
    }

    fn forget(&self, ruleset: &str) -> Result<()> {
        if let Some(older) = self.older.as_ref().filter(|older| older.is_there()) {
            older.forget(ruleset)?;
        }
        self.with(|store| store.forget_nat_record(ruleset))
    }

    fn all(&self) -> Result<Vec<RulesetRecord>> {
        let texts =
            if self.is_there() { self.with(|store| store.nat_records())? } else { Vec::new() };
        let mut all = texts.iter().map(|text| read(text)).collect::<Result<Vec<_>>>()?;
        for record in
            self.older.iter().map(|older| older.all()).collect::<Result<Vec<_>>>()?.concat()
        {
            if all.iter().all(|own| own.ruleset != record.ruleset) {
                all.push(record);
            }
        }
        all.sort_by(|one, other| one.ruleset.cmp(&other.ruleset));
        Ok(all)
    }

    fn append(&self, entry: &HistoryEntry) -> Result<()> {
        let text = serde_json::to_string(entry).map_err(|error| damaged(&error))?;
        let now = self.clock.now();
        self.with(|store| store.add_nat_change(&entry.ruleset, &text, now))
    }

    fn history(&self, ruleset: Option<&str>) -> Result<Vec<HistoryEntry>> {
        if !self.is_there() {
            return Ok(Vec::new());
        }
        let entry = |(number, text): &(u32, String)| {
            let entry: HistoryEntry =
                serde_json::from_str(text).map_err(|error| damaged(&error))?;
            Ok(HistoryEntry { number: *number, ..entry })
        };
        self.with(|store| store.nat_changes(ruleset))?.iter().map(entry).collect()
    }
}

fn read(text: &str) -> Result<RulesetRecord> {
    serde_json::from_str(text).map_err(|error| damaged(&error))
}

fn damaged(error: &serde_json::Error) -> Error {
    let message = format!("what is remembered of a ruleset cannot be read: {error}");
    Error::new(ErrorKind::Local, Origin::Here, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_nat::ruleset_store::Undo;

    #[test]
    fn a_record_comes_back_as_it_was_and_looking_makes_no_folder() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("state");
        let ledger = NatLedger::new(&folder, Clock::System);
        assert_eq!(ledger.load("office").unwrap(), None);
        assert_eq!(ledger.all().unwrap(), []);
        assert!(!folder.exists());
        let undo = Some(Undo { body: "table inet x {\n}\n".into(), ..Undo::default() });
        let record = RulesetRecord { ruleset: "office".into(), undo, ..RulesetRecord::default() };
        ledger.save(&record).unwrap();
        let other = NatLedger::new(&folder, Clock::System);
        assert_eq!(other.load("office").unwrap(), Some(record));
        other.forget("office").unwrap();
        assert_eq!(ledger.all().unwrap(), []);
    }

    #[test]
    fn changes_are_numbered_for_each_ruleset() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = NatLedger::new(folder.path(), Clock::System);
        let entry = |name: &str, comment: &str| HistoryEntry {
            ruleset: name.into(),
            comment: comment.into(),
            ..HistoryEntry::default()
        };
        for (name, comment) in [("office", "a"), ("gate", "b"), ("office", "c")] {
            ledger.append(&entry(name, comment)).unwrap();
        }
        let told = |ruleset| -> Vec<(String, u32, String)> {
            let all = ledger.history(ruleset).unwrap().into_iter();
            all.map(|one| (one.ruleset, one.number, one.comment)).collect()
        };
        let own = |name: &str, number, comment: &str| (name.to_owned(), number, comment.to_owned());
        assert_eq!(told(Some("office")), [own("office", 1, "a"), own("office", 2, "c")]);
        assert_eq!(told(None).len(), 3);
    }

    #[test]
    fn records_of_earlier_versions_are_read_and_go_with_the_new_ones() {
        let above = tempfile::tempdir().unwrap();
        let [main, home] = ["main", "home"].map(|name| above.path().join(name));
        let earlier = NatLedger::new(&home, Clock::System);
        let record = |name: &str, body: &str| RulesetRecord {
            ruleset: name.into(),
            body: body.into(),
            ..RulesetRecord::default()
        };
        earlier.save(&record("office", "old")).unwrap();
        let ledger = NatLedger::new(&main, Clock::System).with_older(&home);
        assert_eq!(ledger.load("office").unwrap(), Some(record("office", "old")));
        assert!(!main.exists());
        ledger.save(&record("office", "new")).unwrap();
        ledger.save(&record("lab", "")).unwrap();
        assert_eq!(ledger.load("office").unwrap(), Some(record("office", "new")));
        assert_eq!(ledger.all().unwrap(), [record("lab", ""), record("office", "new")]);
        ledger.forget("office").unwrap();
        assert_eq!((ledger.load("office").unwrap(), earlier.all().unwrap()), (None, Vec::new()));
    }

    #[test]
    fn the_newest_of_several_folders_counts() {
        let above = tempfile::tempdir().unwrap();
        let [main, older, oldest] = ["main", "older", "oldest"].map(|name| above.path().join(name));
        let record = |body: &str| RulesetRecord {
            ruleset: "office".into(),
            body: body.into(),
            ..RulesetRecord::default()
        };
        let ledger = NatLedger::new(&main, Clock::System).with_older(&older).with_older(&oldest);
        for (folder, body) in [(&oldest, "a"), (&older, "b"), (&main, "c")] {
            NatLedger::new(folder, Clock::System).save(&record(body)).unwrap();
            assert_eq!(ledger.load("office").unwrap(), Some(record(body)));
            assert_eq!(ledger.all().unwrap(), [record(body)]);
        }
        ledger.forget("office").unwrap();
        assert_eq!((ledger.load("office").unwrap(), ledger.all().unwrap()), (None, Vec::new()));
    }

    #[test]
    fn one_at_a_time_changes_rules() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = [0, 1].map(|_| NatLedger::new(folder.path(), Clock::System)).into();
        let held = one.lock().unwrap();
        assert_eq!(other.lock().unwrap_err().name, Some("nat.busy"));
        drop(held);
        other.lock().unwrap();
    }
}
