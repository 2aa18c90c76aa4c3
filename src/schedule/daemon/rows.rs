//! Conversions between the planner's values and the store's rows. Pure, except for reads from the store.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::active::ActiveRun;
use crate::{
    error::{Error, Result},
    schedule::{
        child::{attempt_spec::AttemptSpec, lease::LeaseSpec},
        cron::stable_hash,
        jobs::{self, Jobs, LoginLimit, args},
        plan::{
            Decision, DecisionKind, DecisionReason, JobPlanState, Pause, Planner, PlannerState,
            PlannerStep, WaitingSlot,
        },
        slot::{Slot, SlotId},
    },
    store::{
        Store,
        history::{self, HistoryRun, NewRun, RunState, Wait},
    },
};

/// Returns the folder of the jobs file, in which runs work.
pub(super) fn folder_of(file: &Path) -> Result<PathBuf> {
    let file = std::path::absolute(file)
        .map_err(|error| Error::local("find the jobs file", file, error))?;
    Ok(file.parent().unwrap_or(&file).to_owned())
}

/// Creates a planner that continues from the stored state.
pub(super) fn planner(store: &Store, jobs: Arc<Jobs>, now: Timestamp) -> Result<Planner> {
    let mut state = PlannerState::default();
    let mut waiting: BTreeMap<String, Vec<HistoryRun>> = BTreeMap::new();
    for run in store.runs_that_are(RunState::Waiting)? {
        waiting.entry(run.job.clone()).or_default().push(run);
    }
    let stored = store.job_states()?;
    // There are some only if the clock was set back.
    let mut begun: HashMap<String, BTreeSet<SlotId>> = HashMap::new();
    for (job, slot) in store.slots_begun(now)? {
        begun.entry(job).or_default().extend(slot.parse::<SlotId>().ok());
    }
    for row in &stored {
        let Some(watermark) = row.watermark else { continue };
        let runs = waiting.remove(&row.job).unwrap_or_default();
        let job_state = JobPlanState {
            revision: row.revision.clone(),
            watermark,
            label: row.label.as_ref().and_then(|label| label.parse().ok()),
            last_success: row.last_success,
            paused: pause_of(row),
            waiting: runs.iter().filter_map(waiting_of).collect(),
            ended: begun.remove(&row.job).unwrap_or_default(),
        };
        state.jobs.insert(row.job.as_str().into(), job_state);
    }
    let mut planner = Planner::new(jobs, state, now);
    // Jobs that were paused before they ever had a slot.
    for row in stored.iter().filter(|row| row.watermark.is_none()) {
        planner.pause(&row.job, pause_of(row));
    }
    Ok(planner)
}

fn waiting_of(run: &HistoryRun) -> Option<WaitingSlot> {
    let wait = run.wait?;
    Some(WaitingSlot {
        slot: slot_of(run)?,
        trigger: run.cause,
        covers: u64::try_from(run.covers).unwrap_or(1),
        not_before: wait.not_before,
        give_up: wait.give_up,
        needs_since: wait.needs_since,
        told: None,
    })
}

pub(super) fn slot_of(run: &HistoryRun) -> Option<Slot> {
    Some(Slot {
        id: run.slot.as_ref()?.parse().ok()?,
        at: run.scheduled_for?,
        moved_from: run.moved_from.as_ref().and_then(|time| time.parse().ok()),
    })
}

/// Returns the pause of a job, if it is paused.
pub(super) fn pause_of(row: &history::JobStateRecord) -> Option<Pause> {
    let since = row.paused_at?;
    Some(Pause { since, reason: row.pause_reason.clone().unwrap_or_default() })
}

/// Returns the rows that a step adds, each with the index of its decision, and the state rows of the jobs it changed.
pub(super) fn of_step(
    step: &PlannerStep,
    planner: &Planner,
) -> (Vec<(usize, NewRun)>, Vec<history::JobStateRecord>) {
    let rows = step.decisions.iter().enumerate();
    let rows =
        rows.filter_map(|(index, decision)| Some((index, row(decision, planner)?))).collect();
    let states = step.changed.iter().filter_map(|job| state_row(planner, job)).collect();
    (rows, states)
}

fn row(decision: &Decision, planner: &Planner) -> Option<NewRun> {
    let Decision { job, slot, reason, .. } = decision;
    let known = planner.state_of(job);
    let (state, wait) = match &decision.action {
        DecisionKind::Start => (RunState::Running, None),
        DecisionKind::Wait => {
            let waiting = known
                .and_then(|known| known.waiting.iter().find(|waiting| waiting.slot.id == slot.id));
            (RunState::Waiting, waiting.map(wait_of))
        }
        DecisionKind::Skip | DecisionKind::SkipThrough { .. } => (RunState::Skipped, None),
        DecisionKind::Cancel(_) => return None,
    };
    let (covers, words, up_to) = match &decision.action {
        DecisionKind::SkipThrough { last, count } => {
            let words = format!("{reason}; so are all later ones up to {}", last.at);
            (count.unwrap_or(0), Some(words), Some(last.at))
        }
        DecisionKind::Start
            if matches!(
                reason,
                DecisionReason::Due
                    | DecisionReason::Asked
                    | DecisionReason::Succeeded
                    | DecisionReason::Arrived
            ) =>
        {
            (decision.covers, None, None)
        }
        _ => (decision.covers, Some(reason.to_string()), None),
    };
    // The schedule to which it belonged is no longer known.
    let is_gone = matches!(reason, DecisionReason::Edited | DecisionReason::Removed);
    let revision = known.filter(|_| !is_gone).map(|known| {
        // Files outlive an edited schedule.
        if slot.is_of_files() { FILES_REVISION.to_owned() } else { known.revision.clone() }
    });
    let found = planner.jobs().get(job);
    Some(NewRun {
        job: job.to_string(),
        revision: revision.unwrap_or_default(),
        slot: Some(slot.id.to_string()),
        script: found.map(|job| job.script.display().to_string()).unwrap_or_default(),
        cause: decision.trigger,
        scheduled_for: Some(slot.at),
        up_to,
        moved_from: slot.moved_from.map(|time| time.to_string()),
        wait,
        state,
        reason_code: words.as_ref().map(|_| reason.as_str()),
        covered_by: reason.covered_by(),
        reason: words,
        covers: i64::try_from(covers).unwrap_or(i64::MAX),
    })
}

/// The revision of slots of files that have arrived.
const FILES_REVISION: &str = "files";

/// Returns the time that is as many milliseconds after 1970.
pub(super) fn milliseconds(number: i64) -> Timestamp {
    Timestamp::from_millisecond(number).unwrap_or(Timestamp::MAX)
}

const fn wait_of(waiting: &WaitingSlot) -> Wait {
    Wait {
        not_before: waiting.not_before,
        give_up: waiting.give_up,
        needs_since: waiting.needs_since,
    }
}

/// Returns the row of a job's state.
pub(super) fn state_row(planner: &Planner, job: &str) -> Option<history::JobStateRecord> {
    let state = planner.state_of(job)?;
    Some(history::JobStateRecord {
        job: job.to_owned(),
        revision: state.revision.clone(),
        watermark: Some(state.watermark),
        label: state.label.map(|label| label.to_string()),
        last_success: state.last_success,
        ..history::JobStateRecord::default()
    })
}

/// Returns true if a slot was lost that users may rely on, unlike one skipped because the previous run was in progress.
pub(super) const fn is_missed(reason: &DecisionReason) -> bool {
    matches!(
        reason,
        DecisionReason::MisfireSkip
            | DecisionReason::TooMany { .. }
            | DecisionReason::TooLate { .. }
            | DecisionReason::GaveUp { .. }
            | DecisionReason::QueueFull
    )
}

/// Returns the order for the attempt of a run that starts.
pub(super) fn order(
    active: &ActiveRun,
    attempt: i64,
    last_success: Option<Timestamp>,
    (lease, logins): (Option<LeaseSpec>, Option<&LoginLimit>),
    state: &Path,
) -> Result<AttemptSpec> {
    Ok(AttemptSpec {
        run: active.claim.run,
        attempt,
        scheduled_for: active.slot.at.to_string(),
        trigger: active.cause.as_str().into(),
        last_success: last_success.map(Timestamp::as_second),
        files: active.files.clone(),
        lease,
        sessions: logins.map(|limit| jobs::sessions(limit.places)),
        rates: Some(state.join(super::rates::RATES)),
        lock: state.join(super::lock::RUNS),
        args: args::merged(&active.job.args, &active.args),
        ..AttemptSpec::of_job(&active.job)?
    })
}

/// Returns a number that determines the wait after this attempt, always the same for the same attempt.
pub(super) fn draw(run: i64, attempt: i64) -> u64 {
    stable_hash(&["retry", &run.to_string(), &attempt.to_string()])
}
