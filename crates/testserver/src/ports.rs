//! `PASV`, `EPSV`, `PORT` and `EPRT`: the origin of the next data connection.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::{
    command::ClientCommand,
    data::DataPort,
    effect::{Effect, Passive},
    plan::Scene,
    reply::{CommandResult, ServerReply},
    session::ClientSession,
};
use portolan_proto::{ReplyCode, Verb};

/// The lowest port that a client may name: no FTP client listens below it.
const CLIENT_PORT_MIN: u16 = 1024;
/// A private address that is not reachable.
const FOREIGN: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 1);

impl ClientSession {
    /// Executes `PASV` or `EPSV`.
    pub(super) fn listen(&mut self, command: &ClientCommand) -> CommandResult {
        let verb = command.verb;
        self.port.close();
        match (verb, self.local.ip(), command.text().to_ascii_uppercase().as_str()) {
            (Verb::Pasv, ..) if self.extended_only => return Err(after_epsv_all()),
            (Verb::Pasv, IpAddr::V6(_), _) => {
                return Err(ServerReply::new(
                    ReplyCode::CANNOT_OPEN_DATA,
                    "PASV is not possible over IPv6, use EPSV.",
                ));
            }
            (Verb::Epsv, _, "ALL") => {
                self.extended_only = true;
                return Ok(ServerReply::new(ReplyCode::OKAY, "EPSV ALL command successful."));
            }
            (Verb::Epsv, ip, family) if !family.is_empty() && family != number(ip) => {
                let text = format!("Network protocol not supported, use ({})", number(ip));
                return Err(ServerReply::new(ReplyCode::PROTOCOL_REFUSED, text));
            }
            _ => {}
        }
        let trouble = self.stage.plans.first(&Scene::of(verb), |effect| match effect {
            Effect::Passive(Passive::Foreign) if verb == Verb::Epsv => None,
            Effect::Passive(trouble) => Some(*trouble),
            _ => None,
        });
        let (port, number) = self.passive_port(trouble)?;
        self.port = port;
        Ok(self.announcement(verb, number, trouble))
    }

    fn passive_port(&self, trouble: Option<Passive>) -> io::Result<(DataPort, u16)> {
        let ip = self.local.ip();
        match trouble {
            Some(Passive::Dead) => DataPort::dead(ip),
            Some(Passive::Deaf) => DataPort::deaf(ip),
            _ => DataPort::listening(ip),
        }
    }

    fn announcement(&self, verb: Verb, port: u16, trouble: Option<Passive>) -> ServerReply {
        let ip = match (trouble, self.local.ip()) {
            (Some(Passive::Foreign), _) => FOREIGN,
            (_, IpAddr::V4(ip)) => ip,
            (_, IpAddr::V6(_)) => Ipv4Addr::UNSPECIFIED,
        };
        let [a, b, c, d] = ip.octets();
        let [high, low] = port.to_be_bytes();
        match (verb, trouble) {
            (Verb::Pasv, Some(Passive::Nonsense)) => ServerReply::new(
                ReplyCode::PASSIVE_MODE,
                format!("Entering Passive Mode ({a},{b},{c},{d},1216,{low})."),
            ),
            (Verb::Pasv, Some(Passive::Odd)) => ServerReply::new(
                ReplyCode::PASSIVE_MODE,
                format!("Entering Passive Mode. {a},{b},{c},{d},{high},{low}"),
            ),
            (_, Some(Passive::Odd)) => ServerReply::new(
                ReplyCode::EXTENDED_PASSIVE_MODE,
                format!("Extended Passive Mode OK (!!!{port}!)"),
            ),
            (Verb::Pasv, _) => ServerReply::new(
                ReplyCode::PASSIVE_MODE,
                format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})."),
            ),
            (_, Some(Passive::Nonsense)) => ServerReply::new(
                ReplyCode::EXTENDED_PASSIVE_MODE,
                "Entering Extended Passive Mode (|||1000000|)",
            ),
            _ => ServerReply::new(
                ReplyCode::EXTENDED_PASSIVE_MODE,
                format!("Entering Extended Passive Mode (|||{port}|)"),
            ),
        }
    }

    /// Executes `PORT` or `EPRT`. Connects only to the client's own address: anything else is an attack on others.
    pub(super) fn call(&mut self, command: &ClientCommand) -> CommandResult {
        self.port.close();
        if self.extended_only {
            return Err(after_epsv_all());
        }
        let text = command.text();
        let address = match command.verb {
            Verb::Port => port_argument(&text)
                .ok_or_else(|| ServerReply::new(ReplyCode::BAD_ARGUMENT, "Bad PORT."))?,
            _ => self.eprt_argument(&text)?,
        };
        if address.ip() != self.peer.ip() || address.port() < CLIENT_PORT_MIN {
            return Err(ServerReply::new(
                ReplyCode::UNKNOWN_COMMAND,
                format!("Illegal {} command.", command.verb.as_str()),
            ));
        }
        self.port = DataPort::Calling(address);
        Ok(ServerReply::new(
            ReplyCode::OKAY,
            format!("{} command successful.", command.verb.as_str()),
        ))
    }

    fn eprt_argument(&self, text: &str) -> Result<SocketAddr, ServerReply> {
        let bad = || ServerReply::new(ReplyCode::BAD_ARGUMENT, "Bad EPRT.");
        let mark = text.chars().next().filter(char::is_ascii_punctuation).ok_or_else(bad)?;
        let fields: Vec<_> = text.split(mark).collect();
        let ["", family, ip, port, ""] = fields.as_slice() else { return Err(bad()) };
        if *family != number(self.local.ip()) {
            let text = format!("Network protocol not supported, use ({})", number(self.local.ip()));
            return Err(ServerReply::new(ReplyCode::PROTOCOL_REFUSED, text));
        }
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        if number(ip) != *family {
            return Err(bad());
        }
        Ok(SocketAddr::new(ip, port.parse().map_err(|_| bad())?))
    }
}

fn after_epsv_all() -> ServerReply {
    ServerReply::new(ReplyCode::BAD_ARGUMENT, "Not allowed after EPSV ALL.")
}

/// Returns the number of an address family in RFC 2428.
const fn number(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "1",
        IpAddr::V6(_) => "2",
    }
}

/// Parses `h1,h2,h3,h4,p1,p2`.
fn port_argument(text: &str) -> Option<SocketAddr> {
    let numbers: Vec<u8> = text.split(',').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = numbers.as_slice() else { return None };
    Some(SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_six_bytes() {
        assert_eq!(port_argument("127,0,0,1,4,1"), Some(([127, 0, 0, 1], 1025).into()));
        for bad in ["", "1,2,3,4,5", "1,2,3,4,5,256", "1,2,3,4,5,6,7", "a,2,3,4,5,6"] {
            assert_eq!(port_argument(bad), None, "{bad}");
        }
    }
}
