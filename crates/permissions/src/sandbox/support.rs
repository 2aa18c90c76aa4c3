//! The walls that this kernel has.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope,
};

/// The walls that this kernel offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a feature of its own, as the kernel has them"
)]
pub struct KernelSupport {
    /// Access to files (Landlock, version 1; Linux 5.13).
    pub files: bool,
    /// Truncation and renames between directories (Landlock, versions 2 and 3; Linux 6.2).
    pub truncation: bool,
    /// TCP connections (Landlock, version 4; Linux 6.7).
    pub ports: bool,
    /// Signals to processes outside (Landlock, version 6; Linux 6.12).
    pub signals: bool,
    /// System calls (seccomp).
    pub syscalls: bool,
}

impl KernelSupport {
    /// Asks the kernel. Nothing is restricted.
    pub fn detect() -> Self {
        let demands = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        // What is demanded and not there is refused at once; nothing has to be created.
        let files = |abi| demands().handle_access(AccessFs::from_all(abi)).is_ok();
        let ports = demands().handle_access(AccessNet::from_all(ABI::V4));
        let signals = demands().scope(Scope::from_all(ABI::V6));
        Self {
            files: files(ABI::V1),
            truncation: files(ABI::V3),
            ports: ports.is_ok(),
            signals: signals.is_ok(),
            syscalls: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        }
    }

    /// Returns the walls that are missing, a clause each. Without signals a run is still confined in what it reads,
    /// writes and reaches: they do not count.
    pub fn lacks(self) -> Vec<&'static str> {
        let walls = [
            (
                self.files,
                "no Landlock (Linux 5.13, and `landlock` in `lsm=`): files are not confined",
            ),
            (
                self.truncation || !self.files,
                "Landlock before version 3 (Linux 6.2): files can be truncated",
            ),
            (self.ports, "Landlock before version 4 (Linux 6.7): TCP ports are not confined"),
            (self.syscalls, "no seccomp: system calls are not filtered"),
        ];
        walls.into_iter().filter(|(has, _)| !has).map(|(_, words)| words).collect()
    }

    /// Returns a line for people: what it can enforce.
    pub fn summary(self) -> String {
        let walls = [
            (self.files, "files"),
            (self.ports, "TCP ports"),
            (self.signals, "signals"),
            (self.syscalls, "system calls"),
        ];
        let has: Vec<_> = walls.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        let lacks = self.lacks();
        let has = if has.is_empty() { "nothing".to_owned() } else { has.join(", ") };
        if lacks.is_empty() { has } else { format!("{has}; {}", lacks.join("; ")) }
    }
}
