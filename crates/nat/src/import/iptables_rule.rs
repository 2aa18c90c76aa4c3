//! One call of iptables, or one line of `iptables-save`, as values. Pure.

use std::net::IpAddr;

use crate::check::{Family, InterfaceSelector, Net, Ports};

/// The action of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableAction {
    /// A rule is added.
    Add,
    /// A policy is set.
    Policy,
    /// Rules or chains are removed, all of them or by name; or counters are reset.
    Flush,
    /// A chain is created.
    NewChain,
    /// The rules are shown.
    Show,
    /// Anything else.
    Other,
}

/// A call of iptables.
#[derive(Debug, Clone)]
pub(super) struct IptablesRule {
    pub(super) family: Family,
    pub(super) action: Option<TableAction>,
    pub(super) table: String,
    pub(super) chain: String,
    /// The target: of a rule, or of a policy.
    pub(super) target: String,
    pub(super) protocol: Option<String>,
    pub(super) source: Option<Net>,
    pub(super) destination: Option<Net>,
    pub(super) device: Option<InterfaceSelector>,
    pub(super) out: Option<InterfaceSelector>,
    pub(super) ports: Option<Ports>,
    pub(super) states: Vec<String>,
    /// The address of DNAT or SNAT, with its port.
    pub(super) to: Option<(IpAddr, Option<u16>)>,
    pub(super) helper: Option<String>,
    /// True if it looks at flags of TCP.
    pub(super) has_flags: bool,
    /// The size of segments that it sets; `None` if that follows from the line.
    pub(super) segment: Option<String>,
}

/// The options that have no meaning for the rules, with the number of their values.
const IGNORED: [(&str, usize); 16] = [
    ("-w", 0),
    ("--wait", 0),
    ("-n", 0),
    ("-v", 0),
    ("--numeric", 0),
    ("--line-numbers", 0),
    ("--random", 0),
    ("--random-fully", 0),
    ("--persistent", 0),
    ("--comment", 1),
    ("--reject-with", 1),
    ("--dst-type", 1),
    ("-c", 2),
    ("--set-counters", 2),
    ("--clamp-mss-to-pmtu", 0),
    ("--mss", 1),
];
/// The matches whose options are read.
const MATCHES: [&str; 9] =
    ["tcp", "udp", "state", "conntrack", "multiport", "comment", "addrtype", "helper", "tcpmss"];

impl IptablesRule {
    /// Reads the words after the name of the program. Fails with the reason why the rule cannot be carried over.
    pub(super) fn read(words: &[String], family: Family, table: &str) -> Result<Self, String> {
        let mut rule = Self {
            family,
            action: None,
            table: table.to_owned(),
            chain: String::new(),
            target: String::new(),
            protocol: None,
            source: None,
            destination: None,
            device: None,
            out: None,
            ports: None,
            states: Vec::new(),
            to: None,
            helper: None,
            has_flags: false,
            segment: None,
        };
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            if word == "!" || words.peek() == Some(&"!") {
                return Err("a negation (`!`) has no counterpart".into());
            }
            // `--dport=21` is the same as `--dport 21`.
            let (key, joined) = match word.split_once('=') {
                Some((key, value)) if key.starts_with("--") => (key, Some(value)),
                _ => (word, None),
            };
            if let Some((_, count)) = IGNORED.iter().find(|(name, _)| *name == key) {
                let skipped = count.saturating_sub(usize::from(joined.is_some()));
                for _ in 0..skipped {
                    words.next();
                }
                // The time of `-w 5`.
                if count == &0 && words.peek().is_some_and(|next| next.parse::<u32>().is_ok()) {
                    words.next();
                }
                continue;
            }
            if rule.action(key, &mut words) || rule.flags(key, joined, &mut words) {
                continue;
            }
            let value = joined.or_else(|| words.next());
            let value = value.ok_or_else(|| format!("`{key}` has no value"))?;
            rule.option(key, value)?;
        }
        if rule.family == Family::V4 {
            let nets = [rule.source, rule.destination];
            if nets.into_iter().flatten().any(|net| net.family() == Family::V6) {
                rule.family = Family::V6;
            }
        }
        Ok(rule)
    }

    /// Reads a command such as `-A CHAIN`; returns false if `key` is none.
    fn action<'w>(
        &mut self,
        key: &str,
        words: &mut std::iter::Peekable<impl Iterator<Item = &'w str>>,
    ) -> bool {
        let action = match key {
            "-A" | "--append" | "-I" | "--insert" => TableAction::Add,
            "-P" | "--policy" => TableAction::Policy,
            "-F" | "--flush" | "-X" | "--delete-chain" | "-Z" | "--zero" => TableAction::Flush,
            "-N" | "--new-chain" => TableAction::NewChain,
            "-L" | "--list" | "-S" | "--list-rules" | "-C" | "--check" => TableAction::Show,
            "-D" | "--delete" | "-R" | "--replace" | "-E" | "--rename-chain" => TableAction::Other,
            _ => return false,
        };
        self.action = Some(action);
        if let Some(chain) = words.next_if(|word| !word.starts_with('-')) {
            chain.clone_into(&mut self.chain);
        }
        match action {
            TableAction::Policy => {
                words.next().unwrap_or_default().clone_into(&mut self.target);
            }
            // The place of an insertion.
            TableAction::Add => {
                words.next_if(|word| word.parse::<u32>().is_ok());
            }
            _ => {}
        }
        true
    }

    /// Reads a match of TCP flags; returns false if `key` is none. `--tcp-flags` has two values.
    fn flags<'w>(
        &mut self,
        key: &str,
        joined: Option<&str>,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> bool {
        match key {
            // A rule that lets in connections lets in their first packet, and replies pass.
            "--syn" => {}
            "--tcp-flags" => {
                self.has_flags = true;
                let left = 2 - usize::from(joined.is_some());
                words.take(left).for_each(drop);
            }
            _ => return false,
        }
        true
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), String> {
        let told = |error: portolan_core::error::Error| error.message;
        match key {
            "-t" | "--table" => value.clone_into(&mut self.table),
            "-j" | "--jump" | "-g" | "--goto" => value.clone_into(&mut self.target),
            "-p" | "--protocol" | "--proto" if value == "all" || value == "0" => {}
            "-p" | "--protocol" | "--proto" => self.protocol = Some(value.to_ascii_lowercase()),
            "-s" | "--source" | "--src" => self.source = Some(net(value)?),
            "-d" | "--destination" | "--dst" => self.destination = Some(net(value)?),
            "-i" | "--in-interface" => {
                self.device = Some(InterfaceSelector::parse(&wildcard(value)).map_err(told)?);
            }
            "-o" | "--out-interface" => {
                self.out = Some(InterfaceSelector::parse(&wildcard(value)).map_err(told)?);
            }
            "-m" | "--match" if MATCHES.contains(&value) => {}
            // Options of a match by type of ICMP: all of them pass.
            "--icmp-type" | "--icmpv6-type" => {}
            "-m" | "--match" if value == "icmp" || value == "icmp6" => {}
            "-m" | "--match" => return Err(format!("the match `{value}` has no counterpart")),
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                let ports = Ports::parse(&value.replace(':', "-"));
                self.ports = Some(ports.map_err(|_| format!("`{value}` is no port or range"))?);
            }
            "--state" | "--ctstate" => {
                self.states = value.split(',').map(str::to_ascii_uppercase).collect();
            }
            "--to-destination" | "--to-source" | "--to" => self.to = Some(endpoint(value)?),
            "--helper" => self.helper = Some(value.to_owned()),
            "--set-mss" => self.segment = Some(value.to_owned()),
            _ => return Err(format!("the option `{key}` has no counterpart")),
        }
        Ok(())
    }

    /// Returns true if it matches every packet.
    pub(super) const fn is_unconditional(&self) -> bool {
        self.protocol.is_none()
            && self.source.is_none()
            && self.destination.is_none()
            && self.device.is_none()
            && self.out.is_none()
            && self.ports.is_none()
            && self.states.is_empty()
            && !self.has_flags
    }

    /// Returns true if it matches nothing but packets that belong to no connection.
    pub(super) fn is_for_invalid(&self) -> bool {
        self.states == ["INVALID"]
    }

    /// Returns true if it matches only packets of connections that exist.
    pub(super) fn is_for_replies(&self) -> bool {
        let replies = ["ESTABLISHED", "RELATED"];
        !self.states.is_empty() && self.states.iter().all(|state| replies.contains(&state.as_str()))
    }
}

/// Parses a network; a mask such as `255.255.255.0` is a prefix as well.
fn net(text: &str) -> Result<Net, String> {
    let wrong = || format!("`{text}` is no address or network");
    if let Some((address, mask)) = text.split_once('/')
        && let (Ok(address), Ok(mask)) =
            (address.parse::<IpAddr>(), mask.parse::<std::net::Ipv4Addr>())
    {
        let bits = mask.to_bits();
        let prefix = bits.leading_ones();
        let is_mask = bits.checked_shl(prefix).unwrap_or(0) == 0;
        let prefix = u8::try_from(prefix).ok().filter(|_| is_mask).ok_or_else(wrong)?;
        return Ok(Net::new(address, prefix));
    }
    Net::parse(text).map_err(|_| wrong())
}

/// Returns an interface as rulesets name it: `ppp+` is `ppp*`.
fn wildcard(name: &str) -> String {
    name.strip_suffix('+').map_or_else(|| name.to_owned(), |start| format!("{start}*"))
}

/// Parses `10.0.0.5`, `10.0.0.5:21`, `fd00::5` or `[fd00::5]:21`.
fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok((address, None));
    }
    if let Ok(endpoint) = text.parse::<std::net::SocketAddr>() {
        return Ok((endpoint.ip(), Some(endpoint.port())));
    }
    Err(format!("`{text}` is not one address with at most one port"))
}
