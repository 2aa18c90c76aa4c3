//! nftables by its program: text in, text out.

use std::time::Duration;

use super::{
    Reason,
    backend::{Backend, Choice, Found, Start, not_permitted},
    chains::{Chains, Shape},
    listing::{Table, tables},
    nft,
    rules::Rule,
    tools::{self, Ran},
};
use crate::{
    fault::{Fault, Outcome},
    observe::visible::visible,
};

/// Loads a table into an empty network and lists it. The listing needs an nft of its own: one that has just loaded
/// lists what it remembers, not what the kernel has.
const SCRATCH: &str = "nft -f - && nft -s list table inet \"$1\"";

/// The nft of this machine.
#[derive(Debug)]
pub(super) struct Nftables {
    version: String,
}

impl Nftables {
    /// Finds it.
    pub(super) fn find() -> Option<Self> {
        let ran = tools::run(&["nft", "--version"], "").ok().filter(|ran| ran.ok)?;
        // nftables v1.0.6 (Lester Gooch #5)
        let version = ran.out.split_whitespace().nth(1)?.trim_start_matches('v');
        Some(Self { version: visible(version) })
    }

    /// Whether the kernel has what it speaks to: only who may not know is told that it is there.
    pub(super) fn works() -> bool {
        nft(&["list", "tables"], "").is_ok_and(|ran| ran.ok || is_forbidden(&ran.err))
    }
}

/// Runs nft.
fn nft(arguments: &[&str], input: &str) -> Outcome<Ran> {
    let words: Vec<_> = ["nft"].iter().chain(arguments).copied().collect();
    tools::run(&words, input).map_err(|error| Fault::local("run", "nft", error))
}

impl Backend for Nftables {
    fn choice(&self) -> Choice {
        Choice::Nft
    }

    fn words(&self) -> String {
        format!("nft {}", self.version)
    }

    fn place(&self, table: &str) -> String {
        format!("inet {table}")
    }

    fn chains(&self, rules: &[Rule]) -> Outcome<Chains> {
        Ok(nft::chains(rules))
    }

    fn body(&self, table: &str, chains: &Chains) -> String {
        nft::table(table, chains)
    }

    fn trial(
        &self,
        table: &str,
        new: &Chains,
        old: &Chains,
        closed: &Chains,
        time: Duration,
    ) -> Outcome<String> {
        Ok(nft::trial(table, new, old, closed, time))
    }

    fn listed(&self, table: &str, body: &str) -> Outcome<Option<String>> {
        match tools::scratch(&["sh", "-c", SCRATCH, "sh", table], body) {
            Some(ran) if ran.ok => return Ok(Some(ran.out)),
            Some(ran) => return Err(refused(&ran.err)),
            None => {}
        }
        let ran = nft(&["-c", "-f", "-"], body)?;
        if ran.ok || is_forbidden(&ran.err) { Ok(None) } else { Err(refused(&ran.err)) }
    }

    fn found(&self, table: &str) -> Outcome<Found> {
        let ran = nft(&["-s", "list", "table", "inet", table], "")?;
        match () {
            () if ran.ok => Ok(Found::Listing(ran.out)),
            () if is_forbidden(&ran.err) => Ok(Found::Unreadable),
            () if ran.err.contains("No such file or directory") => Ok(Found::Missing),
            () => Err(refused(&ran.err)),
        }
    }

    fn shape(&self, _: &str, listing: &str) -> Shape {
        tables(listing).first().map_or(Shape::Strange, nft::shape)
    }

    fn load(&self, table: &str, body: &str) -> Outcome<()> {
        done(&nft(&["-f", "-"], &nft::replacing(table, body))?)
    }

    fn remove(&self, table: &str) -> Outcome<()> {
        done(&nft(&["-f", "-"], &nft::removing(table))?)
    }

    fn everything(&self) -> Vec<Table> {
        let ran = nft(&["-s", "list", "ruleset"], "").ok().filter(|ran| ran.ok);
        ran.map(|ran| tables(&ran.out)).unwrap_or_default()
    }

    fn sees_legacy(&self) -> bool {
        false
    }

    fn commands(&self, table: &str, body: &str, _: &Found) -> Vec<String> {
        vec![format!("nft -f - <<'END'\n{}END", nft::replacing(table, body))]
    }

    fn at_start(&self, table: &str, body: &str) -> Start {
        Start {
            ending: "nft",
            text: format!("#!/usr/sbin/nft -f\n{}", nft::replacing(table, body)),
            load: "/usr/sbin/nft -f",
            unload: format!("/usr/sbin/nft delete table inet {table}"),
            after: "nftables.service",
            needs: "CapabilityBoundingSet=CAP_NET_ADMIN",
        }
    }
}

fn done(ran: &Ran) -> Outcome<()> {
    match () {
        () if ran.ok => Ok(()),
        () if is_forbidden(&ran.err) => Err(not_permitted()),
        () => Err(refused(&ran.err)),
    }
}

fn is_forbidden(words: &str) -> bool {
    words.contains("Operation not permitted") || words.contains("you must be root")
}

/// What nft says, in one line, with what is known of its cause.
pub(super) fn refused(words: &str) -> Fault {
    if words.contains("ct helper") && words.contains("No such file or directory") {
        return Reason::HelperMissing.fault(
            "the kernel has no FTP connection tracking: `modprobe nf_conntrack_ftp` and `modprobe nf_nat_ftp` load it \
             where it is a module",
        );
    }
    let first = words.lines().find(|line| line.contains("rror")).or(words.lines().next());
    let line = first.unwrap_or("it did not say why");
    let line = line.split_once("Error: ").map_or(line, |(_, rest)| rest);
    Reason::NftFailed.fault(format!("nft refused the rules: {}", visible(line)))
}
