//! `portolan doctor` without a server: the facts about the local host.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{
        common::Common,
        place::{JobsFile, scheduler},
        table::TextTable,
    },
    clock::Clock,
    nat::gateway_report::GatewayReport,
    observe::visible::visible,
    permissions::sandbox::KernelSupport,
    schedule::zone::Zones,
};

/// The facts about the local host.
pub(super) struct HostReport {
    zones: Zones,
    zone: String,
    state: Option<PathBuf>,
    /// The process of the scheduler that uses the state directory.
    scheduler: Option<String>,
    gateway: GatewayReport,
    /// The walls with which the kernel enforces the permissions of a run.
    sandbox: KernelSupport,
    now: Timestamp,
}

impl HostReport {
    /// Collects the facts.
    pub(super) fn look(common: &Common) -> Self {
        let zones = Zones::newest();
        // A jobs file that cannot be read names no directory; `portolan check` reports its errors.
        let state = JobsFile::usual().state(common).ok();
        let state = state.map(|state| std::path::absolute(&state).unwrap_or(state));
        Self {
            zone: zones.of_this_machine().name,
            scheduler: state.as_deref().and_then(scheduler),
            zones,
            state,
            gateway: GatewayReport::look(),
            sandbox: KernelSupport::detect(),
            now: Clock::System.now(),
        }
    }

    /// Renders the facts as a page.
    pub(super) fn page(&self) -> String {
        let mut table = TextTable::new(&["portolan", env!("CARGO_PKG_VERSION")]);
        let mut put = |name: &str, value: String| table.row([name.to_owned(), value]);
        put("time zone", visible(&self.zone));
        put("zone data", self.zones.words().trim_start_matches("zone data ").to_owned());
        let there = |state: &PathBuf| {
            let nothing = if state.exists() { "" } else { " (nothing yet)" };
            format!("{}{nothing}", visible(state.display().to_string()))
        };
        put("state", self.state.as_ref().map_or_else(|| "no place for it".to_owned(), there));
        let process = self.scheduler.as_ref().map(|process| format!("process {process}"));
        put("scheduler", process.unwrap_or_else(|| "none at work".to_owned()));
        put("sandbox", self.sandbox.summary());
        let gateway = &self.gateway;
        put("gateway", gateway.summary().to_owned());
        let listed = |names: &[String]| {
            if names.is_empty() {
                "not forwarded".to_owned()
            } else {
                format!("forwarded on {}", visible(names.join(", ")))
            }
        };
        put("IPv4", listed(&gateway.forwarding));
        put("IPv6", listed(&gateway.forwarding6));
        if !gateway.is_readable {
            put("rules", "to be read with CAP_NET_ADMIN only".to_owned());
        }
        for (name, rules) in [
            ("NAT", &gateway.masquerades),
            ("forward", &gateway.forwards),
            ("helper", &gateway.helpers),
            ("filter", &gateway.filters),
        ] {
            for rule in rules {
                put(name, rule.clone());
            }
        }
        let old = self.zones.is_old(self.now).then_some(OLD);
        table.text() + old.unwrap_or_default()
    }

    /// Returns the facts for `--json`.
    pub(super) fn value(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "timezone": self.zone,
            "zone_data": {
                "used": self.zones.version(),
                "system": self.zones.system,
                "bundled": self.zones.bundled,
                "is_old": self.zones.is_old(self.now),
            },
            "state": self.state.as_ref().map(|state| state.display().to_string()),
            "scheduler": self.scheduler,
            "sandbox": {
                "files": self.sandbox.files,
                "truncation": self.sandbox.truncation,
                "ports": self.sandbox.ports,
                "signals": self.sandbox.signals,
                "syscalls": self.sandbox.syscalls,
                "lacks": self.sandbox.lacks(),
            },
            "gateway": {
                "summary": self.gateway.summary(),
                "forwarding": self.gateway.forwarding,
                "forwarding6": self.gateway.forwarding6,
                "masquerades": self.gateway.masquerades,
                "forwards": self.gateway.forwards,
                "helpers": self.gateway.helpers,
                "filters": self.gateway.filters,
                "readable": self.gateway.is_readable,
            },
        })
    }
}

const OLD: &str = "warning: the zone data is more than a year old, and clocks may be changed by other rules since\n\
     hint: update the system's tzdata, or portolan\n";
