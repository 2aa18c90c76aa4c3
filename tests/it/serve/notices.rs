//! Notifications for people: services, templates, and events that no end of a run brings about.

use std::{io::Write, net::TcpListener, thread};

use jiff::SignedDuration;
use portolan::store::Store;
use serde_json::Value;

use super::{
    kills::Set,
    mails::{hidden_below, host, secret},
    scheduler::{Scheduler, TIME_MAX, on_request},
    told::{Heard, Listener, hear},
};
use crate::support::wait;

/// Waits for a request that matches `wanted`.
#[track_caller]
fn until(listener: &Listener, wanted: impl Fn(&Heard) -> bool) -> Heard {
    let found = wait::until(TIME_MAX, || listener.heard().into_iter().find(|one| wanted(one)));
    found.unwrap_or_else(|| panic!("no such request among {:#?}", listener.heard()))
}

fn is_event(one: &Heard, event: &str) -> bool {
    serde_json::from_str::<Value>(&one.body)
        .is_ok_and(|body| body.get("event") == Some(&event.into()))
}

fn trigger(scheduler: &Scheduler, job: &str) {
    drop(scheduler.command(&["trigger", job, "--wait"]).any_code().any_stdout());
}

#[test]
fn each_service_gets_its_own_request_and_its_token_from_a_secret() {
    let listener = Listener::start(0);
    let base = format!("http://{}", listener.address);
    let job = format!(
        "on_failure = {{ slack = \"secret:SLACK\", teams = \"{base}/teams\", discord = {{ url = \"{base}/discord\" }}, \
         ntfy = {{ url = \"{base}/ntfy\", token = \"secret:NTFY\" }}, \
         gotify = {{ url = \"{base}/gotify\", token = {{ secret = \"GOTIFY\" }} }}, \
         telegram = {{ url = \"{base}\", token = \"secret:BOT\", chat = -100123 }}, \
         webhook = {{ url = \"{base}/hook\", headers = {{ X-Key = \"secret:HOOK\" }}, \
         body = '{{\"title\": \"{{job}} {{outcome}}\", \"why\": \"{{error}}\"}}' }}, \
         subject = \"{{job}} größer auf {{host}}\" }}"
    );
    let mut scheduler = Scheduler::new(&on_request("a", &job));
    let tokens =
        ["canary-slack-1", "canary-ntfy-2", "canary-gotify-3", "canary-bot-4", "canary-hook-5"];
    secret(&scheduler, "SLACK", &format!("{base}/canary-slack-1"));
    for (name, token) in
        [("NTFY", tokens[1]), ("GOTIFY", tokens[2]), ("BOT", tokens[3]), ("HOOK", tokens[4])]
    {
        secret(&scheduler, name, token);
    }
    scheduler.file("a.rhai", "fail(`a \"bad\" <word>`);");
    scheduler.start();
    trigger(&scheduler, "a");
    let heard = listener.until(7);
    let at = |path: &str| {
        let line = format!("POST {path} HTTP/1.1");
        heard.iter().find(|one| one.line == line).unwrap_or_else(|| panic!("{path}: {heard:#?}"))
    };
    let title = format!("a größer auf {}", host());
    let slack = at("/canary-slack-1").json();
    assert_eq!(slack["text"], title.as_str());
    assert!(slack["blocks"][1]["text"]["text"].as_str().unwrap().contains("&lt;word&gt;"));
    let teams = at("/teams").json();
    let card = &teams["attachments"][0]["content"];
    assert_eq!(
        (&card["type"], &card["body"][0]["text"]),
        (&"AdaptiveCard".into(), &title.as_str().into())
    );
    let discord = at("/discord").json();
    assert!(discord["content"].as_str().unwrap().starts_with(&format!("**{title}**\n```")));
    let ntfy = at("/ntfy");
    assert!(ntfy.header("title").starts_with("=?UTF-8?B?"), "{ntfy:?}");
    assert_eq!(ntfy.header("authorization"), "Bearer canary-ntfy-2");
    assert_eq!(ntfy.header("priority"), "4");
    assert!(ntfy.body.contains("a \"bad\" <word>"), "{ntfy:?}");
    let gotify = at("/gotify/message");
    assert_eq!(gotify.header("x-gotify-key"), "canary-gotify-3");
    assert_eq!(gotify.json()["title"], title.as_str());
    let telegram = at("/botcanary-bot-4/sendMessage").json();
    assert_eq!(telegram["chat_id"], "-100123");
    assert!(telegram["text"].as_str().unwrap().contains("a \"bad\" <word>"));
    let hook = at("/hook");
    assert_eq!(hook.header("x-key"), "canary-hook-5");
    assert_eq!(hook.header("content-type"), "application/json");
    assert_eq!(hook.json()["title"], "a failed");
    assert!(hook.json()["why"].as_str().unwrap().contains("a \"bad\" <word>"));
    let said = scheduler.stop();
    hidden_below(&scheduler.state(), &tokens);
    assert!(tokens.iter().all(|token| !said.stderr_text().contains(token)));
}

#[test]
fn a_service_that_refuses_is_quoted_without_its_token() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            hear(&stream);
            let words = "no chat for bot canary-bot-4";
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{words}",
                words.len()
            );
            (&stream).write_all(answer.as_bytes()).ok();
        }
    });
    let job = format!(
        "on_failure = {{ telegram = {{ url = \"http://{address}\", token = \"secret:BOT\", chat = \"1\" }} }}"
    );
    let mut scheduler = Scheduler::new(&on_request("a", &job));
    secret(&scheduler, "BOT", "canary-bot-4");
    scheduler.file("a.rhai", "fail(\"no good\");");
    scheduler.start();
    trigger(&scheduler, "a");
    let error = wait::until(TIME_MAX, || {
        let whole = scheduler.show(&1.into());
        whole["each_notice"][0]["error"].as_str().map(str::to_owned)
    });
    assert_eq!(error.as_deref(), Some("the answer was 400: no chat for bot ***"));
    scheduler.stop();
    hidden_below(&scheduler.state(), &["canary-bot-4"]);
}

#[test]
fn people_are_told_of_what_is_late_still_fails_is_slow_or_moved_nothing() {
    let listener = Listener::start(0);
    let hook = |path: &str| format!("{{ webhook = \"http://{}/{path}\" }}", listener.address);
    let job = |name: &str, cron: &str, more: &str| {
        format!(
            "\n[[job]]\nname = \"{name}\"\nscript = \"{name}.rhai\"\ncron = \"{cron}\"\n{more}\n"
        )
    };
    let failing = format!(
        "expect_by = \"1s\"\non_late = true\nremind = \"1s\"\non_failure = {}",
        hook("failing")
    );
    let slow = format!("kill_grace = \"1s\"\non_slow = {{ after = \"1s\", {}", &hook("slow")[2..]);
    let empty = format!("on_empty = {}", hook("empty"));
    let jobs = [
        job("failing", "* * * * * *", &failing),
        job("slow", "0 0 29 2 *", &slow),
        job("empty", "0 0 29 2 *", &empty),
    ];
    let mut scheduler = Scheduler::new(&jobs.concat());
    scheduler.file("failing.rhai", "fail(\"no good\");");
    scheduler.file("slow.rhai", "sleep(60);");
    scheduler.file("empty.rhai", "");
    scheduler.start();
    drop(scheduler.command(&["trigger", "slow"]).succeeds().any_stdout());
    for _ in 0..2 {
        trigger(&scheduler, "empty");
    }
    let late = until(&listener, |one| is_event(one, "late")).json();
    assert_eq!(late["job"], "failing");
    assert!(late["text"].as_str().unwrap().contains("is late: it was expected by "), "{late}");
    let remind = until(&listener, |one| is_event(one, "remind")).json();
    assert!(remind["failing_since"].as_str().is_some_and(|since| !since.is_empty()), "{remind}");
    assert!(remind["error"].as_str().unwrap().contains("no good"), "{remind}");
    let slow = until(&listener, |one| is_event(one, "slow"));
    assert_eq!((slow.line.as_str(), &slow.json()["job"]), ("POST /slow HTTP/1.1", &"slow".into()));
    let empties = wait::until(TIME_MAX, || {
        let empties = listener.heard().into_iter().filter(|one| is_event(one, "empty"));
        Some(empties.count()).filter(|count| *count >= 2)
    });
    assert_eq!(empties, Some(2));
    let slow = |one: &Heard| is_event(one, "slow");
    assert_eq!(listener.heard().iter().filter(|one| slow(one)).count(), 1);
    drop(scheduler.stop());
}

#[test]
fn a_job_without_cron_is_late_on_a_day_on_which_it_has_not_succeeded_in_time() {
    let jobs = "[[job]]\nname = \"a\"\nscript = \"a.rhai\"\nwatch = { directory = \"in\" }\n\
        timezone = \"Europe/Berlin\"\nexpect_by = \"06:30\"\non_late = { command = [\"true\"] }\n";
    let mut set = Set::new("2026-06-01T04:29:00Z", jobs);
    set.turn();
    set.go(SignedDuration::from_secs(60));
    let state = set.folder.path().join("state");
    let late = || Store::open(&state).unwrap().alert("a", "late").unwrap();
    let told = set.turn_until(late);
    assert_eq!(told.to_string(), "2026-06-01T04:30:00Z");
}

/// A job that is expected by half past six in Berlin.
fn expected(more: &str) -> String {
    format!(
        "[[job]]\nname = \"a\"\nscript = \"a.rhai\"\nwatch = {{ directory = \"in\" }}\n\
         timezone = \"Europe/Berlin\"\non_late = {{ command = [\"true\"] }}\n{more}\n"
    )
}

/// Returns the time of the last alert, and how many notices there were.
fn late(set: &Set) -> (Option<String>, usize) {
    let store = Store::open(&set.folder.path().join("state")).unwrap();
    let alert = store.alert("a", "late").unwrap().map(|at| at.to_string());
    (alert, store.notices_of(0).unwrap().len())
}

/// Lets the scheduler look at its jobs, which it does every second.
fn look(set: &mut Set) {
    let end = std::time::Instant::now() + std::time::Duration::from_millis(2_500);
    set.turn_until(|| (std::time::Instant::now() >= end).then_some(()));
}

#[test]
fn a_time_that_passed_while_a_job_was_paused_makes_nobody_late() {
    let mut set = Set::new("2026-06-01T03:00:00Z", &expected("expect_by = \"06:30\""));
    set.turn();
    let mut store = Store::open(&set.folder.path().join("state")).unwrap();
    store.pause("a", None, "2026-06-01T03:00:00Z".parse().unwrap()).unwrap();
    set.go(SignedDuration::from_hours(3));
    assert!(store.resume("a", "2026-06-01T06:00:00Z".parse().unwrap()).unwrap());
    look(&mut set);
    assert_eq!(late(&set), (None, 0));
    set.go(SignedDuration::from_hours(24));
    look(&mut set);
    assert_eq!(late(&set), (Some("2026-06-02T04:30:00Z".to_owned()), 1));
}

#[test]
fn the_digest_of_a_day_arrives_at_its_time() {
    let listener = Listener::start(0);
    // Far enough for a run of the scheduler to be over by then, on a busy machine too.
    let at = jiff::Timestamp::now() + SignedDuration::from_secs(25);
    let at = at.strftime("%H:%M:%S").to_string();
    let digest = format!(
        "[digest]\nat = \"{at}\"\ntimezone = \"UTC\"\nntfy = \"http://{}/digest\"\n",
        listener.address
    );
    let mut scheduler = Scheduler::new(&format!("{digest}{}", on_request("a", "")));
    scheduler.file("a.rhai", "fail(\"no good\");");
    scheduler.start();
    trigger(&scheduler, "a");
    let ran = scheduler.command(&["notify", "digest", "--dry-run"]);
    let ran = ran.succeeds().stdout_has("0 runs succeeded, 1 failed");
    drop(ran.stdout_has("a, run 1: "));
    let heard = until(&listener, |_| true);
    let title = format!("[portolan] {}: 0 runs succeeded, 1 failed, 0 slots were skipped", host());
    assert_eq!(heard.header("title"), title);
    assert!(heard.body.contains("  a, run 1: no good"), "{heard:?}");
    scheduler.stop();
}

/// Checks that requests to a server that accepts them and never answers leave room for those to others.
#[test]
fn a_target_that_hangs_delays_no_other_target() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/x", silent.local_addr().unwrap());
    let listener = Listener::start(0);
    let all = format!(
        "{{ webhook = \"{silent}\", slack = \"{silent}\", teams = \"{silent}\", discord = \"{silent}\", ntfy = \"{silent}\" }}"
    );
    let hanging = format!("each = {{ n = [1, 2, 3, 4] }}\non_failure = {all}\non_change = {all}");
    let good = format!("on_failure = {{ webhook = \"http://{}/good\" }}", listener.address);
    let jobs = [on_request("a", &hanging), on_request("b", &good)].concat();
    let mut scheduler = Scheduler::new(&jobs);
    for name in ["a.rhai", "b.rhai"] {
        scheduler.file(name, "fail(\"no good\");");
    }
    scheduler.start();
    for n in 1..=4 {
        trigger(&scheduler, &format!("a[{n}]"));
    }
    trigger(&scheduler, "b");
    let heard = until(&listener, |_| true);
    assert_eq!(heard.line, "POST /good HTTP/1.1");
    // None of the forty before it has been given up: they are still under way or have not begun.
    let tries = scheduler.show(&1.into())["each_notice"].as_array().unwrap().len();
    assert_eq!(tries, 10);
    scheduler.stop();
}

#[test]
fn a_mistake_in_a_notification_is_refused_and_the_old_file_stays() {
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    scheduler.file("a.rhai", "");
    scheduler.start();
    scheduler.jobs(&format!("[mail]\nsmpt = \"h\"\n{}", on_request("a", "")));
    scheduler.running().until_stderr_has("portolan.toml:4:1");
    scheduler.running().until_stderr_has("did you mean `smtp`?");
    trigger(&scheduler, "a");
    scheduler.until_outcome("a", "done");
    scheduler.stop();
}
