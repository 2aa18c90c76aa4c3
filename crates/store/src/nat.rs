//! The undo records of NAT rulesets: one for each, whose contents are opaque to the store.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::Store;
use portolan_core::error::Result;

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
}
