//! Local files, continued: trees, hashes, archives.

use std::path::{Path, PathBuf};

use rhai::{Array, Dynamic, Map, NativeCallContext, export_module};

use super::local::map;
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    files::{
        RootDir,
        archive::{self, UnpackLimits, Unpacked},
        hash, ops, walk,
    },
    limits::{ARCHIVE_BYTES_MAX, ARCHIVE_FILES_MAX, SCRIPT_ARRAY_LENGTH_MAX},
    option_table::{NUMBER_MAX, OptionKind, OptionRow, OptionTable},
    script::{
        options,
        raise::{Raise, RhaiResultOf},
        run::ScriptRun,
        show,
        value::permissions,
    },
};

/// The options of unpacking.
#[derive(Debug)]
pub struct UnpackOptions {
    bytes_max: u64,
    entries_max: u64,
}

impl Default for UnpackOptions {
    fn default() -> Self {
        Self { bytes_max: ARCHIVE_BYTES_MAX, entries_max: ARCHIVE_FILES_MAX }
    }
}

impl UnpackOptions {
    const fn limits(&self) -> UnpackLimits {
        UnpackLimits { bytes_max: self.bytes_max, entries_max: self.entries_max }
    }
}

/// Every option of unpacking.
pub(in crate::script) const UNPACK: OptionTable<UnpackOptions> = OptionTable {
    rows: &[
        OptionRow::<UnpackOptions>::new(
            "max_bytes",
            OptionKind::Size(|it, bytes| it.bytes_max = bytes),
            "the most that all files together may have",
        )
        .usual("1GiB"),
        OptionRow::<UnpackOptions>::new(
            "max_files",
            OptionKind::Number(1..=NUMBER_MAX, |it, count| it.entries_max = count),
            "the most files and folders that the archive may have",
        )
        .usual("100000"),
    ],
    usual: UnpackOptions::default,
};

/// Returns local paths, given as one string or an array of strings, as a run may read them.
fn sources(run: &ScriptRun, given: &Dynamic) -> Result<Vec<PathBuf>> {
    let wrong = || {
        let given = show::text(given);
        Error::invalid(format!("a path or an array of paths is wanted, got {given}"))
    };
    let texts: Vec<String> = if let Ok(text) = given.clone().into_string() {
        vec![text]
    } else {
        let array = given.read_lock::<Array>().ok_or_else(wrong)?;
        let texts = array.iter().map(|item| item.clone().into_string().map_err(|_| wrong()));
        texts.collect::<Result<_>>()?
    };
    texts.iter().map(|text| run.readable(text)).collect()
}

fn folder_of(path: &str) -> &Path {
    match Path::new(path).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Returns local files with their names relative to the folder of `list`.
fn named(run: &ScriptRun, list: &str, files: Array) -> Result<Vec<(String, PathBuf)>> {
    let folder = folder_of(list);
    let name = |file: Dynamic| {
        let text = file.into_string().map_err(|kind| {
            Error::invalid(format!("a path is a string, got a value of type {kind}"))
        })?;
        let name = Path::new(&text).strip_prefix(folder).unwrap_or(Path::new(&text));
        Ok((name.to_string_lossy().into_owned(), run.readable(&text)?))
    };
    files.into_iter().map(name).collect()
}

/// Returns the files that were unpacked for scripts, and warns of what was left out.
fn unpacked(run: &ScriptRun, to: &str, found: &Unpacked) -> Array {
    if let Some(first) = found.left_out.first() {
        let count = found.left_out.len();
        let text =
            format!("{count} links or devices of the archive were left out, such as `{first}`");
        run.context.observer.warn(text);
    }
    let path = |file: &PathBuf| Path::new(to).join(file).to_string_lossy().into_owned();
    found.files.iter().map(|file| path(file).into()).collect()
}

/// Returns `path` without its ending `.gz`.
fn without_gz(path: &str) -> Result<&str> {
    path.strip_suffix(".gz").filter(|rest| !rest.is_empty()).ok_or_else(|| {
        Error::invalid(format!("`{path}` does not end with .gz: name the file to write"))
    })
}

/// Local files: trees, hashes and archives.
#[export_module]
pub mod functions {
    /// Returns everything below a folder: maps as of `list`, with the additional key `path`. Links are listed, not followed.
    /// Raises `not_found`.
    ///
    /// ```rhai
    /// let tables = local::find("in").filter(|entry| entry.name.ends_with(".csv"));
    /// for entry in tables { print(entry.path); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn find(ctx: NativeCallContext<'_>, folder: &str) -> RhaiResultOf<Array> {
        let run = ScriptRun::of(&ctx)?;
        let walked = run.uncounted(|| {
            let root = RootDir::open(run.readable(folder)?)?;
            let found = walk(&root, &run.context.stop)?;
            match found.unread.into_iter().next() {
                Some((_, error)) => Err(error),
                None => Ok(found.entries),
            }
        });
        let entries = walked.or_raise(&ctx)?;
        if entries.len() > SCRIPT_ARRAY_LENGTH_MAX {
            let message = format!("it has more than {SCRIPT_ARRAY_LENGTH_MAX} files");
            let error = Error::new(ErrorKind::Guard, Origin::Here, message).at(folder);
            return Err(error).or_raise(&ctx);
        }
        let with_path = |entry: &crate::files::LocalEntry| {
            let mut found: Map = map(entry);
            let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = Path::new(folder).join(&entry.path).to_string_lossy().into_owned();
            found.insert("name".into(), name.into());
            found.insert("path".into(), path.into());
            Dynamic::from_map(found)
        };
        Ok(entries.iter().map(with_path).collect())
    }

    /// Removes a folder with everything in it, and returns how many files and folders that were. A link in it is removed,
    /// and what it leads to stays. Refuses the working directory and what contains it. Raises `not_found`, and `guard`.
    ///
    /// ```rhai
    /// local::delete_tree("work/old");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn delete_tree(ctx: NativeCallContext<'_>, folder: &str) -> RhaiResultOf<i64> {
        let run = ScriptRun::of(&ctx)?;
        let count = run.uncounted(|| hash::delete_tree(&run.deletable(folder)?, &run.context.stop));
        count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)).or_raise(&ctx)
    }

    /// Moves a file or folder; a file also to another disk. A target that ends with `/` is a folder, which is created. Raises
    /// `not_found`.
    ///
    /// ```rhai
    /// local::move("in/order.csv", "done/2026/");
    /// ```
    #[rhai_fn(name = "move", return_raw, volatile)]
    pub fn move_to(ctx: NativeCallContext<'_>, from: &str, to: &str) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let moved = run.uncounted(|| {
            let (source, mut target) = (run.deletable(from)?, run.writable(to)?);
            if to.ends_with('/') {
                // A path loses its last slash.
                target.push("");
            }
            hash::move_to(&source, &target, &run.context.stop)
        });
        moved.or_raise(&ctx)
    }

    /// Sets the permissions of a file or folder, in octal digits. Raises `not_found`, and `guard` for a link.
    ///
    /// ```rhai
    /// local::chmod("out/report.cgi", "755");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn chmod(ctx: NativeCallContext<'_>, path: &str, mode: &str) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let done = permissions(mode).and_then(|mode| hash::chmod(&run.writable(path)?, mode));
        done.or_raise(&ctx)
    }

    /// Returns the hash of a file, in lower-case hexadecimal: "sha256", "sha512", "sha1", "md5" or "crc32". Raises
    /// `not_found`.
    ///
    /// ```rhai
    /// if local::hash("order.csv", "md5") != "900150983cd24fb0d6963f7d28e17f72" { fail("damaged"); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn hash(ctx: NativeCallContext<'_>, path: &str, algorithm: &str) -> RhaiResultOf<String> {
        let run = ScriptRun::of(&ctx)?;
        let found = run.uncounted(|| hash::hash(run.readable(path)?, algorithm, &run.context.stop));
        found.or_raise(&ctx)
    }

    /// Writes a list of SHA-256 hashes, in the form of `sha256sum`, for files below the folder of the list.
    ///
    /// ```rhai
    /// local::write_sums("out/SHA256SUMS", local::glob("out/*.csv"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn write_sums(ctx: NativeCallContext<'_>, list: &str, files: Array) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let done = run.uncounted(|| {
            let target = run.writable(list)?;
            let text = hash::sums(&named(&run, list, files)?, &run.context.stop)?;
            ops::write(target, text.as_bytes())
        });
        done.or_raise(&ctx)
    }

    /// Checks the files of a list as `sha256sum` writes it, and returns the names that are missing or differ: an empty array
    /// if all is well. The files are below the folder of the list. Raises `not_found`, and `invalid`.
    ///
    /// ```rhai
    /// let wrong = local::check_sums("in/SHA256SUMS");
    /// if !wrong.is_empty() { fail("damaged: " + wrong.join(", ")); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn check_sums(ctx: NativeCallContext<'_>, list: &str) -> RhaiResultOf<Array> {
        let run = ScriptRun::of(&ctx)?;
        let wrong = run.uncounted(|| {
            // The whole folder, so that a rehearsal sees what it has written and what is real.
            let folder = run.readable(folder_of(list))?;
            let name = Path::new(list).file_name().unwrap_or_default();
            hash::check_sums(&folder, &folder.join(name), &run.context.stop)
        });
        Ok(wrong.or_raise(&ctx)?.into_iter().map(Dynamic::from).collect())
    }

    /// Compresses a file to one with the ending `.gz`, whose path it returns; the file itself stays.
    ///
    /// ```rhai
    /// let packed = local::gzip("report.csv");
    /// print(local::size(packed));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn gzip(ctx: NativeCallContext<'_>, from: &str) -> RhaiResultOf<String> {
        let to = format!("{from}.gz");
        gzip_to(ctx, from, &to)?;
        Ok(to)
    }

    /// Compresses the file `from` to the file `to`.
    ///
    /// ```rhai
    /// local::gzip("report.csv", "out/report.csv.gz");
    /// ```
    #[rhai_fn(name = "gzip", return_raw, volatile)]
    pub fn gzip_to(ctx: NativeCallContext<'_>, from: &str, to: &str) -> RhaiResultOf<String> {
        let run = ScriptRun::of(&ctx)?;
        let done = run.uncounted(|| {
            archive::gzip(&run.readable(from)?, &run.writable(to)?, &run.context.stop)
        });
        done.or_raise(&ctx)?;
        Ok(to.to_owned())
    }

    /// Decompresses a file to one without the ending `.gz`, whose path it returns. Raises `guard` for one that decompresses to
    /// more than it may; there is no new file then.
    ///
    /// ```rhai
    /// let table = local::gunzip("in/orders.csv.gz");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn gunzip(ctx: NativeCallContext<'_>, from: &str) -> RhaiResultOf<String> {
        let to = without_gz(from).or_raise(&ctx)?;
        gunzip_with(ctx, from, to, Map::new())
    }

    /// Decompresses the file `from` to the file `to`.
    ///
    /// ```rhai
    /// local::gunzip("in/orders.csv.gz", "work/orders.csv");
    /// ```
    #[rhai_fn(name = "gunzip", return_raw, volatile)]
    pub fn gunzip_to(ctx: NativeCallContext<'_>, from: &str, to: &str) -> RhaiResultOf<String> {
        gunzip_with(ctx, from, to, Map::new())
    }

    /// Decompresses the file `from` to the file `to`.
    ///
    /// {options of `local::gunzip`}
    ///
    /// ```rhai
    /// local::gunzip("in/orders.csv.gz", "work/orders.csv", #{ max_bytes: "10GiB" });
    /// ```
    #[rhai_fn(name = "gunzip", return_raw, volatile)]
    pub fn gunzip_with(
        ctx: NativeCallContext<'_>,
        from: &str,
        to: &str,
        options: Map,
    ) -> RhaiResultOf<String> {
        let limits = options::read(&options, "local::gunzip", &UNPACK).or_raise(&ctx)?.limits();
        let run = ScriptRun::of(&ctx)?;
        let done = run.uncounted(|| {
            let (from, to) = (run.readable(from)?, run.writable(to)?);
            archive::gunzip(&from, &to, limits, &run.context.stop)
        });
        done.or_raise(&ctx)?;
        Ok(to.to_owned())
    }

    /// Packs a file, a folder or an array of them into a zip archive. A folder alone is packed by what is in it, one of several
    /// under its name; links are left out.
    ///
    /// ```rhai
    /// local::zip("dist", "site.zip");
    /// local::zip(["orders.csv", "prices.csv"], "tables.zip");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn zip(ctx: NativeCallContext<'_>, from: Dynamic, to: &str) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let done = run.uncounted(|| {
            archive::zip(&sources(&run, &from)?, &run.writable(to)?, &run.context.stop)
        });
        done.map(drop).or_raise(&ctx)
    }

    /// Unpacks a zip archive into a folder, which is created, and returns the paths of the files: all of them, or none if
    /// there is an error. Raises `guard` for an archive that unpacks to more than it may, or has names that lead out of the
    /// folder; links and devices in it are left out.
    ///
    /// ```rhai
    /// for file in local::unzip("in/tables.zip", "work") { print(file); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn unzip(ctx: NativeCallContext<'_>, from: &str, folder: &str) -> RhaiResultOf<Array> {
        unzip_with(ctx, from, folder, Map::new())
    }

    /// Unpacks a zip archive into a folder.
    ///
    /// {options of `local::unzip`}
    ///
    /// ```rhai
    /// local::unzip("in/tables.zip", "work", #{ max_bytes: "10GiB" });
    /// ```
    #[rhai_fn(name = "unzip", return_raw, volatile)]
    pub fn unzip_with(
        ctx: NativeCallContext<'_>,
        from: &str,
        folder: &str,
        options: Map,
    ) -> RhaiResultOf<Array> {
        let limits = options::read(&options, "local::unzip", &UNPACK).or_raise(&ctx)?.limits();
        let run = ScriptRun::of(&ctx)?;
        let done = run.uncounted(|| {
            let (from, to) = (run.readable(from)?, run.writable(folder)?);
            archive::unzip(&from, &to, limits, &run.context.stop)
        });
        Ok(unpacked(&run, folder, &done.or_raise(&ctx)?))
    }

    /// Packs a file, a folder or an array of them into a tar archive, which is compressed if its name ends with `.gz` or
    /// `.tgz`. A folder alone is packed by what is in it, one of several under its name; links are left out.
    ///
    /// ```rhai
    /// local::tar("dist", "site.tar.gz");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn tar(ctx: NativeCallContext<'_>, from: Dynamic, to: &str) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let done = run.uncounted(|| {
            archive::tar(&sources(&run, &from)?, &run.writable(to)?, &run.context.stop)
        });
        done.map(drop).or_raise(&ctx)
    }

    /// Unpacks a tar archive, compressed by gzip or not, into a folder, which is created, and returns the paths of the files:
    /// all of them, or none if there is an error. Raises `guard` as `unzip` does.
    ///
    /// ```rhai
    /// let files = local::untar("in/site.tar.gz", "work");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn untar(ctx: NativeCallContext<'_>, from: &str, folder: &str) -> RhaiResultOf<Array> {
        untar_with(ctx, from, folder, Map::new())
    }

    /// Unpacks a tar archive into a folder.
    ///
    /// {options of `local::untar`}
    ///
    /// ```rhai
    /// local::untar("in/site.tar.gz", "work", #{ max_files: 1000 });
    /// ```
    #[rhai_fn(name = "untar", return_raw, volatile)]
    pub fn untar_with(
        ctx: NativeCallContext<'_>,
        from: &str,
        folder: &str,
        options: Map,
    ) -> RhaiResultOf<Array> {
        let limits = options::read(&options, "local::untar", &UNPACK).or_raise(&ctx)?.limits();
        let run = ScriptRun::of(&ctx)?;
        let done = run.uncounted(|| {
            let (from, to) = (run.readable(from)?, run.writable(folder)?);
            archive::untar(&from, &to, limits, &run.context.stop)
        });
        Ok(unpacked(&run, folder, &done.or_raise(&ctx)?))
    }
}
