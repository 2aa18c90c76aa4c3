//! Mending of rulesets: what was applied holds again after interfaces, addresses, routes, settings or rules have changed.
//!
//! It is always what was applied last that is mended, from its record; a script that has been edited since is not read.
//! Trials are left alone, and so is a table that another program has put in the place of ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    NatError,
    backend::FoundRules,
    chains::notes,
    check::Interface,
    guard,
    host::HostNetwork,
    loadable::{Loadable, loadable},
    machine::NatHost,
    needs, persist,
    plan::{LiveState, opened},
    rules::{CompiledRules, rules},
    ruleset_store::{OpenPorts, RulesetRecord, RulesetStore, concerned},
    sysctl::{self, Sysctl},
};
use portolan_core::error::Result;

/// A change that mends something, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Its topic: `rules`, `setting`, `address`, `interface`, `module` or `foreign`.
    pub about: &'static str,
    /// The change, or the reason why there is none.
    pub text: String,
}

/// The result of looking after one ruleset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MendReport {
    /// The changes, in order; none if everything held.
    pub mended: Vec<Mended>,
    /// The interfaces that its rules name and that are not there.
    pub absent: BTreeSet<String>,
}

/// The state that a record stands for, on the host as it is now.
struct WantedState {
    body: String,
    notes: Vec<String>,
    opened: Vec<OpenPorts>,
    needed: Vec<Sysctl>,
    modules: Vec<String>,
    absent: BTreeSet<String>,
}

impl NatHost {
    /// Makes the ruleset of that name hold again, as it was applied. A name without a record is nothing to mend.
    ///
    /// Fails with `nat.not_permitted`, `nat.busy`, `nat.nft_failed` and others; what was mended before stays so.
    pub fn mend(&self, name: &str, ledger: &dyn RulesetStore) -> Result<MendReport> {
        let _lock = ledger.lock()?;
        let mut report = MendReport::default();
        let Some(mut record) = ledger.load(name)? else { return Ok(report) };
        let table = format!("portolan_{name}");
        let found = self.readable(&table)?;
        let live = LiveState::of(&*self.backend, &table, &found);
        let is_on_trial = record.trial.is_some()
            || matches!(live, LiveState::Trial { .. } | LiveState::Over { .. });
        if is_on_trial {
            return Ok(report);
        }
        if live.is_foreign(&found) {
            let text = format!(
                "{} has rules that are not portolan's: it is left alone",
                self.backend.place(&table)
            );
            report.mended.push(Mended { about: "foreign", text });
            return Ok(report);
        }
        let before = record.clone();
        let mut here = HostNetwork::look();
        // Those of the session in which it was applied: a service has none.
        here.login_ports.extend(&record.login_ports);
        report.mended.extend(follow_names(&mut record, &here));
        report.mended.extend(follow_addresses(&mut record, &here));
        let wanted = self.wanted(&record, &here, &table)?;
        report.absent.clone_from(&wanted.absent);
        for module in &wanted.modules {
            sysctl::load(module)?;
            let text = format!("kernel module {module} loaded");
            report.mended.push(Mended { about: "module", text });
        }
        report.mended.extend(self.assert_rules(&mut record, &wanted, &table, &found)?);
        let done = assert_settings(&mut record, &wanted.needed, &mut report.mended);
        if record != before {
            persist::keep(&record, &*self.backend)?;
            ledger.save(&record)?;
        }
        done.map(|()| report)
    }

    fn wanted(
        &self,
        record: &RulesetRecord,
        here: &HostNetwork,
        table: &str,
    ) -> Result<WantedState> {
        let made = match record.ruleset_spec() {
            Some(spec) => match rules(&spec, here) {
                // `auto` has no interface just now: the rules stay until it has one again.
                Err(fault) if fault.name == Some(NatError::UnknownInterface.name()) => None,
                made => Some((spec, made?)),
            },
            None => None,
        };
        let Some((spec, made)) = made else { return Ok(remembered(record)) };
        let chains = self.backend.chains(&made.all)?;
        let body = self.backend.body(table, &chains);
        // Only rules that are new have to be tried.
        let (made, chains, body) = if body == record.body {
            (made, chains, body)
        } else {
            let Loadable { made, chains, body, .. } = loadable(&spec, table, here, &*self.backend)?;
            (made, chains, body)
        };
        let mut needed = if spec.is_forwarding() {
            needs::needed(&made, here, sysctl::read)
        } else {
            Vec::new()
        };
        // A watcher need not prepare for interfaces that are missing at the moment.
        needed.retain(|one| !needs::is_default(&one.path) || record.has_need(&one.path));
        Ok(WantedState {
            body,
            notes: notes(&chains),
            opened: opened(&spec, here),
            needed,
            modules: sysctl::modules(&made),
            absent: absent(&made, here),
        })
    }

    /// Loads the rules unless they are in force, and returns what was done.
    fn assert_rules(
        &self,
        record: &mut RulesetRecord,
        wanted: &WantedState,
        table: &str,
        found: &FoundRules,
    ) -> Result<Option<Mended>> {
        let is_same = record.body == wanted.body;
        if is_same && matches!(found, FoundRules::Listing(listing) if *listing == record.listing) {
            return Ok(None);
        }
        let text = reason(record, wanted, found);
        if let Err(fault) = self.backend.load(table, &wanted.body) {
            if let FoundRules::Listing(listing) = found {
                self.put_back(table, listing)?;
            }
            return Err(fault);
        }
        let FoundRules::Listing(listing) = self.backend.found(table)? else {
            let message =
                format!("{} is not there, though it was loaded", self.backend.place(table));
            return Err(NatError::NftFailed.fault(message));
        };
        record.listing = listing;
        record.body.clone_from(&wanted.body);
        record.notes.clone_from(&wanted.notes);
        record.opened.clone_from(&wanted.opened);
        Ok(Some(Mended { about: "rules", text }))
    }
}

/// Returns why the rules are loaded.
fn reason(record: &RulesetRecord, wanted: &WantedState, found: &FoundRules) -> String {
    let place = match found {
        FoundRules::Missing => "its rules were gone, and are loaded again",
        _ if record.body == wanted.body => {
            "its rules were changed by another program, and are loaded again"
        }
        _ => "its rules follow what has changed here",
    };
    let new = wanted.notes.iter().filter(|note| !record.notes.contains(note));
    let old = record.notes.iter().filter(|note| !wanted.notes.contains(note));
    let changes = new.map(|note| format!("+ {note}")).chain(old.map(|note| format!("- {note}")));
    let changes: Vec<_> = changes.collect();
    if changes.is_empty() { place.to_owned() } else { format!("{place}: {}", changes.join(", ")) }
}

/// Returns the state of a record whose ruleset cannot be compiled: its text, and the settings that it needed.
fn remembered(record: &RulesetRecord) -> WantedState {
    let need = |(path, value): &(String, String)| {
        let was = sysctl::read(path)?;
        Some(Sysctl { path: path.clone(), was, set: value.clone(), ..Sysctl::default() })
    };
    WantedState {
        body: record.body.clone(),
        notes: record.notes.clone(),
        opened: record.opened.clone(),
        needed: record.needs.iter().filter_map(need).collect(),
        modules: Vec::new(),
        absent: BTreeSet::new(),
    }
}

fn absent(made: &CompiledRules, here: &HostNetwork) -> BTreeSet<String> {
    guard::missing(made, here).map(ToString::to_string).collect()
}

/// Sets what is not as it is needed.
fn assert_settings(
    record: &mut RulesetRecord,
    needed: &[Sysctl],
    mended: &mut Vec<Mended>,
) -> Result<()> {
    for one in needed {
        if one.absent {
            record.remember(one);
        }
        if one.is_change() {
            record.remember(one);
            sysctl::set(one)?;
            mended.push(Mended { about: "setting", text: one.words() });
        }
    }
    if !needed.is_empty() {
        record.needs = needed.iter().map(|one| (one.path.clone(), one.set.clone())).collect();
    }
    Ok(())
}

/// Puts the present name of interfaces in the place of one that they no longer have, in rules and settings: the kernel has
/// taken the settings along.
fn follow_names(record: &mut RulesetRecord, here: &HostNetwork) -> Vec<Mended> {
    let Some(mut spec) = record.ruleset_spec() else { return Vec::new() };
    let renamed = record.links.iter().filter_map(|known| {
        let new = here.new_name(known).and_then(|new| Interface::parse(new).ok())?;
        Some((known.name.clone(), new))
    });
    let renamed: BTreeMap<String, Interface> = renamed.collect();
    let mut mended = Vec::new();
    if !renamed.is_empty() {
        spec.rename(&renamed);
        for (old, new) in &renamed {
            let text = format!("{old} is called {new} now, and the rules name that");
            mended.push(Mended { about: "interface", text });
        }
        record.rename(&renamed);
        record.spec = serde_json::to_value(&spec).ok();
    }
    // An interface that is made anew has another number.
    let paths = record.needs.iter().map(|(path, _)| path.as_str());
    let links = here.known_links(&concerned(record.devices.iter().cloned(), paths));
    record.links.retain(|known| links.iter().all(|now| now.name != known.name));
    record.links.extend(links);
    record.links.sort_by(|one, other| one.name.cmp(&other.name));
    mended
}

/// Puts the present address in the place of one that its interface no longer has, such as after DHCP.
fn follow_addresses(record: &mut RulesetRecord, here: &HostNetwork) -> Vec<Mended> {
    let Some(mut spec) = record.ruleset_spec() else { return Vec::new() };
    let moved = moved(&record.addresses, here, |address| here.is_own(address));
    let mut mended = Vec::new();
    for (old, new, device) in moved {
        spec.readdress(old, new);
        let text = format!("{device} has {new} in place of {old}, and the rules name that");
        mended.push(Mended { about: "address", text });
    }
    if !mended.is_empty() {
        record.addresses = spec.own_addresses(here);
        record.spec = serde_json::to_value(&spec).ok();
    }
    mended
}

/// Returns each address that is gone, with the only one that its interface has now, and that interface.
fn moved(
    addresses: &[(IpAddr, String)],
    here: &HostNetwork,
    is_own: impl Fn(IpAddr) -> bool,
) -> Vec<(IpAddr, IpAddr, String)> {
    let mut moved = Vec::new();
    for (old, device) in addresses.iter().filter(|(old, _)| !is_own(*old)) {
        let is_one = |(of, address): &&(String, IpAddr)| {
            let is_far = match address {
                IpAddr::V4(_) => true,
                IpAddr::V6(address) => !address.is_unicast_link_local(),
            };
            of == device && is_far && address.is_ipv4() == old.is_ipv4()
        };
        let mut now = here.addresses.iter().filter(is_one);
        // Of several, it is not known which one is meant.
        if let (Some((_, new)), None) = (now.next(), now.next()) {
            moved.push((*old, *new, device.clone()));
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Forward, RulesetPart, RulesetSpec, tests::forward};

    fn record(notes: &[&str]) -> RulesetRecord {
        let notes = notes.iter().map(|&note| note.to_owned()).collect();
        RulesetRecord { body: "a".into(), notes, ..RulesetRecord::default() }
    }

    #[test]
    fn the_reason_tells_what_another_program_did_and_what_follows() {
        let wanted = |body: &str, notes: &[&str]| WantedState {
            body: body.into(),
            ..remembered(&record(notes))
        };
        let told = |wanted, found| reason(&record(&["masquerade -> eth1"]), &wanted, &found);
        let same = || wanted("a", &["masquerade -> eth1"]);
        assert!(told(same(), FoundRules::Missing).contains("were gone"));
        assert!(told(same(), FoundRules::Listing("x".into())).contains("another program"));
        let text = told(wanted("b", &["masquerade -> eth2"]), FoundRules::Listing("x".into()));
        let tail = ": + masquerade -> eth2, - masquerade -> eth1";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn an_address_is_followed_if_its_interface_has_one_other() {
        let own = |device: &str, address: &str| (device.to_owned(), address.parse().unwrap());
        let old: IpAddr = "203.0.113.1".parse().unwrap();
        let told = |now: &[(&str, &str)]| {
            let addresses = now.iter().map(|(device, address)| own(device, address)).collect();
            let here = HostNetwork { addresses, ..HostNetwork::default() };
            let is_own = |address| here.addresses.iter().any(|(_, own)| *own == address);
            let found = moved(&[(old, "eth1".into())], &here, is_own);
            found.into_iter().map(|(_, new, _)| new.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(told(&[("eth1", "203.0.113.7"), ("eth0", "10.0.0.1")]), ["203.0.113.7"]);
        assert_eq!(told(&[("eth1", "203.0.113.7"), ("eth1", "203.0.113.8")]), [""; 0]);
        assert_eq!(told(&[("eth1", "203.0.113.7"), ("eth1", "203.0.113.1")]), [""; 0]);
        assert_eq!(told(&[("eth1", "fd00::1")]), [""; 0]);
    }

    #[test]
    fn a_record_gives_its_ruleset_back_as_it_was() {
        let mut spec = RulesetSpec::new("office").unwrap();
        let external = "203.0.113.1".parse().ok();
        let device = crate::check::InterfaceSelector::parse("ppp*").ok();
        let part = Forward { device, external, ..forward("21,50000-50009", "10.0.0.5") };
        spec.add(RulesetPart::Forward(part)).unwrap();
        spec.isolate(true);
        let written = serde_json::to_value(&spec).ok();
        let mut record =
            RulesetRecord { ruleset: "office".into(), spec: written, ..RulesetRecord::default() };
        assert_eq!(record.ruleset_spec().as_ref(), Some(&spec));
        let text = record.spec.take().unwrap().to_string();
        for (from, to) in [("ppp*", "ppp*\\\" drop"), ("10.0.0.5", "x"), ("office", "guests")] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            record.spec = serde_json::from_str(&changed).ok();
            assert!(record.spec.is_some(), "{changed}");
            assert_eq!(record.ruleset_spec(), None, "{changed}");
        }
    }
}
