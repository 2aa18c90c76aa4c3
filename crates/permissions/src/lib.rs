//! The permissions of scripts: the hosts, paths, programs and names that the user allows.
//!
//! [`PermissionOptions`] are the flags of `portolan run` and the keys of `[job.permissions]`; [`RunPermissions`] are what
//! functions of scripts ask. Each question has the form `permissions.allow_x(what)` and is answered by `Ok`, or by an
//! error of the kind `denied_by_policy` that names the flag and the key which would allow it.
//!
//! Without any permission all is allowed but `http`, `run` and `nat`, which always have to be. With one of them,
//! everything that is not named is refused.

mod denial;
mod host;
#[cfg(debug_assertions)]
pub mod hostile;
pub mod http_resolver;
mod names;
mod options;
mod path;
mod program;
pub mod sandbox;
mod usage;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use portolan_core::error::Result;

use self::{
    denial::denied,
    host::{HostGrant, is_inward},
    names::matches_name,
    path::PathGrant,
    program::ProgramGrant,
};
pub use self::{
    options::{PERMISSIONS, PermissionKind, PermissionOptions},
    usage::{PermissionSet, PermissionUsage},
};

/// The code of refusals of NAT, which was there before other permissions.
const NAT_CODE: &str = "nat.not_allowed";

/// The message for a script that changes NAT in a run without permissions: `[job.permissions]` would restrict the rest.
const NAT_NOT_ALLOWED: &str = "this script may not change NAT: run it with `--allow-nat`, or give its job `allow = [\"nat\"]`";

/// The permissions of a run.
#[derive(Debug, Clone, Default)]
pub struct RunPermissions {
    /// True if what is not named is refused.
    is_named: bool,
    net: Vec<HostGrant>,
    http: Vec<HostGrant>,
    read: Vec<PathGrant>,
    write: Vec<PathGrant>,
    delete: Vec<PathGrant>,
    run: Vec<ProgramGrant>,
    env: Vec<String>,
    secret: Vec<String>,
    remote_delete: bool,
    nat: bool,
    /// The directory from which relative paths count.
    base: PathBuf,
    usage: Option<Arc<PermissionUsage>>,
    /// Temporary directories of the run, which it may use as it likes.
    scratch: Arc<Mutex<Vec<PathBuf>>>,
}

impl RunPermissions {
    /// Creates the permissions that `options` name. Relative paths count from `base`. With `is_named`, everything that
    /// is not named is refused, even if nothing is named.
    ///
    /// # Errors
    ///
    /// `invalid` for a host, path or name that cannot be one.
    pub fn new(options: &PermissionOptions, base: &Path, is_named: bool) -> Result<Self> {
        let paths = |texts: &[String]| -> Result<Vec<PathGrant>> {
            texts.iter().map(|text| PathGrant::new(text, base)).collect()
        };
        let hosts = |texts: &[String]| -> Result<Vec<HostGrant>> {
            texts.iter().map(|text| HostGrant::parse(text)).collect()
        };
        Ok(Self {
            is_named,
            net: hosts(&options.net)?,
            http: hosts(&options.http)?,
            read: paths(&options.read)?,
            write: paths(&options.write)?,
            delete: paths(&options.delete)?,
            run: options.run.iter().map(|text| ProgramGrant::new(text, base)).collect(),
            env: options.env.clone(),
            secret: options.secret.clone(),
            remote_delete: options.remote_delete,
            nat: options.nat,
            base: base.to_owned(),
            usage: None,
            scratch: Arc::default(),
        })
    }

    /// Records from now on in `usage` what is asked.
    #[must_use]
    pub fn recorded(self, usage: Arc<PermissionUsage>) -> Self {
        Self { usage: Some(usage), ..self }
    }

    /// Allows everything in `folder`, a temporary directory of the run.
    pub fn add_scratch(&self, folder: &Path) {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
    }

    fn is_scratch(&self, place: &Path) -> bool {
        let folders = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        folders.iter().any(|folder| place.starts_with(folder))
    }

    /// Returns true if what is not named is refused.
    pub const fn is_named(&self) -> bool {
        self.is_named
    }

    /// Returns true if the script may change NAT, without recording it as used.
    pub const fn has_nat(&self) -> bool {
        self.nat
    }

    /// Returns true if the script may start programs, those of NAT included, without recording it as used.
    pub fn has_programs(&self) -> bool {
        self.nat || !self.run.is_empty()
    }

    /// Returns true if the script may connect with `host`, without recording it as used.
    pub fn has_net(&self, host: &str, port: u16) -> bool {
        !self.is_named || self.net.iter().any(|one| one.matches(host, port))
    }

    /// Returns true if a host is allowed by its name, which has to be resolved.
    fn names_hosts(&self) -> bool {
        self.net.iter().chain(&self.http).any(|one| !one.is_address())
    }

    /// Decides about a connection with the FTP server `host`, as it was named.
    pub fn allow_net(&self, host: &str, port: u16) -> Result<()> {
        let is_granted = self.has_net(host, port);
        self.decide(PermissionKind::Net, &host::with_port(host, port), is_granted)
    }

    /// Decides about the address to which the FTP server `host` resolves: one that a wildcard allows may not lead back
    /// into this host or its link.
    pub fn allow_net_address(&self, host: &str, port: u16, address: IpAddr) -> Result<()> {
        let exact = |one: &HostGrant| !one.is_wildcard() && one.matches(host, port);
        let is_granted = !self.is_named
            || !is_inward(address)
            || self.net.iter().any(exact)
            || self.net.iter().any(|one| one.names_address(address, port));
        self.decide_unless(is_granted, PermissionKind::Net, &host::address_with_port(address, port))
    }

    /// Decides about an HTTP request to `host`, as it was named in the URL or in a redirect.
    pub fn allow_http(&self, host: &str, port: u16) -> Result<()> {
        let is_granted = self.http.iter().any(|one| one.matches(host, port));
        self.decide(PermissionKind::Http, &host::with_port(host, port), is_granted)
    }

    /// Decides about the address to which the HTTP server `host` resolves: loopback, link-local and other addresses of
    /// this host and its link have to be named, as an address or as `localhost`.
    pub fn allow_http_address(&self, host: &str, port: u16, address: IpAddr) -> Result<()> {
        let is_local = |one: &HostGrant| one.is_localhost() && one.matches(host, port);
        let is_granted = !is_inward(address)
            || self.http.iter().any(|one| one.names_address(address, port))
            || (host::is_loopback(address) && self.http.iter().any(is_local));
        let asked = host::address_with_port(address, port);
        self.decide_unless(is_granted, PermissionKind::Http, &asked)
    }

    /// Decides about reading the file or directory `path`.
    pub fn allow_read(&self, path: &Path) -> Result<()> {
        self.path(PermissionKind::Read, &self.read, path, true)
    }

    /// Decides about creating or changing the file or directory `path`, and what is below it.
    pub fn allow_write(&self, path: &Path) -> Result<()> {
        // The name itself is replaced, or what a link in its place leads to is written: both have to be allowed.
        self.path(PermissionKind::Write, &self.write, path, false)?;
        self.path(PermissionKind::Write, &self.write, path, true)
    }

    /// Decides about removing the file or directory `path`, or what is below it.
    pub fn allow_delete(&self, path: &Path) -> Result<()> {
        self.path(PermissionKind::Delete, &self.delete, path, false)
    }

    /// Decides about removing files and directories of servers.
    pub fn allow_remote_delete(&self) -> Result<()> {
        let is_granted = !self.is_named || self.remote_delete;
        self.decide(PermissionKind::RemoteDelete, "", is_granted)
    }

    /// Decides about starting `program`, the first word of a command. Returns the file to start: searched for in `PATH`
    /// here and nowhere else, so that what is started is what was allowed. `None` if there is no such program.
    pub fn allow_run(&self, program: &str) -> Result<Option<PathBuf>> {
        let found = program::find(program, &self.base);
        let is_granted = self.run.iter().any(|one| one.matches(program, found.as_deref()));
        self.decide(PermissionKind::Run, program, is_granted)?;
        Ok(found)
    }

    /// Decides about reading the environment variable `name`.
    pub fn allow_env(&self, name: &str) -> Result<()> {
        let is_granted = !self.is_named || self.env.iter().any(|one| matches_name(one, name));
        self.decide(PermissionKind::Env, name, is_granted)
    }

    /// Returns true if a program that the script starts inherits the variable `name` of the environment: with
    /// permissions only those that programs need to work at all, and those that are allowed.
    pub fn passes_env(&self, name: &str) -> bool {
        !self.is_named
            || names::is_common(name)
            || self.env.iter().any(|one| matches_name(one, name))
    }

    /// Decides about reading the secret `name`.
    pub fn allow_secret(&self, name: &str) -> Result<()> {
        let is_granted = !self.is_named || self.secret.iter().any(|one| matches_name(one, name));
        self.decide(PermissionKind::Secret, name, is_granted)
    }

    /// Decides about changing the NAT rules of this host.
    pub fn allow_nat(&self) -> Result<()> {
        self.decide(PermissionKind::Nat, "", self.nat).map_err(|mut error| {
            if !self.is_named {
                NAT_NOT_ALLOWED.clone_into(&mut error.message);
            }
            error.with_name(NAT_CODE)
        })
    }

    /// Decides about asking this host or its router about NAT, which changes nothing.
    pub fn allow_nat_questions(&self) -> Result<()> {
        let is_granted = !self.is_named || self.nat;
        let decided = self.decide(PermissionKind::Nat, "", is_granted);
        decided.map_err(|error| error.with_name(NAT_CODE))
    }

    fn path(
        &self,
        kind: PermissionKind,
        grants: &[PathGrant],
        path: &Path,
        follows: bool,
    ) -> Result<()> {
        if !self.is_named && self.usage.is_none() {
            return Ok(());
        }
        let place = path::place(&self.base, path, follows);
        if place.as_ref().is_some_and(|place| self.is_scratch(place)) {
            return Ok(());
        }
        let is_granted = !self.is_named
            || place.as_ref().is_some_and(|place| grants.iter().any(|one| one.covers(place)));
        let asked = path::shown(&self.base, path, place.as_deref());
        self.decide(kind, &asked, is_granted)
    }

    fn decide(&self, kind: PermissionKind, asked: &str, is_granted: bool) -> Result<()> {
        if let Some(usage) = &self.usage {
            usage.record(kind, asked, is_granted);
        }
        if is_granted { Ok(()) } else { Err(denied(kind, asked)) }
    }

    /// Decides about something that follows from what was recorded before.
    fn decide_unless(&self, is_granted: bool, kind: PermissionKind, asked: &str) -> Result<()> {
        if is_granted { Ok(()) } else { self.decide(kind, asked, false) }
    }
}

#[cfg(test)]
mod tests;
