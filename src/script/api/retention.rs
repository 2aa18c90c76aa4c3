//! Files of a server that move and that grow old.

use rhai::{Dynamic, Map, NativeCallContext, export_module};

use crate::{
    observe::{Event, Operation},
    remote::{
        fs::RemoteFs as _,
        path::RemotePath,
        prune::{self, OPTIONS},
    },
    script::{
        options,
        raise::{Raise, RhaiResultOf},
        remote::Remote,
    },
};

/// Files of a server that move and that grow old.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// Moves a file or folder, and creates the folder of its new name. A target that ends with `/` is a folder that takes it
    /// under its name. Raises `not_found`, `refused`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.move("/in/order.csv", "/archive/2026/");
    /// ```
    #[rhai_fn(global, name = "move", return_raw, volatile)]
    pub fn move_to(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        from: &str,
        to: &str,
    ) -> RhaiResultOf<()> {
        let names = site.names();
        let paths = || -> crate::error::Result<(RemotePath, RemotePath)> {
            let from = names.path(from)?;
            let to = if to.ends_with('/') {
                names.path(to)?.join(from.name())?
            } else {
                names.path(to)?
            };
            Ok((from, to))
        };
        let (from, to) = paths().or_raise(&ctx)?;
        site.with(&ctx, async |session, run| {
            let folder = to.parent();
            if session.mkdir(&folder).await? {
                let path = folder.to_string();
                run.context.observer.emit(&Event::Done { verb: Operation::Mkdir, path });
            }
            session.rename(&from, &to).await?;
            let path = from.to_string();
            run.context.observer.emit(&Event::Done { verb: Operation::Rename, path });
            Ok(())
        })
    }

    /// Removes old files of a folder, and returns `#{ deleted, kept, bytes }`: the paths, the number of files that stay, and the
    /// size of what went. Folders and links stay, and so do files whose time the server does not tell. Raises `guard` if it
    /// would be more than half of more than ten files, or more than `max_delete`; nothing is deleted then.
    ///
    /// {options of `prune`}
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let done = site.prune("/backup", #{ keep_last: 7, older_than: "30d", match: "db-*.sql.gz" });
    /// print(`${done.deleted.len()} backups removed, ${done.kept} kept`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn prune(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        folder: &str,
        options: Map,
    ) -> RhaiResultOf<Map> {
        let rules = options::read(&options, "prune", &OPTIONS).or_raise(&ctx)?;
        let names = site.names();
        let folder = names.path(folder).or_raise(&ctx)?;
        let plan = site.with(&ctx, async |session, run| {
            if !rules.is_dry_run {
                run.permissions().allow_remote_delete()?;
            }
            let observer = &run.context.observer;
            let removed = |path: &RemotePath| {
                let path = path.to_string();
                observer.emit(&Event::Done { verb: Operation::Delete, path });
            };
            let now = run.context.clock.now();
            let plan = prune::prune(session, &folder, &rules, now, removed).await?;
            if let Some(refusal) = &plan.refusal {
                observer.warn(format!("without `dry_run` nothing would be deleted: {refusal}"));
            }
            Ok(plan)
        })?;
        let path = |entry: &crate::remote::entry::Entry| {
            let path = folder.join(&entry.name).or_raise(&ctx)?;
            Ok(Dynamic::from(names.text(path.as_bytes())))
        };
        let deleted = plan.deletes.iter().map(path).collect::<RhaiResultOf<Vec<_>>>()?;
        let count = |number: u64| Dynamic::from(i64::try_from(number).unwrap_or(i64::MAX));
        Ok(Map::from([
            ("deleted".into(), deleted.into()),
            ("kept".into(), count(plan.kept as u64)),
            ("bytes".into(), count(plan.bytes())),
        ]))
    }
}
