//! Whole folders: mirrors in both directions, and their plans.

use std::path::Path;

use rhai::{Array, ImmutableString, Map, NativeCallContext, export_module};

use crate::{
    fault::Outcome,
    ftp::session::Session,
    limits::{ENTRIES_MAX, PARALLEL_MAX},
    mirror::{self, Compare, OnConflict, Plan as Steps, Rules, report::Report},
    script::{
        options::MIRROR,
        raise::{Raise, RhaiResultOf},
        remote::Remote,
        run::Run,
        value::Options,
    },
};

/// Reads `options` as a mirror does, without one.
pub(in crate::script) fn probe(options: &Map) -> Outcome<()> {
    read(options, "a mirror", 1).map(drop)
}

/// The rules that the options of `what` make, and whether to do nothing.
fn rules(options: &Map, what: &str, session: &Session) -> Outcome<(Rules, bool)> {
    read(options, what, session.site().parallel)
}

fn read(options: &Map, what: &str, parallel: u16) -> Outcome<(Rules, bool)> {
    let options = Options::new(options, what, MIRROR)?;
    options.not_yet(&["trash", "staged", "resume", "follow_links", "rate_limit"])?;
    options.flag("verify")?;
    let usual = Rules { parallel, ..Rules::default() };
    let compare = [
        ("auto", Compare::Auto),
        ("size", Compare::Size),
        ("size_time", Compare::SizeTime),
        ("checksum", Compare::Checksum),
    ];
    let on_conflict = [
        ("source", OnConflict::Source),
        ("keep", OnConflict::Keep),
        ("newer", OnConflict::Newer),
        ("fail", OnConflict::Fail),
    ];
    let most = i64::try_from(ENTRIES_MAX).unwrap_or(i64::MAX);
    let parallel = options.number("parallel", 1, PARALLEL_MAX.into())?;
    let rules = Rules {
        delete: options.flag("delete")?.unwrap_or(usual.delete),
        include: options.texts("include")?,
        exclude: options.texts("exclude")?,
        compare: options.choice("compare", &compare)?.unwrap_or(usual.compare),
        max_delete: options
            .number("max_delete", 0, most)?
            .and_then(|most| u64::try_from(most).ok()),
        parallel: parallel.and_then(|count| u16::try_from(count).ok()).unwrap_or(usual.parallel),
        preserve_times: options.flag("preserve_times")?.unwrap_or(usual.preserve_times),
        newer_only: options.flag("newer_only")?.unwrap_or(usual.newer_only),
        on_conflict: options.choice("on_conflict", &on_conflict)?.unwrap_or(usual.on_conflict),
    };
    Ok((rules, options.flag("dry_run")?.unwrap_or(false)))
}

/// A report on its way to the script; the run remembers what was left undone, should the script not look.
fn noted(run: &Run, report: Report) -> Report {
    if report.failed > 0 {
        run.note_partial();
    }
    report
}

/// Mirrors.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// What a mirror would do, for `apply`.
    pub type Plan = Steps;

    /// Makes the folder `remote` like the local folder `local`: new and changed files are sent.
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

    /// The same with options: `delete` (false): what is not in `local` goes, last, and only if nothing failed;
    /// `dry_run`; `include` and `exclude` (patterns as in .gitignore); `compare` (`"auto"`, `"size"`, `"size_time"`);
    /// `parallel` (sessions); `max_delete` (more deletes than that stop the run before anything is done, as does
    /// half of the folder); `preserve_times` (true); `newer_only`.
    ///
    /// A file that fails is in `report.errors`, and the others go on; the program then ends with code 6.
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
        site.with(&ctx, async |session, run| {
            let (rules, dry_run) = rules(&options, "mirror_up", session)?;
            let local = run.readable(local)?;
            let report = mirror::up(session, &local, &path, &rules, dry_run).await?;
            Ok(noted(run, report))
        })
    }

    /// Makes the local folder `local` like the folder `remote`: new and changed files are fetched.
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

    /// The same with options, as for `mirror_up`.
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
        site.with(&ctx, async |session, run| {
            let (rules, dry_run) = rules(&options, "mirror_down", session)?;
            let local = run.writable(local)?;
            let report = mirror::down(session, &path, &local, &rules, dry_run).await?;
            Ok(noted(run, report))
        })
    }

    /// What `mirror_up` would do.
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

    /// The same with the options of `mirror_up`.
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
        site.with(&ctx, async |session, run| {
            let (rules, _) = rules(&options, "plan_up", session)?;
            mirror::plan_up(session, Path::new(&run.readable(local)?), &path, &rules).await
        })
    }

    /// What `mirror_down` would do.
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

    /// The same with the options of `mirror_down`.
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
        site.with(&ctx, async |session, run| {
            let (rules, _) = rules(&options, "plan_down", session)?;
            mirror::plan_down(session, &path, &run.writable(local)?, &rules).await
        })
    }

    /// Does what a plan says.
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
            let report = mirror::apply(session, &plan).await?;
            Ok(noted(run, report))
        })
    }

    /// How many files would move.
    #[rhai_fn(global, get = "transfers", pure)]
    pub fn transfers(plan: &mut Plan) -> i64 {
        i64::try_from(plan.counts.transfers).unwrap_or(i64::MAX)
    }

    /// How many bytes would move.
    #[rhai_fn(global, get = "bytes", pure)]
    pub fn bytes(plan: &mut Plan) -> i64 {
        i64::try_from(plan.counts.bytes).unwrap_or(i64::MAX)
    }

    /// How many files and folders would go.
    #[rhai_fn(global, get = "deletes", pure)]
    pub fn deletes(plan: &mut Plan) -> i64 {
        i64::try_from(plan.counts.deletes).unwrap_or(i64::MAX)
    }

    /// The steps, a line each.
    #[rhai_fn(global, get = "steps", pure)]
    pub fn steps(plan: &mut Plan) -> Array {
        plan.lines().into_iter().map(Into::into).collect()
    }

    /// The whole plan, a line a step.
    #[rhai_fn(global, name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(plan: &mut Plan) -> ImmutableString {
        plan.lines().join("\n").into()
    }
}
