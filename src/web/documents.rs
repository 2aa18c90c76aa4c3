//! The values that the API returns and the page shows, read from the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::{params::JobsQuery, server::WebState};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
    schedule::{
        child::{ChildProgress, log},
        facts,
        jobs::{Job, Jobs},
        machines::MachineState,
        overview::{JOBS_AT_ONCE, JobHistory, JobOverview},
        slot::Slot,
        upcoming::{MergedSlots, SlotDocument},
    },
    similar::nearest,
    store::{
        Store,
        history::{
            ArrivedFile, AttemptRecord, FallBack, FileMoved, HistoryRun, Notice, ProgressPoint,
            RunState,
        },
    },
};

/// A part of a list, and whether there is more.
#[derive(Debug)]
pub(super) struct ListPart<T> {
    pub(super) all: Vec<T>,
    pub(super) has_more: bool,
}

/// Returns the error for a job that is not in the jobs file.
pub(super) fn no_job(jobs: &Jobs, name: &str) -> Error {
    let known: Vec<_> = jobs.all.iter().map(|job| &*job.name).collect();
    let near = nearest(name, &known).map(|near| format!("; did you mean `{near}`?"));
    let message = format!("there is no job `{}`{}", visible(name), near.unwrap_or_default());
    Error::new(ErrorKind::NotFound, Origin::Script, message)
}

/// Returns the error for a run that is not in history.
pub(super) fn no_run(id: i64) -> Error {
    Error::new(ErrorKind::NotFound, Origin::Script, format!("there is no run {id}"))
}

/// Returns the overview of one job.
pub(super) fn job(store: &Store, job: &Job, now: Timestamp) -> Result<JobOverview> {
    let state = store.job_state(&job.name)?;
    Ok(JobHistory::read(Some(store), &job.name, now)?.overview(job, state.as_ref(), now))
}

/// Returns the jobs that a query is about, in the order of the file.
pub(super) fn jobs(
    store: &Store,
    jobs: &Jobs,
    query: &JobsQuery,
    most: u32,
    now: Timestamp,
) -> Result<ListPart<JobOverview>> {
    let words = query.q.as_deref().unwrap_or_default().trim().to_lowercase();
    let in_state = match query.state.as_deref().unwrap_or_default() {
        "" => None,
        state => Some(names_in(store, state)?),
    };
    let is_wanted = |job: &&Arc<Job>| {
        let has = |text: &str| text.to_lowercase().contains(&words);
        let is_named =
            words.is_empty() || has(&job.name) || job.description.as_deref().is_some_and(has);
        let is_named = is_named || job.tags.iter().any(|tag| has(tag));
        is_named && in_state.as_ref().is_none_or(|names| names.contains(&*job.name))
    };
    let after = match query.cursor.as_deref().filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => jobs.place(cursor).ok_or_else(|| no_job(jobs, cursor))? + 1,
    };
    let mut found = jobs.all.iter().skip(after).filter(is_wanted);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let chosen: Vec<&Job> = found.by_ref().take(most).map(|job| &**job).collect();
    let mut all = Vec::with_capacity(chosen.len());
    for part in chosen.chunks(JOBS_AT_ONCE) {
        all.extend(overviews(store, part, now)?);
    }
    Ok(ListPart { all, has_more: found.next().is_some() })
}

/// Returns the overviews of a few jobs.
fn overviews(store: &Store, jobs: &[&Job], now: Timestamp) -> Result<Vec<JobOverview>> {
    let names: Vec<&str> = jobs.iter().map(|job| &*job.name).collect();
    let states = store.job_states_of(&names)?.into_iter();
    let states: BTreeMap<_, _> = states.map(|state| (state.job.clone(), state)).collect();
    let histories = JobHistory::read_all(Some(store), &names, now)?;
    let overview =
        |(job, history): (&&Job, JobHistory)| history.overview(job, states.get(&*job.name), now);
    Ok(jobs.iter().zip(histories).map(overview).collect())
}

/// Returns the names of the jobs in one of the states of [`super::params::JOB_STATES`].
fn names_in(store: &Store, state: &str) -> Result<BTreeSet<String>> {
    if state == "running" {
        let runs = store.runs_that_are(RunState::Running)?;
        return Ok(runs.into_iter().map(|run| run.job).collect());
    }
    let states = match state {
        "paused" => store.paused_jobs()?,
        _ => store.failing_jobs()?,
    };
    Ok(states.into_iter().map(|one| one.job).collect())
}

/// Everything about one run.
#[derive(Debug)]
pub(super) struct RunDetails {
    pub(super) run: HistoryRun,
    pub(super) attempts: Vec<AttemptRecord>,
    pub(super) files: Vec<FileMoved>,
    pub(super) fallbacks: Vec<FallBack>,
    pub(super) notices: Vec<Notice>,
    /// The files whose arrival has started it.
    given: Vec<ArrivedFile>,
    pub(super) progress: Vec<ProgressPoint>,
    pub(super) has_log: bool,
}

impl RunDetails {
    /// Reads them; those of an attempt in progress come from `live`.
    pub(super) fn read(
        store: &Store,
        folder: &Path,
        id: i64,
        live: Option<ChildProgress>,
    ) -> Result<Self> {
        let mut run = store.run(id)?.ok_or_else(|| no_run(id))?;
        let attempts = store.attempts(id)?;
        let (mut files, mut fallbacks) = (store.files(id)?, store.fallbacks(id)?);
        let mut progress = store.progress(id)?;
        let attempt = attempts.last().map_or(1, |attempt| attempt.number);
        if let Some(live) = live.filter(|_| run.state == RunState::Running) {
            let account = live.account();
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            let (more, detours) = facts::parts(attempt, &account);
            run.sum.files += number(account.files);
            run.sum.bytes += number(account.bytes);
            run.sum.route = account.route.or(run.sum.route);
            run.fallbacks += number(detours.len() as u64);
            files.extend(more);
            fallbacks.extend(detours);
            progress.extend(facts::points(attempt, &live.points()));
        }
        let has_file = log::path(folder, &run.job, id).is_file();
        let has_log = has_file || store.is_shared() && store.log_end(id)? > 0;
        let notices = store.notices_of(id)?;
        let given = store.files_given(id)?;
        Ok(Self { run, attempts, files, fallbacks, notices, given, progress, has_log })
    }

    /// Returns it as `show --json` does, with the bytes over time. The log is a resource of its own.
    pub(super) fn value(&self) -> Value {
        let Self { run, attempts, files, fallbacks, notices, given, progress, has_log } = self;
        let mut value = facts::whole(run, attempts, files, fallbacks, notices, given);
        if let Some(fields) = value.as_object_mut() {
            let log = has_log.then(|| format!("/api/v1/runs/{}/log", run.id));
            fields.insert("log".into(), json!(log));
            fields.insert("progress".into(), facts::progress(progress));
        }
        value
    }
}

/// Returns the slots of the next `hours`, the earliest first, `most` at most.
pub(super) fn next(
    store: &Store,
    jobs: &Jobs,
    coming: &[Option<Slot>],
    now: Timestamp,
    hours: u32,
    most: u32,
) -> Result<ListPart<(Slot, SlotDocument)>> {
    let end = now.checked_add(i64::from(hours).hours()).unwrap_or(Timestamp::MAX);
    let paused: BTreeSet<_> = store.paused_jobs()?.into_iter().map(|state| state.job).collect();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut slots = MergedSlots::new(jobs, coming, end);
    let all = slots.by_ref().take(most).map(|(job, slot, schedule)| {
        (slot, SlotDocument::of(&slot, schedule, Some((job, paused.contains(&*job.name)))))
    });
    let all = all.collect();
    Ok(ListPart { all, has_more: slots.next().is_some() })
}

impl WebState {
    /// Returns everything about a run.
    pub(super) async fn run(&self, id: i64) -> Result<RunDetails> {
        let (folder, live) = (self.stores.folder.clone(), self.view.progress(id));
        self.stores.with(move |store| RunDetails::read(store, &folder, id, live)).await
    }

    /// Returns the machines that share the schedule; none if there is this one only.
    pub(super) async fn machines(&self) -> Result<Vec<MachineState>> {
        if !self.stores.place.is_shared() {
            return Ok(Vec::new());
        }
        let read = |store: &mut Store| {
            let now = store.server_time()?.unwrap_or_default();
            MachineState::read_all(store, now)
        };
        self.stores.with(read).await
    }

    /// Returns the job of that name. Fails if the jobs file has none.
    pub(super) fn job(&self, name: &str) -> Result<Arc<Job>> {
        let jobs = self.view.jobs();
        jobs.get(name).map(Arc::clone).ok_or_else(|| no_job(&jobs, name))
    }
}
