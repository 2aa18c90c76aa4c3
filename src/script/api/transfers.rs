//! Transfers of whole files to and from a server.

use rhai::{Blob, Dynamic, Map, NativeCallContext, Position, export_module};

use crate::{
    error::{Error, Result},
    files::SourceFile,
    limits::READ_BYTES_MAX,
    mirror::report::Report,
    remote::{
        fs::RemoteFs as _,
        path::{RemotePath, component},
        source_sink::MemorySource,
        transfer::TransferStats,
        transfer_options::{OPTIONS, TransferOptions},
    },
    script::{
        needs::site_command,
        options,
        raise::{Raise, RhaiResultOf},
        remote::Remote,
        run::ScriptRun,
    },
};

/// Returns the path of the local file: `local` itself, or the remote name in it if it is a folder.
fn landing_path(run: &ScriptRun, local: &str, remote: &RemotePath) -> Result<std::path::PathBuf> {
    let path = std::path::Path::new(local);
    let is_folder = local.ends_with('/') || run.seen(path)?.is_dir();
    if !is_folder {
        return run.writable(path);
    }
    component(remote.name())?;
    let name = remote.encoding().decode(remote.name())?;
    component(&name)?;
    let name = std::ffi::OsStr::new(std::str::from_utf8(&name).unwrap_or("download"));
    run.writable(path.join(name))
}

/// Fails with `denied_by_policy` unless the script may send the commands of `options`.
fn may_send(run: &ScriptRun, options: &TransferOptions) -> Result<()> {
    let commands: Vec<_> = options.site_commands.iter().map(|text| site_command(text)).collect();
    run.may_send(commands.iter().map(String::as_str))
}

/// Returns the name of the remote file: `remote` itself, or the local name in it if it ends with a slash.
fn target(local: &str, remote: RemotePath) -> Result<RemotePath> {
    if !remote.as_bytes().ends_with(b"/") {
        return Ok(remote);
    }
    let name = std::path::Path::new(local).file_name().unwrap_or_default();
    remote.join(&remote.encoding().encode(name.as_encoded_bytes())?)
}

/// Returns the report of one transfer, as that of a mirror of one file.
fn report(session: &Remote, moved: Option<TransferStats>, count: fn(&mut Report)) -> Report {
    let route = session.look(|session| session.route().to_owned()).unwrap_or_default();
    let mut report = Report { route, ..Report::default() };
    match moved {
        Some(moved) => {
            report.add(moved);
            count(&mut report);
        }
        None => report.skipped = 1,
    }
    report
}

/// Transfers of single files.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// Fetches file `remote` to `local`, a file or a folder. The local name has the old bytes until all of the new
    /// ones are here and their number agrees. Raises `not_found`, `data_connection` and others.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.get("/pub/catalogue.csv", "catalogue.csv");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn get(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
        local: &str,
    ) -> RhaiResultOf<Report> {
        get_with(ctx, site, remote, local, Map::new())
    }

    /// Fetches a file with options.
    ///
    /// {options of `get`}
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let report = site.get("/pub/a.zip", "in/", #{ preserve_times: false });
    /// print(`${report.bytes} bytes`);
    /// ```
    #[rhai_fn(global, name = "get", return_raw, volatile)]
    pub fn get_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
        local: &str,
        options: Map,
    ) -> RhaiResultOf<Report> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        let moved = site.with(&ctx, async |session, run| {
            let options = options::read(&options, "get", &OPTIONS)?;
            if options.removes_source {
                run.permissions().allow_remote_delete()?;
            }
            may_send(run, &options)?;
            session.get_file(&path, &landing_path(run, local, &path)?, &options).await
        })?;
        Ok(report(site, moved, |report| report.downloaded = 1))
    }

    /// Sends file `local` to `remote`; a `remote` that ends with a slash is the target folder. The bytes are sent to a
    /// temporary file, their number is checked, and only then the file is renamed.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.put("order.csv", "/in/order.csv");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn put(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        remote: &str,
    ) -> RhaiResultOf<Report> {
        put_with(ctx, site, local, remote, Map::new())
    }

    /// Sends a file with options.
    ///
    /// {options of `put`}
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.put("order.csv", "/in/", #{ preserve_times: false });
    /// ```
    #[rhai_fn(global, name = "put", return_raw, volatile)]
    pub fn put_with(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        remote: &str,
        options: Map,
    ) -> RhaiResultOf<Report> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        let moved = site.with(&ctx, async |session, run| {
            let options = options::read(&options, "put", &OPTIONS)?;
            if options.removes_source {
                run.permissions().allow_delete(local.as_ref())?;
            }
            may_send(run, &options)?;
            session.put_file(&run.readable(local)?, &target(local, path)?, &options).await
        })?;
        Ok(report(site, moved, |report| report.uploaded = 1))
    }

    /// Returns the text of file `remote`, at most 8 MiB of UTF-8.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let version = site.read("/pub/VERSION");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn read(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
    ) -> RhaiResultOf<String> {
        let bytes = read_blob(ctx, site, remote)?;
        String::from_utf8(bytes).map_err(|_| {
            let fault = Error::invalid("it is not UTF-8 text: `read_blob` takes any bytes");
            crate::script::raise::raised(fault.at(remote), Position::NONE)
        })
    }

    /// Returns the bytes of file `remote`, at most 8 MiB.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let bytes = site.read_blob("/pub/logo.png");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn read_blob(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
    ) -> RhaiResultOf<Blob> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        site.with(&ctx, async |session, _| session.read(&path, READ_BYTES_MAX).await)
    }

    /// Writes a string or blob to file `remote`, replacing its content.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.write("/in/ready.flag", "done\n");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn write(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        remote: &str,
        content: Dynamic,
    ) -> RhaiResultOf<()> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        let bytes = crate::script::value::bytes(&content).or_raise(&ctx)?;
        site.with(&ctx, async |session, _| {
            let length = bytes.len() as u64;
            session.upload(&mut MemorySource::new(&bytes), length, None, &path).await.map(drop)
        })
    }

    /// Appends file `local` to `remote`, which is created if it does not exist.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// site.append("today.log", "/logs/all.log");
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn append(
        ctx: NativeCallContext<'_>,
        site: &mut Remote,
        local: &str,
        remote: &str,
    ) -> RhaiResultOf<()> {
        let path = site.names().path(remote).or_raise(&ctx)?;
        site.with(&ctx, async |session, run| {
            let mut reading = SourceFile::open(run.readable(local)?)?;
            session.append(&mut reading, &path).await.map(drop)
        })
    }
}
