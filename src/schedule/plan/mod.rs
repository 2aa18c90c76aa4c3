//! The planner: decides which slots of which jobs are due; every slot gets exactly one end, a start or a skip with its
//! reason.
//!
//! # Use in a loop
//!
//! ```text
//! planner = Planner::new(jobs, state from the database, clock.now())
//! loop {
//!     step = planner.step(&Moment { now: clock.now(), running, requests })
//!     in one transaction: write step.decisions as rows, and planner.state_of(job) of each job in step.changed
//!     carry out: begin what `Start` says, cancel what `Cancel` says, log step.notes
//!     sleep until step.wake, 30 s at most (clocks are set, machines sleep), or until a run ends, a file changes, …
//! }
//! ```
//!
//! - A row is keyed by job, [`JobPlanState::revision`] and [`crate::schedule::slot::SlotId`] as text: a second decision for
//!   the same slot cannot be written. [`DecisionKind::Wait`] inserts the row (state `waiting`) and is repeated when the
//!   reason for the wait changes; [`DecisionKind::Start`] inserts it or changes it to `running`; [`DecisionKind::Skip`] ends it as
//!   `skipped`.
//! - If the transaction fails, the planner is discarded and rebuilt from the database: it has no other state.
//! - The state is one row for each job and one for each waiting slot; everything in [`JobPlanState`] can be stored that
//!   way.
//! - The loop calls [`Planner::succeeded`] when a run succeeds; other ends need no call, the run is just no longer in
//!   [`Moment::running`].
//! - On reload, [`Planner::reload`] takes the new jobs: changed schedules start at that time, and never fire for the
//!   past.
//! - Retries happen within a run. While a run waits for its next attempt [`RunningJob::between_attempts`] is true, and the
//!   next slot ends it.

mod begin;
mod decide;
mod decision;
mod machines;
mod planner;
mod reason;
mod state;
#[cfg(test)]
mod tests;

pub use self::{
    decision::{Decision, DecisionKind, PlannerNote, PlannerStep, Trigger},
    machines::MachineRoom,
    planner::Planner,
    reason::{DecisionReason, PAUSED},
    state::{JobPlanState, Moment, Pause, PlannerState, Request, RunId, RunningJob, WaitingSlot},
};
