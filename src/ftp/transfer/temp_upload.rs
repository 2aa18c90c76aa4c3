//! Batched uploads: each file is sent to a temporary name of its own, and the remaining commands for all files, to
//! check the size, set the time and rename, are sent in a few packets. A single file is a batch of one.

use jiff::Timestamp;

use super::{
    ByteSource, NextTransfer, TempUpload, TransferStats,
    commit::{rename, renamed},
    in_place::{name_refused, plain_name, rename_refused},
    name_taken,
    names::{shortened, sizes},
    time_in,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    ftp::{
        control::FtpCommand, listing::Modified, path::RemotePath, reply::Reply, session::Session,
    },
    limits::BATCH_BYTES_MAX,
    observe::{Operation, TransferId},
};

/// The server's answers about a file under its temporary name.
#[derive(Debug)]
pub(super) struct VerifiedSize {
    /// True if the server reported the full size; false if it reported none.
    pub(super) is_whole: bool,
    /// The modification time of the file on the server.
    modified: Option<Modified>,
}

pub(super) use crate::remote::pending::UploadName as Name;

impl Session {
    /// Sends all `size` bytes of `source` to a temporary name beside `remote`. Leaves no file behind on failure.
    pub async fn upload_to_temp(
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
    pub async fn upload_to_temp_in(
        &mut self,
        source: &mut impl ByteSource,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        folder: &RemotePath,
        next: NextTransfer<'_>,
    ) -> Result<TempUpload> {
        let (remote, folder) = (self.absolute(remote)?, self.absolute(folder)?);
        if let Some(name) = self.direct_name(&remote).await? {
            return self.store_directly(source, (size, modified), &remote, name, next).await;
        }
        let is_beside = self.begin_record(&remote).await;
        let (name, claim) = self.first_name(source, &remote, is_beside);
        let mut temporary = folder.join(name.as_bytes())?;
        self.record_temp(&remote, &temporary);
        let (id, started) = self.begin(Operation::Upload, &remote, Some(size))?;
        let work = async {
            let mut sent = self.store("STOR", &temporary, source, id, next).await;
            if sent.is_err() && self.way.wants_another_name() {
                self.cleanup_temps(&[&temporary]).await;
                temporary = folder.join(self.temporary_name().as_bytes())?;
                self.record_temp(&remote, &temporary);
                source.restart()?;
                sent = self.store("STOR", &temporary, source, id, next).await;
            }
            if let Err(fault) = &sent
                && self.is_name_refused(fault)
                && let Some(plain) = plain_name(&temporary)
            {
                source.restart()?;
                self.forget_temp(&temporary);
                self.record_temp(&remote, &plain);
                let again = self.store("STOR", &plain, source, id, next).await;
                if again.is_ok() || self.has_moved {
                    self.way.manners.took_plain_name();
                    (temporary, sent) = (plain, again);
                }
            }
            let mut sent = sent?;
            if let Err(changed) = source.check() {
                sent = self.store_anew(source, &temporary, id, changed, next).await?;
            }
            if sent != size {
                let message = format!("{sent} bytes were read where {size} were expected");
                return Err(Error::new(ErrorKind::Local, Origin::Here, message));
            }
            Ok(())
        };
        let ended = match work.await {
            // The name was refused before any data was stored.
            Err(fault) if self.is_name_refused(&fault) => {
                self.forget_temp(&temporary);
                let refused = name_refused(fault, &temporary);
                if folder == remote.parent() && self.may_go_directly(&refused) {
                    temporary = remote.clone();
                    source.restart()?;
                    self.store_instead(source, size, &remote, id, refused)
                        .await
                        .map(|()| Name::Free)
                } else {
                    Err(refused)
                }
            }
            Err(fault) => {
                self.cleanup_temps(&[&temporary]).await;
                Err(fault)
            }
            Ok(()) => Ok(Name::Temporary),
        };
        match ended {
            Ok(name) => {
                let sent =
                    TempUpload::new((id, started), remote, temporary, name, (size, modified));
                Ok(TempUpload { claim, ..sent })
            }
            Err(fault) => Err(self.failed(id, &remote, fault)),
        }
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
        let sent = self.store("STOR", temporary, source, id, next).await?;
        source.check()?;
        Ok(sent)
    }

    /// Renames each of `files` to its final name if all of its data has arrived; else removes it. Returns the results
    /// in the order of `files`.
    pub async fn commit_uploads(&mut self, files: Vec<TempUpload>) -> Vec<Result<TransferStats>> {
        let questions = files.iter().map(|file| self.questions(file)).collect();
        let mut results = self.verify(&files, questions).await;
        self.rename_verified(&files, &mut results).await;
        self.cleanup_lost(&files, &results).await;
        let mut ended = Vec::with_capacity(results.len());
        for (file, result) in files.into_iter().zip(results) {
            let TempUpload { id, started, remote, size, name, .. } = file;
            ended.push(match result {
                Err(fault) if self.may_go_directly(&fault) => {
                    // The transfer has not ended: `put_directly` continues it.
                    let fault = fault.at(remote.to_string()).with_host(&self.site.host);
                    self.refused.push((remote, id, started));
                    Err(fault)
                }
                result => {
                    let modified = result.as_ref().map_or(None, |seen| seen.modified);
                    let result = result.map(|seen| (size, seen.is_whole));
                    let in_place = name != Name::Temporary;
                    let moved = self.end(id, started, &remote, result);
                    moved.map(|moved| TransferStats { modified, in_place, ..moved })
                }
            });
        }
        ended
    }

    /// Removes `files`, which are not renamed because of `fault`, and returns the fault of each.
    pub async fn discard_uploads(&mut self, files: Vec<TempUpload>, fault: &Error) -> Vec<Error> {
        let temporary: Vec<_> = files.iter().map(|file| &file.temporary).collect();
        if !temporary.is_empty() {
            self.cleanup_temps(&temporary).await;
        }
        files.iter().map(|file| self.failed(file.id, &file.remote, fault.clone())).collect()
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

    /// Verifies that the server has all data of each file under its temporary name, by its replies to `questions`; the
    /// first question for each file asks for the size.
    pub(super) async fn verify(
        &mut self,
        files: &[TempUpload],
        questions: Result<Vec<Vec<FtpCommand>>>,
    ) -> Vec<Result<VerifiedSize>> {
        let control = self.control_name(files);
        let mut asked = match questions {
            Ok(mut questions) => {
                questions.extend(control.iter().map(|name| vec![FtpCommand::path("SIZE", name)]));
                self.ask_groups(&questions, None).await
            }
            Err(fault) => vec![Err(fault); files.len()],
        };
        if let Some(control) = control
            && asked.len() > files.len()
            && let Some(said) = asked.pop()
            && let Err(fault) = self.see_control_name(&control, &asked, said).await
        {
            return files.iter().map(|_| Err(fault.clone())).collect();
        }
        let mut results = Vec::with_capacity(files.len());
        for (file, replies) in files.iter().zip(asked) {
            let result = match replies {
                Ok(_) if self.is_mixed(file) => Err(shortened()),
                Ok(replies) => self.judge(file, &replies).await,
                Err(fault) => Err(fault),
            };
            results.push(result);
        }
        results
    }

    fn questions(&self, file: &TempUpload) -> Result<Vec<FtpCommand>> {
        let mut commands = sizes(file);
        if let Some(time) = file.modified {
            commands.push(self.time_command(&file.temporary, time)?);
        }
        commands.push(FtpCommand::path("MDTM", &file.temporary));
        Ok(commands)
    }

    async fn judge(&mut self, file: &TempUpload, replies: &[Reply]) -> Result<VerifiedSize> {
        let modified = replies.get(1..).and_then(<[Reply]>::last).and_then(time_in);
        if self.is_taken(file, replies) {
            return Err(name_taken());
        }
        let told = replies.first().filter(|reply| reply.code == 213).and_then(Reply::number);
        let told = match told {
            Some(told) => Some(told),
            None => self.size_in_folder(&file.temporary).await?,
        };
        let told = self.settled_size(&file.temporary, told, file.size).await?;
        match told {
            Some(told) if told != file.size => {
                self.way.manners.disable("STOR");
                let size = file.size;
                let message =
                    format!("the server has {told} of {size} bytes, though it said all was well");
                Err(Error::new(ErrorKind::DataConnection, Origin::Server, message))
            }
            told => Ok(VerifiedSize { is_whole: told.is_some(), modified }),
        }
    }

    /// Returns the size of an uploaded file from the listing of its directory, or `None` if the directory cannot be
    /// listed.
    async fn size_in_folder(&mut self, path: &RemotePath) -> Result<Option<u64>> {
        match self.find_in_folder(path).await {
            Ok(entry) => Ok(entry.and_then(|entry| entry.size)),
            Err(fault) if fault.code / 100 == 5 => Ok(None),
            Err(fault) => Err(fault),
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
        let renames: Vec<_> =
            good.iter().map(|(file, _)| rename(&file.temporary, &file.remote).to_vec()).collect();
        let most = good.iter().map(|(file, _)| file.size).max();
        let answers = self.ask_groups(&renames, most.or(Some(0))).await;
        for ((file, result), answer) in good.iter_mut().zip(answers) {
            let outcome = match answer {
                Ok(replies) if renamed(&replies).is_ok() => {
                    self.way.manners.renamed();
                    self.forget_temp(&file.temporary);
                    self.check_final_name(&file.remote).await
                }
                Ok(replies) => self.place_refused(file, &replies).await,
                Err(fault) => self.place_after(file, fault).await,
            };
            if let Err(fault) = outcome {
                **result = Err(fault);
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
            Err(fault) if !replies.first().is_some_and(Reply::is_halfway) => {
                self.place_after(file, fault).await
            }
            _ => self.commit_one(file).await,
        }
    }

    /// Renames a single file step by step, after the batched rename has failed.
    pub(super) async fn commit_one(&mut self, file: &TempUpload) -> Result<()> {
        self.rename_replacing(&file.temporary, &file.remote).await?;
        self.check_final_name(&file.remote).await
    }

    /// Finds out the result of a rename whose reply was lost because of `fault`: the file has either of its names.
    pub(super) async fn place_after(&mut self, file: &TempUpload, fault: Error) -> Result<()> {
        if fault.kind == ErrorKind::Interrupted {
            return Err(fault);
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
        Err(rename_refused(fault, &file.temporary))
    }

    /// Sends the commands of each file together, for as many files at once as fit into one packet: if the connection
    /// breaks, only the files of that packet have no replies. Queries are then repeated once; commands that rename
    /// files, the largest of `most` bytes, are not.
    pub(super) async fn ask_groups(
        &mut self,
        groups: &[Vec<FtpCommand>],
        most: Option<u64>,
    ) -> Vec<Result<Vec<Reply>>> {
        let mut answers = Vec::with_capacity(groups.len());
        let mut rest = groups;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |group: &&Vec<FtpCommand>| {
                bytes += group.iter().map(FtpCommand::length).sum::<usize>();
                bytes <= BATCH_BYTES_MAX
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            let mut asked = match most {
                Some(bytes) => self.ask_to_rename(&now.concat(), bytes).await,
                None => self.ask_all(&now.concat()).await,
            };
            if most.is_none()
                && asked.as_ref().is_err_and(|fault| fault.kind != ErrorKind::Interrupted)
            {
                asked = self.ask_all(&now.concat()).await;
            }
            match asked {
                Ok(replies) => {
                    let mut replies = replies.into_iter();
                    answers.extend(
                        now.iter().map(|group| Ok(replies.by_ref().take(group.len()).collect())),
                    );
                }
                Err(fault) => answers.extend(now.iter().map(|_| Err(fault.clone()))),
            }
            rest = later;
        }
        answers
    }
}
