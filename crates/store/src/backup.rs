//! The daily copy of the store, and the evidence of a store that was lost: the logs of its runs.

use std::{fs, path::Path};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::{FILE, Store, sqlite::fault};
use portolan_core::{
    error::{Error, Result},
    limits::{STORE_BACKUP_INTERVAL, STORE_BUSY_TIMEOUT},
};
use portolan_fs::owned;

/// The name of the copy in the state directory.
pub(super) const BACKUP: &str = "portolan.db.backup";
/// The name of the copy until it is complete.
const UNFINISHED: &str = "portolan.db.backup.part";
/// The directory of logs, with a directory for each job and a file `RUN.log` for each run.
const LOGS: &str = "logs";

/// Returns the time at which the copy of the store in `folder` was made; `None` if there is no copy.
pub(super) fn made_at(folder: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(folder.join(BACKUP)).and_then(|found| found.modified()).ok()?;
    Timestamp::try_from(modified).ok()
}

/// Returns true if the copy of the store in `folder` is missing, a day old, or dated in the future by a wrong clock.
pub fn is_due(folder: &Path, now: Timestamp) -> bool {
    made_at(folder).is_none_or(|made| {
        let age = now.duration_since(made);
        age.is_negative() || age.unsigned_abs() >= STORE_BACKUP_INTERVAL
    })
}

/// Copies the store in `folder` to its `portolan.db.backup`, as a consistent snapshot, while other processes use it.
/// The previous copy stays until the new one is complete.
pub fn back_up(folder: &Path) -> Result<()> {
    let (store, backup) = (folder.join(FILE), folder.join(BACKUP));
    let unfinished = folder.join(UNFINISHED);
    let local = |error| Error::local("copy the store", &backup, error);
    // Left by a process that was killed.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(local(error)),
        _ => {}
    }
    // Created here, so that only the owner has access. VACUUM INTO accepts an empty file as a new one.
    owned::open(&unfinished, fs::OpenOptions::new().append(true).create_new(true))
        .map_err(local)?;
    let copy = || {
        let connection = Connection::open_with_flags(&store, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(STORE_BUSY_TIMEOUT)?;
        connection.execute("VACUUM INTO $1", [unfinished.to_string_lossy()])
    };
    let copied = copy().map_err(|error| fault("copy the store", &store, error)).and_then(|_| {
        let file = fs::File::open(&unfinished).map_err(local)?;
        file.sync_all().map_err(local)?;
        fs::rename(&unfinished, &backup).map_err(local)
    });
    if copied.is_err() {
        // The error of the copy is the one to report; what is left of it is removed before the next copy at the
        // latest.
        fs::remove_file(&unfinished).ok();
    }
    copied
}

/// Returns the highest run number that has a log in `folder`.
pub(super) fn last_logged_run(folder: &Path) -> Option<i64> {
    let jobs = fs::read_dir(folder.join(LOGS)).ok()?;
    let logs = jobs.flatten().filter_map(|job| fs::read_dir(job.path()).ok()).flatten().flatten();
    logs.filter_map(|log| log.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).max()
}

impl Store {
    /// Records that runs up to `last` have left logs but no rows: no new run gets one of their numbers.
    pub(super) fn reserve_runs(&mut self, last: i64) -> Result<()> {
        let put = "INSERT INTO lost_runs (up_to, is_told) VALUES ($1, FALSE) ON CONFLICT (up_to) DO NOTHING";
        self.write(|transaction| transaction.execute(put, [last]).map(drop))
    }

    /// Returns a message that this store has replaced one that was lost, until [`told_loss`](Self::told_loss) is
    /// called.
    pub fn loss(&self) -> Result<Option<String>> {
        let find = "SELECT MAX(up_to) FROM lost_runs WHERE NOT is_told";
        let last: Option<i64> =
            self.read(|connection| connection.query_row(find, [], |row| row.get(0)))?;
        let Some(last) = last else { return Ok(None) };
        let (_, file) = self.connection()?;
        let made = file.parent().and_then(made_at);
        let copy = made.map_or_else(String::new, |made| {
            let made = made.strftime("%Y-%m-%d %H:%M UTC");
            format!("; `{BACKUP}` beside it is its copy of {made}, to be put in its place while no portolan runs")
        });
        Ok(Some(format!(
            "{}: it was empty or gone, though runs up to {last} have left logs: history, pauses and what mirrors remember \
             begin anew, and slots missed meanwhile are not caught up{copy}",
            file.display()
        )))
    }

    /// Records that the loss was reported.
    pub fn told_loss(&mut self) -> Result<()> {
        self.write(|transaction| {
            transaction.execute("UPDATE lost_runs SET is_told = TRUE", []).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_copy_is_whole_is_its_owners_alone_and_can_take_the_place_of_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("it's a \"state\"");
        let mut store = Store::open(&state).unwrap();
        store.pause("a", Some("before"), Timestamp::UNIX_EPOCH).unwrap();
        back_up(&state).unwrap();
        store.pause("b", Some("after"), Timestamp::UNIX_EPOCH).unwrap();
        let mode = fs::metadata(state.join(BACKUP)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(store);
        fs::remove_file(state.join(FILE)).unwrap();
        fs::rename(state.join(BACKUP), state.join(FILE)).unwrap();
        let states = Store::open(&state).unwrap().job_states().unwrap();
        let names: Vec<_> = states.iter().map(|state| state.job.as_str()).collect();
        assert_eq!(names, ["a"]);
        // The leftover of a killed run does no harm, and another copy replaces the first.
        fs::write(state.join(UNFINISHED), "half").unwrap();
        back_up(&state).unwrap();
        back_up(&state).unwrap();
        assert!(!state.join(UNFINISHED).exists() && state.join(BACKUP).exists());
    }

    #[test]
    fn a_copy_is_due_once_a_day_and_after_a_clock_that_was_ahead() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path()).unwrap();
        assert!(is_due(folder.path(), Timestamp::now()));
        back_up(folder.path()).unwrap();
        let made = made_at(folder.path()).unwrap();
        let after = |hours| made + jiff::SignedDuration::from_hours(hours);
        let due = [0, 23, 24, 1_000, -1].map(|hours| is_due(folder.path(), after(hours)));
        assert_eq!(due, [false, false, true, true, true]);
    }

    #[test]
    fn a_store_that_was_lost_says_so_until_it_was_reported() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        fs::create_dir_all(folder.path().join("logs/a")).unwrap();
        fs::write(folder.path().join("logs/a/41.log"), "").unwrap();
        // An existing store has lost nothing, whatever is beside it.
        assert_eq!(Store::open(folder.path()).unwrap().loss().unwrap(), None);
        fs::remove_file(folder.path().join(FILE)).unwrap();
        drop(Store::open(folder.path()).unwrap());
        let mut store = Store::open(folder.path()).unwrap();
        let said = store.loss().unwrap().unwrap();
        assert!(said.contains("runs up to 41 have left logs") && !said.contains(BACKUP), "{said}");
        back_up(folder.path()).unwrap();
        assert!(store.loss().unwrap().unwrap().contains("`portolan.db.backup` beside it"));
        store.told_loss().unwrap();
        assert_eq!(store.loss().unwrap(), None);
    }

    #[test]
    fn a_damaged_store_or_none_is_not_copied_over_a_good_copy() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path()).unwrap();
        back_up(folder.path()).unwrap();
        let good = fs::read(folder.path().join(BACKUP)).unwrap();
        fs::write(folder.path().join(FILE), [7; 8192]).unwrap();
        assert!(back_up(folder.path()).unwrap_err().to_string().contains("damaged"));
        fs::remove_file(folder.path().join(FILE)).unwrap();
        back_up(folder.path()).unwrap_err();
        assert_eq!(fs::read(folder.path().join(BACKUP)).unwrap(), good);
        assert!(!folder.path().join(UNFINISHED).exists());
    }
}
