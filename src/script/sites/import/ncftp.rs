//! The bookmarks of ncftp: one on each line, with its values between commas.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{FoundServer, ImportedSites};
use crate::{
    error::{Error, Result},
    ftp::site::TlsMode,
    secret::Secret,
};

/// The only version of the file that ncftp 3 writes.
const HEAD: &str = "NcFTP bookmark-file version: 8";

/// Reads the text of `bookmarks`. Fails with `invalid` for another version.
pub(super) fn read(text: &str, found: &mut ImportedSites) -> Result<()> {
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some(HEAD) {
        return Err(Error::invalid("these bookmarks of ncftp are of another version than 8"));
    }
    let is_bookmark = |line: &&str| line.contains(',') && !line.starts_with("Number of");
    for line in lines.filter(is_bookmark) {
        let values = values(line);
        let value = |at: usize| values.get(at).map(String::as_str).unwrap_or_default();
        let password = value(3);
        let password = match password.strip_prefix("*encoded*") {
            None => Some(Secret::new(password)),
            Some(encoded) => reveal(encoded),
        };
        if password.is_none() {
            found.without_password.push((value(0).to_owned(), "it cannot be decoded".into()));
        }
        let mut options = Vec::new();
        if !value(4).is_empty() {
            options.push(("account", Secret::new(value(4))));
        }
        let server = FoundServer {
            host: value(1).to_owned(),
            user: value(2).to_owned(),
            password,
            port: value(7).to_owned(),
            tls: Some(Some(TlsMode::Off)),
            folder: value(5).to_owned(),
            options: options
                .into_iter()
                .map(|(key, value)| (key, rhai::Dynamic::from(value)))
                .collect(),
        };
        found.add(value(0), &server);
    }
    Ok(())
}

/// Splits a line at its commas; `\,` is a comma, and `$2c` is one as well.
fn values(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let Some(last) = found.last_mut() else { break };
        match c {
            ',' => found.push(String::new()),
            '\\' => last.extend(chars.next()),
            '$' => {
                let code: String = chars.as_str().chars().take(2).collect();
                match u8::from_str_radix(&code, 16) {
                    Ok(byte) if code.len() == 2 && byte.is_ascii() => {
                        last.push(char::from(byte));
                        chars.nth(1);
                    }
                    _ => last.push(c),
                }
            }
            c => last.push(c),
        }
    }
    found
}

fn reveal(encoded: &str) -> Option<Secret> {
    let bytes = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(Secret::new(text.trim_end_matches('\0')))
}
