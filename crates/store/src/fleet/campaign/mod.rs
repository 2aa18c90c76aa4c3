//! A fleet under faults: several machines on one PostgreSQL server, of which each may lead and each runs what it is given,
//! are killed, frozen and cut off at any statement, while a ledger notes which acts took place.
//!
//! `PORTOLAN_FLEET_SECONDS` sets its length, and `PORTOLAN_SEED` repeats one.

mod machine;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use self::machine::FleetMachine;
use super::WorkerRecord;
use crate::{PostgresSettings, Store, history::RunState, postgres::test_server};
use portolan_core::random::{SeededRng, random_u64};

/// The time after which a machine without a sign of life counts as gone.
const TTL: Duration = Duration::from_millis(1500);
const JOBS: usize = 6;
const MACHINES: usize = 4;

/// The acts that cannot be taken back, in their order: the tokens under which each slot was executed.
#[derive(Default)]
struct ActLedger {
    acts: Mutex<BTreeMap<(String, String), Vec<i64>>>,
    faults: AtomicU64,
    is_over: AtomicBool,
}

fn rest(time: Duration) {
    let (_keep, silent) = mpsc::channel::<()>();
    silent.recv_timeout(time).unwrap_err();
}

fn job(number: usize) -> String {
    format!("job{number}")
}

/// Breaks connections, wherever they are in their work, until the campaign is over.
fn break_connections(settings: &PostgresSettings, ledger: &ActLedger, seed: u64) {
    let store = Store::connect(settings).unwrap();
    let mut random = SeededRng::new(seed);
    let query = "SELECT COUNT(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS one";
    while !ledger.is_over.load(Ordering::Relaxed) {
        rest(Duration::from_millis(50 + random.below(200)));
        let broken: Option<i64> = store.query(|sql| sql.value(query, &[])).unwrap();
        ledger.faults.fetch_add(u64::try_from(broken.unwrap_or(0)).unwrap(), Ordering::Relaxed);
    }
}

/// Ends what the last machines have left, as an undisturbed fleet of one.
fn drain(settings: &PostgresSettings, ledger: &Arc<ActLedger>) {
    let mut machine = FleetMachine::begin_life("last", settings, ledger, 1).unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let sent = Instant::now();
        let record =
            WorkerRecord { name: "last".into(), boot: machine.boot, ..WorkerRecord::default() };
        assert!(machine.store.heartbeat(&record).unwrap());
        machine.good_until = sent + TTL;
        machine.work().unwrap();
        machine.lead().unwrap();
        let is_busy = [RunState::Running, RunState::Waiting, RunState::Interrupted]
            .iter()
            .any(|state| !machine.store.runs_that_are(*state).unwrap().is_empty());
        if !is_busy && machine.leading.is_some() {
            return;
        }
        assert!(Instant::now() < end, "runs are left that do not end");
        rest(Duration::from_millis(5));
    }
}

#[test]
fn no_slot_is_lost_or_doubled_whatever_dies() {
    let Some(database) = test_server::new_database() else { return };
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let time = Duration::from_secs(number("PORTOLAN_FLEET_SECONDS").unwrap_or(15));
    let seed = number("PORTOLAN_SEED").unwrap_or_else(random_u64);
    let settings = database.settings();
    Store::connect(&settings).unwrap();
    let ledger = Arc::new(ActLedger::default());
    thread::scope(|scope| {
        for machine in 0..MACHINES {
            let (settings, ledger) = (&settings, &ledger);
            scope.spawn(move || {
                let name = format!("machine{machine}");
                let mut lives = SeededRng::new(seed.wrapping_add(machine as u64));
                while !ledger.is_over.load(Ordering::Relaxed) {
                    let life = FleetMachine::begin_life(&name, settings, ledger, lives.next_u64());
                    life.map(|mut life| life.live()).ok();
                    rest(Duration::from_millis(lives.below(400)));
                }
            });
        }
        scope.spawn(|| break_connections(&settings, &ledger, seed));
        rest(time);
        ledger.is_over.store(true, Ordering::Relaxed);
    });
    drain(&settings, &ledger);
    let store = Store::connect(&settings).unwrap();
    let acts = ledger.acts.lock().unwrap();
    let (mut slots, mut done, mut repeated) = (0, 0, 0);
    for job in (0..JOBS).map(job) {
        let runs = store.runs(Some(&job), 1_000_000).unwrap();
        let mut numbers: Vec<i64> =
            runs.iter().map(|run| run.slot.as_deref().unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        slots += numbers.len();
        let wanted: Vec<i64> = (numbers[0]..).take(numbers.len()).collect();
        assert_eq!(numbers, wanted, "seed {seed}: `{job}` has a hole or a double");
        for run in runs {
            let key = (job.clone(), run.slot.clone().unwrap());
            let of_slot = acts.get(&key).map_or(&[][..], Vec::as_slice);
            match run.state {
                RunState::Done => done += 1,
                RunState::Skipped => assert_eq!(of_slot, [0_i64; 0], "seed {seed}: {run:?}"),
                _ => panic!("seed {seed}: {run:?}"),
            }
            let is_executed = !of_slot.is_empty() || run.state != RunState::Done;
            assert!(is_executed, "seed {seed}: no machine has executed {run:?}");
            assert!(
                of_slot.is_sorted(),
                "seed {seed}: an older token after a newer one: {of_slot:?}"
            );
            repeated += usize::from(of_slot.len() > 1);
        }
    }
    let faults = ledger.faults.load(Ordering::Relaxed);
    let text = format!(
        "fleet: seed {seed}, {faults} faults, {slots} slots, {done} executed, {repeated} of them more than once\n"
    );
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
    assert!(faults > time.as_secs() && done > JOBS, "{text}");
}
