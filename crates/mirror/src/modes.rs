//! The permissions of files and directories on the server, after the transfers of a deployment.

use std::collections::BTreeSet;

use super::{
    endpoints::place,
    execution::Execution,
    plan::{Action, MirrorPlan},
};
use portolan_core::{
    error::{ErrorKind, Result},
    observe::visible::visible,
};
use portolan_remote::fs::RemoteFs;

/// The number of changes that are requested together.
const MODES_AT_ONCE: usize = 200;

/// Makes the changes of permissions of `plan`, apart from those of files that were not transferred. A server that
/// changes none is reported once, and is no failure.
pub(super) async fn set_modes(
    session: &mut impl RemoteFs,
    plan: &MirrorPlan,
    run: &mut Execution<'_, '_>,
) -> Result<()> {
    if plan.modes.is_empty() || run.over.is_some() {
        return Ok(());
    }
    let files = plan.steps.iter().filter(|step| matches!(step.act, Action::Put(_)));
    let unsent: BTreeSet<_> =
        files.map(|step| &step.path[..]).filter(|path| !run.sent.contains(path)).collect();
    let changes = plan.modes.iter();
    let wanted: Vec<_> = changes.filter(|change| !unsent.contains(&change.path[..])).collect();
    for changes in wanted.chunks(MODES_AT_ONCE) {
        let paths: Result<Vec<_>> = changes
            .iter()
            .map(|change| Ok((place(&plan.heading.remote, &change.path)?, change.mode)))
            .collect();
        for (change, set) in changes.iter().zip(session.set_modes(&paths?).await?) {
            let Err(fault) = set else { continue };
            if fault.kind == ErrorKind::Unsupported {
                session.observer().warn_once(format!("no permissions are set: {fault}"));
                return Ok(());
            }
            run.fail_with(fault.at(visible(&change.path)));
        }
    }
    Ok(())
}
