//! Programs around a run, and jobs files that include others.

use super::scheduler::{Scheduler, on_request};

/// Returns the log of the last run of a job.
fn log(scheduler: &Scheduler, job: &str) -> String {
    let ran = scheduler.command(&["show", job, "--log"]).succeeds().any_stdout();
    ran.stdout_text().to_owned()
}

#[test]
fn programs_run_around_the_work_and_are_part_of_the_attempt() {
    let more = "retries = 1\nbackoff = { initial = \"10ms\" }\n\
        before = [[\"sh\", \"-c\", \"echo first $PORTOLAN_JOB; echo b >>order\"]]\n\
        after = [[\"sh\", \"-c\", \"echo a $PORTOLAN_OUTCOME >>order\"]]\n\
        finally = [[\"sh\", \"-c\", \"echo f $PORTOLAN_OUTCOME >>order\"]]\n";
    let jobs = [
        on_request("good", more),
        on_request("bad", more),
        on_request(
            "stopped",
            "before = [\"sh\", \"-c\", \"echo no >&2; exit 3\"]\nfinally = [[\"sh\", \"-c\", \"echo end >>order\"]]\n",
        ),
        on_request("late", "after = [[\"false\"]]\n"),
        on_request(
            "slow",
            "attempt_timeout = \"1s\"\nkill_grace = \"1s\"\nbefore = [[\"sleep\", \"600\"]]\n",
        ),
    ];
    let mut scheduler = Scheduler::new(&jobs.concat());
    scheduler.file("good.rhai", "local::append(\"order\", \"w\\n\");");
    scheduler.file("bad.rhai", "throw \"no\";");
    for name in ["stopped", "late", "slow"] {
        scheduler.file(&format!("{name}.rhai"), "local::write(\"worked-\" + job::NAME, \"x\");");
    }
    scheduler.start();
    drop(scheduler.command(&["trigger", "good", "--wait"]).succeeds().stdout_has("is done"));
    assert_eq!(scheduler.read("order"), "b\nw\na done\nf done\n");
    assert!(log(&scheduler, "good").contains("sh: first good"));
    std::fs::remove_file(scheduler.path("order")).unwrap();
    drop(scheduler.command(&["trigger", "bad", "--wait"]).fails_with(3).stdout_has("is failed"));
    assert_eq!(scheduler.read("order"), "b\nf failed\n");
    std::fs::remove_file(scheduler.path("order")).unwrap();
    let ran = scheduler.command(&["trigger", "stopped", "--wait"]).any_code();
    drop(ran.stdout_has("`sh` failed (exit status: 3): no"));
    assert_eq!(scheduler.read("order"), "end\n");
    assert!(!scheduler.path("worked-stopped").exists());
    let ran = scheduler.command(&["trigger", "late", "--wait"]).any_code();
    drop(ran.stdout_has("`false` failed (exit status: 1)"));
    assert!(scheduler.path("worked-late").exists());
    let ran = scheduler.command(&["trigger", "slow", "--wait"]).any_code();
    drop(ran.stdout_has("attempt_timeout"));
    assert!(!scheduler.path("worked-slow").exists());
    // The same in the foreground.
    let ran = scheduler.command(&["run", "--job", "stopped"]).any_code();
    drop(ran.any_stderr().any_stdout());
    assert!(!scheduler.path("worked-stopped").exists());
    drop(scheduler.command(&["run", "--job", "good"]).succeeds().any_stderr().any_stdout());
    scheduler.stop();
}

#[test]
fn an_attempt_is_tried_again_after_a_program_that_failed() {
    let more = "retries = 2\nbackoff = { initial = \"10ms\" }\n\
        before = [[\"sh\", \"-c\", \"echo $PORTOLAN_ATTEMPT >>tries; test $PORTOLAN_ATTEMPT = 2\"]]\n";
    let once = format!("retry_on = [\"connect\"]\n{more}");
    let mut scheduler =
        Scheduler::new(&[on_request("again", more), on_request("once", &once)].concat());
    for name in ["again", "once"] {
        scheduler.file(&format!("{name}.rhai"), "");
    }
    scheduler.start();
    drop(scheduler.command(&["trigger", "again", "--wait"]).succeeds().stdout_has("is done"));
    assert_eq!(scheduler.read("tries"), "1\n2\n");
    let ran = scheduler.command(&["trigger", "once", "--wait"]).any_code();
    drop(ran.stdout_has("`sh` failed (exit status: 1)"));
    assert_eq!(scheduler.read("tries"), "1\n2\n1\n");
    scheduler.stop();
}

#[test]
fn a_stopped_run_still_cleans_up() {
    let more = "attempt_timeout = \"1s\"\nkill_grace = \"20s\"\n\
        before = [[\"sh\", \"-c\", \"yes\"]]\n\
        finally = [[\"sh\", \"-c\", \"sleep 0.2; echo $PORTOLAN_OUTCOME >cleaned\"]]\n";
    let mut scheduler = Scheduler::new(&on_request("loud", more));
    scheduler.file("loud.rhai", "local::write(\"worked\", \"x\");");
    scheduler.start();
    let ran = scheduler.command(&["trigger", "loud", "--wait"]).any_code();
    drop(ran.stdout_has("attempt_timeout"));
    assert_eq!(scheduler.read("cleaned"), "interrupted\n");
    assert!(!scheduler.path("worked").exists());
    scheduler.stop();
}

#[test]
fn an_included_file_is_watched_and_a_mistake_in_it_changes_nothing() {
    let mut scheduler = Scheduler::new("");
    let jobs = |text: &str| {
        scheduler.file(
            "portolan.toml",
            &format!("include = \"jobs.d/*.toml\"\n[runner]\nstate = \"state\"\n{text}"),
        );
    };
    jobs("[defaults]\nretries = 1\n");
    let job = "[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = \"0 0 29 2 *\"\neach = { site = [\"x\", \"y\"] }\nargs = { site = \"{site}\" }\n";
    scheduler.file("a.rhai", "local::write(args.site, \"x\");");
    scheduler.file("jobs.d/a.toml", job);
    scheduler.start();
    drop(scheduler.command(&["trigger", "a[y]", "--wait"]).succeeds().stdout_has("is done"));
    assert!(scheduler.path("y").exists() && !scheduler.path("x").exists());
    drop(scheduler.command(&["trigger", "a[z]"]).fails_with(2).stderr_has("did you mean `a["));
    scheduler.file("jobs.d/a.toml", &job.replace("cron", "crn"));
    scheduler.running().until_stderr_has("jobs.d/a.toml:4:1: a job has no key `crn`");
    drop(scheduler.command(&["trigger", "a[x]", "--wait"]).succeeds().stdout_has("is done"));
    scheduler.file("jobs.d/a.toml", job);
    scheduler.running().until_stderr_has("the jobs file was read again: 2 jobs");
    scheduler.file("jobs.d/b.toml", &job.replace("\"a\"", "\"b\""));
    scheduler.running().until_stderr_has("the jobs file was read again: 4 jobs");
    scheduler.stop();
}

#[test]
fn next_why_and_jobs_know_windows_dates_and_jobs_that_are_off() {
    let jobs = "\n[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = [\"0 3 * * *\", \"0 12 * * *\"]\ntimezone = \"UTC\"\nwindow = \"22:00-06:00\"\nnot_on = \"holidays.txt\"\ntags = [\"nightly\"]\n\
        [[job]]\nname = \"off\"\nscript = \"a.rhai\"\ncron = \"0 4 * * *\"\nenabled = false\n";
    let scheduler = Scheduler::new(jobs);
    scheduler.file("a.rhai", "");
    scheduler.file("holidays.txt", "2030-12-25 Christmas\n");
    let next =
        scheduler.command(&["next", "a", "--after", "2030-12-24T00:00", "--count", "3"]).succeeds();
    let text = next.stdout_text().to_owned();
    drop(next.any_stdout());
    assert!(text.contains("2030-12-24 03:00") && text.contains("2030-12-26 03:00"), "{text}");
    assert!(!text.contains("2030-12-25 03:00") && !text.contains("12:00"), "{text}");
    drop(
        scheduler
            .command(&["why", "a", "--at", "2030-12-25 03:00"])
            .succeeds()
            .stdout_has("`not_on`"),
    );
    drop(
        scheduler
            .command(&["why", "a", "--at", "2030-12-24 12:00"])
            .succeeds()
            .stdout_has("outside `window`"),
    );
    drop(scheduler.command(&["jobs"]).succeeds().stdout_has("disabled"));
    drop(scheduler.command(&["why", "off"]).succeeds().stdout_has("`enabled` is false"));
    let mut tagged = scheduler.command(&["--json", "jobs", "--tag", "nightly"]).succeeds();
    let tagged = tagged.json();
    assert_eq!((tagged.as_array().unwrap().len(), &tagged[0]["job"]), (1, &"a".into()));
}
