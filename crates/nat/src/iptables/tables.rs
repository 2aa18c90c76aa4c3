//! Tables of the kernel that iptables creates with the first rule in them, and leaves behind with the last.

use super::owns::{SIX, SavedLine, lines};
use crate::{check::Family, nftables};

/// Returns the tables that a listing of `iptables-save` has, such as `ip raw`.
fn present(saved: &str) -> Vec<String> {
    let mut family = Family::V4;
    let mut tables = Vec::new();
    for line in saved.lines() {
        if line == SIX {
            family = Family::V6;
        }
        if let Some(name) = line.strip_prefix('*') {
            tables.push(format!("{} {name}", family.as_str()));
        }
    }
    tables
}

/// Returns those of the wanted tables that a listing does not have.
pub(super) fn missing<'w>(
    saved: &str,
    wanted: impl Iterator<Item = &'w (Family, String)>,
) -> Vec<String> {
    let present = present(saved);
    let wanted = wanted.map(|(family, table)| format!("{} {table}", family.as_str()));
    wanted.filter(|table| !present.contains(table)).collect()
}

/// Returns those of the `made` tables that have nothing but the kernel's own chains, without a rule and with their usual
/// policy, each with these chains.
pub(super) fn empty<'t>(saved: &'t str, made: &'t [String]) -> Vec<(&'t str, Vec<&'t str>)> {
    let present = present(saved);
    let mut found = Vec::new();
    for name in made.iter().filter(|name| present.contains(name)) {
        let is_of = |family: Family, table: &str| format!("{} {table}", family.as_str()) == *name;
        let own = lines(saved).filter(|(family, table, _)| is_of(*family, table));
        let chains: Option<Vec<_>> = own
            .map(|(_, _, line)| match line {
                SavedLine::Chain(chain, "ACCEPT") => Some(chain),
                SavedLine::Chain(..) | SavedLine::Rule(..) => None,
            })
            .collect();
        found.extend(chains.map(|chains| (name.as_str(), chains)));
    }
    found
}

/// Removes a table that has no chains, if nft is installed.
pub(super) fn remove_by_nft(family: &str, table: &str) {
    let is_bare = |listing: &str| listing.lines().all(|line| !line.starts_with(['\t', ' ']));
    let listed = nftables::nft(&["list", "table", family, table], "");
    if listed.is_ok_and(|ran| ran.ok && is_bare(&ran.out)) {
        nftables::nft(&["delete", "table", family, table], "").ok();
    }
}

/// Returns a note on tables that stay.
pub(super) fn note<'t>(tables: impl Iterator<Item = &'t str>) -> Option<String> {
    let names: Vec<_> = tables.collect();
    if names.is_empty() {
        return None;
    }
    Some(format!(
        "the empty tables {} stay, which iptables has made for its rules: they drop and translate nothing",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*filter
:INPUT DROP [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:MINE - [0:0]
COMMIT
# ip6
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j ACCEPT
COMMIT
*mangle
:FORWARD ACCEPT [0:0]
COMMIT
";

    #[test]
    fn only_an_unused_table_is_empty() {
        let made = ["ip raw", "ip filter", "ip nat", "ip6 raw", "ip6 mangle", "ip mangle"];
        let made = made.map(str::to_owned);
        let empty = empty(SAVED, &made);
        assert_eq!(
            empty,
            [("ip raw", vec!["PREROUTING", "OUTPUT"]), ("ip6 mangle", vec!["FORWARD"])]
        );
        let note = note(empty.iter().map(|(name, _)| *name));
        assert!(note.unwrap().contains("the empty tables ip raw, ip6 mangle stay"));
    }

    #[test]
    fn a_table_that_is_not_listed_is_new() {
        let wanted = [(Family::V4, "nat"), (Family::V6, "nat"), (Family::V6, "raw")];
        let wanted = wanted.map(|(family, table)| (family, table.to_owned()));
        assert_eq!(missing(SAVED, wanted.iter()), ["ip6 nat"]);
    }
}
