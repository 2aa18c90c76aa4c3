//! A ruleset as rules for any packet filter: pure.

use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    check::{Family, Interface, InterfaceSelector, Net, Ports},
    host::HostNetwork,
    model::{Allow, Forward, Helper, Masquerade, Open, RulesetPart, RulesetSpec},
};
use portolan_core::error::Result;

/// The prefix of a helper's description.
pub(super) const HELPER_NOTE: &str = "ftp helper";

/// The hook at which packets are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    /// Assigns the helper to control connections that come in or pass through.
    Helper,
    /// Assigns the helper to the host's own control connections.
    HelperLocal,
    /// Rewrites the destination of connections from other hosts.
    Prerouting,
    /// Rewrites the destination of the host's own connections.
    Output,
    /// Rewrites the source address of outgoing packets.
    Postrouting,
    /// Filters forwarded packets.
    Forward,
    /// Filters packets to the host.
    Input,
}

impl Hook {
    pub(super) const ALL: [Self; 7] = [
        Self::Helper,
        Self::HelperLocal,
        Self::Prerouting,
        Self::Output,
        Self::Postrouting,
        Self::Forward,
        Self::Input,
    ];
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// It comes in by one of these interfaces.
    In(Vec<Interface>),
    /// It goes out by this interface.
    Out(Interface),
    /// It is local, over loopback.
    Loopback,
    Source(Net),
    Destination(Net),
    /// Its destination is in none of these networks.
    NotTo(Vec<Net>),
    /// Its destination is an address of the host.
    Local,
    /// It is TCP, from this port.
    SourcePort(u16),
    /// It is TCP, to one of these ports.
    Ports(Ports),
    /// It is ICMP, such as an error message.
    Icmp,
    /// It belongs to an established connection.
    Established,
    /// Its connection is related to another one.
    Related,
    /// It is a data connection announced in an FTP session, to an unprivileged port.
    FtpData,
    /// The destination of its connection was translated.
    Translated,
    /// It begins a connection.
    New,
    /// It is a DHCP reply, by which the host keeps its own addresses.
    Lease,
}

/// The action on a matching packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RuleAction {
    Helper,
    Masquerade,
    Snat(IpAddr),
    Dnat(IpAddr),
    Accept,
    Drop,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) hook: Hook,
    /// The only family that it applies to.
    pub(super) family: Option<Family>,
    pub(super) matches: Vec<Match>,
    pub(super) action: RuleAction,
    /// The description of its part, the same for all rules of one part.
    pub(super) note: String,
}

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
    /// The paths on which connections are begun.
    pub(super) ways: Vec<ForwardPath>,
}

/// A path of forwarded packets through the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForwardPath {
    pub(super) from: Option<Interface>,
    pub(super) to: Option<Interface>,
    pub(super) source: Option<Net>,
}

/// Returns the rules of `ruleset` on this host. Fails with `nat.unknown_interface` if `auto` has no interface.
pub(super) fn rules(ruleset: &RulesetSpec, here: &HostNetwork) -> Result<CompiledRules> {
    let mut made =
        Maker { here, rules: CompiledRules::default(), allowed: Vec::new(), opened: Vec::new() };
    for part in ruleset.parts() {
        match part {
            RulesetPart::Masquerade(part) => made.masquerade(part)?,
            RulesetPart::Forward(part) => made.forward(part)?,
            RulesetPart::Allow(part) => made.allow(part)?,
            RulesetPart::Helper(part) => made.helper(part)?,
            RulesetPart::Open(part) => made.open(part)?,
        }
    }
    let has_helper = ruleset.parts().iter().any(|part| matches!(part, RulesetPart::Helper(_)));
    if ruleset.is_isolated() {
        made.isolate_forward(has_helper);
        made.isolate_input(has_helper);
    } else {
        made.rules.all.append(&mut made.opened);
    }
    // By chain; the sort is stable, so that rules of a chain keep their order.
    made.rules.all.sort_by_key(|rule| rule.hook);
    Ok(made.rules)
}

struct Maker<'h> {
    here: &'h HostNetwork,
    rules: CompiledRules,
    /// The rules for traffic that may pass an isolated gateway.
    allowed: Vec<Rule>,
    /// The rules for traffic that may come to the host.
    opened: Vec<Rule>,
}

impl Maker<'_> {
    fn add(
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
        source: Option<Net>,
    ) -> Result<Vec<Interface>> {
        let devices = self.here.resolve(device, family, source)?;
        self.rules.named.extend(devices.iter().cloned());
        Ok(devices)
    }

    /// Returns the match for packets that come in by `device`, and its words; no match without one.
    fn incoming(
        &mut self,
        device: Option<&InterfaceSelector>,
        family: Option<Family>,
    ) -> Result<(Vec<Interface>, String)> {
        let Some(device) = device else { return Ok((Vec::new(), String::new())) };
        let devices = self.devices(device, family, None)?;
        let words = format!(" from {}", listed(&devices));
        Ok((devices, words))
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
        let (action, to) = match part.to {
            None => (RuleAction::Masquerade, String::new()),
            Some(to) => (RuleAction::Snat(to), format!(" as {to}")),
        };
        let devices = self.passing(&part.source);
        let froms: Vec<_> =
            if devices.is_empty() { vec![None] } else { devices.into_iter().map(Some).collect() };
        for out in self.devices(&part.out, family, Some(part.source))? {
            let note = format!("masquerade {} -> {out}{to}", part.source);
            let matches = vec![Match::Source(part.source), Match::Out(out.clone())];
            self.add(Hook::Postrouting, family, matches.clone(), action.clone(), &note);
            self.allowed.push(rule(Hook::Forward, family, matches, RuleAction::Accept, &note));
            self.rules.ways.extend(froms.iter().map(|from| ForwardPath {
                from: from.clone(),
                to: Some(out.clone()),
                source: Some(part.source),
            }));
            self.pass(out);
        }
        Ok(())
    }

    fn forward(&mut self, part: &Forward) -> Result<()> {
        let family = Family::of(part.to);
        let (devices, by) = self.incoming(part.device.as_ref(), Some(family))?;
        let mut note = format!("{} {} -> {}", part.what, part.ports, part.to);
        let mut matches = Vec::new();
        // Clients inside come in by another interface, and must reach the target as well.
        if part.hairpin.is_none() && !devices.is_empty() {
            matches.push(Match::In(devices.clone()));
            note.push_str(&by);
        }
        if let Some(from) = part.from {
            matches.push(Match::Source(from));
            write!(note, " for {from}").ok();
        }
        match part.external {
            Some(external) => matches.push(Match::Destination(Net::new(external, u8::MAX))),
            None => matches.push(Match::Local),
        }
        if let (None, Some(hairpin)) = (part.external, part.hairpin) {
            let loopback = match family {
                Family::V4 => Net::new(Ipv4Addr::LOCALHOST.into(), 8),
                Family::V6 => Net::new(Ipv6Addr::LOCALHOST.into(), u8::MAX),
            };
            matches.push(Match::NotTo(vec![loopback, hairpin]));
        }
        if let Some(port) = part.source_port {
            matches.push(Match::SourcePort(port));
            write!(note, ", source port {port}").ok();
        }
        matches.push(Match::Ports(part.ports.clone()));
        let to = RuleAction::Dnat(part.to);
        if let Some(hairpin) = part.hairpin {
            write!(note, ", hairpin {hairpin}").ok();
            self.add(Hook::Output, Some(family), matches.clone(), to.clone(), &note);
            let target = Match::Destination(Net::new(part.to, u8::MAX));
            let back = vec![Match::Source(hairpin), target, Match::Translated];
            // Placed before any masquerade of the same network.
            let back = rule(Hook::Postrouting, Some(family), back, RuleAction::Masquerade, &note);
            self.rules.all.insert(0, back);
        }
        self.add(Hook::Prerouting, Some(family), matches, to, &note);
        if let Some(hairpin) = &part.hairpin {
            let devices = self.passing(hairpin);
            if family == Family::V4 {
                self.rules.hairpins.extend(devices);
            }
        }
        let to = self.here.device_towards(part.to);
        let way = |from| ForwardPath { from, to: to.clone(), source: part.from };
        if devices.is_empty() {
            self.rules.ways.push(way(None));
            // The connections may come in by any.
            self.rules.is_passing_elsewhere = true;
        }
        for device in devices {
            self.rules.ways.push(way(Some(device.clone())));
            self.pass(device);
        }
        self.passing(&Net::new(part.to, u8::MAX));
        Ok(())
    }

    fn allow(&mut self, part: &Allow) -> Result<()> {
        let family = part.source.map(|source| source.family());
        let devices = self.devices(&part.device, family, None)?;
        for out in self.devices(&part.out, family, part.source)? {
            let mut note = format!("allow {} -> {out}", listed(&devices));
            let mut matches = vec![Match::In(devices.clone()), Match::Out(out.clone())];
            if let Some(source) = part.source {
                write!(note, " from {source}").ok();
                matches.push(Match::Source(source));
            }
            self.allowed.push(rule(Hook::Forward, family, matches, RuleAction::Accept, &note));
            let way = |device: &Interface| ForwardPath {
                from: Some(device.clone()),
                to: Some(out.clone()),
                source: part.source,
            };
            self.rules.ways.extend(devices.iter().map(way));
            self.pass(out);
        }
        for device in devices {
            self.pass(device);
        }
        // Forwarding of IPv6 has side effects: a part that names no family does not turn it on.
        self.rules.families.insert(family.unwrap_or(Family::V4));
        Ok(())
    }

    fn helper(&mut self, part: &Helper) -> Result<()> {
        let (devices, by) = self.incoming(part.device.as_ref(), None)?;
        let note = format!("{HELPER_NOTE} on {}{by}", part.ports);
        let own = vec![Match::Ports(part.ports.clone()), Match::New];
        let mut passing = own.clone();
        if !devices.is_empty() {
            passing.insert(0, Match::In(devices));
        }
        self.add(Hook::Helper, None, passing, RuleAction::Helper, &note);
        self.add(Hook::HelperLocal, None, own, RuleAction::Helper, &note);
        Ok(())
    }

    fn open(&mut self, part: &Open) -> Result<()> {
        let family = part.from.map(|from| from.family());
        let (devices, by) = self.incoming(part.device.as_ref(), family)?;
        let mut note = format!("{} {}{by}", part.what, part.ports);
        let mut matches = Vec::new();
        if !devices.is_empty() {
            matches.push(Match::In(devices));
        }
        if let Some(from) = part.from {
            write!(note, " for {from}").ok();
            matches.push(Match::Source(from));
        }
        if let Some(port) = part.source_port {
            write!(note, ", source port {port}").ok();
            matches.push(Match::SourcePort(port));
        }
        matches.extend([Match::Ports(part.ports.clone()), Match::New]);
        self.opened.push(rule(Hook::Input, family, matches, RuleAction::Accept, &note));
        Ok(())
    }

    /// Drops forwarded packets that no rule allows, on the interfaces that the ruleset concerns.
    fn isolate_forward(&mut self, has_helper: bool) {
        let CompiledRules { passing, coming, named, .. } = &self.rules;
        if passing.is_empty() && coming.is_empty() {
            return;
        }
        let all: Vec<_> = passing.union(named).cloned().collect();
        // Neither filter takes a name beside another that stands for it.
        let is_covered = |one: &&Interface| {
            all.iter()
                .any(|other| other != *one && other.covers(one.prefix().unwrap_or(one.as_str())))
        };
        let devices: Vec<_> = all.iter().filter(|one| !is_covered(one)).cloned().collect();
        let has_target =
            self.rules.all.iter().any(|rule| matches!(rule.action, RuleAction::Dnat(_)));
        let mut add = |matches, action, note: &str| {
            self.rules.all.push(rule(Hook::Forward, None, matches, action, note));
        };
        add(vec![Match::Established], RuleAction::Accept, "isolate: established");
        if has_helper {
            add(vec![Match::FtpData], RuleAction::Accept, "isolate: FTP data");
        }
        add(vec![Match::Related, Match::Icmp], RuleAction::Accept, "isolate: errors");
        if has_target {
            add(vec![Match::Translated, Match::New], RuleAction::Accept, "isolate: forwarded");
        }
        self.rules.all.append(&mut self.allowed);
        let mut shut = |matches| {
            let note = "isolate: the rest";
            self.rules.all.push(rule(Hook::Forward, None, matches, RuleAction::Drop, note));
        };
        shut(vec![Match::In(devices.clone())]);
        // Every interface forwards then: none of the others is a way in.
        if self.rules.is_passing_elsewhere {
            for device in devices {
                shut(vec![Match::Out(device)]);
            }
        }
    }

    /// Drops packets to the host, except for open ports, replies and the SSH ports: an SSH session may be older than
    /// connection tracking, which then does not regard it as established.
    fn isolate_input(&mut self, has_helper: bool) {
        if self.opened.is_empty() {
            return;
        }
        let login = self.here.login_ports.iter().map(|port| (*port, *port)).collect();
        let mut add = |matches, action, note: &str| {
            self.rules.all.push(rule(Hook::Input, None, matches, action, note));
        };
        add(vec![Match::Loopback], RuleAction::Accept, "isolate: this machine");
        add(vec![Match::Established], RuleAction::Accept, "isolate: established");
        if has_helper {
            add(vec![Match::FtpData], RuleAction::Accept, "isolate: FTP data");
        }
        if let Ok(login) = Ports::new(login) {
            add(vec![Match::Ports(login)], RuleAction::Accept, "isolate: logins");
        }
        add(vec![Match::Icmp], RuleAction::Accept, "isolate: errors");
        // DHCP asks by multicast, so the kernel does not track the answers as replies; without them the address is
        // lost, and all sessions with it.
        add(vec![Match::Lease], RuleAction::Accept, "isolate: own addresses");
        self.rules.all.append(&mut self.opened);
        self.rules.all.push(rule(
            Hook::Input,
            None,
            Vec::new(),
            RuleAction::Drop,
            "isolate: the rest",
        ));
    }
}

fn listed(devices: &[Interface]) -> String {
    devices.iter().map(Interface::as_str).collect::<Vec<_>>().join(", ")
}

fn rule(
    hook: Hook,
    family: Option<Family>,
    matches: Vec<Match>,
    action: RuleAction,
    note: &str,
) -> Rule {
    Rule { hook, family, matches, action, note: note.to_owned() }
}
