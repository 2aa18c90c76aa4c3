//! A jobs file with every key, and the result of reading it.

use std::time::Duration;

use super::{
    super::{Allowed, Misfire, Overlap, RetryOn},
    folder, read,
};

const WHOLE: &str = r#"
[runner]
state = "state"
max_running = 8
metrics = "127.0.0.1:9464"
retention = { runs = 50, total = 100_000, age = "90d", log = "1MiB" }
locks = { "host:ftp.example.com" = 4 }

[[job]]
name = "catalogue"
script = "scripts/nightly.rhai"
cron = "15 3 * * *"
timezone = "Europe/Berlin"
retries = 3
backoff = { initial = "10s", factor = 2, max = "10m", jitter = false }
retry_on = ["connect", "4xx"]
attempt_timeout = "1h"
run_timeout = "4h"
stall_timeout = "2m"
kill_grace = "10s"
overlap = "queue"
misfire = "all"
start_deadline = "12h"
max_catchup = 3
catchup_spread = "0s"
late_after = "5m"
jitter = "30s"
locks = ["host:ftp.example.com", "disk"]
after = ["prices"]
allow = ["nat"]
on_success = { ping = "https://hc.example.com/1" }
on_failure = { webhook = "https://example.com/hook", command = ["mail", "me"] }
on_change = { command = "mail" }
on_missed = { webhook = "http://example.com/missed" }
ping = "https://hc.example.com/2"
[job.args]
target = "/srv/catalogue"
deep = { list = [1, 2.5, true, 2026-01-01] }
[job.connect]
mode = "active"
port_range = "50000-50010"
parallel = 4
fallback = false

[[job]]
name = "prices"
script = "s.rhai"
cron = "CRON_TZ=Asia/Tokyo @daily"
args = ["a", "b"]
"#;

#[test]
fn every_key_is_read() {
    let folder = folder();
    let reading = read(WHOLE, folder.path());
    assert_eq!(reading.findings.len(), 0, "{:?}", reading.findings);
    let jobs = reading.jobs.unwrap();
    let runner = &jobs.runner;
    assert_eq!(runner.state.as_deref(), Some(&*folder.path().join("state")));
    assert_eq!((runner.max_running, runner.locks["host:ftp.example.com"]), (8, 4));
    assert_eq!(runner.metrics.unwrap().port(), 9464);
    assert_eq!((runner.retention.runs, runner.retention.log_bytes), (50, 1 << 20));
    assert_eq!(runner.retention.total, 100_000);
    assert_eq!(runner.retention.age, Duration::from_hours(90 * 24));
    let job = jobs.get("catalogue").unwrap();
    assert_eq!(job.script, folder.path().join("scripts/nightly.rhai"));
    let schedule = job.schedule.as_ref().unwrap();
    assert_eq!((schedule.expression.text(), &*schedule.zone.name), ("15 3 * * *", "Europe/Berlin"));
    assert_eq!(job.retry.retries, 3);
    assert_eq!(
        (job.retry.initial, job.retry.longest),
        (Duration::from_secs(10), Duration::from_mins(10))
    );
    assert!(!job.retry.jitter);
    assert_eq!(job.retry.on, [RetryOn::Connect, RetryOn::Busy]);
    assert_eq!(job.timeouts.attempt, Some(Duration::from_hours(1)));
    assert_eq!(job.timeouts.run, Some(Duration::from_hours(4)));
    assert_eq!(job.timeouts.stall, Some(Duration::from_mins(2)));
    assert_eq!(job.timeouts.kill_grace, Duration::from_secs(10));
    assert_eq!((job.overlap, job.catch_up.misfire), (Overlap::Queue, Misfire::All));
    assert_eq!(job.catch_up.start_deadline, Some(Duration::from_hours(12)));
    assert_eq!((job.catch_up.most, job.catch_up.spread), (3, Duration::ZERO));
    assert_eq!(job.catch_up.late_after, Duration::from_mins(5));
    assert_eq!(job.jitter, Duration::from_secs(30));
    let locks: Vec<_> = job.locks.iter().map(|lock| (&*lock.name, lock.places)).collect();
    assert_eq!(locks, [("host:ftp.example.com", None), ("disk", None)]);
    assert_eq!(job.after.iter().map(|name| &**name).collect::<Vec<_>>(), ["prices"]);
    assert_eq!(job.allow, [Allowed::Nat]);
    let failure = job.notify.on_failure.as_ref().unwrap();
    assert_eq!(failure.webhook.as_ref().unwrap().url.reveal(), "https://example.com/hook");
    assert_eq!(failure.command.as_deref(), Some(&["mail".to_owned(), "me".into()][..]));
    assert!(job.notify.on_success.as_ref().unwrap().ping.is_some());
    assert_eq!(job.notify.on_change.as_ref().unwrap().command.as_ref().unwrap().len(), 1);
    assert!(job.notify.on_missed.as_ref().unwrap().webhook.is_some() && job.notify.ping.is_some());
    let args = serde_json::json!({
        "deep": { "list": [1, 2.5, true, "2026-01-01"] },
        "target": "/srv/catalogue",
    });
    assert_eq!(job.args, args);
    assert_eq!(
        job.connect.texts(),
        ["fallback=false", "mode=active", "parallel=4", "port_range=50000-50010"]
    );
}

#[test]
fn what_is_not_said_has_its_default() {
    let folder = folder();
    let jobs = read(WHOLE, folder.path()).jobs.unwrap();
    let job = jobs.get("prices").unwrap();
    assert_eq!(job.schedule.as_ref().unwrap().zone.name, "Asia/Tokyo");
    assert_eq!(job.args, serde_json::json!(["a", "b"]));
    assert_eq!((job.overlap, job.catch_up.misfire), (Overlap::Skip, Misfire::Once));
    assert_eq!((job.catch_up.start_deadline, job.catch_up.most), (None, 10));
    assert_eq!((job.retry.retries, job.retry.on.len()), (0, 5));
    assert_eq!((job.timeouts.attempt, job.timeouts.stall), (None, None));
    assert!(job.locks.is_empty() && job.after.is_empty() && job.allow.is_empty());
    assert!(job.notify.ping.is_none() && job.notify.on_failure.is_none());
}

#[test]
fn no_run_goes_on_for_ever_unless_its_job_says_so() {
    let day = Duration::from_hours(24);
    for (more, wanted) in [
        ("", Some(day)),
        ("attempt_timeout = \"2h\"", Some(day)),
        ("attempt_timeout = \"30h\"", None),
        ("run_timeout = \"100h\"", Some(Duration::from_hours(100))),
        ("run_timeout = \"none\"", None),
        ("run_timeout = 0", None),
    ] {
        let folder = folder();
        let text = format!(
            "[[job]]\nname = \"a\"\nscript = \"scripts/nightly.rhai\"\ncron = \"@daily\"\n{more}\n"
        );
        let reading = read(&text, folder.path());
        assert!(reading.findings.is_empty(), "{more}: {:?}", reading.findings);
        let jobs = reading.jobs.unwrap();
        assert_eq!(jobs.get("a").unwrap().timeouts.whole(), wanted, "{more}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_a_file_holds_it_is_read_or_refused_in_its_place(at in 0..WHOLE.len(), piece in "[\\[\\]{}=\",.a-z0-9 \n]{0,12}", length in 0..40_usize) {
        let folder = folder();
        let rest = WHOLE.get(at + length..).unwrap_or_default();
        let text = format!("{}{piece}{rest}", &WHOLE[..at]);
        let reading = read(&text, folder.path());
        for finding in &reading.findings {
            proptest::prop_assert!(finding.place.line <= text.matches('\n').count() + 1);
        }
        proptest::prop_assert!(reading.jobs.is_some() || !reading.findings.is_empty());
    }
}
