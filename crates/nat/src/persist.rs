//! The files that load a ruleset at boot: a file of rules, a oneshot unit, kernel settings and modules.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::{
    backend::Backend,
    boot_unit::{self, FILTER_UNITS},
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
    /// The drop-ins of the units of filters, each with the name of that unit.
    drop_ins: Vec<(&'static str, PathBuf)>,
}

impl PersistedFiles {
    fn of(root: &Path, name: &str) -> Self {
        let etc = root.join("etc");
        let unit = boot_unit::name(name);
        Self {
            unit: etc.join("systemd/system").join(&unit),
            wanted: etc.join("systemd/system/multi-user.target.wants").join(&unit),
            settings: etc.join(format!("sysctl.d/90-portolan-nat-{name}.conf")),
            modules: etc.join(format!("modules-load.d/portolan-nat-{name}.conf")),
            drop_ins: FILTER_UNITS
                .map(|filter| {
                    let folder = etc.join(format!("systemd/system/{filter}.d"));
                    (filter, folder.join(format!("portolan-nat-{name}.conf")))
                })
                .into(),
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

/// A file for boot.
#[derive(Debug)]
pub(super) struct BootFile {
    path: PathBuf,
    /// Its content; `None` if it must not exist.
    text: Option<String>,
    mode: u32,
}

impl BootFile {
    fn write(&self) -> Result<()> {
        match &self.text {
            Some(text) => put(&self.path, text, self.mode),
            None => remove_file(&self.path),
        }
    }

    /// Returns a sentence if it is not on the disk as it was written.
    pub(super) fn difference(&self) -> Option<String> {
        let path = self.path.display();
        match (fs::read_to_string(&self.path).ok(), &self.text) {
            (found, wanted) if found == *wanted => None,
            (None, _) => Some(format!("{path} is missing")),
            (Some(_), None) => Some(format!("{path} should not exist")),
            (Some(_), Some(_)) => Some(format!("{path} is not as portolan writes it")),
        }
    }
}

/// Returns a sentence if the unit of a ruleset is not enabled, so that nothing starts it at boot.
pub(super) fn disabled(root: &Path, name: &str) -> Option<String> {
    let wanted = PersistedFiles::of(root, name).wanted;
    let unit = boot_unit::name(name);
    let why = format!("{unit} is not enabled: {} is missing", wanted.display());
    (!wanted.is_symlink()).then_some(why)
}

/// Returns the path of the file of rules below `root`.
pub(super) fn rules_path(root: &Path, record: &RulesetRecord, backend: &dyn Backend) -> PathBuf {
    let name = &record.ruleset;
    let start = backend.at_start(&format!("portolan_{name}"), &record.body);
    below(root, &rules_file(name, start.ending))
}

/// Returns the files of a ruleset below `root`.
pub(super) fn files(root: &Path, record: &RulesetRecord, backend: &dyn Backend) -> Vec<BootFile> {
    let name = &record.ruleset;
    let paths = PersistedFiles::of(root, name);
    let start = backend.at_start(&format!("portolan_{name}"), &record.body);
    let (head, rest) = start.text.split_once('\n').unwrap_or((&start.text, ""));
    let rules = format!(
        "{head}\n# Written by portolan for the ruleset {name}; `portolan nat revert` removes it.\n{rest}"
    );
    let file = rules_file(name, start.ending);
    // Includes settings that another program had set: it may not do so at the next boot.
    let line = |(path, value): &(String, String)| format!("{} = {value}\n", sysctl::key(path));
    let settings: String = record.needs.iter().map(line).collect();
    // Modules built into the kernel need no loading.
    let is_module = |name: &&str| Path::new("/sys/module").join(name).join("initstate").exists();
    let modules = ["nf_conntrack_ftp", "nf_nat_ftp"].into_iter().filter(is_module);
    let modules: String = modules.flat_map(|module| [module, "\n"]).collect();
    let modules = Some(modules).filter(|text| record.has_helper() && !text.is_empty());
    let plain = |path, text| BootFile { path, text, mode: 0o644 };
    let mut files = vec![
        BootFile { path: below(root, &file), text: Some(rules), mode: 0o755 },
        plain(paths.unit, Some(boot_unit::text(name, &file, &start))),
        plain(paths.settings, Some(settings).filter(|text| !text.is_empty())),
        plain(paths.modules, modules),
    ];
    let is_followed = |filter: &str| start.after.split(' ').any(|unit| unit == filter);
    files.extend(paths.drop_ins.into_iter().map(|(filter, path)| {
        let text = is_followed(filter).then(|| boot_unit::drop_in(filter, name, &file, &start));
        plain(path, text)
    }));
    files
}

/// Writes the files of a ruleset below `root`, which is `/` except for tests and images, and enables its unit.
fn write(root: &Path, record: &RulesetRecord, backend: &dyn Backend) -> Result<()> {
    files(root, record, backend).iter().try_for_each(BootFile::write)?;
    let PersistedFiles { unit, wanted, .. } = PersistedFiles::of(root, &record.ruleset);
    link(&Path::new("..").join(unit.file_name().unwrap_or_default()), &wanted)
}

/// Removes the files of a ruleset.
pub(super) fn remove(root: &Path, name: &str) -> Result<()> {
    let PersistedFiles { unit, wanted, settings, modules, drop_ins } =
        PersistedFiles::of(root, name);
    let rules = ENDINGS.map(|ending| below(root, &rules_file(name, ending)));
    let all = [wanted, unit, settings, modules];
    all.iter().chain(&rules).try_for_each(|file| remove_file(file))?;
    for (_, drop_in) in &drop_ins {
        remove_file(drop_in)?;
        // It stays as long as there is another file in it.
        drop_in.parent().map(fs::remove_dir);
    }
    boot_unit::forget(root, name)
}

/// Starts the unit, if the ruleset persists. Its record is stored by then: what fails here concerns only systemd.
pub(super) fn start(record: &RulesetRecord) -> Result<()> {
    record.persisted.as_ref().map_or(Ok(()), |root| boot_unit::start(root, &record.ruleset))
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
