//! Batched uploads: each file is sent to a temporary name of its own, and the remaining commands for all files, to
//! check the size, set the time and rename, are sent in a few packets. A single file is a batch of one.

use jiff::Timestamp;

use super::{
    ByteSource, NextTransfer, SourceMeta, TempUpload, TransferStats, UploadName as Name,
    commit::{rename, renamed},
    in_place::{name_refused, plain_name, rename_refused},
    types::{RefusedUpload, expect_size},
    verify_upload::VerifiedSize,
};
use crate::{control::FtpCommand, path::RemotePath, reply::Reply, session::Session};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::BATCH_BYTES_MAX,
    observe::{Operation, TransferId},
};
use portolan_proto::Verb;

impl Session {
    /// Sends all `size` bytes of `source` to a temporary name beside `remote`. Leaves no file behind on failure.
    pub(super) async fn upload_to_temp(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
    ) -> Result<TempUpload> {
        let folder = self.absolute(remote)?.parent();
        let next = NextTransfer::None;
        self.upload_to_temp_in(source, size, modified, remote, &folder, next).await
    }

    /// Does the same with the temporary name in `folder`, if the directory of `remote` is still to be created.
    pub(crate) async fn upload_to_temp_in(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        folder: &RemotePath,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        let (remote, folder) = (self.absolute(remote)?, self.absolute(folder)?);
        let meta = SourceMeta { size, modified };
        let known = Some(size).filter(|_| !source.is_stream());
        if let Some(name) = self.direct_name(&remote).await? {
            return self.store_directly(source, meta, &remote, name, next).await;
        }
        let is_beside = self.begin_record(&remote).await;
        // A directory that is still to be created has the usual names: no receiver looks into it.
        let own = self.site.temp.clone().filter(|_| folder == remote.parent());
        let (name, claim) = self.first_name(source, &remote, is_beside);
        let claim = claim.filter(|_| own.is_none());
        let usual = || folder.join(name.as_bytes());
        let mut temporary = own.as_ref().map_or_else(usual, |own| own.path_of(&remote))?;
        self.record_temp(&remote, &temporary);
        let start = self.begin(Operation::Upload, &remote, known)?;
        let work = async {
            let mut sent = self.store(Verb::Stor, &temporary, source, start.id, next).await;
            if sent.is_err() && self.data_path.wants_another_name() {
                self.cleanup_temps(&[&temporary]).await;
                if own.is_none() {
                    temporary = folder.join(self.temporary_name().as_bytes())?;
                }
                source.restart()?;
                self.record_temp(&remote, &temporary);
                sent = self.store(Verb::Stor, &temporary, source, start.id, next).await;
            }
            if let Err(error) = &sent
                && self.is_name_refused(error)
                && let Some(plain) = plain_name(&temporary)
                && let Some(again) = self
                    .store_plainly(source, (&remote, &temporary, &plain), start.id, next)
                    .await?
            {
                (temporary, sent) = (plain, again);
            }
            let mut sent = sent?;
            if let Err(changed) = source.check() {
                sent = self.store_anew(source, &temporary, start.id, changed, next).await?;
            }
            expect_size(sent, known)
        };
        let ended = match work.await {
            // The name was refused before any data was stored.
            Err(error) if self.is_name_refused(&error) => {
                self.forget_temp(&temporary);
                let refused = name_refused(error, &temporary);
                if folder == remote.parent() && self.may_go_directly(&refused) {
                    temporary = remote.clone();
                    source.restart()?;
                    self.store_instead(source, size, &remote, start.id, refused)
                        .await
                        .map(|sent| (Name::Free, sent))
                } else {
                    Err(refused)
                }
            }
            Err(error) => {
                self.cleanup_temps(&[&temporary]).await;
                Err(error)
            }
            Ok(sent) => Ok((Name::Temporary, sent)),
        };
        match ended {
            Ok((name, size)) => {
                let meta = SourceMeta { size, ..meta };
                let sent = TempUpload::new(start, remote, temporary, name, meta);
                Ok(TempUpload { claim, ..sent })
            }
            Err(error) => Err(self.failed(start.id, &remote, error)),
        }
    }

    /// Sends `source` under a temporary name without a leading dot, in place of one that was refused. Returns `None` if
    /// this one is refused as well.
    async fn store_plainly(
        &mut self,
        source: &mut impl ByteSource,
        (remote, temporary, plain): (&RemotePath, &RemotePath, &RemotePath),
        id: TransferId,
        next: NextTransfer<'_>,
    ) -> Result<Option<Result<u64>>> {
        source.restart()?;
        self.forget_temp(temporary);
        self.record_temp(remote, plain);
        let again = self.store(Verb::Stor, plain, source, id, next).await;
        let is_taken = again.is_ok() || self.has_moved;
        if is_taken {
            self.data_path.profile.record_plain_name();
        }
        Ok(is_taken.then_some(again))
    }

    /// Sends `source` once more if only its metadata has `changed`, as by a new name or other permissions: its content
    /// may still be the same.
    pub(super) async fn store_anew(
        &mut self,
        source: &mut impl ByteSource,
        temporary: &RemotePath,
        id: TransferId,
        changed: Error,
        next: NextTransfer<'_>,
    ) -> Result<u64> {
        if !source.begin_anew()? {
            return Err(changed);
        }
        let sent = self.store(Verb::Stor, temporary, source, id, next).await?;
        source.check()?;
        Ok(sent)
    }

    /// Renames each of `files` to its final name if all of its data has arrived; else removes it. Returns the results
    /// in the order of `files`.
    pub(crate) async fn commit_uploads(
        &mut self,
        files: Vec<TempUpload>,
    ) -> Vec<Result<TransferStats>> {
        let questions = files.iter().map(|file| self.questions(file)).collect();
        let mut results = self.verify(&files, questions).await;
        self.rename_verified(&files, &mut results).await;
        self.cleanup_lost(&files, &results).await;
        let mut ended = Vec::with_capacity(results.len());
        for (file, result) in files.into_iter().zip(results) {
            let TempUpload { start, remote, size, name, .. } = file;
            ended.push(match result {
                Err(error) if self.may_go_directly(&error) => {
                    // The transfer has not ended: `put_directly` continues it.
                    let error = error.at(remote.to_string()).with_host(&self.site.host);
                    self.refused.push(RefusedUpload { remote, start });
                    Err(error)
                }
                result => {
                    let modified = result.as_ref().map_or(None, |seen| seen.modified);
                    let result = result.map(|seen| (size, seen.is_whole));
                    let in_place = name != Name::Temporary;
                    let moved = self.end(start, &remote, result);
                    moved.map(|moved| TransferStats { modified, in_place, ..moved })
                }
            });
        }
        ended
    }

    /// Removes `files`, which are not renamed because of `error`, and returns the error of each.
    pub(crate) async fn discard_uploads(
        &mut self,
        files: Vec<TempUpload>,
        error: &Error,
    ) -> Vec<Error> {
        let temporary: Vec<_> = files.iter().map(|file| &file.temporary).collect();
        if !temporary.is_empty() {
            self.cleanup_temps(&temporary).await;
        }
        files.iter().map(|file| self.failed(file.start.id, &file.remote, error.clone())).collect()
    }

    /// Removes the files whose verification failed.
    pub(super) async fn cleanup_lost<T>(&mut self, files: &[TempUpload], results: &[Result<T>]) {
        // A file that replaced another is the only copy there is.
        let is_lost = |(file, result): &(&TempUpload, &Result<T>)| {
            result.is_err() && file.name != Name::Taken
        };
        let lost = files.iter().zip(results).filter(is_lost);
        let lost: Vec<_> = lost.map(|(file, _)| &file.temporary).collect();
        if !lost.is_empty() {
            self.cleanup_temps(&lost).await;
        }
    }

    /// Renames the verified files.
    async fn rename_verified(
        &mut self,
        files: &[TempUpload],
        results: &mut [Result<VerifiedSize>],
    ) {
        let waits = |(file, result): &(&TempUpload, &mut Result<VerifiedSize>)| {
            result.is_ok() && file.name == Name::Temporary
        };
        let mut good: Vec<_> = files.iter().zip(results).filter(waits).collect();
        let renames =
            good.iter().map(|(file, _)| rename(&file.temporary, &file.remote).into()).collect();
        let most = good.iter().map(|(file, _)| file.size).max();
        let answers = self.ask_groups(renames, most.or(Some(0))).await;
        for ((file, result), answer) in good.iter_mut().zip(answers) {
            let outcome = match answer {
                Ok(replies) if renamed(&replies).is_ok() => {
                    self.data_path.profile.record_rename();
                    self.forget_temp(&file.temporary);
                    self.check_final_name(&file.remote).await
                }
                Ok(replies) => self.place_refused(file, &replies).await,
                Err(error) => self.place_after(file, error).await,
            };
            if let Err(error) = outcome {
                **result = Err(error);
            }
        }
    }

    /// Handles a file whose rename failed with `replies`. A file that is not under its temporary name may already have
    /// its final one, by a command whose reply was lost.
    pub(super) async fn place_refused(
        &mut self,
        file: &TempUpload,
        replies: &[Reply],
    ) -> Result<()> {
        match renamed(replies) {
            Err(error) if !replies.first().is_some_and(Reply::is_halfway) => {
                self.place_after(file, error).await
            }
            _ => self.commit_one(file).await,
        }
    }

    /// Renames a single file step by step, after the batched rename has failed.
    pub(super) async fn commit_one(&mut self, file: &TempUpload) -> Result<()> {
        self.rename_replacing(&file.temporary, &file.remote).await?;
        self.check_final_name(&file.remote).await
    }

    /// Finds out the result of a rename whose reply was lost because of `error`: the file has either of its names.
    pub(super) async fn place_after(&mut self, file: &TempUpload, error: Error) -> Result<()> {
        if error.kind == ErrorKind::Interrupted {
            return Err(error);
        }
        if self.size_of(&file.temporary).await? == Some(file.size) {
            return self.commit_one(file).await;
        }
        // The file was there when its size was checked, and only the rename removes it.
        if self.size_of(&file.remote).await? == Some(file.size) {
            self.forget_temp(&file.temporary);
            return self.check_final_name(&file.remote).await;
        }
        // Without a reported size, the file is assumed to be under its temporary name.
        Err(rename_refused(error, &file.temporary))
    }

    /// Sends the commands of each file together, for as many files at once as fit into one packet: if the connection
    /// breaks, only the files of that packet have no replies. Queries are then repeated once; commands that rename
    /// files, the largest of `most` bytes, are not.
    pub(super) async fn ask_groups(
        &mut self,
        groups: Vec<Vec<FtpCommand>>,
        most: Option<u64>,
    ) -> Vec<Result<Vec<Reply>>> {
        let mut answers = Vec::with_capacity(groups.len());
        let mut groups = groups.into_iter().peekable();
        while let Some(mut commands) = groups.next() {
            let length = |commands: &[FtpCommand]| commands.iter().map(FtpCommand::length).sum();
            let mut bytes: usize = length(&commands);
            let mut counts = vec![commands.len()];
            let mut fits = |group: &Vec<FtpCommand>| {
                bytes += length(group);
                bytes <= BATCH_BYTES_MAX
            };
            while let Some(group) = groups.next_if(&mut fits) {
                counts.push(group.len());
                commands.extend(group);
            }
            let mut asked = match most {
                Some(bytes) => self.ask_to_rename(&commands, bytes).await,
                None => self.ask_all(&commands).await,
            };
            if most.is_none()
                && asked.as_ref().is_err_and(|error| error.kind != ErrorKind::Interrupted)
            {
                asked = self.ask_all(&commands).await;
            }
            match asked {
                Ok(replies) => {
                    let mut replies = replies.into_iter();
                    let each = |count| Ok(replies.by_ref().take(count).collect());
                    answers.extend(counts.into_iter().map(each));
                }
                Err(error) => answers.extend(counts.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }
}
