//! The authority of a URL: host, port and login, as text.

use portolan_core::encoding::percent_decoded;

/// Formats host and port as in a URL.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Parses a host and an optional port; the error never repeats what may be a password.
pub(super) fn host_and_port(place: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the [ is never closed")?;
        let address = host.replace("%25", "%");
        let bare = address.split('%').next().unwrap_or_default();
        if bare.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("`{host}` is no IPv6 address"));
        }
        let zone = address.strip_prefix(bare).unwrap_or_default();
        if !zone.chars().skip(1).all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        {
            return Err(format!("`{zone}` names no interface"));
        }
        (address, after)
    } else {
        let end = place.find(':').unwrap_or(place.len());
        let (host, after) = place.split_at_checked(end).unwrap_or((place, ""));
        check_name(host)?;
        (host.to_ascii_lowercase(), after)
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return Err(format!("`{port}` follows the address")),
        Some("") => None,
        Some(digits) => {
            // A number may have a sign, and a port has none.
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse::<u16>().ok().filter(|port| is_number && *port > 0);
            Some(port.ok_or_else(|| no_port(digits))?)
        }
    };
    Ok((host, port))
}

/// Returns the message for an invalid port `text`; it repeats digits only, since anything else may be a password.
fn no_port(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("`{text}` is no port (1 to 65535)")
    } else {
        "what follows the colon is no port (1 to 65535); in a login, write / as %2F, : as %3A and @ as %40"
            .into()
    }
}

fn check_name(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("it names no host".into());
    }
    if !host.is_ascii() {
        return Err(format!(
            "write the host `{host}` in ASCII (xn--…): letters of other scripts can be mistaken"
        ));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match host.chars().find(|c| !fits(*c)) {
        Some(bad) => Err(format!("a host name cannot hold `{bad}`")),
        None if host.starts_with(['-', '.']) || host.len() > 253 => {
            Err(format!("`{host}` is no host name"))
        }
        None => Ok(()),
    }
}

/// Returns the bytes of a percent-encoded text.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, String> {
    percent_decoded(text).ok_or_else(|| {
        "a % needs two hexadecimal digits behind it (%25 is the sign itself)".to_owned()
    })
}

/// Returns a percent-encoded text for a command; `what` names it in an error.
pub(super) fn decoded_text(text: &str, what: &str) -> Result<String, String> {
    let bytes = decoded(text)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the {what} is not UTF-8"))?;
    if text.chars().any(|c| matches!(c, '\r' | '\n' | '\0')) {
        return Err(format!("the {what} cannot hold a line end or a NUL"));
    }
    Ok(text)
}
