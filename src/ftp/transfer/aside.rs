//! Uploads in company: each file goes to a name of its own aside, and then what is left to do for all of them, to see
//! the size, set the time and rename, goes in a few packets. A file by itself is a company of one.

use std::time::Instant;

use jiff::Timestamp;

use super::{
    Give, Moved,
    claims::NameClaim,
    direct::{name_refused, plain_name, rename_refused},
    names::{name_taken, shortened, sizes},
    place::{rename, renamed},
    time_in,
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{control::Command, listing::Modified, path::RemotePath, reply::Reply, session::Session},
    limits::BATCH_BYTES_MAX,
    observe::{TransferId, Verb},
};

/// A file that the server says it has, under a temporary name; nothing of that has been verified.
#[derive(Debug)]
#[must_use = "it is under a temporary name"]
pub struct Aside {
    pub(super) id: TransferId,
    pub(super) started: Instant,
    /// Its final name, absolute.
    pub(super) remote: RemotePath,
    /// Where it is until then.
    pub(super) temporary: RemotePath,
    /// What kind of name that is.
    pub(super) name: Name,
    pub(super) size: u64,
    pub(super) modified: Option<Timestamp>,
    /// Whether nothing may have its final name, which is then looked up first.
    pub(super) is_new: bool,
    /// What keeps other runs of this machine from its temporary name, where they might choose the same.
    pub(super) _claim: Option<NameClaim>,
}

/// The name under which the bytes of an upload arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A temporary one.
    Temporary,
    /// The final one, under which nothing was seen before.
    Free,
    /// The final one, in place of another file.
    Taken,
}

impl Aside {
    /// A file whose transfer began so, and that has come to `temporary`.
    pub(super) const fn new(
        (id, started): (TransferId, Instant),
        remote: RemotePath,
        temporary: RemotePath,
        name: Name,
        (size, modified): (u64, Option<Timestamp>),
    ) -> Self {
        Self { id, started, remote, temporary, name, size, modified, is_new: false, _claim: None }
    }

    /// How many bytes it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// From now on it gets its final name only if nothing has that, under whatever spelling the server lists.
    pub const fn expect_new(&mut self) {
        self.is_new = true;
    }
}

/// What the server says of a file under its temporary name.
#[derive(Debug)]
pub(super) struct Seen {
    /// Whether it said that all bytes are there; else it said nothing of them.
    pub(super) is_whole: bool,
    /// Its time there.
    modified: Option<Modified>,
}

impl Session {
    /// Sends `source`, all `size` bytes of it, to a temporary name beside `remote`. After a failure nothing is left.
    pub async fn put_aside(
        &mut self,
        source: &mut impl Give,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
    ) -> Outcome<Aside> {
        let folder = self.absolute(remote)?.parent();
        self.put_aside_in(source, size, modified, remote, &folder).await
    }

    /// The same with the temporary name in `folder`, where that of `remote` is still to be made.
    pub async fn put_aside_in(
        &mut self,
        source: &mut impl Give,
        size: u64,
        modified: Option<Timestamp>,
        remote: &RemotePath,
        folder: &RemotePath,
    ) -> Outcome<Aside> {
        let (remote, folder) = (self.absolute(remote)?, self.absolute(folder)?);
        if let Some(name) = self.direct_name(&remote).await? {
            return self.store_directly(source, (size, modified), &remote, name).await;
        }
        let (name, claim) = self.first_name(source, &remote);
        let mut temporary = folder.join(name.as_bytes())?;
        let (id, started) = self.begin(Verb::Upload, &remote, Some(size))?;
        let work = async {
            let mut sent = self.store("STOR", &temporary, source, id).await;
            if sent.is_err() && self.way.wants_another_name() {
                self.sweep(&[&temporary]).await;
                temporary = folder.join(self.temporary_name().as_bytes())?;
                source.restart()?;
                sent = self.store("STOR", &temporary, source, id).await;
            }
            if let Err(fault) = &sent
                && self.is_name_refused(fault)
                && let Some(plain) = plain_name(&temporary)
            {
                source.restart()?;
                let again = self.store("STOR", &plain, source, id).await;
                if again.is_ok() || self.has_moved {
                    self.way.manners.took_plain_name();
                    (temporary, sent) = (plain, again);
                }
            }
            let mut sent = sent?;
            if let Err(changed) = source.check() {
                sent = self.store_anew(source, &temporary, id, changed).await?;
            }
            if sent != size {
                let message = format!("{sent} bytes were read where {size} were expected");
                return Err(Fault::new(Kind::Local, Side::Here, message));
            }
            Ok(())
        };
        let ended = match work.await {
            // It was refused before anything of it was there.
            Err(fault) if self.is_name_refused(&fault) => {
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
                self.sweep(&[&temporary]).await;
                Err(fault)
            }
            Ok(()) => Ok(Name::Temporary),
        };
        match ended {
            Ok(name) => {
                let sent = Aside::new((id, started), remote, temporary, name, (size, modified));
                Ok(Aside { _claim: claim, ..sent })
            }
            Err(fault) => Err(self.failed(id, &remote, fault)),
        }
    }

    /// Sends `source` once more, of which only the record has `changed`, as by a new name or other permissions: its
    /// bytes may be the same all the same.
    pub(super) async fn store_anew(
        &mut self,
        source: &mut impl Give,
        temporary: &RemotePath,
        id: TransferId,
        changed: Fault,
    ) -> Outcome<u64> {
        if !source.begin_anew()? {
            return Err(changed);
        }
        let sent = self.store("STOR", temporary, source, id).await?;
        source.check()?;
        Ok(sent)
    }

    /// Gives each of `files` its final name if all of it has arrived; else nothing of it is left. What became of
    /// each, in their order.
    pub async fn put_in_place(&mut self, files: Vec<Aside>) -> Vec<Outcome<Moved>> {
        let questions = files.iter().map(|file| self.questions(file)).collect();
        let mut results = self.verify(&files, questions).await;
        self.rename_good(&files, &mut results).await;
        self.sweep_lost(&files, &results).await;
        let mut ended = Vec::with_capacity(results.len());
        for (file, result) in files.into_iter().zip(results) {
            let Aside { id, started, remote, size, name, .. } = file;
            ended.push(match result {
                Err(fault) if self.may_go_directly(&fault) => {
                    // That is not its end: it goes on as `put_directly`.
                    let fault = fault.at(remote.to_string()).on(&self.site.host);
                    self.refused.push((remote, id, started));
                    Err(fault)
                }
                result => {
                    let modified = result.as_ref().map_or(None, |seen| seen.modified);
                    let result = result.map(|seen| (size, seen.is_whole));
                    let in_place = name != Name::Temporary;
                    let moved = self.end(id, started, &remote, result);
                    moved.map(|moved| Moved { modified, in_place, ..moved })
                }
            });
        }
        ended
    }

    /// Removes `files`, which get no names because of `fault`, and gives the fault of each.
    pub async fn take_back(&mut self, files: Vec<Aside>, fault: &Fault) -> Vec<Fault> {
        let temporary: Vec<_> = files.iter().map(|file| &file.temporary).collect();
        if !temporary.is_empty() {
            self.sweep(&temporary).await;
        }
        files.iter().map(|file| self.failed(file.id, &file.remote, fault.clone())).collect()
    }

    /// Removes what could not be found good.
    pub(super) async fn sweep_lost<T>(&mut self, files: &[Aside], results: &[Outcome<T>]) {
        // What took the place of another file is all that there is of it.
        let is_lost =
            |(file, result): &(&Aside, &Outcome<T>)| result.is_err() && file.name != Name::Taken;
        let lost = files.iter().zip(results).filter(is_lost);
        let lost: Vec<_> = lost.map(|(file, _)| &file.temporary).collect();
        if !lost.is_empty() {
            self.sweep(&lost).await;
        }
    }

    /// Whether the server has all bytes of each file under its temporary name, by its answers to `questions`, of which
    /// the first of each file is for the size.
    pub(super) async fn verify(
        &mut self,
        files: &[Aside],
        questions: Outcome<Vec<Vec<Command>>>,
    ) -> Vec<Outcome<Seen>> {
        let control = self.control_name(files);
        let mut asked = match questions {
            Ok(mut questions) => {
                questions.extend(control.iter().map(|name| vec![Command::path("SIZE", name)]));
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

    fn questions(&self, file: &Aside) -> Outcome<Vec<Command>> {
        let mut commands = sizes(file);
        if let Some(time) = file.modified {
            commands.push(self.time_command(&file.temporary, time)?);
        }
        commands.push(Command::path("MDTM", &file.temporary));
        Ok(commands)
    }

    async fn judge(&mut self, file: &Aside, replies: &[Reply]) -> Outcome<Seen> {
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
                self.way.manners.doubt("STOR");
                let size = file.size;
                let message =
                    format!("the server has {told} of {size} bytes, though it said all was well");
                Err(Fault::new(Kind::DataConnection, Side::Server, message))
            }
            told => Ok(Seen { is_whole: told.is_some(), modified }),
        }
    }

    /// The size of a file of ours in the listing of its folder; nothing where that may not be seen.
    async fn size_in_folder(&mut self, path: &RemotePath) -> Outcome<Option<u64>> {
        match self.find_in_folder(path).await {
            Ok(entry) => Ok(entry.and_then(|entry| entry.size)),
            Err(fault) if fault.code / 100 == 5 => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Renames what has been verified.
    async fn rename_good(&mut self, files: &[Aside], results: &mut [Outcome<Seen>]) {
        let waits = |(file, result): &(&Aside, &mut Outcome<Seen>)| {
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
                    self.see_name(&file.remote).await
                }
                Ok(replies) => self.place_refused(file, &replies).await,
                Err(fault) => self.place_after(file, fault).await,
            };
            if let Err(fault) = outcome {
                **result = Err(fault);
            }
        }
    }

    /// What becomes of a file whose rename got `replies` that are no success. One that is not under its temporary name may
    /// have its own already, by a command whose reply was lost.
    pub(super) async fn place_refused(&mut self, file: &Aside, replies: &[Reply]) -> Outcome<()> {
        match renamed(replies) {
            Err(fault) if !replies.first().is_some_and(Reply::is_halfway) => {
                self.place_after(file, fault).await
            }
            _ => self.place_alone(file).await,
        }
    }

    /// The careful way for a file that could not be renamed like the others.
    pub(super) async fn place_alone(&mut self, file: &Aside) -> Outcome<()> {
        self.rename_over(&file.temporary, &file.remote).await?;
        self.see_name(&file.remote).await
    }

    /// What became of a file whose rename had no answer because of `fault`: under the one name or the other it is.
    pub(super) async fn place_after(&mut self, file: &Aside, fault: Fault) -> Outcome<()> {
        if fault.kind == Kind::Interrupted {
            return Err(fault);
        }
        if self.size_of(&file.temporary).await? == Some(file.size) {
            return self.place_alone(file).await;
        }
        // It was there when it was measured, and nothing but the rename takes it away.
        if self.size_of(&file.remote).await? == Some(file.size) {
            return self.see_name(&file.remote).await;
        }
        // Where no size may be seen, it is under the temporary name for all that is known.
        Err(rename_refused(fault, &file.temporary))
    }

    /// Asks the questions of each file together, those of as many files at once as go in one packet: where the
    /// connection breaks, only those have no answers whose packet it was. Questions are then asked once more; commands
    /// that rename files, the largest of `most` bytes, are not.
    pub(super) async fn ask_groups(
        &mut self,
        groups: &[Vec<Command>],
        most: Option<u64>,
    ) -> Vec<Outcome<Vec<Reply>>> {
        let mut answers = Vec::with_capacity(groups.len());
        let mut rest = groups;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |group: &&Vec<Command>| {
                bytes += group.iter().map(Command::length).sum::<usize>();
                bytes <= BATCH_BYTES_MAX
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            let mut asked = match most {
                Some(bytes) => self.ask_to_rename(&now.concat(), bytes).await,
                None => self.ask_all(&now.concat()).await,
            };
            if most.is_none() && asked.as_ref().is_err_and(|fault| fault.kind != Kind::Interrupted)
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
