//! The options for the state directory.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use crate::{
    clock::Clock,
    error::Result,
    nat::{network_cookie, portmap::LeaseJournal, ruleset_store::RulesetStore},
    observe::EventEmitter,
    state_adapter::{StateAdapter, nat::NatLedger},
    store,
};

/// The options for persistent state.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct StateOptions {
    /// Directory for persistent state [default: $PORTOLAN_STATE, else portolan in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long = "state", global = true, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Neither use nor record what runs learn about servers
    #[arg(long, global = true)]
    no_memory: bool,
}

impl StateOptions {
    /// Returns the same options with another directory.
    pub(super) fn at(&self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self.clone() }
    }

    /// Returns the directory that the user names, by `--state` or `PORTOLAN_STATE`.
    pub(super) fn named(&self) -> Option<PathBuf> {
        self.folder.clone().or_else(|| folder_of("PORTOLAN_STATE"))
    }

    /// Returns the store of server records; `None` if it is disabled or there is no state directory. Fails only for a
    /// directory that `--state` names.
    pub(super) fn memory(
        &self,
        observer: &EventEmitter,
        clock: &Clock,
    ) -> Result<Option<Arc<StateAdapter>>> {
        let (observer, clock) = (observer.clone(), clock.clone());
        if self.no_memory {
            return Ok(None);
        }
        let memory = if let Some(folder) = &self.folder {
            store::make_folder(folder)?;
            StateAdapter::named(folder, observer, clock)
        } else if let Some(folder) = folder_of("PORTOLAN_STATE") {
            StateAdapter::named(&folder, observer, clock)
        } else if let Some(folder) = usual_folder(|name| env::var_os(name)) {
            StateAdapter::usual(&folder, observer, clock)
        } else {
            tracing::debug!(target: "portolan", "nothing is remembered: there is no home folder");
            return Ok(None);
        };
        Ok(Some(Arc::new(memory)))
    }
}

impl StateOptions {
    /// Returns the store of NAT undo records, also with `--no-memory`; `None` if there is no state directory. For root it
    /// is one place, whatever the home directory: a trial that was begun under `sudo` is confirmed in a login of root.
    pub(super) fn ledger(&self, clock: Clock) -> Option<Arc<dyn RulesetStore>> {
        let named = self.folder.clone().or_else(|| folder_of("PORTOLAN_STATE"));
        let usual = usual();
        let mut folders = match named {
            Some(named) => vec![named],
            None => roots_folders().into_iter().chain(usual).collect(),
        }
        .into_iter();
        let ledger = NatLedger::new(&folders.next()?, clock);
        Some(Arc::new(folders.fold(ledger, |ledger, older| ledger.with_older(&older))))
    }

    /// Returns the journal of router leases, also with `--no-memory`; `None` if there is no state directory.
    pub(super) fn book(&self) -> Option<LeaseJournal> {
        self.named_or_usual().map(|folder| LeaseJournal::in_state(&folder))
    }

    /// Returns the directory for the history of the prompt and of runs; `None` if nothing may be kept.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        if self.no_memory { None } else { self.named_or_usual() }
    }

    fn named_or_usual(&self) -> Option<PathBuf> {
        let named = self.folder.clone().or_else(|| folder_of("PORTOLAN_STATE"));
        named.or_else(|| usual_folder(|name| env::var_os(name)))
    }
}

/// The directory of root's NAT records, for the host's network and for others, whose rules end with them.
const ROOTS_FOLDER: &str = "/var/lib/portolan";
const ROOTS_FOLDER_OF_OTHERS: &str = "/run/portolan";

/// Returns the directory of root's NAT records, and behind it those of earlier versions: `/var/lib/portolan`, or one in
/// `/run` for another network than that of the host. None for other users, and where root may not write there, such as in
/// a user namespace.
fn roots_folders() -> Vec<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let own = network_of(std::process::id());
    let mut folders = match (own, hosts_network()) {
        (Some(own), Some(host)) if own != host => folders_of(own, network_cookie(), boot_id()),
        _ => vec![PathBuf::from(ROOTS_FOLDER)],
    };
    let may_write = |folder: &PathBuf| {
        let above = folder.ancestors().find(|above| above.is_dir());
        above.is_some_and(|above| rustix::fs::access(above, rustix::fs::Access::WRITE_OK).is_ok())
    };
    if !folders.first().is_some_and(may_write) {
        folders.clear();
    }
    folders
}

/// Returns the directory for the network namespace of this inode, and that of earlier versions. The number of an inode is
/// met again: the cookie is not until the host starts anew, and the boot tells that. If either is unknown, the inode is
/// all there is.
fn folders_of(inode: u64, cookie: Option<u64>, boot: Option<String>) -> Vec<PathBuf> {
    let above = Path::new(ROOTS_FOLDER_OF_OTHERS);
    let own = cookie.zip(boot).map(|(cookie, boot)| format!("net-{inode}-{boot}-{cookie}"));
    own.into_iter().chain([format!("net-{inode}")]).map(|name| above.join(name)).collect()
}

/// Returns a number of this start of the host.
fn boot_id() -> Option<String> {
    /// Half of its digits are enough to tell starts apart.
    const DIGITS: usize = 16;
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(DIGITS).collect();
    (digits.len() == DIGITS).then_some(digits)
}

/// Returns the number of the network namespace of a process, if it may be read.
fn network_of(process: u32) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/net")).ok().map(|found| found.ino())
}

/// Returns the number of the host's network namespace: that of the first process, or of the highest ancestor of this one
/// that may be read.
fn hosts_network() -> Option<u64> {
    const ANCESTORS_MAX: usize = 64;
    let parent = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name in brackets may contain anything; the state and the parent follow.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let ancestors = std::iter::successors(Some(std::process::id()), parent).take(ANCESTORS_MAX);
    network_of(1).or_else(|| ancestors.filter_map(network_of).last())
}

fn folder_of(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Returns the default state directory.
pub(super) fn usual() -> Option<PathBuf> {
    usual_folder(|name| env::var_os(name))
}

/// Returns the default state directory (the XDG base directory specification: relative paths do not count).
fn usual_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    Some(state?.join("portolan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_network_are_not_those_of_a_later_one_with_its_inode() {
        let names = |cookie, boot: &str| {
            let folders = folders_of(7, cookie, Some(boot.to_owned()));
            folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>()
        };
        let first = names(Some(831), "ab12");
        assert_eq!(first, ["/run/portolan/net-7-ab12-831", "/run/portolan/net-7"]);
        assert_ne!(names(Some(832), "ab12")[0], first[0]);
        assert_ne!(names(Some(831), "cd34")[0], first[0]);
        assert_eq!(names(None, "ab12"), ["/run/portolan/net-7"]);
        assert!(boot_id().is_none_or(|id| id.len() == 16));
    }

    #[test]
    fn state_is_kept_where_the_system_wants_it() {
        for (xdg, home, wanted) in [
            (Some("/state"), Some("/home/me"), Some("/state/portolan")),
            (Some("state"), Some("/home/me"), Some("/home/me/.local/state/portolan")),
            (Some(""), Some("/home/me"), Some("/home/me/.local/state/portolan")),
            (None, Some("/home/me"), Some("/home/me/.local/state/portolan")),
            (None, Some(""), None),
            (None, None, None),
        ] {
            let variable = |name: &str| if name == "HOME" { home } else { xdg }.map(OsString::from);
            assert_eq!(usual_folder(variable), wanted.map(PathBuf::from), "{xdg:?} {home:?}");
        }
    }
}
