//! Detection of NAT between the host and a server, from the addresses that either side reports. Pure.

use std::net::{IpAddr, Ipv4Addr};

use super::address::{is_carriers, why_unreachable};

/// The facts known about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFacts {
    /// The client's address, as the host itself sees it.
    pub ours: IpAddr,
    /// The server's address, as the host sees it.
    pub server: IpAddr,
    /// The client's address as the server sees it, if the server reports it.
    pub seen_as: Option<IpAddr>,
    /// The address in the server's reply to PASV or in its greeting, if there is one.
    pub server_says: Option<IpAddr>,
    /// True if the control connection is encrypted: then no router can inspect it.
    pub is_encrypted: bool,
    /// The default gateway of the host.
    pub gateway: Option<Ipv4Addr>,
}

/// The conclusions from these facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// True if the client is behind NAT, as seen from the server.
    pub client_nat: bool,
    /// True if the server is behind NAT.
    pub server_nat: bool,
    /// True if the client is behind a carrier-grade NAT, through which no port can be mapped.
    pub cgnat: bool,
    /// The mode that needs the least configuration: `passive` or `active`.
    pub mode: &'static str,
    /// The advice to the user, in sentences.
    pub advice: String,
}

impl SessionFacts {
    /// Draws the conclusions.
    pub fn situation(&self) -> Situation {
        let carriers = |address| matches!(address, IpAddr::V4(v4) if is_carriers(v4));
        let cgnat = carriers(self.ours) || self.seen_as.is_some_and(carriers);
        let is_far = why_unreachable(self.server).is_none();
        let client_nat = match self.seen_as {
            Some(seen_as) => seen_as != self.ours,
            None => cgnat || is_far && why_unreachable(self.ours).is_some(),
        };
        let server_nat = self.server_says.is_some_and(|said| said != self.server);
        let mut advice = vec![self.for_active(client_nat, cgnat)];
        advice.extend(server_nat.then(|| self.for_server()));
        // A server behind NAT may lack forwarding for its passive ports, whereas a client without NAT can be reached.
        let mode = if server_nat && !client_nat { "active" } else { "passive" };
        Situation { client_nat, server_nat, cgnat, mode, advice: advice.join(" ") }
    }

    fn for_active(&self, client_nat: bool, cgnat: bool) -> String {
        let outside = self.seen_as.map_or("its outside address".to_owned(), |it| it.to_string());
        if cgnat {
            return "This machine is behind its provider's NAT, through which nobody can connect to it: use passive \
                    mode."
                .into();
        }
        if !client_nat {
            return "No NAT stands before this machine: either mode works where the firewalls let it; for active mode \
                    name a `port_range` and let the server in to it."
                .into();
        }
        let reading = if self.is_encrypted {
            "TLS hides the commands from the router, so it cannot help by reading along"
        } else {
            "a router that reads along (an FTP helper) makes it work, until the session uses TLS"
        };
        let router = self.gateway.map_or(String::new(), |it| format!(" to the router {it}"));
        format!(
            "This machine is behind NAT: passive mode needs nothing. Active mode: {reading}; `map_ports: \"auto\"` asks \
             for ports where the router gives them, else forward a `port_range`{router} and announce {outside} as \
             `external_address`."
        )
    }

    fn for_server(&self) -> String {
        let said = self.server_says.map_or(String::new(), |it| format!(" as {it}"));
        format!(
            "The server is behind NAT and names itself{said}: passive mode goes to {} all the same, and works where its \
             passive ports are forwarded. Its administrator sets them and its outside address: nat::suggest(#{{ side: \
             \"server\", format: \"vsftpd\" }}).",
            self.server
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(ours: &str, server: &str, seen_as: &str, server_says: &str) -> SessionFacts {
        SessionFacts {
            ours: ours.parse().unwrap(),
            server: server.parse().unwrap(),
            seen_as: seen_as.parse().ok(),
            server_says: server_says.parse().ok(),
            is_encrypted: false,
            gateway: Some(Ipv4Addr::new(192, 168, 1, 1)),
        }
    }

    #[test]
    fn nat_is_told_from_what_either_side_names() {
        let (far, near) = ("203.0.113.10", "192.168.1.9");
        for (ours, server, seen_as, says, client_nat, server_nat, cgnat, mode) in [
            ("192.168.1.5", far, "198.51.100.7", far, true, false, false, "passive"),
            ("192.168.1.5", far, "", "", true, false, false, "passive"),
            ("192.168.1.5", near, "192.168.1.5", near, false, false, false, "passive"),
            ("192.168.1.5", near, "", "", false, false, false, "passive"),
            ("198.51.100.7", far, "198.51.100.7", "10.0.0.5", false, true, false, "active"),
            ("198.51.100.7", far, "198.51.100.9", "", true, false, false, "passive"),
            ("100.64.9.9", far, "", "", true, false, true, "passive"),
            ("192.168.1.5", far, "100.99.0.1", "10.0.0.5", true, true, true, "passive"),
            ("2001:db8::5", "2001:db8:1::1", "2001:db8::5", "", false, false, false, "passive"),
            ("fd00::5", "2001:db8:1::1", "", "", true, false, false, "passive"),
        ] {
            let found = facts(ours, server, seen_as, says).situation();
            let told = (found.client_nat, found.server_nat, found.cgnat, found.mode);
            let line = format!("{ours} {server} {seen_as} {says}");
            assert_eq!(told, (client_nat, server_nat, cgnat, mode), "{line}");
        }
    }

    #[test]
    fn the_advice_says_what_to_do() {
        let plain = facts("192.168.1.5", "203.0.113.10", "198.51.100.7", "10.0.0.5");
        let advice = plain.situation().advice;
        assert!(advice.contains("announce 198.51.100.7 as `external_address`"), "{advice}");
        assert!(advice.contains("to the router 192.168.1.1"), "{advice}");
        assert!(advice.contains("reads along (an FTP helper)"), "{advice}");
        assert!(advice.contains("names itself as 10.0.0.5"), "{advice}");
        let secret = SessionFacts { is_encrypted: true, ..plain }.situation().advice;
        assert!(secret.contains("TLS hides the commands"), "{secret}");
        let shared = facts("100.64.9.9", "203.0.113.10", "", "").situation().advice;
        assert!(shared.ends_with("use passive mode."), "{shared}");
    }
}
