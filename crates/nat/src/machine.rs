//! The host with its packet filter: its present state, and the plan for a ruleset.

use std::fs;

pub use super::backend::Choice;
use super::{
    NatError,
    backend::{self, Backend, Chosen, FoundRules},
    check::Protocol,
    cutoff::HostServices,
    foreign::{ForeignEffects, Warning},
    host::HostNetwork,
    model::{RulesetPart, RulesetSpec},
    plan::{HostSnapshot, RulesetPlan, plan},
    ruleset_store::RulesetRecord,
    twin::rehearsal::PlanRehearsal,
};
use portolan_core::error::Result;

/// The host with its packet filter. Its state is read anew for each plan.
pub struct NatHost {
    pub(super) backend: Box<dyn Backend>,
    /// The reason why the filter is not the installed nft.
    broken: Option<String>,
}

impl std::fmt::Debug for NatHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({})", self.backend.words())
    }
}

impl NatHost {
    /// Returns the host with the filter that has the rules of `record`, if there is one, or else with the filter of
    /// `choice`. Fails with `nat.no_backend`.
    pub fn this(choice: Choice, record: Option<&RulesetRecord>) -> Result<Self> {
        let choice = record.map_or(choice, |record| record.backend);
        let Chosen { backend, broken } = backend::choose(choice)?;
        Ok(Self { backend, broken })
    }

    /// Fails with `nat.conflict` if a ruleset is wanted in another filter than the one that has its rules.
    pub fn fits(&self, choice: Choice, ruleset: &str) -> Result<()> {
        let here = self.backend.choice();
        if choice == Choice::Auto || choice == here {
            return Ok(());
        }
        let message = format!(
            "the rules of `{ruleset}` are in {}, not in {}: `portolan nat revert` takes them away first",
            here.as_str(),
            choice.as_str()
        );
        Err(NatError::Conflict.fault(message))
    }

    /// Plans `ruleset`; changes nothing, and needs no privileges. `record` is the stored record of it. As root, it is tried
    /// on a copy of the host, beside the rules of others.
    pub fn plan(
        &self,
        ruleset: &RulesetSpec,
        record: Option<&RulesetRecord>,
    ) -> Result<RulesetPlan> {
        self.planned(ruleset, record, &|rehearsal| rehearsal.effects())
    }

    /// Plans `ruleset` without a look at what others' rules do to it: for its own state.
    pub fn compare(
        &self,
        ruleset: &RulesetSpec,
        record: Option<&RulesetRecord>,
    ) -> Result<RulesetPlan> {
        self.planned(ruleset, record, &|_| Ok(ForeignEffects::default()))
    }

    fn planned(
        &self,
        ruleset: &RulesetSpec,
        record: Option<&RulesetRecord>,
        rehearse: &dyn Fn(&PlanRehearsal<'_>) -> Result<ForeignEffects>,
    ) -> Result<RulesetPlan> {
        let here = HostNetwork::look();
        let found = self.backend.found(&ruleset.table())?;
        let everything =
            if found == FoundRules::Unreadable { Vec::new() } else { self.backend.everything() };
        // Only root can read these.
        let names = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        let [names4, names6] =
            if self.backend.sees_legacy() { &Default::default() } else { &names };
        // Only an isolated ruleset cuts off anybody, and one that forwards UDP takes ports away.
        let leads_udp = |part: &RulesetPart| match part {
            RulesetPart::Forward(part) => part.protocol != Protocol::Tcp,
            _ => false,
        };
        let is_looked_at = ruleset.is_isolated() || ruleset.parts().iter().any(leads_udp);
        let services = is_looked_at.then(|| HostServices::look(&here));
        let sight = HostSnapshot {
            here: &here,
            services: services.as_ref(),
            backend: &*self.backend,
            everything: &everything,
            legacy: [names4, names6],
            rehearse,
            is_readable: found != FoundRules::Unreadable,
        };
        let remembered = record.map(|record| (record.body.as_str(), record.listing.as_str()));
        let mut plan = plan(ruleset, &sight, found, remembered)?;
        plan.warnings.extend(self.broken.as_ref().map(|why| Warning {
            about: "backend",
            text: format!(
                "nftables does not work here ({why}): the rules go to {}",
                self.backend.words()
            ),
            remedy: String::new(),
        }));
        Ok(plan)
    }
}
