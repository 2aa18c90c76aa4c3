//! The leases of one run: renewed while it lasts, released when it ends.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    Lease, MappingRequest, Via,
    ask::{self, Refusal},
    lease_journal::{JournalFile, JournalRecord, LeaseJournal, until},
    pcp,
};
use crate::gateway::Gateway;
use portolan_core::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
    limits::{LEASE_RETRY_MIN, RELEASE_TIME_MAX},
    observe::{EventEmitter, MessageLevel, format_duration},
};

/// The router's ports that are mapped to the host now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Each port, as the router granted it.
    pub leases: Vec<Lease>,
}

impl Mapped {
    /// Returns the result for `wish` in a rehearsal, which asks no router.
    pub fn rehearsed(wish: &MappingRequest) -> Self {
        let lease = |port: &u16| Lease {
            via: wish.via.unwrap_or(Via::Pcp),
            router: Ipv4Addr::LOCALHOST,
            ours: Ipv4Addr::LOCALHOST,
            internal: *port,
            external: *port,
            address: Ipv4Addr::LOCALHOST,
            time: Some(wish.time),
            nonce: [0; 3],
        };
        Self { leases: wish.ports.iter().map(lease).collect() }
    }

    /// Returns the router's external address.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.leases.first().map(|lease| lease.address)
    }
}

/// The leases of one request.
struct LeaseGroup {
    number: u64,
    leases: Vec<Lease>,
    /// The lease time to request.
    time: Duration,
    /// The time of the next renewal; `None` if the lease is permanent, or the router has not answered yet.
    renew_at: Option<Instant>,
    ends_at: Option<Instant>,
    is_given: bool,
    page: Option<JournalFile>,
}

#[derive(Default)]
struct LeaseState {
    groups: Vec<LeaseGroup>,
    made: u64,
    keeper: Option<JoinHandle<()>>,
}

struct LeaseShared {
    state: Mutex<LeaseState>,
    changed: Notify,
    over: CancelToken,
    observer: EventEmitter,
    clock: Clock,
}

/// The leases of a run. They are released by [`release`](Self::release), at the latest when this is dropped.
pub struct Leases {
    shared: Arc<LeaseShared>,
    book: Option<LeaseJournal>,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leases")
    }
}

impl Leases {
    /// Creates an empty set. Requests are recorded in `book`, so that a later run can release them after a crash.
    pub fn new(book: Option<LeaseJournal>, observer: EventEmitter, clock: Clock) -> Self {
        let (state, changed, over) = (Mutex::default(), Notify::new(), CancelToken::new());
        Self { shared: Arc::new(LeaseShared { state, changed, over, observer, clock }), book }
    }

    /// Asks the router for `wish` and keeps the leases. Fails with `nat.no_gateway`, `nat.no_mapping`,
    /// `nat.mapping_refused` or `nat.double_nat`.
    pub async fn map(&self, wish: &MappingRequest) -> Result<Mapped> {
        let gateway = Gateway::find()?;
        let nonce = pcp::new_nonce();
        let asked = planned(&gateway, wish, nonce);
        let page = self.note(&asked);
        // From here on, a cancelled request leaves something to release.
        let number = self.shared.add(asked, wish.time, page);
        match Box::pin(ask::map(&gateway, wish, nonce)).await {
            Ok(leases) => {
                self.shared.settle(number, &leases);
                self.keep()?;
                self.shared.tell(&leases);
                Ok(Mapped { leases })
            }
            Err(fault) => {
                self.shared.forget(number);
                Err(fault)
            }
        }
    }

    /// Returns all ports that are mapped to the host now.
    pub fn mapped(&self) -> Mapped {
        let state = self.shared.lock();
        let given = state.groups.iter().filter(|group| group.is_given);
        Mapped { leases: given.flat_map(|group| group.leases.clone()).collect() }
    }

    /// Releases all leases and waits a short time for that: mappings that the router does not release now expire, or
    /// are released by the next run.
    pub fn release(&self) {
        self.shared.over.set();
        let (keeper, is_left) = {
            let mut state = self.shared.lock();
            (state.keeper.take(), !state.groups.is_empty())
        };
        let keeper = match keeper {
            None if is_left => self.start().ok(),
            keeper => keeper,
        };
        if keeper.is_some_and(|keeper| keeper.join().is_err()) {
            tracing::error!(target: "portolan", "the keeper of port mappings has crashed");
        }
    }

    fn note(&self, leases: &[Lease]) -> Option<JournalFile> {
        let line = JournalRecord::new(leases.to_vec(), until(self.shared.now(), leases));
        match self.book.as_ref()?.begin(&line) {
            Ok(page) => Some(page),
            Err(fault) => {
                let text =
                    format!("port mappings are not noted, and a crash would leave them: {fault}");
                self.shared.observer.message_once(MessageLevel::Warn, text);
                None
            }
        }
    }

    /// Starts the renewal thread unless it runs: a script may be busy with other work for longer than a lease.
    fn keep(&self) -> Result<()> {
        let mut state = self.shared.lock();
        if state.keeper.is_none() {
            state.keeper = Some(self.start()?);
        }
        self.shared.changed.notify_one();
        Ok(())
    }

    fn start(&self) -> Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("leases".into()).spawn(move || shared.run());
        thread.map_err(|error| {
            let message = format!("cannot start a thread for port mappings: {error}");
            Error::new(ErrorKind::Local, Origin::Here, message)
        })
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.release();
    }
}

/// Returns the leases that a page records before the router has answered: one for each protocol that may succeed.
fn planned(gateway: &Gateway, wish: &MappingRequest, nonce: [u32; 3]) -> Vec<Lease> {
    let lease = |port, via| Lease {
        via,
        router: gateway.address,
        ours: gateway.ours,
        internal: port,
        external: port,
        address: Ipv4Addr::UNSPECIFIED,
        time: Some(wish.time),
        nonce,
    };
    let ways = Via::ALL.into_iter().filter(|via| wish.via.is_none_or(|only| only == *via));
    ways.flat_map(|via| wish.ports.iter().map(move |port| lease(*port, via))).collect()
}

impl LeaseShared {
    fn lock(&self) -> MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    fn add(&self, leases: Vec<Lease>, time: Duration, page: Option<JournalFile>) -> u64 {
        let mut state = self.lock();
        state.made += 1;
        let number = state.made;
        let (renew_at, ends_at) = (None, None);
        let is_given = false;
        state.groups.push(LeaseGroup { number, leases, time, renew_at, ends_at, is_given, page });
        number
    }

    /// Records that the router has granted `leases` for request `number`.
    fn settle(&self, number: u64, leases: &[Lease]) {
        let until = until(self.now(), leases);
        let mut state = self.lock();
        if let Some(group) = state.groups.iter_mut().find(|group| group.number == number) {
            group.leases = leases.to_vec();
            group.is_given = true;
            let shortest = leases.iter().filter_map(|lease| lease.time).min();
            group.renew_at = shortest.map(|time| Instant::now() + time / 2);
            group.ends_at = shortest.map(|time| Instant::now() + time);
            if let Some(page) = &mut group.page {
                let written = page.write(&JournalRecord::new(leases.to_vec(), until));
                written.unwrap_or_else(|fault| self.observer.warn(fault.to_string()));
            }
        }
    }

    fn forget(&self, number: u64) {
        let mut state = self.lock();
        if let Some(at) = state.groups.iter().position(|group| group.number == number) {
            state.groups.remove(at).page.into_iter().for_each(JournalFile::strike);
        }
    }

    fn tell(&self, leases: &[Lease]) {
        let Some(lease) = leases.first() else { return };
        let ports = leases.iter().map(|lease| lease.external.to_string()).collect::<Vec<_>>();
        let time = lease.time.map_or("until it is told otherwise".into(), |time| {
            format!("for {}", format_duration(time))
        });
        let text = format!(
            "the router {} lets port {} of {} in to this machine {time} ({})",
            lease.router,
            ports.join(", "),
            lease.address,
            lease.via.as_str()
        );
        self.observer.message(MessageLevel::Info, text);
    }

    /// Runs the renewal thread.
    fn run(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(async {
                self.renew_until_over().await;
                self.give_all_back().await;
            }),
            Err(error) => {
                tracing::error!(target: "portolan", "no port mapping is renewed: {error}");
            }
        }
    }

    async fn renew_until_over(&self) {
        loop {
            let next = self.lock().groups.iter().filter_map(|group| group.renew_at).min();
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.over.wait() => return,
                () = self.changed.notified() => {}
                () = due => {
                    let renewed = self.over.run_until_cancelled(self.renew_due()).await;
                    if renewed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn renew_due(&self) {
        let now = Instant::now();
        let due: Vec<_> = {
            let state = self.lock();
            let due =
                state.groups.iter().filter(|group| group.renew_at.is_some_and(|at| at <= now));
            due.map(|group| (group.number, group.leases.clone(), group.time)).collect()
        };
        for (number, leases, time) in due {
            match renew_all(&leases, time).await {
                Ok(renewed) => self.settle(number, &renewed),
                Err(fault) => self.put_off(number, &fault),
            }
        }
    }

    /// Schedules another attempt after a failed renewal, at half of the remaining time while there is any.
    fn put_off(&self, number: u64, fault: &Error) {
        let mut state = self.lock();
        let Some(at) = state.groups.iter().position(|group| group.number == number) else { return };
        let Some(group) = state.groups.get_mut(at) else { return };
        let left = group.ends_at.map(|end| end.saturating_duration_since(Instant::now()));
        if let Some(left) = left.filter(|left| *left > LEASE_RETRY_MIN) {
            group.renew_at = Some(Instant::now() + (left / 2).max(LEASE_RETRY_MIN));
            tracing::debug!(target: "portolan", "a port mapping is not renewed yet: {fault}");
            return;
        }
        state.groups.remove(at).page.into_iter().for_each(JournalFile::strike);
        self.observer.warn(format!("the router's ports no longer lead here: {}", fault.message));
    }

    async fn give_all_back(&self) {
        let groups = std::mem::take(&mut self.lock().groups);
        let all: Vec<_> = groups.iter().flat_map(|group| group.leases.clone()).collect();
        let given = tokio::time::timeout(RELEASE_TIME_MAX, ask::give_back(&all)).await;
        let stay: Vec<_> = match given {
            Ok(stay) => stay.into_iter().filter(|(_, why)| *why == Refusal::NoAnswer).collect(),
            Err(_) => all.into_iter().map(|lease| (lease, Refusal::NoAnswer)).collect(),
        };
        for group in groups {
            let stays = |lease: &Lease| stay.iter().any(|(other, _)| other == lease);
            let is_left = group.leases.iter().any(stays) && group.is_given;
            // A page that is kept is found by the next run: its lock ends here.
            match group.page {
                Some(page) if !is_left => page.strike(),
                page => drop(page),
            }
            if is_left {
                let text =
                    "the router did not answer to be told that its ports are not needed any more";
                self.observer.message(MessageLevel::Info, text);
            }
        }
    }
}

async fn renew_all(leases: &[Lease], time: Duration) -> Result<Vec<Lease>> {
    let gateway = Gateway::find()?;
    let mut renewed = Vec::new();
    for lease in leases {
        renewed.push(ask::renew(&gateway, lease, time).await?);
    }
    Ok(renewed)
}

/// Releases the leases of earlier runs that ended without doing so. Leases of another network than the present one wait
/// until the host is there again or they expire. Takes no longer than its time limit, even if routers do not answer.
pub fn reap(book: &LeaseJournal, clock: &Clock) {
    let started = Instant::now();
    let orphans = book.orphans();
    if orphans.is_empty() {
        return;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::warn!(target: "portolan", "port mappings of earlier runs stay: {error}");
            return;
        }
    };
    let gateway = Gateway::find().ok();
    let now = clock.now().as_second();
    let is_here = |lease: &Lease| {
        let here = gateway.as_ref().map(|gateway| (gateway.address, gateway.ours));
        here == Some((lease.router, lease.ours))
    };
    for (page, line) in orphans {
        let is_over = line.until.is_some_and(|until| until <= now);
        let left = RELEASE_TIME_MAX.saturating_sub(started.elapsed());
        let is_settled = is_over
            || line.leases.iter().all(is_here)
                && runtime.block_on(is_given_back(&line.leases, left));
        if is_settled {
            page.strike();
        }
    }
}

/// Returns true if `leases` need no further attempt after trying to release them within `time`.
async fn is_given_back(leases: &[Lease], time: Duration) -> bool {
    match tokio::time::timeout(time, ask::give_back(leases)).await {
        Ok(stay) => stay.iter().all(|(_, why)| *why != Refusal::NoAnswer),
        Err(_) => false,
    }
}
