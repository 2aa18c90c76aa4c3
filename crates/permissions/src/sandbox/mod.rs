//! The second wall: the kernel confines the process of a run.
//!
//! [`SandboxPlan`] is what follows from the permissions, as a value; [`SandboxPlan::enforce`] asks the kernel to hold it
//! from now on, for this thread and all that it starts. It is called before there is a second thread, and before a byte
//! of a server is read. Nothing can take it back.
//!
//! - Files: Landlock. Read, write, remove and execute below the paths that are named, and nowhere else.
//! - Ports: Landlock. No TCP connection and no listening without `net`, `http` or `nat`.
//! - System calls: a seccomp filter refuses what no run needs, and kinds of sockets that this one does not need.
//! - Privileges: `no_new_privs`, and no capability but those for files, so that root is not almighty.

mod files;
mod support;
mod syscalls;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::CHILD_MEMORY_BYTES_MAX,
};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs},
};

pub use self::support::KernelSupport;
use super::{RunPermissions, path::PathGrant, program::find};

/// The paths that a run needs besides those that are allowed to its script.
#[derive(Debug, Clone, Default)]
pub struct OwnPaths {
    /// Files and directories to read: the script, its imports, files that the user has named.
    pub read: Vec<PathBuf>,
    /// Directories to write: that of persistent state, temporary ones.
    pub write: Vec<PathBuf>,
    /// Directories below which empty directories may be removed, and nothing else.
    pub tidied: Vec<PathBuf>,
    /// The programs that the user has named outside of the script: names that are searched for in `PATH`, and paths that
    /// count from the working directory.
    pub programs: Vec<String>,
    /// True if names are resolved that are not among the permissions: that of a proxy.
    pub has_names: bool,
}

/// The ports to which the run may connect by TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReachablePorts {
    /// All: data connections have any port, and a name is not seen by the kernel.
    All,
    /// Only these.
    Only(Vec<u16>),
}

/// The accesses that the kernel should leave to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxPlan {
    /// Paths to read.
    pub read: Vec<PathBuf>,
    /// Directories to create, change and remove in.
    pub write: Vec<PathBuf>,
    /// Directories to remove from.
    pub delete: Vec<PathBuf>,
    /// Directories to remove empty directories from.
    pub tidied: Vec<PathBuf>,
    /// Paths to execute.
    pub execute: Vec<PathBuf>,
    /// Devices to read and write.
    pub devices: Vec<PathBuf>,
    /// TCP connections.
    pub ports: ReachablePorts,
    /// True if sockets of the Internet are needed.
    pub has_network: bool,
    /// True if programs are started.
    pub has_programs: bool,
    /// True if NAT is changed.
    pub has_nat: bool,
}

/// The files of the system that every run reads: marks of this machine, certificates and zones. Not `/etc` as a whole,
/// which has keys and hashes of passwords. Each costs some microseconds at the start.
const SYSTEM: [&str; 16] = [
    "/etc/machine-id",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/random/boot_id",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/ca-certificates/extracted",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted",
    "/var/lib/ca-certificates",
    "/etc/localtime",
    "/etc/timezone",
    "/usr/share/zoneinfo",
];

/// The files that resolve names of hosts and of users, and the libraries that the resolver loads (`nsswitch.conf(5)`).
const NAMES: [&str; 14] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
];

/// The files that are read as well if one of these variables names them.
const SYSTEM_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The device that may be written: what is written is gone.
const DEVICES: [&str; 1] = ["/dev/null"];

/// The devices that programs read and write besides.
const PROGRAM_DEVICES: [&str; 4] = ["/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The directories of programs, and the files that they read.
const PROGRAMS: [&str; 19] = [
    "/bin",
    "/sbin",
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/nix/store",
    "/etc/alternatives",
    "/etc/gitconfig",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/openssl.cnf",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/sys/kernel",
];

/// The paths that rules for NAT write: kernel settings, and files for the next boot.
const NAT_WRITES: [&str; 6] = [
    "/proc/sys/net",
    "/run",
    "/etc/systemd/system",
    "/etc/sysctl.d",
    "/etc/portolan",
    "/var/lib/portolan",
];

/// The ports of name servers.
const DNS: u16 = 53;

/// The time that the kernel may take to let go of a thread that has ended.
const THREAD_END_TIME_MAX: Duration = Duration::from_millis(500);

impl SandboxPlan {
    /// Returns what follows from `permissions` and from the needs of the run itself.
    pub fn new(permissions: &RunPermissions, own: &OwnPaths) -> Self {
        let reals = |grants: &[PathGrant]| grants.iter().map(|one| one.real.clone()).collect();
        let folders = |grants: &[PathGrant]| -> Vec<PathBuf> {
            grants.iter().filter_map(|one| folder_of(&one.real)).collect()
        };
        let has_nat = permissions.nat;
        let has_programs = !own.programs.is_empty() || permissions.has_programs();
        let mut read: Vec<PathBuf> = reals(&permissions.read);
        read.extend(own.read.iter().cloned());
        read.extend(SYSTEM.map(PathBuf::from));
        // Addresses are not resolved.
        if own.has_names || has_programs || permissions.names_hosts() {
            read.extend(NAMES.map(PathBuf::from));
        }
        read.extend(SYSTEM_VARIABLES.iter().filter_map(std::env::var_os).map(PathBuf::from));
        let mut write = folders(&permissions.write);
        write.extend(own.write.iter().cloned());
        let mut execute = Vec::new();
        let mut devices = DEVICES.map(PathBuf::from).to_vec();
        if has_programs {
            devices.extend(PROGRAM_DEVICES.map(PathBuf::from));
            execute.extend(PROGRAMS.map(PathBuf::from));
            execute.extend(permissions.run.iter().filter_map(|one| one.file.clone()));
            execute.extend(own.programs.iter().filter_map(|name| find(name, Path::new("."))));
        }
        if has_nat {
            read.push("/proc".into());
            read.push("/sys".into());
            write.extend(NAT_WRITES.map(PathBuf::from));
        }
        Self {
            read,
            write,
            delete: folders(&permissions.delete),
            tidied: own.tidied.clone(),
            execute,
            devices,
            ports: ports(permissions),
            has_network: has_nat || !permissions.net.is_empty() || !permissions.http.is_empty(),
            has_programs,
            has_nat,
        }
    }

    /// Lets the kernel hold this from now on. Returns what this kernel cannot hold, a clause each.
    ///
    /// # Errors
    ///
    /// `unsupported` if something cannot be held and `is_required`, and `local` if the kernel refuses.
    pub fn enforce(&self, is_required: bool) -> Result<Vec<&'static str>> {
        let support = KernelSupport::detect();
        let lacks = support.lacks();
        demand(&lacks, is_required)?;
        only_one_thread()?;
        let cannot = |error: rustix::io::Errno| refused(&error);
        limit_memory();
        set_no_new_privs(true).map_err(cannot)?;
        self.drop_capabilities().map_err(cannot)?;
        files::restrict(self).map_err(|error| refused(&error))?;
        if support.syscalls {
            syscalls::restrict(self).map_err(|error| refused(&error))?;
        }
        Ok(lacks)
    }

    /// Gives up what root may do beyond files of other users.
    fn drop_capabilities(&self) -> rustix::io::Result<()> {
        let mut kept = CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::DAC_READ_SEARCH
            | CapabilitySet::FOWNER
            | CapabilitySet::FSETID;
        if self.has_nat {
            kept |= CapabilitySet::NET_ADMIN
                | CapabilitySet::NET_RAW
                | CapabilitySet::NET_BIND_SERVICE
                | CapabilitySet::SYS_MODULE;
        }
        let CapabilitySets { effective, permitted, .. } = capabilities(None)?;
        let sets = CapabilitySets {
            effective: effective & kept,
            permitted: permitted & kept,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)
    }
}

/// Fails with `unsupported` if a wall is missing and all are required.
fn demand(lacks: &[&'static str], is_required: bool) -> Result<()> {
    if lacks.is_empty() || !is_required {
        return Ok(());
    }
    let lacks = lacks.join("; ");
    let message = format!(
        "this kernel cannot enforce the permissions, and `require_sandbox` demands it: it has {lacks}"
    );
    Err(Error::unsupported(Origin::Here, message))
}

/// Fails if there is another thread: it would keep all its rights.
fn only_one_thread() -> Result<()> {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    // One that has been joined is listed until the kernel has let go of it.
    let end = Instant::now() + THREAD_END_TIME_MAX;
    let mut count = threads();
    while count > 1 && Instant::now() < end {
        std::thread::park_timeout(Duration::from_micros(50));
        count = threads();
    }
    if count <= 1 {
        return Ok(());
    }
    let message =
        format!("{count} threads were there before the sandbox (a bug): please report it");
    Err(Error::new(ErrorKind::Local, Origin::Here, message))
}

/// Limits the memory of the run, as that of every run of a job.
fn limit_memory() {
    let before = getrlimit(Resource::Data);
    let bytes =
        before.current.map_or(CHILD_MEMORY_BYTES_MAX, |now| now.min(CHILD_MEMORY_BYTES_MAX));
    // A failure is tolerable, since this is one barrier of several.
    setrlimit(Resource::Data, Rlimit { current: Some(bytes), ..before }).ok();
}

fn refused(error: &dyn std::fmt::Display) -> Error {
    let message = format!("the kernel does not confine this run: {error}");
    Error::new(ErrorKind::Local, Origin::Here, message)
}

/// Returns the directory in which `path` is created or changed: itself, or the one in which it is, or will be. `None` if
/// that would be the root: nothing above a path that is named may be opened as a whole.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let folder = path.ancestors().find(|above| above.is_dir())?;
    (folder == path || folder.parent().is_some()).then(|| folder.to_owned())
}

fn ports(permissions: &RunPermissions) -> ReachablePorts {
    let http: Vec<_> = permissions.http.iter().map(super::host::HostGrant::port).collect();
    let is_any = permissions.nat || !permissions.net.is_empty() || http.contains(&None);
    if is_any {
        return ReachablePorts::All;
    }
    let mut only: Vec<u16> = http.into_iter().flatten().collect();
    if !only.is_empty() {
        only.push(DNS);
    }
    ReachablePorts::Only(only)
}

#[cfg(test)]
mod tests;
