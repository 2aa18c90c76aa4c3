//! The claim of one run on a directory of a server: of two runs at the same time, one proceeds and the other gets an
//! error.
//!
//! A claim is a directory in the target, `.portolan-lock`, since MKD creates a directory for only one of several
//! clients. It contains an empty directory whose name identifies the owner: host, process, start time and owner tag.
//! That directory is recreated about every minute; its age, by the server's own clock, shows whether the owner is
//! alive. A run that has not renewed its claim for long is over, and so is one of the local host whose process is gone:
//! its claim is taken over. A run that finds its own claim gone gives no more files their names.
//!
//! A claim is taken if all files get their names together (`staged`) or if the base is on the server: other mirrors
//! would pay a round trip for it. They respect a claim that they see.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    endpoints::{Direction, Endpoints, place},
    own_files::CLAIM_FOLDER,
    pass_options::StatePolicy,
    stale_temps::StaleTemps,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::{MessageLevel, visible::visible},
    random::random_u64,
};
use portolan_fs::OwnerTag;
use portolan_remote::{
    entry::{Entry, EntryKind, Modified},
    fs::RemoteFs,
    path::RemotePath,
};

/// The age at which a claim that was not renewed has expired: a live run renews it at least between two files.
const CLAIM_AGE_MAX: Duration = Duration::from_mins(15);
/// The interval after which a claim is renewed at the next opportunity.
const CLAIM_RENEW_TIME: Duration = Duration::from_mins(1);
/// The wait for a run that has created the directory but not its content yet: both are requested in one packet.
const CLAIM_EMPTY_WAIT: Duration = Duration::from_secs(2);
/// The format of a time in a name.
const FORM: &str = "%Y%m%dT%H%M%SZ";

/// The claim of a run; clones share it. An empty one is for runs that need none.
#[derive(Debug, Clone, Default)]
pub(super) struct TargetLock(Option<Arc<HeldLock>>);

#[derive(Debug)]
struct HeldLock {
    folder: RemotePath,
    owner: LockOwner,
    state: Mutex<LockShared>,
}

#[derive(Debug)]
struct LockShared {
    /// The directory in it whose name identifies the owner, if the server creates directories in it.
    name: Option<RemotePath>,
    renewed: Instant,
}

/// The owner of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LockOwner {
    host: String,
    /// The identity of a host while it is up: derived from the boot, the PID namespace and the user.
    machine: String,
    process: u32,
    mark: String,
    since: Timestamp,
    /// The time of the last renewal, by the clock of the owner's host.
    renewed: Timestamp,
}

/// The state of a claim that was found.
#[derive(Debug, PartialEq, Eq)]
enum LockState {
    /// Its run is alive, or may be.
    Alive,
    /// Its run is over, for the reason given.
    Over(String),
}

impl TargetLock {
    /// Takes the claim that a run with this `policy` needs. Fails with `busy` if another run has it and is alive;
    /// continues without one if the server creates no directories.
    pub(super) async fn take(
        session: &mut impl RemoteFs,
        heading: &Endpoints,
        policy: StatePolicy,
        leftovers: &StaleTemps,
    ) -> Result<Self> {
        if heading.direction == Direction::Down || !policy.wants_lock {
            return Ok(Self::default());
        }
        let folder = place(&heading.remote, CLAIM_FOLDER)?;
        let owner = LockOwner::new(session.now(), leftovers.mark());
        let (mut is_top_there, mut lost) = (false, None);
        for _ in 0..3 {
            let name = folder.join(owner.name().as_bytes())?;
            let made = match session.make_now(&[folder.clone(), name.clone()]).await {
                Ok(made) => made,
                Err(fault) if fault.kind == ErrorKind::Interrupted => {
                    session.remove_at_last(&[name, folder]).await;
                    return Err(fault);
                }
                // The next round shows how much of it was done.
                Err(fault) => {
                    lost = Some(fault);
                    continue;
                }
            };
            let is_named = made.get(1).is_some_and(Result::is_ok);
            let Some(Err(refused)) = made.into_iter().next() else {
                return Ok(Self::held(folder, owner, is_named.then_some(name)));
            };
            let seen = look(session, &folder).await?;
            if is_named && lost.is_none() {
                // It was created in the claim of another run.
                session.remove_at_last(std::slice::from_ref(&name)).await;
            }
            match seen {
                SeenLock::Owners(mut entries) => {
                    let all = entries.len();
                    entries.retain(|(found, _)| !found.is_same(&owner));
                    if lost.is_some() && entries.is_empty() && all > 0 {
                        // The reply was lost, but not the effect of the command.
                        return Ok(Self::held(folder, owner, Some(name)));
                    }
                    if take_over(session, &folder, &entries, &owner, leftovers).await? {
                        let made = session.make_now(std::slice::from_ref(&name)).await?;
                        let is_named = made.iter().all(Result::is_ok);
                        return Ok(Self::held(folder, owner, is_named.then_some(name)));
                    }
                }
                SeenLock::Nothing if is_top_there => {
                    let text = format!(
                        "other runs are not kept out: no folder can be made there: {refused}"
                    );
                    session.observer().message(MessageLevel::Info, text);
                    return Ok(Self::default());
                }
                SeenLock::Nothing => {
                    // The target itself may be missing, and is created by this run anyway.
                    session.mkdir(&heading.remote).await?;
                    is_top_there = true;
                }
            }
        }
        Err(lost.unwrap_or_else(|| {
            busy(&folder, "another run is taking or leaving the claim on this folder")
        }))
    }

    /// Respects a claim that a scan has seen in the target of a run that has none.
    pub(super) async fn respect(
        session: &mut impl RemoteFs,
        heading: &Endpoints,
        leftovers: &StaleTemps,
    ) -> Result<()> {
        let folder = place(&heading.remote, CLAIM_FOLDER)?;
        let owner = LockOwner::new(session.now(), leftovers.mark());
        if let SeenLock::Owners(entries) = look(session, &folder).await?
            && take_over(session, &folder, &entries, &owner, leftovers).await?
        {
            session.remove_at_last(&[folder]).await;
        }
        Ok(())
    }

    fn held(folder: RemotePath, owner: LockOwner, name: Option<RemotePath>) -> Self {
        let state = Mutex::new(LockShared { name, renewed: Instant::now() });
        Self(Some(Arc::new(HeldLock { folder, owner, state })))
    }

    /// Returns true if a claim is held.
    pub(super) const fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Renews the claim if that is due. Fails if another run has taken it.
    pub(super) async fn renew(&self, session: &mut impl RemoteFs) -> Result<()> {
        let Some(held) = &self.0 else { return Ok(()) };
        let Some((new, old)) = held.next(session.now())? else { return Ok(()) };
        match session.replace_folder(&new, &old).await {
            Err(fault) if matches!(fault.kind, ErrorKind::NotFound | ErrorKind::Refused) => {
                session.remove_at_last(&[new]).await;
                let text = "another run took over the claim on this folder, since this one was not heard of for long: no \
                            more files get their names";
                Err(Error::new(ErrorKind::Guard, Origin::Server, text).at(held.folder.to_string()))
            }
            renewed => renewed,
        }
    }

    /// Releases the claim, however the run ended.
    pub(super) async fn release(self, session: &mut impl RemoteFs) {
        let Some(held) = self.0 else { return };
        let name = held.state.lock().unwrap_or_else(PoisonError::into_inner).name.clone();
        let folders: Vec<_> = name.into_iter().chain([held.folder.clone()]).collect();
        if !session.remove_at_last(&folders).await {
            let minutes = CLAIM_AGE_MAX.as_secs() / 60;
            let text = format!(
                "the claim on this folder may stay on the server for {minutes} minutes: {}",
                held.folder
            );
            session.observer().warn(text);
        }
    }
}

impl HeldLock {
    /// Returns the new and the old name for a renewal, if one is due.
    fn next(&self, now: Timestamp) -> Result<Option<(RemotePath, RemotePath)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.renewed.elapsed() < CLAIM_RENEW_TIME {
            return Ok(None);
        }
        let owner = LockOwner { renewed: now, ..self.owner.clone() };
        let new = self.folder.join(owner.name().as_bytes())?;
        state.renewed = Instant::now();
        let Some(old) = state.name.replace(new.clone()) else {
            state.name = None;
            return Ok(None);
        };
        Ok((new != old).then_some((new, old)))
    }
}

/// The findings at the path of a claim.
enum SeenLock {
    /// No claim, as far as the server shows.
    Nothing,
    /// A claim, with its owners according to the directories in it, each with its time.
    Owners(Vec<(LockOwner, Option<Modified>)>),
}

async fn look(session: &mut impl RemoteFs, folder: &RemotePath) -> Result<SeenLock> {
    match session.list(folder).await {
        Ok(listing) => {
            let owners = listing.entries.iter().filter_map(owner_of);
            Ok(SeenLock::Owners(owners.collect()))
        }
        Err(fault) if matches!(fault.kind, ErrorKind::NotFound | ErrorKind::Refused) => {
            Ok(SeenLock::Nothing)
        }
        Err(fault) => Err(fault),
    }
}

fn owner_of(entry: &Entry) -> Option<(LockOwner, Option<Modified>)> {
    let owner = LockOwner::read(&entry.name).filter(|_| entry.kind == EntryKind::Dir)?;
    Some((owner, entry.modified))
}

/// Removes a claim whose run is over. Fails with `busy` if the run may be alive; returns false if another run was
/// faster.
async fn take_over(
    session: &mut impl RemoteFs,
    folder: &RemotePath,
    owners: &[(LockOwner, Option<Modified>)],
    ours: &LockOwner,
    leftovers: &StaleTemps,
) -> Result<bool> {
    let Some((owner, time)) = owners.iter().max_by_key(|(owner, _)| owner.renewed) else {
        // It was created a moment ago, or left by a run that was killed between two commands.
        session.stop().run_until_cancelled(tokio::time::sleep(CLAIM_EMPTY_WAIT)).await?;
        if let SeenLock::Owners(owners) = look(session, folder).await?
            && owners.is_empty()
        {
            session.remove_at_last(std::slice::from_ref(folder)).await;
        }
        return Ok(false);
    };
    let age = match time {
        Some(time) => age_there(session, folder, *time).await?,
        None => None,
    };
    let is_ours = owner.mark == ours.mark && leftovers.is_alone();
    match judge(owner, ours, is_ours, age) {
        LockState::Alive => {
            let LockOwner { host, process, since, .. } = owner;
            let text = format!(
                "another run is at work in this folder since {since} (process {process} on {}): nothing was changed; try \
                 again when it is done, or remove this folder if it is not",
                visible(host.as_bytes())
            );
            Err(busy(folder, &text))
        }
        LockState::Over(why) => {
            let names: Result<Vec<_>> =
                owners.iter().map(|(owner, _)| folder.join(owner.name().as_bytes())).collect();
            let mut is_first = true;
            for name in names? {
                is_first &= session.rmdir(&name).await.is_ok();
            }
            if is_first {
                let text = format!(
                    "{folder}: taken over from a run on {} that is over: {why}",
                    owner.host
                );
                session.observer().warn(text);
            }
            Ok(is_first)
        }
    }
}

/// Judges whether the run of `owner` may be alive, whose claim was renewed `age` ago by the server's clock.
fn judge(
    owner: &LockOwner,
    ours: &LockOwner,
    is_ours: bool,
    age: Option<SignedDuration>,
) -> LockState {
    if is_ours {
        return LockState::Over("no other run of this mirror is alive on this machine".into());
    }
    let is_here = owner.machine == ours.machine;
    if is_here && !Path::new("/proc").join(owner.process.to_string()).exists() {
        return LockState::Over(format!("its process {} is gone", owner.process));
    }
    // The clocks of both hosts decide if the server lists no times.
    let age = age.unwrap_or_else(|| ours.renewed.duration_since(owner.renewed));
    if age > SignedDuration::try_from(CLAIM_AGE_MAX).unwrap_or(SignedDuration::MAX) {
        return LockState::Over(format!("it was last heard of {} minutes ago", age.as_mins()));
    }
    LockState::Alive
}

/// Returns the time that has passed since `time` by the clock of the server, which is read from a directory created for
/// that.
async fn age_there(
    session: &mut impl RemoteFs,
    folder: &RemotePath,
    time: Modified,
) -> Result<Option<SignedDuration>> {
    let name = format!("ask-{:016x}", random_u64());
    let probe = folder.join(name.as_bytes())?;
    let made = session.make_now(std::slice::from_ref(&probe)).await?;
    if made.iter().any(Result::is_err) {
        return Ok(None);
    }
    let listing = session.list(folder).await;
    session.remove_at_last(&[probe]).await;
    let listing = listing?;
    let now = listing.entries.iter().find(|entry| entry.name == name.as_bytes());
    Ok(now.and_then(|entry| entry.modified).and_then(|now| apart(now, time)))
}

/// Returns the time from `then` to `now`, both by one clock.
fn apart(now: Modified, then: Modified) -> Option<SignedDuration> {
    match (now, then) {
        (Modified::Utc(now, _), Modified::Utc(then, _)) => Some(now.duration_since(then)),
        (Modified::Server(now, _), Modified::Server(then, _)) => Some(now.duration_since(then)),
        _ => None,
    }
}

fn busy(folder: &RemotePath, text: &str) -> Error {
    Error::new(ErrorKind::Busy, Origin::Server, text).at(folder.to_string())
}

impl LockOwner {
    fn new(now: Timestamp, mark: &OwnerTag) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let host = read("/proc/sys/kernel/hostname");
        let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let user = rustix::process::getuid().as_raw();
        let boot = read("/proc/sys/kernel/random/boot_id");
        let machine = format!("{boot}\n{}\n{user}", space.display());
        Self {
            host: if host.is_empty() {
                "unknown".into()
            } else {
                host.chars().map(plain).take(60).collect()
            },
            machine: OwnerTag::of(machine.as_bytes()).text().to_owned(),
            process: std::process::id(),
            mark: mark.text().to_owned(),
            since: now,
            renewed: now,
        }
    }

    /// Returns the name of the directory that identifies the owner.
    fn name(&self) -> String {
        let Self { host, machine, process, mark, since, renewed } = self;
        let time = |time: &Timestamp| time.strftime(FORM).to_string();
        format!("{host}.{machine}.{process}.{mark}.{}.{}", time(since), time(renewed))
    }

    fn read(name: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(name).ok()?.split('.');
        let time = |word: &str| {
            let time = DateTime::strptime(FORM, word).ok()?;
            TimeZone::UTC.to_timestamp(time).ok()
        };
        let host = words.next()?.to_owned();
        let machine = OwnerTag::read(words.next()?)?.text().to_owned();
        let process = words.next()?.parse().ok()?;
        let mark = OwnerTag::read(words.next()?)?.text().to_owned();
        let (since, renewed) = (time(words.next()?)?, time(words.next()?)?);
        let owner = Self { host, machine, process, mark, since, renewed };
        words.next().is_none().then_some(owner)
    }

    /// Returns true if both are the same run, regardless of renewals.
    fn is_same(&self, other: &Self) -> bool {
        let run = |owner: &Self| {
            (owner.machine.clone(), owner.process, owner.mark.clone(), owner.since.as_second())
        };
        run(self) == run(other)
    }
}

/// Returns `c` if it is valid in a name on any server, otherwise a hyphen; a dot separates the parts of a name.
const fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> LockOwner {
        LockOwner::new(Timestamp::from_second(1_780_000_000).unwrap(), &OwnerTag::random())
    }

    #[test]
    fn who_has_a_claim_is_read_from_the_name_that_tells_it() {
        let owner = owner();
        assert_eq!(LockOwner::read(owner.name().as_bytes()), Some(owner.clone()));
        let renewed =
            LockOwner { renewed: Timestamp::from_second(1_780_000_090).unwrap(), ..owner.clone() };
        assert_ne!(renewed.name(), owner.name());
        assert!(LockOwner::read(renewed.name().as_bytes()).unwrap().is_same(&owner));
        for name in ["", "a", "..", "ask-0123456789abcdef", "a.b.c.d.e.f", "\u{e9}.x"] {
            assert_eq!(LockOwner::read(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_claim_is_over_when_its_process_is_gone_or_it_is_old_and_else_alive() {
        let ours = owner();
        let other = LockOwner { machine: OwnerTag::random().text().into(), ..owner() };
        let gone = LockOwner { process: u32::MAX - 1, ..owner() };
        let mins = SignedDuration::from_mins;
        for (owner, is_ours, age, is_over) in [
            (&other, false, Some(mins(0)), false),
            (&other, false, Some(mins(14)), false),
            (&other, false, Some(mins(16)), true),
            // No times on the server: the clocks of both hosts decide.
            (&other, false, None, false),
            (&LockOwner { renewed: ours.renewed - mins(16), ..other.clone() }, false, None, true),
            // A clock that is ahead proves nothing.
            (&other, false, Some(mins(-600)), false),
            (&gone, false, Some(mins(0)), true),
            (
                &LockOwner { machine: other.machine.clone(), ..gone.clone() },
                false,
                Some(mins(0)),
                false,
            ),
            // This process is alive.
            (&ours, false, Some(mins(1)), false),
            (&ours, true, Some(mins(0)), true),
        ] {
            let found = judge(owner, &ours, is_ours, age);
            assert_eq!(found != LockState::Alive, is_over, "{owner:?} {age:?}");
        }
    }
}
