//! Mirrors of whole folders in both directions, and their plans.

use std::path::Path;

use rhai::{Array, ImmutableString, Map, NativeCallContext, export_module};

use crate::{
    error::Result,
    mirror::{
        self, Action, Direction, MirrorOptions, MirrorPlan as Steps, MirrorRequest, OPTIONS, Step,
        report::Report,
    },
    remote::fs::RemoteFs,
    script::{
        raise::{Raise, RhaiResultOf},
        remote::Remote,
        run::ScriptRun,
        value::CallOptions,
    },
};

/// Returns the options for a mirror by the function `what`, and true for a dry run.
fn rules(
    options: &Map,
    what: &str,
    session: &impl RemoteFs,
    (run, parallel): (&ScriptRun, u16),
) -> Result<(MirrorOptions, bool)> {
    let mut request = MirrorRequest::default();
    request.options.parallel = parallel;
    CallOptions::new(options, what, &OPTIONS.keys())?.fill(&OPTIONS, &mut request)?;
    let dry_run = request.dry_run;
    Ok((request.options_at(session.now(), |file| run.readable(file))?, dry_run))
}

/// Fails with `denied_by_policy` unless the script may remove what a mirror with `rules` removes from either side.
fn permit(run: &ScriptRun, to: Direction, local: &Path, rules: &MirrorOptions) -> Result<()> {
    let is_up = to == Direction::Up;
    if if is_up { rules.delete } else { rules.moves } {
        run.permissions().allow_remote_delete()?;
    }
    if if is_up { rules.moves } else { rules.delete } {
        run.permissions().allow_delete(local)?;
    }
    Ok(())
}

/// Fails with `denied_by_policy` unless the script may do what a plan does: it may come from a file.
fn permit_plan(run: &ScriptRun, plan: &Steps) -> Result<()> {
    let local = &plan.heading.local;
    match plan.heading.direction {
        Direction::Up => run.permissions().allow_read(local)?,
        Direction::Down => run.permissions().allow_write(local)?,
    }
    // Not its totals: the author of the file could have changed them.
    let is_removal = |step: &Step| matches!(step.act, Action::DeleteFile | Action::DeleteFolder);
    let deletes = plan.steps.iter().any(is_removal);
    let removes = MirrorOptions { delete: deletes, ..plan.rules.clone() };
    permit(run, plan.heading.direction, local, &removes)
}

/// Returns a report to the script; the run records files that were left undone, in case the script ignores them.
fn noted(run: &ScriptRun, report: Report) -> Report {
    if report.failed > 0 {
        run.note_partial();
    }
    report
}

/// Mirrors.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// The plan of a mirror, for `apply`.
    pub type Plan = Steps;

    /// Makes the folder `remote` like the local folder `local`: new and changed files are uploaded.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://www.example.com");
    /// let report = site.mirror_up("dist", "/htdocs");
    /// print(`${report.uploaded} files sent`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn mirror_up(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        remote: &str,
    ) -> RhaiResultOf<Report> {
        mirror_up_with(ctx, site, local, remote, Map::new())
    }

    /// Makes `remote` like `local` with options.
    ///
    /// {options of `mirror_up`}
    ///
    /// Filters leave files alone on both sides: what does not take part is neither transferred nor deleted. A file that
    /// fails is in `report.errors`, and the others continue; the program then ends with exit code 6.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftpes://deploy@www.example.com", #{ password: secret("WWW_PASSWORD") });
    /// site.mirror_up("dist", "/htdocs", #{ delete: true, exclude: ["*.map", ".git/"], parallel: 4 });
    /// ```
    #[rhai_fn(global, name = "mirror_up", return_raw, volatile)]
    pub fn mirror_up_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        remote: &str,
        options: Map,
    ) -> RhaiResultOf<Report> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        let parallel = site.parallel();
        site.with(&ctx, async |session, run| {
            let (rules, dry_run) = rules(&options, "mirror_up", session, (run, parallel))?;
            permit(run, Direction::Up, Path::new(local), &rules)?;
            let local = run.readable(local)?;
            let report = mirror::up(session, run.states(), &local, &path, &rules, dry_run).await?;
            Ok(noted(run, report))
        })
    }

    /// Makes the local folder `local` like the folder `remote`: new and changed files are downloaded.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let report = site.mirror_down("/pub/catalogue", "catalogue");
    /// print(`${report.downloaded} files fetched`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn mirror_down(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
        local: &str,
    ) -> RhaiResultOf<Report> {
        mirror_down_with(ctx, site, remote, local, Map::new())
    }

    /// Makes `local` like `remote` with the options of `mirror_up`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.mirror_down("/pub/catalogue", "catalogue", #{ delete: true, max_delete: 100 });
    /// ```
    #[rhai_fn(global, name = "mirror_down", return_raw, volatile)]
    pub fn mirror_down_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
        local: &str,
        options: Map,
    ) -> RhaiResultOf<Report> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        let parallel = site.parallel();
        site.with(&ctx, async |session, run| {
            let (rules, dry_run) = rules(&options, "mirror_down", session, (run, parallel))?;
            permit(run, Direction::Down, Path::new(local), &rules)?;
            let local = run.writable(local)?;
            let report =
                mirror::down(session, run.states(), &path, &local, &rules, dry_run).await?;
            Ok(noted(run, report))
        })
    }

    /// Returns the plan of `mirror_up`, without executing it.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://www.example.com");
    /// print(site.plan_up("dist", "/htdocs"));
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn plan_up(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        remote: &str,
    ) -> RhaiResultOf<Plan> {
        plan_up_with(ctx, site, local, remote, Map::new())
    }

    /// Returns the plan of `mirror_up` with its options.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://www.example.com");
    /// let plan = site.plan_up("dist", "/htdocs", #{ delete: true });
    /// if plan.deletes < 5 { site.apply(plan); }
    /// ```
    #[rhai_fn(global, name = "plan_up", return_raw, volatile)]
    pub fn plan_up_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        remote: &str,
        options: Map,
    ) -> RhaiResultOf<Plan> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        let parallel = site.parallel();
        site.with(&ctx, async |session, run| {
            let (rules, _) = rules(&options, "plan_up", session, (run, parallel))?;
            permit(run, Direction::Up, Path::new(local), &rules)?;
            mirror::plan_up(session, run.states(), Path::new(&run.readable(local)?), &path, &rules)
                .await
        })
    }

    /// Returns the plan of `mirror_down`, without executing it.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.plan_down("/pub", "pub"));
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn plan_down(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
        local: &str,
    ) -> RhaiResultOf<Plan> {
        plan_down_with(ctx, site, remote, local, Map::new())
    }

    /// Returns the plan of `mirror_down` with its options.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let plan = site.plan_down("/pub", "pub", #{ exclude: "*.iso" });
    /// print(`${plan.transfers} files, ${plan.bytes} bytes`);
    /// ```
    #[rhai_fn(global, name = "plan_down", return_raw, volatile)]
    pub fn plan_down_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
        local: &str,
        options: Map,
    ) -> RhaiResultOf<Plan> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        let parallel = site.parallel();
        site.with(&ctx, async |session, run| {
            let (rules, _) = rules(&options, "plan_down", session, (run, parallel))?;
            permit(run, Direction::Down, Path::new(local), &rules)?;
            mirror::plan_down(session, run.states(), &path, &run.writable(local)?, &rules).await
        })
    }

    /// Executes a plan. Raises `refused`, and does nothing, if either side has changed since the plan was made.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://www.example.com");
    /// let plan = site.plan_up("dist", "/htdocs");
    /// let report = site.apply(plan);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn apply(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        plan: Plan,
    ) -> RhaiResultOf<Report> {
        site.with(&ctx, async |session, run| {
            permit_plan(run, &plan)?;
            let report = mirror::apply(session, run.states(), &plan).await?;
            Ok(noted(run, report))
        })
    }

    /// Executes a plan that was saved as the text of `to_json`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://www.example.com");
    /// let report = site.apply(local::read("plan.json"));
    /// ```
    #[rhai_fn(global, name = "apply", return_raw, volatile)]
    pub fn apply_json(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        plan: &str,
    ) -> RhaiResultOf<Report> {
        let plan = Plan::from_json(plan).or_raise(&ctx)?;
        apply(ctx, site, plan)
    }

    /// Returns the plan as JSON, to be reviewed, saved, and given to `apply` later.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://www.example.com");
    /// local::write("plan.json", site.plan_up("dist", "/htdocs").to_json());
    /// ```
    #[rhai_fn(global, name = "to_json", pure)]
    pub fn json(plan: &mut Plan) -> ImmutableString {
        plan.to_json().into()
    }

    /// The changes in the target since the last run, as an array of lines.
    #[rhai_fn(global, get = "drift", pure)]
    pub fn drift(plan: &mut Plan) -> Array {
        plan.drift.iter().map(|drift| drift.to_string().into()).collect()
    }

    /// The number of files to transfer.
    #[rhai_fn(global, get = "transfers", pure)]
    pub fn transfers(plan: &mut Plan) -> i64 {
        i64::try_from(plan.counts.transfers).unwrap_or(i64::MAX)
    }

    /// The number of bytes to transfer.
    #[rhai_fn(global, get = "bytes", pure)]
    pub fn bytes(plan: &mut Plan) -> i64 {
        i64::try_from(plan.counts.bytes).unwrap_or(i64::MAX)
    }

    /// The number of files and folders to delete.
    #[rhai_fn(global, get = "deletes", pure)]
    pub fn deletes(plan: &mut Plan) -> i64 {
        i64::try_from(plan.counts.deletes).unwrap_or(i64::MAX)
    }

    /// The steps, as an array of lines.
    #[rhai_fn(global, get = "steps", pure)]
    pub fn steps(plan: &mut Plan) -> Array {
        plan.lines().into_iter().map(Into::into).collect()
    }

    /// Returns the whole plan, one line per step.
    #[rhai_fn(global, name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(plan: &mut Plan) -> ImmutableString {
        plan.lines().join("\n").into()
    }
}
