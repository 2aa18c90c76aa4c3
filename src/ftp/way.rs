//! The way to data: which steps of the ladder are left, what was tried, and what was said of it.

use std::time::Instant;

use super::{
    control::Command,
    data::{
        open::{Failure, Needs, Opened, open},
        route::{Ladder, Step},
    },
    session::Session,
    site::{Mode, Site},
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    limits::{ATTEMPTS_KEPT_MAX, OPEN_TIMEOUT},
    observe::{Attempt, Event},
};

/// What a session knows of its ways to data.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) ladder: Ladder,
    /// Every try, the latest last.
    pub(super) attempts: Vec<Attempt>,
    /// The mode that the user knows of.
    told_mode: Option<&'static str>,
    /// Whether the TLS of the last data connection began from nothing: some servers refuse that.
    pub(super) began_fresh_tls: bool,
}

impl Way {
    /// The ways to a server of which nothing is known yet.
    pub(super) const fn new(site: &Site, is_ipv6: bool) -> Self {
        let ladder = Ladder::new(site.mode, site.fallback, is_ipv6);
        Self { ladder, attempts: Vec::new(), told_mode: None, began_fresh_tls: false }
    }

    /// The same for another session with the server, with a record of its own.
    pub(super) fn for_another(&self) -> Self {
        let ladder = self.ladder.clone();
        Self { ladder, attempts: Vec::new(), told_mode: self.told_mode, began_fresh_tls: false }
    }
}

impl Session {
    /// Tries `step` and no other from now on, to see what it does.
    pub(super) const fn hold(&mut self, step: Step) {
        self.way.ladder.hold(step);
        self.way.told_mode = Some(step.mode());
    }

    /// Makes a data connection and starts `command` over it, by whatever way the ladder has.
    pub(super) async fn open_data(&mut self, command: &Command, offset: u64) -> Outcome<Opened> {
        let mut last = None;
        let mut hopeless = None;
        for step in self.way.ladder.steps() {
            if hopeless == Some(step) {
                continue;
            }
            self.ensure().await?;
            let started = Instant::now();
            let mut result = self.try_step(step, command, offset).await;
            if let Err(failure) = &result
                && self.is_unsent(&failure.fault)
            {
                self.renew().await?;
                result = self.try_step(step, command, offset).await;
            }
            match result {
                Ok(opened) => {
                    self.way.began_fresh_tls = opened.data.is_fresh_tls();
                    self.record(step, opened.address.clone(), None, started);
                    self.way.ladder.worked(step);
                    self.tell_mode(step, last.as_ref());
                    return Ok(opened);
                }
                Err(failure) => {
                    let fault = failure.fault.on(&self.site.host);
                    self.way.began_fresh_tls = fault.kind == Kind::Tls;
                    if !failure.is_matter_of_mode || fault.kind == Kind::Interrupted {
                        return Err(fault);
                    }
                    hopeless = step.shares_its_fate(&fault, &failure.address);
                    self.record(step, failure.address, Some(&fault), started);
                    self.way.ladder.failed(step, &fault);
                    last = Some((step, fault));
                }
            }
        }
        let Some((_, fault)) = last else {
            let message = "no way to a data connection is left";
            return Err(Fault::new(Kind::DataConnection, Side::Server, message).on(&self.site.host));
        };
        Err(self.no_way(fault))
    }

    async fn try_step(
        &mut self,
        step: Step,
        command: &Command,
        offset: u64,
    ) -> Result<Opened, Failure> {
        let needs = Needs {
            security: self.security.as_ref(),
            port_range: self.site.port_range.clone(),
            external_address: self.site.external_address,
            source_address: self.site.source_address,
            open_timeout: OPEN_TIMEOUT.min(self.site.connect_timeout),
            idle: self.site.data_timeout,
            offset,
            stop: self.context.stop.clone(),
        };
        open(&mut self.control, step, command, &needs).await
    }

    fn record(&mut self, step: Step, address: String, fault: Option<&Fault>, started: Instant) {
        let attempt = Attempt {
            step: step.word(),
            address,
            worked: fault.is_none(),
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            words: fault.map(|fault| fault.message.clone()).unwrap_or_default(),
        };
        let host = self.site.host.clone();
        self.context.observer.tell(&Event::Attempted { host, attempt: attempt.clone() });
        if self.way.attempts.len() >= ATTEMPTS_KEPT_MAX {
            self.way.attempts.remove(0);
        }
        self.way.attempts.push(attempt);
    }

    /// Says once that the data goes another way than was asked for or than before.
    fn tell_mode(&mut self, step: Step, failed: Option<&(Step, Fault)>) {
        let wanted = match self.site.mode {
            Mode::Active => "active",
            Mode::Passive | Mode::Auto => "passive",
        };
        let before = self.way.told_mode.unwrap_or(wanted);
        if before != step.mode() {
            let reason = failed.map(|(_, fault)| fault.message.clone()).unwrap_or_default();
            let host = self.site.host.clone();
            self.context.observer.tell(&Event::FellBack {
                host,
                from: before,
                to: step.mode(),
                reason,
            });
        }
        self.way.told_mode = Some(step.mode());
    }

    fn no_way(&self, last: Fault) -> Fault {
        let tried = if self.site.fallback { "in either mode" } else { "and `fallback` is off" };
        let message = format!("no data connection could be made, {tried}: {}", last.message);
        Fault { message, kind: Kind::DataConnection, ..last }
    }
}
