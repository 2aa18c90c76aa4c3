//! Operations on names: query, create, rename, delete.

use crate::reply::CausedByReply as _;
use jiff::Timestamp;

use super::{
    control::FtpCommand,
    listing::{Entry, EntryKind, Modified, parse_mlst, parse_time_val},
    path::RemotePath,
    path_syntax::no_folders,
    reply::Reply,
    session::Session,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
use portolan_proto::{ReplyCode, Verb};
pub use portolan_remote::facts::LinkTarget;

impl Session {
    /// Returns the target of `path`, in one round trip.
    pub(crate) async fn behind(&mut self, path: &RemotePath) -> Result<LinkTarget> {
        let path = self.absolute(path)?;
        if self.is_flat() && path.is_root() {
            return Ok(LinkTarget::Folder { folder: None });
        }
        if self.is_flat() {
            let size = self.size_of(&path).await?;
            return Ok(LinkTarget::File { size, modified: None });
        }
        self.server_folder = None;
        let asked = |verb| FtpCommand::path(verb, &path);
        let commands =
            [asked(Verb::Size), asked(Verb::Mdtm), asked(Verb::Cwd), FtpCommand::bare(Verb::Pwd)];
        let replies = self.ask_all(&commands).await?;
        let [size, time, entered, said] = replies.as_slice() else {
            return Err(Error::protocol("four commands, not four replies"));
        };
        // Some servers report a size for directories as well.
        if entered.is_done() {
            let folder = said.folder_path();
            let folder = folder.and_then(|folder| RemotePath::parse(folder).ok());
            return Ok(LinkTarget::Folder { folder: folder.filter(|folder| *folder != path) });
        }
        // A refusal of SIZE means that there is nothing; an unsupported SIZE (50x) means nothing.
        if size.code == ReplyCode::FILE_UNAVAILABLE {
            return Ok(LinkTarget::Nothing);
        }
        let told = time.code == ReplyCode::FILE_STATUS;
        let modified = parse_time_val(time.last_text().trim_ascii()).filter(|_| told);
        let modified = modified.map(|(time, precision)| Modified::Utc(time, precision));
        let size = size.size();
        Ok(LinkTarget::File { size, modified })
    }

    /// Returns the facts of `path`; fails with `not_found` if its directory does not have it.
    pub async fn stat(&mut self, path: &RemotePath) -> Result<Entry> {
        let path = self.absolute(path)?;
        let found = self.find(&path).await?;
        found.ok_or_else(|| not_found().at(path.to_string()).with_host(&self.site.host))
    }

    /// Returns true if there is anything at `path`.
    pub(crate) async fn exists(&mut self, path: &RemotePath) -> Result<bool> {
        let path = self.absolute(path)?;
        Ok(self.find(&path).await?.is_some())
    }

    /// Returns the error of an upload to `path`, made clear if the directory is missing, which servers word in various
    /// ways.
    pub(crate) async fn explain_upload(&mut self, path: &RemotePath, error: Error) -> Error {
        let may_be_missing = matches!(error.kind, ErrorKind::Refused | ErrorKind::NotFound);
        let Ok(folder) = self.absolute(path).map(|path| path.parent()) else { return error };
        let is_ours = error.side == Origin::Server && may_be_missing;
        if !is_ours || self.exists(&folder).await.unwrap_or(true) {
            return error;
        }
        let message = format!(
            "there is no folder {folder} on the server; `portolan mkdir`, or site.mkdir() in a script, makes it"
        );
        Error { kind: ErrorKind::NotFound, message, name: None, ..error }
    }

    /// Returns the size of file `path` in bytes.
    pub async fn size(&mut self, path: &RemotePath) -> Result<u64> {
        let path = self.absolute(path)?;
        self.needs_binary()?;
        if let Some(size) = self.size_of(&path).await? {
            return Ok(size);
        }
        let entry = self.stat(&path).await?;
        entry.size.filter(|_| entry.kind != EntryKind::Dir).ok_or_else(|| {
            let message = format!("the server reports no size for this {}", entry.kind.as_str());
            Error::unsupported(Origin::Server, message)
                .at(path.to_string())
                .with_host(&self.site.host)
        })
    }

    /// Returns the modification time of `path`.
    pub async fn modified(&mut self, path: &RemotePath) -> Result<Modified> {
        let path = self.absolute(path)?;
        let reply = self.ask(&FtpCommand::path(Verb::Mdtm, &path)).await?;
        if let Some((time, precision)) = Some(&reply)
            .filter(|reply| reply.code == ReplyCode::FILE_STATUS)
            .and_then(|reply| parse_time_val(reply.last_text().trim_ascii()))
        {
            return Ok(Modified::Utc(time, precision));
        }
        self.stat(&path).await?.modified.ok_or_else(|| {
            let error = Error::unsupported(Origin::Server, "the server tells no time for it");
            error.at(path.to_string()).with_host(&self.site.host)
        })
    }

    /// Renames `from` to `to`.
    pub(crate) async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<()> {
        let (from, to) = (self.absolute(from)?, self.absolute(to)?);
        let result = self.rename_once(&from, &to).await;
        self.placed(result, &from).await
    }

    /// Removes file `path`.
    pub(crate) async fn delete(&mut self, path: &RemotePath) -> Result<()> {
        let path = self.absolute(path)?;
        self.simple(Verb::Dele, &path).await
    }

    /// Removes the empty folder `path`.
    pub(crate) async fn rmdir(&mut self, path: &RemotePath) -> Result<()> {
        let path = self.absolute(path)?;
        if self.server_folder.as_ref() == Some(&path) {
            self.enter(&path.parent()).await?;
        }
        self.simple(Verb::Rmd, &path).await
    }

    /// Makes directory `path` and its missing parents; returns false if it existed already.
    pub(crate) async fn mkdir(&mut self, path: &RemotePath) -> Result<bool> {
        let path = self.absolute(path)?;
        if path.is_root() {
            return Ok(false);
        }
        if self.is_flat() {
            return Err(no_folders().at(path.to_string()).with_host(&self.site.host));
        }
        let Err(refusal) = self.make_folder(&path).await else { return Ok(true) };
        if !refusal.reply_code().is_permanent() {
            return Err(refusal);
        }
        // Refused: it exists already, or a parent is missing, or it is not allowed.
        let mut missing = Vec::new();
        let mut above = path.clone();
        while !above.is_root() && !self.is_folder(&above).await? {
            missing.push(above.clone());
            above = above.parent();
        }
        for folder in missing.iter().rev() {
            self.make_folder(folder).await?;
        }
        Ok(!missing.is_empty())
    }

    /// Sets the permission bits of `path` (`0o644`).
    pub async fn chmod(&mut self, path: &RemotePath, mode: u32) -> Result<()> {
        let path = self.absolute(path)?;
        let command = FtpCommand::with(Verb::Site, format!("CHMOD {mode:03o}")).before(&path);
        let result = self.ask(&command).await.and_then(Reply::done).map(drop);
        self.placed(result, &path).await
    }

    /// Sets the permission bits of each of the paths, many in one packet, and returns the result of each.
    pub(crate) async fn set_modes(
        &mut self,
        modes: &[(RemotePath, u32)],
    ) -> Result<Vec<Result<()>>> {
        let commands: Result<Vec<_>> = modes
            .iter()
            .map(|(path, mode)| {
                let command = FtpCommand::with(Verb::Site, format!("CHMOD {mode:03o}"));
                Ok(command.before(&self.absolute(path)?))
            })
            .collect();
        let replies = self.ask_all(&commands?).await?;
        let host = &self.site.host;
        let set = modes.iter().zip(replies).map(|((path, _), reply)| {
            reply.done().map(drop).map_err(|fault| fault.at(path.to_string()).with_host(host))
        });
        Ok(set.collect())
    }

    /// Sets the modification time of `path`.
    pub(crate) async fn set_modified(&mut self, path: &RemotePath, time: Timestamp) -> Result<()> {
        let path = self.absolute(path)?;
        let command = self.time_command(&path, time)?;
        let result = self.ask(&command).await.and_then(Reply::done).map(drop);
        self.placed(result, &path).await
    }

    /// Returns the algorithms of [`checksum`](Self::checksum) that the server advertises.
    pub(crate) fn hashes(&self) -> Vec<&'static str> {
        let listed = self.features.named.get("HASH").map(|list| list.to_ascii_uppercase());
        let is_offered = |hash: &str, own: &str| {
            listed.as_ref().is_some_and(|list| list.contains(hash)) || self.features.has(own)
        };
        let all = [
            ("sha256", "SHA-256", "XSHA256"),
            ("sha1", "SHA-1", "XSHA1"),
            ("md5", "MD5", "XMD5"),
            ("crc32", "CRC32", "XCRC"),
        ];
        all.iter().filter(|(_, hash, own)| is_offered(hash, own)).map(|(word, ..)| *word).collect()
    }

    /// Returns the hash of `path` by `algorithm` (`sha256`, `sha1`, `md5`, `crc32`) as the server computes it, in lower
    /// case.
    pub async fn checksum(&mut self, path: &RemotePath, algorithm: &str) -> Result<String> {
        let path = self.absolute(path)?;
        let (hash, own, digits) = match algorithm {
            "sha256" => ("SHA-256", "XSHA256", 64),
            "sha1" => ("SHA-1", "XSHA1", 40),
            "md5" => ("MD5", "XMD5", 32),
            "crc32" => ("CRC32", "XCRC", 8),
            other => {
                let message = format!("no algorithm `{other}`: sha256, sha1, md5 or crc32");
                return Err(Error::invalid(message));
            }
        };
        let offered = self.features.named.get("HASH").map(|list| list.to_ascii_uppercase());
        let reply = if offered.is_some_and(|list| list.contains(hash)) {
            self.ask(&FtpCommand::with(Verb::Opts, format!("HASH {hash}"))).await?.done()?;
            self.ask(&FtpCommand::path(Verb::Hash, &path)).await?
        } else if self.features.has(own) {
            self.ask(&FtpCommand::parse(own)?.before(&path)).await?
        } else {
            let message = format!("the server has no {algorithm} (neither HASH nor {own})");
            return Err(Error::unsupported(Origin::Server, message).with_host(&self.site.host));
        };
        let result = reply.done();
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => return Err(self.explain(error, &path).await.at(path.to_string())),
        };
        let text = reply.text();
        let found = text
            .split([' ', '"'])
            .find(|word| word.len() == digits && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
        found.map(str::to_ascii_lowercase).ok_or_else(|| {
            Error::protocol(format!("no {algorithm} in \"{text}\"")).at(path.to_string())
        })
    }

    /// Returns a refusal of `path` with its cause, if the listing of its directory shows one: 550 alone says nothing.
    pub(super) async fn explain(&mut self, error: Error, path: &RemotePath) -> Error {
        if error.reply_code() != ReplyCode::FILE_UNAVAILABLE {
            return error;
        }
        match self.find_in_folder(path).await {
            Ok(None) => Error { code: error.code, ..not_found() },
            _ => error,
        }
    }

    async fn simple(&mut self, verb: Verb, path: &RemotePath) -> Result<()> {
        let result = self.ask(&FtpCommand::path(verb, path)).await.and_then(Reply::done).map(drop);
        self.placed(result, path).await
    }

    /// Adds the path to an error, and the cause to a refusal.
    pub(super) async fn placed(&mut self, result: Result<()>, path: &RemotePath) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        let error = self.explain(error, path).await;
        Err(error.at(path.to_string()).with_host(&self.site.host))
    }

    async fn make_folder(&mut self, path: &RemotePath) -> Result<()> {
        let made = self.ask(&FtpCommand::path(Verb::Mkd, path)).await?.done();
        made.map(drop).map_err(|error| error.at(path.to_string()).with_host(&self.site.host))
    }

    async fn is_folder(&mut self, path: &RemotePath) -> Result<bool> {
        let reply = self.ask(&FtpCommand::path(Verb::Cwd, path)).await?;
        self.server_folder = None;
        Ok(reply.is_done())
    }

    /// Looks `path` up by MLST if the server has it, else in the listing of its parent. If neither shows it, it is
    /// queried by name: a listing may be truncated or incomplete, and a refusal of MLST may be about the command.
    pub(super) async fn find(&mut self, path: &RemotePath) -> Result<Option<Entry>> {
        if path.is_root() {
            return Ok(Some(Entry::root()));
        }
        let mut is_missing = false;
        if self.features.has("MLST") || self.features.has("MLSD") {
            let reply = self.ask(&FtpCommand::path(Verb::Mlst, path)).await?;
            let facts = reply.inner_lines().next().map(<[u8]>::trim_ascii_start);
            if let Some(entry) = facts.and_then(|facts| parse_mlst(facts, path.name())) {
                return Ok(Some(entry));
            }
            is_missing = reply.code == ReplyCode::FILE_UNAVAILABLE;
        }
        match self.find_in_folder(path).await {
            Ok(None) if !is_missing => self.find_by_name(path).await,
            // The listing is incomplete: the missing entry may exist.
            Err(error) if error.kind == ErrorKind::Protocol => match self.find_by_name(path).await?
            {
                None => Err(error),
                found => Ok(found),
            },
            found => found,
        }
    }

    /// Returns the facts of `path` according to SIZE, MDTM and CWD.
    async fn find_by_name(&mut self, path: &RemotePath) -> Result<Option<Entry>> {
        Ok(match self.behind(path).await? {
            LinkTarget::Folder { .. } => Some(Entry::new(path.name(), EntryKind::Dir)),
            LinkTarget::File { size: None, modified: None } | LinkTarget::Nothing => None,
            LinkTarget::File { size, modified } => {
                Some(Entry { size, modified, ..Entry::new(path.name(), EntryKind::File) })
            }
        })
    }

    /// Looks `path` up in the listing of its directory. An incomplete listing does not prove absence.
    pub(super) async fn find_in_folder(&mut self, path: &RemotePath) -> Result<Option<Entry>> {
        let parent = path.parent();
        let listing = match self.list_absolute(&parent).await {
            Ok(listing) => listing,
            // Everything below a missing directory is missing.
            Err(error)
                if error.reply_code() == ReplyCode::FILE_UNAVAILABLE && !parent.is_root() =>
            {
                let above = Box::pin(self.find_in_folder(&parent)).await?;
                return if above.is_none() { Ok(None) } else { Err(error.at(parent.to_string())) };
            }
            Err(error) => return Err(error.at(parent.to_string())),
        };
        let is_complete = listing.complete;
        let is_vouched = listing.vouched || !listing.entries.is_empty();
        let found = listing.entries.into_iter().find(|entry| entry.name == path.name());
        if found.is_none() && !(is_complete && (is_vouched || self.is_refused_twice(path).await?)) {
            let message = "its folder's listing is not complete: it may be there or not";
            return Err(Error::protocol(message).at(path.to_string()));
        }
        Ok(found)
    }

    /// Returns true if `path` can be neither entered nor measured. An empty listing may as well be a failed one, and
    /// needs this as well to prove that `path` is missing (class C20).
    async fn is_refused_twice(&mut self, path: &RemotePath) -> Result<bool> {
        if self.is_flat() {
            return Ok(self.ask(&FtpCommand::path(Verb::Size, path)).await?.code.class() >= 5);
        }
        self.server_folder = None;
        let commands = [FtpCommand::path(Verb::Size, path), FtpCommand::path(Verb::Cwd, path)];
        let replies = self.ask_all(&commands).await?;
        Ok(replies.iter().all(|reply| reply.code == ReplyCode::FILE_UNAVAILABLE))
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, Origin::Server, "there is no such file or folder on the server")
}
