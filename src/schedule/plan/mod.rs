//! What is to be done at a moment: every slot of every job gets exactly one end, a start or a skip with its reason.
//!
//! # How a loop uses it
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
//! - A row is keyed by job, [`JobState::revision`] and [`crate::schedule::slot::SlotId`] as text: a second decision for
//!   one slot cannot be written. [`Action::Wait`] makes the row (state `waiting`), and comes again when what it waits for
//!   changes; [`Action::Start`] makes it or turns it to `running`; [`Action::Skip`] ends it as `skipped`.
//! - When the transaction fails, the planner is thrown away and made anew from the database: it has no other memory.
//! - The state is one row for each job and one for each waiting slot; [`JobState`] has nothing that cannot be stored so.
//! - When a run succeeds the loop calls [`Planner::succeeded`]; other ends need no call, the run is just not in
//!   [`Moment::running`] any more.
//! - On reload [`Planner::reload`] takes the new jobs: changed schedules begin at that moment, and never fire for the past.
//! - Retries are inside a run. While a run waits for its next attempt [`Running::between_attempts`] is true, and the next
//!   slot ends it.

mod begin;
mod decide;
mod decision;
mod planner;
mod reason;
mod state;
#[cfg(test)]
mod tests;

pub use self::{
    decision::{Action, Decision, Note, Step, Trigger},
    planner::Planner,
    reason::{Reason, covered_by, is_pause},
    state::{JobState, Moment, Pause, PlannerState, Request, RunId, Running, Waiting},
};
