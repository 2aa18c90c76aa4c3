//! Trees: what differs between two, as a plan, and the plan done.
//!
//! ```text
//! scan     a folder, here or there, as a tree       tree     the tree, and how far it is known
//! rules    what the user wants                      filter   what takes part
//! diff     two trees to a plan, pure                compare  two files
//! plan     the plan as a value                      apply    the plan, done; report says how it went
//! crew     several sessions at one heap of work     doubt    a second opinion before deletes here
//! three    what changed since the last run          ledger   where that is kept
//! ```
//!
//! What is not in a tree is not known to be gone: each folder says whether it was listed wholly, and only then is
//! anything deleted on its word (class C20). Deletes come last, never after a failure, and never too many at once.

use std::{path::Path, sync::Arc};

pub mod apply;
mod compare;
mod crew;
mod diff;
mod doubt;
mod filter;
mod hashed;
mod ledger;
pub mod plan;
pub mod report;
mod rules;
mod scan;
mod three;
mod tree;

#[cfg(test)]
mod tests;

pub use apply::apply;
pub use compare::Difference;
pub use diff::plan;
pub use filter::{Filter, Part};
pub use plan::{Act, Counts, Direction, Heading, Plan, Step};
pub use rules::{Compare, OnConflict, Rules};
pub use scan::Role;
pub use three::{Change, Drift};
pub use tree::{Node, NodeKind, Survey, Tree, Why};

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{path::RemotePath, session::Session},
    observe::{Level, Observer, visible::visible},
};
use crew::Crew;
use ledger::Ledger;
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
    let filter = rules.check()?;
    let ledger = Ledger::of(session, &heading, rules);
    let mut crew = Crew::new(session, rules.parallel);
    let plan = plan_with(&mut crew, heading, rules, filter, &ledger).await;
    crew.dismiss().await;
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
    let filter = rules.check()?;
    let heading = Heading::of(session, direction, local, remote, rules)?;
    let mut ledger = Ledger::of(session, &heading, rules);
    let mut crew = Crew::new(session, rules.parallel);
    let work = async {
        let plan = plan_with(&mut crew, heading, rules, filter, &ledger).await?;
        if dry_run {
            return Ok(plan.report());
        }
        apply::apply_with(&mut crew, &plan, &mut ledger).await
    };
    let report = work.await;
    crew.dismiss().await;
    let seconds = started.elapsed().as_secs_f64();
    report.map(|report| Report { seconds, ..report })
}

/// Scans both sides at the same time, and says what differs.
async fn plan_with(
    crew: &mut Crew<'_>,
    heading: Heading,
    rules: &Rules,
    filter: Filter,
    ledger: &Ledger,
) -> Outcome<Plan> {
    let (here_role, there_role) = match heading.direction {
        Direction::Up => (Role::Source, Role::Target),
        Direction::Down => (Role::Target, Role::Source),
    };
    let context = crew.first().context().clone();
    let filter = Arc::new(filter);
    let base = ledger.load();
    // Reading a disk would hold up the sessions, which share this thread.
    let here = tokio::task::spawn_blocking({
        let (local, filter) = (heading.local.clone(), Arc::clone(&filter));
        let stop = context.stop.clone();
        move || {
            let mut here = scan::local(&local, &filter, here_role, &stop)?;
            if let Some(base) = &base {
                hashed::settle(&mut here, &local, base, &stop)?;
            }
            Ok::<_, Fault>((here, base))
        }
    });
    let there = scan::remote(crew, &heading.remote, &filter, there_role).await;
    let (here, base) = here.await.map_err(|error| {
        Fault::new(Kind::Local, Side::Here, "the folder could not be scanned").because(error)
    })??;
    let there = there?;
    let (source, target) = match heading.direction {
        Direction::Up => (&here, &there),
        Direction::Down => (&there, &here),
    };
    let mut plan = plan(source, target, base.as_ref(), heading, rules.clone())?;
    doubt::settle(crew, &mut plan).await?;
    tell(&context.observer, &plan, source, target);
    Ok(plan)
}

/// Says what a reader of the plan would not see in it.
fn tell(observer: &Observer, plan: &Plan, source: &Survey, target: &Survey) {
    for (path, why) in source.left_out.iter().chain(&target.left_out) {
        observer.say(Level::Info, format!("{} {}: left alone", visible(path), why.text()));
    }
    for fault in &plan.faults {
        observer.say(Level::Error, fault.to_string());
    }
    for drift in &plan.drift {
        observer.say(Level::Warn, drift.to_string());
    }
    if plan.counts.by_size > 0 {
        let text = format!(
            "{} files were compared by size alone: the server tells no times in a known zone",
            plan.counts.by_size
        );
        observer.warn_once(text);
    }
    if plan.rules.preserve_times && !plan.heading.keeps_times {
        let text = "the server sets no times: an older file of the same size is taken for the same";
        observer.warn_once(text);
    }
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
        let remote = session.absolute(remote)?;
        Ok(Self { direction, local: local.to_owned(), remote, keeps_times })
    }
}
