//! The state of mirrors: for each file that was the same on both sides, its metadata on either side.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Store;
use portolan_core::{error::Result, limits::MIRRORS_KEPT_MAX};

/// The identity of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorKey {
    /// The host name of the server, in lower case.
    pub host: String,
    /// Its control port.
    pub port: u16,
    /// The login name.
    pub login: String,
    /// The directory on the server.
    pub remote: String,
    /// The local directory.
    pub local: String,
}

/// The known state of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its BLAKE3 hash; empty if its bytes were not read.
    pub hash: String,
    /// The size of the local file in bytes.
    pub local_size: u64,
    /// The modification time of the local file, in microseconds since 1970.
    pub local_us: Option<i64>,
    /// The size of the remote file in bytes.
    pub remote_size: Option<u64>,
    /// The modification time of the remote file; empty if it is not known.
    pub remote_time: String,
}

/// The planned change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentRow {
    /// The kind of change, in one word.
    pub what: String,
    /// The size that the file will have in bytes, if it is known.
    pub size: Option<u64>,
    /// The modification time that a local file will have, in microseconds since 1970.
    pub local_us: Option<i64>,
}

impl Store {
    /// Passes every known file of `key` to `take`, in the order of paths.
    pub fn base(&self, key: &MirrorKey, mut take: impl FnMut(String, FileRow)) -> Result<()> {
        let query =
            "SELECT path, hash, local_size, local_us, remote_size, remote_time FROM mirror_files
            WHERE mirror = $1 ORDER BY path";
        self.read(|connection| {
            let Some(id) = id_of(connection, key)? else { return Ok(()) };
            let mut query = connection.prepare(query)?;
            let mut rows = query.query([id])?;
            while let Some(row) = rows.next()? {
                take(row.get("path")?, file(row)?);
            }
            Ok(())
        })
    }

    /// Applies `changes` to the known files of `key`: a path without a file is removed.
    pub fn note<'c>(
        &mut self,
        key: &MirrorKey,
        changes: impl Iterator<Item = (String, Option<&'c FileRow>)>,
        now: Timestamp,
    ) -> Result<()> {
        let put = "INSERT INTO mirror_files (mirror, path, hash, local_size, local_us, remote_size, remote_time)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (mirror, path) DO UPDATE SET hash = excluded.hash, local_size = excluded.local_size,
                local_us = excluded.local_us, remote_size = excluded.remote_size, remote_time = excluded.remote_time";
        let delete = "DELETE FROM mirror_files WHERE mirror = $1 AND path = $2";
        let settle = "DELETE FROM mirror_intents WHERE mirror = $1 AND path = $2";
        self.write(|transaction| {
            let id = touched(transaction, key, now)?;
            let (mut put, mut delete) = (transaction.prepare(put)?, transaction.prepare(delete)?);
            let mut settle = transaction.prepare(settle)?;
            for (path, file) in changes {
                settle.execute(params![id, path])?;
                let Some(file) = file else {
                    delete.execute(params![id, path])?;
                    continue;
                };
                let FileRow { hash, local_size, local_us, remote_size, remote_time } = file;
                put.execute(params![
                    id,
                    path,
                    hash,
                    signed(*local_size),
                    local_us,
                    remote_size.map(signed),
                    remote_time
                ])?;
            }
            Ok(())
        })
    }

    /// Passes every unsettled intent of `key` to `take`, in the order of paths.
    pub fn intents(&self, key: &MirrorKey, mut take: impl FnMut(String, IntentRow)) -> Result<()> {
        let query =
            "SELECT path, what, size, local_us FROM mirror_intents WHERE mirror = $1 ORDER BY path";
        self.read(|connection| {
            let Some(id) = id_of(connection, key)? else { return Ok(()) };
            let mut query = connection.prepare(query)?;
            let mut rows = query.query([id])?;
            while let Some(row) = rows.next()? {
                let size = row.get::<_, Option<i64>>("size")?.map(unsigned);
                let local_us = row.get("local_us")?;
                take(row.get("path")?, IntentRow { what: row.get("what")?, size, local_us });
            }
            Ok(())
        })
    }

    /// Removes the intents of `key`, but for the paths in `kept`.
    pub fn settle(&mut self, key: &MirrorKey, kept: &BTreeSet<String>) -> Result<()> {
        self.write(|transaction| {
            let Some(id) = id_of(transaction, key)? else { return Ok(()) };
            if kept.is_empty() {
                transaction.execute("DELETE FROM mirror_intents WHERE mirror = $1", [id])?;
                return Ok(());
            }
            let mut query =
                transaction.prepare("SELECT path FROM mirror_intents WHERE mirror = $1")?;
            let mut settle = transaction
                .prepare("DELETE FROM mirror_intents WHERE mirror = $1 AND path = $2")?;
            let (mut rows, mut settled) = (query.query([id])?, Vec::new());
            while let Some(row) = rows.next()? {
                settled.push(row.get::<_, String>("path")?);
            }
            for path in settled.iter().filter(|path| !kept.contains(*path)) {
                settle.execute(params![id, path])?;
            }
            Ok(())
        })
    }

    /// Stores `intents` of `key`. If a path has two different intents, either may have been carried out: they are
    /// replaced by `any`.
    pub fn intend<'c>(
        &mut self,
        key: &MirrorKey,
        intents: impl Iterator<Item = (String, &'c IntentRow)>,
        any: &str,
        now: Timestamp,
    ) -> Result<()> {
        let put = "INSERT INTO mirror_intents (mirror, path, what, size, local_us)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (mirror, path) DO UPDATE SET what = $6, size = NULL, local_us = NULL
            WHERE what <> excluded.what OR COALESCE(size, -1) <> COALESCE(excluded.size, -1)
                OR COALESCE(local_us, -1) <> COALESCE(excluded.local_us, -1)";
        self.write(|transaction| {
            let id = touched(transaction, key, now)?;
            let mut put = transaction.prepare(put)?;
            for (path, IntentRow { what, size, local_us }) in intents {
                put.execute(params![id, path, what, size.map(signed), local_us, any])?;
            }
            Ok(())
        })
    }
}

fn unsigned(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

fn id_of(connection: &Connection, key: &MirrorKey) -> rusqlite::Result<Option<i64>> {
    let query = "SELECT id FROM mirrors
        WHERE host = $1 AND port = $2 AND login = $3 AND remote = $4 AND local = $5";
    let MirrorKey { host, port, login, remote, local } = key;
    let values = params![host, port, login, remote, local];
    connection.query_row(query, values, |row| row.get(0)).optional()
}

/// Returns the number of the mirror `key` and marks it as seen now; the mirror not seen for longest is removed if
/// there are too many.
fn touched(
    transaction: &Transaction<'_>,
    key: &MirrorKey,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    if let Some(id) = id_of(transaction, key)? {
        let touch = "UPDATE mirrors SET seen_at = $1 WHERE id = $2";
        transaction.execute(touch, [now.as_millisecond(), id])?;
        return Ok(id);
    }
    let trim = "DELETE FROM mirrors WHERE id IN
        (SELECT id FROM mirrors ORDER BY seen_at DESC, id LIMIT $1 OFFSET $2)";
    transaction.execute(trim, [MIRRORS_KEPT_MAX, MIRRORS_KEPT_MAX - 1])?;
    let next = "SELECT COALESCE(MAX(id), 0) + 1 FROM mirrors";
    let id: i64 = transaction.query_row(next, [], |row| row.get(0))?;
    let add = "INSERT INTO mirrors (id, host, port, login, remote, local, seen_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let MirrorKey { host, port, login, remote, local } = key;
    transaction
        .execute(add, params![id, host, port, login, remote, local, now.as_millisecond()])?;
    Ok(id)
}

fn file(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        hash: row.get("hash")?,
        local_size: unsigned(row.get("local_size")?),
        local_us: row.get("local_us")?,
        remote_size: row.get::<_, Option<i64>>("remote_size")?.map(unsigned),
        remote_time: row.get("remote_time")?,
    })
}

/// Converts a size for the database; no file has more than 2^63 bytes.
fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(local: &str) -> MirrorKey {
        MirrorKey {
            host: "a".into(),
            port: 21,
            login: "tester".into(),
            remote: "/in".into(),
            local: local.into(),
        }
    }

    fn row(size: u64) -> FileRow {
        FileRow {
            hash: "00".into(),
            local_size: size,
            local_us: Some(5),
            remote_size: None,
            remote_time: "2026-02-11T14:22Z".into(),
        }
    }

    fn all(store: &Store, key: &MirrorKey) -> Vec<(String, FileRow)> {
        let mut all = Vec::new();
        store.base(key, |path, row| all.push((path, row))).unwrap();
        all
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_was_noted_is_there_for_the_next_and_for_no_other_mirror() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let (one, two) = (row(1), row(2));
        let both = [("a".to_owned(), Some(&one)), ("b".to_owned(), Some(&two))];
        store.note(&key("/x"), both.into_iter(), at(1)).unwrap();
        let change = [("a".to_owned(), Some(&two)), ("b".to_owned(), None)];
        store.note(&key("/y"), change.clone().into_iter(), at(1)).unwrap();
        drop(store);
        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(all(&store, &key("/x")), [("a".into(), row(1)), ("b".into(), row(2))]);
        store.note(&key("/x"), change.into_iter(), at(2)).unwrap();
        assert_eq!(all(&store, &key("/x")), [("a".into(), row(2))]);
        for other in [
            MirrorKey { port: 22, ..key("/x") },
            MirrorKey { login: "b".into(), ..key("/x") },
            MirrorKey { host: "b".into(), ..key("/x") },
            MirrorKey { remote: "/b".into(), ..key("/x") },
        ] {
            assert_eq!(all(&store, &other), []);
        }
    }

    #[test]
    fn an_intent_is_there_until_its_path_is_noted_and_two_for_one_path_leave_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let row = |what: &str, size| IntentRow { what: what.into(), size, local_us: None };
        let all = |store: &Store, local: &str| {
            let mut all = Vec::new();
            store.intents(&key(local), |path, row| all.push((path, row))).unwrap();
            all
        };
        let (gone, five, six) = (row("gone", None), row("bytes", Some(5)), row("bytes", Some(6)));
        for (path, intent) in [("a", &gone), ("b", &five), ("c", &five), ("b", &five), ("c", &six)]
        {
            let one = [(path.to_owned(), intent)];
            store.intend(&key("/x"), one.into_iter(), "any", at(1)).unwrap();
        }
        let any = ("c".to_owned(), row("any", None));
        assert_eq!(all(&store, "/x"), [("a".into(), gone), ("b".into(), five), any.clone()]);
        assert_eq!(all(&store, "/y"), []);
        let seen = self::row(5);
        let noted = [("a".to_owned(), None), ("b".to_owned(), Some(&seen))];
        store.note(&key("/x"), noted.into_iter(), at(2)).unwrap();
        assert_eq!(all(&store, "/x"), [any]);
        store.settle(&key("/y"), &BTreeSet::new()).unwrap();
        assert_eq!(all(&store, "/x").len(), 1);
        store.intend(&key("/x"), [("d".to_owned(), &six)].into_iter(), "any", at(3)).unwrap();
        store.settle(&key("/x"), &["d".to_owned()].into()).unwrap();
        assert_eq!(all(&store, "/x"), [("d".into(), six)]);
        store.settle(&key("/x"), &BTreeSet::new()).unwrap();
        assert_eq!(all(&store, "/x"), []);
    }

    #[test]
    fn of_too_many_mirrors_the_one_not_seen_for_longest_gives_way_with_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let one = row(1);
        let note = |store: &mut Store, name: &str, second| {
            let change = [("a".to_owned(), Some(&one))];
            store.note(&key(name), change.into_iter(), at(second)).unwrap();
        };
        for number in 0..MIRRORS_KEPT_MAX {
            note(&mut store, &format!("/{number}"), i64::from(number));
        }
        note(&mut store, "/0", 1000);
        note(&mut store, "/new", 1001);
        assert_eq!(all(&store, &key("/1")), []);
        for name in ["/0", "/2", "/new"] {
            assert_eq!(all(&store, &key(name)).len(), 1, "{name}");
        }
        let count = "SELECT COUNT(*) FROM mirror_files";
        let count: u32 = store.read(|all| all.query_row(count, [], |row| row.get(0))).unwrap();
        assert_eq!(count, MIRRORS_KEPT_MAX);
    }
}
