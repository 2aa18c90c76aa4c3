//! This machine and its packet filter: what is there, and what a ruleset would change.

use std::fs;

pub use super::backend::Choice;
use super::{
    Reason,
    backend::{self, Backend, Chosen, Found},
    foreign::Warning,
    here::Here,
    ledger::Record,
    model::Ruleset,
    plan::{Plan, Sight, plan},
};
use crate::fault::Outcome;

/// This machine. It is looked at anew for each plan.
pub struct Machine {
    pub(super) backend: Box<dyn Backend>,
    /// Why it is not the nft of this machine.
    broken: Option<String>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({})", self.backend.words())
    }
}

impl Machine {
    /// This machine with the filter that has the rules of `record`, if it has any, else with the one of `choice`. Fails
    /// with `nat.no_backend`.
    pub fn this(choice: Choice, record: Option<&Record>) -> Outcome<Self> {
        let choice = record.map_or(choice, |record| record.backend);
        let Chosen { backend, broken } = backend::choose(choice)?;
        Ok(Self { backend, broken })
    }

    /// Fails with `nat.conflict` where a ruleset is wanted in another filter than the one that has its rules.
    pub fn fits(&self, choice: Choice, ruleset: &str) -> Outcome<()> {
        let here = self.backend.choice();
        if choice == Choice::Auto || choice == here {
            return Ok(());
        }
        let message = format!(
            "the rules of `{ruleset}` are in {}, not in {}: `portolan nat revert` takes them away first",
            here.word(),
            choice.word()
        );
        Err(Reason::Conflict.fault(message))
    }

    /// Plans `ruleset`; changes nothing, and needs no rights. `record` is what is remembered of it.
    pub fn plan(&self, ruleset: &Ruleset, record: Option<&Record>) -> Outcome<Plan> {
        let here = Here::look();
        let found = self.backend.found(&ruleset.table())?;
        let everything =
            if found == Found::Unreadable { Vec::new() } else { self.backend.everything() };
        // Only root may read these.
        let names = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        let [names4, names6] =
            if self.backend.sees_legacy() { &Default::default() } else { &names };
        let sight = Sight {
            here: &here,
            backend: &*self.backend,
            everything: &everything,
            legacy: [names4, names6],
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
