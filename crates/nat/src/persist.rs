//! The files that load a ruleset at boot: a file of rules, a oneshot unit, kernel settings and modules.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::{
    backend::{Backend, BootPlan},
    ruleset_store::RulesetRecord,
    sysctl,
};
use portolan_core::error::{Error, Result};

/// The extensions of rule files, for all filters.
const ENDINGS: [&str; 2] = ["nft", "sh"];

/// The files of one ruleset.
struct PersistedFiles {
    unit: PathBuf,
    wanted: PathBuf,
    settings: PathBuf,
    modules: PathBuf,
}

impl PersistedFiles {
    fn of(root: &Path, name: &str) -> Self {
        let etc = root.join("etc");
        let unit = format!("portolan-nat-{name}.service");
        Self {
            unit: etc.join("systemd/system").join(&unit),
            wanted: etc.join("systemd/system/multi-user.target.wants").join(&unit),
            settings: etc.join(format!("sysctl.d/90-portolan-nat-{name}.conf")),
            modules: etc.join(format!("modules-load.d/portolan-nat-{name}.conf")),
        }
    }
}

/// Returns the path of the file of rules on the running system.
pub(super) fn rules_file(name: &str, ending: &str) -> String {
    format!("/etc/portolan/nat/{name}.{ending}")
}

fn below(root: &Path, file: &str) -> PathBuf {
    root.join(file.trim_start_matches('/'))
}

/// Writes the files for boot, if the ruleset is to persist.
pub(super) fn keep(record: &RulesetRecord, backend: &dyn Backend) -> Result<()> {
    record.persisted.as_ref().map_or(Ok(()), |root| write(root, record, backend))
}

/// Writes the files of a ruleset below `root`, which is `/` except for tests and images.
fn write(root: &Path, record: &RulesetRecord, backend: &dyn Backend) -> Result<()> {
    let name = &record.ruleset;
    let files = PersistedFiles::of(root, name);
    let start = backend.at_start(&format!("portolan_{name}"), &record.body);
    let (head, rest) = start.text.split_once('\n').unwrap_or((&start.text, ""));
    let rules = format!(
        "{head}\n# Written by portolan for the ruleset {name}; `portolan nat revert` removes it.\n{rest}"
    );
    let file = rules_file(name, start.ending);
    put(&below(root, &file), &rules, 0o755)?;
    put(&files.unit, &unit(name, &file, &start), 0o644)?;
    let target = Path::new("..").join(files.unit.file_name().unwrap_or_default());
    link(&target, &files.wanted)?;
    // Includes settings that another program had set: it may not do so at the next boot.
    if record.needs.is_empty() {
        remove_file(&files.settings)?;
    } else {
        let line = |(path, value): &(String, String)| format!("{} = {value}\n", sysctl::key(path));
        let lines: Vec<_> = record.needs.iter().map(line).collect();
        put(&files.settings, &lines.concat(), 0o644)?;
    }
    // Modules built into the kernel need no loading.
    let is_module = |name: &&str| Path::new("/sys/module").join(name).join("initstate").exists();
    let modules = ["nf_conntrack_ftp", "nf_nat_ftp"].into_iter().filter(is_module);
    let modules: String = modules.flat_map(|module| [module, "\n"]).collect();
    if record.has_helper() && !modules.is_empty() {
        put(&files.modules, &modules, 0o644)
    } else {
        remove_file(&files.modules)
    }
}

/// Removes the files of a ruleset.
pub(super) fn remove(root: &Path, name: &str) -> Result<()> {
    let PersistedFiles { unit, wanted, settings, modules } = PersistedFiles::of(root, name);
    let rules = ENDINGS.map(|ending| below(root, &rules_file(name, ending)));
    let all = [wanted, unit, settings, modules];
    all.iter().chain(&rules).try_for_each(|file| remove_file(file))
}

/// Returns the unit. It restarts together with the filter's own unit, whose start flushes all rules.
fn unit(name: &str, file: &str, start: &BootPlan) -> String {
    let BootPlan { load, unload, after, needs, .. } = start;
    format!(
        "# Written by portolan; `portolan nat revert` removes it.
[Unit]
Description=portolan: NAT ruleset {name}
After={after}
PartOf={after}
Before=network-online.target
ConditionPathExists={file}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={load} {file}
ExecStop={unload}
{needs}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"
    )
}

/// Writes a file atomically.
fn put(path: &Path, text: &str, mode: u32) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let written = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|error| Error::local("write", path, error))
}

fn link(target: &Path, path: &Path) -> Result<()> {
    let made = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match symlink(target, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    };
    made().map_err(|error| Error::local("write", path, error))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::local("remove", path, error))
        }
        _ => Ok(()),
    }
}
