//! A packet filter on the client itself, or on the server: there is no NAT in between. The router of the other tests is
//! the client here.

use super::{
    ALL_LOST, ALL_WORK, Expected, LOST, NOT_CURL, Row, check,
    clients::{Expected::Works, Way},
    lab::{PUBLIC, Place, Server},
};

const TLS: Server = Server { is_tls: true, ..PUBLIC };
const PASV_ONLY: Server = Server { has_pasv_only: true, ..PUBLIC };

/// Returns a row with the client on the router and rules on one host only.
fn row(
    name: &'static str,
    server: Server,
    rules: &'static [(Place, &'static str)],
    ways: &'static [(Way, [Expected; 3])],
) -> Row {
    Row { name, server, rules, from: Place::Router, ways }
}

/// A rule that allows connections from port 20 of the server.
const FROM_20: &str = r#"rules.ftp_active(#{ ports: "40000-40009", server: "203.0.113.10", server_port_20: true });
    rules.isolate(true);"#;
const FROM_ANY: &str = r#"rules.ftp_active(#{ ports: "40000-40009", server: "203.0.113.10" });
    rules.isolate(true);"#;
/// A rule that opens the ports for another server.
const FROM_OTHER: &str = r#"rules.ftp_active(#{ ports: "40000-40009", server: "203.0.113.99" });
    rules.isolate(true);"#;
const READ_ALONG: &str = r#"rules.ftp_active(#{ ports: "40000-40009", server: "203.0.113.99" });
    rules.ftp_helper(#{ ports: 21 }); rules.isolate(true);"#;

#[test]
fn a_packet_filter_of_the_client() {
    const COMES_FROM_20: Server = Server { is_from_20: true, ..PUBLIC };
    const ACTIVE: &[(Way, [Expected; 3])] = &[(Way::ActiveAnnounced, ALL_WORK)];
    const LOST_ACTIVE: &[(Way, [Expected; 3])] = &[(Way::ActiveAnnounced, ALL_LOST)];
    check(&[
        row("port 20, from it", COMES_FROM_20, &[(Place::Router, FROM_20)], ACTIVE),
        row("port 20, from another", PUBLIC, &[(Place::Router, FROM_20)], LOST_ACTIVE),
        row("any port, in the range", PUBLIC, &[(Place::Router, FROM_ANY)], ACTIVE),
        row(
            "any port, out of the range",
            PUBLIC,
            &[(Place::Router, FROM_ANY)],
            &[(Way::Active, ALL_LOST), (Way::Passive, ALL_WORK)],
        ),
        row("another server", PUBLIC, &[(Place::Router, FROM_OTHER)], LOST_ACTIVE),
        row(
            "in the range, TLS",
            TLS,
            &[(Place::Router, FROM_ANY)],
            &[(Way::ActiveAnnounced, [Works, Works, NOT_CURL])],
        ),
        row("the helper", PUBLIC, &[(Place::Router, READ_ALONG)], &[(Way::Active, ALL_WORK)]),
        row(
            "the helper, TLS",
            TLS,
            &[(Place::Router, READ_ALONG)],
            &[(Way::Active, [LOST, LOST, NOT_CURL])],
        ),
    ]);
}

const OPEN: &str =
    r#"rules.ftp_server(#{ control: 21, passive: "50000-50009" }); rules.isolate(true);"#;
/// A rule that opens another range than the server's.
const OPEN_ELSEWHERE: &str =
    r#"rules.ftp_server(#{ control: 21, passive: "51000-51009" }); rules.isolate(true);"#;
const OPEN_READ_ALONG: &str = r#"rules.ftp_server(#{ control: 21, passive: "51000-51009" });
    rules.ftp_helper(#{ ports: 21 }); rules.isolate(true);"#;

#[test]
fn a_packet_filter_of_the_server() {
    const PASSIVE: &[(Way, [Expected; 3])] = &[(Way::Passive, ALL_WORK)];
    const LOST_PASSIVE: &[(Way, [Expected; 3])] = &[(Way::Passive, ALL_LOST)];
    check(&[
        row("the range", PUBLIC, &[(Place::Server, OPEN)], PASSIVE),
        row("the range, PASV", PASV_ONLY, &[(Place::Server, OPEN)], PASSIVE),
        row("the range, TLS", TLS, &[(Place::Server, OPEN)], PASSIVE),
        row(
            "another range",
            PUBLIC,
            &[(Place::Server, OPEN_ELSEWHERE)],
            &[(Way::Passive, ALL_LOST), (Way::ActiveAnnounced, ALL_WORK)],
        ),
        row("the helper", PUBLIC, &[(Place::Server, OPEN_READ_ALONG)], PASSIVE),
        row("the helper, PASV", PASV_ONLY, &[(Place::Server, OPEN_READ_ALONG)], PASSIVE),
        row("the helper, TLS", TLS, &[(Place::Server, OPEN_READ_ALONG)], LOST_PASSIVE),
        row(
            "both machines",
            TLS,
            &[(Place::Server, OPEN), (Place::Router, FROM_ANY)],
            &[(Way::Passive, ALL_WORK), (Way::ActiveAnnounced, [Works, Works, NOT_CURL])],
        ),
    ]);
}
