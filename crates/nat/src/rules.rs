//! A ruleset as rules for any packet filter: pure.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

pub(super) use super::rule::{DnatTarget, Hook, Match, Rule, RuleAction, rule};
use super::{
    check::{Family, Interface, InterfaceSelector, Net, Ports, Protocol},
    clamp::Clamped,
    host::HostNetwork,
    masters,
    model::{Allow, Forward, Helper, Masquerade, Open, RulesetPart, RulesetSpec},
    nets::NetSet,
    overlaps,
};
use portolan_core::error::Result;

/// The prefix of a helper's description.
pub(super) const HELPER_NOTE: &str = "ftp helper";

/// The description of the rules that drop what no `allow` names of the traffic that it is about.
const LIMIT_NOTE: &str = "isolate: no more than is allowed";

/// The rules of a ruleset, and the interfaces that they concern.
#[derive(Debug, Clone, Default)]
pub(super) struct CompiledRules {
    pub(super) all: Vec<Rule>,
    /// The interfaces that the ruleset names.
    pub(super) named: BTreeSet<Interface>,
    /// The interfaces between which packets are to be forwarded.
    pub(super) passing: BTreeSet<Interface>,
    /// The beginnings of the names of such interfaces, which come and go.
    pub(super) coming: BTreeSet<Interface>,
    /// True if packets are forwarded from or to a network whose interface no route tells, or that may be anywhere.
    pub(super) is_passing_elsewhere: bool,
    /// The interfaces on which packets of IPv4 come in and go out again.
    pub(super) hairpins: BTreeSet<Interface>,
    /// The families of the forwarded packets.
    pub(super) families: BTreeSet<Family>,
    /// The interfaces that the ruleset names and that belong to another one, by which the rules name them.
    pub(super) enslaved: BTreeSet<Interface>,
}

/// Returns the rules of `ruleset` on this host. Fails with `nat.unknown_interface` if `auto` has no interface, and with
/// `nat.conflict` if parts hide each other on that interface.
pub(super) fn rules(ruleset: &RulesetSpec, here: &HostNetwork) -> Result<CompiledRules> {
    overlaps::check_here(ruleset.parts(), here)?;
    let mut made = Maker::on(here);
    for part in ruleset.parts() {
        match part {
            RulesetPart::Masquerade(part) => made.masquerade(part)?,
            RulesetPart::Forward(part) => made.forward(part)?,
            RulesetPart::Allow(part) => made.allow(part)?,
            RulesetPart::Helper(part) => made.helper(part)?,
            RulesetPart::Open(part) => made.open(part)?,
            RulesetPart::Clamp(part) => {
                let devices = made.devices(&part.out, None, None)?;
                made.clamped.wanted.extend(devices);
            }
        }
    }
    made.clamp(ruleset.clamp());
    let has_helper = ruleset.parts().iter().any(|part| matches!(part, RulesetPart::Helper(_)));
    if ruleset.is_isolated() {
        made.isolate_forward(has_helper);
        made.isolate_input(has_helper);
    } else {
        made.rules.all.append(&mut made.opened);
    }
    // By chain; the sort is stable, so that rules of a chain keep their order.
    made.rules.all.sort_by_key(|rule| rule.hook);
    masters::replace(&mut made.rules, here);
    Ok(made.rules)
}

/// Returns the matches of a protocol and ports; ports without a protocol are those of TCP.
fn service(protocol: Option<Protocol>, ports: Option<&Ports>) -> Vec<Match> {
    let is_said = |protocol: &Protocol| *protocol != Protocol::Tcp || ports.is_none();
    let protocol = protocol.filter(is_said).map(Match::Protocol);
    protocol.into_iter().chain(ports.cloned().map(Match::Ports)).collect()
}

fn not_to(nets: &NetSet) -> Match {
    Match::NotTo(nets.nets().to_vec())
}

/// Returns each network, or `None` alone for any.
fn each(nets: Option<&NetSet>) -> Vec<Option<Net>> {
    nets.map_or_else(|| vec![None], |nets| nets.nets().iter().copied().map(Some).collect())
}

/// The rules under construction.
pub(super) struct Maker<'h> {
    pub(super) here: &'h HostNetwork,
    pub(super) rules: CompiledRules,
    /// The rules for traffic that may pass an isolated gateway.
    pub(super) allowed: Vec<Rule>,
    /// The rules that drop what `allow` leaves out of its traffic, before a masquerade lets it pass.
    pub(super) limits: Vec<Rule>,
    /// The rules for traffic that may come to the host.
    pub(super) opened: Vec<Rule>,
    /// The networks that are translated, each with its interface.
    pub(super) translated: Vec<(NetSet, Interface)>,
    pub(super) clamped: Clamped,
}

impl<'h> Maker<'h> {
    fn on(here: &'h HostNetwork) -> Self {
        Self {
            here,
            rules: CompiledRules::default(),
            allowed: Vec::new(),
            limits: Vec::new(),
            opened: Vec::new(),
            translated: Vec::new(),
            clamped: Clamped::default(),
        }
    }
}

impl Maker<'_> {
    pub(super) fn add(
        &mut self,
        hook: Hook,
        family: Option<Family>,
        matches: Vec<Match>,
        action: RuleAction,
        note: &str,
    ) {
        self.rules.all.push(rule(hook, family, matches, action, note));
    }

    /// Returns the interfaces that `device` stands for: of `auto` there may be several.
    fn devices(
        &mut self,
        device: &InterfaceSelector,
        family: Option<Family>,
        sources: Option<&NetSet>,
    ) -> Result<Vec<Interface>> {
        let mut devices = Vec::new();
        for source in each(sources) {
            let found = self.here.resolve(device, family, source)?;
            devices
                .extend(found.into_iter().filter(|one| !devices.contains(one)).collect::<Vec<_>>());
        }
        self.rules.named.extend(devices.iter().cloned());
        Ok(devices)
    }

    /// Returns the interfaces by which packets come in, and their names; none without `device`.
    fn incoming(
        &mut self,
        device: Option<&InterfaceSelector>,
        family: Option<Family>,
    ) -> Result<(Vec<Interface>, Option<String>)> {
        let Some(device) = device else { return Ok((Vec::new(), None)) };
        let devices = self.devices(device, family, None)?;
        let names = listed(&devices);
        Ok((devices, Some(names)))
    }

    /// Records that packets are forwarded by `device`: those of its interfaces that there are.
    fn pass(&mut self, device: Interface) {
        if device.prefix().is_none() {
            self.rules.passing.insert(device);
            return;
        }
        let there = self.here.interfaces.iter().filter(|name| device.covers(name));
        self.rules.passing.extend(there.filter_map(|name| Interface::parse(name).ok()));
        self.rules.coming.insert(device);
    }

    /// Records that packets are forwarded from or to `net`, and returns its interfaces.
    fn passing(&mut self, net: &Net) -> BTreeSet<Interface> {
        self.rules.families.insert(net.family());
        let devices = self.here.devices_of(net);
        self.rules.is_passing_elsewhere |= devices.is_empty();
        self.rules.passing.extend(devices.iter().cloned());
        devices
    }

    fn masquerade(&mut self, part: &Masquerade) -> Result<()> {
        let family = Some(part.source.family());
        let action = part.to.map_or(RuleAction::Masquerade, RuleAction::Snat);
        for net in part.source.nets() {
            self.passing(net);
        }
        for out in self.devices(&part.out, family, Some(&part.source))? {
            let note = part.text(out.as_str());
            let source = Match::Source(part.source.clone());
            let mut matches = vec![source.clone()];
            matches.extend(part.except.as_ref().map(not_to));
            matches.push(Match::Out(out.clone()));
            self.add(Hook::Postrouting, family, matches, action.clone(), &note);
            let matches = vec![source, Match::Out(out.clone())];
            self.allowed.push(rule(Hook::Forward, family, matches, RuleAction::Accept, &note));
            self.translated.push((part.source.clone(), out.clone()));
            self.clamped.usual.insert(out.clone());
            self.pass(out);
        }
        Ok(())
    }

    fn forward(&mut self, part: &Forward) -> Result<()> {
        let family = Family::of(part.to);
        let (devices, by) = self.incoming(part.device.as_ref(), Some(family))?;
        let note = part.text(by.as_deref());
        let matches = received(part, &devices);
        if let Some(hairpin) = part.hairpin {
            let target = Match::Destination(Net::new(part.to, u8::MAX).into());
            let back = vec![Match::Source(hairpin.into()), target, Match::Translated];
            // Placed before any masquerade of the same network.
            let back = rule(Hook::Postrouting, Some(family), back, RuleAction::Masquerade, &note);
            self.rules.all.insert(0, back);
        }
        for (ports, port) in led(part)? {
            let mut matches = matches.clone();
            matches.extend(service(Some(part.protocol), Some(&ports)));
            let to = RuleAction::Dnat(DnatTarget { address: part.to, port });
            if part.hairpin.is_some() {
                self.add(Hook::Output, Some(family), matches.clone(), to.clone(), &note);
            }
            self.add(Hook::Prerouting, Some(family), matches, to, &note);
        }
        if let Some(hairpin) = &part.hairpin {
            let devices = self.passing(hairpin);
            if family == Family::V4 {
                self.rules.hairpins.extend(devices);
            }
        }
        if devices.is_empty() {
            // The connections may come in by any.
            self.rules.is_passing_elsewhere = true;
        }
        for device in devices {
            self.clamped.usual.insert(device.clone());
            self.pass(device);
        }
        self.passing(&Net::new(part.to, u8::MAX));
        Ok(())
    }

    fn allow(&mut self, part: &Allow) -> Result<()> {
        let named = part.named_family();
        let family = named.or(part.family);
        let devices = self.devices(&part.device, family, None)?;
        for out in self.devices(&part.out, family, part.source.as_ref())? {
            let note = part.text(&listed(&devices), out.as_str());
            let mut matches = vec![Match::In(devices.clone()), Match::Out(out.clone())];
            matches.extend(part.source.clone().map(Match::Source));
            self.limits.extend(limit(part, &matches, family));
            matches.extend(part.to.clone().map(Match::Destination));
            matches.extend(part.except.as_ref().map(not_to));
            matches.extend(service(part.protocol, part.ports.as_ref()));
            self.allowed.push(rule(Hook::Forward, family, matches, RuleAction::Accept, &note));
            self.clamped.usual.insert(out.clone());
            self.pass(out);
        }
        for device in devices {
            self.clamped.usual.insert(device.clone());
            self.pass(device);
        }
        // Forwarding of IPv6 has side effects: a part that names no network of it does not turn it on.
        self.rules.families.insert(named.unwrap_or(Family::V4));
        Ok(())
    }

    fn helper(&mut self, part: &Helper) -> Result<()> {
        let family = part.server.as_ref().map(NetSet::family);
        let (devices, by) = self.incoming(part.device.as_ref(), family)?;
        let note = part.text(by.as_deref());
        let mut own: Vec<_> = part.server.clone().map(Match::FirstTo).into_iter().collect();
        own.extend([Match::Ports(part.ports.clone()), Match::New]);
        let mut passing = own.clone();
        if !devices.is_empty() {
            passing.insert(0, Match::In(devices));
        }
        self.add(Hook::Helper, family, passing, RuleAction::Helper, &note);
        self.add(Hook::HelperLocal, family, own, RuleAction::Helper, &note);
        Ok(())
    }

    fn open(&mut self, part: &Open) -> Result<()> {
        let family = part.from.as_ref().map(NetSet::family);
        let (devices, by) = self.incoming(part.device.as_ref(), family)?;
        let note = part.text(by.as_deref());
        let mut matches = Vec::new();
        if !devices.is_empty() {
            matches.push(Match::In(devices));
        }
        matches.extend(part.from.clone().map(Match::Source));
        matches.extend(part.source_port.map(Match::SourcePort));
        matches.extend(service(part.protocol, part.ports.as_ref()));
        matches.push(Match::New);
        self.opened.push(rule(Hook::Input, family, matches, RuleAction::Accept, &note));
        Ok(())
    }
}

fn listed(devices: &[Interface]) -> String {
    devices.iter().map(Interface::as_str).collect::<Vec<_>>().join(", ")
}

/// Returns the rule that drops the traffic of a part, given by `matches`, as far as the part does not allow it; `None` if
/// it allows all of it.
fn limit(part: &Allow, matches: &[Match], family: Option<Family>) -> Option<Rule> {
    let is_all = part.to.is_none()
        && part.except.is_none()
        && part.protocol.is_none()
        && part.ports.is_none();
    let drop = || rule(Hook::Forward, family, matches.to_vec(), RuleAction::Drop, LIMIT_NOTE);
    (!is_all).then(drop)
}

/// Returns the matches of the connections that a forward takes, without their ports.
fn received(part: &Forward, devices: &[Interface]) -> Vec<Match> {
    let mut matches = Vec::new();
    // Clients inside come in by another interface, and must reach the target as well.
    if part.hairpin.is_none() && !devices.is_empty() {
        matches.push(Match::In(devices.to_vec()));
    }
    matches.extend(part.from.clone().map(Match::Source));
    match part.external {
        Some(external) => matches.push(Match::Destination(Net::new(external, u8::MAX).into())),
        None => matches.push(Match::Local),
    }
    if let (None, Some(hairpin)) = (part.external, part.hairpin) {
        let loopback = match Family::of(part.to) {
            Family::V4 => Net::new(Ipv4Addr::LOCALHOST.into(), 8),
            Family::V6 => Net::new(Ipv6Addr::LOCALHOST.into(), u8::MAX),
        };
        matches.push(Match::NotTo(vec![loopback, hairpin]));
    }
    matches.extend(part.except.as_ref().map(not_to));
    matches.extend(part.source_port.map(Match::SourcePort));
    matches
}

/// Returns the ports of a forward, with the port to which they are led; one by one if each has its own.
fn led(part: &Forward) -> Result<Vec<(Ports, Option<u16>)>> {
    let Some(to) = &part.to_port else { return Ok(vec![(part.ports.clone(), None)]) };
    let mut others = to.each();
    if to.count() == 1 {
        return Ok(vec![(part.ports.clone(), others.next())]);
    }
    part.ports.each().zip(others).map(|(port, to)| Ok((Ports::one(port)?, Some(to)))).collect()
}
