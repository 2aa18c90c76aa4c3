//! The export to systemd units: the scheduler as a service, or a timer for each job.

use std::path::Path;

use super::{
    Exported, Setting, command_of, common_losses,
    fields::{ExportFields, five_fields},
    left_out, quote,
};
use crate::schedule::jobs::{Jobs, Misfire, Overlap};

/// Returns the unit that runs the scheduler. No feature is lost.
pub fn service(setting: &Setting) -> Exported {
    let (program, file) =
        (quote::unit_command(&setting.program), quote::unit_command(&setting.file));
    let state = setting.state.as_ref().map_or_else(
        || "StateDirectory=portolan\nEnvironment=PORTOLAN_STATE=%S/portolan".to_owned(),
        |state| {
            let variable = format!("PORTOLAN_STATE={}", state.display());
            let variable = quote::unit_word(Path::new(&variable));
            // The folder may not exist yet: with `-` systemd does not refuse it.
            format!("Environment={variable}\nReadWritePaths=-{}", quote::unit_word(state))
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
    Exported { text, ..Exported::default() }
}

/// Returns a service and a timer for each job.
pub fn timers(jobs: &Jobs, setting: &Setting) -> Exported {
    let mut out = Exported::default();
    let folder = quote::unit(setting.file.parent().unwrap_or(&setting.file));
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
        let name = &job.name;
        let command = command_of(job, setting, quote::unit_command);
        parts.push(format!(
            "# /etc/systemd/system/portolan-{name}.service
[Service]
Type=exec
WorkingDirectory={folder}
ExecStart={command}
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

/// Converts five fields to systemd's form: two lines if either of two day fields is enough.
fn calendar(fields: &ExportFields) -> Result<Vec<String>, String> {
    let ExportFields { minute, hour, day, month, weekday } = fields;
    let [minute, hour] = [numbers(minute, 0)?, numbers(hour, 0)?];
    let [days, months] = [numbers(day, 1)?, numbers(month, 1)?];
    let line = |week: &str, days: &str| format!("{week}*-{months}-{days} {hour}:{minute}:00");
    let names =
        fields.weekdays()?.into_iter().filter_map(|day| DAYS.get(usize::from(day)).copied());
    let week = format!("{} ", names.collect::<Vec<_>>().join(","));
    Ok(match (day.as_str(), weekday.as_str()) {
        (_, "*") => vec![line("", &days)],
        // As in crontab: with a star in one of them both must match, otherwise either.
        (day, weekday) if day.starts_with('*') || weekday.starts_with('*') => {
            vec![line(&week, &days)]
        }
        _ => vec![line("", &days), line(&week, "*")],
    })
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Converts a field: `*/15` to `00/15` (`01/15` for fields that start with 1), `1-5` to `01..05`, `1-9/2` to
/// `01..09/2`.
fn numbers(field: &str, least: u32) -> Result<String, String> {
    let number = |text: &str| -> Result<String, String> {
        let value: u32 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
        Ok(format!("{value:02}"))
    };
    let one = |part: &str| -> Result<String, String> {
        let (range, step) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
        let base = match (range, range.split_once('-')) {
            ("*", _) if step.is_some() => format!("{least:02}"),
            ("*", _) => "*".to_owned(),
            (_, Some((from, to))) => format!("{}..{}", number(from)?, number(to)?),
            (single, None) => number(single)?,
        };
        Ok(step.map_or(base.clone(), |step| format!("{base}/{step}")))
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
            ("0 2,14 * * 1-5", &["Mon,Tue,Wed,Thu,Fri *-*-* 02,14:00:00"]),
            ("0 0 13 * 5", &["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]),
            ("0 0 29 feb *", &["*-02-29 00:00:00"]),
            ("0 0 1-7/2 * *", &["*-*-01..07/2 00:00:00"]),
            ("0 0 */2 */3 *", &["*-01/3-01/2 00:00:00"]),
            ("0 0 * * 0-5", &["Sun,Mon,Tue,Wed,Thu,Fri *-*-* 00:00:00"]),
            ("0 0 * * FRIDAY-sun", &["Sun,Fri,Sat *-*-* 00:00:00"]),
            ("0 0 * January-March */2", &["Sun,Tue,Thu,Sat *-01..03-* 00:00:00"]),
        ] {
            assert_eq!(calendar(&ExportFields::read(fields).unwrap()).unwrap(), wanted, "{fields}");
        }
    }
}
