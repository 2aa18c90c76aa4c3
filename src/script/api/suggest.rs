//! The options of `nat::suggest`.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

use rhai::Map;

use crate::{
    error::{Error, Result},
    nat::{
        NatError,
        check::{Interface, Net},
        suggest::{
            CLIENT_PORTS, FirewallFormat, FirewallMode, FirewallSide, SERVER_PORTS, WantedPorts,
            filter_chains,
        },
    },
    option_table::{OptionKind, OptionRow, OptionTable},
    script::options::read,
};

/// The options of `nat::suggest`.
#[derive(Debug)]
pub struct SuggestOptions {
    side: FirewallSide,
    mode: FirewallMode,
    format: FirewallFormat,
    ports: Option<RangeInclusive<u16>>,
    control: u16,
    from: Option<Net>,
    external: Option<Ipv4Addr>,
    to: Option<IpAddr>,
    device: Option<Interface>,
}

impl Default for SuggestOptions {
    fn default() -> Self {
        Self {
            side: FirewallSide::Client,
            mode: FirewallMode::Passive,
            format: FirewallFormat::Nft,
            ports: None,
            control: 21,
            from: None,
            external: None,
            to: None,
            device: None,
        }
    }
}

/// Every option of `nat::suggest`.
pub(crate) const SUGGEST: OptionTable<SuggestOptions> =
    OptionTable { rows: SUGGEST_ROWS, usual: SuggestOptions::default };

const SUGGEST_ROWS: &[OptionRow<SuggestOptions>] = &[
    OptionRow::<SuggestOptions>::new(
        "side",
        OptionKind::Choice(&[
            ("client", |it| it.side = FirewallSide::Client),
            ("server", |it| it.side = FirewallSide::Server),
        ]),
        "the host to configure",
    )
    .usual("client")
    .flag("side", "Host to configure"),
    OptionRow::<SuggestOptions>::new(
        "mode",
        OptionKind::Choice(&[
            ("active", |it| it.mode = FirewallMode::Active),
            ("passive", |it| it.mode = FirewallMode::Passive),
        ]),
        "the side that opens data connections",
    )
    .usual("passive")
    .flag("mode", "Side that opens data connections: the server (active) or the client (passive)"),
    OptionRow::<SuggestOptions>::new(
        "format",
        OptionKind::Choice(&[
            ("nft", |it| it.format = FirewallFormat::Nft),
            ("iptables", |it| it.format = FirewallFormat::Iptables),
            ("ufw", |it| it.format = FirewallFormat::Ufw),
            ("firewalld", |it| it.format = FirewallFormat::Firewalld),
            ("windows", |it| it.format = FirewallFormat::Windows),
            ("openwrt", |it| it.format = FirewallFormat::OpenWrt),
            ("routeros", |it| it.format = FirewallFormat::RouterOs),
            ("pf", |it| it.format = FirewallFormat::Pf),
            ("aws", |it| it.format = FirewallFormat::Aws),
            ("azure", |it| it.format = FirewallFormat::Azure),
            ("gcp", |it| it.format = FirewallFormat::Gcp),
            ("hetzner", |it| it.format = FirewallFormat::Hetzner),
            ("vsftpd", |it| it.format = FirewallFormat::Vsftpd),
            ("proftpd", |it| it.format = FirewallFormat::Proftpd),
            ("pure-ftpd", |it| it.format = FirewallFormat::PureFtpd),
            ("filezilla", |it| it.format = FirewallFormat::FileZilla),
            ("iis", |it| it.format = FirewallFormat::Iis),
        ]),
        "the packet filter, the router, the cloud (as Terraform), or the server with its own settings",
    )
    .usual("nft")
    .flag("format", "Packet filter, router, cloud (as Terraform), or server with its own settings"),
    OptionRow::<SuggestOptions>::new(
        "ports",
        OptionKind::Ports(|it, ranges| {
            let [(first, last)] = ranges else {
                let message = "`ports` wants one range here, such as \"50000-50009\"";
                return Err(NatError::BadRange.fault(message));
            };
            it.ports = Some(*first..=*last);
            Ok(())
        }),
        "the client's `port_range` (\"40000-40009\") or the server's passive ports (\"50000-50009\")",
    )
    .flag("ports", "Ports of the client (active) or passive ports of the server [default: 40000-40009, 50000-50009]")
    .value_name("FIRST-LAST"),
    OptionRow::<SuggestOptions>::new(
        "control",
        OptionKind::Count(1..=u16::MAX, |it, port| it.control = port),
        "the server's control port",
    )
    .usual("21")
    .flag("control", "Control port of the server")
    .value_name("PORT"),
    OptionRow::<SuggestOptions>::new(
        "from",
        OptionKind::Text(|it, text| {
            it.from = Some(Net::parse(text)?);
            Ok(())
        }),
        "the only address or network to allow, such as \"203.0.113.20\" or \"198.51.100.0/24\"",
    )
    .flag("from", "Only address or network to allow")
    .value_name("NETWORK"),
    OptionRow::<SuggestOptions>::new(
        "to",
        OptionKind::Address(|it, address| it.to = Some(address)),
        "the host behind the router that is configured; without it, the host itself is configured",
    )
    .flag("to", "Host behind the router that is configured"),
    OptionRow::<SuggestOptions>::new(
        "in",
        OptionKind::Text(|it, text| {
            it.device = Some(Interface::parse(text)?);
            Ok(())
        }),
        "the interface that leads to the other side, such as \"eth0\"; for firewalld it selects the zone",
    )
    .flag("in", "Interface that leads to the other side")
    .value_name("INTERFACE"),
    OptionRow::<SuggestOptions>::new(
        "external_address",
        OptionKind::Text(|it, text| {
            let wants = "`external_address` wants an IP address";
            let wrong = |_| Error::invalid(format!("{wants}, got \"{text}\""));
            it.external = Some(text.parse().map_err(wrong)?);
            Ok(())
        }),
        "the external address of a server behind NAT",
    )
    .flag("external-address", "External address of a server behind NAT")
    .value_name("ADDRESS"),
];

/// Returns the suggestion that `options` ask for.
pub(super) fn wanted(options: &Map) -> Result<WantedPorts> {
    Ok(read(options, "nat::suggest", &SUGGEST)?.wanted())
}

impl SuggestOptions {
    /// Returns the suggestion that they ask for. If it is for this host, it names the chains that filter here.
    pub fn wanted(self) -> WantedPorts {
        let Self { side, mode, format, ports, control, from, external, to, device } = self;
        let usual = if mode == FirewallMode::Active { CLIENT_PORTS } else { SERVER_PORTS };
        let ports = ports.unwrap_or(usual);
        let mut wanted = WantedPorts {
            format,
            from,
            external,
            to,
            device,
            ..WantedPorts::new(side, mode, control, ports)
        };
        if format == FirewallFormat::Nft {
            wanted.chains = filter_chains::of_this_host(&wanted);
        }
        wanted
    }
}
