//! `portolan init`: creates a jobs file and scripts to start from.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    ExitResult,
    report::{self, UsageError},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    observe::visible::visible,
};

/// The arguments of `portolan init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory for the files; created if missing [default: current directory]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// The files to create.
const FILES: [(&str, &str); 4] = [
    ("portolan.toml", include_str!("init/portolan.toml")),
    ("scripts/fetch.rhai", include_str!("init/fetch.rhai")),
    ("scripts/publish.rhai", include_str!("init/publish.rhai")),
    (".gitignore", include_str!("init/gitignore")),
];

pub(super) fn run(args: &Args) -> ExitResult {
    let folder = args.folder.as_deref().unwrap_or(Path::new("."));
    let laid = lay(folder).map_err(|error| match error.kind {
        ErrorKind::Guard => UsageError(error).into(),
        _ => anyhow::Error::from(error),
    })?;
    let lines: Vec<_> = laid.iter().map(|path| format!("{}\n", path.display())).collect();
    report::output(&lines.concat());
    report::print(&next(args.folder.as_deref()));
    Ok(Exit::Done)
}

/// Returns the next commands to type.
fn next(folder: Option<&Path>) -> String {
    let go = folder
        .filter(|folder| *folder != Path::new("."))
        .map(|folder| format!("  cd {}\n", quoted(folder)));
    let steps = [
        ("portolan check portolan.toml", "all that can be known before anything runs"),
        (
            "portolan rehearse scripts/fetch.rhai",
            "a run against a server of its own: nothing real is touched",
        ),
        ("portolan next", "when the jobs run"),
        ("portolan serve", "runs them"),
    ];
    let steps = steps.map(|(command, what)| format!("  {command:<37} # {what}\n"));
    format!(
        "next: put your servers into portolan.toml, then\n{}{}",
        go.unwrap_or_default(),
        steps.concat()
    )
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let path = visible(path.display().to_string());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Creates all of the files, or none if one of them exists.
fn lay(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths: Vec<_> = FILES.iter().map(|(name, _)| folder.join(name)).collect();
    // A .gitignore may exist, and is left as it is.
    let is_ours = |path: &&PathBuf| path.exists() && !path.ends_with(".gitignore");
    if let Some(there) = paths.iter().find(is_ours) {
        let message = "it is there already; nothing was changed";
        return Err(
            Error::new(ErrorKind::Guard, Origin::Script, message).at(there.to_string_lossy())
        );
    }
    let mut laid = Vec::new();
    for (path, (_, text)) in paths.into_iter().zip(FILES) {
        if path.exists() {
            continue;
        }
        let above = path.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(|error| Error::local("make the folder", above, error))?;
        let mut file = fs::File::create_new(&path)
            .map_err(|error| Error::local("write the file", &path, error))?;
        file.write_all(text.as_bytes())
            .map_err(|error| Error::local("write the file", &path, error))?;
        laid.push(path);
    }
    Ok(laid)
}
