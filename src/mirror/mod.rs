//! Mirrors: the difference of two trees as a plan, and the execution of the plan.
//!
//! ```text
//! scan     the tree below a directory, either side  tree     the tree, and how far it is known
//! rules    the options                              filter   the patterns: which entries take part
//! diff     from two trees to a plan, pure           compare  the comparison of two files
//! plan     the plan as a value                      apply    its execution; report has the results
//! fetch    downloads of single files                sending  batched uploads
//! crew     the session pool and its job queue       size     the number of sessions
//! doubt    a confirmation before local deletes      leftovers  temporary files of killed runs
//! three    changes since the last run               ledger   their state; manifest is its form on a server
//! intents  changes about to be made                 claims   one run at a time
//! draft    the plan of two real directories         trust    a plan by the last state, with a few checks
//! zone     listed times in UTC, pure                times    exact times, queried if something depends on them
//! hashed   hashes of local files                    checksum comparison by content
//! outcome  messages at the end of a run             saved    plans as JSON
//! trash    the directory for deleted files          run      the execution state of a plan
//! links    links of a server, followed              shift    listed times that have all shifted
//! alias    names that the target treats as one      recheck  a final check before deletes
//! merged   names that a server merges               total    limits of a whole run
//! fold     names that a disk treats as one          own      portolan's own files
//! staged   all files first, then all names
//! ```
//!
//! An entry that is missing from a tree is not known to be gone: each directory records whether it was listed
//! completely, and only then is anything deleted because of it (class C20). Deletes come last, never after a failure,
//! and never too many at once.

use std::{path::Path, sync::Arc};

mod alias;
pub mod apply;
mod checksum;
mod claims;
mod compare;
mod crew;
mod diff;
mod doubt;
mod draft;
mod fetch;
mod filter;
mod fold;
mod hashed;
mod intents;
mod ledger;
mod leftovers;
mod links;
mod manifest;
mod merged;
mod outcome;
mod own;
pub mod plan;
mod recheck;
pub mod report;
mod rules;
mod run;
mod saved;
mod scan;
mod sending;
mod shift;
mod size;
mod staged;
mod three;
mod times;
mod total;
mod trash;
mod tree;
mod trust;
mod zone;

#[cfg(test)]
mod tests;

pub use apply::apply;
pub use compare::Difference;
pub use diff::plan;
pub use filter::{Filter, IGNORE_FILE, Part, Reason};
pub(crate) use manifest::read as read_state;
pub use plan::{Act, Counts, Direction, Heading, Left, Plan, Stamp, Step};
pub use rules::{Bounds, Caps, Compare, OnConflict, Rules, StateIn};
pub use scan::Role;
pub use staged::unproven;
pub use three::{Change, Drift};
pub use tree::{Node, NodeKind, Survey, Tree, Why};
pub use zone::Times;

use crate::{
    fault::Outcome,
    ftp::{
        path::{Encoding, RemotePath},
        session::Session,
    },
    observe::Level,
};
use claims::Claim;
use crew::Crew;
use draft::draft;
use ledger::Ledger;
use leftovers::Leftovers;
use report::Report;

/// Makes the directory `remote` of the server like the local directory `local`; only reports the steps if `dry_run`.
pub async fn up(
    session: &mut Session,
    local: &Path,
    remote: &RemotePath,
    rules: &Rules,
    dry_run: bool,
) -> Outcome<Report> {
    mirror(session, Direction::Up, local, remote, rules, dry_run).await
}

/// Makes the local directory `local` like the directory `remote` of the server; only reports the steps if `dry_run`.
pub async fn down(
    session: &mut Session,
    remote: &RemotePath,
    local: &Path,
    rules: &Rules,
    dry_run: bool,
) -> Outcome<Report> {
    mirror(session, Direction::Down, local, remote, rules, dry_run).await
}

/// Returns the plan of [`up`], for [`apply()`].
pub async fn plan_up(
    session: &mut Session,
    local: &Path,
    remote: &RemotePath,
    rules: &Rules,
) -> Outcome<Plan> {
    let heading = Heading::of(session, Direction::Up, local, remote, rules)?;
    plan_alone(session, heading, rules).await
}

/// Returns the plan of [`down`], for [`apply()`].
pub async fn plan_down(
    session: &mut Session,
    remote: &RemotePath,
    local: &Path,
    rules: &Rules,
) -> Outcome<Plan> {
    let heading = Heading::of(session, Direction::Down, local, remote, rules)?;
    plan_alone(session, heading, rules).await
}

async fn plan_alone(session: &mut Session, heading: Heading, rules: &Rules) -> Outcome<Plan> {
    rules.filter(&heading.local)?;
    let mut ledger = Ledger::of(session, &heading, rules)?;
    let leftovers = Arc::new(Leftovers::of(session, &heading));
    let mut crew = Crew::new(session, rules);
    let plan = draft(&mut crew, heading, rules, &mut ledger, &leftovers).await;
    if let Ok(plan) = &plan {
        plan.tell_drift(&crew.first().context().observer);
    }
    crew.dismiss();
    plan
}

async fn mirror(
    session: &mut Session,
    direction: Direction,
    local: &Path,
    remote: &RemotePath,
    rules: &Rules,
    dry_run: bool,
) -> Outcome<Report> {
    let started = std::time::Instant::now();
    rules.filter(local)?;
    let heading = Heading::of(session, direction, local, remote, rules)?;
    let mut ledger = Ledger::of(session, &heading, rules)?;
    let leftovers = Arc::new(Leftovers::of(session, &heading));
    session.mark_names(Some(leftovers.mark().clone()));
    // If the state is trusted, most runs find nothing to do, and cost less than a claim.
    let is_late = rules.trust_state;
    let claim = if dry_run || is_late {
        Ok(Claim::default())
    } else {
        Claim::take(session, &heading, rules, &leftovers).await
    };
    let mut claim = claim.inspect_err(|_| session.mark_names(None))?;
    let mut crew = Crew::new(session, rules);
    let work = async {
        let (first, again) = (heading.clone(), heading.clone());
        let mut plan = draft(&mut crew, first, rules, &mut ledger, &leftovers).await?;
        if dry_run {
            plan.tell_drift(&crew.first().context().observer);
            return Ok(plan.report());
        }
        if is_late && !plan.is_empty() {
            claim = Claim::take(crew.first(), &heading, rules, &leftovers).await?;
            if claim.is_held() {
                // Another run may have been active until now.
                plan = draft(&mut crew, heading, rules, &mut ledger, &leftovers).await?;
            }
        }
        if claim.is_held() && plan.left.is_unclaimed {
            // A directory that is created there under one name is listed under another.
            std::mem::take(&mut claim).release(crew.first()).await;
            let text = "other runs are not kept out: the server gives the claim another name";
            crew.first().context().observer.say(Level::Info, text);
            plan = draft(&mut crew, again, rules, &mut ledger, &leftovers).await?;
        }
        apply::apply_with(&mut crew, &plan, &mut ledger, &leftovers, &claim).await
    };
    // Boxed: the future of a run is large, and callers would copy it around.
    let report = Box::pin(work).await;
    crew.dismiss();
    claim.release(session).await;
    session.mark_names(None);
    let seconds = started.elapsed().as_secs_f64();
    report.map(|report| Report { seconds, ..report })
}

impl Heading {
    fn of(
        session: &Session,
        direction: Direction,
        local: &Path,
        remote: &RemotePath,
        rules: &Rules,
    ) -> Outcome<Self> {
        let sets_times = direction == Direction::Down || session.features().contains_key("MFMT");
        let keeps_times = rules.preserve_times && sets_times;
        let remote = session.absolute(remote)?.in_encoding(Self::encoding_of(session));
        let (local, server) = (local.to_owned(), Self::server_of(session));
        Ok(Self { direction, local, remote, keeps_times, server })
    }

    fn encoding_of(session: &Session) -> Encoding {
        if session.site().latin1 { Encoding::Latin1 } else { Encoding::Same }
    }

    fn server_of(session: &Session) -> String {
        let site = session.site();
        format!("{}@{}:{}", site.user, site.host.to_ascii_lowercase(), site.port)
    }
}
