//! The page of `portolan doctor`, followed as it is printed: its commands with their broken lines, its line for the
//! script, and its channels for filters without state.

use std::net::{IpAddr, TcpStream};

use serde_json::Value;

use super::{CLIENT, HOST, HOST6, SILENCE, Segment, suggested};
use crate::support::{
    net::Space,
    program::Portolan,
    server::{Kind, Options, RealServer},
};

/// A filter that lets out the control connection, and neither data connection: an administrator has forgotten them.
const FORGOTTEN_BY_NFT: &str = "nft -f - <<'END'
    table inet fw {
        chain out {
            type filter hook output priority 0; policy drop;
            ct state established,related accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
            tcp dport 21 accept
        }
        chain in {
            type filter hook input priority 0; policy drop;
            ct state established accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
    }\nEND\n";
const FORGOTTEN_BY_IPTABLES: &str =
    "for tool in iptables ip6tables; do for chain in INPUT OUTPUT; do
    $tool -A $chain -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    [ $tool = iptables ] || $tool -A $chain -p icmpv6 -j ACCEPT
    [ $chain = INPUT ] || $tool -A $chain -p tcp --dport 21 -j ACCEPT
    $tool -A $chain -j REJECT
done; done";
/// The same on the server's side.
const SERVER_BY_NFT: &str = "nft -f - <<'END'
    table inet filter {
        chain input {
            type filter hook input priority filter; policy accept;
            ct state established,related accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
            tcp dport 21 accept
            reject
        }
    }\nEND\n";
const SERVER_BY_IPTABLES: &str = "for tool in iptables ip6tables; do
    $tool -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    $tool -A INPUT -p tcp --dport 21 -j ACCEPT
    [ $tool = iptables ] || $tool -A INPUT -p icmpv6 -j ACCEPT
    $tool -A INPUT -j REJECT
done";
/// No connection comes in.
const NO_ACTIVE: &str = "nft add table inet f
    nft 'add chain inet f i { type filter hook input priority 0; }'
    nft add rule inet f i tcp dport '>= 1024' ct state new drop";

/// Returns what the doctor prints of a server, without a colour or a width of the terminal.
fn printed(client: &Space, host: IpAddr, further: &[&str]) -> String {
    let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
    let url = format!("ftp://tester@{host}/");
    let program = Portolan::new()
        .env("PORTOLAN_PASSWORD", "open+sesame-21")
        .args(["doctor", &url, "--read-only", "--set", "connect_timeout=1s"])
        .args(further.to_vec());
    let ran = client.within(|| program.run()).any_code().any_stderr();
    let text = ran.stdout_text().to_owned();
    drop(ran.any_stdout());
    text
}

/// Returns the commands of a program below a heading, with the lines into which they are broken.
fn commands(page: &str, heading: &str, programs: &[&str]) -> String {
    let (_, part) = page.split_once(heading).unwrap_or_else(|| panic!("{heading}\n{page}"));
    let part = part.split_once("\n\n").map_or(part, |(part, _)| part);
    let mut found = Vec::new();
    let mut is_going_on = false;
    for line in part.lines() {
        let is_begun = programs.iter().any(|one| line.trim_start().starts_with(&format!("{one} ")));
        if is_going_on || is_begun {
            found.push(line);
            is_going_on = line.ends_with('\\');
        }
    }
    assert!(!found.is_empty() && !is_going_on, "{page}");
    found.join("\n")
}

#[test]
fn the_commands_of_the_page_are_run_as_they_are_printed() {
    let filters = [
        (&["nft"][..], FORGOTTEN_BY_NFT, SERVER_BY_NFT),
        (&["iptables", "ip6tables"][..], FORGOTTEN_BY_IPTABLES, SERVER_BY_IPTABLES),
    ];
    for (programs, here, there) in filters {
        for address in [IpAddr::from(HOST), HOST6.into()] {
            for (heading, close) in [
                ("What firewalls on this side have to let through\n", here),
                ("What firewalls on the server's side have to let through\n", there),
            ] {
                let Some(segment) = Segment::lay() else { return };
                let served = segment.serve(address);
                served.is_reached(&segment.client);
                let is_here = close == here;
                let closed = if is_here { &segment.client } else { &segment.host };
                closed.sh(close);
                if !is_here {
                    segment.client.sh(NO_ACTIVE);
                }
                segment.is_closed("passive", address);
                assert!(!served.database_answers(&segment.client));
                let page = printed(&segment.client, address, &[]);
                assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
                let text = commands(&page, heading, programs);
                closed.sh(&text);
                segment.is_open("passive", address);
                assert!(!served.database_answers(&segment.client), "{text}");
            }
        }
    }
}

/// Checks the line for the script: of the page, in which it is broken, and of the document.
#[test]
fn the_line_for_the_script_uses_the_mode_that_works() {
    for (mode, close_client, close_host) in [
        ("passive", NO_ACTIVE, ""),
        (
            "active",
            "",
            "nft add table inet fw
            nft 'add chain inet fw in { type filter hook input priority 0; }'
            nft add rule inet fw in tcp dport 50000-50009 ct state new drop",
        ),
    ] {
        let Some(segment) = Segment::lay() else { return };
        let served = segment.serve(HOST);
        segment.client.sh(close_client);
        segment.host.sh(close_host);
        let page = printed(&segment.client, HOST.into(), &[]);
        let shown: Vec<_> = page
            .lines()
            .skip_while(|line| !line.contains("let site = "))
            .take_while(|line| !line.is_empty())
            .collect();
        let document = printed(&segment.client, HOST.into(), &["--json"]);
        let document: Value = serde_json::from_str(&document).unwrap();
        let snippet = document["snippet"].as_str().unwrap();
        for line in [snippet.to_owned(), shown.join("\n")] {
            assert!(line.contains(&format!("mode: {mode:?}")), "{line}");
            let script = format!("{line}\nprint(site.read(\"/a\") + site.mode);");
            let program = Portolan::new().env("FTP_PASSWORD", "open+sesame-21").script(&script);
            let ran = segment.client.within(|| program.run()).succeeds().any_stderr();
            assert_eq!(ran.stdout_text(), format!("hello{mode}\n"), "{line}");
            drop(ran.any_stdout());
        }
        drop(served);
    }
}

/// Returns the rules of nftables, without state, for the channels of a mode that begin or end at this host.
fn stateless(channels: &str, mode: &str) -> String {
    let (mut leaving, mut coming) = (String::new(), String::new());
    for line in channels.lines().skip(1) {
        let cells: Vec<_> =
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let [of, from, to, packets, _] = cells.as_slice() else { panic!("{channels}") };
        if *of != mode {
            continue;
        }
        let ((source, sport), (target, dport)) =
            (from.split_once(' ').unwrap(), to.split_once(' ').unwrap());
        let acknowledged = match *packets {
            "all, the first is SYN" => "",
            "with ACK only" => "tcp flags & ack == ack ",
            other => panic!("{other}"),
        };
        let rule = format!(
            "ip saddr {source} ip daddr {target} tcp sport {sport} tcp dport {dport} {acknowledged}accept\n"
        );
        let chain = if target == CLIENT { &mut coming } else { &mut leaving };
        chain.push_str(&rule);
    }
    format!(
        "nft -f - <<'END'
        table ip stateless {{
            chain leaving {{ type filter hook output priority 0; policy drop;\n{leaving} }}
            chain coming {{ type filter hook input priority 0; policy drop;\n{coming} }}
        }}\nEND\n"
    )
}

/// Checks the channels with a server whose data connections come from port 20, as its settings by `nat::suggest` say.
#[test]
fn the_channels_are_what_a_filter_without_state_has_to_pass() {
    let Some(segment) = Segment::lay() else { return };
    let listen = std::net::SocketAddr::from((HOST, 21));
    let settings = ["passive", "active"].map(|mode| {
        let options = format!("side: \"server\", mode: {mode:?}, format: \"vsftpd\"");
        suggested(&segment.host, &options)
    });
    let options =
        Options { listen: Some(listen), settings: settings.concat(), ..Options::default() };
    let server = segment.host.within(|| RealServer::start(Kind::Vsftpd, &options));
    let Some(server) = server else { return };
    server.file("a", "hello");
    let database = std::net::SocketAddr::from((HOST, super::DATABASE));
    let _database = segment.host.within(|| std::net::TcpListener::bind(database).unwrap());
    let reached =
        || segment.client.within(|| TcpStream::connect_timeout(&database, SILENCE).is_ok());
    assert!(reached(), "a closed port would be no proof");
    let range = ["--channels", "--set", "port_range=40000-40009"];
    let channels = printed(&segment.client, HOST.into(), &range);
    for (mode, other) in [("passive", "active"), ("active", "passive")] {
        let rules = stateless(&channels, mode);
        segment.client.sh(&rules);
        segment.is_open(mode, HOST.into());
        segment.is_closed(other, HOST.into());
        assert!(!reached(), "{rules}");
        segment.client.sh("nft delete table ip stateless");
    }
}
