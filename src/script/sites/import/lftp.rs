//! The bookmarks of lftp: a name and a URL on each line.

use percent_encoding::percent_decode_str;

use super::{FoundServer, ImportedSites};
use crate::{ftp::site::TlsMode, secret::Secret};

/// Reads the text of `bookmarks`.
pub(super) fn read(text: &str, found: &mut ImportedSites) {
    for line in text.lines() {
        let Some((name, url)) = line.trim().split_once(['\t', ' ']) else { continue };
        match server(url.trim()) {
            Ok(server) => found.add(name, &server),
            Err(why) => found.leave_out(name, &why),
        }
    }
}

fn server(url: &str) -> Result<FoundServer, String> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no URL")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        // lftp uses TLS where the server offers it.
        "ftp" => None,
        "ftps" => Some(TlsMode::Implicit),
        other => return Err(format!("its protocol is {other}")),
    };
    let (authority, folder) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (place, ""),
    };
    Ok(FoundServer {
        host: host.to_owned(),
        port: port.to_owned(),
        user: decoded(user),
        password: Some(Secret::new(decoded(password))),
        tls: Some(tls),
        folder: decoded(folder.trim_end_matches('/')),
        ..FoundServer::default()
    })
}
