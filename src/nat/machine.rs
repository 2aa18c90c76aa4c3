//! This machine and its packet filter: what is there, and what a ruleset would change.

use std::fs;

use super::{
    backend::{self, Backend, Found},
    here::Here,
    ledger::Record,
    model::Ruleset,
    plan::{Plan, Sight, plan},
};
use crate::fault::Outcome;

/// This machine. It is looked at anew for each plan.
pub struct Machine {
    pub(super) backend: Box<dyn Backend>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({})", self.backend.words())
    }
}

impl Machine {
    /// This machine with the filter that it has. Fails with `nat.no_backend`.
    pub fn this() -> Outcome<Self> {
        Ok(Self { backend: backend::choose()? })
    }

    /// Plans `ruleset`; changes nothing, and needs no rights. `record` is what is remembered of it.
    pub fn plan(&self, ruleset: &Ruleset, record: Option<&Record>) -> Outcome<Plan> {
        let here = Here::look();
        let found = self.backend.found(&ruleset.table())?;
        let everything =
            if found == Found::Unreadable { String::new() } else { self.backend.everything() };
        // Only root may read these.
        let names = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        let [names4, names6] = &names;
        let sight = Sight {
            here: &here,
            backend: &*self.backend,
            everything: &everything,
            legacy: [names4, names6],
        };
        let remembered = record.map(|record| (record.body.as_str(), record.listing.as_str()));
        plan(ruleset, &sight, found, remembered)
    }
}
