//! The page for users: the verdict, a table of the modes, the diagrams, the rules, the findings. Pure.

use super::chart::{Pen, chart};
use crate::{
    advice::{
        AllowedConnection,
        chart::{ModeChart, StatelessChannel, steps},
    },
    cli::table::TextTable,
    ftp::{
        data::method::DataMethod,
        doctor::{
            Advice, Diagnosis, Endpoint, FindingSeverity, LoginOutcome, ModeProbe, findings,
            ms_text,
        },
        site::{Mode, TlsMode},
    },
    observe::visible::visible,
};

/// The legend of the diagrams.
const LEGEND: &str =
    "An arrow points the way a connection is opened; files go both ways through it.\n";

/// The width of a page in columns.
const WIDTH: usize = 80;

/// Returns true if the locale uses UTF-8 (POSIX: the first of these variables that is set wins).
pub(super) fn is_utf8_locale() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.ends_with("utf-8") || locale.ends_with("utf8")
}

/// Renders the whole page.
pub(super) fn page(
    survey: &Diagnosis,
    verdict: &Advice,
    charts: &[ModeChart],
    rules: &[AllowedConnection],
    unicode: bool,
) -> String {
    let pen = Pen::new(unicode);
    let mut parts = vec![wrapped(&verdict.sentence, "", "")];
    if !verdict.snippet.is_empty() {
        parts.push(snippet(verdict));
    }
    parts.extend(table(survey, &pen));
    if chosen(survey, verdict).is_some() {
        parts.push(drawings(survey, verdict, charts, unicode));
        parts.extend(what_to_open(rules));
    }
    parts.push(list(survey));
    parts.join("\n")
}

/// Returns the diagram of each mode with its steps; without a login, the steps of the control connection.
pub(super) fn drawings(
    survey: &Diagnosis,
    verdict: &Advice,
    charts: &[ModeChart],
    unicode: bool,
) -> String {
    let pen = Pen::new(unicode);
    let shown = |one: &ModeChart| {
        let steps = steps(one, unicode);
        steps.iter().map(|line| wrapped(line, "  ", "     ")).collect::<String>()
    };
    let Some(door) = chosen(survey, verdict) else {
        let drawn = charts.iter().map(|one| format!("{}\n\n{}", one.title, shown(one)));
        return drawn.collect();
    };
    let draw = |one: &ModeChart| {
        let picture = chart(survey, door, one.mode, &pen);
        format!("{}\n\n{picture}\n{}", heading(one.mode, verdict, door), shown(one))
    };
    let mut parts: Vec<_> = charts.iter().map(draw).collect();
    parts.push(LEGEND.to_owned());
    parts.join("\n")
}

/// Returns the channels as a table.
pub(super) fn channels(channels: &[StatelessChannel]) -> String {
    let mut table = TextTable::new(&["mode", "from", "to", "packets", "what"]);
    for one in channels {
        let packets = if one.opens { "all, the first is SYN" } else { "with ACK only" };
        let cells = [one.mode, &one.from, &one.to, packets, one.what];
        table.row(cells.map(str::to_owned));
    }
    table.text()
}

/// Returns the line for the script, with one option per line if it is too long for the page.
fn snippet(verdict: &Advice) -> String {
    let line = &verdict.snippet;
    if line.chars().count() + 4 <= WIDTH {
        return format!("    {line}\n");
    }
    let start = line.split(" #{").next().unwrap_or(line);
    let options = verdict.options.iter().map(|(key, text)| format!("        {key}: {text},\n"));
    format!("    {start} #{{\n{}    }});\n", options.collect::<Vec<_>>().concat())
}

/// Returns the door that the verdict is about.
fn chosen<'s>(survey: &'s Diagnosis, verdict: &Advice) -> Option<&'s Endpoint> {
    let mut entered =
        survey.endpoints.iter().filter(|door| matches!(door.entry, LoginOutcome::Entered(_)));
    entered.find(|door| Some(door.address) == verdict.server && door.tls == verdict.tls)
}

fn heading(mode: Mode, verdict: &Advice, door: &Endpoint) -> String {
    let (name, does) = match mode {
        Mode::Active => ("Active", "the server opens the data connection"),
        Mode::Passive | Mode::Auto | Mode::Race => {
            ("Passive", "this machine opens both connections")
        }
    };
    let mut trials = door.trials.iter();
    let works = trials.any(|t| t.step.is_active() == (mode == Mode::Active) && t.carries());
    let what = match (verdict.mode == Some(mode), works) {
        (true, _) => ", to be used",
        (false, true) => ", for comparison",
        (false, false) => ", which fails here",
    };
    format!("{name} mode{what}: {does}")
}

/// Returns the table of modes, with a column for each door that accepted the login; failures are listed below.
fn table(survey: &Diagnosis, pen: &Pen) -> Option<String> {
    let endpoints: Vec<&Endpoint> = survey
        .endpoints
        .iter()
        .filter(|door| matches!(door.entry, LoginOutcome::Entered(_)))
        .collect();
    if endpoints.is_empty() {
        return None;
    }
    let several = endpoints.iter().any(|door| door.address.is_ipv6())
        && endpoints.iter().any(|door| door.address.is_ipv4());
    let heads: Vec<String> = endpoints.iter().map(|door| column(door, several)).collect();
    let width = heads.iter().map(String::len).max().unwrap_or(0).max(10);
    let mut notes = Vec::new();
    let mut rows = Vec::new();
    for step in [DataMethod::Epsv, DataMethod::Pasv, DataMethod::Eprt, DataMethod::Port] {
        let cells: Vec<_> = endpoints.iter().map(|door| cell(door, step, &mut notes)).collect();
        rows.push(row(name(step), &cells, width));
    }
    let rule = pen.line.to_string().repeat(14 + endpoints.len() * (width + 2));
    let mut lines = vec![row("mode", &heads, width), format!("  {rule}\n")];
    lines.extend(rows);
    let notes = notes.iter().enumerate();
    lines.extend(
        notes.map(|(number, note)| wrapped(&note.text, &format!("  [{}] ", number + 1), "      ")),
    );
    Some(lines.concat())
}

fn row(name: &str, cells: &[String], width: usize) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| format!("  {cell:<width$}")).collect();
    format!("{}\n", format!("  {name:<14}{}", cells.concat()).trim_end())
}

const fn name(step: DataMethod) -> &'static str {
    match step {
        DataMethod::Epsv => "passive (EPSV)",
        DataMethod::Pasv => "passive (PASV)",
        DataMethod::Eprt => "active (EPRT)",
        DataMethod::Port => "active (PORT)",
    }
}

fn column(door: &Endpoint, several: bool) -> String {
    let how = match door.tls {
        TlsMode::Off => "plain",
        TlsMode::Explicit => "TLS",
        TlsMode::Implicit => "TLS (ftps)",
    };
    match (several, door.address.is_ipv6()) {
        (false, _) => how.to_owned(),
        (true, true) => format!("{how} IPv6"),
        (true, false) => format!("{how} IPv4"),
    }
}

/// A failure listed below the table.
struct FailureNote {
    text: String,
    /// The text without the address of this attempt.
    sort: String,
}

/// Returns the time in milliseconds, or the number of a note about the failure.
fn cell(door: &Endpoint, step: DataMethod, notes: &mut Vec<FailureNote>) -> String {
    let Some(trial) = door.trials.iter().find(|trial| trial.step == step) else {
        return if door.address.is_ipv6() { "-".into() } else { "not tried".into() };
    };
    let Some(fault) = failure(trial) else {
        return trial.time().map_or_else(|| "works".into(), ms_text);
    };
    // Each attempt has its own port, which does not make it a different kind of failure.
    let sort = fault.replace(&trial.address, "");
    let known = notes.iter().position(|note| note.sort == sort);
    let number = known.unwrap_or_else(|| {
        notes.push(FailureNote { text: fault, sort });
        notes.len() - 1
    });
    let what = if trial.carries() { "in part" } else { "no" };
    format!("{what} [{}]", number + 1)
}

fn failure(trial: &ModeProbe) -> Option<String> {
    let fault = trial.fault()?;
    let what = match (&trial.listing, &trial.upload, &trial.download) {
        (Err(_), ..) => "",
        (_, Some(Err(_)), _) => "upload: ",
        _ => "download: ",
    };
    Some(format!("{what}{}", visible(&fault.message)))
}

fn what_to_open(rules: &[AllowedConnection]) -> Vec<String> {
    let of = |(side, title): (&str, &str)| {
        let rules = rules.iter().filter(|rule| rule.side == side);
        let lines = rules.map(|rule| {
            let words = wrapped(&rule.words, "  ", "  ");
            let note = rule.nft_note.as_deref();
            let note = note.map(|note| wrapped(note, "      ", "      # ")).unwrap_or_default();
            let (nft, tables) = (broken(&rule.nft, " tcp "), broken(&rule.iptables, " -p "));
            format!("{words}{note}      {nft}\n      {tables}\n")
        });
        format!("{title}\n{}", lines.collect::<Vec<_>>().concat())
    };
    let titles = [
        ("here", "What firewalls on this side have to let through"),
        ("server", "What firewalls on the server's side have to let through"),
    ];
    titles.into_iter().map(of).collect()
}

fn list(survey: &Diagnosis) -> String {
    let mut lines = vec!["What else was found\n".to_owned()];
    if let Some(greeting) = &survey.greeting {
        let said = format!("it greets with \"{}\"", visible(short(greeting)));
        lines.push(wrapped(&said, "  - ", "    "));
    }
    for finding in findings(survey) {
        let mark = if finding.weight == FindingSeverity::Warning { "  ! " } else { "  - " };
        lines.push(wrapped(&finding.text, mark, "    "));
    }
    lines.concat()
}

/// Returns a command in two lines, broken before `at`, if it is too long for the page.
fn broken(command: &str, at: &str) -> String {
    if command.len() + 6 <= WIDTH {
        return command.to_owned();
    }
    command.replacen(at, &format!(" \\\n         {at}"), 1)
}

/// Returns the useful beginning of a greeting's first line.
fn short(greeting: &str) -> String {
    greeting.chars().take(160).collect()
}

/// Wraps `text` into lines of the page's width.
fn wrapped(text: &str, first: &str, indent: &str) -> String {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let wide = line.chars().count() + word.chars().count() + usize::from(!is_empty);
        if wide > WIDTH && !is_empty {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines.push(line);
    lines.join("\n") + "\n"
}
