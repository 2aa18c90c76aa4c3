//! The place of the state on a server: in the mirrored directory, or for deployments in a directory beside it, which a
//! web server does not offer to visitors.

use super::{endpoints::place, own_files::STATE_FILE};
use portolan_core::{
    error::{ErrorKind, Result},
    limits::STATE_BYTES_MAX,
    observe::MessageLevel,
};
use portolan_remote::{fs::RemoteFs, path::RemotePath, source_sink::MemorySource};

/// The beginning of the name of the directory beside a deployed one.
const HOME_PREFIX: &[u8] = b".portolan-deploy-";
/// The directory in a deployed one, where the server makes none beside it.
const HOME_INSIDE: &[u8] = b".portolan-deploy";
/// The permissions of the directory: its owner alone enters it.
const HOME_MODE: u32 = 0o700;
/// The permissions of the state: its owner alone reads it.
const STATE_MODE: u32 = 0o600;

/// Returns the directory beside the deployed directory `top` that holds what portolan keeps of it; `None` if there is
/// nothing beside it.
pub fn home_beside(top: &RemotePath) -> Result<Option<RemotePath>> {
    if top.is_root() {
        return Ok(None);
    }
    top.parent().join(&[HOME_PREFIX, top.name()].concat()).map(Some)
}

/// Returns the directory in the deployed directory `top` that takes its place on a server that makes none beside it.
pub fn home_inside(top: &RemotePath) -> Result<RemotePath> {
    top.join(HOME_INSIDE)
}

/// The file of a state on a server.
#[derive(Debug)]
pub(super) struct StateFile {
    /// The directory beside the mirrored one, as long as the server takes the state there.
    home: Option<RemotePath>,
    /// The file in the mirrored directory.
    inside: RemotePath,
    /// True if only its owner may read it (mode 600).
    is_private: bool,
    /// True if the directory beside the mirrored one is known to exist.
    is_home_made: bool,
    /// True if there is a file in the mirrored directory that the one beside it replaces.
    is_to_be_moved: bool,
}

impl StateFile {
    /// Returns the file of the state of the directory `top`.
    pub(super) fn of(top: &RemotePath, deploys: bool) -> Result<Self> {
        let home = if deploys { home_beside(top)? } else { None };
        Ok(Self {
            home,
            inside: place(top, STATE_FILE)?,
            is_private: deploys,
            is_home_made: false,
            is_to_be_moved: false,
        })
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> Result<RemotePath> {
        match &self.home {
            Some(home) => home.join(STATE_FILE),
            None => Ok(self.inside.clone()),
        }
    }

    /// Returns the content of the file, or of the older one in the mirrored directory, and true if `other`, which is in
    /// that directory, may exist as well.
    pub(super) async fn read(
        &mut self,
        session: &mut impl RemoteFs,
        other: &RemotePath,
    ) -> Result<(Option<Vec<u8>>, bool)> {
        let beside = match &self.home {
            Some(_) => {
                let file = self.path()?;
                session.read_if_there_and(&file, &file, STATE_BYTES_MAX).await?.0
            }
            None => None,
        };
        self.is_home_made = beside.is_some();
        let (inside, is_other) =
            session.read_if_there_and(&self.inside, other, STATE_BYTES_MAX).await?;
        self.is_to_be_moved = inside.is_some() && self.home.is_some();
        Ok((beside.or(inside), is_other))
    }

    /// Writes the content of the file.
    pub(super) async fn write(&mut self, session: &mut impl RemoteFs, bytes: &[u8]) -> Result<()> {
        self.make_home(session).await?;
        let file = self.path()?;
        let size = bytes.len() as u64;
        session.upload(&mut MemorySource::new(bytes), size, None, &file).await?;
        if self.is_private {
            protect(session, file, STATE_MODE).await?;
        }
        if std::mem::take(&mut self.is_to_be_moved) && self.home.is_some() {
            match session.remove(&self.inside).await {
                Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
                Err(fault) => {
                    let text = format!("the older state {} stays: {fault}", self.inside);
                    session.observer().message(MessageLevel::Info, text);
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Makes the directory beside the mirrored one; if the server refuses that, the file is in the mirrored directory.
    async fn make_home(&mut self, session: &mut impl RemoteFs) -> Result<()> {
        let Some(home) = self.home.clone().filter(|_| !self.is_home_made) else { return Ok(()) };
        self.is_home_made = true;
        match session.mkdir(&home).await {
            Ok(true) => protect(session, home, HOME_MODE).await,
            Ok(false) => Ok(()),
            Err(fault) if fault.kind == ErrorKind::Interrupted || fault.is_retryable() => {
                Err(fault)
            }
            Err(_) => {
                self.home = None;
                let text = format!(
                    "the state is kept in the deployed folder ({}), since the server makes no folder beside it",
                    self.inside
                );
                session.observer().message_once(MessageLevel::Info, text);
                Ok(())
            }
        }
    }
}

/// Sets the permissions of `path`, as far as the server does that.
async fn protect(session: &mut impl RemoteFs, path: RemotePath, mode: u32) -> Result<()> {
    let set = session.set_modes(&[(path.clone(), mode)]).await;
    match set.and_then(|all| all.into_iter().next().unwrap_or(Ok(()))) {
        Err(fault) if fault.kind == ErrorKind::Interrupted => Err(fault),
        Err(fault) => {
            let text = format!("{path} has the permissions that the server gave it: {fault}");
            session.observer().message_once(MessageLevel::Info, text);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
