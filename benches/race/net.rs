//! Two network namespaces and a link between them, with an optional delay.

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
};

use crate::support::{
    net::Space,
    server::{Kind, Options, RealServer, Tls},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The same socket buffers for all programs, as on a fresh machine.
const BUFFERS: &str = "sysctl -qw net.ipv4.tcp_rmem='4096 131072 6291456' \
     net.ipv4.tcp_wmem='4096 16384 4194304' net.ipv4.tcp_no_metrics_save=1";

/// A network with a server in it; removed on drop.
pub(crate) struct Net {
    pub(crate) server: RealServer,
    client: Space,
    _server_space: Space,
    link: Option<Child>,
    /// True if control and data connections are encrypted.
    pub(crate) is_tls: bool,
}

impl Net {
    /// Sets it up with a round trip of `rtt_ms` milliseconds. `None` if that is impossible here, which has then been
    /// reported.
    pub(crate) fn lay(rtt_ms: u32, is_tls: bool) -> Option<Self> {
        let (client, space) = (Space::open()?, Space::open()?);
        let link = if rtt_ms == 0 {
            client.wire("eth0", &space, "eth0");
            None
        } else {
            Some(delayed(&client, &space, f64::from(rtt_ms) / 2.0))
        };
        for (here, own, other) in [(&client, CLIENT, SERVER), (&space, SERVER, CLIENT)] {
            here.sh(&format!(
                "{BUFFERS}; ip link set eth0 txqueuelen 20000 up; ip addr add {own} peer {other} dev eth0"
            ));
        }
        let listen = Some(SocketAddr::new(IpAddr::V4(SERVER), 21));
        let options = Options {
            listen,
            tls: if is_tls { Tls::Explicit } else { Tls::Off },
            require_tls: is_tls,
            ..Options::default()
        };
        let server = space.within(|| RealServer::start(Kind::Vsftpd, &options))?;
        Some(Self { server, client, _server_space: space, link, is_tls })
    }

    /// Returns `program` as a command in the client's namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.client.pid())).arg(program);
        command
    }

    /// Returns the part of the URL before the path.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_tls { "ftpes" } else { "ftp" };
        format!("{scheme}://{}:{}@{SERVER}", RealServer::USER, RealServer::PASSWORD)
    }

    pub(crate) const fn host() -> Ipv4Addr {
        SERVER
    }
}

fn delayed(client: &Space, server: &Space, delay_ms: f64) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/race/link.py");
    let mut command = Command::new("python3");
    command.args([script, &client.pid().to_string(), &server.pid().to_string()]);
    command.arg(delay_ms.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut link = command.spawn().unwrap_or_else(|error| panic!("python3: {error}"));
    let mut said = String::new();
    BufReader::new(link.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "up\n", "the link did not come up");
    link
}

impl Drop for Net {
    fn drop(&mut self) {
        if let Some(mut link) = self.link.take() {
            drop(link.stdin.take());
            drop(link.wait());
        }
    }
}
