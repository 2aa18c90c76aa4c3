//! The export to Kubernetes `CronJob`s.

use std::collections::BTreeSet;

use super::{
    Exported, Setting, common_losses,
    fields::{ExportFields, five_fields},
    is_run_by_name, left_out, quote, words_of,
};
use crate::{
    limits::JOB_NAME_BYTES_MAX,
    observe::visible::visible,
    schedule::jobs::{Job, Jobs, Overlap},
};

/// Returns a `CronJob` for each job.
pub fn kubernetes(jobs: &Jobs, setting: &Setting) -> Exported {
    let mut out = Exported::default();
    let (mut parts, mut names) = (Vec::new(), BTreeSet::new());
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
        if is_run_by_name(job) {
            out.losses.push(format!(
                "`{}`: the image must have the jobs file as {}",
                job.name,
                visible(setting.file.display().to_string())
            ));
        }
        if let Some(state) = &setting.state {
            out.losses.push(format!(
                "`{}`: the state in {} ends with each pod; mount a volume there to keep it",
                job.name,
                visible(state.display().to_string())
            ));
        }
        let policy = match job.overlap {
            Overlap::Skip => "Forbid",
            Overlap::Replace => "Replace",
            Overlap::Allow => "Allow",
            Overlap::Queue => {
                out.losses.push(format!("`{}`: `overlap = \"queue\"` is Forbid", job.name));
                "Forbid"
            }
        };
        let name = name(job, &mut names);
        if *name != *job.name {
            out.losses.push(format!("`{}`: it is called `{name}` there", job.name));
        }
        parts.push(cron_job(&name, job, &fields, &zone, policy, setting));
    }
    out.text = parts.join("---\n");
    out
}

/// Returns a name of lower-case letters, digits and hyphens; of two jobs that become the same, one gets a number.
fn name(job: &Job, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = job.name.chars().map(plain).collect();
    let name = name.trim_matches('-');
    let numbered = (2..).map(|number| {
        let end = format!("-{number}");
        let room = JOB_NAME_BYTES_MAX.saturating_sub(end.len()).min(name.len());
        format!("{}{end}", name.get(..room).unwrap_or(name).trim_end_matches('-'))
    });
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    let free = names.find(|name| taken.insert(name.clone()));
    free.unwrap_or_else(|| name.to_owned())
}

fn cron_job(
    name: &str,
    job: &Job,
    fields: &ExportFields,
    zone: &str,
    policy: &str,
    setting: &Setting,
) -> String {
    // Below 10 s a job may never start.
    let deadline = job.catch_up.start_deadline.map_or(86_400, |time| time.as_secs().max(10));
    let limit = job.timeouts.run.or(job.timeouts.attempt);
    let limit =
        limit.map(|time| format!("      activeDeadlineSeconds: {}\n", time.as_secs().max(1)));
    let words = words_of(job, setting).into_iter();
    let words: Vec<_> = words.map(|word| quote::yaml(&word.display().to_string())).collect();
    let state = setting.state.as_ref().map(|state| {
        let folder = quote::yaml(&state.display().to_string());
        format!("              env: [{{name: PORTOLAN_STATE, value: {folder}}}]\n")
    });
    format!(
        "apiVersion: batch/v1
kind: CronJob
metadata:
  name: \"{name}\"
spec:
  schedule: \"{fields}\"
  timeZone: {}
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
              args: [{}]
{}",
        quote::yaml(zone),
        limit.unwrap_or_default(),
        quote::yaml(&setting.image),
        words.join(", "),
        state.unwrap_or_default()
    )
}
