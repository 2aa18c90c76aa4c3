//! The parts of a ruleset that say the same as foreign rules. Pure.

use std::net::IpAddr;

use super::{
    ImportedRuleset, LineRemark,
    command_line::ShellCommand,
    iptables_rule::{IptablesRule, TableAction},
    kernel_lines, script_text,
};
use crate::check::{Family, InterfaceSelector, Net, Ports};

/// A masquerade or a source NAT.
#[derive(Debug, PartialEq)]
pub(super) struct ImportedMasquerade {
    pub(super) source: Net,
    pub(super) out: InterfaceSelector,
    pub(super) to: Option<IpAddr>,
}

/// A port that is led to another host.
#[derive(Debug, PartialEq)]
pub(super) struct ImportedForward {
    pub(super) device: Option<InterfaceSelector>,
    /// True for UDP.
    pub(super) is_udp: bool,
    pub(super) ports: Ports,
    pub(super) to: IpAddr,
    /// The port there, if it is another one.
    pub(super) to_port: Option<u16>,
    pub(super) from: Option<Net>,
    pub(super) external: Option<IpAddr>,
    pub(super) hairpin: Option<Net>,
}

/// Traffic that may pass an isolated gateway.
#[derive(Debug, PartialEq)]
pub(super) struct ImportedAllow {
    pub(super) device: InterfaceSelector,
    pub(super) out: InterfaceSelector,
    pub(super) source: Option<Net>,
    pub(super) to: Option<Net>,
    pub(super) ports: Option<Ports>,
    /// `tcp` or `udp`; TCP if `None` and there are ports.
    pub(super) protocol: Option<&'static str>,
}

/// A service of the gateway itself that is let in to.
#[derive(Debug, PartialEq)]
pub(super) struct ImportedAccept {
    pub(super) ports: Option<Ports>,
    /// `tcp` or `udp`; TCP if `None` and there are ports.
    pub(super) protocol: Option<&'static str>,
    pub(super) device: Option<InterfaceSelector>,
    pub(super) from: Option<Net>,
}

/// The helper, with its control ports.
#[derive(Debug, PartialEq)]
pub(super) struct ImportedHelper {
    pub(super) ports: Ports,
    pub(super) device: Option<InterfaceSelector>,
}

/// A rule of the table `filter`, which depends on policies that may come later.
#[derive(Debug)]
struct FilterRule {
    line: usize,
    text: String,
    rule: IptablesRule,
}

/// The parts so far.
#[derive(Debug, Default)]
pub(super) struct Translation {
    pub(super) masquerades: Vec<ImportedMasquerade>,
    pub(super) forwards: Vec<ImportedForward>,
    pub(super) allows: Vec<ImportedAllow>,
    pub(super) helpers: Vec<ImportedHelper>,
    pub(super) accepts: Vec<ImportedAccept>,
    /// The interfaces whose segments are limited; all narrow ones for `None`.
    pub(super) clamps: Vec<Option<InterfaceSelector>>,
    pub(super) is_forwarding: bool,
    pub(super) is_isolated: bool,
    /// True if the kernel's switch is not part of the format.
    pub(super) is_saved: bool,
    filters: Vec<FilterRule>,
    /// The table of `iptables-save` that is being read.
    table: String,
    left: Vec<LineRemark>,
    needless: Vec<LineRemark>,
}

/// The result of a line: carried over, or a reason for one of the two lists of remarks.
pub(super) type LineResult = Result<(), NotTaken>;

pub(super) enum NotTaken {
    Lost(String),
    Needless(&'static str),
}

impl From<String> for NotTaken {
    fn from(why: String) -> Self {
        Self::Lost(why)
    }
}

pub(super) fn lost<T>(why: &str) -> Result<T, NotTaken> {
    Err(NotTaken::Lost(why.to_owned()))
}

/// The commands of a script that change nothing.
const IDLE: [&str; 8] = ["set", "exit", "true", ":", "echo", "logger", "sleep", "sync"];
const GATEWAY_ALONE: &str = "its own connections are let in, as nothing filters them here";
pub(super) const SAID_BEFORE: &str = "an earlier line says the same";

impl Translation {
    /// Carries a command over, or keeps a remark.
    pub(super) fn take(&mut self, command: &ShellCommand) {
        let ShellCommand { line, text, words } = command;
        let taken = match words {
            Ok(words) => self.command(*line, text, words),
            Err(why) => lost(why),
        };
        match taken {
            Ok(()) => {}
            Err(NotTaken::Lost(why)) => self.left.push(LineRemark::new(*line, text, why)),
            Err(NotTaken::Needless(why)) => self.needless.push(LineRemark::new(*line, text, why)),
        }
    }

    fn command(&mut self, line: usize, text: &str, words: &[String]) -> LineResult {
        let [first, rest @ ..] = words else { return Ok(()) };
        if first == "sudo" {
            return self.command(line, text, rest);
        }
        if let Some(table) = first.strip_prefix('*') {
            table.clone_into(&mut self.table);
            self.is_saved = true;
            return Ok(());
        }
        if let Some(chain) = first.strip_prefix(':').filter(|_| self.is_saved) {
            return self.saved_chain(line, text, chain, rest);
        }
        let program = first.rsplit('/').next().unwrap_or(first);
        let program = program.trim_end_matches("-legacy").trim_end_matches("-nft");
        match program {
            "COMMIT" if self.is_saved => Ok(()),
            "-A" | "-I" if self.is_saved => self.rule(line, text, words, Family::V4),
            // The counters of `iptables-save -c`.
            _ if first.starts_with('[') && self.is_saved => self.rule(line, text, rest, Family::V4),
            "iptables" => self.rule(line, text, rest, Family::V4),
            "ip6tables" => self.rule(line, text, rest, Family::V6),
            "modprobe" | "insmod" => self.module(rest),
            "echo" if words.iter().any(|word| word.contains('>')) => self.echo(rest),
            "sysctl" => self.sysctls(rest),
            _ if kernel_lines::SWITCHES
                .contains(&program.split('=').next().unwrap_or_default()) =>
            {
                self.sysctls(words)
            }
            _ if IDLE.contains(&program) => Ok(()),
            _ => lost("only iptables, modprobe, sysctl and echo are read"),
        }
    }

    fn saved_chain(&mut self, line: usize, text: &str, chain: &str, rest: &[String]) -> LineResult {
        let policy = rest.first().map_or("-", String::as_str);
        if policy == "-" {
            return Err(NotTaken::Needless("a chain of its own; its rules are named below"));
        }
        let words = ["-P", chain, policy].map(str::to_owned);
        if policy == "ACCEPT" { Ok(()) } else { self.rule(line, text, &words, Family::V4) }
    }

    fn rule(&mut self, line: usize, text: &str, words: &[String], family: Family) -> LineResult {
        let table = if self.is_saved { self.table.as_str() } else { "filter" };
        let rule = IptablesRule::read(words, family, table)?;
        match rule.action {
            Some(TableAction::Add | TableAction::Policy) => {}
            Some(TableAction::Flush) => {
                let why =
                    "it would remove the rules of everybody; a ruleset has a table of its own";
                return Err(NotTaken::Needless(why));
            }
            Some(TableAction::NewChain | TableAction::Show) => return Ok(()),
            Some(TableAction::Other) | None => {
                return lost("only rules that are added and policies are read");
            }
        }
        match (rule.table.as_str(), rule.chain.as_str()) {
            ("nat", "POSTROUTING") => self.source_nat(&rule),
            ("nat", "PREROUTING") => self.destination_nat(rule),
            ("raw", "PREROUTING" | "OUTPUT") if rule.target == "CT" => self.helper(rule),
            ("mangle" | "filter", "FORWARD" | "POSTROUTING" | "PREROUTING")
                if rule.target == "TCPMSS" =>
            {
                self.clamp(rule)
            }
            ("mangle", "OUTPUT") if rule.target == "TCPMSS" => Err(NotTaken::Needless(
                "the gateway's own connections take the size of their line by themselves",
            )),
            ("filter", "FORWARD" | "INPUT" | "OUTPUT") => {
                self.filters.push(FilterRule { line, text: text.to_owned(), rule });
                Ok(())
            }
            (_, "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING")
                if rule.action == Some(TableAction::Policy) && rule.target == "ACCEPT" =>
            {
                Ok(())
            }
            (
                "nat" | "filter" | "mangle" | "raw",
                "PREROUTING" | "OUTPUT" | "INPUT" | "FORWARD" | "POSTROUTING",
            ) => lost("rules of that table and chain have no counterpart"),
            _ => lost("chains of others, and of one's own, are not followed"),
        }
    }

    fn source_nat(&mut self, rule: &IptablesRule) -> LineResult {
        if rule.action == Some(TableAction::Policy) {
            return Ok(());
        }
        let to = match (rule.target.as_str(), rule.to) {
            ("MASQUERADE", None) => None,
            ("SNAT", Some((to, None))) => Some(to),
            ("SNAT", _) => return lost("the new address has to be one, without a port"),
            ("ACCEPT" | "RETURN", _) => {
                return lost("an exception from translation has no counterpart");
            }
            (target, _) => return Err(format!("the target `{target}` has no counterpart").into()),
        };
        if let (Some(inside), Some(target)) = (rule.source, rule.destination)
            && let Some(forward) =
                self.forwards.iter_mut().find(|one| target == Net::new(one.to, u8::MAX))
        {
            // The second half of a redirection for clients in the server's own network.
            forward.hairpin = Some(inside);
            return Ok(());
        }
        if rule.destination.is_some() || rule.protocol.is_some() || rule.ports.is_some() {
            return lost("a masquerade is for all packets of a network");
        }
        let Some(out) = rule.out.clone() else {
            return lost("it names no outgoing interface (-o)");
        };
        let family = to.map_or(rule.family, Family::of);
        let any = if family == Family::V6 { "::/0" } else { "0.0.0.0/0" };
        let source = match rule.source {
            Some(source) => source,
            None => Net::parse(any).map_err(|error| NotTaken::Lost(error.message))?,
        };
        let one = ImportedMasquerade { source, out, to };
        if self.masquerades.contains(&one) {
            return Err(NotTaken::Needless(SAID_BEFORE));
        }
        self.masquerades.push(one);
        Ok(())
    }

    fn destination_nat(&mut self, rule: IptablesRule) -> LineResult {
        if rule.action == Some(TableAction::Policy) {
            return Ok(());
        }
        let (to, port) = match (rule.target.as_str(), rule.to) {
            ("DNAT", Some(to)) => to,
            ("REDIRECT", _) => return lost("a redirect to this host itself has no counterpart"),
            (target, _) => return Err(format!("the target `{target}` has no counterpart").into()),
        };
        let is_udp = match rule.protocol.as_deref() {
            Some("tcp") => false,
            Some("udp") => true,
            _ => return lost("a forward is for ports of TCP or UDP (-p tcp)"),
        };
        let Some(ports) = rule.ports else {
            return lost("without ports, everything would be led there: name them (--dport)");
        };
        let to_port = port.filter(|port| ports.ranges() != [(*port, *port)]);
        let is_one = matches!(ports.ranges(), [(first, last)] if first == last);
        if to_port.is_some() && !is_one {
            return lost("several ports cannot be led to one");
        }
        if to.is_loopback() {
            return lost("connections are not led to loopback");
        }
        let external = match rule.destination {
            None => None,
            Some(net) if net == Net::new(net.address(), u8::MAX) => Some(net.address()),
            Some(_) => return lost("the outside address (-d) has to be one"),
        };
        let from = rule.source.filter(|net| net.prefix() > 0);
        let one = ImportedForward {
            device: rule.device,
            is_udp,
            ports,
            to,
            to_port,
            from,
            external,
            hairpin: None,
        };
        if self.forwards.contains(&one) {
            return Err(NotTaken::Needless(SAID_BEFORE));
        }
        if let Some(port) = self.forwards.iter().find_map(|other| clash(&one, other)) {
            return Err(format!("an earlier line leads port {port} already").into());
        }
        self.forwards.push(one);
        Ok(())
    }

    /// A limit on segments. It follows from the line, whatever the foreign rule sets.
    fn clamp(&mut self, rule: IptablesRule) -> LineResult {
        if rule.source.is_some() || rule.destination.is_some() || rule.ports.is_some() {
            return lost("segments are limited for an interface, from every source");
        }
        // A rule for what comes in by an interface is the other half of one for what leaves by it.
        let device = rule.out.or(rule.device);
        if self.clamps.contains(&device) {
            return Err(NotTaken::Needless(SAID_BEFORE));
        }
        self.clamps.push(device);
        match rule.segment {
            None => Ok(()),
            Some(size) => {
                Err(format!("`clamp_mss` takes the size from the MTU of the interface, not {size}")
                    .into())
            }
        }
    }

    fn helper(&mut self, rule: IptablesRule) -> LineResult {
        if rule.helper.as_deref() != Some("ftp") || rule.protocol.as_deref() != Some("tcp") {
            return lost("of the kernel's helpers, a ruleset has that of FTP");
        }
        if rule.source.is_some() || rule.destination.is_some() {
            return lost("the helper is set for ports and an interface");
        }
        let Some(ports) = rule.ports else { return lost("the helper needs its ports (--dport)") };
        // A rule is more precise than the module alone.
        self.helpers.retain(|known| known.device.is_some() || known.ports != ports);
        let one = ImportedHelper { ports, device: rule.device };
        if !self.helpers.contains(&one) {
            self.helpers.push(one);
        }
        Ok(())
    }

    /// Decides about the rules of the table `filter`, and writes the script.
    pub(super) fn finish(mut self, name: &str) -> ImportedRuleset {
        let filters = std::mem::take(&mut self.filters);
        let drops = |chain: &str| {
            filters.iter().any(|one| {
                let rule = &one.rule;
                rule.chain == chain
                    && ["DROP", "REJECT"].contains(&rule.target.as_str())
                    && rule.is_unconditional()
            })
        };
        self.is_isolated = drops("FORWARD");
        let filters_input = drops("INPUT");
        let is_closing = |rule: &IptablesRule| {
            rule.chain == "INPUT" && rule.target != "ACCEPT" && rule.is_unconditional()
        };
        let mut filters = filters;
        // Whether they are carried over depends on the others.
        filters.sort_by_key(|one| is_closing(&one.rule));
        for FilterRule { line, text, rule } in filters {
            let taken = match rule.chain.as_str() {
                "FORWARD" => self.forwarded(rule),
                "INPUT" if !filters_input && rule.target == "ACCEPT" => {
                    Err(NotTaken::Needless(GATEWAY_ALONE))
                }
                "INPUT" if !filters_input => lost("a ruleset drops all that it does not accept"),
                "INPUT" if self.is_isolated => self.input(rule),
                "INPUT" => lost(
                    "connections to this host are only filtered where forwarded packets are (`isolate`)",
                ),
                "OUTPUT" if rule.target == "ACCEPT" => Ok(()),
                _ => lost("a ruleset does not filter connections from this host itself"),
            };
            match taken {
                Ok(()) => {}
                Err(NotTaken::Lost(why)) => self.left.push(LineRemark::new(line, &text, why)),
                Err(NotTaken::Needless(why)) => {
                    self.needless.push(LineRemark::new(line, &text, why));
                }
            }
        }
        self.left.sort_by_key(|one| one.line);
        self.needless.sort_by_key(|one| one.line);
        let script = script_text::script(&self, name, &self.left, &self.needless);
        ImportedRuleset { script, left: self.left, needless: self.needless }
    }
}

/// Returns a port that two forwards would lead to different places.
fn clash(one: &ImportedForward, other: &ImportedForward) -> Option<u16> {
    let either = |is_equal: bool, is_open: bool| is_equal || is_open;
    let devices =
        either(one.device == other.device, one.device.is_none() || other.device.is_none());
    let outside =
        either(one.external == other.external, one.external.is_none() || other.external.is_none());
    let sources = match (one.from, other.from) {
        (Some(one), Some(other)) => one.has(other.address()) || other.has(one.address()),
        _ => true,
    };
    let families = one.to.is_ipv4() == other.to.is_ipv4();
    let protocols = one.is_udp == other.is_udp;
    let meets = devices && outside && sources && families && protocols;
    one.ports.shared(&other.ports).filter(|_| meets)
}
