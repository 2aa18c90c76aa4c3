//! The connections to the store that requests share. SQLite blocks, so they are used on threads of their own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    store::{Store, StorePlace},
};

/// The number of requests that use the store at a time; others wait.
const CONCURRENT_MAX: usize = 4;
/// The maximum time that a request waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A pool of connections to the store.
#[derive(Debug)]
pub(super) struct StorePool {
    /// The state folder.
    pub(super) folder: PathBuf,
    /// The place of the store.
    pub(super) place: StorePlace,
    idle: Mutex<Vec<Store>>,
    turns: Semaphore,
}

impl StorePool {
    pub(super) fn new(folder: PathBuf, place: StorePlace) -> Arc<Self> {
        let turns = Semaphore::new(CONCURRENT_MAX);
        Arc::new(Self { folder, place, idle: Mutex::default(), turns })
    }

    /// Runs `work` with the store of this host, which has what its sessions have learned.
    pub(super) async fn with_own<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if !self.place.is_shared() {
            return self.with(work).await;
        }
        let folder = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut Store::open(&folder)?));
        done.await.map_err(|error| failed(&error))?
    }

    /// Runs `work` with a connection.
    pub(super) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let busy = |_| Error::new(ErrorKind::Busy, Origin::Here, "too many requests at a time");
        let turn = timeout(WAIT_MAX, self.turns.acquire()).await.map_err(busy)?;
        let pool = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut store = idle.map_or_else(|| pool.place.open(), Ok)?;
            let result = work(&mut store);
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(store);
            result
        });
        let done = done.await.map_err(|error| failed(&error));
        drop(turn);
        done?
    }
}

fn failed(error: &tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Local, Origin::Here, format!("the request failed: {error}"))
}
