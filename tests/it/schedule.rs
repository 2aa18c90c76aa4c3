//! `next`, `why`, `simulate`, and `check` of a jobs file, as users see them; and the manual, whose examples run.

use serde_json::json;

use crate::support::program::Portolan;

const JOBS: &str = r#"[[job]]
name = "catalogue"
script = "scripts/mirror.rhai"
cron = "30 2 * * *"
timezone = "America/New_York"

[[job]]
name = "prices"
script = "scripts/mirror.rhai"
cron = "*/15 * * * *"
timezone = "America/New_York"

[[job]]
name = "report"
script = "scripts/mirror.rhai"
after = ["catalogue"]
"#;

/// A job of every day, in a zone whose clocks are never put forward.
const DAILY: &str = r#"[[job]]
name = "daily"
script = "scripts/mirror.rhai"
cron = "30 2 * * *"
timezone = "America/Phoenix"
"#;

fn with_jobs(text: &str) -> Portolan {
    Portolan::new().file("portolan.toml", text).file("scripts/mirror.rhai", "print(1);")
}

#[test]
fn next_of_an_expression_is_an_array_of_instants_with_what_was_moved() {
    let expression = ["next", "--cron", "30 2 * * *", "--timezone", "America/New_York", "--json"];
    let mut ran = Portolan::new()
        .args(expression)
        .args(["--after", "2026-03-07T12:00:00Z", "--count", "2"])
        .run()
        .succeeds();
    let expected = json!([
        {
            "at": "2026-03-08T07:00:00Z",
            "local": "2026-03-08T03:00:00-04:00[America/New_York]",
            "moved_from": "2026-03-08T02:30:00",
        },
        {
            "at": "2026-03-09T06:30:00Z",
            "local": "2026-03-09T02:30:00-04:00[America/New_York]",
            "moved_from": null,
        },
    ]);
    assert_eq!(ran.json(), expected);
}

#[test]
fn next_of_a_job_goes_by_its_zone_and_names_it() {
    let mut ran = with_jobs(JOBS)
        .args(["next", "catalogue", "--after", "2026-10-31T12:00", "--count", "1", "--json"])
        .run()
        .succeeds();
    let found = ran.json();
    assert_eq!(
        (&found[0]["at"], &found[0]["job"]),
        (&json!("2026-11-01T07:30:00Z"), &json!("catalogue"))
    );
    with_jobs(JOBS)
        .args(["next"])
        .run()
        .succeeds()
        .stdout_has("report runs after catalogue has succeeded\n");
}

#[test]
fn next_has_one_line_for_each_job_and_several_slots_if_asked() {
    let after = ["--after", "2026-06-01T12:00:00Z"];
    let names = |more: &[&str]| -> Vec<String> {
        let program = with_jobs(JOBS).args(["next", "--json"]).args(after);
        let found = program.args(more.iter().copied()).run().succeeds().json();
        let name = |slot: &serde_json::Value| slot["job"].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(&[]), ["prices", "catalogue"]);
    assert_eq!(names(&["--count", "3"]), ["prices"; 3]);
    assert_eq!(names(&["prices"]), ["prices"; 5]);
    assert_eq!(names(&["prices", "--count", "2"]), ["prices"; 2]);
    let ran = with_jobs(JOBS).args(["next"]).args(after).run().succeeds().any_stdout();
    let lines = ran.stdout_text();
    let count = |job: &str| {
        lines.lines().filter(|line| line.starts_with("  2026") && line.contains(job)).count()
    };
    assert_eq!((count("prices"), count("catalogue")), (1, 1), "{lines}");
}

#[test]
fn next_shows_the_description_of_a_job() {
    let named = "name = \"catalogue\"\n";
    let described = format!("{named}description = \"the supplier's prices\"\n");
    let described = JOBS.replace(named, &described);
    let line = "catalogue: the supplier's prices\n";
    with_jobs(&described).args(["next"]).run().succeeds().stdout_has(line);
    let mut ran = with_jobs(&described).args(["next", "catalogue", "--json"]).run().succeeds();
    assert_eq!(ran.json()[0]["description"], "the supplier's prices");
    let mut ran = with_jobs(&described).args(["next", "prices", "--json"]).run().succeeds();
    assert_eq!(ran.json()[0]["description"], json!(null));
    let wrong = "`description` wants one line of at most 200 characters";
    for text in ["a\\nb".to_owned(), "x".repeat(201)] {
        let jobs = described.replace("the supplier's prices", &text);
        with_jobs(&jobs).args(["check", "portolan.toml"]).run().fails_with(3).stderr_has(wrong);
    }
}

#[test]
fn next_refuses_what_never_fires_and_what_it_does_not_know() {
    for (args, words) in [
        (&["--cron", "0 0 31 2 *", "--timezone", "UTC"][..], "never fires"),
        (
            &["--cron", "CRON_TZ=Asia/Kolkata 30 5 * * *", "--timezone", "Europe/Lisbon"],
            "--timezone says \"Europe/Lisbon\" and the expression says \"Asia/Kolkata\": one of them is enough",
        ),
        (
            &["--cron", "TZ=America/Lima @daily", "--timezone", "UTC"],
            "--timezone says \"UTC\" and the expression says \"America/Lima\": one of them is enough",
        ),
        (&["--cron", "61 * * * *"], "61 is no minute: those are 0 to 59\n  | 61 * * * *\n  | ^^\n"),
        (&["--cron", "@daily", "--timezone", "Europe/Berln"], "did you mean `Europe/Berlin`?"),
        (&["--cron", "@daily", "--after", "yestermorn"], "`yestermorn` is no time"),
        (&["catalog"], "there is no job `catalog`; did you mean `catalogue`?"),
        (&["report"], "job `report` has no `cron`: it runs after catalogue has succeeded"),
        (&["--jobs", "gone.toml"], "gone.toml: cannot read the jobs file"),
    ] {
        let ran = with_jobs(JOBS).args(["next"]).args(args.iter().copied()).run();
        ran.fails_with(2).stderr_has(words);
    }
}

#[test]
fn why_tells_of_the_hour_that_is_not_and_of_the_hour_that_comes_twice() {
    for (job, at, words, slot) in [
        ("catalogue", "2026-03-08 02:30", "02:30 did not exist", Some("L2026-03-08T02:30")),
        ("prices", "2026-03-08 02:30", "an interval runs only at moments that happen", None),
        ("prices", "2026-11-01 01:30", "01:30 came twice", Some("U2026-11-01T05:30:00Z")),
        ("catalogue", "2026-03-09 02:30", "a run is due then", Some("L2026-03-09T02:30")),
        ("catalogue", "2026-03-09 02:31", "the schedule does not name that time", None),
        (
            "catalogue",
            "2026-03-08T07:00:00Z",
            "the run for 02:30 is due then",
            Some("L2026-03-08T02:30"),
        ),
    ] {
        let mut ran = with_jobs(JOBS).args(["why", job, "--at", at, "--json"]).run().succeeds();
        let found = ran.json();
        assert!(found["why"].as_str().unwrap().contains(words), "{job} {at}: {found}");
        assert_eq!(found["slot"]["slot"].as_str(), slot, "{job} {at}");
    }
}

#[test]
fn times_may_be_days_and_times_of_the_clock() {
    let zone = jiff::tz::TimeZone::get("America/Phoenix").unwrap();
    let today = jiff::Timestamp::now().to_zoned(zone).date();
    let yesterday = today.yesterday().unwrap();
    for (at, slot) in [
        ("yesterday", Some(format!("L{yesterday}T02:30"))),
        ("yesterday 02:30", Some(format!("L{yesterday}T02:30"))),
        ("Yesterday 2:30", Some(format!("L{yesterday}T02:30"))),
        ("02:30", Some(format!("L{today}T02:30"))),
        ("today 02:31", None),
    ] {
        let ran = with_jobs(DAILY).args(["why", "daily", "--at", at, "--json"]).run();
        assert_eq!(ran.succeeds().json()["slot"]["slot"].as_str(), slot.as_deref(), "{at}");
    }
    let ran = with_jobs(DAILY).args(["next", "daily", "--after", "tomorrow", "--json"]).run();
    let first = ran.succeeds().json()[0]["local"].as_str().unwrap().to_owned();
    assert!(first.starts_with(&format!("{}T02:30", today.tomorrow().unwrap())), "{first}");
}

#[test]
fn simulate_shows_an_outage_and_what_is_made_good() {
    let span = ["--from", "2026-03-08T05:00:00Z", "--to", "2026-03-08T09:00:00Z"];
    let outage = ["--outage", "2026-03-08T06:40:00Z..2026-03-08T07:50:00Z"];
    let mut ran =
        with_jobs(JOBS).args(["simulate", "--json"]).args(span).args(outage).run().succeeds();
    let found = ran.json();
    let of = |job: &str, decision: &str| {
        let all = found.as_array().unwrap().iter();
        all.filter(|row| row["job"] == job && row["decision"] == decision)
            .cloned()
            .collect::<Vec<_>>()
    };
    let caught = &of("catalogue", "start")[0];
    assert_eq!(
        (&caught["slot"], &caught["trigger"]),
        (&json!("L2026-03-08T02:30"), &json!("catchup"))
    );
    let caught = of("prices", "start").into_iter().find(|row| row["covers"] == 5);
    assert_eq!(caught.unwrap()["scheduled_for"], "2026-03-08T07:45:00Z");
    assert_eq!(of("prices", "skip").len(), 4);
    assert_eq!(of("report", "start")[0]["trigger"], "dependency");
}

#[test]
fn simulate_shows_tables_of_eighty_columns() {
    let ran = with_jobs(JOBS)
        .args(["simulate", "--from", "2026-03-08T05:00:00Z", "--to", "2026-03-08T09:00:00Z"])
        .args(["--outage", "06:40..07:50"])
        .run()
        .succeeds();
    for line in ran.stdout_text().lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    ran.stdout_has("-- the scheduler is up --");
}

#[test]
fn check_looks_at_a_jobs_file_and_at_the_scripts_that_it_names() {
    for arguments in [&["check", "portolan.toml"][..], &["check"]] {
        let portolan = with_jobs(JOBS).args(arguments.iter().copied());
        portolan.run().succeeds().stderr("1 jobs file and 1 script, nothing wrong\n");
    }
    let none = Portolan::new().args(["check"]).run();
    none.fails_with(2).stderr_has("error: portolan.toml: ");
    with_jobs(&JOBS.replace("after =", "aftr ="))
        .file("scripts/mirror.rhai", "prnt(1);")
        .args(["check", "portolan.toml"])
        .run()
        .fails_with(3)
        .stderr(
            "\
warning: this job runs only when it is triggered
  --> portolan.toml:13:1
   |
13 | [[job]]
   | ^
hint: `cron` or `after` says when it runs by itself

error: a job has no key `aftr`
  --> portolan.toml:16:1
   |
16 | aftr = [\"catalogue\"]
   | ^
hint: did you mean `after`?

error: there is no function `prnt`
  --> scripts/mirror.rhai:1:1
  |
1 | prnt(1);
  | ^
hint: did you mean `print`?

2 errors, 1 warning in 1 jobs file and 1 script
",
        );
}

/// Returns the words of a command line, some of which may be in single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Returns the output without the line on zone data, which differs from host to host.
fn plain(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("zone data"));
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

#[test]
fn every_example_of_the_manual_on_schedules_runs_as_it_is_printed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cron.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let (mut jobs, mut count) = (String::new(), 0);
    for block in manual.split("```").skip(1).step_by(2) {
        if let Some(text) = block.strip_prefix("toml\n") {
            text.clone_into(&mut jobs);
        }
        let Some(block) = block.strip_prefix("console\n") else { continue };
        for example in block.split("$ portolan ").skip(1) {
            let (command, output) = example.split_once('\n').unwrap();
            let ran = with_jobs(&jobs).args(words(command)).run();
            let said = ran.stderr_text().to_owned() + ran.stdout_text();
            assert_eq!(plain(&said), plain(output), "portolan {command}");
            let code = i32::from(output.starts_with("error")) * 2;
            drop(ran.fails_with(code).any_stdout().any_stderr());
            count += 1;
        }
    }
    assert!(count >= 10, "{count} examples");
}
