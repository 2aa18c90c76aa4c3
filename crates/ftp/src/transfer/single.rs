//! `get` and `put`: one file, with the options of a script or a command.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{
    ByteSink, ByteSource, NextTransfer, RemoteMeta, TransferHints, TransferOptions, TransferStats,
    text::check_text,
};
use crate::{path::RemotePath, session::Session, site::TransferType, site_options::site_commands};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result, codes::TRANSFER_TARGET_EXISTS},
    observe::{Event, Operation},
};
use portolan_fs::{AtomicFile, SourceFile};
use portolan_remote::{rate_limit::RateLimiter, transfer::unproven, transfer_options::OnExists};

/// The largest number in the name of a file that is renamed because its name is taken.
const NUMBER_MAX: u32 = 9999;

impl Session {
    /// Downloads the file `remote` to `local`, which has its old content until the new one has arrived. Returns `None` if
    /// `local` exists and the options skip it.
    pub async fn get_file(
        &mut self,
        remote: &RemotePath,
        local: &Path,
        options: &TransferOptions,
    ) -> Result<Option<TransferStats>> {
        check_download(options)?;
        let Some(local) = free_local(local, options.on_exists)? else { return Ok(None) };
        let fetch = async |session: &mut Self| {
            if options.transfer_type == TransferType::Ascii {
                return session.get_text_file(remote, &local).await;
            }
            if options.resume {
                let begin = |lasting: Option<&str>| AtomicFile::begin_as(&local, lasting);
                return session.download_on(remote, begin, options.preserve_times).await;
            }
            let landing = AtomicFile::begin(&local)?;
            let (segments, keep_time) = (options.segments, options.preserve_times);
            session.download_in_segments(remote, landing, segments, keep_time).await
        };
        let moved = self.get_by(remote, options, fetch).await?;
        Ok(Some(moved))
    }

    /// Downloads the file `remote` into `sink`.
    pub async fn get_into(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        options: &TransferOptions,
    ) -> Result<TransferStats> {
        check_download(options)?;
        let remote = self.absolute(remote)?;
        let fetch = async |session: &mut Self| {
            sink.restart()?;
            if options.transfer_type == TransferType::Ascii {
                return session.get_text(&remote, sink).await;
            }
            let known = session.ask_known(&remote).await?;
            session.fetch(&remote, sink, known, TransferHints::default()).await
        };
        self.get_by(&remote, options, fetch).await
    }

    async fn get_by(
        &mut self,
        remote: &RemotePath,
        options: &TransferOptions,
        mut fetch: impl AsyncFnMut(&mut Self) -> Result<TransferStats>,
    ) -> Result<TransferStats> {
        let commands = site_commands(&options.site_commands)?;
        if options.verify && self.known(remote, RemoteMeta::default()).await?.size.is_none() {
            return Err(unproven().at(remote.to_string()));
        }
        self.set_rate_limit(options.rate_limit.map(RateLimiter::new));
        let fetch = async |session: &mut Self| {
            session.send_site_commands(&commands).await?;
            fetch(session).await
        };
        let moved = self.with_retries(options.retries, fetch).await;
        self.set_rate_limit(None);
        let moved = moved?;
        if options.removes_source && self.may_remove(moved, &remote.to_string()) {
            self.delete(remote).await?;
            self.removed(remote.to_string());
        }
        Ok(moved)
    }

    /// Uploads the file `local` to `remote`, which has its old content until the new one has arrived. Returns `None` if
    /// `remote` exists and the options skip it.
    pub async fn put_file(
        &mut self,
        local: &Path,
        remote: &RemotePath,
        options: &TransferOptions,
    ) -> Result<Option<TransferStats>> {
        check_upload(options)?;
        let Some(remote) = self.free_remote(remote, options.on_exists).await? else {
            return Ok(None);
        };
        let (resume, keep_time) = (options.resume, options.preserve_times);
        let send = async |session: &mut Self| {
            let source = SourceFile::open(local)?;
            if options.transfer_type == TransferType::Ascii {
                return session.put_text_file(source, &remote).await;
            }
            if resume {
                return session.upload_on(source, &remote, keep_time, NextTransfer::None).await;
            }
            session.upload_file(source, &remote, keep_time).await
        };
        let moved = self.put_by(&remote, options, send).await?;
        if options.removes_source && self.may_remove(moved, &local.to_string_lossy()) {
            fs::remove_file(local).map_err(|error| Error::local("remove", local, error))?;
            self.removed(local.to_string_lossy().into_owned());
        }
        Ok(Some(moved))
    }

    /// Uploads a stream, whose length is known only at its end, to `remote`. Returns `None` if `remote` exists and the
    /// options skip it.
    pub async fn put_from(
        &mut self,
        source: &mut impl ByteSource,
        remote: &RemotePath,
        options: &TransferOptions,
    ) -> Result<Option<TransferStats>> {
        check_upload(options)?;
        let Some(remote) = self.free_remote(remote, options.on_exists).await? else {
            return Ok(None);
        };
        let mut is_first = true;
        let send = async |session: &mut Self| {
            if !std::mem::take(&mut is_first) {
                source.restart()?;
            }
            if options.transfer_type == TransferType::Ascii {
                return session.put_text(source, &remote).await;
            }
            session.upload(source, 0, None, &remote).await
        };
        self.put_by(&remote, options, send).await.map(Some)
    }

    async fn put_by(
        &mut self,
        remote: &RemotePath,
        options: &TransferOptions,
        mut send: impl AsyncFnMut(&mut Self) -> Result<TransferStats>,
    ) -> Result<TransferStats> {
        let commands = site_commands(&options.site_commands)?;
        self.set_rate_limit(options.rate_limit.map(RateLimiter::new));
        let usual = self.site().in_place;
        self.set_in_place(options.in_place.unwrap_or(usual));
        let send = async |session: &mut Self| {
            session.send_site_commands(&commands).await?;
            send(session).await
        };
        let moved = self.with_retries(options.retries, send).await;
        self.set_in_place(usual);
        self.set_rate_limit(None);
        match moved {
            Err(error) => Err(self.explain_upload(remote, error).await),
            Ok(moved) if options.verify && !moved.verified => {
                Err(unproven().at(remote.to_string()))
            }
            moved => moved,
        }
    }

    /// Returns the name under which an upload to `remote` goes; `None` if it exists and is skipped.
    async fn free_remote(
        &mut self,
        remote: &RemotePath,
        on_exists: OnExists,
    ) -> Result<Option<RemotePath>> {
        if on_exists == OnExists::Overwrite || !self.exists(remote).await? {
            return Ok(Some(remote.clone()));
        }
        match on_exists {
            OnExists::Overwrite => Ok(Some(remote.clone())),
            OnExists::Skip => Ok(None),
            OnExists::Fail => Err(exists(&remote.to_string()).with_host(&self.site().host)),
            OnExists::Rename => {
                for number in 1..=NUMBER_MAX {
                    let name = numbered(OsStr::from_bytes(remote.name()), number);
                    let other = remote.parent().join(name.as_bytes())?;
                    if !self.exists(&other).await? {
                        return Ok(Some(other));
                    }
                }
                Err(exists(&remote.to_string()))
            }
        }
    }

    /// Returns true if the source of a transfer may be removed; reports why it stays.
    fn may_remove(&self, moved: TransferStats, source: &str) -> bool {
        if !moved.verified {
            let text =
                format!("{source}: it stays, since the server reports no size to compare with");
            self.context.observer.warn(text);
        }
        moved.verified
    }

    fn removed(&self, path: String) {
        self.context.observer.emit(&Event::Done { verb: Operation::Delete, path });
    }
}

fn check_download(options: &TransferOptions) -> Result<()> {
    check_text(options)?;
    if options.in_place.is_some() {
        return Err(Error::invalid("`inplace` is for uploads"));
    }
    if options.segments > 1 && options.resume {
        return Err(Error::invalid("`segments` is for one large download; not with `resume`"));
    }
    Ok(())
}

fn check_upload(options: &TransferOptions) -> Result<()> {
    check_text(options)?;
    if options.segments > 1 {
        let message = "`segments` is for one large download; uploads go in one piece";
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Returns the name under which a download to `local` goes; `None` if it exists and is skipped.
fn free_local(local: &Path, on_exists: OnExists) -> Result<Option<PathBuf>> {
    let is_taken = |path: &Path| path.symlink_metadata().is_ok();
    if on_exists == OnExists::Overwrite || !is_taken(local) {
        return Ok(Some(local.to_owned()));
    }
    match on_exists {
        OnExists::Overwrite => Ok(Some(local.to_owned())),
        OnExists::Skip => Ok(None),
        OnExists::Fail => Err(exists(&local.to_string_lossy())),
        OnExists::Rename => {
            let name = local.file_name().unwrap_or_default();
            let free = (1..=NUMBER_MAX)
                .map(|number| local.with_file_name(numbered(name, number)))
                .find(|path| !is_taken(path));
            free.map(Some).ok_or_else(|| exists(&local.to_string_lossy()))
        }
    }
}

/// Returns a name with a number before its extension: `a.1.csv`.
fn numbered(name: &OsStr, number: u32) -> OsString {
    let bytes = name.as_bytes();
    // The dot of a hidden file is no extension.
    let dot = bytes.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0);
    let (stem, extension) = bytes.split_at_checked(dot.unwrap_or(bytes.len())).unwrap_or_default();
    OsString::from_vec([stem, format!(".{number}").as_bytes(), extension].concat())
}

fn exists(path: &str) -> Error {
    Error::new(ErrorKind::Guard, Origin::Here, "it exists already")
        .with_name(TRANSFER_TARGET_EXISTS)
        .at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_before_the_extension() {
        for (name, wanted) in [
            ("a.csv", "a.7.csv"),
            ("a.tar.gz", "a.tar.7.gz"),
            ("plain", "plain.7"),
            (".env", ".env.7"),
            ("end.", "end.7."),
        ] {
            assert_eq!(numbered(OsStr::new(name), 7), OsStr::new(wanted));
        }
    }
}
