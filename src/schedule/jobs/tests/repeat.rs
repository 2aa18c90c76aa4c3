//! `[defaults]`, `include`, `each`, calendars, and programs around a run: what they mean, and what is wrong with them.

use std::{fs, path::Path, time::Duration};

use jiff::civil::time;

use super::{folder, read};
use crate::schedule::jobs::{ExpectBy, JobsReading};

const JOB: &str = "[[job]]\nname = \"a\"\nscript = \"s.rhai\"\ncron = \"0 3 * * *\"\n";

/// Two mirrors, one for each value.
const MIRRORS: &str = "[[job]]\nname = \"m\"\ncron = \"@daily\"\neach = { x = [1, 2] }\n\
    mirror = { from = \"ftp://h/{x}\", to = \"in/{x}\" }\n";

fn names(reading: &JobsReading) -> Vec<String> {
    let jobs = reading.jobs.as_ref().unwrap_or_else(|| panic!("{:#?}", reading.findings));
    jobs.all.iter().map(|job| job.name.to_string()).collect()
}

/// Returns the only finding as `FILE:LINE: message | hint`.
fn found(text: &str, folder: &Path) -> String {
    let reading = read(text, folder);
    assert!(reading.jobs.is_none(), "{text}");
    let [finding] = &reading.findings[..] else { panic!("{:#?}", reading.findings) };
    let file = Path::new(&finding.place.file).file_name().unwrap().to_string_lossy();
    let hint = finding.hint.clone().unwrap_or_default();
    format!("{file}:{}: {} | {hint}", finding.place.line, finding.message)
}

#[test]
fn defaults_are_those_of_every_job_that_says_nothing_else() {
    let text = format!(
        "[defaults]\nretries = 3\noverlap = \"queue\"\n[defaults.connect]\nmode = \"active\"\nparallel = 2\n\
         [defaults.mirror]\nexclude = [\"*.tmp\"]\n{JOB}retries = 5\n[job.connect]\nparallel = 4\n\
         [[job]]\nname = \"b\"\ncron = \"@daily\"\n[job.mirror]\nfrom = \"ftp://h/x\"\nto = \"x\"\n"
    );
    let folder = folder();
    let jobs = read(&text, folder.path()).jobs.unwrap();
    let [a, b] = &jobs.all[..] else { panic!() };
    assert_eq!((a.retry.retries, b.retry.retries), (5, 3));
    assert_eq!(a.connect.texts(), ["mode=active", "parallel=4"]);
    assert_eq!(b.connect.texts(), ["mode=active", "parallel=2"]);
    assert!(a.task.is_none());
    let args = b.task.as_ref().unwrap().args(&serde_json::Value::Null);
    assert_eq!(args["options"]["exclude"][0], "*.tmp");
}

/// A job that has no times of its own.
const BY_HAND: &str = "[[job]]\nname = \"b\"\nscript = \"s.rhai\"\n";

#[test]
fn a_job_without_cron_takes_no_expected_time_from_defaults() {
    let text = format!(
        "[defaults]\nexpect_by = \"06:30\"\non_failure = {{ mail = \"a@example.com\" }}\non_late = true\n\
         timezone = \"UTC\"\n[mail]\nsmtp = \"h\"\nfrom = \"a@example.com\"\n{JOB}{BY_HAND}\
         [[job]]\nname = \"c\"\nscript = \"s.rhai\"\nexpect_by = \"07:00\"\n"
    );
    let folder = folder();
    let reading = read(&text, folder.path());
    let told: Vec<_> = reading.findings.iter().map(|one| one.message.as_str()).collect();
    // No word of a key that does nothing.
    assert_eq!(told, ["this job runs only when it is triggered"; 2]);
    let jobs = reading.jobs.unwrap();
    let all = jobs.all.iter().map(|job| (job.expect_by, job.notify.on_late.is_some()));
    let at = |hour, minute| Some(ExpectBy::Time(time(hour, minute, 0, 0)));
    assert_eq!(all.collect::<Vec<_>>(), [(at(6, 30), true), (None, false), (at(7, 0), true)]);
}

#[test]
fn times_from_defaults_are_in_the_time_zone_from_defaults() {
    let folder = folder();
    let zone = |defaults: &str, job: &str| {
        let text = format!("[defaults]\ntimezone = \"Asia/Tokyo\"\n{defaults}\n{job}");
        let reading = read(&text, folder.path());
        let told = reading.findings.iter().filter(|one| one.message.contains("timezone")).count();
        let jobs = reading.jobs.unwrap_or_else(|| panic!("{:#?}", reading.findings));
        let zone = jobs.all[0].time_zone();
        (zone.iana_name() == Some("Asia/Tokyo"), told)
    };
    for defaults in [
        "window = \"22:00-06:00\"",
        "not_on = \"12-25\"",
        "rate_limit = \"08:00-18:00 1MiB, off\"",
        "cron = \"0 3 * * *\"",
    ] {
        assert_eq!(zone(defaults, BY_HAND), (true, 0), "{defaults}");
    }
    // It has no times, and is not told that the zone does nothing.
    assert_eq!(zone("", BY_HAND), (false, 0));
    assert_eq!(zone("expect_by = \"06:30\"", BY_HAND), (false, 0));
    let inner = BY_HAND.to_owned() + "cron = \"TZ=UTC 0 3 * * *\"\n";
    assert_eq!(zone("window = \"22:00-06:00\"", &inner), (false, 0));
}

#[test]
fn one_job_is_made_for_each_combination_of_values() {
    let text = "[[job]]\nname = \"copy\"\ncron = \"@daily\"\neach = { site = [\"a\", \"b.example.com\"], year = [2025, 2026] }\n\
        [job.mirror]\nfrom = \"ftp://{site}/{year}\"\nto = \"in/{site}/{year}\"\nexclude = [\"*.{tmp,bak}\"]\n\
        [[job]]\nname = \"end\"\nscript = \"s.rhai\"\nafter = [\"copy\"]\n";
    let folder = folder();
    let reading = read(text, folder.path());
    let wanted =
        ["copy[a,2025]", "copy[a,2026]", "copy[b.example.com,2025]", "copy[b.example.com,2026]"];
    assert_eq!(names(&reading)[..4], wanted);
    let jobs = reading.jobs.unwrap();
    let args =
        jobs.get("copy[a,2026]").unwrap().task.as_ref().unwrap().args(&serde_json::Value::Null);
    assert_eq!((&args["url"], &args["local"]), (&"ftp://a".into(), &"in/a/2026".into()));
    assert_eq!(args["options"]["exclude"][0], "*.{tmp,bak}");
    let after: Vec<_> = jobs.get("end").unwrap().after.iter().map(ToString::to_string).collect();
    assert_eq!(after, wanted);
}

#[test]
fn included_files_have_jobs_in_order_of_their_names() {
    let folder = folder();
    fs::create_dir(folder.path().join("jobs.d")).unwrap();
    for name in ["b", "c"] {
        let text = JOB.replace("\"a\"", &format!("\"{name}\""));
        fs::write(folder.path().join(format!("jobs.d/{name}.toml")), text).unwrap();
    }
    let text = format!("include = \"jobs.d/*.toml\"\n[defaults]\nretries = 2\n{JOB}");
    let reading = read(&text, folder.path());
    assert_eq!(names(&reading), ["a", "b", "c"]);
    let jobs = reading.jobs.unwrap();
    assert!(jobs.all.iter().all(|job| job.retry.retries == 2));
    assert_eq!(jobs.included.len(), 2);
    let seen = crate::schedule::jobs::glance(&folder.path().join("jobs.d/b.toml")).unwrap();
    assert_eq!(seen.names, ["b"]);
}

#[test]
fn a_pattern_in_a_directory_that_is_absent_is_a_warning() {
    let folder = folder();
    let reading = read(&format!("include = \"jbs.d/*.toml\"\n{JOB}"), folder.path());
    let told: Vec<_> = reading.findings.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(told, ["there is no directory `jbs.d` to include from"]);
    assert_eq!(names(&reading), ["a"]);
}

#[test]
fn a_mistake_is_told_with_its_file_its_line_and_the_nearest_key() {
    let folder = folder();
    let make = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    make("wrong.toml", &format!("{JOB}\nretrys = 3\n"));
    make("runner.toml", "[runner]\nmax_running = 1\n");
    make("broken.toml", "\n[[job]\n");
    for (text, wanted) in [
        (
            format!("[defaults]\nretrys = 1\n{JOB}"),
            "portolan.toml:2: `[defaults]` has no key `retrys` | did you mean `retries`?",
        ),
        (
            format!("[defaults]\nname = \"x\"\n{JOB}"),
            "portolan.toml:2: `[defaults]` has no `name`: each job has its own | ",
        ),
        (
            format!("[defaults.get]\nresme = true\n{JOB}"),
            "portolan.toml:2: `[job.get]` has no key `resme` | did you mean `resume`?",
        ),
        (
            format!("[defaults.mirror]\ndelte = true\n{MIRRORS}"),
            "portolan.toml:2: `[job.mirror]` has no key `delte` | did you mean `delete`?",
        ),
        (
            format!("[defaults]\nretries = -1\n{JOB}retries = 1\n"),
            "portolan.toml:2: `retries` wants a whole number from 0 to 100, got -1 | ",
        ),
        (
            format!("[defaults]\nretries = -1\n{JOB}{}", JOB.replace("\"a\"", "\"b\"")),
            "portolan.toml:2: `retries` wants a whole number from 0 to 100, got -1 | ",
        ),
        (
            "include = \"wrong.toml\"\n".into(),
            "wrong.toml:6: a job has no key `retrys` | did you mean `retries`?",
        ),
        (
            "include = \"runner.toml\"\n".into(),
            "runner.toml:1: an included file has no key `runner` | it has job",
        ),
        (
            "include = [\"gone.toml\"]\n".into(),
            "portolan.toml:1: there is no file `gone.toml` to include | ",
        ),
        (
            format!("{JOB}each = {{ site = [\"a\"] }}\nargs = {{ x = \"{{sit}}\" }}\n"),
            "portolan.toml:6: `each` has no `sit` | did you mean `{site}`?",
        ),
        (
            format!("{JOB}each = {{ site = \"a\" }}\n"),
            "portolan.toml:5: `site` wants an array of values | write `each = { site = [\"a\", \"b\"] }`: `{site}` is in the job's values",
        ),
        (
            format!("{JOB}each = {{ site = [\"a\", \"a\"] }}\n"),
            "portolan.toml:5: `a` is there twice | ",
        ),
    ] {
        assert_eq!(found(&text, folder.path()), wanted, "{text}");
    }
    let broken = read("include = \"broken.toml\"\n", folder.path());
    assert!(
        broken
            .findings
            .iter()
            .all(|one| one.place.file.ends_with("broken.toml") && one.place.line == 2)
    );
    assert!(!broken.findings.is_empty() && broken.jobs.is_none());
}

#[test]
fn a_mistake_in_a_key_about_time_or_programs_is_told_with_its_line() {
    let folder = folder();
    let days = "# of 2026\n2026-12-25 Christmas\n\n2026-13-01\n";
    fs::write(folder.path().join("days.txt"), days).unwrap();
    for (text, wanted) in [
        (
            format!("{JOB}window = \"22-6\"\n"),
            "portolan.toml:5: `22-6` is no window: write `22:00-06:00` or `Mon-Fri 22:00-06:00` | ",
        ),
        (
            format!("{JOB}window = \"04:00-06:00\"\n"),
            "portolan.toml:4: this schedule never fires | in eight years `window` and `not_on` leave no time that `cron` names",
        ),
        (
            format!("{JOB}not_on = \"days.txt\"\n"),
            "days.txt:4: `2026-13-01` is no date: write `2026-12-25`, `12-25` for every year, or `2026-12-24..2027-01-01` | ",
        ),
        (
            format!("{JOB}expect_by = \"soon\"\n"),
            "portolan.toml:5: `expect_by` cannot be \"soon\" | a time of the day such as \"06:30\", or a duration after the slot such as \"2h\"",
        ),
        (
            format!("{JOB}before = [1]\n"),
            "portolan.toml:5: `before` wants programs, each an array of strings | such as `before = [[\"pg_dump\", \"-f\", \"out/shop.sql\", \"shop\"]]`; no shell reads it",
        ),
    ] {
        assert_eq!(found(&text, folder.path()), wanted, "{text}");
    }
}

#[test]
fn the_keys_about_time_and_programs_are_read() {
    let folder = folder();
    fs::write(folder.path().join("days.txt"), "2026-06-02 # closed\n\n").unwrap();
    let text = JOB.replace("\"0 3 * * *\"", "[\"0 3 * * *\", \"0 15 * * *\"]")
        + "timezone = \"UTC\"\nnot_on = [\"days.txt\", \"06-03\"]\nexpect_by = \"2h\"\nenabled = false\ntags = [\"x\"]\n\
           before = [\"true\"]\nafter = [[\"echo\", \"a b\"]]\nfinally = [[\"one\"], [\"two\", \"2\"]]\n";
    let jobs = read(&text, folder.path()).jobs.unwrap();
    let job = &jobs.all[0];
    let slots = job.schedule.as_ref().unwrap().firings("2026-06-01T00:00:00Z".parse().unwrap());
    let slots: Vec<_> = slots.take(3).map(|slot| slot.at.to_string()).collect();
    assert_eq!(slots, ["2026-06-01T03:00:00Z", "2026-06-01T15:00:00Z", "2026-06-04T03:00:00Z"]);
    assert_eq!(job.expect_by, Some(ExpectBy::Within(Duration::from_hours(2))));
    assert!(!job.enabled && job.active_schedule().is_none() && job.revision() == "disabled");
    assert_eq!((&job.tags[..], job.after.len()), (&["x".to_owned()][..], 0));
    assert_eq!(job.programs.before, [["true"]]);
    assert_eq!(job.programs.after, [["echo", "a b"]]);
    assert_eq!(job.programs.finally.len(), 2);
}

#[test]
fn a_zone_in_one_of_several_expressions_replaces_that_of_defaults() {
    let folder = folder();
    let job = BY_HAND.to_owned() + "cron = [\"CRON_TZ=Asia/Tokyo 0 3 * * *\", \"0 5 * * *\"]\n";
    let text = format!("[defaults]\ntimezone = \"Europe/Berlin\"\n{job}");
    let reading = read(&text, folder.path());
    let jobs = reading.jobs.unwrap_or_else(|| panic!("{:#?}", reading.findings));
    assert_eq!(jobs.all[0].time_zone().iana_name(), Some("Asia/Tokyo"));
}
