//! The settings of servers that `nat::suggest` prints, set in the real ones behind a filter of the same range.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use super::{CLIENT, DATABASE, HOST, SILENCE, Segment, suggested};
use crate::support::{
    net::Space,
    program::Portolan,
    server::{Kind, Options, RealServer},
};

/// Ports of the kernel's own choice, none of which is in a range that is printed.
const OTHER_PORTS: &str = "echo 33000 39000 >/proc/sys/net/ipv4/ip_local_port_range";
/// A filter without an exception for FTP.
const CLOSED: &str = "nft -f - <<'END'
    table inet filter {
        chain input {
            type filter hook input priority filter; policy drop;
            ct state established,related accept
        }
    }\nEND\n";
const RANGE: std::ops::RangeInclusive<u16> = 51000..=51009;

fn start(host: &Space, kind: Kind, control: u16, settings: String) -> Option<RealServer> {
    let listen = Some(SocketAddr::from((HOST, control)));
    let options = Options { listen, settings, ..Options::default() };
    let server = host.within(|| RealServer::start(kind, &options))?;
    server.file("a", "hello");
    Some(server)
}

/// Returns the port that the reply to PASV names after the address, which is returned as well.
fn passive_reply(client: &Space, control: SocketAddr) -> (String, u16) {
    let socket = client.within(|| TcpStream::connect(control).unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let mut ask = |command: &str, code: &str| {
        (&socket).write_all(command.as_bytes()).unwrap();
        // The last line of a reply has a space after its code.
        lines.find_map(|line| Some(line.unwrap()).filter(|line| line.starts_with(code))).unwrap()
    };
    ask("", "220 ");
    ask("USER tester\r\n", "331 ");
    ask("PASS open+sesame-21\r\n", "230 ");
    let reply = ask("PASV\r\n", "227 ");
    let numbers = reply.split(['(', ')']).nth(1).unwrap_or_else(|| panic!("{reply}"));
    let numbers: Vec<u16> = numbers.split(',').map(|one| one.parse().unwrap()).collect();
    let [a, b, c, d, high, low] = numbers.try_into().unwrap();
    (format!("{a}.{b}.{c}.{d}"), high * 256 + low)
}

/// Checks a server whose administrator sets what is printed and opens what is printed: the filter lets in the range
/// alone, so a listing comes through only if the server stays within it.
#[test]
fn each_server_stays_within_the_range_of_its_settings() {
    for kind in Kind::ALL {
        for control in [21, 2121] {
            let Some(segment) = Segment::lay() else { return };
            segment.host.sh(OTHER_PORTS);
            let ports = format!("ports: \"{}-{}\", control: {control}", RANGE.start(), RANGE.end());
            let of = |format: &str| {
                suggested(&segment.host, &format!("side: \"server\", format: {format:?}, {ports}"))
            };
            let settings = of(kind.program());
            let Some(server) = start(&segment.host, kind, control, settings.clone()) else {
                return;
            };
            let database = SocketAddr::from((HOST, DATABASE));
            let _database = segment.host.within(|| TcpListener::bind(database).unwrap());
            let reached =
                || segment.client.within(|| TcpStream::connect_timeout(&database, SILENCE).is_ok());
            assert!(reached(), "a closed port would be no proof");
            segment.host.sh(CLOSED);
            let place = format!("{HOST}:{control}");
            segment.fetches_at("passive", &place).fails_with(4).stdout("").any_stderr();
            let rules = of("nft");
            segment.host.sh(&rules);
            for _ in 0..3 {
                segment.fetches_at("passive", &place).succeeds().stdout("hello\n").any_stderr();
            }
            let (_, port) = passive_reply(&segment.client, server.address());
            assert!(RANGE.contains(&port), "{kind:?} {port}: {settings}");
            assert!(!reached(), "{rules}");
            drop(server);
        }
    }
}

/// Checks that it is the setting that does it: without it, the same filter stops the data connections. (vsftpd and
/// Pure-FTPd draw any port, and may hit the range by chance.)
#[test]
fn without_its_settings_a_server_leaves_the_range() {
    let Some(segment) = Segment::lay() else { return };
    segment.host.sh(OTHER_PORTS);
    let Some(server) = start(&segment.host, Kind::Proftpd, 21, String::new()) else { return };
    segment.host.sh(CLOSED);
    let ports = format!("ports: \"{}-{}\"", RANGE.start(), RANGE.end());
    let rules = suggested(&segment.host, &format!("side: \"server\", format: \"nft\", {ports}"));
    segment.host.sh(&rules);
    segment.is_closed("passive", HOST.into());
    drop(server);
}

/// Checks the setting for a server behind NAT: the address that it names to its clients.
#[test]
fn each_server_announces_the_external_address_of_its_settings() {
    for kind in Kind::ALL {
        let Some(segment) = Segment::lay() else { return };
        segment.host.sh(OTHER_PORTS);
        let options = format!(
            "side: \"server\", format: {:?}, external_address: \"198.51.100.7\"",
            kind.program()
        );
        let settings = suggested(&segment.host, &options);
        let Some(server) = start(&segment.host, kind, 21, settings.clone()) else { return };
        let (address, port) = passive_reply(&segment.client, server.address());
        assert_eq!(address, "198.51.100.7", "{kind:?}: {settings}");
        assert!((50000..=50009).contains(&port), "{kind:?} {port}: {settings}");
        drop(server);
    }
}

/// Checks the call that `nat::detect` tells for a server that names an address of its own inside.
#[test]
fn what_detect_tells_of_a_server_behind_nat_makes_it_name_its_address() {
    for (kind, setting) in [
        (Kind::Vsftpd, "pasv_address=10.9.9.9\n"),
        (Kind::Proftpd, "MasqueradeAddress 10.9.9.9\n"),
        (Kind::PureFtpd, "ForcePassiveIP 10.9.9.9\n"),
    ] {
        let Some(segment) = Segment::lay() else { return };
        let detected = || {
            let script = format!(
                "let site = ftp::connect(\"ftp://tester@{HOST}\", #{{ password: \"open+sesame-21\" }});
                let found = nat::detect(site);
                print(`${{found.server_nat}} ${{found.advice}}`);"
            );
            let program = Portolan::new().script(&script);
            let ran = segment.client.within(|| program.run()).succeeds().any_stderr();
            let told = ran.stdout_text().to_owned();
            drop(ran.any_stdout());
            told
        };
        let Some(server) = start(&segment.host, kind, 21, setting.to_owned()) else { return };
        let told = detected();
        assert!(told.starts_with("true "), "{kind:?}: {told}");
        drop(server);
        let (_, call) = told.split_once("nat::suggest(#{").unwrap_or_else(|| panic!("{told}"));
        let (options, _) = call.split_once("})").unwrap();
        let settings = suggested(&segment.host, options);
        let Some(server) = start(&segment.host, kind, 21, settings.clone()) else { return };
        let (address, port) = passive_reply(&segment.client, server.address());
        assert_eq!(address, HOST.to_string(), "{kind:?}: {settings}");
        assert!((50000..=50009).contains(&port), "{kind:?} {port}: {settings}");
        let told = detected();
        assert!(told.starts_with("false "), "{kind:?}: {told}");
        drop(server);
    }
}

/// Checks the settings for active mode: vsftpd's data connections come from port 20, and the client lets in that alone.
#[test]
fn vsftpd_connects_from_the_port_of_its_settings() {
    for is_set in [true, false] {
        let Some(segment) = Segment::lay() else { return };
        let options = "side: \"server\", mode: \"active\", format: \"vsftpd\"";
        let settings = if is_set { suggested(&segment.host, options) } else { String::new() };
        let Some(server) = start(&segment.host, Kind::Vsftpd, 21, settings) else { return };
        segment.client.sh(&format!(
            "nft add table ip f; nft 'add chain ip f i {{ type filter hook input priority 0; policy drop; }}'
            nft add rule ip f i ct state established accept
            nft add rule ip f i ip daddr {CLIENT} tcp sport 20 tcp dport 40000-40009 accept"
        ));
        if is_set {
            segment.is_open("active", HOST.into());
        } else {
            segment.is_closed("active", HOST.into());
        }
        drop(server);
    }
}
