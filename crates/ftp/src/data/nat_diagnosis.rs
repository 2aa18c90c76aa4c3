//! Diagnosis of NAT from failed data connections. Pure: takes the observed addresses and returns a clause of
//! explanation, or `None` if nothing is known.

use crate::reply::CausedByReply as _;
use std::net::{IpAddr, Ipv4Addr};

use super::address::{is_carriers, is_internal, is_unroutable};
use crate::reply::Reply;
use portolan_core::error::{Error, ErrorKind, Origin};
use portolan_proto::ReplyCode;

/// The addresses that a session has observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedAddresses {
    /// The local address of the control connection.
    pub ours: IpAddr,
    /// The server's address on the control connection.
    pub peer: IpAddr,
    /// The client's address as the server sees it, if its greeting or its STAT reply names it.
    pub ours_there: Option<IpAddr>,
    /// The address that `external_address` advertises instead of the local one.
    pub announced: Option<IpAddr>,
    /// The address that the server named in its reply to PASV.
    pub named: Option<Ipv4Addr>,
}

impl ObservedAddresses {
    /// Returns a reason why a data connection of active or passive mode may have failed with `error`.
    pub fn explain(&self, is_active: bool, error: &Error) -> Option<String> {
        if sees_two_addresses(error) {
            return Some(TWO_ADDRESSES.to_owned());
        }
        if !is_active {
            return self.explain_passive();
        }
        if is_about_the_address(error) { self.explain_active() } else { None }
    }

    /// Returns true if the client's address as the server sees it could explain what `explain` cannot.
    pub fn wants_ours_there(&self, error: &Error) -> bool {
        self.ours_there.is_none()
            && !self.ours.is_loopback()
            && is_about_the_address(error)
            && self.explain_known().is_none()
    }

    /// Explains with known facts, or else with a private local address: behind NAT or not, it cannot be reached from
    /// outside.
    fn explain_active(&self) -> Option<String> {
        let Self { ours, peer, .. } = *self;
        self.explain_known().or_else(|| {
            (self.announced.is_none()
                && self.ours_there.is_none()
                && is_internal(ours)
                && !is_unroutable(peer))
            .then(|| {
                format!("this machine's address {ours} is private: from outside it is not reached")
            })
        })
    }

    fn explain_known(&self) -> Option<String> {
        let Self { ours, ours_there, announced, .. } = *self;
        let there = ours_there.filter(|there| *there != ours);
        if let Some(announced) = announced {
            let there = there.filter(|there| *there != announced)?;
            return Some(format!(
                "`external_address` is {announced}, and the server sees this machine as {there}"
            ));
        }
        let carriers = |address| matches!(address, IpAddr::V4(v4) if is_carriers(v4));
        if let Some(there) = there.filter(|_| self.has_balancer()) {
            return Some(format!(
                "a load balancer or proxy stands before the server, which sees this machine as {there}"
            ));
        }
        if carriers(ours) {
            return Some(format!("this machine is behind carrier-grade NAT: {ours} is shared"));
        }
        let there = there?;
        let grade = if carriers(there) { "carrier-grade NAT" } else { "NAT" };
        Some(format!("this machine is behind {grade}: the server sees it as {there}"))
    }

    /// Returns true if the server sees clients at an address of its own side: no NAT of the client has a private outside
    /// address towards a public server.
    fn has_balancer(&self) -> bool {
        let is_private = |address| match address {
            IpAddr::V4(v4) => is_unroutable(address) && !is_carriers(v4),
            IpAddr::V6(_) => is_unroutable(address),
        };
        !is_unroutable(self.peer)
            && self.ours_there.is_some_and(|there| there != self.ours && is_private(there))
    }

    fn explain_passive(&self) -> Option<String> {
        let named = self.named?;
        (is_unroutable(named.into()) && !is_unroutable(self.peer))
            .then(|| format!("the server is behind NAT: its PASV names {named}"))
    }
}

/// The message for control and data connections that come from two addresses.
const TWO_ADDRESSES: &str = "the server sees two addresses of this machine: the control connection comes from one, the \
    data connection from another, as with two uplinks or a NAT with several addresses";

/// Returns true if the server refused a data connection because it came from another address.
pub fn sees_two_addresses(error: &Error) -> bool {
    matches!(
        error.reply_code(),
        ReplyCode::SERVICE_UNAVAILABLE | ReplyCode::CANNOT_OPEN_DATA | ReplyCode::TRANSFER_ABORTED
    ) && error.side == Origin::Server
        && Reply::sees_two_addresses(&error.message)
}

/// Returns true if a failure of active mode can be due to a wrong address: no connection arrived, or the server refused
/// the address.
fn is_about_the_address(error: &Error) -> bool {
    if error.side == Origin::Here || error.kind == ErrorKind::Tls {
        return false;
    }
    let code = error.reply_code();
    let concerns_data = matches!(code, ReplyCode::CANNOT_OPEN_DATA | ReplyCode::TRANSFER_ABORTED);
    if error.code == 0 || concerns_data {
        return true;
    }
    let words = error.message.to_ascii_lowercase();
    let speaks = ["illegal", "address", "invalid", "foreign", "bounce", "private", "connection to"];
    matches!(
        error.reply_code(),
        ReplyCode::UNKNOWN_COMMAND
            | ReplyCode::BAD_ARGUMENT
            | ReplyCode::NOT_IMPLEMENTED_FOR
            | ReplyCode::FILE_UNAVAILABLE
    ) && speaks.iter().any(|word| words.contains(word))
}

/// Finds the client's address in a server's text: vsftpd's STAT has `Connected to ::ffff:192.0.2.7`, others
/// `connected from`, and greetings `your IP address is`. `text` is a reply in one line, its lines separated by ` / `.
pub fn our_address_in(text: &str, peer: IpAddr) -> Option<IpAddr> {
    let speaks_of_us = ["connected", "client", "your ip", "your address", "from "];
    text.split(" / ")
        .filter(|line| {
            let line = line.to_ascii_lowercase();
            speaks_of_us.iter().any(|words| line.contains(words))
        })
        .flat_map(|line| line.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':'))
        .filter_map(|word| word.trim_end_matches(['.', ':']).parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .find(|address| *address != peer.to_canonical() && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ours: &str, peer: &str) -> ObservedAddresses {
        let (ours, peer) = (ours.parse().unwrap(), peer.parse().unwrap());
        ObservedAddresses { ours, peer, ours_there: None, announced: None, named: None }
    }

    fn fault(code: u16, message: &str) -> Error {
        Error { code, ..Error::new(ErrorKind::DataConnection, Origin::Server, message) }
    }

    #[test]
    fn our_own_nat_is_told_from_addresses() {
        let peer = "203.0.113.10";
        for (ours, there, announced, told) in [
            (
                "192.168.1.5",
                None,
                None,
                "this machine's address 192.168.1.5 is private: from outside it is not reached",
            ),
            // In a routed network without NAT the address is private as well.
            ("192.168.1.5", Some("192.168.1.5"), None, ""),
            (
                "192.168.1.5",
                Some("198.51.100.7"),
                None,
                "this machine is behind NAT: the server sees it as 198.51.100.7",
            ),
            (
                "100.64.3.4",
                None,
                None,
                "this machine is behind carrier-grade NAT: 100.64.3.4 is shared",
            ),
            (
                "192.168.1.5",
                Some("100.99.3.4"),
                None,
                "this machine is behind carrier-grade NAT: the server sees it as 100.99.3.4",
            ),
            (
                "192.168.1.5",
                Some("198.51.100.7"),
                Some("198.51.100.8"),
                "`external_address` is 198.51.100.8, and the server sees this machine as \
                 198.51.100.7",
            ),
            ("192.168.1.5", Some("198.51.100.7"), Some("198.51.100.7"), ""),
            ("198.51.100.7", None, None, ""),
            (
                "198.51.100.7",
                Some("192.168.0.1"),
                None,
                "a load balancer or proxy stands before the server, which sees this machine as 192.168.0.1",
            ),
            ("198.51.100.7", Some("198.51.100.7"), None, ""),
        ] {
            let parse = |text: Option<&str>| text.map(|text| text.parse().unwrap());
            let seen = ObservedAddresses {
                ours_there: parse(there),
                announced: parse(announced),
                ..seen(ours, peer)
            };
            let why = seen.explain(true, &fault(0, "never came")).unwrap_or_default();
            assert_eq!(why, told);
        }
        let neighbours = seen("192.168.1.5", "192.168.1.9");
        assert_eq!(neighbours.explain(true, &fault(425, "no")), None);
        assert!(neighbours.wants_ours_there(&fault(425, "no")));
        assert!(!seen("127.0.0.1", "127.0.0.1").wants_ours_there(&fault(425, "no")));
    }

    #[test]
    fn what_has_nothing_to_do_with_addresses_is_not_laid_on_nat() {
        let seen = seen("192.168.1.5", "203.0.113.10");
        for (error, is_nat) in [
            (fault(500, "the server said \"500 Illegal PORT command.\""), true),
            (fault(501, "the server said \"501 Bad IP address\""), true),
            (fault(500, "I won't open a connection to 192.168.1.5 (only to 1.2.3.4)"), true),
            (fault(502, "the server said \"502 Command not implemented.\""), false),
            (fault(500, "the server said \"500 Unknown command.\""), false),
            (Error { side: Origin::Here, ..fault(0, "no free port in 5-6") }, false),
            (Error { kind: ErrorKind::Tls, ..fault(522, "reuse required") }, false),
        ] {
            assert_eq!(seen.explain(true, &error).is_some(), is_nat, "{}", error.message);
        }
    }

    #[test]
    fn the_servers_nat_is_told_from_its_reply_to_pasv() {
        let mut seen = seen("192.168.1.5", "203.0.113.10");
        assert_eq!(seen.explain(false, &fault(0, "x")), None);
        seen.named = Some(Ipv4Addr::new(10, 20, 30, 5));
        let why = "the server is behind NAT: its PASV names 10.20.30.5";
        assert_eq!(seen.explain(false, &fault(0, "x")).as_deref(), Some(why));
        seen.named = Some(Ipv4Addr::new(203, 0, 113, 10));
        assert_eq!(seen.explain(false, &fault(0, "x")), None);
    }

    #[test]
    fn two_addresses_of_ours_are_told_from_the_servers_refusal() {
        let seen = seen("192.168.1.5", "203.0.113.10");
        for (words, are_two) in [
            ("425 Security: Bad IP connecting.", true),
            ("425 Data connection refused: peer IP address mismatch", true),
            ("425 Rejected data connection: client IP does not match control connection", true),
            ("421 Connection from another host refused", true),
            ("425 Possible connection hijack: wrong address", true),
            ("425 Can't open data connection.", false),
            ("425 Failed to establish connection.", false),
            ("550 No such file: ship.txt differs", false),
        ] {
            let error = fault(words[..3].parse().unwrap(), &format!("the server said \"{words}\""));
            for is_active in [false, true] {
                let why = seen.explain(is_active, &error).unwrap_or_default();
                assert_eq!(why.starts_with("the server sees two addresses"), are_two, "{words}");
            }
        }
    }

    #[test]
    fn our_address_is_found_where_servers_say_it() {
        let peer = "203.0.113.10".parse().unwrap();
        for (text, found) in [
            (
                "FTP server status: / Connected to ::ffff:198.51.100.7 / Logged in as x",
                Some("198.51.100.7"),
            ),
            (
                "Status of 'x' / Connected from 198.51.100.7 (198.51.100.7) / as x",
                Some("198.51.100.7"),
            ),
            ("Hello, your IP address is 198.51.100.7.", Some("198.51.100.7")),
            ("client 2001:db8::7 welcome", Some("2001:db8::7")),
            ("ProFTPD 1.3.8.1 Server [203.0.113.10]", None),
            ("Connected to 203.0.113.10 from 198.51.100.7", Some("198.51.100.7")),
            ("This is a private system, 10.1.1.1", None),
            ("Connected since 12:30:45", None),
        ] {
            let found = found.map(|text| text.parse().unwrap());
            assert_eq!(our_address_in(text, peer), found, "{text}");
        }
    }
}
