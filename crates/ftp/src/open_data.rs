//! The fallback between the data-connection methods: the first that works carries a transfer.

use std::time::Instant;

use super::{
    control::{FtpCommand, Lookahead},
    data::{
        address::PasvHint,
        announce,
        listen::{ListenConfig, listen},
        method::{DataMethod, answer_time, open_time},
        nat_diagnosis::our_address_in,
        open::{OpenError, OpenParams, OpenedData, open},
    },
    data_path::{DataCommand, FailedMethod},
    ports::{InboundPorts, PortRequest},
    session::Session,
    transfer::NextTransfer,
};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::{PARALLEL_AUTO, PARALLEL_AUTO_FIRST},
};
use portolan_proto::Verb;

/// A step about to be tried.
#[derive(Clone, Copy)]
struct Try<'a> {
    step: DataMethod,
    /// The steps that are left after it.
    left: &'a [DataMethod],
    /// True if the same connection timed out a moment ago.
    is_deaf: bool,
    transfer: DataCommand<'a>,
}

impl Session {
    /// Restricts the session to `step`, to observe it.
    pub(super) fn hold(&mut self, step: DataMethod) {
        self.data_path.fallback_order.hold(step);
        self.data_path.is_restricted = true;
        self.data_path.reported_mode = Some(step.mode());
    }

    /// Completes a race in favour of this session, which may use all methods again.
    pub(super) fn finish_race(&mut self, other: &Self) {
        self.data_path.finish_race(&other.data_path);
        if let Some(step) = self.data_path.fallback_order.current() {
            self.data_path.save(step);
        }
    }

    /// Returns the error for a race that both sides lost: this one's reasons, then the `other`'s.
    pub(super) fn no_way_besides(&self, other: &Self) -> Error {
        self.no_way(
            [self.data_path.history.lost.as_slice(), &other.data_path.history.lost].concat(),
        )
    }

    /// Makes a data connection and starts `transfer` over it, by the first method of the fallback order that works.
    pub(super) async fn open_data(&mut self, transfer: DataCommand<'_>) -> Result<OpenedData> {
        let command = transfer.command;
        if command.verb() == Verb::Retr || command.verb().is_upload() {
            self.needs_binary()?;
        }
        self.data_path.catch_up();
        // The last failure of each mode, in the order of the modes.
        let mut failed = std::mem::take(&mut self.data_path.history.held);
        let mut steps = self.data_path.fallback_order.steps();
        steps.retain(|step| failed.iter().all(|failed| failed.step.mode() != step.mode()));
        let mut hopeless = None;
        for (at, step) in steps.iter().copied().enumerate() {
            let is_deaf = hopeless == Some(step);
            // PASV costs a command only, and may name another address or reveal the server's NAT.
            if is_deaf && step != DataMethod::Pasv {
                continue;
            }
            self.ensure().await?;
            self.ask_for_ours(step, failed.last()).await?;
            let left = steps.get(at + 1..).unwrap_or_default();
            let started = Instant::now();
            let failure = match self.try_twice(Try { step, left, is_deaf, transfer }).await? {
                Ok(opened) => {
                    self.settle(step, &opened, started);
                    self.tell_mode(step, &failed);
                    self.data_path.share_method();
                    return Ok(opened);
                }
                Err(failure) => failure,
            };
            let error = failure.error.with_host(&self.site.host);
            self.data_path.history.began_fresh_tls = error.kind == ErrorKind::Tls;
            if !failure.is_matter_of_mode || error.kind == ErrorKind::Interrupted {
                return Err(error);
            }
            self.data_path.seen.named = failure.named.or(self.data_path.seen.named);
            hopeless = step.sibling_to_skip(&error, &failure.address);
            if let Some(twin) = hopeless.filter(|twin| *twin != DataMethod::Pasv) {
                self.data_path.fallback_order.failed(twin, &error);
            }
            // A step that only asked adds nothing to one that waited for a connection.
            let is_telling = !(is_deaf && failure.address.is_empty());
            self.record(step, failure.address, Some(&error), started);
            self.data_path.fallback_order.failed(step, &error);
            self.data_path.unlearn(step);
            if is_telling {
                failed.retain(|other| other.step.mode() != step.mode());
                failed.push(FailedMethod { step, error: error.clone() });
            }
            let has_other_mode = left.iter().any(|other| other.mode() != step.mode());
            if failure.has_begun && command.verb() == Verb::Stor && has_other_mode {
                self.data_path.history.held = failed;
                return Err(error);
            }
        }
        // If every step is known to fail, what the server said to them then is still the reason.
        if !failed.is_empty() {
            self.data_path.history.lost = failed;
        }
        Err(self.no_way(self.data_path.history.lost.clone()))
    }

    /// Tries a step, and once more if the connection was found dead before anything was done, or if the server does not
    /// accept the transfer command in the packet of EPRT or PORT.
    async fn try_twice(&mut self, what: Try<'_>) -> Result<Result<OpenedData, OpenError>> {
        let result = self.try_once(what).await;
        match &result {
            Err(failure) if self.is_unsent(&failure.error) => {
                self.reconnect().await?;
                Ok(self.try_once(what).await)
            }
            Err(failure) if failure.is_swapped => {
                self.data_path.profile.record_separate_ports();
                self.reconnect().await?;
                Ok(self.try_once(what).await)
            }
            _ => Ok(result),
        }
    }

    async fn try_once(&mut self, what: Try<'_>) -> Result<OpenedData, OpenError> {
        let Try { step, left, is_deaf, transfer } = what;
        let DataCommand { command, offset, is_followed } = transfer;
        let ports = if step.is_active() { self.inbound_ports().await } else { None };
        let profile = self.data_path.profile.clone();
        let (round_trip, budget) = (profile.round_trip(), self.site.connect_timeout);
        let may_pipeline = !profile.pipelining().is_off();
        let params = OpenParams {
            security: self.security.as_ref(),
            listen_config: ListenConfig::of(&self.site, ports.as_ref()),
            source_address: self.site.source_address,
            proxy: self.site.proxy.as_ref(),
            host: &self.site.host,
            answer_timeout: answer_time(round_trip, budget),
            open_timeout: open_time(round_trip, budget, step, left),
            address: if is_deaf { PasvHint::Deaf } else { profile.pasv_hint() },
            idle: self.site.data_timeout,
            offset,
            restarts: self.features.has("REST") && may_pipeline,
            has_worked: self.data_path.fallback_order.current() == Some(step)
                && may_pipeline
                && !profile.wants_separate_ports(),
            is_early: is_followed
                && command.verb() == Verb::Stor
                && self.data_path.fallback_order.current() == Some(step)
                && profile.is_trusted(Verb::Stor),
            stop: self.context.stop.clone(),
        };
        open(&mut self.control, step, command, &params).await
    }

    /// Returns the command for the `next` transfer to send before the reply that ends the transfer `verb`.
    pub(super) async fn lookahead(
        &mut self,
        verb: Verb,
        next: NextTransfer<'_>,
    ) -> Option<Lookahead> {
        let step = self.data_path.fallback_order.current().filter(|_| next.is_some())?;
        let command = self.data_path.profile.ahead(verb, step)?;
        if !step.is_active() {
            return Some(Lookahead::Ask(command));
        }
        if self.data_path.profile.wants_separate_ports() {
            return None;
        }
        let NextTransfer::Download(file) = next else { return None };
        let next = FtpCommand::path(Verb::Retr, &self.absolute(file).ok()?);
        if command == Verb::Noop {
            return Some(Lookahead::Ask(command));
        }
        let ports = self.inbound_ports().await;
        let ours = self.control.local.ip().to_canonical();
        // If no port is free, the next transfer is requested in its turn.
        let data_listener = listen(ours, ListenConfig::of(&self.site, ports.as_ref())).ok()?;
        let announcement = announce(step, data_listener.announced);
        Some(Lookahead::Call(data_listener, [announcement, next]))
    }

    /// Returns the inbound ports for the server, if they are known or can be obtained. The user's settings take
    /// precedence.
    async fn inbound_ports(&mut self) -> Option<InboundPorts> {
        let port_provider = self.context.port_provider.clone()?;
        let wish = PortRequest {
            ours: self.control.local.ip().to_canonical(),
            server: self.control.peer.ip().to_canonical(),
            ports: self.site.port_range.clone(),
            address: self.site.external_address,
            count: usize::from(match self.site.parallel {
                PARALLEL_AUTO => PARALLEL_AUTO_FIRST,
                count => count,
            }),
            may_ask: self.site.map_ports,
        };
        match self
            .context
            .stop
            .run_until_cancelled(port_provider.open(&wish))
            .await
            .and_then(|opened| opened)
        {
            Ok(ports) => ports,
            Err(error) => {
                let text = format!("active mode goes without a mapped port: {error}");
                self.context.observer.warn_once(text);
                None
            }
        }
    }

    /// Asks the server for our address as it sees it, if active mode has just failed and nothing else explains it.
    async fn ask_for_ours(&mut self, next: DataMethod, last: Option<&FailedMethod>) -> Result<()> {
        let Some(FailedMethod { step, error }) = last else { return Ok(()) };
        let is_change = step.is_active() && !next.is_active();
        if !is_change
            || self.data_path.asked_for_ours
            || !self.data_path.seen.wants_ours_there(error)
        {
            return Ok(());
        }
        self.data_path.asked_for_ours = true;
        let time = answer_time(self.data_path.profile.round_trip(), self.site.connect_timeout);
        match self.control.ask_within(time, &FtpCommand::bare(Verb::Stat)).await {
            Ok(reply) => {
                self.data_path.seen.ours_there =
                    our_address_in(&reply.text(), self.data_path.seen.peer);
            }
            Err(error) => tracing::debug!(target: "portolan", "no STAT: {error}"),
        }
        self.ensure().await
    }
}
