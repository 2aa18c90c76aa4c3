//! The pruning of history, so that it does not grow without limit.

use jiff::Timestamp;
use rusqlite::params;

use crate::Store;
use portolan_core::{error::Result, limits::PRUNE_ROWS_MAX};

impl Store {
    /// Removes the runs of a job that ended before `before`, and the oldest beyond `most`, a few hundred at a time so
    /// that other writers do not wait long. Runs that are waiting or in progress stay. Returns the numbers of the
    /// removed runs.
    pub fn prune(&mut self, job: &str, most: u32, before: Timestamp) -> Result<Vec<i64>> {
        // The newest run of all stays: its number must never be reused.
        let find = "SELECT id FROM runs WHERE job = $1 AND ended_at IS NOT NULL AND id < (SELECT MAX(id) FROM runs)
            AND (ended_at < $2 OR id <=
                (SELECT COALESCE(MAX(id), 0) FROM (SELECT id FROM runs WHERE job = $1 ORDER BY id DESC LIMIT $3 OFFSET $4)))
            ORDER BY id LIMIT $3";
        let tables = ["attempts", "run_files", "run_progress", "fallbacks", "notices"];
        let values = params![job, before.as_millisecond(), PRUNE_ROWS_MAX, most];
        self.write(|transaction| {
            let found = transaction
                .prepare(find)?
                .query_map(values, |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<i64>>>()?;
            for run in &found {
                for table in tables {
                    transaction.execute(&format!("DELETE FROM {table} WHERE run = $1"), [run])?;
                }
                transaction.execute("DELETE FROM runs WHERE id = $1", [run])?;
            }
            Ok(found)
        })
    }
}
