//! The options of `ftp::connect`, parsed into a [`Site`].

use std::{net::IpAddr, ops::RangeInclusive};

use rhai::Map;

use super::{options::CONNECT, value::CallOptions};
use crate::{
    encoding::from_hex,
    error::{Error, Result},
    ftp::{
        proxy::Proxy,
        site::{Mode, Site, TlsMode},
        url::Url,
    },
};

/// The options that are always strings, even if they look like numbers.
const TEXTS: &[&str] = &[
    "user",
    "password",
    "account",
    "port_range",
    "ca_file",
    "client_cert",
    "client_key",
    "pin",
    "proxy",
];

/// The options that override a script's: `--set mode=passive`.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Map);

impl Overrides {
    /// Parses `KEY=VALUE` strings; `true`, `false` and whole numbers become values of their type unless the option is a
    /// string.
    pub fn read(texts: &[String]) -> Result<Self> {
        let mut map = Map::new();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                // A password may follow the key, after any separator.
                let is_key = |c: char| c.is_ascii_alphabetic() || c == '_';
                let key: String = text.chars().take_while(|c| is_key(*c)).collect();
                let more = if key == *text { "" } else { "…" };
                let wants = "--set wants KEY=VALUE, such as mode=passive";
                Error::invalid(format!("{wants}, got `{key}{more}`"))
            })?;
            let key = key.trim();
            let value = match (value.parse::<bool>(), value.parse::<i64>()) {
                // A password or a port range may be all digits, and is still a string.
                _ if TEXTS.contains(&key) => value.into(),
                (Ok(flag), _) => flag.into(),
                (_, Ok(number)) => number.into(),
                _ => value.into(),
            };
            map.insert(key.into(), value);
        }
        let mut probe = Site::new("");
        apply(&mut probe, &CallOptions::new(&map, "--set", CONNECT)?)?;
        Ok(Self(map))
    }
}

/// Returns the site that `url` and the overrides describe.
pub fn site_of(url: &Url, overrides: &Overrides) -> Result<Site> {
    site(url, &Map::new(), overrides)
}

/// Returns the site that `url` and `options` describe; `overrides` come from the command line and take precedence.
pub fn site(url: &Url, options: &Map, overrides: &Overrides) -> Result<Site> {
    let mut site = url.site.clone();
    site.folder.clone_from(&url.path);
    for map in [options, &overrides.0] {
        apply(&mut site, &CallOptions::new(map, "ftp::connect", CONNECT)?)?;
    }
    site.check()?;
    Ok(site)
}

/// Parses `options` as `ftp::connect` does, without a server.
pub(super) fn probe(options: &Map) -> Result<()> {
    apply(&mut Site::new(""), &CallOptions::new(options, "ftp::connect", CONNECT)?)
}

fn apply(site: &mut Site, options: &CallOptions<'_>) -> Result<()> {
    put(&mut site.user, options.text("user")?);
    put_some(&mut site.password, options.secret("password")?);
    put_some(&mut site.account, options.secret("account")?);
    let modes = [
        ("auto", Mode::Auto),
        ("active", Mode::Active),
        ("passive", Mode::Passive),
        ("race", Mode::Race),
    ];
    put(&mut site.mode, options.choice("mode", &modes)?);
    put(&mut site.fallback, options.flag("fallback")?);
    if let Some(text) = options.text("port_range")? {
        site.port_range = Some(port_range(&text)?);
    }
    put_some(&mut site.external_address, address(options, "external_address")?);
    put(&mut site.map_ports, options.choice("map_ports", &[("auto", true), ("off", false)])?);
    put_some(&mut site.source_address, address(options, "source_address")?);
    put_some(&mut site.proxy, proxy(options)?);
    let protections =
        [("off", TlsMode::Off), ("explicit", TlsMode::Explicit), ("implicit", TlsMode::Implicit)];
    if let Some(tls) = options.choice("tls", &protections)? {
        // The port follows the kind of TLS if it is a default port.
        match (tls, site.port) {
            (TlsMode::Implicit, 21) => site.port = 990,
            (TlsMode::Off | TlsMode::Explicit, 990) => site.port = 21,
            _ => {}
        }
        site.tls = tls;
    }
    put_some(&mut site.trust.ca_file, options.path("ca_file")?);
    put_some(&mut site.trust.client_cert, options.path("client_cert")?);
    put_some(&mut site.trust.client_key, options.path("client_key")?);
    if let Some(text) = options.text("pin")? {
        site.trust.pin = Some(pin(&text)?);
    }
    put(&mut site.trust.insecure, options.flag("insecure")?);
    put(&mut site.connect_timeout, options.duration("connect_timeout")?);
    put(&mut site.data_timeout, options.duration("data_timeout")?);
    put(&mut site.reply_timeout, options.duration("reply_timeout")?);
    let encodings = [
        ("utf-8", false),
        ("utf8", false),
        ("latin-1", true),
        ("latin1", true),
        ("iso-8859-1", true),
    ];
    put(&mut site.latin1, options.choice("encoding", &encodings)?);
    put_some(&mut site.list_command, options.text("list_command")?);
    put(&mut site.parallel, options.sessions("parallel")?);
    put_some(&mut site.rate_limit, options.rate("rate_limit")?);
    put(&mut site.min_rate, options.size("min_rate")?);
    put(&mut site.in_place, options.in_place("inplace")?);
    Ok(())
}

fn put<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn put_some<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>> {
    let wrong = || {
        Error::invalid(format!(
            "`port_range` wants ports from 1024 to 65535, the lower first, such as \"50000-50010\", got \"{text}\""
        ))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: u16 = first.trim().parse().map_err(|_| wrong())?;
    let last: u16 = last.trim().parse().map_err(|_| wrong())?;
    if first < 1024 || first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

fn address(options: &CallOptions<'_>, key: &str) -> Result<Option<IpAddr>> {
    let Some(text) = options.text(key)? else { return Ok(None) };
    let address = text.parse();
    address
        .map(Some)
        .map_err(|_| Error::invalid(format!("`{key}` wants an IP address, got \"{text}\"")))
}

/// Parses a proxy from a string or a secret, since it may contain a password.
fn proxy(options: &CallOptions<'_>) -> Result<Option<Proxy>> {
    let text = options.secret("proxy").map_err(|_| Proxy::wrong())?;
    text.map(|text| Proxy::parse(text.reveal())).transpose()
}

/// Parses the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons and the prefix `sha256/`.
fn pin(text: &str) -> Result<[u8; 32]> {
    let digits: String = text.trim_start_matches("sha256/").chars().filter(|c| *c != ':').collect();
    from_hex(&digits).ok_or_else(|| {
        let wants = "the SHA-256 of the certificate in 64 hexadecimal digits";
        Error::invalid(format!("`pin` wants {wants}, got \"{text}\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn given(options: &[(&str, rhai::Dynamic)], set: &[&str]) -> Result<Site> {
        let map = options.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
        let texts: Vec<_> = set.iter().map(|text| (*text).to_owned()).collect();
        site(&Url::parse("ftp://h").unwrap(), &map, &Overrides::read(&texts)?)
    }

    #[test]
    fn a_proxy_is_a_text_or_a_secret_and_comes_by_set_as_well() {
        let text = "socks5://me:hunter2@gate";
        let secret = rhai::Dynamic::from(crate::ftp::secret::Secret::new(text));
        for (option, set) in [
            (Some(text.into()), None),
            (Some(secret), None),
            (None, Some(text)),
            (Some("http://other".into()), Some(text)),
        ] {
            let options: Vec<_> = option.map(|value| ("proxy", value)).into_iter().collect();
            let set = set.map(|text| format!("proxy={text}"));
            let site = given(&options, &set.iter().map(String::as_str).collect::<Vec<_>>());
            let site = site.unwrap();
            assert_eq!(site.proxy.as_ref().unwrap().to_string(), "socks5://gate:1080");
            assert!(!format!("{site:?}").contains("hunter2"));
        }
        assert!(given(&[], &[]).unwrap().proxy.is_none());
    }

    #[test]
    fn anything_else_names_both_forms_of_a_proxy() {
        for value in [false.into(), 1080.into(), "ftp://me:hunter2@gate".into()] {
            let fault = given(&[("proxy", value)], &[]).unwrap_err();
            assert_eq!(fault.kind, ErrorKind::Invalid);
            assert!(fault.message.contains("socks5://[") && fault.message.contains("http://["));
            assert!(!fault.message.contains("hunter2"));
        }
        for text in ["proxy=", "proxy=1080", "proxy=true", "proxy=gate:1080"] {
            assert!(given(&[], &[text]).unwrap_err().message.contains("`proxy` wants"), "{text}");
        }
    }

    #[test]
    fn active_mode_alone_cannot_have_a_proxy() {
        let proxy = ("proxy", "http://gate".into());
        let active = ("mode", "active".into());
        assert!(given(&[proxy.clone(), active.clone()], &[]).is_ok());
        let fault = given(&[proxy, active, ("fallback", false.into())], &[]).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Invalid);
    }
}
