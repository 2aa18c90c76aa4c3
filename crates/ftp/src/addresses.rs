//! The addresses that either side of a session reports, from which NAT is detected.

use std::net::IpAddr;

use super::{
    control::FtpCommand,
    data::{method::answer_time, nat_diagnosis::our_address_in},
    session::Session,
};
use portolan_core::error::Result;
use portolan_proto::{ReplyCode, Verb};

/// The addresses that either side reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The local address, as the local host knows it.
    pub ours: IpAddr,
    /// The server's address, as the local host knows it.
    pub server: IpAddr,
    /// The local address as the server sees it, if its greeting or its STAT reports it.
    pub seen_as: Option<IpAddr>,
    /// The address in the server's reply to PASV, if there is one.
    pub server_says: Option<IpAddr>,
    /// True if the control connection is encrypted.
    pub is_encrypted: bool,
    /// The greeting and the reply to STAT, in which most servers name their software.
    pub software: String,
}

impl Session {
    /// Asks the server by STAT and PASV, neither of which moves data, for the addresses that it sees. Fails if the
    /// connection does; a server without such a command leaves the field `None`.
    pub async fn addresses(&mut self) -> Result<Addresses> {
        self.ensure().await?;
        let ours = self.control.local.ip().to_canonical();
        let server = self.control.peer.ip().to_canonical();
        let time = answer_time(self.data_path.profile.round_trip(), self.site.connect_timeout);
        let said = self.control.ask_within(time, &FtpCommand::bare(Verb::Stat)).await;
        let status = said.map(|reply| reply.text()).unwrap_or_default();
        let software = format!("{}\n{status}", self.control.greeting);
        let seen_as = self.data_path.ours_there().or_else(|| our_address_in(&status, server));
        self.ensure().await?;
        let mut server_says = None;
        if server.is_ipv4() && self.site.proxy.is_none() {
            let said = self.control.ask_within(time, &FtpCommand::bare(Verb::Pasv)).await;
            let reply = said.ok().filter(|reply| reply.code == ReplyCode::PASSIVE_MODE);
            server_says = reply.and_then(|it| it.passive_address()).map(|(ip, _)| ip.into());
            self.ensure().await?;
        }
        let is_encrypted = self.security.is_some();
        Ok(Addresses { ours, server, seen_as, server_says, is_encrypted, software })
    }
}
