//! The undo records of NAT rulesets: one for each, whose contents are opaque to the store.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::Store;
use portolan_core::{error::Result, limits::NAT_HISTORY_KEPT_MAX};

impl Store {
    /// Returns the record of the ruleset `name`.
    pub fn nat_record(&self, name: &str) -> Result<Option<String>> {
        let query = "SELECT record FROM nat_rulesets WHERE name = $1";
        self.read(|connection| connection.query_row(query, [name], |row| row.get(0)).optional())
    }

    /// Returns all records, ordered by name.
    pub fn nat_records(&self) -> Result<Vec<String>> {
        let query = "SELECT record FROM nat_rulesets ORDER BY name";
        self.read(|connection| {
            connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Stores `record`, and replaces an existing one.
    pub fn keep_nat_record(&mut self, name: &str, record: &str, now: Timestamp) -> Result<()> {
        let put = "INSERT INTO nat_rulesets (name, record, changed_at) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET record = excluded.record, changed_at = excluded.changed_at";
        let values = params![name, record, now.as_millisecond()];
        self.write(|transaction| transaction.execute(put, values).map(drop))
    }

    /// Removes the record of the ruleset `name`.
    pub fn forget_nat_record(&mut self, name: &str) -> Result<()> {
        let delete = "DELETE FROM nat_rulesets WHERE name = $1";
        self.write(|transaction| transaction.execute(delete, [name]).map(drop))
    }
}

impl Store {
    /// Adds a change of the ruleset `name` to its history under the next number; the oldest beyond the limit are removed.
    pub fn add_nat_change(&mut self, name: &str, entry: &str, now: Timestamp) -> Result<()> {
        let put = "INSERT INTO nat_changes (ruleset, number, changed_at, entry)
            SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3 FROM nat_changes WHERE ruleset = $1";
        let prune = "DELETE FROM nat_changes WHERE ruleset = $1 AND number <=
            (SELECT MAX(number) FROM nat_changes WHERE ruleset = $1) - $2";
        self.write(|transaction| {
            transaction.execute(put, params![name, now.as_millisecond(), entry])?;
            transaction.execute(prune, params![name, NAT_HISTORY_KEPT_MAX]).map(drop)
        })
    }

    /// Returns the changes of the ruleset `name`, or of all of them, with their numbers, the oldest first.
    pub fn nat_changes(&self, name: Option<&str>) -> Result<Vec<(u32, String)>> {
        let query = "SELECT number, entry FROM nat_changes WHERE $1 IS NULL OR ruleset = $1
            ORDER BY changed_at, ruleset, number";
        self.read(|connection| {
            connection
                .prepare(query)?
                .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_replaced_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(store.nat_record("office").unwrap(), None);
        store.keep_nat_record("office", "1", now).unwrap();
        store.keep_nat_record("office", "2", now).unwrap();
        store.keep_nat_record("gate", "3", now).unwrap();
        drop(store);
        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(store.nat_record("office").unwrap().as_deref(), Some("2"));
        assert_eq!(store.nat_records().unwrap(), ["3", "2"]);
        store.forget_nat_record("office").unwrap();
        assert_eq!(store.nat_records().unwrap(), ["3"]);
    }

    #[test]
    fn the_newest_changes_of_each_ruleset_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        store.add_nat_change("gate", "g", now).unwrap();
        for number in 1..=NAT_HISTORY_KEPT_MAX + 2 {
            store.add_nat_change("office", &number.to_string(), now).unwrap();
        }
        let kept = store.nat_changes(Some("office")).unwrap();
        assert_eq!(kept.len(), 100);
        assert_eq!(kept.first(), Some(&(3, "3".to_owned())));
        assert_eq!(kept.last(), Some(&(102, "102".to_owned())));
        assert_eq!(store.nat_changes(None).unwrap().len(), 101);
        assert_eq!(store.nat_changes(Some("x")).unwrap(), []);
    }
}
