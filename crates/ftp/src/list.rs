//! Listings by MLSD or LIST over a data connection; or by STAT over the control connection, for many directories in one
//! packet, if the server has proved to return the same there.

use crate::reply::CausedByReply as _;
use std::{net::SocketAddr, slice};

use futures_util::future::join;
use tokio::time::timeout;

use super::{
    control::{FtpCommand, connect},
    data_path::DataCommand,
    listing::{Listing, ListingReader, says_cut},
    path::RemotePath,
    reply::Reply,
    session::Session,
    transfer::{NextTransfer, final_reply::TransferEnding},
};
use portolan_core::{
    buffer,
    error::{Error, ErrorKind, Result},
    limits::{COPY_BYTES, LISTING_TIME_MAX, STEP_TIME},
    observe::visible::visible,
    random::random_u64,
};
use portolan_proto::{ReplyCode, Verb};

/// The result of listing a directory over the control connection.
pub(super) enum StatListing {
    /// The complete listing, including the directory itself.
    Listing(Listing),
    /// The directory cannot be entered.
    Refused(Error),
    /// No reliable result.
    Unclear,
}

impl Session {
    /// Returns the entries of directory `path`.
    pub async fn list(&mut self, path: &RemotePath) -> Result<Listing> {
        let path = self.absolute(path)?;
        let listed = self.list_absolute(&path).await;
        self.listed(listed, &path).await
    }

    /// Returns the same entries for a person or a script: unparsed lines are reported, and if no line could be parsed
    /// the listing is not mistaken for that of an empty directory.
    pub async fn list_whole(&mut self, path: &RemotePath) -> Result<Listing> {
        let listing = self.list(path).await?;
        let place = self.absolute(path)?.to_string();
        if let Some(error) = listing.unreadable() {
            return Err(error.at(place).with_host(&self.site.host));
        }
        for complaint in listing.complaints() {
            self.context.observer.warn(format!("{place}: {complaint}"));
        }
        Ok(listing)
    }

    /// Returns the entries of each of `folders`, in their order, before the `next` transfer. A server without MLSD that
    /// has not been asked in both ways yet is, to see whether both results agree.
    pub(crate) async fn list_all(
        &mut self,
        folders: &[RemotePath],
        next: NextTransfer<'_>,
    ) -> Vec<Result<Listing>> {
        let absolute: Result<Vec<_>> = folders.iter().map(|path| self.absolute(path)).collect();
        let folders = match absolute {
            Ok(folders) => folders,
            Err(error) => return folders.iter().map(|_| Err(error.clone())).collect(),
        };
        let may_ask = self.may_list_by_stat() && self.data_path.profile.may_list_by_stat();
        let mut all = Vec::with_capacity(folders.len());
        let listings = self.list_together(&folders, may_ask, next).await;
        for (listed, folder) in listings.into_iter().zip(&folders) {
            all.push(self.listed(listed, folder).await);
        }
        all
    }

    /// Returns true if several directories cost [`list_all`](Self::list_all) no more than one.
    pub(crate) fn lists_at_once(&self) -> bool {
        self.may_list_by_stat() && self.data_path.profile.lists_by_stat()
    }

    /// Returns the number of bytes that the commands for `folder` take in a packet, if several are listed at once.
    pub(crate) fn question_bytes(folder: &RemotePath) -> usize {
        questions(folder).iter().map(FtpCommand::length).sum()
    }

    /// Returns true if STAT may replace the usual listing: MLSD, if available, is more detailed.
    fn may_list_by_stat(&self) -> bool {
        let has_mlsd = self.features.has("MLSD") || self.features.has("MLST");
        !has_mlsd && self.site.list_command.is_none() && !self.is_flat()
    }

    async fn listed(&mut self, listed: Result<Listing>, path: &RemotePath) -> Result<Listing> {
        let listed = match listed {
            Err(error) if error.reply_code() == ReplyCode::FILE_UNAVAILABLE && !path.is_root() => {
                Err(self.explain(error, path).await)
            }
            other => other,
        };
        listed.map_err(|error| error.at(path.to_string()).with_host(&self.site.host))
    }

    pub(super) async fn list_absolute(&mut self, path: &RemotePath) -> Result<Listing> {
        let by_stat = self.lists_at_once();
        let next = NextTransfer::None;
        let listed = self.list_together(slice::from_ref(path), by_stat, next).await.pop();
        listed.unwrap_or_else(|| Err(Error::protocol("one folder, and no listing of it")))
    }

    /// Returns the listings of `folders`: by STAT if requested, and by the usual method of the server if STAT has not
    /// shown all.
    async fn list_together(
        &mut self,
        folders: &[RemotePath],
        by_stat: bool,
        next: NextTransfer<'_>,
    ) -> Vec<Result<Listing>> {
        let told = if by_stat { self.tell(folders).await } else { Vec::new() };
        let (mut told, is_proven) = (told.into_iter(), self.data_path.profile.lists_by_stat());
        let mut listings = Vec::with_capacity(folders.len());
        for (number, folder) in folders.iter().enumerate() {
            // Another listing follows each but the last.
            let next = if number + 1 < folders.len() { NextTransfer::Any } else { next };
            listings.push(match told.next() {
                Some(StatListing::Refused(error)) => Err(error),
                // It was not compared with LIST in this run, so it proves nothing new.
                Some(StatListing::Listing(listing)) if is_proven => Ok(listing),
                Some(StatListing::Listing(told)) => {
                    let listed = Box::pin(self.list_over_data(folder, next)).await;
                    if let Ok(listing) = &listed {
                        self.data_path.profile.record_stat_listing(*listing == told);
                    }
                    listed
                }
                Some(StatListing::Unclear) => {
                    self.data_path.profile.record_unclear_stat();
                    Box::pin(self.list_over_data(folder, next)).await
                }
                None => Box::pin(self.list_over_data(folder, next)).await,
            });
        }
        listings
    }

    /// Lists `folders` by STAT. The result is empty if the server does not support that, which is then recorded.
    async fn tell(&mut self, folders: &[RemotePath]) -> Vec<StatListing> {
        match self.ask_by_stat(folders, false).await {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(target: "portolan", "no more listings by STAT: {error}");
                self.data_path.profile.record_stat_listing(false);
                Vec::new()
            }
        }
    }

    /// Lists `folders` by STAT, and verifies the replies. The names in a listing are chosen by others, and on the
    /// control connection a name with a line end in it could pass for the replies that follow. Therefore the last reply
    /// must contain an unguessable number: then every reply before it belongs to its own command.
    ///
    /// As a `last_resort` a listing counts even if it does not include the directory itself.
    pub(super) async fn ask_by_stat(
        &mut self,
        folders: &[RemotePath],
        last_resort: bool,
    ) -> Result<Vec<StatListing>> {
        let proof = random_u64() % 1_000_000_000_000;
        let rest = |offset| FtpCommand::with(Verb::Rest, offset);
        let commands = folders.iter().flat_map(questions).chain([rest(proof), rest(0)]);
        self.server_folder = None;
        // Before STAT is proven, a listing over a data connection follows.
        let ahead =
            self.port_ahead().filter(|_| !last_resort && !self.data_path.profile.lists_by_stat());
        let replies = self.ask_all_and(&commands.collect::<Vec<_>>(), ahead).await?;
        let Some((asked, [proven, back])) = replies.split_last_chunk() else {
            return Err(Error::protocol("fewer replies than commands"));
        };
        let digits = proof.to_string();
        let says = |word: &[u8]| word == digits.as_bytes();
        let is_proven = proven.last_text().split(|byte| !byte.is_ascii_digit()).any(says);
        if !(proven.is_halfway() && is_proven && back.is_halfway()) {
            let message = format!("after STAT the server says \"{}\" to REST", proven.words());
            let error = Error::protocol(message);
            self.control.poison(&error);
            return Err(error);
        }
        let told = folders.iter().zip(asked.chunks_exact(3));
        let read = |(folder, replies)| self.read_told(folder, replies, last_resort);
        let told: Vec<_> = told.map(read).collect();
        if let (Some(folder), Some(StatListing::Listing(_))) = (folders.last(), told.last()) {
            self.server_folder = Some(folder.clone());
        }
        Ok(told)
    }

    /// Reads the replies about `folder`. Anything ambiguous is requested again over a data connection.
    fn read_told(&self, folder: &RemotePath, replies: &[Reply], last_resort: bool) -> StatListing {
        let [entered, said, status] = replies else { return StatListing::Unclear };
        if !entered.is_done() {
            return StatListing::Refused(entered.fault().at(folder.to_string()));
        }
        let is_there = said.code == ReplyCode::PATH_NAME && said.names(folder.as_bytes());
        if !is_there || !status.code.is_status() {
            return StatListing::Unclear;
        }
        // Telnet wants this byte doubled, and not every server does that: it ends Russian names in windows-1251.
        if !last_resort && status.inner_lines().any(|line| line.contains(&0xff)) {
            return StatListing::Unclear;
        }
        // Some servers indent each line by a space, so that none of them looks like a reply.
        let is_set_in = status.inner_lines().all(|line| line.starts_with(b" "));
        let mut reader = ListingReader::list();
        let read = status.inner_lines().try_for_each(|line| {
            reader.push(line.get(usize::from(is_set_in)..).unwrap_or_default())?;
            reader.push(b"\n")
        });
        match read.and_then(|()| reader.finish(self.now())) {
            Ok(_) if says_cut(&status.text_of_last()) => StatListing::Unclear,
            Ok(listing) if listing.complete && listing.vouched => StatListing::Listing(listing),
            Ok(listing) if last_resort && !listing.entries.is_empty() => {
                StatListing::Listing(listing)
            }
            _ => StatListing::Unclear,
        }
    }

    /// Returns `listing`, unless the server reports that it belongs to a directory other than `path`: a middlebox may
    /// have mixed up two data connections (S49).
    pub(super) async fn is_of(&mut self, path: &RemotePath, listing: Listing) -> Result<Listing> {
        let Some(named) = &listing.itself else { return Ok(listing) };
        let found = RemotePath::parse(named.clone());
        let found = found.and_then(|found| RemotePath::root().resolve(&found));
        if found.is_ok_and(|found| found == *path) {
            return Ok(listing);
        }
        // A link, or a server with its own names for directories: then it reports them after CWD as well.
        self.server_folder = None;
        let commands = [FtpCommand::path(Verb::Cwd, path), FtpCommand::bare(Verb::Pwd)];
        let replies = self.ask_all(&commands).await?;
        if replies.last().is_some_and(|said| said.code == ReplyCode::PATH_NAME && said.names(named))
        {
            return Ok(listing);
        }
        let message = format!("the listing that came is that of {}", visible(named));
        let error = Error::protocol(message);
        self.control.poison(&error);
        Err(error)
    }

    /// Enters `path` while connecting to the data port that the server has named already.
    pub(super) async fn enter_meanwhile(&mut self, path: &RemotePath) -> Result<()> {
        let time = self.site.reply_timeout;
        let port = match self.site.proxy {
            None => self.control.port_ahead(time).await,
            Some(_) => None,
        };
        let Some(port) = port else { return self.enter(path).await };
        let address = SocketAddr::new(self.control.peer.ip(), port);
        let connecting = connect(address, self.site.source_address);
        // If it fails, the code that handles failures tries again.
        let stop = self.context.stop.clone();
        let connecting = stop.run_until_cancelled(timeout(STEP_TIME, connecting));
        let (entered, connected) = join(self.enter(path), connecting).await;
        if let Ok(Ok(Ok(tcp))) = connected {
            self.control.keep_ahead(tcp);
        }
        entered
    }

    /// Finds a working data-connection method before writing a file that cannot have a temporary name: a file that the
    /// server has opened for a connection that never comes stays locked for a minute (vsftpd, measured).
    pub(super) async fn find_way(&mut self) -> Result<()> {
        if !self.data_path.fallback_order.may_begin_in_vain() {
            return Ok(());
        }
        match self.fetch_listing_once(&FtpCommand::bare(Verb::Nlst)).await {
            Err(error) if error.kind == ErrorKind::DataConnection => Err(error),
            // The content of the directory, and whether it may be listed, do not matter here.
            _ => self.context.stop.check(),
        }
    }

    /// Returns the listing that `command` requests, parsed by what `reader` makes.
    pub(super) async fn fetch_listing(
        &mut self,
        command: &FtpCommand,
        reader: impl Fn() -> ListingReader,
        next: NextTransfer<'_>,
    ) -> Result<Listing> {
        let mut listing = self.fetch_with(command, reader(), next).await;
        if let Err(error) = &listing
            && self.is_refused_for_fresh_tls(error)
            && error.reply_code() != ReplyCode::FILE_BUSY
        {
            self.reconnect_with_tls12().await?;
            listing = self.fetch_with(command, reader(), next).await;
        }
        listing
    }

    /// Requests one listing by `command`, in the current directory of the session.
    pub(super) async fn fetch_listing_once(&mut self, command: &FtpCommand) -> Result<Listing> {
        self.fetch_with(command, ListingReader::list(), NextTransfer::None).await
    }

    /// Does the same with the parser `reader`. A listing that the server declares truncated at its end is not complete.
    pub(super) async fn fetch_with(
        &mut self,
        command: &FtpCommand,
        mut reader: ListingReader,
        next: NextTransfer<'_>,
    ) -> Result<Listing> {
        let mut data = self.open_data(DataCommand::whole(command)).await?.data;
        let mut buffer = vec![0; COPY_BYTES / 4];
        let stop = self.context.stop.within(LISTING_TIME_MAX);
        let copy = async {
            loop {
                let count = data.read(&mut buffer).await?;
                if count == 0 {
                    return Ok(());
                }
                reader.push(buffer::filled(&buffer, count)?)?;
            }
        };
        let copied = stop.run_until_cancelled(copy).await.and_then(|copied| copied);
        let ending = TransferEnding::plain(Verb::List, 0).before(next);
        let closing = self.conclude(data, copied, ending).await?.reply;
        let mut listing = reader.finish(self.now())?;
        if says_cut(&closing.text()) {
            listing.note_cut(closing.words());
        }
        Ok(self.control.without_secrets(listing))
    }
}

/// Returns the three commands for a directory: it is entered, named and listed, so that its own name is in no argument
/// of STAT, which may interpret options and patterns there.
fn questions(folder: &RemotePath) -> [FtpCommand; 3] {
    [FtpCommand::path(Verb::Cwd, folder), FtpCommand::bare(Verb::Pwd), FtpCommand::list_here()]
}
