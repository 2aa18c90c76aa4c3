//! Sets of networks: pure.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    NatError,
    check::{Family, Net},
};
use portolan_core::{error::Result, limits::NAT_NETS_MAX};

/// The text between the networks of a set.
const SEPARATOR: &str = ", ";

/// A set of networks of one family, sorted, of which none contains another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetSet(Vec<Net>);

impl NetSet {
    /// Creates a set. Fails with `nat.bad_cidr` for an empty list, too many networks, or two of which one contains the
    /// other, and with `nat.family_mismatch` if they are of both families.
    pub fn new(mut nets: Vec<Net>) -> Result<Self> {
        nets.sort_unstable();
        if nets.is_empty() || nets.len() > NAT_NETS_MAX {
            let message = format!("1 to {NAT_NETS_MAX} networks are wanted, got {}", nets.len());
            return Err(NatError::BadCidr.fault(message));
        }
        for pair in nets.windows(2) {
            let [outer, inner] = pair else { continue };
            if outer.family() != inner.family() {
                let message = format!("{outer} and {inner} are of two address families");
                return Err(NatError::FamilyMismatch.fault(message));
            }
            // Sorted, the network that contains the next one stands right before it.
            if outer.meets(*inner) {
                let message = if outer == inner {
                    format!("{inner} is named twice")
                } else {
                    format!("{inner} is part of {outer}: name one of them")
                };
                return Err(NatError::BadCidr.fault(message));
            }
        }
        Ok(Self(nets))
    }

    /// Returns the sets of each family of `nets`, IPv4 first; none if it is empty.
    pub fn by_family(nets: &[Net]) -> Result<Vec<Self>> {
        let of = |family| nets.iter().filter(move |net| net.family() == family).copied().collect();
        let sets: [Vec<Net>; 2] = [of(Family::V4), of(Family::V6)];
        sets.into_iter().filter(|nets| !nets.is_empty()).map(Self::new).collect()
    }

    /// Returns its networks, in order.
    pub fn nets(&self) -> &[Net] {
        &self.0
    }

    /// Returns its address family.
    pub fn family(&self) -> Family {
        self.0.first().map_or(Family::V4, Net::family)
    }

    /// Returns true if `address` is in one of them.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.has(address))
    }

    /// Returns the first network that shares addresses with the other set: the narrower one of the two.
    pub fn shared(&self, other: &Self) -> Option<Net> {
        let pairs = self.0.iter().flat_map(|one| other.0.iter().map(move |two| (*one, *two)));
        let mut meeting = pairs.filter(|(one, two)| one.meets(*two));
        meeting.next().map(|(one, two)| if one.prefix() < two.prefix() { two } else { one })
    }

    /// Returns true if each network of the other set is part of one of these.
    pub fn covers(&self, other: &Self) -> bool {
        let is_in = |inner: &Net| {
            self.0.iter().any(|outer| outer.prefix() <= inner.prefix() && outer.meets(*inner))
        };
        other.0.iter().all(is_in)
    }
}

impl TryFrom<String> for NetSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let nets = text.split(SEPARATOR).map(Net::parse).collect::<Result<_>>();
        nets.and_then(Self::new).map_err(|error| error.message)
    }
}

impl From<NetSet> for String {
    fn from(nets: NetSet) -> Self {
        nets.to_string()
    }
}

impl From<Net> for NetSet {
    fn from(net: Net) -> Self {
        Self(vec![net])
    }
}

impl fmt::Display for NetSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, net) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { SEPARATOR })?;
            net.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<NetSet> {
        NetSet::new(text.split(' ').map(|net| Net::parse(net).unwrap()).collect())
    }

    #[test]
    fn a_set_is_sorted_and_of_one_family() {
        let shown = set("192.168.0.0/24 10.0.0.0/8 10.0.0.0/7").unwrap_err();
        assert_eq!(shown.message, "10.0.0.0/8 is part of 10.0.0.0/7: name one of them");
        assert_eq!(
            set("192.168.0.0/24 10.0.0.0/8").unwrap().to_string(),
            "10.0.0.0/8, 192.168.0.0/24"
        );
        for (text, name) in [
            ("10.0.0.1 10.0.0.1", "nat.bad_cidr"),
            ("0.0.0.0/0 10.0.0.1", "nat.bad_cidr"),
            ("fd00::/8 fd00:1::/32", "nat.bad_cidr"),
            ("10.0.0.0/8 10.1.0.0/16 10.2.0.0/16", "nat.bad_cidr"),
            ("10.0.0.1 fd00::1", "nat.family_mismatch"),
        ] {
            assert_eq!(set(text).unwrap_err().name, Some(name), "{text}");
        }
        assert_eq!(NetSet::new(Vec::new()).unwrap_err().name, Some("nat.bad_cidr"));
        let mixed = ["fd00::/8", "10.0.0.0/8"].map(|net| Net::parse(net).unwrap());
        assert_eq!(NetSet::by_family(&mixed).unwrap().len(), 2);
        assert_eq!(NetSet::by_family(&[]).unwrap(), []);
        let stored = set("192.168.0.0/24 10.0.0.0/8").unwrap();
        assert_eq!(NetSet::try_from(String::from(stored.clone())).unwrap(), stored);
    }

    #[test]
    fn sets_meet_and_cover_each_other_by_their_networks() {
        let (wide, narrow) =
            (set("10.0.0.0/8 192.168.0.0/16").unwrap(), set("10.1.0.0/16").unwrap());
        assert!(wide.covers(&narrow) && !narrow.covers(&wide) && wide.covers(&wide));
        assert_eq!(wide.shared(&narrow), Net::parse("10.1.0.0/16").ok());
        assert_eq!(narrow.shared(&set("10.2.0.0/16").unwrap()), None);
        assert!(wide.has("192.168.9.9".parse().unwrap()));
        assert!(!wide.has("fd00::1".parse().unwrap()));
    }
}
