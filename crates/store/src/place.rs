//! The place of a store: the state folder of this host, or a server that several machines share.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

#[cfg(feature = "postgres")]
use super::{PostgresSettings, postgres, server_fault};
use super::{Store, StoreNews};
use portolan_core::{error::Result, secret::Secret};

/// A listener for what other processes write. It ends when it is dropped.
#[derive(Debug)]
pub struct StoreListener(#[cfg(feature = "postgres")] postgres::NotificationListener);

impl StoreListener {
    /// Listens for what is meant for the leader, or no longer does.
    pub fn set_leader(&self, is_leader: bool) {
        #[cfg(feature = "postgres")]
        self.0.set_leader(is_leader);
        #[cfg(not(feature = "postgres"))]
        let _ = is_leader;
    }
}

/// The place of a store.
#[derive(Debug, Clone)]
pub enum StorePlace {
    /// The state folder.
    Folder(PathBuf),
    /// A PostgreSQL server.
    #[cfg(feature = "postgres")]
    Server(Box<PostgresSettings>),
}

impl StorePlace {
    /// Returns true for a text that is meant as the address of a server.
    pub fn is_server(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Returns the place at the address of a server. The password is that of the address, or else `password`, or that in the
    /// file `passfile`. Fails with `invalid` for an address that cannot be used, and with `unsupported` if this portolan was
    /// built without PostgreSQL.
    #[cfg(feature = "postgres")]
    pub fn server(
        address: &str,
        password: Option<&Secret>,
        passfile: Option<&Path>,
    ) -> Result<Self> {
        let mut settings = PostgresSettings::parse(address)?;
        if let Some(password) = password {
            settings.set_password(password.reveal());
        }
        if let Some(file) = passfile {
            settings.read_passfile(file)?;
        }
        Ok(Self::Server(Box::new(settings)))
    }

    /// Fails with `unsupported`: this portolan was built without PostgreSQL.
    #[cfg(not(feature = "postgres"))]
    pub fn server(_: &str, _: Option<&Secret>, _: Option<&Path>) -> Result<Self> {
        use portolan_core::error::{Error, ErrorKind, Origin};
        let message = "this portolan was built without PostgreSQL (its feature `postgres`), and has a store in a file only";
        Err(Error::new(ErrorKind::Unsupported, Origin::Here, message))
    }

    /// Returns true if several machines share it.
    pub const fn is_shared(&self) -> bool {
        !matches!(self, Self::Folder(_))
    }

    /// Returns true if it has a password.
    pub fn has_password(&self) -> bool {
        match self {
            Self::Folder(_) => false,
            #[cfg(feature = "postgres")]
            Self::Server(settings) => settings.has_password(),
        }
    }

    /// Returns the same place with a lower time limit of calls to a server.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        match self {
            Self::Folder(folder) => Self::Folder(folder),
            #[cfg(feature = "postgres")]
            Self::Server(settings) => Self::Server(Box::new(settings.within(time))),
        }
    }

    /// Starts to listen for what others tell the worker of this name; `None` if the store is a file of this host. `tell` is
    /// called with all news.
    pub fn listen(
        &self,
        worker: &str,
        tell: impl Fn(StoreNews) + Send + Sync + 'static,
    ) -> Result<Option<StoreListener>> {
        match self {
            Self::Folder(_) => Ok(None),
            #[cfg(feature = "postgres")]
            Self::Server(settings) => postgres::NotificationListener::start(settings, worker, tell)
                .map(|listening| Some(StoreListener(listening)))
                .map_err(|error| server_fault("listen to the store", settings.place(), error)),
        }
    }

    /// Opens the store.
    pub fn open(&self) -> Result<Store> {
        match self {
            Self::Folder(folder) => Store::open(folder),
            #[cfg(feature = "postgres")]
            Self::Server(settings) => Store::connect(settings),
        }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            #[cfg(feature = "postgres")]
            Self::Server(settings) => f.write_str(settings.place()),
        }
    }
}
