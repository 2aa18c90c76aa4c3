//! The interfaces that other programs and older versions rely on: recorded in `tests/data/contracts`, extended but
//! never changed.
//!
//! Each record is a sorted list. A line that the program no longer has fails the test; a new one passes, and
//! `PORTOLAN_UPDATE_CONTRACTS=1` adds it to the record. Lines are removed by hand only.

mod command_line;
mod documents;
mod jobs_file;
mod language;
mod nat;
mod state;

use std::{collections::BTreeSet, env, fs, path::PathBuf};

/// Returns the lines that are in `record` but not in `current`.
fn missing<'r>(record: &'r str, current: &BTreeSet<String>) -> Vec<&'r str> {
    record.lines().filter(|line| !line.is_empty() && !current.contains(*line)).collect()
}

/// Fails unless everything in the record `name` is still in `current`.
///
/// # Panics
/// If something was removed or renamed, or if the record cannot be read.
#[track_caller]
fn holds(name: &str, current: &BTreeSet<String>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/contracts").join(name);
    let record = fs::read_to_string(&path).unwrap_or_default();
    let gone = missing(&record, current);
    assert!(
        gone.is_empty(),
        "{name}: no longer there (a contract is extended, never changed): {gone:#?}"
    );
    if env::var_os("PORTOLAN_UPDATE_CONTRACTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines: String = current.iter().flat_map(|line| [line, "\n"]).collect();
        fs::write(&path, lines).unwrap();
        return;
    }
    assert!(!record.is_empty(), "{name}: no such record; PORTOLAN_UPDATE_CONTRACTS=1 makes it");
}

#[test]
fn a_removal_and_a_rename_fail_and_an_addition_passes() {
    let set = |all: &[&str]| all.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
    let record = "get --json\nget --resume\n";
    assert!(missing(record, &set(&["get --json", "get --resume"])).is_empty());
    assert!(missing(record, &set(&["get --json", "get --new", "get --resume"])).is_empty());
    assert_eq!(missing(record, &set(&["get --json"])), ["get --resume"]);
    assert_eq!(missing(record, &set(&["get --json", "get --continue"])), ["get --resume"]);
}
