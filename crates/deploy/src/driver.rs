//! One deployment, from its options to its report.

use std::path::Path;

use portolan_core::{
    error::{Error, ErrorKind, Result, codes::DEPLOY_UNDONE},
    observe::MessageLevel,
};
use portolan_mirror::{
    MirrorOptions, MirrorPlan, PlanCounts, RunHooks, report::Report, sync_base::MirrorStates,
};
use portolan_remote::{fs::RemoteFs, path::RemotePath};

use super::{
    check::{self, WebPermissions},
    maintenance::MaintenancePage,
    options::DeployRequest,
    releases::{self, Release},
    report::DeployReport,
    rollback::{self, RollbackReport},
};

/// Deploys the local directory `local` to the directory `folder` of the server, with the options that
/// [`DeployRequest::mirror_options`] returned for it. The question to the site is asked with the permissions `web`.
pub async fn deploy<R: RemoteFs>(
    session: &mut R,
    states: MirrorStates<'_>,
    (local, folder): (&Path, &RemotePath),
    request: &DeployRequest,
    mut options: MirrorOptions,
    web: WebPermissions,
) -> Result<DeployReport> {
    let encoding = session.capabilities().encoding;
    let top = session.absolute(folder)?.in_encoding(encoding);
    let page = request.maintenance.as_deref().map(MaintenancePage::read).transpose()?;
    let mut run = DeployRun { request, web, top, page, ..DeployRun::new(request) };
    if !request.dry_run {
        run.choose_release(session).await?;
    }
    if let Some(release) = &run.release {
        options.trash = Some(release.trash()?);
    }
    let sides = (local, folder);
    let done =
        portolan_mirror::up_with(session, states, sides, &options, request.dry_run, &mut run).await;
    let report = done.inspect_err(|_| run.tell_page(session))?;
    let release = run.release.filter(|_| run.is_kept).map(|release| release.id);
    let (dry_run, planned) = (request.dry_run, run.planned);
    Ok(DeployReport { dry_run, planned, release: release.unwrap_or_default(), report })
}

/// A deployment while it runs.
struct DeployRun<'r> {
    request: &'r DeployRequest,
    web: WebPermissions,
    top: RemotePath,
    page: Option<MaintenancePage>,
    release: Option<Release>,
    /// The number of releases that stay.
    keep: usize,
    planned: PlanCounts,
    /// True once something may have changed on the server.
    has_begun: bool,
    /// True if the release stays.
    is_kept: bool,
}

impl<'r> DeployRun<'r> {
    fn new(request: &'r DeployRequest) -> Self {
        Self {
            request,
            web: None,
            top: RemotePath::root(),
            page: None,
            release: None,
            keep: 0,
            planned: PlanCounts::default(),
            has_begun: false,
            is_kept: false,
        }
    }

    /// Chooses the place for the old bytes, if they are kept or may be needed. Earlier releases are useless without those
    /// of later deployments, so that as many are kept as there are unless the user says otherwise.
    async fn choose_release(&mut self, session: &mut impl RemoteFs) -> Result<()> {
        self.keep = match self.request.keep {
            Some(keep) => usize::from(keep),
            None => releases::all(session, &self.top).await?.len(),
        };
        if self.keep > 0 || self.request.check_url.is_some() {
            self.release = Some(Release::begin(session, &self.top).await?);
        }
        Ok(())
    }

    fn tell_page(&self, session: &impl RemoteFs) {
        if let Some(page) = self.page.as_ref().filter(|_| self.has_begun) {
            page.tell_left(session, &self.top);
        }
    }

    async fn remove_page(&mut self, session: &mut impl RemoteFs) -> Result<()> {
        match self.page.take() {
            Some(page) if self.has_begun => page.remove(session, &self.top).await,
            _ => Ok(()),
        }
    }

    /// Undoes the deployment, since the site does not answer, and returns the error that says so.
    async fn undo(&mut self, session: &mut impl RemoteFs, fault: Error) -> Result<Error> {
        let Some(release) = self.release.take().filter(|_| self.has_begun) else {
            return Ok(fault);
        };
        let text = format!("{fault}: the deployment is undone");
        session.observer().message(MessageLevel::Warn, text);
        let mut report = RollbackReport::default();
        rollback::one_back(session, &self.top, &release, &mut report).await.map_err(|failed| {
            let message = format!("{}; it could not be undone: {failed}", fault.message);
            Error { message, ..fault.clone() }
        })?;
        self.remove_page(session).await?;
        let message = format!("{}: the deployment was undone ({report})", fault.message);
        Ok(Error { message, ..fault }.with_name(DEPLOY_UNDONE))
    }
}

impl<R: RemoteFs> RunHooks<R> for DeployRun<'_> {
    async fn planned(&mut self, session: &mut R, plan: &MirrorPlan, is_dry: bool) -> Result<()> {
        self.planned = plan.counts;
        if is_dry || plan.is_empty() {
            return Ok(());
        }
        if let Some(release) = &self.release {
            release.prepare(session, plan).await?;
        }
        if let Some(page) = &self.page {
            page.put(session, &self.top).await?;
        }
        self.has_begun = true;
        Ok(())
    }

    async fn applied(
        &mut self,
        session: &mut R,
        _: &MirrorPlan,
        report: &mut Report,
    ) -> Result<()> {
        if report.failed > 0 {
            self.is_kept = self.has_begun;
            self.tell_page(session);
            return Ok(());
        }
        if let Some(url) = &self.request.check_url
            && let Err(fault) = check::answers(url, &self.web, &session.stop().clone()).await
        {
            // A check that is interrupted does not undo the deployment.
            let is_answer = fault.kind != ErrorKind::Interrupted;
            return Err(if is_answer { self.undo(session, fault).await? } else { fault });
        }
        self.remove_page(session).await?;
        if self.release.is_some() {
            releases::prune(session, &self.top, self.keep).await?;
            self.is_kept = self.has_begun && self.keep > 0;
        }
        Ok(())
    }
}
