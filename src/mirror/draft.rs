//! Plans of real directories: both sides are scanned, and then compared.

use std::{
    borrow::{Borrow, Cow},
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    alias, checksum,
    crew::Crew,
    diff::plan,
    doubt, fold, hashed, intents,
    ledger::{Ledger, Loaded},
    leftovers::{self, Leftovers},
    plan::{Direction, Heading, Left, Plan},
    rules::{Bounds, Compare, Rules},
    scan::{self, Role},
    shift, times, trash,
    tree::{NodeKind, Survey, Tree, Why, name_of, parent},
    trust,
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::free_bytes,
    ftp::base::{Base, Intents},
    observe::{Level, Observer, visible::visible},
};

/// Scans both sides at the same time, and returns the plan.
pub(super) async fn draft(
    crew: &mut Crew<'_>,
    heading: Heading,
    rules: &Rules,
    ledger: &mut Ledger,
    leftovers: &Arc<Leftovers>,
) -> Outcome<Plan> {
    let mut rules = rules.clone();
    let filter = Arc::new(trash::reserve(rules.filter(&heading.local)?, &heading, &rules)?);
    let (here_role, there_role) = match heading.direction {
        Direction::Up => (Role::Source, Role::Target),
        Direction::Down => (Role::Target, Role::Source),
    };
    let context = crew.first().context().clone();
    let Loaded { base, intents, doubt } = ledger.load(crew.first()).await?;
    // If bytes are compared, the base is not consulted; the results are kept for the runs that follow.
    let (base, kept) = match rules.compare {
        Compare::Checksum => (None, base),
        _ => (base, None),
    };
    let doubt = doubt.filter(|_| rules.compare != Compare::Checksum);
    if let Some((level, doubt)) = doubt {
        let then = if rules.delete { ", and nothing is deleted in this run" } else { "" };
        let text = format!("{doubt}: files are compared by size and time{then}");
        context.observer.say(level, text);
        rules.delete = false;
    }
    // Reading a disk would block the sessions, which share this thread.
    let expected = tokio::task::spawn_blocking({
        let (local, direction) = (heading.local.clone(), heading.direction);
        move || scan::expected(&local, direction)
    });
    let expected = expected.await.unwrap_or(0);
    let here = tokio::task::spawn_blocking({
        let (local, filter, base) = (heading.local.clone(), Arc::clone(&filter), base.clone());
        let (leftovers, stop) = (Arc::clone(leftovers), context.stop.clone());
        let (links, encoding) = (rules.links(heading.direction), heading.remote.encoding());
        move || {
            let top = (&*local, links);
            let mut here = scan::local(top, &filter, here_role, &leftovers, &stop)?;
            here.keep_to(encoding, here_role);
            if let Some(base) = base.filter(|base| !base.is_empty()) {
                hashed::settle(&mut here, top, &base, &stop)?;
            }
            Outcome::Ok(here)
        }
    });
    let here = async {
        here.await.map_err(|error| {
            Fault::new(Kind::Local, Side::Here, "the folder could not be scanned").because(error)
        })?
    };
    let base = base.as_deref();
    let how = scan::How { leftovers, follow_links: rules.follow_links, expected };
    // If a run was interrupted, the state is not what the server has.
    if rules.trust_state && heading.direction == Direction::Up && intents.is_empty() {
        let mut here = here.await?;
        let trusted = trust::plan(crew, &mut here, base, &heading, &rules).await?;
        if let Some(plan) = trusted {
            return finish(crew, plan, &here, &Survey::default(), base).await;
        }
        let there = scan::remote(crew, &heading.remote, &filter, there_role, how).await?;
        return compare(crew, here, there, (base, &intents), heading, rules).await;
    }
    let there = scan::remote(crew, &heading.remote, &filter, there_role, how).await;
    let here: Survey = here.await?;
    let mut plan = compare(crew, here, there?, (base, &intents), heading, rules).await?;
    if let Some(kept) = kept {
        plan.learnt.retain(|(path, pair)| kept.get(&path[..]) != pair.as_ref());
    }
    Ok(plan)
}

async fn compare(
    crew: &mut Crew<'_>,
    mut here: Survey,
    mut there: Survey,
    (base, intents): (Option<&Base>, &Intents),
    heading: Heading,
    rules: Rules,
) -> Outcome<Plan> {
    there.withdraw(&here.own);
    let is_shown = there.tree.get(b"").is_some_and(|top| top.listed && top.shows_hidden);
    let is_claimed = there.is_claimed;
    let is_unclaimed = is_shown && !is_claimed;
    let mut left = Left { is_claimed, is_unclaimed, ..Left::default() };
    if heading.direction == Direction::Up && !there.asides.is_empty() {
        let known = base.into_iter().flat_map(Base::keys).map(Borrow::<[u8]>::borrow);
        let named = known.chain(intents.keys().map(Vec::as_slice));
        leftovers::find_names(&here, &mut there, &named, &mut left);
    }
    let target = if heading.direction == Direction::Up { &mut there } else { &mut here };
    let mut told = base.map(Cow::Borrowed);
    if let Some(told) = &mut told
        && !intents.is_empty()
    {
        let settled = intents::settle(intents, told, target, &heading);
        for (path, pair) in &settled.learnt {
            // An entry without a pair is gone.
            if pair.is_none() && told.contains_key(&path[..]) {
                told.to_mut().remove(&path[..]);
            }
        }
        target.ours = settled.ours;
        left.settled = settled.learnt;
    }
    let base = told.as_deref();
    left.listed = match heading.direction {
        Direction::Up => listed_beside(&here, &there),
        Direction::Down => listed_beside(&there, &here),
    };
    if heading.direction == Direction::Down {
        fold::settle(&mut there, &mut here, &heading.local)?;
        alias::settle(crew, &mut there, &mut here, base, &heading, &rules).await?;
    } else {
        alias::settle(crew, &mut here, &mut there, base, &heading, &rules).await?;
    }
    if rules.compare == Compare::Checksum {
        let links = rules.links(heading.direction);
        checksum::settle(crew, &mut here.tree, &there.tree, &heading, links).await?;
    }
    shift::settle(crew, &mut there, base, &heading, &rules).await?;
    times::settle(crew, &here, &mut there, base, &heading, &rules).await?;
    let source = match heading.direction {
        Direction::Up => &mut here,
        Direction::Down => &mut there,
    };
    keep_in_bounds(source, &rules.bounds)?;
    let (source, target) = match heading.direction {
        Direction::Up => (&here, &there),
        Direction::Down => (&there, &here),
    };
    let is_proven = rules.compare == Compare::Checksum;
    let mut plan = Plan { left, ..plan(source, target, base, heading, rules)? };
    if is_proven {
        plan.learnt = checksum::proven(&here.tree, &there.tree);
    }
    finish(crew, plan, source, target, base).await
}

/// Returns the names that `target` lists, as it spells them, in each directory that lacks something of `source`.
fn listed_beside(source: &Survey, target: &Survey) -> BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> {
    let lacks = source.tree.nodes().filter(|(path, _)| target.tree.get(path).is_none());
    let mut listed: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> =
        lacks.map(|(path, _)| (parent(path).to_vec(), BTreeSet::new())).collect();
    let left_out = target.left_out.iter().map(|(path, _)| &path[..]);
    for path in target.tree.nodes().map(|(path, _)| path).chain(left_out) {
        if let Some(names) = listed.get_mut(parent(path)) {
            names.insert(name_of(path).to_vec());
        }
    }
    listed
}

async fn finish(
    crew: &mut Crew<'_>,
    mut plan: Plan,
    source: &Survey,
    target: &Survey,
    base: Option<&Base>,
) -> Outcome<Plan> {
    doubt::settle(crew, &mut plan, source).await?;
    leave_free(&plan)?;
    tell(&crew.first().context().observer, &plan, source, target, base);
    Ok(plan)
}

/// Leaves out the files of the source that are out of bounds in size or time.
fn keep_in_bounds(source: &mut Survey, bounds: &Bounds) -> Outcome<()> {
    if *bounds == Bounds::default() {
        return Ok(());
    }
    let is_out = |tree: &Tree| -> Vec<Vec<u8>> {
        let files = tree.nodes().filter(|(_, node)| node.kind == NodeKind::File);
        let out = files.filter(|(_, node)| bounds.holds(node) != Some(true));
        out.map(|(path, _)| path.to_vec()).collect()
    };
    for path in is_out(&source.tree) {
        source.tree.remove(&path);
        source.leave_out(path, Why::Bounds)?;
    }
    Ok(())
}

/// Fails if the files to fetch would leave too little room on the local disk (S50).
fn leave_free(plan: &Plan) -> Outcome<()> {
    let Some(least) = plan.rules.caps.min_free else { return Ok(()) };
    if plan.heading.direction == Direction::Up || plan.counts.transfers == 0 {
        return Ok(());
    }
    let free = free_bytes(&plan.heading.local)?;
    let bytes = plan.counts.bytes;
    if free.checked_sub(bytes).is_some_and(|left| left >= least) {
        return Ok(());
    }
    let message = format!(
        "{bytes} bytes would come to a disk with {free} free, and `min_free` is {least}: nothing was changed"
    );
    let local = plan.heading.local.to_string_lossy();
    Err(Fault::new(Kind::Guard, Side::Here, message).at(local))
}

/// Logs the information that the plan itself does not show.
fn tell(observer: &Observer, plan: &Plan, source: &Survey, target: &Survey, base: Option<&Base>) {
    for (path, why) in source.left_out.iter().chain(&target.left_out) {
        observer.say(Level::Info, format!("{} {}: left alone", visible(path), why.text()));
    }
    for fault in &plan.faults {
        observer.say(Level::Error, fault.to_string());
    }
    if plan.counts.by_size > 0 {
        let count = plan.counts.by_size;
        let were = if count == 1 { "file was" } else { "files were" };
        let text = format!(
            "{count} {were} compared by size alone: the server tells no times in a known zone"
        );
        observer.warn_once(text);
    }
    let goes_by_time = matches!(plan.rules.compare, Compare::Auto | Compare::SizeTime);
    let is_known = plan.rules.compare == Compare::Auto && base.is_some_and(|base| !base.is_empty());
    if plan.rules.preserve_times && !plan.heading.keeps_times && goes_by_time && !is_known {
        let text = "the server sets no times: an older file of the same size is taken for the same";
        observer.warn_once(text);
    }
}
