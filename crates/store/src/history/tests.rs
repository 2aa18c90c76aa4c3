use super::*;
use crate::conformance::conformance;

conformance! {
    a_slot_that_was_skipped_may_be_decided_anew_and_one_that_has_run_may_not,
    a_slot_has_one_row_and_a_run_by_hand_has_its_own,
    a_request_is_there_until_it_is_heard_and_no_two_are_the_same,
    a_run_has_the_arguments_of_its_request,
    a_run_is_told_with_its_attempts_files_and_fall_backs,
    what_went_on_when_the_scheduler_died_is_interrupted_and_what_waited_waits,
    a_pause_has_a_reason_and_leaves_the_watermark_alone,
    a_slot_may_wait_for_ever,
    the_number_of_a_run_is_never_that_of_another,
    a_slot_is_found_by_its_time_and_so_is_one_that_shares_a_row,
    a_schedule_is_in_force_since_its_first_watermark,
    what_is_old_or_too_many_goes_and_what_goes_on_stays,
    of_all_jobs_together_the_oldest_runs_go_and_what_goes_on_stays,
    a_run_has_a_later_result_if_a_newer_one_of_its_job_has_ended_by_itself,
    a_list_of_runs_goes_on_where_the_part_before_ended,
    a_notice_is_due_until_it_is_told,
    an_alert_is_noted_with_its_notices_until_it_is_over,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

impl Store {
    /// Returns the claim of a run, which is dispatched for it if it was not.
    fn given(&self, run: i64) -> RunClaim {
        let put = "INSERT INTO dispatches (run, worker, boot, fence, is_between) VALUES ($1, 'w', 1, 1, FALSE)
            ON CONFLICT (run) DO NOTHING";
        self.query(|sql| sql.execute(put, &values![run])).unwrap();
        RunClaim { run, fence: 1 }
    }
}

fn new_run(job: &str, slot: Option<&str>) -> NewRun {
    NewRun {
        job: job.into(),
        revision: "r1".into(),
        slot: slot.map(Into::into),
        script: "a.rhai".into(),
        cause: Trigger::Schedule,
        scheduled_for: Some(at(60)),
        up_to: None,
        moved_from: None,
        wait: Some(WAIT),
        state: RunState::Waiting,
        reason: None,
        reason_code: None,
        covered_by: None,
        covers: 1,
    }
}

const WAIT: Wait = Wait {
    not_before: Timestamp::constant(60, 0),
    give_up: Timestamp::constant(3600, 0),
    needs_since: Timestamp::constant(0, 0),
};

fn state(job: &str, watermark: i64) -> JobStateRecord {
    JobStateRecord {
        job: job.into(),
        revision: "r1".into(),
        watermark: Some(at(watermark)),
        label: Some("1970-01-01T00:01".into()),
        ..JobStateRecord::default()
    }
}

fn sum(error: Option<&str>) -> Sum {
    Sum {
        files: 2,
        bytes: 17,
        route: Some("epsv".into()),
        exit_code: Some(0),
        error_kind: error.map(|_| "busy".into()),
        error: error.map(Into::into),
    }
}

fn a_slot_that_was_skipped_may_be_decided_anew_and_one_that_has_run_may_not(store: &mut Store) {
    let ahead = [("U1", RunState::Skipped), ("U2", RunState::Running), ("U3", RunState::Waiting)];
    let rows = ahead.map(|(slot, state)| NewRun {
        state,
        scheduled_for: Some(at(7_200)),
        up_to: Some(at(7_300)),
        ..new_run("a", Some(slot))
    });
    let states = [state("a", 90_000), state("b", 90_000)];
    let ids = store.decide(&rows, &states, &[], at(72_000)).unwrap();
    let found = [3_600, 7_200].map(|second| store.slots_begun(at(second)).unwrap());
    assert_eq!(found, [vec![("a".to_owned(), "U2".to_owned())], vec![]]);
    let again = ahead.map(|(slot, _)| NewRun {
        state: RunState::Running,
        scheduled_for: Some(at(7_200)),
        ..new_run("a", Some(slot))
    });
    let found = store.decide(&again, &[], &[], at(7_200)).unwrap();
    assert_eq!(found, [ids[0], None, ids[2]]);
    // The row stands for its own slot alone now.
    let run = store.run(ids[0].unwrap()).unwrap().unwrap();
    assert_eq!((run.up_to, run.decided_at, run.ended_at), (None, at(7_200), None));
    assert_eq!((run.state, run.started_at), (RunState::Running, Some(at(7_200))));
}

fn a_slot_has_one_row_and_a_run_by_hand_has_its_own(store: &mut Store) {
    let slot = new_run("a", Some("U1"));
    let marks = [state("a", 60)];
    let first = store.decide(&[slot.clone(), new_run("a", None)], &marks, &[], at(61)).unwrap();
    assert_eq!(first, [Some(1), Some(2)]);
    let other = NewRun { revision: "r2".into(), ..slot.clone() };
    assert_eq!(
        store.decide(&[other, new_run("a", None)], &[], &[], at(63)).unwrap(),
        [Some(3), Some(4)]
    );
    // While the slot waits its row is updated; once it has begun only its end can change it.
    let start = NewRun { state: RunState::Running, wait: None, ..slot.clone() };
    assert_eq!(store.decide(std::slice::from_ref(&start), &[], &[], at(64)).unwrap(), [Some(1)]);
    assert_eq!(store.decide(&[start, slot], &[], &[], at(65)).unwrap(), [None, None]);
    let kept = marks.map(|mark| JobStateRecord { since: mark.watermark, ..mark });
    assert_eq!(store.job_states().unwrap(), kept);
    let run = store.run_of_slot("a", "r1", "U1").unwrap().unwrap();
    assert_eq!((run.id, run.state, run.started_at), (1, RunState::Running, Some(at(64))));
}

fn a_request_is_there_until_it_is_heard_and_no_two_are_the_same(store: &mut Store) {
    let times = [1, 2].map(|_| store.ask("a", at(60)).unwrap());
    assert_ne!(times[0], times[1]);
    assert_eq!(store.requests().unwrap().len(), 2);
    store.decide(&[], &[], &[("a".into(), times[0])], at(61)).unwrap();
    let left = RunRequest { job: "a".into(), asked_at: times[1], slot_at: None };
    assert_eq!(store.requests().unwrap(), [left]);
}

fn a_run_has_the_arguments_of_its_request(store: &mut Store) {
    let args = Some(r#"{"day":"2026-11-28"}"#);
    let asked = store.ask_for("a", args, &[Some(at(7)), Some(at(8))], at(60)).unwrap();
    let slots: Vec<_> = store.requests().unwrap().iter().map(|one| one.slot_at).collect();
    assert_eq!(slots, [Some(at(7)), Some(at(8))]);
    let run = new_run("a", Some(&format!("M{}", asked[0])));
    let ids = store.decide(&[run], &[], &[("a".into(), asked[0])], at(61)).unwrap();
    assert_eq!(store.args_of(ids[0].unwrap()).unwrap().as_deref(), args);
    assert_eq!(store.args_of(99).unwrap(), None);
}

fn a_run_is_told_with_its_attempts_files_and_fall_backs(store: &mut Store) {
    store.decide(&[new_run("a", Some("U1"))], &[], &[], at(61)).unwrap();
    let file = |path: &str, error: Option<&str>| FileMoved {
        attempt: 1,
        verb: "upload".into(),
        path: path.into(),
        bytes: 17,
        verified: error.is_none(),
        error: error.map(Into::into),
    };
    let fallback = FallBack {
        attempt: 1,
        host: "h".into(),
        from: "active".into(),
        to: "passive".into(),
        reason: "500 no".into(),
    };
    let mut attempts = Vec::new();
    for number in [1, 2] {
        store.begin(store.given(1), number, at(61 + number)).unwrap();
        let attempt = AttemptRecord {
            number,
            started_at: at(61 + number),
            ended_at: Some(at(70 + number)),
            state: if number == 1 { RunState::Failed } else { RunState::Done },
            sum: sum((number == 1).then_some("421 later")),
        };
        let files = [file("a", None), file("b", Some("gone"))];
        store
            .end_attempt(store.given(1), &attempt, &files, std::slice::from_ref(&fallback))
            .unwrap();
        attempts.push(attempt);
    }
    store.finish(1, RunState::Done, None, &sum(None), at(80)).unwrap();
    let run = store.run(1).unwrap().unwrap();
    assert_eq!((run.attempts, run.fallbacks, run.state), (2, 2, RunState::Done));
    assert_eq!((run.started_at, run.ended_at), (Some(at(62)), Some(at(80))));
    assert_eq!(run.sum, Sum { files: 4, bytes: 34, ..sum(None) });
    assert_eq!(store.attempts(1).unwrap(), attempts);
    assert_eq!(store.files(1).unwrap().len(), 4);
    assert_eq!(store.fallbacks(1).unwrap(), [fallback.clone(), fallback]);
    assert_eq!(store.last_success("a").unwrap(), Some(run));
    assert_eq!(store.run(2).unwrap(), None);
}

fn what_went_on_when_the_scheduler_died_is_interrupted_and_what_waited_waits(store: &mut Store) {
    let rows = [new_run("a", Some("U1")), new_run("a", Some("U2")), new_run("by-hand", None)];
    store.decide(&rows, &[], &[], at(61)).unwrap();
    store.begin(store.given(1), 1, at(62)).unwrap();
    store.begin(store.given(3), 1, at(62)).unwrap();
    assert_eq!(store.interrupt_all("killed", at(90)).unwrap(), [1]);
    let run = store.run(1).unwrap().unwrap();
    assert_eq!((run.state, run.sum.error.as_deref()), (RunState::Interrupted, Some("killed")));
    assert_eq!(store.attempts(1).unwrap()[0].state, RunState::Interrupted);
    let waiting = store.runs_that_are(RunState::Waiting).unwrap();
    assert_eq!(waiting.iter().map(|run| run.id).collect::<Vec<_>>(), [2]);
    let seen = store.lease().unwrap();
    let lease = store.take_lease("a", &seen).unwrap().unwrap();
    for (lease, taken) in [
        (&LeaderLease { epoch: 0, ..lease.clone() }, false),
        (&lease, true),
        // It waits already, and another process may have begun it.
        (&lease, false),
    ] {
        assert_eq!(store.take_up(lease, 1, Trigger::CatchUp, WAIT, "again").unwrap(), taken);
    }
    let run = store.run(1).unwrap().unwrap();
    assert_eq!((run.state, run.cause, run.ended_at), (RunState::Waiting, Trigger::CatchUp, None));
}

fn a_slot_may_wait_for_ever(store: &mut Store) {
    let wait = Wait { give_up: Timestamp::MAX, needs_since: Timestamp::MIN, ..WAIT };
    let waiting = NewRun { wait: Some(wait), ..new_run("a", Some("U1")) };
    store.decide(&[waiting], &[], &[], at(61)).unwrap();
    assert_eq!(store.run(1).unwrap().unwrap().wait, Some(wait));
}

fn a_pause_has_a_reason_and_leaves_the_watermark_alone(store: &mut Store) {
    store.decide(&[], &[state("a", 60)], &[], at(61)).unwrap();
    for reason in [Some("move"), None] {
        store.pause("a", reason, at(70)).unwrap();
        store.pause("b", reason, at(70)).unwrap();
        let states = store.job_states().unwrap();
        assert_eq!(states[0].watermark, Some(at(60)));
        for state in states {
            assert_eq!((state.paused_at, state.pause_reason.as_deref()), (Some(at(70)), reason));
        }
    }
    assert!(store.resume("a", at(80)).unwrap());
    assert!(!store.resume("a", at(90)).unwrap());
    let state = store.job_states().unwrap().remove(0);
    assert_eq!((state.paused_at, state.resumed_at), (None, Some(at(80))));
}

#[test]
fn the_end_of_a_run_its_health_and_who_is_told_of_it_are_one_thing() {
    let (_folder, mut store) = store();
    let rows: Vec<_> = ["U1", "U2"].map(|slot| new_run("a", Some(slot))).into();
    store.decide(&rows, &[], &[], at(0)).unwrap();
    let sum = sum(Some("421 later"));
    let end = |claim| RunEnd {
        claim,
        job: "a",
        state: RunState::Failed,
        sum: &sum,
        health: Some(Health::Bad),
        at: at(90),
    };
    let told = |run: &HistoryRun, before: Health, after: Health| {
        vec![NewNotice {
            run: run.id,
            job: run.job.clone(),
            event: format!("{} {}", before.as_str(), after.as_str()),
            channel: "webhook".into(),
            body: run.state.as_str().into(),
        }]
    };
    let sql = |store: &Store, words: &str| {
        store.read(|connection| connection.execute_batch(words)).unwrap();
    };
    // Simulates a disk that is full when the last part is written.
    sql(
        &store,
        "CREATE TRIGGER full BEFORE INSERT ON notices BEGIN SELECT RAISE(ABORT, 'full'); END",
    );
    for run in [1, 2] {
        store.begin(store.given(run), 1, at(80)).unwrap();
        let attempt = AttemptRecord {
            number: 1,
            started_at: at(80),
            ended_at: Some(at(85)),
            state: RunState::Failed,
            sum: sum.clone(),
        };
        let file = FileMoved {
            attempt: 1,
            verb: "upload".into(),
            path: "a".into(),
            bytes: 1,
            verified: true,
            error: None,
        };
        for _ in 0..2 {
            store
                .end_attempt(store.given(run), &attempt, std::slice::from_ref(&file), &[])
                .unwrap();
        }
        assert_eq!(store.files(run).unwrap(), [file], "written twice, it is there once");
    }
    store.close(&end(store.given(1)), told).unwrap_err();
    assert_eq!(store.run(1).unwrap().unwrap().state, RunState::Running);
    sql(&store, "DROP TRIGGER full");
    store.close(&end(store.given(1)), told).unwrap();
    store.close(&end(store.given(2)), told).unwrap();
    let events = [1, 2].map(|run| store.notices_of(run).unwrap()[0].what.clone());
    assert_eq!(events.clone().map(|one| one.event), ["unknown bad", "bad bad"]);
    assert_eq!(events.map(|one| one.body), ["failed", "failed"]);
}

fn the_number_of_a_run_is_never_that_of_another(store: &mut Store) {
    let rows = [new_run("a", Some("U1")), new_run("a", Some("U2"))];
    store.decide(&rows, &[], &[], at(0)).unwrap();
    for run in [1, 2] {
        store.begin(store.given(run), 1, at(1)).unwrap();
        store.finish(run, RunState::Done, None, &sum(None), at(2)).unwrap();
    }
    assert_eq!(store.prune("a", 100, at(50)).unwrap(), [1]);
    assert_eq!(store.decide(&[new_run("a", Some("U3"))], &[], &[], at(60)).unwrap(), [Some(3)]);
    assert_eq!(store.prune("a", 100, at(50)).unwrap(), [2]);
}

fn a_slot_is_found_by_its_time_and_so_is_one_that_shares_a_row(store: &mut Store) {
    let lump = NewRun {
        scheduled_for: Some(at(60)),
        up_to: Some(at(600)),
        state: RunState::Skipped,
        reason: Some("many".into()),
        wait: None,
        ..new_run("a", Some("U1"))
    };
    let alone = NewRun { scheduled_for: Some(at(660)), ..new_run("a", Some("U2")) };
    store.decide(&[lump, alone], &[], &[], at(700)).unwrap();
    let found = |second| -> Vec<i64> {
        store.runs_for("a", at(second)).unwrap().iter().map(|run| run.id).collect()
    };
    let all = [59, 60, 300, 600, 601, 660, 661].map(found);
    assert_eq!(all, [vec![], vec![1], vec![1], vec![1], vec![], vec![2], vec![]]);
    assert_eq!(store.runs_for("b", at(60)).unwrap(), []);
}

fn a_schedule_is_in_force_since_its_first_watermark(store: &mut Store) {
    let since = |store: &Store| store.job_states().unwrap()[0].since;
    store.decide(&[], &[state("a", 60)], &[], at(61)).unwrap();
    store.decide(&[], &[state("a", 120)], &[], at(121)).unwrap();
    assert_eq!(since(store), Some(at(60)));
    let edited = JobStateRecord { revision: "r2".into(), ..state("a", 180) };
    store.decide(&[], &[edited], &[], at(181)).unwrap();
    assert_eq!(since(store), Some(at(180)));
}

fn what_is_old_or_too_many_goes_and_what_goes_on_stays(store: &mut Store) {
    let rows: Vec<_> = (0..10).map(|number| new_run("a", Some(&format!("U{number}")))).collect();
    store.decide(&rows, &[], &[], at(0)).unwrap();
    for run in 1..=10 {
        store.begin(store.given(run), 1, at(run)).unwrap();
        if run != 2 {
            store.finish(run, RunState::Done, None, &sum(None), at(100 * run)).unwrap();
        }
    }
    assert_eq!(store.prune("a", 100, at(350)).unwrap(), [1, 3]);
    assert_eq!(store.prune("a", 4, at(0)).unwrap(), [4, 5, 6]);
    assert_eq!(store.prune("a", 4, at(0)).unwrap(), [0_i64; 0]);
    let left: Vec<_> = store.runs(Some("a"), 100).unwrap().iter().map(|run| run.id).collect();
    assert_eq!(left, [10, 9, 8, 7, 2]);
    assert_eq!(store.attempts(1).unwrap(), []);
    assert_eq!(store.runs(None, 2).unwrap().len(), 2);
}

fn of_all_jobs_together_the_oldest_runs_go_and_what_goes_on_stays(store: &mut Store) {
    let name = |number: i64| if number % 2 == 0 { "a" } else { "b" };
    let rows: Vec<_> =
        (1..=10).map(|number| new_run(name(number), Some(&format!("U{number}")))).collect();
    store.decide(&rows, &[], &[], at(0)).unwrap();
    for run in (1..=10).filter(|run| *run != 2) {
        store.begin(store.given(run), 1, at(run)).unwrap();
        store.finish(run, RunState::Done, None, &sum(None), at(100 * run)).unwrap();
    }
    assert_eq!(store.surplus_runs(10).unwrap(), 0);
    assert_eq!(store.surplus_runs(7).unwrap(), 3);
    let gone = store.prune_oldest(3).unwrap();
    assert_eq!(gone, [(1, "b".to_owned()), (3, "b".to_owned()), (4, "a".to_owned())]);
    assert_eq!(store.jobs_to_prune(3, at(0)).unwrap(), ["a"]);
    assert_eq!(store.jobs_to_prune(9, at(501)).unwrap(), ["b"]);
    // The newest run of all stays: its number is never given to another.
    assert_eq!(store.prune_oldest(100).unwrap().len(), 5);
    let left: Vec<_> = store.runs(None, 100).unwrap().iter().map(|run| run.id).collect();
    assert_eq!(left, [10, 2]);
}

fn a_run_has_a_later_result_if_a_newer_one_of_its_job_has_ended_by_itself(store: &mut Store) {
    let rows = ["U1", "U2", "U3"].map(|slot| new_run("a", Some(slot)));
    store.decide(&rows, &[], &[], at(0)).unwrap();
    assert!(!store.has_later_result("a", 1).unwrap());
    store.begin(store.given(2), 1, at(1)).unwrap();
    store.finish(2, RunState::Failed, None, &sum(Some("x")), at(2)).unwrap();
    let found = [("a", 1), ("a", 2), ("b", 1)].map(|(job, id)| store.has_later_result(job, id));
    assert_eq!(found.map(Result::unwrap), [true, false, false]);
}

/// Returns the steps of SQLite for a query.
fn steps(store: &Store, filter: &RunFilter) -> String {
    let (query, values) = filter.query();
    let steps = store.read(|connection| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
        let step = |row: &rusqlite::Row<'_>| row.get::<_, String>("detail");
        let all = statement.query_map(rusqlite::params_from_iter(values), step)?;
        all.collect::<rusqlite::Result<Vec<_>>>()
    });
    steps.unwrap().join("; ")
}

#[test]
fn a_list_of_runs_is_read_by_an_index_and_never_sorted() {
    let (_folder, store) = store();
    let usual = || RunFilter { most: 100, ..RunFilter::default() };
    let (since, until) = (Some(at(100)), Some(at(200)));
    for (filter, index) in [
        (usual(), "sqlite_autoindex_runs_1"),
        (RunFilter { below: Some(7), ..usual() }, "sqlite_autoindex_runs_1"),
        (RunFilter { job: Some("a".into()), ..usual() }, "runs_by_job"),
        (RunFilter { job: Some("a".into()), since, failed: true, ..usual() }, "runs_by_job"),
        (RunFilter { state: Some(RunState::Done), ..usual() }, "runs_by_state"),
        (RunFilter { since, ..usual() }, "runs_by_moment"),
        (RunFilter { until, failed: true, ..usual() }, "runs_by_moment"),
        (RunFilter { since, until, below: Some(7), ..usual() }, "runs_by_moment"),
    ] {
        let steps = steps(&store, &filter);
        assert!(steps.contains(index) && !steps.contains("TEMP B-TREE"), "{filter:?}: {steps}");
    }
}

fn a_list_of_runs_goes_on_where_the_part_before_ended(store: &mut Store) {
    // Past slots were asked for late: the order of their times is not that of their numbers.
    let times = [300, 100, 200, 200, 50, 400];
    let rows: Vec<_> = times
        .into_iter()
        .enumerate()
        .map(|(number, time)| NewRun {
            scheduled_for: Some(at(time)),
            state: if number % 2 == 0 { RunState::Failed } else { RunState::Interrupted },
            ..new_run("a", Some(&format!("U{number}")))
        })
        .collect();
    store.decide(&rows, &[], &[], at(500)).unwrap();
    let list = |filter: &RunFilter| -> Vec<i64> {
        let (mut found, mut below) = (Vec::new(), None);
        loop {
            let part =
                store.runs_matching(&RunFilter { below, most: 2, ..filter.clone() }).unwrap();
            found.extend(part.iter().map(|run| run.id));
            below = part.last().map(|run| run.id);
            if part.len() < 2 {
                return found;
            }
        }
    };
    let filter = RunFilter::default();
    assert_eq!(list(&filter), [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(&RunFilter { failed: true, ..filter.clone() }), [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(&RunFilter { since: Some(at(100)), ..filter.clone() }), [6, 1, 4, 3, 2]);
    let job = Some("a".to_owned());
    assert_eq!(list(&RunFilter { since: Some(at(100)), job, ..filter }), [6, 4, 3, 2, 1]);
}

fn a_notice_is_due_until_it_is_told(store: &mut Store) {
    let notice = NewNotice {
        run: 1,
        job: "a".into(),
        event: "failure".into(),
        channel: "webhook".into(),
        body: "{}".into(),
    };
    store.add_notices(&[notice.clone(), notice.clone()], at(10)).unwrap();
    assert_eq!(store.due_notices(at(9), 10).unwrap(), []);
    assert_eq!(store.due_notices(at(10), 1).unwrap().len(), 1);
    store.tried_notice(1, "due", at(20), Some("refused")).unwrap();
    store.tried_notice(2, "told", at(20), None).unwrap();
    assert_eq!(store.due_notices(at(19), 10).unwrap(), []);
    let due = store.due_notices(at(20), 10).unwrap();
    assert_eq!((due.len(), due[0].tries, due[0].error.as_deref()), (1, 1, Some("refused")));
    assert_eq!(store.notices_of(1).unwrap()[1].outcome, "told");
    let body = store.notice_body(due[0].id).unwrap();
    assert_eq!(NewNotice { body, ..due[0].what.clone() }, notice);
}

fn an_alert_is_noted_with_its_notices_until_it_is_over(store: &mut Store) {
    let notice = NewNotice {
        run: 0,
        job: "a".into(),
        event: "late".into(),
        channel: "mail".into(),
        body: "{}".into(),
    };
    assert_eq!(store.alert("a", "late").unwrap(), None);
    store.put_alert("a", "late", Some(at(10)), std::slice::from_ref(&notice), at(11)).unwrap();
    store.put_alert("a", "late", Some(at(20)), &[notice], at(21)).unwrap();
    assert_eq!(store.alert("a", "late").unwrap(), Some(at(20)));
    assert_eq!(store.alert("b", "late").unwrap(), None);
    store.tried_notice(1, "told", at(30), None).unwrap();
    store.prune_notices(at(31)).unwrap();
    assert_eq!(store.notices_of(0).unwrap().len(), 1);
    store.put_alert("a", "late", None, &[], at(40)).unwrap();
    assert_eq!(store.alert("a", "late").unwrap(), None);
}

#[test]
fn a_store_that_is_gone_beside_logs_goes_on_with_their_numbers() {
    for (is_cut, logs, next) in [
        (false, &["a/1.log", "a/12.log", "b/7.log"][..], 13),
        (true, &["x/3.log", "x/notes.log", "x/9.txt"][..], 4),
        (true, &[][..], 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        for log in logs {
            let path = folder.path().join("logs").join(log);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "it went well\n").unwrap();
        }
        let file = folder.path().join("portolan.db");
        std::fs::remove_file(&file).unwrap();
        if is_cut {
            std::fs::write(&file, "").unwrap();
        }
        let mut store = Store::open(folder.path()).unwrap();
        let run = |slot| new_run("a", Some(slot));
        let ids = store.decide(&[run("1"), run("2")], &[], &[], at(0));
        assert_eq!(ids.unwrap(), [Some(next), Some(next + 1)]);
        // The reservation is permanent.
        drop(store);
        let mut store = Store::open(folder.path()).unwrap();
        let ids = store.decide(&[run("3")], &[], &[], at(0)).unwrap();
        assert_eq!(ids, [Some(next + 2)]);
    }
}
