//! Figures of packets that are tried: of `nat test` for a way, and of plans beside large sets and of large rulesets. It
//! judges none; a machine may be shared.

use std::{fmt::Write, time::Instant};

use super::{Gate, OFFICE};

/// The number of foreign elements of sets, and of forwards.
const ELEMENTS: u32 = 300_000;
const FORWARDS: u32 = 500;
/// The number of measurements, of which the median is told.
const ROUNDS: usize = 5;

/// Returns the median time of `work`, in seconds.
fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}

#[test]
#[ignore = "prints figures and judges none"]
fn packets_are_tried_in_a_second_whatever_others_have() {
    let Some(gate) = Gate::lay() else { return };
    let plan =
        |script: &str| drop(gate.nat(script, &["plan"]).any_code().any_stdout().any_stderr());
    let without = median(|| plan(OFFICE));
    let mut rules =
        String::from("table inet blocked {\n set known {\n type ipv4_addr\n elements = { ");
    for number in 0..ELEMENTS {
        write!(rules, "10.{}.{}.{}, ", number >> 16, number >> 8 & 255, number & 255).unwrap();
    }
    rules.push_str(
        "}\n }\n chain c {\n type filter hook forward priority 0\n ip saddr @known drop\n }\n}",
    );
    gate.router.try_rules(&rules).unwrap();
    let beside = median(|| plan(OFFICE));
    let way = median(|| {
        let program = gate.portolan(OFFICE).args([
            "nat",
            "test",
            "--from",
            "203.0.113.10",
            "--to",
            "192.168.50.10:21",
        ]);
        drop(gate.router.within(|| program.run()).any_code().any_stdout().any_stderr());
    });
    let many = OFFICE.replace(
        "rules.forwarding",
        &format!(
            "for port in 2000..{} {{ rules.forward(#{{ ports: port, to: \"192.168.50.10\", in: \"wan\" }}); }} \
             rules.forwarding",
            2000 + FORWARDS
        ),
    );
    let large = median(|| plan(&many));
    println!(
        "plan {without:.2} s; beside {ELEMENTS} elements {beside:.2} s; of {FORWARDS} forwards {large:.2} s; \
         `nat test` {way:.2} s"
    );
}
