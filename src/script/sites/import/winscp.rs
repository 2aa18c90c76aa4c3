//! The sites of WinSCP: sections `[Sessions\NAME]` of `WinSCP.ini`.

use percent_encoding::percent_decode_str;

use super::{FoundServer, ImportedSites, ini};
use crate::{ftp::site::TlsMode, secret::Secret};

/// The number by which WinSCP obscures each byte of a password.
const MAGIC: u8 = 0xA3;

/// The first byte of an obscured password of the newer kind, which begins with user and host.
const NEW_KIND: u8 = 0xFF;

/// Reads the text of `WinSCP.ini`.
pub(super) fn read(text: &str, found: &mut ImportedSites) {
    for section in ini::sections(text) {
        let Some(name) = section.name.strip_prefix("Sessions\\") else { continue };
        let name = decoded(name);
        if name == "Default Settings" {
            continue;
        }
        // WinSCP omits values that are its defaults: SFTP, and no TLS.
        let protocol = match section.get("FSProtocol") {
            "5" => "FTP",
            "6" => "WebDAV",
            "7" => "S3",
            _ => "SFTP or SCP",
        };
        if protocol != "FTP" {
            found.leave_out(&name, &format!("its protocol is {protocol}"));
            continue;
        }
        let tls = match section.get("Ftps") {
            "1" => TlsMode::Implicit,
            "2" | "3" => TlsMode::Explicit,
            _ => TlsMode::Off,
        };
        let (host, user) = (decoded(section.get("HostName")), decoded(section.get("UserName")));
        let obscured = section.get("Password");
        let password = reveal(obscured, &format!("{user}{host}"));
        if password.is_none() && !obscured.is_empty() {
            let why = "it cannot be decoded: WinSCP has a master password, or the file was changed";
            found.without_password.push((name.clone(), why.into()));
        }
        let mut options = Vec::new();
        if section.get("FtpPasvMode") == "0" {
            options.push(("mode", "active".into()));
        }
        let server = FoundServer {
            host,
            port: section.get("PortNumber").to_owned(),
            user,
            password,
            tls: Some(Some(tls)),
            folder: decoded(section.get("RemoteDirectory")),
            options,
        };
        let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
        found.add(&name, &server);
    }
}

fn decoded(text: &str) -> String {
    let text = percent_decode_str(text).decode_utf8_lossy();
    text.trim_start_matches('\u{feff}').to_owned()
}

/// Decodes an obscured password: `DecryptPassword` of WinSCP's `Security.cpp`.
pub(super) fn reveal(obscured: &str, key: &str) -> Option<Secret> {
    let digits: Vec<u8> = obscured
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let mut bytes = digits.chunks_exact(2).filter_map(|pair| match pair {
        [high, low] => Some(!((high << 4 | low) ^ MAGIC)),
        _ => None,
    });
    let flag = bytes.next()?;
    let length = match flag {
        NEW_KIND => match bytes.next()? {
            0 => usize::from(bytes.next()?),
            2 => usize::from(bytes.next()?) << 8 | usize::from(bytes.next()?),
            _ => return None,
        },
        length => usize::from(length),
    };
    let skipped = usize::from(bytes.next()?);
    let plain: Vec<u8> = bytes.skip(skipped).take(length).collect();
    let plain = String::from_utf8(plain).ok().filter(|plain| plain.len() == length)?;
    let plain = if flag == NEW_KIND { plain.strip_prefix(key)?.to_owned() } else { plain };
    Some(plain).filter(|plain| !plain.is_empty()).map(Secret::new)
}
