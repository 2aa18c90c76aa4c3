//! URLs of servers and files: `ftp://`, `ftpes://`, `ftps://`, as curl, lftp, WinSCP and FileZilla read them.
//!
//! One strict parser decides, and a URL that could be read in two ways is refused (security class C25): no backslash,
//! no blank, no `#` that another parser would take for an end, no host outside ASCII letters.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    authority::{decoded, decoded_text, host_and_port},
    path::{NameEncoding, RemotePath},
    secret::Secret,
    site::{Site, TlsMode},
};
use portolan_core::{
    error::{Error, Result},
    observe::visible::visible,
};

/// A server and a path on it.
#[derive(Debug, Clone)]
pub struct Url {
    /// The server, with the login and protection from the URL.
    pub site: Site,
    /// The path; relative to the login folder, unless it begins with `//` or `/%2F` (RFC 1738, 3.2.2).
    pub path: Option<RemotePath>,
    /// True if the path ended with a slash: a directory is meant.
    pub is_folder: bool,
    /// True if it ended with `;type=a`: a text.
    pub is_text: bool,
    /// The path as a pattern, if it has a `*`, `?` or `[` that is not percent-encoded.
    pub pattern: Option<RemotePath>,
}

impl Url {
    /// Returns true if `text` looks like one of our URLs, so that a local path is not taken for one.
    pub fn is_one(text: &str) -> bool {
        SCHEMES.iter().any(|(scheme, _, _)| starts_with_scheme(text, scheme))
    }

    /// Parses a URL; a host alone is a plain FTP URL. Fails with `invalid`.
    pub fn parse(text: &str) -> Result<Self> {
        read(text).map_err(|why| {
            Error::invalid(format!(
                "`{}` is no URL of a server: {why}",
                visible(without_password(text))
            ))
        })
    }
}

impl Url {
    /// Converts the path from UTF-8 to the encoding of the server's names; bytes that are no UTF-8 stay as they are. Fails
    /// with `invalid` if a character has no bytes there.
    pub fn encode(&mut self, encoding: NameEncoding) -> Result<()> {
        let converted = |path: &mut Option<RemotePath>| -> Result<()> {
            let Some(old) = path.take() else { return Ok(()) };
            let new = match std::str::from_utf8(old.as_bytes()) {
                Ok(text) if encoding != NameEncoding::Same => {
                    RemotePath::parse(encoding.bytes_of(text)?)?
                }
                _ => old,
            };
            *path = Some(new.in_encoding(encoding));
            Ok(())
        };
        self.site.encoding = encoding;
        converted(&mut self.path)?;
        converted(&mut self.pattern)
    }
}

const SCHEMES: [(&str, TlsMode, u16); 3] =
    [("ftp", TlsMode::Off, 21), ("ftpes", TlsMode::Explicit, 21), ("ftps", TlsMode::Implicit, 990)];

fn starts_with_scheme(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        && text.get(scheme.len()..).is_some_and(|rest| rest.starts_with("://"))
}

/// Returns the URL as it may be shown: without its password, or what may be a password if the `@` is missing.
pub fn without_password(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (before, rest) = text.split_at_checked(start).unwrap_or(("", text));
    let authority = rest.find('/').and_then(|end| rest.get(..end)).unwrap_or(rest);
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (login, after) = match rest.rfind('@') {
        Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
        None if authority.starts_with('[') => return text.into(),
        None => rest.split_at_checked(authority.len()).unwrap_or((rest, "")),
    };
    match login.split_once(':') {
        Some((_, port)) if after.starts_with('@') || !is_port(port) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{before}{user}:***{after}")
        }
        _ => text.into(),
    }
}

fn read(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("it is empty: a variable that it comes from may not be set".into());
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '\\') {
        let code = utf8_percent_encode(bad.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC).to_string();
        return Err(format!("write {bad:?} as {code}, if it belongs to it"));
    }
    if text.contains('#') {
        return Err("write # as %23, if it belongs to it".into());
    }
    let has_one_slash = |(scheme, _, _): &(&str, _, _)| text.starts_with(&format!("{scheme}:/"));
    if !text.contains("://") && SCHEMES.iter().any(has_one_slash) {
        return Err("two slashes must follow the colon".into());
    }
    let (tls, port, rest) = match text.split_once("://") {
        None => (TlsMode::Off, 21, text),
        Some((scheme, rest)) => SCHEMES
            .iter()
            .find(|(known, _, _)| known.eq_ignore_ascii_case(scheme))
            .map(|(_, tls, port)| (*tls, *port, rest))
            .ok_or_else(|| not_ours(scheme))?,
    };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(a, path)| (a, Some(path)));
    let (login, place) =
        authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
    let (host, given_port) = host_and_port(place)?;
    let mut site = Site::new(host);
    site.tls = tls;
    site.port = given_port.unwrap_or(port);
    if let Some(login) = login {
        let (user, password) =
            login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        if !user.is_empty() {
            site.user = decoded_text(user, "user")?;
        }
        site.password =
            password.map(|text| decoded_text(text, "password")).transpose()?.map(Secret::new);
    }
    let (path, is_text) = match path.map(without_type).transpose()? {
        None => (None, false),
        Some((path, is_text)) => (Some(path).filter(|path| !path.is_empty()), is_text),
    };
    let is_folder = path.is_none_or(|path| path.ends_with('/'));
    let pattern = path.filter(|path| path.contains(['*', '?', '['])).map(pattern).transpose()?;
    let path = path.map(decoded).transpose()?;
    let path = path.map(|path| RemotePath::parse(path).map_err(|error| error.message));
    Ok(Url { site, path: path.transpose()?, is_folder, is_text, pattern })
}

/// Returns a path with wildcards, in which those that are percent-encoded stand for themselves.
fn pattern(path: &str) -> Result<RemotePath, String> {
    let mut found = Vec::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (plain, coded) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let (code, behind) = coded.split_at_checked(3).unwrap_or((coded, ""));
        found.extend_from_slice(plain.as_bytes());
        for byte in decoded(code)? {
            match byte {
                b'*' | b'?' | b'[' | b'{' | b'\\' => found.extend([b'[', byte, b']']),
                byte => found.push(byte),
            }
        }
        rest = behind;
    }
    found.extend_from_slice(rest.as_bytes());
    RemotePath::parse(found).map_err(|error| error.message)
}

fn not_ours(scheme: &str) -> String {
    let what = match scheme.to_ascii_lowercase().as_str() {
        "sftp" | "scp" | "ssh" => "; it goes over SSH, which is another protocol than FTP with TLS",
        "ftpe" | "ftptls" | "ftp+tls" => "; FTP with TLS on the ordinary port is ftpes",
        _ => "",
    };
    format!("the scheme `{scheme}` is not ftp, ftpes or ftps{what}")
}

/// Strips `;type=i` and `;type=d`, which are the default anyway, and `;type=a`; returns true for the last.
fn without_type(path: &str) -> Result<(&str, bool), String> {
    match path.rsplit_once(";type=") {
        None => Ok((path, false)),
        Some((path, "i" | "d" | "I" | "D")) => Ok((path, false)),
        Some((path, "a" | "A")) => Ok((path, true)),
        Some((_, other)) => Err(format!("`;type={other}`: the types are a (text), i and d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_makes_a_pattern_unless_it_is_encoded() {
        for (text, pattern) in [
            ("ftp://a/in/*.csv", Some("in/*.csv")),
            ("ftp://a//in/a?.csv", Some("/in/a?.csv")),
            ("ftp://a/in/%2Aa[0-9]%20b", Some("in/[*]a[0-9] b")),
            ("ftp://a/in/%2A.csv", None),
            ("ftp://[::1]/in/a.csv", None),
            ("ftp://a", None),
        ] {
            let found = Url::parse(text).unwrap().pattern.map(|pattern| pattern.to_string());
            assert_eq!(found.as_deref(), pattern, "{text}");
        }
        assert!(Url::parse("ftp://a/*%").is_err());
    }

    #[test]
    fn urls_are_read_as_other_programs_read_them() {
        for (text, tls, user, host, port, path) in [
            ("ftp://example.com", TlsMode::Off, "anonymous", "example.com", 21, None),
            ("ftpes://a@example.com/in", TlsMode::Explicit, "a", "example.com", 21, Some("in")),
            ("ftps://a@example.com/", TlsMode::Implicit, "a", "example.com", 990, None),
            (
                "ftp://a:b@example.com:2121//in/x",
                TlsMode::Off,
                "a",
                "example.com",
                2121,
                Some("/in/x"),
            ),
            ("FTP://EXAMPLE.com/%2Fin", TlsMode::Off, "anonymous", "example.com", 21, Some("/in")),
            ("ftp://me@mail.org@ftp.org/", TlsMode::Off, "me@mail.org", "ftp.org", 21, None),
            ("ftp://a%40b:c%2F@h/x%20y", TlsMode::Off, "a@b", "h", 21, Some("x y")),
            ("ftp://a;b@c/", TlsMode::Off, "a;b", "c", 21, None),
            ("ftp://[::1]:2121/", TlsMode::Off, "anonymous", "::1", 2121, None),
            ("ftp://[fe80::1%25lo]/", TlsMode::Off, "anonymous", "fe80::1%lo", 21, None),
            ("ftp://h/a;type=i", TlsMode::Off, "anonymous", "h", 21, Some("a")),
            ("ftp://h/a?b", TlsMode::Off, "anonymous", "h", 21, Some("a?b")),
            ("example.com/in/", TlsMode::Off, "anonymous", "example.com", 21, Some("in/")),
        ] {
            let url = Url::parse(text).unwrap();
            let found =
                (url.site.tls, url.site.user.as_str(), url.site.host.as_str(), url.site.port);
            assert_eq!(found, (tls, user, host, port), "{text}");
            assert_eq!(url.path, path.map(|path| RemotePath::parse(path).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "ftp://a#@b/",
            "ftp://a\\@b/",
            "ftp://a b/",
            "ftp://a\r\nb/",
            "ftp://b\u{430}nk.com/",
            "ftp:///x",
            "ftp://h:0/",
            "ftp://h:65536/",
            "ftp://h:x/",
            "ftp://[::1/",
            "ftp://[x]/",
            "ftp://[::1]x/",
            "http://h/",
            "sftp://h/",
            "ftp://h/%0d%0aDELE",
            "ftp://h/%zz",
            "ftp://h/%+a",
            "ftp://h:+21/",
            "ftp://u%0d:p@h/",
            "ftp://-h/",
            "ftp://h/a;type=x",
            "",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refused_url_does_not_show_its_password() {
        for text in [
            "ftp://me:hunter2@h:x/",
            "ftp://me:x/hunter2@h",
            "ftp://me:hunter2/x@h",
            "ftp://me:hunter2",
            "me:hunter2@h:0",
            "ftpx://me:hunter2@h/",
            "ftp://me:a b@hunter2@h/",
            "ftp://me:%zzhunter2@h/",
            "ftp://me:hunter2@h/#",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(error.to_string().contains("me:***"), "{error}");
        }
        let error = Url::parse("ftp://h:99999/").unwrap_err();
        assert!(error.to_string().contains("`ftp://h:99999/`"), "{error}");
    }
}
