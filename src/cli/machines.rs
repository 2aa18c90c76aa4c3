//! `portolan machines`: the machines that share a schedule.

use serde_json::Value;

use super::{
    ExitResult,
    common::Common,
    place::failed,
    report,
    store::{self, JobsStore},
    table::{TextTable, width},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    observe::visible::visible,
    schedule::{facts, machines::MachineState},
};

/// The arguments of `portolan machines`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    jobs: JobsStore,
}

const HELP: &str = "\
Examples:
    portolan machines --store postgres://portolan@db.example.com/portolan
    portolan machines --json | jq -r '.[] | select(.alive | not).name'";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let found = || -> Result<Vec<MachineState>> {
        let place = args.jobs.place(common)?;
        if !place.is_shared() {
            return Err(Error::invalid(
                "no store is named that machines share: --store, PORTOLAN_STORE or `store` in [runner] names it",
            ));
        }
        let store = place.open()?;
        MachineState::read_all(&store, store::now(&store)?)
    };
    let machines = found().map_err(failed)?;
    if common.json() {
        let all: Vec<Value> = machines.iter().map(facts::machine).collect();
        report::json(&all);
    } else if machines.is_empty() {
        report::print("no machine has joined yet: `portolan serve --store URL` does\n");
    } else {
        report::output(&table(&machines));
    }
    Ok(Exit::Done)
}

fn table(machines: &[MachineState]) -> String {
    let heads = ["machine", "role", ">runs", "heartbeat", "labels", "version", "jobs", "clock"];
    let mut table = TextTable::new(&heads);
    for machine in machines {
        let record = &machine.record;
        table.row([
            visible(&record.name),
            machine.role().to_owned(),
            format!("{}/{}", machine.running, record.room),
            machine.heartbeat(),
            visible(record.labels.replace('\n', " ")),
            visible(&record.version),
            visible(machine.release_words()),
            machine.clock_words(),
        ]);
    }
    table.fitted(width())
}
