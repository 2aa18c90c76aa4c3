//! Mapped ports that a crash left behind: wherever scripts run, the next run releases them.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::home::Home;
use crate::{
    serve::scheduler::{Scheduler, on_request},
    support::{program::Portolan, rehearsal::Rehearsal, wait},
};

/// A script that maps a port and waits, on a router that would keep the mapping for an hour.
const HOLD: &str = "nat::map_ports(#{ ports: 40000 }); sleep(\"5m\");";
const TIME_MAX: Duration = Duration::from_secs(50);

#[test]
fn the_next_run_gives_back_what_a_killed_one_left_with_or_without_memory() {
    for memory in [&[][..], &["--no-memory"]] {
        let Some(home) = Home::lay() else { return };
        let state = tempfile::tempdir().unwrap();
        let program = |script: &str| {
            let program = Portolan::new().env("PORTOLAN_STATE", state.path());
            program.script(script).args(memory.iter().copied())
        };
        let running = home.client.within(|| program(HOLD).spawn());
        assert!(home.until(TIME_MAX, |all| all.len() == 1));
        running.signal(Signal::KILL);
        drop(running.wait().killed_by(9).any_stdout().any_stderr());
        drop(
            home.client.within(|| program("print(1);").run()).succeeds().stdout("1\n").any_stderr(),
        );
        assert_eq!(home.mappings(), Vec::<String>::new(), "{memory:?}");
    }
}

#[test]
fn the_next_prompt_gives_back_what_a_killed_one_left() {
    let Some(home) = Home::lay() else { return };
    let address = Home::address();
    let _server = home.server.within(|| Rehearsal::start_at(address, "localhost", &[], false));
    let state = tempfile::tempdir().unwrap();
    let program = |lines: &str| {
        let program = Portolan::new().env("PORTOLAN_STATE", state.path());
        let program = program.env("PORTOLAN_PASSWORD", "open+sesame-21").stdin(lines);
        program.args(["shell", &format!("ftp://tester@{}", address.ip())])
    };
    let running = home.client.within(|| program(HOLD).spawn());
    assert!(home.until(TIME_MAX, |all| all.len() == 1));
    running.signal(Signal::KILL);
    drop(running.wait().killed_by(9).any_stdout().any_stderr());
    assert_eq!(home.mappings().len(), 1, "no process was left to release it");
    drop(home.client.within(|| program("pwd\n").run()).succeeds().stdout("/\n").any_stderr());
    assert_eq!(home.mappings(), Vec::<String>::new());
}

#[test]
fn the_schedulers_next_run_gives_back_what_a_killed_one_left() {
    let Some(home) = Home::lay() else { return };
    let jobs = [on_request("hold", "retries = 0"), on_request("next", "")].concat();
    let mut scheduler = Scheduler::new(&jobs);
    scheduler.file("hold.rhai", HOLD);
    scheduler.file("next.rhai", "print(1);");
    home.client.within(|| scheduler.start());
    drop(scheduler.command(&["trigger", "hold"]).succeeds().any_stdout().any_stderr());
    assert!(home.until(TIME_MAX, |all| all.len() == 1));
    let children = scheduler.children();
    assert_eq!(children.len(), 1);
    for id in children {
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    let gone = || scheduler.children().is_empty().then_some(());
    assert!(wait::until(TIME_MAX, gone).is_some());
    drop(scheduler.command(&["trigger", "next", "--wait"]).succeeds().any_stdout().any_stderr());
    assert_eq!(home.mappings(), Vec::<String>::new());
    scheduler.stop();
}
