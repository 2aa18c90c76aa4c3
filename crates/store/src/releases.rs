//! Published releases of jobs: the jobs file with everything that it names, by which all machines of a fleet run.
//!
//! A release is written in one transaction, and is current from its end on: whatever breaks before, the release before
//! stays. Contents are kept once, by their hash, however many releases have them.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::{
    Store,
    sql::{Sql, SqlError, SqlResult, SqlRow, values},
};
use portolan_core::error::Result;

/// A published release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRelease {
    /// The number: each release has a higher one than those before.
    pub number: i64,
    /// The hash of its files and their names, in hexadecimal digits.
    pub digest: String,
    /// The digits by which machines with a jobs file of their own know it: see [`PublishedRelease::is_of`].
    pub jobs_digest: String,
    /// The form of what is stored; a machine that does not know it is too old.
    pub format: i64,
    /// The version of portolan that has published it.
    pub version: String,
    /// The name of the jobs file among its files.
    pub jobs_file: String,
    /// The time at which it was published.
    pub published_at: Timestamp,
    /// The user and the host that have published it.
    pub published_by: String,
    /// The message of its publisher.
    pub message: Option<String>,
    /// The number of its files.
    pub files: i64,
    /// The size of its files in bytes.
    pub bytes: i64,
    /// The time at which it was made current last.
    pub current_at: Timestamp,
    /// The user and the host that have made it current last.
    pub current_by: String,
    /// True if it is the one that machines run.
    pub is_current: bool,
}

impl PublishedRelease {
    /// The number of digits of a hash that are shown, and by which machines are compared.
    pub const DIGITS: usize = 12;

    /// Returns the first digits of its hash.
    pub fn short_digest(&self) -> &str {
        self.digest.get(..Self::DIGITS).unwrap_or(&self.digest)
    }

    /// Returns true if `release`, as a machine tells it, is this one: that of a machine that follows published releases, or of
    /// one that has the same jobs file, whose scripts are not compared.
    pub fn is_of(&self, release: &str) -> bool {
        release == self.short_digest() || release == self.jobs_digest
    }
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// The path, relative to the directory of the jobs file.
    pub path: String,
    /// The hash of its content, in hexadecimal digits.
    pub digest: String,
    /// The size in bytes.
    pub bytes: i64,
    /// True if it is executable.
    pub is_program: bool,
}

/// A release that is to be published.
#[derive(Debug, Clone, Default)]
pub struct NewRelease {
    /// The hash of its files and their names.
    pub digest: String,
    /// The digits of the jobs file, see [`PublishedRelease::jobs_digest`].
    pub jobs_digest: String,
    /// The form of what is stored.
    pub format: i64,
    /// The version of portolan.
    pub version: String,
    /// The name of the jobs file among its files.
    pub jobs_file: String,
    /// The user and the host.
    pub by: String,
    /// The message.
    pub message: Option<String>,
    /// The files, each with its content.
    pub files: Vec<(ReleaseFile, Vec<u8>)>,
    /// The number of releases that are kept, besides the current one.
    pub keep: u32,
}

const COLUMNS: &str = "number, digest, jobs_digest, format, version, jobs_file, published_at, published_by, message, files,
    bytes, current_at, current_by, number = (SELECT published FROM leases WHERE name = 'leader') AS is_current";

impl Store {
    /// Returns the release that machines run; `None` if none was published.
    pub fn current_release(&self) -> Result<Option<PublishedRelease>> {
        self.query(current)
    }

    /// Returns the releases that are kept, the newest first.
    pub fn releases(&self) -> Result<Vec<PublishedRelease>> {
        let query = format!("SELECT {COLUMNS} FROM releases ORDER BY number DESC");
        self.query(|sql| sql.all(&query, &[], release))
    }

    /// Returns the files of a release, sorted by path.
    pub fn release_files(&self, number: i64) -> Result<Vec<ReleaseFile>> {
        let query = "SELECT path, digest, bytes, is_program FROM release_files WHERE release = $1 ORDER BY path";
        let file = |row: &SqlRow| {
            Ok(ReleaseFile {
                path: row.get("path")?,
                digest: row.get("digest")?,
                bytes: row.get("bytes")?,
                is_program: row.get("is_program")?,
            })
        };
        self.query(|sql| sql.all(query, &values![number], file))
    }

    /// Returns the content with this hash; `None` if it is not kept.
    pub fn release_content(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let query = "SELECT content FROM release_contents WHERE digest = $1";
        let content = |sql: &dyn Sql| {
            let Some(text) = sql.value::<String>(query, &values![digest])? else { return Ok(None) };
            let bytes = STANDARD.decode(text).map_err(|error| SqlError::Row(error.to_string()))?;
            Ok(Some(bytes))
        };
        self.query(content)
    }

    /// Writes a release and makes it current, and removes the oldest ones. If the current release has the same files it
    /// stays: of a call whose answer was lost, a second one with the same time changes nothing. Returns the current release,
    /// and whether it is that of this call.
    pub fn publish(
        &mut self,
        new: &NewRelease,
        now: Timestamp,
    ) -> Result<(Option<PublishedRelease>, bool)> {
        self.transact(|sql| {
            sql.lock("releases")?;
            let before = current(sql)?;
            if before.as_ref().is_some_and(|before| before.digest == new.digest) {
                // Of a call whose answer was lost, this is the second attempt.
                let is_own = before.as_ref().is_some_and(|before| {
                    before.published_at.as_millisecond() == now.as_millisecond()
                        && before.published_by == new.by
                });
                return Ok((before, is_own));
            }
            let last: i64 = sql.value("SELECT MAX(number) FROM releases", &[])?.unwrap_or(0);
            put(sql, last + 1, new, now)?;
            prune(sql, new.keep, last + 1)?;
            Ok((make_current(sql, last + 1, &new.by, now)?, true))
        })
    }

    /// Makes an earlier release current. Returns it; `None` if it is not kept.
    pub fn publish_again(
        &mut self,
        number: i64,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<PublishedRelease>> {
        self.transact(|sql| {
            sql.lock("releases")?;
            make_current(sql, number, by, now)
        })
    }
}

fn current(sql: &dyn Sql) -> SqlResult<Option<PublishedRelease>> {
    let query = format!(
        "SELECT {COLUMNS} FROM releases WHERE number = (SELECT published FROM leases WHERE name = 'leader')"
    );
    sql.first(&query, &[], release)
}

fn release(row: &SqlRow) -> SqlResult<PublishedRelease> {
    let time =
        |column| SqlResult::Ok(Timestamp::from_millisecond(row.get(column)?).unwrap_or_default());
    Ok(PublishedRelease {
        number: row.get("number")?,
        digest: row.get("digest")?,
        jobs_digest: row.get("jobs_digest")?,
        format: row.get("format")?,
        version: row.get("version")?,
        jobs_file: row.get("jobs_file")?,
        published_at: time("published_at")?,
        published_by: row.get("published_by")?,
        message: row.get("message")?,
        files: row.get("files")?,
        bytes: row.get("bytes")?,
        current_at: time("current_at")?,
        current_by: row.get("current_by")?,
        is_current: row.get("is_current")?,
    })
}

/// Writes a release with its files.
fn put(sql: &dyn Sql, number: i64, new: &NewRelease, now: Timestamp) -> SqlResult<()> {
    let release = "INSERT INTO releases (number, digest, jobs_digest, format, version, jobs_file, published_at, published_by,
            message, files, bytes, current_at, current_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $7, $8)";
    let file = "INSERT INTO release_files (release, path, digest, bytes, is_program) VALUES ($1, $2, $3, $4, $5)";
    let content = "INSERT INTO release_contents (digest, content) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
    let NewRelease { digest, jobs_digest, format, version, jobs_file, by, message, files, .. } =
        new;
    let (count, at) = (i64::try_from(files.len()).unwrap_or(i64::MAX), now.as_millisecond());
    let bytes: i64 = files.iter().map(|(file, _)| file.bytes).sum();
    let values = values![
        number,
        digest,
        jobs_digest,
        format,
        version,
        jobs_file,
        at,
        by,
        message,
        count,
        bytes
    ];
    sql.execute(release, &values)?;
    let row = |(file, _): &(ReleaseFile, Vec<u8>)| {
        values![number, file.path, file.digest, file.bytes, file.is_program].into()
    };
    sql.execute_each(file, &files.iter().map(row).collect::<Vec<_>>())?;
    // Those that an earlier release has are not sent again.
    let known = "SELECT digest FROM release_contents WHERE digest = $1";
    let contents: BTreeMap<&str, &Vec<u8>> =
        files.iter().map(|(file, bytes)| (&*file.digest, bytes)).collect();
    let asked: Vec<_> = contents.keys().map(|digest| values![*digest].into()).collect();
    let found = sql.query_each(known, &asked)?;
    for ((digest, bytes), known) in contents.iter().zip(found) {
        if known.is_none() {
            sql.execute(content, &values![*digest, STANDARD.encode(bytes)])?;
        }
    }
    Ok(())
}

/// Makes a release current, and returns it; `None` if it is not kept. It is the last act of its transaction: the row of the
/// lease, for which the leader and each machine that starts would wait, is locked for one round trip.
fn make_current(
    sql: &dyn Sql,
    number: i64,
    by: &str,
    now: Timestamp,
) -> SqlResult<Option<PublishedRelease>> {
    let note = "UPDATE releases SET current_at = $1, current_by = $2 WHERE number = $3";
    let point = "UPDATE leases SET published = $1 WHERE name = 'leader'";
    let query = format!("SELECT {COLUMNS} FROM releases WHERE number = $1");
    sql.execute(note, &values![now.as_millisecond(), by, number])?;
    let Some(found) = sql.first(&query, &values![number], release)? else { return Ok(None) };
    sql.execute(point, &values![number])?;
    Ok(Some(PublishedRelease { is_current: true, ..found }))
}

/// Removes the oldest releases, so that as many are left as are to be kept besides the one that becomes current.
fn prune(sql: &dyn Sql, keep: u32, current: i64) -> SqlResult<()> {
    let others = "SELECT number FROM releases WHERE number <> $1 ORDER BY number DESC";
    let others: Vec<i64> = sql.all(others, &values![current], |row| row.at(0))?;
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let old: Vec<_> = others.iter().skip(keep).map(|number| values![*number].into()).collect();
    if old.is_empty() {
        return Ok(());
    }
    sql.execute_each("DELETE FROM release_files WHERE release = $1", &old)?;
    sql.execute_each("DELETE FROM releases WHERE number = $1", &old)?;
    let unused =
        "DELETE FROM release_contents WHERE digest NOT IN (SELECT digest FROM release_files)";
    sql.execute(unused, &[]).map(drop)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::conformance::conformance;

    conformance! {
        a_release_is_current_until_another_one_is,
        the_oldest_releases_are_removed_and_the_current_one_never,
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// Returns a release with these files; the content of each is its hash as well.
    pub(crate) fn new_release(digest: &str, files: &[(&str, &str)]) -> NewRelease {
        let file = |(path, content): &(&str, &str)| {
            let file = ReleaseFile {
                path: (*path).into(),
                digest: (*content).into(),
                bytes: i64::try_from(content.len()).unwrap(),
                is_program: false,
            };
            (file, content.as_bytes().to_vec())
        };
        let files = files.iter().map(file).collect();
        let (digest, keep) = (digest.to_owned(), 2);
        NewRelease { digest, files, by: "me@here".into(), keep, ..NewRelease::default() }
    }

    fn a_release_is_current_until_another_one_is(store: &mut Store) {
        assert_eq!(store.current_release().unwrap(), None);
        assert_eq!(store.publish_again(1, "me@here", at(1)).unwrap(), None);
        let first = new_release("d1", &[("a", "one"), ("b", "two"), ("c", "one")]);
        let (found, is_new) = store.publish(&first, at(10)).unwrap();
        let found = found.unwrap();
        assert!(is_new && found.is_current);
        assert_eq!((found.number, found.files, found.bytes), (1, 3, 9));
        assert_eq!(store.current_release().unwrap().as_ref(), Some(&found));
        let (again, is_new) = store.publish(&first, at(10)).unwrap();
        assert_eq!((again.as_ref(), is_new), (Some(&found), true), "its answer was lost");
        let (again, is_new) = store.publish(&first, at(11)).unwrap();
        assert_eq!((again.as_ref(), is_new), (Some(&found), false));
        let files: Vec<_> =
            store.release_files(1).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(files, ["a", "b", "c"]);
        assert_eq!(store.release_content("one").unwrap().unwrap(), b"one");
        assert_eq!(store.release_content("three").unwrap(), None);
        let (found, _) = store.publish(&new_release("d2", &[("a", "three")]), at(20)).unwrap();
        assert_eq!(found.unwrap().number, 2);
        let back = store.publish_again(1, "you@there", at(30)).unwrap().unwrap();
        assert_eq!((back.number, back.is_current, &*back.current_by), (1, true, "you@there"));
        assert_eq!((back.published_at, back.current_at), (at(10), at(30)));
        let all = store.releases().unwrap();
        let all: Vec<_> = all.iter().map(|one| (one.number, one.is_current)).collect();
        assert_eq!(all, [(2, false), (1, true)]);
        // The content of the newest one, published anew, is a release of its own: its message may be another one.
        let (found, is_new) = store.publish(&new_release("d2", &[("a", "three")]), at(40)).unwrap();
        assert_eq!((found.unwrap().number, is_new), (3, true));
    }

    fn the_oldest_releases_are_removed_and_the_current_one_never(store: &mut Store) {
        for digest in ["d1", "d2", "d3"] {
            store.publish(&new_release(digest, &[("a", digest), ("b", "same")]), at(10)).unwrap();
        }
        store.publish_again(1, "me@here", at(11)).unwrap().unwrap();
        let numbers = |store: &Store| {
            store.releases().unwrap().iter().map(|one| one.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(store), [3, 2, 1]);
        store.publish(&new_release("d4", &[("a", "d4")]), at(12)).unwrap();
        assert_eq!(numbers(store), [4, 3, 2]);
        assert_eq!(store.release_content("d1").unwrap(), None);
        assert_eq!(store.release_files(1).unwrap(), []);
        assert_eq!(store.release_content("same").unwrap().unwrap(), b"same");
        store.publish_again(2, "me@here", at(13)).unwrap().unwrap();
        let last = NewRelease { keep: 0, ..new_release("d5", &[("a", "d5")]) };
        store.publish(&last, at(14)).unwrap();
        assert_eq!(numbers(store), [5]);
        assert_eq!(store.release_content("same").unwrap(), None);
    }
}
