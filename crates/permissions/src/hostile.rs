//! A stand-in for a parser that an attacker has taken over, for the tests of the sandbox: debug builds only.
//!
//! The variable `PORTOLAN_TEST_HOSTILE` holds one attempt a line. Where a listing of a server would be parsed, each is
//! tried by plain calls of the system, past all functions that ask for permissions, and its result is written to
//! standard error.

use std::{
    env, fs,
    io::{self, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
    sync::Once,
    time::Duration,
};

use rustix::{
    net::{AddressFamily, SocketType},
    process::{Pid, Signal},
};

/// The variable with the attempts.
const VARIABLE: &str = "PORTOLAN_TEST_HOSTILE";

/// Tries everything, once in a process.
pub fn act() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Ok(attempts) = env::var(VARIABLE) else { return };
        for attempt in attempts.lines() {
            let result = match attempt_one(attempt) {
                Ok(()) => "SUCCEEDED".to_owned(),
                Err(error) => format!("refused: {error}"),
            };
            // Without a reader there is no one to report to.
            io::stderr().write_all(format!("hostile {attempt}: {result}\n").as_bytes()).ok();
        }
    });
}

fn attempt_one(attempt: &str) -> io::Result<()> {
    let mut words = attempt.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (verb, what, other) = (word(), word(), word());
    match verb {
        "read" => fs::read(what).map(drop),
        "list" => fs::read_dir(what).map(drop),
        "write" => fs::write(what, "hostile"),
        "append" => fs::OpenOptions::new().append(true).open(what).map(drop),
        "truncate" => fs::OpenOptions::new().write(true).truncate(true).open(what).map(drop),
        "remove" => fs::remove_file(what),
        "mkdir" => fs::create_dir(what),
        "rename" => fs::rename(what, other),
        "link" => fs::hard_link(what, other),
        "symlink" => std::os::unix::fs::symlink(what, other),
        "chmod" => fs::set_permissions(what, fs::Permissions::from_mode(0o777)),
        "chown" => std::os::unix::fs::chown(what, Some(1), Some(1)),
        "connect" => {
            let address = what.parse().map_err(io::Error::other)?;
            TcpStream::connect_timeout(&address, Duration::from_secs(2)).map(drop)
        }
        "listen" => TcpListener::bind(what).map(drop),
        "udp" => UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", what).map(drop),
        "unix" => UnixStream::connect(what).map(drop),
        "netlink" => socket(AddressFamily::NETLINK, SocketType::RAW),
        "packet" => socket(AddressFamily::PACKET, SocketType::RAW),
        "raw" => socket(AddressFamily::INET, SocketType::RAW),
        "execute" => Command::new(what).status().map(drop),
        "unshare" => unshare(),
        "kill" => {
            let pid = what.parse().ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| io::Error::other("no process"))?;
            // Signal 0 would only ask; this one is ignored by default.
            Ok(rustix::process::kill_process(pid, Signal::CONT)?)
        }
        _ => Err(io::Error::other("an unknown attempt")),
    }
}

fn unshare() -> io::Result<()> {
    #[expect(deprecated, reason = "what it may break is the process that plays the attacker")]
    Ok(rustix::thread::unshare(rustix::thread::UnshareFlags::NEWUTS)?)
}

fn socket(family: AddressFamily, kind: SocketType) -> io::Result<()> {
    rustix::net::socket(family, kind, None)?;
    Ok(())
}
