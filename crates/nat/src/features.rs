//! Features of the kernel that rules need, looked for before anything is done.
//!
//! Rules themselves are tried in an empty network namespace by the plan. This is about what such a trial does not show.

use std::{fs, path::Path};

use rustix::{
    fs::{Access, access},
    io::Errno,
};

use super::{
    NatError,
    check::Family,
    foreign::Warning,
    rules::Rule,
    sysctl::{self, Sysctl},
};
use portolan_core::error::Result;

/// The setting that turns IPv6 off.
const DISABLED6: &str = "net/ipv6/conf/all/disable_ipv6";

/// Returns true if the kernel has IPv6.
pub(super) fn has_ipv6() -> bool {
    Path::new("/proc/net/if_inet6").exists()
}

/// Fails with `nat.no_backend` if a rule is about IPv6 and the kernel has none.
pub(super) fn ipv6(rules: &[Rule], has_ipv6: bool) -> Result<()> {
    match of_ipv6(rules).filter(|_| !has_ipv6) {
        None => Ok(()),
        Some(rule) => {
            let message =
                format!("`{}` is about IPv6, and the kernel of this machine has none", rule.note);
            Err(NatError::NoBackend.fault(message))
        }
    }
}

/// Returns a warning if a rule is about IPv6 and it is turned off.
pub(super) fn ipv6_off(rules: &[Rule], read: impl Fn(&str) -> Option<String>) -> Option<Warning> {
    let rule = of_ipv6(rules).filter(|_| read(DISABLED6).as_deref() == Some("1"))?;
    let key = sysctl::key(DISABLED6);
    let text = format!("`{}` is about IPv6, which is turned off ({key} is 1)", rule.note);
    Some(Warning { about: "idle", text, remedy: format!("sysctl -w {key}=0") })
}

fn of_ipv6(rules: &[Rule]) -> Option<&Rule> {
    rules.iter().find(|rule| rule.family == Some(Family::V6))
}

/// Fails with `nat.helper_missing` if a module is to be loaded that the kernel does not have, and with
/// `nat.sysctl_readonly` if a setting is to be changed on a read-only file system, as in a container.
pub(super) fn check(modules: &[String], settings: &[Sysctl]) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let index = Path::new("/lib/modules").join(release.trim()).join("modules.dep");
    // Without an index, `modprobe` knows best.
    let index = fs::read_to_string(index).ok();
    if let Some(module) = modules.iter().find(|name| lacks(index.as_deref(), name)) {
        let message = format!("the kernel has no module {module}, which rewrites addresses in FTP");
        return Err(NatError::HelperMissing.fault(message));
    }
    let is_readonly = |one: &&Sysctl| {
        access(Path::new(sysctl::SETTINGS).join(&one.path), Access::WRITE_OK) == Err(Errno::ROFS)
    };
    settings.iter().find(is_readonly).map_or(Ok(()), |one| Err(sysctl::read_only(one)))
}

fn lacks(index: Option<&str>, module: &str) -> bool {
    index.is_some_and(|index| !index.contains(&format!("/{module}.ko")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Hook, RuleAction};

    fn rules(family: Option<Family>) -> [Rule; 1] {
        let (hook, action, note) = (Hook::Postrouting, RuleAction::Masquerade, "x".to_owned());
        [Rule { hook, family, matches: Vec::new(), action, note }]
    }

    #[test]
    fn rules_of_ipv6_need_it() {
        for (family, has_ipv6, name) in [
            (Some(Family::V6), false, Some("nat.no_backend")),
            (Some(Family::V6), true, None),
            (Some(Family::V4), false, None),
            (None, false, None),
        ] {
            let fault = ipv6(&rules(family), has_ipv6).err();
            assert_eq!(fault.and_then(|fault| fault.name), name, "{family:?} {has_ipv6}");
        }
        let read = |value: &'static str| move |_: &str| Some(value.to_owned());
        let told = ipv6_off(&rules(Some(Family::V6)), read("1")).unwrap();
        assert_eq!(told.remedy, "sysctl -w net.ipv6.conf.all.disable_ipv6=0");
        assert_eq!(ipv6_off(&rules(Some(Family::V6)), read("0")), None);
        assert_eq!(ipv6_off(&rules(Some(Family::V4)), read("1")), None);
    }

    #[test]
    fn a_module_that_no_index_has_is_missing() {
        let index = "kernel/net/netfilter/nf_nat_ftp.ko.xz: kernel/net/netfilter/nf_nat.ko.xz\n";
        assert!(!lacks(Some(index), "nf_nat_ftp"));
        assert!(lacks(Some(index), "nf_conntrack_ftp"));
        assert!(!lacks(None, "nf_conntrack_ftp"));
    }
}
