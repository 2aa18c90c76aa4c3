//! `portolan init`: a jobs file and scripts to start from.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use super::{exit, report};
use crate::fault::{Fault, Kind, Outcome, Side};

/// What `portolan init` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where they go; made if it is not there [default: this folder]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// What is laid down.
const FILES: [(&str, &str); 4] = [
    ("portolan.toml", include_str!("init/portolan.toml")),
    ("scripts/fetch.rhai", include_str!("init/fetch.rhai")),
    ("scripts/publish.rhai", include_str!("init/publish.rhai")),
    (".gitignore", include_str!("init/gitignore")),
];

pub(super) fn run(args: &Args) -> u8 {
    let folder = args.folder.as_deref().unwrap_or(Path::new("."));
    match lay(folder) {
        Ok(laid) => {
            let lines: Vec<_> = laid.iter().map(|path| format!("{}\n", path.display())).collect();
            report::output(&lines.concat());
            report::print(
                "next: edit portolan.toml, `portolan rehearse scripts/fetch.rhai`, `portolan serve`\n",
            );
            exit::DONE
        }
        Err(fault) if fault.kind == Kind::Guard => report::wrong_usage(&fault),
        Err(fault) => report::fault(&fault),
    }
}

/// All of them, or none if one is there.
fn lay(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let paths: Vec<_> = FILES.iter().map(|(name, _)| folder.join(name)).collect();
    // A list of what git leaves out may be there, and is left as it is.
    let is_ours = |path: &&PathBuf| path.exists() && !path.ends_with(".gitignore");
    if let Some(there) = paths.iter().find(is_ours) {
        let message = "it is there already; nothing was changed";
        return Err(Fault::new(Kind::Guard, Side::Script, message).at(there.to_string_lossy()));
    }
    let mut laid = Vec::new();
    for (path, (_, text)) in paths.into_iter().zip(FILES) {
        if path.exists() {
            continue;
        }
        let above = path.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(|error| Fault::local("make the folder", above, error))?;
        let mut file = fs::File::create_new(&path)
            .map_err(|error| Fault::local("write the file", &path, error))?;
        file.write_all(text.as_bytes())
            .map_err(|error| Fault::local("write the file", &path, error))?;
        laid.push(path);
    }
    Ok(laid)
}
