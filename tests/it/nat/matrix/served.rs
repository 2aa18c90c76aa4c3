//! A server behind a gateway that portolan configures.

use super::{
    ALL_LOST, ALL_WORK, CLASSIC, HELPER, LOST, NOT_CURL, RANGE, Row, check,
    clients::{
        Expected::{self, Works},
        Way,
    },
    lab::{PUBLIC, Place, Server},
};

/// Rules that allow all connections out, and FTP in.
const SERVED: &str = r#"rules.ftp_server(#{ control: 21, passive: "50000-50009", to: "10.77.0.10", in: "wan" });
    rules.masquerade(#{ source: "10.77.0.0/24", out: "wan" });
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true); rules.forwarding(true);"#;
/// Rules that forward the control port only, and the helper.
const READ: &str = r#"rules.forward(#{ ports: 21, to: "10.77.0.10", in: "wan" });
    rules.ftp_helper(#{ ports: 21, in: "wan" });
    rules.masquerade(#{ source: "10.77.0.0/24", out: "wan" });
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true); rules.forwarding(true);"#;
/// Rules that forward the control port only.
const UNSERVED: &str = r#"rules.forward(#{ ports: 21, to: "10.77.0.10", in: "wan" });
    rules.masquerade(#{ source: "10.77.0.0/24", out: "wan" });
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true); rules.forwarding(true);"#;

const BEHIND: Server = Server { is_behind: true, ..PUBLIC };

#[test]
fn a_server_behind_a_gateway_of_ours() {
    check(&[
        Row {
            name: "the passive range",
            server: BEHIND,
            rules: &[(Place::Router, HELPER), (Place::Gate, SERVED)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)],
        },
        Row {
            name: "the passive range, PASV, which names the address inside",
            server: Server { has_pasv_only: true, ..BEHIND },
            rules: &[(Place::Router, CLASSIC), (Place::Gate, SERVED)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::PassiveAsTold, [Works, LOST, LOST])],
        },
        Row {
            name: "the passive range, PASV, which names the address outside",
            server: Server { has_pasv_only: true, is_announcing: true, ..BEHIND },
            rules: &[(Place::Router, CLASSIC), (Place::Gate, SERVED)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::PassiveAsTold, ALL_WORK)],
        },
        Row {
            name: "the helper in place of a range",
            server: BEHIND,
            rules: &[(Place::Router, CLASSIC), (Place::Gate, READ)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK)],
        },
        Row {
            name: "the helper in place of a range, PASV",
            server: Server { has_pasv_only: true, ..BEHIND },
            rules: &[(Place::Router, CLASSIC), (Place::Gate, READ)],
            from: Place::Client,
            ways: &[(Way::PassiveAsTold, ALL_WORK)],
        },
        Row {
            name: "neither",
            server: BEHIND,
            rules: &[(Place::Router, CLASSIC), (Place::Gate, UNSERVED)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_LOST)],
        },
    ]);
}

#[test]
fn a_server_under_tls_behind_a_gateway_of_ours() {
    const TLS: Server = Server { is_tls: true, ..BEHIND };
    check(&[
        Row {
            name: "the passive range",
            server: TLS,
            rules: &[(Place::Router, CLASSIC), (Place::Gate, SERVED)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK)],
        },
        Row {
            name: "the passive range, PASV, which names the address inside",
            server: Server { has_pasv_only: true, ..TLS },
            rules: &[(Place::Router, CLASSIC), (Place::Gate, SERVED)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::PassiveAsTold, [Works, LOST, LOST])],
        },
        Row {
            name: "the passive range, PASV, which names the address outside",
            server: Server { has_pasv_only: true, is_announcing: true, ..TLS },
            rules: &[(Place::Router, CLASSIC), (Place::Gate, SERVED)],
            from: Place::Client,
            ways: &[(Way::PassiveAsTold, ALL_WORK)],
        },
        Row {
            name: "the helper, which cannot read TLS",
            server: TLS,
            rules: &[(Place::Router, CLASSIC), (Place::Gate, READ)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_LOST)],
        },
        Row {
            name: "the range of a client as well",
            server: TLS,
            rules: &[(Place::Router, RANGE), (Place::Gate, SERVED)],
            from: Place::Client,
            ways: &[(Way::ActiveAnnounced, [Works, Works, NOT_CURL])],
        },
    ]);
}

/// Rules by which the external address reaches the server from inside as well.
const HAIRPIN: &str = r#"rules.ftp_server(#{ control: 21, passive: "50000-50009", to: "10.77.0.10", hairpin: "10.77.0.0/24" });
    rules.masquerade(#{ source: "10.77.0.0/24", out: "wan" });
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true); rules.forwarding(true);"#;
/// The same for one address only.
const HAIRPIN_NAMED: &str = r#"rules.ftp_server(#{ control: 21, passive: "50000-50009", to: "10.77.0.10", hairpin: "10.77.0.0/24",
        external: "203.0.113.10" });
    rules.masquerade(#{ source: "10.77.0.0/24", out: "wan" }); rules.forwarding(true);"#;
/// The rules of a user who does not know of hairpin NAT.
const NO_HAIRPIN: &str = r#"rules.ftp_server(#{ control: 21, passive: "50000-50009", to: "10.77.0.10" });
    rules.masquerade(#{ source: "10.77.0.0/24", out: "wan" }); rules.forwarding(true);"#;

#[test]
fn a_server_by_its_address_outside_from_everywhere() {
    const WORKS: &[(Way, [Expected; 3])] = &[(Way::Passive, ALL_WORK)];
    const WITH: &[(Place, &str)] = &[(Place::Router, CLASSIC), (Place::Gate, HAIRPIN)];
    const NAMED: &[(Place, &str)] = &[(Place::Gate, HAIRPIN_NAMED)];
    let row = |name, rules, from, ways| Row { name, server: BEHIND, rules, from, ways };
    check(&[
        row("hairpin, from outside", WITH, Place::Client, WORKS),
        row("hairpin, from a neighbour", WITH, Place::Neighbour, WORKS),
        row("hairpin, from the server itself", WITH, Place::Server, WORKS),
        row("hairpin, from the gate itself", WITH, Place::Gate, WORKS),
        row("hairpin of one address, from a neighbour", NAMED, Place::Neighbour, WORKS),
        row("hairpin of one address, from the gate itself", NAMED, Place::Gate, WORKS),
        row(
            "no hairpin, from a neighbour",
            &[(Place::Gate, NO_HAIRPIN)],
            Place::Neighbour,
            &[(Way::Passive, ALL_LOST)],
        ),
    ]);
}
