//! A second opinion before anything is deleted here on the word of a server's listing.
//!
//! A listing that is cut behind a line end looks whole (class C20). What it does not show is asked for by name, with
//! MLST, which has no data connection that could be cut.

use std::collections::BTreeSet;

use super::{
    crew::{Crew, Feed, Work},
    plan::{Direction, Plan},
    scan::place,
    tree::{above, parent},
};
use crate::{
    fault::{Fault, Outcome},
    ftp::session::Session,
};

/// Takes from `plan` the deletes of what the server has after all, and says so in its faults.
pub(super) async fn settle(crew: &mut Crew<'_>, plan: &mut Plan) -> Outcome<()> {
    let has_mlst = ["MLST", "MLSD"].iter().any(|name| crew.first().features().contains_key(*name));
    if plan.heading.direction == Direction::Up || !has_mlst {
        return Ok(());
    }
    let mut questions = Questions { waiting: tops(plan), ..Questions::default() };
    let top = plan.heading.remote.clone();
    let ask = async |session: &mut Session, path: Vec<u8>, _: Feed<'_, '_, _>| {
        let answer = async {
            let line = [b"MLST ", place(&top, &path)?.as_bytes()].concat();
            Ok(session.quote(&line).await?.code)
        };
        let answer = answer.await;
        vec![(path, answer)]
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

/// Paths to ask for, and those that the server has.
#[derive(Default)]
struct Questions {
    waiting: Vec<Vec<u8>>,
    there: BTreeSet<Vec<u8>>,
}

impl Work for Questions {
    type Job = Vec<u8>;
    type Found = u16;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.waiting.pop()
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn give_back(&mut self, path: Vec<u8>) {
        self.waiting.push(path);
    }

    fn done(&mut self, path: Vec<u8>, answer: Outcome<u16>) -> Outcome<()> {
        // 5yz: it is not there, or MLST is not. What may pass (4yz) leaves it open, and then it stays.
        if answer? / 100 != 5 {
            self.there.insert(path);
        }
        Ok(())
    }
}
