//! The means of doing the steps of a plan: the local directory, the journal, the claim and the limits of a run.

use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use super::{
    claims::TargetLock,
    intents::Journal,
    pass_options::TransferPolicy,
    plan::{Action, MirrorPlan, Step},
    quota::Total,
    sync_base::{Intent, SyncedFile},
    trash::Trash,
    tree::above,
};
use portolan_core::error::Result;
use portolan_fs::RootDir;
use portolan_remote::{fs::RemoteFs, path::RemotePath, transfer::TransferStats};

/// The means of doing steps.
pub(super) struct Executor<'p> {
    pub(super) root: Arc<RootDir>,
    pub(super) plan: &'p MirrorPlan,
    pub(super) policy: TransferPolicy,
    /// The journal of intents.
    journal: Journal,
    claim: TargetLock,
    pub(super) trash: Option<Trash>,
    /// True if the resulting state of both sides is to be recorded.
    pub(super) keeps_pairs: bool,
    /// The number of bytes moved so far, and the limits.
    pub(super) total: Total,
    /// The directories that are still to be created, so that no file can wait in them.
    unmade: BTreeSet<&'p [u8]>,
}

/// The result of a step: a transfer, and the resulting state of both sides of the file.
pub(super) type StepResult = Option<(TransferStats, Option<SyncedFile>)>;

impl<'p> Executor<'p> {
    pub(super) fn new(
        root: RootDir,
        plan: &'p MirrorPlan,
        policy: TransferPolicy,
        trash: Option<Trash>,
        keeps_pairs: bool,
        (journal, claim): (Journal, TargetLock),
    ) -> Self {
        let is_unmade = |step: &&Step| policy.staged && step.act == Action::MakeFolder;
        let unmade = plan.steps.iter().filter(is_unmade).map(|step| &*step.path).collect();
        let total = Total::new(policy.caps, plan.heading.local.clone());
        let root = Arc::new(root);
        Self { root, plan, policy, journal, claim, trash, keeps_pairs, total, unmade }
    }

    /// Returns true if the local disk has something at `path`, under any name.
    pub(super) fn has_here(&self, path: &[u8]) -> bool {
        self.root.metadata(Path::new(OsStr::from_bytes(path))).is_ok()
    }

    /// Checks that this run may continue, and records `intents`, which are carried out right after.
    pub(super) async fn intend(
        &self,
        session: &mut impl RemoteFs,
        intents: Vec<(Vec<u8>, Intent)>,
    ) -> Result<()> {
        self.renew(session).await?;
        self.journal.note(session, intents).await
    }

    /// Moves the file on the server that `step` overwrites to the trash, if old versions are kept. Returns its name there.
    pub(super) async fn keep_old(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
    ) -> Result<Option<RemotePath>> {
        match self.trash.as_ref().filter(|_| self.keeps_old(step)) {
            Some(trash) => {
                trash.keep(session, &self.root, &self.plan.heading.remote, &step.path).await
            }
            None => Ok(None),
        }
    }

    /// Returns true if `step` overwrites a file whose old version is kept.
    pub(super) fn keeps_old(&self, step: &Step) -> bool {
        step.standing.is_some() && self.trash.as_ref().is_some_and(Trash::takes_overwritten)
    }

    /// Moves the old version of `step` back from `kept`, if it was moved there and nothing has come in its place.
    pub(super) async fn or_give_back<T>(
        &self,
        session: &mut impl RemoteFs,
        step: &Step,
        kept: Option<RemotePath>,
        result: Result<T>,
    ) -> Result<T> {
        match (result, kept) {
            (Err(fault), Some(kept)) => {
                let top = &self.plan.heading.remote;
                Err(Trash::give_back(session, top, &step.path, &kept, fault).await)
            }
            (result, _) => result,
        }
    }

    /// Returns the directory in which the file `path` waits for its name: its own, or the nearest existing one.
    pub(super) fn home<'s>(&self, path: &'s [u8]) -> &'s [u8] {
        above(path).find(|folder| !self.unmade.contains(folder)).unwrap_or_default()
    }

    /// Renews the claim of this run if that is due; fails if another run has taken it.
    pub(super) async fn renew(&self, session: &mut impl RemoteFs) -> Result<()> {
        self.claim.renew(session).await
    }
}
