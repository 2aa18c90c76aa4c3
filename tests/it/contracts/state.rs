//! The state directory, its database, names of temporary files, and metrics.

use std::{collections::BTreeSet, ffi::OsStr, fs, path::Path};

use portolan::files::{is_temporary, read_marked};
use rusqlite::Connection;
use rustix::process::Signal;

use super::holds;
use crate::{serve::scheduler::Scheduler, support::wait};

/// Returns every table of the database with its columns and their types: `runs.job TEXT`.
fn columns(database: &Path) -> BTreeSet<String> {
    let connection = Connection::open(database).unwrap();
    let sql = "SELECT t.name, c.name, c.type FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'";
    let mut statement = connection.prepare(sql).unwrap();
    let column = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
        let (table, name, kind): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("{table}.{name} {kind}"))
    };
    statement.query_map([], column).unwrap().map(Result::unwrap).collect()
}

/// Returns every file and directory below `top`, with run numbers replaced by `N`.
fn names(top: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
            let is_log = path.extension() == Some(OsStr::new("log"));
            let name = name
                .rsplit_once('/')
                .filter(|_| is_log)
                .map_or(name.clone(), |(directory, _)| format!("{directory}/N.log"));
            if path.is_dir() {
                waiting.push(path);
            }
            names.insert(name);
        }
    }
    names
}

#[test]
fn the_state_directory_its_database_and_metrics_keep_their_names() {
    let scheduler = Scheduler::new(
        "[[job]]\nname = \"tick\"\nscript = \"tick.rhai\"\ncron = \"* * * * * *\"\n",
    );
    scheduler.file("tick.rhai", "print(\"tick\");");
    let running = scheduler.serve(&["--metrics", "127.0.0.1:0"]).spawn();
    running.until_stderr_has("metrics at http://");
    scheduler.until_outcome("tick", "done");
    let said = running.stderr_text();
    let address = said.split("metrics at http://").nth(1).unwrap().split('/').next().unwrap();
    let page = wait::until(crate::serve::scheduler::TIME_MAX, || {
        let page = crate::serve::told::fetch(address, "/metrics");
        page.contains("outcome=\"done\"").then_some(page)
    });
    let metrics = page.unwrap();
    let metrics = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    holds("metrics.txt", &metrics.map(str::to_owned).collect());
    holds("state-directory.txt", &names(&scheduler.state()));
    running.signal(Signal::TERM);
    drop(running.wait().succeeds().any_stderr());
    holds("database.txt", &columns(&scheduler.state().join("portolan.db")));
}

/// Checks that the names of earlier versions, left by killed runs, are still recognized.
#[test]
fn temporary_names_of_earlier_versions_are_recognized() {
    let mark = "0123456789abcdef";
    for (name, mark_of) in [
        (".portolan-0123456789abcdef.part", None),
        (".portolan-0123456789abcdef-6612f3a00badcafe.part", Some(mark)),
        (".portolan-0123456789abcdef-0123456789abcdef0123456789abcdef.part", Some(mark)),
    ] {
        assert!(is_temporary(OsStr::new(name)), "{name}");
        assert_eq!(read_marked(name.as_bytes()).map(|marked| marked.mark), mark_of, "{name}");
    }
    assert!(!is_temporary(OsStr::new(".portolan-notes.txt")));
    assert!(!is_temporary(OsStr::new("portolan-0123456789abcdef.part")));
}
