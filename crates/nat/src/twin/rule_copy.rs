//! The packet-filter rules of everybody, copied from one network namespace to another.
//!
//! nftables is copied as text. Tables of iptables on top of nftables are copied by `iptables-save` if they have matches
//! that nft cannot load (`xt match …`); those of legacy iptables always are. Elements of large sets are left out, and
//! looked up one by one ([`super::set_lookup`]).

use super::set_lookup::{self, SetShape};
use crate::tools::{self, Ran};
use portolan_core::{error::Result, observe::visible::visible};

/// The tables of iptables.
const TABLES_OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
/// The lists of the tables that legacy iptables has in this namespace, and the program that saves them.
const LEGACY: [(&str, &str, &str); 2] = [
    ("/proc/thread-self/net/ip_tables_names", "iptables-legacy-save", "iptables-legacy-restore"),
    ("/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy-save", "ip6tables-legacy-restore"),
];

/// The rules of everybody.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleCopy {
    /// The tables of nftables, as text.
    tables: Vec<String>,
    /// The contents of the sets that are not large, if `tables` has none.
    elements: Vec<String>,
    /// The sets whose elements are left out.
    pub(super) large: Vec<SetShape>,
    /// The rules of iptables that are loaded by the program of that name.
    saved: Vec<(&'static str, String)>,
    /// The IP sets that rules of iptables refer to.
    ipsets: String,
}

impl RuleCopy {
    /// Reads the rules of this namespace. Fails without the right to.
    pub(super) fn read() -> Result<Self> {
        let sets = set_lookup::sets();
        let (large, small): (Vec<_>, Vec<_>) = sets.into_iter().partition(SetShape::is_large);
        let mut copy = Self { large, ..Self::default() };
        let terse: &[&str] = if copy.large.is_empty() { &[] } else { &["-t"] };
        let words = ["nft", "-s"].iter().chain(terse).chain(&["list", "ruleset"]);
        let words: Vec<_> = words.copied().collect();
        let listing = read(&words)?;
        for set in small.iter().filter(|_| !copy.large.is_empty()) {
            let kind = if set.is_map { "map" } else { "set" };
            let words = ["nft", "-s", "list", kind, set.family, &set.table, &set.name];
            // A set that has gone meanwhile has no elements.
            copy.elements.extend(read(&words).ok());
        }
        copy.take(&listing)?;
        for (names, save, restore) in LEGACY {
            if std::fs::read_to_string(names).is_ok_and(|names| !names.trim().is_empty()) {
                copy.saved.push((restore, read(&[save])?));
            }
        }
        if copy
            .tables
            .iter()
            .chain(copy.saved.iter().map(|(_, text)| text))
            .any(|text| names_ipset(text))
        {
            copy.ipsets = read(&["ipset", "save"])?;
        }
        Ok(copy)
    }

    /// Takes the tables of a listing, in the form in which they can be loaded.
    fn take(&mut self, listing: &str) -> Result<()> {
        let mut restored = [
            ("ip", "iptables-nft-save", "iptables-nft-restore", false),
            ("ip6", "ip6tables-nft-save", "ip6tables-nft-restore", false),
        ];
        let tables = blocks(listing);
        for table in &tables {
            for (family, _, _, is_needed) in &mut restored {
                *is_needed |= is_of_iptables(table, family) && table.contains(" xt ");
            }
        }
        for table in tables {
            let is_restored = restored
                .iter()
                .any(|(family, _, _, is_needed)| *is_needed && is_of_iptables(&table, family));
            if !is_restored {
                self.tables.push(loadable(&table));
            }
        }
        for (_, save, restore, is_needed) in restored {
            if is_needed {
                self.saved.push((restore, read(&[save])?));
            }
        }
        Ok(())
    }

    /// Returns true if rules of legacy iptables are among them: nothing but their counters tells where a packet was.
    pub(super) fn has_legacy(&self) -> bool {
        self.saved.iter().any(|(program, _)| LEGACY.iter().any(|(.., restore)| program == restore))
    }

    /// Loads the rules into this namespace, and returns a message for each part that could not be loaded.
    pub(super) fn load(&self) -> Vec<String> {
        let mut left = Vec::new();
        if !self.ipsets.is_empty() {
            left.extend(failed(&["ipset", "restore"], &self.ipsets, "the IP sets"));
        }
        for (program, text) in &self.saved {
            left.extend(failed(
                &[program],
                text,
                &format!("the rules of {}", program.trim_end_matches("-restore")),
            ));
        }
        let load = ["nft", "-f", "-"];
        let all = self.tables.concat() + &self.elements.concat();
        if tools::run(&load, &all).is_ok_and(|ran| ran.ok) {
            return left;
        }
        for table in self.tables.iter().chain(&self.elements) {
            let name = table.lines().next().unwrap_or_default().trim_end_matches('{').trim();
            left.extend(failed(&load, table, name));
        }
        left
    }
}

/// Runs a program that reads rules.
fn read(words: &[&str]) -> Result<String> {
    let program = words.first().copied().unwrap_or_default();
    let ran = tools::run(words, "")
        .map_err(|error| super::unavailable(&format!("{program}: {error}")))?;
    if ran.ok { Ok(ran.out) } else { Err(super::unavailable(&said(program, &ran))) }
}

/// Runs a program that loads rules; returns a message if that fails.
fn failed(words: &[&str], input: &str, what: &str) -> Option<String> {
    let program = words.first().copied().unwrap_or_default();
    match tools::run(words, input) {
        Ok(ran) if ran.ok => None,
        Ok(ran) => Some(format!("{what}: {}", said(program, &ran))),
        Err(error) => Some(format!("{what}: {program}: {error}")),
    }
}

fn said(program: &str, ran: &Ran) -> String {
    let line = ran.err.lines().find(|line| !line.trim().is_empty()).unwrap_or("it did not say why");
    format!("{program}: {}", visible(line))
}

/// Returns the text of each table of a listing.
fn blocks(listing: &str) -> Vec<String> {
    let mut tables: Vec<String> = Vec::new();
    for line in listing.lines() {
        if line.starts_with("table ") {
            tables.push(String::new());
        }
        if let Some(table) = tables.last_mut() {
            table.push_str(line);
            table.push('\n');
        }
    }
    tables
}

/// Returns a table without what ties it to a process: it would go with the nft that loads it.
fn loadable(table: &str) -> String {
    let lines =
        table.lines().filter(|line| !line.starts_with("\tflags ") || line.contains("dormant"));
    let lines =
        lines.map(|line| if line.starts_with("\tflags ") { "\tflags dormant" } else { line });
    lines.fold(String::new(), |text, line| text + line + "\n")
}

fn is_of_iptables(table: &str, family: &str) -> bool {
    let mut words = table.split_whitespace().skip(1);
    words.next() == Some(family)
        && words.next().is_some_and(|name| TABLES_OF_IPTABLES.contains(&name))
}

fn names_ipset(text: &str) -> bool {
    text.contains("match-set") || text.contains("xt match \"set\"") || text.contains("xt match set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_falls_into_tables_that_can_be_loaded() {
        let listing = "table inet a { # progname nft\n\tflags owner\n\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t}\n}\n\
                       table ip filter {\n\tchain FORWARD {\n\t\txt match recent drop\n\t}\n}\n";
        let tables = blocks(listing);
        let [first, second] = tables.as_slice() else { panic!("{tables:?}") };
        let loadable = loadable(first);
        assert!(
            !loadable.contains("owner") && loadable.contains("\t\tflags interval"),
            "{loadable}"
        );
        assert!(is_of_iptables(second, "ip") && !is_of_iptables(second, "ip6"));
        assert!(!is_of_iptables(first, "inet"));
        assert!(names_ipset("-A FORWARD -m set --match-set bad src -j DROP"));
    }
}
