//! A parser for the output of `nft list`, as far as it is needed: pure.
//!
//! Only the blocks are parsed: tables, chains, hooks and maps. A rule stays the text that nft prints, since it is loaded
//! again by `rollback`, compared with the plan, and shown to the user; `nft -j` has no such text. Nor does it have all
//! of a foreign rule: of a rule made by iptables, nft 1.0.6 (Debian 12) lists `dnat to 10.0.0.2` as text, and
//! `{"xt": {"type": "target", "name": "DNAT"}}` as JSON.

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FilterTable {
    /// `ip`, `inet` and so on.
    pub(super) family: String,
    pub(super) name: String,
    pub(super) chains: Vec<Chain>,
    pub(super) maps: Vec<Map>,
    /// The headers of all other objects in it, except the FTP helper.
    pub(super) strange: Vec<String>,
}

/// One chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: String,
    /// The hook it is attached to, if any.
    pub(super) hook: Option<ChainHook>,
    pub(super) rules: Vec<String>,
}

/// The hook and policy of a base chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ChainHook {
    /// `filter`, `nat` or `route`.
    pub(super) kind: String,
    /// `forward` and so on.
    pub(super) hook: String,
    /// The policy: `accept` or `drop`.
    pub(super) policy: String,
}

/// One map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) name: String,
    pub(super) has_elements: bool,
}

impl FilterTable {
    /// Returns true if it has a chain whose name satisfies `fits`.
    pub(super) fn has_chain(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.chains.iter().any(|chain| fits(&chain.name))
    }
}

/// Returns all tables of a listing.
pub(super) fn tables(text: &str) -> Vec<FilterTable> {
    let mut tables: Vec<FilterTable> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let ["table", family, name, "{", ..] = words.as_slice() {
            let (family, name) = ((*family).to_owned(), (*name).to_owned());
            let mut table = FilterTable { family, name, ..FilterTable::default() };
            fill(&mut table, &mut lines);
            tables.push(table);
        }
    }
    tables
}

/// Reads up to the end of the table.
fn fill<'t>(table: &mut FilterTable, lines: &mut impl Iterator<Item = &'t str>) {
    while let Some(line) = lines.next() {
        if line == "}" {
            return;
        }
        let line = line.trim();
        let Some(head) = line.strip_suffix('{').map(str::trim) else {
            // A comment or flags of the table itself.
            continue;
        };
        match head.split_once(' ') {
            Some(("chain", name)) => table.chains.push(chain(name, lines)),
            Some(("map", name)) => {
                let has_elements = block(lines).iter().any(|line| line.starts_with("elements"));
                table.maps.push(Map { name: name.to_owned(), has_elements });
            }
            _ => {
                if head != "ct helper ftp" {
                    table.strange.push(head.to_owned());
                }
                drop(block(lines));
            }
        }
    }
}

/// Returns the lines up to the end of a block.
fn block<'t>(lines: &mut impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    lines.take_while(|line| line.trim_end() != "\t}").map(str::trim).collect()
}

fn chain<'t>(name: &str, lines: &mut impl Iterator<Item = &'t str>) -> Chain {
    let mut chain = Chain { name: name.to_owned(), ..Chain::default() };
    for line in block(lines) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["type", kind, "hook", hook, rest @ ..] => {
                let policy = rest.iter().skip_while(|word| **word != "policy").nth(1);
                chain.hook = Some(ChainHook {
                    kind: (*kind).to_owned(),
                    hook: (*hook).to_owned(),
                    policy: policy.unwrap_or(&"accept").trim_end_matches(';').to_owned(),
                });
            }
            [] => {}
            _ => chain.rules.push(line.to_owned()),
        }
    }
    chain
}

impl Chain {
    /// Returns true if the last rule drops or rejects everything that reaches it.
    pub(super) fn ends_in_a_drop(&self) -> bool {
        let Some(last) = self.rules.last() else { return false };
        let last = last.split(" comment \"").next().unwrap_or(last);
        let mut words = last.split_whitespace().peekable();
        while let Some(word) = words.next() {
            match word {
                "drop" | "reject" => return true,
                "counter" | "packets" | "bytes" => {}
                number if number.bytes().all(|c| c.is_ascii_digit()) => {}
                // A log statement is followed by its prefix and level, and decides nothing.
                "log" => {
                    while words.next_if(|word| *word != "drop" && *word != "reject").is_some() {}
                }
                _ => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "table inet portolan_x { # progname nft
\tcomment \"a {\"
\tflags owner

\tct helper ftp {
\t\ttype \"ftp\" protocol tcp
\t\tl3proto inet
\t}

\tmap trial_forward {
\t\ttype nf_proto : verdict
\t\tflags timeout
\t\telements = { ipv4 timeout 2s : goto forward_new }
\t}

\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t\ttcp dport { 21, 2121 } accept comment \"portolan:{\"
\t\tlog prefix \"a b\" counter packets 5 bytes 300 reject with icmp port-unreachable
\t}

\tset others {
\t\ttype ipv4_addr
\t\telements = { 10.0.0.1,
\t\t\t     10.0.0.2 }
\t}
}
table ip filter {
\tchain USER {
\t}
}
";

    #[test]
    fn tables_are_taken_apart() {
        let all = tables(LISTING);
        assert_eq!(all.len(), 2);
        let [first, second] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((first.family.as_str(), first.name.as_str()), ("inet", "portolan_x"));
        assert_eq!(first.maps, [Map { name: "trial_forward".into(), has_elements: true }]);
        assert_eq!(first.strange, ["set others"]);
        let [chain] = first.chains.as_slice() else { panic!("{first:?}") };
        let place =
            ChainHook { kind: "filter".into(), hook: "forward".into(), policy: "drop".into() };
        assert_eq!(chain.hook, Some(place));
        assert_eq!(chain.rules.len(), 2);
        assert!(chain.ends_in_a_drop());
        assert!(second.has_chain(|name| name == "USER"));
    }

    #[test]
    fn only_a_drop_of_everything_is_one() {
        let ends =
            |rule: &str| Chain { rules: vec![rule.into()], ..Chain::default() }.ends_in_a_drop();
        for rule in [
            "drop",
            "counter drop",
            "counter packets 1 bytes 2 drop",
            "reject with tcp reset",
            "drop comment \"x\"",
            "log prefix \"x\" drop",
        ] {
            assert!(ends(rule), "{rule}");
        }
        for rule in [
            "accept",
            "ct state invalid drop",
            "iifname \"a\" drop",
            "jump drop",
            "log prefix \"x\"",
        ] {
            assert!(!ends(rule), "{rule}");
        }
    }
}
