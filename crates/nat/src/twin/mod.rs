//! A packet tried before a rule is believed: the host's network and everybody's rules are copied into an empty network
//! namespace, the *twin*; one packet goes in, and the kernel itself tells which rule drops or diverts it, or by which
//! interface it leaves. Nothing of the host is touched.
//!
//! ```text
//! layout      interfaces, addresses, routes, policy rules and settings, as commands that build them again
//! rule_copy   everybody's rules             set_lookup   the elements of large sets that matter
//! space       a network namespace           packet, monitor       what is sent, and what is seen of it
//! trace, counters                           the rules that a packet met, of nftables and of legacy iptables
//! outcome     the end of a packet           question              `portolan nat test`
//! probes      the packets for a ruleset     rehearsal             a plan tried in a twin
//! ```

mod counters;
mod layout;
mod monitor;
pub mod outcome;
pub mod packet;
mod probes;
pub mod question;
pub(crate) mod rehearsal;
mod rule_copy;
mod set_lookup;
pub(crate) mod space;
mod trace;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use self::{
    counters::Counters,
    layout::Layout,
    monitor::Monitor,
    outcome::PacketOutcome,
    packet::{Packet, neighbour_commands, trace_tables},
    rule_copy::RuleCopy,
    set_lookup::PacketValues,
    space::Space,
    trace::Trace,
};
use crate::{NatError, sysctl, tools};
use portolan_core::error::{Error, Result};

/// The directory of the kernel's settings.
const SETTINGS: &str = "/proc/sys";
/// The maximum time until the last trace has come; usually it takes some milliseconds.
const TRACE_MAX: Duration = Duration::from_millis(1_500);
/// The maximum number of looks at a port of a bridge until it passes packets; each takes some milliseconds.
const PORT_LOOKS_MAX: usize = 400;
/// The maximum number of times that packets are sent until no set needs further elements.
const ROUNDS_MAX: usize = 3;

/// Returns the fault for a twin that cannot be made.
fn unavailable(why: &str) -> Error {
    let message = format!(
        "a packet can only be tried as root, with `unshare`, `ip` and `nft`, where network namespaces can be made ({why})"
    );
    NatError::NoTwin.fault(message)
}

/// A copy of the host's network and rules, in a namespace of its own.
#[derive(Debug)]
struct Twin {
    space: Space,
    /// The other ends of the cables by which packets come in, by interface.
    worlds: BTreeMap<String, Space>,
    layout: Layout,
    rules: RuleCopy,
    /// Values that packets may get on their way: each one more saves sending them again.
    expected: PacketValues,
    /// The parts of the rules that could not be copied.
    missing: Vec<String>,
}

impl Twin {
    /// Copies this host. Packets may come in by `devices`. Fails with `nat.no_twin`.
    fn of_this_host(layout: Layout, devices: &BTreeSet<String>) -> Result<Self> {
        let rules = RuleCopy::read()?;
        let space = Space::open()?;
        let mut worlds = BTreeMap::new();
        for device in devices.iter().filter(|device| layout.link(device).is_some()) {
            worlds.insert(device.clone(), Space::open()?);
        }
        let expected = PacketValues::default();
        let mut twin = Self { space, worlds, layout, rules, expected, missing: Vec::new() };
        twin.missing = twin.build()?;
        Ok(twin)
    }

    fn build(&self) -> Result<Vec<String>> {
        let ends =
            self.worlds.iter().map(|(device, world)| (device.clone(), world.pid())).collect();
        let Self { layout, space, .. } = self;
        let batches = layout.commands(&ends);
        space.within(|| batches.iter().try_for_each(|batch| ip(&[], batch)))??;
        for world in self.worlds.values() {
            world.within(|| ip(&[], "link set lo up\nlink set w up\n"))??;
        }
        for port in self.worlds.keys().filter_map(|device| layout.bridge_port(device)) {
            // The kernel enables a port a moment after its cable is connected.
            space.within(|| (0..PORT_LOOKS_MAX).any(|_| layout::is_forwarding(&port)))?;
        }
        space.within(|| {
            // A route or rule of a kind that cannot be had here is left out.
            ip(&["-4"], &layout.route_commands(0))?;
            ip(&["-6"], &layout.route_commands(1))?;
            for (path, value) in &layout.settings {
                set(path, value);
            }
            Ok(self.rules.load())
        })?
    }

    /// Lets every interface forward, and takes packets from wherever they come.
    fn open(&self) -> Result<()> {
        self.space.within(|| {
            set("net/ipv4/ip_forward", "1");
            set("net/ipv6/conf/all/forwarding", "1");
            let devices = self.layout.links.iter().map(|link| link.ifname.as_str());
            for device in devices.chain(["all"]) {
                set(&format!("net/ipv4/conf/{device}/forwarding"), "1");
                set(&format!("net/ipv4/conf/{device}/rp_filter"), "0");
            }
        })
    }

    /// Sends `packets`, and returns the end of each.
    fn send(&self, packets: &[Packet]) -> Result<Vec<PacketOutcome>> {
        let mut values = self.values(packets);
        let mut traces = Vec::new();
        for _ in 0..ROUNDS_MAX {
            self.fill_sets(&values)?;
            traces = self.traces(packets)?;
            let seen = values.clone();
            for (from, to) in traces.iter().filter_map(|trace: &Trace| trace.ends) {
                values.addresses.extend([from.ip(), to.ip()]);
                values.ports.insert(to.port());
            }
            if self.rules.large.is_empty() || values == seen {
                break;
            }
        }
        let outcomes = packets.iter().zip(traces);
        Ok(outcomes
            .map(|(packet, trace)| {
                PacketOutcome::of(packet, trace, self.layout.is_local(packet.to.ip()))
            })
            .collect())
    }

    fn values(&self, packets: &[Packet]) -> PacketValues {
        let mut values = self.expected.clone();
        values.addresses.extend(self.layout.addresses());
        for packet in packets {
            values.addresses.extend([packet.from.ip(), packet.to.ip()]);
            values.ports.extend([packet.from.port(), packet.to.port()]);
        }
        values.devices.extend(self.layout.links.iter().map(|link| link.ifname.clone()));
        values
    }

    /// Adds to the large sets what they have for packets with those values.
    fn fill_sets(&self, values: &PacketValues) -> Result<()> {
        let text: String = self.rules.large.iter().map(|set| set.elements(values)).collect();
        if text.is_empty() {
            return Ok(());
        }
        let ran = self.space.within(|| tools::run(&["nft", "-f", "-"], &text))?;
        match ran {
            Ok(ran) if ran.ok => Ok(()),
            Ok(ran) => Err(unavailable(ran.err.lines().next().unwrap_or_default())),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }

    fn traces(&self, packets: &[Packet]) -> Result<Vec<Trace>> {
        for (device, world) in &self.worlds {
            let own: Vec<_> =
                packets.iter().filter(|packet| packet.device.as_ref() == Some(device)).collect();
            let mac = self.layout.mac_towards(device).unwrap_or_default();
            world.within(|| ip(&[], &neighbour_commands(&own, &mac)))??;
        }
        let followed: Vec<_> =
            packets.iter().cloned().chain(packets.iter().map(Packet::follower)).collect();
        let devices: Vec<_> = self.worlds.keys().map(String::as_str).collect();
        let [inet, netdev] = trace_tables(&followed, &devices);
        self.space.within(|| {
            // Without ingress hooks in the kernel, there are no rules there.
            tools::run(&["nft", "-f", "-"], &netdev).ok();
            match tools::run(&["nft", "-f", "-"], &inet) {
                Ok(ran) if ran.ok => Ok(()),
                Ok(ran) => Err(unavailable(ran.err.lines().next().unwrap_or_default())),
                Err(error) => Err(unavailable(&error.to_string())),
            }
        })??;
        let monitor = self.space.within(Monitor::start)??;
        if self.rules.has_legacy() {
            return packets.iter().map(|packet| self.counted(packet, &monitor)).collect();
        }
        self.sent(packets, &monitor)
    }

    /// Sends packets one after the other, and reads their traces.
    fn sent(&self, packets: &[Packet], monitor: &Monitor) -> Result<Vec<Trace>> {
        let ends = self.send_all(packets)?;
        let lines = self.follow(packets, monitor)?;
        Ok(trace::read(lines.iter().map(String::as_str), &ends))
    }

    /// Sends a follower by every interface, and returns the lines until all of them are seen: all traces are complete.
    fn follow(&self, packets: &[Packet], monitor: &Monitor) -> Result<Vec<String>> {
        let last: BTreeMap<_, _> =
            packets.iter().map(|packet| (packet.device.as_ref(), packet)).collect();
        let followers: Vec<_> = last.values().map(|packet| packet.follower()).collect();
        let mut left: Vec<_> = self.send_all(&followers)?.into_iter().map(Some).collect();
        Ok(monitor.lines(left.len(), TRACE_MAX, |line| {
            // It is seen at the first hook, and again at every other.
            let seen = trace::seen(line);
            let at = seen.and_then(|ends| left.iter().position(|one| *one == Some(ends)));
            at.and_then(|at| left.get_mut(at)).is_some_and(|one| one.take().is_some())
        }))
    }

    /// Sends one packet, and reads the counters of legacy iptables before and after it, besides its trace.
    fn counted(&self, packet: &Packet, monitor: &Monitor) -> Result<Trace> {
        let before = self.space.within(counters)?;
        let ends = self.send_all(std::slice::from_ref(packet))?;
        // Its follower would count as well.
        let mut lines = monitor
            .lines(1, TRACE_MAX, |line| trace::seen(line).is_some_and(|seen| ends.contains(&seen)));
        let mut rules = Vec::new();
        for (after, before) in self.space.within(counters)?.iter().zip(&before) {
            rules.extend(after.since(before));
        }
        lines.extend(self.follow(std::slice::from_ref(packet), monitor)?);
        let traces = trace::read(lines.iter().map(String::as_str), &ends);
        let mut trace = traces.into_iter().next().unwrap_or_default();
        let (dropped, translated) = counters::decided(&rules);
        trace.translated.extend(translated);
        if !trace.has_ended() {
            trace.dropped = dropped;
            trace.base = None;
        }
        Ok(trace)
    }

    /// Sends packets in their order, and returns source and destination of each.
    fn send_all(&self, packets: &[Packet]) -> Result<Vec<(SocketAddr, SocketAddr)>> {
        let mut ends = Vec::new();
        for same in packets.chunk_by(|one, other| one.device == other.device) {
            let device = same.first().and_then(|packet| packet.device.as_ref());
            let space = match device {
                Some(device) => self.worlds.get(device).ok_or_else(|| {
                    NatError::UnknownInterface.fault(format!("there is no interface {device} here"))
                })?,
                None => &self.space,
            };
            let sent =
                space.within(|| same.iter().map(Packet::send).collect::<io::Result<Vec<_>>>())?;
            let sent =
                sent.map_err(|error| unavailable(&format!("a packet cannot be sent: {error}")))?;
            ends.extend(sent.into_iter().zip(same.iter().map(|packet| packet.to)));
        }
        Ok(ends)
    }

    /// Returns the reason why the kernel discards a packet without a rule.
    fn why_lost(&self, outcome: &PacketOutcome) -> Result<String> {
        let packet = &outcome.packet;
        let Some(device) = &packet.device else { return Ok("there is no route to it".into()) };
        let is_local = self.layout.is_local(outcome.destination.ip());
        let family = if packet.to.is_ipv4() { "ipv4" } else { "ipv6" };
        let path = format!("net/{family}/conf/{device}/forwarding");
        let forwards = self.space.within(|| sysctl::read(&path))?;
        if !is_local && forwards.as_deref() == Some("0") {
            return Ok(format!("{} is 0: the kernel passes nothing on", sysctl::key(&path)));
        }
        self.space.within(|| {
            for path in ["all", device.as_str()] {
                set(&format!("net/ipv4/conf/{path}/rp_filter"), "0");
            }
        })?;
        let again = self.traces(std::slice::from_ref(packet))?;
        if again.first().is_some_and(Trace::has_ended) {
            return Ok(format!(
                "net.ipv4.conf.{device}.rp_filter: the way back to {} does not lead out by {device}",
                packet.from.ip()
            ));
        }
        let (from, to) = (packet.from.ip().to_string(), outcome.destination.ip().to_string());
        let asked = self.space.within(|| {
            tools::run(&["ip", "route", "get", &to, "from", &from, "iif", device], "")
        })?;
        let said = asked.ok().filter(|ran| !ran.ok).map(|ran| ran.err).unwrap_or_default();
        let said = said
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("RTNETLINK answers: ")
            .to_owned();
        Ok(if said.is_empty() {
            format!("no way to {to}")
        } else {
            format!("no way to {to}: {said}")
        })
    }
}

/// Runs commands of `ip`, of which each is tried although another has failed.
fn ip(options: &[&str], commands: &str) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    let words: Vec<_> =
        ["ip"].iter().chain(options).chain(&["-force", "-batch", "-"]).copied().collect();
    tools::run(&words, commands).map(drop).map_err(|error| unavailable(&format!("ip: {error}")))
}

/// Writes a setting of this namespace, unless it has that value. A setting that does not exist here, or is read-only,
/// stays.
fn set(path: &str, value: &str) {
    if sysctl::read(path).is_some_and(|was| was != value) {
        let written: io::Result<()> = fs::write(Path::new(SETTINGS).join(path), value);
        written.ok();
    }
}

/// Reads the counters of legacy iptables in this namespace.
fn counters() -> [Counters; 2] {
    [("ip", "iptables-legacy-save"), ("ip6", "ip6tables-legacy-save")].map(|(family, program)| {
        let ran = tools::run(&[program, "-c"], "").ok().filter(|ran| ran.ok);
        ran.map(|ran| Counters::parse(family, &ran.out)).unwrap_or_default()
    })
}
