//! Rules are replaced during running transfers, and none of them breaks.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{Gate, OFFICE, times};
use crate::support::{
    program::{Portolan, Running},
    rehearsal::Rehearsal,
    server::say_skipped,
};

/// Transfers in active mode only: each file needs the helper, and a new connection through the router.
const TRANSFERS: &str = r#"
    let site = ftp::connect("ftp://tester@203.0.113.10", #{ password: "open+sesame-21", mode: "active", fallback: false });
    let wanted = site.read_blob("/a");
    let count = 0;
    while !local::exists("stop") {
        site.get("/a", "b");
        if local::sha256("b") != args[0] { fail(`transfer ${count} brought other bytes`); }
        site.put("b", "/back");
        count += 1;
    }
    print(count);
"#;

/// A gate with the helper, rules with another range, and a server.
struct World {
    gate: Gate,
    scripts: [String; 2],
    server: Rehearsal,
    sum: String,
}

impl World {
    fn lay(test: &str) -> Option<Self> {
        use sha2::{Digest, Sha256};
        let gate = Gate::lay()?;
        let helper = "rules.ftp_helper(#{}); rules.forwarding(true);";
        let one = OFFICE.replace("rules.forwarding(true);", helper);
        let ran = gate.nat(&one, &["apply"]);
        if ran.stderr_text().contains("nat.helper_missing") {
            ran.forget();
            say_skipped(test, "the kernel has no FTP connection tracking");
            return None;
        }
        drop(ran.succeeds().any_stdout().any_stderr());
        let address = SocketAddr::from(([203, 0, 113, 10], 21));
        let start = || Rehearsal::start_at(address, "203.0.113.10", &[], false);
        let server = gate.server.within(start);
        let bytes: Vec<u8> = (0..=255).cycle().take(300_001).collect();
        let sum = Sha256::digest(&bytes)
            .iter()
            .fold(String::new(), |text, byte| text + format!("{byte:02x}").as_str());
        server.file("a", bytes);
        let other = one.replace("40009", "40019");
        Some(Self { gate, scripts: [other, one], server, sum })
    }

    fn transfers(&self) -> Running {
        let program = Portolan::new().script(TRANSFERS).args([&self.sum]);
        self.gate.client.within(|| program.spawn())
    }

    /// Ends the transfers, every one of which must have been complete.
    fn end(&self, running: Running) {
        std::fs::write(running.folder().join("stop"), "").unwrap();
        let ran = running.wait().succeeds().any_stderr().any_files();
        let count: u32 = ran.stdout_text().trim().parse().unwrap();
        assert!(count > 1, "{count} transfers");
        assert_eq!(self.server.bytes("back"), self.server.bytes("a"));
        drop(ran.any_stdout());
    }
}

#[test]
fn rules_that_portolan_replaces_break_no_transfer() {
    let Some(world) = World::lay("rules_that_portolan_replaces_break_no_transfer") else { return };
    let running = world.transfers();
    let count = times("PORTOLAN_NAT_REAPPLIES", 12);
    for script in world.scripts.iter().cycle().take(count) {
        assert_eq!(world.gate.done(script, &["apply"]), "office: applied\n");
    }
    world.end(running);
    assert!(world.gate.done(&world.scripts[(count + 1) % 2], &["plan"]).contains("No changes."));
}

/// Checks the kernel's own guarantee, with replacements as fast as nft can make them.
#[test]
fn tables_that_are_replaced_without_a_pause_break_no_transfer() {
    let Some(world) = World::lay("tables_that_are_replaced_without_a_pause") else { return };
    let list = ["nft", "-s", "list", "table", "inet", "portolan_office"];
    let text = world.gate.prints(&list);
    let table = "table inet portolan_office";
    let text = format!("{table}\ndelete {table}\n{text}");
    let running = world.transfers();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) || count < 10 {
                world.gate.router.try_rules(&text).unwrap();
                count += 1;
            }
        });
        let enough = || (world.server.bytes("back").is_some()).then_some(());
        let is_there = crate::support::wait::until(std::time::Duration::from_mins(1), enough);
        is_over.store(true, Ordering::Relaxed);
        replacing.join().unwrap();
        assert!(is_there.is_some(), "not one transfer in a minute");
    });
    world.end(running);
}
