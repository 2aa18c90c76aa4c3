//! The same over IPv6, routed and masqueraded.

use super::{
    ALL_ILLEGAL, ALL_LOST, ALL_WORK, Expected, ILLEGAL, NOT_CURL, Row, check,
    clients::Way,
    lab::{PUBLIC, Place, Server},
};

/// The usual setup of IPv6: no address is hidden, and unsolicited connections are dropped.
const ROUTED6: &str = r#"rules.allow(#{ in: "lan", out: "wan", source: "2001:db8:50::/64" }); rules.isolate(true);
    rules.forwarding(true);"#;
const ROUTED6_HELPER: &str = r#"rules.allow(#{ in: "lan", out: "wan", source: "2001:db8:50::/64" }); rules.isolate(true);
    rules.forwarding(true); rules.ftp_helper(#{ in: "lan" });"#;
const NAT66: &str = r#"rules.masquerade(#{ source: "2001:db8:50::/64", out: "wan" }); rules.isolate(true);
    rules.forwarding(true);"#;
const NAT66_HELPER: &str = r#"rules.masquerade(#{ source: "2001:db8:50::/64", out: "wan" }); rules.isolate(true);
    rules.forwarding(true); rules.ftp_helper(#{ in: "lan" });"#;
const SERVED6: &str = r#"rules.ftp_server(#{ control: 21, passive: "50000-50009", to: "fd77::10", in: "wan" });
    rules.masquerade(#{ source: "fd77::/64", out: "wan" }); rules.isolate(true); rules.forwarding(true);"#;
const HAIRPIN6: &str = r#"rules.ftp_server(#{ control: 21, passive: "50000-50009", to: "fd77::10", hairpin: "fd77::/64" });
    rules.masquerade(#{ source: "fd77::/64", out: "wan" }); rules.isolate(true); rules.forwarding(true);"#;

const IPV6: Server = Server { is_ipv6: true, ..PUBLIC };
const TLS: Server = Server { is_tls: true, ..IPV6 };

type Rules = &'static [(Place, &'static str)];
type Ways = &'static [(Way, [Expected; 3])];

fn row(name: &'static str, server: Server, rules: Rules, from: Place, ways: Ways) -> Row {
    Row { name, server, rules, from, ways }
}

#[test]
fn a_client_of_ipv6_behind_a_gateway_of_ours() {
    const ROUTED: Server = Server { is_routed: true, ..IPV6 };
    check(&[
        row(
            "routed, with nothing that lets data in",
            ROUTED,
            &[(Place::Router, ROUTED6)],
            Place::Client,
            &[(Way::Passive, ALL_WORK), (Way::Active, ALL_LOST)],
        ),
        row(
            "routed, the helper",
            ROUTED,
            &[(Place::Router, ROUTED6_HELPER)],
            Place::Client,
            &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)],
        ),
        row(
            "hidden",
            IPV6,
            &[(Place::Router, NAT66)],
            Place::Client,
            &[(Way::Passive, ALL_WORK), (Way::Active, ALL_ILLEGAL)],
        ),
        row(
            "hidden, the helper",
            IPV6,
            &[(Place::Router, NAT66_HELPER)],
            Place::Client,
            &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)],
        ),
        row(
            "hidden, the helper, TLS",
            TLS,
            &[(Place::Router, NAT66_HELPER)],
            Place::Client,
            &[(Way::Passive, ALL_WORK), (Way::Active, [ILLEGAL, ILLEGAL, NOT_CURL])],
        ),
    ]);
}

#[test]
fn a_server_of_ipv6_behind_a_gateway_of_ours() {
    const BEHIND: Server = Server { is_behind: true, ..IPV6 };
    const BEHIND_TLS: Server = Server { is_behind: true, ..TLS };
    const BOTH: Rules = &[(Place::Router, NAT66_HELPER), (Place::Gate, SERVED6)];
    check(&[
        row(
            "a server behind NAT",
            BEHIND,
            BOTH,
            Place::Client,
            &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)],
        ),
        row(
            "a server behind NAT, TLS",
            BEHIND_TLS,
            BOTH,
            Place::Client,
            &[(Way::Passive, ALL_WORK)],
        ),
        row(
            "hairpin, from a neighbour",
            BEHIND,
            &[(Place::Gate, HAIRPIN6)],
            Place::Neighbour,
            &[(Way::Passive, ALL_WORK)],
        ),
        row(
            "hairpin, from the gate itself",
            BEHIND,
            &[(Place::Gate, HAIRPIN6)],
            Place::Gate,
            &[(Way::Passive, ALL_WORK)],
        ),
    ]);
}
