//! Networks for one test: namespaces that a process holds, so that they end with the test, however it ends.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::server::skip;

/// The directories of the programs that set up networks, which not every user has in `PATH`.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// A script that holds the namespace until its standard input closes.
const KEEPER: &str = "ip link set lo up; echo up; read -r _ || true";

/// A network that is connected only to those that the test wires to it.
pub(crate) struct Space {
    keeper: Child,
}

impl Space {
    /// Opens a namespace with only a loopback interface. `None` if that is impossible here, which has then been
    /// reported.
    ///
    /// # Panics
    /// If that is impossible and `PORTOLAN_REQUIRE_SERVERS=1`, in place of skipping the test.
    pub(crate) fn open() -> Option<Self> {
        match can_be_made() {
            Ok(()) => Some(Self::make().unwrap()),
            Err(reason) => {
                skip(&reason);
                None
            }
        }
    }

    fn make() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", KEEPER]).env("PATH", PATH);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let read = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line);
        if read.is_ok() && line == "up\n" {
            return Ok(Self { keeper });
        }
        let said = keeper.wait_with_output().map(|done| done.stderr).unwrap_or_default();
        Err(format!("no network namespaces here: {}", String::from_utf8_lossy(&said).trim()))
    }

    /// Returns the process id for `ip link … netns`.
    pub(crate) fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// Returns the lock file for legacy iptables in it. Without one of its own, iptables of all networks of the machine
    /// wait for each other, and a test fails because of another one.
    pub(crate) fn iptables_lock(&self) -> PathBuf {
        std::env::temp_dir().join(format!("portolan-xtables-{}.lock", self.pid()))
    }

    /// Runs a shell script in it; on failure returns its error output.
    pub(crate) fn try_sh(&self, script: &str) -> Result<(), String> {
        self.try_read(script).map(drop)
    }

    /// Runs a shell script in it, which must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn read(&self, script: &str) -> String {
        self.try_read(script).unwrap_or_else(|said| panic!("{script}\n{said}"))
    }

    fn try_read(&self, script: &str) -> Result<String, String> {
        let target = format!("--net=/proc/{}/ns/net", self.pid());
        let mut command = Command::new("nsenter");
        command.args([&target, "sh", "-e"]).env("PATH", PATH);
        command.env("XTABLES_LOCKFILE", self.iptables_lock());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let done = shell.wait_with_output().unwrap();
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
    }

    /// Runs a shell script in it, which must succeed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) {
        if let Err(said) = self.try_sh(script) {
            panic!("{script}\n{said}");
        }
    }

    /// Adds rules to its packet filter.
    pub(crate) fn try_rules(&self, rules: &str) -> Result<(), String> {
        self.try_sh(&format!("nft -f - <<'END'\n{rules}\nEND\n"))
    }

    /// Adds a cable to another space, `device` at this end and `other_device` at the other.
    pub(crate) fn wire(&self, device: &str, other: &Self, other_device: &str) {
        let pid = other.pid();
        self.sh(&format!("ip link add {device} type veth peer name {other_device} netns {pid}"));
        self.sh(&format!("ip link set {device} up"));
        other.sh(&format!("ip link set {other_device} up"));
    }

    /// Runs `work` in it; threads and processes that it starts stay there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let space = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        let name = thread::current().name().unwrap_or("a test").to_owned();
        thread::scope(|scope| {
            let inside = move || {
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            };
            let thread = thread::Builder::new().name(name).spawn_scoped(scope, inside).unwrap();
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        std::fs::remove_file(self.iptables_lock()).ok();
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// Returns the reason as an error if namespaces cannot be created here.
fn can_be_made() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    let tried = || {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        let space = Space::make()?;
        let nft = |said| format!("no nft in a namespace here: {said}");
        space.try_rules("table inet portolan_test { }").map_err(nft)
    };
    TRIED.get_or_init(tried).clone()
}
