//! Probes of each data-connection method: a listing, an upload of 1 KiB, its download, and no file left behind.

use crate::reply::CausedByReply as _;
use std::time::{Duration, Instant};

use super::{
    diagnosis::{Diagnosis, Endpoint, ModeProbe},
    prober::Prober,
};
use crate::{
    data::method::DataMethod,
    mask::Mask,
    path::RemotePath,
    reply::Reply,
    session::{RunContext, Session},
    transfer::{BoundedBuffer, MemorySource, NextTransfer, RemoteMeta, TransferHints},
};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::{FAREWELL_TIMEOUT, SURVEY_AGAIN_TIMEOUT, SURVEY_FILE_BYTES},
};
use portolan_fs::temporary_name;
use portolan_proto::Verb;

impl Prober<'_> {
    /// Tries every method at `endpoint`, in one session as long as that is in step; a session that is not reconnects
    /// automatically.
    pub(super) async fn try_modes(
        &self,
        session: &mut Session,
        endpoint: &mut Endpoint,
        diagnosis: &mut Diagnosis,
    ) {
        let steps: &[DataMethod] = if endpoint.address.is_ipv6() {
            &[DataMethod::Epsv, DataMethod::Eprt]
        } else {
            &[DataMethod::Epsv, DataMethod::Pasv, DataMethod::Eprt, DataMethod::Port]
        };
        for step in steps {
            if self.inner.stop.is_set() {
                return;
            }
            let word = step.as_str().to_ascii_uppercase();
            self.say(format!("trying {word} {}", super::endpoints::words(endpoint)));
            session.hold(*step);
            let seen = diagnosis
                .endpoints
                .iter()
                .flat_map(|endpoint| &endpoint.trials)
                .chain(&endpoint.trials);
            let is_deaf = seen.into_iter().any(|trial| trial.waited_like(*step));
            let most = if is_deaf { SURVEY_AGAIN_TIMEOUT } else { self.site.connect_timeout };
            session.site.connect_timeout = self.site.connect_timeout.min(most);
            let trial = Box::pin(self.try_step(session, *step, diagnosis)).await;
            endpoint.trials.push(trial);
        }
        if let Some(best) = endpoint.trials.iter().find(|trial| trial.carries()) {
            session.hold(best.step);
        }
    }

    async fn try_step(
        &self,
        session: &mut Session,
        step: DataMethod,
        diagnosis: &mut Diagnosis,
    ) -> ModeProbe {
        let here = session.folder().clone();
        let listing = timed(session.list(&here)).await;
        let listing = in_its_words(session, listing);
        let mut trial = ModeProbe {
            step,
            address: last_address(session),
            listing,
            upload: None,
            download: None,
        };
        if self.options.read_only || trial.listing.is_err() {
            return trial;
        }
        let content = content();
        let Ok(name) = here.join(temporary_name().as_bytes()) else { return trial };
        let id = session.context().observer.next_transfer();
        let mut source = MemorySource::new(&content);
        let upload =
            timed(session.store(Verb::Stor, &name, &mut source, id, NextTransfer::None)).await;
        let is_stored = upload.is_ok();
        trial.upload = Some(in_its_words(session, upload));
        if is_stored {
            let mut kept = BoundedBuffer { bytes: Vec::new(), limit: content.len() as u64 };
            let size = Some(content.len() as u64);
            let known = RemoteMeta { size, ..RemoteMeta::default() };
            let hints = TransferHints::default();
            let download = Box::pin(timed(session.fetch(&name, &mut kept, known, hints))).await;
            let download = match in_its_words(session, download) {
                Ok(_) if kept.bytes != content => {
                    Err(Error::protocol("other bytes came back than were sent"))
                }
                download => download,
            };
            trial.download = Some(download);
        }
        trial.address = last_address(session);
        self.remove(session, &name, is_stored, diagnosis).await;
        trial
    }

    /// Removes a probe file.
    pub(super) async fn remove(
        &self,
        session: &mut Session,
        name: &RemotePath,
        is_stored: bool,
        diagnosis: &mut Diagnosis,
    ) {
        let is_gone = match session.cleanup_temps(&[name]).await {
            Some(replies) if replies.iter().all(Reply::is_done) => true,
            // A failed upload leaves a part of the file, or no file.
            Some(_) if !is_stored => !matches!(session.size_of(name).await, Ok(Some(_))),
            Some(_) => false,
            None => self.remove_anew(session, name, is_stored).await,
        };
        if !is_gone {
            diagnosis.left.push(name.to_string());
        }
    }

    /// Does the same in a new session, if the old one can no longer be used.
    async fn remove_anew(&self, old: &Session, name: &RemotePath, is_stored: bool) -> bool {
        if self.outer.stop.is_set() {
            return false;
        }
        let stop = self.outer.stop.within(FAREWELL_TIMEOUT);
        let context = RunContext { stop, ..self.inner.clone() };
        let Ok(mut session) = Session::open(old.site().clone(), context).await else {
            return false;
        };
        let is_gone = match session.delete(name).await {
            Ok(()) => true,
            Err(error) => !is_stored && error.reply_code().is_permanent(),
        };
        session.close().await;
        is_gone
    }
}

/// Returns the failure in the words of the method itself: "no way is left" is of no use if only one was tried.
fn in_its_words(session: &Session, tried: Result<Duration>) -> Result<Duration> {
    tried.map_err(|error| match session.attempts().back() {
        Some(last) if !last.worked && error.kind == ErrorKind::DataConnection => {
            let reply = Reply { code: error.reply_code(), raw: Vec::new(), mask: Mask::default() };
            let kind = if error.code == 0 { error.kind } else { reply.fault().kind };
            Error { kind, message: last.words.clone(), ..error }
        }
        _ => error,
    })
}

/// Returns the content of the probe file: every byte value in turn.
fn content() -> Vec<u8> {
    (0..=255).cycle().take(SURVEY_FILE_BYTES).collect()
}

fn last_address(session: &Session) -> String {
    session.attempts().back().map(|attempt| attempt.address.clone()).unwrap_or_default()
}

/// Measures the duration of `work`.
async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<Duration> {
    let started = Instant::now();
    work.await.map(|_| started.elapsed())
}
