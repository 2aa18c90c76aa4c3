//! Files that have arrived, each with the run that was given it.
//!
//! A file is handed out in the transaction that records its run: a process that is killed before leaves nothing, and one
//! that is killed after leaves a run with its files.

use jiff::Timestamp;

use super::look::instant;
use crate::{
    Store,
    sql::{Sql, SqlResult, SqlRow, values},
};
use portolan_core::error::Result;

/// A file that has arrived. Its size and time are part of its identity: other content is another file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArrivedFile {
    /// The server, as the job names it; empty for a directory of this host.
    pub site: String,
    /// The directory, as the job names it.
    pub directory: String,
    /// The name in the directory.
    pub name: String,
    /// The size in bytes; -1 if it is not known.
    pub size: i64,
    /// The modification time, as exact as it is known; empty if it is not.
    pub modified: String,
}

impl ArrivedFile {
    /// Returns its path: that of the directory, and the name.
    pub fn path(&self) -> String {
        let directory = self.directory.trim_end_matches('/');
        match directory {
            "" if self.directory.is_empty() => self.name.clone(),
            "." => self.name.clone(),
            _ => format!("{directory}/{}", self.name),
        }
    }
}

/// Files for a run that is recorded.
#[derive(Debug, Clone, Copy)]
pub struct HandOut<'f> {
    /// The index of the run among those that are recorded.
    pub row: usize,
    /// The job.
    pub job: &'f str,
    /// The files.
    pub files: &'f [ArrivedFile],
}

/// A file that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFile {
    /// The file.
    pub file: ArrivedFile,
    /// True if it is no longer in its directory.
    pub is_gone: bool,
}

impl Store {
    /// Returns the files that runs of a job were given, as long as they are known.
    pub fn seen_files(&self, job: &str) -> Result<Vec<SeenFile>> {
        let query = "SELECT site, directory, name, size, modified, gone_at FROM arrived_files WHERE job = $1";
        let seen = |row: &SqlRow| {
            let gone_at: Option<i64> = row.get("gone_at")?;
            Ok(SeenFile { file: file(row)?, is_gone: gone_at.is_some() })
        };
        self.query(|sql| sql.all(query, &values![job], seen))
    }

    /// Returns the files that a run was given, in the order of their names.
    pub fn files_given(&self, run: i64) -> Result<Vec<ArrivedFile>> {
        let query = "SELECT site, directory, name, size, modified FROM arrived_files WHERE run = $1
            ORDER BY name, modified, size";
        self.query(|sql| sql.all(query, &values![run], file))
    }

    /// Records that files of a job are no longer in their directory, or that they are there again.
    pub fn mark_gone(
        &mut self,
        job: &str,
        files: &[ArrivedFile],
        gone_at: Option<Timestamp>,
    ) -> Result<()> {
        let mark =
            "UPDATE arrived_files SET gone_at = $1 WHERE job = $2 AND site = $3 AND directory = $4
            AND name = $5 AND size = $6 AND modified = $7";
        self.transact(|sql| {
            let at = gone_at.map(Timestamp::as_millisecond);
            let row = |file: &ArrivedFile| {
                let ArrivedFile { site, directory, name, size, modified } = file;
                values![at, job, site, directory, name, size, modified].into()
            };
            sql.execute_each(mark, &files.iter().map(row).collect::<Vec<_>>()).map(drop)
        })
    }

    /// Forgets files that have been gone since before `before` and whose runs history no longer has. A file that is still
    /// in its directory is never forgotten: it would be handed out again.
    pub fn forget_gone(&mut self, before: Timestamp) -> Result<()> {
        let forget =
            "DELETE FROM arrived_files WHERE gone_at < $1 AND run NOT IN (SELECT id FROM runs)";
        self.transact(|sql| sql.execute(forget, &values![before.as_millisecond()]).map(drop))
    }

    /// Returns the newest time at which files were handed out to a job.
    pub fn last_given(&self, job: &str) -> Result<Option<Timestamp>> {
        let query = "SELECT MAX(scheduled_for) FROM runs WHERE job = $1 AND slot LIKE 'F%'";
        let last = self.query(|sql| sql.value(query, &values![job]))?;
        Ok(last.map(instant))
    }
}

fn file(row: &SqlRow) -> SqlResult<ArrivedFile> {
    Ok(ArrivedFile {
        site: row.get("site")?,
        directory: row.get("directory")?,
        name: row.get("name")?,
        size: row.get("size")?,
        modified: row.get("modified")?,
    })
}

/// Records the files of a run. One that another run was given stays with that run.
pub(super) fn hand_out(sql: &dyn Sql, given: &HandOut<'_>, run: i64) -> SqlResult<()> {
    let put = "INSERT INTO arrived_files (job, site, directory, name, size, modified, run)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (job, site, directory, name, size, modified) DO NOTHING";
    let row = |file: &ArrivedFile| {
        let ArrivedFile { site, directory, name, size, modified } = file;
        values![given.job, site, directory, name, size, modified, run].into()
    };
    sql.execute_each(put, &given.files.iter().map(row).collect::<Vec<_>>()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Decisions, NewRun, RunState, Trigger};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(slot: &str) -> NewRun {
        NewRun {
            job: "a".into(),
            revision: "files".into(),
            slot: Some(slot.into()),
            script: "a.rhai".into(),
            cause: Trigger::Watch,
            scheduled_for: Some(at(1)),
            up_to: None,
            moved_from: None,
            wait: None,
            state: RunState::Running,
            reason: None,
            reason_code: None,
            covered_by: None,
            covers: 1,
        }
    }

    /// Records a run with its files, and returns its number.
    fn decided(store: &mut Store, run: &NewRun, files: &[HandOut<'_>]) -> Option<i64> {
        let seen = store.lease().unwrap();
        let lease = store.take_lease("a", &seen).unwrap().unwrap();
        let runs = std::slice::from_ref(run);
        let decisions = Decisions { runs, files, ..Decisions::default() };
        store.decide_as(&lease, &decisions, at(1)).unwrap().unwrap()[0].run
    }

    fn named(name: &str, size: i64) -> ArrivedFile {
        let [server, modified] = ["", "1"].map(str::to_owned);
        ArrivedFile { site: server, directory: "out".into(), name: name.into(), size, modified }
    }

    #[test]
    fn a_file_stays_with_the_first_run_that_was_given_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let (one, two) = ([named("x", 1), named("y", 1)], [named("x", 1), named("x", 2)]);
        let mut ids: Vec<Option<i64>> = Vec::new();
        for (slot, files) in [("F1", &one), ("F2", &two)] {
            let given = [HandOut { row: 0, job: "a", files }];
            ids.push(decided(&mut store, &run(slot), &given));
        }
        let of = |run: Option<i64>| store.files_given(run.unwrap()).unwrap();
        assert_eq!(of(ids[0]), one);
        assert_eq!(of(ids[1]), [named("x", 2)]);
        assert_eq!(store.seen_files("a").unwrap().len(), 3);
        assert_eq!(store.seen_files("b").unwrap(), []);
        assert_eq!(store.last_given("a").unwrap(), Some(at(1)));
    }

    #[test]
    fn only_files_that_are_gone_with_their_runs_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let files = [named("x", 1), named("y", 1)];
        let given = [HandOut { row: 0, job: "a", files: &files }];
        decided(&mut store, &run("F1"), &given);
        store.mark_gone("a", &files[..1], Some(at(5))).unwrap();
        store.forget_gone(at(10)).unwrap();
        assert_eq!(store.seen_files("a").unwrap().len(), 2, "its run is in history");
        store.write(|it| it.execute("DELETE FROM runs", []).map(drop)).unwrap();
        store.forget_gone(at(5)).unwrap();
        assert_eq!(store.seen_files("a").unwrap().len(), 2, "it has just gone");
        store.forget_gone(at(10)).unwrap();
        let left: Vec<_> = store.seen_files("a").unwrap();
        assert_eq!(left, [SeenFile { file: named("y", 1), is_gone: false }]);
        store.mark_gone("a", &files[1..], Some(at(5))).unwrap();
        assert!(store.seen_files("a").unwrap()[0].is_gone);
        store.mark_gone("a", &files[1..], None).unwrap();
        assert!(!store.seen_files("a").unwrap()[0].is_gone);
    }

    #[test]
    fn the_path_of_a_file_is_that_of_its_directory_and_its_name() {
        for (directory, path) in [
            ("out", "out/x"),
            ("out/", "out/x"),
            ("/srv/in", "/srv/in/x"),
            ("/", "/x"),
            (".", "x"),
            ("", "x"),
        ] {
            let file = ArrivedFile { directory: directory.into(), ..named("x", 1) };
            assert_eq!(file.path(), path, "{directory}");
        }
    }
}
