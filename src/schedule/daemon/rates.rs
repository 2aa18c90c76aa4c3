//! The rate limits of the jobs file, in the file that all runs share: [`RateLimitFile`]. They change by the clock and with
//! the jobs file, also while runs use them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::Daemon;
use crate::{
    error::{Error, Result},
    observe::{MessageLevel, format_size},
    remote::shared_rate::{RUNNER_LIMIT, RateLimitFile, host_limit, job_limit},
    schedule::jobs::RateRule,
};

/// The file, in the state folder.
pub(super) const RATES: &str = "rates";

/// The limits in the file.
#[derive(Debug)]
pub(super) struct SchedulerRates {
    path: PathBuf,
    file: RateLimitFile,
    /// The number and the rate of each limit, by its name.
    limits: BTreeMap<String, (usize, Option<u64>)>,
}

impl SchedulerRates {
    /// Creates the file of a state folder. No run of an earlier scheduler is alive.
    pub(super) fn new(state: &Path) -> Result<Self> {
        let path = state.join(RATES);
        let file = RateLimitFile::create(&path).map_err(|error| failed(&path, error))?;
        Ok(Self { path, file, limits: BTreeMap::new() })
    }

    /// Sets a limit. Returns true if it is another than before.
    fn set(&mut self, name: &str, rate: Option<u64>) -> Result<bool> {
        let before = self.limits.get(name).copied();
        let limit = match before {
            Some((_, known)) if known == rate => return Ok(false),
            None if rate.is_none() => return Ok(false),
            Some((limit, _)) => self.file.set(limit, rate).map(|()| limit),
            None => self.file.add(name, rate),
        };
        let limit = limit.map_err(|error| failed(&self.path, error))?;
        self.limits.insert(name.to_owned(), (limit, rate));
        Ok(true)
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::local("write the rate limits", path, error)
}

impl Daemon {
    /// Sets all limits that runs use, or are about to use, to what they are now.
    pub(super) fn set_rates(&mut self) -> Result<()> {
        let now = self.context.clock.now();
        let jobs = self.context.jobs();
        let runner = &jobs.runner;
        self.set_rate(RUNNER_LIMIT, "the runner", runner.rate_limit.as_ref(), now)?;
        for (host, rule) in &runner.host_rate_limits {
            self.set_rate(&host_limit(host), &format!("`{host}`"), Some(rule), now)?;
        }
        let is_gone = |name: &&String| {
            let host = name.strip_prefix(&host_limit(""));
            host.is_some_and(|host| !runner.host_rate_limits.contains_key(host))
        };
        let gone: Vec<_> = self.rates.limits.keys().filter(is_gone).cloned().collect();
        for name in gone {
            let what = format!("`{}`", name.trim_start_matches(&host_limit("")));
            self.set_rate(&name, &what, None, now)?;
        }
        let active: Vec<_> = self.worker.active.values().map(|run| Arc::clone(&run.job)).collect();
        for job in active {
            // A job that is no longer in the file keeps its limit.
            let job = jobs.get(&job.name).unwrap_or(&job);
            let (name, what) = (job_limit(&job.name), format!("job `{}`", job.name));
            self.set_rate(&name, &what, job.rate_limit.as_ref(), now)?;
        }
        Ok(())
    }

    fn set_rate(
        &mut self,
        name: &str,
        what: &str,
        rule: Option<&RateRule>,
        now: Timestamp,
    ) -> Result<()> {
        let rate = rule.and_then(|rule| rule.rate_at(now));
        if self.rates.set(name, rate)? {
            let limit =
                rate.map_or_else(|| "off".to_owned(), |rate| format!("{}/s", format_size(rate)));
            self.context
                .observer
                .message(MessageLevel::Info, format!("the rate limit of {what} is {limit}"));
        }
        Ok(())
    }
}
