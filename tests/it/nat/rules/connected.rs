//! Trials that end with the session of their user.

use std::{fs, time::Duration};

use rustix::process::Signal;

use super::{Gate, OFFICE};
use crate::support::{
    program::{Portolan, Running},
    wait,
};

/// Applies the ruleset in a shell that stays open, as that of a login does.
const LOGIN: &str = r#""$PORTOLAN" nat apply --while-connected gate.rhai && echo applied; while :; do sleep 0.1; done"#;

/// Starts the session, and waits until its rules are in force.
fn logged_in(gate: &Gate) -> Running {
    let shell = Portolan::played_by("/bin/sh")
        .file("gate.rhai", OFFICE)
        .env("PATH", "/usr/bin:/bin")
        .env("PORTOLAN", env!("CARGO_BIN_EXE_portolan"))
        .env("PORTOLAN_STATE", gate.state.path())
        .args(["-c", LOGIN]);
    // A session of its own: without a terminal, it is the shell that counts.
    let running = gate.router.within(|| shell.spawn());
    running.until_stdout_has("applied\n");
    running
}

/// Returns true if a guard of this test's state directory runs.
fn is_guarded(gate: &Gate) -> bool {
    let state = gate.state.path().to_str().unwrap();
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.contains("guard-session") && words.contains(state)
    })
}

#[test]
fn a_trial_ends_with_the_session_and_takes_the_settings_back() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let running = logged_in(&gate);
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: trial until "));
    assert_eq!(gate.forwards(), ["1", "1"]);
    assert!(is_guarded(&gate));
    running.signal(Signal::KILL);
    running.wait().killed_by(9).any_stdout().any_stderr();
    let is_back = || (gate.rules() == before).then_some(());
    assert!(wait::until(Duration::from_secs(20), is_back).is_some(), "{}", gate.rules());
    let is_back = || (gate.forwards() == ["0", "0"]).then_some(());
    assert!(wait::until(Duration::from_secs(20), is_back).is_some());
    let gone = || gate.done(OFFICE, &["status"]).starts_with("office: missing").then_some(());
    assert!(wait::until(Duration::from_secs(20), gone).is_some());
}

#[test]
fn a_confirmed_trial_outlives_the_session() {
    let Some(gate) = Gate::lay() else { return };
    let running = logged_in(&gate);
    gate.done(OFFICE, &["confirm"]);
    let before = gate.rules();
    running.signal(Signal::KILL);
    running.wait().killed_by(9).any_stdout().any_stderr();
    // The guard ends by itself, and with nothing left to do.
    let gone = || (!is_guarded(&gate)).then_some(());
    assert!(wait::until(Duration::from_secs(20), gone).is_some());
    assert_eq!(gate.rules(), before);
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: applied"));
    assert_eq!(gate.forwards(), ["1", "1"]);
}
