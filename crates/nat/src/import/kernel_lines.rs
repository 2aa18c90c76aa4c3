//! Lines about the kernel: modules, and the switch for forwarding. Pure.

use super::translate::{ImportedHelper, LineResult, NotTaken, Translation, lost};
use crate::check::Ports;

/// The modules that the kernel loads by itself.
const MODULES: [&str; 8] =
    ["ip_", "ip6_", "ipt_", "iptable_", "ip6table_", "xt_", "x_tables", "nf_tables"];
/// The switches of the kernel that make a host a gateway.
pub(super) const SWITCHES: [&str; 3] =
    ["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding"];

impl Translation {
    pub(super) fn module(&mut self, words: &[String]) -> LineResult {
        let mut names = words.iter().filter(|word| !word.starts_with('-'));
        let name = names.next().map(|name| name.replace('-', "_")).unwrap_or_default();
        if name.ends_with("conntrack_ftp") || name.ends_with("nat_ftp") {
            let given = names.find_map(|word| word.strip_prefix("ports="));
            let ports = Ports::parse(given.unwrap_or("21"));
            let ports = ports.map_err(|error| NotTaken::Lost(error.message))?;
            // `nf_nat_ftp` comes beside `nf_conntrack_ftp`, whose ports count.
            return match self.helpers.iter_mut().find(|known| known.device.is_none()) {
                Some(known) if given.is_some() => {
                    known.ports = ports;
                    Ok(())
                }
                Some(_) => Ok(()),
                None => {
                    self.helpers.push(ImportedHelper { ports, device: None });
                    Ok(())
                }
            };
        }
        let is_usual = MODULES.iter().any(|start| name.starts_with(start))
            || ["nf_conntrack", "nf_nat", "nf_conntrack_ipv4", "nf_nat_ipv4"]
                .contains(&name.as_str());
        if is_usual {
            return Err(NotTaken::Needless("the kernel loads that module by itself"));
        }
        lost("of the kernel's helpers, a ruleset has that of FTP")
    }

    /// Reads `echo 1 > /proc/sys/net/ipv4/ip_forward`.
    pub(super) fn echo(&mut self, words: &[String]) -> LineResult {
        let text = words.join(" ");
        let Some((value, path)) = text.split_once('>') else { return Ok(()) };
        let path = path.trim_start_matches('>').trim();
        let Some(name) = path.strip_prefix("/proc/sys/") else {
            return lost("files are not written by a ruleset");
        };
        self.switch(&name.replace('/', "."), value.trim())
    }

    pub(super) fn sysctls(&mut self, words: &[String]) -> LineResult {
        let text: Vec<_> =
            words.iter().filter(|word| !word.starts_with('-')).map(String::as_str).collect();
        if text.is_empty() {
            return Ok(());
        }
        let joined = text.join(" ").replace(" = ", "=");
        joined.split(' ').try_for_each(|setting| {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            self.switch(&name.replace('/', "."), value)
        })
    }

    fn switch(&mut self, name: &str, value: &str) -> LineResult {
        let is_one = name.starts_with("net.ipv") && name.ends_with(".forwarding");
        match value {
            "1" if SWITCHES.contains(&name) || is_one => {
                self.is_forwarding = true;
                Ok(())
            }
            "0" if SWITCHES.contains(&name) => {
                Err(NotTaken::Needless("a ruleset switches forwarding on for its interfaces alone"))
            }
            _ => lost("kernel settings besides forwarding stay as they are: keep it in sysctl.d"),
        }
    }
}
