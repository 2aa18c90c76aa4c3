//! An opening that lasts as long as somebody holds it: a table that the kernel takes away with the process that owns it.
//!
//! The owner of a table is whoever holds the netlink socket that made it (Linux 5.12). A one-shot `nft -f` would take it
//! away with itself, and a socket of our own would need code that the compiler cannot check. So we hold an `nft -i`: its
//! standard input is a pipe of ours, and when we end, however that is, the pipe closes, nft ends, and the kernel removes
//! the table. Nobody else can remove it in the meantime, not even who takes all rules of the machine away.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    Reason,
    backend::{Backend, Found, not_permitted},
    chains::{Chains, MARK},
    guard,
    here::Here,
    model::{Part, Ruleset},
    nft,
    nftables::{Nftables, refused},
    rules::rules,
    tools,
};
use crate::fault::{Fault, Outcome};

/// Looks at the table until it is there; each takes some milliseconds.
const LOOKS_MAX: u32 = 1_000;

/// A name that no other opening has: they may stand in each other.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    match COUNT.fetch_add(1, Ordering::Relaxed) {
        0 => format!("open_{process}"),
        count => format!("open_{process}_{count}"),
    }
}

/// An opening. It is closed when this is dropped, and when the process ends.
#[derive(Debug)]
pub struct Opening {
    nft: Child,
    stdin: Option<ChildStdin>,
    table: String,
}

impl Opening {
    /// Opens `part` until it is dropped. Fails with `nat.not_permitted`, `nat.no_backend`, `nat.would_lock_out`,
    /// `nat.conflict` or `nat.nft_failed`.
    pub fn new(part: Part, force: bool) -> Outcome<Self> {
        let Some(nftables) = Nftables::find().found() else {
            let message = "an opening for a while needs nft: install nftables (Debian: `apt install nftables`)";
            return Err(Reason::NoBackend.fault(message));
        };
        let mut ruleset = Ruleset::new(&name())?;
        ruleset.add(part)?;
        let here = Here::look();
        let made = rules(&ruleset, &here)?;
        if !force {
            guard::check(&made, &here)?;
        }
        let absent = guard::absent(&made, &here);
        if !absent.is_empty() {
            return Err(Reason::UnknownInterface.fault(absent.join("; ")));
        }
        let table = ruleset.table();
        if nftables.found(&table)? == Found::Unreadable {
            return Err(not_permitted());
        }
        let chains = nft::chains(&made.all);
        nftables.listed(&table, &nft::table(&table, &chains))?;
        Self::hold(table, &chains, &nftables)
    }

    fn hold(table: String, chains: &Chains, nftables: &Nftables) -> Outcome<Self> {
        let mut command = tools::command(&["nft", "-i"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Fault::local("run", "nft", error))?;
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
            if let Found::Listing(listing) = nftables.found(&opening.table)?
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

    /// What nft said of it.
    fn failed(&mut self) -> Fault {
        self.end();
        let mut said = String::new();
        if let Some(mut pipe) = self.nft.stderr.take() {
            pipe.read_to_string(&mut said).ok();
        }
        refused(&said)
    }

    /// Lets nft end, and the kernel take the table away.
    fn end(&mut self) {
        drop(self.stdin.take());
        self.nft.wait().ok();
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.end();
    }
}
