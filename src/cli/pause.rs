//! `portolan pause` and `portolan resume`: pause a job for a while, with a reason.

use super::{
    ExitResult,
    common::Common,
    place::failed,
    report,
    store::{self, JobsStore},
};
use crate::{
    error::Result,
    exit_code::Exit,
    schedule::facts,
    store::{Store, history::JobStateRecord},
};

/// The arguments of `portolan pause`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Job to pause
    job: String,
    /// Reason for the pause, shown in `runs` and `why`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    jobs: JobsStore,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let paused = || -> Result<JobStateRecord> {
        let mut store = open(&args.jobs, &args.job, common)?;
        let now = store::now(&store)?;
        store.pause(&args.job, args.reason.as_deref(), now)?;
        state(&store, &args.job)
    };
    let words = "is paused: slots that are due meanwhile are skipped, a run in progress continues";
    tell(paused(), &args.job, words, common)
}

fn open(jobs: &JobsStore, job: &str, common: &Common) -> Result<Store> {
    let store = jobs.open(common)?;
    jobs.know(job, &store)?;
    Ok(store)
}

fn state(store: &Store, job: &str) -> Result<JobStateRecord> {
    let found = store.job_states()?.into_iter().find(|state| state.job == job);
    Ok(found.unwrap_or_else(|| JobStateRecord { job: job.to_owned(), ..JobStateRecord::default() }))
}

fn tell(result: Result<JobStateRecord>, job: &str, words: &str, common: &Common) -> ExitResult {
    let state = result.map_err(failed)?;
    if common.json() {
        report::json(&facts::job(&state));
    } else {
        report::output(&format!("`{job}` {words}\n"));
    }
    Ok(Exit::Done)
}

/// The command `portolan resume`.
pub(super) mod resume {
    use super::{Common, ExitResult, JobsStore, Result, open, state, store, tell};
    use crate::store::history::JobStateRecord;

    /// The arguments of `portolan resume`.
    #[derive(Debug, clap::Args)]
    pub(in crate::cli) struct Args {
        /// Job to resume
        job: String,
        #[command(flatten)]
        jobs: JobsStore,
    }

    pub(in crate::cli) fn run(args: &Args, common: &Common) -> ExitResult {
        let mut was_paused = true;
        let mut resumed = || -> Result<JobStateRecord> {
            let mut store = open(&args.jobs, &args.job, common)?;
            let now = store::now(&store)?;
            was_paused = store.resume(&args.job, now)?;
            state(&store, &args.job)
        };
        let result = resumed();
        let words = if was_paused {
            "is resumed; slots missed during the pause are not run"
        } else {
            "was not paused"
        };
        tell(result, &args.job, words, common)
    }
}
