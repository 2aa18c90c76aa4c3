//! `get` and `put`: one file, with the options of a script or a command.

use std::path::Path;

use super::{NextTransfer, RemoteMeta, TransferOptions, TransferStats};
use crate::{path::RemotePath, session::Session};
use portolan_core::error::{Error, Result};
use portolan_fs::{AtomicFile, SourceFile};
use portolan_remote::{rate_limit::RateLimiter, transfer::unproven};

impl Session {
    /// Downloads the file `remote` to `local`, which has its old content until the new one has arrived.
    pub async fn get_file(
        &mut self,
        remote: &RemotePath,
        local: &Path,
        options: &TransferOptions,
    ) -> Result<TransferStats> {
        let TransferOptions { preserve_times, resume, segments, retries, verify, .. } = *options;
        if options.in_place.is_some() {
            return Err(Error::invalid("`inplace` is for uploads"));
        }
        if segments > 1 && resume {
            let message = "`segments` is for one large download; not with `resume`";
            return Err(Error::invalid(message));
        }
        if verify && self.known(remote, RemoteMeta::default()).await?.size.is_none() {
            return Err(unproven().at(remote.to_string()));
        }
        self.set_rate_limit(options.rate_limit.map(RateLimiter::new));
        let fetch = async |session: &mut Self| {
            if resume {
                let begin = |lasting: Option<&str>| AtomicFile::begin_as(local, lasting);
                return session.download_on(remote, begin, preserve_times).await;
            }
            let landing = AtomicFile::begin(local)?;
            session.download_in_segments(remote, landing, segments, preserve_times).await
        };
        let moved = self.with_retries(retries, fetch).await;
        self.set_rate_limit(None);
        moved
    }

    /// Uploads the file `local` to `remote`, which has its old content until the new one has arrived.
    pub async fn put_file(
        &mut self,
        local: &Path,
        remote: &RemotePath,
        options: &TransferOptions,
    ) -> Result<TransferStats> {
        let TransferOptions { preserve_times, resume, retries, verify, in_place, .. } = *options;
        if options.segments > 1 {
            let message = "`segments` is for one large download; uploads go in one piece";
            return Err(Error::invalid(message));
        }
        self.set_rate_limit(options.rate_limit.map(RateLimiter::new));
        let usual = self.site().in_place;
        self.set_in_place(in_place.unwrap_or(usual));
        let send = async |session: &mut Self| {
            let source = SourceFile::open(local)?;
            if resume {
                return session.upload_on(source, remote, preserve_times, NextTransfer::None).await;
            }
            session.upload_file(source, remote, preserve_times).await
        };
        let moved = self.with_retries(retries, send).await;
        self.set_in_place(usual);
        self.set_rate_limit(None);
        match moved {
            Err(error) => Err(self.explain_upload(remote, error).await),
            Ok(moved) if verify && !moved.verified => Err(unproven().at(remote.to_string())),
            moved => moved,
        }
    }
}
