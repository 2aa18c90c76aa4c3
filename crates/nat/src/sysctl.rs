//! Kernel settings for forwarding, and kernel modules that rules need.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    NatError,
    check::{Family, Interface},
    host::HostNetwork,
    rules::{CompiledRules, Hook, Match, Rule, RuleAction},
};
use portolan_core::error::{Error, Result};

/// The directory of the settings.
const SETTINGS: &str = "/proc/sys";

/// The switches for all interfaces: a value written to them is set on every interface.
const ALL4: &str = "net/ipv4/ip_forward";
const ALL6: &str = "net/ipv6/conf/all/forwarding";

/// A setting that is to change, or that was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sysctl {
    /// Its path below `/proc/sys`, such as `net/ipv4/ip_forward`.
    pub path: String,
    /// The previous value.
    pub was: String,
    /// The new value.
    pub set: String,
    /// The settings that it sets as well and that had the value already: they are not restored with it.
    pub beside: Vec<String>,
}

impl Sysctl {
    /// Returns its name in the notation of `sysctl`.
    pub fn key(&self) -> String {
        key(&self.path)
    }

    /// Returns true if it would change anything.
    pub fn is_change(&self) -> bool {
        self.was != self.set
    }

    /// Returns its text, such as `net.ipv4.ip_forward 0 -> 1`.
    pub fn words(&self) -> String {
        format!("{} {} -> {}", self.key(), self.was, self.set)
    }
}

/// Returns the name of a setting in the notation of `sysctl`: dots and slashes are swapped, also in names of
/// interfaces.
pub(super) fn key(path: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    path.chars().map(swap).collect()
}

/// Returns the value of a setting; `None` if it does not exist.
pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(SETTINGS).join(path)).ok().map(|text| text.trim().to_owned())
}

/// Returns the settings that make the kernel forward packets as `rules` need it, including those that are set already.
/// For IPv4 it is enough that both interfaces of a path forward; IPv6 supports that from Linux 6.17 on
/// (`force_forwarding`), and before it only all interfaces or none.
pub(super) fn needed(
    rules: &CompiledRules,
    here: &HostNetwork,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<Sysctl> {
    let mut needed = Vec::new();
    // A setting that does not exist belongs to an interface that does not exist (yet).
    let mut need = |path: String, value: &str| {
        let Some(was) = read(&path) else { return };
        let beside = match path.as_str() {
            ALL4 | ALL6 if was != value => beside(&path, value, here, &read),
            _ => Vec::new(),
        };
        needed.push(Sysctl { path, was, set: value.to_owned(), beside });
    };
    if rules.families.contains(&Family::V4) {
        if rules.is_passing_elsewhere {
            need(ALL4.into(), "1");
        } else {
            for device in &rules.passing {
                need(format!("net/ipv4/conf/{device}/forwarding"), "1");
            }
        }
    }
    if rules.families.contains(&Family::V6) {
        let force = |device: &Interface| format!("net/ipv6/conf/{device}/force_forwarding");
        let can_force = !rules.is_passing_elsewhere
            && rules.passing.iter().all(|device| read(&force(device)).is_some());
        let is_on = read(ALL6).as_deref() == Some("1");
        if can_force && !is_on {
            for device in &rules.passing {
                need(force(device), "1");
            }
        } else {
            // A router accepts no default route from another router, unless it is told to.
            for device in &here.default_devices6 {
                let path = format!("net/ipv6/conf/{device}/accept_ra");
                match read(&path).as_deref() {
                    Some("1") if !is_on => need(path, "2"),
                    Some("2") => need(path, "2"),
                    _ => {}
                }
            }
            need(ALL6.into(), "1");
        }
    }
    needed
}

/// Returns the settings below the switch at `path` that have the value already.
fn beside(
    path: &str,
    value: &str,
    here: &HostNetwork,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let family = if path == ALL4 { "ipv4" } else { "ipv6" };
    let devices = here.interfaces.iter().map(String::as_str).chain(["default"]);
    let paths = devices.map(|device| format!("net/{family}/conf/{device}/forwarding"));
    paths.filter(|path| read(path).as_deref() == Some(value)).collect()
}

/// Returns rules that drop what would not be forwarded if `settings` had their previous values, although they are still
/// set.
pub(super) fn closed(settings: &[Sysctl], interfaces: &[String]) -> Vec<Rule> {
    let mut devices = Vec::new();
    let mut families = BTreeSet::new();
    for one in settings.iter().filter(|one| one.was == "0" && one.set == "1") {
        let parts: Vec<_> = one.path.split('/').collect();
        match parts.as_slice() {
            ["net", "ipv4", "conf", device, "forwarding"] => devices.push((Family::V4, *device)),
            ["net", "ipv6", "conf", device, "force_forwarding"] => {
                devices.push((Family::V6, *device));
            }
            _ if [ALL4, ALL6].contains(&one.path.as_str()) => {
                let family = if one.path == ALL4 { Family::V4 } else { Family::V6 };
                let is_open = |device: &str| {
                    one.beside.iter().any(|path| path.split('/').nth(3) == Some(device))
                };
                if one.beside.is_empty() {
                    families.insert(family);
                }
                let shut = interfaces.iter().filter(|device| !is_open(device));
                devices.extend(shut.map(|device| (family, device.as_str())));
            }
            _ => {}
        }
    }
    [Family::V4, Family::V6]
        .into_iter()
        .filter_map(|family| {
            let own = devices.iter().filter(|(other, _)| *other == family);
            let own: Vec<_> = own.filter_map(|(_, device)| Interface::parse(device).ok()).collect();
            let matches = match () {
                () if families.contains(&family) => Vec::new(),
                () if own.is_empty() => return None,
                () => vec![Match::In(own)],
            };
            let note = "trial over: not passed on before it".to_owned();
            let (hook, action, family) = (Hook::Forward, RuleAction::Drop, Some(family));
            Some(Rule { hook, family, matches, action, note })
        })
        .collect()
}

/// Sets one; fails with `nat.sysctl_readonly` or `nat.not_permitted`.
pub(super) fn set(one: &Sysctl) -> Result<()> {
    write(&one.path, &one.set).map_err(|error| {
        let key = one.key();
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => NatError::SysctlReadonly.fault(format!(
                "{key} cannot be written in this container: start it with `--sysctl {key}={}`",
                one.set
            )),
            io::ErrorKind::PermissionDenied => NatError::NotPermitted
                .fault(format!("{key} can only be written with CAP_NET_ADMIN")),
            _ => Error::local("set", &key, error),
        }
    })
}

/// Restores one to its previous value, unless another program has changed it since.
pub(super) fn restore(one: &Sysctl) -> Result<()> {
    if read(&one.path).as_deref() != Some(&one.set) {
        return Ok(());
    }
    // A switch for all interfaces would also reset those that were on before it.
    let held = |path: &&String| read(path).as_deref() == Some(&one.set);
    let beside: Vec<_> = one.beside.iter().filter(held).collect();
    set(&Sysctl { set: one.was.clone(), ..one.clone() })?;
    beside.into_iter().try_for_each(|path| {
        set(&Sysctl { path: path.clone(), set: one.set.clone(), ..Sysctl::default() })
    })
}

fn write(path: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new(SETTINGS).join(path), value)
}

/// Returns the modules that `rules` need and that are not loaded: nft does not load the one that rewrites addresses in
/// FTP.
pub(super) fn modules(rules: &CompiledRules) -> Vec<String> {
    if !rules.all.iter().any(|rule| rule.action == RuleAction::Helper) {
        return Vec::new();
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let folder = Path::new("/lib/modules").join(release.trim());
    // A kernel without modules cannot load any.
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
pub(super) fn load(module: &str) -> Result<()> {
    let ran = super::tools::run(&["modprobe", module], "");
    if ran.is_ok_and(|ran| ran.ok) {
        return Ok(());
    }
    let message = format!(
        "the kernel module {module} could not be loaded: `modprobe {module}` as root does it"
    );
    Err(NatError::HelperMissing.fault(message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rules(families: &[Family], devices: &[&str], elsewhere: bool) -> CompiledRules {
        CompiledRules {
            families: families.iter().copied().collect(),
            passing: devices.iter().map(|name| Interface::parse(name).unwrap()).collect(),
            is_passing_elsewhere: elsewhere,
            ..CompiledRules::default()
        }
    }

    fn here() -> HostNetwork {
        HostNetwork {
            interfaces: ["lan0", "wan0"].map(str::to_owned).into(),
            default_devices6: ["lan0", "wan0"].map(str::to_owned).into(),
            ..HostNetwork::default()
        }
    }

    #[track_caller]
    fn expect(rules: &CompiledRules, kernel: &[(&str, &str)], changes: &[&str]) {
        let kernel: BTreeMap<_, _> = kernel.iter().copied().collect();
        let found = needed(rules, &here(), |path| kernel.get(path).map(|&value| value.into()));
        let found = found.iter().filter(|one| one.is_change()).map(Sysctl::words);
        assert_eq!(found.collect::<Vec<_>>(), changes);
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
        // Both have a default route from router advertisements.
        let two = [&old[..], &[("net/ipv6/conf/lan0/accept_ra", "1")]].concat();
        expect(&both, &two, &[&["net.ipv6.conf.lan0.accept_ra 1 -> 2"], &all[..]].concat());
        expect(&both, &[("net/ipv6/conf/all/forwarding", "1")], &[]);
    }

    #[test]
    fn an_interface_with_a_dot_keeps_it() {
        let path = "net/ipv4/conf/wan0.7/forwarding".into();
        let one = Sysctl { path, was: "0".into(), set: "1".into(), beside: Vec::new() };
        assert_eq!(one.key(), "net.ipv4.conf.wan0/7.forwarding");
    }

    #[test]
    fn a_switch_of_all_knows_what_was_on_before_it() {
        let kernel: BTreeMap<_, _> = [
            (ALL4, "0"),
            ("net/ipv4/conf/lan0/forwarding", "1"),
            ("net/ipv4/conf/wan0/forwarding", "0"),
        ]
        .into();
        let rules = rules(&[Family::V4], &["wan0"], true);
        let found = needed(&rules, &here(), |path| kernel.get(path).map(|&value| value.into()));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].beside, ["net/ipv4/conf/lan0/forwarding"]);
        let shown = |settings: &[Sysctl]| -> Vec<_> {
            let rules = closed(settings, &here().interfaces);
            rules.into_iter().map(|rule| (rule.family.unwrap(), rule.matches)).collect()
        };
        let device = |name| Interface::parse(name).unwrap();
        let shut = vec![Match::In(vec![device("wan0")])];
        assert_eq!(shown(&found), [(Family::V4, shut.clone())]);
        let all = Sysctl { beside: Vec::new(), ..found[0].clone() };
        assert_eq!(shown(&[all]), [(Family::V4, Vec::new())]);
        let path = "net/ipv6/conf/wan0/force_forwarding".to_owned();
        let six = Sysctl { path, was: "0".into(), set: "1".into(), beside: Vec::new() };
        assert_eq!(shown(&[six]), [(Family::V6, shut)]);
        let path = "net/ipv6/conf/wan0/accept_ra".to_owned();
        let other = Sysctl { path, was: "1".into(), set: "2".into(), beside: Vec::new() };
        assert_eq!(shown(&[other]), []);
    }
}
