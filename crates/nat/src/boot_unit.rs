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

/// Those of them that have a command to reload.
const RELOADED: [&str; 3] = ["nftables.service", "iptables.service", "ip6tables.service"];

/// Returns the name of the unit.
pub(super) fn name(ruleset: &str) -> String {
    format!("portolan-nat-{ruleset}.service")
}

/// Returns the unit.
///
/// It loads the rules before any interface is configured, as the units of filters do: `network-pre.target` is only
/// reached in time without the default dependencies. Nothing stops it: neither the shutdown, so that the gateway filters
/// as long as it forwards, nor the filter's unit, whose [drop-in](drop_in) loads the rules again. It has no private
/// `/tmp`, which would wait for file systems of the network.
pub(super) fn text(ruleset: &str, file: &str, start: &BootPlan) -> String {
    let BootPlan { load, unload, after, needs, .. } = start;
    format!(
        "# Written by portolan; `portolan nat revert` removes it.
[Unit]
Description=portolan: NAT ruleset {ruleset}
DefaultDependencies=no
After={after} systemd-modules-load.service
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

/// Returns the drop-in for the unit `filter`. Its start, reload and stop flush all rules, while the host still forwards:
/// so each loads the rules again at once. Relations between the units would not do: a filter that is started while our
/// unit is active starts nothing, and stopping our unit with the filter would leave the gateway open in between.
pub(super) fn drop_in(filter: &str, ruleset: &str, file: &str, start: &BootPlan) -> String {
    let (unit, load) = (name(ruleset), start.load);
    // A unit that cannot be reloaded is restarted by `reload-or-restart`, and would not be with a command to reload.
    let reload = if RELOADED.contains(&filter) {
        format!("ExecReload=-{load} {file}\n")
    } else {
        String::new()
    };
    format!(
        "# Written by portolan for the ruleset {ruleset}; `portolan nat revert` removes it.
[Unit]
Wants={unit}

[Service]
ExecStartPost=-{load} {file}
{reload}ExecStopPost=-{load} {file}
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
            "ExecStart=/usr/sbin/nft -f /etc/portolan/nat/x.nft",
            "ExecReload=/usr/sbin/nft -f /etc/portolan/nat/x.nft",
            "ExecStop=-/usr/sbin/nft delete table inet portolan_x",
        ] {
            assert!(unit.lines().any(|own| own == line), "{line}\n{unit}");
        }
        // It would be stopped before the interfaces are, or with the filter.
        for word in ["shutdown.target", "PartOf"] {
            assert!(!unit.contains(word), "{unit}");
        }
        for (filter, is_reloaded) in
            [("nftables.service", true), ("netfilter-persistent.service", false)]
        {
            let drop_in = drop_in(filter, "x", "/etc/portolan/nat/x.nft", &start);
            let has = |line: &str| drop_in.lines().any(|own| own == line);
            assert!(has("Wants=portolan-nat-x.service"), "{drop_in}");
            for key in ["ExecStartPost", "ExecStopPost"] {
                assert!(
                    has(&format!("{key}=-/usr/sbin/nft -f /etc/portolan/nat/x.nft")),
                    "{drop_in}"
                );
            }
            assert_eq!(drop_in.contains("ExecReload="), is_reloaded, "{drop_in}");
        }
    }

    #[test]
    fn files_below_another_directory_are_nothing_to_systemd() {
        assert!(!is_watched(Path::new("/srv/image")));
        start(Path::new("/srv/image"), "x").unwrap();
        forget(Path::new("/srv/image"), "x").unwrap();
    }
}
