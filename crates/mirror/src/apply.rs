//! Execution of plans: several sessions work on one queue of steps, with deletes last and only if nothing failed.

use std::{sync::Arc, time::Instant};

use super::{
    build_plan::build_plan,
    claims::TargetLock,
    endpoints::{Direction, Endpoints, place},
    execution::{Execution, tell},
    executor::Executor,
    intents::Journal,
    modes,
    plan::MirrorPlan,
    pool::SessionPool,
    report::Report,
    sources, staged,
    stale_temps::StaleTemps,
    state::MirrorState,
    steps::{phases, run_phase},
    sync_base::MirrorStates,
    trash::Trash,
};
use portolan_core::{
    error::{Error, Result},
    observe::{Event, MessageLevel, visible::visible},
};
use portolan_fs::{RootDir, SymlinkPolicy};
use portolan_remote::{fs::RemoteFs, rate_limit::RateLimiter};

/// Applies `plan`, unless either side has changed since it was made: then nothing is done, and it fails with `refused`.
/// A failure of one file is recorded in the report, and the rest continues; the whole fails if it is stopped, or if the
/// local directory cannot be opened.
pub async fn apply(
    session: &mut impl RemoteFs,
    states: MirrorStates<'_>,
    plan: &MirrorPlan,
) -> Result<Report> {
    let policy = plan.rules.state_policy();
    let mut ledger = MirrorState::of(session, states, &plan.heading, policy)?;
    plan.check_server(session)?;
    let leftovers = Arc::new(StaleTemps::of(session, states, &plan.heading));
    session.set_owner_tag(Some(leftovers.mark().clone()));
    let claim = TargetLock::take(session, &plan.heading, policy, &leftovers).await;
    let claim = claim.inspect_err(|_| session.set_owner_tag(None))?;
    let mut crew = SessionPool::new(session, plan.rules.pool());
    let work = async {
        let mut heading = plan.heading.clone();
        heading.remote = heading.remote.in_encoding(crew.first().capabilities().encoding);
        let now = build_plan(&mut crew, heading, &plan.rules, &mut ledger, &leftovers).await?;
        plan.check_unmoved(&now)?;
        apply_with(&mut crew, &now, &mut ledger, &leftovers, &claim).await
    };
    let report = work.await;
    crew.close_extra();
    claim.release(session).await;
    session.set_owner_tag(None);
    report
}

pub(super) async fn apply_with(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    plan: &MirrorPlan,
    ledger: &mut MirrorState,
    leftovers: &StaleTemps,
    claim: &TargetLock,
) -> Result<Report> {
    let started = Instant::now();
    if plan.left.is_claimed && !claim.is_held() {
        TargetLock::respect(crew.first(), &plan.heading, leftovers).await?;
    }
    let policy = plan.rules.transfers(plan.heading.direction);
    ledger.learn(plan, policy.links, crew.first()).await?;
    let journal = Journal::of(ledger, plan.rules.state_policy().is_strict);
    journal.begin(crew.first(), plan).await?;
    let observer = crew.first().observer().clone();
    let mut run = Execution::new(plan, policy, ledger, observer.clone());
    plan.tell_kept(&observer);
    crew.keep_pace(plan.rules.rate_limit.map(RateLimiter::new));
    let means = (journal, claim.clone());
    let done = do_all(crew, plan, &mut run, leftovers, means).await;
    crew.keep_pace(None);
    let mut report = run.end(plan);
    let is_settled = !plan.is_empty() || !plan.left.open.is_empty();
    if done.is_ok() && report.failed == 0 && is_settled {
        ledger.settle_all(&plan.left.open);
    }
    // Completed steps stay recorded, however the run ended.
    let kept = ledger.flush(crew.first()).await;
    done?;
    if let Err(fault) = kept {
        tell(&observer, &fault);
        report.fail(fault);
    }
    crew.first().route().clone_into(&mut report.route);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

async fn do_all<'p>(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    plan: &'p MirrorPlan,
    run: &mut Execution<'p, '_>,
    leftovers: &StaleTemps,
    means: (Journal, TargetLock),
) -> Result<()> {
    if !plan.is_empty() || !plan.left.asides.is_empty() {
        let now = crew.first().now();
        let root = open(&plan.heading, run.policy.links)?.marked(leftovers.mark().clone(), now);
        let trash = Trash::of(&plan.heading, &plan.rules)?;
        let (files, bytes) = (plan.counts.transfers, plan.counts.bytes);
        crew.first().observer().emit(&Event::Planned { files, bytes });
        let tools = Executor::new(root, plan, run.policy, trash, run.ledger.is_kept(), means);
        tools.put_back(crew.first(), run).await;
        if run.policy.staged {
            staged::run(crew, plan, run, &tools).await?;
        } else {
            let last = plan.last_files();
            for wave in phases(&plan.steps, &last) {
                if !run.holds_back(wave, &last, crew.first().observer()) {
                    run_phase(crew, wave, run, &tools).await?;
                }
            }
        }
        run.recheck_target(crew, &tools).await?;
        if !plan.sources.is_empty() {
            sources::remove(crew.first(), plan, run, &tools).await?;
        }
        if run.report.failed == 0
            && let Some(trash) = &tools.trash
        {
            trash.prune(crew.first()).await;
        }
    }
    modes::set_modes(crew.first(), plan, run).await?;
    Ok(())
}

/// Opens the local directory; that of a download is created, since the user named it.
fn open(heading: &Endpoints, links: SymlinkPolicy) -> Result<RootDir> {
    if heading.direction == Direction::Down {
        std::fs::create_dir_all(&heading.local)
            .map_err(|error| Error::local("make the folder", &heading.local, error))?;
    }
    RootDir::open_with(&heading.local, links)
}

impl Executor<'_> {
    /// Renames old files that were set aside back to their names.
    async fn put_back(&self, session: &mut impl RemoteFs, run: &mut Execution<'_, '_>) {
        for (aside, path) in &self.plan.left.asides {
            match self.put_one_back(session, aside, path).await {
                Ok(()) => {
                    let name = visible(path);
                    let text = format!("{name}: put back, a run that is over had put it aside");
                    session.observer().message(MessageLevel::Info, text);
                }
                Err(fault) => run.fail_with(fault.at(visible(path))),
            }
        }
    }

    async fn put_one_back(
        &self,
        session: &mut impl RemoteFs,
        aside: &[u8],
        path: &[u8],
    ) -> Result<()> {
        let top = &self.plan.heading.remote;
        session.rename(&place(top, aside)?, &place(top, path)?).await
    }
}
