//! The functions for names on a server: list, query, create, rename and remove.

use rhai::{Array, Dynamic, ImmutableString, Map, NativeCallContext, export_module};

use crate::{
    observe::{Event, Operation},
    remote::{
        entry::{Entry, Modified},
        fs::RemoteFs as _,
        path::RemotePath,
    },
    script::{
        needs::removes_nothing,
        raise::{Raise, RhaiResultOf},
        remote::Remote,
        run::ScriptRun,
        value::{NameText, Time, permissions},
    },
};

/// Returns the path for a name in a script, or raises the fault.
fn path(ctx: &NativeCallContext<'_>, site: &Remote, text: &str) -> RhaiResultOf<RemotePath> {
    site.names().path(text).or_raise(ctx)
}

/// Reports a change of a name on the server to the observer.
fn done(run: &ScriptRun, verb: Operation, path: &RemotePath) {
    run.context.observer.emit(&Event::Done { verb, path: path.to_string() });
}

/// Returns a modification time for scripts. A time without a time zone is returned as the server wrote it.
fn time(modified: Modified) -> Time {
    match modified {
        Modified::Utc(time, _) => Time::utc(time),
        Modified::Server(time, _) => {
            let utc = jiff::tz::TimeZone::UTC.to_timestamp(time);
            Time::utc(utc.unwrap_or(jiff::Timestamp::UNIX_EPOCH))
        }
    }
}

/// Returns an entry for scripts.
fn map(entry: &Entry, names: NameText) -> Map {
    let text = |bytes: &Vec<u8>| Dynamic::from(names.text(bytes));
    let size = entry.size.and_then(|size| i64::try_from(size).ok());
    let mut map = Map::new();
    map.insert("name".into(), text(&entry.name));
    map.insert("kind".into(), entry.kind.as_str().into());
    map.insert("size".into(), size.map_or(Dynamic::UNIT, Dynamic::from));
    let modified = entry.modified.map(|modified| Dynamic::from(time(modified)));
    map.insert("modified".into(), modified.unwrap_or(Dynamic::UNIT));
    let permissions = entry.mode.map(|mode| Dynamic::from(format!("{:04o}", mode & 0o7777)));
    map.insert("permissions".into(), permissions.unwrap_or(Dynamic::UNIT));
    map.insert("target".into(), entry.target.as_ref().map_or(Dynamic::UNIT, text));
    map
}

/// Names on the server.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// Returns the entries of the session's current folder.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org/pub");
    /// for entry in site.list() { print(entry.name); }
    /// ```
    #[rhai_fn(global, name = "list", return_raw, volatile)]
    pub fn list_here(ctx: NativeCallContext<'_>, site: &mut Remote) -> RhaiResultOf<Array> {
        list(ctx, site, ".")
    }

    /// Returns the entries of folder `folder`: maps of `name`, `kind` ("file", "dir", "link", "other"), `size`,
    /// `modified`, `permissions` and `target`, with `()` for values that the server does not report. Raises
    /// `not_found`.
    ///
    /// A line of the listing that cannot be parsed causes a warning; if none can be parsed, `protocol` is raised. A
    /// server that lists only names causes a warning. If the listing has no time zone (LIST), `modified` is in the
    /// server's local time.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let files = site.list("/pub").filter(|entry| entry.kind == "file");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn list(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        folder: &str,
    ) -> RhaiResultOf<Array> {
        let folder = path(&ctx, site, folder)?;
        let names = site.names();
        let listing = site.with(&ctx, async |session, _| session.list_whole(&folder).await)?;
        Ok(listing.entries.iter().map(|entry| Dynamic::from_map(map(entry, names))).collect())
    }

    /// Returns the names in folder `folder`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// if "ready.flag" in site.names("/outbox") { print("ready"); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn names(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        folder: &str,
    ) -> RhaiResultOf<Array> {
        let folder = path(&ctx, site, folder)?;
        let names = site.names();
        let listing = site.with(&ctx, async |session, _| session.list_whole(&folder).await)?;
        Ok(listing.entries.iter().map(|entry| Dynamic::from(names.text(&entry.name))).collect())
    }

    /// Returns everything below folder `folder`, recursively: maps as in `list`, with the additional key `path`.
    /// Symbolic links are listed, not followed. Raises `not_found`, and `guard` if a listing was incomplete.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let files = site.find("/pub").filter(|entry| entry.kind == "file");
    /// print(`${files.len()} files`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn find(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        folder: &str,
    ) -> RhaiResultOf<Array> {
        let folder = path(&ctx, site, folder)?;
        let names = site.names();
        let found = site.with(&ctx, async |session, _| session.search(&folder, None).await)?;
        let maps = found.iter().map(|one| {
            let mut map = map(&one.entry, names);
            map.insert("path".into(), names.text(one.path.as_bytes()).into());
            Dynamic::from_map(map)
        });
        Ok(maps.collect())
    }

    /// Returns the paths of the files that match a pattern such as `/pub/*.csv` or `/pub/**/*.csv`, sorted.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// for path in site.glob("/outbox/*.csv") { site.get(path, "in/"); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn glob(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        pattern: &str,
    ) -> RhaiResultOf<Array> {
        let pattern = path(&ctx, site, pattern)?;
        let names = site.names();
        let found = site.with(&ctx, async |session, _| session.glob(&pattern).await)?;
        Ok(found.iter().map(|path| names.text(path.as_bytes()).into()).collect())
    }

    /// Returns the entry of one file or folder, as in `list`. Raises `not_found`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let entry = site.stat("/pub/catalogue.csv");
    /// print(`${entry.size} bytes, changed ${entry.modified}`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn stat(ctx: NativeCallContext<'_>, site: &mut Remote, file: &str) -> RhaiResultOf<Map> {
        let file = path(&ctx, site, file)?;
        let names = site.names();
        let entry = site.with(&ctx, async |session, _| session.stat(&file).await)?;
        Ok(map(&entry, names))
    }

    /// Returns true if there is a file or folder of that name.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// if !site.exists("/in/today") { site.mkdir("/in/today"); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn exists(ctx: NativeCallContext<'_>, site: &mut Remote, file: &str) -> RhaiResultOf<bool> {
        let file = path(&ctx, site, file)?;
        site.with(&ctx, async |session, _| session.exists(&file).await)
    }

    /// Returns the size of a file in bytes. Raises `not_found`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.size("/pub/catalogue.csv"));
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn size(ctx: NativeCallContext<'_>, site: &mut Remote, file: &str) -> RhaiResultOf<i64> {
        let file = path(&ctx, site, file)?;
        let bytes = site.with(&ctx, async |session, _| session.size(&file).await)?;
        Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    /// Returns the modification time of a file. Raises `not_found`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let age = now() - site.modified("/pub/catalogue.csv");
    /// print(`${age} seconds old`);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn modified(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        file: &str,
    ) -> RhaiResultOf<Time> {
        let file = path(&ctx, site, file)?;
        site.with(&ctx, async |session, _| session.modified(&file).await).map(time)
    }

    /// Renames a file or folder. Raises `not_found` or `refused`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.rename("/in/order.csv", "/done/order.csv");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn rename(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        from: &str,
        to: &str,
    ) -> RhaiResultOf<()> {
        let (from, to) = (path(&ctx, site, from)?, path(&ctx, site, to)?);
        site.with(&ctx, async |session, run| {
            session.rename(&from, &to).await?;
            done(run, Operation::Rename, &from);
            Ok(())
        })
    }

    /// Removes a file. Raises `not_found` or `refused`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.delete("/in/order.csv");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn delete(ctx: NativeCallContext<'_>, site: &mut Remote, file: &str) -> RhaiResultOf<()> {
        let file = path(&ctx, site, file)?;
        site.with(&ctx, async |session, run| {
            run.permissions().allow_remote_delete()?;
            session.remove(&file).await?;
            done(run, Operation::Delete, &file);
            Ok(())
        })
    }

    /// Creates a folder and its missing parents. It is no error if the folder exists.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.mkdir("/in/2026/11");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn mkdir(ctx: NativeCallContext<'_>, site: &mut Remote, folder: &str) -> RhaiResultOf<()> {
        let folder = path(&ctx, site, folder)?;
        site.with(&ctx, async |session, run| {
            if session.mkdir(&folder).await? {
                done(run, Operation::Mkdir, &folder);
            }
            Ok(())
        })
    }

    /// Removes an empty folder. Raises `not_found` or `refused`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.rmdir("/in/2025");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn rmdir(ctx: NativeCallContext<'_>, site: &mut Remote, folder: &str) -> RhaiResultOf<()> {
        let folder = path(&ctx, site, folder)?;
        site.with(&ctx, async |session, run| {
            run.permissions().allow_remote_delete()?;
            session.rmdir(&folder).await?;
            done(run, Operation::Delete, &folder);
            Ok(())
        })
    }

    /// Removes a folder with everything below it. Symbolic links are removed, not followed; nothing is removed if a
    /// listing is incomplete.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.delete_tree("/in/old");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn delete_tree(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        folder: &str,
    ) -> RhaiResultOf<()> {
        let folder = path(&ctx, site, folder)?;
        site.with(&ctx, async |session, run| {
            run.permissions().allow_remote_delete()?;
            session.delete_tree(&folder).await
        })
    }

    /// Sets permissions, in octal ("644"). Raises `unsupported` if the server has no SITE CHMOD.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.chmod("/cgi-bin/form.cgi", "755");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn chmod(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        file: &str,
        mode: &str,
    ) -> RhaiResultOf<()> {
        let file = path(&ctx, site, file)?;
        let mode = permissions(mode).or_raise(&ctx)?;
        site.with(&ctx, async |session, _| session.chmod(&file, mode).await)
    }

    /// Sets the modification time: a time, seconds since 1970, or "2026-02-11T14:22:07Z".
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.set_modified("/in/order.csv", local::modified("order.csv"));
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn set_modified(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        file: &str,
        when: Dynamic,
    ) -> RhaiResultOf<()> {
        let file = path(&ctx, site, file)?;
        let when = Time::read(&when).or_raise(&ctx)?;
        site.with(&ctx, async |session, _| session.set_modified(&file, when.at()).await)
    }

    /// Returns the SHA-256 of a file, as computed by the server. Raises `unsupported` if the server cannot compute it.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// if site.checksum("/in/a.zip") != local::sha256("a.zip") { fail("a.zip differs"); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn checksum(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        file: &str,
    ) -> RhaiResultOf<String> {
        checksum_by(ctx, site, file, "sha256")
    }

    /// Returns the hash of a file by `algorithm`: "sha256", "sha1", "md5" or "crc32".
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.checksum("/pub/a.zip", "md5"));
    /// ```
    #[rhai_fn(global, name = "checksum", return_raw, volatile)]
    pub fn checksum_by(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        file: &str,
        algorithm: &str,
    ) -> RhaiResultOf<String> {
        let file = path(&ctx, site, file)?;
        site.with(&ctx, async |session, _| session.checksum(&file, algorithm).await)
    }

    /// Changes the current folder, to which relative paths are relative.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.cd("/pub");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn cd(ctx: NativeCallContext<'_>, site: &mut Remote, folder: &str) -> RhaiResultOf<()> {
        let folder = path(&ctx, site, folder)?;
        site.with(&ctx, async |session, _| session.cd(&folder).await)
    }

    /// Returns the current folder, to which relative paths are relative.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org/pub");
    /// print(site.pwd());
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn pwd(ctx: NativeCallContext<'_>, site: &mut Remote) -> RhaiResultOf<ImmutableString> {
        let names = site.names();
        site.with(&ctx, async |session, _| Ok(names.text(session.folder().as_bytes()).into()))
    }

    /// Sends a raw command and returns the reply: a map of `code` and `text`. It is for commands without a function
    /// here, but not for commands that transfer data.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let reply = site.quote("SITE UTIME 20260211 a.txt");
    /// if reply.code != 200 { log::warn(reply.text); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn quote(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        command: &str,
    ) -> RhaiResultOf<Map> {
        let line = command.as_bytes().to_vec();
        let reply = site.with(&ctx, async |session, run| {
            if !removes_nothing(command) {
                run.permissions().allow_remote_delete()?;
            }
            session.quote(&line).await
        })?;
        let mut map = Map::new();
        map.insert("code".into(), i64::from(reply.code.value()).into());
        map.insert("text".into(), reply.text().into());
        Ok(map)
    }

    /// Returns the features that the server reports, as a map from feature to parameters.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// if "MLST" in site.features() { print("exact times"); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn features(ctx: NativeCallContext<'_>, site: &mut Remote) -> RhaiResultOf<Map> {
        site.with(&ctx, async |session, _| {
            let features = session.features().iter();
            Ok(features.map(|(name, with)| (name.as_str().into(), with.clone().into())).collect())
        })
    }
}
