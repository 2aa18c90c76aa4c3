//! The recommended line for the script. Pure.

use std::ops::RangeInclusive;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

use super::diagnosis::{Diagnosis, Endpoint};
use crate::{
    path::NameEncoding,
    site::{Mode, TlsMode},
};
use portolan_core::observe::visible::visible;

/// The recommended listen range of active mode if the user has set none: a range that a firewall rule can name.
pub const PORT_RANGE: RangeInclusive<u16> = 50000..=50010;

/// Returns the options for the best endpoint and mode.
pub(super) fn options(
    diagnosis: &Diagnosis,
    endpoint: &Endpoint,
    mode: Mode,
) -> Vec<(&'static str, String)> {
    let mut options = Vec::new();
    if diagnosis.site.password.is_some() {
        options.push(("password", "secret(\"FTP_PASSWORD\")".into()));
    }
    options.push(("mode", quoted(mode.as_str())));
    if mode == Mode::Active {
        let range = diagnosis.site.port_range.clone().unwrap_or(PORT_RANGE);
        options.push(("port_range", quoted(&format!("{}-{}", range.start(), range.end()))));
    }
    if let Some(address) = diagnosis.site.external_address.filter(|_| mode == Mode::Active) {
        options.push(("external_address", quoted(&address.to_string())));
    }
    if let Some(file) =
        diagnosis.site.trust.ca_file.as_ref().filter(|_| endpoint.tls != TlsMode::Off)
    {
        options.push(("ca_file", quoted(&file.to_string_lossy())));
    }
    if diagnosis.site.encoding != NameEncoding::Same {
        options.push(("encoding", quoted(&diagnosis.site.encoding.name().to_lowercase())));
    }
    options
}

/// Returns the whole line.
pub(super) fn snippet(
    diagnosis: &Diagnosis,
    endpoint: &Endpoint,
    options: &[(&'static str, String)],
) -> String {
    let options: Vec<_> = options.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!(
        "let site = ftp::connect({}, #{{ {} }});",
        quoted(&url(diagnosis, endpoint)),
        options.join(", ")
    )
}

/// Returns the URL of an endpoint, without the password.
fn url(diagnosis: &Diagnosis, endpoint: &Endpoint) -> String {
    let site = &diagnosis.site;
    let (scheme, usual) = match endpoint.tls {
        TlsMode::Off => ("ftp", 21),
        TlsMode::Explicit => ("ftpes", 21),
        TlsMode::Implicit => ("ftps", 990),
    };
    let user = match site.user.as_str() {
        "anonymous" => String::new(),
        user => format!("{}@", utf8_percent_encode(user, USER)),
    };
    let host = if site.host.contains(':') {
        format!("[{}]", site.host.replace('%', "%25"))
    } else {
        site.host.clone()
    };
    let port = match site.port {
        port if port == usual => String::new(),
        port => format!(":{port}"),
    };
    let path =
        site.folder.as_ref().map(|path| format!("/{}", percent_encode(path.as_bytes(), PATH)));
    format!("{scheme}://{user}{host}{port}{}", path.unwrap_or_default())
}

/// The bytes that are encoded in the user of a URL: all but those that RFC 3986 (2.3) calls unreserved.
const USER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The bytes that are encoded in a path.
const PATH: &AsciiSet = &USER.remove(b'/');

/// Formats a string as a literal of the script language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", visible(text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_as_the_language_reads_it() {
        assert_eq!(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
        assert_eq!(percent_encode("gr\u{fc}n/a b".as_bytes(), PATH).to_string(), "gr%C3%BCn/a%20b");
    }
}
