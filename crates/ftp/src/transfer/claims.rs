//! Temporary names that stay the same in each run, until the server has renamed a file.
//!
//! A server that refuses both to rename and to delete keeps the temporary file. With a new name in each run such files
//! would accumulate; with the same name the file is overwritten. Two runs must not write to one name at the same time:
//! each claims it as the name of a local abstract socket, which the system releases when the program ends, in whatever
//! way.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::ByteSource;
use crate::{path::RemotePath, session::Session};
use portolan_core::encoding::to_hex;
use portolan_remote::pending::NameClaim;

impl Session {
    /// Returns the temporary name for `source` on its way to `remote`, and the claim on it if another run would choose
    /// the same name. It is a new one if another process `is_beside` this one with the same target.
    pub(super) fn first_name(
        &self,
        source: &impl ByteSource,
        remote: &RemotePath,
        is_beside: bool,
    ) -> (String, Option<NameClaim>) {
        let lasting = || {
            // Short names of other files could be the same.
            if is_beside || self.data_path.profile.has_renamed() || self.wants_short_names() {
                return None;
            }
            let identity = self.identity_here(&source.identity()?, remote)?;
            let claim = claim(&identity)?;
            Some((self.lasting_name_of(&identity), Some(claim)))
        };
        lasting().unwrap_or_else(|| (self.temporary_name(), None))
    }

    /// Returns a hash that tells an upload from those of other hosts and to other destinations.
    fn identity_here(&self, source: &[u8], remote: &RemotePath) -> Option<[u8; 32]> {
        // Containers of one host have network namespaces of their own, and with them their own sockets.
        let machine = std::fs::read("/etc/machine-id")
            .or_else(|_| std::fs::read("/proc/sys/kernel/random/boot_id"))
            .ok()?;
        let network = std::fs::read_link("/proc/self/ns/net").ok()?;
        let name = std::fs::read("/proc/sys/kernel/hostname").ok()?;
        let (host, port, user) = (&self.site.host, self.site.port, &self.site.user);
        let mut hasher = Sha256::new();
        for part in [
            machine.as_slice(),
            name.as_slice(),
            network.as_os_str().as_encoded_bytes(),
            format!("{host} {port} {user}").as_bytes(),
            remote.as_bytes(),
            source,
        ] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Some(hasher.finalize().into())
    }
}

/// The records of temporary files whose names do not tell whose they are.
impl Session {
    /// Opens the record of uploads to `remote`, and removes what an upload that was killed has left of it. Returns true
    /// if another process is uploading to the same target.
    pub(super) async fn begin_record(&mut self, remote: &RemotePath) -> bool {
        // The names of mirrors tell whose they are.
        if !self.is_unmarked() && !self.wants_short_names() {
            return false;
        }
        let (records, server) = (&self.context.temps, self.server_text());
        let Some(path) = records.path(&server, remote) else { return false };
        let Some(left) = records.open(&path, &server) else { return true };
        let left: Vec<_> = left.iter().collect();
        if !left.is_empty() {
            self.cleanup_temps(&left).await;
        }
        false
    }

    /// Records that an upload to `remote` goes to `temporary`.
    pub(super) fn record_temp(&self, remote: &RemotePath, temporary: &RemotePath) {
        let records = &self.context.temps;
        if !records.is_empty()
            && let Some(path) = records.path(&self.server_text(), remote)
        {
            records.add(&path, temporary);
        }
    }

    /// Records that `temporary` is no longer on the server.
    pub(crate) fn forget_temp(&self, temporary: &RemotePath) {
        if !self.context.temps.is_empty() {
            self.context.temps.remove(&self.server_text(), temporary);
        }
    }

    /// Returns the temporary files that killed processes of this host have left on the server.
    pub(crate) fn left_temps(&self) -> Vec<RemotePath> {
        self.context.temps.take_over(&self.server_text())
    }

    fn server_text(&self) -> String {
        let (host, user) = (self.site.host.to_ascii_lowercase(), to_hex(&self.site.user));
        format!("{host} {} {user}", self.site.port)
    }
}

/// Claims the name of this identity; `None` if another run has it.
fn claim(identity: &[u8; 32]) -> Option<NameClaim> {
    let name = format!("portolan-{}", to_hex(identity));
    let address = SocketAddr::from_abstract_name(name).ok()?;
    UnixListener::bind_addr(&address).ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_claimed_once_at_a_time() {
        let identity: [u8; 32] = Sha256::digest(format!("{}", std::process::id())).into();
        let first = claim(&identity).unwrap();
        assert!(claim(&identity).is_none());
        assert!(claim(&[7; 32]).is_some());
        drop(first);
        assert!(claim(&identity).is_some());
    }
}
