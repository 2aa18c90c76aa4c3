//! The host as a gateway, by all rules in force: forwarding, translation, helpers, and filters.

use super::{
    check::Family,
    foreign::owner_of,
    host::HostNetwork,
    listing::{self, FilterTable},
    sysctl, tools,
};
use portolan_core::observe::visible::visible;

/// The maximum number of rules of one kind in a report: a host with hundreds of containers has one for each.
const RULES_MAX: usize = 20;

/// The state of this host as a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayReport {
    /// The interfaces that forward IPv4.
    pub forwarding: Vec<String>,
    /// The interfaces that forward IPv6.
    pub forwarding6: Vec<String>,
    /// The rules that give packets another source.
    pub masquerades: Vec<String>,
    /// The rules that lead connections to another host.
    pub forwards: Vec<String>,
    /// The rules that set a helper.
    pub helpers: Vec<String>,
    /// The chains that drop what is forwarded or comes in, with their owner.
    pub filters: Vec<String>,
    /// True if the rules could be read, for which the right to change them is needed.
    pub is_readable: bool,
}

impl GatewayReport {
    /// Reads the current state.
    pub fn look() -> Self {
        let host = HostNetwork::look();
        let switched = |family| {
            let on = |name: &&String| *name != "lo" && sysctl::is_forwarding(family, name);
            host.interfaces.iter().filter(on).cloned().collect()
        };
        let listing = tools::run(&["nft", "-t", "list", "ruleset"], "");
        let listing = listing.ok().filter(|ran| ran.ok).map(|ran| ran.out);
        let is_readable = listing.is_some();
        let tables = listing::tables(&listing.unwrap_or_default());
        Self {
            forwarding: switched(Family::V4),
            forwarding6: switched(Family::V6),
            is_readable,
            ..Self::of(&tables)
        }
    }

    /// Collects the rules of all tables. Pure.
    fn of(tables: &[FilterTable]) -> Self {
        let mut report = Self::default();
        for table in tables {
            for chain in &table.chains {
                let place = format!("{} {} {}", table.family, table.name, chain.name);
                for rule in &chain.rules {
                    let told = || format!("{}: {}", visible(&place), visible(rule));
                    let mut words = rule.split_whitespace();
                    let has = |wanted: &str| rule.split_whitespace().any(|word| word == wanted);
                    if has("masquerade") || has("snat") || has("SNAT") || has("MASQUERADE") {
                        keep(&mut report.masquerades, told());
                    } else if has("dnat") || has("DNAT") {
                        keep(&mut report.forwards, told());
                    } else if rule.contains("ct helper set") || words.any(|word| word == "CT") {
                        keep(&mut report.helpers, told());
                    }
                }
                let Some(hook) = &chain.hook else { continue };
                let is_wanted =
                    hook.kind == "filter" && ["input", "forward"].contains(&hook.hook.as_str());
                let drops = hook.policy == "drop" || chain.ends_in_a_drop();
                if is_wanted && drops {
                    let what =
                        if hook.hook == "input" { "what comes in" } else { "what is forwarded" };
                    keep(
                        &mut report.filters,
                        format!(
                            "{} ({}) drops {what} by default",
                            visible(&place),
                            owner_of(table)
                        ),
                    );
                }
            }
        }
        report
    }

    /// Returns one sentence on what this host is.
    pub fn summary(&self) -> &'static str {
        match (
            self.forwarding.is_empty() && self.forwarding6.is_empty(),
            self.masquerades.is_empty(),
        ) {
            (true, true) => "no gateway: nothing is forwarded or translated",
            (true, false) => "translates addresses, but forwards nothing: `rules.forwarding(true)`",
            (false, true) => "forwards packets without translation",
            (false, false) => "a gateway: forwards packets and translates addresses",
        }
    }
}

fn keep(rules: &mut Vec<String>, rule: String) {
    if rules.len() < RULES_MAX {
        rules.push(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_everybody_are_told_with_their_place_and_owner() {
        let listing = "table ip nat {\n\tchain POSTROUTING {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\
            \t\toifname \"eth0\" masquerade\n\t}\n\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy \
            accept;\n\t\ttcp dport 21 dnat to 10.0.0.5\n\t}\n}\ntable inet fw {\n\tchain through {\n\t\ttype filter hook \
            forward priority filter; policy drop;\n\t}\n\tchain out {\n\t\ttype filter hook output priority filter; policy \
            drop;\n\t}\n\tchain read {\n\t\ttype filter hook prerouting priority filter; policy accept;\n\t\ttcp dport 21 ct \
            helper set \"ftp\"\n\t}\n}\n";
        let found = GatewayReport::of(&listing::tables(listing));
        assert_eq!(found.masquerades, ["ip nat POSTROUTING: oifname \"eth0\" masquerade"]);
        assert_eq!(found.forwards, ["ip nat PREROUTING: tcp dport 21 dnat to 10.0.0.5"]);
        assert_eq!(found.helpers, ["inet fw read: tcp dport 21 ct helper set \"ftp\""]);
        let [filter] = found.filters.as_slice() else { panic!("{found:?}") };
        assert!(
            filter.starts_with("inet fw through (")
                && filter.ends_with("drops what is forwarded by default"),
            "{filter}"
        );
        assert!(found.summary().contains("forwards nothing"));
    }
}
