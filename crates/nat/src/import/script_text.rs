//! The script of an imported ruleset. Every value in it was parsed: a foreign line stands in a comment only. Pure.

use std::fmt::{Display, Write};

use super::{LineRemark, translate::Translation};
use crate::check::Ports;

/// Writes the script; empty if nothing could be carried over.
pub(super) fn script(
    found: &Translation,
    name: &str,
    left: &[LineRemark],
    needless: &[LineRemark],
) -> String {
    let mut lines = Vec::new();
    for one in &found.masquerades {
        let to = one.to.map(|to| quoted("to", to));
        lines.push(call(
            "masquerade",
            [Some(quoted("source", one.source)), Some(quoted("out", &one.out)), to],
        ));
    }
    for one in &found.forwards {
        let options = [
            one.device.as_ref().map(|device| quoted("in", device)),
            one.is_udp.then(|| quoted("protocol", "udp")),
            Some(ports(&one.ports)),
            Some(quoted("to", one.to)),
            one.to_port.map(|port| format!("to_port: {port}")),
            one.from.map(|from| quoted("from", from)),
            one.external.map(|external| quoted("external", external)),
            one.hairpin.map(|inside| quoted("hairpin", inside)),
        ];
        lines.push(call("forward", options));
    }
    for one in &found.helpers {
        let device = one.device.as_ref().map(|device| quoted("in", device));
        lines.push(call("ftp_helper", [Some(ports(&one.ports)), device]));
    }
    for device in &found.clamps {
        lines.push(device.as_ref().map_or_else(
            || "rules.clamp_mss(true);".to_owned(),
            |device| call("clamp_mss", [Some(quoted("out", device))]),
        ));
    }
    if found.is_isolated {
        lines.extend(exceptions(found));
        lines.push("rules.isolate(true);".into());
    }
    if found.is_forwarding {
        lines.push("rules.forwarding(true);".into());
    } else if found.is_saved && !lines.is_empty() {
        lines.push("// iptables-save does not hold the kernel's switch for forwarding.".into());
        lines.push("rules.forwarding(true);".into());
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut text =
        format!("let rules = nat::ruleset(\"{name}\");\n{}\nrules.apply();\n", lines.join("\n"));
    for (title, remarks) in [("Not carried over:", left), ("Not needed:", needless)] {
        if !remarks.is_empty() {
            write!(text, "\n// {title}\n").ok();
        }
        for remark in remarks {
            writeln!(text, "// {}", remark.words()).ok();
        }
    }
    text
}

/// Returns the calls for what passes an isolated gateway, or reaches it.
fn exceptions(found: &Translation) -> Vec<String> {
    let mut lines = Vec::new();
    for one in &found.allows {
        let options = [
            Some(quoted("in", &one.device)),
            Some(quoted("out", &one.out)),
            one.source.map(|source| quoted("source", source)),
            one.to.map(|to| quoted("to", to)),
            one.ports.as_ref().map(ports),
            one.protocol.map(|protocol| quoted("protocol", protocol)),
        ];
        lines.push(call("allow", options));
    }
    for one in &found.accepts {
        let options = [
            one.ports.as_ref().map(ports),
            one.protocol.map(|protocol| quoted("protocol", protocol)),
            one.device.as_ref().map(|device| quoted("in", device)),
            one.from.map(|from| quoted("from", from)),
        ];
        lines.push(call("accept", options));
    }
    lines
}

fn call(function: &str, options: impl IntoIterator<Item = Option<String>>) -> String {
    let options: Vec<_> = options.into_iter().flatten().collect();
    format!("rules.{function}(#{{ {} }});", options.join(", "))
}

fn quoted(key: &str, value: impl Display) -> String {
    format!("{key}: \"{value}\"")
}

fn ports(ports: &Ports) -> String {
    let one = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("\"{first}-{last}\"") }
    };
    let all: Vec<_> = ports.ranges().iter().map(one).collect();
    match all.as_slice() {
        [only] => format!("ports: {only}"),
        _ => format!("ports: [{}]", all.join(", ")),
    }
}
