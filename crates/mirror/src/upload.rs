//! Batched uploads: to temporary names one after the other, and to their final names together.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, time::Instant};

use super::{
    endpoints::place,
    executor::{Executor, StepResult},
    local_hash::Hashed,
    merged::may_be_changed,
    plan::Step,
    pool::{JobQueue, QueueHandle},
    sync_base::{Intent, SyncedFile},
    tree::name_of,
};
use portolan_core::{
    error::{Error, Result},
    limits::{ASIDE_BYTES_MAX, ASIDE_FILES_MAX, ASIDE_TIME_MAX},
};
use portolan_fs::SourceFile;
use portolan_remote::{
    fs::RemoteFs,
    hints::NextTransfer,
    pending::{TempUpload, VerifiedTemp},
    transfer::TransferStats,
};

/// A file under its temporary name on the server, with its state as far as it is known locally.
pub(super) type SentFile = (TempUpload, Option<SyncedFile>);

/// The files under temporary names, with their steps, and the step that failed after them.
pub(super) type Gathered<'p> = (Vec<&'p Step>, Vec<SentFile>, Option<(&'p Step, Error)>);

impl<'p> Executor<'p> {
    /// Sends the file of `step` and those of the steps that follow to temporary names, up to the limits of a batch.
    pub(super) async fn gather<W: JobQueue<Job = &'p Step>>(
        &self,
        session: &mut impl RemoteFs,
        step: &'p Step,
        feed: &QueueHandle<'_, '_, W>,
    ) -> Gathered<'p> {
        let started = Instant::now();
        let (mut steps, mut sent, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
        let (mut next, mut failed) = (Some(step), None);
        while let Some(step) = next {
            let is_followed = feed.goes_on() && sent.len() + 1 < ASIDE_FILES_MAX;
            match self.put_aside(session, step, NextTransfer::likely(is_followed)).await {
                Ok(file) => {
                    steps.push(step);
                    sent.push(file);
                }
                Err(fault) => {
                    failed = Some((step, fault));
                    break;
                }
            }
            bytes = bytes.saturating_add(step.size.unwrap_or(0));
            let is_enough = sent.len() >= ASIDE_FILES_MAX
                || bytes >= ASIDE_BYTES_MAX
                || started.elapsed() >= ASIDE_TIME_MAX;
            next = if is_enough { None } else { feed.next() };
        }
        (steps, sent, failed)
    }

    /// Renames the files that were sent for `steps` to their final names, and returns the resulting state of both sides
    /// of each.
    pub(super) async fn put_in_place(
        &self,
        session: &mut impl RemoteFs,
        steps: &[&Step],
        sent: Vec<SentFile>,
    ) -> Vec<Result<StepResult>> {
        let (files, pairs): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        let intents = steps
            .iter()
            .zip(&files)
            .map(|(step, file)| (step.path.clone(), Intent::Bytes(file.size(), None)));
        if let Err(fault) = self.intend(session, intents.collect()).await {
            let failed = session.discard(files, &fault).await;
            return failed.into_iter().map(Err).collect();
        }
        let (mut ready, mut olds) = (Vec::new(), Vec::new());
        for (step, file) in steps.iter().zip(files) {
            let old = self.keep_old(session, step).await;
            match &old {
                Ok(_) => ready.push(file),
                Err(fault) => drop(session.discard(vec![file], fault).await),
            }
            olds.push(old);
        }
        let mut placed = session.commit(ready).await.into_iter();
        let mut found = Vec::with_capacity(olds.len());
        for ((step, old), pair) in steps.iter().zip(olds).zip(pairs) {
            let moved = match old {
                Ok(old) => {
                    let moved = placed.next();
                    let moved =
                        moved.unwrap_or_else(|| Err(Error::protocol("no result of a file")));
                    self.or_give_back(session, step, old, moved).await
                }
                Err(fault) => Err(fault),
            };
            found.push(moved.map(|moved| Some((moved, pair.map(|pair| completed(pair, &moved))))));
        }
        found
    }

    /// Sends a file to a temporary name on the server, if the limits still allow it: it may have grown since it was
    /// planned.
    async fn put_aside(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        next: NextTransfer<'_>,
    ) -> Result<SentFile> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let reading = SourceFile::open_in(&self.root, here)?;
        let size = reading.size();
        let mut sent = match self.total.count(size) {
            Ok(()) => self.send_aside(session, step, reading, next).await,
            Err(fault) => Err(fault),
        };
        if let Ok((file, _)) = &mut sent
            && step.standing.is_none()
            && may_be_changed(name_of(&step.path), session.capabilities().shortens_names)
        {
            file.expect_new();
        }
        if sent.is_err() {
            self.total.take_back(size);
        }
        sent
    }

    async fn send_aside(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        mut reading: SourceFile,
        next: NextTransfer<'_>,
    ) -> Result<SentFile> {
        let there = place(&self.plan.heading.remote, &step.path)?;
        let home = place(&self.plan.heading.remote, self.home(&step.path))?;
        let (size, modified) = (reading.size(), reading.modified());
        let keeps_time = self.policy.preserve_times;
        let (file, hash) = if self.policy.resume {
            let file =
                session.resume_to_temp(&mut reading, &there, &home, keeps_time, next).await?;
            // Not all of its bytes have passed through this process.
            (file, self.read_back(session, &step.path).await?)
        } else {
            let time = keeps_time.then_some(modified);
            if !self.keeps_pairs {
                let source = &mut reading;
                let sent = session.upload_to_temp(source, size, time, &there, &home, next);
                return Ok((sent.await?, None));
            }
            let mut source = Hashed::new(reading);
            let sent = session.upload_to_temp(&mut source, size, time, &there, &home, next);
            let file = sent.await?;
            (file, Some(source.hash()))
        };
        let pair = SyncedFile {
            hash,
            local_size: size,
            local_us: Some(modified.as_microsecond()),
            remote_size: None,
            remote_time: None,
        };
        Ok((file, Some(pair).filter(|_| self.keeps_pairs)))
    }
}

impl Executor<'_> {
    /// Sends the file of `step` under its final name, since the usual method was `refused`.
    pub(super) async fn put_directly(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        refused: Error,
    ) -> Result<StepResult> {
        let there = place(&self.plan.heading.remote, &step.path)?;
        let reading = SourceFile::open_in(&self.root, Path::new(OsStr::from_bytes(&step.path)))?;
        let (size, modified) = (reading.size(), reading.modified());
        let time = self.policy.preserve_times.then_some(modified);
        self.intend(session, vec![(step.path.clone(), Intent::Any)]).await?;
        let mut source = Hashed::new(reading);
        let old = self.keep_old(session, step).await?;
        let file = session.upload_in_place(&mut source, size, time, &there, refused).await;
        let file = self.or_give_back(session, step, old, file).await?;
        let pair = SyncedFile {
            hash: Some(source.hash()),
            local_size: size,
            local_us: Some(modified.as_microsecond()),
            remote_size: None,
            remote_time: None,
        };
        let sent = (file, Some(pair).filter(|_| self.keeps_pairs));
        let found = self.put_in_place(session, &[step], vec![sent]).await.pop();
        found.unwrap_or_else(|| Err(Error::protocol("one file, and no result of it")))
    }
}

/// A step whose file waits for its name, with the state of both sides as far as it is known.
pub(super) type KnownFile<'p> = ((&'p Step, Option<SyncedFile>), VerifiedTemp);

impl<'p> Executor<'p> {
    /// Gives files on the server their names, after the old versions have gone to the trash if those are kept.
    pub(super) async fn commit_all(
        &self,
        session: &mut impl RemoteFs,
        files: Vec<KnownFile<'p>>,
    ) -> Vec<(&'p Step, Result<StepResult>)> {
        let (mut ready, mut olds) = (Vec::new(), Vec::new());
        for (known, file) in files {
            let old = self.keep_old(session, known.0).await;
            match &old {
                Ok(_) => ready.push(file),
                Err(_) => session.delete_temps(&[file]).await,
            }
            olds.push((known, old));
        }
        let mut placed = session.commit_verified(ready).await.into_iter();
        let mut found = Vec::with_capacity(olds.len());
        for ((step, pair), old) in olds {
            let moved = match old {
                Ok(old) => {
                    let moved = placed.next();
                    let moved =
                        moved.unwrap_or_else(|| Err(Error::protocol("no result of a file")));
                    self.or_give_back(session, step, old, moved).await
                }
                Err(fault) => Err(fault),
            };
            let done = |moved| Some((moved, pair.map(|pair| completed(pair, &moved))));
            found.push((step, moved.map(done)));
        }
        found
    }
}

/// Completes the local state of a file with that on the server.
pub(super) fn completed(pair: SyncedFile, moved: &TransferStats) -> SyncedFile {
    let remote_size = moved.verified.then_some(pair.local_size);
    SyncedFile { remote_size, remote_time: moved.modified, ..pair }
}
