//! Exact times, queried if a listing does not show them and a result depends on them: in few packets, since each query
//! is short (MDTM).

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{
    batch_query::{BatchQuery, batches},
    endpoints::{Direction, Endpoints, place},
    options::Compare,
    pass_options::CompareOptions,
    pool::SessionPool,
    server_timezone,
    sync_base::SyncBase,
    three_way::Three,
    tree::ScanResult,
};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::TRUST_SAMPLE,
    observe::MessageLevel,
};
use portolan_remote::{
    entry::Modified,
    fs::{Query, RemoteFs},
};

/// Determines the value of the times of `there`: those of the server's own zone are taken for UTC as long as nothing
/// contradicts it. Otherwise the offset is measured, and each file is queried that would still be different.
pub(super) async fn fetch_exact_times(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    here: &ScanResult,
    there: &mut ScanResult,
    base: Option<&SyncBase>,
    heading: &Endpoints,
    options: CompareOptions,
) -> Result<()> {
    let is_by_time = matches!(options.compare, Compare::Auto | Compare::SizeTime);
    if !is_by_time && !options.newer_only {
        return Ok(());
    }
    there.times.set_ahead(Some(SignedDuration::ZERO));
    let mut open = open(here, there, base, heading, options);
    if open.is_empty() {
        return Ok(());
    }
    // The more precise the listed times are, the more they tell; of equal ones the last paths come first.
    open.sort_by_key(|(path, listed)| (listed.precision(), std::cmp::Reverse(path.clone())));
    let rest = open.split_off(open.len().min(TRUST_SAMPLE));
    let sample: Vec<_> = open.iter().map(|(path, _)| path.clone()).collect();
    let told = ask(crew, heading, sample).await?;
    let listed = |path: &Vec<u8>| open.iter().find(|(other, _)| other == path);
    let pairs = told.iter().filter_map(|(path, exact)| Some((listed(path)?.1, *exact)));
    let ahead = server_timezone::ahead(&pairs.collect::<Vec<_>>());
    there.times.set_ahead(ahead);
    note(there, told);
    if ahead.is_none() || rest.is_empty() {
        return Ok(());
    }
    let left = self::open(here, there, base, heading, options);
    let told = ask(crew, heading, left.into_iter().map(|(path, _)| path).collect()).await?;
    note(there, told);
    Ok(())
}

/// Returns the files of which the listed time would decide, with that time.
fn open(
    here: &ScanResult,
    there: &ScanResult,
    base: Option<&SyncBase>,
    heading: &Endpoints,
    options: CompareOptions,
) -> Vec<(Vec<u8>, Modified)> {
    let three = Three::new(base, heading, options, &there.times);
    let files = there.tree.nodes().filter_map(|(path, remote)| {
        let listed = remote.modified.filter(|time| matches!(time, Modified::Server(..)))?;
        let local = here.tree.get(path)?;
        let (source, target) = match heading.direction {
            Direction::Up => (local, remote),
            Direction::Down => (remote, local),
        };
        three.hangs_on_zone(path, source, target).then(|| (path.to_vec(), listed))
    });
    files.collect()
}

fn note(there: &mut ScanResult, told: BTreeMap<Vec<u8>, Modified>) {
    for (path, time) in told {
        there.times.set_exact(path, time);
    }
}

/// Returns the times of `paths`, as far as the server reports them.
async fn ask<R: RemoteFs>(
    crew: &mut SessionPool<'_, R>,
    heading: &Endpoints,
    paths: Vec<Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, Modified>> {
    if !crew.first().capabilities().tells_mtime {
        return Ok(BTreeMap::new());
    }
    let top = &heading.remote;
    let waiting = batches(crew.first(), Query::Mtime, top, paths);
    let ask = async |session: &mut R, packet: &Vec<Vec<u8>>, _: bool| {
        let places: Result<Vec<_>> = packet.iter().map(|path| place(top, path)).collect();
        session.mtimes(&places?).await
    };
    let is_fatal = |fault: &Error| fault.kind == ErrorKind::Interrupted;
    let BatchQuery { answers, failed, .. } = BatchQuery::ask(crew, waiting, is_fatal, ask).await?;
    // Without exact times, files are compared and dated by the listed ones.
    if let Some((_, fault)) = failed.first() {
        let text = format!("the times of some files could not be asked for: {fault}");
        crew.first().observer().message(MessageLevel::Info, text);
    }
    let told = answers.into_iter().flat_map(|(packet, times)| packet.into_iter().zip(times));
    Ok(told.filter_map(|(path, time)| Some((path, time?))).collect())
}
