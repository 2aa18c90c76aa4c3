//! `portolan pause` and `portolan resume`: pause a job for a while, with a reason.

use super::{
    ExitResult,
    common::Common,
    place::{JobsFile, failed},
    report,
};
use crate::{
    clock::Clock,
    error::Result,
    exit_code::Exit,
    schedule::facts,
    store::{self, Store, history::JobStateRecord},
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
    jobs: JobsFile,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let paused = || -> Result<JobStateRecord> {
        let mut store = open(&args.jobs, &args.job, common)?;
        store.pause(&args.job, args.reason.as_deref(), Clock::System.now())?;
        state(&store, &args.job)
    };
    let words = "is paused: slots that are due meanwhile are skipped, a run in progress continues";
    tell(paused(), &args.job, words, common)
}

fn open(jobs: &JobsFile, job: &str, common: &Common) -> Result<Store> {
    let folder = jobs.state(common)?;
    store::make_folder(&folder)?;
    let store = Store::open(&folder)?;
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
    use super::{Clock, Common, ExitResult, JobsFile, Result, open, state, tell};
    use crate::store::history::JobStateRecord;

    /// The arguments of `portolan resume`.
    #[derive(Debug, clap::Args)]
    pub(in crate::cli) struct Args {
        /// Job to resume
        job: String,
        #[command(flatten)]
        jobs: JobsFile,
    }

    pub(in crate::cli) fn run(args: &Args, common: &Common) -> ExitResult {
        let mut was_paused = true;
        let mut resumed = || -> Result<JobStateRecord> {
            let mut store = open(&args.jobs, &args.job, common)?;
            was_paused = store.resume(&args.job, Clock::System.now())?;
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
