//! Jobs for other schedulers, and what those cannot do. Pure.

use std::path::PathBuf;

use super::jobs::{Job, Jobs, Misfire, Overlap};

/// Text for another scheduler, and what is lost in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// What goes into a file.
    pub text: String,
    /// What that scheduler will not do, a clause each.
    pub losses: Vec<String>,
}

/// What is true where the text is used.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The program.
    pub program: PathBuf,
    /// The jobs file.
    pub file: PathBuf,
    /// The state folder, where one is named.
    pub state: Option<PathBuf>,
    /// The image for Kubernetes.
    pub image: String,
}

/// The unit that runs the scheduler. Nothing is lost.
pub fn service(setting: &Setting) -> Exported {
    let (program, file) = (setting.program.display(), setting.file.display());
    let state = setting.state.as_ref().map_or_else(
        || "StateDirectory=portolan\nEnvironment=PORTOLAN_STATE=%S/portolan".to_owned(),
        |state| {
            let state = state.display();
            format!("Environment=PORTOLAN_STATE={state}\nReadWritePaths={state}")
        },
    );
    let text = format!(
        "# /etc/systemd/system/portolan.service
[Unit]
Description=portolan: transfers on schedules
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} serve --jobs {file}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
WatchdogSec=60
# Runs may reach their next file; the scheduler asks for more time where a job's kill_grace is longer.
TimeoutStopSec=90
KillMode=mixed
# For secret(\"WWW_PASSWORD\"): one line for each secret, readable by root alone.
#LoadCredential=WWW_PASSWORD:/etc/portolan/WWW_PASSWORD
{state}
# DynamicUser=yes would do for jobs that write nothing outside the state folder.
#User=portolan
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
LimitCORE=0

[Install]
WantedBy=multi-user.target
"
    );
    Exported { text, losses: Vec::new() }
}

/// What every other scheduler lacks of what a job asks for.
fn common_losses(job: &Job, losses: &mut Vec<String>) {
    let mut lose = |is_lost: bool, what: &str| {
        if is_lost {
            losses.push(format!("`{}`: {what}", job.name));
        }
    };
    lose(job.retry.retries > 0, "`retries`: an attempt that fails is the end of the run");
    lose(job.timeouts.stall.is_some(), "`stall_timeout`");
    lose(!job.after.is_empty(), "`after`: it does not wait for other jobs");
    lose(!job.locks.is_empty(), "`locks`: jobs on one server may run together");
    lose(
        !job.args.is_null(),
        "`[job.args]`: the script sees `args` as the words of a command line",
    );
    lose(!job.connect.texts().is_empty(), "`[job.connect]`: give `--set KEY=VALUE`");
    let notify = &job.notify;
    let tells = [&notify.on_success, &notify.on_failure, &notify.on_change, &notify.on_missed];
    let is_told = tells.iter().any(|tell| tell.is_some()) || notify.ping.is_some();
    lose(is_told, "nobody is told of successes and failures");
    lose(job.catch_up.misfire == Misfire::All, "`misfire = \"all\"`: at most one run catches up");
}

/// The five fields of a job's expression where that has no more than other schedulers read, or why it has.
fn five_fields(job: &Job) -> Result<(String, String), String> {
    let Some(schedule) = &job.schedule else {
        return Err("it has no `cron`".into());
    };
    let text = schedule.expression.text().trim();
    let text = match text.split_once('=') {
        Some((name, rest)) if name.ends_with("TZ") => {
            rest.split_once(char::is_whitespace).map_or("", |(_, fields)| fields.trim())
        }
        _ => text,
    };
    let lower = text.to_ascii_lowercase();
    let named = [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ];
    let text = named.iter().find(|(name, _)| *name == lower).map_or(text, |(_, fields)| fields);
    let fields: Vec<_> = text.split_whitespace().collect();
    let fields = match fields.as_slice() {
        [_, _, _, _, _] => fields.join(" "),
        ["0", rest @ ..] if rest.len() == 5 => rest.join(" "),
        _ => return Err(format!("`{text}` has more than five fields, or is none of fields")),
    };
    // Names of days and months have other letters; `L`, `W` and `H` stand alone, after a number, or before `(`.
    let is_ours = fields.split([' ', ',']).any(|part| {
        let is_number_and = |letter: char| {
            part.strip_suffix(letter).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
        };
        part.contains('#')
            || part.contains('?')
            || part.starts_with(['H', 'h'])
            || part.starts_with("L-")
            || is_number_and('L')
            || is_number_and('W')
            || part == "LW"
    });
    if is_ours {
        return Err(format!("`{fields}` has `L`, `W`, `#` or `H`, which only portolan reads"));
    }
    Ok((fields, schedule.zone.name.clone()))
}

fn left_out(job: &Job, why: &str) -> String {
    format!("`{}` is left out: {why}", job.name)
}

/// A crontab with `flock` for overlaps.
pub fn crontab(jobs: &Jobs, setting: &Setting) -> Exported {
    let mut out = Exported::default();
    let folder = setting.file.parent().unwrap_or(&setting.file).display().to_string();
    let mut lines = vec![
        "# crontab: the times are those of CRON_TZ, which cronie reads and Debian's cron does not"
            .to_owned(),
    ];
    let mut zone = String::new();
    for job in &jobs.all {
        let (fields, named) = match five_fields(job) {
            Ok(found) => found,
            Err(why) => {
                out.losses.push(left_out(job, &why));
                continue;
            }
        };
        if named != zone {
            lines.push(format!("CRON_TZ={named}"));
            zone = named;
        }
        common_losses(job, &mut out.losses);
        out.losses.push(format!(
            "`{}`: slots missed while the machine is off are not caught up, and times around a change of the clock are missed or run twice",
            job.name
        ));
        let lock = match job.overlap {
            Overlap::Allow => String::new(),
            Overlap::Queue => format!("flock /run/lock/portolan-{} ", job.name),
            Overlap::Skip | Overlap::Replace => {
                format!("flock -n /run/lock/portolan-{} ", job.name)
            }
        };
        if job.overlap == Overlap::Replace {
            out.losses.push(format!("`{}`: `overlap = \"replace\"` is \"skip\"", job.name));
        }
        let limit = job.timeouts.attempt.or(job.timeouts.run);
        let limit =
            limit.map(|time| format!("timeout {} ", time.as_secs().max(1))).unwrap_or_default();
        let (program, script) = (setting.program.display(), job.script.display());
        // A `%` ends a crontab's line.
        let command =
            format!("cd {folder} && {lock}{limit}{program} run {script}").replace('%', "\\%");
        lines.push(format!("{fields} {command}"));
    }
    out.text = lines.join("\n") + "\n";
    out
}

/// A `CronJob` for each job.
pub fn kubernetes(jobs: &Jobs, setting: &Setting) -> Exported {
    let mut out = Exported::default();
    let mut parts = Vec::new();
    for job in &jobs.all {
        let (fields, zone) = match five_fields(job) {
            Ok(found) => found,
            Err(why) => {
                out.losses.push(left_out(job, &why));
                continue;
            }
        };
        common_losses(job, &mut out.losses);
        out.losses.push(format!(
            "`{}`: around a change of the clock Kubernetes promises nothing, and a job may run twice or not at all",
            job.name
        ));
        let policy = match job.overlap {
            Overlap::Skip => "Forbid",
            Overlap::Replace => "Replace",
            Overlap::Allow => "Allow",
            Overlap::Queue => {
                out.losses.push(format!("`{}`: `overlap = \"queue\"` is Forbid", job.name));
                "Forbid"
            }
        };
        parts.push(cron_job(job, &fields, &zone, policy, setting));
    }
    out.text = parts.join("---\n");
    out
}

fn cron_job(job: &Job, fields: &str, zone: &str, policy: &str, setting: &Setting) -> String {
    // Names there have small letters, digits and hyphens.
    let name: String = job
        .name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let name = name.trim_matches('-').to_owned();
    // Below 10 s a job may never start.
    let deadline = job.catch_up.start_deadline.map_or(86_400, |time| time.as_secs().max(10));
    let limit = job.timeouts.run.or(job.timeouts.attempt);
    let limit =
        limit.map(|time| format!("      activeDeadlineSeconds: {}\n", time.as_secs().max(1)));
    format!(
        "apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
spec:
  schedule: \"{fields}\"
  timeZone: \"{zone}\"
  concurrencyPolicy: {policy}
  startingDeadlineSeconds: {deadline}
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 5
  jobTemplate:
    spec:
      backoffLimit: 0
{}      template:
        spec:
          restartPolicy: Never
          containers:
            - name: portolan
              image: {}
              args: [\"run\", \"{}\"]
",
        limit.unwrap_or_default(),
        setting.image,
        job.script.display()
    )
}

/// A service and a timer for each job.
pub fn timers(jobs: &Jobs, setting: &Setting) -> Exported {
    let mut out = Exported::default();
    let folder = setting.file.parent().unwrap_or(&setting.file).display().to_string();
    let mut parts = Vec::new();
    for job in &jobs.all {
        let found = five_fields(job).and_then(|(fields, zone)| Ok((calendar(&fields)?, zone)));
        let (calendars, zone) = match found {
            Ok(found) => found,
            Err(why) => {
                out.losses.push(left_out(job, &why));
                continue;
            }
        };
        common_losses(job, &mut out.losses);
        out.losses.push(format!(
            "`{}`: systemd leaves out times that a clock put forward jumps over, and the whole hour that is repeated",
            job.name
        ));
        if job.overlap != Overlap::Skip {
            out.losses.push(format!("`{}`: `overlap` is \"skip\"", job.name));
        }
        let on: Vec<_> = calendars.iter().map(|one| format!("OnCalendar={one} {zone}\n")).collect();
        let persistent = job.catch_up.misfire != Misfire::Skip;
        let limit = job.timeouts.attempt.or(job.timeouts.run);
        let limit = limit.map(|time| format!("RuntimeMaxSec={}\n", time.as_secs().max(1)));
        let (name, program, script) = (&job.name, setting.program.display(), job.script.display());
        parts.push(format!(
            "# /etc/systemd/system/portolan-{name}.service
[Service]
Type=exec
WorkingDirectory={folder}
ExecStart={program} run {script}
{}
# /etc/systemd/system/portolan-{name}.timer
[Timer]
{}Persistent={persistent}
RandomizedDelaySec={}
FixedRandomDelay=true
AccuracySec=1s

[Install]
WantedBy=timers.target
",
            limit.unwrap_or_default(),
            on.concat(),
            job.jitter.as_secs()
        ));
    }
    out.text = parts.join("\n");
    out
}

/// Five fields as systemd writes them: two lines where either of two day fields will do.
fn calendar(fields: &str) -> Result<Vec<String>, String> {
    let parts: Vec<_> = fields.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts.as_slice() else {
        return Err(format!("`{fields}` has not five fields"));
    };
    let minute = numbers(minute, 2)?;
    let hour = numbers(hour, 2)?;
    let (days, months) = (numbers(day, 2)?, numbers(&named(month, &MONTHS), 2)?);
    let weekdays = weekdays(weekday)?;
    let line = |week: &str, days: &str| format!("{week}*-{months}-{days} {hour}:{minute}:00");
    let week = format!("{weekdays} ");
    let star = |field: &str| field.starts_with('*');
    Ok(match (*day, *weekday) {
        (_, "*") => vec![line("", &days)],
        ("*", _) => vec![line(&week, &days)],
        // As crontab has it: with a star in one of them both must hold, else either.
        (day, weekday) if star(day) || star(weekday) => vec![line(&week, &days)],
        _ => vec![line("", &days), line(&week, "*")],
    })
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 8] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A field with names in place of numbers, in numbers.
fn named(field: &str, names: &[&str]) -> String {
    let mut field = field.to_lowercase();
    for (number, name) in (1..).zip(names) {
        field = field.replace(name, &format!("{number}"));
    }
    field
}

/// `*/15` is `00/15`, `1-5` is `01..05`, `1-9/2` is `01..09/2`.
fn numbers(field: &str, digits: usize) -> Result<String, String> {
    let number = |text: &str| -> Result<String, String> {
        let value: u32 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
        Ok(format!("{value:0digits$}"))
    };
    let one = |part: &str| -> Result<String, String> {
        let (range, step) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
        let base = match (range, range.split_once('-')) {
            ("*", _) if step.is_some() => "0".repeat(digits),
            ("*", _) => "*".to_owned(),
            (_, Some((from, to))) => format!("{}..{}", number(from)?, number(to)?),
            (single, None) => number(single)?,
        };
        Ok(step.map_or(base.clone(), |step| format!("{base}/{step}")))
    };
    let parts: Result<Vec<_>, _> = field.split(',').map(one).collect();
    Ok(parts?.join(","))
}

/// `1-5` is `Mon..Fri`, `0,6` is `Sun,Sat`.
fn weekdays(field: &str) -> Result<String, String> {
    if field == "*" {
        return Ok(String::new());
    }
    let day = |text: &str| -> Result<&str, String> {
        let by_name = DAYS.iter().find(|day| day.eq_ignore_ascii_case(text));
        let by_number = text.parse().ok().and_then(|number: usize| DAYS.get(number));
        let found = by_name.or(by_number).copied();
        found.ok_or_else(|| format!("the weekdays `{field}` cannot be written for systemd"))
    };
    let one = |part: &str| -> Result<String, String> {
        match part.split_once('-') {
            Some((from, to)) => Ok(format!("{}..{}", day(from)?, day(to)?)),
            None => Ok(day(part)?.to_owned()),
        }
    };
    let parts: Result<Vec<_>, _> = field.split(',').map(one).collect();
    Ok(parts?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_become_what_systemd_reads() {
        for (fields, wanted) in [
            ("15 3 * * *", &["*-*-* 03:15:00"][..]),
            ("*/15 * * * *", &["*-*-* *:00/15:00"]),
            ("0 2,14 * * 1-5", &["Mon..Fri *-*-* 02,14:00:00"]),
            ("0 0 13 * 5", &["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]),
            ("0 0 29 feb *", &["*-02-29 00:00:00"]),
            ("0 0 1-7/2 * *", &["*-*-01..07/2 00:00:00"]),
        ] {
            assert_eq!(calendar(fields).unwrap(), wanted, "{fields}");
        }
        assert!(calendar("0 0 * * 1/2").is_err());
    }
}
