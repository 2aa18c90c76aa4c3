//! The site manager of FileZilla: `sitemanager.xml`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use quick_xml::{Reader, events::Event};

use super::{FoundServer, ImportedSites};
use crate::{
    error::{Error, Result},
    ftp::site::TlsMode,
    observe::visible::visible,
    secret::Secret,
};

/// The elements of a server, with their texts.
#[derive(Default)]
struct XmlServer {
    texts: Vec<(String, String)>,
    /// The encoding of the password.
    pass_encoding: String,
}

impl XmlServer {
    fn get(&self, name: &str) -> &str {
        let found = self.texts.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text.trim()).unwrap_or_default()
    }
}

/// Reads the text of `sitemanager.xml`. Fails with `invalid` if it is not XML.
pub(super) fn read(text: &str, found: &mut ImportedSites) -> Result<()> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::invalid(format!("not XML: {}", visible(error.to_string())))
    };
    let mut reader = Reader::from_str(text);
    let mut server: Option<XmlServer> = None;
    let mut element = String::new();
    loop {
        match reader.read_event().map_err(|error| wrong(&error))? {
            Event::Start(start) => {
                element = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                if element == "Server" {
                    server = Some(XmlServer::default());
                }
                let encoding = start.try_get_attribute("encoding").ok().flatten();
                if let (Some(server), "Pass", Some(encoding)) = (&mut server, &*element, encoding) {
                    server.pass_encoding = String::from_utf8_lossy(&encoding.value).into_owned();
                }
            }
            Event::Text(piece) => {
                let piece = piece.decode().map_err(|error| wrong(&error))?;
                put(server.as_mut(), &element, &piece);
            }
            Event::CData(piece) => {
                put(server.as_mut(), &element, &String::from_utf8_lossy(&piece));
            }
            Event::GeneralRef(name) => {
                let name = name.decode().map_err(|error| wrong(&error))?;
                let text = character(&name).ok_or_else(|| wrong(&"an unknown entity"))?;
                put(server.as_mut(), &element, &text.to_string());
            }
            Event::End(end) if end.local_name().as_ref() == b"Server" => {
                if let Some(server) = server.take() {
                    add(&server, found);
                }
            }
            Event::End(_) => element.clear(),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Returns the character of an entity.
fn character(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// Adds a piece of text to an element of the server.
fn put(server: Option<&mut XmlServer>, element: &str, text: &str) {
    let Some(server) = server.filter(|_| !element.is_empty()) else { return };
    match server.texts.iter_mut().find(|(known, _)| known == element) {
        Some((_, known)) => known.push_str(text),
        None => server.texts.push((element.to_owned(), text.to_owned())),
    }
}

fn add(server: &XmlServer, found: &mut ImportedSites) {
    let host = server.get("Host").to_owned();
    let name = match server.get("Name") {
        "" => host.clone(),
        name => name.to_owned(),
    };
    let tls = match server.get("Protocol") {
        // TLS if the server offers it.
        "0" | "" => None,
        "3" => Some(TlsMode::Implicit),
        "4" => Some(TlsMode::Explicit),
        "6" => Some(TlsMode::Off),
        "1" => return found.leave_out(&name, "its protocol is SFTP"),
        _ => return found.leave_out(&name, "its protocol is not FTP"),
    };
    let password = match server.get("Pass") {
        "" => None,
        text => match &*server.pass_encoding {
            "base64" => {
                let bytes = BASE64_STANDARD.decode(text).ok();
                bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Secret::new)
            }
            "" => Some(Secret::new(text)),
            _ => None,
        },
    };
    if password.is_none() && !server.get("Pass").is_empty() {
        let why = "it is encrypted with the master password of FileZilla";
        found.without_password.push((name.clone(), why.into()));
    }
    let mut options = Vec::new();
    match server.get("PasvMode") {
        "MODE_ACTIVE" => options.push(("mode", "active".into())),
        "MODE_PASSIVE" => options.push(("mode", "passive".into())),
        _ => {}
    }
    if server.get("EncodingType") == "Custom" && !server.get("CustomEncoding").is_empty() {
        options.push(("encoding", server.get("CustomEncoding").to_ascii_lowercase().into()));
    }
    if !server.get("Account").is_empty() {
        options.push(("account", rhai::Dynamic::from(Secret::new(server.get("Account")))));
    }
    let is_anonymous = server.get("Logontype") == "0";
    let found_server = FoundServer {
        host,
        port: server.get("Port").to_owned(),
        user: if is_anonymous { String::new() } else { server.get("User").to_owned() },
        password: password.filter(|_| !is_anonymous),
        tls: Some(tls),
        folder: folder(server.get("RemoteDir")).unwrap_or_default(),
        options,
    };
    found.add(&name, &found_server);
}

/// Returns the directory of FileZilla's safe form of a path: the type of the server, the length of a prefix, and then the
/// length of each name before it, as in `1 0 3 pub 5 a b c`.
pub(super) fn folder(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(' ')?;
    let (prefix, mut rest) = rest.split_once(' ')?;
    if prefix != "0" {
        return None;
    }
    let mut path = String::new();
    while !rest.is_empty() {
        let (length, names) = rest.split_once(' ')?;
        // It counts characters.
        let length: usize = length.parse().ok()?;
        let end = names.char_indices().nth(length).map_or(names.len(), |(at, _)| at);
        let (name, after) = names.split_at_checked(end)?;
        if name.chars().count() != length || name.contains('/') {
            return None;
        }
        path.push('/');
        path.push_str(name);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    Some(path)
}
