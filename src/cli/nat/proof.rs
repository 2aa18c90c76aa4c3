//! The proof of an applied plan by FTP: `--probe URL`.

use super::NatContext;
use crate::{
    cli::common::{Common, runtime},
    error::{Error, Result},
    ftp::{secret::Secret, site::Site, url::Url},
    nat::{
        apply::{Applied, ApplyOptions},
        machine::NatHost,
        model::RulesetSpec,
    },
    nat_proof::prove,
    observe::MessageLevel,
    script::{
        netrc::Netrc,
        site::{Overrides, complete, site_of},
        sites::parse_url,
    },
};

/// The logins and options with which sessions are held.
pub(super) struct ProofLogin {
    overrides: Overrides,
    netrc: Netrc,
    password: Option<Secret>,
}

impl ProofLogin {
    /// Returns those of the command line.
    pub(super) fn of(common: &Common) -> Result<Self> {
        let (overrides, netrc) = (common.overrides()?, common.netrc()?);
        Ok(Self { overrides, netrc, password: common.password()? })
    }

    fn site(&self, url: &Url) -> Result<Site> {
        let mut site = site_of(url, &self.overrides)?;
        complete(&mut site, &self.netrc, self.password.as_ref(), false)?;
        Ok(site)
    }
}

impl NatContext<'_> {
    /// Holds the sessions that prove a ruleset, if any are wanted; confirms it then, or takes it back.
    pub(super) fn prove(
        &self,
        (machine, spec): (&NatHost, &RulesetSpec),
        order: &ApplyOptions,
        applied: &mut Applied,
    ) -> Result<()> {
        let Some(url) = &order.probe else { return Ok(()) };
        let proved = || -> Result<_> {
            let site = self.login.site(&parse_url(url)?)?;
            runtime()?.block_on(prove(&site, spec, self.context))
        };
        let (ledger, now) = (self.ledger()?, || self.context.clock.now());
        let is_trial = applied.trial_until.is_some();
        match proved() {
            Ok(steps) => {
                let text = format!("ruleset {}: proved by {}", spec.name(), steps.join("; "));
                self.context.observer.message(MessageLevel::Info, text);
                if is_trial {
                    machine.confirm(spec.name(), ledger, now())?;
                    applied.trial_until = None;
                }
                Ok(())
            }
            Err(fault) if is_trial => {
                machine.rollback(spec.name(), ledger, now())?;
                let message = format!("{}: the old rules are back", fault.message);
                Err(Error { message, ..fault })
            }
            Err(fault) => Err(fault),
        }
    }
}
