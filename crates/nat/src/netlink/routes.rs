//! Routes: the one that the kernel takes for an address, and the default routes of all tables.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    GET_ROUTE, GET_RULE, NetworkLink, ask,
    message::{self, Attributes, NetlinkReply, u16_of, u32_of},
    name_of, number,
};
use crate::check::{Family, Net};

/// Far addresses, in both halves of each address space: a VPN may lay two routes of half the space over the default
/// route. They belong to root name servers, and no packet is ever sent to them.
const FAR4: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(193, 0, 14, 129)];
const FAR6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2001, 0x7fd, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2a00, 0x1450, 0, 0, 0, 0, 0, 1),
];

/// The tables that every host has (`linux/rtnetlink.h`).
const TABLE_MAIN: u32 = 254;
const TABLE_LOCAL: u32 = 255;
/// The types of routes: to another host, and to the host itself.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
/// The length of `struct rtmsg`, and of `struct fib_rule_hdr`.
const HEAD: usize = 12;

const DESTINATION: u16 = 1;
const OUT_DEVICE: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const MULTIPATH: u16 = 9;
const TABLE: u16 = 15;

/// A route that leads to everything for which there is no better one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefaultRoute {
    pub(crate) family: Family,
    pub(crate) device: String,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) table: u32,
    /// True if the kernel takes it for packets without a mark from any source.
    pub(crate) is_taken: bool,
    /// True if a policy rule leads packets to its table.
    pub(crate) is_ruled: bool,
    /// The only source network that the rule applies to.
    pub(crate) from: Option<Net>,
}

/// The kernel's answer for one address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KernelRoute {
    /// True if the address is the host's own.
    pub(crate) is_local: bool,
    /// Each interface by which the packets may leave, with the gateway.
    pub(crate) hops: Vec<(String, Option<IpAddr>)>,
}

/// Asks for the route to `address`; `None` if there is none.
pub(crate) fn route(address: IpAddr, links: &[NetworkLink]) -> Option<KernelRoute> {
    /// Wants the entry of the table with all of its hops, not the hop of one packet.
    const FIB_MATCH: u32 = 0x2000;
    let octets = message::octets(address);
    let bits = u8::try_from(octets.len() * 8).ok()?;
    let question = |flags: u32| {
        let mut body = vec![number(Family::of(address)), bits, 0, 0, 0, 0, 0, 0];
        body.extend(flags.to_ne_bytes());
        message::push(&mut body, DESTINATION, &octets);
        ask(GET_ROUTE, false, &body)
    };
    // Linux before 4.13 does not know the flag.
    let told = question(FIB_MATCH).or_else(|_| question(0)).ok()?;
    let entry = RouteEntry::read(told.first()?)?;
    Some(KernelRoute { is_local: entry.kind == LOCAL, hops: entry.hops(links) })
}

/// Returns the default routes of the main table, and of the tables that rules lead to.
pub(super) fn default_routes(links: &[NetworkLink]) -> io::Result<Vec<DefaultRoute>> {
    let mut found = Vec::new();
    let far4 = FAR4.iter().map(|far| IpAddr::from(*far));
    for far in far4.chain(FAR6.iter().map(|far| IpAddr::from(*far))) {
        let Some(route) = route(far, links).filter(|route| !route.is_local) else { continue };
        let family = Family::of(far);
        for (device, gateway) in route.hops {
            let one = DefaultRoute {
                family,
                device,
                gateway,
                table: TABLE_MAIN,
                is_taken: true,
                is_ruled: false,
                from: None,
            };
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    for family in [Family::V4, Family::V6] {
        let rules = rules(family)?;
        let replies = ask(GET_ROUTE, true, &head(family))?;
        let is_default = |entry: &RouteEntry<'_>| {
            entry.bits == 0 && entry.kind == UNICAST && entry.family == number(family)
        };
        let others: Vec<_> =
            replies.iter().filter_map(RouteEntry::read).filter(is_default).collect();
        found.extend(ruled(family, &others, &rules, links));
    }
    let taken: Vec<_> = found.iter().filter(|one| one.is_taken).cloned().collect();
    found.retain(|one| {
        let is_same =
            |other: &DefaultRoute| other.family == one.family && other.device == one.device;
        one.is_taken || !taken.iter().any(is_same)
    });
    Ok(found)
}

/// Returns the default routes that policy rules or a higher metric keep for some packets.
fn ruled(
    family: Family,
    entries: &[RouteEntry<'_>],
    rules: &[PolicyRule],
    links: &[NetworkLink],
) -> Vec<DefaultRoute> {
    let mut best: BTreeMap<u32, u32> = BTreeMap::new();
    for entry in entries {
        let least = best.entry(entry.table).or_insert(u32::MAX);
        *least = (*least).min(entry.metric);
    }
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.table != TABLE_LOCAL) {
        let is_main = entry.table == TABLE_MAIN;
        if !is_main && best.get(&entry.table).is_some_and(|best| *best < entry.metric) {
            continue;
        }
        let leading: Vec<_> = rules.iter().filter(|rule| rule.table == entry.table).collect();
        let is_ruled = !is_main && !leading.is_empty();
        if !is_main && !is_ruled {
            continue;
        }
        // Of several rules, the widest decides.
        let from = match leading.as_slice() {
            _ if is_main || leading.iter().any(|rule| rule.from.is_none()) => None,
            [first, ..] => first.from,
            [] => None,
        };
        for (device, gateway) in entry.hops(links) {
            let table = entry.table;
            found.push(DefaultRoute {
                family,
                device,
                gateway,
                table,
                is_taken: false,
                is_ruled,
                from,
            });
        }
    }
    found
}

/// A rule of policy routing that leads to a table.
struct PolicyRule {
    table: u32,
    from: Option<Net>,
}

fn rules(family: Family) -> io::Result<Vec<PolicyRule>> {
    const SOURCE: u16 = 2;
    let rule = |reply: &NetlinkReply| {
        let (head, attributes) = reply.parts(HEAD)?;
        let source_bits = *head.get(2)?;
        let mut rule = PolicyRule { table: u32::from(*head.get(4)?), from: None };
        for (kind, value) in attributes {
            match kind {
                TABLE => rule.table = u32_of(value)?,
                SOURCE => rule.from = message::address(value).map(|net| Net::new(net, source_bits)),
                _ => {}
            }
        }
        Some(rule)
    };
    Ok(ask(GET_RULE, true, &head(family))?.iter().filter_map(rule).collect())
}

fn head(family: Family) -> Vec<u8> {
    let mut head = vec![number(family)];
    head.resize(HEAD, 0);
    head
}

/// A route as the kernel tells it.
struct RouteEntry<'r> {
    family: u8,
    /// The length of the prefix of the destination.
    bits: u8,
    table: u32,
    kind: u8,
    metric: u32,
    attributes: Attributes<'r>,
}

impl<'r> RouteEntry<'r> {
    fn read(reply: &'r NetlinkReply) -> Option<Self> {
        let (head, attributes) = reply.parts(HEAD)?;
        let [family, bits, _, _, table, _, _, kind, ..] = *head else { return None };
        let value = |wanted: u16| {
            attributes
                .clone()
                .find(|(kind, _)| *kind == wanted)
                .and_then(|(_, value)| u32_of(value))
        };
        let table = value(TABLE).unwrap_or_else(|| u32::from(table));
        let metric = value(PRIORITY).unwrap_or_default();
        Some(Self { family, bits, table, kind, metric, attributes })
    }

    /// Returns the interfaces by which packets leave; those without a link are left out.
    fn hops(&self, links: &[NetworkLink]) -> Vec<(String, Option<IpAddr>)> {
        let mut hops = Vec::new();
        let (mut device, mut gateway) = (None, None);
        for (kind, value) in self.attributes.clone() {
            match kind {
                OUT_DEVICE => device = u32_of(value),
                GATEWAY => gateway = message::address(value),
                MULTIPATH => hops.extend(several(value)),
                _ => {}
            }
        }
        hops.extend(device.filter(|_| hops.is_empty()).map(|device| (device, gateway)));
        let named = |(index, gateway): (u32, Option<IpAddr>)| {
            Some((name_of(links, index)?.to_owned(), gateway))
        };
        hops.into_iter().filter_map(named).filter(|(device, _)| device != "lo").collect()
    }
}

/// Returns the hops of a route with several (`struct rtnexthop` each, with attributes).
fn several(mut bytes: &[u8]) -> Vec<(u32, Option<IpAddr>)> {
    const HOP_HEAD: usize = 8;
    const DEAD: u8 = 1;
    const LINK_DOWN: u8 = 16;
    let mut hops = Vec::new();
    while let Some(length) = u16_of(bytes).map(usize::from) {
        let Some((head, rest)) = bytes.get(..length).and_then(|hop| hop.split_at_checked(HOP_HEAD))
        else {
            break;
        };
        let is_down = head.get(2).is_some_and(|flags| flags & (DEAD | LINK_DOWN) != 0);
        if let Some(index) = head.get(4..).and_then(u32_of).filter(|_| !is_down) {
            let gateway = Attributes(rest).find(|(kind, _)| *kind == GATEWAY);
            hops.push((index, gateway.and_then(|(_, value)| message::address(value))));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Vec<NetworkLink> {
        let link =
            |index, name: &str| NetworkLink { index, name: name.into(), ..NetworkLink::default() };
        vec![link(1, "lo"), link(2, "eth1"), link(3, "eth2"), link(4, "wg0")]
    }

    fn entry(table: u8, attributes: &[(u16, &[u8])]) -> NetlinkReply {
        let mut body = vec![2, 0, 0, 0, table, 0, 0, UNICAST, 0, 0, 0, 0];
        for (kind, value) in attributes {
            message::push(&mut body, *kind, value);
        }
        NetlinkReply::Data { kind: 24, body }
    }

    #[test]
    fn all_hops_of_one_route_are_read_but_those_that_are_down() {
        let hop = |index: u32, flags: u8| {
            let mut hop = vec![16, 0, flags, 0];
            hop.extend(index.to_ne_bytes());
            message::push(&mut hop, GATEWAY, &[203, 0, 113, 9]);
            hop
        };
        let all = [hop(2, 0), hop(3, 0), hop(4, 1)].concat();
        let reply = entry(254, &[(MULTIPATH, &all)]);
        let hops = RouteEntry::read(&reply).unwrap().hops(&links());
        let gateway = Some("203.0.113.9".parse().unwrap());
        assert_eq!(hops, [("eth1".to_owned(), gateway), ("eth2".to_owned(), gateway)]);
    }

    #[test]
    fn a_table_counts_if_a_rule_leads_to_it_and_with_its_best_route() {
        let two = 2_u32.to_ne_bytes();
        let three = 3_u32.to_ne_bytes();
        let four = 4_u32.to_ne_bytes();
        let metric = 100_u32.to_ne_bytes();
        let replies = [
            entry(254, &[(OUT_DEVICE, &two)]),
            entry(100, &[(OUT_DEVICE, &three)]),
            entry(100, &[(OUT_DEVICE, &four), (PRIORITY, &metric)]),
            entry(101, &[(OUT_DEVICE, &four)]),
        ];
        let entries: Vec<_> = replies.iter().filter_map(RouteEntry::read).collect();
        let net = Net::parse("192.168.0.0/25").ok();
        let rules = [PolicyRule { table: 100, from: net }, PolicyRule { table: 254, from: None }];
        let found = ruled(Family::V4, &entries, &rules, &links());
        let shown: Vec<_> =
            found.iter().map(|one| (one.device.as_str(), one.is_ruled, one.from)).collect();
        assert_eq!(shown, [("eth1", false, None), ("eth2", true, net)]);
    }
}
