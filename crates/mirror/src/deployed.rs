//! Access of other parts of a deployment to its state on the server: reading and writing it, and keeping other runs out.

use std::{path::Path, sync::Arc};

use super::{
    MirrorOptions,
    claims::TargetLock,
    deploy_rules::DeployRules,
    endpoints::{Direction, Endpoints},
    manifest,
    options::StateIn,
    stale_temps::StaleTemps,
    state_file::StateFile,
    sync_base::SyncBase,
};
use portolan_core::error::{Error, Result};
use portolan_remote::{fs::RemoteFs, path::RemotePath};

/// Returns the files that deployments have put into the directory `top`; `None` if there was none. Fails with `invalid`
/// if the state of them is damaged.
pub async fn read_deployed(
    session: &mut impl RemoteFs,
    top: &RemotePath,
) -> Result<Option<SyncBase>> {
    let mut file = StateFile::of(top, true)?;
    let path = file.path()?;
    let Some(bytes) = file.read(session, &path).await?.0 else { return Ok(None) };
    let base = manifest::read(&bytes, top);
    base.map(Some).map_err(|why| {
        Error::invalid(format!("the state on the server {}", why.text())).at(path.to_string())
    })
}

/// Replaces the state of the deployments to the directory `top`.
pub async fn write_deployed(
    session: &mut impl RemoteFs,
    top: &RemotePath,
    base: &SyncBase,
) -> Result<()> {
    StateFile::of(top, true)?.write(session, &manifest::write(base, top)).await
}

/// Serializes the state of the deployments to the directory `top`.
pub fn write_state(base: &SyncBase, top: &RemotePath) -> Vec<u8> {
    manifest::write(base, top)
}

/// Runs `work` while other deployments to the directory `top` are kept out. Fails with `busy` if one is active.
pub async fn with_target_lock<R: RemoteFs, T>(
    session: &mut R,
    top: &RemotePath,
    work: impl AsyncFnOnce(&mut R) -> Result<T>,
) -> Result<T> {
    let rules = MirrorOptions {
        state: StateIn::Remote,
        deploy: Some(DeployRules::default()),
        ..MirrorOptions::default()
    };
    let heading = Endpoints::of(session, Direction::Up, Path::new("."), top, false)?;
    let leftovers = Arc::new(StaleTemps::of(session, None, &heading));
    let claim = TargetLock::take(session, &heading, rules.state_policy(), &leftovers).await?;
    let done = work(session).await;
    claim.release(session).await;
    done
}
