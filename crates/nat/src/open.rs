//! A temporary table, which the kernel removes together with the process that owns it.
//!
//! The owner of a table is the process that holds the netlink socket that created it (Linux 5.12). A one-shot `nft -f`
//! would take the table away when it exits, and a netlink socket of our own would need unsafe code. An `nft -i` is held
//! instead: its standard input is a pipe from this process, and when this process ends, however that happens, the pipe
//! closes, nft exits, and the kernel removes the table. No other process can remove it in the meantime, not even by
//! flushing the whole ruleset.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    NatError,
    backend::{Backend, FoundRules, not_permitted},
    chains::{Chains, MARK},
    guard,
    host::HostNetwork,
    model::{RulesetPart, RulesetSpec},
    nft,
    nftables::{Nftables, refused},
    rules::rules,
    tools,
};
use portolan_core::error::{Error, Result};

/// The maximum number of checks for the table; each takes some milliseconds.
const LOOKS_MAX: u32 = 1_000;

/// Returns a name that no other temporary table has: several may exist at the same time, one within another.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    match COUNT.fetch_add(1, Ordering::Relaxed) {
        0 => format!("open_{process}"),
        count => format!("open_{process}_{count}"),
    }
}

/// A temporary table. It is removed when this is dropped, and when the process ends.
#[derive(Debug)]
pub struct TemporaryRule {
    nft: Child,
    stdin: Option<ChildStdin>,
    table: String,
}

impl TemporaryRule {
    /// Opens `parts` until the result is dropped. Fails with `nat.not_permitted`, `nat.no_backend`,
    /// `nat.would_lock_out`, `nat.conflict`, `nat.unknown_interface` or `nat.nft_failed`.
    pub fn new(parts: Vec<RulesetPart>, force: bool) -> Result<Self> {
        let Some(nftables) = Nftables::find().found() else {
            let message = "an opening for a while needs nft: install nftables (Debian: `apt install nftables`)";
            return Err(NatError::NoBackend.fault(message));
        };
        let mut ruleset = RulesetSpec::new(&name())?;
        parts.into_iter().try_for_each(|part| ruleset.add(part))?;
        let here = HostNetwork::look();
        let made = rules(&ruleset, &here)?;
        if !force {
            guard::check(&made, &here, None)?;
        }
        let absent = guard::absent(&made, &here);
        if !absent.is_empty() {
            return Err(NatError::UnknownInterface.fault(absent.join("; ")));
        }
        let table = ruleset.table();
        if nftables.found(&table)? == FoundRules::Unreadable {
            return Err(not_permitted());
        }
        let chains = nft::chains(&made.all);
        nftables.listed(&table, &nft::table(&table, &chains))?;
        Self::hold(table, &chains, &nftables)
    }

    fn hold(table: String, chains: &Chains, nftables: &Nftables) -> Result<Self> {
        let mut command = tools::command(&["nft", "-i"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Error::local("run", "nft", error))?;
        let mut stdin = child.stdin.take();
        let said = stdin.as_mut().map(|pipe| {
            let lines = nft::owned(&table, chains);
            pipe.write_all(lines.as_bytes()).and_then(|()| pipe.flush())
        });
        let mut opening = Self { nft: child, stdin, table };
        if !matches!(said, Some(Ok(()))) {
            return Err(opening.failed());
        }
        let wanted: usize = chains.values().map(Vec::len).sum();
        for _ in 0..LOOKS_MAX {
            if let FoundRules::Listing(listing) = nftables.found(&opening.table)?
                && listing.matches(MARK).count() >= wanted
            {
                return Ok(opening);
            }
            if opening.nft.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
        }
        Err(opening.failed())
    }

    /// Ends nft and returns its error output as a fault.
    fn failed(&mut self) -> Error {
        self.end();
        let mut said = String::new();
        if let Some(mut pipe) = self.nft.stderr.take() {
            pipe.read_to_string(&mut said).ok();
        }
        refused(&said)
    }

    /// Ends nft, upon which the kernel removes the table.
    fn end(&mut self) {
        drop(self.stdin.take());
        self.nft.wait().ok();
    }
}

impl Drop for TemporaryRule {
    fn drop(&mut self) {
        self.end();
    }
}
