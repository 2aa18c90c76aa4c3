//! Local files.

use rhai::{Array, Blob, Dynamic, Map, NativeCallContext, export_module};

use super::lines::LineReader;
use crate::{
    error::{Error, Result},
    files::{LocalEntry, LocalKind, SourceFile, ops},
    limits::READ_BYTES_MAX,
    script::{
        raise::{Raise, RhaiResultOf},
        run::ScriptRun,
        value::{self, Time},
    },
};

/// Returns an entry for scripts, with the keys of a remote listing.
pub(super) fn map(entry: &LocalEntry) -> Map {
    let kind = match entry.kind {
        LocalKind::Folder => "dir",
        other => other.as_str(),
    };
    let mut map = Map::new();
    map.insert("name".into(), entry.path.to_string_lossy().into_owned().into());
    map.insert("kind".into(), kind.into());
    map.insert("size".into(), i64::try_from(entry.size).unwrap_or(i64::MAX).into());
    map.insert("modified".into(), Dynamic::from(Time::utc(entry.modified)));
    map.insert("permissions".into(), format!("{:04o}", entry.mode & 0o7777).into());
    map
}

fn text(path: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::invalid("it is not UTF-8 text").at(path))
}

/// Local files. Relative paths are relative to the working directory in which portolan was started.
#[export_module]
pub mod functions {
    /// Returns the entries of a folder: maps of `name`, `kind` ("file", "dir", "link", "other"), `size`, `modified` and
    /// `permissions`. Raises `not_found`.
    ///
    /// ```rhai
    /// for entry in local::list("out") { print(entry.name); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn list(ctx: NativeCallContext<'_>, folder: &str) -> RhaiResultOf<Array> {
        let run = ScriptRun::of(&ctx)?;
        let found = run
            .uncounted(|| run.readable(folder).and_then(|path| ops::list(path, &run.context.stop)));
        let entries = found.or_raise(&ctx)?;
        Ok(entries.iter().map(|entry| Dynamic::from_map(map(entry))).collect())
    }

    /// Returns true if there is a file or folder of that name.
    ///
    /// ```rhai
    /// if local::exists("out/order.csv") { print("there"); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn exists(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<bool> {
        ScriptRun::of(&ctx)?.readable(path).and_then(ops::exists).or_raise(&ctx)
    }

    /// Returns the text of a file, at most 8 MiB. Raises `not_found`.
    ///
    /// ```rhai
    /// let version = local::read("VERSION");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn read(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<String> {
        let run = ScriptRun::of(&ctx)?;
        let bytes = run.uncounted(|| ops::read(run.readable(path)?, READ_BYTES_MAX));
        bytes.and_then(|bytes| text(path, bytes)).or_raise(&ctx)
    }

    /// Returns the lines of a file of any size, for a `for` loop that reads them one by one, without their ends (`\n` or
    /// `\r\n`). Raises `not_found`, and `invalid` for a line that is not UTF-8 or longer than 8 MiB.
    ///
    /// ```rhai
    /// let errors = 0;
    /// for line in local::lines("server.log") { if line.contains("ERROR") { errors += 1; } }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn lines(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<LineReader> {
        let run = ScriptRun::of(&ctx)?;
        let file = run.readable(path).and_then(SourceFile::open).map(SourceFile::into_file);
        Ok(LineReader::new(file.or_raise(&ctx)?, path, run.context.stop.clone()))
    }

    /// Returns the bytes of a file, at most 8 MiB. Raises `not_found`.
    ///
    /// ```rhai
    /// let bytes = local::read_blob("logo.png");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn read_blob(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<Blob> {
        let run = ScriptRun::of(&ctx)?;
        run.uncounted(|| ops::read(run.readable(path)?, READ_BYTES_MAX)).or_raise(&ctx)
    }

    /// Writes a string or blob to a file, replacing its content atomically.
    ///
    /// ```rhai
    /// local::write("out/status.txt", "done\n");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn write(ctx: NativeCallContext<'_>, path: &str, content: Dynamic) -> RhaiResultOf<()> {
        let bytes = value::bytes(&content).or_raise(&ctx)?;
        let run = ScriptRun::of(&ctx)?;
        run.uncounted(|| ops::write(run.writable(path)?, &bytes)).or_raise(&ctx)
    }

    /// Appends a string or blob to a file, which is created if it does not exist.
    ///
    /// ```rhai
    /// local::append("history.log", `${now()} mirrored` + "\n");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn append(ctx: NativeCallContext<'_>, path: &str, content: Dynamic) -> RhaiResultOf<()> {
        let bytes = value::bytes(&content).or_raise(&ctx)?;
        let run = ScriptRun::of(&ctx)?;
        run.uncounted(|| ops::append(run.writable(path)?, &bytes)).or_raise(&ctx)
    }

    /// Copies a file. Raises `not_found`.
    ///
    /// ```rhai
    /// local::copy("out/order.csv", "backup/order.csv");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn copy(ctx: NativeCallContext<'_>, from: &str, to: &str) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let copied = run.uncounted(|| {
            ops::copy(run.readable(from)?, run.writable(to)?, &run.context.stop).map(drop)
        });
        copied.or_raise(&ctx)
    }

    /// Renames a file or folder. Raises `not_found`.
    ///
    /// ```rhai
    /// local::rename("in/order.csv", "done/order.csv");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn rename(ctx: NativeCallContext<'_>, from: &str, to: &str) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let renamed = run.writable(from).and_then(|from| ops::rename(from, run.writable(to)?));
        renamed.or_raise(&ctx)
    }

    /// Removes a file or an empty folder. Raises `not_found`.
    ///
    /// ```rhai
    /// local::delete("out/order.csv");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn delete(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<()> {
        ScriptRun::of(&ctx)?.deletable(path).and_then(ops::delete).or_raise(&ctx)
    }

    /// Creates a folder and its missing parents.
    ///
    /// ```rhai
    /// local::mkdir("in/2026/11");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn mkdir(ctx: NativeCallContext<'_>, folder: &str) -> RhaiResultOf<()> {
        ScriptRun::of(&ctx)?.writable(folder).and_then(ops::make_folder).or_raise(&ctx)
    }

    /// Returns the paths that match a pattern such as `out/*.csv` or `out/**/*.csv`.
    ///
    /// ```rhai
    /// for file in local::glob("out/*.csv") { print(file); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn glob(ctx: NativeCallContext<'_>, pattern: &str) -> RhaiResultOf<Array> {
        let run = ScriptRun::of(&ctx)?;
        let found = run
            .uncounted(|| ops::glob_where(pattern, &run.context.stop, |base| run.readable(base)));
        let found = found.or_raise(&ctx)?;
        Ok(found.iter().map(|path| path.to_string_lossy().into_owned().into()).collect())
    }

    /// Returns the size of a file in bytes. Raises `not_found`.
    ///
    /// ```rhai
    /// print(local::size("out/order.csv"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn size(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<i64> {
        let size = ScriptRun::of(&ctx)?.readable(path).and_then(ops::size).or_raise(&ctx)?;
        Ok(i64::try_from(size).unwrap_or(i64::MAX))
    }

    /// Returns the modification time of a file. Raises `not_found`.
    ///
    /// ```rhai
    /// if now() - local::modified("out/order.csv") > 86400.0 { log::warn("a day old"); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn modified(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<Time> {
        ScriptRun::of(&ctx)?.readable(path).and_then(ops::modified).map(Time::utc).or_raise(&ctx)
    }

    /// Returns the SHA-256 of a file, in lower-case hexadecimal. Raises `not_found`.
    ///
    /// ```rhai
    /// print(local::sha256("out/order.csv"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn sha256(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<String> {
        let run = ScriptRun::of(&ctx)?;
        let found = run.uncounted(|| ops::sha256(run.readable(path)?, &run.context.stop));
        found.or_raise(&ctx)
    }

    /// Creates an empty folder, which is removed at the end of the run, and returns its path.
    ///
    /// ```rhai
    /// let folder = local::temp_dir();
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn temp_dir(ctx: NativeCallContext<'_>) -> RhaiResultOf<String> {
        let folder = ScriptRun::of(&ctx)?.temporary_folder().or_raise(&ctx)?;
        Ok(folder.to_string_lossy().into_owned())
    }
}
