//! Tests of charts, of a client behind NAT whose active mode fails.

use std::time::Duration;

use super::*;
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Origin},
    ftp::{
        data::method::DataMethod,
        doctor::{Address, ServerInfo, verdict},
        site::{Site, TlsMode},
    },
};

fn behind_nat() -> Diagnosis {
    let why = "no answer; <b> & \"x\" #1;";
    let silent = Error::new(ErrorKind::Timeout, Origin::Network, why);
    let probe = |step, address: &str, listing| ModeProbe {
        step,
        address: address.into(),
        listing,
        upload: None,
        download: None,
    };
    let endpoint = Endpoint {
        tls: TlsMode::Off,
        address: "203.0.113.20:21".parse().unwrap(),
        local: "192.168.1.5:40001".parse().ok(),
        protection: None,
        entry: LoginOutcome::Entered(Duration::ZERO),
        trials: vec![
            probe(DataMethod::Epsv, "203.0.113.20:50123", Ok(Duration::ZERO)),
            probe(DataMethod::Eprt, "192.168.1.5:40007", Err(silent)),
        ],
    };
    let server = ServerInfo { sees_us_at: "198.51.100.7".parse().ok(), ..ServerInfo::default() };
    Diagnosis {
        site: Site::new("ftp.example.org"),
        read_only: true,
        at: Clock::System.now(),
        took: Duration::ZERO,
        lookup: None,
        addresses: Vec::new(),
        greeting: Some("(vsFTPd 3.0.3)".into()),
        endpoints: vec![endpoint],
        server: Some(server),
        left: Vec::new(),
        own_filters: Vec::new(),
        is_cut_short: false,
    }
}

fn drawn() -> Vec<ModeChart> {
    let survey = behind_nat();
    let stopped = |from: Option<IpAddr>, to: SocketAddr| {
        let from = from.map(|from| from.to_string()).unwrap_or_default();
        Some(format!("dropped by inet fw in: {from} {to} <drop> & \"; "))
    };
    charts(&survey, &verdict(&survey), "192.168.1.1".parse().ok(), &stopped)
}

#[test]
fn a_chart_has_the_router_with_both_addresses_and_the_mark_where_it_breaks() {
    let charts = drawn();
    let [passive, active] = charts.as_slice() else { panic!("{charts:?}") };
    let told = steps(passive, true);
    let wanted = [
        "router 192.168.1.1 | 198.51.100.7: masquerades; passive mode needs no more",
        "1. → 40001 → 21: commands",
        "2. → EPSV",
        "3. ← the server names port 50123",
        "4. → any port → 50123: data",
    ];
    assert_eq!(told, wanted);
    let told = steps(active, false);
    assert_eq!(
        told.first().unwrap(),
        "router 192.168.1.1 | 198.51.100.7: reads PORT (helper), or forwards 50000-50010"
    );
    let [.., last, rule] = told.as_slice() else { panic!("{told:?}") };
    // The server's packet to the port that the client has named.
    assert_eq!(rule, "x here: dropped by inet fw in: 203.0.113.20 192.168.1.5:40007 <drop> & \"; ");
    assert!(
        last.starts_with("3. <- 20 or above 1023 -> 192.168.1.5:40007: data x no answer"),
        "{last}"
    );
    assert_eq!(active.title, "Active mode, which fails here");
}

#[test]
fn a_control_connection_that_fails_has_a_chart_with_the_rule() {
    let mut survey = behind_nat();
    let address: SocketAddr = "203.0.113.20:21".parse().unwrap();
    let silent = Error::new(ErrorKind::Timeout, Origin::Network, "no answer in 3 s");
    survey.endpoints.clear();
    survey.addresses = vec![Address { address, reached: Err(silent) }];
    let stopped = |from: Option<IpAddr>, to: SocketAddr| {
        assert_eq!((from, to), (None, address));
        Some("dropped by ip filter OUTPUT: policy drop".to_owned())
    };
    let charts = charts(&survey, &verdict(&survey), None, &stopped);
    let [chart] = charts.as_slice() else { panic!("{charts:?}") };
    let wanted = [
        "1. -> any port -> 21: commands x no answer in 3 s",
        "x here: dropped by ip filter OUTPUT: policy drop",
    ];
    assert_eq!(steps(chart, false), wanted);
    assert!(svg(&charts).contains("policy drop") && mermaid(&charts).contains("policy drop"));
}

#[test]
fn the_mermaid_chart_has_no_character_of_a_server_that_means_something() {
    let text = mermaid(&drawn());
    assert!(
        text.starts_with("sequenceDiagram\n    participant C as this machine 192.168.1.5\n"),
        "{text}"
    );
    assert!(text.contains("    participant R as router 192.168.1.1 / 198.51.100.7\n"), "{text}");
    assert!(text.contains("    S-xC: 3. 20 or above 1023 to 192.168.1.5:40007: data\n"), "{text}");
    assert!(!text.contains(['<', '&', '"', '#', ';']), "{text}");
}

#[test]
fn the_svg_chart_is_well_formed_and_escapes() {
    let text = svg(&drawn());
    assert!(text.starts_with("<svg xmlns=") && text.ends_with("</svg>\n"));
    assert!(text.contains("no answer; &lt;b&gt; &amp; \"x\"") && text.contains("✗"), "{text}");
    assert!(text.contains(">192.168.1.1 | 198.51.100.7<"), "{text}");
    assert_eq!(text.matches("<text ").count(), text.matches("</text>").count());
}

#[test]
fn stateless_channels_go_both_ways_and_only_one_of_each_pair_opens() {
    let survey = behind_nat();
    let all = channels(&survey, &verdict(&survey));
    assert_eq!(all.len(), 8);
    for pair in all.chunks(2) {
        let [one, other] = pair else { panic!("{pair:?}") };
        assert!(one.opens && !other.opens);
        assert_eq!((&one.from, &one.to), (&other.to, &other.from));
    }
    let told: Vec<_> =
        all.iter().map(|one| format!("{} {} -> {}", one.mode, one.from, one.to)).collect();
    assert!(
        told.contains(&"passive 198.51.100.7 1024-65535 -> 203.0.113.20 50120-50129".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"active 203.0.113.20 20 -> 198.51.100.7 50000-50010".to_owned()),
        "{told:?}"
    );
    // No channel lets anybody open a connection to all ports.
    assert!(all.iter().all(|one| !one.opens || !one.to.contains("1024-65535")), "{told:?}");
}
