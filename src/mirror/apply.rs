//! Execution of plans: several sessions work on one queue of steps, with deletes last and only if nothing failed.

use std::{
    collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::Arc,
    time::Instant,
};

use super::{
    build_plan::build_plan,
    claims::TargetLock,
    execution::Execution,
    intents::Journal,
    name_aliases::rounds,
    options::MirrorOptions,
    outcome::tell,
    plan::{Action, Direction, Endpoints, MirrorPlan, Step},
    pool::{JobResults, QueueHandle, SessionPool},
    quota::Total,
    report::Report,
    scan::place,
    staged,
    stale_temps::StaleTemps,
    state::MirrorState,
    trash::Trash,
    tree::{above, depth},
};
use crate::{
    error::{Error, ErrorKind, Result},
    files::RootDir,
    ftp::{
        rate_limit::RateLimiter,
        session::Session,
        sync_base::{Intent, SyncedFile},
        transfer::{NextTransfer, TransferStats},
    },
    observe::{Event, Operation, visible::visible},
};

/// Applies `plan`, unless either side has changed since it was made: then nothing is done, and it fails with `refused`.
/// A failure of one file is recorded in the report, and the rest continues; the whole fails if it is stopped, or if the
/// local directory cannot be opened.
pub async fn apply(session: &mut Session, plan: &MirrorPlan) -> Result<Report> {
    let mut ledger = MirrorState::of(session, &plan.heading, &plan.rules)?;
    plan.check_server(session)?;
    let leftovers = Arc::new(StaleTemps::of(session, &plan.heading));
    session.set_owner_tag(Some(leftovers.mark().clone()));
    let claim = TargetLock::take(session, &plan.heading, &plan.rules, &leftovers).await;
    let claim = claim.inspect_err(|_| session.set_owner_tag(None))?;
    let mut crew = SessionPool::new(session, &plan.rules);
    let work = async {
        let mut heading = plan.heading.clone();
        heading.remote = heading.remote.in_encoding(Endpoints::encoding_of(crew.first()));
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
    crew: &mut SessionPool<'_>,
    plan: &MirrorPlan,
    ledger: &mut MirrorState,
    leftovers: &StaleTemps,
    claim: &TargetLock,
) -> Result<Report> {
    let started = Instant::now();
    if plan.left.is_claimed && !claim.is_held() {
        TargetLock::respect(crew.first(), &plan.heading, leftovers).await?;
    }
    ledger.learn(plan, crew.first()).await?;
    let journal = Journal::of(ledger, &plan.rules);
    journal.begin(crew.first(), plan).await?;
    let observer = crew.first().context().observer.clone();
    let mut run = Execution::new(plan, ledger, observer.clone());
    plan.tell_kept(&observer);
    crew.keep_pace(plan.rules.rate_limit.map(RateLimiter::new));
    let means = (journal, claim.clone());
    let done = do_all(crew, plan, &mut run, leftovers, means).await;
    crew.keep_pace(None);
    let mut report = run.end(plan);
    if done.is_ok() && report.failed == 0 && !plan.is_empty() {
        ledger.settle_all();
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
    crew: &mut SessionPool<'_>,
    plan: &'p MirrorPlan,
    run: &mut Execution<'p, '_>,
    leftovers: &StaleTemps,
    means: (Journal, TargetLock),
) -> Result<()> {
    if !plan.is_empty() || !plan.left.asides.is_empty() {
        let now = crew.first().now();
        let root = open(&plan.heading, &plan.rules)?.marked(leftovers.mark().clone(), now);
        let trash = Trash::of(&plan.heading, &plan.rules)?;
        let (files, bytes) = (plan.counts.transfers, plan.counts.bytes);
        crew.first().context().observer.emit(&Event::Planned { files, bytes });
        let tools = Executor::new(root, plan, trash, run.ledger.is_kept(), means);
        tools.put_back(crew.first(), run).await;
        if plan.rules.staged {
            staged::run(crew, plan, run, &tools).await?;
        } else {
            for wave in phases(&plan.steps) {
                run_phase(crew, wave, run, &tools).await?;
            }
        }
        run.recheck_target(crew, &tools).await?;
    }
    Ok(())
}

/// Does the steps of one wave.
pub(super) async fn run_phase<'p>(
    crew: &mut SessionPool<'_>,
    wave: &'p [Step],
    run: &mut Execution<'p, '_>,
    tools: &Executor<'p>,
) -> Result<()> {
    let deletes = wave.iter().any(|step| step.act.is_delete());
    if deletes && run.report.failed == 0 {
        run.recheck_target(crew, tools).await?;
    }
    for (number, mut steps) in rounds(wave.iter().collect(), |step| *step).into_iter().enumerate() {
        if number > 0 {
            steps = run.without_taken(crew, tools, steps, |step| *step).await?.0;
        }
        do_steps(crew, &steps, run, tools).await?;
    }
    Ok(())
}

async fn do_steps<'p>(
    crew: &mut SessionPool<'_>,
    steps: &[&'p Step],
    run: &mut Execution<'p, '_>,
    tools: &Executor<'p>,
) -> Result<()> {
    run.take(steps, crew);
    // Steps given back by a session that the server closed are left to the others.
    while !run.waiting.is_empty() {
        run.keep_state(crew).await?;
        crew.run(run, async |session: &mut Session, step, feed: QueueHandle<'_, '_, _>| {
            tools.turn(session, step, feed).await
        })
        .await?;
    }
    Ok(())
}

/// Opens the local directory; that of a download is created, since the user named it.
fn open(heading: &Endpoints, rules: &MirrorOptions) -> Result<RootDir> {
    if heading.direction == Direction::Down {
        std::fs::create_dir_all(&heading.local)
            .map_err(|error| Error::local("make the folder", &heading.local, error))?;
    }
    RootDir::open_with(&heading.local, rules.links(heading.direction))
}

/// Splits steps into groups that may be done in any order among themselves: directories of one depth, or adjacent
/// files.
pub(super) fn phases(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    let rank = |step: &Step| match step.act {
        Action::Sweep => (4, 0),
        Action::MakeFolder => (0, depth(&step.path)),
        Action::Put(_) | Action::Get(_) => (1, 0),
        Action::DeleteFile => (2, 0),
        Action::DeleteFolder => (3, depth(&step.path)),
    };
    steps.chunk_by(move |one, other| rank(one) == rank(other))
}

/// The means of doing steps.
pub(super) struct Executor<'p> {
    pub(super) root: Arc<RootDir>,
    pub(super) plan: &'p MirrorPlan,
    /// The journal of intents.
    journal: Journal,
    claim: TargetLock,
    trash: Option<Trash>,
    /// True if the resulting state of both sides is to be recorded.
    pub(super) keeps_pairs: bool,
    /// The number of bytes moved so far, and the limits.
    pub(super) total: Total,
    /// The directories that are still to be created, so that no file can wait in them.
    unmade: BTreeSet<&'p [u8]>,
}

/// The result of a step: a transfer, and the resulting state of both sides of the file.
pub(super) type StepResult = Option<(TransferStats, Option<SyncedFile>)>;

impl<'p> Executor<'p> {
    fn new(
        root: RootDir,
        plan: &'p MirrorPlan,
        trash: Option<Trash>,
        keeps_pairs: bool,
        (journal, claim): (Journal, TargetLock),
    ) -> Self {
        let is_unmade = |step: &&Step| plan.rules.staged && step.act == Action::MakeFolder;
        let unmade = plan.steps.iter().filter(is_unmade).map(|step| &*step.path).collect();
        let total = Total::of(plan);
        let root = Arc::new(root);
        Self { root, plan, journal, claim, trash, keeps_pairs, total, unmade }
    }

    /// Does one step, or with it the transfers that follow: the rest of their work is done together at the end.
    async fn turn<'l>(
        &self,
        session: &mut Session,
        step: &'p Step,
        feed: QueueHandle<'_, '_, Execution<'p, 'l>>,
    ) -> JobResults<Execution<'p, 'l>> {
        match step.act {
            // Without a size, an existing local part cannot be proved to be the beginning of the same file.
            Action::Get(_) if !self.plan.rules.resume || step.size.is_none() => {
                return self.get_on(session, step, feed).await;
            }
            Action::Put(_) if !self.plan.rules.resume => {}
            // A transfer that may be left incomplete on purpose is done by itself.
            _ => {
                let next = NextTransfer::likely(feed.goes_on());
                return vec![(step, self.act(session, step, next).await)];
            }
        }
        let (steps, sent, failed) = self.gather(session, step, &feed).await;
        let failed = failed.map(|(step, fault)| (step, Err(fault)));
        let placed = self.put_in_place(session, &steps, sent).await;
        let mut ends: JobResults<Execution<'p, 'l>> = steps.into_iter().zip(placed).collect();
        for (step, result) in &mut ends {
            if let Err(fault) = result
                && session.may_go_directly(fault)
            {
                *result = self.put_directly(session, step, fault.clone()).await;
            }
        }
        ends.extend(failed);
        ends
    }

    /// Returns true if the local disk has something at `path`, under any name.
    pub(super) fn has_here(&self, path: &[u8]) -> bool {
        self.root.metadata(Path::new(OsStr::from_bytes(path))).is_ok()
    }

    /// Checks that this run may continue, and records `intents`, which are carried out right after.
    pub(super) async fn intend(
        &self,
        session: &mut Session,
        intents: Vec<(Vec<u8>, Intent)>,
    ) -> Result<()> {
        self.claim.renew(session).await?;
        self.journal.note(session, intents).await
    }

    /// Returns the directory in which the file `path` waits for its name: its own, or the nearest existing one.
    pub(super) fn home<'s>(&self, path: &'s [u8]) -> &'s [u8] {
        above(path).find(|folder| !self.unmade.contains(folder)).unwrap_or_default()
    }

    pub(super) async fn act(
        &self,
        session: &mut Session,
        step: &Step,
        next: NextTransfer<'_>,
    ) -> Result<StepResult> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let is_up = self.plan.heading.direction == Direction::Up;
        self.claim.renew(session).await?;
        let verb = match step.act {
            Action::Put(_) => return self.put_on(session, step, next).await,
            Action::Get(_) => return self.get_rest(session, step, next).await,
            Action::Sweep => {
                self.sweep(session, &there, here).await;
                return Ok(None);
            }
            Action::MakeFolder if is_up => {
                // A directory that shows no entries may have existed all the time.
                if !session.mkdir_if_missing(&there).await? {
                    return Ok(None);
                }
                Operation::Mkdir
            }
            Action::MakeFolder => self.root.make_folder(here).map(|()| Operation::Mkdir)?,
            Action::DeleteFile if let Some(trash) = &self.trash => {
                let top = &self.plan.heading.remote;
                gone(trash.take(session, &self.root, top, &step.path).await)?
            }
            Action::DeleteFile if is_up => gone(session.delete(&there).await)?,
            Action::DeleteFile => gone(self.root.remove_file(here))?,
            Action::DeleteFolder if is_up => gone(session.rmdir(&there).await)?,
            Action::DeleteFolder => gone(self.root.remove_folder(here))?,
        };
        let shown = || visible(self.root.path().join(here).as_os_str().as_bytes());
        let path = if is_up { there.to_string() } else { shown() };
        session.context().observer.emit(&Event::Done { verb, path });
        Ok(None)
    }
}

/// Accepts that an entry is gone already: a retry after a lost reply finds nothing.
fn gone(result: Result<()>) -> Result<Operation> {
    match result {
        Err(fault) if fault.kind != ErrorKind::NotFound => Err(fault),
        _ => Ok(Operation::Delete),
    }
}
