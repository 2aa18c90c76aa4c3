//! Sites of other programs: FileZilla, WinSCP, lftp, rclone and ncftp.
//!
//! Each reader takes the text of a file and returns its sites, without any change to anything. Their passwords are
//! obscured at best: they are decoded only to be kept in the directory of secrets.

mod filezilla;
mod ini;
mod lftp;
mod ncftp;
mod rclone;
mod winscp;

use std::{collections::BTreeSet, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rhai::{Dynamic, Map};

use crate::{
    error::{Error, Result},
    files,
    ftp::site::{OPTIONS, TlsMode},
    option_table::OptionKind,
    secret::Secret,
};

/// The characters of a path that need no encoding.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The maximum size of such a file in bytes: thousands of sites.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The maximum number of sites of a file.
const SITES_MAX: usize = 10_000;

/// The programs whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteProgram {
    /// FileZilla: `sitemanager.xml`.
    FileZilla,
    /// WinSCP: `WinSCP.ini`.
    WinScp,
    /// lftp: `bookmarks`.
    Lftp,
    /// rclone: `rclone.conf`.
    Rclone,
    /// ncftp: `bookmarks`.
    Ncftp,
}

impl SiteProgram {
    /// Returns the program that has written a file with this text.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let has_section = |start: &str| text.lines().any(|line| line.trim().starts_with(start));
        if text.starts_with("<?xml") || text.starts_with("<FileZilla") {
            return text.contains("<FileZilla").then_some(Self::FileZilla);
        }
        if text.starts_with("NcFTP bookmark-file") {
            return Some(Self::Ncftp);
        }
        if has_section("[Sessions\\") || has_section("[Configuration") {
            return Some(Self::WinScp);
        }
        if text.contains("RCLONE_ENCRYPT_V") || has_section("[") {
            return Some(Self::Rclone);
        }
        let is_bookmark =
            |line: &str| line.split_once(['\t', ' ']).is_some_and(|(_, url)| url.contains("://"));
        text.lines().find(|line| !line.trim().is_empty()).filter(|line| is_bookmark(line))?;
        Some(Self::Lftp)
    }
}

/// A site of another program.
#[derive(Debug, Default)]
pub struct ImportedSite {
    /// The name, as far as a site can have it.
    pub name: String,
    /// The URL, without a password.
    pub url: String,
    /// The options of a connection.
    pub options: Map,
    /// The password.
    pub password: Option<Secret>,
}

/// The sites of a file.
#[derive(Debug, Default)]
pub struct ImportedSites {
    /// The sites.
    pub sites: Vec<ImportedSite>,
    /// The names of those that are left out, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// The names of those whose passwords cannot be decoded, each with the reason.
    pub without_password: Vec<(String, String)>,
}

/// Reads the text of a file of one of these programs. Fails with `invalid` for any other file.
pub fn read(text: &str) -> Result<ImportedSites> {
    let text = text.trim_start_matches('\u{feff}');
    let mut found = ImportedSites::default();
    match SiteProgram::of(text) {
        Some(SiteProgram::FileZilla) => filezilla::read(text, &mut found)?,
        Some(SiteProgram::WinScp) => winscp::read(text, &mut found),
        Some(SiteProgram::Lftp) => lftp::read(text, &mut found),
        Some(SiteProgram::Rclone) => rclone::read(text, &mut found)?,
        Some(SiteProgram::Ncftp) => ncftp::read(text, &mut found)?,
        None => {
            let message = "this is no sitemanager.xml of FileZilla, no WinSCP.ini, no rclone.conf, and no file of \
                           bookmarks of lftp or ncftp";
            return Err(Error::invalid(message));
        }
    }
    let mut taken = BTreeSet::new();
    for site in &mut found.sites {
        let base = site.name.clone();
        let mut number = 2;
        while !taken.insert(site.name.clone()) {
            site.name = format!("{base}-{number}");
            number += 1;
        }
    }
    Ok(found)
}

/// Reads a file of one of these programs, as [`read`] does.
pub fn read_file(path: &Path) -> Result<ImportedSites> {
    let text = files::ops::read(path, FILE_BYTES_MAX)?;
    // WinSCP and old versions of FileZilla write names in the encoding of the system.
    read(&String::from_utf8_lossy(&text)).map_err(|error| error.at(path.to_string_lossy()))
}

/// Returns the options without those that are secrets.
pub fn without_secrets(mut options: Map) -> Map {
    for row in OPTIONS.rows.iter().filter(|row| matches!(row.kind, OptionKind::Secret(..))) {
        let is_public = row.key == "proxy"
            && options.get(row.key).is_some_and(|value| !value.to_string().contains('@'));
        if !is_public {
            options.remove(row.key);
        }
    }
    options
}

impl ImportedSites {
    /// Adds a site; one that is no FTP site, or whose values cannot be used, is left out.
    fn add(&mut self, name: &str, server: &FoundServer) {
        let site = server.site(&site_name(name));
        match site {
            Ok(_) if self.sites.len() >= SITES_MAX => {
                self.leave_out(name, &format!("more than {SITES_MAX} sites are not read"));
            }
            Ok(site) => self.sites.push(site),
            Err(why) => self.leave_out(name, &why),
        }
    }

    fn leave_out(&mut self, name: &str, why: &str) {
        if self.left_out.len() < SITES_MAX {
            self.left_out.push((name.to_owned(), why.to_owned()));
        }
    }
}

/// Returns a name that a site can have.
fn site_name(name: &str) -> String {
    let mut found = String::new();
    for c in name.trim().chars() {
        let is_plain = c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        match c {
            c if is_plain && found.len() < 56 => found.push(c),
            _ if !found.is_empty() && !found.ends_with('-') && found.len() < 56 => found.push('-'),
            _ => {}
        }
    }
    let found = found.trim_matches(['-', '_', '.']);
    if found.is_empty() { "site".into() } else { found.to_owned() }
}

/// A server as another program describes it.
#[derive(Debug, Default)]
#[expect(clippy::option_option, reason = "the inner one is the protection that the server offers")]
struct FoundServer {
    host: String,
    port: String,
    user: String,
    password: Option<Secret>,
    /// The protection; `None` for that which the server offers.
    tls: Option<Option<TlsMode>>,
    /// The directory; absolute if it begins with a slash.
    folder: String,
    options: Vec<(&'static str, Dynamic)>,
}

impl FoundServer {
    fn site(&self, name: &str) -> Result<ImportedSite, String> {
        let host = self.host.trim();
        let is_host =
            |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if host.is_empty() || !host.chars().all(is_host) {
            return Err("it has no host".into());
        }
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let (scheme, usual) = match self.tls.flatten() {
            Some(TlsMode::Explicit) => ("ftpes", 21),
            Some(TlsMode::Implicit) => ("ftps", 990),
            _ => ("ftp", 21),
        };
        let port = match self.port.trim() {
            "" | "0" => usual,
            port => port.parse::<u16>().map_err(|_| "its port is no number".to_owned())?,
        };
        let port = if port == usual { String::new() } else { format!(":{port}") };
        let user = match self.user.trim() {
            "" | "anonymous" => String::new(),
            user => format!("{}@", utf8_percent_encode(user, PLAIN)),
        };
        let folder: Vec<_> = self
            .folder
            .split('/')
            .map(|part| utf8_percent_encode(part, PLAIN).to_string())
            .collect();
        let folder = folder.join("/");
        let folder = if folder.is_empty() { folder } else { format!("/{folder}") };
        let mut options: Map =
            self.options.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
        if self.tls == Some(None) {
            options.insert("tls".into(), "if_offered".into());
        }
        Ok(ImportedSite {
            name: name.to_owned(),
            url: format!("{scheme}://{user}{host}{port}{folder}"),
            options,
            password: self.password.clone().filter(|password| !password.reveal().is_empty()),
        })
    }
}

#[cfg(test)]
mod tests;
