//! Hosts that are allowed: by name, by address, or all below a name; with a port or with any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portolan_core::{
    error::{Error, Result},
    observe::visible::visible,
};

/// The maximum length of a name of a host (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// A host that is allowed, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostGrant {
    host: HostPattern,
    /// The port; `None` is any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    /// `*`: every host.
    Any,
    /// `*.example.org`: every host below the name, which begins with a dot here.
    Below(String),
    /// A name, in lower case and without the dot at the end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl HostGrant {
    /// Parses `HOST[:PORT]`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let shown = visible(text);
            let wants = "a host is written `ftp.example.org`, `*.example.org`, `192.0.2.1` or `[2001:db8::1]`, with or \
                 without `:PORT`";
            Error::invalid(format!("`{shown}` {why}: {wants}"))
        };
        if text.contains("://") || text.contains(['/', '@']) {
            return Err(wrong("is no host, but a URL or a path"));
        }
        if text.starts_with('[') && !text.contains(']') {
            return Err(wrong("has a bracket that is not closed"));
        }
        let (host, port) = split(text).ok_or_else(|| wrong("has no port that can be one"))?;
        let host = pattern(host).ok_or_else(|| wrong("is no host"))?;
        Ok(Self { host, port })
    }

    /// Returns true if it allows `host`, as it was named, at `port`.
    pub(super) fn matches(&self, host: &str, port: u16) -> bool {
        let is_host = match (&self.host, address_of(host)) {
            (HostPattern::Any, _) => true,
            (HostPattern::Address(own), Some(address)) => *own == address,
            (HostPattern::Address(_), None) | (_, Some(_)) => false,
            (HostPattern::Below(ending), None) => {
                let host = name_of(host);
                host.len() > ending.len() && host.ends_with(ending.as_str())
            }
            (HostPattern::Name(name), None) => *name == name_of(host),
        };
        is_host && self.port.is_none_or(|own| own == port)
    }

    /// Returns true if it is this very address.
    pub(super) fn names_address(&self, address: IpAddr, port: u16) -> bool {
        self.host == HostPattern::Address(address.to_canonical())
            && self.port.is_none_or(|own| own == port)
    }

    /// Returns true if it is one address.
    pub(super) const fn is_address(&self) -> bool {
        matches!(self.host, HostPattern::Address(_))
    }

    /// Returns true if it stands for several hosts.
    pub(super) const fn is_wildcard(&self) -> bool {
        matches!(self.host, HostPattern::Any | HostPattern::Below(_))
    }

    /// Returns the port; `None` is any.
    pub(super) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns true if it is the name `localhost`, or one below it (RFC 6761, 6.3).
    pub(super) fn is_localhost(&self) -> bool {
        let is_own = |name: &str| name == "localhost" || name.ends_with(".localhost");
        matches!(&self.host, HostPattern::Name(name) if is_own(name))
    }
}

/// Splits `HOST[:PORT]`; `None` if the port is none. The colons of an IPv6 address without brackets are no port.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.split('%').next()?.parse::<Ipv6Addr>().ok()?;
            match rest.strip_prefix(':') {
                Some(port) => (host, port),
                None if rest.is_empty() => return Some((host, None)),
                None => return None,
            }
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => return Some((text, None)),
        },
    };
    if port == "*" {
        return Some((host, None));
    }
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port > 0)?;
    Some((host, Some(port)))
}

fn pattern(host: &str) -> Option<HostPattern> {
    if host == "*" {
        return Some(HostPattern::Any);
    }
    if let Some(address) = address_of(host) {
        return Some(HostPattern::Address(address));
    }
    if let Some(below) = host.strip_prefix("*.") {
        return is_name(below).then(|| HostPattern::Below(format!(".{}", name_of(below))));
    }
    is_name(host).then(|| HostPattern::Name(name_of(host)))
}

/// Returns true if `text` can be the name of a host. What looks like an unusual form of an address (`127.1`, `0x7f.1`) is
/// none: the resolver would take it for an address that the eye does not see.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|c: char| c.is_ascii_digit())
        && (last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x"));
    text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label) && !is_number
}

/// Returns the address that `host` is, without brackets and zone; an IPv4 address inside of an IPv6 one is itself.
fn address_of(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.split('%').next().unwrap_or(host);
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn name_of(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_lowercase()
}

/// Returns `host:port`, with brackets where they are needed.
pub(super) fn with_port(host: &str, port: u16) -> String {
    match address_of(host) {
        Some(address) => address_with_port(address, port),
        None => format!("{}:{port}", name_of(host)),
    }
}

/// Returns `address:port`, with brackets where they are needed.
pub(super) fn address_with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address.to_canonical(), port).to_string()
}

/// Returns true for the addresses of this host itself.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match inner(address) {
        IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified(),
    }
}

/// Returns true for addresses that lead to this host or to its link, where the services are that trust every client that reaches
/// them: loopback, link-local (with the metadata services of clouds), unspecified, multicast, broadcast.
pub(super) fn is_inward(address: IpAddr) -> bool {
    /// The metadata service of Amazon over IPv6.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    is_loopback(address)
        || match inner(address) {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6 == METADATA,
        }
}

/// Returns the IPv4 address inside of an IPv6 one: mapped, compatible, or for a NAT64 (RFC 6052).
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let [prefix @ .., high, low] = v6.segments();
    let is_compatible = prefix == [0; 6] && high != 0;
    let is_nat64 = prefix == [0x64, 0xff9b, 0, 0, 0, 0];
    if !is_compatible && !is_nat64 {
        return IpAddr::V6(v6);
    }
    let ([one, two], [three, four]) = (high.to_be_bytes(), low.to_be_bytes());
    IpAddr::V4(Ipv4Addr::new(one, two, three, four))
}
