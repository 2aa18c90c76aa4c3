//! The values that rules consist of, each parsed strictly: no other text ever reaches nft or iptables.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::NatError;
use portolan_core::{error::Result, limits::NAT_RANGES_MAX};

/// The maximum length of an interface's name: the kernel's `IFNAMSIZ` less the terminating zero byte.
const INTERFACE_LENGTH_MAX: usize = 15;

/// The wildcard at the end of an interface name.
const WILDCARD: char = '*';

/// The minimum length of such a beginning.
const START_LENGTH_MIN: usize = 2;

/// The name of a network interface, or of all with the same beginning. The interface need not exist (yet).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interface(String);

impl Interface {
    /// Parses a name of letters, digits, `_`, `-` and `.`; otherwise fails with `nat.bad_interface`.
    pub fn parse(text: &str) -> Result<Self> {
        let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && text.len() <= INTERFACE_LENGTH_MAX
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.".contains(&c));
        if is_name {
            return Ok(Self(text.to_owned()));
        }
        let message = format!(
            "an interface's name has 1 to {INTERFACE_LENGTH_MAX} letters, digits, `_`, `-` and `.`, such as \"eth0\", \
             and \"ppp*\" is all that begin with \"ppp\"; got {text:?}"
        );
        Err(NatError::BadInterface.fault(message))
    }

    /// Parses a name, or the beginning of names with `*` after it, such as `ppp*`; otherwise fails with
    /// `nat.bad_interface`.
    pub fn pattern(text: &str) -> Result<Self> {
        let Some(start) = text.strip_suffix(WILDCARD) else { return Self::parse(text) };
        // One letter is the beginning of nearly all names of a host: `e*` is every Ethernet card, `w*` both WLAN and VPN.
        if start.len() < START_LENGTH_MIN {
            let message = format!(
                "{text:?} matches too much: a wildcard needs at least {START_LENGTH_MIN} letters before it, such as \"ppp*\""
            );
            return Err(NatError::BadInterface.fault(message));
        }
        Self::parse(start)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the prefix of a wildcard; `None` for a single name.
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix(WILDCARD)
    }

    /// Returns true if it matches that name.
    pub fn covers(&self, name: &str) -> bool {
        match self.prefix() {
            Some(start) => name.starts_with(start),
            None => self.0 == name,
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An interface as a script names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceSelector {
    /// The interface of this name, or those whose names begin with it.
    Named(Interface),
    /// The interfaces by which the kernel reaches far addresses.
    Auto,
}

impl InterfaceSelector {
    /// Parses a name, names such as `ppp*`, or `auto`.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "auto" { Ok(Self::Auto) } else { Interface::pattern(text).map(Self::Named) }
    }
}

impl fmt::Display for InterfaceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// A network: a prefix length, and an address whose bits after the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Net {
    address: IpAddr,
    prefix: u8,
}

impl Net {
    /// Parses `192.168.0.0/24`, `fd00::/64` or a plain address, which is a network of one; bits after the prefix are
    /// cleared. Otherwise fails with `nat.bad_cidr`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let message = format!(
                "a network is wanted, such as \"192.168.0.0/24\" or \"fd00::/64\"; got {text:?}"
            );
            NatError::BadCidr.fault(message)
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => widest,
            Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= widest).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        Ok(Self::new(address, prefix))
    }

    /// Returns the network of `prefix` bits that contains `address`; at full length or more, the address alone.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(if address.is_ipv4() { 32 } else { 128 });
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Self { address, prefix }
    }

    /// Returns its address family.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Returns true if `address` is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        self.family() == Family::of(address) && Self::new(address, self.prefix) == *self
    }

    /// Returns true if an address is in both.
    pub fn meets(&self, other: Self) -> bool {
        self.has(other.address) || other.has(self.address)
    }

    /// Returns the length of its prefix.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Returns its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = self.prefix == if self.address.is_ipv4() { 32 } else { 128 };
        if is_one { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

/// Lets records hold a value as the text that it is parsed from: what is read is checked as if a script had it.
macro_rules! as_text {
    ($($value:ty, $parse:path);*) => {$(
        impl TryFrom<String> for $value {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                $parse(&text).map_err(|error| error.message)
            }
        }

        impl From<$value> for String {
            fn from(value: $value) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(Interface, Interface::pattern; Net, Net::parse; Ports, Ports::parse);

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Returns the family of an address.
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Returns nft's keyword for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

/// The transport protocol of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// Both.
    Both,
}

impl Protocol {
    /// Returns the names of the single protocols.
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Tcp => &["tcp"],
            Self::Udp => &["udp"],
            Self::Both => &["tcp", "udp"],
        }
    }

    /// Returns true if they have a protocol in common.
    pub fn meets(self, other: Self) -> bool {
        self == other || self == Self::Both || other == Self::Both
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join("+"))
    }
}

/// Parses the address of a host; otherwise fails with `nat.bad_cidr`.
pub fn address(text: &str) -> Result<IpAddr> {
    let found: Option<IpAddr> = text.parse().ok();
    let fits = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
    found.filter(fits).ok_or_else(|| {
        let message = format!("an address is wanted, such as \"192.168.0.10\"; got {text:?}");
        NatError::BadCidr.fault(message)
    })
}

/// TCP or UDP ports: sorted ranges that do not overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Creates a set from ranges, both ends included, in any order. Fails with `nat.bad_range` for port 0, ends in the
    /// wrong order, ranges that overlap, an empty list, or too many ranges.
    pub fn new(mut ranges: Vec<(u16, u16)>) -> Result<Self> {
        let wrong = |message: String| Err(NatError::BadRange.fault(message));
        ranges.sort_unstable();
        if ranges.is_empty() || ranges.len() > NAT_RANGES_MAX {
            return wrong(format!(
                "1 to {NAT_RANGES_MAX} ports or ranges are wanted, got {}",
                ranges.len()
            ));
        }
        if let Some((first, last)) = ranges.iter().find(|(first, last)| *first == 0 || first > last)
        {
            return wrong(format!("{first}-{last} is no range of ports from 1 to 65535"));
        }
        for pair in ranges.windows(2) {
            if let [one, other] = pair
                && one.1 >= other.0
            {
                return wrong(format!("{} and {} share ports", shown(*one), shown(*other)));
            }
        }
        // nft may list adjacent ranges as one, so they are joined here; a single port after a range stays separate.
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if last.1.checked_add(1) == Some(range.0) && range.0 != range.1 => {
                    last.1 = range.1;
                }
                _ => joined.push(range),
            }
        }
        Ok(Self(joined))
    }

    /// Creates a set of one port.
    pub fn one(port: u16) -> Result<Self> {
        Self::new(vec![(port, port)])
    }

    /// Parses `21`, `50000-50009`, or several of these separated by commas.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let message = format!("ports are wanted, such as 21 or \"50000-50009\"; got {text:?}");
            NatError::BadRange.fault(message)
        };
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| is_number).ok_or_else(wrong)
        };
        let ranges = text.split(',').map(|part| {
            let part = part.trim();
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Ok((number(first.trim())?, number(last.trim())?))
        });
        Self::new(ranges.collect::<Result<_>>()?)
    }

    /// Returns the ranges, both ends included.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Returns the number of ports.
    pub fn count(&self) -> usize {
        self.0.iter().map(|(first, last)| usize::from(last - first) + 1).sum()
    }

    /// Returns each port, in order.
    pub fn each(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Returns true if `port` is one of them.
    pub fn has(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// Returns the lowest port that is in both sets.
    pub fn shared(&self, other: &Self) -> Option<u16> {
        let starts = self.0.iter().chain(&other.0).map(|(first, _)| *first);
        starts.filter(|port| self.has(*port) && other.has(*port)).min()
    }
}

fn shown((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().copied().map(shown).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that a shell, nft or iptables would read as more than one word.
    const INJECTIONS: [&str; 14] = [
        "wan0; drop",
        "wan0\" drop comment \"",
        "wan0 accept",
        "wan0\n\tdrop",
        "wan0}",
        "eth0\0",
        "$(reboot)",
        "`reboot`",
        "-j",
        "*",
        "eth+",
        "ünet",
        "",
        "a/../../etc/x",
    ];

    #[test]
    fn nothing_that_is_more_than_a_name_is_read_as_one() {
        for text in INJECTIONS {
            assert!(Interface::parse(text).is_err(), "{text:?}");
            assert!(InterfaceSelector::parse(text).is_err(), "{text:?}");
            assert!(Net::parse(text).is_err(), "{text:?}");
            assert!(address(text).is_err(), "{text:?}");
            assert!(Ports::parse(text).is_err(), "{text:?}");
            let number = format!("21{text}");
            assert!(text.is_empty() || Ports::parse(&number).is_err(), "{number:?}");
            let net = format!("10.0.0.0/8{text}");
            assert!(text.is_empty() || Net::parse(&net).is_err(), "{net:?}");
        }
        for text in ["*", "w*", "*ppp", "p*p", "ppp**", "ppp+", "-p*", "abcdefghijklmnop*"] {
            assert!(InterfaceSelector::parse(text).is_err(), "{text:?}");
        }
        let all = Interface::pattern("ppp*").unwrap();
        assert!(all.covers("ppp0") && all.covers("ppp") && !all.covers("pp0"));
        assert!(Interface::parse("ppp*").is_err(), "one name");
        assert!(Interface::parse("abcdefghijklmno").is_ok());
        assert!(Interface::parse("abcdefghijklmnop").is_err());
        assert_eq!(InterfaceSelector::parse("auto").unwrap(), InterfaceSelector::Auto);
    }

    #[test]
    fn networks_are_read_as_people_write_them() {
        for (text, shown) in [
            ("192.168.0.0/24", "192.168.0.0/24"),
            ("192.168.0.1/24", "192.168.0.0/24"),
            ("10.0.0.5", "10.0.0.5"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd50::1/64", "fd50::/64"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(Net::parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["192.168.0.0/33", "192.168.0/24", "fd00::/129", "10.0.0.0/+8", "10.0.0.0/", "x/8"]
        {
            let fault = Net::parse(text).unwrap_err();
            assert_eq!(fault.name, Some("nat.bad_cidr"), "{text}");
        }
        let net = Net::parse("192.168.0.0/24").unwrap();
        assert!(net.has("192.168.0.255".parse().unwrap()));
        assert!(!net.has("192.168.1.0".parse().unwrap()));
        assert!(!net.has("fd00::1".parse().unwrap()));
    }

    #[test]
    fn ports_are_ranges_in_order() {
        for (text, shown) in [
            ("21", "21"),
            ("2121, 21", "21, 2121"),
            ("50000-50009,21", "21, 50000-50009"),
            ("10-20,21-30", "10-30"),
            ("1-65535", "1-65535"),
        ] {
            assert_eq!(Ports::parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["0", "9-8", "1-65536", "21-", "-21", "+21", "21,21", "10-20,15", "1 2", "a", "1-2-3"]
        {
            let fault = Ports::parse(text).unwrap_err();
            assert_eq!(fault.name, Some("nat.bad_range"), "{text}");
        }
        let ports = |text| Ports::parse(text).unwrap();
        assert_eq!(ports("21,50000-50009").shared(&ports("50005-50020")), Some(50005));
        assert_eq!(ports("21").shared(&ports("22")), None);
    }
}
