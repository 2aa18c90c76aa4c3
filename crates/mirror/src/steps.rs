//! The steps of a plan: their order, and the work of each.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::{
    deploy_rules::LastFiles,
    endpoints::{Direction, place},
    execution::Execution,
    executor::{Executor, StepResult},
    name_aliases::rounds,
    plan::{Action, Step},
    pool::{JobResults, QueueHandle, SessionPool},
    tree::depth,
};
use portolan_core::{
    error::{ErrorKind, Result},
    observe::{Event, MessageLevel, Operation, visible::visible},
};
use portolan_remote::{fs::RemoteFs, hints::NextTransfer, path::RemotePath};

/// Splits steps into groups that may be done in any order among themselves: directories of one depth, or adjacent
/// files, those of `last` apart.
pub(super) fn phases<'p>(steps: &'p [Step], last: &LastFiles) -> impl Iterator<Item = &'p [Step]> {
    let rank = move |step: &Step| match step.act {
        Action::Sweep => (4, 0),
        Action::MakeFolder => (0, depth(&step.path)),
        Action::Put(_) | Action::Get(_) => (1, usize::from(last.contains(&step.path))),
        Action::DeleteFile => (2, 0),
        Action::DeleteFolder => (3, depth(&step.path)),
    };
    steps.chunk_by(move |one, other| rank(one) == rank(other))
}

/// Does the steps of one wave.
pub(super) async fn run_phase<'p>(
    crew: &mut SessionPool<'_, impl RemoteFs>,
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

async fn do_steps<'p, R: RemoteFs>(
    crew: &mut SessionPool<'_, R>,
    steps: &[&'p Step],
    run: &mut Execution<'p, '_>,
    tools: &Executor<'p>,
) -> Result<()> {
    run.take(steps, crew);
    // Steps given back by a session that the server closed are left to the others.
    while !run.waiting.is_empty() {
        run.keep_state(crew).await?;
        crew.run(run, async |session: &mut R, step, feed: QueueHandle<'_, '_, _>| {
            tools.turn(session, step, feed).await
        })
        .await?;
    }
    Ok(())
}

impl<'p> Executor<'p> {
    /// Does one step, or with it the transfers that follow: the rest of their work is done together at the end.
    async fn turn<'l>(
        &self,
        session: &mut impl RemoteFs,
        step: &'p Step,
        feed: QueueHandle<'_, '_, Execution<'p, 'l>>,
    ) -> JobResults<Execution<'p, 'l>> {
        match step.act {
            // Without a size, an existing local part cannot be proved to be the beginning of the same file.
            Action::Get(_) if !self.policy.resume || step.size.is_none() => {
                return self.get_on(session, step, feed).await;
            }
            Action::Put(_) if !self.policy.resume || self.keeps_old(step) => {}
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
                && session.may_upload_in_place(fault)
            {
                *result = self.put_directly(session, step, fault.clone()).await;
            }
        }
        ends.extend(failed);
        ends
    }

    async fn act(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        next: NextTransfer<'_>,
    ) -> Result<StepResult> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let is_up = self.plan.heading.direction == Direction::Up;
        self.renew(session).await?;
        let verb = match step.act {
            Action::Put(_) => return self.put_on(session, step, next).await,
            Action::Get(_) => return self.get_rest(session, step, next).await,
            Action::Sweep => {
                self.sweep(session, &there, here).await;
                return Ok(None);
            }
            Action::MakeFolder if is_up => {
                // A directory that shows no entries may have existed all the time.
                if !session.mkdir(&there).await? {
                    return Ok(None);
                }
                Operation::Mkdir
            }
            Action::MakeFolder => self.root.make_folder(here).map(|()| Operation::Mkdir)?,
            Action::DeleteFile if let Some(trash) = &self.trash => {
                let top = &self.plan.heading.remote;
                gone(trash.take(session, &self.root, top, &step.path).await.map(drop))?
            }
            Action::DeleteFile if is_up => gone(session.remove(&there).await)?,
            Action::DeleteFile => gone(self.root.remove_file(here))?,
            Action::DeleteFolder if is_up => gone(session.rmdir(&there).await)?,
            Action::DeleteFolder => gone(self.root.remove_folder(here))?,
        };
        let shown = || visible(self.root.path().join(here).as_os_str().as_bytes());
        let path = if is_up { there.to_string() } else { shown() };
        session.observer().emit(&Event::Done { verb, path });
        Ok(None)
    }

    /// Removes a temporary file of an earlier run, `there` or `here`. If that is impossible, nothing fails: the file is
    /// no part of the mirror.
    pub(super) async fn sweep(&self, session: &mut impl RemoteFs, there: &RemotePath, here: &Path) {
        let removed = match self.plan.heading.direction {
            Direction::Up => {
                let removed = session.remove(there).await;
                session.forget_temp(there);
                removed
            }
            Direction::Down if self.root.is_abandoned(here) => self.root.remove_abandoned(here),
            Direction::Down => self.root.remove_file(here),
        };
        let observer = session.observer();
        match removed {
            // A file that was resumed is gone, and has its own name.
            Err(fault) if fault.kind == ErrorKind::NotFound => {}
            Err(fault) => observer.warn(format!("cannot remove a stale temporary file: {fault}")),
            Ok(()) => {
                let name = here.as_os_str().as_bytes();
                let text =
                    format!("{}: removed, a temporary file of an earlier run", visible(name));
                observer.message(MessageLevel::Info, text);
            }
        }
    }
}

/// Accepts that an entry is gone already: a retry after a lost reply finds nothing.
fn gone(result: Result<()>) -> Result<Operation> {
    match result {
        Err(fault) if fault.kind != ErrorKind::NotFound => Err(fault),
        _ => Ok(Operation::Delete),
    }
}
