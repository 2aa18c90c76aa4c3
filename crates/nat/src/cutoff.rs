//! The services, sessions and logins that new rules for packets to the host would cut off: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::IpAddr,
};

use super::{
    NatError,
    check::{Family, Protocol},
    foreign::Warning,
    host::HostNetwork,
    rules::{CompiledRules, Hook, Match, Rule, RuleAction},
    session::{LoginConnection, logins},
    sockets::{HostSocket, SocketOwner, ephemeral, owners, sockets},
};
use portolan_core::error::{Error, Result};

/// The topic of the warning.
const CUT_OFF: &str = "cut off";
/// The maximum number of sessions that are named; the rest is counted.
const SESSIONS_MAX: usize = 5;

/// The services of the host and those who use them.
#[derive(Debug, Clone, Default)]
pub(super) struct HostServices {
    pub(super) sockets: Vec<HostSocket>,
    /// The holder of each socket; `None` if this user may not look.
    pub(super) owners: Option<BTreeMap<u64, SocketOwner>>,
    /// The ports that the kernel gives to clients, both ends included.
    pub(super) ephemeral: (u16, u16),
    /// The connections by which the user is logged in, each with the interface by which its packets come in, and true if
    /// that is a tunnel.
    pub(super) logins: Vec<(LoginConnection, Option<(String, bool)>)>,
}

/// The first packet of a connection to the host, as far as it is known.
#[derive(Debug, Clone, Copy)]
struct FirstPacket<'p> {
    is_udp: bool,
    port: u16,
    source: Option<IpAddr>,
    device: Option<&'p str>,
}

/// The fate of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PacketFate {
    Accepted,
    /// Accepted if it has what is not known of it.
    Perhaps,
    Dropped,
}

/// Fails with `nat.would_lock_out` if the user could not log in again the same way, or if the tunnel by which they are
/// logged in would end.
pub(super) fn check(rules: &CompiledRules, here: Option<&HostServices>) -> Result<()> {
    let Some(here) = here else { return Ok(()) };
    for (login, way) in &here.logins {
        let device = way.as_ref().map(|(device, _)| device.as_str());
        let source = Some(login.peer);
        let packet = FirstPacket { is_udp: false, port: login.port, source, device };
        if fate(rules, packet) == PacketFate::Dropped {
            return Err(lockout(
                &format!(
                    "you are logged in from {} at port {}, and the next login there would be dropped",
                    login.peer, login.port
                ),
                login.port,
                false,
            ));
        }
        let Some((tunnel, true)) = way else { continue };
        if let Some((port, is_udp)) = here.carriers().into_iter().find(|(port, is_udp)| {
            let packet = FirstPacket { is_udp: *is_udp, port: *port, source: None, device: None };
            fate(rules, packet) == PacketFate::Dropped
        }) {
            let word = word(is_udp);
            return Err(lockout(
                &format!(
                    "you are logged in from {} over the tunnel {}, and its own packets to {word} {port} would be dropped as \
                 soon as the kernel forgets the present ones",
                    login.peer, tunnel
                ),
                port,
                is_udp,
            ));
        }
    }
    Ok(())
}

fn lockout(text: &str, port: u16, is_udp: bool) -> Error {
    let remedy = remedy(&[(port, is_udp)].into());
    NatError::WouldLockOut
        .fault(format!("{text}: `{remedy}` lets them in, `force` applies it anyway"))
}

/// Returns a warning for the services that become unreachable, and one for each login that is recognised by its
/// connection alone, whose port stays open.
pub(super) fn warnings(rules: &CompiledRules, here: Option<&HostServices>) -> Vec<Warning> {
    let Some(here) = here else { return Vec::new() };
    let is_open = |login: &LoginConnection| {
        // Only where the rules drop others.
        let other = FirstPacket { is_udp: false, port: 0, source: None, device: None };
        !login.is_named && fate(rules, other) == PacketFate::Dropped
    };
    let logins = here.logins.iter().map(|(login, _)| login).filter(|login| is_open(login));
    let told = logins.map(|LoginConnection { port, peer, .. }| Warning {
        about: CUT_OFF,
        text: format!(
            "you seem to be logged in from {peer} at port {port}, which stays open for all"
        ),
        remedy: String::new(),
    });
    warning(rules, here).into_iter().chain(told).collect()
}

/// Returns a warning that names the services that become unreachable, and the sessions with them.
fn warning(rules: &CompiledRules, here: &HostServices) -> Option<Warning> {
    let mut services: BTreeMap<String, BTreeSet<(u16, bool)>> = BTreeMap::new();
    let mut dropped = BTreeSet::new();
    for socket in here.services() {
        let port = socket.local.port();
        let packet = FirstPacket { is_udp: socket.is_udp, port, source: None, device: None };
        if fate(rules, packet) == PacketFate::Dropped {
            let owner = here.owner(socket).map(|owner| owner.name.clone()).unwrap_or_default();
            services.entry(owner).or_default().insert((port, socket.is_udp));
            dropped.insert((port, socket.is_udp));
        }
    }
    if dropped.is_empty() {
        return None;
    }
    let shown = services.iter().map(|(owner, ports)| {
        let ports: Vec<_> =
            ports.iter().map(|(port, is_udp)| format!("{} {port}", word(*is_udp))).collect();
        let owner = if owner.is_empty() { String::new() } else { format!(" ({owner})") };
        format!("{}{owner}", ports.join(", "))
    });
    let mut text = format!(
        "`isolate` cuts off services of this host: {}",
        shown.collect::<Vec<_>>().join("; ")
    );
    let is_cut = |socket: &&HostSocket| {
        socket.peer.is_some() && dropped.contains(&(socket.local.port(), socket.is_udp))
    };
    let peers: BTreeSet<_> = here
        .sockets
        .iter()
        .filter(is_cut)
        .filter_map(|socket| Some((socket.peer?.ip(), socket.local.port())))
        .collect();
    if !peers.is_empty() {
        let named = peers.iter().take(SESSIONS_MAX).map(|(peer, port)| format!("{peer} at {port}"));
        write!(text, "; connected now: {}", named.collect::<Vec<_>>().join(", ")).ok();
        if let Some(more) = peers.len().checked_sub(SESSIONS_MAX).filter(|more| *more > 0) {
            write!(text, " and {more} more").ok();
        }
    }
    write!(text, "; `{}` lets them in", remedy(&dropped)).ok();
    Some(Warning { about: CUT_OFF, text, remedy: String::new() })
}

impl HostServices {
    /// Reads the present state.
    pub(super) fn look(here: &HostNetwork) -> Self {
        let logins = logins().into_iter();
        Self {
            sockets: sockets(),
            owners: owners(),
            ephemeral: ephemeral(),
            logins: logins.map(|login| (login.clone(), here.way_to(login.peer))).collect(),
        }
    }

    fn owner(&self, socket: &HostSocket) -> Option<&SocketOwner> {
        self.owners.as_ref()?.get(&socket.inode)
    }

    /// Returns the sockets that wait for others. A UDP socket at a port for clients is a client's, unless no program holds
    /// it: then it is a tunnel of the kernel, such as that of `WireGuard`.
    pub(super) fn services(&self) -> impl Iterator<Item = &HostSocket> {
        let (first, last) = self.ephemeral;
        self.sockets.iter().filter(move |socket| {
            let is_for_clients = (first..=last).contains(&socket.local.port());
            let is_kernels = self.owners.is_some() && self.owner(socket).is_none();
            socket.peer.is_none() && (!socket.is_udp || !is_for_clients || is_kernels)
        })
    }

    /// Returns the ports at which tunnels get their own packets: those of the kernel, and of programs with a tunnel
    /// device, unless they are ports of clients, whose packets are answers.
    fn carriers(&self) -> Vec<(u16, bool)> {
        let Some(owners) = &self.owners else { return Vec::new() };
        let carries = |socket: &&HostSocket| match owners.get(&socket.inode) {
            None => socket.is_udp,
            Some(owner) => {
                let (first, last) = self.ephemeral;
                owner.has_tunnel && !(first..=last).contains(&socket.local.port())
            }
        };
        let waiting = self.sockets.iter().filter(|socket| socket.peer.is_none());
        waiting.filter(carries).map(|socket| (socket.local.port(), socket.is_udp)).collect()
    }
}

const fn word(is_udp: bool) -> &'static str {
    if is_udp { "udp" } else { "tcp" }
}

/// Returns the parts of a ruleset that let the ports in.
fn remedy(ports: &BTreeSet<(u16, bool)>) -> String {
    let of = |is_udp: bool| -> BTreeSet<u16> {
        ports.iter().filter(|one| one.1 == is_udp).map(|one| one.0).collect()
    };
    let (tcp, udp) = (of(false), of(true));
    let both: BTreeSet<_> = tcp.intersection(&udp).copied().collect();
    let by_protocol =
        [(&tcp - &both, ""), (&udp - &both, ", protocol: \"udp\""), (both, ", protocol: \"both\"")];
    let accepted = by_protocol.iter().filter(|(own, _)| !own.is_empty()).map(|(own, protocol)| {
        let all: Vec<_> = own.iter().map(u16::to_string).collect();
        let shown =
            if let [one] = all.as_slice() { one.clone() } else { format!("[{}]", all.join(", ")) };
        format!("rules.accept(#{{ ports: {shown}{protocol} }});")
    });
    accepted.collect::<Vec<_>>().join(" ")
}

/// Returns the fate of the first packet of a connection.
fn fate(rules: &CompiledRules, packet: FirstPacket<'_>) -> PacketFate {
    let mut is_perhaps = false;
    for rule in rules.all.iter().filter(|rule| rule.hook == Hook::Input) {
        match (matches(rule, packet), &rule.action) {
            (Some(true), RuleAction::Drop) if is_perhaps => return PacketFate::Perhaps,
            (Some(true), RuleAction::Drop) => return PacketFate::Dropped,
            (Some(true), RuleAction::Accept) => return PacketFate::Accepted,
            (None, RuleAction::Accept) => is_perhaps = true,
            _ => {}
        }
    }
    PacketFate::Accepted
}

/// Returns whether a rule matches; `None` if that depends on what is not known of the packet.
fn matches(rule: &Rule, packet: FirstPacket<'_>) -> Option<bool> {
    let family = packet.source.map(Family::of);
    let mut all = vec![match (rule.family, family) {
        (Some(wanted), Some(family)) => Some(wanted == family),
        (Some(_), None) => None,
        (None, _) => Some(true),
    }];
    // Ports are those of TCP, unless the rule names a protocol.
    let has_protocol = rule.matches.iter().any(|one| matches!(one, Match::Protocol(_)));
    for one in &rule.matches {
        all.push(match one {
            Match::In(devices) => {
                packet.device.map(|device| devices.iter().any(|one| one.covers(device)))
            }
            Match::Source(nets) => packet.source.map(|source| nets.has(source)),
            Match::Protocol(protocol) => {
                let own = if packet.is_udp { Protocol::Udp } else { Protocol::Tcp };
                Some(protocol.meets(own))
            }
            Match::Ports(ports) => Some(ports.has(packet.port) && (has_protocol || !packet.is_udp)),
            Match::Lease => Some(packet.is_udp && matches!(packet.port, 68 | 546)),
            Match::New | Match::Local => Some(true),
            Match::SourcePort(_) | Match::Destination(_) | Match::NotTo(_) | Match::FirstTo(_) => {
                None
            }
            Match::Out(_)
            | Match::Loopback
            | Match::Icmp
            | Match::Established
            | Match::Related
            | Match::FtpData
            | Match::Translated
            | Match::Invalid
            | Match::Syn => Some(false),
        });
    }
    if all.contains(&Some(false)) {
        return Some(false);
    }
    if all.contains(&None) { None } else { Some(true) }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        check::{Net, Ports},
        model::{ACCEPT, Open, RulesetPart, RulesetSpec, tests::device},
        nets::NetSet,
    };

    fn open(ports: &str, protocol: Option<Protocol>) -> Open {
        Open {
            what: ACCEPT,
            device: None,
            protocol,
            ports: Ports::parse(ports).ok(),
            from: None,
            source_port: None,
            external: None,
        }
    }

    fn compiled(parts: Vec<Open>) -> CompiledRules {
        let here = HostNetwork {
            interfaces: vec!["lan".into(), "wg0".into()],
            login_ports: [22].into(),
            ..HostNetwork::default()
        };
        let mut ruleset = RulesetSpec::new("x").unwrap();
        for part in parts {
            ruleset.add(RulesetPart::Open(part)).unwrap();
        }
        ruleset.isolate(true);
        crate::rules::rules(&ruleset, &here).unwrap()
    }

    fn socket(is_udp: bool, local: &str, peer: &str, inode: u64) -> HostSocket {
        let local: SocketAddr = local.parse().unwrap();
        HostSocket { is_udp, local, peer: peer.parse().ok(), inode }
    }

    fn owner(name: &str, has_tunnel: bool) -> SocketOwner {
        SocketOwner { process: 7, name: name.into(), has_tunnel }
    }

    fn services() -> HostServices {
        HostServices {
            sockets: vec![
                socket(false, "0.0.0.0:22", "", 1),
                socket(false, "0.0.0.0:53", "", 2),
                socket(true, "0.0.0.0:53", "", 2),
                socket(false, "[::]:443", "", 3),
                socket(false, "192.168.0.1:443", "192.168.0.7:50000", 4),
                // A client's, and the kernel's own.
                socket(true, "0.0.0.0:40000", "", 5),
                socket(true, "0.0.0.0:51820", "", 6),
            ],
            owners: Some(
                [(1, "sshd"), (2, "dnsmasq"), (3, "nginx"), (4, "nginx"), (5, "chronyd")]
                    .map(|(inode, name)| (inode, owner(name, false)))
                    .into(),
            ),
            ephemeral: (32768, 60999),
            logins: Vec::new(),
        }
    }

    #[test]
    fn services_that_become_unreachable_are_named_with_their_users() {
        let rules = compiled(vec![open("21", None)]);
        let text = warning(&rules, &services()).unwrap().text;
        assert_eq!(
            text,
            "`isolate` cuts off services of this host: udp 51820; tcp 53, udp 53 (dnsmasq); tcp 443 (nginx); connected \
             now: 192.168.0.7 at 443; `rules.accept(#{ ports: 443 }); rules.accept(#{ ports: 51820, protocol: \"udp\" \
             }); rules.accept(#{ ports: 53, protocol: \"both\" });` lets them in"
        );
        let inside = Open { device: Some(device("lan")), ..open("443", None) };
        let from = Open {
            from: NetSet::new(vec![Net::parse("192.168.0.0/24").unwrap()]).ok(),
            ..open("51820", Some(Protocol::Udp))
        };
        let rules = compiled(vec![inside, from, open("53", Some(Protocol::Both))]);
        assert!(warning(&rules, &services()).is_none(), "each is let in for some");
    }

    #[test]
    fn a_tunnel_is_carried_by_the_kernel_or_by_a_program_that_serves_it() {
        let sockets = vec![
            socket(true, "0.0.0.0:1194", "", 1),
            socket(true, "0.0.0.0:40000", "", 1),
            socket(true, "0.0.0.0:51820", "", 9),
            socket(true, "0.0.0.0:53", "", 2),
        ];
        let owners = [(1, owner("openvpn", true)), (2, owner("dnsmasq", false))].into();
        let here = HostServices { sockets, owners: Some(owners), ..services() };
        assert_eq!(here.carriers(), [(1194, true), (51820, true)]);
        assert_eq!(HostServices { owners: None, ..here }.carriers(), []);
    }

    #[test]
    fn a_login_that_could_not_be_repeated_is_refused_and_so_is_its_tunnel() {
        let told = |parts, port, device: &str, is_tunnel| {
            let login = LoginConnection { port, peer: "10.8.0.2".parse().unwrap(), is_named: true };
            let way = Some((device.to_owned(), is_tunnel));
            let here = HostServices { logins: vec![(login, way)], ..services() };
            check(&compiled(parts), Some(&here))
                .err()
                .map(|fault| fault.message)
                .unwrap_or_default()
        };
        let ftp = || open("21", None);
        assert_eq!(told(vec![ftp()], 22, "lan", false), "");
        let text = told(vec![ftp()], 7022, "lan", false);
        assert!(text.contains("10.8.0.2 at port 7022") && text.contains("ports: 7022"), "{text}");
        let lan = Open { device: Some(device("lan")), ..open("7022", None) };
        assert_eq!(told(vec![lan.clone()], 7022, "lan", false), "");
        assert!(told(vec![lan], 7022, "wg0", false).contains("7022"), "by another interface");
        let text = told(vec![ftp()], 22, "wg0", true);
        assert!(text.contains("tunnel wg0") && text.contains("udp 51820"), "{text}");
        assert!(text.contains("ports: 51820, protocol: \"udp\""), "{text}");
        let carried = open("51820", Some(Protocol::Udp));
        assert_eq!(told(vec![ftp(), carried], 22, "wg0", true), "");
    }
}
