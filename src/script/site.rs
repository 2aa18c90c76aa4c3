//! The options of `ftp::connect`, parsed into a [`Site`].

use std::path::PathBuf;

use rhai::{Dynamic, Map};

use super::{netrc::Netrc, options::read, sites, value::CallOptions};
use crate::{
    error::{Error, Result},
    ftp::{
        proxy_environment::proxy_of,
        site::{OPTIONS, ProxyOrigin, Site},
        url::Url,
    },
    observe::visible::visible,
    option_table::OptionKind,
    secret::Secret,
};

/// The options that override a script's: `--set mode=passive`.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Map);

impl Overrides {
    /// Returns the options.
    pub const fn map(&self) -> &Map {
        &self.0
    }

    /// Parses `KEY=VALUE` strings; `true`, `false` and whole numbers become values of their type if the option has such
    /// values.
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
            map.insert(key.into(), typed(key, value));
        }
        read(&map, "--set", &OPTIONS)?;
        Ok(Self(map))
    }

    /// Returns the files that they name.
    pub fn paths(&self) -> Vec<PathBuf> {
        let files = ["ca_file", "client_cert", "client_key"].into_iter();
        let file = |key| self.0.get(key)?.clone().into_immutable_string().ok();
        files.filter_map(file).map(|file| PathBuf::from(file.as_str())).collect()
    }

    /// Returns true if the option `key` is among them.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }
}

/// Returns the value that `text` is for the option `key`: a password or a port range may be all digits, and is still a
/// string.
fn typed(key: &str, text: &str) -> Dynamic {
    let row = OPTIONS.rows.iter().find(|row| row.key == key);
    let is_text = row.is_some_and(|row| {
        use OptionKind::{Address, Choice, Secret, Text, Texts};
        matches!(row.kind, Address(_) | Choice(_) | Secret(..) | Text(_) | Texts(_))
    });
    match (text.parse::<bool>(), text.parse::<i64>()) {
        _ if is_text => text.into(),
        (Ok(flag), _) => flag.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    }
}

/// Returns the site that `url` and the overrides describe.
pub fn site_of(url: &Url, overrides: &Overrides) -> Result<Site> {
    site(url, &Map::new(), overrides)
}

/// Returns the site that `url` and `options` describe; `overrides` come from the command line and take precedence.
pub fn site(url: &Url, options: &Map, overrides: &Overrides) -> Result<Site> {
    let mut site = url.site.clone();
    for map in [options, &overrides.0] {
        CallOptions::new(map, "ftp::connect", &OPTIONS.keys())?.fill(&OPTIONS, &mut site)?;
    }
    if site.proxy_origin == ProxyOrigin::Unset
        && let Some((proxy, variable)) =
            proxy_of(&site.host, site.port, |name| std::env::var(name).ok())?
    {
        site.proxy = Some(proxy);
        site.proxy_origin = ProxyOrigin::Environment(variable);
    }
    let mut url = url.clone();
    url.encode(site.encoding)?;
    site.folder = url.path;
    site.check()?;
    Ok(site)
}

/// Completes the login of `site`: by the password that it has saved, by the logins of a netrc file, or by `password`,
/// which is used if none has one. In a rehearsal the saved one is made up.
pub fn complete(
    site: &mut Site,
    netrc: &Netrc,
    password: Option<&Secret>,
    is_rehearsal: bool,
) -> Result<()> {
    sites::ask_password(site, is_rehearsal)?;
    netrc.complete(site)?;
    if site.password.is_none() {
        site.password = password.cloned();
    }
    let is_open = site.user == "anonymous" || site.user == "ftp";
    let is_empty = password.is_some_and(|text| text.reveal().is_empty());
    if is_empty && !is_open && site.password.as_ref() == password {
        let message = format!(
            "the password of `{}` is empty: PORTOLAN_PASSWORD or the file of --password-file has none",
            visible(&site.user)
        );
        return Err(Error::invalid(message).with_host(&site.host));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn given(options: &[(&str, Dynamic)], set: &[&str]) -> Result<Site> {
        let map = options.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
        let texts: Vec<_> = set.iter().map(|text| (*text).to_owned()).collect();
        site(&Url::parse("ftp://h").unwrap(), &map, &Overrides::read(&texts)?)
    }

    #[test]
    fn a_proxy_is_a_text_or_a_secret_and_comes_by_set_as_well() {
        let text = "socks5://me:hunter2@gate";
        let secret = Dynamic::from(Secret::new(text));
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
