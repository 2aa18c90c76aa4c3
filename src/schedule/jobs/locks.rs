//! Locks: which a job takes, and how many places of each.
//!
//! A lock with a limit in `[runner]` has as many places. Those of a lock whose name begins with `host:` are logins: a run takes
//! as many as it makes, or as there are, and makes no more than it takes.

use std::ops::Range;

use toml::de::DeValue;

use super::{
    Job, Runner, TaskKind, rules,
    table::{JobsDocument, JobsTable, Value, twice},
};
use crate::{
    limits::{PARALLEL_AUTO_FIRST, PARALLEL_MAX},
    observe::visible::visible,
};

/// The beginning of the name of a lock whose places are logins.
const HOST: &str = "host:";
/// The maximum number of places of a lock.
pub(super) const PLACES_MAX: i64 = 1000;

/// A lock that a job takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLock {
    /// Its name.
    pub name: String,
    /// The number of places that the job is to take, if it says so.
    pub places: Option<u32>,
}

/// A lock that a run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockPlaces {
    /// Its name.
    pub name: String,
    /// The number of places that the run takes.
    pub places: u32,
}

/// The number of logins that a run may make, because of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginLimit {
    /// The name of the lock.
    pub lock: String,
    /// The number of its places that the run takes.
    pub places: u32,
    /// True if the run would make more without it.
    pub is_less: bool,
}

impl Runner {
    /// Returns the number of places of a lock: that of its name, or of the longest pattern that fits it; `None` if the file
    /// has no limit for it, and one run holds it at a time.
    fn places_of(&self, lock: &str) -> Option<u32> {
        let patterns = self.locks.iter().filter(|(name, _)| rules::fits(name, lock));
        let longest = patterns.max_by_key(|(name, _)| name.len()).map(|(_, most)| *most);
        self.locks.get(lock).copied().or(longest)
    }

    /// Returns the number of places of a lock.
    pub fn lock_limit(&self, lock: &str) -> u32 {
        self.places_of(lock).unwrap_or(1)
    }

    /// Returns the locks that a run of a job takes, with the places of each: never more than there are.
    pub fn locks_of(&self, job: &Job) -> Vec<LockPlaces> {
        let held = |lock: &JobLock| LockPlaces {
            name: lock.name.clone(),
            places: job.places_wanted(lock).min(self.lock_limit(&lock.name)),
        };
        job.locks.iter().map(held).collect()
    }

    /// Returns the number of logins that a run of a job may make; `None` if none of its locks counts them. A script for which the
    /// file names no number makes as many as it likes, as it did when locks counted runs only.
    pub fn logins_of(&self, job: &Job) -> Option<LoginLimit> {
        let is_counted = |lock: &&JobLock| {
            lock.name.starts_with(HOST) && (lock.places.is_some() || job.logins().is_some())
        };
        let limits = job.locks.iter().filter(is_counted).filter_map(|lock| {
            let places = job.places_wanted(lock).min(self.places_of(&lock.name)?);
            let is_less = job.logins().is_none_or(|logins| logins > places);
            Some(LoginLimit { lock: lock.name.clone(), places, is_less })
        });
        limits.min_by_key(|limit| limit.places)
    }
}

impl Job {
    /// Returns the number of places of a lock that a run would take if there were enough.
    fn places_wanted(&self, lock: &JobLock) -> u32 {
        let logins = || if lock.name.starts_with(HOST) { self.logins().unwrap_or(1) } else { 1 };
        lock.places.unwrap_or_else(logins)
    }

    /// Returns the number of logins that a run makes at a time, as far as the jobs file says so: "auto" counts as the number
    /// with which it begins.
    fn logins(&self) -> Option<u32> {
        let of_connect = || {
            let (_, parallel) = self.connect.0.iter().find(|(key, _)| key == "parallel")?;
            Some(parallel.reveal().parse().unwrap_or(u32::from(PARALLEL_AUTO_FIRST)))
        };
        let option = |name: &str| {
            let value = self.option(name)?;
            // What is no number is "auto".
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            Some(number.unwrap_or(u32::from(PARALLEL_AUTO_FIRST)))
        };
        match self.task.as_ref().map(|task| task.kind) {
            Some(TaskKind::Mirror | TaskKind::Deploy) => {
                option("parallel").or_else(of_connect).or(Some(u32::from(PARALLEL_AUTO_FIRST)))
            }
            Some(TaskKind::Get) => option("segments").or(Some(1)),
            Some(TaskKind::Put | TaskKind::Prune) => Some(1),
            None => of_connect(),
        }
    }
}

/// Reads the locks of a job: their names, or a table of names and places.
pub(super) fn read(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Vec<JobLock> {
    let is_table = matches!(table.get("locks").map(Value::get_ref), Some(DeValue::Table(_)));
    let mut all = Vec::new();
    if is_table {
        for (name, value) in table.open_table("locks", page).into_iter().flatten() {
            check_name(name.get_ref(), name.span(), page);
            let places = page.number(name.get_ref(), value, 1, PLACES_MAX);
            all.push(JobLock { name: name.get_ref().to_string(), places });
        }
        return all;
    }
    let names = table.texts("locks", page);
    if let Some((lock, span)) = twice(&names) {
        page.error(span, format!("the lock \"{}\" is named twice", visible(lock)), None);
    }
    for (name, span) in names {
        check_name(name, span, page);
        all.push(JobLock { name: name.to_owned(), places: None });
    }
    all
}

fn check_name(name: &str, span: Range<usize>, page: &mut JobsDocument<'_>) {
    if name.trim().is_empty() {
        page.error(span, "a lock has a name", Some("such as \"host:ftp.example.com\"".into()));
    }
}

/// Warns of a job that wants more places of a lock than there are: it gets those.
pub(super) fn check(job: &Job, runner: &Runner, span: &Range<usize>, page: &mut JobsDocument<'_>) {
    for lock in &job.locks {
        let name = visible(&lock.name);
        let Some(places) = runner.places_of(&lock.name) else {
            if lock.places.is_some_and(|places| places > 1) {
                let hint =
                    format!("`[runner]` says how many it has: `locks = {{ \"{name}\" = 4 }}`");
                let message = format!(
                    "the lock \"{name}\" has no places to count: one run holds it at a time"
                );
                page.warn(span.clone(), message, Some(hint));
            }
            continue;
        };
        let of = if places == 1 { "the one place".into() } else { format!("the {places} places") };
        match (lock.places, job.logins()) {
            (Some(wanted), _) if wanted > places => {
                let message =
                    format!("{wanted} places of \"{name}\" are more than it has: a run takes {of}");
                page.warn(span.clone(), message, None);
            }
            (None, Some(logins))
                if lock.name.starts_with(HOST) && job.has_number() && logins > places =>
            {
                let message = format!(
                    "{logins} sessions are more than {of} of \"{name}\": a run makes no more"
                );
                let hint = "`[runner] locks` has the number of logins that the server allows";
                page.warn(span.clone(), message, Some(hint.into()));
            }
            _ => {}
        }
    }
}

impl Job {
    /// Returns an option of its work.
    fn option(&self, name: &str) -> Option<&serde_json::Value> {
        self.task.as_ref()?.values.get("options")?.get(name)
    }

    /// Returns true if the file has a number of sessions for it, unlike "auto".
    fn has_number(&self) -> bool {
        let of_task = ["parallel", "segments"]
            .into_iter()
            .find_map(|name| self.option(name))
            .is_some_and(serde_json::Value::is_number);
        let mut connect = self.connect.0.iter();
        let of_connect = connect.any(|(key, text)| key == "parallel" && text.reveal() != "auto");
        of_task || of_connect
    }
}

/// Returns a number of logins as the limit of a run's sessions.
pub(in crate::schedule) fn sessions(places: u32) -> u16 {
    u16::try_from(places).unwrap_or(PARALLEL_MAX).min(PARALLEL_MAX)
}
