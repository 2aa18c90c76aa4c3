//! URLs of requests and redirects.

use ureq::http::Uri;

use crate::{
    error::{Error, Result},
    observe::visible::visible,
};

pub(super) fn wrong_url(text: &str) -> Error {
    // What stands before an @ may be a password.
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    Error::invalid(format!("`{}` is no URL of http:// or https://", visible(text)))
}

pub(super) fn url(text: &str) -> Result<Uri> {
    let found: Uri = text.parse().map_err(|_| wrong_url(text))?;
    let is_http = matches!(found.scheme_str(), Some("http" | "https"));
    let authority = found.authority().filter(|_| is_http).ok_or_else(|| wrong_url(text))?;
    if authority.as_str().contains('@') {
        let message = "a login stands in the URL: put it into the header `Authorization`, by way of secret(\"NAME\")";
        return Err(Error::invalid(message));
    }
    Ok(found)
}

/// Returns the URL as messages show it: the query may have a token.
pub(super) fn shown_url(target: &Uri) -> String {
    let (scheme, authority) = (target.scheme_str().unwrap_or_default(), target.authority());
    visible(format!("{scheme}://{}{}", authority.map_or("", |at| at.as_str()), target.path()))
}

/// Returns the URL that a reference in a redirect means.
pub(super) fn joined(base: &Uri, reference: &str) -> Option<String> {
    let reference = reference.split('#').next()?.trim();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let has_scheme = reference.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    Some(if has_scheme {
        reference.to_owned()
    } else if let Some(rest) = reference.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{authority}{reference}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{reference}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_browsers_go() {
        let base: Uri = "https://h.example:8443/a/b?c=d".parse().unwrap();
        for (reference, wanted) in [
            ("/x", "https://h.example:8443/x"),
            ("x?y", "https://h.example:8443/a/x?y"),
            ("//other/x", "https://other/x"),
            ("http://other/x#part", "http://other/x"),
            ("ftp://other/x", "ftp://other/x"),
        ] {
            assert_eq!(joined(&base, reference).unwrap(), wanted);
        }
    }

    #[test]
    fn urls_that_are_none_are_named_without_their_passwords() {
        for (text, said) in [
            ("ftp://h/x", "`ftp://h/x` is no URL of http:// or https://"),
            ("h/x", "`h/x` is no URL of http:// or https://"),
            ("http://", "`http://` is no URL of http:// or https://"),
            ("file:///etc/passwd", "`file:///etc/passwd` is no URL of http:// or https://"),
        ] {
            assert_eq!(url(text).unwrap_err().message, said);
        }
        let error = url("https://anna:hunter2@h/").unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
        assert_eq!(
            crate::permissions::http_resolver::web_place(&url("http://[::1]:8080/").unwrap()),
            ("::1".into(), 8080)
        );
        assert_eq!(shown_url(&url("https://h/p?token=x").unwrap()), "https://h/p");
    }
}
