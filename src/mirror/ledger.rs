//! The ledger of one mirror: where its base is kept, and how what is done gets into it.

use std::{path::Path, sync::Arc};

use super::{
    hashed::hash_of,
    plan::{Direction, Heading, Plan},
    rules::{Compare, Rules},
};
use crate::{
    clock::Clock,
    fault::{Fault, Kind, Outcome, Side},
    files::Root,
    ftp::{
        base::{Base, BaseMemory, Pair, Sides},
        session::Session,
    },
    limits::{COPY_BYTES, MIRROR_FRESH_TIME, MIRROR_NOTE_FILES},
    stop::Stop,
};

/// Where the base of one mirror is kept, and what has not got there yet.
#[derive(Debug)]
pub(super) struct Ledger {
    place: Place,
    clock: Clock,
    waiting: Vec<(Vec<u8>, Option<Pair>)>,
}

#[derive(Debug)]
enum Place {
    /// Nowhere: sides are compared by what they are.
    Nowhere,
    /// With all that is remembered on this machine.
    Here(Arc<dyn BaseMemory>, Sides),
}

impl Ledger {
    /// The ledger of the mirror that `heading` names.
    pub(super) fn of(session: &Session, heading: &Heading, rules: &Rules) -> Self {
        let site = session.site();
        let context = session.context();
        let place = match &context.bases {
            Some(memory) if rules.compare == Compare::Auto => {
                // One folder has many paths; a folder that is not there yet has the one it will be made by.
                let local = heading.local.canonicalize();
                let local = local.or_else(|_| std::path::absolute(&heading.local));
                let sides = Sides {
                    host: site.host.to_ascii_lowercase(),
                    port: site.port,
                    user: site.user.clone(),
                    remote: heading.remote.clone(),
                    local: local.unwrap_or_else(|_| heading.local.clone()),
                };
                Place::Here(Arc::clone(memory), sides)
            }
            _ => Place::Nowhere,
        };
        Self { place, clock: context.clock.clone(), waiting: Vec::new() }
    }

    /// Whether anything is kept at all.
    pub(super) const fn is_kept(&self) -> bool {
        !matches!(self.place, Place::Nowhere)
    }

    /// What the last run left; nothing where nothing is kept.
    pub(super) fn load(&self) -> Option<Base> {
        match &self.place {
            Place::Nowhere => None,
            Place::Here(memory, sides) => Some(memory.base(sides)),
        }
    }

    /// Notes what one file now is on both sides, or that it is on neither.
    pub(super) fn note(&mut self, path: &[u8], pair: Option<Pair>) {
        if !self.is_kept() {
            return;
        }
        self.waiting.push((path.to_vec(), pair.map(|pair| self.settled(pair))));
        if self.waiting.len() >= MIRROR_NOTE_FILES {
            self.flush();
        }
    }

    /// Notes what the scans of `plan` have told. Files of this machine whose bytes nobody has read yet are read now, if
    /// they are what is sent: so the next run knows them under any time.
    pub(super) async fn learn(&mut self, plan: &Plan, session: &Session) -> Outcome<()> {
        if !self.is_kept() || plan.learnt.is_empty() {
            return Ok(());
        }
        let mut learnt = plan.learnt.clone();
        if plan.heading.direction == Direction::Up {
            let (local, stop) = (plan.heading.local.clone(), session.context().stop.clone());
            let read = move || read_all(learnt, &local, &stop);
            learnt = tokio::task::spawn_blocking(read).await.map_err(|error| {
                Fault::new(Kind::Local, Side::Here, "the files could not be read").because(error)
            })??;
        }
        for (path, pair) in learnt {
            self.note(&path, pair);
        }
        Ok(())
    }

    /// Brings what waits to its place.
    pub(super) fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        match &self.place {
            Place::Here(memory, sides) if !waiting.is_empty() => memory.note(sides, &waiting),
            _ => {}
        }
    }

    /// `pair`, less a time that is so new that the file could change again under it.
    fn settled(&self, pair: Pair) -> Pair {
        let fresh_us = i64::try_from(MIRROR_FRESH_TIME.as_micros()).unwrap_or(0);
        let limit = self.clock.now().as_microsecond() - fresh_us;
        let local_us = pair.local_us.filter(|time| *time <= limit || pair.hash.is_none());
        Pair { local_us, ..pair }
    }
}

fn read_all(
    mut learnt: Vec<(Vec<u8>, Option<Pair>)>,
    local: &Path,
    stop: &Stop,
) -> Outcome<Vec<(Vec<u8>, Option<Pair>)>> {
    let root = Root::open(local)?;
    let mut buffer = vec![0; COPY_BYTES];
    for (path, pair) in &mut learnt {
        if let Some(pair) = pair.as_mut().filter(|pair| pair.hash.is_none()) {
            pair.hash = hash_of(&root, path, &mut buffer, stop)?;
        }
    }
    Ok(learnt)
}
