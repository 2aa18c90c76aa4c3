//! The ledger of one mirror: where its base is kept, and how what is done gets into it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    hashed::hash_of,
    intents::OnServer,
    leftovers, manifest,
    plan::{Direction, Heading, Plan},
    rules::{Compare, Rules, StateIn},
    scan::place,
};
use crate::{
    clock::Clock,
    fault::{Fault, Kind, Outcome, Side},
    files::{Links, Root},
    ftp::{
        base::{Base, BaseMemory, Intents, Pair, Sides},
        path::{RelativePath, RemotePath},
        session::Session,
        transfer::Text,
    },
    limits::{
        COPY_BYTES, MIRROR_FRESH_TIME, MIRROR_NOTE_FILES, MIRROR_STATE_TIME, STATE_BYTES_MAX,
    },
    observe::Level,
    stop::Stop,
};

/// The file on the server that holds the base where it is kept there.
pub(super) const STATE_FILE: &[u8] = b".portolan-state";

/// The file on the server that holds what a run is about to do. Its name is a temporary one, which every version leaves
/// alone.
const JOURNAL_FILE: &[u8] = b".portolan-intents.part";

/// Where the base of one mirror is kept, and what has not got there yet.
#[derive(Debug)]
pub(super) struct Ledger {
    place: Place,
    clock: Clock,
    waiting: Vec<(Vec<u8>, Option<Pair>)>,
}

#[derive(Debug)]
pub(super) enum Place {
    /// Nowhere: sides are compared by what they are.
    Nowhere,
    /// With all that is remembered on this machine.
    Here(Arc<dyn BaseMemory>, Sides),
    /// On the server.
    There(There),
}

/// A base on the server.
#[derive(Debug)]
pub(super) struct There {
    folder: RemotePath,
    file: RemotePath,
    base: Arc<Base>,
    written: Instant,
    pub(super) journal: Arc<Mutex<OnServer>>,
}

/// A base as it was found.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// What the last run left; nothing where nothing is kept.
    pub(super) base: Option<Arc<Base>>,
    /// What runs were about to do that are over.
    pub(super) intents: Intents,
    /// Why it may not be the whole truth, so that nothing is deleted in this run, and how much of a surprise that is.
    pub(super) doubt: Option<(Level, String)>,
}

impl Ledger {
    /// The ledger of the mirror that `heading` names.
    pub(super) fn of(session: &Session, heading: &Heading, rules: &Rules) -> Outcome<Self> {
        let context = session.context();
        let place = match (&context.bases, rules.state) {
            // By size and time alone nothing is proven that the next run could rely on.
            _ if !matches!(rules.compare, Compare::Auto | Compare::Checksum) => Place::Nowhere,
            (_, StateIn::Remote) => Place::There(There {
                folder: heading.remote.clone(),
                file: place(&heading.remote, STATE_FILE)?,
                base: Arc::default(),
                written: Instant::now(),
                journal: Arc::new(Mutex::new(OnServer::new(
                    heading.remote.clone(),
                    place(&heading.remote, JOURNAL_FILE)?,
                ))),
            }),
            (None, _) => Place::Nowhere,
            (Some(memory), _) => {
                let sides = leftovers::sides(session, heading);
                Place::Here(Arc::clone(memory), sides)
            }
        };
        Ok(Self { place, clock: context.clock.clone(), waiting: Vec::new() })
    }

    /// Where the base is kept.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether anything is kept at all.
    pub(super) const fn is_kept(&self) -> bool {
        !matches!(self.place, Place::Nowhere)
    }

    /// What the last run left.
    pub(super) async fn load(&mut self, session: &mut Session) -> Outcome<Loaded> {
        let there = match &mut self.place {
            Place::Nowhere => return Ok(Loaded::default()),
            Place::Here(memory, sides) => {
                let base = Some(Arc::new(memory.base(sides)));
                return Ok(Loaded { base, intents: memory.intents(sides), doubt: None });
            }
            Place::There(there) => there,
        };
        let journal = there.journal.lock().unwrap_or_else(PoisonError::into_inner).file().clone();
        let read = session.read_if_there_and(&there.file, &journal, STATE_BYTES_MAX).await;
        let (found, is_journal) = match read {
            Err(fault) if fault.kind == Kind::Invalid => {
                let text = format!("the state on the server ({}) is not read: {fault}", there.file);
                let (base, doubt) = (Arc::clone(&there.base), Some((Level::Warn, text)));
                return Ok(Loaded { base: Some(base), intents: Intents::new(), doubt });
            }
            found => found?,
        };
        let intents =
            if is_journal { there.intents(session, &journal).await? } else { Intents::new() };
        let doubt = if let Some(bytes) = found {
            match manifest::read(&bytes, &there.folder) {
                Ok(base) => {
                    there.base = Arc::new(base);
                    None
                }
                Err(why) => {
                    let text = format!("the state on the server ({}) {}", there.file, why.text());
                    Some((Level::Warn, text))
                }
            }
        } else {
            // As it is before the first run.
            Some((Level::Info, format!("there is no state on the server yet ({})", there.file)))
        };
        Ok(Loaded { base: Some(Arc::clone(&there.base)), intents, doubt })
    }

    /// Notes what one file now is on both sides, or that it is on neither.
    pub(super) fn note(&mut self, path: &[u8], pair: Option<Pair>) {
        if !self.is_kept() {
            return;
        }
        let pair = pair.map(|pair| self.settled(pair));
        if let Place::There(there) = &self.place {
            there.journal.lock().unwrap_or_else(PoisonError::into_inner).settle(path);
            if there.base.get(path) == pair.as_ref() {
                return;
            }
        }
        self.waiting.push((path.to_vec(), pair));
        if let Place::Here(memory, sides) = &self.place
            && self.waiting.len() >= MIRROR_NOTE_FILES
        {
            memory.note(sides, &std::mem::take(&mut self.waiting));
        }
    }

    /// Notes what the scans of `plan` have told. Files of this machine whose bytes nobody has read yet are read now, if
    /// they are what is sent: so the next run knows them under any time.
    pub(super) async fn learn(&mut self, plan: &Plan, session: &Session) -> Outcome<()> {
        if !self.is_kept() {
            return Ok(());
        }
        for (path, pair) in &plan.left.settled {
            self.note(path, *pair);
        }
        // What is meant to be done from here on stands on it.
        if let Place::Here(memory, sides) = &self.place
            && !self.waiting.is_empty()
        {
            memory.note(sides, &std::mem::take(&mut self.waiting));
        }
        if plan.learnt.is_empty() {
            return Ok(());
        }
        let mut learnt = plan.learnt.clone();
        if plan.heading.direction == Direction::Up {
            let (local, stop) = (plan.heading.local.clone(), session.context().stop.clone());
            let links = plan.rules.links(plan.heading.direction);
            let read = move || read_all(learnt, (&local, links), &stop);
            learnt = tokio::task::spawn_blocking(read).await.map_err(|error| {
                Fault::new(Kind::Local, Side::Here, "the files could not be read").because(error)
            })??;
        }
        for (path, pair) in learnt {
            self.note(&path, pair);
        }
        Ok(())
    }

    /// Says that nothing is open of what was intended: all of it was done, or needed not be.
    pub(super) fn settle_all(&mut self) {
        match &self.place {
            Place::Nowhere => {}
            Place::Here(memory, sides) => memory.settle(sides),
            Place::There(there) => {
                there.journal.lock().unwrap_or_else(PoisonError::into_inner).settle_all();
            }
        }
    }

    /// Whether it is time to bring what waits to the server, so that a run that is killed has not done it for nothing.
    pub(super) fn is_due(&self) -> bool {
        let Place::There(there) = &self.place else { return false };
        // A tenth of the whole: what is written over and over stays a few times the whole.
        let many = MIRROR_NOTE_FILES.max(there.base.len() / 10);
        self.waiting.len() >= many
            || !self.waiting.is_empty() && there.written.elapsed() >= MIRROR_STATE_TIME
    }

    /// Brings what waits to its place.
    pub(super) async fn flush(&mut self, session: &mut Session) -> Outcome<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let there = match &mut self.place {
            Place::Here(memory, sides) if !waiting.is_empty() => {
                memory.note(sides, &waiting);
                return Ok(());
            }
            Place::Nowhere | Place::Here(..) => return Ok(()),
            Place::There(there) => there,
        };
        if !waiting.is_empty() {
            there.write(session, waiting).await?;
        }
        // All that it says is in the base now.
        let is_over = there.journal.lock().unwrap_or_else(PoisonError::into_inner).is_over();
        let file = there.journal.lock().unwrap_or_else(PoisonError::into_inner).file().clone();
        if !is_over {
            return Ok(());
        }
        match session.delete(&file).await {
            Err(fault) if fault.kind == Kind::Interrupted => Err(fault),
            Err(fault) => {
                // It says nothing that the base does not say.
                session.context().observer.say(Level::Info, format!("{file} stays: {fault}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// `pair`, less a time that is so new that the file could change again under it, or that means nothing where the
    /// pair is kept.
    fn settled(&self, pair: Pair) -> Pair {
        if let Place::There(_) = self.place {
            return Pair { local_us: None, ..pair };
        }
        let local_us = pair.local_us.filter(|time| {
            pair.hash.is_none()
                || *time <= self.clock.now().as_microsecond() - us(MIRROR_FRESH_TIME)
        });
        Pair { local_us, ..pair }
    }
}

impl There {
    /// What a run left in the journal that was cut off.
    async fn intents(&self, session: &mut Session, file: &RemotePath) -> Outcome<Intents> {
        let Some(bytes) = session.read_if_there(file, STATE_BYTES_MAX).await? else {
            return Ok(Intents::new());
        };
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match manifest::read_intents(&bytes, &self.folder) {
            Ok(intents) => {
                journal.found(intents.clone());
                Ok(intents)
            }
            Err(why) => {
                journal.found(Intents::new());
                let text =
                    format!("what a run was about to do that was cut off ({file}) {}", why.text());
                session.context().observer.warn(text);
                Ok(Intents::new())
            }
        }
    }

    /// Writes the base with `changes`.
    async fn write(
        &mut self,
        session: &mut Session,
        changes: Vec<(Vec<u8>, Option<Pair>)>,
    ) -> Outcome<()> {
        let there = self;
        let base = Arc::make_mut(&mut there.base);
        for (path, pair) in changes {
            match pair {
                Some(pair) => base.insert(RelativePath::parse(path)?, pair),
                None => base.remove(&path[..]),
            };
        }
        let bytes = manifest::write(&there.base, &there.folder);
        there.written = Instant::now();
        let size = bytes.len() as u64;
        session.upload(&mut Text::new(&bytes), size, None, &there.file).await.map(drop)
    }
}

fn us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn read_all(
    mut learnt: Vec<(Vec<u8>, Option<Pair>)>,
    (local, links): (&Path, Links),
    stop: &Stop,
) -> Outcome<Vec<(Vec<u8>, Option<Pair>)>> {
    let root = Root::open_with(local, links)?;
    let mut buffer = vec![0; COPY_BYTES];
    for (path, pair) in &mut learnt {
        if let Some(pair) = pair.as_mut().filter(|pair| pair.hash.is_none()) {
            pair.hash = hash_of(&root, path, &mut buffer, stop)?;
        }
    }
    Ok(learnt)
}
