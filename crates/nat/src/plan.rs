//! The changes that applying a ruleset would make: pure, once the state of the host has been read.

use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

use sha2::{Digest, Sha256};

use super::{
    backend::{Backend, Choice, FoundRules},
    chains::{Chains, Shape, notes},
    conflicts,
    cutoff::{self, HostServices},
    features,
    foreign::{ForeignEffects, Warning, also_dropped, blockers, legacy},
    guard,
    host::{HostNetwork, KnownLink},
    listing::FilterTable,
    loadable::{Loadable, loadable},
    masters,
    model::{ACCEPT, ACTIVE_RANGE, Open, RulesetPart, RulesetSpec},
    needs,
    nets::NetSet,
    overlaps,
    plan_report::diff,
    rules::CompiledRules,
    ruleset_store::{OpenPorts, concerned},
    sysctl::{self, Sysctl},
    twin::rehearsal::PlanRehearsal,
    uplinks,
    ways::ways,
};
use portolan_core::{
    encoding::to_hex,
    error::{Error, Result},
};

/// The changes that applying a ruleset would make.
#[derive(Debug, Clone)]
pub struct RulesetPlan {
    /// The ruleset's name.
    pub ruleset: String,
    /// The location of its rules: `inet portolan_office`.
    pub place: String,
    /// The packet filter, with its version.
    pub backend: String,
    /// True if anything would change.
    pub changed: bool,
    /// True if the live rules could be read; otherwise all rules are shown as new.
    pub live_readable: bool,
    /// The lines of the listing that would be removed and added.
    pub diff: String,
    /// The parts that would be new.
    pub add: Vec<String>,
    /// The parts that would change: each as it is now, and as it would be.
    pub change: Vec<(String, String)>,
    /// The parts that would be removed.
    pub remove: Vec<String>,
    /// The warnings for the user.
    pub warnings: Vec<Warning>,
    /// The kernel settings that would change.
    pub sysctls: Vec<Sysctl>,
    /// The kernel modules that would be loaded.
    pub modules: Vec<String>,
    /// The settings that it needs, by path, including those that need no change.
    pub(super) needs: Vec<(String, String)>,
    /// The settings of interfaces that are still to come.
    pub(super) coming: Vec<Sysctl>,
    /// The ruleset, for the watcher.
    pub(super) spec: Option<serde_json::Value>,
    /// The SSH ports of the host.
    pub(super) login_ports: BTreeSet<u16>,
    /// The addresses of the host that it names, each with its interface.
    pub(super) addresses: Vec<(IpAddr, String)>,
    pub(super) interfaces: Vec<String>,
    /// The interfaces that its rules name.
    pub(super) devices: Vec<String>,
    /// Those of them that are there.
    pub(super) links: Vec<KnownLink>,
    pub(super) choice: Choice,
    pub(super) table: String,
    pub(super) body: String,
    /// The body in a form that other tools can load any number of times.
    exported: String,
    /// The body as the filter would list it, if that is known.
    pub(super) wanted: Option<String>,
    pub(super) notes: Vec<String>,
    /// The ports that would be open for the host's own sessions.
    pub(super) opened: Vec<OpenPorts>,
    /// The result of reading the live rules.
    pub(super) found: FoundRules,
    pub(super) live: LiveState,
    pub(super) chains: Chains,
    /// The commands that load the rules, if they are not in force.
    pub(super) loading: Vec<String>,
    /// The reason why it is refused without `force`, such as a lockout.
    pub(super) refusal: Option<Error>,
    /// The messages about missing interfaces.
    pub(super) absent: Vec<String>,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LiveState {
    Nothing,
    /// A plain ruleset.
    Rules(Chains),
    /// A trial: `new` until it is over.
    Trial {
        new: Chains,
        old: Chains,
    },
    /// `old` again: the trial is over, but its table still exists.
    Over {
        old: Chains,
    },
    /// A table that was not made by portolan alone.
    Strange,
}

impl LiveState {
    pub(super) fn of(backend: &dyn Backend, table: &str, found: &FoundRules) -> Self {
        let FoundRules::Listing(listing) = found else { return Self::Nothing };
        match backend.shape(table, listing) {
            Shape::Plain(chains) => Self::Rules(chains),
            Shape::Trial { old, is_over: true, .. } => Self::Over { old },
            Shape::Trial { new, old, .. } => Self::Trial { new, old },
            Shape::Strange => Self::Strange,
        }
    }

    /// Returns the rules in force.
    pub(super) const fn chains(&self) -> Option<&Chains> {
        match self {
            Self::Rules(chains) | Self::Over { old: chains } | Self::Trial { new: chains, .. } => {
                Some(chains)
            }
            Self::Nothing | Self::Strange => None,
        }
    }

    /// Returns true if another program made what is there: none of its rules has portolan's comment.
    pub(super) fn is_foreign(&self, found: &FoundRules) -> bool {
        let FoundRules::Listing(listing) = found else { return false };
        match self {
            Self::Strange => !listing.contains("comment \"portolan:"),
            Self::Rules(chains) => {
                chains.values().any(|rules| !rules.is_empty()) && notes(chains).is_empty()
            }
            Self::Nothing | Self::Over { .. } | Self::Trial { .. } => false,
        }
    }
}

impl RulesetPlan {
    /// Returns the identifier of the plan: another plan has the same one only if it leads from the same live rules
    /// and settings to the same new ones.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        let found = match &self.found {
            FoundRules::Missing => "",
            FoundRules::Unreadable => "?",
            FoundRules::Listing(listing) => listing,
        };
        for part in [&self.table, &self.body, found] {
            hash.update(part);
            hash.update([0]);
        }
        for one in &self.sysctls {
            hash.update(format!("{}={} {}\0", one.path, one.was, one.set));
        }
        for module in &self.modules {
            hash.update(format!("{module}\0"));
        }
        let mut digits = to_hex(hash.finalize());
        digits.truncate(12);
        digits
    }

    /// Returns the text that other tools can load, any number of times.
    pub fn text(&self) -> &str {
        &self.exported
    }
}

/// A snapshot of the host's state.
pub(super) struct HostSnapshot<'s> {
    pub(super) here: &'s HostNetwork,
    /// Its services and logins, if the rules may cut them off.
    pub(super) services: Option<&'s HostServices>,
    pub(super) backend: &'s dyn Backend,
    /// The tables of all programs.
    pub(super) everything: &'s [FilterTable],
    /// The names of the tables of legacy iptables, for both families.
    pub(super) legacy: [&'s str; 2],
    /// True if the rules can be read.
    pub(super) is_readable: bool,
    /// Tries a ruleset on a copy of the host.
    pub(super) rehearse: &'s dyn Fn(&PlanRehearsal<'_>) -> Result<ForeignEffects>,
}

impl HostSnapshot<'_> {
    /// Returns true if there may be rules that are not those of the ruleset with this table.
    fn has_others(&self, table: &str) -> bool {
        let [names4, names6] = self.legacy.map(str::trim);
        let sees_all =
            self.backend.choice() == Choice::Nft && names4.is_empty() && names6.is_empty();
        !sees_all || self.everything.iter().any(|one| one.name != table)
    }

    /// Returns the effects of other people's rules on a ruleset, which is loaded as `body` into `table`: as a copy of the
    /// host shows them, or else as they read.
    fn effects(
        &self,
        ruleset: &RulesetSpec,
        made: &CompiledRules,
        (table, body): (&str, &str),
    ) -> Result<ForeignEffects> {
        let Self { here, backend, everything, .. } = *self;
        if !self.is_readable || !self.has_others(table) {
            return Ok(ForeignEffects::default());
        }
        let ways = ways(ruleset, here)?;
        let tried = &PlanRehearsal { ways: &ways, here, backend, table, body, everything };
        let fault = match (self.rehearse)(tried) {
            Ok(effects) => return Ok(effects),
            Err(fault) => fault,
        };
        let mut effects = conflicts::effects(everything, table, made);
        effects.warnings.splice(0..0, blockers(everything, table, &ways));
        let [names4, names6] = self.legacy;
        effects.warnings.extend(legacy(names4, names6));
        let mut texts = effects.warnings.iter_mut().map(|one| &mut one.text);
        if let Some(first) = texts.next().or(effects.conflicts.first_mut()) {
            write!(first, " (rules of others were only read, not tried: {})", fault.message).ok();
        }
        Ok(effects)
    }
}

/// Plans `ruleset`. `remembered` is the text that was loaded last, and its listing.
pub(super) fn plan(
    ruleset: &RulesetSpec,
    sight: &HostSnapshot<'_>,
    found: FoundRules,
    remembered: Option<(&str, &str)>,
) -> Result<RulesetPlan> {
    let HostSnapshot { here, backend, .. } = *sight;
    let table = ruleset.table();
    let Loadable { made, chains, body, wanted, unclamped } =
        loadable(ruleset, &table, here, backend)?;
    let live = LiveState::of(backend, &table, &found);
    let needs::RulesetSettings { needs, coming, changes: sysctls, idle } =
        needs::settings(ruleset, &made, here, sysctl::read);
    let modules = sysctl::modules(&made);
    let is_same = match (&live, &found) {
        (LiveState::Rules(_), FoundRules::Listing(listing)) => match &wanted {
            Some(wanted) => wanted == listing,
            None => remembered == Some((&body, listing)),
        },
        _ => false,
    };
    let shown = wanted.as_deref().unwrap_or(&body);
    let now = listed_now(backend, &table, &live, &found)?;
    let diff = if is_same { String::new() } else { diff(&now, shown) };
    let commands = || backend.commands(&table, &body, &found);
    let loading = if diff.is_empty() { Vec::new() } else { commands() };
    let effects = sight.effects(ruleset, &made, (&table, &body))?;
    // It is told before it happens, and not for ever after.
    let services = sight.services.filter(|_| !is_same);
    let refusal = guard::check(&made, here, services)
        .and_then(|()| cutoff::check(&made, services))
        .and_then(|()| conflicts::check(&effects.conflicts))
        .err();
    let devices: Vec<String> = made.named.iter().map(ToString::to_string).collect();
    let settings = needs.iter().map(|(path, _)| path.as_str());
    let links = here.known_links(&concerned(devices.iter().cloned(), settings));
    let told = warnings(ruleset, &made, sight, &idle);
    let warnings = [effects.warnings, told, unclamped, cutoff::warnings(&made, services)].concat();
    let mut plan = RulesetPlan {
        ruleset: ruleset.name().to_owned(),
        place: backend.place(&table),
        backend: backend.words(),
        choice: backend.choice(),
        changed: !is_same || !sysctls.is_empty() || !modules.is_empty(),
        live_readable: found != FoundRules::Unreadable,
        diff,
        add: Vec::new(),
        change: Vec::new(),
        remove: Vec::new(),
        warnings,
        sysctls,
        modules,
        needs,
        coming,
        spec: serde_json::to_value(ruleset).ok(),
        login_ports: here.login_ports.clone(),
        addresses: ruleset.own_addresses(here),
        interfaces: here.interfaces.clone(),
        links,
        devices,
        notes: notes(&chains),
        opened: opened(ruleset, here),
        loading,
        refusal,
        absent: guard::absent(&made, here),
        exported: backend.exported(&table, &body),
        table,
        body,
        wanted,
        found,
        live,
        chains,
    };
    plan.compare();
    Ok(plan)
}

/// Returns the rules in force, as the filter lists them.
fn listed_now(
    backend: &dyn Backend,
    table: &str,
    live: &LiveState,
    found: &FoundRules,
) -> Result<String> {
    if let (LiveState::Rules(_) | LiveState::Strange, FoundRules::Listing(listing)) = (live, found)
    {
        return Ok(listing.clone());
    }
    let Some(chains) = live.chains().filter(|chains| !chains.is_empty()) else {
        return Ok(String::new());
    };
    let body = backend.body(table, chains);
    Ok(backend.listed(table, &body)?.unwrap_or(body))
}

impl RulesetPlan {
    /// Compares the present parts with the planned ones; a removed and a new part of the same kind are one change.
    fn compare(&mut self) {
        let before = self.live.chains().map(notes).unwrap_or_default();
        self.add = self.notes.iter().filter(|note| !before.contains(note)).cloned().collect();
        let gone = before.into_iter().filter(|note| !self.notes.contains(note));
        for note in gone {
            let sort = note.split(' ').next();
            match self.add.iter().position(|fresh| fresh.split(' ').next() == sort) {
                Some(at) => self.change.push((note, self.add.remove(at))),
                None => self.remove.push(note),
            }
        }
        for text in &self.absent {
            let text = text.clone();
            self.warnings.push(Warning { about: "interface", text, remedy: String::new() });
        }
        if matches!(self.live, LiveState::Trial { .. }) {
            let text = "a trial of this ruleset runs: `confirm` keeps its rules, `rollback` takes them back".into();
            self.warnings.push(Warning { about: "trial", text, remedy: String::new() });
        }
        if let Some(fault) = &self.refusal {
            let text = fault.message.clone();
            self.warnings.push(Warning { about: "refused", text, remedy: String::new() });
        }
    }
}

fn warnings(
    ruleset: &RulesetSpec,
    made: &CompiledRules,
    sight: &HostSnapshot<'_>,
    idle: &[Sysctl],
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    warnings.extend(also_dropped(sight.everything, made, sight.here));
    warnings.extend(masters::warnings(made, sight.here));
    warnings.extend(features::ipv6_off(&made.all, sysctl::read));
    warnings.extend(needs::reverse_path(ruleset.parts(), sight.here, sysctl::read));
    warnings.extend(uplinks::warnings(ruleset, sight.here, |address| sight.here.is_own(address)));
    warnings.extend(overlaps::messages(ruleset.parts()).into_iter().map(|text| Warning {
        about: "hidden",
        text,
        remedy: String::new(),
    }));
    let mut say = |text: String, remedy: &str| {
        warnings.push(Warning { about: "idle", text, remedy: remedy.into() });
    };
    let has = |is_one: fn(&RulesetPart) -> bool| ruleset.parts().iter().any(is_one);
    let lets_in = |part: &RulesetPart| matches!(part, RulesetPart::Open(one) if one.what == ACCEPT);
    if !ruleset.is_isolated() && has(|part| matches!(part, RulesetPart::Allow(_))) {
        say("`allow` does nothing without `isolate(true)`: nothing is dropped".into(), "");
    }
    if !ruleset.is_isolated() && has(lets_in) {
        say("`accept` does nothing without `isolate(true)`: nothing is dropped".into(), "");
    }
    if !idle.is_empty() {
        let keys: Vec<_> = idle.iter().map(|one| format!("{} is {}", one.key(), one.was)).collect();
        let text = format!(
            "the kernel does not pass packets on ({}): `forwarding(true)` lets it",
            keys.join(", ")
        );
        say(text, "");
    }
    warnings
}

/// Returns the ports that `ruleset` opens for the host's own sessions.
pub(super) fn opened(ruleset: &RulesetSpec, here: &HostNetwork) -> Vec<OpenPorts> {
    let ranges = ruleset.parts().iter().filter_map(|part| match part {
        RulesetPart::Open(open) if open.what == ACTIVE_RANGE => Some(open),
        _ => None,
    });
    let opened = |open: &Open| {
        let family = open.from.as_ref().map(NetSet::family);
        // On one of several, it is the kernel that chooses; all of them are open.
        let single = |device| match here.resolve(device, family, None).ok()?.as_slice() {
            [one] if one.prefix().is_none() => Some(one.to_string()),
            _ => None,
        };
        let one = OpenPorts {
            ports: open.ports.as_ref().map(|ports| ports.ranges().to_vec()).unwrap_or_default(),
            server: None,
            device: open.device.as_ref().and_then(single),
            external: open.external,
        };
        // One for each network of servers.
        let from = open.from.as_ref().map(NetSet::nets).unwrap_or_default();
        let mut each: Vec<_> = from
            .iter()
            .map(|net| OpenPorts { server: Some(net.to_string()), ..one.clone() })
            .collect();
        if each.is_empty() {
            each.push(one);
        }
        each
    };
    ranges.flat_map(opened).collect()
}
