//! A second opinion before anything is deleted here on the word of a server's listing.
//!
//! A listing that is cut behind a line end looks whole (class C20). What it does not show is asked for by name, many in
//! one packet, without a data connection that could be cut.

use std::collections::BTreeSet;

use super::{
    crew::{Crew, Feed, Work},
    plan::{Direction, Plan},
    scan::place,
    times::packets,
    tree::{above, parent},
};
use crate::{
    fault::{Fault, Kind, Outcome},
    ftp::session::Session,
};

/// Takes from `plan` the deletes of what the server has after all, and says so in its faults.
pub(super) async fn settle(crew: &mut Crew<'_>, plan: &mut Plan) -> Outcome<()> {
    if plan.heading.direction == Direction::Up {
        return Ok(());
    }
    let top = plan.heading.remote.clone();
    // Each is asked for by two commands at most.
    let packet_bytes = 2 * ("MLST /\r\n".len() + top.as_bytes().len());
    let waiting = packets(tops(plan), |path| packet_bytes + 2 * path.len());
    let mut questions = Questions { waiting, ..Questions::default() };
    let ask = async |session: &mut Session, packet: Vec<Vec<u8>>, _: Feed<'_, '_, _>| {
        let answers = async {
            let places: Outcome<Vec<_>> = packet.iter().map(|path| place(&top, path)).collect();
            session.may_be_there(&places?).await
        };
        let answers = answers.await;
        vec![(packet, answers)]
    };
    crew.run(&mut questions, ask).await?;
    for path in &questions.there {
        let message = "the server has it, though its listing does not show it: it is not deleted";
        plan.faults.push(Fault::protocol(message).at(place(&top, path)?.to_string()));
    }
    let there = questions.there;
    let is_there =
        |path: &[u8]| there.contains(path) || above(path).any(|folder| there.contains(folder));
    let before = plan.steps.len();
    plan.steps.retain(|step| !(step.act.is_delete() && is_there(&step.path)));
    plan.counts.deletes -= (before - plan.steps.len()) as u64;
    Ok(())
}

/// The paths that are to go while their folders stay, less those that something else takes the place of.
fn tops(plan: &Plan) -> Vec<Vec<u8>> {
    let paths = |is_delete| {
        let steps = plan.steps.iter().filter(move |step| step.act.is_delete() == is_delete);
        steps.map(|step| &step.path[..])
    };
    let (going, coming): (BTreeSet<_>, BTreeSet<_>) =
        (paths(true).collect(), paths(false).collect());
    let is_top = |path: &&&[u8]| !going.contains(parent(path)) && !coming.contains(**path);
    going.iter().filter(is_top).map(|path| path.to_vec()).collect()
}

/// Paths to ask for, in packets, and those that the server may have.
#[derive(Default)]
struct Questions {
    waiting: Vec<Vec<Vec<u8>>>,
    there: BTreeSet<Vec<u8>>,
}

impl Work for Questions {
    type Job = Vec<Vec<u8>>;
    type Found = Vec<bool>;

    fn next(&mut self) -> Option<Self::Job> {
        self.waiting.pop()
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn give_back(&mut self, packet: Self::Job) {
        self.waiting.push(packet);
    }

    fn done(&mut self, packet: Self::Job, answers: Outcome<Self::Found>) -> Outcome<()> {
        match answers {
            Ok(answers) => {
                let asked = packet.into_iter().zip(answers);
                self.there.extend(asked.filter(|(_, may_be)| *may_be).map(|(path, _)| path));
            }
            // What a server does not tell stays.
            Err(fault) if matches!(fault.kind, Kind::Protocol | Kind::Refused) => {
                self.there.extend(packet);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }
}
