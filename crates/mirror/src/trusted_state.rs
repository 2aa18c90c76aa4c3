//! Trust in the state: the server is assumed to be as the last run left it, and only a few files are checked.
//!
//! An unchanged tree then costs one round trip, whatever its size. Files to be overwritten or deleted are always
//! checked, and so are a few others: the first that is not as the state says makes the run scan the whole server side.
//! Files that were added to the server since are neither seen nor deleted. A file to be deleted must also be listed
//! under that very name: the directories from which something is deleted are listed.

use std::collections::BTreeSet;

use super::{
    diff::plan_with,
    endpoints::{Endpoints, place},
    filter::Filter,
    name_aliases,
    options::MirrorOptions,
    plan::MirrorPlan,
    pool::SessionPool,
    recheck,
    sync_base::{SyncBase, SyncedFile},
    tree::{Node, NodeKind, ScanResult, Tree, above},
};
use portolan_core::{
    error::Result,
    limits::TRUST_SAMPLE,
    observe::{MessageLevel, visible::visible},
};
use portolan_remote::fs::{Query, ROUND_TRIP_COST, RemoteFs};

/// Returns the plan by the state alone; `None` if the state cannot be relied on.
pub(super) async fn plan(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    here: &mut ScanResult,
    base: Option<&SyncBase>,
    filter: &Filter,
    heading: &Endpoints,
    rules: &MirrorOptions,
) -> Result<Option<MirrorPlan>> {
    let Some(base) = base.filter(|base| !base.is_empty()) else { return Ok(None) };
    let mut there = ScanResult { tree: tree(base, filter), ..ScanResult::default() };
    there.withdraw(&here.own);
    name_aliases::resolve_aliases(crew, here, &mut there, Some(base), heading, rules.delete)
        .await?;
    rules.bounds.apply(here)?;
    let (sides, known) = ((&*here, &there), Some(base));
    let plan = plan_with(sides, known, known, Some(filter), heading.clone(), rules.clone())?;
    let paths: Vec<_> = asked(crew.first(), &plan, base, heading).into_iter().collect();
    let places: Result<Vec<_>> = paths.iter().map(|path| place(&heading.remote, path)).collect();
    let facts = crew.first().stat_many(&places?).await?;
    let wrong = paths.iter().zip(facts).find(|(path, (size, modified))| {
        let is_as_known = |pair: &SyncedFile| pair.is_remote(*size, *modified);
        size.is_none() || !base.get(**path).is_some_and(is_as_known)
    });
    let wrong = wrong.map(|(path, _)| path.to_vec());
    let wrong = if wrong.is_some() { wrong } else { recheck::unlisted(crew, &plan).await? };
    let Some(path) = wrong else { return Ok(Some(plan)) };
    let text = format!(
        "{} is not on the server as the state says: all of it is looked at",
        visible(&path)
    );
    crew.first().observer().message(MessageLevel::Warn, text);
    Ok(None)
}

/// Returns the tree that the last run left, as far as `filter` lets it take part. Its directories may hold more than it knows of, so none of them is removed.
fn tree(base: &SyncBase, filter: &Filter) -> Tree {
    let mut tree = Tree::empty();
    let folder =
        Node { listed: true, shows_hidden: true, holds_more: true, ..Node::of(NodeKind::Folder) };
    tree.set(Vec::new(), folder);
    for (path, pair) in base.iter().filter(|(path, _)| !filter.leaves_out(path)) {
        for folder_path in
            above(path).take_while(|path| tree.get(path).is_none()).collect::<Vec<_>>()
        {
            tree.set(folder_path.to_vec(), folder);
        }
        tree.set(path.to_vec(), Node::file(pair.remote_size, pair.remote_time, None));
    }
    tree
}

/// Returns the files to check: those that the plan overwrites or deletes, and some others.
fn asked<'a>(
    session: &impl RemoteFs,
    plan: &'a MirrorPlan,
    base: &'a SyncBase,
    heading: &Endpoints,
) -> BTreeSet<&'a [u8]> {
    let changed = plan.steps.iter().map(|step| step.path.as_slice());
    let mut asked: BTreeSet<_> = changed.filter(|path| base.contains_key(*path)).collect();
    let every = (base.len() / TRUST_SAMPLE).max(1);
    let mut cost = 0;
    let fits = |path: &&[u8]| {
        let place = place(&heading.remote, path);
        cost += place.map_or(0, |place| session.cost(Query::Stat, &place));
        cost <= ROUND_TRIP_COST
    };
    let others = base.keys().map(|path| &**path).step_by(every).take(TRUST_SAMPLE);
    asked.extend(others.take_while(fits));
    asked
}
