//! A client behind a gateway that portolan configures, and a server with a public address.

use super::{
    ALL_ILLEGAL, ALL_WORK, CLASSIC, HELPER, HELPER_AND_RANGE, ILLEGAL, LOST, NOT_CURL, RANGE,
    RANGE_20, Row, check,
    clients::{Expected::Works, Way},
    lab::{PUBLIC, Place, Server},
};

#[test]
fn a_client_behind_a_gateway_of_ours() {
    check(&[
        Row {
            name: "the classic recipe",
            server: PUBLIC,
            rules: &[(
                Place::Router,
                r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);"#,
            )],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::Active, ALL_ILLEGAL)],
        },
        Row {
            name: "the helper",
            server: PUBLIC,
            rules: &[(Place::Router, HELPER)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)],
        },
        Row {
            name: "the helper, another port",
            server: Server { port: 2121, ..PUBLIC },
            rules: &[(Place::Router, HELPER)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)],
        },
        Row {
            name: "the helper, and a port that it does not know",
            server: Server { port: 2122, ..PUBLIC },
            rules: &[(Place::Router, HELPER)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::Active, ALL_ILLEGAL)],
        },
        Row {
            name: "a range and the address outside",
            server: PUBLIC,
            rules: &[(Place::Router, RANGE)],
            from: Place::Client,
            ways: &[(Way::ActiveAnnounced, ALL_WORK), (Way::Active, ALL_ILLEGAL)],
        },
        Row {
            name: "a range and the address outside, and the helper as well",
            server: PUBLIC,
            rules: &[(Place::Router, HELPER_AND_RANGE)],
            from: Place::Client,
            ways: &[(Way::ActiveAnnounced, ALL_WORK)],
        },
    ]);
}

#[test]
fn a_client_under_tls_behind_a_gateway_of_ours() {
    const TLS: Server = Server { is_tls: true, ..PUBLIC };
    check(&[
        Row {
            name: "the helper, which cannot read TLS",
            server: TLS,
            rules: &[(Place::Router, HELPER)],
            from: Place::Client,
            ways: &[(Way::Passive, ALL_WORK), (Way::Active, [ILLEGAL, ILLEGAL, NOT_CURL])],
        },
        Row {
            name: "the address outside, and no range",
            server: TLS,
            rules: &[(Place::Router, CLASSIC)],
            from: Place::Client,
            ways: &[(Way::ActiveAnnounced, [LOST, LOST, NOT_CURL])],
        },
        Row {
            name: "the address outside and a range",
            server: TLS,
            rules: &[(Place::Router, RANGE)],
            from: Place::Client,
            ways: &[(Way::ActiveAnnounced, [Works, Works, NOT_CURL])],
        },
        Row {
            name: "a range for port 20, and a server that comes from it",
            server: Server { is_from_20: true, ..TLS },
            rules: &[(Place::Router, RANGE_20)],
            from: Place::Client,
            ways: &[(Way::ActiveAnnounced, [Works, Works, NOT_CURL])],
        },
        Row {
            name: "a range for port 20, and a server that does not",
            server: TLS,
            rules: &[(Place::Router, RANGE_20)],
            from: Place::Client,
            ways: &[(Way::ActiveAnnounced, [LOST, LOST, NOT_CURL])],
        },
    ]);
}
