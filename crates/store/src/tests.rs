//! Tests of the file itself: its permissions, damage, and concurrent writers.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rusqlite::types::Value;

use super::{FILE, Store};
use portolan_core::error::ErrorKind;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn pragma(store: &Store, name: &str) -> Value {
    store.read(|all| all.pragma_query_value(None, name, |row| row.get(0))).unwrap()
}

#[test]
fn the_folder_and_the_file_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("a/b");
    let store = Store::open(&state).unwrap();
    assert_eq!([mode(&folder.path().join("a")), mode(&state)], [0o700, 0o700]);
    let files: Vec<_> = fs::read_dir(&state).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    drop(store);
    assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
}

#[test]
fn what_is_written_survives_a_loss_of_power_and_readers_do_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let other = Store::open(folder.path()).unwrap();
    let set = ["journal_mode", "synchronous", "foreign_keys"].map(|name| pragma(&store, name));
    assert_eq!(set, [Value::Text("wal".into()), Value::Integer(2), Value::Integer(1)]);
    store
        .write(|transaction| {
            transaction.execute("DELETE FROM routes", [])?;
            let all = "SELECT COUNT(*) FROM routes";
            let seen: i64 = other.read(|it| it.query_row(all, [], |row| row.get(0))).unwrap();
            assert_eq!(seen, 0);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_damaged_file_is_named_with_what_to_do_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let page = "no database, and longer than the head of one. ".repeat(200);
    fs::write(&file, &page).unwrap();
    let fault = Store::open(folder.path()).unwrap_err();
    let words = format!(
        "{}: cannot open the store: it is damaged; move it away, and the next run begins a new one",
        file.display()
    );
    assert_eq!((fault.kind, fault.to_string()), (ErrorKind::Local, words));
    assert_eq!(fs::read_to_string(&file).unwrap(), page);
}

#[test]
fn pages_that_are_overwritten_are_seen_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let file = folder.path().join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    bytes.iter_mut().skip(100).for_each(|byte| *byte = 0xa5);
    fs::write(&file, bytes).unwrap();
    let fault = Store::open(folder.path()).unwrap_err();
    assert!(fault.message.contains("it is damaged; move it away"), "{fault}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("file/state");
    fs::write(folder.path().join("file"), "").unwrap();
    let fault = Store::open(&state).unwrap_err();
    let words = format!("{}: cannot use the state folder: not a directory", state.display());
    assert_eq!(fault.to_string(), words);
}

#[test]
fn many_may_open_a_new_store_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let open = || scope.spawn(|| Store::open(folder.path()).map(drop));
            let all: Vec<_> = (0..16).map(|_| open()).collect();
            for one in all {
                one.join().unwrap().unwrap();
            }
        });
    }
}

#[test]
fn a_store_that_is_held_too_long_is_a_fault_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let mut other = Store::open(folder.path()).unwrap();
    store
        .held(|| {
            let fault = other.write(|_| Ok(())).unwrap_err();
            assert!(fault.message.contains("another process has held it for more than"), "{fault}");
        })
        .unwrap();
}

/// Simulates a power failure: only the beginning of the write-ahead log has reached the disk.
#[test]
fn a_log_that_is_cut_anywhere_is_the_store_of_before_or_after() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    store.write(|all| all.execute_batch("CREATE TABLE counted (x BIGINT NOT NULL)")).unwrap();
    for number in 1..=3 {
        store.write(|all| all.execute("INSERT INTO counted VALUES ($1)", [number])).unwrap();
    }
    let main = fs::read(store.place()).unwrap();
    let log = fs::read(folder.path().join("portolan.db-wal")).unwrap();
    let mut last = 0;
    for length in (0..=log.len()).step_by(1031).chain([log.len()]) {
        let crashed = tempfile::tempdir().unwrap();
        fs::write(crashed.path().join(FILE), &main).unwrap();
        fs::write(crashed.path().join("portolan.db-wal"), &log[..length]).unwrap();
        let mut store = Store::open(crashed.path()).unwrap();
        let make = "CREATE TABLE IF NOT EXISTS counted (x BIGINT NOT NULL)";
        store.write(|all| all.execute_batch(make)).unwrap();
        let count = "SELECT COUNT(*) FROM counted";
        let count: i64 = store.read(|all| all.query_row(count, [], |row| row.get(0))).unwrap();
        assert!(count >= last, "{length} bytes: {count} after {last}");
        last = count;
    }
    assert_eq!(last, 3);
}
