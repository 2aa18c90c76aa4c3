//! Deployments of built sites, and the way back.

use std::{net::ToSocketAddrs, sync::Arc};

use rhai::{Array, Dynamic, Map, NativeCallContext, export_module};

use crate::{
    deploy::{self, DeployReport, DeployRequest, OPTIONS, ROLLBACK_OPTIONS},
    error::Result,
    mirror::report::Report,
    remote::path::RemotePath,
    script::{options::read, raise::RhaiResultOf, remote::Remote, run::ScriptRun},
};

/// Returns the report to the script. If nothing arrived and every failure is temporary, the first is raised, so that a
/// `retry` around the call tries again.
fn ended(run: &ScriptRun, deployed: DeployReport) -> Result<Report> {
    if let Some(fault) = deployed.temporary_failure() {
        return Err(fault.clone());
    }
    if deployed.report.failed > 0 {
        run.note_partial();
    }
    Ok(deployed.report)
}

/// Fails with `denied_by_policy` unless the script may do what `request` asks for beside the transfers.
fn permit(run: &ScriptRun, request: &mut DeployRequest) -> Result<()> {
    if request.options.delete || request.check_url.is_some() {
        run.permissions().allow_remote_delete()?;
    }
    if request.git
        && let Some(program) = run.permissions().allow_run("git")?
    {
        request.git_program = program;
    }
    let asked = request.check_url.as_deref().and_then(deploy::web_host);
    if let Some((host, port)) = asked.filter(|_| run.settings.rehearsal.is_none()) {
        run.permissions().allow_http(&host, port)?;
        // A name that does not resolve is reported when it is asked.
        for address in (&host[..], port).to_socket_addrs().into_iter().flatten() {
            run.permissions().allow_http_address(&host, port, address.ip())?;
        }
    }
    Ok(())
}

/// Deployments.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// Deploys the local folder `local` to the folder of the session.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftpes://deploy@www.example.com/htdocs", #{ password: secret("WWW_PASSWORD") });
    /// let report = site.deploy("dist");
    /// print(`${report.uploaded} files sent`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn deploy(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
    ) -> RhaiResultOf<Report> {
        deploy_with(ctx, site, local, Map::new())
    }

    /// Deploys `local` with options.
    ///
    /// {options of `deploy`}
    ///
    /// What is deployed is remembered on the server, so that only other content is sent, from whatever checkout, and only
    /// files that an earlier deployment put there are deleted. A file that fails is in `report.errors`, and the program
    /// then ends with exit code 6; if nothing arrived and every failure is temporary, the first of them is raised.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftpes://deploy@www.example.com/htdocs", #{ password: secret("WWW_PASSWORD") });
    /// site.deploy("dist", #{ staged: true, keep: 5, check_url: "https://www.example.com/" });
    /// ```
    #[rhai_fn(global, name = "deploy", return_raw, volatile)]
    pub fn deploy_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        options: Map,
    ) -> RhaiResultOf<Report> {
        let names = site.names();
        site.with(&ctx, async |session, run| {
            let mut request = read(&options, "deploy", &OPTIONS)?;
            permit(run, &mut request)?;
            if run.settings.rehearsal.is_some() {
                // A rehearsal asks nothing outside.
                request.check_url = None;
            }
            let local = run.readable(local)?;
            request.maintenance = match &request.maintenance {
                Some(page) => Some(run.readable(page)?.to_string_lossy().into_owned()),
                None => None,
            };
            let folder = match &request.folder {
                Some(folder) => names.path(folder)?,
                None => RemotePath::parse(".")?,
            };
            let mirror_options = request.mirror_options(&local, |file| run.readable(file))?;
            let sides = (&*local, &folder);
            let states = run.states();
            let web = Some(Arc::clone(&run.context.permissions));
            let deployed =
                deploy::deploy(session, states, sides, &request, mirror_options, web).await?;
            ended(run, deployed)
        })
    }

    /// Undoes the last deployment to the folder of the session: what it replaced and deleted has its old bytes again, and
    /// what it added is removed. Raises `not_found` if no release is kept.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftpes://deploy@www.example.com/htdocs", #{ password: secret("WWW_PASSWORD") });
    /// let done = site.rollback();
    /// print(`${done.restored} files restored`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn rollback(ctx: NativeCallContext<'_>, site: &mut Remote) -> RhaiResultOf<Map> {
        rollback_with(ctx, site, Map::new())
    }

    /// Undoes deployments with options.
    ///
    /// {options of `site.rollback`}
    ///
    /// The result has `releases`, `restored`, `deleted`, `kept` (files that were changed since) and `plan`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftpes://deploy@www.example.com/htdocs", #{ password: secret("WWW_PASSWORD") });
    /// print(site.rollback(#{ count: 2, dry_run: true }).plan);
    /// ```
    #[rhai_fn(global, name = "rollback", return_raw, volatile)]
    pub fn rollback_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        options: Map,
    ) -> RhaiResultOf<Map> {
        site.with(&ctx, async |session, run| {
            let request = read(&options, "rollback", &ROLLBACK_OPTIONS)?;
            run.permissions().allow_remote_delete()?;
            let folder = RemotePath::parse(".")?;
            let done = deploy::rollback(session, &folder, &request).await?;
            let number = |count: u64| Dynamic::from(i64::try_from(count).unwrap_or(i64::MAX));
            let texts = |all: Vec<String>| {
                Dynamic::from(all.into_iter().map(Dynamic::from).collect::<Array>())
            };
            let mut map = Map::new();
            map.insert("releases".into(), texts(done.releases));
            map.insert("restored".into(), number(done.restored));
            map.insert("deleted".into(), number(done.deleted));
            map.insert("kept".into(), texts(done.kept));
            map.insert("plan".into(), texts(done.plan));
            Ok(map)
        })
    }
}
