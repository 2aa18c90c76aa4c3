//! A confirmation before local files are deleted because a server's listing does not show them.
//!
//! A listing that is truncated after a line end looks complete (class C20). The entries that it does not show are
//! queried by name, many in one packet, without a data connection that could be cut, and together with a file that the
//! listing does show: a command that does not report that one proves nothing about the others.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    endpoints::{Direction, place},
    exact_times::packets,
    plan::{Action, MirrorPlan},
    pool::{JobQueue, QueueHandle, SessionPool},
    tree::{NodeKind, ScanResult, above, parent},
};
use crate::{
    error::{Error, ErrorKind, Result},
    ftp::{
        absence_check::{Absent, Presence, Present},
        session::Session,
    },
};

/// The maximum number of queries per path.
const QUESTIONS_MAX: usize = 4;

/// Removes from `plan` the deletes of entries that the server has after all, and adds a fault for each.
pub(super) async fn confirm_deletes(
    crew: &mut SessionPool<'_>,
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
    // Each is queried by four commands at most.
    let packet_bytes = QUESTIONS_MAX * ("MLST /\r\n".len() + top.as_bytes().len());
    let paths = going.keys().cloned().collect();
    let waiting = packets(paths, |path| packet_bytes + QUESTIONS_MAX * path.len());
    let mut questions = AbsenceBatch { waiting, ..AbsenceBatch::default() };
    let ask = async |session: &mut Session, packet: Vec<Vec<u8>>, _: QueueHandle<'_, '_, _>| {
        let answers = async {
            let absent = packet
                .iter()
                .map(|path| Ok(Absent { path: place(&top, path)?, is_folder: is_folder(path) }));
            session.presence(&absent.collect::<Result<Vec<_>>>()?, &present).await
        };
        let answers = answers.await;
        vec![(packet, answers)]
    };
    crew.run(&mut questions, ask).await?;
    for (path, is_seen) in &questions.there {
        let message = if *is_seen {
            "the server has it, though its listing does not show it: it is not deleted"
        } else {
            "its listing does not show it, and the server does not tell whether it has it: it is not deleted"
        };
        plan.faults.push(Error::protocol(message).at(place(&top, path)?.to_string()));
    }
    let there = questions.there;
    let is_there = |path: &[u8]| {
        there.contains_key(path) || above(path).any(|folder| there.contains_key(folder))
    };
    let before = plan.steps.len();
    plan.steps.retain(|step| !(step.act.is_delete() && is_there(&step.path)));
    plan.counts.deletes -= (before - plan.steps.len()) as u64;
    Ok(())
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

/// The paths to query, in packets, and those that the server may have.
#[derive(Default)]
struct AbsenceBatch {
    waiting: Vec<Vec<Vec<u8>>>,
    /// The paths that may exist, each with true if the server reported it to exist.
    there: BTreeMap<Vec<u8>, bool>,
}

impl JobQueue for AbsenceBatch {
    type Job = Vec<Vec<u8>>;
    type Found = Vec<Presence>;

    fn next(&mut self) -> Option<Self::Job> {
        self.waiting.pop()
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn give_back(&mut self, packet: Self::Job) {
        self.waiting.push(packet);
    }

    fn done(&mut self, packet: Self::Job, answers: Result<Self::Found>) -> Result<()> {
        match answers {
            Ok(answers) => {
                let asked = packet.into_iter().zip(answers);
                let there = asked.filter(|(_, presence)| *presence != Presence::Gone);
                self.there.extend(there.map(|(path, found)| (path, found == Presence::There)));
            }
            // Entries that a server does not report on stay.
            Err(fault)
                if matches!(
                    fault.kind,
                    ErrorKind::Protocol | ErrorKind::Refused | ErrorKind::Unsupported
                ) =>
            {
                self.there.extend(packet.into_iter().map(|path| (path, false)));
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }
}
