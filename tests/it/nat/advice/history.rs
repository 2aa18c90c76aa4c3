//! The history of rulesets: `nat log`, `nat diff`, `nat rollback --to`, and state of an older portolan.

use crate::{
    nat::rules::{Gate, OFFICE},
    support::program::Portolan,
};

/// Runs a command on the state of the gate, without a script.
fn tells(gate: &Gate, arguments: &[&str]) -> String {
    let program = Portolan::new().env("PORTOLAN_STATE", gate.state.path());
    let program = program.args(["nat"]).args(arguments.to_vec());
    let ran = gate.router.within(|| program.run()).succeeds().any_stderr();
    let text = ran.stdout_text().to_owned();
    drop(ran.any_stdout());
    text
}

#[test]
fn every_change_is_kept_with_who_when_and_why() {
    let Some(gate) = Gate::lay() else { return };
    assert_eq!(tells(&gate, &["log"]).lines().count(), 1, "a heading alone");
    gate.done(OFFICE, &["apply", "--comment", "first day"]);
    // Nothing changes, so nothing is noted.
    gate.done(OFFICE, &["apply", "--comment", "again"]);
    let wider = OFFICE.replace("40009", "40019");
    let scripted = wider.replace("rules.apply()", "rules.apply(#{ comment: \"more clients\" })");
    gate.done(&scripted, &["apply"]);
    gate.done(OFFICE, &["rollback"]);
    gate.done(OFFICE, &["revert"]);
    let log = tells(&gate, &["log", "--ruleset", "office"]);
    let lines: Vec<_> = log.lines().skip(1).collect();
    let [first, second, third, fourth] = lines.as_slice() else { panic!("{log}") };
    assert!(first.contains(" applied ") && first.ends_with("first day"), "{log}");
    assert!(second.contains(" applied ") && second.ends_with("more clients"), "{log}");
    assert!(third.contains(" rolled back ") && fourth.contains(" reverted "), "{log}");
    let document: serde_json::Value =
        serde_json::from_str(&tells(&gate, &["log", "--json"])).unwrap();
    let newest = document["changes"].as_array().unwrap().last().unwrap();
    assert_eq!(newest["number"], 4, "{document:#}");
    assert!(!newest["who"].as_str().unwrap().is_empty(), "{document:#}");
    assert!(newest["at"].as_str().unwrap().starts_with("20"), "{document:#}");
    let difference = tells(&gate, &["diff", "1", "2"]);
    assert!(difference.contains("-\t\tip") || difference.contains("-\t\t"), "{difference}");
    assert!(
        difference.contains("40000-40019") && difference.contains("40000-40009"),
        "{difference}"
    );
    assert!(tells(&gate, &["diff", "1", "3"]).contains("have the same rules"));
}

#[test]
fn any_earlier_change_can_be_gone_back_to_and_that_can_be_undone() {
    let Some(gate) = Gate::lay() else { return };
    let rules = |last: &str| OFFICE.replace("40009", last);
    for last in ["40001", "40002", "40003"] {
        gate.done(&rules(last), &["apply"]);
    }
    let opened = || {
        let listing = gate.rules();
        ["40001", "40002", "40003"]
            .into_iter()
            .find(|last| listing.contains(&format!("40000-{last}")))
    };
    assert_eq!(opened(), Some("40003"));
    assert_eq!(
        tells(&gate, &["rollback", "--ruleset", "office", "--to", "1"]),
        "office: rolled back to 1\n"
    );
    assert_eq!(opened(), Some("40001"));
    // The way back is a change like any other.
    gate.done(OFFICE, &["rollback"]);
    assert_eq!(opened(), Some("40003"));
    gate.done(OFFICE, &["rollback", "--to", "2", "--comment", "the provider is slow"]);
    assert_eq!(opened(), Some("40002"));
    let log = tells(&gate, &["log"]);
    assert!(log.contains("back to 1") && log.contains("the provider is slow"), "{log}");
    gate.done(OFFICE, &["revert"]);
    assert_eq!(opened(), None);
    // After a revert as well, with the kernel's settings.
    gate.done(OFFICE, &["rollback", "--to", "2"]);
    assert_eq!(opened(), Some("40002"));
    assert_eq!(gate.forwards(), ["1", "1"]);
    let gone = gate.nat(OFFICE, &["rollback", "--to", "99"]).fails_with(5);
    gone.stderr_has("(nat.no_undo)").stderr_has("changes 1 to 8").any_stderr();
    let nothing = gate.nat(OFFICE, &["rollback", "--to", "7"]).any_code();
    nothing.stderr_has("there were no rules").any_stderr();
}

#[test]
fn going_back_may_be_a_trial_that_is_confirmed_or_ends() {
    let Some(gate) = Gate::lay() else { return };
    let rules = |last: &str| OFFICE.replace("40009", last);
    gate.done(&rules("40001"), &["apply"]);
    gate.done(&rules("40002"), &["apply"]);
    let back = ["rollback", "--ruleset", "office", "--to", "1", "--confirm-within", "10m"];
    let told = tells(&gate, &back);
    assert!(
        told.starts_with("office: on trial until ") && told.contains("`portolan nat confirm"),
        "{told}"
    );
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: trial until "));
    // The trial is given up: what was in force before it is again.
    gate.done(OFFICE, &["rollback"]);
    let listing = gate.rules();
    assert!(listing.contains("40000-40002") && !listing.contains("40000-40001"), "{listing}");
    let document: serde_json::Value =
        serde_json::from_str(&tells(&gate, &[&back[..], &["--json"]].concat())).unwrap();
    assert!(document["trial_until"].is_string() && document["to"] == 1, "{document:#}");
    gate.done(OFFICE, &["confirm"]);
    let listing = gate.rules();
    assert!(listing.contains("40000-40001") && !listing.contains("40000-40002"), "{listing}");
    // A session that ends takes it back as well, and a trial needs a number to go back to.
    let program =
        gate.portolan(OFFICE).args(["nat", "rollback", "--confirm-within", "10m", "gate.rhai"]);
    drop(gate.router.within(|| program.run()).fails_with(2).stderr_has("--to").any_stderr());
}

#[test]
fn a_trial_is_noted_and_its_confirmation_as_well() {
    let Some(gate) = Gate::lay() else { return };
    gate.done(OFFICE, &["apply", "--confirm-within", "1h"]);
    gate.done(OFFICE, &["confirm"]);
    let log = tells(&gate, &["log"]);
    let changes: Vec<_> = log.lines().skip(1).collect();
    assert!(changes[0].contains(" on trial ") && changes[1].contains(" confirmed "), "{log}");
}

#[test]
fn the_state_of_a_portolan_without_history_is_still_read() {
    let Some(gate) = Gate::lay() else { return };
    gate.done(OFFICE, &["apply"]);
    let file = gate.state.path().join("portolan.db");
    // The file as it was before the migration that added them: without those after it as well.
    let sql = "DROP TABLE nat_changes; DROP TABLE run_progress; DROP TABLE tokens;
        DROP TABLE script_values; DROP TABLE alerts; DROP TABLE arrived_files;
        DROP TABLE dispatches; DROP TABLE workers; DROP TABLE leases; DROP TABLE run_logs;
        DROP TABLE releases; DROP TABLE release_files; DROP TABLE release_contents;
        DROP INDEX runs_by_state; DROP INDEX runs_by_moment; DROP INDEX notices_by_run;
        DROP INDEX paused_jobs; DROP INDEX failing_jobs;
        ALTER TABLE requests DROP COLUMN args; ALTER TABLE requests DROP COLUMN slot_at;
        ALTER TABLE runs DROP COLUMN args; ALTER TABLE runs DROP COLUMN machine;
        ALTER TABLE job_states DROP COLUMN resumed_at; DELETE FROM migrations WHERE number >= 11;";
    rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: applied"));
    assert_eq!(tells(&gate, &["log"]).lines().count(), 1);
    gate.done(OFFICE, &["revert"]);
    assert!(tells(&gate, &["log"]).contains(" reverted "));
}
