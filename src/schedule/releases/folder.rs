//! The releases in the state directory of a machine: each in a directory of its hash, with files that nobody else can change.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use crate::store::releases::{PublishedRelease, ReleaseFile};
use jiff::Timestamp;

use super::{BYTES_MAX, FORMAT, ReadFault, content_digest, release_digest, secrets_here};
use crate::{
    error::{
        Error, ErrorKind, Origin, Result,
        fleet_codes::{FLEET_NEWER_RELEASE, FLEET_RELEASE_DAMAGED},
    },
    files::{ops, owned},
    schedule::{
        jobs::{self, Jobs},
        zone::Zones,
    },
    store::{Store, StorePlace},
};

/// The directory of releases, in the state directory.
const FOLDER: &str = "releases";
/// The number of digits of a hash in the name of a directory.
const NAME_DIGITS: usize = 32;
/// The number of releases that stay on a machine, besides those that it needs.
const KEPT: usize = 3;
/// The beginning of the name of a directory that is not complete.
const INCOMPLETE: &str = ".new-";
/// The directory in which runs work if the release names none, in the state directory.
const WORK: &str = "work";

/// The directory of releases of a machine, with the store from which they come.
#[derive(Debug, Clone)]
pub struct ReleaseFolder {
    /// The place of the store.
    pub place: StorePlace,
    /// The state directory.
    pub state: PathBuf,
}

impl ReleaseFolder {
    /// Returns the directory in which runs work: relative paths of the jobs of a release count from it, and what they write
    /// there is not of one release. It is created if it does not exist.
    pub fn work(&self, jobs: &Jobs) -> Result<PathBuf> {
        let work = jobs.runner.work.clone().unwrap_or_else(|| self.state.join(WORK));
        if !work.is_dir() {
            make_folder(&work)?;
        }
        Ok(work)
    }

    /// Writes the current release into its directory, unless it is there, and reads its jobs. Fails with `not_found` if none is
    /// published.
    pub fn read(&self, now: Timestamp) -> std::result::Result<Jobs, ReadFault> {
        let store = self.place.open()?;
        let Some(current) = store.current_release()? else {
            let message = "no release is published yet: `portolan publish` does";
            return Err(Error::new(ErrorKind::NotFound, Origin::Here, message).into());
        };
        let found = self.read_release(&store, &current, now);
        found.map_err(|fault| ReadFault { release: Some(current.digest), fault: Box::new(fault) })
    }

    /// Reads the jobs of the release that was in force here last, of those that can be used; `None` if there is none.
    pub fn read_last(&self, now: Timestamp) -> Result<Option<Jobs>> {
        let store = self.place.open()?;
        let others = store.releases()?.into_iter().filter(|release| !release.is_current);
        let time = |folder: PathBuf| folder.metadata().ok()?.modified().ok();
        let mut found: Vec<_> =
            others.filter_map(|one| Some((time(self.folder_of(&one))?, one))).collect();
        found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let mut usable = found.iter().map(|(_, release)| self.read_release(&store, release, now));
        Ok(usable.find_map(Result::ok))
    }

    fn read_release(
        &self,
        store: &Store,
        release: &PublishedRelease,
        now: Timestamp,
    ) -> Result<Jobs> {
        let what = format!("release {}", release.number);
        let folder = self.fetch(store, release).map_err(|fault| within(&what, fault))?;
        let file = folder.join(&release.jobs_file);
        owned::guard(&file)?;
        let reading = jobs::read(&file, &Zones::newest(), now)?;
        let mut jobs = reading.into_jobs().map_err(|fault| within(&what, fault))?;
        let work = self.work(&jobs)?;
        for job in &mut jobs.all {
            Arc::make_mut(job).place_in(&folder);
        }
        release.short_digest().clone_into(&mut jobs.release);
        jobs.published = Some(release.number);
        secrets_here::note(&mut jobs, &work);
        // It is the newest one now, also after one that was published later.
        let touched = File::open(&folder).and_then(|folder| folder.set_modified(now.into()));
        touched.map_err(|error| Error::local("set the time of", &folder, error))?;
        Ok(jobs)
    }

    /// Returns the directory of a release, whether it exists or not.
    fn folder_of(&self, release: &PublishedRelease) -> PathBuf {
        let name = release.digest.get(..NAME_DIGITS).unwrap_or(&release.digest);
        self.state.join(FOLDER).join(name)
    }

    /// Returns true if this machine has a secret now that it did not have when it read the jobs.
    pub fn has_new_secret(&self, jobs: &Jobs) -> Result<bool> {
        if jobs.missing.is_empty() {
            return Ok(false);
        }
        let work = self.work(jobs)?;
        Ok(jobs.missing.iter().any(|name| secrets_here::is_here(name, &work)))
    }

    /// Returns the directory of a release, with its files as they were published.
    fn fetch(&self, store: &Store, release: &PublishedRelease) -> Result<PathBuf> {
        if release.format > FORMAT {
            let message = format!(
                "portolan {} has published it in a form that this one ({}) does not know: upgrade this machine",
                release.version,
                env!("CARGO_PKG_VERSION")
            );
            return Err(Error::new(ErrorKind::Unsupported, Origin::Here, message)
                .with_name(FLEET_NEWER_RELEASE));
        }
        let files = store.release_files(release.number)?;
        let is_named = files.iter().any(|file| file.path == release.jobs_file);
        let is_right = release_digest(&release.jobs_file, files.iter()) == release.digest;
        if !is_right || !is_named || !files.iter().all(|file| is_inside(&file.path)) {
            return Err(damaged("its list of files is not what was published"));
        }
        let all = self.state.join(FOLDER);
        let folder = self.folder_of(release);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if folder.is_dir() {
            if files.iter().all(|file| is_whole(&folder, file)) {
                return Ok(folder);
            }
            // Somebody has changed a file: it is written anew.
            remove(&folder)?;
        }
        make_folder(&all)?;
        let new = all.join(format!("{INCOMPLETE}{name}-{}", std::process::id()));
        if new.exists() {
            remove(&new)?;
        }
        make_folder(&new)?;
        for file in &files {
            let content = store.release_content(&file.digest)?;
            let bytes = content.filter(|bytes| content_digest(bytes) == file.digest);
            let bytes = bytes.ok_or_else(|| {
                damaged("the content of a file is not what was published").at(&*file.path)
            })?;
            write(&new.join(&file.path), file.is_program, &bytes)?;
        }
        fs::rename(&new, &folder).map_err(|error| Error::local("rename", &new, error))?;
        Ok(folder)
    }

    /// Removes the directories of earlier releases but the newest, and but those with a file among `needed`; and what was not
    /// written completely. No release is read meanwhile.
    pub fn prune(&self, needed: &[PathBuf]) -> Result<()> {
        let all = self.state.join(FOLDER);
        let Ok(entries) = fs::read_dir(&all) else { return Ok(()) };
        let mut found: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .collect();
        found.sort_by(|one, other| other.cmp(one));
        let is_incomplete = |path: &Path| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(INCOMPLETE.as_bytes()))
        };
        let (incomplete, found): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(_, path)| is_incomplete(path));
        incomplete.iter().try_for_each(|(_, path)| remove(path))?;
        let kept: BTreeSet<_> = found
            .iter()
            .filter(|(_, path)| needed.iter().any(|file| file.starts_with(path)))
            .map(|(_, path)| path.clone())
            .collect();
        let others = found.into_iter().map(|(_, path)| path).filter(|path| !kept.contains(path));
        others.skip(KEPT).try_for_each(|path| remove(&path))
    }
}

/// Returns true if a path leads nowhere but below the directory of the release.
fn is_inside(path: &str) -> bool {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !path.is_empty() && Path::new(path).components().all(is_plain)
}

fn is_whole(folder: &Path, file: &ReleaseFile) -> bool {
    let bytes = ops::read(folder.join(&file.path), BYTES_MAX);
    bytes.is_ok_and(|bytes| content_digest(&bytes) == file.digest)
}

/// Creates a directory and those above it; nobody else may enter the new ones.
fn make_folder(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::local("make the folder", path, error))
}

/// Writes a new file, with the directories above it: nobody else may read it, and a run does not write into it by mistake.
pub(super) fn write(path: &Path, is_program: bool, bytes: &[u8]) -> Result<()> {
    let cannot = |error| Error::local("write", path, error);
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    let mode = if is_program { 0o500 } else { 0o400 };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(cannot)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(cannot)
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(|error| Error::local("remove", folder, error))
}

fn damaged(message: &str) -> Error {
    let message = format!("{message}: publish it anew");
    Error::new(ErrorKind::Local, Origin::Here, message).with_name(FLEET_RELEASE_DAMAGED)
}

/// Returns a fault that says in which release it is.
fn within(what: &str, fault: Error) -> Error {
    Error { message: format!("{what} cannot be used here: {}", fault.message), ..fault }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use crate::store::releases::NewRelease;

    use super::*;

    fn published(folder: &Path, files: &[(&str, &str)]) -> (Store, PublishedRelease) {
        let mut store = Store::open(folder).unwrap();
        let file = |(path, content): &(&str, &str)| {
            let file = ReleaseFile {
                path: (*path).into(),
                digest: content_digest(content.as_bytes()),
                bytes: i64::try_from(content.len()).unwrap(),
                is_program: *path == "a/b.sh",
            };
            (file, content.as_bytes().to_vec())
        };
        let files: Vec<_> = files.iter().map(file).collect();
        let jobs_file = "jobs.toml".to_owned();
        let digest = release_digest(&jobs_file, files.iter().map(|(file, _)| file));
        let new = NewRelease { digest, jobs_file, format: FORMAT, files, ..NewRelease::default() };
        let found = store.publish(&new, Timestamp::UNIX_EPOCH).unwrap().0.unwrap();
        (store, found)
    }

    #[test]
    fn a_release_is_written_once_and_anew_if_a_file_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("a/b.sh", "x"), ("jobs.toml", "")];
        let (store, release) = published(folder.path(), &files);
        let place = StorePlace::Folder(folder.path().to_owned());
        let releases = ReleaseFolder { place, state: folder.path().join("state") };
        let found = releases.fetch(&store, &release).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&found), 0o700);
        assert_eq!((mode(&found.join("a/b.sh")), mode(&found.join("jobs.toml"))), (0o500, 0o400));
        fs::remove_file(found.join("a/b.sh")).unwrap();
        fs::write(found.join("a/b.sh"), "other").unwrap();
        assert_eq!(releases.fetch(&store, &release).unwrap(), found);
        assert_eq!(fs::read_to_string(found.join("a/b.sh")).unwrap(), "x");
        let newer = PublishedRelease { format: FORMAT + 1, ..release.clone() };
        let fault = releases.fetch(&store, &newer).unwrap_err();
        assert_eq!(fault.name, Some(FLEET_NEWER_RELEASE));
        let other = PublishedRelease { digest: "0".repeat(64), ..release };
        let fault = releases.fetch(&store, &other).unwrap_err();
        assert_eq!(fault.name, Some(FLEET_RELEASE_DAMAGED));
    }

    #[test]
    fn a_release_writes_no_file_outside_of_its_directory() {
        for path in ["../x", "/tmp/x", "a/../../x", ""] {
            let folder = tempfile::tempdir().unwrap();
            let (store, release) = published(folder.path(), &[("jobs.toml", ""), (path, "x")]);
            let place = StorePlace::Folder(folder.path().to_owned());
            let releases = ReleaseFolder { place, state: folder.path().join("state") };
            let fault = releases.fetch(&store, &release).unwrap_err();
            assert_eq!(fault.name, Some(FLEET_RELEASE_DAMAGED), "{path}");
            assert!(!folder.path().join("state").exists(), "{path}");
        }
    }

    #[test]
    fn the_newest_releases_and_those_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace::Folder(folder.path().to_owned());
        let releases = ReleaseFolder { place, state: folder.path().to_owned() };
        let all = folder.path().join(FOLDER);
        for (age, name) in ["f", ".new-x-1", "e", "d", "c", "b", "a"].iter().enumerate() {
            fs::create_dir_all(all.join(name)).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age as u64);
            File::open(all.join(name)).unwrap().set_modified(time).unwrap();
        }
        releases.prune(&[all.join("a/jobs.toml"), all.join("e/jobs.toml")]).unwrap();
        let mut left: Vec<_> = fs::read_dir(all)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["a", "c", "d", "e", "f"]);
    }
}
