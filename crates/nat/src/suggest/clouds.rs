//! Security groups of clouds, as Terraform. A cloud filters before the host: both have to let the ports through.

use std::{fmt::Write, ops::RangeInclusive};

use super::{FirewallRule, WantedPorts, one};
use crate::check::Family;

/// A remark for the administrator of an instance with a private address.
const OWN_ADDRESS: &str = "# The address of the instance itself is private: a server announces the public one (pasv_address, MasqueradeAddress, …).";
/// The first priority of the rules in an Azure group: lower numbers come first.
const PRIORITY: usize = 200;

/// Returns the name of a rule's resource.
const fn name_of(rule: &FirewallRule) -> &'static str {
    if rule.is_inbound { "ftp_in" } else { "ftp_out" }
}

/// Returns a resource of Terraform; keys are aligned as `terraform fmt` does.
fn resource(kind: &str, name: &str, values: &[(&str, String)]) -> Vec<String> {
    let mut lines = vec![format!("resource \"{kind}\" \"{name}\" {{")];
    lines.extend(aligned(values, "  "));
    lines.push("}".into());
    lines
}

fn aligned(values: &[(&str, String)], indent: &str) -> Vec<String> {
    let width = values.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    values.iter().map(|(key, value)| format!("{indent}{key:<width$} = {value}")).collect()
}

fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// Returns a variable for a thing that the user has already.
fn variable(name: &str, what: &str) -> Vec<String> {
    let values = [("type", "string".to_owned()), ("description", quoted(what))];
    let mut lines = vec![format!("variable \"{name}\" {{")];
    lines.extend(aligned(&values, "  "));
    lines.extend(["}".into(), String::new()]);
    lines
}

fn ports(ranges: &[RangeInclusive<u16>]) -> String {
    list(ranges.iter().map(|range| one(range, '-')))
}

impl WantedPorts {
    /// Returns the networks of the other side.
    fn networks(&self) -> Vec<(Family, String)> {
        if let Some(net) = self.from {
            let (address, prefix) = (net.address(), net.prefix());
            return vec![(net.family(), format!("{address}/{prefix}"))];
        }
        let all = [(Family::V4, "0.0.0.0/0".to_owned()), (Family::V6, "::/0".to_owned())];
        all.into_iter().filter(|(family, _)| self.has(*family)).collect()
    }

    /// Returns a description in the characters that every cloud accepts.
    fn description(&self, range: &RangeInclusive<u16>) -> &'static str {
        if range.contains(&self.control) { "FTP control port" } else { "FTP data ports" }
    }

    pub(super) fn aws(&self, rules: &[FirewallRule]) -> Vec<String> {
        let mut lines = vec![OWN_ADDRESS.to_owned()];
        lines.extend(variable(
            "security_group_id",
            "The group of the instance, such as sg-0123456789abcdef0",
        ));
        for rule in rules {
            let name = name_of(rule);
            let kind = if rule.is_inbound {
                "aws_vpc_security_group_ingress_rule"
            } else {
                "aws_vpc_security_group_egress_rule"
            };
            for range in &rule.ports {
                for (family, network) in self.networks() {
                    let (word, key) = match family {
                        Family::V4 => ("ipv4", "cidr_ipv4"),
                        Family::V6 => ("ipv6", "cidr_ipv6"),
                    };
                    let values = [
                        ("security_group_id", "var.security_group_id".to_owned()),
                        ("description", quoted(self.description(range))),
                        ("ip_protocol", quoted("tcp")),
                        ("from_port", range.start().to_string()),
                        ("to_port", range.end().to_string()),
                        (key, quoted(network)),
                    ];
                    lines.extend(resource(
                        kind,
                        &format!("{name}_{}_{word}", range.start()),
                        &values,
                    ));
                    lines.push(String::new());
                }
            }
        }
        lines.pop();
        lines
    }

    pub(super) fn azure(&self, rules: &[FirewallRule]) -> Vec<String> {
        let mut lines = vec![OWN_ADDRESS.to_owned()];
        lines.extend(variable("resource_group_name", "The resource group"));
        lines.extend(variable(
            "network_security_group_name",
            "The network security group of the instance",
        ));
        let mut priority = PRIORITY;
        for rule in rules {
            let name = name_of(rule);
            for (family, network) in self.networks() {
                let name =
                    if family == Family::V6 { format!("{name}_ipv6") } else { name.to_owned() };
                let (direction, ours, theirs) = if rule.is_inbound {
                    ("Inbound", "destination", "source")
                } else {
                    ("Outbound", "source", "destination")
                };
                let (our_key, their_key) =
                    (format!("{ours}_address_prefix"), format!("{theirs}_address_prefix"));
                let values = [
                    ("name", quoted(name.replace('_', "-"))),
                    ("resource_group_name", "var.resource_group_name".to_owned()),
                    ("network_security_group_name", "var.network_security_group_name".to_owned()),
                    ("priority", priority.to_string()),
                    ("direction", quoted(direction)),
                    ("access", quoted("Allow")),
                    ("protocol", quoted("Tcp")),
                    ("source_port_range", quoted("*")),
                    ("destination_port_ranges", ports(&rule.ports)),
                    (&*their_key, quoted(network)),
                    (&*our_key, quoted("*")),
                ];
                lines.extend(resource("azurerm_network_security_rule", &name, &values));
                lines.push(String::new());
                priority += 1;
            }
        }
        lines.pop();
        lines
    }

    pub(super) fn gcp(&self, rules: &[FirewallRule]) -> Vec<String> {
        let mut lines = vec![OWN_ADDRESS.to_owned()];
        lines.extend(variable("network", "The network of the instance"));
        for rule in rules {
            let name = name_of(rule);
            // One rule takes networks of one family.
            for (family, network) in self.networks() {
                let name =
                    if family == Family::V6 { format!("{name}_ipv6") } else { name.to_owned() };
                let (direction, key) = if rule.is_inbound {
                    ("INGRESS", "source_ranges")
                } else {
                    ("EGRESS", "destination_ranges")
                };
                let values = [
                    ("name", quoted(name.replace('_', "-"))),
                    ("network", "var.network".to_owned()),
                    ("direction", quoted(direction)),
                    (key, list([network])),
                    ("target_tags", list(["ftp".to_owned()])),
                ];
                let mut block = resource("google_compute_firewall", &name, &values);
                block.pop();
                let allow = [("protocol", quoted("tcp")), ("ports", ports(&rule.ports))];
                block.extend([String::new(), "  allow {".into()]);
                block.extend(aligned(&allow, "    "));
                block.extend(["  }".into(), "}".into(), String::new()]);
                lines.extend(block);
            }
        }
        lines.pop();
        lines
    }

    pub(super) fn hetzner(&self, rules: &[FirewallRule]) -> Vec<String> {
        let mut lines = Vec::new();
        let networks = list(self.networks().into_iter().map(|(_, network)| network));
        lines.push("resource \"hcloud_firewall\" \"ftp\" {".to_owned());
        lines.push("  name = \"ftp\"".into());
        for rule in rules {
            if !rule.is_inbound {
                let mut text = "  # Connections go out unless a rule of direction \"out\" exists; then another:".to_owned();
                write!(text, " ports {}", super::listed(&rule.ports, '-')).ok();
                lines.extend([String::new(), text]);
                continue;
            }
            for range in &rule.ports {
                let values = [
                    ("description", quoted(self.description(range))),
                    ("direction", quoted("in")),
                    ("protocol", quoted("tcp")),
                    ("port", quoted(one(range, '-'))),
                    ("source_ips", networks.clone()),
                ];
                lines.extend([String::new(), "  rule {".into()]);
                lines.extend(aligned(&values, "    "));
                lines.push("  }".into());
            }
        }
        lines.push("}".into());
        lines
    }
}
