//! The observations of a server in one run.

use std::{net::IpAddr, time::Duration};

use super::SharedMethod;
use crate::{
    data::address::PasvHint, list_command::ListCommand, server_store::ServerHandle,
    tls::TlsVersions,
};
use portolan_proto::Verb;

/// An ability of a server, as far as it was observed. What was refuted once stays refuted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Support {
    /// It was not observed.
    #[default]
    Unknown,
    /// The server has shown it.
    Proven,
    /// The server failed once.
    Refuted,
}

/// The order of a server's replies to commands that are sent before the end of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyOrder {
    /// It was kept, in so many transfers.
    Kept(u8),
    /// It was not kept once, or may not have been.
    Doubted,
}

impl Default for ReplyOrder {
    fn default() -> Self {
        Self::Kept(0)
    }
}

/// The observations.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is another observation")]
pub(super) struct Learned {
    /// The order at the end of downloads and listings.
    pub(super) downloads: ReplyOrder,
    /// The order at the end of uploads: a server may poll the control connection while it still receives data.
    pub(super) uploads: ReplyOrder,
    /// The agreement of STAT listings over the control connection with LIST.
    pub(super) stat_listing: Support,
    /// True if only an earlier run has found that they agree.
    pub(super) remembers_stat_listing: bool,
    /// The commands for listings: those with which it has shown entries, and those that it refused, or that showed nothing,
    /// when another showed entries.
    pub(super) list_commands: [Support; ListCommand::ALL.len()],
    /// A login in one packet: only user and password are requested.
    pub(super) one_packet_login: Support,
    /// Temporary names that begin with a dot.
    pub(super) dotted_names: Support,
    /// Set once it has renamed a temporary file.
    pub(super) has_renamed: bool,
    /// True if it refuses temporary names or renames, and accepts final names.
    pub(super) wants_in_place: bool,
    /// True if an earlier run has found that out.
    pub(super) remembers_in_place: bool,
    /// The number of sessions at a time beyond which it refused one; 0 if it never did.
    pub(super) sessions_max: u16,
    /// The agreement of the times in its listings with its MDTM.
    pub(super) listed_times: Support,
    /// Long names: it keeps them whole, or shortens them.
    pub(super) long_names: Support,
    /// SIZE: it reports none for a name that does not exist.
    pub(super) true_sizes: Support,
    /// True if EPRT or PORT must be answered before the transfer command is sent.
    pub(super) separate_ports: bool,
    /// The versions of TLS with which its data connections work.
    pub(super) tls_versions: TlsVersions,
    /// The knowledge about its own address for data.
    pub(super) pasv_hint: PasvHint,
    /// The one of its addresses that answers when an earlier one in the list does not.
    pub(super) second_address: Option<IpAddr>,
    /// The shortest time that a reply has taken: close to the round-trip time, whatever else the server was busy with.
    pub(super) round_trip: Option<Duration>,
    /// The method that carried data last.
    pub(super) method: Option<SharedMethod>,
    /// The record of earlier runs, to be updated for later ones.
    pub(super) record: Option<ServerHandle>,
}

impl Learned {
    pub(super) fn order_of(&mut self, verb: Verb) -> &mut ReplyOrder {
        if verb.is_upload() { &mut self.uploads } else { &mut self.downloads }
    }

    pub(super) fn list_command(&mut self, command: ListCommand) -> &mut Support {
        let [facts, list_all, list, status, names] = &mut self.list_commands;
        match command {
            ListCommand::Facts => facts,
            ListCommand::ListAll => list_all,
            ListCommand::List => list,
            ListCommand::Status => status,
            ListCommand::Names => names,
        }
    }
}

impl Support {
    /// Records a success or a failure.
    pub(super) fn observe(&mut self, is_good: bool) {
        *self = (*self).max(if is_good { Self::Proven } else { Self::Refuted });
    }
}
