//! Probes of a server's other capabilities: time, names, TLS sessions.

use crate::reply::CausedByReply as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{
    diagnosis::{Diagnosis, Endpoint, HiddenFiles, Reuse, ServerInfo},
    prober::Prober,
};
use crate::{
    control::FtpCommand,
    data::nat_diagnosis::our_address_in,
    listing::{EntryKind, Listing, Modified},
    path::RemotePath,
    reply::Reply,
    session::Session,
    site::TlsMode,
    tls::{TlsContext, TlsVersions},
    transfer::{MemorySource, NextTransfer},
};
use portolan_core::error::{ErrorKind, Result};
use portolan_fs::temporary_name;
use portolan_proto::{ReplyCode, Verb};

/// The number of NOOPs whose median is the round trip.
const ROUNDS: usize = 5;
/// A time that no file has by chance: 2001-02-03 04:05:06 UTC.
const ODD_TIME_S: i64 = 981_173_106;
/// The tolerated offset of a clock in seconds: the rounding of MDTM, and the latency.
const CLOCK_SLACK_S: i64 = 2;

impl Prober<'_> {
    /// Examines the server behind `endpoint`: all of it the first time, its TLS at the first endpoint under TLS.
    pub(super) async fn study(
        &self,
        session: &mut Session,
        endpoint: &Endpoint,
        diagnosis: &mut Diagnosis,
    ) {
        let step = endpoint.trials.iter().find(|trial| trial.carries());
        if diagnosis.server.is_none() {
            self.say("asking what the server can do");
            let mut server = ServerInfo::default();
            self.ask(session, endpoint, &mut server).await;
            if step.is_some() {
                self.look_around(session, endpoint, &mut server, diagnosis).await;
            }
            diagnosis.server = Some(server);
        }
        if let Some(server) = &mut diagnosis.server
            && endpoint.tls != TlsMode::Off
            && server.reuse.is_none()
            && step.is_some()
        {
            self.say("looking at the TLS of data connections");
            server.tls12_only = session.data_path.profile.tls_versions() == TlsVersions::Only12;
            server.reuse = reuse(session).await;
        }
    }

    /// Runs the probes that need no data connection.
    async fn ask(&self, session: &mut Session, endpoint: &Endpoint, server: &mut ServerInfo) {
        server.features.clone_from(session.features());
        server.folder = session.folder().to_string();
        server.round_trip = round_trip(session).await;
        let said = |reply: Result<Reply>| reply.ok();
        let system = said(session.ask(&FtpCommand::bare(Verb::Syst)).await);
        server.system = system.filter(Reply::is_done).map(|reply| reply.text());
        let status = said(session.ask(&FtpCommand::bare(Verb::Stat)).await);
        let peer = endpoint.address.ip();
        server.sees_us_at =
            status.filter(Reply::is_done).and_then(|reply| our_address_in(&reply.text(), peer));
        let rest = said(session.ask(&FtpCommand::with(Verb::Rest, "0")).await);
        server.restarts = rest.map(|reply| reply.is_halfway());
        if !endpoint.address.is_ipv6() {
            let passive = said(session.ask(&FtpCommand::bare(Verb::Pasv)).await);
            server.passive_address = passive
                .filter(|reply| reply.code == ReplyCode::PASSIVE_MODE)
                .and_then(|reply| reply.passive_address())
                .map(|(address, _)| address);
        }
    }

    /// Runs the probes that need files; with `read_only`, uses the directory as it is.
    async fn look_around(
        &self,
        session: &mut Session,
        endpoint: &Endpoint,
        server: &mut ServerInfo,
        diagnosis: &mut Diagnosis,
    ) {
        let may_write = endpoint.trials.iter().any(|trial| matches!(trial.upload, Some(Ok(_))));
        if self.options.read_only || !may_write {
            server.hidden = hidden(session, None).await;
            return;
        }
        let here = session.folder().clone();
        let names: Vec<RemotePath> =
            (0..2).filter_map(|_| here.join(temporary_name().as_bytes()).ok()).collect();
        let [one, other] = names.as_slice() else { return };
        let mut stored = Vec::new();
        for name in [one, other] {
            let id = session.context().observer.next_transfer();
            let mut source = MemorySource::new(b"portolan");
            let sent = session.store(Verb::Stor, name, &mut source, id, NextTransfer::None).await;
            stored.push(sent.is_ok());
        }
        if stored == [true, true] {
            let now = session.now();
            server.clock_ahead_s = clock(session, other, now).await;
            server.sets_times = sets_times(session, other).await;
            server.hidden = hidden(session, Some(other.name())).await;
            let renamed = session.rename_once(one, other).await;
            if renamed.is_ok() {
                stored = vec![false, true];
            }
            server.renames_over = Some(renamed);
        }
        for (name, is_stored) in [one, other].into_iter().zip(stored) {
            self.remove(session, name, is_stored, diagnosis).await;
        }
    }
}

async fn round_trip(session: &mut Session) -> Option<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        session.ask(&FtpCommand::bare(Verb::Noop)).await.ok()?;
        times.push(started.elapsed());
    }
    times.sort();
    times.get(times.len() / 2).copied()
}

/// Returns the seconds by which the server's clock is ahead, from the time it gave to a file just uploaded.
async fn clock(session: &mut Session, name: &RemotePath, now: Timestamp) -> Option<i64> {
    let Ok(Modified::Utc(time, _)) = session.modified(name).await else { return None };
    let ahead = time.as_second() - now.as_second();
    Some(if ahead.abs() <= CLOCK_SLACK_S { 0 } else { ahead })
}

async fn sets_times(session: &mut Session, name: &RemotePath) -> Option<bool> {
    let time = Timestamp::from_second(ODD_TIME_S).ok()?;
    match session.set_modified(name, time).await {
        Ok(()) => match session.modified(name).await.ok()? {
            Modified::Utc(found, _) => Some(found == time),
            Modified::Server(..) => None,
        },
        Err(error) => (error.reply_code().is_permanent()).then_some(false),
    }
}

/// Checks if `LIST` and `LIST -a` show `name`, or else any name with a leading dot; `None` if there is no name to show.
async fn hidden(session: &mut Session, name: Option<&[u8]>) -> Option<HiddenFiles> {
    let shows = |listing: Result<Listing>| {
        let entries = listing.map(|listing| listing.entries).unwrap_or_default();
        entries.iter().any(|entry| match name {
            Some(name) => entry.name == name,
            None => entry.name.starts_with(b".") && entry.kind != EntryKind::Other,
        })
    };
    let folder = session.folder().clone();
    session.enter(&folder).await.ok()?;
    let by_list = shows(list(session, FtpCommand::bare(Verb::List)).await);
    let by_list_all = shows(list(session, FtpCommand::with(Verb::List, "-a")).await);
    (name.is_some() || by_list || by_list_all).then_some(HiddenFiles { by_list, by_list_all })
}

async fn list(session: &mut Session, command: FtpCommand) -> Result<Listing> {
    session.fetch_listing_once(&command).await
}

/// Finds out if data connections resume TLS, and if the server refuses those that do not. This is the last probe of a
/// session: vsftpd ends it with the refusal.
async fn reuse(session: &mut Session) -> Option<Reuse> {
    list(session, FtpCommand::bare(Verb::List)).await.ok()?;
    let resumed = !session.data_path.history.began_fresh_tls;
    // A new session cache holds no session to resume.
    session.security = session.security.as_ref().map(TlsContext::fresh);
    let required = match list(session, FtpCommand::bare(Verb::List)).await {
        Ok(_) => Some(false),
        Err(error)
            if matches!(
                error.reply_code(),
                ReplyCode::CANNOT_OPEN_DATA | ReplyCode::FILE_BUSY | ReplyCode::PROTOCOL_REFUSED
            ) || error.kind == ErrorKind::Tls =>
        {
            Some(true)
        }
        Err(_) => None,
    };
    Some(Reuse { resumed, required })
}
