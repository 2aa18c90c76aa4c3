//! Figures of a store on a server, which are printed and not judged:
//! `cargo test -p portolan-store -- --ignored --nocapture fleet::speed`.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Dispatch, RunClaim, WorkerRecord, tests::slot};
use crate::{
    Store,
    history::{Decisions, Health, JobStateRecord, NewNotice, RunEnd, RunState, Sum},
    postgres::test_server::new_database,
};

/// The number of runs.
const RUNS: usize = 10_000;
/// The number of runs that are decided at a time.
const PART: usize = 100;

fn per_second(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / time.as_secs_f64()
}

#[test]
#[ignore = "prints figures and judges none"]
fn runs_of_a_second() {
    let Some(database) = new_database() else { return };
    let mut store = Store::connect(&database.settings()).unwrap();
    let worker = WorkerRecord { name: "one".into(), ..WorkerRecord::default() };
    let boot = store.register_worker(&worker).unwrap();
    let seen = store.lease().unwrap();
    let lease = store.take_lease("one", &seen).unwrap().unwrap();
    let (now, begun) = (Timestamp::now(), Instant::now());
    let mut claims: Vec<RunClaim> = Vec::new();
    for part in 0..RUNS / PART {
        let job = |number: usize| format!("job{}", part * PART + number);
        let runs: Vec<_> = (0..PART).map(|at| slot(&job(at), "U1", RunState::Running)).collect();
        let state = |at| JobStateRecord {
            job: job(at),
            revision: "r1".into(),
            watermark: Some(now),
            ..JobStateRecord::default()
        };
        let states: Vec<_> = (0..PART).map(state).collect();
        let dispatches: Vec<_> =
            (0..PART).map(|row| Dispatch { row, worker: "one", boot }).collect();
        let decisions = Decisions {
            runs: &runs,
            states: &states,
            dispatches: &dispatches,
            ..Decisions::default()
        };
        let decided = store.decide_as(&lease, &decisions, now).unwrap().unwrap();
        let claim =
            |row: &crate::history::DecidedRow| Some(RunClaim { run: row.run?, fence: row.fence? });
        claims.extend(decided.iter().filter_map(claim));
    }
    let decided = begun.elapsed();
    assert_eq!(claims.len(), RUNS);
    let begun = Instant::now();
    for claim in &claims {
        assert!(store.begin(*claim, 1, now).unwrap());
    }
    let claimed = begun.elapsed();
    let (begun, sum) = (Instant::now(), Sum::default());
    let (state, health) = (RunState::Done, Some(Health::Good));
    for (number, claim) in claims.iter().enumerate() {
        let job = format!("job{number}");
        let end = RunEnd { claim: *claim, job: &job, state, sum: &sum, health, at: now };
        assert!(store.close(&end, |_, _, _| Vec::<NewNotice>::new()).unwrap());
    }
    let closed = begun.elapsed();
    let text = format!(
        "PostgreSQL, one connection, {} runs: {:.0} decided and dispatched, {:.0} claimed, {:.0} closed a second\n",
        RUNS,
        per_second(RUNS, decided),
        per_second(RUNS, claimed),
        per_second(RUNS, closed),
    );
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}
