//! Transfers of single files of a plan: downloads and resumed uploads, with the resulting state of both sides.

use std::{
    collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::{
    endpoints::{Direction, place},
    execution::Execution,
    executor::{Executor, StepResult},
    local_hash::{Hashed, hash_of},
    name_aliases::is_taken,
    plan::{Action, Difference, Step},
    pool::{JobResults, QueueHandle},
    quota::Capped,
    sync_base::{Hash, Intent, SyncedFile},
    trash::LocalTrash,
    upload::completed,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{ASIDE_BYTES_MAX, ASIDE_FILES_MAX, ASIDE_TIME_MAX, COPY_BYTES},
};
use portolan_fs::{AtomicFile, RootDir, SourceFile, StagedFile};
use portolan_remote::{
    entry::{Modified, Precision},
    fs::RemoteFs,
    hints::{NextTransfer, TransferHints},
    transfer::{RemoteMeta, TransferStats, utc},
};

/// A file that was fetched, on its way to its final name.
struct Arriving {
    moved: TransferStats,
    hash: Option<Hash>,
    held: JoinHandle<Result<StagedFile>>,
}

/// Renames `files` to their final names, unless their intents could not be `noted`, and flushes the renames to disk. The
/// old versions of those for which there is a trash go there first.
fn name_all(
    root: &RootDir,
    files: &[(StagedFile, Option<LocalTrash>)],
    noted: &Result<()>,
) -> Vec<Result<(u64, Timestamp)>> {
    let mut named: Vec<_> = files
        .iter()
        .map(|(held, trash)| {
            let kept = noted.clone().and_then(|()| match trash {
                Some(trash) => trash.keep(root, held.target()),
                None => Ok(()),
            });
            let placed = kept.and_then(|()| held.place(root));
            placed.map(|()| (held.bytes, held.modified)).inspect_err(|_| {
                // It would only get in the way of the next run.
                held.drop_file(root).err();
            })
        })
        .collect();
    let folders: BTreeSet<_> = files.iter().map(|(held, _)| held.folder()).collect();
    for folder in folders.into_iter().filter(|_| noted.is_ok()) {
        if let Err(fault) = root.flush_folder(folder) {
            let inside = files.iter().zip(&mut named);
            let inside = inside.filter(|((held, _), _)| held.folder() == folder);
            inside.for_each(|(_, named)| *named = Err(fault.clone()));
        }
    }
    named
}

/// Returns the properties of a file on the server as they were listed.
pub(super) const fn listed_meta(step: &Step) -> RemoteMeta {
    RemoteMeta { size: step.size, modified: step.modified, is_listed: true }
}

impl Executor<'_> {
    /// Sends the missing part of a file on the server.
    pub(super) async fn put_on(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        next: NextTransfer<'_>,
    ) -> Result<StepResult> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let reading = SourceFile::open_in(&self.root, here)?;
        let (local_size, modified) = (reading.size(), reading.modified());
        self.intend(session, vec![(step.path.clone(), Intent::Bytes(local_size, None))]).await?;
        let keeps_time = self.policy.preserve_times;
        let moved = session.resume_upload(reading, &there, keeps_time, next).await?;
        let hash = self.read_back(session, &step.path).await?;
        let pair = self.keeps_pairs.then(|| SyncedFile {
            hash,
            local_size,
            local_us: Some(modified.as_microsecond()),
            remote_size: None,
            remote_time: None,
        });
        Ok(Some((moved, pair.map(|pair| completed(pair, &moved)))))
    }

    /// Fetches the missing part of a local file.
    pub(super) async fn get_rest(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        next: NextTransfer<'_>,
    ) -> Result<StepResult> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let most = self.policy.caps.max_file_size;
        let begin = |lasting: Option<&str>| {
            AtomicFile::begin_in_as(&self.root, here, lasting).map(|landing| landing.at_most(most))
        };
        self.is_free(step)?;
        let hints = TransferHints::before(next);
        let (landing, fetched) = session.resume_download(&there, begin, hints).await?;
        let modified = utc(fetched.modified).filter(|_| self.policy.preserve_times);
        let home = here.parent().unwrap_or(Path::new(""));
        let held = match landing.hold(&self.root, home, here, modified) {
            Ok(held) => held,
            Err(fault) => return Err(session.fail_download(&fetched, fault)),
        };
        let placed = self.name_here(session, vec![(step, held)]).await.pop();
        let placed = placed.unwrap_or_else(|| Err(Error::protocol("one file, and no result")));
        let (size, time) = placed.as_ref().map_or((0, Timestamp::UNIX_EPOCH), |placed| *placed);
        let moved = session.end_download(fetched, placed.map(drop))?;
        let hash = self.read_back(session, &step.path).await?;
        Ok(Some((moved, self.pair(step, hash, size, time))))
    }

    /// Renames local files to their final names after recording that, and flushes the renames to disk. Returns the size
    /// and time of each, or the reason why it has not got its name.
    pub(super) async fn name_here(
        &self,
        session: &mut impl RemoteFs,
        files: Vec<(&Step, StagedFile)>,
    ) -> Vec<Result<(u64, Timestamp)>> {
        let intents = files.iter().map(|(step, held)| {
            let time_us = held.modified.as_microsecond();
            (step.path.clone(), Intent::Bytes(held.bytes, Some(time_us)))
        });
        let noted = self.intend(session, intents.collect()).await;
        let (root, count) = (Arc::clone(&self.root), files.len());
        let now = session.now();
        let held = files.into_iter().map(|(step, held)| (held, self.local_trash(step, now)));
        let held: Vec<_> = held.collect();
        let named = tokio::task::spawn_blocking(move || name_all(&root, &held, &noted)).await;
        named.unwrap_or_else(|error| {
            let message = "the file could not be put in place";
            let fault = Error::new(ErrorKind::Local, Origin::Here, message).with_source(error);
            vec![Err(fault); count]
        })
    }

    /// Returns the local trash, if `step` overwrites a file whose old version is kept.
    fn local_trash(&self, step: &Step, now: Timestamp) -> Option<LocalTrash> {
        self.trash.as_ref().filter(|_| step.standing.is_some())?.local(now)
    }

    /// Keeps the old version of the local file that `held` replaces, if old versions are kept.
    pub(super) fn keep_old_here(
        &self,
        step: &Step,
        held: &StagedFile,
        now: Timestamp,
    ) -> Result<()> {
        let trash = self.local_trash(step, now);
        trash.map_or(Ok(()), |trash| trash.keep(&self.root, held.target()))
    }

    /// Fetches a file, and begins to put it under its final name: flushing several files at a time costs the disk
    /// little more than flushing one (2,000 small files on ext4: 16 s one by one).
    async fn begin_landing(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        next: NextTransfer<'_>,
    ) -> Result<Arriving> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let mut landing = AtomicFile::begin_in(&self.root, here)?;
        let hints = self.hints(step, next);
        let known = session.known(&there, listed_meta(step)).await?;
        let mut capped = Capped::new(&mut landing, &self.total);
        let (moved, hash) = if self.keeps_pairs {
            let mut hashed = Hashed::new(&mut capped);
            let moved = session.download_into(&there, &mut hashed, known, hints).await?;
            (moved, Some(hashed.hash()))
        } else {
            (session.download_into(&there, &mut capped, known, hints).await?, None)
        };
        capped.keep();
        let time = utc(moved.modified).filter(|_| self.policy.preserve_times);
        let (root, here) = (Arc::clone(&self.root), here.to_owned());
        let held = tokio::task::spawn_blocking(move || {
            let home = here.parent().unwrap_or(Path::new("")).to_owned();
            landing.hold(&root, home, here, time)
        });
        Ok(Arriving { moved, hash, held })
    }

    /// Returns the hints for the download of a file: its time is wanted along with it unless the listing shows it to
    /// the second.
    pub(super) fn hints<'n>(&self, step: &Step, next: NextTransfer<'n>) -> TransferHints<'n> {
        let is_told = matches!(
            step.modified,
            Some(Modified::Utc(_, precision)) if precision <= Precision::Second
        );
        // If no size is listed, size and time are queried before.
        let wants_mtime = !is_told && step.size.is_some() && self.policy.preserve_times;
        TransferHints { next, wants_mtime }
    }

    /// Fails if a new file would replace one that no listing showed: another one of this run, whose name is the same to
    /// the local disk, or one that has appeared meanwhile.
    pub(super) fn is_free(&self, step: &Step) -> Result<()> {
        if step.act == Action::Get(Difference::New) && self.has_here(&step.path) {
            return Err(is_taken(Direction::Down));
        }
        Ok(())
    }

    /// Waits until files that were fetched are on the disk, and gives them their final names.
    async fn land<'s>(
        &self,
        session: &mut impl RemoteFs,
        ends: Vec<(&'s Step, Result<Arriving>)>,
    ) -> Vec<(&'s Step, Result<StepResult>)> {
        let (mut come, mut files, mut landed) = (Vec::new(), Vec::new(), Vec::new());
        for (step, arrived) in ends {
            let held = match arrived {
                Err(fault) => Err(fault),
                Ok(Arriving { moved, hash, held }) => {
                    let held = held.await.unwrap_or_else(|error| {
                        let message = "the file could not be put in place";
                        Err(Error::new(ErrorKind::Local, Origin::Here, message).with_source(error))
                    });
                    held.and_then(|held| match self.is_free(step) {
                        Ok(()) => Ok((moved, hash, held)),
                        Err(fault) => {
                            held.drop_file(&self.root).err();
                            Err(fault)
                        }
                    })
                }
            };
            match held {
                Ok((moved, hash, held)) => {
                    come.push((step, moved, hash));
                    files.push((step, held));
                }
                Err(fault) => landed.push((step, Err(fault))),
            }
        }
        if files.is_empty() {
            return landed;
        }
        let named = self.name_here(session, files).await;
        let named = come.into_iter().zip(named).map(|((step, moved, hash), named)| {
            let found = |(size, time)| Some((moved, self.pair(step, hash, size, time)));
            (step, named.map(found))
        });
        named.chain(landed).collect()
    }

    /// Returns the state of both sides of a file that was fetched.
    pub(super) fn pair(
        &self,
        step: &Step,
        hash: Option<Hash>,
        size: u64,
        time: Timestamp,
    ) -> Option<SyncedFile> {
        self.keeps_pairs.then(|| SyncedFile {
            hash,
            local_size: size,
            local_us: Some(time.as_microsecond()),
            remote_size: step.size,
            remote_time: step.modified,
        })
    }

    /// Returns the hash of a local file of which not all bytes have passed through this process. Reads the file, and so
    /// not on the thread that the sessions share.
    pub(super) async fn read_back(
        &self,
        session: &impl RemoteFs,
        path: &[u8],
    ) -> Result<Option<Hash>> {
        if !self.keeps_pairs {
            return Ok(None);
        }
        let (top, path) = (self.plan.heading.local.clone(), path.to_vec());
        let stop = session.stop().clone();
        let links = self.policy.links;
        let read = move || {
            let root = RootDir::open_with(&top, links)?;
            hash_of(&root, &path, &mut vec![0; COPY_BYTES], &stop)
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| {
            Error::new(ErrorKind::Local, Origin::Here, "the file could not be read")
                .with_source(error)
        })?
    }
}

impl<'p> Executor<'p> {
    /// Fetches a file and those that follow: each is requested before the previous one has quite ended.
    pub(super) async fn get_on<'l>(
        &self,
        session: &mut impl RemoteFs,
        step: &'p Step,
        feed: QueueHandle<'_, '_, Execution<'p, 'l>>,
    ) -> JobResults<Execution<'p, 'l>> {
        let started = Instant::now();
        let (mut ends, mut next, mut bytes) = (Vec::new(), Some(step), 0_u64);
        while let Some(step) = next {
            bytes = bytes.saturating_add(step.size.unwrap_or(ASIDE_BYTES_MAX));
            // Jobs taken by a session that is busy for long are kept from the others.
            let is_enough = ends.len() + 1 >= feed.turn.min(ASIDE_FILES_MAX)
                || bytes >= ASIDE_BYTES_MAX
                || started.elapsed() >= ASIDE_TIME_MAX;
            next = if is_enough { None } else { feed.next() };
            let sized = next.filter(|next| next.size.is_some());
            let file = sized.and_then(|next| place(&self.plan.heading.remote, &next.path).ok());
            let likely = NextTransfer::likely(next.is_some() || feed.goes_on());
            let after = file.as_ref().map_or(likely, NextTransfer::Download);
            let result = self.begin_landing(session, step, after).await;
            let is_over = result.is_err() || !feed.may_begin();
            ends.push((step, result));
            if is_over {
                // After a failure, a single session cannot decide whether to continue.
                if let Some(next) = next {
                    feed.give_back(next);
                }
                break;
            }
        }
        // Files that have arrived are being written to disk in the meantime.
        self.land(session, ends).await
    }
}
