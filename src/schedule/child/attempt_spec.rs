//! The parent's instructions to a child: one line of JSON through a pipe, since it may contain a password.

use std::{
    fmt,
    io::BufRead,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{broken_order, lease::LeaseSpec, programs::RunPrograms};
use crate::{
    error::{Error, Result},
    permissions::PermissionOptions,
    remote::{rate_limit::HostRateLimiters, shared_rate::SharedRateLimits},
    schedule::jobs::{Allowed, Job, Task},
    script::{run::JobFacts, source::ScriptSource},
};

/// The instructions for one attempt.
#[derive(Clone, Serialize, Deserialize)]
pub struct AttemptSpec {
    /// The number of the run.
    pub run: i64,
    /// The script.
    pub script: PathBuf,
    /// The work of a job without a script.
    #[serde(default)]
    pub task: Option<Task>,
    /// The programs around the work.
    #[serde(default)]
    pub programs: RunPrograms,
    /// `job::NAME`.
    pub job: String,
    /// `job::ATTEMPT`.
    pub attempt: i64,
    /// `job::SCHEDULED_FOR`.
    pub scheduled_for: String,
    /// `job::TRIGGER`.
    pub trigger: String,
    /// `job::TIMEZONE`.
    pub timezone: String,
    /// `job::LAST_SUCCESS`, in seconds since 1970.
    pub last_success: Option<i64>,
    /// `job::FILES`.
    #[serde(default)]
    pub files: Vec<String>,
    /// `args`.
    pub args: Value,
    /// The connect options of the job, as `KEY=VALUE`. They may contain a password.
    pub connect: Vec<String>,
    /// True if it may change NAT.
    pub allow_nat: bool,
    /// The table `[job.permissions]`; without it only `http`, `run` and NAT are refused.
    #[serde(default)]
    pub permissions: Option<PermissionOptions>,
    /// The file of the rate limits that it shares with other runs.
    #[serde(default)]
    pub rates: Option<PathBuf>,
    /// The maximum number of sessions with a server at a time, if a lock limits them.
    #[serde(default)]
    pub sessions: Option<u16>,
    /// The lease of its worker, if it is one of a fleet: the run ends when that does.
    #[serde(default)]
    pub lease: Option<LeaseSpec>,
    /// The process id of the scheduler.
    pub parent: u32,
    /// The file that each child keeps locked while it lives.
    pub lock: PathBuf,
}

impl fmt::Debug for AttemptSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order(run {}, attempt {} of `{}`)", self.run, self.attempt, self.job)
    }
}

impl AttemptSpec {
    /// Returns the part of the order that is the same for all runs of a job.
    pub fn of_job(job: &Job) -> Result<Self> {
        let script = match &job.task {
            Some(_) => job.script.clone(),
            None => std::path::absolute(&job.script)
                .map_err(|error| Error::local("find the script", &job.script, error))?,
        };
        Ok(Self {
            run: 0,
            script,
            task: job.task.clone(),
            programs: job.programs.clone(),
            job: job.name.to_string(),
            attempt: 1,
            scheduled_for: String::new(),
            trigger: String::new(),
            timezone: job
                .schedule
                .as_ref()
                .map_or("local", |schedule| &schedule.zone.name)
                .to_owned(),
            last_success: None,
            files: Vec::new(),
            args: job.args.clone(),
            connect: job.connect.texts(),
            allow_nat: job.allow.contains(&Allowed::Nat),
            permissions: job.permissions.clone(),
            rates: None,
            sessions: None,
            lease: None,
            parent: std::process::id(),
            lock: PathBuf::new(),
        })
    }

    /// Returns the order as a line.
    pub fn line(&self) -> String {
        // Only strings, numbers and JSON values: serialization cannot fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads the line.
    pub fn read(mut from: impl BufRead) -> Result<Self> {
        let mut line = String::new();
        from.read_line(&mut line)
            .map_err(|error| Error::local("read the order", "standard input", error))?;
        serde_json::from_str(&line).map_err(|error| broken_order(&error))
    }

    /// Returns what the script may do, and true if what is not named is refused.
    pub fn permissions(&self) -> (PermissionOptions, bool) {
        let nat = PermissionOptions { nat: self.allow_nat, ..PermissionOptions::default() };
        let options = self.permissions.clone().unwrap_or_default();
        let task = self.task.as_ref().map(|task| task.permissions(&self.args));
        (options.and(&nat).and(&task.unwrap_or_default()), self.permissions.is_some())
    }

    /// Returns the script: that of the job, in a file that no other user can change, or that of its work.
    pub fn source(&self) -> Result<ScriptSource> {
        match &self.task {
            Some(task) => Ok(task.source(Path::new("."))),
            None => ScriptSource::read_guarded(&self.script),
        }
    }

    /// Opens the rate limits that it shares with other runs. A limit that cannot be read would not be kept.
    pub fn shared_rates(&self) -> Result<HostRateLimiters> {
        let Some(path) = &self.rates else { return Ok(HostRateLimiters::default()) };
        let shared = SharedRateLimits::open(path, &self.job)
            .map_err(|error| Error::local("open the rate limits", path, error))?;
        Ok(HostRateLimiters::sharing(Arc::new(shared)))
    }

    /// Returns the facts about the job that the script sees.
    pub fn facts(&self) -> JobFacts {
        JobFacts {
            name: self.job.clone(),
            attempt: self.attempt,
            scheduled_for: self.scheduled_for.clone(),
            trigger: self.trigger.clone(),
            timezone: self.timezone.clone(),
            last_success: self.last_success.and_then(|at| Timestamp::from_second(at).ok()),
            files: self.files.clone(),
            args: self
                .task
                .as_ref()
                .map_or_else(|| self.args.clone(), |task| task.args(&self.args)),
            is_scheduled: true,
        }
    }

    /// Returns the facts of a run that is not the scheduler's.
    pub fn facts_by_hand(&self) -> JobFacts {
        JobFacts { trigger: JobFacts::default().trigger, is_scheduled: false, ..self.facts() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_back_from_its_line_and_shows_no_password() {
        let order = AttemptSpec {
            run: 7,
            script: "a.rhai".into(),
            task: None,
            programs: RunPrograms::default(),
            job: "a".into(),
            attempt: 2,
            scheduled_for: "2026-01-01T00:00:00Z".into(),
            trigger: "catchup".into(),
            timezone: "UTC".into(),
            last_success: Some(7),
            files: vec!["out/a.csv".into()],
            args: serde_json::json!({ "target": "/srv" }),
            connect: vec!["password=canary".into()],
            allow_nat: true,
            permissions: Some(PermissionOptions::default()),
            rates: Some("state/rates".into()),
            sessions: Some(3),
            lease: Some(LeaseSpec { file: "state/lease".into(), grace_ms: 3 }),
            parent: 1,
            lock: "state/runs.lock".into(),
        };
        assert!(!format!("{order:?}").contains("canary"));
        let read = AttemptSpec::read(order.line().as_bytes()).unwrap();
        assert_eq!(read.line(), order.line());
        assert_eq!(read.facts().attempt, 2);
        assert!(
            AttemptSpec::read(&b"nonsense\n"[..])
                .unwrap_err()
                .message
                .contains("cannot parse the run specification")
        );
    }
}
