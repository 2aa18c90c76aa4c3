//! The values that scripts keep from run to run, by their owner: a job, or a script.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::Store;
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{SCRIPT_VALUES_BYTES_MAX, SCRIPT_VALUES_MAX},
};

impl Store {
    /// Returns the text that `owner` keeps under `key`.
    pub fn script_value(&self, owner: &str, key: &str) -> Result<Option<String>> {
        let query = "SELECT content FROM script_values WHERE owner = $1 AND name = $2";
        self.read(|it| it.query_row(query, params![owner, key], |row| row.get(0)).optional())
    }

    /// Returns the keys under which `owner` keeps something, sorted.
    pub fn script_keys(&self, owner: &str) -> Result<Vec<String>> {
        let query = "SELECT name FROM script_values WHERE owner = $1 ORDER BY name";
        self.read(|it| it.prepare(query)?.query_map([owner], |row| row.get(0))?.collect())
    }

    /// Keeps `content` for `owner` under `key`, or removes what is there. Fails with `full` if one owner keeps too much.
    pub fn keep_script_value(
        &mut self,
        owner: &str,
        key: &str,
        content: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let put = "INSERT INTO script_values (owner, name, content, changed_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (owner, name) DO UPDATE SET content = excluded.content, changed_at = excluded.changed_at";
        let sum = "SELECT COUNT(*), COALESCE(SUM(LENGTH(content)), 0) FROM script_values
            WHERE owner = $1 AND name <> $2";
        let fits = self.write(|it| {
            let Some(content) = content else {
                let remove = "DELETE FROM script_values WHERE owner = $1 AND name = $2";
                return it.execute(remove, params![owner, key]).map(|_| true);
            };
            let (count, bytes): (i64, i64) =
                it.query_row(sum, params![owner, key], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let bytes = u64::try_from(bytes).unwrap_or(0).saturating_add(content.len() as u64);
            if count >= SCRIPT_VALUES_MAX || bytes > SCRIPT_VALUES_BYTES_MAX {
                return Ok(false);
            }
            it.execute(put, params![owner, key, content, now.as_millisecond()])?;
            Ok(true)
        })?;
        if fits {
            return Ok(());
        }
        let mib = SCRIPT_VALUES_BYTES_MAX / (1024 * 1024);
        let message =
            format!("it keeps at most {SCRIPT_VALUES_MAX} values and {mib} MiB: remove old ones");
        Err(Error::new(ErrorKind::Full, Origin::Here, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_keeps_its_own_values_within_limits() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        store.keep_script_value("job:a", "seen", Some("[1]"), now).unwrap();
        store.keep_script_value("job:a", "seen", Some("[2]"), now).unwrap();
        store.keep_script_value("job:b", "seen", Some("[3]"), now).unwrap();
        assert_eq!(store.script_value("job:a", "seen").unwrap().as_deref(), Some("[2]"));
        assert_eq!(store.script_value("job:b", "seen").unwrap().as_deref(), Some("[3]"));
        assert_eq!(store.script_value("job:c", "seen").unwrap(), None);
        let large = "x".repeat(usize::try_from(SCRIPT_VALUES_BYTES_MAX).unwrap());
        let error = store.keep_script_value("job:a", "large", Some(&large), now).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Full);
        assert_eq!(store.script_keys("job:a").unwrap(), ["seen"]);
        store.keep_script_value("job:a", "seen", None, now).unwrap();
        assert_eq!(store.script_keys("job:a").unwrap(), Vec::<String>::new());
    }
}
