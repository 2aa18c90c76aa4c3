//! Real FTP servers, each started for one test on a free port, with a configuration of its own.
//!
//! ```ignore
//! let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
//! ```
//!
//! A test whose server cannot be started here is skipped, which is reported on one line. With
//! `PORTOLAN_REQUIRE_SERVERS=1` it fails instead. `tests/servers/install` fetches the servers.

mod ports;
mod proftpd;
mod pure_ftpd;
mod room;
mod vsftpd;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    ops::RangeInclusive,
    os::unix::fs::{PermissionsExt, lchown},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use tempfile::TempDir;

pub(crate) use self::ports::free_ports;
use self::room::Room;
use super::{
    certificates::{self, Certificate},
    wait,
};

const USER: &str = RealServer::USER;
/// The hash by `openssl passwd -6 -salt portolan open+sesame-21`, which all three servers check within 15 ms.
const PASSWORD_HASH: &str = "$6$portolan$83Cyri8nVyAL3H4KN/mTsqKAK0vbnOAkQ3K3UW36W2nC5OZXZZEGi24kE5U3.zNgd3pAIi5mEs4dUDmkvRXeB0";
/// The owner of the stored files, which is not a user of the host.
const UID: u32 = 2121;
/// The maximum time from the start of the process to its greeting; a busy machine needs some hundred milliseconds.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// The server program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Vsftpd,
    Proftpd,
    PureFtpd,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Vsftpd, Self::Proftpd, Self::PureFtpd];

    /// Returns the name of the program.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
        }
    }

    /// Returns the wanted feature that this server does not have: a matrix of tests omits such a cell.
    pub(crate) fn lacks(self, wanted: &Options) -> Option<&'static str> {
        if self != Self::PureFtpd {
            return None;
        }
        [
            (wanted.tls == Tls::Implicit, "implicit TLS"),
            (wanted.tls_reuse, "a rule that TLS sessions are resumed"),
            (wanted.no_passive, "a switch for passive mode"),
            (wanted.no_active, "a switch for active mode"),
        ]
        .into_iter()
        .find_map(|(wanted, what)| wanted.then_some(what))
    }
}

/// The security of the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tls {
    #[default]
    Off,
    Explicit,
    Implicit,
}

/// The configuration of a server. The default is plain FTP on IPv4 with every mode allowed.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of a server")]
pub(crate) struct Options {
    /// Listens on `::1`, else on `127.0.0.1`, unless `listen` is set.
    pub(crate) ipv6: bool,
    /// Listens there instead, in a network of the test's own.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) tls: Tls,
    /// Refuses plain logins and plain data.
    pub(crate) require_tls: bool,
    /// Refuses data connections that do not resume the control connection's session.
    pub(crate) tls_reuse: bool,
    /// Allows no TLS 1.3.
    pub(crate) tls12_only: bool,
    pub(crate) certificate: Certificate,
    /// The ports of passive data connections; see [`free_ports`]. Pure-FTPd allows one session for two ports.
    pub(crate) passive_ports: Option<RangeInclusive<u16>>,
    /// The address that the reply to PASV names.
    pub(crate) passive_address: Option<Ipv4Addr>,
    pub(crate) no_passive: bool,
    pub(crate) no_active: bool,
    /// The maximum number of sessions; one more is refused with 421.
    pub(crate) sessions_max: Option<u16>,
    /// Further lines of the server's own configuration, or arguments of pure-ftpd.
    pub(crate) further: Vec<String>,
    /// A text to append to the file of configuration, as an administrator writes it.
    pub(crate) settings: String,
}

/// The input of a configuration.
struct Setup<'a> {
    options: &'a Options,
    /// The private directory of this server: configuration, accounts, logs.
    folder: &'a Path,
    /// The root directory of its user.
    root: &'a Path,
    /// The directory into which the programs were unpacked; `None` if they are the system's own.
    cache: Option<&'a Path>,
    program: &'a Path,
    address: SocketAddr,
    /// The certificate and its key, if there is TLS.
    tls: Option<&'a certificates::Files>,
}

impl Setup<'_> {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Returns a line of `/etc/passwd` for the account of the tests.
    fn account(&self, password: &str) -> String {
        format!("{USER}:{password}:{UID}:{UID}::{}:/bin/false\n", self.root.display())
    }
}

/// A server that runs until it is dropped.
pub(crate) struct RealServer {
    kind: Kind,
    tls: Tls,
    address: SocketAddr,
    room: Room,
    /// The directory with everything that the server reads and writes; removed after `room` has ended.
    folder: TempDir,
}

impl RealServer {
    /// The account of every server.
    pub(crate) const USER: &str = "tester";
    pub(crate) const PASSWORD: &str = "open+sesame-21";

    /// Starts a server and waits for its greeting. `None` if it cannot run here, which has then been reported.
    ///
    /// # Panics
    /// If the server does not start, if the kind [`lacks`](Kind::lacks) a wanted feature, and, in place of skipping the
    /// test, if `PORTOLAN_REQUIRE_SERVERS=1`.
    pub(crate) fn start(kind: Kind, options: &Options) -> Option<Self> {
        if let Some(what) = kind.lacks(options) {
            panic!("{} does not have {what}", kind.program());
        }
        match Self::possible(kind, options) {
            Ok((program, cache)) => Some(Self::launch(kind, options, &program, cache.as_deref())),
            Err(reason) => {
                skip(&reason);
                None
            }
        }
    }

    /// Returns the program and the cache that it comes from, or the reason why it cannot run here.
    fn possible(kind: Kind, options: &Options) -> Result<(PathBuf, Option<PathBuf>), String> {
        let found = find(kind.program())
            .ok_or_else(|| format!("no {} here: run tests/servers/install", kind.program()))?;
        room::can_be_made()?;
        if options.ipv6 && options.listen.is_none() && !ports::has_ipv6() {
            return Err("no IPv6 here".to_owned());
        }
        Ok(found)
    }

    fn launch(kind: Kind, options: &Options, program: &Path, cache: Option<&Path>) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-server-").tempdir().unwrap();
        // The server drops its privileges: it must still be able to reach the directory that it serves.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let top = folder.path().join("root");
        fs::create_dir(&top).unwrap();
        give(&top);
        let ip = if options.ipv6 {
            Ipv6Addr::LOCALHOST.into()
        } else {
            IpAddr::from(Ipv4Addr::LOCALHOST)
        };
        let free = || SocketAddr::new(ip, *free_ports(1).start());
        let address = options.listen.unwrap_or_else(free);
        let files = certificates::write(options.certificate, folder.path());
        let setup = Setup {
            options,
            folder: folder.path(),
            root: &top,
            cache,
            program,
            address,
            tls: (options.tls != Tls::Off).then_some(&files),
        };
        let arguments = match kind {
            Kind::Vsftpd => vsftpd::set_up(&setup),
            Kind::Proftpd => proftpd::set_up(&setup),
            Kind::PureFtpd => pure_ftpd::set_up(&setup),
        };
        let room = Room::open(folder.path(), program, &arguments, options.tls12_only);
        let mut server = Self { kind, tls: options.tls, address, room, folder };
        server.wait_for_greeting();
        server
    }

    fn wait_for_greeting(&mut self) {
        let greets = wait::until(START_TIME_MAX, || {
            if self.room.has_ended() {
                return Some(false);
            }
            let mut socket = TcpStream::connect(self.address).ok()?;
            if self.tls == Tls::Implicit {
                return Some(true);
            }
            socket.set_read_timeout(Some(START_TIME_MAX)).unwrap();
            // To the end of the session: else a server counts it against its maximum.
            socket.write_all(b"QUIT\r\n").ok()?;
            let mut replies = String::new();
            socket.read_to_string(&mut replies).ok()?;
            Some(replies.starts_with("220"))
        });
        assert!(greets == Some(true), "{} did not start:\n{}", self.kind.program(), self.log());
    }

    /// Returns its URL, with the user and without the password.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.tls {
            Tls::Off => "ftp",
            Tls::Explicit => "ftpes",
            Tls::Implicit => "ftps",
        };
        format!("{scheme}://{USER}@{}/", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate of the authority that signed the server's.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Returns the root directory of its user.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Writes a file on the server, and creates the parent directories.
    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        self.own_all();
    }

    /// Changes the owner of everything below the root to the server's user: for trees made by hand.
    pub(crate) fn own_all(&self) {
        give(&self.root());
    }

    /// Returns the bytes of a file on the server.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.root().join(path)).unwrap()
    }

    /// Returns all output and logs of the server.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for name in ["output", "log", "dialogue", "tls.log", "transfers"] {
            if let Ok(bytes) = fs::read(self.folder.path().join(name))
                && !bytes.is_empty()
            {
                let said = String::from_utf8_lossy(&bytes);
                text.extend(["== ", name, "\n", said.trim_end(), "\n"]);
            }
        }
        text
    }
}

/// Returns the program in the cache, else on the host.
pub(crate) fn find(program: &str) -> Option<(PathBuf, Option<PathBuf>)> {
    let cache = env::var_os("PORTOLAN_TEST_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
        PathBuf::from,
    );
    let unpacked = cache.join("usr/sbin").join(program);
    if unpacked.is_file() {
        return Some((unpacked, Some(cache)));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .map(|path| (path, None))
}

/// Changes the owner of `path` and all below it to the server's user.
fn give(path: &Path) {
    lchown(path, Some(UID), Some(UID)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// Reports once that the current test is skipped, past the capture of its output.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        env::var_os("PORTOLAN_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
        "{test} must not be skipped: {reason}"
    );
    say_skipped(test, reason);
}

/// Reports a skipped test even if servers are required: the missing part, such as a kernel module, is not ours to
/// install.
pub(crate) fn say_skipped(test: &str, reason: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("skipped: {test}: {reason}\n");
    if SAID.lock().unwrap().insert(line.clone()) {
        // `eprintln!` would be captured with the output of a test that passes.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

#[cfg(test)]
mod tests;
