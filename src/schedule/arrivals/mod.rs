//! Files whose arrival starts jobs: the looks at directories of this host (`watch`) and of servers (`arrival`).
//!
//! `tracker` decides which files are complete and new, from listings and times alone. `local` looks at directories
//! of this host, in one thread for all jobs: news of the kernel say when, and a look at all of it from time to time finds
//! what they have missed. `server` keeps a process for each `arrival`, which keeps one session: bytes of a server are
//! read outside the scheduler, under the permissions of the job, as those of its runs are.
//!
//! Both only tell what they have found. The scheduler hands files out, each in the transaction that records its run, and
//! a file that it has not handed out is found again after a restart.

mod local;
mod poll_spec;
mod server;
mod tracker;

use std::sync::Arc;

use self::tracker::Observation;
pub use self::{
    local::{LocalWatch, WatchedJob},
    poll_spec::{PollLine, PollSpec},
    server::{PolledJob, ServerPoll},
};
use crate::store::history::ArrivedFile;

/// News of the files of a job.
#[derive(Debug)]
pub struct FileNews {
    /// The number of the source: news of one that was replaced are void.
    pub source: u64,
    /// The job.
    pub job: Arc<str>,
    /// The files that are complete and new.
    pub ready: Vec<ArrivedFile>,
    /// Files that were handed out and are no longer there.
    pub gone: Vec<ArrivedFile>,
    /// Those that are there again.
    pub back: Vec<ArrivedFile>,
}

impl FileNews {
    /// Returns the news of an observation; `None` if it has none.
    fn of(observed: Observation, source: u64, job: &Arc<str>) -> Option<Self> {
        let Observation { ready, gone, back, due: _ } = observed;
        let is_any = !(ready.is_empty() && gone.is_empty() && back.is_empty());
        is_any.then(|| Self { source, job: Arc::clone(job), ready, gone, back })
    }
}

/// A function that takes news.
pub type TellFiles = Arc<dyn Fn(FileNews) + Send + Sync>;
