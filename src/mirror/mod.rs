//! Trees: what differs between two, as a plan, and the plan done.
//!
//! ```text
//! scan     a folder, here or there, as a tree       tree     the tree, and how far it is known
//! rules    what the user wants                      filter   what takes part
//! diff     two trees to a plan, pure                compare  two files
//! plan     the plan as a value                      apply    the plan, done; report says how it went
//! fetch    one file of it, from the server
//! crew     several sessions at one heap of work     size     how many there are
//! doubt    a second opinion before deletes here        leftovers  what killed runs left
//! three    what changed since the last run          ledger   where that is kept; manifest is its form on a server
//! intents  what is about to be done                claims   one run at a time
//! draft    the plan of two real folders             trust    the same by what the last run left, with a few questions
//! zone     listed times in universal time, pure      times    exact ones, asked for where something hangs on them
//! hashed   bytes of files here                      checksum comparison by content
//! outcome  words about a run                        saved    plans as JSON
//! trash    where deleted files go                    run      a plan on its way
//! links    links of a server, followed
//! alias    names that the target takes for one         recheck  a last look before anything is deleted
//! merged   names that a server makes one of two
//! fold     names that a disk takes for one            own      what is portolan's own, and no content
//! staged   all files first, and then all names          sending  uploads in company
//! ```
//!
//! What is not in a tree is not known to be gone: each folder says whether it was listed wholly, and only then is
//! anything deleted on its word (class C20). Deletes come last, never after a failure, and never too many at once.

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

/// Makes the folder `remote` of the server like the folder `local` of this machine; only says how, if `dry_run`.
pub async fn up(
    session: &mut Session,
    local: &Path,
    remote: &RemotePath,
    rules: &Rules,
    dry_run: bool,
) -> Outcome<Report> {
    mirror(session, Direction::Up, local, remote, rules, dry_run).await
}

/// Makes the folder `local` of this machine like the folder `remote` of the server; only says how, if `dry_run`.
pub async fn down(
    session: &mut Session,
    remote: &RemotePath,
    local: &Path,
    rules: &Rules,
    dry_run: bool,
) -> Outcome<Report> {
    mirror(session, Direction::Down, local, remote, rules, dry_run).await
}

/// The plan of [`up`], for [`apply()`].
pub async fn plan_up(
    session: &mut Session,
    local: &Path,
    remote: &RemotePath,
    rules: &Rules,
) -> Outcome<Plan> {
    let heading = Heading::of(session, Direction::Up, local, remote, rules)?;
    plan_alone(session, heading, rules).await
}

/// The plan of [`down`], for [`apply()`].
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
    // Where the state is trusted, most runs find nothing to do, and cost less than a claim.
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
                // Another run may have been at work until now.
                plan = draft(&mut crew, heading, rules, &mut ledger, &leftovers).await?;
            }
        }
        if claim.is_held() && plan.left.is_unclaimed {
            // What is made there under one name is shown under another.
            std::mem::take(&mut claim).release(crew.first()).await;
            let text = "other runs are not kept out: the server gives the claim another name";
            crew.first().context().observer.say(Level::Info, text);
            plan = draft(&mut crew, again, rules, &mut ledger, &leftovers).await?;
        }
        apply::apply_with(&mut crew, &plan, &mut ledger, &leftovers, &claim).await
    };
    // Boxed: a run holds much across its waits, and callers would copy it around.
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
