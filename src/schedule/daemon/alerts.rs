//! Notifications that no end of a run brings about: slots that are late, runs that are slow, failures that last, and the
//! digest of a day.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Leader, Worker, context::SchedulerContext};
use crate::{
    error::Result,
    observe::{MessageLevel, format_duration},
    schedule::{
        child::log,
        expected::late_since,
        jobs::{Job, Jobs, SlowAfter},
        notify::{NoticeContext, digest_facts, job_facts, last_time, of_tell},
    },
    store::{
        Store,
        history::{Health, HistoryRun, NewNotice, RunFilter, RunState},
    },
};

/// The time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The number of jobs of one look: with more jobs a look at all of them takes several turns.
const LOOK_JOBS_MAX: usize = 200;

/// The number of runs whose median is the usual duration of a job, and the number below which there is none.
const USUAL_RUNS: (u32, usize) = (50, 3);

/// The maximum number of runs that a digest looks at.
const DIGEST_RUNS_MAX: u32 = 10_000;

/// The longest time that a digest looks back.
const DIGEST_TIME_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The number of runs of a job that are looked at for the beginning of its failures.
const STREAK_RUNS_MAX: u32 = 100;

/// The kinds of alerts in the store.
const LATE: &str = "late";
const FAILING: &str = "failing";
const DIGEST: &str = "digest";

/// The jobs to look at.
#[derive(Debug, Default)]
pub(super) struct AlertWatch {
    looked: Option<Instant>,
    /// The jobs file that `watched` is made from.
    jobs: Option<Arc<Jobs>>,
    /// The jobs with alerts.
    watched: Vec<Arc<Job>>,
    /// The next of them to look at.
    next: usize,
    /// The times since which jobs are expected by a time, as far as that is newer than the start of the scheduler.
    expected: BTreeMap<String, Timestamp>,
}

impl AlertWatch {
    /// Returns the jobs of the next look; none if it is not due.
    fn due(&mut self, jobs: &Arc<Jobs>, now: Timestamp) -> Option<Vec<Arc<Job>>> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_INTERVAL) {
            return None;
        }
        self.looked = Some(Instant::now());
        if !self.jobs.as_ref().is_some_and(|known| Arc::ptr_eq(known, jobs)) {
            let has_alerts =
                |job: &&Arc<Job>| job.notify.on_late.is_some() || job.notify.remind.is_some();
            self.watched = jobs.all.iter().filter(has_alerts).cloned().collect();
            if let Some(before) = self.jobs.replace(Arc::clone(jobs)) {
                let new = newly_expected(&before, &self.watched);
                self.expected.extend(new.into_iter().map(|name| (name, now)));
            }
            self.next = 0;
        }
        let taken: Vec<_> =
            self.watched.iter().skip(self.next).take(LOOK_JOBS_MAX).cloned().collect();
        self.next += taken.len();
        if self.next >= self.watched.len() {
            self.next = 0;
        }
        Some(taken)
    }
}

/// Returns the jobs that a jobs file expects by another time than the one before, or did not expect at all: no alert
/// is sent for a time that had passed when it was written.
fn newly_expected(before: &Jobs, watched: &[Arc<Job>]) -> Vec<String> {
    let is_new = |job: &&Arc<Job>| {
        let old = before.get(&job.name);
        old.is_some_and(|old| old.expect_by != job.expect_by || old.enabled != job.enabled)
    };
    watched.iter().filter(is_new).map(|job| job.name.to_string()).collect()
}

impl Leader {
    /// Tells what is due.
    pub(super) fn look_for_alerts(&mut self) -> Result<()> {
        let jobs = Arc::clone(self.planner.jobs());
        let now = self.context.clock.now();
        let Some(watched) = self.alerts.due(&jobs, now) else { return Ok(()) };
        for job in watched {
            if job.notify.on_late.is_some() {
                self.look_if_late(&job, now)?;
            }
            if let Some(interval) = job.notify.remind {
                self.remind(&job, interval, now)?;
            }
        }
        self.digest(&jobs, now)
    }

    /// Tells once of each time by which a job should have succeeded and has not.
    fn look_if_late(&mut self, job: &Job, now: Timestamp) -> Result<()> {
        let state = self.store.job_state(&job.name)?;
        let Some(deadline) = late_since(job, state.as_ref(), now) else { return Ok(()) };
        if self.store.alert(&job.name, LATE)?.is_some_and(|told| told >= deadline) {
            return Ok(());
        }
        if self.alerts.expected.get(&*job.name).is_some_and(|since| deadline <= *since) {
            return self.store.put_alert(&job.name, LATE, Some(deadline), &[], now);
        }
        let expected_by = local(deadline, job.time_zone());
        let sentence = format!("is late: it was expected by {expected_by}");
        self.context.observer.warn(format!("`{}` {sentence}", job.name));
        // A success of an earlier slot says nothing.
        let last = self.store.runs(Some(&job.name), 1)?.pop();
        let last = last.filter(|run| run.state != RunState::Done);
        let more = [("expected_by", expected_by)];
        let notices = self.context.about_job(job, "late", &sentence, last.as_ref(), &more);
        self.store.put_alert(&job.name, LATE, Some(deadline), &notices, now)
    }

    /// Tells again of a failure that lasts.
    fn remind(&mut self, job: &Job, interval: Duration, now: Timestamp) -> Result<()> {
        let state = self.store.job_state(&job.name)?;
        let is_failing =
            state.is_some_and(|state| state.health == Health::Bad && state.paused_at.is_none());
        let name = &job.name;
        let told = match (self.store.alert(name, FAILING)?, is_failing) {
            (None, false) => return Ok(()),
            (Some(_), false) => return self.store.put_alert(name, FAILING, None, &[], now),
            // The failure itself has just been told.
            (None, true) => return self.store.put_alert(name, FAILING, Some(now), &[], now),
            (Some(told), true) => told,
        };
        let interval = SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX);
        if now.duration_since(told) < interval {
            return Ok(());
        }
        let runs = self.store.runs(Some(name), STREAK_RUNS_MAX)?;
        let is_failure =
            |run: &HistoryRun| matches!(run.state, RunState::Failed | RunState::Partial);
        let last = runs.iter().find(|run| is_failure(run));
        let failures = runs.iter().take_while(|run| run.state != RunState::Done);
        let since = failures.filter(|run| is_failure(run)).last().and_then(|run| run.ended_at);
        let since = since.map(|at| local(at, job.time_zone())).unwrap_or_default();
        let sentence = format!("still fails, since {since}");
        let more = [("failing_since", since)];
        let notices = self.context.about_job(job, "remind", &sentence, last, &more);
        self.store.put_alert(name, FAILING, Some(now), &notices, now)
    }

    fn digest(&mut self, jobs: &Jobs, now: Timestamp) -> Result<()> {
        let Some(digest) = &jobs.digest else { return Ok(()) };
        let Some(told) = self.store.alert("", DIGEST)? else {
            // The first one is of what happens from now on.
            return self.store.put_alert("", DIGEST, Some(now), &[], now);
        };
        let Some(due) = last_time(digest, now).filter(|due| *due > told) else { return Ok(()) };
        let earliest = now.checked_sub(DIGEST_TIME_MAX).unwrap_or(now);
        let facts = digest_of(&self.store, jobs, told.max(earliest), now)?;
        let page = self.context.page_url();
        let context = NoticeContext {
            host: &self.context.host,
            page: page.as_deref(),
            ..NoticeContext::default()
        };
        let notices = of_tell(Some(&digest.tell), 0, "", DIGEST, &facts, &context);
        self.context.observer.message(MessageLevel::Info, "the digest of the day is due");
        self.store.put_alert("", DIGEST, Some(due), &notices, now)
    }
}

impl Worker {
    /// Returns the time from which a run of a job is slow, if anybody is told.
    pub(super) fn slow_after(&self, job: &Job) -> Result<Option<Duration>> {
        if job.notify.on_slow.is_none() {
            return Ok(None);
        }
        match job.notify.slow_after {
            SlowAfter::Time(time) => Ok(Some(time)),
            SlowAfter::Times(times) => {
                let usual = usual_seconds(&self.store, &job.name)?;
                Ok(usual.and_then(|usual| Duration::try_from_secs_f64(usual * times).ok()))
            }
        }
    }

    /// Tells which runs are slow, each once.
    pub(super) fn tell_slow_runs(&mut self) -> Result<()> {
        let mut slow = Vec::new();
        for active in self.active.values_mut() {
            let spent = active.begun.elapsed();
            if active.slow_after.take_if(|time| spent >= *time).is_some() {
                slow.push((active.claim.run, Arc::clone(&active.job), spent));
            }
        }
        for (run, job, spent) in slow {
            let spent = format_duration(spent);
            self.context.observer.warn(format!("run {run} of `{}` is slow: {spent}", job.name));
            let found = self.store.run(run)?;
            let sentence = format!("is slow: it has run for {spent}");
            let more = [("running_for", spent)];
            let notices = self.context.about_job(&job, "slow", &sentence, found.as_ref(), &more);
            self.context.keep_notices(&mut self.store, &notices);
        }
        Ok(())
    }
}

impl SchedulerContext {
    /// Returns the notices about a job that is not at the end of a run.
    pub(super) fn about_job(
        &self,
        job: &Job,
        event: &str,
        sentence: &str,
        run: Option<&HistoryRun>,
        more: &[(&str, String)],
    ) -> Vec<NewNotice> {
        let id = run.map_or(0, |run| run.id);
        let path = log::path(&self.start.state, &job.name, id);
        let log = if id > 0 { log::tail(&path).unwrap_or_default() } else { String::new() };
        let page = self.page_url();
        let context = self.notice_context(job, page.as_deref(), &log);
        let facts = job_facts(&job.name, event, sentence, run, more);
        of_tell(job.notify.of_event(event), id, &job.name, event, &facts, &context)
    }
}

/// Returns the facts of a digest of what has happened since a time.
pub fn digest_of(
    store: &Store,
    jobs: &Jobs,
    since: Timestamp,
    now: Timestamp,
) -> Result<serde_json::Value> {
    let filter = RunFilter { since: Some(since), most: DIGEST_RUNS_MAX, ..RunFilter::default() };
    let runs = store.runs_matching(&filter)?;
    let states = store.job_states()?;
    let is_late = |job: &&Arc<Job>| {
        let state = states.binary_search_by(|state| state.job.as_str().cmp(&job.name));
        let state = state.ok().and_then(|at| states.get(at));
        late_since(job, state, now).is_some()
    };
    let late: Vec<_> = jobs.all.iter().filter(is_late).map(|job| job.name.to_string()).collect();
    let zone = jobs.digest.as_ref().map(|digest| digest.zone.rules.clone());
    Ok(digest_facts(&runs, &late, &local(since, zone.unwrap_or(TimeZone::UTC))))
}

/// Returns the median duration of the last successful runs of a job.
fn usual_seconds(store: &Store, job: &str) -> Result<Option<f64>> {
    let runs = store.brief_runs(job, USUAL_RUNS.0)?;
    let done = runs.iter().filter(|run| run.state == RunState::Done);
    let mut times: Vec<f64> = done.filter_map(crate::store::history::BriefRun::seconds).collect();
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().filter(|_| times.len() >= USUAL_RUNS.1))
}

fn local(at: Timestamp, zone: TimeZone) -> String {
    at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;
    use crate::schedule::jobs::{ExpectBy, Runner, Tell};

    fn job(name: &str, by: Option<i8>) -> Job {
        let expect_by = by.map(|hour| ExpectBy::Time(time(hour, 30, 0, 0)));
        let mut job = Job { name: name.into(), expect_by, ..Job::default() };
        job.notify.on_late = by.map(|_| Tell::default());
        job
    }

    fn jobs(all: Vec<Job>) -> Arc<Jobs> {
        let all = all.into_iter().map(Arc::new).collect();
        Arc::new(Jobs::new("portolan.toml".into(), Runner::default(), all))
    }

    #[test]
    fn jobs_that_a_new_file_expects_by_another_time_are_new() {
        let before = jobs(vec![
            job("same", Some(6)),
            job("earlier", Some(7)),
            job("first", None),
            Job { enabled: false, ..job("off", Some(6)) },
        ]);
        let after = ["same", "earlier", "first", "off", "added"].map(|name| job(name, Some(6)));
        let after = jobs(after.into());
        assert_eq!(newly_expected(&before, &after.all), ["earlier", "first", "off"]);
        let mut watch = AlertWatch::default();
        let now = Timestamp::from_second(1_000).unwrap();
        // What is late at the start of a scheduler is told.
        assert!(watch.due(&before, now).is_some() && watch.expected.is_empty());
        watch.looked = None;
        assert_eq!(watch.due(&after, now).unwrap().len(), 5);
        assert_eq!(watch.expected.keys().collect::<Vec<_>>(), ["earlier", "first", "off"]);
        assert!(watch.expected.values().all(|since| *since == now));
    }
}
