//! `portolan run --as-child`: one attempt of a job, for the scheduler that started it.

use std::{
    io::{self, BufReader},
    sync::Arc,
};

use super::{
    ExitResult,
    common::{Common, interruptible},
    permissions::permissions,
    run_job::around,
    sandbox::RunSandbox,
};
use crate::{
    cancel::CancelToken,
    clock::Clock,
    observe::{Sink, json::JsonLines, output},
    schedule::child::{attempt_spec::AttemptSpec, drain::Drain, isolation, lease::OpenLease},
    script::{run::Settings, secrets, site::Overrides},
};

pub(super) fn run(common: &Common) -> ExitResult {
    let mut input = BufReader::new(io::stdin());
    let order = AttemptSpec::read(&mut input)?;
    let lock = isolation::raise(&order)?;
    let source = order.source()?;
    // Before the sandbox is entered, in which only what the job may use can be opened.
    let paces = order.shared_rates()?;
    let lease = order.lease.as_ref().map(OpenLease::open).transpose()?;
    let mut settings = Settings {
        overrides: Overrides::read(&secrets::of_settings(&order.connect)?)?,
        password: common.password()?,
        netrc: common.netrc()?,
        nat: common.nat(),
        job: order.facts(),
        ..Settings::default()
    };
    let (options, is_named) = order.permissions();
    let permissions = permissions(&options, is_named)?;
    // Before anything that starts a thread.
    let sandbox =
        RunSandbox::enter(common, &source, &options, &permissions, &settings, &order.programs)?;
    sandbox.equip(&mut settings);
    let stop = CancelToken::new();
    let stop = lease.map_or_else(|| Ok(stop.clone()), |lease| lease.watch(&stop))?;
    let drain = Arc::new(Drain::new(stop.clone()));
    isolation::listen(input, Arc::clone(&drain))?;
    let lines = JsonLines::new(order.run.to_string(), Clock::System, output::results()).with_log();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(lines), Box::new(drain)];
    let (mut context, states) = common.child_context(stop, sinks)?;
    (context.permissions, settings.states) = (Arc::new(permissions), states);
    (context.paces, context.sessions_max) = (paces, order.sessions);
    sandbox.report(&context.observer);
    let stop = context.stop.clone();
    let ended = interruptible(&stop, move || Ok(around(&order, &source, settings, &context)));
    // Held until here: while it is, no other scheduler starts.
    drop(lock);
    ended
}
