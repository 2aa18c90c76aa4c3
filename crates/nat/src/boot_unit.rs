//! The systemd unit that loads a ruleset at boot, and the calls of systemctl for it.

use std::{fs, path::Path};

use super::{NatError, backend::BootPlan, tools};
use portolan_core::{error::Result, observe::visible::visible};

/// The directory that exists while systemd runs (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";
/// The network namespaces of this process and of the first one, for which units load rules.
const NAMESPACES: [&str; 2] = ["/proc/self/ns/net", "/proc/1/ns/net"];

/// The units of filters: their start, stop, restart and reload flush all rules.
pub(super) const FILTER_UNITS: [&str; 4] =
    ["nftables.service", "netfilter-persistent.service", "iptables.service", "ip6tables.service"];

/// Returns the name of the unit.
pub(super) fn name(ruleset: &str) -> String {
    format!("portolan-nat-{ruleset}.service")
}

/// Returns the unit.
///
/// It loads the rules before any interface is configured, as the units of filters do: `network-pre.target` is only
/// reached in time without the default dependencies. It follows the filter's own units: their start, reload and
/// restart flush all rules. It is not stopped at shutdown, so that the gateway filters as long as it forwards, and has
/// no private `/tmp`, which would wait for file systems of the network.
pub(super) fn text(ruleset: &str, file: &str, start: &BootPlan) -> String {
    let BootPlan { load, unload, after, needs, .. } = start;
    format!(
        "# Written by portolan; `portolan nat revert` removes it.
[Unit]
Description=portolan: NAT ruleset {ruleset}
DefaultDependencies=no
After={after} systemd-modules-load.service
PartOf={after}
ReloadPropagatedFrom={after}
Wants=network-pre.target
Before=network-pre.target network-online.target
ConditionPathExists={file}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={load} {file}
ExecReload={load} {file}
ExecStop={unload}
{needs}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes

[Install]
WantedBy=multi-user.target
"
    )
}

/// Returns the drop-in for a filter's unit, by which ours follows it where the relations of our own unit do not reach: the
/// filter starts after it was stopped, or is stopped and stays so. Stopping it flushes all rules, and the host goes on
/// forwarding: so the rules are loaded again, as they are after a reload.
pub(super) fn drop_in(ruleset: &str, file: &str, start: &BootPlan) -> String {
    let (unit, load) = (name(ruleset), start.load);
    format!(
        "# Written by portolan for the ruleset {ruleset}; `portolan nat revert` removes it.
[Unit]
Wants={unit}

[Service]
ExecStopPost=-{load} {file}
"
    )
}

/// Starts the unit that has been written below `root`, so that it follows the filter's units from now on. Fails with
/// `nat.unit_failed`.
pub(super) fn start(root: &Path, ruleset: &str) -> Result<()> {
    let unit = name(ruleset);
    if !is_watched(root) {
        return Ok(());
    }
    let why = "its rules are in force and load at the next boot, but not when the filter's own unit is restarted";
    systemctl(&["daemon-reload"], &unit, why)?;
    systemctl(&["start", &unit], &unit, why)
}

/// Tells systemd that the unit has been removed below `root`. The unit is stopped only when its file is gone: its stop
/// command would remove rules that may be in force. Fails with `nat.unit_failed`.
pub(super) fn forget(root: &Path, ruleset: &str) -> Result<()> {
    let unit = name(ruleset);
    if !is_watched(root) {
        return Ok(());
    }
    let why = "its files are removed, and the next boot loads none of them";
    systemctl(&["daemon-reload"], &unit, why)?;
    // A unit that was never started is not known any more, and cannot be stopped.
    let is_active = tools::run(&["systemctl", "is-active", "--quiet", &unit], "");
    if is_active.is_ok_and(|ran| ran.ok) { systemctl(&["stop", &unit], &unit, why) } else { Ok(()) }
}

/// Returns true if systemd runs here and manages the units below `root`, for the network of this process.
fn is_watched(root: &Path) -> bool {
    let [own, first] = NAMESPACES.map(|path| fs::read_link(path).ok());
    root == Path::new("/") && Path::new(BOOTED).is_dir() && own.is_some() && own == first
}

fn systemctl(arguments: &[&str], unit: &str, consequence: &str) -> Result<()> {
    let words: Vec<_> = ["systemctl"].iter().chain(arguments).copied().collect();
    let said = match tools::run(&words, "") {
        Ok(ran) if ran.ok => return Ok(()),
        Ok(ran) => visible(ran.err.lines().next().unwrap_or("it did not say why")),
        Err(error) => error.to_string(),
    };
    let message = format!("{unit}: {consequence}: `{}` failed: {said}", words.join(" "));
    Err(NatError::UnitFailed.fault(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_loads_before_the_network_and_follows_its_filter() {
        let start = BootPlan {
            ending: "nft",
            text: String::new(),
            load: "/usr/sbin/nft -f",
            unload: "-/usr/sbin/nft delete table inet portolan_x".into(),
            after: "nftables.service",
            needs: "CapabilityBoundingSet=CAP_NET_ADMIN",
        };
        let unit = text("x", "/etc/portolan/nat/x.nft", &start);
        for line in [
            "DefaultDependencies=no",
            "Wants=network-pre.target",
            "Before=network-pre.target network-online.target",
            "After=nftables.service systemd-modules-load.service",
            "PartOf=nftables.service",
            "ReloadPropagatedFrom=nftables.service",
            "ExecStart=/usr/sbin/nft -f /etc/portolan/nat/x.nft",
            "ExecReload=/usr/sbin/nft -f /etc/portolan/nat/x.nft",
            "ExecStop=-/usr/sbin/nft delete table inet portolan_x",
        ] {
            assert!(unit.lines().any(|own| own == line), "{line}\n{unit}");
        }
        // It would be stopped before the interfaces are.
        assert!(!unit.contains("shutdown.target"), "{unit}");
        // The filter that starts brings it along, and the filter that is stopped leaves its rules.
        let drop_in = drop_in("x", "/etc/portolan/nat/x.nft", &start);
        for line in [
            "Wants=portolan-nat-x.service",
            "ExecStopPost=-/usr/sbin/nft -f /etc/portolan/nat/x.nft",
        ] {
            assert!(drop_in.lines().any(|own| own == line), "{line}\n{drop_in}");
        }
    }

    #[test]
    fn files_below_another_directory_are_nothing_to_systemd() {
        assert!(!is_watched(Path::new("/srv/image")));
        start(Path::new("/srv/image"), "x").unwrap();
        forget(Path::new("/srv/image"), "x").unwrap();
    }
}
