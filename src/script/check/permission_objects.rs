//! The objects of permissions, as far as a text shows them: paths, hosts, options that turn something on.

use std::path::Path;

use crate::{
    permissions::PermissionKind::{self, Http},
    script::sites::parse_url,
};

/// An option that turns something on, as far as a text shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionSwitch {
    /// It is not given.
    Absent,
    /// It is `false`.
    Off,
    /// It is anything else.
    On,
    /// It is known only in a run.
    Unknown,
}

/// A text as far as it is known.
pub(super) enum KnownText {
    Whole(String),
    /// The beginning of a text.
    Beginning(String),
}

impl KnownText {
    /// Returns the directory of the path that it is, or that it begins.
    pub(super) fn folder(&self) -> Option<String> {
        match self {
            Self::Whole(path) => {
                let folder = Path::new(path).parent()?.to_string_lossy();
                Some(if folder.is_empty() { ".".to_owned() } else { folder.into_owned() })
            }
            Self::Beginning(text) => folder_of(text),
        }
    }
}

/// Returns the folder in a path that begins like this: `in/` of `in/order-`.
pub(super) fn folder_of(beginning: &str) -> Option<String> {
    match beginning.rfind('/')? {
        0 => None,
        end => beginning.get(..end).map(str::to_owned),
    }
}

/// Returns the folder below which a pattern matches.
pub(super) fn before_pattern(pattern: &str) -> Option<String> {
    match pattern.find(['*', '?', '[', '{']) {
        None => Some(pattern.to_owned()),
        Some(at) => match pattern.get(..at)?.rfind('/') {
            Some(0) => Some("/".to_owned()),
            Some(end) => pattern.get(..end).map(str::to_owned),
            None => Some(".".to_owned()),
        },
    }
}

/// Returns the host and the port of a URL, as they are written in a permission.
pub(super) fn host_of(kind: PermissionKind, url: &str) -> Option<String> {
    if kind == Http {
        let (scheme, rest) = url.split_once("://")?;
        let usual = if scheme == "http" { 80 } else { 443 };
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (host, usual),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        return Some(host_port(host, port)).filter(|_| !host.is_empty());
    }
    let url = parse_url(url).ok()?;
    Some(host_port(&url.site.host, url.site.port))
}

pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
