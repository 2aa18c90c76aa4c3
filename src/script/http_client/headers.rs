//! Headers that a script gives.

use rhai::{Dynamic, Map};
use ureq::http::{HeaderName, HeaderValue};

use crate::{
    error::{Error, Result},
    observe::visible::visible,
    script::{
        show,
        value::{CallOptions, shown},
    },
    secret::Secret,
};

/// The headers that the client writes itself.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "te", "upgrade"];

pub(super) fn headers(given: &CallOptions<'_>) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let Some(found) = given.get("headers") else { return Ok(Vec::new()) };
    let map = found.read_lock::<Map>().ok_or_else(|| {
        Error::invalid(format!(
            "`headers` wants a map such as #{{ Accept: \"text/csv\" }}, got {}",
            shown(found)
        ))
    })?;
    let mut headers = Vec::new();
    for (name, value) in map.iter() {
        let key = name.as_str();
        let (text, is_secret) = header_text(key, value)?;
        let name = HeaderName::try_from(key)
            .map_err(|_| Error::invalid(format!("`{}` is no name of a header", visible(key))))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(Error::invalid(format!(
                "the header `{name}` is written by portolan itself"
            )));
        }
        // The value may be a password: it is not shown.
        let mut value = HeaderValue::try_from(text).map_err(|_| {
            Error::invalid(format!("the value of the header `{name}` is not valid"))
        })?;
        value.set_sensitive(is_secret);
        headers.push((name, value));
    }
    Ok(headers)
}

/// Returns the text of a header, and true if a secret is in it.
pub(super) fn header_text(name: &str, value: &Dynamic) -> Result<(String, bool)> {
    if let Some(secret) = value.read_lock::<Secret>() {
        return Ok((secret.reveal().to_owned(), true));
    }
    if let Some(parts) = value.read_lock::<rhai::Array>() {
        let (mut whole, mut is_secret) = (String::new(), false);
        for part in parts.iter() {
            let (text, is_hidden) = header_text(name, part)?;
            whole.push_str(&text);
            is_secret |= is_hidden;
        }
        return Ok((whole, is_secret));
    }
    let text = show::text(value);
    if text.contains("***") {
        let message = format!(
            "the header `{}` has a hidden secret in it: give it in an array, as in [\"Bearer \", secret(\"TOKEN\")]",
            visible(name)
        );
        return Err(Error::invalid(message));
    }
    Ok((text, false))
}
