//! The keys of `[runner]` about the page and its API: where it listens, and who may use it.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Runner,
    job::JobContext,
    table::{JobsDocument, JobsTable},
};
use crate::{
    error::{Error, web_codes::WEB_NEEDS_TLS},
    observe::visible::visible,
};

/// The settings of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listen {
    /// The address. `--listen` takes precedence.
    pub address: Option<SocketAddr>,
    /// The file with the certificate and its chain.
    pub cert: Option<PathBuf>,
    /// The file with the private key; that of the certificate without it.
    pub key: Option<PathBuf>,
    /// The names by which browsers may reach it, besides those of this host's loopback interface.
    pub hosts: Vec<String>,
    /// True if everything may be read without login, which only a loopback address allows.
    pub anonymous_read: bool,
}

/// A setting that cannot be, with its key.
type WrongKey = (&'static str, Error);

impl Listen {
    /// Returns the first setting that would expose the page.
    pub fn problem(&self) -> Option<WrongKey> {
        if self.key.is_some() && self.cert.is_none() {
            return Some(("listen_key", Error::invalid("`listen_key` needs `listen_cert`")));
        }
        let address = self.address.filter(|address| !address.ip().is_loopback())?;
        if self.cert.is_none() {
            let message = format!(
                "other hosts can reach {address}, which needs TLS: set `listen_cert` and `listen_key`"
            );
            return Some(("listen", Error::invalid(message).with_name(WEB_NEEDS_TLS)));
        }
        let message = format!("`anonymous_read` is for loopback addresses, and {address} is none");
        self.anonymous_read.then(|| ("anonymous_read", Error::invalid(message)))
    }
}

/// Reads the keys that no kind of value fits.
pub(super) fn read(
    runner: &mut Runner,
    table: &mut JobsTable<'_>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) {
    let listen = &mut runner.listen;
    listen.address = address("listen", "127.0.0.1:8080", table, page);
    listen.cert = table.text("listen_cert", page).map(|(path, _)| place.folder.join(path));
    listen.key = table.text("listen_key", page).map(|(path, _)| place.folder.join(path));
    for (host, span) in table.texts("listen_hosts", page) {
        let is_name = !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if is_name {
            listen.hosts.push(host.to_ascii_lowercase());
        } else {
            let message = format!("\"{}\" in `listen_hosts` is no host name", visible(host));
            page.error(span, message, Some("such as \"jobs.example.com\", without a port".into()));
        }
    }
    if let Some((key, fault)) = listen.problem()
        && let Some(span) = table.place(key)
    {
        page.error(span, fault.message.clone(), fault.hint().map(ToOwned::to_owned));
    }
}

/// Reads an address with its port.
pub(super) fn address(
    key: &'static str,
    example: &str,
    table: &mut JobsTable<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<SocketAddr> {
    let (text, span) = table.text(key, page)?;
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("`{key}` wants an address and a port, got \"{}\"", visible(text));
        page.error(span, message, Some(format!("such as `\"{example}\"`")));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_does_without_tls_and_login() {
        let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let open: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let cert = || Some(PathBuf::from("cert.pem"));
        let told = |listen: Listen| listen.problem().map(|(key, _)| key);
        assert_eq!(told(Listen::default()), None);
        let at = |address| Listen { address: Some(address), ..Listen::default() };
        assert_eq!(told(at(local)), None);
        assert_eq!(told(at("[::1]:1".parse().unwrap())), None);
        assert_eq!(told(Listen { anonymous_read: true, ..at(local) }), None);
        assert_eq!(told(at(open)), Some("listen"));
        assert_eq!(told(at("192.0.2.1:1".parse().unwrap())), Some("listen"));
        assert_eq!(told(Listen { cert: cert(), ..at(open) }), None);
        let read = Listen { cert: cert(), anonymous_read: true, ..at(open) };
        assert_eq!(told(read), Some("anonymous_read"));
        assert_eq!(told(Listen { key: cert(), ..at(local) }), Some("listen_key"));
    }
}
