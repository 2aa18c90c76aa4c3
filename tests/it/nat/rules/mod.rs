//! Rulesets on a router of the test's own: planned, applied, tried, reverted, and interrupted at any moment.

mod anybody;
mod broken;
mod chains;
mod clamp;
mod connected;
mod crash;
mod cut_off;
mod described;
mod documented;
mod flushed;
mod forwards;
mod hangs;
mod hidden;
mod hostile;
mod links;
mod managed;
mod openings;
mod others;
mod packet;
mod proof;
mod races;
mod reach;
mod replaced;
mod safety;
mod services;
mod settings;
mod speed;
mod standing;
mod states;
mod switches;
mod told;
mod tried;
mod tried_ipv6;
mod watch;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{net::Space, program::Portolan, program::Ran};

/// The classic recipe, with FTP in active mode for the client.
pub(crate) const OFFICE: &str = r#"
let rules = nat::ruleset("office");
rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" });
rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan" });
rules.forwarding(true);
rules.apply();
"#;
/// Foreign rules, which must stay unchanged.
const OTHERS: &str = "
table inet others {
    set known {
        type ipv4_addr
        elements = { 192.0.2.1, 192.0.2.2 }
    }
    chain through {
        type filter hook forward priority filter; policy accept;
        ip saddr @known drop
    }
}
table ip elsewhere {
    chain out {
        type nat hook postrouting priority srcnat
        ip saddr 198.51.100.0/24 masquerade
    }
}";

/// The network of the tests:
///
/// `client 192.168.50.10 -- 192.168.50.1 lan [router] wan 203.0.113.1 -- 203.0.113.10 server`
pub(crate) struct Gate {
    pub(crate) client: Space,
    pub(crate) router: Space,
    pub(crate) server: Space,
    /// The state directory that runs share.
    pub(crate) state: TempDir,
}

impl Gate {
    /// Sets it up; the router does not forward yet. `None` if that is impossible here, which has then been reported.
    pub(crate) fn lay() -> Option<Self> {
        let (client, router, server) = (Space::open()?, Space::open()?, Space::open()?);
        client.wire("eth0", &router, "lan");
        router.wire("wan", &server, "eth0");
        client.sh("ip addr add 192.168.50.10/24 dev eth0; ip route add default via 192.168.50.1");
        router.sh("ip addr add 192.168.50.1/24 dev lan; ip addr add 203.0.113.1/24 dev wan");
        router.sh("echo 0 >/proc/sys/net/ipv4/conf/lan/forwarding");
        router.sh("echo 0 >/proc/sys/net/ipv4/conf/wan/forwarding");
        server.sh("ip addr add 203.0.113.10/24 dev eth0");
        router.try_rules(OTHERS).unwrap();
        Some(Self { client, router, server, state: TempDir::new().unwrap() })
    }

    /// Returns portolan on the router, with this script as `gate.rhai`.
    pub(crate) fn portolan(&self, script: &str) -> Portolan {
        let program = Portolan::new().file("gate.rhai", script);
        let program = program.env("XTABLES_LOCKFILE", self.router.iptables_lock());
        program.env("PORTOLAN_STATE", self.state.path())
    }

    /// Runs `portolan nat VERB… gate.rhai`.
    pub(crate) fn nat(&self, script: &str, verb: &[&str]) -> Ran {
        let program = self.portolan(script).args(["nat"]).args(verb.to_vec()).args(["gate.rhai"]);
        self.router.within(|| program.run())
    }

    /// Runs the same, which must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn done(&self, script: &str, verb: &[&str]) -> String {
        let ran = self.nat(script, verb).succeeds().any_stderr();
        let text = ran.stdout_text().to_owned();
        drop(ran.any_stdout());
        text
    }

    /// Runs the script with permission to change NAT.
    pub(crate) fn run(&self, script: &str) -> Ran {
        let program = self.portolan(script).args(["run", "--allow-nat", "gate.rhai"]);
        self.router.within(|| program.run())
    }

    /// Returns the output of a program on the router.
    pub(crate) fn prints(&self, words: &[&str]) -> String {
        let path = "/usr/sbin:/usr/bin:/sbin:/bin";
        let (program, arguments) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", path);
        let ran = self.router.within(|| command.output().unwrap());
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Returns every rule of the router.
    pub(crate) fn rules(&self) -> String {
        self.prints(&["nft", "-s", "list", "ruleset"])
    }

    /// Returns the rules that are not ours.
    pub(crate) fn others(&self) -> String {
        let mut others = String::new();
        let mut is_ours = false;
        for line in self.rules().lines() {
            if line.starts_with("table ") {
                is_ours = line.starts_with("table inet portolan_");
            }
            if !is_ours {
                others.push_str(line);
                others.push('\n');
            }
        }
        others
    }

    /// Returns the forwarding settings of the router's two interfaces.
    pub(crate) fn forwards(&self) -> [String; 2] {
        ["lan", "wan"].map(|device| {
            let path = format!("/proc/sys/net/ipv4/conf/{device}/forwarding");
            self.prints(&["cat", &path]).trim().to_owned()
        })
    }

    /// Returns true if the client reaches the server on this port, on which a listener must exist.
    pub(crate) fn reaches(&self, port: u16) -> bool {
        let address = SocketAddr::from(([203, 0, 113, 10], port));
        let time = Duration::from_millis(700);
        self.client.within(|| TcpStream::connect_timeout(&address, time).is_ok())
    }
}

/// Returns the number of rounds of a campaign: the value of the variable, or `usual`, which is short enough for each
/// commit.
pub(crate) fn times(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Echoes each line on this port of a network, until the test is over.
pub(crate) fn echo(space: &Space, port: u16) {
    echo_at(space, &format!("0.0.0.0:{port}"));
}

/// Echoes each line at this address, until the test is over.
fn echo_at(space: &Space, address: &str) {
    let listener = space.within(|| TcpListener::bind(address).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut bytes = [0; 64];
                while let Ok(count) = stream.read(&mut bytes) {
                    let said = bytes.get(..count).unwrap_or_default();
                    if said.is_empty() || stream.write_all(said).is_err() {
                        return;
                    }
                }
            });
        }
    });
}
