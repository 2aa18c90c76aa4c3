//! The answer of history about a moment, in words.

use jiff::{SignedDuration, Timestamp};

use crate::{
    cli::{next::rough, runs::took, slots},
    error::Result,
    observe::{counted, format_size, visible::visible},
    schedule::{
        slot::Slot,
        slot_status::{SlotQuery, SlotStatus},
        zone::Zone,
    },
    store::{
        Store,
        history::{HistoryRun, RunState, Trigger},
    },
};

/// The answer of history about a moment.
#[derive(Debug)]
pub(super) struct HistoryAnswer {
    /// The status of the slot.
    pub(super) became: SlotStatus,
    /// The status of the previous slot, if the moment is no slot.
    before: Option<SlotStatus>,
    /// The other runs of the job that were in progress at the time.
    pub(super) during: Vec<HistoryRun>,
    /// The reason why the job is paused now, if it is.
    paused: Option<String>,
}

impl HistoryAnswer {
    /// Looks up the answer.
    pub(super) fn read(
        question: &SlotQuery<'_>,
        before: Option<Slot>,
        store: &Store,
    ) -> Result<Self> {
        let became = question.ask(store)?;
        let before = before.filter(|_| became == SlotStatus::NoSlot && question.at <= question.now);
        let before = before.map(|slot| SlotQuery { at: slot.at, slot: Some(slot), ..*question });
        let before = before.map(|before| before.ask(store)).transpose()?;
        let mut during = store.runs_during(&question.job.name, question.at)?;
        during.retain(|run| became.row().is_none_or(|row| row.id != run.id));
        let states = store.job_states()?;
        let paused = states.into_iter().find(|state| *state.job == *question.job.name);
        let paused = paused.filter(|state| state.paused_at.is_some());
        let paused = paused.map(|state| state.pause_reason.unwrap_or_default());
        Ok(Self { became, before, during, paused })
    }

    /// Returns the run that covers the slot, if it is not the slot's own.
    pub(super) fn covering(&self) -> Option<&HistoryRun> {
        match &self.became {
            SlotStatus::Covered { by, .. } => Some(by),
            _ => None,
        }
    }

    /// Returns the run that has more details.
    pub(super) fn run(&self) -> Option<&HistoryRun> {
        let row = self.became.row().filter(|row| row.attempts > 0);
        let before = self.before.as_ref().and_then(SlotStatus::row).filter(|row| row.attempts > 0);
        self.covering().or(row).or_else(|| self.during.first()).or(before)
    }

    /// Returns the whole answer; `None` if history has nothing to add to the schedule.
    pub(super) fn words(&self, zone: &Zone) -> Option<String> {
        let during = self.during.iter().map(|run| {
            let due = run.scheduled_for.map(|due| format!(", for {},", at(due, zone)));
            format!("run {}{} went on then", run.id, due.unwrap_or_default())
        });
        let before = self.before.as_ref().and_then(|before| self.of(before, zone));
        let before = before.map(|words| format!("of the slot before: {words}"));
        let became = self.of(&self.became, zone);
        let parts: Vec<_> = became.into_iter().chain(during).chain(before).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn of(&self, became: &SlotStatus, zone: &Zone) -> Option<String> {
        let words = match became {
            SlotStatus::Ran(run) => format!("run {} {}", run.id, ended(run)),
            SlotStatus::CaughtUp(run) => format!(
                "no scheduler was running at that time; run {} caught up: it {}",
                run.id,
                ended(run)
            ),
            SlotStatus::Covered { by, .. } => format!(
                "no scheduler was running at that time; run {} for {} caught up: it {}",
                by.id,
                by.scheduled_for.map(|due| at(due, zone)).unwrap_or_default(),
                ended(by)
            ),
            SlotStatus::Missed(run) => {
                format!(
                    "no scheduler was running at that time, and it was skipped later: {}",
                    reason(run)
                )
            }
            SlotStatus::Skipped(run) => format!("it was skipped: {}", reason(run)),
            SlotStatus::Paused(run) => format!("it was skipped, the job was {}", reason(run)),
            SlotStatus::Waits(run) if run.reason.is_some() => {
                format!("run {} waits to begin: {}", run.id, reason(run))
            }
            SlotStatus::Waits(run) => format!("run {} waits to begin", run.id),
            SlotStatus::ToCome => match &self.paused {
                Some(why) if why.is_empty() => "it has not come yet; the job is paused".into(),
                Some(why) => format!("it has not come yet; the job is paused: {}", visible(why)),
                None => "it has not come yet".into(),
            },
            SlotStatus::Undecided { up_to, is_served } => undecided(*up_to, *is_served, zone),
            SlotStatus::Before { since: Some(since) } => format!(
                "nothing was run for it: the job has this schedule since {}, and never runs for what was before",
                at(*since, zone)
            ),
            SlotStatus::Before { since: None } => {
                "no scheduler has read this schedule yet, and none will run for what was before"
                    .into()
            }
            SlotStatus::Forgotten => {
                "what became of it is not known any more: history is kept for a while (`retention`)"
                    .into()
            }
            SlotStatus::NoSlot => return None,
        };
        Some(words)
    }
}

fn undecided(up_to: Option<Timestamp>, is_served: bool, zone: &Zone) -> String {
    let decided = up_to.map(|up_to| format!(": slots are decided up to {}", at(up_to, zone)));
    if is_served {
        return format!("the scheduler has not decided it yet{}", decided.unwrap_or_default());
    }
    format!(
        "no scheduler has been awake since{}; the next one that is started decides it by `misfire`",
        decided.unwrap_or_default()
    )
}

/// Describes the result of a run: `is done, began 40 s late, took 3.2s, 4 files, 1.2 MiB by epsv`.
fn ended(run: &HistoryRun) -> String {
    let mut parts = vec![match run.state {
        RunState::Running => "is still running".to_owned(),
        state => format!("is {}", state.as_str()),
    }];
    let is_told = matches!(run.cause, Trigger::CatchUp) && run.covers > 1;
    parts.extend(is_told.then(|| format!("for {} slots", run.covers)));
    let late = late(run);
    parts.extend((late > 0).then(|| format!("began {} late", rough(late))));
    parts.extend((run.attempts > 1).then(|| format!("{} attempts", run.attempts)));
    parts
        .extend(Some(took(run)).filter(|took| !took.is_empty()).map(|took| format!("took {took}")));
    if run.sum.files > 0 {
        let bytes = format_size(u64::try_from(run.sum.bytes).unwrap_or(0));
        let way = run.sum.route.as_ref().map(|way| format!(" by {}", visible(way)));
        parts.push(format!(
            "{}, {bytes}{}",
            counted(run.sum.files, "file"),
            way.unwrap_or_default()
        ));
    }
    let error = run.sum.error.as_ref().map(|error| format!(": {}", visible(error)));
    format!("{}{}", parts.join(", "), error.unwrap_or_default())
}

/// Returns the delay in whole seconds between the due time of a run and its start.
fn late(run: &HistoryRun) -> i64 {
    let times = run.scheduled_for.zip(run.started_at);
    let late = times.map(|(due, began)| began.duration_since(due));
    late.unwrap_or(SignedDuration::ZERO).as_secs()
}

fn reason(run: &HistoryRun) -> String {
    run.reason.as_ref().map_or_else(|| "no reason is recorded".to_owned(), visible)
}

fn at(time: Timestamp, zone: &Zone) -> String {
    slots::local(time, zone, slots::has_seconds(time))
}
