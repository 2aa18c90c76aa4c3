//! All known mistakes in jobs files: position, message and hint of each.

use super::{folder, read};
use crate::script::check::Severity;

/// Returns the finding for `text` at the position marked by `«`: level, message and hint, or a description of the
/// findings that were made instead.
fn told(text: &str) -> String {
    let at = text.find('«').unwrap_or_else(|| panic!("no place is marked in {text}"));
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let folder = folder();
    let reading = read(&text.replacen('«', "", 1), folder.path());
    let [finding] = &reading.findings[..] else {
        return format!("not one finding: {:#?}", reading.findings);
    };
    if (finding.place.line, finding.place.column) != (line, column) {
        return format!("not there: {finding:?}");
    }
    assert_eq!(reading.jobs.is_none(), finding.level == Severity::Error);
    let hint = finding.hint.clone().unwrap_or_default();
    format!("{}: {} | {hint}", finding.level.as_str(), finding.message)
}

fn check(wrong: &mut String, told: &str, wanted: &str, text: &str) {
    if told != wanted {
        let lines = ["", text, "  wanted", wanted, "  told", told, ""];
        wrong.push_str(&lines.join("\n"));
    }
}

/// Does the same for a line of a job that is otherwise valid.
fn line(text: &str) -> String {
    told(&format!("[[job]]\nname = \"a\"\nscript = \"s.rhai\"\ncron = \"0 3 * * *\"\n{text}\n"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_wrong_key_or_value_is_shown_in_its_place() {
    let mut wrong = String::new();
    for (text, words) in [
        ("«overlp = \"skip\"", "error: a job has no key `overlp` | did you mean `overlap`?"),
        ("«timzone = \"UTC\"", "error: a job has no key `timzone` | did you mean `timezone`?"),
        (
            "overlap = «\"skp\"",
            "error: `overlap` wants one of \"skip\", \"queue\", \"replace\", \"allow\", got \"skp\" | did you mean \"skip\"?",
        ),
        ("overlap = «1", "error: `overlap` wants a string, got 1 | "),
        (
            "misfire = «\"twice\"",
            "error: `misfire` wants one of \"skip\", \"once\", \"all\", got \"twice\" | ",
        ),
        ("retries = «-1", "error: `retries` wants a whole number from 0 to 100, got -1 | "),
        ("retries = «\"3\"", "error: `retries` wants a whole number from 0 to 100, got \"3\" | "),
        ("retries = «1.5", "error: `retries` wants a whole number from 0 to 100, got 1.5 | "),
        (
            "retry_on = [\"data\", «\"5xx\"]",
            "error: `retry_on` wants one of \"connect\", \"data\", \"timeout\", \"4xx\", \"program\", got \"5xx\" | ",
        ),
        (
            "backoff = { initial = \"10s\", «factr = 2 }",
            "error: `backoff` has no key `factr` | did you mean `factor`?",
        ),
        ("backoff = { factor = «0.5 }", "error: `factor` wants a number from 1 to 100, got 0.5 | "),
        (
            "backoff = { initial = \"10m\", max = «\"10s\" }",
            "error: `max` (10s) is less than `initial` (600s) | ",
        ),
        (
            "backoff = «\"10s\"",
            "error: `backoff` wants a table, got \"10s\" | write `backoff = { initial = \"10s\" }`",
        ),
        ("backoff = «10", "error: `backoff` wants a table, got 10 | "),
        ("watch = «[\"in\"]", "error: `watch` wants a table, got an array | "),
        (
            "watch = «\"in\"",
            "error: `watch` wants a table, got \"in\" | write `watch = { directory = \"in\" }`",
        ),
        ("arrival = «\"out\"", "error: `arrival` wants a table, got \"out\" | "),
        ("permissions = «true", "error: `permissions` wants a table, got true | "),
        ("permissions = «\"all\"", "error: `permissions` wants a table, got \"all\" | "),
        (
            "attempt_timeout = «3600",
            "error: `attempt_timeout` wants a duration such as \"90s\" or \"5m\", got 3600 | write `\"3600s\"` for seconds",
        ),
        (
            "stall_timeout = «\"2 minutes\"",
            "error: `stall_timeout` wants a duration such as \"90s\" or \"5m\", got \"2 minutes\" | units are ms, s, m, h and d; 30 days are the longest",
        ),
        (
            "stall_timeout = «\"0s\"",
            "error: `stall_timeout` is no time at all | leave the key out where there is to be no limit",
        ),
        (
            "start_deadline = «\"90d\"",
            "error: `start_deadline` wants a duration such as \"90s\" or \"5m\", got \"90d\" | units are ms, s, m, h and d; 30 days are the longest",
        ),
        (
            "attempt_timeout = «\"2h\"\nrun_timeout = \"1h\"",
            "warning: `attempt_timeout` is longer than `run_timeout` | `run_timeout` is for all attempts and the waits between them",
        ),
        ("«max_catchup = 3", "warning: `max_catchup` is for `misfire = \"all\"` only | "),
        (
            "misfire = \"all\"\nmax_catchup = «0",
            "error: `max_catchup` wants a whole number from 1 to 100, got 0 | ",
        ),
        (
            "jitter = «\"24h\"",
            "warning: `jitter` is as long as the time between two slots | a slot may then begin after the next one is due",
        ),
        (
            "rate_limit = «\"08:00-18:00\"",
            "error: `rate_limit`: `08:00-18:00` does not end with a rate: write `1MiB`, `Mon-Fri 08:00-18:00 1MiB`, or `off` for no limit | such as \"1MiB\", or \"Mon-Fri 08:00-18:00 1MiB, off\"",
        ),
        ("rate_limit = «true", "error: `rate_limit` wants a string, got true | "),
        (
            "«rate_limt = \"1MiB\"",
            "error: a job has no key `rate_limt` | did you mean `rate_limit`?",
        ),
        ("locks = [\"a\", «\"a\"]", "error: the lock \"a\" is named twice | "),
        ("locks = «\"\"", "error: a lock has a name | such as \"host:ftp.example.com\""),
        (
            "locks = { \"host:h\" = «0 }",
            "error: `host:h` wants a whole number from 1 to 1000, got 0 | ",
        ),
        ("locks = { «\"\" = 1 }", "error: a lock has a name | such as \"host:ftp.example.com\""),
        (
            "locks = «{ \"host:h\" = 3 }",
            "warning: the lock \"host:h\" has no places to count: one run holds it at a time | `[runner]` says how many it has: `locks = { \"host:h\" = 4 }`",
        ),
        ("locks = [\"a\", «1]", "error: `locks` wants a string or an array of strings, got 1 | "),
        ("after = [«\"b\"]", "error: there is no job `b` | "),
        ("after = «\"a\"", "error: a job cannot come after itself | "),
        ("allow = [«\"nta\"]", "error: `allow` wants \"nat\", got \"nta\" | did you mean \"nat\"?"),
        (
            "on_failure = «\"https://example.com\"",
            "error: `on_failure` wants a table, got a string | write `on_failure = { webhook = \"https://…\" }`",
        ),
        (
            "on_failure = { «webhok = \"https://example.com\", ping = \"https://example.com\" }",
            "error: `on_failure` has no key `webhok` | did you mean `webhook`?",
        ),
        (
            "on_change = { webhook = «\"example.com/s3cret\" }",
            "error: `webhook` wants an address of the web | an address begins with `https://` or `http://`",
        ),
        (
            "on_missed = «{}",
            "error: `on_missed` names no recipient | `mail`, `slack`, `teams`, `discord`, `ntfy`, `gotify`, `telegram`, `webhook`, `ping` or `command`",
        ),
        (
            "on_failure = { «mial = \"a@b.de\" }",
            "error: `on_failure` has no key `mial` | did you mean `mail`?",
        ),
        (
            "on_failure = { mail = «\"nobody\" }",
            "error: \"nobody\" is not a mail address | such as \"ops@example.com\"",
        ),
        ("on_failure = { mail = «[] }", "error: `mail` names no address | "),
        (
            "on_failure = { mail = \"a@b.de\", subject = «\"{jobb} failed\" }",
            "error: a template has no `{jobb}` | did you mean `{job}`?",
        ),
        (
            "on_failure = { webhook = { «urll = \"https://h/x\", url = \"https://h/x\" } }",
            "error: `webhook` has no key `***` | did you mean `url`?",
        ),
        (
            "on_failure = { webhook = { url = \"https://h\", headers = { X = «\"a\\nb\" } } }",
            "error: this cannot be a header | ",
        ),
        (
            "on_failure = { gotify = «\"https://h\" }",
            "error: `gotify` wants a table | write `gotify = { url = \"https://push.example.com\", token = \"secret:GOTIFY\" }`",
        ),
        (
            "on_failure = { ntfy = { url = \"https://h/x\", «token = \"hunter2\" } }",
            "warning: this login stands in the jobs file | `\"secret:NAME\"` in its place is a secret, which no file shows",
        ),
        (
            "on_failure = { webhook = { url = \"https://h\", headers = { X-Api-Key = «\"hunter2\" } } }",
            "warning: this header stands in the jobs file | `\"secret:NAME\"` in its place is a secret, which no file shows",
        ),
        (
            "ping = «\"https://u:hunter2@h/\"",
            "warning: a password stands in the URL | write `ping = \"secret:NAME\"`, which no file shows",
        ),
        ("on_failure = { telegram = «{ token = \"x\" } }", "error: `telegram` has no `chat` | "),
        (
            "on_failure = { slack = «\"hooks.slack.com/x\" }",
            "error: `slack` wants an address of the web | an address begins with `https://` or `http://`",
        ),
        (
            "on_empty = «true",
            "error: `on_empty` is for the targets of `on_failure`: there are none | write `on_empty = { mail = \"ops@example.com\" }`",
        ),
        (
            "on_slow = { after = «\"twice\", mail = \"a@b.de\" }",
            "error: a run cannot be slow after this | write \"2x\" for twice the usual duration, or a duration such as \"30m\"",
        ),
        (
            "on_failure = { mail = \"a@b.de\", «after = \"2x\" }",
            "error: `on_failure` has no key `after` | it has mail, slack, teams, discord, ntfy, gotify, telegram, webhook, ping, command, subject, text",
        ),
        (
            "«remind = \"6h\"",
            "error: `remind` has no recipient | `on_failure` names those who are reminded",
        ),
        (
            "«on_late = { mail = \"a@b.de\" }",
            "error: `on_late` needs `expect_by` | such as `expect_by = \"06:30\"`, or a duration after the slot",
        ),
        (
            "«mail = \"a@b.de\"",
            "error: a job has no key `mail` | write `on_failure = { mail = \"ops@example.com\" }`; `on_success`, `on_late` and others are alike",
        ),
        (
            "on_success = { command = «[] }",
            "error: `command` names no program | such as `[\"/usr/bin/mail-me\", \"catalogue\"]`; no shell reads it",
        ),
        (
            "ping = «\"ftp://example.com\"",
            "error: `ping` wants an address of the web | an address begins with `https://` or `http://`",
        ),
        (
            "args = «\"x\"",
            "error: `args` wants a table or an array | write a table `[job.args]`, or an array of texts",
        ),
        (
            "[job.connect]\n«mod = \"active\"",
            "error: ftp::connect has no option `mod`; did you mean `mode`? | ",
        ),
        (
            "[job.connect]\nmode = «\"pasive\"",
            "error: `mode` wants one of \"auto\", \"active\", \"passive\", \"race\", got \"pasive\"; did you mean \"passive\"? | ",
        ),
        (
            "[job.connect]\nparallel = «0",
            "error: `parallel` wants a whole number from 1 to 32, or \"auto\", got 0 | ",
        ),
        (
            "[job.connect]\nport_range = «[1, 2]",
            "error: `port_range` wants a string, a whole number, true or false | ",
        ),
        (
            "[job.connect]\npassword = «\"hunter2\"",
            "warning: this password stands in the jobs file | the script can take it from secret(\"NAME\"), which no file shows",
        ),
        (
            "[job.connect]\nproxy = «\"socks5://u:hunter2@h\"",
            "warning: a password stands in this proxy | name the whole address as a secret: `proxy = \"secret:NAME\"`",
        ),
        (
            "timezone = «\"Europe/Berln\"",
            "error: there is no time zone `Europe/Berln` | did you mean `Europe/Berlin`?",
        ),
        (
            "timezone = «\"Tokyo\"",
            "error: there is no time zone `Tokyo` | did you mean `Asia/Tokyo`?",
        ),
        ("timezone = «\"CEST\"", "error: there is no time zone `CEST` | did you mean `CET`?"),
        (
            "«schedule = \"0 4 * * *\"",
            "error: a job has no key `schedule` | that is `cron` here, such as \"15 3 * * *\" or \"@every 90m\"",
        ),
        (
            "«disabled = true",
            "error: a job has no key `disabled` | `portolan pause JOB` and `portolan resume JOB` do that; `enabled = false` turns a job off",
        ),
        (
            "«timeout = \"1h\"",
            "error: a job has no key `timeout` | that is `attempt_timeout` here; `run_timeout` is for all attempts together",
        ),
        ("«depends_on = [\"b\"]", "error: a job has no key `depends_on` | that is `after` here"),
        (
            "«command = \"sync.sh\"",
            "error: a job has no key `command` | a job runs a Rhai `script`, not a command",
        ),
        (
            "timezone = «\"UTC+2\"",
            "error: there is no time zone `UTC+2` | zones are named like `Europe/Berlin`; two hours ahead of UTC, always, is `Etc/GMT-2`",
        ),
        ("«name = \"b\"", "error: not TOML: duplicate key | "),
        ("retries = «three", "error: not TOML: invalid boolean, expected `true` | "),
        ("[«jobb]", "error: the jobs file has no key `jobb` | did you mean `job`?"),
    ] {
        check(&mut wrong, &line(text), words, text);
    }
    assert_eq!(wrong, "");
}

#[test]
fn a_wrong_schedule_is_shown_inside_its_string() {
    let mut wrong = String::new();
    for (text, words) in [
        ("cron = \"«75 3 * * *\"", "error: 75 is no minute: those are 0 to 59 | "),
        ("cron = \"15 3 * * «MOM\"", "error: `MOM` is no day of the week | did you mean `MON`?"),
        (
            "cron = '0 3 * * * «2027'",
            "error: 2027 is no day of the week; did you mean a year? | a year is the last of seven fields: write a `0` for the seconds in front",
        ),
        (
            "cron = \"«every 5 minutes\"",
            "error: `every` is no field | an interval is `@every 90m`, or `*/5 * * * *` for every five minutes of the hour",
        ),
        (
            "cron = «\"0 0 31 2 *\"",
            "error: this schedule never fires | no day in the next eight years has that date, or its years are over",
        ),
        (
            "cron = \"0 0 13 * «5\"",
            "warning: both day fields are set: it runs on the days of either, as in crontab | if one is enough, write `*` for the other; `5#1` is the first of a month",
        ),
        (
            "cron = \"«* 3 * * *\"",
            "warning: it runs every minute of the hour that is named, not once | for once write `0` for the minute",
        ),
        (
            "cron = \"CRON_TZ=«Europe/Berln 0 3 * * *\"",
            "error: there is no time zone `Europe/Berln` | did you mean `Europe/Berlin`?",
        ),
        (
            "cron = \"TZ=UTC 0 3 * * *\"\ntimezone = «\"Europe/Berlin\"",
            "error: `timezone` says \"Europe/Berlin\" and `cron` says \"UTC\" | one of them is enough",
        ),
        ("cron = «5", "error: `cron` wants a string, got 5 | "),
        ("cron = \"\"\"\n«x 3 * * *\"\"\"", "error: `x` is no minute | a minute is 0 to 59"),
    ] {
        let file = format!("[[job]]\nname = \"a\"\nscript = \"s.rhai\"\n{text}\n");
        check(&mut wrong, &told(&file), words, text);
    }
    assert_eq!(wrong, "");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_wrong_name_script_or_table_is_shown_in_its_place() {
    let mut wrong = String::new();
    let ok = "cron = \"0 3 * * *\"";
    let job =
        |name: &str, script: &str| format!("[[job]]\nname = {name}\nscript = {script}\n{ok}\n");
    let nightly = "\"scripts/nightly.rhai\"";
    for (text, words) in [
        (
            format!("«[[job]]\nscript = \"s.rhai\"\n{ok}"),
            "error: this job has no `name` | such as `name = \"nightly\"`",
        ),
        (
            format!("«[[job]]\nname = \"a\"\n{ok}"),
            "error: this job has no `script` | such as `script = \"scripts/nightly.rhai\"`",
        ),
        (
            job("«\"a b\"", nightly),
            "error: a job cannot be called \"a b\" | a name has up to 52 letters, digits, `-`, `_` and `.`, and begins with a letter or digit",
        ),
        (
            job("«\"../x\"", nightly),
            "error: a job cannot be called \"../x\" | a name has up to 52 letters, digits, `-`, `_` and `.`, and begins with a letter or digit",
        ),
        (job("«7", nightly), "error: `name` wants a string, got 7 | "),
        (
            job("\"a\"", "«\"scripts/nightley.rhai\""),
            "error: there is no script `scripts/nightley.rhai` | did you mean `scripts/nightly.rhai`?",
        ),
        (
            job("\"a\"", "«\"script/x.rhai\""),
            "error: there is no script `script/x.rhai` | paths count from the folder of the jobs file",
        ),
        (job("\"a\"", "«\"scripts\""), "error: `scripts` is a folder, not a script | "),
        (
            job("\"a\"", nightly) + job("«\"a\"", nightly).as_str(),
            "error: there is another job `a` | history, locks and `after` know a job by its name alone",
        ),
        (
            job("\"prices\"", nightly) + job("\"b\"", nightly).as_str() + "after = «\"price\"",
            "error: there is no job `price` | did you mean `prices`?",
        ),
        (
            format!("«[[job]]\nname = \"a\"\nscript = {nightly}"),
            "warning: this job runs only when it is triggered | `cron` or `after` says when it runs by itself",
        ),
        (
            job("\"a\"", nightly) + "[runner]\n«max_runing = 4",
            "error: `[runner]` has no key `max_runing` | did you mean `max_running`?",
        ),
        (
            job("\"a\"", nightly) + "[mail]\n«smpt = \"mail.example.com\"",
            "error: `[mail]` has no key `smpt` | did you mean `smtp`?",
        ),
        (
            job("\"a\"", nightly) + "[mail]\nsmtp = «\"mail.example.com:smtp\"",
            "error: `smtp` wants a host, with or without a port | such as \"mail.example.com\" or \"mail.example.com:587\"",
        ),
        (
            job("\"a\"", nightly) + "[mail]\ntls = «\"start_tls\"",
            "error: `tls` wants one of \"starttls\", \"implicit\", \"off\", got \"start_tls\" | did you mean \"starttls\"?",
        ),
        (
            job("\"a\"", nightly) + "[mail]\n«user = \"me\"",
            "error: a login is both `user` and `password` | ",
        ),
        (
            job("\"a\"", nightly) + "[mail]\nuser = \"me\"\n«password = \"hunter2\"",
            "warning: this password stands in the jobs file | write `password = \"secret:NAME\"`, which no file shows",
        ),
        (
            job("\"a\"", nightly) + "[«digest]\nmail = \"a@b.de\"",
            "error: `digest` has no `at` | such as `at = \"07:00\"`",
        ),
        (
            job("\"a\"", nightly) + "[digest]\nat = «\"7 o'clock\"\nmail = \"a@b.de\"",
            "error: `at` wants a time of the day | such as `at = \"07:00\"`",
        ),
        (
            job("\"a\"", nightly) + "[digest]\nat = \"07:00\"\n«mial = \"a@b.de\"",
            "error: `digest` has no key `mial` | did you mean `mail`?",
        ),
        (
            job("\"a\"", nightly) + "[runner]\nmax_running = «0",
            "error: `max_running` wants a whole number from 1 to 1000, got 0 | ",
        ),
        (
            job("\"a\"", nightly) + "[runner]\nmetrics = «\"9464\"",
            "error: `metrics` wants an address and a port, got \"9464\" | such as `\"127.0.0.1:9464\"`",
        ),
        (
            job("\"a\"", nightly) + "[runner]\nretention = { «days = 9 }",
            "error: `retention` has no key `days` | it has runs, total, age, log",
        ),
        (
            job("\"a\"", nightly) + "[runner.retention]\nlog = «\"10 MB of text\"",
            "error: `log` wants bytes such as 1048576 or \"10MiB\", got \"10 MB of text\" | ",
        ),
        (
            job("\"a\"", nightly) + "[runner.locks]\nx = «0",
            "error: `x` wants a whole number from 1 to 1000, got 0 | ",
        ),
        (
            "[runner]\nstore = \"postgres://p@localhost/p\"\n[[job]]\nname = \"a\"\ncron = \"0 2 * * *\"\n[job.«put]\nfrom = \"x\"\nto = \"ftp://h/in/\""
                .to_owned(),
            "warning: the local side of `[job.put]` is that of whichever machine runs it: they share the store, not their files | `needs = { disk = \"NAME\" }` keeps it on the machines that have its directory (`portolan serve --label disk=NAME`)",
        ),
        (
            "[runner]\nstore = \"postgres://p@localhost/p\"\n[[job]]\nname = \"a\"\nscript = \"s.rhai\"\n«watch = { directory = \".\" }"
                .to_owned(),
            "warning: `watch` looks at the directory of the machine that leads, and any machine may run this job | `needs = { disk = \"NAME\" }` keeps it on the machines that have or share it (`portolan serve --label disk=NAME`)",
        ),
        (
            "[runner.locks]\n\"host:*\" = 2\n".to_owned()
                + &*job("\"a\"", nightly)
                + "locks = «{ \"host:h\" = 3 }",
            "warning: 3 places of \"host:h\" are more than it has: a run takes the 2 places | ",
        ),
        (
            "[runner.locks]\n\"host:*\" = 1\n".to_owned()
                + &*job("\"a\"", nightly)
                + "locks = «\"host:h\"\n[job.connect]\nparallel = 3",
            "warning: 3 sessions are more than the one place of \"host:h\": a run makes no more | `[runner] locks` has the number of logins that the server allows",
        ),
        (
            "[«job]\nname = \"a\"".to_owned(),
            "error: `job` wants an array of tables | write `[[job]]` with two brackets for each",
        ),
        (
            "job = [«1]".to_owned(),
            "error: `job` wants tables | write `[[job]]` with two brackets for each",
        ),
        ("«".to_owned(), "warning: there is no job in it | a job begins with `[[job]]`"),
    ] {
        check(&mut wrong, &told(&text), words, &text);
    }
    assert_eq!(wrong, "");
}

#[test]
fn jobs_that_wait_for_one_another_are_seen() {
    let folder = folder();
    let job = |name: &str, after: &str| {
        format!("[[job]]\nname = \"{name}\"\nscript = \"s.rhai\"\nafter = \"{after}\"\n")
    };
    let text = [job("a", "c"), job("b", "a"), job("c", "b"), job("d", "a")].concat();
    let reading = read(&text, folder.path());
    let all: Vec<_> =
        reading.findings.iter().map(|one| (one.place.line, one.message.clone())).collect();
    let expected = [
        (4, "`a` and `c` wait for one another".to_owned()),
        (8, "`b` and `a` wait for one another".to_owned()),
        (12, "`c` and `b` wait for one another".to_owned()),
    ];
    assert_eq!(all, expected);
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_and_in_order() {
    let folder = folder();
    let text = "[runner]\nmax_runing = 4\n[[job]]\nname = \"a\"\nscript = \"gone.rhai\"\ncron = \"61 * * * *\"\n\
                timezone = \"Mars\"\noverlap = \"x\"\n[[job]]\nnme = \"b\"\n";
    let reading = read(text, folder.path());
    let lines: Vec<_> = reading.findings.iter().map(|finding| finding.place.line).collect();
    assert_eq!(lines, [2, 5, 6, 7, 8, 9, 9, 9, 10]);
    assert!(reading.jobs.is_none());
    let fault = reading.into_jobs().unwrap_err();
    assert!(
        fault
            .to_string()
            .ends_with("`[runner]` has no key `max_runing`; did you mean `max_running`?")
    );
}

#[test]
fn no_secret_of_a_jobs_file_is_repeated() {
    let folder = folder();
    let text = "[[job]]\nname = \"a\"\nscript = \"s.rhai\"\nafter = []\nping = \"htps://hunter2\"\n\
                on_failure = { webhook = \"hunter2\", slack = \"hunter2\" }\n[job.connect]\npassword = \"hunter2\"\nproxy = \"x://u:hunter2@h\"\n";
    let reading = read(text, folder.path());
    assert!(!format!("{:?}", reading.findings).contains("hunter2"));
    let text = text.replace("htps", "https").replace("k = \"hunter2\"", "k = \"https://hunter2\"");
    let reading = read(&text.replace("x://", "socks5://"), folder.path());
    let job = reading.jobs.unwrap();
    assert!(!format!("{job:?}").contains("hunter2"));
}
