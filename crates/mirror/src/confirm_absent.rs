//! A confirmation before local files are deleted because a server's listing does not show them.
//!
//! A listing that is truncated after a line end looks complete (class C20). The entries that it does not show are
//! queried by name, many in one packet, without a data connection that could be cut, and together with a file that the
//! listing does show: a command that does not report that one proves nothing about the others.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    batch_query::{BatchQuery, batches},
    endpoints::{Direction, place},
    plan::{Action, MirrorPlan},
    pool::SessionPool,
    tree::{NodeKind, ScanResult, above, parent},
};
use portolan_core::error::{Error, ErrorKind, Result};
use portolan_remote::{
    facts::{Absent, Presence, Present},
    fs::{Query, RemoteFs},
};

/// Removes from `plan` the deletes of entries that the server has after all, and adds a fault for each.
pub(super) async fn confirm_deletes<R: RemoteFs>(
    crew: &mut SessionPool<'_, R>,
    plan: &mut MirrorPlan,
    there: &ScanResult,
) -> Result<()> {
    if plan.heading.direction == Direction::Up {
        return Ok(());
    }
    let top = plan.heading.remote.clone();
    let going = tops(plan);
    if going.is_empty() {
        return Ok(());
    }
    let mut files = there.tree.nodes().filter(|(_, node)| node.kind == NodeKind::File);
    let file = files.next().map(|(path, _)| place(&top, path)).transpose()?;
    let present = Present { folder: top.clone(), file };
    let is_folder = |path: &Vec<u8>| going.get(path) == Some(&true);
    let paths = going.keys().cloned().collect();
    let waiting = batches(crew.first(), Query::Presence, &top, paths);
    let ask = async |session: &mut R, packet: &Vec<Vec<u8>>, _: bool| {
        let absent = packet
            .iter()
            .map(|path| Ok(Absent { path: place(&top, path)?, is_folder: is_folder(path) }));
        session.presence(&absent.collect::<Result<Vec<_>>>()?, &present).await
    };
    let BatchQuery { answers, failed, .. } =
        BatchQuery::ask(crew, waiting, |fault| !tells_nothing(fault), ask).await?;
    let answers = answers.into_iter().flat_map(|(packet, found)| packet.into_iter().zip(found));
    let there = answers.filter(|(_, presence)| *presence != Presence::Gone);
    let there = there.map(|(path, presence)| (path, presence == Presence::There));
    // Entries that a server does not report on stay.
    let unknown = failed.into_iter().flat_map(|(packet, _)| packet).map(|path| (path, false));
    let there: BTreeMap<_, _> = there.chain(unknown).collect();
    for (path, is_seen) in &there {
        let message = if *is_seen {
            "the server has it, though its listing does not show it: it is not deleted"
        } else {
            "its listing does not show it, and the server does not tell whether it has it: it is not deleted"
        };
        plan.faults.push(Error::protocol(message).at(place(&top, path)?.to_string()));
    }
    let is_there = |path: &[u8]| {
        there.contains_key(path) || above(path).any(|folder| there.contains_key(folder))
    };
    let before = plan.steps.len();
    plan.steps.retain(|step| !(step.act.is_delete() && is_there(&step.path)));
    plan.counts.deletes -= (before - plan.steps.len()) as u64;
    Ok(())
}

/// Returns true if the fault means that the server does not tell whether it has an entry.
const fn tells_nothing(fault: &Error) -> bool {
    matches!(fault.kind, ErrorKind::Protocol | ErrorKind::Refused | ErrorKind::Unsupported)
}

/// Returns the paths that are to be deleted while their directories stay, except those that something else replaces;
/// with true for directories.
fn tops(plan: &MirrorPlan) -> BTreeMap<Vec<u8>, bool> {
    let steps = |is_delete| plan.steps.iter().filter(move |step| step.act.is_delete() == is_delete);
    let going: BTreeMap<_, _> =
        steps(true).map(|step| (&step.path[..], step.act == Action::DeleteFolder)).collect();
    let coming: BTreeSet<_> = steps(false).map(|step| &step.path[..]).collect();
    let is_top = |path: &[u8]| !going.contains_key(parent(path)) && !coming.contains(path);
    let tops = going.iter().filter(|(path, _)| is_top(path));
    tops.map(|(path, is_folder)| (path.to_vec(), *is_folder)).collect()
}
