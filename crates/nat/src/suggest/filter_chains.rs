//! The chains of a host that filter, in which an accept has to stand: an accept in another table overrules no drop.

use super::{FirewallSide, WantedPorts};
use crate::{
    check::Family,
    host::HostNetwork,
    listing::{self, FilterTable},
    sysctl, tools,
};

/// A base chain that filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterChain {
    /// `ip`, `ip6` or `inet`.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub name: String,
    /// `input`, `output` or `forward`.
    pub hook: String,
}

impl FilterChain {
    /// Returns the chains of Debian's example, for a host whose chains are not known.
    pub(super) fn usual(hook: &str) -> Self {
        let [family, table, name] = ["inet", "filter", hook].map(str::to_owned);
        Self { family, table, name, hook: hook.to_owned() }
    }

    /// Returns its name, as messages have it.
    pub fn words(&self) -> String {
        format!("`{} {} {}`", self.family, self.table, self.name)
    }

    /// Returns true if packets of `family` pass it.
    pub(super) fn sees(&self, family: Option<Family>) -> bool {
        family.is_none_or(|family| self.family == "inet" || self.family == family.as_str())
    }
}

/// Returns the chains of this host if the suggestion is for it: a client is this host, a server listens on its control
/// port, and a router forwards to the host behind it.
pub fn of_this_host(wanted: &WantedPorts) -> Vec<FilterChain> {
    let network = HostNetwork::look();
    let is_here = match (wanted.to, wanted.side) {
        (Some(to), _) => {
            let inside = network.device_towards(to);
            inside.is_some_and(|inside| sysctl::is_forwarding(Family::of(to), inside.as_str()))
        }
        (None, FirewallSide::Client) => true,
        (None, FirewallSide::Server) => network.listeners.contains(&wanted.control),
    };
    if is_here { here() } else { Vec::new() }
}

/// Returns the chains of this host that drop or reject anything, or jump to others that may; none without nft or the
/// right to read them. Those of portolan are left out: they are described by rulesets.
pub fn here() -> Vec<FilterChain> {
    match tools::run(&["nft", "-t", "list", "ruleset"], "") {
        Ok(ran) if ran.ok => among(&listing::tables(&ran.out)),
        _ => Vec::new(),
    }
}

fn among(tables: &[FilterTable]) -> Vec<FilterChain> {
    let mut found = Vec::new();
    for table in tables {
        let is_ip = ["ip", "ip6", "inet"].contains(&table.family.as_str());
        if !is_ip || table.name.starts_with("portolan_") {
            continue;
        }
        for chain in &table.chains {
            let Some(place) = &chain.hook else { continue };
            let decides = |rule: &String| {
                let mut words = rule.split_whitespace();
                words.any(|word| ["drop", "reject", "jump", "goto", "vmap"].contains(&word))
            };
            let filters = place.policy == "drop" || chain.rules.iter().any(decides);
            // Names that a shell would read as more than one word are left to their administrator.
            let is_plain = [&table.name, &chain.name]
                .iter()
                .all(|name| name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.".contains(&c)));
            if place.kind == "filter" && filters && is_plain {
                found.push(FilterChain {
                    family: table.family.clone(),
                    table: table.name.clone(),
                    name: chain.name.clone(),
                    hook: place.hook.clone(),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chains_that_may_drop_are_found() {
        let listing = "table inet fw {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\t\
            tcp dport 22 accept\n\t\tcounter reject\n\t}\n\tchain out {\n\t\ttype filter hook output priority filter; \
            policy accept;\n\t}\n}\ntable ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; \
            policy drop;\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\t\
            counter jump USER\n\t}\n}\ntable inet portolan_x {\n\tchain input {\n\t\ttype filter hook input priority \
            filter; policy drop;\n\t}\n}\ntable inet bad {\n\tchain a;b {\n\t\ttype filter hook input priority filter; \
            policy drop;\n\t}\n}\n";
        let found = among(&listing::tables(listing));
        let told: Vec<_> = found
            .iter()
            .map(|chain| [&*chain.family, &chain.table, &chain.name, &chain.hook].join(" "))
            .collect();
        assert_eq!(
            told,
            ["inet fw in input", "ip filter INPUT input", "ip filter FORWARD forward"]
        );
        assert!(found.iter().all(|chain| chain.sees(None) && chain.sees(Some(Family::V4))));
        assert_eq!(found.iter().filter(|chain| chain.sees(Some(Family::V6))).count(), 1);
    }
}
