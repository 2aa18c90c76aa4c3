//! The beginning and the end of the logs of runs, where machines share the store: each machine has its own logs in full.

use crate::{
    Store,
    sql::{SqlResult, SqlRow, values},
};
use portolan_core::{
    error::Result,
    limits::{LOG_SHARED_END_BYTES, LOG_SHARED_HEAD_BYTES},
};

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// The number of bytes of the log before it, on all machines that have had the run.
    pub start: u64,
    /// The number of its bytes.
    pub bytes: u64,
    /// Its text, in which bytes that are no UTF-8 were replaced.
    pub text: String,
}

impl LogPart {
    /// Returns the number of bytes of the log up to its end.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Store {
    /// Adds a part to the log of a run whose last attempt is that of `machine`, and removes from the middle of the log what
    /// is more than is kept. One of another machine changes nothing, and neither does a part that is there already, unless it
    /// has grown since its answer was lost.
    pub fn add_log(&mut self, run: i64, machine: &str, part: &LogPart) -> Result<()> {
        let put = "INSERT INTO run_logs (run, start_at, bytes, text)
            SELECT id, $1, $2, $3 FROM runs WHERE id = $4 AND machine = $5
            ON CONFLICT (run, start_at) DO UPDATE SET bytes = excluded.bytes, text = excluded.text
                WHERE excluded.bytes > run_logs.bytes";
        let trim =
            "DELETE FROM run_logs WHERE run = $1 AND start_at >= $2 AND start_at + bytes <= $3";
        // What PostgreSQL cannot keep in a text.
        let text = part.text.replace('\0', "\u{FFFD}");
        let kept = part.end().saturating_sub(LOG_SHARED_END_BYTES);
        self.transact(|sql| {
            let (start, bytes) = (number(part.start), number(part.bytes));
            sql.execute(put, &values![start, bytes, text, run, machine])?;
            sql.execute(trim, &values![run, number(LOG_SHARED_HEAD_BYTES), number(kept)])?;
            Ok(())
        })
    }

    /// Returns the parts of a log that end after its first `from` bytes, in order.
    pub fn log_parts(&self, run: i64, from: u64) -> Result<Vec<LogPart>> {
        let query =
            "SELECT start_at, bytes, text FROM run_logs WHERE run = $1 AND start_at + bytes > $2
            ORDER BY start_at";
        let part = |row: &SqlRow| {
            let number = |name: &str| -> SqlResult<u64> {
                Ok(u64::try_from(row.get::<i64>(name)?).unwrap_or(0))
            };
            Ok(LogPart {
                start: number("start_at")?,
                bytes: number("bytes")?,
                text: row.get("text")?,
            })
        };
        self.query(|sql| sql.all(query, &values![run, number(from)], part))
    }

    /// Returns the number of bytes of a log, as far as it is here.
    pub fn log_end(&self, run: i64) -> Result<u64> {
        let query = "SELECT MAX(start_at + bytes) FROM run_logs WHERE run = $1";
        let end: Option<i64> = self.query(|sql| sql.value(query, &values![run]))?;
        Ok(end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0))
    }
}

#[cfg(test)]
#[cfg(feature = "postgres")]
mod tests {
    use super::*;
    use crate::{
        conformance::on_postgres,
        fleet::{Dispatch, RunClaim, tests::slot},
        history::{Decisions, RunState},
    };
    use jiff::Timestamp;

    /// Dispatches a run to the machine `one`, which begins it.
    fn begin(store: &mut Store) -> i64 {
        let seen = store.lease().unwrap();
        let lease = store.take_lease("one", &seen).unwrap().unwrap();
        let runs = [slot("a", "x", RunState::Running)];
        let dispatches = [Dispatch { row: 0, worker: "one", boot: 1 }];
        let decisions = Decisions { runs: &runs, dispatches: &dispatches, ..Decisions::default() };
        let now = Timestamp::UNIX_EPOCH;
        let row = store.decide_as(&lease, &decisions, now).unwrap().unwrap()[0];
        let claim = RunClaim { run: row.run.unwrap(), fence: row.fence.unwrap() };
        assert!(store.begin(claim, 1, now).unwrap());
        claim.run
    }

    #[test]
    fn a_log_keeps_its_beginning_and_its_end_on_postgres() {
        on_postgres(keeps_both_ends);
    }

    fn keeps_both_ends(store: &mut Store) {
        let run = begin(store);
        assert_eq!((store.log_end(run).unwrap(), store.log_parts(run, 0).unwrap()), (0, vec![]));
        let size = 4096;
        let part = |index: u64| LogPart {
            start: index * size,
            bytes: size,
            text: format!("part {index}: \u{1b}[31m\0'; DROP TABLE runs; --\n"),
        };
        let count = 100;
        for index in 0..count {
            // An answer may be lost, and the part is sent again, with what has come since.
            let begun = LogPart { bytes: 7, text: "part".to_owned(), ..part(index) };
            for part in [&begun, &part(index), &begun] {
                store.add_log(run, "one", part).unwrap();
            }
        }
        let parts = store.log_parts(run, 0).unwrap();
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        assert_eq!(bytes, LOG_SHARED_HEAD_BYTES + LOG_SHARED_END_BYTES);
        assert_eq!(store.log_end(run).unwrap(), count * size);
        assert_eq!(parts[0].text, part(0).text.replace('\0', "\u{FFFD}"));
        assert_eq!(parts.last().unwrap().start, (count - 1) * size);
        let new = store.log_parts(run, (count - 2) * size).unwrap();
        assert_eq!(new.len(), 2);
    }

    #[test]
    fn a_machine_adds_nothing_to_the_log_of_another_on_postgres() {
        on_postgres(adds_nothing);
    }

    fn adds_nothing(store: &mut Store) {
        let run = begin(store);
        let part = LogPart { start: 0, bytes: 4, text: "old\n".into() };
        store.add_log(run, "two", &part).unwrap();
        store.add_log(run + 1, "one", &part).unwrap();
        assert_eq!(store.log_end(run).unwrap(), 0);
    }
}
