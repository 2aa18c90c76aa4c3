//! Hosts whose filter lets nothing out: `nat::suggest` and `portolan doctor`, followed by client and server.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use super::{CLIENT, CLIENT6, DATABASE, HOST, HOST6, SILENCE, Segment, suggested};
use crate::support::{firewalls::FirewallRoom, net::Space};

/// Filters that let out what is established, and refuse the rest, each in its own words.
const SHUT_BY_NFT: [&str; 2] = [
    "table inet filter {
        chain input { type filter hook input priority filter; policy accept; }
        chain output {
            type filter hook output priority filter; policy drop;
            ct state established,related accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
    }",
    "table ip mine {
        chain LEAVING {
            type filter hook output priority 0; policy accept;
            ct state established accept
            jump rest
        }
        chain rest {
            counter reject
        }
    }
    table ip6 mine {
        chain LEAVING {
            type filter hook output priority 0; policy drop;
            ct state established accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
    }",
];
const SHUT_BY_IPTABLES: &str = "for tool in iptables ip6tables; do
    $tool -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    [ $tool = iptables ] || $tool -A OUTPUT -p icmpv6 -j ACCEPT
    $tool -A OUTPUT -j REJECT
done";
/// The policy of an administrator of firewalld, which `nat::suggest` cannot know the name of.
const SHUT_BY_FIREWALLD: &str = "firewall-cmd --permanent --new-policy=leaving
    firewall-cmd --permanent --policy=leaving --add-ingress-zone=HOST
    firewall-cmd --permanent --policy=leaving --add-egress-zone=ANY
    firewall-cmd --permanent --policy=leaving --set-target=DROP
    firewall-cmd --permanent --policy=leaving --add-protocol=ipv6-icmp
    firewall-cmd --reload";

fn by_nft(rules: &str) -> String {
    format!("nft -f - <<'END'\n{rules}\nEND\n")
}

/// Returns each filter: its format, and what shuts a host by it.
fn filters() -> Vec<(&'static str, String)> {
    vec![
        ("nft", by_nft(SHUT_BY_NFT[0])),
        ("nft", by_nft(SHUT_BY_NFT[1])),
        ("iptables", SHUT_BY_IPTABLES.to_owned()),
        ("ufw", "ufw default deny outgoing; ufw --force enable".to_owned()),
        ("firewalld", SHUT_BY_FIREWALLD.to_owned()),
    ]
}

/// A host whose administrator shuts it and follows suggestions, in a room of the firewall's programs if it needs one.
struct ShutHost<'s> {
    space: &'s Space,
    room: Option<FirewallRoom>,
}

impl<'s> ShutHost<'s> {
    /// Shuts it. `None` if the programs are missing, which has then been reported.
    fn shut(space: &'s Space, format: &str, close: &str) -> Option<Self> {
        let mut room = None;
        if format == "ufw" || format == "firewalld" {
            room = Some(FirewallRoom::open(space)?);
        }
        if let Some(room) = room.as_mut().filter(|_| format == "firewalld") {
            room.firewalld();
        }
        let mut host = Self { space, room };
        host.sh(close);
        Some(host)
    }

    #[track_caller]
    fn sh(&mut self, script: &str) {
        match &mut self.room {
            Some(room) => drop(room.sh(script)),
            None => self.space.sh(script),
        }
    }

    /// Runs all that was suggested; of a policy by its name, what the comment says of it.
    #[track_caller]
    fn follow(&mut self, text: &str) {
        let named = text.replace("# firewall-cmd ", "firewall-cmd ");
        self.sh(&named.replace("=NAME ", "=leaving "));
    }
}

fn reaches(space: &Space, address: SocketAddr) -> bool {
    space.within(|| TcpStream::connect_timeout(&address, SILENCE).is_ok())
}

#[test]
fn a_client_lets_out_its_connections_to_the_server_alone() {
    for (format, close) in filters() {
        for (address, from) in
            [(IpAddr::from(HOST), HOST.to_string()), (HOST6.into(), HOST6.to_string())]
        {
            let Some(segment) = Segment::lay() else { return };
            let served = segment.serve(address);
            served.is_reached(&segment.client);
            let Some(mut client) = ShutHost::shut(&segment.client, format, &close) else { return };
            segment.is_closed("passive", address);
            assert!(!served.database_answers(&segment.client), "{format}");
            let options = format!("side: \"client\", format: {format:?}, from: {from:?}");
            let text = suggested(&segment.client, &options);
            client.follow(&text);
            segment.is_open("passive", address);
            assert!(!served.database_answers(&segment.client), "{format}: {text}");
        }
    }
}

/// Checks a server whose filter drops in both directions, by the rules for active mode: the control port comes in, the
/// data connections go out to the clients' range.
#[test]
fn a_server_in_active_mode_lets_out_its_data_connections_alone() {
    let coming = "chain arriving {
            type filter hook input priority 0; policy drop;
            ct state established,related accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }";
    for (format, close) in filters() {
        for (address, from) in [(IpAddr::from(HOST), CLIENT), (HOST6.into(), CLIENT6)] {
            let Some(segment) = Segment::lay() else { return };
            let served = segment.serve(address);
            served.is_reached(&segment.client);
            let intranet = SocketAddr::new(from.parse().unwrap(), DATABASE);
            let _intranet = segment.client.within(|| TcpListener::bind(intranet).unwrap());
            assert!(reaches(&segment.host, intranet), "a closed port would be no proof");
            // The filters of a program have chains of their own for what comes in.
            let close = match format {
                "nft" => {
                    let both = by_nft(&format!("table inet both {{\n{coming}\n}}"));
                    format!("{close}{both}")
                }
                "iptables" => format!("{close}\n{}", close.replace("OUTPUT", "INPUT")),
                _ => close.clone(),
            };
            let Some(mut host) = ShutHost::shut(&segment.host, format, &close) else { return };
            segment.is_closed("active", address);
            assert!(!reaches(&segment.host, intranet), "{format}");
            let options =
                format!("side: \"server\", mode: \"active\", format: {format:?}, from: {from:?}");
            let text = suggested(&segment.host, &options);
            host.follow(&text);
            segment.is_open("active", address);
            assert!(!reaches(&segment.host, intranet), "{format}: {text}");
            assert!(!served.database_answers(&segment.client), "{format}: {text}");
        }
    }
}
