//! Plans of IPv6 beside rules of others: what is printed opens the ways, and nothing else.

use super::{
    Gate, echo_at,
    reach::connects,
    tried::{run_remedies, told_drops},
};
use crate::support::server::skip;

/// A forward by NAT, a pinhole, a way out, and a port of the host itself.
const SIX: &str = r#"
let rules = nat::ruleset("six");
rules.forward(#{ in: "wan", ports: 8080, to: "2001:db8:50::10" });
rules.allow(#{ in: "wan", out: "lan", to: "2001:db8:50::10", ports: 8021 });
rules.masquerade(#{ source: "2001:db8:50::/80", out: "wan" });
rules.ftp_active(#{ ports: "40000-40009", server: "2001:db8:113::10" });
rules.forwarding(true);
rules.apply();
"#;
const HOST: &str = "[2001:db8:113::1]";
const INSIDE: &str = "[2001:db8:50::10]";
const OUTSIDE: &str = "[2001:db8:113::10]";

/// Returns whether each way passes, and then whether each port does that no rule names.
fn probed(gate: &Gate) -> ([bool; 4], [bool; 2]) {
    let server = |host: &str, port: u16| connects(&gate.server, &format!("{host}:{port}"));
    let out = connects(&gate.client, &format!("{OUTSIDE}:7000"));
    (
        [server(HOST, 8080), server(INSIDE, 8021), out, server(HOST, 40003)],
        [server(INSIDE, 445), server(HOST, 2222)],
    )
}

fn closed_by_nft(family: &str, drop: &str) -> String {
    let chain = |name: &str, more: &str| {
        format!(
            "chain {name} {{\n type filter hook {name} priority filter\n ct state established,related accept\n\
             {more}{drop}\n }}\n"
        )
    };
    let neighbours = " icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n";
    let rules = format!("{}{}", chain("input", neighbours), chain("forward", ""));
    format!("nft -f - <<'END'\ntable {family} theirs {{\n{rules}}}\nEND\n")
}

fn closed_by_iptables(program: &str) -> String {
    format!(
        "{program} -A INPUT -p icmpv6 -j ACCEPT
        {program} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        {program} -P INPUT DROP
        {program} -P FORWARD DROP"
    )
}

#[test]
fn remedies_for_ipv6_open_their_ways_alone_in_every_filter() {
    for (close, begins) in [
        (closed_by_nft("inet", "drop"), "nft insert rule inet theirs "),
        (closed_by_nft("ip6", "reject"), "nft insert rule ip6 theirs "),
        (closed_by_iptables("ip6tables"), "ip6tables -I "),
        (closed_by_iptables("ip6tables-legacy"), "ip6tables-legacy -I "),
    ] {
        let Some(gate) = Gate::lay() else { return };
        gate.add_ipv6();
        for (space, host, ports) in [
            (&gate.client, INSIDE, [8080, 8021, 445].as_slice()),
            (&gate.router, HOST, &[40003, 2222]),
            (&gate.server, OUTSIDE, &[7000]),
        ] {
            for port in ports {
                echo_at(space, &format!("{host}:{port}"));
            }
        }
        gate.done(SIX, &["apply"]);
        assert_eq!(probed(&gate), ([true; 4], [true; 2]), "a closed port would be no proof");
        if let Err(said) = gate.router.try_sh(&close) {
            assert!(begins.contains("legacy"), "{said}");
            skip(&format!("no legacy ip6tables here: {said}"));
            continue;
        }
        assert_eq!(probed(&gate), ([false; 4], [false; 2]), "{close}");
        let told = told_drops(&gate, SIX);
        run_remedies(&told, |remedy| {
            assert!(remedy.starts_with(begins), "{remedy}");
            gate.router.sh(remedy);
        });
        assert_eq!(probed(&gate), ([true; 4], [false; 2]), "{told:#?}");
        assert_eq!(told_drops(&gate, SIX), Vec::<String>::new(), "{told:#?}");
    }
}
