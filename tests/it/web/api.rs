//! Each resource of the API, with the documents of the commands.

use std::{
    io::{BufRead, BufReader},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::client::Site;
use crate::{
    serve::scheduler::{TIME_MAX, on_request},
    support::{rehearsal::Rehearsal, wait},
};

const OPEN: &str = "anonymous_read = true";

fn jobs() -> String {
    on_request("good", "description = \"Fetches the catalogue\"") + &*on_request("bad", "")
}

fn scripts(site: &Site) {
    site.scheduler.file("good.rhai", "print(\"a good word\");");
    site.scheduler.file("bad.rhai", "throw \"no good\";");
}

/// Returns what a command prints with `--json`.
#[track_caller]
fn command(site: &Site, words: &[&str]) -> Value {
    let mut ran = site.scheduler.command(&[&["--json"], words].concat()).succeeds().any_stderr();
    ran.json()
}

#[track_caller]
fn until_over(site: &Site, id: &Value) -> Value {
    let found = wait::until(TIME_MAX, || {
        let run = site.get(&format!("/api/v1/runs/{id}")).send().is(200);
        let outcome = run.get("outcome").and_then(Value::as_str);
        (!matches!(outcome, Some("running" | "waiting"))).then_some(run)
    });
    found.unwrap()
}

#[test]
fn a_job_is_run_now_and_its_documents_are_those_of_the_commands() {
    let site = Site::start(OPEN, &jobs());
    scripts(&site);
    let token = site.token("alice", "operate");
    assert_eq!(site.get("/api/v1/jobs").send().is(200), command(&site, &["jobs"]));
    assert_eq!(site.get("/api/v1/runs").send().is(200), json!([]));
    let run = site.post("/api/v1/jobs/good/trigger").bearer(&token).send().is(202);
    assert_eq!((run["job"].as_str(), run["trigger"].as_str()), (Some("good"), Some("manual")));
    let whole = until_over(&site, &run["id"]);
    assert_eq!(whole["outcome"], "done");
    let run = site.post("/api/v1/jobs/bad/trigger").bearer(&token).json("{}").send().is(202);
    assert!(until_over(&site, &run["id"])["error"].as_str().unwrap().contains("no good"));

    let by_args = site.post("/api/v1/jobs/good/trigger").bearer(&token);
    by_args.json(r#"{"args":[]}"#).send().is_error(400, "invalid");
    site.scheduler.file("good.rhai", "print(\"day \" + args.day);");
    let by_args = site.post("/api/v1/jobs/good/trigger").bearer(&token);
    let run = by_args.json(r#"{"args":{"day":"2026-11-28"}}"#).send().is(202);
    until_over(&site, &run["id"]);
    let log = site.get(&format!("/api/v1/runs/{}/log", run["id"])).send().text;
    assert!(log.contains("day 2026-11-28"), "{log}");

    let overview = site.get("/api/v1/jobs").send().is(200);
    assert_eq!(overview, command(&site, &["jobs"]));
    assert_eq!(overview[0]["recent"][0]["outcome"], "done");
    assert_eq!(overview[1]["last"]["outcome"], "failed");
    assert_eq!(site.get("/api/v1/jobs/good").send().is(200), overview[0]);
    assert_eq!(site.get("/api/v1/runs").send().is(200), command(&site, &["runs"]));
    let mut shown = command(&site, &["show", "1"]);
    let mut found = site.get("/api/v1/runs/1").send().is(200);
    assert_eq!(found["log"], "/api/v1/runs/1/log");
    assert!(found["progress"].is_array());
    for value in [&mut shown, &mut found] {
        value.as_object_mut().unwrap().remove("log");
        value.as_object_mut().unwrap().remove("progress");
    }
    assert_eq!(found, shown);
    assert_eq!(site.get("/api/v1/next").send().is(200), json!([]));
    let said = site.said();
    assert!(said.contains("`alice` asked for a run of `good`"), "{said}");
    drop(site.stop());
}

#[test]
fn runs_are_filtered_and_listed_in_parts() {
    let site = Site::start(OPEN, &jobs());
    scripts(&site);
    for job in ["good", "bad", "good", "bad", "good"] {
        drop(
            site.scheduler
                .command(&["trigger", job, "--wait"])
                .any_code()
                .any_stdout()
                .any_stderr(),
        );
    }
    let ids = |path: &str| -> Vec<i64> {
        let answer = site.get(path).send().is(200);
        answer.as_array().unwrap().iter().map(|run| run["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("/api/v1/runs"), [5, 4, 3, 2, 1]);
    assert_eq!(ids("/api/v1/runs?job=good"), [5, 3, 1]);
    assert_eq!(ids("/api/v1/runs?failed=true"), [4, 2]);
    assert_eq!(ids("/api/v1/runs?outcome=done&limit=2"), [5, 3]);
    assert_eq!(ids("/api/v1/runs?since=1h"), [5, 4, 3, 2, 1]);
    assert_eq!(ids("/api/v1/runs?until=2020-01-01"), [0; 0]);
    assert_eq!(ids("/api/v1/runs?limit=2&cursor=4"), [3, 2]);
    // As a form or a variable that is not set leaves them.
    assert_eq!(ids("/api/v1/runs?job=&since=&limit=5"), [5, 4, 3, 2, 1]);
    assert_eq!(ids("/api/v1/runs?until=&outcome=&cursor=&limit="), [5, 4, 3, 2, 1]);
    assert_eq!(ids("/api/v1/runs?failed="), [4, 2]);
    let part = site.get("/api/v1/runs?limit=2&job=good").send();
    assert_eq!(part.header("link"), Some("</api/v1/runs?limit=2&job=good&cursor=3>; rel=\"next\""));
    assert_eq!(site.get("/api/v1/runs?limit=9").send().header("link"), None);
    for path in [
        "/api/v1/runs?limit=0",
        "/api/v1/runs?jobs=a",
        "/api/v1/runs?since=soon",
        "/api/v1/runs/x",
        "/api/v1/jobs?state=odd",
        "/api/v1/next?hours=0",
        "/api/v1/runs/1/log?offset=-1",
    ] {
        site.get(path).send().is_error(400, "invalid");
    }
    for path in ["/api/v1/runs/99", "/api/v1/jobs/nobody", "/api/v1/nothing", "/api/v1/runs/99/log"]
    {
        site.get(path).send().is_error(404, "not_found");
    }
    let near = site.get("/api/v1/jobs/goo").send().is(404);
    assert!(near["error"]["message"].as_str().unwrap().contains("did you mean `good`?"), "{near}");
    let names = |path: &str| -> Vec<String> {
        let answer = site.get(path).send().is(200);
        answer.as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap().into()).collect()
    };
    assert_eq!(names("/api/v1/jobs?q=CATALOGUE"), ["good"]);
    assert_eq!(names("/api/v1/jobs?q=a="), [""; 0]);
    assert_eq!(names("/api/v1/jobs?q=&state=&limit=&cursor="), ["good", "bad"]);
    assert_eq!(site.get("/api/v1/next?hours=&limit=").send().is(200), json!([]));
    assert_eq!(names("/api/v1/jobs?state=failing"), ["bad"]);
    assert_eq!(names("/api/v1/jobs?limit=1"), ["good"]);
    assert_eq!(names("/api/v1/jobs?limit=1&cursor=good"), ["bad"]);
    drop(site.stop());
}

#[test]
fn a_job_is_paused_with_a_reason_and_resumed() {
    let site = Site::start(OPEN, &jobs());
    scripts(&site);
    let token = site.token("alice", "operate");
    let pause = site.post("/api/v1/jobs/good/pause").bearer(&token);
    let state = pause.json(r#"{"reason":"moving house"}"#).send().is(200);
    assert_eq!((&state["paused"], &state["reason"]), (&json!(true), &json!("moving house")));
    assert_eq!(command(&site, &["jobs"])[0]["pause_reason"], "moving house");
    assert_eq!(site.get("/api/v1/jobs?state=paused").send().is(200)[0]["job"], "good");
    let state = site.post("/api/v1/jobs/good/resume").bearer(&token).send().is(200);
    assert_eq!(state["paused"], false);
    assert_eq!(command(&site, &["jobs"])[0]["paused"], false);
    let pause = || site.post("/api/v1/jobs/good/pause").bearer(&token);
    pause().json(r#"{"why":"x"}"#).send().is_error(400, "invalid");
    pause().json("{").send().is_error(400, "invalid");
    pause().json(&format!(r#"{{"reason":"{}"}}"#, "x".repeat(201))).send().is_error(400, "invalid");
    pause().header("Content-Type", "text/plain").body(b"{}").send().is_error(415, "unsupported");
    site.post("/api/v1/jobs/nobody/pause").bearer(&token).send().is_error(404, "not_found");
    site.get("/api/v1/jobs/good/pause").bearer(&token).send().is_error(405, "web.method");
    site.request("DELETE", "/api/v1/jobs/good").bearer(&token).send().is_error(405, "web.method");
    drop(site.stop());
}

#[test]
fn a_run_is_stopped_and_its_log_is_followed() {
    let site = Site::start(OPEN, &on_request("slow", "kill_grace = \"1s\"\nretries = 3"));
    site.scheduler.file("slow.rhai", "print(\"begun\"); sleep(\"10m\");");
    let token = site.token("alice", "operate");
    let run = site.post("/api/v1/jobs/slow/trigger").bearer(&token).send().is(202);
    let log = format!("/api/v1/runs/{}/log", run["id"]);
    let begun = wait::until(TIME_MAX, || {
        Some(site.get(&log).send()).filter(|log| log.text.contains("begun"))
    });
    let begun = begun.expect("the log grows while the run is in progress");
    assert_eq!(
        (begun.status, begun.header("content-type")),
        (200, Some("text/plain; charset=utf-8"))
    );
    let offset = begun.header("x-log-offset").unwrap().to_owned();
    assert_eq!(offset, begun.text.len().to_string());
    let nothing = site.get(&format!("{log}?offset={offset}")).send();
    assert_eq!((nothing.status, nothing.text.as_str()), (200, ""));
    let stop = format!("/api/v1/runs/{}/stop", run["id"]);
    site.post(&stop).bearer(&token).send().is(202);
    let whole = until_over(&site, &run["id"]);
    assert_eq!(
        (&whole["outcome"], &whole["error"]),
        (&json!("interrupted"), &json!("stopped by `alice`"))
    );
    assert_eq!(whole["attempts"], 1, "a run that was stopped is not tried again");
    let rest = site.get(&format!("{log}?offset={offset}")).send().text;
    assert!(rest.contains("stopped by `alice`") && !rest.contains("info  begun"), "{rest}");
    site.post(&stop).bearer(&token).send().is_error(409, "web.not_running");
    site.post("/api/v1/runs/99/stop").bearer(&token).send().is_error(404, "not_found");
    drop(site.stop());
}

#[test]
fn what_was_learned_of_servers_and_the_bytes_over_time_are_told() {
    let server = Rehearsal::start(&["active-425"], false);
    server.file("a", "x".repeat(100_000));
    let script = format!(
        "let s = ftp::connect(\"ftp://tester@127.0.0.1:{}\", #{{ password: \"open+sesame-21\", mode: \"active\" }}); s.get(\"a\", \"a\");",
        server.site.port
    );
    let site = Site::start(OPEN, &on_request("get", ""));
    site.scheduler.file("get.rhai", &script);
    assert_eq!(site.get("/api/v1/servers").send().is(200), json!([]));
    drop(site.scheduler.command(&["trigger", "get", "--wait"]).succeeds().any_stdout());
    let servers = site.get("/api/v1/servers").send().is(200);
    let found = &servers[0];
    assert_eq!(
        (&found["host"], &found["user"]),
        (&json!("127.0.0.1"), &json!("tester")),
        "{servers}"
    );
    assert_eq!((&found["mode"], &found["failed_mode"]), (&json!("passive"), &json!("active")));
    let run = site.get("/api/v1/runs/1").send().is(200);
    let points = run["progress"].as_array().unwrap();
    assert_eq!(points.last().unwrap()["bytes"], 100_000, "{run}");
    assert_eq!(run["each_fallback"][0]["to"], "passive");
    let page = site.get("/runs/1").send().text;
    assert!(page.contains("<svg") && page.contains("Fallbacks"), "{page}");
    let page = site.get("/servers").send().text;
    assert!(page.contains("passive") && page.contains("tester"), "{page}");
    drop(site.stop());
}

#[test]
fn events_tell_what_happens() {
    let site = Site::start(OPEN, &jobs());
    scripts(&site);
    let token = site.token("alice", "operate");
    let stream = site.get("/api/v1/events").open();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == ": connected"));
    // The first look tells nothing, so what is done before it is not told.
    let is_told = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_told.load(Ordering::Relaxed) {
                site.post("/api/v1/jobs/good/trigger").bearer(&token).send().is(202);
                thread::park_timeout(Duration::from_secs(1));
            }
        });
        let found = lines.find(|line| line.starts_with("data: ") && line.contains("\"id\":"));
        is_told.store(true, Ordering::Relaxed);
        found.map(|line| serde_json::from_str::<Value>(&line["data: ".len()..]).unwrap())
    });
    assert_eq!(told.unwrap()["job"], "good");
    drop(site.stop());
}

#[test]
fn slots_to_come_are_listed_and_the_calendar_has_them() {
    let jobs = "[[job]]\nname = \"hourly\"\nscript = \"a.rhai\"\ncron = \"7 * * * *\"\ndescription = \"On the hour\"\n";
    let site = Site::start_with(OPEN, jobs, |scheduler| scheduler.file("a.rhai", ""));
    let next = site.get("/api/v1/next?limit=3").send().is(200);
    assert_eq!(next, command(&site, &["next", "--count", "3"]));
    let day = site.get("/api/v1/next").send().is(200);
    assert_eq!(day.as_array().unwrap().len(), 24);
    let page = site.get("/calendar").send().text;
    assert_eq!(page.matches("href=\"/jobs/hourly\"").count(), 24, "{page}");
    assert!(page.contains("On the hour"));
    drop(site.stop());
}

#[test]
fn metrics_and_health_are_told() {
    let site = Site::start(OPEN, &jobs());
    scripts(&site);
    let answer = site.get("/healthz").send();
    assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"));
    let metrics = wait::until(TIME_MAX, || {
        let text = site.get("/metrics").send().text;
        text.contains("portolan_jobs 2").then_some(text)
    });
    assert!(metrics.is_some());
    assert_eq!(site.request("HEAD", "/api/v1/jobs").send().status, 200);
    drop(site.stop());
}
