//! The nftables backend, by its program: text in, text out.

use std::{io, path::Path, time::Duration};

use super::{
    NatError,
    backend::{Backend, BootPlan, Choice, FoundRules, not_permitted},
    chains::{Chains, Shape},
    listing::{FilterTable, tables},
    nft,
    rules::Rule,
    tools::{self, Ran},
};
use portolan_core::{
    error::{Error, Result},
    observe::visible::visible,
};

/// The script that loads a table into an empty network namespace and lists it. The listing needs a second nft: the one
/// that has just loaded lists its own cache, not the kernel's state.
const SCRATCH: &str = "nft -f \"$2\" && nft -s list table inet \"$1\"";

/// The nft of the host.
#[derive(Debug)]
pub(super) struct Nftables {
    version: String,
}

impl Nftables {
    /// Detects the installed version.
    pub(super) fn find() -> Find {
        let ran = match tools::run(&["nft", "--version"], "") {
            Ok(ran) => ran,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Find::Missing,
            Err(error) => return Find::Broken(format!("`nft --version`: {error}")),
        };
        // nftables v1.0.6 (Lester Gooch #5)
        match ran.out.split_whitespace().nth(1).filter(|_| ran.ok) {
            Some(version) => {
                Find::Found(Self { version: visible(version.trim_start_matches('v')) })
            }
            None => Find::Broken(format!("`nft --version`: {}", what_it_said(&ran))),
        }
    }

    /// Tests if the kernel supports nftables, and returns the error if not. A refusal for lack of privileges counts as
    /// support.
    pub(super) fn try_out() -> Result<(), String> {
        // Terse: nft reads the elements of all sets otherwise, although it prints none.
        if nft(&["-t", "list", "ruleset"], "").is_ok_and(|ran| ran.ok) {
            return Ok(());
        }
        match nft(&["list", "tables"], "") {
            Ok(ran) if ran.ok || is_forbidden(&ran.err) => Ok(()),
            Ok(ran) => Err(format!("`nft list tables`: {}", what_it_said(&ran))),
            Err(fault) => Err(fault.message),
        }
    }
}

/// The result of looking for nft.
pub(super) enum Find {
    /// It is installed.
    Found(Nftables),
    /// It is not installed.
    Missing,
    /// It is installed but does not work, for this reason.
    Broken(String),
}

impl Find {
    /// Returns nft, if there is one that works.
    pub(super) fn found(self) -> Option<Nftables> {
        match self {
            Self::Found(nftables) => Some(nftables),
            Self::Missing | Self::Broken(_) => None,
        }
    }
}

/// Returns the first line of output of a program that did not do what it should.
fn what_it_said(ran: &Ran) -> String {
    let line = ran.err.lines().chain(ran.out.lines()).find(|line| !line.trim().is_empty());
    let nothing = if ran.ok { "it said nothing" } else { "it failed without a word" };
    line.map_or_else(|| nothing.into(), visible)
}

/// Runs nft.
pub(super) fn nft(arguments: &[&str], input: &str) -> Result<Ran> {
    let words: Vec<_> = ["nft"].iter().chain(arguments).copied().collect();
    tools::run(&words, input).map_err(|error| Error::local("run", "nft", error))
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

    fn chains(&self, rules: &[Rule]) -> Result<Chains> {
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
    ) -> Result<String> {
        let body = nft::trial(table, new, old, closed, time);
        self.listed(table, &body).map_err(|fault| {
            let message = format!(
                "a trial needs maps with a timeout, by which the kernel ends it, and they cannot be had here: apply \
                 without `confirm_within` ({})",
                fault.message
            );
            NatError::NoTimer.fault(message)
        })?;
        Ok(body)
    }

    fn listed(&self, table: &str, body: &str) -> Result<Option<String>> {
        match tools::scratch(&["sh", "-c", SCRATCH, "sh", table, "-"], body) {
            // A table without rules is listed as well.
            Some(ran) if ran.ok && ran.out.trim().is_empty() => {
                let message =
                    "nft lists nothing of what it has loaded in an empty network namespace";
                return Err(NatError::NftFailed.fault(message));
            }
            Some(ran) if ran.ok => return Ok(Some(ran.out)),
            Some(ran) => return Err(refused(&ran.err)),
            None => {}
        }
        let ran = nft(&["-c", "-f", "-"], body)?;
        if ran.ok || is_forbidden(&ran.err) { Ok(None) } else { Err(refused(&ran.err)) }
    }

    fn found(&self, table: &str) -> Result<FoundRules> {
        let ran = nft(&["-s", "list", "table", "inet", table], "")?;
        match () {
            () if ran.ok => Ok(FoundRules::Listing(ran.out)),
            () if is_forbidden(&ran.err) => Ok(FoundRules::Unreadable),
            () if ran.err.contains("No such file or directory") => Ok(FoundRules::Missing),
            () => Err(refused(&ran.err)),
        }
    }

    fn shape(&self, _: &str, listing: &str) -> Shape {
        tables(listing).first().map_or(Shape::Strange, nft::shape)
    }

    fn load(&self, table: &str, body: &str) -> Result<()> {
        done(&nft(&["-f", "-"], &nft::replacing(table, body))?)
    }

    fn remove(&self, table: &str) -> Result<()> {
        done(&nft(&["-f", "-"], &nft::removing(table))?)
    }

    fn everything(&self) -> Vec<FilterTable> {
        let ran = nft(&["-s", "-t", "list", "ruleset"], "").ok().filter(|ran| ran.ok);
        ran.map(|ran| tables(&ran.out)).unwrap_or_default()
    }

    fn sees_legacy(&self) -> bool {
        false
    }

    fn new_tables(&self, _: &str, _: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn remove_tables(&self, _: &[String]) -> Result<Option<String>> {
        Ok(None)
    }

    fn exported(&self, table: &str, body: &str) -> String {
        nft::replacing(table, body)
    }

    fn commands(&self, table: &str, body: &str, _: &FoundRules) -> Vec<String> {
        vec![format!("nft -f - <<'END'\n{}END", nft::replacing(table, body))]
    }

    fn loads(&self, table: &str, file: &Path) -> Result<Option<String>> {
        let file = file.to_string_lossy();
        match tools::scratch(&["sh", "-c", SCRATCH, "sh", table, &file], "") {
            Some(ran) if ran.ok => Ok(Some(ran.out)),
            Some(ran) => Err(refused(&ran.err)),
            None => Ok(None),
        }
    }

    fn at_start(&self, table: &str, body: &str) -> BootPlan {
        BootPlan {
            ending: "nft",
            text: format!("#!/usr/sbin/nft -f\n{}", nft::replacing(table, body)),
            load: "/usr/sbin/nft -f",
            // The table may be gone: whatever restarts the filter flushes all rules.
            unload: format!("-/usr/sbin/nft delete table inet {table}"),
            after: "nftables.service",
            needs: "CapabilityBoundingSet=CAP_NET_ADMIN",
        }
    }
}

fn done(ran: &Ran) -> Result<()> {
    match () {
        () if ran.ok => Ok(()),
        () if is_forbidden(&ran.err) => Err(not_permitted()),
        () => Err(refused(&ran.err)),
    }
}

fn is_forbidden(words: &str) -> bool {
    words.contains("Operation not permitted") || words.contains("you must be root")
}

/// Returns the fault for an error message of nft, in one line, with the known cause.
pub(super) fn refused(words: &str) -> Error {
    if words.contains("ct helper") && words.contains("No such file or directory") {
        return NatError::HelperMissing.fault(
            "the kernel has no FTP connection tracking: `modprobe nf_conntrack_ftp` and `modprobe nf_nat_ftp` load it \
             where it is a module",
        );
    }
    let first = words.lines().find(|line| line.contains("rror")).or(words.lines().next());
    let line = first.unwrap_or("it did not say why");
    let line = line.split_once("Error: ").map_or(line, |(_, rest)| rest);
    NatError::NftFailed.fault(format!("nft refused the rules: {}", visible(line)))
}
