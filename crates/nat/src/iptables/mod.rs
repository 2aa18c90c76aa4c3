//! The iptables backend, by its programs, if there is no nft: text in, text out.
//!
//! ```text
//! words    rules in iptables syntax        owns     portolan's part of a listing, and the steps to the wanted state
//! names    names of portolan's chains      start    the script that is run at boot
//! tables   tables that exist only since portolan used them
//! ```
//! One run of `iptables-restore` is one transaction for each table, not for all of them. Both families are therefore
//! tested first, and the caller takes back what was done before a failure.

mod names;
mod owns;
mod start;
mod tables;
mod words;

use std::{path::Path, time::Duration};

use jiff::SignedDuration;

use self::{
    names::ChainNames,
    owns::{Owns, SIX, SavedLine, lines, own, plain, shape, steps, text, trial},
};
use super::{
    NatError,
    backend::{Backend, BootPlan, Choice, FoundRules, not_permitted},
    chains::{Chains, Shape},
    check::Family,
    listing::{self, ChainHook, FilterTable},
    nftables::Nftables,
    persist::rules_file,
    rules::Rule,
    tools::{self, Ran},
};
use portolan_core::{
    clock::Clock,
    error::{Error, Result},
    observe::visible::visible,
};

/// The script that prints all rules; with `6`, those of IPv6 follow below their marker line.
const READ: &str = "iptables-save && { [ \"$1\" != 6 ] || { echo '# ip6' && ip6tables-save; }; }";
/// The script that loads the steps on standard input: first as a test, then for good. The shell survives the end of
/// this process and has all of its input, so a change that has begun is completed. It reads its input once, since
/// `/dev/stdin` is missing in small containers and in initramfs.
const LOAD: &str = "all=$(cat) && [ -n \"$all\" ] && command -v sed >/dev/null || exit 1
four() { printf '%s\\n' \"$all\" | sed '/^# ip6$/,$d' | iptables-restore -w 5 --noflush \"$@\"; }
six() { printf '%s\\n' \"$all\" | sed '1,/^# ip6$/d' | ip6tables-restore -w 5 --noflush \"$@\"; }
four --test && { [ \"$1\" != 6 ] || six --test; } && four && { [ \"$1\" != 6 ] || six; }";
/// The largest clock correction during a trial that does not end it.
const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(5);
/// The setting by which legacy iptables works in an empty network namespace without the right to take its lock.
const SCRATCH: &str = "export XTABLES_LOCKFILE=/dev/null";

/// Returns true if `chain` in the kernel's table `place` belongs to the ruleset whose nft table would be `table`.
pub(super) fn is_chain_of(table: &str, place: &str, chain: &str) -> bool {
    ChainNames::of(table).hook(place, chain).is_some()
}

/// The iptables of the host.
#[derive(Debug)]
pub(super) struct Iptables {
    version: String,
    is_legacy: bool,
    has_ipv6: bool,
}

impl Iptables {
    /// Detects the installed version, or returns `None`.
    pub(super) fn find() -> Option<Self> {
        // iptables-save v1.8.9 (nf_tables)
        let ran = tools::run(&["iptables-save", "--version"], "").ok().filter(|ran| ran.ok)?;
        let mut words = ran.out.split_whitespace().skip(1);
        let version = visible(words.next()?.trim_start_matches('v'));
        let is_legacy = words.next() != Some("(nf_tables)");
        let has_ipv6 = Path::new("/proc/net/if_inet6").exists()
            && tools::run(&["ip6tables-save", "--version"], "").is_ok_and(|ran| ran.ok);
        Some(Self { version, is_legacy, has_ipv6 })
    }

    /// Returns the argument that tells a script whether to handle IPv6 as well.
    const fn families(&self) -> &'static str {
        if self.has_ipv6 { "6" } else { "4" }
    }

    fn shell(&self, script: &str, input: &str) -> Result<Ran> {
        let words = ["sh", "-c", script, "sh", self.families()];
        tools::run(&words, input).map_err(|error| Error::local("run", "iptables", error))
    }

    /// Returns the full listing, or `None` without the right to read it.
    fn saved(&self) -> Result<Option<String>> {
        let ran = self.shell(READ, "")?;
        match () {
            () if ran.ok => Ok(Some(ran.out)),
            () if is_forbidden(&ran.err) => Ok(None),
            () => Err(refused(&ran.err, "")),
        }
    }

    fn owns(&self, names: &ChainNames) -> Result<Owns> {
        let saved = self.saved()?.ok_or_else(not_permitted)?;
        Ok(own(&saved, names))
    }

    fn change(&self, names: &ChainNames, wanted: &Owns) -> Result<()> {
        let steps = steps(&self.owns(names)?, wanted);
        if steps.is_empty() {
            return Ok(());
        }
        let ran = self.shell(LOAD, &steps)?;
        match () {
            () if ran.ok => Ok(()),
            () if is_forbidden(&ran.err) => Err(not_permitted()),
            () => Err(refused(&ran.err, &steps)),
        }
    }
}

impl Backend for Iptables {
    fn choice(&self) -> Choice {
        Choice::Iptables
    }

    fn words(&self) -> String {
        let kind = if self.is_legacy { "legacy" } else { "nf_tables" };
        format!("iptables {} ({kind})", self.version)
    }

    fn place(&self, table: &str) -> String {
        format!("iptables {}*", ChainNames::of(table).beginning())
    }

    fn chains(&self, rules: &[Rule]) -> Result<Chains> {
        let needs = rules.iter().find(|rule| rule.family == Some(Family::V6));
        if let Some(rule) = needs.filter(|_| !self.has_ipv6) {
            let message = format!(
                "`{}` is about IPv6, and this machine has no IPv6 or no ip6tables",
                rule.note
            );
            return Err(NatError::NoBackend.fault(message));
        }
        Ok(words::chains(rules, self.has_ipv6))
    }

    fn body(&self, table: &str, chains: &Chains) -> String {
        text(&plain(&ChainNames::of(table), chains))
    }

    fn trial(
        &self,
        table: &str,
        new: &Chains,
        old: &Chains,
        closed: &Chains,
        time: Duration,
    ) -> Result<String> {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let now = Clock::System.now();
        let moment = |from_now: SignedDuration| {
            now.saturating_add(from_now).map_err(|_| Error::invalid("`confirm_within` is too long"))
        };
        // The kernel counts whole seconds: the second that has begun is added.
        let span = (moment(-CLOCK_STEP)?, moment(time + SignedDuration::from_secs(1))?);
        let body = text(&trial(&ChainNames::of(table), new, old, closed, span));
        self.listed(table, &body).map_err(|fault| {
            let message = format!(
                "a trial without nft needs the `time` match of iptables and of the kernel (xt_time), by which the old rules \
                 return, and that cannot be had here: apply without `confirm_within`, or install nftables ({})",
                fault.message
            );
            NatError::NoTimer.fault(message)
        })?;
        Ok(body)
    }

    fn listed(&self, table: &str, body: &str) -> Result<Option<String>> {
        let names = ChainNames::of(table);
        let wanted = own(body, &names);
        if wanted.is_empty() {
            return Ok(Some(String::new()));
        }
        let steps = steps(&Owns::new(), &wanted);
        let script = format!("{SCRATCH}\n{{ {LOAD}; }} && {READ}");
        let ran = tools::scratch(&["sh", "-c", &script, "sh", self.families()], &steps);
        match ran {
            Some(ran) if ran.ok => {
                let found = own(&ran.out, &names);
                if found.is_empty() {
                    let message = "iptables lists nothing of what it has loaded in an empty network namespace";
                    return Err(NatError::IptablesFailed.fault(message));
                }
                Ok(Some(text(&found)))
            }
            Some(ran) if is_forbidden(&ran.err) => Ok(None),
            Some(ran) => Err(refused(&ran.err, body)),
            // No test is possible without the right to create a network namespace.
            None => Ok(None),
        }
    }

    fn found(&self, table: &str) -> Result<FoundRules> {
        let names = ChainNames::of(table);
        let Some(saved) = self.saved()? else { return Ok(FoundRules::Unreadable) };
        let owns = own(&saved, &names);
        Ok(if owns.is_empty() { FoundRules::Missing } else { FoundRules::Listing(text(&owns)) })
    }

    fn shape(&self, table: &str, listing: &str) -> Shape {
        let names = ChainNames::of(table);
        shape(&own(listing, &names), &names, Clock::System.now())
    }

    fn load(&self, table: &str, body: &str) -> Result<()> {
        let names = ChainNames::of(table);
        self.change(&names, &own(body, &names))
    }

    fn remove(&self, table: &str) -> Result<()> {
        self.change(&ChainNames::of(table), &Owns::new())
    }

    fn everything(&self) -> Vec<FilterTable> {
        let saved = self.saved().ok().flatten().unwrap_or_default();
        let mut all = as_tables(&saved);
        // Rules of nftables are in force as well, and are read by nft if it is installed.
        let others = Nftables::find().found().map(|nft| nft.everything()).unwrap_or_default();
        let is_known = |one: &FilterTable| {
            all.iter().any(|own| (&own.family, &own.name) == (&one.family, &one.name))
        };
        let others: Vec<_> = others.into_iter().filter(|one| !is_known(one)).collect();
        all.extend(others);
        all
    }

    fn sees_legacy(&self) -> bool {
        self.is_legacy
    }

    fn new_tables(&self, table: &str, body: &str) -> Result<Vec<String>> {
        let saved = self.saved()?.ok_or_else(not_permitted)?;
        let owns = own(body, &ChainNames::of(table));
        Ok(tables::missing(&saved, owns.keys()))
    }

    fn remove_tables(&self, made: &[String]) -> Result<Option<String>> {
        if made.is_empty() {
            return Ok(None);
        }
        let saved = self.saved()?.ok_or_else(not_permitted)?;
        let empty = tables::empty(&saved, made);
        if self.is_legacy {
            return Ok(tables::note(empty.iter().map(|(name, _)| *name)));
        }
        let mut left = Vec::new();
        for (name, chains) in empty {
            let (family, table) = name.split_once(' ').unwrap_or(("ip", name));
            let program = if family == "ip6" { "ip6tables" } else { "iptables" };
            for chain in chains {
                let words = [program, "-w", "5", "-t", table, "-X", chain];
                let ran = tools::run(&words, "");
                let ran = ran.map_err(|error| Error::local("run", program, error))?;
                left.extend((!ran.ok).then_some(name));
            }
            // A table without chains is not in the way of packets, and only nft removes it.
            tables::remove_by_nft(family, table);
        }
        left.dedup();
        Ok(tables::note(left.into_iter()))
    }

    fn exported(&self, table: &str, body: &str) -> String {
        let names = ChainNames::of(table);
        start::script(&names, &own(body, &names))
    }

    fn commands(&self, table: &str, body: &str, found: &FoundRules) -> Vec<String> {
        let names = ChainNames::of(table);
        let found = match found {
            FoundRules::Listing(listing) => own(listing, &names),
            FoundRules::Missing | FoundRules::Unreadable => Owns::new(),
        };
        let steps = steps(&found, &own(body, &names));
        let parts = steps.split_once(SIX).unwrap_or((&steps, ""));
        [("iptables", parts.0), ("ip6tables", parts.1.trim_start())]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(program, text)| format!("{program}-restore -w 5 --noflush <<'END'\n{text}END"))
            .collect()
    }

    fn loads(&self, table: &str, file: &Path) -> Result<Option<String>> {
        let file = file.to_string_lossy();
        let script = format!("{SCRATCH}\nsh \"$2\" && {READ}");
        let ran = tools::scratch(&["sh", "-c", &script, "sh", self.families(), &file], "");
        match ran {
            Some(ran) if ran.ok => Ok(Some(text(&own(&ran.out, &ChainNames::of(table))))),
            Some(ran) => Err(refused(&ran.err, "")),
            None => Ok(None),
        }
    }

    fn at_start(&self, table: &str, body: &str) -> BootPlan {
        let names = ChainNames::of(table);
        let file = rules_file(names.ruleset(), "sh");
        BootPlan {
            ending: "sh",
            text: start::script(&names, &own(body, &names)),
            load: "/bin/sh",
            unload: format!("/bin/sh {file} stop"),
            after: "nftables.service netfilter-persistent.service iptables.service ip6tables.service",
            // Legacy iptables opens a raw socket, and locks a file in /run.
            needs: "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW\nReadWritePaths=/run",
        }
    }
}

/// Converts the output of `iptables-save` to nftables terms, as far as callers use them.
fn as_tables(saved: &str) -> Vec<FilterTable> {
    let mut all: Vec<FilterTable> = Vec::new();
    for (family, name, line) in lines(saved) {
        let family = family.as_str();
        if all
            .last()
            .is_none_or(|table| (table.family.as_str(), table.name.as_str()) != (family, name))
        {
            all.push(FilterTable {
                family: family.into(),
                name: name.into(),
                ..FilterTable::default()
            });
        }
        let Some(table) = all.last_mut() else { continue };
        match line {
            SavedLine::Chain(chain, policy) => {
                let hook = (policy != "-").then(|| ChainHook {
                    kind: if name == "nat" { "nat" } else { "filter" }.into(),
                    hook: chain.to_ascii_lowercase(),
                    policy: policy.to_ascii_lowercase(),
                });
                table.chains.push(listing::Chain { name: chain.into(), hook, rules: Vec::new() });
            }
            SavedLine::Rule(chain, rule) => {
                if let Some(chain) = table.chains.iter_mut().find(|one| one.name == chain) {
                    chain.rules.push(as_rule(rule));
                }
            }
        }
    }
    all
}

/// Converts a rule that drops everything to nft syntax; any other is unchanged.
fn as_rule(rule: &str) -> String {
    let words: Vec<_> = rule.split(' ').collect();
    match words.as_slice() {
        ["-j", "DROP"] => "drop".into(),
        ["-j", "REJECT", ..] => "reject".into(),
        _ => rule.to_owned(),
    }
}

fn is_forbidden(words: &str) -> bool {
    ["Permission denied", "Operation not permitted", "you must be root"]
        .iter()
        .any(|said| words.contains(said))
}

/// Returns the fault for an error message of iptables, in one line, with the known cause.
fn refused(words: &str, text: &str) -> Error {
    if text.contains("--helper ftp")
        && ["No such file or directory): rule in", "No chain/target/match"]
            .iter()
            .any(|said| words.contains(said))
    {
        return NatError::HelperMissing.fault(
            "the kernel has no FTP connection tracking, or none that iptables can use: `modprobe nf_conntrack_ftp`, \
             `modprobe nf_nat_ftp` and `modprobe xt_CT` load it where it is a module",
        );
    }
    let lines =
        words.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let said: Vec<_> = lines.filter(|line| !line.ends_with(':')).take(2).collect();
    let said = if said.is_empty() { "it did not say why".to_owned() } else { said.join("; ") };
    NatError::IptablesFailed.fault(format!("iptables refused the rules: {}", visible(said)))
}
