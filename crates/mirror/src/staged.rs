//! Staged mirrors: every file arrives under a temporary name before any of them gets its final name.
//!
//! A file waits in the nearest existing directory, so that the target stays as it was until all have arrived, new
//! directories included. A failure before that leaves nothing behind. Then the directories are created, the files get
//! their names, many of them in one packet, and the deletes are done, as in any mirror: none of them after a failure.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{
    deploy_rules::LastFiles,
    download::listed_meta,
    endpoints::{Direction, place},
    execution::Execution,
    executor::{Executor, StepResult},
    local_hash::Hashed,
    name_aliases::rounds,
    plan::{Action, MirrorPlan, PlanCounts, Step},
    pool::{JobQueue, JobResults, QueueHandle, SessionPool},
    quota::Capped,
    steps::{phases, run_phase},
    sync_base::{Hash, Intent, SyncedFile},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{ASIDE_FILES_MAX, PLACED_NAMED_MAX},
    observe::visible::visible,
};
use portolan_fs::{AtomicFile, StagedFile};
use portolan_remote::{
    fs::RemoteFs,
    hints::{NextTransfer, TransferHints},
    pending::{PendingDownload, VerifiedTemp},
    transfer::{unproven, utc},
};

/// A file that has arrived.
pub(super) enum Ready {
    /// On the server, with its state as far as it is known locally.
    There(VerifiedTemp, Option<SyncedFile>),
    /// On the local host, with the hash of the received bytes.
    Here(StagedFile, PendingDownload, Option<Hash>),
}

impl Ready {
    /// Returns true if its size was verified.
    const fn is_verified(&self) -> bool {
        match self {
            Self::There(arrived, _) => arrived.is_whole(),
            Self::Here(_, fetched, _) => fetched.is_verified(),
        }
    }
}

/// Executes `plan`, of which nothing has been done yet.
pub(super) async fn run<'p, R: RemoteFs>(
    crew: &mut SessionPool<'_, R>,
    plan: &'p MirrorPlan,
    run: &mut Execution<'p, '_>,
    tools: &Executor<'p>,
) -> Result<()> {
    // A mirror that cannot become complete does not start.
    if run.report.failed > 0 {
        give_up(crew, plan, run, 0);
        return Ok(());
    }
    // No file can wait in a missing directory: the top is created first. Files left by killed runs take up room.
    let first =
        plan.steps.iter().take_while(|step| step.act == Action::Sweep || is_top(step)).count();
    let (first, rest) = plan.steps.split_at_checked(first).unwrap_or((&[], &plan.steps));
    for wave in phases(first, &LastFiles::default()) {
        run_phase(crew, wave, run, tools).await?;
    }
    let mut stage = ArrivalQueue { wants_proof: run.policy.wants_proof, ..ArrivalQueue::default() };
    stage.waiting.extend(rest.iter().filter(|step| is_transfer(step)));
    let mut ended = Ok(());
    // Jobs given back by a session that the server closed are left to the others.
    while run.report.failed == 0 && ended.is_ok() && stage.waiting() > 0 {
        let work = async |session: &mut R, step, feed: QueueHandle<'_, '_, _>| {
            tools.arrive(session, step, feed).await
        };
        ended = crew.run(&mut stage, work).await;
    }
    let ArrivalQueue { arrived, failed, .. } = stage;
    let lacking = failed.len() as u64;
    for (step, fault) in failed {
        run.fail(step, fault);
    }
    if ended.is_err() || run.report.failed > 0 {
        drop_all(crew, tools, arrived).await;
        give_up(crew, plan, run, lacking);
        return ended;
    }
    finish(crew, rest, run, tools, arrived).await
}

/// Creates the directories, gives the files their names and does the deletes, in the order of the plan.
async fn finish<'p>(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    steps: &'p [Step],
    run: &mut Execution<'p, '_>,
    tools: &Executor<'p>,
    mut arrived: BTreeMap<&[u8], Ready>,
) -> Result<()> {
    let (mut ended, mut has_begun) = (Ok(()), false);
    for wave in phases(steps, &tools.plan.last_files()) {
        ended = if !wave.iter().all(is_transfer) {
            run_phase(crew, wave, run, tools).await
        } else if run.report.failed == 0 {
            has_begun = true;
            let files = wave.iter().filter_map(|step| Some((step, arrived.remove(&*step.path)?)));
            give_names_in_rounds(crew, tools, run, files.collect()).await
        } else {
            Ok(())
        };
        if ended.is_err() {
            break;
        }
    }
    if run.report.failed > 0 || ended.is_err() {
        run.report.skipped += arrived.len() as u64;
        drop_all(crew, tools, arrived).await;
        tell_half(crew, tools.plan, run, has_begun);
    }
    ended
}

const fn is_transfer(step: &Step) -> bool {
    matches!(step.act, Action::Put(_) | Action::Get(_))
}

fn is_top(step: &Step) -> bool {
    step.act == Action::MakeFolder && step.path.is_empty()
}

/// Reports that no file has got its name, since `lacking` files failed or something failed before them.
fn give_up(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    plan: &MirrorPlan,
    run: &mut Execution<'_, '_>,
    lacking: u64,
) {
    let PlanCounts { transfers, deletes, .. } = plan.counts;
    run.report.skipped += transfers.saturating_sub(lacking) + deletes;
    let text = "not every file has arrived, so no file was renamed: the target is unchanged";
    tell(crew, run, text.to_owned());
}

fn tell(crew: &mut SessionPool<'_, impl RemoteFs>, run: &mut Execution<'_, '_>, text: String) {
    crew.first().observer().warn(text.clone());
    run.report.errors.push(Error::new(ErrorKind::Guard, Origin::Here, text));
}

/// Reports which names hold which content after a failure that followed the arrival of all files.
fn tell_half(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    plan: &MirrorPlan,
    run: &mut Execution<'_, '_>,
    has_begun: bool,
) {
    if !has_begun {
        let text = "not every folder could be made, so no file was renamed";
        return tell(crew, run, text.to_owned());
    }
    let (placed, all) = (run.report.placed.len(), plan.counts.transfers);
    let named: Vec<_> =
        run.report.placed.iter().take(PLACED_NAMED_MAX).map(String::as_str).collect();
    let more = if placed > named.len() { ", …" } else { "" };
    let text = format!(
        "of {all} files {placed} were given their names and have the new bytes ({}{more}); the others have what they \
         had, but for what the errors say: nothing was deleted",
        named.join(", ")
    );
    tell(crew, run, text);
}

/// Renames `files` to their final names; those that the target may treat as the same, one after the other.
async fn give_names_in_rounds<'p>(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    tools: &Executor<'p>,
    run: &mut Execution<'p, '_>,
    files: Vec<(&'p Step, Ready)>,
) -> Result<()> {
    for (number, files) in rounds(files, |(step, _)| *step).into_iter().enumerate() {
        let (files, taken) = if number > 0 {
            run.without_taken(crew, tools, files, |(step, _)| *step).await?
        } else {
            (files, Vec::new())
        };
        give_names(crew, tools, run, files).await?;
        let unwanted = taken.into_iter().map(|(step, ready)| (&step.path[..], ready));
        drop_all(crew, tools, unwanted.collect()).await;
    }
    Ok(())
}

/// Renames `files` to their final names, in batches.
async fn give_names<'p, R: RemoteFs>(
    crew: &mut SessionPool<'_, R>,
    tools: &Executor<'p>,
    run: &mut Execution<'p, '_>,
    files: Vec<(&'p Step, Ready)>,
) -> Result<()> {
    let mut names = RenameQueue::default();
    let mut here = Vec::new();
    for (step, ready) in files {
        match ready {
            Ready::There(arrived, pair) => names.push(step, arrived, pair),
            Ready::Here(held, fetched, hash) => here.push((step, held, fetched, hash)),
        }
    }
    let work = async |session: &mut R, job: Vec<WaitingFile<'p>>, _: QueueHandle<'_, '_, _>| {
        let (known, files): (Vec<_>, Vec<_>) =
            job.into_iter().map(|(step, arrived, pair)| ((step, pair), arrived)).unzip();
        let intents = known
            .iter()
            .zip(&files)
            .map(|((step, _), file)| (step.path.clone(), Intent::Bytes(file.size(), None)));
        if let Err(fault) = tools.intend(session, intents.collect()).await {
            session.delete_temps(&files).await;
            let failed = known.into_iter().map(|(step, _)| (step, Err(fault.clone())));
            return vec![(Vec::new(), Ok(failed.collect()))];
        }
        let known = known.into_iter().zip(files).collect();
        vec![(Vec::new(), Ok(tools.commit_all(session, known).await))]
    };
    let mut ended = Ok(());
    while ended.is_ok() && names.waiting() > 0 {
        ended = crew.run(&mut names, &work).await;
    }
    let left = names.waiting.into_iter().flatten();
    let left: Vec<_> = left.map(|(_, arrived, _)| arrived).collect();
    crew.first().delete_temps(&left).await;
    for (step, found) in names.ended {
        ended = ended.and(run.place(step, found));
    }
    ended?;
    tools.give_names_here(crew, run, here).await
}

/// Removes files that have arrived and are not wanted.
async fn drop_all(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    tools: &Executor<'_>,
    arrived: BTreeMap<&[u8], Ready>,
) {
    let mut there = Vec::new();
    for ready in arrived.into_values() {
        match ready {
            Ready::There(arrived, _) => there.push(arrived),
            Ready::Here(held, ..) => {
                if let Err(fault) = held.drop_file(&tools.root) {
                    crew.first().observer().warn(fault.to_string());
                }
            }
        }
    }
    crew.first().delete_temps(&there).await;
}

/// The files that are being transferred to temporary names.
#[derive(Default)]
struct ArrivalQueue<'p> {
    waiting: VecDeque<&'p Step>,
    arrived: BTreeMap<&'p [u8], Ready>,
    failed: Vec<(&'p Step, Error)>,
    wants_proof: bool,
}

impl<'p> JobQueue for ArrivalQueue<'p> {
    type Job = &'p Step;
    type Found = Ready;

    fn next(&mut self) -> Option<&'p Step> {
        // One missing file is enough: those after it would be sent in vain.
        if self.failed.is_empty() { self.waiting.pop_front() } else { None }
    }

    fn waiting(&self) -> usize {
        if self.failed.is_empty() { self.waiting.len() } else { 0 }
    }

    fn give_back(&mut self, step: &'p Step) {
        self.waiting.push_front(step);
    }

    fn done(&mut self, step: &'p Step, result: Result<Ready>) -> Result<()> {
        match result {
            Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
            Err(fault) => self.failed.push((step, fault)),
            Ok(ready) => {
                if self.wants_proof && !ready.is_verified() {
                    self.failed.push((step, unproven()));
                }
                self.arrived.insert(&step.path, ready);
            }
        }
        Ok(())
    }
}

/// A file on the server that waits for its name.
type WaitingFile<'p> = (&'p Step, VerifiedTemp, Option<SyncedFile>);

/// The files on the server that are to get their final names.
#[derive(Default)]
struct RenameQueue<'p> {
    waiting: Vec<Vec<WaitingFile<'p>>>,
    ended: Vec<(&'p Step, Result<StepResult>)>,
}

impl<'p> RenameQueue<'p> {
    fn push(&mut self, step: &'p Step, arrived: VerifiedTemp, pair: Option<SyncedFile>) {
        match self.waiting.last_mut().filter(|files| files.len() < ASIDE_FILES_MAX) {
            Some(files) => files.push((step, arrived, pair)),
            None => self.waiting.push(vec![(step, arrived, pair)]),
        }
    }
}

impl<'p> JobQueue for RenameQueue<'p> {
    type Job = Vec<WaitingFile<'p>>;
    type Found = Vec<(&'p Step, Result<StepResult>)>;

    fn next(&mut self) -> Option<Self::Job> {
        self.waiting.pop()
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn give_back(&mut self, files: Self::Job) {
        self.waiting.push(files);
    }

    fn done(&mut self, _: Self::Job, result: Result<Self::Found>) -> Result<()> {
        let ended = result?;
        let is_stopped = |(_, found): &(_, Result<StepResult>)| {
            found.as_ref().is_err_and(|fault| fault.kind == ErrorKind::Interrupted)
        };
        let stopped = ended.iter().find(|one| is_stopped(one));
        let stopped = stopped.and_then(|(_, found)| found.as_ref().err().cloned());
        self.ended.extend(ended);
        stopped.map_or(Ok(()), Err)
    }
}

impl<'p> Executor<'p> {
    /// Transfers the file of `step` to a temporary name, together with those of the steps that follow.
    async fn arrive(
        &self,
        session: &mut impl RemoteFs,
        step: &'p Step,
        feed: QueueHandle<'_, '_, ArrivalQueue<'p>>,
    ) -> JobResults<ArrivalQueue<'p>> {
        if self.plan.heading.direction == Direction::Down {
            let next = NextTransfer::likely(feed.goes_on());
            return vec![(step, self.fetch(session, step, next).await)];
        }
        let (steps, sent, failed) = self.gather(session, step, &feed).await;
        let failed = failed.map(|(step, fault)| (step, Err(fault)));
        let (files, pairs): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        let seen = session.verify_temps(files).await.into_iter().zip(pairs);
        let ready = seen.map(|(arrived, pair)| Ok(Ready::There(arrived?, pair)));
        steps.into_iter().zip(ready).chain(failed).collect()
    }

    /// Fetches the file of `step` to a local temporary name.
    async fn fetch(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        next: NextTransfer<'_>,
    ) -> Result<Ready> {
        let there = place(&self.plan.heading.remote, &step.path)?;
        let here = Path::new(OsStr::from_bytes(&step.path));
        let home = Path::new(OsStr::from_bytes(self.home(&step.path)));
        let most = self.policy.caps.max_file_size;
        let begin = |lasting: Option<&str>| {
            AtomicFile::begin_apart(&self.root, home, lasting).map(|landing| landing.at_most(most))
        };
        let (landing, fetched, hash) = if self.policy.resume && step.size.is_some() {
            let hints = TransferHints::before(next);
            let (landing, fetched) = session.resume_download(&there, begin, hints).await?;
            (landing, fetched, None)
        } else {
            let mut landing = begin(None)?;
            let (known, hints) = (listed_meta(step), self.hints(step, next));
            let mut capped = Capped::new(&mut landing, &self.total);
            let (fetched, hash) = if self.keeps_pairs {
                let mut hashed = Hashed::new(&mut capped);
                let fetched = session.begin_download(&there, &mut hashed, known, hints).await?;
                (fetched, Some(hashed.hash()))
            } else {
                (session.begin_download(&there, &mut capped, known, hints).await?, None)
            };
            capped.keep();
            (landing, fetched, hash)
        };
        let modified = utc(fetched.modified).filter(|_| self.policy.preserve_times);
        match landing.hold(&self.root, home, here, modified) {
            Ok(held) => Ok(Ready::Here(held, fetched, hash)),
            Err(fault) => Err(session.fail_download(&fetched, fault)),
        }
    }

    /// Renames local files to their final names, and flushes the renames to disk.
    async fn give_names_here(
        &self,
        crew: &mut SessionPool<'_, impl RemoteFs>,
        run: &mut Execution<'p, '_>,
        files: Vec<(&'p Step, StagedFile, PendingDownload, Option<Hash>)>,
    ) -> Result<()> {
        let folders: BTreeSet<_> =
            files.iter().map(|(_, held, ..)| held.folder().to_owned()).collect();
        let intents = files.iter().map(|(step, held, ..)| {
            let time_us = held.modified.as_microsecond();
            (step.path.clone(), Intent::Bytes(held.bytes, Some(time_us)))
        });
        let intents: Vec<_> = intents.collect();
        let now = crew.first().now();
        let noted =
            if intents.is_empty() { Ok(()) } else { self.intend(crew.first(), intents).await };
        for (step, held, fetched, mut hash) in files {
            let placed = noted.clone().and_then(|()| self.is_free(step));
            let placed = placed.and_then(|()| self.keep_old_here(step, &held, now));
            let placed = placed.and_then(|()| held.place(&self.root));
            let placed = placed.map_err(|fault| {
                // It would only get in the way of the next run.
                held.drop_file(&self.root).err();
                let message = format!("{}; it has its old bytes", fault.message);
                Error { message, ..fault }
            });
            if placed.is_ok() && hash.is_none() {
                hash = self.read_back(crew.first(), &step.path).await?;
            }
            let pair = self.pair(step, hash, held.bytes, held.modified);
            let found = crew.first().end_download(fetched, placed);
            run.place(step, found.map(|moved| Some((moved, pair))))?;
        }
        folders.iter().try_for_each(|folder| self.root.flush_folder(folder))
    }
}

impl<'p> Execution<'p, '_> {
    /// Records whether a file has got its name.
    fn place(&mut self, step: &'p Step, found: Result<StepResult>) -> Result<()> {
        if found.is_ok() {
            self.report.placed.push(visible(&step.path));
        }
        self.done(step, found)
    }
}
