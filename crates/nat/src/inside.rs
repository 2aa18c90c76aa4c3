//! A client's place in a network inside: a network namespace whose packets the host takes for those of a neighbour on that
//! interface. Rules, routes, filters against forged sources and connection tracking treat them as they treat any client's.
//!
//! ```text
//! [namespace] eth0 ====== ptl… [host]
//!                          |  what comes out of the cable is redirected: it comes in by the interface inside (tc, mirred)
//!                          '- what leaves by that interface for the client's MAC address is redirected into the cable
//! ```
//!
//! The internal network is not changed: the client has an address that answers no request, and is removed when this process ends.

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::{check::Net, proof::InsideNetwork, tools, twin::space::Space};
use crate::NatError;
use portolan_core::{
    error::{Error, Result},
    observe::visible::visible,
};

/// The type of hardware of interfaces whose packets have MAC addresses (`linux/if_arp.h`).
const ETHERNET: &str = "1";
/// The maximum time until a neighbour answers; one that does not is not there.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(900);
/// The pause between two looks for an answer.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// The number of addresses that are tried, from the last one of the network.
const ADDRESSES_MAX: u32 = 6;
/// The port to which the question for a neighbour is sent (discard).
const DISCARD: u16 = 9;
/// The end of the cable in the namespace.
const CLIENT_END: &str = "eth0";

/// A client's place.
#[derive(Debug)]
pub struct InsideClient {
    space: Space,
    /// The address of the client.
    pub address: IpAddr,
    redirection: Redirection,
}

/// The redirection of packets, taken back on drop.
#[derive(Debug)]
struct Redirection {
    /// The interface inside.
    device: String,
    /// The end of the cable on the host.
    cable: String,
    /// The preference of its filters on that interface, which is their name.
    preference: u32,
    /// True if the interface had no place for filters before.
    has_made_place: bool,
    /// The client's address, which the host knows as a neighbour's.
    address: IpAddr,
}

/// Returns the fault for a place that cannot be had.
fn unavailable(why: &str) -> Error {
    NatError::NoTwin.fault(format!("no client's place inside: {why}"))
}

impl InsideClient {
    /// Takes a place in `inside`. Fails with `nat.no_twin` where that is impossible: without root, `ip` and `tc`, on an
    /// interface without MAC addresses, or if all addresses that were tried belong to somebody.
    pub fn open(inside: &InsideNetwork) -> Result<Self> {
        let device = &inside.device;
        let hardware = read(device, "type");
        if hardware.as_deref() != Some(ETHERNET) {
            return Err(unavailable(&format!("{device} has no MAC addresses")));
        }
        let address = free_address(inside)?;
        let space = Space::open()?;
        let number = std::process::id() % 100_000;
        let cable = format!("ptl{number}");
        let preference = 20_000 + number % 20_000;
        let device = device.clone();
        let redirection = Redirection { device, cable, preference, has_made_place: false, address };
        let mut place = Self { space, address, redirection };
        place.connect(inside)?;
        Ok(place)
    }

    /// Runs `work` there, on a thread of its own; what it starts stays there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.space.within(work)
    }

    fn connect(&mut self, inside: &InsideNetwork) -> Result<()> {
        let Redirection { device, cable, .. } = &self.redirection;
        let pid = self.space.pid();
        // Packets for the interface inside are for this host only with its own MAC address.
        let mac = read(device, "address")
            .ok_or_else(|| unavailable(&format!("the MAC address of {device} is not known")))?;
        let quiet = format!("/proc/sys/net/ipv6/conf/{cable}/disable_ipv6");
        ip(&[
            format!("link add {cable} type veth peer name {CLIENT_END} netns {pid}"),
            format!("link set {cable} address {mac} arp off"),
        ])?;
        // It has no addresses of its own; without IPv6 there is no such file.
        let written: std::io::Result<()> = fs::write(quiet, "1");
        written.ok();
        ip(&[format!("link set {cable} up")])?;
        let (address, prefix, gateway) = (self.address, inside.net.prefix(), inside.gateway);
        let client = self.space.within(|| -> Result<Option<String>> {
            let flags = if address.is_ipv6() { " nodad" } else { "" };
            ip(&[
                "link set lo up".to_owned(),
                format!("link set {CLIENT_END} up"),
                format!("addr add {address}/{prefix} dev {CLIENT_END}{flags}"),
                format!("route add default via {gateway} dev {CLIENT_END}"),
            ])?;
            // `/sys` shows the network namespace in which it was mounted.
            let shown = tools::run(&["ip", "-o", "link", "show", CLIENT_END], "").ok();
            Ok(shown.and_then(|ran| mac_in(&ran.out)))
        })??;
        let client = client.ok_or_else(|| unavailable("its own MAC address is not known"))?;
        self.redirection.set_up(&client, address)
    }
}

impl Redirection {
    fn set_up(&mut self, client: &str, address: IpAddr) -> Result<()> {
        let Self { device, cable, preference, .. } = self;
        tc(&["qdisc", "add", "dev", cable, "clsact"])?;
        self.has_made_place = tc(&["qdisc", "add", "dev", device, "clsact"]).is_ok();
        let all = ["u32", "match", "u32", "0", "0"];
        let action = ["action", "mirred", "ingress", "redirect", "dev", device];
        let head = ["filter", "add", "dev", cable, "ingress", "protocol", "all", "pref", "1"];
        tc(&[&head[..], &all, &action].concat())?;
        // What is for the client, and the questions for its MAC address, which are for everybody.
        let (question, family) = match address {
            IpAddr::V4(_) => ("ff:ff:ff:ff:ff:ff".to_owned(), "arp"),
            IpAddr::V6(address) => {
                let [.., a, b, c] = address.octets();
                (format!("33:33:ff:{a:02x}:{b:02x}:{c:02x}"), "ipv6")
            }
        };
        for (nth, family, mac, how) in
            [(0, "all", client, "redirect"), (1, family, question.as_str(), "mirror")]
        {
            let preference = (*preference + nth).to_string();
            tc(&[
                "filter",
                "add",
                "dev",
                device,
                "egress",
                "protocol",
                family,
                "pref",
                &preference,
                "u32",
                "match",
                "ether",
                "dst",
                mac,
                "action",
                "mirred",
                "egress",
                how,
                "dev",
                cable,
            ])?;
        }
        Ok(())
    }
}

impl Drop for Redirection {
    fn drop(&mut self) {
        let Self { device, cable, preference, has_made_place, address } = self;
        for preference in [*preference, *preference + 1] {
            let preference = preference.to_string();
            tc(&["filter", "del", "dev", device, "egress", "pref", &preference]).ok();
        }
        let is_empty = |side| {
            let shown = tools::run(&["tc", "filter", "show", "dev", device, side], "");
            shown.is_ok_and(|ran| ran.ok && ran.out.trim().is_empty())
        };
        // Another program may have put filters there meanwhile.
        if *has_made_place && is_empty("ingress") && is_empty("egress") {
            tc(&["qdisc", "del", "dev", device, "clsact"]).ok();
        }
        ip(&[format!("link del {cable}")]).ok();
        // It would be taken for that of a neighbour for minutes.
        ip(&[format!("neigh del {address} dev {device}")]).ok();
    }
}

/// Returns an unused address of the network.
fn free_address(inside: &InsideNetwork) -> Result<IpAddr> {
    if let Some(client) = inside.client {
        return if is_taken(client, &inside.device) {
            Err(unavailable(&format!("{client} is there itself")))
        } else {
            Ok(client)
        };
    }
    candidates(inside)
        .find(|address| !is_taken(*address, &inside.device))
        .ok_or_else(|| unavailable(&format!("no address of {} is free", inside.net)))
}

/// Returns the last addresses of the network, within the part that is carried.
fn candidates(inside: &InsideNetwork) -> impl Iterator<Item = IpAddr> {
    let InsideNetwork { net, gateway, source, .. } = *inside;
    let part = source.filter(|source| source.prefix() > net.prefix()).unwrap_or(net);
    let offsets = (0..ADDRESSES_MAX + 2).filter_map(move |back| from_end(part, back));
    let is_host = move |address: &IpAddr| {
        let is_edge = net.family() == super::check::Family::V4
            && [from_end(net, 0), Some(net.address())].contains(&Some(*address))
            && net.prefix() < 31;
        net.has(*address) && *address != gateway && !is_edge
    };
    offsets.filter(is_host).take(ADDRESSES_MAX as usize)
}

/// Returns the address that is `back` before the last one of a network.
fn from_end(net: Net, back: u32) -> Option<IpAddr> {
    let prefix = u32::from(net.prefix());
    let address = match net.address() {
        IpAddr::V4(first) => {
            let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let offset = hosts.checked_sub(back)?;
            std::net::Ipv4Addr::from_bits(first.to_bits() | offset).into()
        }
        IpAddr::V6(first) => {
            let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
            // The very last ones are kept for anycast (RFC 2526).
            let offset = hosts.checked_sub(u128::from(back) + 0x100)?;
            std::net::Ipv6Addr::from_bits(first.to_bits() | offset).into()
        }
    };
    net.has(address).then_some(address)
}

/// Returns true if somebody on that interface answers for the address.
fn is_taken(address: IpAddr, device: &str) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // Only an address of this host can be bound to.
    if std::net::UdpSocket::bind((address, 0)).is_ok() {
        return true;
    }
    // The kernel asks for the neighbour before it sends this.
    let asked = std::net::UdpSocket::bind((any, 0))
        .and_then(|socket| socket.send_to(&[], (address, DISCARD)));
    if asked.is_err() {
        return true;
    }
    let until = Instant::now() + ANSWER_TIME_MAX;
    let shown = ["ip", "neigh", "show", &address.to_string(), "dev", device];
    loop {
        match tools::run(&shown, "") {
            Ok(ran) if ran.ok => {
                if ran.out.contains("lladdr") && !ran.out.contains("FAILED") {
                    return true;
                }
            }
            // It is not known, so no host loses its address.
            _ => return true,
        }
        if Instant::now() >= until {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "less than a second, before anything is done"
        )]
        thread::sleep(LOOK_PAUSE);
    }
}

/// Returns a property of an interface.
fn read(device: &str, property: &str) -> Option<String> {
    // `/sys` shows the network namespace in which it was mounted, so `ip` is asked where it differs.
    let shown = tools::run(&["ip", "-o", "link", "show", "dev", device], "").ok()?;
    match property {
        "address" => mac_in(&shown.out),
        _ if shown.out.contains(" link/ether ") => Some(ETHERNET.to_owned()),
        _ => {
            let path: PathBuf = ["/sys/class/net", device, property].iter().collect();
            fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
        }
    }
}

/// Returns the MAC address in the output of `ip -o link`.
fn mac_in(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == "link/ether")?;
    words.next().map(str::to_owned)
}

fn ip(commands: &[String]) -> Result<()> {
    let text = commands.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
    done(&["ip", "-batch", "-"], &text)
}

fn tc(words: &[&str]) -> Result<()> {
    done(&[&["tc"], words].concat(), "")
}

fn done(words: &[&str], input: &str) -> Result<()> {
    match tools::run(words, input) {
        Ok(ran) if ran.ok => Ok(()),
        Ok(ran) => {
            let said = visible(ran.err.lines().next().unwrap_or("it did not say why"));
            Err(unavailable(&format!("{}: {said}", words.first().unwrap_or(&""))))
        }
        Err(error) => Err(unavailable(&format!("{}: {error}", words.first().unwrap_or(&"")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(net: &str, source: Option<&str>) -> Vec<String> {
        let inside = InsideNetwork {
            device: "lan0".into(),
            gateway: "192.168.0.254".parse().unwrap(),
            net: Net::parse(net).unwrap(),
            source: source.map(|source| Net::parse(source).unwrap()),
            client: None,
        };
        candidates(&inside).map(|address| address.to_string()).collect()
    }

    #[test]
    fn places_are_the_last_addresses_that_are_carried() {
        let last = |net, source| tried(net, source).first().cloned();
        // 255 is the broadcast address, and 254 is the gateway.
        assert_eq!(last("192.168.0.0/24", None).as_deref(), Some("192.168.0.253"));
        assert_eq!(last("192.168.0.0/24", Some("0.0.0.0/0")).as_deref(), Some("192.168.0.253"));
        assert_eq!(
            last("192.168.0.0/24", Some("192.168.0.64/26")).as_deref(),
            Some("192.168.0.127")
        );
        assert_eq!(tried("192.168.0.0/24", Some("192.168.0.10")), ["192.168.0.10"]);
        assert_eq!(tried("192.168.0.252/30", None), ["192.168.0.253"]);
        assert_eq!(last("fd00::/64", None).as_deref(), Some("fd00::ffff:ffff:ffff:feff"));
        assert_eq!(tried("192.168.0.0/24", None).len(), ADDRESSES_MAX as usize);
    }

    #[test]
    fn the_mac_address_is_read_from_what_ip_prints() {
        let text = "5: lan0@if2: <BROADCAST> mtu 1500 qdisc noop state DOWN mode DEFAULT \\    link/ether aa:bb:cc:dd:ee:ff brd ff:ff:ff:ff:ff:ff link-netnsid 1";
        assert_eq!(mac_in(text).as_deref(), Some("aa:bb:cc:dd:ee:ff"));
        assert_eq!(mac_in("1: lo: link/loopback 00:00:00:00:00:00 brd 00"), None);
    }
}
