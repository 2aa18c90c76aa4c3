//! Mirrors: the difference of two trees as a plan, and the execution of the plan.
//!
//! ```text
//! scan     the tree below a directory, either side  tree     the tree, and how far it is known
//! options  the options       option_rows  one row each   option_checks  their checks
//! pass_options  the part of them that each pass gets
//! filter   which entries take part, by name         size_age_filter  limits of size and time
//! patterns  lists of patterns, in their order       pattern_files  files with patterns and names
//! gitignore  the .gitignore files of a tree
//! diff     from two trees to a plan, pure           compare  the comparison of two files
//! plan     the plan as a value                      apply    its execution; report has the results
//! download single files                             upload   batches of files
//! pool     the session pool and its job queue       pool_size  the number of sessions
//! confirm_absent  before local deletes              stale_temps  temporary files of killed runs
//! three_way  changes since the last run             state    the state of both sides; manifest is its form on a server
//! intents  changes about to be made                 claims   one run at a time
//! build_plan  the plan of two real directories      trusted_state  a plan by the last state, with a few checks
//! server_timezone  listed times in UTC, pure        exact_times  times that are queried if something depends on them
//! local_hash  hashes of local files                 checksum comparison by content
//! endpoints  both directories                       steps    the order of steps, and the work of each
//! executor   the means of doing steps               outcome  messages at the end of a run
//! trash    the directory for deleted files          trash_rules  overwritten ones, and how long they stay
//! execution  the execution state of a plan
//! links    links of a server, followed              clock_shift  listed times that have all shifted
//! batch_query  queries that all sessions ask together
//! name_aliases  names that the target treats as one  recheck  a final check before deletes
//! merged   names that a server merges               quota    limits of a whole run
//! name_collisions  names that a disk treats as one  own_files  portolan's own files
//! sources  the files that a move removes
//! staged   all files first, then all names          saved    plans as JSON
//! deployed  the state for other parts of a deployment
//! deploy_rules  what differs in deployments          modes    permissions on the server
//! hooks    what takes part in a run                  state_file  the place of the state on a server
//! ```
//!
//! An entry that is missing from a tree is not known to be gone: each directory records whether it was listed
//! completely, and only then is anything deleted because of it (class C20). Deletes come last, never after a failure,
//! and never too many at once.

use std::{path::Path, sync::Arc};

pub mod apply;
mod batch_query;
mod build_plan;
mod checksum;
mod claims;
mod clock_shift;
mod compare;
mod confirm_absent;
mod deploy_rules;
mod deployed;
mod diff;
mod download;
mod endpoints;
mod exact_times;
mod execution;
mod executor;
mod filter;
mod gitignore;
mod hooks;
mod intents;
mod links;
mod local_hash;
mod manifest;
mod merged;
mod modes;
mod name_aliases;
mod name_collisions;
mod option_checks;
mod option_rows;
mod options;
mod outcome;
mod own_files;
mod pass_options;
mod pattern_files;
mod patterns;
pub mod plan;
mod pool;
mod pool_size;
mod quota;
mod recheck;
pub mod report;
mod saved;
mod scan;
mod scan_local;
mod server_timezone;
mod size_age_filter;
mod sources;
mod staged;
mod stale_temps;
mod state;
mod state_file;
mod steps;
pub mod sync_base;
mod three_way;
mod trash;
mod trash_rules;
mod tree;
mod trusted_state;
mod upload;

#[cfg(test)]
mod plan_laws;

pub use apply::apply;
pub use deploy_rules::{
    DEFAULT_EXCLUDES, DeployRules, FileModes, FixedModes, LAST_FILES, ModeChange,
};
pub use deployed::{read_deployed, with_target_lock, write_deployed, write_state};
pub use diff::plan;
pub use endpoints::{Direction, Endpoints};
pub use filter::{Filter, FilterDecision, FilterReason, IGNORE_FILE};
pub use hooks::RunHooks;
pub use manifest::read as read_state;
pub use option_rows::OPTIONS;
pub use options::{Compare, MirrorOptions, MirrorRequest, OnConflict, StateIn};
pub use pattern_files::{PatternFiles, exclude_from, include_from};
pub use plan::{
    Action, Difference, Drift, FileStat, Leftover, MirrorPlan, PlanCounts, SourceFileStat, Step,
    TargetChange,
};
pub use quota::Quotas;
pub use scan::Role;
pub use server_timezone::Times;
pub use size_age_filter::SizeAgeFilter;
pub use state_file::{home_beside, home_inside};
pub use trash_rules::{TrashKeep, TrashRules};
pub use tree::{Node, NodeKind, ScanResult, Tree, Why};

use build_plan::build_plan;
use claims::TargetLock;
use pool::SessionPool;
use portolan_core::{error::Result, observe::MessageLevel};
use portolan_remote::{fs::RemoteFs, path::RemotePath};
use report::Report;
use stale_temps::StaleTemps;
use state::MirrorState;
use sync_base::MirrorStates;

/// Makes the directory `remote` of the server like the local directory `local`; only reports the steps if `dry_run`.
/// The state of both sides is kept in `states`.
pub async fn up(
    session: &mut impl RemoteFs,
    states: MirrorStates<'_>,
    local: &Path,
    remote: &RemotePath,
    rules: &MirrorOptions,
    dry_run: bool,
) -> Result<Report> {
    mirror(session, states, Direction::Up, (local, remote), rules, dry_run, &mut ()).await
}

/// Does the same with the parts that `hooks` adds to the run.
pub async fn up_with<R: RemoteFs>(
    session: &mut R,
    states: MirrorStates<'_>,
    (local, remote): (&Path, &RemotePath),
    rules: &MirrorOptions,
    dry_run: bool,
    hooks: &mut impl RunHooks<R>,
) -> Result<Report> {
    mirror(session, states, Direction::Up, (local, remote), rules, dry_run, hooks).await
}

/// Makes the local directory `local` like the directory `remote` of the server; only reports the steps if `dry_run`.
pub async fn down(
    session: &mut impl RemoteFs,
    states: MirrorStates<'_>,
    remote: &RemotePath,
    local: &Path,
    rules: &MirrorOptions,
    dry_run: bool,
) -> Result<Report> {
    mirror(session, states, Direction::Down, (local, remote), rules, dry_run, &mut ()).await
}

/// Returns the plan of [`up`], for [`apply()`].
pub async fn plan_up(
    session: &mut impl RemoteFs,
    states: MirrorStates<'_>,
    local: &Path,
    remote: &RemotePath,
    rules: &MirrorOptions,
) -> Result<MirrorPlan> {
    let heading = Endpoints::of(session, Direction::Up, local, remote, rules.preserve_times)?;
    plan_alone(session, states, heading, rules).await
}

/// Returns the plan of [`down`], for [`apply()`].
pub async fn plan_down(
    session: &mut impl RemoteFs,
    states: MirrorStates<'_>,
    remote: &RemotePath,
    local: &Path,
    rules: &MirrorOptions,
) -> Result<MirrorPlan> {
    let heading = Endpoints::of(session, Direction::Down, local, remote, rules.preserve_times)?;
    plan_alone(session, states, heading, rules).await
}

async fn plan_alone(
    session: &mut impl RemoteFs,
    states: MirrorStates<'_>,
    heading: Endpoints,
    rules: &MirrorOptions,
) -> Result<MirrorPlan> {
    rules.filter(&heading.local)?;
    let mut ledger = MirrorState::of(session, states, &heading, rules.state_policy())?;
    let leftovers = Arc::new(StaleTemps::of(session, states, &heading));
    let mut crew = SessionPool::new(session, rules.pool());
    let plan = build_plan(&mut crew, heading, rules, &mut ledger, &leftovers).await;
    if let Ok(plan) = &plan {
        plan.tell_drift(crew.first().observer());
    }
    crew.close_extra();
    plan
}

async fn mirror<R: RemoteFs>(
    session: &mut R,
    states: MirrorStates<'_>,
    direction: Direction,
    (local, remote): (&Path, &RemotePath),
    rules: &MirrorOptions,
    dry_run: bool,
    hooks: &mut impl RunHooks<R>,
) -> Result<Report> {
    let started = std::time::Instant::now();
    rules.filter(local)?;
    let heading = Endpoints::of(session, direction, local, remote, rules.preserve_times)?;
    let mut ledger = MirrorState::of(session, states, &heading, rules.state_policy())?;
    let leftovers = Arc::new(StaleTemps::of(session, states, &heading));
    session.set_owner_tag(Some(leftovers.mark().clone()));
    // If the state is trusted, most runs find nothing to do, and cost less than a claim.
    let (is_late, policy) = (rules.trust_state, rules.state_policy());
    let claim = if dry_run || is_late {
        Ok(TargetLock::default())
    } else {
        TargetLock::take(session, &heading, policy, &leftovers).await
    };
    let mut claim = claim.inspect_err(|_| session.set_owner_tag(None))?;
    let mut crew = SessionPool::new(session, rules.pool());
    let work = async {
        let (first, again) = (heading.clone(), heading.clone());
        let mut plan = build_plan(&mut crew, first, rules, &mut ledger, &leftovers).await?;
        if dry_run {
            plan.tell_drift(crew.first().observer());
            hooks.planned(crew.first(), &plan, true).await?;
            return Ok(plan.dry_report());
        }
        if is_late && !plan.is_empty() {
            claim = TargetLock::take(crew.first(), &heading, policy, &leftovers).await?;
            if claim.is_held() {
                // Another run may have been active until now.
                plan = build_plan(&mut crew, heading, rules, &mut ledger, &leftovers).await?;
            }
        }
        if claim.is_held() && plan.left.is_unclaimed {
            // A directory that is created there under one name is listed under another.
            std::mem::take(&mut claim).release(crew.first()).await;
            let text = "other runs are not kept out: the server gives the claim another name";
            crew.first().observer().message(MessageLevel::Info, text);
            plan = build_plan(&mut crew, again, rules, &mut ledger, &leftovers).await?;
        }
        hooks.planned(crew.first(), &plan, false).await?;
        let mut report =
            apply::apply_with(&mut crew, &plan, &mut ledger, &leftovers, &claim).await?;
        hooks.applied(crew.first(), &plan, &mut report).await?;
        Ok(report)
    };
    // Boxed: the future of a run is large, and callers would copy it around.
    let report = Box::pin(work).await;
    crew.close_extra();
    claim.release(session).await;
    session.set_owner_tag(None);
    let seconds = started.elapsed().as_secs_f64();
    report.map(|report| Report { seconds, ..report })
}
