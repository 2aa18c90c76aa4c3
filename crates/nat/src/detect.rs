//! Detection of NAT between the host and a server, from the addresses that either side reports. Pure.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    address::{is_carriers, why_unreachable},
    suggest::{SERVER_PORTS, software::ServerSoftware},
};

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
    /// The external address of that router, if it reports one.
    pub router_outside: Option<Ipv4Addr>,
    /// The software of the server, as far as its greeting tells.
    pub software: ServerSoftware,
}

/// The conclusions from these facts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the map that scripts get")]
pub struct Situation {
    /// True if the client is behind NAT, as seen from the server.
    pub client_nat: bool,
    /// True if the server is behind NAT.
    pub server_nat: bool,
    /// True if the client is behind a carrier-grade NAT, through which no port can be mapped.
    pub cgnat: bool,
    /// True if a load balancer or proxy is before the server: it sees clients at an address of its own side.
    pub balancer: bool,
    /// The mode that needs the least configuration: `passive` or `active`.
    pub mode: &'static str,
    /// The advice to the user, in sentences.
    pub advice: String,
}

impl SessionFacts {
    /// Draws the conclusions.
    pub fn situation(&self) -> Situation {
        let carriers = |address| matches!(address, IpAddr::V4(v4) if is_carriers(v4));
        let is_far = why_unreachable(self.server).is_none();
        // A NAT of the client has no private outside address towards a public server.
        let hides = |there: IpAddr| {
            there != self.ours && why_unreachable(there).is_some() && !carriers(there)
        };
        let balancer = is_far && self.seen_as.is_some_and(hides);
        let seen_as = self.seen_as.filter(|_| !balancer);
        let outside = self.router_outside.map(IpAddr::from);
        let is_double = outside.is_some_and(|outside| {
            why_unreachable(outside).is_some() || seen_as.is_some_and(|seen_as| seen_as != outside)
        });
        let cgnat = carriers(self.ours) || seen_as.is_some_and(carriers) || is_double;
        let client_nat = match seen_as {
            Some(seen_as) => seen_as != self.ours,
            None => cgnat || is_far && why_unreachable(self.ours).is_some(),
        };
        let server_nat = self.server_says.is_some_and(|said| said != self.server);
        let mut advice = vec![self.for_active(client_nat, cgnat, balancer)];
        advice.extend(server_nat.then(|| self.for_server()));
        // A server behind NAT may lack forwarding for its passive ports, whereas a client without NAT can be reached.
        let is_active = server_nat && !client_nat && !balancer;
        let mode = if is_active { "active" } else { "passive" };
        Situation { client_nat, server_nat, cgnat, balancer, mode, advice: advice.join(" ") }
    }

    fn for_active(&self, client_nat: bool, cgnat: bool, balancer: bool) -> String {
        if balancer {
            let seen_as = self.seen_as.map_or(String::new(), |it| it.to_string());
            let setting = self.software.address_setting();
            return format!(
                "A load balancer or proxy stands before the server, which sees all clients as {seen_as}: use passive mode. \
                 The balancer has to lead the passive ports to the same server, which announces the balancer's address \
                 ({setting})."
            );
        }
        if cgnat {
            return self.for_carrier();
        }
        if !client_nat {
            return "No NAT stands before this machine: either mode works where the firewalls let it; for active mode \
                    name a `port_range` and let the server in to it."
                .into();
        }
        let seen_as = self.seen_as;
        if self.ours.is_ipv6() && seen_as.is_some_and(|it| it.is_ipv4()) {
            return "This machine has IPv6 alone and reaches the server by NAT64, which lets no connections in: \
                    use passive mode."
                .into();
        }
        let outside = seen_as.map_or("its outside address".to_owned(), |it| it.to_string());
        let reading = if self.is_encrypted {
            "TLS hides the commands from the router, so it cannot help by reading along"
        } else {
            "a router that reads along (an FTP helper) makes it work, until the session uses TLS"
        };
        let router = self.gateway.map_or(String::new(), |it| format!(" to the router {it}"));
        let manual =
            format!("forward a `port_range`{router} and announce {outside} as `external_address`");
        let asking = match self.router_outside {
            Some(address) => format!(
                "the router answers (its outside address is {address}), so `map_ports: \"auto\"` may get ports from it; else {manual}"
            ),
            None => format!(
                "`map_ports: \"auto\"` asks for ports where the router gives them, else {manual}. If the router shows another \
                 outside address than {outside}, it is behind its provider's NAT, and passive mode alone works"
            ),
        };
        format!(
            "This machine is behind NAT: passive mode needs nothing. Active mode: {reading}; {asking}."
        )
    }

    fn for_carrier(&self) -> String {
        match (self.gateway, self.router_outside) {
            (Some(gateway), Some(outside)) => format!(
                "The router {gateway} is itself behind NAT, with {outside} outside: its provider's, which lets no connections \
                 in, whatever the router forwards. Use passive mode."
            ),
            _ => "This machine is behind its provider's NAT, which lets no connections in: use passive \
                  mode."
                .into(),
        }
    }

    fn for_server(&self) -> String {
        let said = self.server_says.map_or(String::new(), |it| format!(" as {it}"));
        let range = self.software.range_setting(&SERVER_PORTS);
        let address = self.software.address_setting();
        let format = match self.software.as_str() {
            "" => "vsftpd",
            word => word,
        };
        let external = match self.server {
            IpAddr::V4(outside) => format!(", external_address: \"{outside}\""),
            IpAddr::V6(_) => String::new(),
        };
        format!(
            "The server is behind NAT and names itself{said}: passive mode goes to {} all the same, and works where its \
             passive ports are forwarded. Its administrator sets {range}, forwards that range, and sets {address} to {}: \
             nat::suggest(#{{ side: \"server\", format: \"{format}\"{external} }}).",
            self.server, self.server
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
            router_outside: None,
            software: ServerSoftware::Unknown,
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
        assert!(plain.situation().advice.contains("PassivePortRange"), "{advice}");
        let known = SessionFacts { software: ServerSoftware::Proftpd, ..plain }.situation().advice;
        let setting = "sets PassivePorts 50000 50009 in proftpd.conf, forwards that range, and sets MasqueradeAddress";
        let call = "format: \"proftpd\", external_address: \"203.0.113.10\" })";
        assert!(known.contains(setting) && known.contains(call), "{known}");
        let shared = facts("100.64.9.9", "203.0.113.10", "", "").situation().advice;
        assert!(shared.ends_with("use passive mode."), "{shared}");
    }

    #[test]
    fn a_balancer_is_no_nat_of_the_client() {
        for (ours, client_nat) in [("198.51.100.7", false), ("192.168.1.5", true)] {
            let found = facts(ours, "203.0.113.10", "192.168.0.1", "203.0.113.10").situation();
            let told = (found.balancer, found.client_nat, found.cgnat, found.mode);
            assert_eq!(told, (true, client_nat, false, "passive"), "{ours}");
            assert!(
                found.advice.starts_with("A load balancer or proxy stands before"),
                "{}",
                found.advice
            );
            assert!(!found.advice.contains("announce 192.168"), "{}", found.advice);
        }
        // Between private networks, such an address is that of a router.
        let near = facts("10.0.0.5", "192.168.0.10", "192.168.0.1", "").situation();
        assert!(!near.balancer && near.client_nat);
    }

    #[test]
    fn a_carriers_nat_behind_the_home_router_is_seen_by_the_routers_address() {
        let plain = facts("192.168.1.5", "203.0.113.10", "198.51.100.7", "");
        for outside in ["100.64.3.4", "10.1.2.3", "198.51.100.99"] {
            let found = SessionFacts { router_outside: outside.parse().ok(), ..plain }.situation();
            assert!(found.cgnat && found.client_nat, "{outside}");
            let advice = found.advice;
            assert!(advice.contains(outside) && advice.ends_with("Use passive mode."), "{advice}");
            assert!(!advice.contains("forward a `port_range`"), "{advice}");
        }
        let own = SessionFacts { router_outside: "198.51.100.7".parse().ok(), ..plain }.situation();
        assert!(!own.cgnat && own.advice.contains("may get ports from it"), "{}", own.advice);
        let silent = plain.situation().advice;
        assert!(silent.contains("another outside address than 198.51.100.7"), "{silent}");
    }

    #[test]
    fn through_nat64_no_address_is_announced() {
        let found = facts("2001:db8::5", "64:ff9b::cb00:710a", "203.0.113.1", "").situation();
        assert!(
            found.advice.contains("NAT64") && !found.advice.contains("announce"),
            "{}",
            found.advice
        );
        assert_eq!((found.client_nat, found.mode), (true, "passive"));
    }
}
