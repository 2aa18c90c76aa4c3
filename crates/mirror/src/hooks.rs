//! The parts of a run besides the mirror itself: between its plan and its first step, and after its last.

use super::{plan::MirrorPlan, report::Report};
use portolan_core::error::Result;
use portolan_remote::fs::RemoteFs;

/// The parts that a caller adds to a run.
#[expect(async_fn_in_trait, reason = "all sessions of a run are polled by one thread")]
pub trait RunHooks<R: RemoteFs> {
    /// Is called with the plan before anything is changed; in a dry run as well, and then nothing may be changed.
    async fn planned(&mut self, session: &mut R, plan: &MirrorPlan, is_dry: bool) -> Result<()>;

    /// Is called after the plan was applied, while other runs are still kept out.
    async fn applied(
        &mut self,
        session: &mut R,
        plan: &MirrorPlan,
        report: &mut Report,
    ) -> Result<()>;
}

/// No parts.
impl<R: RemoteFs> RunHooks<R> for () {
    async fn planned(&mut self, _: &mut R, _: &MirrorPlan, _: bool) -> Result<()> {
        Ok(())
    }

    async fn applied(&mut self, _: &mut R, _: &MirrorPlan, _: &mut Report) -> Result<()> {
        Ok(())
    }
}
