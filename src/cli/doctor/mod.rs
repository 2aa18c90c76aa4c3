//! `portolan doctor`: tries every mode on a server, reports what works, draws the channels, suggests the rules.
//!
//! Without a server it reports on the local host: the time zone data above all.
//!
//! With `--json` it prints one document, whose fields are those of [`crate::advice::diagnosis_value`].

mod chart;
mod doing;
mod here;
mod page;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::here::HostReport;
use super::{
    ExitResult,
    common::{Common, interruptible, runtime},
    flags::{OptionCommand, OptionFlags},
    recording::{self, PublicRecording},
    report::{self, UsageError},
};
use crate::{
    advice::{
        chart::{self as chart_advice, ModeChart, channels, charts, stopped_here},
        diagnosis_value, look_at_host, rules,
    },
    error::Result,
    exit_code::Exit,
    ftp::{
        doctor::{Advice, Diagnosis, DoctorOptions, OPTIONS, survey, verdict},
        site::Mode,
    },
    nat::gateway::Gateway,
    option_table::OptionTable,
};

/// The arguments of `portolan doctor`.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Server and directory to test, such as ftp://deploy@www.example.com/htdocs [default: none; report on the local host]
    url: Option<String>,
    /// Print only the chart of the connections
    #[arg(long, value_enum, value_name = "FORMAT", requires = "url")]
    chart: Option<ChartFormat>,
    /// Print only the channels in both directions, for filters without state
    #[arg(long, requires = "url", conflicts_with = "chart")]
    channels: bool,
    /// Record the dialogue in a new file that may be published: without hosts, users, addresses and names of files
    #[arg(long, value_name = "FILE", requires = "url")]
    record: Option<PathBuf>,
    #[command(flatten)]
    options: OptionFlags<Self>,
}

/// The formats of charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ChartFormat {
    /// Boxes and steps
    Text,
    /// A sequence diagram of Mermaid
    Mermaid,
    /// A picture
    Svg,
}

impl OptionCommand for Args {
    type Options = DoctorOptions;
    const TABLE: OptionTable<DoctorOptions> = OPTIONS;
    const NAME: &'static str = "doctor";
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let Some(url) = &args.url else { return Ok(tell_of_here(common)) };
    let prepared = || -> Result<_> {
        let (mut site, url) = common.place(url)?;
        site.folder.clone_from(&url.path);
        let sink = if common.json() { None } else { Some(doing::sink()) };
        let mut context = common.context_shown_by(sink)?;
        let file = args.record.as_deref().map(recording::create).transpose()?;
        let recorded = file.map(|file| PublicRecording::begin(file, &site, &mut context));
        Ok((site, args.options.options()?, context, recorded))
    };
    let (site, options, context, recorded) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    let wanted = PrintedParts { json, chart: args.chart, channels: args.channels };
    interruptible(&stop, move || {
        let surveyed =
            runtime().and_then(|runtime| runtime.block_on(survey(&site, &options, &context)));
        if !json {
            doing::done();
        }
        // What the sessions record at their end belongs to the recording.
        drop(context);
        let code = surveyed.map(|mut surveyed| {
            look_at_host(&mut surveyed);
            show(&surveyed, wanted)
        });
        if let Some(recorded) = recorded {
            let exit = code.as_ref().map_or_else(Exit::of_failure, |exit| *exit);
            if let Err(error) = recorded.end(exit) {
                report::print(&format!("warning: there is no recording: {error}\n"));
            }
        }
        Ok(code?)
    })
}

fn tell_of_here(common: &Common) -> Exit {
    let here = HostReport::look(common);
    if common.json() {
        report::json(&here.value());
    } else {
        report::output(&here.page());
    }
    Exit::Done
}

/// The parts of a diagnosis to print.
#[derive(Debug, Clone, Copy)]
struct PrintedParts {
    json: bool,
    chart: Option<ChartFormat>,
    channels: bool,
}

/// Prints the findings, and returns the exit code.
fn show(survey: &Diagnosis, wanted: PrintedParts) -> Exit {
    let verdict = verdict(survey);
    let unicode = page::is_utf8_locale();
    let gateway = Gateway::find().ok().map(|gateway| gateway.address);
    let charts = charts(survey, &verdict, gateway, &stopped_here);
    if wanted.json {
        let mut document = diagnosis_value(survey, &verdict);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("breaks".into(), breaks(&charts));
        }
        report::json(&document);
        return code(&verdict);
    }
    report::output(&match wanted.chart {
        Some(ChartFormat::Text) => page::drawings(survey, &verdict, &charts, unicode),
        Some(ChartFormat::Mermaid) => chart_advice::mermaid(&charts),
        Some(ChartFormat::Svg) => chart_advice::svg(&charts),
        None if wanted.channels => page::channels(&channels(survey, &verdict)),
        None => page::page(survey, &verdict, &charts, &rules(survey, &verdict), unicode),
    });
    code(&verdict)
}

/// Returns the steps that fail, for JSON: the mode, the number, the purpose, the reason and the rule of this host.
fn breaks(charts: &[ModeChart]) -> Value {
    let of = |chart: &ModeChart| {
        let mode = if chart.mode == Mode::Active { "active" } else { "passive" };
        let steps = (1..).zip(&chart.steps).filter(|(_, step)| step.broken.is_some());
        let broken = steps.map(|(number, step): (u32, _)| {
            json!({
                "mode": mode, "step": number, "text": step.text, "why": step.broken, "rule": step.rule,
            })
        });
        broken.collect::<Vec<_>>()
    };
    charts.iter().flat_map(of).collect()
}

/// Returns 0 if some mode did everything that was tried, else the code of the failure.
fn code(verdict: &Advice) -> Exit {
    match &verdict.error {
        None => Exit::Done,
        Some(fault) => Exit::of_failure(fault),
    }
}

#[cfg(test)]
mod tests;
