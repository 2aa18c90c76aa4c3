//! The export to crontab.

use super::{Exported, Setting, command_of, common_losses, fields::five_fields, left_out, quote};
use crate::schedule::jobs::{Jobs, Overlap};

/// Returns a crontab that uses `flock` for overlaps.
pub fn crontab(jobs: &Jobs, setting: &Setting) -> Exported {
    let mut out = Exported::default();
    let folder = quote::shell(setting.file.parent().unwrap_or(&setting.file));
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
        let command = command_of(job, setting, quote::shell);
        lines.push(format!("{fields} cd {folder} && {lock}{limit}{command}"));
    }
    out.text = lines.join("\n") + "\n";
    out
}
