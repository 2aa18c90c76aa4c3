//! Kernel settings for forwarding, and kernel modules that rules need.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    NatError,
    check::{Family, Interface},
    rules::{CompiledRules, Hook, Match, Rule, RuleAction},
};
use portolan_core::error::{Error, Result};

/// The directory of the settings.
pub(super) const SETTINGS: &str = "/proc/sys";

/// The switches for all interfaces: a value written to them is set on every interface.
pub(super) const ALL4: &str = "net/ipv4/ip_forward";
pub(super) const ALL6: &str = "net/ipv6/conf/all/forwarding";
/// The setting that the kernel changes together with the switch of IPv4: a router obeys no ICMP redirects.
pub(super) const REDIRECTS4: &str = "net/ipv4/conf/all/accept_redirects";

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
    /// The value that the switch for all interfaces had before the change, if this is a setting that depends on it.
    pub switch_was: String,
    /// True if its interface did not exist then: it is set when that comes.
    pub absent: bool,
}

impl Sysctl {
    /// Returns its name in the notation of `sysctl`.
    pub fn key(&self) -> String {
        key(&self.path)
    }

    /// Returns true if it would change anything.
    pub fn is_change(&self) -> bool {
        self.was != self.set && !self.absent
    }

    /// Returns true if it only goes with a switch: a plan counts the switch.
    pub(super) fn is_companion(&self) -> bool {
        !self.path.ends_with("/ip_forward") && !self.path.ends_with("forwarding")
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

/// Returns true if the kernel passes on packets of `family` that arrive on an interface, regardless of which setting enables it.
pub(super) fn is_forwarding(family: Family, device: &str) -> bool {
    let is_on = |path: &str| read(path).as_deref() == Some("1");
    match family {
        Family::V4 => is_on(&format!("net/ipv4/conf/{device}/forwarding")),
        Family::V6 => is_on(ALL6) || is_on(&format!("net/ipv6/conf/{device}/force_forwarding")),
    }
}

/// Returns rules that drop what would not be forwarded if `settings` had their previous values, although they are still
/// set.
pub(super) fn closed(settings: &[Sysctl], interfaces: &[String]) -> Vec<Rule> {
    let mut devices = Vec::new();
    let mut families = BTreeSet::new();
    for one in settings.iter().filter(|one| one.was == "0" && one.set == "1") {
        let parts: Vec<_> = one.path.split('/').collect();
        match parts.as_slice() {
            ["net", _, "conf", "default", _] => {}
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
            io::ErrorKind::ReadOnlyFilesystem => read_only(one),
            io::ErrorKind::PermissionDenied => NatError::NotPermitted
                .fault(format!("{key} can only be written with CAP_NET_ADMIN")),
            _ => Error::local("set", &key, error),
        }
    })
}

/// Returns the switch of all interfaces on which a setting of one interface depends: it sets that one as well, and every program that
/// turns it on relies on every interface.
pub(super) fn switch_of(path: &str) -> Option<&'static str> {
    let parts: Vec<_> = path.split('/').collect();
    match parts.as_slice() {
        ["net", "ipv4", "conf", "all" | "default", _] => None,
        ["net", "ipv4", "conf", _, "forwarding" | "accept_redirects"] => Some(ALL4),
        _ => None,
    }
}

/// Returns true if another program has made the host a router for all interfaces since `one` was changed, such as
/// Docker, libvirt or the kubelet: they rely on every interface, and none of their settings says so.
pub(super) fn is_relied_on(one: &Sysctl, read: impl Fn(&str) -> Option<String>) -> bool {
    let now = switch_of(&one.path).and_then(read);
    now.as_deref() == Some("1") && one.switch_was != "1"
}

/// Returns the fault of a setting on a read-only file system.
pub(super) fn read_only(one: &Sysctl) -> Error {
    let key = one.key();
    NatError::SysctlReadonly.fault(format!(
        "{key} cannot be written in this container: start it with `--sysctl {key}={}`",
        one.set
    ))
}

/// Restores one to its previous value, unless another program has changed it since, or relies on it.
pub(super) fn restore(one: &Sysctl) -> Result<()> {
    if read(&one.path).as_deref() != Some(&one.set) || is_relied_on(one, read) {
        return Ok(());
    }
    // The kernel changes it with the switch; it has a row of its own if it was changed.
    let redirects = read(REDIRECTS4).filter(|_| one.path == ALL4);
    // A switch for all interfaces would also reset those that were on before it.
    let held = |path: &&String| read(path).as_deref() == Some(&one.set);
    let beside: Vec<_> = one.beside.iter().filter(held).collect();
    set(&Sysctl { set: one.was.clone(), ..one.clone() })?;
    let beside = beside.into_iter().map(|path| (path.clone(), one.set.clone()));
    let redirects = redirects.map(|value| (REDIRECTS4.to_owned(), value));
    beside
        .chain(redirects)
        .try_for_each(|(path, set_to)| set(&Sysctl { path, set: set_to, ..Sysctl::default() }))
}

/// Puts the switches of all interfaces before the settings of single ones, the last change first: the order in which
/// settings are restored.
pub(super) fn in_order_of_restoring(settings: &[Sysctl]) -> Vec<&Sysctl> {
    let mut ordered: Vec<_> = settings.iter().rev().collect();
    ordered.sort_by_key(|one| ![ALL4, ALL6].contains(&one.path.as_str()));
    ordered
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
    use super::*;

    fn one(path: &str, was: &str, set: &str) -> Sysctl {
        Sysctl { path: path.into(), was: was.into(), set: set.into(), ..Sysctl::default() }
    }

    #[test]
    fn an_interface_with_a_dot_keeps_it() {
        let one = one("net/ipv4/conf/wan0.7/forwarding", "0", "1");
        assert_eq!(one.key(), "net.ipv4.conf.wan0/7.forwarding");
    }

    #[test]
    fn a_trial_that_is_over_drops_what_was_not_forwarded_before_it() {
        let shown = |setting: Sysctl| -> Vec<_> {
            let rules = closed(&[setting], &["lan0", "wan0"].map(str::to_owned));
            rules.into_iter().map(|rule| (rule.family.unwrap(), rule.matches)).collect()
        };
        let shut = vec![Match::In(vec![Interface::parse("wan0").unwrap()])];
        let beside = vec!["net/ipv4/conf/lan0/forwarding".to_owned()];
        let all = Sysctl { beside, ..one(ALL4, "0", "1") };
        assert_eq!(shown(all), [(Family::V4, shut.clone())]);
        assert_eq!(shown(one(ALL4, "0", "1")), [(Family::V4, Vec::new())]);
        let six = one("net/ipv6/conf/wan0/force_forwarding", "0", "1");
        assert_eq!(shown(six), [(Family::V6, shut)]);
        assert_eq!(shown(one("net/ipv6/conf/wan0/accept_ra", "1", "2")), []);
        assert_eq!(shown(one("net/ipv4/conf/wan0/accept_redirects", "1", "0")), []);
    }

    #[test]
    fn an_interface_stays_on_while_somebody_else_has_made_the_host_a_router() {
        let lan = one("net/ipv4/conf/lan0/forwarding", "0", "1");
        let redirects = one("net/ipv4/conf/lan0/accept_redirects", "1", "0");
        let (on, off) = (|_: &str| Some("1".into()), |_: &str| Some("0".into()));
        for setting in [&lan, &redirects] {
            assert!(is_relied_on(setting, on));
            assert!(!is_relied_on(setting, off));
            // It was a router already, but for this interface.
            let before = Sysctl { switch_was: "1".into(), ..setting.clone() };
            assert!(!is_relied_on(&before, on));
        }
        for path in [ALL4, ALL6, REDIRECTS4, "net/ipv6/conf/lan0/force_forwarding"] {
            assert!(!is_relied_on(&one(path, "0", "1"), on), "{path}");
        }
    }

    #[test]
    fn switches_of_all_are_restored_first() {
        let rows = ["a", ALL4, "b"].map(|path| one(path, "0", "1"));
        let order: Vec<_> = in_order_of_restoring(&rows).into_iter().map(|one| &one.path).collect();
        assert_eq!(order, [ALL4, "b", "a"]);
    }
}
