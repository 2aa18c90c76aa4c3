//! `portolan why` queries the history if there is any.

use std::{fs, path::Path};

use jiff::SignedDuration;
use portolan::store::Store;
use serde_json::Value;

use super::kills::{HOURLY, Set};
use crate::support::program::Portolan;

fn why(folder: &Path, at: &str, more: &[&str]) -> Portolan {
    let program = Portolan::new().args(["why", "a", "--at", at]).args(more.iter().copied());
    program
        .args(["--jobs"])
        .args([folder.join("portolan.toml")])
        .args(["--state"])
        .args([folder.join("state")])
}

fn answer(folder: &Path, at: &str) -> Value {
    why(folder, at, &["--json"]).run().succeeds().json()
}

/// Checks the status of the slot `at`, as the word and in words.
#[track_caller]
fn says(folder: &Path, at: &str, word: &str, words: &str) -> Value {
    let found = answer(folder, at);
    assert_eq!(found.get("became").unwrap(), word, "{at}: {found:#}");
    let said = found.get("why").unwrap().as_str().unwrap();
    assert!(said.contains(words), "{at}: {found:#}");
    let page =
        why(folder, at, &[]).run().succeeds().any_stdout().stdout_text().replace("\n  ", " ");
    assert!(page.contains(words), "{at}: {page}");
    found
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

#[test]
fn why_tells_what_became_of_each_slot_of_a_job() {
    let mut set = Set::new("2026-06-01T20:30:00Z", HOURLY);
    let folder = set.folder.path().to_owned();
    says(&folder, "2026-06-01T21:00:00Z", "undecided", "the scheduler has not decided it yet");
    set.turn();
    set.go(minutes(30));
    set.turn();
    let mut store = Store::open(&folder.join("state")).unwrap();
    store.pause("a", Some("moving house"), "2026-06-01T21:00:00Z".parse().unwrap()).unwrap();
    set.go(minutes(60));
    set.turn();
    store.resume("a", jiff::Timestamp::UNIX_EPOCH).unwrap();
    set.turn();
    set.daemon = None;
    set.go(minutes(72 * 60 + 30));
    set.open();
    set.turn();
    set.daemon = None;

    let found = says(&folder, "2026-06-01 23:00", "ran", "run 1 is done");
    assert_eq!(found["run"]["id"], 1);
    says(
        &folder,
        "2026-06-01T22:00:00Z",
        "paused",
        "the job was paused since 2026-06-01T21:00:00Z: moving house",
    );
    let found = says(
        &folder,
        "2026-06-03T05:00:00Z",
        "covered",
        "no scheduler was running at that time; run",
    );
    assert_eq!(found["covered_by"]["covers"], 72);
    assert_eq!(found["run"]["outcome"], "skipped");
    let found = says(
        &folder,
        "2026-06-04T22:00:00Z",
        "caught-up",
        "caught up: it is done, for 72 slots, began 30 min late",
    );
    assert_eq!(found["run"]["trigger"], "catchup");
    says(&folder, "2026-06-04T23:00:00Z", "undecided", "no scheduler has been awake since");
    says(&folder, "2026-06-01T20:00:00Z", "before", "the job has this schedule since");
    says(&folder, "2026-06-01T21:00:01Z", "no-slot", "the schedule does not name that time");
    says(&folder, "2199-06-01T21:00:00Z", "to-come", "it has not come yet");
    // Without any runs, the schedule is the only source.
    fs::rename(folder.join("state"), folder.join("elsewhere")).unwrap();
    assert_eq!(answer(&folder, "2026-06-01T21:00:00Z")["became"], Value::Null);
    assert!(!folder.join("state").exists());
    fs::rename(folder.join("elsewhere"), folder.join("state")).unwrap();
    // Rows that the history no longer has are not made up.
    let gone = store.prune("a", 1, "2026-06-02T00:00:00Z".parse().unwrap()).unwrap();
    assert!(gone.contains(&1), "{gone:?}");
    says(&folder, "2026-06-01T21:00:00Z", "forgotten", "not known any more");
}

#[test]
fn why_knows_slots_that_share_a_row_and_those_of_an_older_schedule() {
    let often = HOURLY.replace("0 * * * *", "* * * * *");
    let mut set = Set::new("2026-06-01T20:30:00Z", &often);
    let folder = set.folder.path().to_owned();
    set.turn();
    set.daemon = None;
    set.go(minutes(36 * 60));
    set.open();
    set.turn();
    set.daemon = None;
    // The oldest of 2160 missed minutes share one row.
    let found = says(
        &folder,
        "2026-06-01T22:07:00Z",
        "covered",
        "no scheduler was running at that time; run",
    );
    assert_eq!(found["covered_by"]["covers"], 36 * 60, "{found:#}");
    assert_eq!(found["run"]["scheduled_for"], "2026-06-01T20:31:00Z");

    fs::write(folder.join("portolan.toml"), HOURLY).unwrap();
    says(&folder, "2026-06-03T08:30:00Z", "ran", "is done, for 2160 slots");
    says(&folder, "2026-06-03T08:00:00Z", "covered", "caught up: it is done, for 2160 slots");
    let found =
        says(&folder, "2026-06-03T09:00:00Z", "before", "no scheduler has read this schedule yet");
    assert_eq!(found["run"], Value::Null);
}

#[test]
fn why_tells_of_a_slot_that_was_skipped_with_the_reason_and_of_a_failure_with_its_error() {
    let job = HOURLY.replace("catchup_spread", "misfire = \"skip\"\ncatchup_spread");
    let mut set = Set::new("2026-06-01T20:30:00Z", &job);
    let folder = set.folder.path().to_owned();
    fs::write(folder.join("a.rhai"), "fail(\"no good\");").unwrap();
    set.turn();
    set.go(minutes(30));
    set.turn();
    set.daemon = None;
    set.go(minutes(150));
    set.open();
    set.turn();
    set.daemon = None;
    says(&folder, "2026-06-01T21:00:00Z", "ran", "run 1 is failed, took");
    says(&folder, "2026-06-01T21:00:00Z", "ran", "no good");
    says(
        &folder,
        "2026-06-01T22:00:00Z",
        "missed",
        "it was skipped later: missed, and `misfire` is \"skip\"",
    );
}
