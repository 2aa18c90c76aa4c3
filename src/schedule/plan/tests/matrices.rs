//! Matrices over a year: random jobs files are read, and the slots of each of their jobs are compared with an oracle
//! that expands them by itself and looks at every minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use jiff::{Timestamp, ToSpan, civil::date};

use super::{Draw, at};
use crate::{
    schedule::{
        jobs::{Jobs, parse},
        plan::DecisionKind,
        simulate::{Happened, Scenario, simulate},
        zone::Zones,
    },
    script::check::Severity,
};

/// The default number of files; `PORTOLAN_MATRIX_FILES` sets another number, `PORTOLAN_SEED` another seed.
const FILES: u64 = 16;

const FROM: &str = "2026-01-01T00:00:00Z";
const TO: &str = "2027-01-01T00:00:00Z";
/// The minutes that are compared: slots later than this may be delayed beyond the end.
const MINUTES: i64 = 364 * 1440;
/// The longest delay of a slot, in minutes.
const JITTER: i64 = 7;

const ZONES: [&str; 8] = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Kolkata",
    "Pacific/Chatham",
];
const WINDOWS: [&str; 8] = [
    "22:00-06:00",
    "Mon-Fri 20:00-04:00",
    "Sat,Sun 22:00-05:00",
    "02:15-05:00",
    "03:00-23:30",
    "Sat,Sun 00:00-03:00",
    "01:30-02:45",
    "Tue-Thu 23:00-03:30",
];
const DATES: [&str; 8] = [
    "2026-05-01",
    "12-25",
    "2026-03-20..2026-04-10",
    "2026-03-08",
    "03-29",
    "10-25",
    "2026-11-01..2026-11-02",
    "us.txt",
];
/// A file of dates for each land, with its dates.
const LANDS: [(&str, &str); 2] = [("de", "2026-10-03 Unity\n# none\n05-01\n"), ("us", "07-04\n")];
const MINUTE: [&str; 7] = ["0", "30", "15,45", "7", "*/20", "H", "0,20-40/10"];
const HOUR: [&str; 7] = ["2", "1,2", "22,3", "0-4/2", "*/6", "2,3", "0"];
const DAY: [&str; 5] = ["*", "*", "*", "1,15", "*/2"];
const MONTH: [&str; 4] = ["*", "*", "*", "3-11"];
const WEEKDAY: [&str; 5] = ["*", "*", "1-5", "SUN,WED", "0,6"];

/// The texts of a job, or of `[defaults]`, by their keys.
type KeyTexts = BTreeMap<&'static str, Vec<String>>;

#[derive(Clone, Default)]
struct MatrixKeys {
    texts: KeyTexts,
    args: BTreeMap<&'static str, String>,
    enabled: Option<bool>,
}

impl MatrixKeys {
    fn toml(&self, heading: &str, each: &BTreeMap<&'static str, Vec<String>>) -> String {
        let quoted = |all: &[String]| {
            let all: Vec<_> = all.iter().map(|text| format!("\"{text}\"")).collect();
            format!("[{}]", all.join(", "))
        };
        let mut text = heading.to_owned() + "\n";
        for (key, values) in &self.texts {
            let is_one = values.len() == 1 && *key != "tags";
            let value = if is_one { format!("\"{}\"", values[0]) } else { quoted(values) };
            text += &*format!("{key} = {value}\n");
        }
        if let Some(enabled) = self.enabled {
            text += &*format!("enabled = {enabled}\n");
        }
        if !each.is_empty() {
            // Numbers and truth values are written as such.
            let plain = |value: &String| {
                let is_bare = value.parse::<i64>().is_ok() || value == "true";
                if is_bare { value.clone() } else { format!("\"{value}\"") }
            };
            let axes = each.iter().rev().map(|(name, values)| {
                let values: Vec<_> = values.iter().map(plain).collect();
                format!("{name} = [{}]", values.join(", "))
            });
            text += &*format!("each = {{ {} }}\n", axes.collect::<Vec<_>>().join(", "));
        }
        let args = self.args.iter().map(|(key, value)| format!("{key} = \"{value}\""));
        let args: Vec<_> = args.collect();
        if !args.is_empty() {
            text += &*format!("args = {{ {} }}\n", args.join(", "));
        }
        text
    }
}

struct Template {
    name: String,
    each: BTreeMap<&'static str, Vec<String>>,
    keys: MatrixKeys,
}

/// A jobs file: `[defaults]`, and jobs.
struct MatrixFile {
    defaults: MatrixKeys,
    jobs: Vec<Template>,
}

/// Draws up to `most` of the values, each once.
fn some(draw: &mut Draw, all: &[&str], most: u64) -> Vec<String> {
    let mut all = all.to_vec();
    let count = 1 + draw.below(most);
    (0..count)
        .map(|_| all.swap_remove(usize::try_from(draw.below(all.len() as u64)).unwrap()).to_owned())
        .collect()
}

/// Draws the name of an axis in braces if there is such an axis, and one of `all` otherwise.
fn one(
    draw: &mut Draw,
    each: &BTreeMap<&'static str, Vec<String>>,
    axis: &str,
    all: &[&str],
) -> String {
    if each.contains_key(axis) && draw.below(4) > 0 {
        return format!("{{{axis}}}");
    }
    draw.of(all).to_owned()
}

fn cron(draw: &mut Draw, each: &BTreeMap<&'static str, Vec<String>>) -> String {
    if draw.below(12) == 0 {
        return "@every 50m".into();
    }
    let minute = one(draw, each, "minute", &MINUTE);
    let hour = one(draw, each, "hour", &HOUR);
    let (day, month) = (draw.of(&DAY), draw.of(&MONTH));
    let weekday = one(draw, each, "days", &WEEKDAY);
    format!("{minute} {hour} {day} {month} {weekday}")
}

fn template(draw: &mut Draw, name: &str) -> Template {
    let axes: [(&'static str, &[&str]); 8] = [
        ("site", &["acme", "b.example.com", "x_y", "north sea", "true"]),
        ("hour", &["2", "0", "23", "1,2", "3"]),
        ("minute", &["0", "30", "59", "*/30"]),
        ("zone", &ZONES),
        ("night", &["22:00-06:00", "02:15-05:00", "Mon 23:00-04:00"]),
        ("off", &["05-01", "12-25", "10-25", "03-29"]),
        ("days", &["1-5", "*", "MON,THU"]),
        ("land", &["de", "us"]),
    ];
    let mut each = BTreeMap::new();
    for _ in 0..draw.below(4) {
        let (name, values) = axes[usize::try_from(draw.below(8)).unwrap()];
        each.insert(name, some(draw, values, 2));
    }
    let mut keys = MatrixKeys::default();
    if draw.below(6) > 0 {
        let mut crons: Vec<_> = (0..=draw.below(3)).map(|_| cron(draw, &each)).collect();
        // The values of these are found out from the slots, and not those of two at once.
        if let Some(own) = crons.iter().find(|cron| cron.starts_with(['H', '@'])) {
            crons = vec![own.clone()];
        }
        if draw.below(5) == 0 && !crons[0].starts_with('@') {
            crons[0] = format!("CRON_TZ={} {}", one(draw, &each, "zone", &ZONES), crons[0]);
        } else if draw.below(3) > 0 {
            keys.texts.insert("timezone", vec![one(draw, &each, "zone", &ZONES)]);
        }
        keys.texts.insert("cron", crons);
    }
    if draw.below(2) == 0 {
        keys.texts.insert("window", vec![one(draw, &each, "night", &WINDOWS)]);
    }
    if draw.below(2) == 0 {
        let mut days = vec![one(draw, &each, "off", &DATES), one(draw, &each, "land", &["de"])];
        days[1] += ".txt";
        days.truncate(1 + usize::try_from(draw.below(2)).unwrap());
        keys.texts.insert("not_on", days);
    }
    if draw.below(4) == 0 {
        keys.texts.insert("jitter", vec![format!("{JITTER}m")]);
    }
    keys.texts.insert("tags", vec!["t".into(), one(draw, &each, "site", &["none"])]);
    keys.enabled = [None, None, Some(true), Some(false)][usize::try_from(draw.below(4)).unwrap()];
    keys.args = [("path", "in/{site}/{hour}"), ("own", "{off}{unknown}")]
        .map(|(k, v)| (k, v.into()))
        .into();
    Template { name: name.into(), each, keys }
}

fn file(draw: &mut Draw) -> MatrixFile {
    let jobs: Vec<_> = ["a", "b-2", "c"].iter().map(|name| template(draw, name)).collect();
    let mut defaults = template(draw, "").keys;
    // Those have no axes of their own: what is left in braces is replaced in the jobs that have them.
    let has_braces = |values: &mut Vec<String>| !values.iter().any(|value| value.contains('{'));
    defaults.texts.retain(|key, values| *key != "jitter" && has_braces(values));
    // Every job has times, and its zone is not that of this host.
    defaults.texts.entry("cron").or_insert_with(|| vec!["0 3 * * *".into()]);
    defaults.texts.insert("timezone", vec![draw.of(&ZONES).into()]);
    defaults.texts.get_mut("cron").unwrap().retain(|cron| !cron.contains("TZ"));
    if defaults.texts["cron"].is_empty() {
        defaults.texts.insert("cron", vec!["0 3 * * *".into()]);
    }
    defaults.args =
        [("path", "never"), ("base", "{site}-{zone}")].map(|(k, v)| (k, v.into())).into();
    MatrixFile { defaults, jobs }
}

impl MatrixFile {
    fn toml(&self) -> String {
        let none = BTreeMap::new();
        let mut text = "[runner]\nmax_running = 1000\n".to_owned();
        text += &self.defaults.toml("[defaults]\nscript = \"s.rhai\"\noverlap = \"allow\"", &none);
        for job in &self.jobs {
            text += &job.keys.toml(&format!("[[job]]\nname = \"{}\"", job.name), &job.each);
        }
        text
    }

    /// Returns the keys of each job by its name, as the documentation of `[defaults]` and `each` says.
    fn expanded(&self) -> BTreeMap<String, MatrixKeys> {
        let mut all = BTreeMap::new();
        for job in &self.jobs {
            let mut whole = self.defaults.clone();
            let zone = job.keys.texts.get("cron").is_some_and(|all| all[0].contains("TZ="));
            if zone {
                whole.texts.remove("timezone");
            }
            whole.texts.extend(job.keys.texts.clone());
            whole.args.extend(job.keys.args.clone());
            whole.enabled = job.keys.enabled.or(whole.enabled);
            // Counts through the combinations as an odometer does.
            let count: usize = job.each.values().map(Vec::len).product();
            for number in 0..count {
                let mut rest = number;
                let picked = job.each.iter().map(|(axis, values)| {
                    let value = &values[rest % values.len()];
                    rest /= values.len();
                    (format!("{{{axis}}}"), value)
                });
                let picked: Vec<_> = picked.collect();
                let mut keys = whole.clone();
                let texts = keys.texts.values_mut().flatten().chain(keys.args.values_mut());
                for text in texts {
                    for (name, value) in &picked {
                        *text = text.replace(name, value);
                    }
                }
                let plain = |value: &&String| {
                    value.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "-")
                };
                let parts: Vec<_> = picked.iter().map(|(_, value)| plain(value)).collect();
                let suffix =
                    if parts.is_empty() { String::new() } else { format!("[{}]", parts.join(",")) };
                all.insert(format!("{}{suffix}", job.name), keys);
            }
        }
        all
    }
}

/// The local times of the minutes of a year in a zone, and its dates.
struct LocalYear {
    /// The minutes since the year 2025 began, by the local clock.
    minutes: Vec<i64>,
    /// The dates since then, as text, with the day of the week from Sunday, the day, and the month.
    dates: Vec<(String, i64, i64, i64)>,
}

impl LocalYear {
    fn new(zone: &str) -> Self {
        let rules = Zones::bundled().find(zone).unwrap().rules;
        let first = date(2025, 1, 1);
        let start = at(FROM).as_second();
        let zero = at("2025-01-01T00:00:00Z").as_second();
        let local = |minute: i64| {
            let second = start + minute * 60;
            let offset = rules.to_offset(Timestamp::from_second(second).unwrap()).seconds();
            (second - zero + i64::from(offset)) / 60
        };
        let dates = (0..800).map(|day| {
            let date = first.checked_add(day.days()).unwrap();
            let weekday = date.weekday().to_sunday_zero_offset();
            (date.to_string(), weekday.into(), date.day().into(), date.month().into())
        });
        Self { minutes: (0..=MINUTES).map(local).collect(), dates: dates.collect() }
    }
}

/// Returns the values that a field of an expression names.
fn values(field: &str, low: i64, high: i64) -> BTreeSet<i64> {
    const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let number = |text: &str| {
        let day = DAYS.iter().position(|day| *day == text);
        day.map_or_else(|| text.parse().unwrap(), |day| i64::try_from(day).unwrap())
    };
    let part = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match range {
            "*" => (low, high),
            _ => range.split_once('-').map_or_else(
                || (number(range), number(range)),
                |(from, to)| (number(from), number(to)),
            ),
        };
        (from..=to).step_by(step.parse().unwrap())
    };
    field.split(',').flat_map(part).collect()
}

/// An expression as the oracle understands it.
struct Reference {
    minute: BTreeSet<i64>,
    hour: BTreeSet<i64>,
    days: Vec<bool>,
    is_interval: bool,
}

impl Reference {
    fn new(cron: &str, year: &LocalYear) -> Self {
        let fields: Vec<_> = cron.split(' ').collect();
        let [minute, hour, day, month, weekday] = fields[..] else { panic!("{cron}") };
        let (days, months) = (values(day, 1, 31), values(month, 1, 12));
        let weekdays = values(weekday, 0, 6);
        let is_either = !day.starts_with('*') && !weekday.starts_with('*');
        let is_day = |(_, of_week, of_month, of_year): &(String, i64, i64, i64)| {
            let (by_day, by_week) = (days.contains(of_month), weekdays.contains(of_week));
            let is_named = if is_either { by_day || by_week } else { by_day && by_week };
            is_named && months.contains(of_year)
        };
        Self {
            minute: values(minute, 0, 59),
            hour: values(hour, 0, 23),
            days: year.dates.iter().map(is_day).collect(),
            is_interval: minute.starts_with('*') || hour.starts_with('*'),
        }
    }

    fn has(&self, local: i64) -> bool {
        self.minute.contains(&(local % 60))
            && self.hour.contains(&(local / 60 % 24))
            && self.days[index(local / 1440)]
    }
}

fn index(number: i64) -> usize {
    usize::try_from(number).unwrap()
}

/// Tells if a local time is in a window such as `Mon-Fri 20:00-04:00`.
fn is_in(window: &str, day: i64, minute: i64, year: &LocalYear) -> bool {
    let (days, times) = window.split_once(' ').unwrap_or(("SUN-SAT", window));
    let days = values(&days.to_uppercase(), 0, 6);
    let begins = |day: i64| days.contains(&year.dates[index(day)].1);
    let clock = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap()
    };
    let (from, to) = times.split_once('-').map(|(from, to)| (clock(from), clock(to))).unwrap();
    if from < to {
        return begins(day) && (from..to).contains(&minute);
    }
    (begins(day) && minute >= from) || (begins(day - 1) && minute < to)
}

/// Tells if a date is one of `not_on`.
fn is_off(day: &str, date: &str) -> bool {
    if let Some((_, lines)) = LANDS.iter().find(|(land, _)| day == format!("{land}.txt")) {
        return lines.lines().any(|line| is_off(line.split(' ').next().unwrap(), date));
    }
    match day.split_once("..") {
        Some((first, last)) => first <= date && date <= last,
        None => date.ends_with(day),
    }
}

/// Returns the minutes of the year in which a job is due, each looked at by itself.
fn due(keys: &MatrixKeys, year: &LocalYear, own: Option<i64>) -> BTreeSet<i64> {
    let none = Vec::new();
    let texts = |key: &str| keys.texts.get(key).unwrap_or(&none);
    let may_begin = |local: i64| {
        let (day, minute) = (local / 1440, local % 1440);
        let date = &year.dates[index(day)].0;
        let windows = texts("window");
        (windows.is_empty() || windows.iter().any(|window| is_in(window, day, minute, year)))
            && !texts("not_on").iter().any(|day| is_off(day, date))
    };
    let mut due = BTreeSet::new();
    for cron in texts("cron") {
        if cron.starts_with('@') {
            let Some(first) = own else { continue };
            let every = (first.min(1)..=MINUTES).filter(|minute| (minute - first) % 50 == 0);
            due.extend(every.filter(|minute| may_begin(year.minutes[index(*minute)])));
            continue;
        }
        let cron =
            cron.rsplit_once('=').map_or(&**cron, |(_, cron)| cron.split_once(' ').unwrap().1);
        let cron = match cron.strip_prefix('H') {
            Some(rest) => format!("{}{rest}", own.unwrap_or(0)),
            None => cron.to_owned(),
        };
        let reference = Reference::new(&cron, year);
        let is_due = |local: i64| reference.has(local) && may_begin(local);
        for minute in 1..=MINUTES {
            let local = year.minutes[index(minute)];
            let before = year.minutes[index(minute - 1)];
            let is_again = || {
                let earlier =
                    (1..=180).map_while(|back| year.minutes.get(index((minute - back).max(0))));
                earlier.clone().any(|earlier| *earlier == local)
            };
            // At the end of a gap, fixed times in it are made up for.
            let mut skipped = before + 1..local;
            let is_moved = !reference.is_interval && skipped.any(is_due);
            let is_now = is_due(local) && (reference.is_interval || !is_again());
            if is_moved || is_now {
                due.insert(minute);
            }
        }
    }
    due
}

/// Returns the slots of each job that the planner starts, as minutes of the year; the seconds of `@every` are dropped.
fn simulated(jobs: &Arc<Jobs>, text: &str) -> BTreeMap<String, BTreeSet<i64>> {
    let run_time = Duration::from_secs(5);
    let scenario = Scenario { from: at(FROM), to: at(TO), outages: Vec::new(), run_time };
    let mut slots: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    simulate(jobs, &scenario, |now, happened| {
        let Happened::Decided(decision) = happened else { return };
        let late = now.duration_since(decision.slot.at);
        let jitter = i64::try_from(jobs.get(&decision.job).unwrap().jitter.as_secs()).unwrap();
        match decision.action {
            DecisionKind::Wait => assert!(jitter > 0, "{text}{decision:?}"),
            DecisionKind::Start => {
                assert!((0..=jitter).contains(&late.as_secs()), "{text}{decision:?} at {now}");
                let second = decision.slot.at.as_second() - at(FROM).as_second();
                let of_job = slots.entry(decision.job.to_string()).or_default();
                assert!(of_job.insert(second.div_euclid(60)), "{text}{decision:?} twice");
            }
            _ => panic!("{text}{decision:?}"),
        }
    });
    for slots in slots.values_mut() {
        slots.retain(|minute| *minute <= MINUTES);
    }
    slots
}

/// Compares a job of the file with its keys, apart from its slots.
fn check_values(jobs: &Jobs, name: &str, keys: &MatrixKeys) {
    let job = jobs.get(name).unwrap_or_else(|| panic!("`{name}` is missing"));
    let args: BTreeMap<_, _> = job
        .args
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (&**key, value.as_str().unwrap()))
        .collect();
    let wanted = keys.args.iter().map(|(key, value)| (*key, &**value)).collect();
    assert_eq!(args, wanted, "{name}");
    assert_eq!(job.tags, keys.texts["tags"], "{name}");
    assert_eq!(job.enabled, keys.enabled != Some(false), "{name}");
}

/// Compares the slots of all jobs of a file with the oracle; returns the number of jobs and that of their slots, which is
/// `None` if the file is refused.
fn compare(
    file: &MatrixFile,
    seed: u64,
    folder: &Path,
    years: &mut BTreeMap<String, LocalYear>,
) -> (usize, Option<usize>) {
    let (text, wanted) = (file.toml(), file.expanded());
    let reading = parse(text.clone(), &folder.join("portolan.toml"), &Zones::bundled(), at(FROM));
    let jobs = reading.jobs.map(Arc::new);
    let found = jobs.as_ref().map(|jobs| simulated(jobs, &text)).unwrap_or_default();
    let (mut slots, mut idle) = (0, 0);
    for (name, keys) in &wanted {
        if let Some(jobs) = &jobs {
            check_values(jobs, name, keys);
        }
        let of_job = found.get(name).cloned().unwrap_or_default();
        let cron = &keys.texts["cron"];
        let zone = cron[0].strip_prefix("CRON_TZ=").map(|cron| cron.split(' ').next().unwrap());
        let zone = zone.unwrap_or_else(|| &keys.texts["timezone"][0]).to_owned();
        let year = years.entry(zone.clone()).or_insert_with(|| LocalYear::new(&zone));
        let first = of_job.first().copied();
        let own = match &*cron[0] {
            text if text.starts_with('@') => first,
            _ => first.map(|first| year.minutes[index(first)] % 60),
        };
        let is_off = keys.enabled == Some(false) && jobs.is_some();
        let wanted = if is_off { BTreeSet::new() } else { due(keys, year, own) };
        // A value of `H` that is not known may be out of the window.
        idle += usize::from(wanted.is_empty() || (first.is_none() && cron[0].contains("H ")));
        if jobs.is_some() {
            let differs: Vec<_> = wanted.symmetric_difference(&of_job).take(5).collect();
            assert!(differs.is_empty(), "seed {seed}\n{text}`{name}` in {zone}: {differs:?}");
        }
        slots += wanted.len();
    }
    if let Some(jobs) = jobs {
        assert_eq!(jobs.all.len(), wanted.len(), "seed {seed}\n{text}");
        return (wanted.len(), Some(slots));
    }
    // It is refused only for a job that has no slots.
    let errors = reading.findings.iter().filter(|one| one.level == Severity::Error);
    let errors: BTreeSet<_> = errors.map(|one| &*one.message).collect();
    let never = BTreeSet::from(["this schedule never fires"]);
    assert!(errors == never && idle > 0, "seed {seed}\n{text}{errors:?}");
    (wanted.len(), None)
}

#[test]
fn a_year_of_random_matrices_agrees_with_the_oracle() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, files) = (number("PORTOLAN_SEED").unwrap_or(1), number("PORTOLAN_MATRIX_FILES"));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.rhai"), "").unwrap();
    for (land, lines) in LANDS {
        fs::write(folder.path().join(format!("{land}.txt")), lines).unwrap();
    }
    let (mut years, mut slots, mut jobs) = (BTreeMap::new(), 0, 0);
    for seed in first..first + files.unwrap_or(FILES) {
        let mut file = file(&mut Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        let (of_file, mut more) = compare(&file, seed, folder.path(), &mut years);
        if more.is_none() {
            let all = file.jobs.iter_mut().map(|job| &mut job.keys).chain([&mut file.defaults]);
            for keys in all {
                keys.texts.remove("window");
            }
            more = compare(&file, seed, folder.path(), &mut years).1;
        }
        let more = more.expect("every expression fires without windows");
        println!("seed {seed}: {of_file} jobs, {more} slots");
        (slots, jobs) = (slots + more, jobs + of_file);
    }
    assert!(slots > 2_000 && jobs > 20, "{slots} slots of {jobs} jobs");
}
