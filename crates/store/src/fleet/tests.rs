use super::*;
use crate::{
    conformance::conformance,
    history::{
        AttemptRecord, Decisions, Health, JobStateRecord, NewRun, RunEnd, RunState, Sum, Trigger,
    },
};

conformance! {
    the_lease_is_taken_by_one_and_only_as_it_was_seen,
    a_lease_that_was_given_up_is_free,
    the_release_of_the_leader_stays_until_the_last_machine_has_left,
    a_leader_that_was_deposed_writes_nothing,
    each_dispatch_has_a_higher_token_and_each_start_of_a_worker_a_higher_number,
    a_slot_that_has_begun_is_not_dispatched_again,
    a_worker_sees_its_own_runs_until_they_end,
    what_a_worker_writes_without_the_token_does_not_count,
    a_worker_that_gives_a_sign_of_life_is_not_declared_dead,
    a_worker_that_was_declared_dead_writes_nothing_and_its_runs_are_interrupted,
    a_run_that_is_to_be_stopped_says_why,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// Returns the row of a slot in a state.
pub(crate) fn slot(job: &str, slot: &str, state: RunState) -> NewRun {
    NewRun {
        job: job.into(),
        revision: "r1".into(),
        slot: Some(slot.into()),
        script: "a.rhai".into(),
        cause: Trigger::Schedule,
        scheduled_for: Some(at(60)),
        up_to: None,
        moved_from: None,
        wait: None,
        state,
        reason: None,
        reason_code: None,
        covered_by: None,
        covers: 1,
    }
}

fn worker(name: &str) -> WorkerRecord {
    WorkerRecord { name: name.into(), room: 8, started_at: at(1), ..WorkerRecord::default() }
}

fn lead(store: &mut Store, name: &str) -> LeaderLease {
    let seen = store.lease().unwrap();
    store.take_lease(name, &seen).unwrap().unwrap()
}

/// Dispatches a slot to a worker, and returns its claim.
fn dispatch(store: &mut Store, lease: &LeaderLease, id: &str, to: (&str, i64)) -> Option<RunClaim> {
    let runs = [slot("a", id, RunState::Running)];
    let dispatches = [Dispatch { row: 0, worker: to.0, boot: to.1 }];
    let decisions = Decisions { runs: &runs, dispatches: &dispatches, ..Decisions::default() };
    let recorded = store.decide_as(lease, &decisions, at(60)).unwrap().unwrap();
    Some(RunClaim { run: recorded[0].run?, fence: recorded[0].fence? })
}

fn end(claim: RunClaim, sum: &Sum) -> RunEnd<'_> {
    let (state, health) = (RunState::Done, Some(Health::Good));
    RunEnd { claim, job: "a", state, sum, health, at: at(90) }
}

fn attempt(number: i64) -> AttemptRecord {
    let (state, ended_at) = (RunState::Failed, Some(at(70)));
    AttemptRecord { number, started_at: at(61), ended_at, state, sum: Sum::default() }
}

fn the_lease_is_taken_by_one_and_only_as_it_was_seen(store: &mut Store) {
    let seen = store.lease().unwrap();
    assert_eq!((seen.lease.holder.as_str(), seen.lease.epoch), ("", 0));
    let first = store.take_lease("one", &seen).unwrap().unwrap();
    assert_eq!(store.take_lease("two", &seen).unwrap(), None);
    let seen = store.lease().unwrap();
    assert_eq!(seen.lease, first);
    // A sign of life after the look.
    assert!(store.renew_lease(&first).unwrap());
    assert_eq!(store.take_lease("two", &seen).unwrap(), None);
    let seen = store.lease().unwrap();
    let second = store.take_lease("two", &seen).unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    assert!(!store.renew_lease(&first).unwrap());
    assert!(store.renew_lease(&second).unwrap());
}

fn a_lease_that_was_given_up_is_free(store: &mut Store) {
    let lease = lead(store, "one");
    store.release_lease(&LeaderLease { epoch: lease.epoch + 1, ..lease.clone() }).unwrap();
    assert_eq!(store.lease().unwrap().lease, lease);
    store.release_lease(&lease).unwrap();
    assert_eq!(store.lease().unwrap().lease.holder, "");
    assert!(!store.renew_lease(&lease).unwrap());
}

fn the_release_of_the_leader_stays_until_the_last_machine_has_left(store: &mut Store) {
    let release = |store: &Store| store.lease().unwrap().release;
    assert_eq!(release(store), "");
    let [one, two] = ["one", "two"].map(|name| store.register_worker(&worker(name)).unwrap());
    let old = lead(store, "one");
    assert!(store.lead_with(&old, "r1").unwrap());
    let lease = lead(store, "two");
    assert!(!store.lead_with(&old, "r2").unwrap());
    assert_eq!(release(store), "r1");
    assert!(store.lead_with(&lease, "r2").unwrap());
    store.release_lease(&lease).unwrap();
    store.remove_worker("two", two).unwrap();
    assert_eq!(release(store), "r2", "the other machine is there");
    let lease = lead(store, "one");
    store.remove_worker("one", one).unwrap();
    assert_eq!(release(store), "r2", "it has not given up the lease");
    store.release_lease(&lease).unwrap();
    store.remove_worker("one", one).unwrap();
    assert_eq!(release(store), "");
}

fn a_leader_that_was_deposed_writes_nothing(store: &mut Store) {
    let old = lead(store, "one");
    let boot = store.register_worker(&worker("one")).unwrap();
    let claim = dispatch(store, &old, "U1", ("one", boot)).unwrap();
    lead(store, "two");
    let runs = [slot("a", "U2", RunState::Running)];
    let states =
        [JobStateRecord { job: "a".into(), watermark: Some(at(60)), ..JobStateRecord::default() }];
    let dispatches = [Dispatch { row: 0, worker: "one", boot }];
    let decisions =
        Decisions { runs: &runs, states: &states, dispatches: &dispatches, ..Decisions::default() };
    assert_eq!(store.decide_as(&old, &decisions, at(61)).unwrap(), None);
    assert_eq!(store.declare_dead(&old, ("one", boot), Some(0), "gone", at(61)).unwrap(), None);
    let found: Vec<_> = store.runs(None, 10).unwrap().iter().map(|run| run.id).collect();
    assert_eq!(found, [claim.run]);
    assert_eq!(store.job_states().unwrap(), []);
    assert_eq!(store.dispatched(None).unwrap().len(), 1);
}

fn each_dispatch_has_a_higher_token_and_each_start_of_a_worker_a_higher_number(store: &mut Store) {
    let lease = lead(store, "one");
    let boot = store.register_worker(&worker("one")).unwrap();
    let runs: Vec<_> =
        ["U1", "U2", "U3"].map(|id| slot("a", id, RunState::Running)).into_iter().collect();
    let dispatches = [0, 2].map(|row| Dispatch { row, worker: "one", boot });
    let decisions = Decisions { runs: &runs, dispatches: &dispatches, ..Decisions::default() };
    let recorded = store.decide_as(&lease, &decisions, at(60)).unwrap().unwrap();
    let fences: Vec<_> = recorded.iter().map(|row| row.fence).collect();
    assert_eq!(fences, [Some(boot + 1), None, Some(boot + 2)]);
    let next = store.register_worker(&worker("one")).unwrap();
    assert!(next > boot + 2);
    let lease = lead(store, "two");
    let claim = dispatch(store, &lease, "U4", ("one", next)).unwrap();
    assert!(claim.fence > next);
    // The earlier start of the worker has no place any more.
    assert!(!store.heartbeat(&WorkerRecord { boot, ..worker("one") }).unwrap());
    assert!(store.heartbeat(&WorkerRecord { boot: next, ..worker("one") }).unwrap());
}

fn a_slot_that_has_begun_is_not_dispatched_again(store: &mut Store) {
    let lease = lead(store, "one");
    let boot = store.register_worker(&worker("one")).unwrap();
    let claim = dispatch(store, &lease, "U1", ("one", boot)).unwrap();
    // The answer to a commit was lost, or another leader has read an older state.
    let lease = lead(store, "two");
    assert_eq!(dispatch(store, &lease, "U1", ("two", boot)), None);
    let found = store.dispatched(None).unwrap();
    assert_eq!(found.iter().map(DispatchedRun::claim).collect::<Vec<_>>(), [claim]);
    assert!(store.close(&end(claim, &Sum::default()), |_, _, _| Vec::new()).unwrap());
    assert_eq!(dispatch(store, &lease, "U1", ("two", boot)), None);
    assert_eq!(store.dispatched(None).unwrap(), []);
}

fn a_worker_sees_its_own_runs_until_they_end(store: &mut Store) {
    let lease = lead(store, "one");
    let [one, two] = ["one", "two"].map(|name| store.register_worker(&worker(name)).unwrap());
    let first = dispatch(store, &lease, "U1", ("one", one)).unwrap();
    let second = dispatch(store, &lease, "U2", ("two", two)).unwrap();
    let claims = |store: &Store, worker: &str, boot: i64| -> Vec<RunClaim> {
        store.dispatched(Some((worker, boot))).unwrap().iter().map(DispatchedRun::claim).collect()
    };
    assert_eq!(claims(store, "one", one), [first]);
    assert_eq!(claims(store, "two", two), [second]);
    assert_eq!(claims(store, "one", two), []);
    let is_between = |store: &Store| store.dispatched(None).unwrap()[0].is_between_attempts;
    assert!(store.begin(first, 1, at(61)).unwrap());
    assert!(!is_between(store));
    assert!(store.end_attempt(first, &attempt(1), &[], &[]).unwrap());
    assert!(is_between(store));
    assert!(store.begin(first, 2, at(71)).unwrap());
    assert!(!is_between(store));
    assert!(store.close(&end(first, &Sum::default()), |_, _, _| Vec::new()).unwrap());
    assert_eq!(claims(store, "one", one), []);
    let run = store.run(first.run).unwrap().unwrap();
    assert_eq!((run.state, run.attempts, run.ended_at), (RunState::Done, 2, Some(at(90))));
    assert_eq!(store.job_state("a").unwrap().unwrap().last_success, Some(at(90)));
}

fn what_a_worker_writes_without_the_token_does_not_count(store: &mut Store) {
    let lease = lead(store, "one");
    let boot = store.register_worker(&worker("one")).unwrap();
    let claim = dispatch(store, &lease, "U1", ("one", boot)).unwrap();
    assert!(store.begin(claim, 1, at(61)).unwrap());
    let before = store.run(claim.run).unwrap();
    for stale in [
        RunClaim { fence: claim.fence - 1, ..claim },
        RunClaim { fence: claim.fence + 1, ..claim },
        RunClaim { run: claim.run + 1, ..claim },
    ] {
        assert!(!store.begin(stale, 2, at(62)).unwrap());
        assert!(!store.end_attempt(stale, &attempt(1), &[], &[]).unwrap());
        let told = store.close(&end(stale, &Sum::default()), |_, _, _| unreachable!()).unwrap();
        assert!(!told);
    }
    assert_eq!(store.run(claim.run).unwrap(), before);
    assert_eq!(store.attempts(claim.run).unwrap()[0].ended_at, None);
    assert_eq!(store.job_states().unwrap(), []);
}

fn a_worker_that_gives_a_sign_of_life_is_not_declared_dead(store: &mut Store) {
    let lease = lead(store, "one");
    let boot = store.register_worker(&worker("two")).unwrap();
    let claim = dispatch(store, &lease, "U1", ("two", boot)).unwrap();
    let seen = store.workers().unwrap()[0].beat;
    assert!(store.heartbeat(&WorkerRecord { boot, ..worker("two") }).unwrap());
    let dead = |store: &mut Store, beat| {
        store.declare_dead(&lease, ("two", boot), beat, "gone", at(80)).unwrap().unwrap()
    };
    assert_eq!(dead(store, Some(seen)), [0_i64; 0]);
    // It is registered: not one of the earlier starts.
    assert_eq!(dead(store, None), [0_i64; 0]);
    assert!(store.begin(claim, 1, at(81)).unwrap());
    assert_eq!(store.workers().unwrap().len(), 1);
}

fn a_worker_that_was_declared_dead_writes_nothing_and_its_runs_are_interrupted(store: &mut Store) {
    let lease = lead(store, "one");
    let boot = store.register_worker(&worker("two")).unwrap();
    let claims = ["U1", "U2"].map(|id| dispatch(store, &lease, id, ("two", boot)).unwrap());
    assert!(store.begin(claims[0], 1, at(61)).unwrap());
    let beat = store.workers().unwrap()[0].beat;
    let gone = store.declare_dead(&lease, ("two", boot), Some(beat), "it is gone", at(80));
    assert_eq!(gone.unwrap().unwrap(), claims.map(|claim| claim.run));
    assert_eq!((store.workers().unwrap(), store.dispatched(None).unwrap()), (vec![], vec![]));
    assert!(!store.heartbeat(&WorkerRecord { boot, ..worker("two") }).unwrap());
    for claim in claims {
        assert!(!store.begin(claim, 2, at(81)).unwrap());
        assert!(!store.close(&end(claim, &Sum::default()), |_, _, _| Vec::new()).unwrap());
        let run = store.run(claim.run).unwrap().unwrap();
        assert_eq!(run.state, RunState::Interrupted);
        assert_eq!(run.sum.error.as_deref(), Some("it is gone"));
    }
    // A later start of the same name, whose earlier one has left a run.
    let boot = store.register_worker(&worker("two")).unwrap();
    let left = dispatch(store, &lease, "U3", ("two", boot)).unwrap();
    store.register_worker(&worker("two")).unwrap();
    let gone = store.declare_dead(&lease, ("two", boot), None, "it is gone", at(90));
    assert_eq!(gone.unwrap().unwrap(), [left.run]);
    assert_eq!(store.workers().unwrap().len(), 1);
}

fn a_run_that_is_to_be_stopped_says_why(store: &mut Store) {
    let lease = lead(store, "one");
    let boot = store.register_worker(&worker("one")).unwrap();
    let claim = dispatch(store, &lease, "U1", ("one", boot)).unwrap();
    let stop = |store: &Store| store.dispatched(None).unwrap()[0].stop.clone();
    assert_eq!(stop(store), None);
    // Its worker ends the attempt, and may make another.
    assert!(store.begin(claim, 1, at(61)).unwrap());
    assert!(store.note_ending(claim).unwrap());
    assert_eq!(stop(store).as_deref(), Some(""));
    assert!(store.end_attempt(claim, &attempt(1), &[], &[]).unwrap());
    assert_eq!(stop(store), None);
    let stale = RunClaim { fence: claim.fence - 1, ..claim };
    assert!(!store.note_ending(stale).unwrap(), "its run is another worker's");
    assert_eq!(stop(store), None);
    assert!(store.cancel(&lease, claim.run, "replaced").unwrap());
    assert!(!store.note_ending(claim).unwrap(), "the first reason stays");
    assert!(store.cancel(&lease, claim.run, "late").unwrap());
    assert!(store.begin(claim, 2, at(71)).unwrap());
    assert_eq!(stop(store).as_deref(), Some("replaced"));
    assert!(store.cancel(&lease, 99, "x").unwrap());
    // A leader that was deposed stops nothing.
    let other = store.lease().unwrap();
    store.take_lease("two", &other).unwrap().unwrap();
    assert!(!store.cancel(&lease, claim.run, "x").unwrap());
}
