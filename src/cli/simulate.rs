//! `portolan simulate`: shows what the scheduler would decide between two moments, on a simulated clock.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ExitResult,
    common::Common,
    report::{self, UsageError},
    slots,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    observe::counted,
    schedule::{
        jobs::Jobs,
        plan::{Decision, DecisionKind, Trigger},
        simulate::{Happened, Scenario, simulate},
        zone::{Zone, Zones},
    },
    script::value::parse_duration,
};

/// The arguments of `portolan simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Jobs file
    #[arg(long, value_name = "FILE", default_value = "portolan.toml")]
    jobs: PathBuf,
    /// Start: 2026-03-08T07:00:00Z, or a local time of this host
    #[arg(long, value_name = "T")]
    from: String,
    /// End, in the same format
    #[arg(long, value_name = "T")]
    to: String,
    /// Scheduler outage, such as 2026-03-08T02:00..2026-03-08T05:00, or 02:00..05:00 every day
    #[arg(long, value_name = "A..B")]
    outage: Vec<String>,
    /// Duration of each run
    #[arg(long, value_name = "TIME", default_value = "1m")]
    run_time: String,
    /// Only this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Print totals only
    #[arg(long)]
    summary: bool,
}

/// The maximum number of decisions shown; more are for a file, not for a reader.
const ROWS_MAX: usize = 100_000;

/// One event, as a row.
#[derive(Debug)]
struct SimulatedEvent {
    at: Timestamp,
    decision: Option<Decision>,
    words: String,
}

impl SimulatedEvent {
    /// Returns true if both are slots of one job that are skipped at the same time for the same reason.
    fn is_skipped_with(&self, other: &Self) -> bool {
        match (&self.decision, &other.decision) {
            (Some(one), Some(two)) => {
                let is_skip = one.action == DecisionKind::Skip && two.action == DecisionKind::Skip;
                is_skip && self.at == other.at && one.job == two.job && one.reason == two.reason
            }
            _ => false,
        }
    }
}

/// The number of slots of a job for each result.
#[derive(Debug, Default)]
struct Totals {
    started: u64,
    caught_up: u64,
    skipped: u64,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let (zones, now) = (Zones::newest(), Clock::System.now());
    let mut jobs = slots::jobs(&args.jobs, &zones, now)?;
    let scenario = scenario(args, &zones, now).map_err(UsageError)?;
    only(args, &mut jobs).map_err(UsageError)?;
    let jobs = Arc::new(jobs);
    let (mut rows, mut left_out) = (Vec::new(), 0_u64);
    let mut totals: BTreeMap<Arc<str>, Totals> =
        jobs.all.iter().map(|job| (Arc::clone(&job.name), Totals::default())).collect();
    simulate(&jobs, &scenario, |at, happened| {
        let (decision, words) = match happened {
            Happened::Decided(decision) => {
                if let Some(totals) = totals.get_mut(&decision.job) {
                    totals.count(decision);
                }
                (Some(decision.clone()), decision.reason.to_string())
            }
            Happened::Noted(note) => (None, note.to_string()),
            Happened::Down => (None, "the scheduler goes down".to_owned()),
            Happened::Up => (None, "the scheduler is up".to_owned()),
        };
        if args.summary || rows.len() >= ROWS_MAX {
            left_out += u64::from(!args.summary);
        } else {
            rows.push(SimulatedEvent { at, decision, words });
        }
    });
    if common.json() {
        let all: Vec<_> = rows.iter().map(value).collect();
        report::json(&all);
    } else {
        report::output(&[table(&rows, &jobs, &zones), summary(&totals)].concat());
    }
    if left_out > 0 {
        report::print(&format!(
            "{left_out} more rows are not shown: --summary, or a shorter time\n"
        ));
    }
    Ok(Exit::Done)
}

impl Totals {
    fn count(&mut self, decision: &Decision) {
        match &decision.action {
            DecisionKind::Start if decision.trigger == Trigger::CatchUp => self.caught_up += 1,
            DecisionKind::Start => self.started += 1,
            DecisionKind::Skip => self.skipped += 1,
            DecisionKind::SkipThrough { count, .. } => self.skipped += count.unwrap_or(0),
            DecisionKind::Wait | DecisionKind::Cancel(_) => {}
        }
    }
}

/// Removes all jobs but the requested one.
fn only(args: &Args, jobs: &mut Jobs) -> Result<()> {
    let Some(name) = &args.job else { return Ok(()) };
    if jobs.get(name).is_none() {
        return Err(super::next::no_job(jobs, name));
    }
    jobs.all.retain(|job| *job.name == **name);
    Ok(())
}

fn scenario(args: &Args, zones: &Zones, now: Timestamp) -> Result<Scenario> {
    let zone = zones.of_this_machine();
    let moment = |text: &str| slots::moment(text, &zone, now);
    let (from, to) = (moment(&args.from)?, moment(&args.to)?);
    let mut outages = Vec::new();
    for text in &args.outage {
        outages.extend(outage(text, &zone, from, to, now)?);
    }
    let run_time = parse_duration(&args.run_time).ok_or_else(|| {
        Error::invalid(format!(
            "--run-time wants a time such as 90s or 5m, got `{}`",
            args.run_time
        ))
    })?;
    let scenario = Scenario { from, to, outages, run_time: run_time.max(Duration::from_millis(1)) };
    scenario.check()?;
    Ok(scenario)
}

/// Parses `A..B`, or the daily interval if both are times of day.
fn outage(
    text: &str,
    zone: &Zone,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
) -> Result<Vec<(Timestamp, Timestamp)>> {
    let wrong = || {
        Error::invalid(format!(
            "--outage wants A..B, such as 2026-03-08T02:00..2026-03-08T05:00, got `{text}`"
        ))
    };
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let time = |text: &str| text.parse::<jiff::civil::Time>().ok().filter(|_| !text.contains('-'));
    let (Some(begin), Some(end)) = (time(first), time(last)) else {
        return Ok(vec![(slots::moment(first, zone, now)?, slots::moment(last, zone, now)?)]);
    };
    let instant = |day: jiff::civil::Date, time| {
        zone.rules.to_ambiguous_timestamp(day.to_datetime(time)).compatible().map_err(|_| wrong())
    };
    let mut all = Vec::new();
    let mut day = zone.rules.to_datetime(from).date();
    while instant(day, begin)? < to {
        let next = day.tomorrow().map_err(|_| wrong())?;
        // An outage over midnight ends the next day.
        let end = instant(if end > begin { day } else { next }, end)?;
        all.push((instant(day, begin)?, end));
        day = next;
    }
    all.retain(|(_, end)| *end > from);
    Ok(all)
}

/// Describes the action in one word or two.
fn doing(decision: &Decision) -> String {
    match &decision.action {
        DecisionKind::Start if decision.trigger == Trigger::CatchUp => match decision.covers {
            0 | 1 => "catch up".to_owned(),
            many => format!("catch up {many}"),
        },
        DecisionKind::Start => "start".to_owned(),
        DecisionKind::Wait => "wait".to_owned(),
        DecisionKind::Skip => "skip".to_owned(),
        DecisionKind::SkipThrough { count: Some(count), .. } => format!("skip {count}"),
        DecisionKind::SkipThrough { count: None, .. } => "skip many".to_owned(),
        DecisionKind::Cancel(run) => format!("end run {}", run.0),
    }
}

/// Renders the rows grouped by day; slots that are skipped together share one.
fn table(rows: &[SimulatedEvent], jobs: &Jobs, zones: &Zones) -> String {
    let is_exact = rows.iter().any(|row| slots::has_seconds(row.at));
    // A job that runs after others begins at an arbitrary second, which is not worth showing.
    let of_slot = |row: &SimulatedEvent| {
        let is_of_schedule =
            |one: &&Decision| matches!(one.trigger, Trigger::Schedule | Trigger::CatchUp);
        let decision = row.decision.as_ref().filter(is_of_schedule);
        decision.is_some_and(|one| slots::has_seconds(one.slot.at))
    };
    let has_exact_slots = rows.iter().any(of_slot);
    let mut cells: Vec<Vec<String>> = Vec::new();
    let mut day = String::new();
    let mut rest = rows;
    while let Some((row, more)) = rest.split_first() {
        let same = more.iter().take_while(|other| row.is_skipped_with(other)).count();
        rest = more.get(same..).unwrap_or_default();
        let today = row.at.strftime("%Y-%m-%d").to_string();
        if day != today {
            cells.push(vec![format!("{today} UTC")]);
            day = today;
        }
        let time = row.at.strftime(if is_exact { "  %H:%M:%S" } else { "  %H:%M" }).to_string();
        let Some(decision) = &row.decision else {
            cells.push(vec![format!("{time}  -- {} --", row.words)]);
            continue;
        };
        let schedule = jobs.get(&decision.job).and_then(|job| job.schedule.as_ref());
        let zone = schedule.map_or_else(|| zones.of_this_machine(), |one| one.zone.clone());
        let slot = decision.slot.at.to_zoned(zone.rules.clone());
        let is_today = slot.date() == zone.rules.to_datetime(row.at).date();
        let time_form = if has_exact_slots { "%H:%M:%S %Z" } else { "%H:%M %Z" };
        let day_form = if is_today { "" } else { "%m-%d " };
        let slot = slot.strftime(&format!("{day_form}{time_form}")).to_string();
        let doing = if same == 0 { doing(decision) } else { format!("skip {}", same + 1) };
        // The date is omitted for the same day.
        let words = row.words.replace(&format!("{day}T"), "").replace(":00Z", "Z");
        cells.push(vec![time, decision.job.to_string(), slot, doing, words]);
    }
    if cells.is_empty() { String::new() } else { slots::columns(&cells) + "\n" }
}

fn summary(totals: &BTreeMap<Arc<str>, Totals>) -> String {
    let row = |name: &str, totals: &Totals| {
        let runs = counted(totals.started + totals.caught_up, "run");
        let caught = match totals.caught_up {
            0 => String::new(),
            many => format!("{many} of them caught up"),
        };
        vec![name.to_owned(), runs, format!("{} skipped", totals.skipped), caught]
    };
    let rows: Vec<_> = totals.iter().map(|(name, totals)| row(name, totals)).collect();
    slots::columns(&rows)
}

fn value(row: &SimulatedEvent) -> Value {
    let Some(decision) = &row.decision else {
        return json!({ "time": row.at.to_string(), "decision": "note", "why": row.words });
    };
    let last = match &decision.action {
        DecisionKind::SkipThrough { last, .. } => Some(last.at.to_string()),
        _ => None,
    };
    json!({
        "time": row.at.to_string(),
        "job": &*decision.job,
        "slot": decision.slot.id.to_string(),
        "scheduled_for": decision.slot.at.to_string(),
        "decision": match decision.action {
            DecisionKind::Start => "start",
            DecisionKind::Wait => "wait",
            DecisionKind::Skip | DecisionKind::SkipThrough { .. } => "skip",
            DecisionKind::Cancel(_) => "cancel",
        },
        "through": last,
        "trigger": decision.trigger.as_str(),
        "covers": decision.covers,
        "reason": decision.reason.as_str(),
        "why": row.words,
    })
}
