//! The export of jobs to other schedulers, with the features that are lost. Pure.

mod crontab;
mod fields;
mod kubernetes;
mod kubernetes_fleet;
mod quote;
mod systemd;

use std::path::{Path, PathBuf};

pub use self::{
    crontab::crontab,
    kubernetes::kubernetes,
    kubernetes_fleet::{FleetFile, FleetFiles, FleetSetting, kubernetes_fleet},
    systemd::{service, timers},
};
use super::jobs::{Job, Misfire};

/// The text for another scheduler, and the features that are lost in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// The contents of the file.
    pub text: String,
    /// The features that the other scheduler lacks, a clause each.
    pub losses: Vec<String>,
    /// The clauses about what else must be done.
    pub notes: Vec<String>,
}

/// The environment in which the text is used.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The program.
    pub program: PathBuf,
    /// The jobs file.
    pub file: PathBuf,
    /// The state folder, if one is named.
    pub state: Option<PathBuf>,
    /// The image for Kubernetes.
    pub image: String,
}

/// Adds the features used by a job that all other schedulers lack.
fn common_losses(job: &Job, losses: &mut Vec<String>) {
    let mut lose = |is_lost: bool, what: &str| {
        if is_lost {
            losses.push(format!("`{}`: {what}", job.name));
        }
    };
    lose(job.retry.retries > 0, "`retries`: an attempt that fails is the end of the run");
    lose(job.timeouts.stall.is_some(), "`stall_timeout`");
    lose(!job.after.is_empty(), "`after`: it does not wait for other jobs");
    lose(job.files.is_some(), "`watch` and `arrival`: it does not run when files arrive");
    lose(!job.locks.is_empty(), "`locks`: jobs on one server may run together");
    lose(job.limits.is_some(), "`window` and `not_on`: it runs at any time and on any day");
    lose(job.expect_by.is_some(), "`expect_by`: no notification if it is late");
    lose(job.rate_limit.is_some(), "`rate_limit`: no runs share it; give `--set rate_limit=…`");
    lose(job.notify.is_any(), "no notifications of successes and failures");
    lose(job.catch_up.misfire == Misfire::All, "`misfire = \"all\"`: at most one run catches up");
}

/// Returns true for a job that has more than a script: it is run by its name, with all that the jobs file says of it.
fn is_run_by_name(job: &Job) -> bool {
    job.task.is_some()
        || !job.args.is_null()
        || !job.connect.texts().is_empty()
        || job.permissions.is_some()
        || !job.programs.is_empty()
}

/// Returns the words of the command line that does the work of a job once, behind the program and its state folder.
fn words_of(job: &Job, setting: &Setting) -> Vec<PathBuf> {
    if !is_run_by_name(job) {
        return vec!["run".into(), job.script.clone()];
    }
    let file = setting.file.clone();
    vec!["run".into(), "--jobs".into(), file, "--job".into(), (*job.name).into()]
}

/// Returns the words of the whole command line that does the work of a job once, each quoted.
fn command_of(job: &Job, setting: &Setting, quote: fn(&Path) -> String) -> String {
    let state = setting.state.iter().flat_map(|state| ["--state".into(), state.clone()]);
    let words: Vec<_> = std::iter::once(setting.program.clone())
        .chain(state)
        .chain(words_of(job, setting))
        .collect();
    quoted(&words, quote)
}

/// Returns these words, each quoted.
fn quoted(words: &[PathBuf], quote: fn(&Path) -> String) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

fn left_out(job: &Job, why: &str) -> String {
    format!("`{}` is left out: {why}", job.name)
}
