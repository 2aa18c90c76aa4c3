//! Plans of real directories: both sides are scanned, and then compared.

use std::{
    borrow::{Borrow, Cow},
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    checksum, clock_shift, confirm_absent,
    diff::plan_with,
    endpoints::{Direction, Endpoints},
    exact_times,
    filter::Filter,
    intents, local_hash, name_aliases, name_collisions,
    options::{Compare, MirrorOptions},
    plan::{Action, Leftover, MirrorPlan},
    pool::SessionPool,
    scan::{self, Role},
    scan_local,
    stale_temps::{self, StaleTemps},
    state::{Loaded, MirrorState},
    sync_base::{Intents, SyncBase},
    trash,
    tree::{ScanResult, name_of, parent},
    trusted_state,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::{EventEmitter, MessageLevel, visible::visible},
};
use portolan_fs::free_bytes;
use portolan_remote::fs::RemoteFs;

/// The maximum number of entries left out by default that a message names.
const LEFT_OUT_NAMED_MAX: usize = 5;

/// Scans both sides at the same time, and returns the plan.
pub(super) async fn build_plan(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    heading: Endpoints,
    rules: &MirrorOptions,
    ledger: &mut MirrorState,
    leftovers: &Arc<StaleTemps>,
) -> Result<MirrorPlan> {
    let mut rules = rules.clone();
    let filter =
        Arc::new(trash::reserve(rules.filter(&heading.local)?, &heading, rules.trash.as_deref())?);
    let (here_role, there_role) = match heading.direction {
        Direction::Up => (Role::Source, Role::Target),
        Direction::Down => (Role::Target, Role::Source),
    };
    let (observer, stop) = (crew.first().observer().clone(), crew.first().stop().clone());
    let Loaded { base, intents, doubt } = ledger.load(crew.first()).await?;
    // If bytes are compared, the base is not consulted; the results are kept for the runs that follow.
    let (base, kept) = match rules.compare {
        Compare::Checksum => (None, base),
        _ => (base, None),
    };
    if let Some((level, doubt)) = doubt.filter(|_| rules.compare != Compare::Checksum) {
        observer.message(level, consequence(&doubt, &rules));
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
        let (leftovers, stop) = (Arc::clone(leftovers), stop);
        let (links, encoding) = (rules.links(heading.direction), heading.remote.encoding());
        let deploy = rules.deploy.clone();
        move || {
            let top = (&*local, links);
            let mut here = scan_local::local(top, &filter, here_role, &leftovers, &stop)?;
            if let Some(rules) = &deploy {
                rules.keep_tracked(&mut here);
            }
            here.keep_to(encoding, here_role);
            if let Some(base) = base.filter(|base| !base.is_empty()) {
                local_hash::hash_changed_files(&mut here, top, &base, &stop)?;
            }
            Result::Ok(here)
        }
    });
    let here = async {
        here.await.map_err(|error| {
            Error::new(ErrorKind::Local, Origin::Here, "the folder could not be scanned")
                .with_source(error)
        })?
    };
    let base = base.as_deref();
    let how = scan::How { leftovers, follow_links: rules.follow_links, expected };
    // If a run was interrupted, the state is not what the server has.
    if rules.trust_state && heading.direction == Direction::Up && intents.is_empty() {
        let mut here = here.await?;
        let trusted = trusted_state::plan(crew, &mut here, base, &filter, &heading, &rules).await?;
        if let Some(plan) = trusted {
            return finish(crew, plan, &here, &ScanResult::default(), base).await;
        }
        let there = scan::remote(crew, &heading.remote, &filter, there_role, how).await?;
        let bases = (base, kept.as_deref(), &intents);
        return compare(crew, here, there, bases, &filter, heading, rules).await;
    }
    let there = scan::remote(crew, &heading.remote, &filter, there_role, how).await;
    let here: ScanResult = here.await?;
    let bases = (base, kept.as_deref(), &intents);
    let mut plan = compare(crew, here, there?, bases, &filter, heading, rules).await?;
    if let Some(kept) = kept {
        plan.learnt.retain(|(path, pair)| kept.get(&path[..]) != pair.as_ref());
    }
    Ok(plan)
}

async fn compare(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    mut here: ScanResult,
    mut there: ScanResult,
    (base, kept, intents): (Option<&SyncBase>, Option<&SyncBase>, &Intents),
    filter: &Filter,
    heading: Endpoints,
    rules: MirrorOptions,
) -> Result<MirrorPlan> {
    there.withdraw(&here.own);
    let is_shown = there.tree.get(b"").is_some_and(|top| top.listed && top.shows_hidden);
    let is_claimed = there.is_claimed;
    let is_unclaimed = is_shown && !is_claimed;
    let mut left = Leftover { is_claimed, is_unclaimed, ..Leftover::default() };
    if heading.direction == Direction::Up && !there.asides.is_empty() {
        let known = base.into_iter().flat_map(SyncBase::keys).map(Borrow::<[u8]>::borrow);
        let named = known.chain(intents.keys().map(Vec::as_slice));
        stale_temps::find_names(&here, &mut there, &named, &mut left);
    }
    let target = if heading.direction == Direction::Up { &mut there } else { &mut here };
    let mut told = base.map(Cow::Borrowed);
    if let Some(told) = &mut told
        && !intents.is_empty()
    {
        let settled = intents::settle(intents, told, target, filter, &heading);
        for (path, pair) in &settled.learnt {
            // An entry without a pair is gone.
            if pair.is_none() && told.contains_key(&path[..]) {
                told.to_mut().remove(&path[..]);
            }
        }
        target.ours = settled.ours;
        (left.settled, left.open) = (settled.learnt, settled.open);
    }
    let base = told.as_deref();
    left.listed = match heading.direction {
        Direction::Up => listed_beside(&here, &there),
        Direction::Down => listed_beside(&there, &here),
    };
    if heading.direction == Direction::Down {
        name_collisions::drop_colliding(&mut there, &mut here, &heading.local)?;
        name_aliases::resolve_aliases(crew, &mut there, &mut here, base, &heading, rules.delete)
            .await?;
    } else {
        name_aliases::resolve_aliases(crew, &mut here, &mut there, base, &heading, rules.delete)
            .await?;
    }
    if rules.compare == Compare::Checksum {
        let links = rules.links(heading.direction);
        checksum::compare_by_hash(crew, &mut here.tree, &there.tree, &heading, links).await?;
    }
    let comparison = rules.comparison();
    if comparison.compare == Compare::Auto {
        clock_shift::undo_clock_shift(crew, &mut there, base, &heading).await?;
    }
    exact_times::fetch_exact_times(crew, &here, &mut there, base, &heading, comparison).await?;
    let source = match heading.direction {
        Direction::Up => &mut here,
        Direction::Down => &mut there,
    };
    rules.bounds.apply(source)?;
    let (source, target) = match heading.direction {
        Direction::Up => (&here, &there),
        Direction::Down => (&there, &here),
    };
    left.open.extend(intents::left_out(source, target));
    let is_proven = rules.compare == Compare::Checksum;
    let plan = plan_with((source, target), base, base.or(kept), Some(filter), heading, rules)?;
    let mut plan = MirrorPlan { left, ..plan };
    if is_proven {
        plan.learnt = checksum::proven(&here.tree, &there.tree);
    }
    finish(crew, plan, source, target, base).await
}

/// Returns the names that `target` lists, as it spells them, in each directory that lacks something of `source`.
fn listed_beside(source: &ScanResult, target: &ScanResult) -> BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> {
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
    crew: &mut SessionPool<'_, impl RemoteFs>,
    mut plan: MirrorPlan,
    source: &ScanResult,
    target: &ScanResult,
    base: Option<&SyncBase>,
) -> Result<MirrorPlan> {
    confirm_absent::confirm_deletes(crew, &mut plan, source).await?;
    check_free_space(&plan)?;
    tell(crew.first().observer(), &plan, source, target, base);
    Ok(plan)
}

/// Fails if the files to fetch would leave too little room on the local disk (S50).
fn check_free_space(plan: &MirrorPlan) -> Result<()> {
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
    Err(Error::new(ErrorKind::Guard, Origin::Here, message).at(local))
}

/// Logs the information that the plan itself does not show.
fn tell(
    observer: &EventEmitter,
    plan: &MirrorPlan,
    source: &ScanResult,
    target: &ScanResult,
    base: Option<&SyncBase>,
) {
    for (path, why) in source.left_out.iter().chain(&target.left_out) {
        observer
            .message(MessageLevel::Info, format!("{} {}: left alone", visible(path), why.text()));
    }
    if plan.rules.deploy.is_some() {
        tell_of_deployment(observer, plan, source);
    } else {
        tell_of_secrets(observer, plan);
    }
    for fault in &plan.faults {
        observer.message(MessageLevel::Error, fault.to_string());
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
    let is_mirror = plan.rules.deploy.is_none();
    if plan.rules.preserve_times
        && !plan.heading.keeps_times
        && goes_by_time
        && !is_known
        && is_mirror
    {
        let text = "the server sets no times: an older file of the same size is taken for the same";
        observer.warn_once(text);
    }
}

/// Returns the message about a `doubt` whether the base is complete.
fn consequence(doubt: &str, rules: &MirrorOptions) -> String {
    let then = if rules.delete { ", and nothing is deleted in this run" } else { "" };
    let how = match rules.deploy {
        Some(_) => "every file is sent",
        None => "files are compared by size and time",
    };
    format!("{doubt}: {how}{then}")
}

/// Warns of a history or of secrets that a mirror is about to send for the first time: few web servers hide them.
fn tell_of_secrets(observer: &EventEmitter, plan: &MirrorPlan) {
    let sent = plan.steps.iter().filter(|step| matches!(step.act, Action::Put(_)));
    let named: BTreeSet<_> = sent.filter_map(|step| secret_part(&step.path)).map(visible).collect();
    if !named.is_empty() {
        let named: Vec<_> = named.into_iter().take(LEFT_OUT_NAMED_MAX).collect();
        let text = format!(
            "{} will be on the server: `--exclude '.git*' --exclude '.env*'` leaves such files out, as `portolan deploy` does",
            named.join(", ")
        );
        observer.message_once(MessageLevel::Warn, text);
    }
}

/// Returns the part of `path` up to a history or a file of secrets, at any depth; `None` if it names neither.
fn secret_part(path: &[u8]) -> Option<&[u8]> {
    let mut start = 0;
    for name in path.split(|byte| *byte == b'/') {
        let end = start + name.len();
        if name == b".git" || name.starts_with(b".env") {
            return path.get(..end);
        }
        start = end + 1;
    }
    None
}

/// Logs what a deployment leaves out by itself, and what it leaves alone on the server.
fn tell_of_deployment(observer: &EventEmitter, plan: &MirrorPlan, source: &ScanResult) {
    let out: Vec<_> = source.by_default.iter().map(visible).collect();
    if !out.is_empty() {
        let more = if out.len() > LEFT_OUT_NAMED_MAX { ", …" } else { "" };
        let named = out.get(..LEFT_OUT_NAMED_MAX).unwrap_or(&out).join(", ");
        let text =
            format!("left out by default: {named}{more} (`--no-default-excludes` sends them)");
        observer.message_once(MessageLevel::Info, text);
    }
    let unknown = plan.counts.unknown;
    if unknown > 0 && plan.rules.delete {
        let are = if unknown == 1 {
            "file that no deployment put there stays"
        } else {
            "files that no deployment put there stay"
        };
        let text = format!("{unknown} {are} (`--delete-unknown` deletes such files)");
        observer.message_once(MessageLevel::Info, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_or_secrets_are_found_at_any_depth() {
        for (path, part) in [
            (".git/config", Some(".git")),
            (".env", Some(".env")),
            ("app/.env.local", Some("app/.env.local")),
            ("lib/x/.git/HEAD", Some("lib/x/.git")),
            (".gitignore", None),
            ("a.env/b.git/c", None),
        ] {
            assert_eq!(secret_part(path.as_bytes()), part.map(str::as_bytes), "{path}");
        }
    }
}
