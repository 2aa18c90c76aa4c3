//! Files that arrive under temporary names and get their final names only when all files of a mirror are there.

use super::{
    ByteSink, PendingDownload, RemoteMeta, TempUpload, TransferHints, TransferStats, VerifiedTemp,
    commit::{rename, renamed},
    names::sizes,
    types::time_in,
    unchanged::FetchedFile,
};
use crate::{
    control::FtpCommand, listing::Modified, path::RemotePath, reply::Reply, session::Session,
};
use portolan_core::{
    error::{Error, Result},
    limits::STEP_RETRY_WAITS,
    observe::Operation,
};
use portolan_proto::Verb;

impl Session {
    /// Verifies that the server has all of each of `files`, and removes those that are incomplete. Returns the results
    /// in order.
    pub(crate) async fn verify_temps(
        &mut self,
        files: Vec<TempUpload>,
    ) -> Vec<Result<VerifiedTemp>> {
        let questions = files.iter().map(sizes).collect();
        let mut seen = self.verify(&files, Ok(questions)).await;
        for (file, seen) in files.iter().zip(&mut seen) {
            // An invalid command is found now rather than when all files are there.
            if let Err(error) = self.placing(file) {
                *seen = Err(error);
            }
        }
        self.cleanup_lost(&files, &seen).await;
        let ended = files.into_iter().zip(seen).map(|(aside, seen)| match seen {
            Ok(seen) => Ok(VerifiedTemp { aside, is_whole: seen.is_whole }),
            Err(error) => Err(self.failed(aside.start.id, &aside.remote, error)),
        });
        ended.collect()
    }

    /// Sets the time and the final name of each of `files`, for as many at once as fit into one packet. Returns the
    /// results in order; a file that failed has its old data, unless its error says that this is not known.
    pub(crate) async fn place(&mut self, files: Vec<VerifiedTemp>) -> Vec<Result<TransferStats>> {
        let groups: Result<Vec<_>> = files.iter().map(|file| self.placing(&file.aside)).collect();
        let answers = match groups {
            Ok(groups) => {
                let most = files.iter().map(|file| file.aside.size).max();
                self.ask_groups(groups, most.or(Some(0))).await
            }
            Err(error) => vec![Err(error); files.len()],
        };
        let mut placed = Vec::with_capacity(files.len());
        for (file, answer) in files.iter().zip(answers) {
            placed.push(self.see_placed(&file.aside, answer).await);
        }
        self.place_patiently(&files, &mut placed).await;
        self.sweep_unplaced(&files, &mut placed).await;
        let ended = files.into_iter().zip(placed).map(|(file, placed)| {
            let TempUpload { start, remote, size, .. } = file.aside;
            let modified = placed.as_ref().map_or(None, |modified| *modified);
            let result = placed.map(|_| (size, file.is_whole));
            let moved = self.end(start, &remote, result)?;
            Ok(TransferStats { modified, ..moved })
        });
        ended.collect()
    }

    /// Removes `files`, which are no longer wanted.
    pub(crate) async fn delete_temps(&mut self, files: &[VerifiedTemp]) {
        let temporary: Vec<_> = files.iter().map(|file| &file.aside.temporary).collect();
        if !temporary.is_empty() {
            self.cleanup_temps(&temporary).await;
        }
    }

    /// Returns the commands for time and name. The time is set last before the name: until then the file's own time is
    /// that of its arrival.
    fn placing(&self, file: &TempUpload) -> Result<Vec<FtpCommand>> {
        let mut commands = Vec::with_capacity(4);
        if let Some(time) = file.modified {
            commands.push(self.time_command(&file.temporary, time)?);
        }
        commands.extend(rename(&file.temporary, &file.remote));
        commands.push(FtpCommand::path(Verb::Mdtm, &file.remote));
        Ok(commands)
    }

    async fn see_placed(
        &mut self,
        file: &TempUpload,
        answer: Result<Vec<Reply>>,
    ) -> Result<Option<Modified>> {
        let replies = match answer {
            Ok(replies) => replies,
            Err(error) => return self.place_after(file, error).await.map(|()| None),
        };
        let [.., named, given, time] = replies.as_slice() else {
            return Err(Error::protocol("not a reply for each command"));
        };
        let both = [named.clone(), given.clone()];
        if renamed(&both).is_err() {
            return self.place_refused(file, &both).await.map(|()| None);
        }
        self.data_path.profile.record_rename();
        self.forget_temp(&file.temporary);
        self.check_final_name(&file.remote).await?;
        Ok(time_in(time))
    }

    /// Retries temporary failures after a while: a set of half old, half new names waits for it.
    async fn place_patiently(
        &mut self,
        files: &[VerifiedTemp],
        placed: &mut [Result<Option<Modified>>],
    ) {
        let may_help = |placed: &Result<_>| placed.as_ref().is_err_and(Error::is_retryable);
        for wait in STEP_RETRY_WAITS {
            if !placed.iter().any(may_help) {
                return;
            }
            if self.context.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_err() {
                return;
            }
            for (file, placed) in files.iter().zip(placed.iter_mut()) {
                if let Err(error) = placed
                    && error.is_retryable()
                {
                    let again = self.place_after(&file.aside, error.clone()).await;
                    *placed = again.map(|()| None);
                }
            }
        }
    }

    /// Removes the files that could not be renamed. The replies tell what the names hold: a temporary file that was
    /// still there has not been renamed.
    async fn sweep_unplaced(
        &mut self,
        files: &[VerifiedTemp],
        placed: &mut [Result<Option<Modified>>],
    ) {
        let mut lost: Vec<_> =
            files.iter().zip(placed).filter(|(_, placed)| placed.is_err()).collect();
        if lost.is_empty() {
            return;
        }
        let names: Vec<_> = lost.iter().map(|(file, _)| &file.aside.temporary).collect();
        let swept = self.cleanup_temps(&names).await.unwrap_or_default();
        for (number, (_, placed)) in lost.iter_mut().enumerate() {
            if let Err(error) = placed {
                let is_old = swept.get(number).is_some_and(Reply::is_done);
                let what = if is_old {
                    "it has its old bytes"
                } else {
                    "whether it has its old bytes or the new is not known"
                };
                error.message = format!("{}; {what}", error.message);
            }
        }
    }

    /// Downloads the data of `remote` into `sink`; [`fetched`](Self::fetched) reports the end of the transfer.
    pub(crate) async fn fetch_aside(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<PendingDownload> {
        let remote = self.absolute(remote)?;
        let known = if known.size.is_none() { self.ask_known(&remote).await? } else { known };
        let start = self.begin(Operation::Download, &remote, known.size)?;
        match self.fetch_same(&remote, sink, known, start.id, hints).await {
            Ok(FetchedFile { bytes, known }) => {
                let (is_verified, modified) = (known.size.is_some(), known.modified);
                Ok(PendingDownload { start, remote, bytes, is_verified, modified })
            }
            Err(error) => Err(self.failed(start.id, &remote, error)),
        }
    }

    /// Reports the end of a transfer whose data had arrived: if `placed` is good, the file has its final name.
    pub(crate) fn fetched(
        &self,
        file: PendingDownload,
        placed: Result<()>,
    ) -> Result<TransferStats> {
        let PendingDownload { start, remote, bytes, is_verified, .. } = file;
        self.end(start, &remote, placed.map(|()| (bytes, is_verified)))
    }

    /// Reports the failure of a transfer whose data had arrived.
    pub(crate) fn unfetched(&self, file: &PendingDownload, error: Error) -> Error {
        self.failed(file.start.id, &file.remote, error)
    }
}
