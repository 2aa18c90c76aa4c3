//! A host name with addresses of both families, one of which is dropped silently on the way.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread,
};

use crate::support::{net::Space, program::Portolan, rehearsal::Rehearsal};

const V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);

/// Rules that count the packets to the server over IPv6, and drop them.
const DROPPED: &str = "table inet lab {
    chain in {
        type filter hook input priority filter
        ip6 daddr 2001:db8::5 tcp dport 21 tcp flags syn counter drop
    }
}";

/// Returns the address of the first name server in the host's `/etc/resolv.conf`.
fn nameserver() -> SocketAddr {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let first = text.lines().find_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok());
    SocketAddr::new(first.unwrap_or(Ipv4Addr::LOCALHOST.into()), 53)
}

/// Returns the answer to a query for an address: ours of that family, whatever the name.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|byte| *byte == 0)? + 13;
    let asked = question.get(..name + 4)?;
    let record: &[u8] = match asked.get(name + 1)? {
        1 => &V4.octets(),
        28 => &V6.octets(),
        _ => &[],
    };
    let mut answer = asked.to_vec();
    let count = u8::from(!record.is_empty());
    answer.splice(2..12, [0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
    if let Ok(length @ 1..) = u8::try_from(record.len()) {
        answer.extend([0xc0, 12, 0, *asked.get(name + 1)?, 0, 1, 0, 0, 0, 60, 0, length]);
        answer.extend(record);
    }
    Some(answer)
}

/// Answers such queries in `space` for as long as the test lasts.
fn serve_names(space: &Space) {
    let address = nameserver();
    let length = if address.is_ipv4() { 32 } else { 128 };
    if !address.ip().is_loopback() {
        space.sh(&format!("ip addr add {}/{length} dev lo", address.ip()));
    }
    let socket = space.within(|| UdpSocket::bind(address).unwrap());
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            if let Some(answer) = bytes.get(..count).and_then(answer) {
                drop(socket.send_to(&answer, from));
            }
        }
    });
}

fn dropped(host: &Space) -> u64 {
    let rules = host.read("nft list chain inet lab in");
    let count = rules.split("counter packets ").nth(1).and_then(|rest| rest.split(' ').next());
    count.unwrap().parse().unwrap()
}

#[test]
fn a_family_that_is_dropped_is_tried_once_and_not_in_the_next_run() {
    let (Some(client), Some(host)) = (Space::open(), Space::open()) else { return };
    client.wire("eth0", &host, "eth0");
    client.sh("ip addr add 10.0.0.9/24 dev eth0; ip addr add 2001:db8::9/64 dev eth0 nodad");
    host.sh("ip addr add 10.0.0.5/24 dev eth0; ip addr add 2001:db8::5/64 dev eth0 nodad");
    host.try_rules(DROPPED).unwrap();
    serve_names(&client);
    let server = host.within(|| Rehearsal::start_at((V4, 21).into(), "files.test", &[], false));
    server.file("a", "hello");
    let program = Portolan::new().script(
        r#"
        for number in 0..3 {
            let site = ftp::connect("ftp://tester@files.test/", #{ password: "open+sesame-21" });
            print(site.read("/a"));
            site.close();
        }
        "#,
    );
    for _ in 0..2 {
        let ran = client.within(|| program.run());
        drop(ran.succeeds().stdout("hello\nhello\nhello\n").any_stderr());
        assert_eq!(dropped(&host), 1, "it was not left at once, or not remembered");
    }
}
