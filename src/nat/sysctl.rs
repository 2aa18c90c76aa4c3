//! Settings of the kernel that let packets pass, and modules that rules need.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    Reason,
    check::{Family, Interface},
    rules::{Action, Rules},
};
use crate::fault::{Fault, Outcome};

/// Where the settings are.
const SETTINGS: &str = "/proc/sys";

/// One setting that is to change, or that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Its path below `/proc/sys`, such as `net/ipv4/ip_forward`.
    pub path: String,
    /// What it was.
    pub was: String,
    /// What it is to be.
    pub set: String,
}

impl Sysctl {
    /// Its name as `sysctl` has it: dots and slashes change places, as in the names of interfaces.
    pub fn key(&self) -> String {
        let swap = |c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        };
        self.path.chars().map(swap).collect()
    }

    /// `net.ipv4.ip_forward 0 -> 1`.
    pub fn words(&self) -> String {
        format!("{} {} -> {}", self.key(), self.was, self.set)
    }
}

/// What a setting is; nothing where there is none.
pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(SETTINGS).join(path)).ok().map(|text| text.trim().to_owned())
}

/// The settings by which packets pass as `rules` want it, as far as they are not so already. For IPv4 it is enough
/// that both interfaces of a way forward; IPv6 has that from Linux 6.17 on (`force_forwarding`), and before it knows
/// only all or none.
pub(super) fn wanted(
    rules: &Rules,
    default_device: Option<&str>,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<Sysctl> {
    let mut wanted = Vec::new();
    // A setting that is not there is one of an interface that is not there (yet).
    let mut want = |path: String, value: &str| {
        if let Some(was) = read(&path).filter(|was| was != value) {
            wanted.push(Sysctl { path, was, set: value.to_owned() });
        }
    };
    if rules.families.contains(&Family::V4) {
        if rules.is_passing_elsewhere {
            want("net/ipv4/ip_forward".into(), "1");
        } else {
            for device in &rules.passing {
                want(format!("net/ipv4/conf/{device}/forwarding"), "1");
            }
        }
    }
    if rules.families.contains(&Family::V6) {
        let force = |device: &Interface| format!("net/ipv6/conf/{device}/force_forwarding");
        let can_force = !rules.is_passing_elsewhere
            && rules.passing.iter().all(|device| read(&force(device)).is_some());
        let is_on = read("net/ipv6/conf/all/forwarding").as_deref() == Some("1");
        if can_force && !is_on {
            for device in &rules.passing {
                want(force(device), "1");
            }
        } else if !is_on {
            // A router takes no default route from another router, unless it is told to.
            if let Some(device) = default_device {
                let path = format!("net/ipv6/conf/{device}/accept_ra");
                if read(&path).as_deref() == Some("1") {
                    want(path, "2");
                }
            }
            want("net/ipv6/conf/all/forwarding".into(), "1");
        }
    }
    wanted
}

/// Sets one; fails with `nat.sysctl_readonly` or `nat.not_permitted`.
pub(super) fn set(one: &Sysctl) -> Outcome<()> {
    write(&one.path, &one.set).map_err(|error| {
        let key = one.key();
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Reason::SysctlReadonly.fault(format!(
                "{key} cannot be written in this container: start it with `--sysctl {key}={}`",
                one.set
            )),
            io::ErrorKind::PermissionDenied => {
                Reason::NotPermitted.fault(format!("{key} can only be written with CAP_NET_ADMIN"))
            }
            _ => Fault::local("set", &key, error),
        }
    })
}

/// Puts one back to what it was, unless somebody else has changed it since.
pub(super) fn restore(one: &Sysctl) -> Outcome<()> {
    if read(&one.path).as_deref() != Some(&one.set) {
        return Ok(());
    }
    set(&Sysctl { set: one.was.clone(), ..one.clone() })
}

fn write(path: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new(SETTINGS).join(path), value)
}

/// The modules that `rules` need and that nobody has loaded: what rewrites addresses in FTP is not loaded by nft.
pub(super) fn modules(rules: &Rules) -> Vec<String> {
    if !rules.all.iter().any(|rule| rule.action == Action::Helper) {
        return Vec::new();
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let folder = Path::new("/lib/modules").join(release.trim());
    // A kernel without modules has what it has.
    if !folder.is_dir() {
        return Vec::new();
    }
    let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    let is_there = |name: &&str| {
        Path::new("/sys/module").join(name).exists() || builtin.contains(&format!("/{name}.ko"))
    };
    let needed = ["nf_conntrack_ftp", "nf_nat_ftp"].into_iter();
    needed.filter(|name| !is_there(name)).map(str::to_owned).collect()
}

/// Loads a module; fails with `nat.helper_missing`.
pub(super) fn load(module: &str) -> Outcome<()> {
    let ran = super::tools::run(&["modprobe", module], "");
    if ran.is_ok_and(|ran| ran.ok) {
        return Ok(());
    }
    let message = format!(
        "the kernel module {module} could not be loaded: `modprobe {module}` as root does it"
    );
    Err(Reason::HelperMissing.fault(message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rules(families: &[Family], devices: &[&str], elsewhere: bool) -> Rules {
        Rules {
            families: families.iter().copied().collect(),
            passing: devices.iter().map(|name| Interface::parse(name).unwrap()).collect(),
            is_passing_elsewhere: elsewhere,
            ..Rules::default()
        }
    }

    #[track_caller]
    fn expect(rules: &Rules, kernel: &[(&str, &str)], changes: &[&str]) {
        let kernel: BTreeMap<_, _> = kernel.iter().copied().collect();
        let found = wanted(rules, Some("wan0"), |path| kernel.get(path).map(|&value| value.into()));
        let shown = |one: &Sysctl| format!("{} {} -> {}", one.key(), one.was, one.set);
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), changes);
    }

    #[test]
    fn only_the_interfaces_of_a_way_forward_ipv4() {
        let kernel = [
            ("net/ipv4/ip_forward", "0"),
            ("net/ipv4/conf/lan0/forwarding", "0"),
            ("net/ipv4/conf/wan0.7/forwarding", "1"),
        ];
        let changes = ["net.ipv4.conf.lan0.forwarding 0 -> 1"];
        expect(&rules(&[Family::V4], &["lan0", "wan0.7", "gone0"], false), &kernel, &changes);
        let changes = ["net.ipv4.ip_forward 0 -> 1"];
        expect(&rules(&[Family::V4], &["lan0"], true), &kernel, &changes);
        expect(&rules(&[], &["lan0"], false), &kernel, &[]);
    }

    #[test]
    fn ipv6_forwards_by_interface_where_the_kernel_can() {
        let new = [
            ("net/ipv6/conf/all/forwarding", "0"),
            ("net/ipv6/conf/lan0/force_forwarding", "0"),
            ("net/ipv6/conf/wan0/force_forwarding", "0"),
            ("net/ipv6/conf/wan0/accept_ra", "1"),
        ];
        let both = rules(&[Family::V6], &["lan0", "wan0"], false);
        let forced = [
            "net.ipv6.conf.lan0.force_forwarding 0 -> 1",
            "net.ipv6.conf.wan0.force_forwarding 0 -> 1",
        ];
        expect(&both, &new, &forced);
        let old = [("net/ipv6/conf/all/forwarding", "0"), ("net/ipv6/conf/wan0/accept_ra", "1")];
        let all = ["net.ipv6.conf.wan0.accept_ra 1 -> 2", "net.ipv6.conf.all.forwarding 0 -> 1"];
        expect(&both, &old, &all);
        expect(&both, &[("net/ipv6/conf/all/forwarding", "1")], &[]);
    }

    #[test]
    fn an_interface_with_a_dot_keeps_it() {
        let path = "net/ipv4/conf/wan0.7/forwarding".into();
        let one = Sysctl { path, was: "0".into(), set: "1".into() };
        assert_eq!(one.key(), "net.ipv4.conf.wan0/7.forwarding");
    }
}
