//! Manual runs: recorded when they begin, so that a run that is killed has its row as well.

use jiff::Timestamp;

use super::{
    AttemptRecord, FallBack, FileMoved, NewRun, RunState, begin_in, decide::insert, finish_in,
    interrupt_in, parts,
};
use crate::{
    Store,
    sql::{SqlRow, values},
};
use portolan_core::error::Result;

impl Store {
    /// Records a manual run that begins, and returns its number. The revision of `run` is a token by which other
    /// processes can tell whether it is still running.
    pub fn begin_by_hand(&mut self, run: &NewRun, now: Timestamp) -> Result<i64> {
        self.transact(|sql| {
            let id = insert(sql, run, now)?;
            begin_in(sql, id, 1, now)?;
            Ok(id)
        })
    }

    /// Records the end of the manual run `id`.
    pub fn end_by_hand(
        &mut self,
        id: i64,
        attempt: &AttemptRecord,
        files: &[FileMoved],
        fallbacks: &[FallBack],
    ) -> Result<()> {
        let ended_at = attempt.ended_at.unwrap_or(attempt.started_at);
        self.transact(|sql| {
            parts::end_in(sql, id, attempt, files, fallbacks)?;
            finish_in(sql, id, attempt.state, None, &attempt.sum, ended_at)
        })
    }

    /// Returns the manual runs without a recorded end, each with its token.
    pub fn by_hand_without_end(&self) -> Result<Vec<(i64, String)>> {
        let query = "SELECT id, revision FROM runs WHERE outcome = $1 AND slot IS NULL ORDER BY id";
        let pair = |row: &SqlRow| Ok((row.get("id")?, row.get("revision")?));
        self.query(|sql| sql.all(query, &values![RunState::Running.as_str()], pair))
    }

    /// Records that run `id` was interrupted, with `error` as the reason.
    pub fn interrupt(&mut self, id: i64, error: &str, now: Timestamp) -> Result<()> {
        self.transact(|sql| interrupt_in(sql, id, error, now))
    }
}
