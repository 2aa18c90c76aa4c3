//! The pruning of history, so that it does not grow without limit.

use jiff::Timestamp;

use crate::{
    Store,
    sql::{Sql, SqlResult, SqlRow, values},
};
use portolan_core::{error::Result, limits::PRUNE_ROWS_MAX};

/// The tables with the parts of runs, and that of runs, with the column of their number.
const TABLES: [(&str, &str); 7] = [
    ("attempts", "run"),
    ("run_files", "run"),
    ("run_progress", "run"),
    ("run_logs", "run"),
    ("fallbacks", "run"),
    ("notices", "run"),
    ("runs", "id"),
];

fn remove(sql: &dyn Sql, runs: &[i64]) -> SqlResult<()> {
    for (table, number) in TABLES {
        let delete = format!("DELETE FROM {table} WHERE {number} = $1");
        let rows: Vec<_> = runs.iter().map(|run| values![run].into()).collect();
        sql.execute_each(&delete, &rows)?;
    }
    Ok(())
}

impl Store {
    /// Returns the jobs of which [`Self::prune`] may remove runs.
    pub fn jobs_to_prune(&self, most: u32, before: Timestamp) -> Result<Vec<String>> {
        let query = "SELECT job FROM runs GROUP BY job HAVING COUNT(*) > $1 OR MIN(ended_at) < $2 ORDER BY job";
        let values = values![most, before.as_millisecond()];
        self.query(|sql| sql.all(query, &values, |row| row.at(0)))
    }

    /// Removes the runs of a job that ended before `before`, and the oldest beyond `most`, a few hundred at a time so
    /// that other writers do not wait long. Runs that are waiting or in progress stay. Returns the numbers of the
    /// removed runs.
    pub fn prune(&mut self, job: &str, most: u32, before: Timestamp) -> Result<Vec<i64>> {
        // The newest run of all stays: its number must never be reused.
        let find = "SELECT id FROM runs WHERE job = $1 AND ended_at IS NOT NULL AND id < (SELECT MAX(id) FROM runs)
            AND (ended_at < $2 OR id <=
                (SELECT COALESCE(MAX(id), 0) FROM (SELECT id FROM runs WHERE job = $1 ORDER BY id DESC LIMIT $3 OFFSET $4) AS surplus))
            ORDER BY id LIMIT $3";
        let values = values![job, before.as_millisecond(), PRUNE_ROWS_MAX, most];
        self.transact(|sql| {
            let found: Vec<i64> = sql.all(find, &values, |row| row.at(0))?;
            remove(sql, &found)?;
            Ok(found)
        })
    }

    /// Returns the number of runs of all jobs beyond `most`.
    pub fn surplus_runs(&self, most: u32) -> Result<u64> {
        let count = self.query(|sql| sql.value("SELECT COUNT(*) FROM runs", &[]))?;
        let count: i64 = count.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0).saturating_sub(most.into()))
    }

    /// Removes the oldest runs that have ended, of whatever job: `most` of them, but only a few hundred at a time.
    /// Returns their numbers and jobs.
    pub fn prune_oldest(&mut self, most: u64) -> Result<Vec<(i64, String)>> {
        let find = "SELECT id, job FROM runs WHERE ended_at IS NOT NULL AND id < (SELECT MAX(id) FROM runs)
            ORDER BY id LIMIT $1";
        let part = u64::from(PRUNE_ROWS_MAX).min(most);
        self.transact(|sql| {
            let pair = |row: &SqlRow| Ok((row.at(0)?, row.at(1)?));
            let most = i64::try_from(part).unwrap_or(i64::MAX);
            let found: Vec<(i64, String)> = sql.all(find, &values![most], pair)?;
            let runs: Vec<_> = found.iter().map(|(run, _)| *run).collect();
            remove(sql, &runs)?;
            Ok(found)
        })
    }
}
