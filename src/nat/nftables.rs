//! nftables by its program: text in, text out.

use std::time::Duration;

use super::{
    Reason,
    backend::{Backend, Found, not_permitted},
    listing::tables,
    nft::{self, Chains, Shape},
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
/// Who makes an empty network: root by itself, everybody else in a user namespace.
const SCRATCHES: [&[&str]; 2] =
    [&["unshare", "--net"], &["unshare", "--user", "--map-root-user", "--net"]];

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
}

/// Runs nft.
fn nft(arguments: &[&str], input: &str) -> Outcome<Ran> {
    let words: Vec<_> = ["nft"].iter().chain(arguments).copied().collect();
    tools::run(&words, input).map_err(|error| Fault::local("run", "nft", error))
}

impl Backend for Nftables {
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
        closed: &[Rule],
        time: Duration,
    ) -> Outcome<String> {
        Ok(nft::trial(table, new, old, closed, time))
    }

    fn listed(&self, table: &str, body: &str) -> Outcome<Option<String>> {
        for scratch in SCRATCHES {
            let words: Vec<_> =
                scratch.iter().chain(&["sh", "-c", SCRATCH, "sh", table]).copied().collect();
            match tools::run(&words, body) {
                Ok(ran) if ran.ok => return Ok(Some(ran.out)),
                // No such network here; another way may lead to one.
                Ok(ran) if ran.err.starts_with("unshare:") => {}
                Ok(ran) => return Err(refused(&ran.err)),
                Err(_) => {}
            }
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

    fn everything(&self) -> String {
        nft(&["-s", "list", "ruleset"], "")
            .ok()
            .filter(|ran| ran.ok)
            .map_or(String::new(), |ran| ran.out)
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
