//! A year of 200 jobs on the planner's own clock: `cargo bench --bench year`.
//!
//! The jobs are typical: half of them daily, a third hourly, some every quarter of an hour, a few every five minutes,
//! in five zones, with locks and dependencies.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and prints what it found"
)]

use std::{sync::Arc, time::Instant};

use portolan::schedule::{
    jobs::{Jobs, parse},
    plan::DecisionKind,
    simulate::{Happened, Scenario, simulate},
    zone::Zones,
};

const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"];

fn main() {
    // `cargo test` runs benches too, but without `--bench`.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let jobs = Arc::new(jobs());
    let [from, to] = ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"].map(|at| at.parse().unwrap());
    let run_time = std::time::Duration::from_mins(2);
    let scenario = Scenario { from, to, outages: Vec::new(), run_time };
    for round in 1..=3 {
        let (mut started, mut skipped) = (0_u64, 0_u64);
        let (began, processor) = (Instant::now(), processor_seconds());
        simulate(&jobs, &scenario, |_, happened| {
            if let Happened::Decided(decision) = happened {
                started += u64::from(decision.action == DecisionKind::Start);
                skipped += u64::from(decision.action == DecisionKind::Skip);
            }
        });
        let (seconds, processor) = (began.elapsed().as_secs_f64(), processor_seconds() - processor);
        println!(
            "round {round}: 200 jobs, a year, {started} runs, {skipped} skipped, {seconds:.2} s, \
             {processor:.2} s of the processor"
        );
    }
}

/// Returns the processor time of this process: on a shared machine the wall clock is unreliable.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds and parts of them")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

fn jobs() -> Jobs {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.rhai"), "").unwrap();
    let mut text = String::from("[runner]\nmax_running = 64\n");
    for number in 0..200 {
        let cron = match number {
            0..100 => "H H * * *",
            100..170 => "H * * * *",
            170..194 => "H/15 * * * *",
            _ => "*/5 * * * *",
        };
        let more = match number % 10 {
            3 => "locks = [\"host:one\"]".to_owned(),
            7 if number > 10 => format!("after = [\"job-{}\"]", number - 10),
            _ => String::new(),
        };
        let zone = ZONES.get(number % ZONES.len()).copied().unwrap_or("UTC");
        let job = format!(
            "[[job]]\nname = \"job-{number}\"\nscript = \"s.rhai\"\ncron = \"{cron}\"\ntimezone = \"{zone}\"\n{more}\n"
        );
        text.push_str(&job);
    }
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let reading = parse(text, &folder.path().join("portolan.toml"), &Zones::bundled(), now);
    assert!(reading.findings.is_empty(), "{:?}", reading.findings);
    reading.jobs.unwrap()
}
