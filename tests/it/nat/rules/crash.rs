//! Killed at any moment (campaign R14): foreign rules are unchanged, ours are as wanted or removed.

use std::time::Duration;

use portolan::random::SeededRng;
use rustix::process::{Pid, Signal, kill_process};

use super::{Gate, OFFICE, times};
use crate::{
    serve::scheduler::{Scheduler, on_request},
    support::wait,
};

/// Returns true if our table is absent or equals one of these listings. A trial has both rulesets and is neither.
fn is_whole(listing: &str, wanted: &[String]) -> bool {
    listing.is_empty() || wanted.iter().any(|one| one == listing)
}

#[test]
fn killed_at_any_moment_it_leaves_others_alone_and_its_own_whole_or_gone() {
    let Some(gate) = Gate::lay() else { return };
    let kills = times("PORTOLAN_NAT_KILLS", 16);
    let others = gate.others();
    let wider = OFFICE.replace("40009", "40019");
    let ours = || gate.prints(&["nft", "-s", "list", "table", "inet", "portolan_office"]);
    let wanted = [OFFICE, &wider].map(|script| {
        gate.done(script, &["apply"]);
        ours()
    });
    gate.done(OFFICE, &["revert"]);
    let seed = times("PORTOLAN_NAT_SEED", 14) as u64;
    let mut dice = SeededRng::new(seed);
    // The time of an undisturbed one, here and now.
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
        cut += usize::from(ran.was_killed());
        drop(ran);
        assert_eq!(gate.others(), others, "round {number}, seed {seed}");
        let listing = ours();
        let is_trial = listing.contains("map trial_");
        assert!(is_trial || is_whole(&listing, &wanted), "round {number}, seed {seed}\n{listing}");
        // The kernel removes the table of a process with the process.
        let closed = || (!gate.rules().contains("portolan_open_")).then_some(());
        assert!(
            wait::until(Duration::from_secs(10), closed).is_some(),
            "round {number}, seed {seed}"
        );
        // The next command can go on, or remove all of it.
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

/// The repeated steps of a job: open, apply, apply a change, revert.
const JOB: &str = r#"
nat::with_open(#{ ports: 41000, to: "192.168.50.10", in: "wan" }, || sleep("10ms"));
for last in ["40009", "40019"] {
    let rules = nat::ruleset("office");
    rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" });
    rules.ftp_active(#{ ports: "40000-" + last, to: "192.168.50.10", in: "wan" });
    rules.forwarding(true);
    rules.apply();
}
nat::ruleset("office").revert();
"#;

#[test]
fn a_scheduler_or_its_run_killed_at_any_moment_leaves_as_little() {
    let Some(gate) = Gate::lay() else { return };
    let kills = times("PORTOLAN_NAT_KILLS", 6);
    let others = gate.others();
    let wider = OFFICE.replace("40009", "40019");
    let ours = || gate.prints(&["nft", "-s", "list", "table", "inet", "portolan_office"]);
    let wanted = [OFFICE, &wider].map(|script| {
        gate.done(script, &["apply"]);
        ours()
    });
    gate.done(OFFICE, &["revert"]);
    let mut scheduler = Scheduler::new(&on_request("gate", "allow = [\"nat\"]\nretries = 0"));
    scheduler.file("gate.rhai", JOB);
    let command = |scheduler: &Scheduler, words: &[&str]| {
        gate.router.within(|| scheduler.command(words)).any_stdout().any_stderr()
    };
    // The time of an undisturbed one, here and now.
    gate.router.within(|| scheduler.start());
    let started = std::time::Instant::now();
    drop(command(&scheduler, &["trigger", "gate", "--wait"]).succeeds());
    let usual = u64::try_from(started.elapsed().as_millis()).unwrap().max(20);
    assert_eq!((ours().as_str(), gate.forwards()), ("", ["0", "0"].map(str::to_owned)));
    let seed = times("PORTOLAN_NAT_SEED", 15) as u64;
    let mut dice = SeededRng::new(seed);
    let mut cut = 0;
    for number in 0..kills {
        let round = format!("round {number}, seed {seed}");
        drop(command(&scheduler, &["trigger", "gate"]).succeeds());
        let begun = || scheduler.children().first().copied();
        // On a busy machine it may be over before it is observed.
        let Some(run) = wait::until(Duration::from_secs(20), begun) else { continue };
        let time = Duration::from_millis(dice.below(usual));
        assert!(wait::until(time, || None::<()>).is_none());
        if dice.below(2) == 0 {
            // The scheduler lives, and sees its run end.
            let run = Pid::from_raw(run.cast_signed()).unwrap();
            cut += usize::from(kill_process(run, Signal::KILL).is_ok());
        } else {
            scheduler.kill();
            cut += 1;
        }
        let gone = || scheduler.children().is_empty().then_some(());
        assert!(wait::until(Duration::from_secs(50), gone).is_some(), "{round}");
        let closed = || (!gate.rules().contains("portolan_open_")).then_some(());
        assert!(wait::until(Duration::from_secs(10), closed).is_some(), "{round}");
        assert_eq!(gate.others(), others, "{round}");
        assert!(is_whole(&ours(), &wanted), "{round}\n{}", ours());
        if !scheduler.is_running() {
            gate.router.within(|| scheduler.start());
        }
        let idle = || scheduler.children().is_empty().then_some(());
        assert!(wait::until(Duration::from_secs(50), idle).is_some(), "{round}");
    }
    assert!(cut * 4 > kills, "only {cut} of {kills} were cut off");
    // The next run continues from the remaining state, and ends as it should.
    drop(command(&scheduler, &["trigger", "gate", "--wait"]).succeeds());
    assert_eq!((ours().as_str(), gate.forwards()), ("", ["0", "0"].map(str::to_owned)));
    assert_eq!(gate.others(), others);
    drop(scheduler.stop());
}

#[test]
fn a_job_changes_nothing_unless_its_file_lets_it() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let mut scheduler = Scheduler::new(&on_request("gate", "retries = 0"));
    scheduler.file("gate.rhai", OFFICE);
    gate.router.within(|| scheduler.start());
    let run = || scheduler.command(&["trigger", "gate", "--wait"]);
    let ran = gate.router.within(run).any_code().any_stdout().any_stderr();
    drop(ran);
    let run = scheduler.runs().pop().unwrap();
    assert_eq!(run["outcome"], "failed", "{run}");
    let said = scheduler.show(&run["id"]).to_string();
    assert!(said.contains("nat.not_allowed") || said.contains("allow = ["), "{said}");
    assert_eq!(gate.rules(), before);
    drop(scheduler.stop());
}
