//! The kernel's switches as a gateway needs them: never less safe, and never less working, than `ip_forward = 1`.

use std::{net::Ipv4Addr, time::Duration};

use rustix::net::{AddressFamily, SendFlags, SocketAddrV4, SocketType, ipproto, sendto, socket};

use super::{Gate, OFFICE, echo};
use crate::support::{net::Space, program::Portolan, wait};

/// The router of the provider, and a host that pretends to be it.
const PROVIDER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);
const TIME_MAX: Duration = Duration::from_secs(20);

/// A gate whose router is a host that obeys redirects, as distributions deliver it.
fn laid() -> Option<Gate> {
    let gate = Gate::lay()?;
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/ip_forward
         for device in all default lan wan; do
            for key in accept_redirects send_redirects; do
                echo 1 >/proc/sys/net/ipv4/conf/$device/$key
            done
            echo 0 >/proc/sys/net/ipv4/conf/$device/rp_filter
         done");
    Some(gate)
}

fn setting(gate: &Gate, key: &str) -> String {
    gate.router.read(&format!("cat /proc/sys/net/ipv4/{key}")).trim().to_owned()
}

fn redirects(gate: &Gate) -> [String; 3] {
    ["all", "lan", "wan"].map(|device| setting(gate, &format!("conf/{device}/accept_redirects")))
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.as_chunks::<2>().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!u16::try_from(folded).unwrap()).to_be_bytes()
}

fn header(from: Ipv4Addr, to: Ipv4Addr, length: u8) -> Vec<u8> {
    const ICMP: u8 = 1;
    let start = [0x45, 0, 0, 20 + length, 0, 1, 0, 0, 64, ICMP];
    let with = |sum: [u8; 2]| [&start[..], &sum, &from.octets(), &to.octets()].concat();
    with(checksum(&with([0, 0])))
}

/// Sends one packet as if it were the provider's router: that packets to `FAR` go by the attacker.
fn forge_redirect(from: &Space) {
    const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    // About an echo reply: for other packets the kernel looks for the socket that has sent them.
    let about = [&header(ROUTER, FAR, 8)[..], &[0, 0, 0xff, 0xfe, 0, 1, 0, 0]].concat();
    let with = |[a, b]: [u8; 2]| [&[5, 1, a, b][..], &ATTACKER.octets(), &about].concat();
    let message = with(checksum(&with([0, 0])));
    let packet = [&header(PROVIDER, ROUTER, 36)[..], &message].concat();
    from.within(|| {
        let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).unwrap();
        let to = SocketAddrV4::new(ROUTER, 0);
        assert_eq!(sendto(&raw, &packet, SendFlags::empty(), &to).unwrap(), packet.len());
    });
}

/// Returns true if the router sends through the attacker after a forged redirect.
fn is_misled(gate: &Gate) -> bool {
    let received = || {
        let text = gate.router.read("grep ^Icmp: /proc/net/snmp");
        let (names, values) = text.split_once('\n').unwrap();
        let mut columns = names.split(' ').zip(values.split_whitespace());
        let (_, value) = columns.find(|(name, _)| *name == "InRedirects").unwrap();
        value.parse::<u64>().unwrap()
    };
    gate.router.sh("ip route flush cache");
    let before = received();
    forge_redirect(&gate.server);
    let is_there = wait::until(TIME_MAX, || (received() > before).then_some(()));
    assert!(is_there.is_some(), "the redirect did not arrive");
    gate.router.read(&format!("ip route get {FAR}")).contains(&format!("via {ATTACKER} "))
}

#[test]
fn a_gateway_obeys_no_redirects() {
    let Some(gate) = laid() else { return };
    gate.router.sh(&format!(
        "ip route add default via {PROVIDER} dev wan; \
         ip neigh replace {ATTACKER} dev wan lladdr 02:00:00:00:00:01 nud permanent"
    ));
    assert!(is_misled(&gate), "a host does: otherwise this test shows nothing");
    gate.done(OFFICE, &["apply"]);
    assert!(!is_misled(&gate));
    assert_eq!(redirects(&gate), ["1", "0", "0"]);
    assert!(gate.done(OFFICE, &["plan"]).contains("No changes."));
    gate.done(OFFICE, &["revert"]);
    assert_eq!(
        (redirects(&gate), gate.forwards()),
        (["1"; 3].map(String::from), ["0"; 2].map(String::from))
    );
    assert!(is_misled(&gate), "it is a host again");
    // The same by the switch of all interfaces.
    let anywhere = OFFICE.replace("192.168.50.0/24", "10.99.0.0/16");
    gate.done(&anywhere, &["apply"]);
    assert!(!is_misled(&gate));
    gate.done(&anywhere, &["revert"]);
    assert_eq!(
        (redirects(&gate), gate.forwards()),
        (["1"; 3].map(String::from), ["0"; 2].map(String::from))
    );
}

#[test]
fn a_hardened_host_stays_hardened_after_a_switch_of_all() {
    let Some(gate) = laid() else { return };
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects");
    let anywhere = OFFICE.replace("192.168.50.0/24", "10.99.0.0/16");
    for script in [&anywhere, OFFICE] {
        gate.done(script, &["apply"]);
        assert_eq!(redirects(&gate), ["0", "1", "1"]);
        gate.done(script, &["revert"]);
        assert_eq!(redirects(&gate), ["0", "1", "1"], "{script}");
        assert_eq!(
            (setting(&gate, "ip_forward").as_str(), gate.forwards()),
            ("0", ["0"; 2].map(String::from))
        );
    }
}

/// Checks what Docker, libvirt and the kubelet do as they start.
#[test]
fn what_others_rely_on_stays_on() {
    let Some(gate) = laid() else { return };
    gate.done(OFFICE, &["apply"]);
    gate.router.sh("echo 1 >/proc/sys/net/ipv4/ip_forward");
    gate.done(OFFICE, &["revert"]);
    assert_eq!(
        (setting(&gate, "ip_forward").as_str(), gate.forwards()),
        ("1", ["1"; 2].map(String::from))
    );
    assert_eq!(redirects(&gate)[0], "0", "as the kernel has set it");
    // A host that was a router before gets back what it had.
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/conf/wan/forwarding");
    gate.done(OFFICE, &["apply"]);
    assert_eq!(gate.forwards(), ["1", "1"]);
    gate.done(OFFICE, &["revert"]);
    assert_eq!(gate.forwards(), ["1", "0"]);
}

#[test]
fn interfaces_stay_on_for_a_ruleset_that_needs_all_of_them() {
    let somewhere =
        OFFICE.replace("office", "somewhere").replace("192.168.50.0/24", "10.99.0.0/16");
    let somewhere = somewhere.replace("40000-40009", "41000-41009");
    let Some(gate) = laid() else { return };
    gate.done(OFFICE, &["apply"]);
    gate.done(&somewhere, &["apply"]);
    gate.done(OFFICE, &["revert"]);
    assert_eq!(
        (setting(&gate, "ip_forward").as_str(), gate.forwards()),
        ("1", ["1"; 2].map(String::from))
    );
    gate.done(&somewhere, &["revert"]);
    assert_eq!(
        (setting(&gate, "ip_forward").as_str(), gate.forwards()),
        ("0", ["0"; 2].map(String::from))
    );
    assert_eq!(redirects(&gate), ["1"; 3]);
}

/// A second network behind the gate, on the interface `lan1`.
fn second_network(gate: &Gate) -> Option<Space> {
    let second = Space::open()?;
    second.wire("eth0", &gate.router, "lan1");
    second.sh("ip addr add 192.168.60.10/24 dev eth0; ip route add default via 192.168.60.1");
    gate.router.sh(
        "ip addr add 192.168.60.1/24 dev lan1; echo 0 >/proc/sys/net/ipv4/conf/lan1/forwarding",
    );
    Some(second)
}

#[test]
fn a_forward_without_an_interface_works_by_itself() {
    for forward in [
        "rules.forward(#{ ports: 8080, to: \"192.168.50.10\" });",
        "rules.ftp_server(#{ control: 8080, passive: \"50000-50009\", to: \"192.168.50.10\" });",
        "rules.ftp_active(#{ ports: 8080, to: \"192.168.50.10\", server: \"203.0.113.0/24\" });",
        "rules.forward(#{ ports: 8080, to: \"192.168.50.10\", hairpin: \"192.168.50.0/24\" });",
    ] {
        for isolate in [false, true] {
            let Some(gate) = laid() else { return };
            let Some(second) = second_network(&gate) else { return };
            second.sh("ip route add 203.0.113.0/24 via 192.168.60.1");
            echo(&gate.client, 8080);
            echo(&gate.client, 445);
            gate.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
            let script = format!(
                "let rules = nat::ruleset(\"x\"); {forward} rules.isolate({isolate}); rules.forwarding(true);"
            );
            gate.done(&script, &["apply"]);
            let reaches = |from: &Space, host: [u8; 4], port: u16| {
                let time = Duration::from_millis(700);
                from.within(|| {
                    std::net::TcpStream::connect_timeout(&(host, port).into(), time).is_ok()
                })
            };
            assert!(reaches(&gate.server, [203, 0, 113, 1], 8080), "{forward}\n{}", gate.rules());
            if isolate {
                for from in [&gate.server, &second] {
                    assert!(!reaches(from, [192, 168, 50, 10], 445), "{forward}\n{}", gate.rules());
                }
            }
            gate.done(&script, &["revert"]);
            assert_eq!(gate.forwards(), ["0", "0"]);
        }
    }
}

#[test]
fn a_network_behind_several_interfaces_passes_by_each() {
    let Some(gate) = laid() else { return };
    let Some(second) = second_network(&gate) else { return };
    echo(&gate.server, 7000);
    let wide = OFFICE.replace("192.168.50.0/24", "192.168.0.0/16");
    gate.done(&wide, &["apply"]);
    assert!(gate.reaches(7000));
    let time = Duration::from_millis(700);
    let from_second = second.within(|| {
        std::net::TcpStream::connect_timeout(&([203, 0, 113, 10], 7000).into(), time).is_ok()
    });
    assert!(from_second, "{}", gate.rules());
    assert_eq!(setting(&gate, "ip_forward"), "0", "no other interface forwards");
    gate.done(&wide, &["revert"]);
    assert_eq!(
        (gate.forwards(), setting(&gate, "conf/lan1/forwarding")),
        (["0"; 2].map(String::from), "0".to_owned())
    );
}

#[test]
fn a_hairpin_sends_no_redirects() {
    let Some(gate) = laid() else { return };
    let script = OFFICE.replace(
        "rules.forwarding(true)",
        "rules.forward(#{ in: \"wan\", ports: 8080, to: \"192.168.50.10\", hairpin: \"192.168.50.0/24\" });
         rules.forwarding(true)",
    );
    let sends = || {
        ["all", "lan", "wan"].map(|device| setting(&gate, &format!("conf/{device}/send_redirects")))
    };
    gate.done(&script, &["apply"]);
    assert_eq!(sends(), ["0", "0", "1"]);
    gate.done(&script, &["revert"]);
    assert_eq!(sends(), ["1"; 3]);
}

#[test]
fn a_strict_filter_on_a_second_uplink_is_told_with_what_mends_it() {
    let Some(gate) = laid() else { return };
    let Some(second) = second_network(&gate) else { return };
    echo(&gate.client, 8080);
    gate.router.sh(
        "ip route add default via 203.0.113.254 dev wan; echo 1 >/proc/sys/net/ipv4/conf/lan1/rp_filter",
    );
    let script = "let rules = nat::ruleset(\"x\"); \
                  rules.forward(#{ in: \"lan1\", ports: 8080, to: \"192.168.50.10\" }); rules.forwarding(true);";
    let mut plan = gate.nat(script, &["plan", "--json"]).fails_with(2);
    let found = plan.json();
    let warnings: Vec<_> = found["warnings"].as_array().unwrap().iter().collect();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let (text, remedy) = warning.as_str().unwrap().split_once("; run: ").unwrap();
    assert!(text.contains("net.ipv4.conf.lan1.rp_filter is strict"), "{text}");
    let applied = format!("{script} rules.apply();");
    drop(gate.nat(&applied, &["apply"]).succeeds().any_stdout().any_stderr());
    // A far host whose packets come in by the second line, and whose answers leave by the first.
    second.sh("ip addr add 192.0.2.10/32 dev lo; ip route add 192.168.50.0/24 via 192.168.60.1");
    let reaches = |port: u16| {
        let address = std::net::SocketAddr::from(([192, 168, 60, 1], port));
        let socket = || {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.unwrap();
            socket.bind(&std::net::SocketAddr::from(([192, 0, 2, 10], 0)).into()).unwrap();
            socket.connect_timeout(&address.into(), Duration::from_millis(700)).is_ok()
        };
        second.within(socket)
    };
    assert!(!reaches(8080));
    gate.router.sh(remedy);
    let mut plan = gate.nat(script, &["plan", "--json"]).any_code();
    assert_eq!(plan.json()["warnings"], serde_json::json!([]));
    // The answers find their way by the same line now.
    gate.router.sh("ip route add 192.0.2.10 via 192.168.60.10 dev lan1");
    assert!(reaches(8080) && !reaches(445), "{remedy}");
}

#[test]
fn a_port_of_a_bridge_is_isolated_by_the_name_of_the_bridge() {
    let Some(gate) = laid() else { return };
    echo(&gate.client, 445);
    // As on a hypervisor: the address is the bridge's.
    gate.router.sh("ip link add br0 type bridge; ip link set br0 up; ip link set wan master br0
         ip addr flush dev wan; ip addr add 203.0.113.1/24 dev br0
         echo 0 >/proc/sys/net/ipv4/conf/br0/forwarding");
    gate.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
    echo(&gate.server, 7000);
    let script =
        OFFICE.replace("rules.forwarding(true)", "rules.isolate(true); rules.forwarding(true)");
    let reaches_inside = || {
        let time = Duration::from_millis(700);
        let inside = ([192, 168, 50, 10], 445).into();
        gate.server.within(|| std::net::TcpStream::connect_timeout(&inside, time).is_ok())
    };
    gate.router
        .sh("for device in lan br0; do echo 1 >/proc/sys/net/ipv4/conf/$device/forwarding; done");
    // A bridge forwards nothing for some seconds.
    assert!(
        wait::until(TIME_MAX, || reaches_inside().then_some(())).is_some(),
        "nothing drops yet"
    );
    let mut plan = gate.nat(&script, &["plan", "--json"]).fails_with(2);
    let warning = plan.json()["warnings"].to_string();
    assert!(warning.contains("wan is a port of the bridge br0"), "{warning}");
    gate.done(&script, &["apply"]);
    assert!(!reaches_inside(), "{}", gate.rules());
    assert!(gate.reaches(7000), "{}", gate.rules());
    assert!(gate.done(&script, &["status", "--check"]).starts_with("office: applied"));
}

/// Checks a container whose `/proc/sys` is read-only.
#[test]
fn settings_that_cannot_be_written_stop_all_before_anything_is_done() {
    let Some(gate) = laid() else { return };
    let before = gate.rules();
    // An nft that would tell of a change.
    let folder = gate.state.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let (nft, mark) = (folder.join("nft"), folder.join("loaded"));
    let own = gate.router.read("readlink /proc/self/ns/net");
    let text = format!(
        "#!/bin/sh\n[ \"$*\" = '-f -' ] && [ \"$(readlink /proc/self/ns/net)\" = '{}' ] && : >{}\n\
         exec /usr/sbin/nft \"$@\"\n",
        own.trim(),
        mark.display()
    );
    std::fs::write(&nft, text).unwrap();
    gate.router.sh(&format!("chmod 755 {}", nft.display()));
    let apply = |read_only: &str| {
        let script = format!("{read_only} exec \"$0\" \"$@\"");
        let program = Portolan::played_by("/usr/bin/unshare").file("gate.rhai", OFFICE);
        let program = program.env("PORTOLAN_STATE", gate.state.path());
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
        let program = program.env("PATH", path).args(["--mount", "sh", "-c", &script]);
        let program = program.args([env!("CARGO_BIN_EXE_portolan"), "nat", "apply", "gate.rhai"]);
        gate.router.within(|| program.run()).any_stderr()
    };
    let bound = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys &&";
    apply(bound).fails_with(5).stderr_has("(nat.sysctl_readonly)").stdout("").forget();
    assert!(!mark.exists() && gate.rules() == before, "nothing was loaded");
    apply("").succeeds().stdout("office: applied\n").forget();
    assert!(mark.exists());
}

#[test]
fn rules_about_ipv6_tell_that_it_is_turned_off() {
    let Some(gate) = laid() else { return };
    gate.router.sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6");
    let script = OFFICE.replace("192.168.50.0/24", "fd50::/64");
    let mut plan = gate.nat(&script, &["plan", "--json"]).fails_with(2);
    let warnings = plan.json()["warnings"].to_string();
    assert!(warnings.contains("sysctl -w net.ipv6.conf.all.disable_ipv6=0"), "{warnings}");
}
