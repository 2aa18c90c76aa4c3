use super::*;
use portolan_core::error::ErrorKind;

const TABLES: [&str; 27] = [
    "alerts",
    "arrived_files",
    "attempts",
    "dispatches",
    "fallbacks",
    "job_states",
    "leases",
    "lost_runs",
    "migrations",
    "mirror_files",
    "mirror_intents",
    "mirrors",
    "nat_changes",
    "nat_rulesets",
    "notices",
    "release_contents",
    "release_files",
    "releases",
    "requests",
    "routes",
    "run_files",
    "run_logs",
    "run_progress",
    "runs",
    "script_values",
    "tokens",
    "workers",
];

fn tables(store: &Store) -> Vec<String> {
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let read = store
        .read(|connection| connection.prepare(names)?.query_map([], |row| row.get(0))?.collect());
    read.unwrap()
}

#[test]
fn each_step_is_taken_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    assert_eq!(tables(&store), TABLES);
    let more = [MIGRATIONS, &["CREATE TABLE a (x BIGINT)", "DROP TABLE a"]].concat();
    for _ in 0..2 {
        climb(&mut store, &more).unwrap();
        assert_eq!(store.query(version).unwrap(), i64::try_from(more.len()).unwrap());
        assert_eq!(tables(&store), TABLES);
    }
}

#[test]
fn reasons_of_older_rows_become_words() {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let mut store = Store { database: Database::Sqlite(connection, folder.path().into()) };
    climb(&mut store, &MIGRATIONS[..9]).unwrap();
    let rows = [
        ("paused since 2026-06-01T00:00:00Z", Some("paused"), None),
        ("paused since 2026-06-01T00:00:00Z: moving", Some("paused"), None),
        ("missed, covered by 2026-06-01T03:00:00Z", Some("covered"), Some(1_780_282_800_000)),
        (
            "missed, covered by 1999-12-31T23:59:59Z; so are all later ones up to 2026-06-01T03:00:00Z",
            Some("covered"),
            Some(946_684_799_000),
        ),
        ("missed, and `misfire` is \"skip\"", None, None),
    ];
    for (id, (reason, ..)) in (0_i64..).zip(&rows) {
        let insert = "INSERT INTO runs (id, job, revision, slot, script, cause, decided_at, outcome, reason, covers,
                attempts, files, bytes, fallbacks)
            VALUES ($1, 'a', 'r', $2, 's', 'schedule', 0, 'skipped', $3, 1, 0, 0, 0, 0)";
        store
            .write(|it| it.execute(insert, rusqlite::params![id, id.to_string(), reason]).map(drop))
            .unwrap();
    }
    climb(&mut store, MIGRATIONS).unwrap();
    let found: Vec<(Option<String>, Option<i64>)> = store
        .read(|it| {
            it.prepare("SELECT reason_code, covered_by FROM runs ORDER BY id")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .unwrap();
    let wanted: Vec<_> = rows.map(|(_, code, by)| (code.map(str::to_owned), by)).into();
    assert_eq!(found, wanted);
}

#[test]
fn a_step_that_fails_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let more = [MIGRATIONS, &["CREATE TABLE a (x BIGINT)", "CREATE TABLE a (x BIGINT)"]].concat();
    let fault = climb(&mut store, &more).unwrap_err();
    assert!(fault.to_string().contains("table a already exists"), "{fault}");
    assert_eq!(tables(&store), TABLES);
    assert_eq!(store.query(version).unwrap(), i64::try_from(MIGRATIONS.len()).unwrap());
}

#[test]
fn a_store_of_a_newer_portolan_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let file = store.place();
    let newer = MIGRATIONS.len() + 1;
    climb(&mut store, &[MIGRATIONS, &["CREATE TABLE later (x BIGINT)"]].concat()).unwrap();
    drop(store);
    let fault = Store::open(folder.path()).unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Local);
    let words = format!(
        "{}: cannot use the store: a newer portolan wrote it (its schema is {newer}, this one knows {}); use that \
         one, or another folder with --state",
        file,
        newer - 1,
    );
    assert_eq!(fault.to_string(), words);
}
