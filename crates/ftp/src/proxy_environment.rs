//! The proxy that the environment names: `ftp_proxy`, `all_proxy` and `no_proxy`, as curl and wget read them.

use std::net::IpAddr;

use super::proxy::Proxy;
use portolan_core::error::{Error, Result};

/// The variables that name a proxy for FTP, in the order in which they count.
const VARIABLES: [&str; 4] = ["ftp_proxy", "FTP_PROXY", "all_proxy", "ALL_PROXY"];

/// The variables that name the hosts without one.
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Returns the proxy for `host` and the variable that names it; `variable` returns the value of a variable. Fails with
/// `invalid` for a proxy that cannot be used: the host may not be reached in any other way.
pub fn proxy_of(
    host: &str,
    port: u16,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(Proxy, &'static str)>> {
    let set = |name: &&str| variable(name).filter(|value| !value.trim().is_empty());
    let exceptions = EXCEPTIONS.iter().find_map(set).unwrap_or_default();
    if is_excepted(host, port, &exceptions) {
        return Ok(None);
    }
    let Some((name, value)) = VARIABLES.iter().find_map(|name| Some((*name, set(name)?))) else {
        return Ok(None);
    };
    let value = value.trim();
    // Without a scheme it is an HTTP proxy, as for curl; with `socks5h` the proxy looks names up, as ours always do.
    let value = match value.split_once("://") {
        None => format!("http://{value}"),
        Some(("socks5h" | "socks", rest)) => format!("socks5://{rest}"),
        Some(_) => value.to_owned(),
    };
    let proxy = Proxy::parse(&value).map_err(|error| {
        let Error { message, .. } = error;
        let way_out = "`no_proxy` and `--set proxy=none` connect without it";
        Error::invalid(format!(
            "the environment variable {name} names a proxy that cannot be used: {message}; {way_out}"
        ))
    })?;
    Ok(Some((proxy, name)))
}

/// Returns true if `list` has the host: `*`, a name with all that ends in it, an address, or a network; each may have a
/// port.
fn is_excepted(host: &str, port: u16, list: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        if let (Some(address), Some((net, bits))) = (address, entry.split_once('/')) {
            return is_inside(address, net, bits);
        }
        let bare = entry.trim_matches(['[', ']']);
        if let (Some(address), Ok(listed)) = (address, bare.parse::<IpAddr>()) {
            return address == listed;
        }
        let (name, wanted) = match entry.rsplit_once(':') {
            Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
                (name.trim_matches(['[', ']']), digits.parse::<u16>().ok())
            }
            _ => (bare, None),
        };
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        if let (Some(address), Ok(listed)) = (address, name.parse::<IpAddr>()) {
            return address == listed;
        }
        let name = name.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
        name == "*"
            || host == name
            || address.is_none() && host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
    })
}

fn is_inside(address: IpAddr, net: &str, bits: &str) -> bool {
    let (Ok(net), Ok(bits)) = (net.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (address, net) {
        (IpAddr::V4(address), IpAddr::V4(net)) if bits <= 32 => {
            let shift = |ip: std::net::Ipv4Addr| ip.to_bits().checked_shr(32 - bits).unwrap_or(0);
            shift(address) == shift(net)
        }
        (IpAddr::V6(address), IpAddr::V6(net)) if bits <= 128 => {
            let shift = |ip: std::net::Ipv6Addr| ip.to_bits().checked_shr(128 - bits).unwrap_or(0);
            shift(address) == shift(net)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str, variables: &[(&str, &str)]) -> Result<Option<(String, &'static str)>> {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Ok(proxy_of(host, 21, value)?.map(|(proxy, name)| (proxy.to_string(), name)))
    }

    #[test]
    fn the_variable_for_ftp_counts_before_that_for_all() {
        let all = ("all_proxy", "socks5://gate");
        for (variables, wanted) in [
            (vec![all], Some(("socks5://gate:1080", "all_proxy"))),
            (vec![all, ("ftp_proxy", "http://web:3128")], Some(("http://web:3128", "ftp_proxy"))),
            (vec![("FTP_PROXY", "web:3128/")], Some(("http://web:3128", "FTP_PROXY"))),
            (vec![("ALL_PROXY", "socks5h://me:x@gate:9")], Some(("socks5://gate:9", "ALL_PROXY"))),
            (vec![all, ("ftp_proxy", "")], Some(("socks5://gate:1080", "all_proxy"))),
            (vec![("http_proxy", "http://web")], None),
            (vec![], None),
        ] {
            let found = found("ftp.example.org", &variables).unwrap();
            assert_eq!(found.as_ref().map(|(text, name)| (text.as_str(), *name)), wanted);
        }
    }

    #[test]
    fn a_proxy_of_another_kind_is_an_error_that_names_the_variable() {
        for value in ["ftp://me:hunter2@gate", "socks4://gate", "http://"] {
            let error = found("h", &[("ftp_proxy", value)]).unwrap_err();
            assert!(error.message.contains("ftp_proxy") && error.message.contains("no_proxy"));
            assert!(!error.message.contains("hunter2"), "{error}");
            assert_eq!(found("h", &[("ftp_proxy", value), ("no_proxy", "h")]).unwrap(), None);
        }
    }

    #[test]
    fn no_proxy_has_names_addresses_networks_and_ports() {
        for (host, list, wanted) in [
            ("ftp.example.org", "example.org", true),
            ("ftp.example.org", ".example.org", true),
            ("FTP.Example.org.", "a, *.EXAMPLE.org", true),
            ("badexample.org", "example.org", false),
            ("ftp.example.org", "org.example", false),
            ("ftp.example.org", "*", true),
            ("ftp.example.org", "ftp.example.org:21", true),
            ("ftp.example.org", "ftp.example.org:22", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("10.1.2.3", "10.1.2.0/25 b", true),
            ("10.1.2.3", "10.1.3.0/24", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "2.3", false),
            ("10.1.2.3", "10.1.2.3:21", true),
            ("::1", "::1", true),
            ("::1", "[::1]:21", true),
            ("::1", "[::1]:22", false),
            ("fd00::7", "fd00::/8", true),
            ("fe00::7", "fd00::/8", false),
            ("h", "", false),
        ] {
            assert_eq!(is_excepted(host, 21, list), wanted, "{host} in {list}");
        }
    }
}
