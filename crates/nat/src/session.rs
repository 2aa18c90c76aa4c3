//! The session in which portolan runs: the processes above it, and the connections by which its user is logged in.

use std::{collections::BTreeSet, fs, net::IpAddr};

use super::sockets::{HostSocket, held_by, sockets};

/// The maximum number of ancestor processes that are inspected, such as nested shells.
const ANCESTORS_MAX: usize = 64;
/// The variable in which sshd names a session's endpoints: client address and port, server address and port.
const SSH_SESSION: &str = "SSH_CONNECTION";
/// Programs that only run another one, and end with it.
const WRAPPERS: [&str; 12] = [
    "sudo", "doas", "su", "runuser", "setpriv", "env", "nice", "timeout", "nohup", "nsenter",
    "unshare", "strace",
];

/// A process above this one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ancestor {
    process: u32,
    name: String,
    /// The number of its terminal; 0 if it has none.
    terminal: u32,
    /// The value of `SSH_CONNECTION` in its environment.
    ssh: Option<String>,
    /// The sockets that it holds.
    sockets: Vec<u64>,
}

/// A connection by which the user is logged in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LoginConnection {
    /// The port of this host.
    pub(super) port: u16,
    pub(super) peer: IpAddr,
    /// True if sshd names it; otherwise it is told by the connection alone.
    pub(super) is_named: bool,
}

/// Returns the processes above this one, the nearest first.
fn ancestors() -> Vec<Ancestor> {
    let mut found = Vec::new();
    let mut process = std::process::id();
    while found.len() < ANCESTORS_MAX {
        let read = |name: &str| fs::read(format!("/proc/{process}/{name}")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let Some(stat) = ProcessStat::read(&stat) else { break };
        found.push(Ancestor {
            process,
            name: stat.name,
            terminal: stat.terminal,
            // Processes of other users cannot be read, and are not part of this session.
            ssh: variable(&read("environ"), SSH_SESSION),
            sockets: held_by(process).0,
        });
        if stat.parent <= 1 {
            break;
        }
        process = stat.parent;
    }
    found
}

/// Returns the connections by which the user is logged in.
pub(super) fn logins() -> BTreeSet<LoginConnection> {
    logins_of(&ancestors(), &sockets())
}

/// Returns the connections that sshd names, and those that a process above this one holds to a port of the host on which
/// it is listened.
fn logins_of(ancestors: &[Ancestor], sockets: &[HostSocket]) -> BTreeSet<LoginConnection> {
    let named = |text: &String| {
        let mut words = text.split(' ');
        let peer = words.next()?.parse().ok()?;
        Some(LoginConnection { port: words.nth(2)?.parse().ok()?, peer, is_named: true })
    };
    let mut found: BTreeSet<_> =
        ancestors.iter().filter_map(|one| one.ssh.as_ref().and_then(named)).collect();
    for one in ancestors {
        found.extend(served(one, sockets));
    }
    found
}

/// Returns the connections of a process from other hosts.
fn served(one: &Ancestor, sockets: &[HostSocket]) -> Vec<LoginConnection> {
    let listens = |port: u16| {
        sockets
            .iter()
            .any(|other| !other.is_udp && other.peer.is_none() && other.local.port() == port)
    };
    let own = sockets.iter().filter(|socket| one.sockets.contains(&socket.inode));
    let login = |socket: &HostSocket| {
        let peer = socket.peer.filter(|_| !socket.is_udp && listens(socket.local.port()))?;
        Some(LoginConnection { port: socket.local.port(), peer: peer.ip(), is_named: false })
    };
    own.filter_map(login).collect()
}

/// Returns the processes with which the session ends, by their numbers: the outermost of each terminal, and those that
/// hold a login connection; without either, the nearest that does not merely run this one.
pub fn session_processes() -> BTreeSet<u32> {
    let (ancestors, sockets) = (ancestors(), sockets());
    let above = ancestors.get(1..).unwrap_or_default();
    ends_with(above, |one| !served(one, &sockets).is_empty())
}

fn ends_with(above: &[Ancestor], is_connected: impl Fn(&Ancestor) -> bool) -> BTreeSet<u32> {
    let is_wrapper = |one: &&Ancestor| WRAPPERS.contains(&one.name.as_str());
    let lasting: Vec<_> = above.iter().filter(|one| !is_wrapper(one)).collect();
    let terminals: BTreeSet<_> =
        lasting.iter().map(|one| one.terminal).filter(|terminal| *terminal != 0).collect();
    let outermost = |terminal: u32| lasting.iter().rev().find(|one| one.terminal == terminal);
    let mut found: BTreeSet<_> =
        terminals.into_iter().filter_map(outermost).map(|one| one.process).collect();
    if found.is_empty() {
        found.extend(lasting.first().map(|one| one.process));
    }
    found.extend(lasting.iter().filter(|one| is_connected(one)).map(|one| one.process));
    found
}

/// The part of `/proc/…/stat` that is needed.
#[derive(Debug, PartialEq, Eq)]
struct ProcessStat {
    name: String,
    parent: u32,
    terminal: u32,
}

impl ProcessStat {
    /// Reads the name in brackets, which may contain brackets, and the fields after it.
    fn read(text: &str) -> Option<Self> {
        let (head, rest) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let mut fields = rest.split_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        // After the process group and the session.
        let terminal = fields.nth(2)?.parse::<i32>().ok()?.cast_unsigned();
        Some(Self { name, parent, terminal })
    }
}

/// Returns a variable of `/proc/…/environ`.
fn variable(environ: &[u8], name: &str) -> Option<String> {
    let mut each = environ.split(|byte| *byte == 0);
    each.find_map(|one| {
        let value = one.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(process: u32, name: &str, terminal: u32) -> Ancestor {
        Ancestor { process, name: name.into(), terminal, ..Ancestor::default() }
    }

    #[test]
    fn a_process_is_read_as_the_kernel_prints_it() {
        let stat = ProcessStat::read("17 (a) S 1) S 16 17 18 34817 17");
        let wanted = ProcessStat { name: "a) S 1".into(), parent: 16, terminal: 34817 };
        assert_eq!(stat, Some(wanted));
        assert_eq!(ProcessStat::read(""), None);
        let environ = b"A=b\0SSH_CONNECTION=10.0.0.9 50000 10.0.0.1 2222\0";
        assert_eq!(variable(environ, SSH_SESSION).unwrap(), "10.0.0.9 50000 10.0.0.1 2222");
        assert_eq!(variable(b"NO_SSH_CONNECTION=1\0", SSH_SESSION), None);
        assert_eq!(ancestors()[0].process, std::process::id());
    }

    #[test]
    fn a_session_ends_with_its_shell_and_not_with_sudo() {
        let by_sudo = [
            one(50, "sudo", 5),
            one(40, "sudo", 1),
            one(30, "bash", 1),
            one(20, "bash", 1),
            one(10, "sshd", 0),
        ];
        assert_eq!(ends_with(&by_sudo, |one| one.name == "sshd"), [10, 20].into());
        assert_eq!(ends_with(&by_sudo[1..], |_| false), [20].into());
        let without = [one(50, "timeout", 0), one(40, "sh", 0), one(30, "cron", 0)];
        assert_eq!(ends_with(&without, |_| false), [40].into());
        assert_eq!(ends_with(&[], |_| false), [].into());
    }

    #[test]
    fn one_is_logged_in_by_connections_to_ports_that_are_listened_on() {
        let socket = |local: &str, peer: &str, inode| HostSocket {
            is_udp: false,
            local: local.parse().unwrap(),
            peer: peer.parse().ok(),
            inode,
        };
        let sockets = [
            socket("0.0.0.0:7022", "", 1),
            socket("192.168.50.1:7022", "192.168.50.10:50000", 2),
            socket("192.168.50.1:40000", "203.0.113.10:443", 3),
        ];
        let mut shell = one(20, "server", 0);
        shell.sockets = vec![2, 3];
        let ssh = Some("10.8.0.2 50000 10.8.0.1 22".into());
        let inner = Ancestor { ssh, ..one(30, "sh", 1) };
        let found = logins_of(&[inner, shell], &sockets);
        let login = |port, peer: &str, is_named| LoginConnection {
            port,
            peer: peer.parse().unwrap(),
            is_named,
        };
        assert_eq!(
            found,
            [login(22, "10.8.0.2", true), login(7022, "192.168.50.10", false)].into()
        );
    }
}
