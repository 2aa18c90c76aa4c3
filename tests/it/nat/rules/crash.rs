//! Killed at any moment (campaign R14): what is not ours is as it was, what is ours is as wanted or gone.

use std::time::Duration;

use rustix::process::Signal;

use super::{Gate, OFFICE};
use crate::support::wait;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What our table may be: nothing, or one of these listings. A trial has both rulesets and is neither.
fn is_whole(listing: &str, wanted: &[String]) -> bool {
    listing.is_empty() || wanted.iter().any(|one| one == listing)
}

#[test]
fn killed_at_any_moment_it_leaves_others_alone_and_its_own_whole_or_gone() {
    let Some(gate) = Gate::lay() else { return };
    let kills =
        std::env::var("PORTOLAN_NAT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(16);
    let others = gate.others();
    let wider = OFFICE.replace("40009", "40019");
    let ours = || gate.prints(&["nft", "-s", "list", "table", "inet", "portolan_office"]);
    let wanted = [OFFICE, &wider].map(|script| {
        gate.done(script, &["apply"]);
        ours()
    });
    gate.done(OFFICE, &["revert"]);
    let seed =
        std::env::var("PORTOLAN_NAT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(14);
    let mut dice = Dice(seed);
    // As long as an undisturbed one takes here and now.
    let started = std::time::Instant::now();
    gate.done(OFFICE, &["apply"]);
    let usual = u64::try_from(started.elapsed().as_millis()).unwrap().max(20);
    let mut cut = 0;
    for number in 0..kills {
        let script = if number % 2 == 0 { &wider } else { OFFICE };
        let opening = format!(
            "nat::with_open(#{{ ports: 41000, to: \"192.168.50.10\" }}, || {{ sleep(\"10ms\"); }});{script}"
        );
        let program = match dice.below(5) {
            0 => gate.portolan(script).args(["nat", "apply", "gate.rhai"]),
            1 => {
                gate.portolan(script).args(["nat", "apply", "--confirm-within", "60s", "gate.rhai"])
            }
            2 => gate.portolan(script).args(["nat", "revert", "gate.rhai"]),
            3 => gate.portolan(&opening).args(["run", "--allow-nat", "gate.rhai"]),
            _ => gate.portolan(script).args(["run", "--allow-nat", "gate.rhai"]),
        };
        let running = gate.router.within(|| program.spawn());
        let time = Duration::from_millis(dice.below(usual));
        assert!(wait::until(time, || None::<()>).is_none());
        running.signal(Signal::KILL);
        let ran = running.wait().any_stdout().any_stderr().any_end();
        cut += u32::from(ran.was_killed());
        drop(ran);
        assert_eq!(gate.others(), others, "round {number}, seed {seed}");
        let listing = ours();
        let is_trial = listing.contains("map trial_");
        assert!(is_trial || is_whole(&listing, &wanted), "round {number}, seed {seed}\n{listing}");
        // What the kernel holds for a process is gone with it.
        let closed = || (!gate.rules().contains("portolan_open_")).then_some(());
        assert!(
            wait::until(Duration::from_secs(10), closed).is_some(),
            "round {number}, seed {seed}"
        );
        // Whoever comes next can go on, or take all of it away.
        if is_trial {
            gate.done(script, &["rollback"]);
            assert!(is_whole(&ours(), &wanted), "round {number}, seed {seed}\n{}", ours());
        }
    }
    gate.done(OFFICE, &["apply"]);
    assert_eq!(ours(), wanted[0]);
    gate.done(OFFICE, &["revert"]);
    assert_eq!(ours(), "");
    assert_eq!(gate.others(), others);
    assert_eq!(
        gate.forwards(),
        ["0", "0"],
        "what was before the first change is what is left, seed {seed}"
    );
    assert!(cut * 4 > kills, "only {cut} of {kills} were cut off");
}
