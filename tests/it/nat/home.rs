//! A home router that maps ports on request: miniupnpd, which speaks PCP, NAT-PMP and UPnP.
//!
//! ```text
//! client 192.168.50.10 -- 192.168.50.1 router 25.0.113.1 -- 25.0.113.10 server
//! ```
//! miniupnpd treats documentation addresses as private; 25.0.113.0/24 is public and is routed nowhere from here.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{
    net::Space,
    server::{find, skip},
    wait,
};

/// The address at which clients reach the server.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(25, 0, 113, 10);
/// The external address of the router.
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(25, 0, 113, 1);
/// The maximum time from the start of miniupnpd to its first answer.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// The network; removed on drop.
pub(super) struct Home {
    pub(super) client: Space,
    pub(super) router: Space,
    pub(super) server: Space,
    daemon: Option<Child>,
    folder: TempDir,
}

impl Home {
    /// Sets up a home whose router maps ports. `None` if that is impossible here, which has then been reported.
    pub(super) fn lay() -> Option<Self> {
        let Some((program, _)) = find("miniupnpd") else {
            skip("no miniupnpd here: run tests/servers/install");
            return None;
        };
        let mut home = Self::without_daemon()?;
        let folder = home.folder.path().display().to_string();
        let log = fs::File::create(home.folder.path().join("log")).unwrap();
        fs::write(home.folder.path().join("conf"), configuration(&folder)).unwrap();
        let mut command = Command::new(program);
        command.args(["-d", "-f", &format!("{folder}/conf"), "-P", &format!("{folder}/pid")]);
        command.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log).process_group(0);
        home.daemon = Some(home.router.within(|| command.spawn().unwrap()));
        let listens = || home.router.try_sh("ss -Hltn 'sport = :5000' | grep -q .").ok();
        let is_up = wait::until(START_TIME_MAX, listens).is_some();
        assert!(is_up, "{}", home.log());
        Some(home)
    }

    /// Sets up the same with a router that maps no ports.
    pub(super) fn without_daemon() -> Option<Self> {
        let (client, router, server) = (Space::open()?, Space::open()?, Space::open()?);
        client.wire("eth0", &router, "lan");
        router.wire("wan", &server, "eth0");
        client.sh("ip addr add 192.168.50.10/24 dev eth0; ip route add default via 192.168.50.1
            ip route add 239.0.0.0/8 dev eth0");
        router.sh(&format!(
            "ip addr add 192.168.50.1/24 dev lan; ip addr add {OUTSIDE}/24 dev wan
            ip route add 239.0.0.0/8 dev lan; echo 1 >/proc/sys/net/ipv4/ip_forward"
        ));
        server.sh(&format!("ip addr add {SERVER}/24 dev eth0"));
        router.try_rules(RULES).unwrap();
        let folder = tempfile::Builder::new().prefix("portolan-router-").tempdir().unwrap();
        Some(Self { client, router, server, daemon: None, folder })
    }

    /// Returns the log of the router's daemon.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Returns the address on which a server listens.
    pub(super) fn address() -> SocketAddr {
        (SERVER, 21).into()
    }

    /// Returns the rules by which the router forwards ports to clients.
    pub(super) fn mappings(&self) -> Vec<String> {
        let chain = self.router.read("nft list chain inet lab upnp_prerouting");
        chain
            .lines()
            .filter(|line| line.contains("dnat"))
            .map(|line| line.trim().to_owned())
            .collect()
    }

    /// Waits until the mappings fulfil `is_so`.
    pub(super) fn until(&self, time: Duration, is_so: impl Fn(&[String]) -> bool) -> bool {
        wait::until(time, || is_so(&self.mappings()).then_some(())).is_some()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

fn configuration(folder: &str) -> String {
    format!(
        "ext_ifname=wan\next_ip={OUTSIDE}\nlistening_ip=lan\nenable_natpmp=yes\nenable_upnp=yes\nsecure_mode=yes\n\
         port=5000\nupnp_table_name=lab\nupnp_nat_table_name=lab\nupnp_forward_chain=upnp_forward\n\
         upnp_nat_chain=upnp_prerouting\nupnp_nat_postrouting_chain=upnp_postrouting\nsystem_uptime=yes\n\
         notify_interval=60\nuuid=00000000-0000-4000-8000-000000000001\nlease_file={folder}/leases\nipv6_disable=yes\n\
         min_lifetime=1\nmax_lifetime=86400\nallow 1024-65535 192.168.50.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
    )
}

const RULES: &str = "table inet lab {
    chain upnp_forward { }
    chain upnp_prerouting { }
    chain upnp_postrouting { }
    chain prerouting {
        type nat hook prerouting priority dstnat
        jump upnp_prerouting
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        jump upnp_postrouting
        oifname \"wan\" masquerade
    }
    chain forward {
        type filter hook forward priority filter
        ct state established,related accept
        iifname \"lan\" accept
        ct status dnat accept
        jump upnp_forward
        drop
    }
    chain input {
        type filter hook input priority filter
        ct state established,related accept
        iifname \"lan\" accept
        drop
    }
}";
