//! Ports of a home router: mapped, used in active mode, renewed, released, and removed after a crash.

use std::{
    net::UdpSocket,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::home::{Home, OUTSIDE};
use crate::support::{
    program::Portolan,
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer, Tls},
};

/// The maximum time for an answer. A router answers within milliseconds; a missing one is detected within seconds.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(25);

const TRANSFER: &str = r#"
let site = ftp::connect(env("SITE"), #{
    password: "open+sesame-21", mode: "active", fallback: false, map_ports: "auto", insecure: env("TLS") == "yes",
});
site.write("/b", site.read("/a"));
print(`${site.list("/").len()} ${site.mode}`);
print(nat::detect(site).seen_as);
site.close();
"#;

fn vsftpd(home: &Home, tls: Tls) -> Option<RealServer> {
    let options = Options { listen: Some(Home::address()), tls, ..Options::default() };
    let server = home.server.within(|| RealServer::start(Kind::Vsftpd, &options))?;
    server.file("a", "hello");
    Some(server)
}

#[test]
fn active_mode_gets_through_a_home_router_that_is_asked_plain_and_under_tls() {
    for (tls, is_tls) in [(Tls::Off, "no"), (Tls::Explicit, "yes")] {
        let Some(home) = Home::lay() else { return };
        let Some(server) = vsftpd(&home, tls) else { return };
        let program = Portolan::new().env("SITE", server.url()).env("TLS", is_tls).script(TRANSFER);
        let ran = home.client.within(|| program.run());
        let ran = ran.succeeds().stdout(&format!("2 active\n{OUTSIDE}\n"));
        ran.stderr_has("the router 192.168.50.1 lets port ").stderr_has("(pcp)");
        assert_eq!(server.bytes("b"), b"hello");
        assert_eq!(home.mappings(), Vec::<String>::new(), "given back at the end");
    }
}

#[test]
fn the_script_that_we_ship_for_it_fetches_a_file_in_active_mode() {
    let Some(home) = Home::lay() else { return };
    let address = Home::address();
    let server = home.server.within(|| Rehearsal::start_at(address, "localhost", &[], false));
    server.file("out/a.csv", "1;2");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/active-behind-router.rhai");
    let program =
        Portolan::new().args(["run"]).args([script]).env("FTP_PASSWORD", "open+sesame-21");
    let program = program.args([&format!("ftp://tester@{}", address.ip()), "/out/a.csv", "a.csv"]);
    let ran = home.client.within(|| program.run());
    ran.succeeds().stdout("a.csv by eprt\n").wrote("a.csv", "1;2").any_stderr();
    assert_eq!(home.mappings(), Vec::<String>::new());
}

#[test]
fn each_way_to_ask_gives_ports_and_takes_them_back() {
    let Some(home) = Home::lay() else { return };
    for via in ["pcp", "nat-pmp", "upnp", "auto"] {
        let script = r#"
            let way = nat::map_ports(#{ ports: "40000-40001", lease: "1m", via: args[0] });
            print(`${way.via} ${way.external} ${way.ports} ${way.gateway} ${way.lease}`);
            print("held");
            sleep("1s");
        "#;
        let program = Portolan::new().script(script).args([via]);
        let running = home.client.within(|| program.spawn());
        running.until_stdout_has("held");
        // A request that was sent twice makes the router replace its rule.
        assert!(home.until(Duration::from_secs(20), |rules| rules.len() == 2), "{via}");
        let rules = home.mappings();
        assert!(rules[0].contains("dport 40000 ") && rules[0].contains("192.168.50.10:40000"));
        let used = if via == "auto" { "pcp" } else { via };
        let said = format!("{used} {OUTSIDE} [40000, 40001] 192.168.50.1 60\nheld\n");
        running.wait().succeeds().stdout(&said).any_stderr();
        assert_eq!(home.mappings(), Vec::<String>::new(), "{via}");
    }
}

#[test]
fn an_interrupted_run_gives_its_ports_back() {
    let Some(home) = Home::lay() else { return };
    let script = r#"nat::map_ports(#{ ports: 40000 }); print("held"); sleep("5m");"#;
    let running = home.client.within(|| Portolan::new().script(script).spawn());
    running.until_stdout_has("held");
    running.signal(Signal::TERM);
    running.wait().fails_with(130).any_stdout().any_stderr();
    assert_eq!(home.mappings(), Vec::<String>::new());
}

#[test]
fn a_lease_is_renewed_while_the_run_lasts_and_ends_by_itself_when_it_is_killed() {
    let Some(home) = Home::lay() else { return };
    // Busy with something other than connections for longer than the lease.
    let script = r#"
        nat::map_ports(#{ ports: 40000, lease: "6s", via: args[0] });
        print("held");
        sleep("8s");
        print("still");
        sleep("5m");
    "#;
    let running = home.client.within(|| Portolan::new().script(script).args(["auto"]).spawn());
    running.until_stdout_has("still");
    assert_eq!(home.mappings().len(), 1, "renewed");
    running.signal(Signal::KILL);
    running.wait().killed_by(9).any_stdout().any_stderr();
    assert_eq!(home.mappings().len(), 1, "no process was left to release it");
    assert!(home.until(Duration::from_mins(1), <[String]>::is_empty), "the lease has an end");
}

#[test]
fn what_a_crash_left_is_given_back_by_the_next_run() {
    let Some(home) = Home::lay() else { return };
    for via in ["pcp", "nat-pmp", "upnp"] {
        let script = r#"
            if args.len() > 0 {
                nat::map_ports(#{ ports: "40000-40001", via: args[0] });
                print("held");
                sleep("5m");
            }
        "#;
        let state = tempfile::tempdir().unwrap();
        let told = |program: Portolan| program.args(["--state"]).args([state.path()]);
        let running =
            home.client.within(|| told(Portolan::new().script(script)).args([via]).spawn());
        running.until_stdout_has("held");
        // Another run leaves them alone while the first one lives.
        let next = told(Portolan::new().script("print(1);"));
        home.client.within(|| next.run()).succeeds().stdout("1\n");
        assert_eq!(home.mappings().len(), 2, "{via}");
        running.signal(Signal::KILL);
        running.wait().killed_by(9).any_stdout().any_stderr();
        home.client.within(|| next.run()).succeeds().stdout("1\n");
        assert_eq!(home.mappings(), Vec::<String>::new(), "{via}");
        let left = std::fs::read_dir(state.path().join("leases")).unwrap().count();
        assert_eq!(left, 0, "{via}");
    }
}

#[test]
fn without_a_router_that_answers_the_reason_comes_soon() {
    let Some(home) = Home::without_daemon() else { return };
    let script = r"
        try { nat::map_ports(#{ ports: 40000 }); } catch (err) { print(err.code); print(err.message); }
    ";
    for deaf in [false, true] {
        if deaf {
            home.router.sh("nft insert rule inet lab input iifname lan drop");
        }
        let started = Instant::now();
        let program = Portolan::new().script(script);
        let ran = home.client.within(|| program.run());
        ran.succeeds()
            .stdout_has("nat.no_mapping\nthe router 192.168.50.1 maps no ports (pcp: no answer; ");
        assert!(started.elapsed() < ANSWER_TIME_MAX, "{:?}", started.elapsed());
    }
    home.client.sh("ip route del default");
    let program = Portolan::new().script(script);
    home.client.within(|| program.run()).succeeds().stdout_has("nat.no_gateway\n");
}

#[test]
fn a_session_goes_on_without_what_the_router_does_not_give() {
    let Some(home) = Home::without_daemon() else { return };
    let address = Home::address();
    let server = home.server.within(|| Rehearsal::start_at(address, "localhost", &[], false));
    server.file("a", "hello");
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: "open+sesame-21", mode: "active", map_ports: "auto" });
        print(`${site.read("/a")} ${site.route}`);
    "#;
    let program =
        Portolan::new().env("SITE", format!("ftp://tester@{}", address.ip())).script(script);
    home.client
        .within(|| program.run())
        .succeeds()
        .stdout("hello epsv\n")
        .stderr_has("active mode goes without a mapped port: the router 192.168.50.1 maps no ports")
        .stderr_has("fell back from active to passive");
}

#[test]
fn a_port_on_which_something_listens_is_mapped_with_the_users_word_only() {
    let Some(home) = Home::lay() else { return };
    let script = r#"nat::map_ports(#{ ports: args[0] }); print("held");"#;
    let busy = home.client.within(|| std::net::TcpListener::bind("127.0.0.1:40005").unwrap());
    for port in ["22", "40005"] {
        let program = Portolan::new().script(script).args([port]);
        let ran = home.client.within(|| program.run());
        ran.fails_with(5).stderr_has("(nat.not_allowed)").stderr_has("--allow-nat");
    }
    let allowed = Portolan::new().script(script).args(["--allow-nat", "40005"]);
    home.client.within(|| allowed.run()).succeeds().stdout("held\n").any_stderr();
    drop(busy);
    // The router also has a policy of its own. By PCP it would search for a permitted port for longer than any test can
    // wait.
    let script = r#"nat::map_ports(#{ ports: 22, via: "upnp" });"#;
    let low = Portolan::new().script(script).args(["--allow-nat"]);
    let ran = home.client.within(|| low.run());
    ran.fails_with(5).stderr_has(
        "the router 192.168.50.1 does not map the port (upnp: it does not let this machine do that)",
    );
}

/// Plays a malicious router that answers each datagram to PCP's port with the result of `answer`.
fn play_router(home: &Home, answer: fn(&[u8]) -> Vec<u8>) {
    let socket = home.router.within(|| UdpSocket::bind("192.168.50.1:5351").unwrap());
    thread::spawn(move || {
        let mut request = [0; 1100];
        while let Ok((length, from)) = socket.recv_from(&mut request) {
            // The namespace ends with the test, and the thread with its process.
            drop(socket.send_to(&answer(request.get(..length).unwrap_or_default()), from));
        }
    });
}

/// Returns a reply to a PCP request, as in RFC 6887, that grants `seconds` and the address `outside`.
fn pcp_reply(request: &[u8], seconds: u32, outside: [u8; 4]) -> Vec<u8> {
    // Header: version, operation, lifetime, epoch; then the nonce, protocol and ports as requested.
    let Some(asked) = request.get(24..44).filter(|_| request.first() == Some(&2)) else {
        return vec![0, 0x80, 0, 1];
    };
    let header = [&[2, 0x81, 0, 0][..], &seconds.to_be_bytes(), &[0; 16]].concat();
    let outside = [&[0; 10][..], &[0xff; 2], &outside].concat();
    [header, asked.to_vec(), outside].concat()
}

#[test]
fn what_a_router_answers_is_checked() {
    type Answer = fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, Answer, &str); 7] = [
        ("a private address", |it| pcp_reply(it, 60, [10, 0, 0, 1]), "nat.double_nat"),
        ("a carrier's address", |it| pcp_reply(it, 60, [100, 64, 0, 1]), "nat.double_nat"),
        ("no address", |it| pcp_reply(it, 60, [0; 4]), "nat.double_nat"),
        ("no time", |it| pcp_reply(it, 0, [25, 0, 113, 1]), "nat.mapping_refused"),
        ("nonsense", |_| vec![0xff; 1100], "nat.mapping_refused"),
        ("nothing", |_| Vec::new(), "nat.mapping_refused"),
        (
            "an answer to another host",
            |it| {
                let mut reply = pcp_reply(it, 60, [25, 0, 113, 1]);
                if let Some(nonce) = reply.get_mut(24) {
                    *nonce ^= 1;
                }
                reply
            },
            "nat.mapping_refused",
        ),
    ];
    let script = r#"try { nat::map_ports(#{ ports: 40000 }); print("?"); } catch (err) { print(err.code); }"#;
    for (what, answer, code) in cases {
        let Some(home) = Home::without_daemon() else { return };
        play_router(&home, answer);
        let program = Portolan::new().script(script);
        let ran = home.client.within(|| program.run());
        assert_eq!(ran.stdout_text(), format!("{code}\n"), "{what}: {}", ran.stderr_text());
        drop(ran.succeeds().any_stdout().any_stderr());
    }
}

/// Checks that a lifetime of more than a hundred years, which some routers grant, is not relied upon.
#[test]
fn a_grant_for_ever_is_taken_for_a_week() {
    let Some(home) = Home::without_daemon() else { return };
    play_router(&home, |it| pcp_reply(it, u32::MAX, [25, 0, 113, 1]));
    let script = "print(nat::map_ports(#{ ports: 40000 }).lease);";
    let ran = home.client.within(|| Portolan::new().script(script).run());
    ran.succeeds().stdout("604800\n").any_stderr();
}
