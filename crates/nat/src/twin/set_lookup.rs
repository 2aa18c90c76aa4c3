//! Elements of large sets, looked up one by one: a packet has few values, and only the elements that match those decide
//! about it. So a set with 300,000 addresses costs no more than one with three, and verdicts stay right.

use std::{
    collections::BTreeSet,
    fmt::Write,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::ControlFlow,
};

use crate::{
    netlink::filter::{FilterQuery, ask, attribute, attributes, nested, text, value},
    tools,
};

/// The number of elements up to which a set is copied as a whole.
const ELEMENTS_MAX: usize = 512;
/// The maximum number of lookups in one set.
const LOOKUPS_MAX: usize = 4_096;

/// The numbers of messages and attributes in `linux/netfilter/nf_tables.h`.
const GET_SET: u16 = 10;
const GET_ELEMENT: u16 = 13;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_DATA_TYPE: u16 = 6;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const NESTED_ITEM: u16 = 1;
const IS_ANONYMOUS: u32 = 1;
const IS_MAP: u32 = 8;
const IS_CATCHALL: u32 = 2;

/// A type of value that is looked up. The numbers are those of nft (`datatype.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueType {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    Mark,
    Device,
    /// Any other: the set is copied as a whole.
    Other,
}

impl ValueType {
    const fn of(number: u32) -> Self {
        match number {
            7 => Self::Ipv4,
            8 => Self::Ipv6,
            12 => Self::Protocol,
            13 => Self::Port,
            19 => Self::Mark,
            41 => Self::Device,
            _ => Self::Other,
        }
    }

    /// Returns the types of a concatenation: six bits each.
    fn all_of(mut number: u32) -> Vec<Self> {
        let mut all = Vec::new();
        while number > 0 {
            all.insert(0, Self::of(number & 0x3f));
            number >>= 6;
        }
        all
    }

    const fn length(self) -> usize {
        match self {
            Self::Ipv4 | Self::Mark => 4,
            Self::Ipv6 | Self::Device => 16,
            Self::Protocol => 1,
            Self::Port => 2,
            Self::Other => 0,
        }
    }

    /// Returns a value as nft writes it.
    fn words(self, bytes: &[u8]) -> Option<String> {
        Some(match self {
            Self::Ipv4 => Ipv4Addr::from(*bytes.first_chunk::<4>()?).to_string(),
            Self::Ipv6 => Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_string(),
            Self::Protocol => bytes.first()?.to_string(),
            Self::Port => u16::from_be_bytes(*bytes.first_chunk::<2>()?).to_string(),
            Self::Mark => u32::from_ne_bytes(*bytes.first_chunk::<4>()?).to_string(),
            Self::Device => {
                let name = bytes.split(|byte| *byte == 0).next()?;
                format!("\"{}\"", std::str::from_utf8(name).ok()?)
            }
            Self::Other => return None,
        })
    }
}

/// The values that packets have, or may have once they are translated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PacketValues {
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) ports: BTreeSet<u16>,
    pub(super) devices: BTreeSet<String>,
}

impl PacketValues {
    /// Returns the values of a type, as bytes.
    fn of(&self, kind: ValueType) -> Vec<Vec<u8>> {
        match kind {
            ValueType::Ipv4 | ValueType::Ipv6 => {
                let bytes = |address: &IpAddr| match (address, kind) {
                    (IpAddr::V4(address), ValueType::Ipv4) => Some(address.octets().to_vec()),
                    (IpAddr::V6(address), ValueType::Ipv6) => Some(address.octets().to_vec()),
                    _ => None,
                };
                self.addresses.iter().filter_map(bytes).collect()
            }
            ValueType::Protocol => vec![vec![6], vec![17]],
            ValueType::Port => self.ports.iter().map(|port| port.to_be_bytes().to_vec()).collect(),
            ValueType::Mark => vec![vec![0; 4]],
            ValueType::Device => {
                let padded = |name: &String| {
                    let mut bytes = name.as_bytes().to_vec();
                    bytes.resize(ValueType::Device.length(), 0);
                    bytes
                };
                self.devices.iter().map(padded).collect()
            }
            ValueType::Other => Vec::new(),
        }
    }
}

/// A named set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetShape {
    number: u8,
    /// `inet`, `ip` and so on.
    pub(super) family: &'static str,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) is_map: bool,
    keys: Vec<ValueType>,
    data: Vec<ValueType>,
    is_large: bool,
}

/// Returns all named sets and maps of this network namespace; none if nftables cannot be asked.
pub(super) fn sets() -> Vec<SetShape> {
    let mut found = Vec::new();
    let query = FilterQuery { kind: GET_SET, family: 0, attributes: &[], is_dump: true };
    let asked = ask(&query, |family, all| {
        found.extend(SetShape::read(family, all));
        ControlFlow::Continue(())
    });
    if asked.is_err() {
        return Vec::new();
    }
    for set in &mut found {
        set.is_large = set.has_more_than(ELEMENTS_MAX);
    }
    found
}

impl SetShape {
    fn read(number: u8, all: &[(u16, &[u8])]) -> Option<Self> {
        let family = match number {
            1 => "inet",
            2 => "ip",
            3 => "arp",
            5 => "netdev",
            7 => "bridge",
            10 => "ip6",
            _ => return None,
        };
        let flags = number_of(value(all, SET_FLAGS)).unwrap_or(0);
        if flags & IS_ANONYMOUS != 0 {
            // The listing of its rule has the elements.
            return None;
        }
        Some(Self {
            number,
            family,
            table: text_of(value(all, SET_TABLE)?),
            name: text_of(value(all, SET_NAME)?),
            is_map: flags & IS_MAP != 0,
            keys: ValueType::all_of(number_of(value(all, SET_KEY_TYPE))?),
            data: ValueType::all_of(number_of(value(all, SET_DATA_TYPE)).unwrap_or(0)),
            is_large: false,
        })
    }

    /// Returns true if its elements are looked up one by one.
    pub(super) const fn is_large(&self) -> bool {
        self.is_large
    }

    fn has_more_than(&self, limit: usize) -> bool {
        let mut count = 0;
        let list = self.list(&[]);
        let query = FilterQuery {
            kind: GET_ELEMENT,
            family: self.number,
            attributes: &list,
            is_dump: true,
        };
        let counted = ask(&query, |_, all| {
            count += value(all, LIST_ELEMENTS).map_or(0, |items| attributes(items).len());
            if count > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        counted.is_ok() && count > limit
    }

    fn list(&self, elements: &[u8]) -> Vec<u8> {
        let [table, name] = [text(LIST_TABLE, &self.table), text(LIST_SET, &self.name)];
        [table, name, nested(LIST_ELEMENTS, elements)].concat()
    }

    /// Returns the commands of nft that add to a copy of the set what it has for `values`. A set whose elements cannot
    /// be looked up is read as a whole.
    pub(super) fn elements(&self, values: &PacketValues) -> String {
        if self.keys.is_empty() || self.keys.contains(&ValueType::Other) {
            return self.whole();
        }
        let mut commands = String::new();
        let Self { family, table, name, .. } = self;
        let mut add = |key: &str, data: &str| {
            writeln!(commands, "add element {family} {table} {name} {{ {key}{data} }}").ok();
        };
        for (key, bytes) in self.candidates(values) {
            let wanted = nested(ELEMENT_KEY, &attribute(DATA_VALUE, &bytes));
            match self.look_up(&wanted) {
                Ok(Some(data)) => add(&key, &data),
                Ok(None) => {}
                Err(_) => return self.whole(),
            }
        }
        // Older kernels know no element for all other keys, and refuse the question.
        let others = attribute(ELEMENT_FLAGS, &IS_CATCHALL.to_be_bytes());
        if let Ok(Some(data)) = self.look_up(&others) {
            add("*", &data);
        }
        commands
    }

    /// Returns all keys that packets with those values may have: as text, and as the kernel has them.
    fn candidates(&self, values: &PacketValues) -> Vec<(String, Vec<u8>)> {
        let mut keys = vec![(String::new(), Vec::new())];
        let is_one = self.keys.len() == 1;
        for kind in &self.keys {
            let mut longer = Vec::new();
            for (text, bytes) in &keys {
                for value in values.of(*kind) {
                    let Some(word) = kind.words(&value) else { continue };
                    let text = if text.is_empty() { word } else { format!("{text} . {word}") };
                    let mut bytes = [bytes.as_slice(), &value].concat();
                    if !is_one {
                        bytes.resize(bytes.len().next_multiple_of(4), 0);
                    }
                    longer.push((text, bytes));
                }
            }
            longer.truncate(LOOKUPS_MAX);
            keys = longer;
        }
        keys
    }

    /// Returns the data of an element as nft writes it, empty for a set; `None` if there is no such element.
    fn look_up(&self, element: &[u8]) -> io::Result<Option<String>> {
        let list = self.list(&nested(NESTED_ITEM, element));
        let query = FilterQuery {
            kind: GET_ELEMENT,
            family: self.number,
            attributes: &list,
            is_dump: false,
        };
        let mut found = None;
        let asked = ask(&query, |_, all| {
            let items = value(all, LIST_ELEMENTS).map(attributes).unwrap_or_default();
            found = value(&items, NESTED_ITEM).map(attributes).map(|item| self.data_of(&item));
            ControlFlow::Continue(())
        });
        match (asked, found) {
            (Err(error), _) if error.kind() != io::ErrorKind::NotFound => Err(error),
            (Err(_), _) | (Ok(()), None) => Ok(None),
            (Ok(()), Some(Some(data))) => Ok(Some(data)),
            (Ok(()), Some(None)) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn data_of(&self, item: &[(u16, &[u8])]) -> Option<String> {
        if !self.is_map {
            return Some(String::new());
        }
        let data = attributes(value(item, ELEMENT_DATA)?);
        if let Some(verdict) = value(&data, DATA_VERDICT) {
            return verdict_words(&attributes(verdict)).map(|words| format!(" : {words}"));
        }
        let mut bytes = value(&data, DATA_VALUE)?;
        let mut words = Vec::new();
        for kind in &self.data {
            words.push(kind.words(bytes)?);
            bytes = bytes.get(kind.length().next_multiple_of(4)..).unwrap_or_default();
        }
        (!words.is_empty()).then(|| format!(" : {}", words.join(" . ")))
    }

    /// Returns the set with all elements, as nft lists it.
    fn whole(&self) -> String {
        let kind = if self.is_map { "map" } else { "set" };
        let words = ["nft", "-s", "list", kind, self.family, &self.table, &self.name];
        tools::run(&words, "").ok().filter(|ran| ran.ok).map(|ran| ran.out).unwrap_or_default()
    }
}

fn verdict_words(verdict: &[(u16, &[u8])]) -> Option<String> {
    let code = number_of(value(verdict, VERDICT_CODE))?.cast_signed();
    let chain = || value(verdict, VERDICT_CHAIN).map(text_of);
    Some(match code {
        0 => "drop".into(),
        1 => "accept".into(),
        -1 => "continue".into(),
        -3 => format!("jump {}", chain()?),
        -4 => format!("goto {}", chain()?),
        -5 => "return".into(),
        _ => return None,
    })
}

fn number_of(bytes: Option<&[u8]>) -> Option<u32> {
    bytes?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type `ipv4_addr . inet_service`: 7 and 13.
    const DOORS: u32 = 0x1cd;

    fn set(key_type: u32, data_type: u32) -> SetShape {
        let type_of = |number: u32| number.to_be_bytes().to_vec();
        let (keys, data) = (type_of(key_type), type_of(data_type));
        let all: [(u16, &[u8]); 5] = [
            (SET_TABLE, b"t\0"),
            (SET_NAME, b"s\0"),
            (SET_FLAGS, &[0, 0, 0, 8]),
            (SET_KEY_TYPE, &keys),
            (SET_DATA_TYPE, &data),
        ];
        SetShape::read(1, &all).unwrap()
    }

    #[test]
    fn keys_are_made_of_the_values_of_a_packet() {
        let values = PacketValues {
            addresses: ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()].into(),
            ports: [21, 22].into(),
            devices: ["eth0".to_owned()].into(),
        };
        let keys = set(DOORS, 0).candidates(&values);
        assert_eq!(
            keys,
            [
                ("10.0.0.1 . 21".to_owned(), vec![10, 0, 0, 1, 0, 21, 0, 0]),
                ("10.0.0.1 . 22".to_owned(), vec![10, 0, 0, 1, 0, 22, 0, 0]),
            ]
        );
        let keys = set(13, 0).candidates(&values);
        assert_eq!(keys.first(), Some(&("21".to_owned(), vec![0, 21])));
        let keys = set(41, 0).candidates(&values);
        assert_eq!(
            keys.first().map(|(text, bytes)| (text.as_str(), bytes.len())),
            Some(("\"eth0\"", 16))
        );
    }

    #[test]
    fn data_of_maps_is_written_as_nft_reads_it() {
        let code = (-3_i32).to_be_bytes();
        assert_eq!(
            verdict_words(&[(VERDICT_CODE, &code), (VERDICT_CHAIN, b"deny\0")]).unwrap(),
            "jump deny"
        );
        assert_eq!(verdict_words(&[(VERDICT_CODE, &[0; 4])]).unwrap(), "drop");
        assert_eq!(ValueType::Port.words(&[0, 21]).unwrap(), "21");
        assert_eq!(ValueType::all_of(DOORS), [ValueType::Ipv4, ValueType::Port]);
    }
}
