//! Proxies for all connections: SOCKS5 (RFC 1928, login by RFC 1929) and HTTP's CONNECT (RFC 9110, 9.3.6).
//!
//! The proxy gets the server's name and looks it up itself: it may know names that the local host does not. Nothing is
//! read beyond the proxy's own reply, since the server's first bytes may follow in the same packet.

mod http_connect;
mod socks5;

use std::{fmt, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    authority::{authority, decoded_text, host_and_port},
    secret::Secret,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::PROXY_HEAD_BYTES_MAX,
    observe::{format_duration, visible::visible},
};

/// The forms of a proxy's URL, for messages.
pub(super) const FORMS: &str = "\"socks5://[user:password@]host[:1080]\" or \
    \"http://[user:password@]host[:8080]\", or \"none\"; in a login, write / as %2F, : as %3A, @ as %40 and % as %25";

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyProtocol {
    Socks5,
    Http,
}

impl ProxyProtocol {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Socks5 => "socks5",
            Self::Http => "http",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Socks5 => 1080,
            Self::Http => 8080,
        }
    }
}

/// A proxy, and the login to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    protocol: ProxyProtocol,
    pub(super) host: String,
    pub(super) port: u16,
    login: Option<ProxyLogin>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ProxyLogin {
    user: String,
    password: Secret,
}

impl Proxy {
    /// Returns its host and port.
    pub fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

/// Shows no login.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol.scheme(), authority(&self.host, self.port))
    }
}

impl Proxy {
    /// Parses a proxy's URL. Fails with `invalid`, and repeats nothing of the text: it may contain a password anywhere.
    pub fn parse(text: &str) -> Result<Self> {
        read(text).ok_or_else(|| Error::invalid(format!("`proxy` wants {FORMS}")))
    }

    /// Returns the password of its login.
    pub(super) fn password(&self) -> Option<&Secret> {
        self.login.as_ref().map(|login| &login.password)
    }

    /// Returns true if its URL contains a password.
    pub fn has_password(&self) -> bool {
        self.login.as_ref().is_some_and(|login| !login.password.reveal().is_empty())
    }

    /// Asks the proxy at the other end of `tcp` to connect to `host`; on success `tcp` leads there.
    pub(super) async fn lead<S>(
        &self,
        tcp: &mut S,
        host: &str,
        port: u16,
        time: Duration,
    ) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if host.len() > 255 || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("this host name is not valid in a request to a proxy"));
        }
        let led = async {
            match self.protocol {
                ProxyProtocol::Socks5 => self.lead_by_socks(tcp, host, port).await,
                ProxyProtocol::Http => self.lead_by_http(tcp, &authority(host, port)).await,
            }
        };
        timeout(time, led).await.unwrap_or_else(|_| {
            let message = format!("the proxy {self} does not answer in {}", format_duration(time));
            Err(Error::new(ErrorKind::Timeout, Origin::Network, message))
        })
    }

    async fn send<S>(&self, tcp: &mut S, bytes: &[u8]) -> Result<()>
    where
        S: AsyncWrite + Unpin + Send,
    {
        let sent = async {
            tcp.write_all(bytes).await?;
            tcp.flush().await
        };
        sent.await.map_err(|error| self.broken(error))
    }

    async fn receive<S, const N: usize>(&self, tcp: &mut S) -> Result<[u8; N]>
    where
        S: AsyncRead + Unpin + Send,
    {
        let mut bytes = [0; N];
        tcp.read_exact(&mut bytes).await.map_err(|error| self.broken(error))?;
        Ok(bytes)
    }

    fn broken(&self, error: io::Error) -> Error {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        if matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) {
            let message = format!("the proxy {self} closed the connection");
            return Error::new(ErrorKind::Unreachable, Origin::Network, message).with_source(error);
        }
        Error::network(&format!("the connection with the proxy {self} broke"), error)
    }

    fn babble(&self) -> Error {
        let message = match self.protocol {
            ProxyProtocol::Socks5 => format!("what answers at {self} is no SOCKS5 proxy"),
            ProxyProtocol::Http => format!("what answers at {self} is no HTTP proxy"),
        };
        Error { side: Origin::Network, ..Error::protocol(message) }
    }

    fn not_let_in(&self, what: &str) -> Error {
        let user = self.login.as_ref().map_or("", |login| &login.user);
        denied(format!("{what} as `{}`", visible(user)))
    }
}

fn denied(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Denied, Origin::Network, message)
}

fn read(text: &str) -> Option<Proxy> {
    let (scheme, rest) = text.split_once("://")?;
    let known = |protocol: &ProxyProtocol| protocol.scheme().eq_ignore_ascii_case(scheme);
    let protocol = [ProxyProtocol::Socks5, ProxyProtocol::Http].into_iter().find(known)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let (host, port) = host_and_port(place).ok()?;
    let login = match login {
        Some(login) => Some(read_login(protocol, login)?),
        None => None,
    };
    Some(Proxy { protocol, host, port: port.unwrap_or(protocol.port()), login })
}

fn read_login(protocol: ProxyProtocol, text: &str) -> Option<ProxyLogin> {
    let is_clear = |c: char| !c.is_control() && !matches!(c, '/' | '@' | '#' | '\\' | ' ');
    if !text.chars().all(is_clear) {
        return None;
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let user = decoded_text(user, "user").ok()?;
    let password = decoded_text(password, "password").ok()?;
    let fits = match protocol {
        // Each length is encoded in one byte.
        ProxyProtocol::Socks5 => user.len() <= 255 && password.len() <= 255,
        // The first colon ends the user (RFC 7617, 2).
        ProxyProtocol::Http => {
            !user.contains(':') && user.len() + password.len() < PROXY_HEAD_BYTES_MAX
        }
    };
    (fits && !user.is_empty()).then(|| ProxyLogin { user, password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_with_their_ordinary_ports() {
        for (text, shown, login) in [
            ("socks5://gate", "socks5://gate:1080", None),
            ("SOCKS5://gate:99/", "socks5://gate:99", None),
            ("http://gate", "http://gate:8080", None),
            ("http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128", None),
            ("socks5://me:p%40s:s@gate", "socks5://gate:1080", Some(("me", "p@s:s"))),
            ("http://me@192.0.2.1", "http://192.0.2.1:8080", Some(("me", ""))),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown, "{text}");
            let found = proxy.login.as_ref();
            let found = found.map(|login| (login.user.as_str(), login.password.reveal()));
            assert_eq!(found, login, "{text}");
        }
    }

    #[test]
    fn anything_else_names_both_forms_and_shows_no_password() {
        let long = format!("socks5://me:hunter2{}@gate", "x".repeat(255));
        for text in [
            "",
            "gate:1080",
            "socks4://me:hunter2@gate",
            "https://me:hunter2@gate",
            "socks5://",
            "socks5://me:hunter2",
            "socks5://me:a/hunter2@gate",
            "socks5://me:hunter2@gate:0",
            "socks5://me:hunter2@gate:hunter2",
            "http://me:hunter2@gate/path",
            "http://me:hunter2%zz@gate",
            "http://me:hunter2%0d@gate",
            "http://m%3Ae:hunter2@gate",
            "http://:hunter2@gate",
            &long,
        ] {
            let message = Proxy::parse(text).unwrap_err().to_string();
            assert!(message.contains("socks5://[user:") && message.contains("http://["), "{text}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_proxy_shows_itself_without_its_password() {
        let proxy = Proxy::parse("http://me:hunter2@gate").unwrap();
        assert!(proxy.has_password());
        assert!(!format!("{proxy:?} {proxy}").contains("hunter2"), "{proxy:?}");
    }

    /// Returns the result of asking a proxy that sends `says`, in packets of one byte, then the bytes that the proxy
    /// received, and those left for the server to say.
    async fn told(proxy: &str, host: &str, says: &[u8]) -> (Result<()>, Vec<u8>, Vec<u8>) {
        let (mut ours, theirs) = tokio::io::duplex(1);
        let (mut from_us, mut to_us) = tokio::io::split(theirs);
        let proxy = Proxy::parse(proxy).unwrap();
        let speaks = async {
            to_us.write_all(says).await.ok();
            to_us.shutdown().await.ok();
        };
        let asks = async {
            let led = proxy.lead(&mut ours, host, 21, Duration::from_secs(5)).await;
            let mut left = Vec::new();
            if led.is_ok() {
                ours.read_to_end(&mut left).await.unwrap();
            }
            drop(ours);
            (led, left)
        };
        let mut heard = Vec::new();
        let ((led, left), (), _) = tokio::join!(asks, speaks, from_us.read_to_end(&mut heard));
        (led, heard, left)
    }

    #[tokio::test]
    async fn the_servers_first_words_are_left_to_the_server() {
        let named = [&[5, 0, 5, 0, 0, 3, 4][..], b"gate", &[0, 21], b"220 hi\r\n"].concat();
        let bare = b"HTTP/1.0 200\n\n220 hi\r\n";
        let full = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n220 hi\r\n";
        for (proxy, says) in [("socks5://g", &named[..]), ("http://g", bare), ("http://g", full)] {
            let (led, _, left) = told(proxy, "ftp.example.org", says).await;
            assert!(led.is_ok(), "{led:?}");
            assert_eq!(left, b"220 hi\r\n");
        }
    }

    #[tokio::test]
    async fn the_proxy_is_told_names_as_names_and_addresses_as_addresses() {
        let yes = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for (host, asked) in [
            ("a.b", &[5, 1, 0, 5, 1, 0, 3, 3, b'a', b'.', b'b', 0, 21][..]),
            ("192.0.2.1", &[5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 0, 21]),
            ("::1", &[5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 21]),
        ] {
            assert_eq!(told("socks5://g", host, &yes).await.1, asked, "{host}");
        }
        let (_, heard, _) =
            told("http://Aladdin:open%20sesame@g", "::1", b"HTTP/1.1 200\n\n").await;
        let wanted = "CONNECT [::1]:21 HTTP/1.1\r\nHost: [::1]:21\r\n\
            Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&heard), wanted);
    }

    #[tokio::test]
    async fn every_refusal_says_what_the_proxy_said() {
        let endless = [&b"HTTP/1.1 200 ok\r\n"[..], &[b'x'; PROXY_HEAD_BYTES_MAX]].concat();
        for (proxy, says, kind, words) in [
            ("socks5://g", &[5, 0xFF][..], ErrorKind::Denied, "wants a login"),
            ("socks5://me:x@g", &[5, 0xFF], ErrorKind::Denied, "no login by password"),
            ("socks5://me:x@g", &[5, 2, 1, 1], ErrorKind::Denied, "refused the login as `me`"),
            ("socks5://g", &[5, 2], ErrorKind::Protocol, "no SOCKS5"),
            ("socks5://g", &[4, 0], ErrorKind::Protocol, "no SOCKS5"),
            ("socks5://g", b"HTTP/1.1 400", ErrorKind::Protocol, "no SOCKS5"),
            ("socks5://g", &[5, 0, 5, 2], ErrorKind::Denied, "rules"),
            ("socks5://g", &[5, 0, 5, 4], ErrorKind::Unreachable, "refused: host unreachable"),
            ("socks5://g", &[5, 0, 5, 99], ErrorKind::Protocol, "refused"),
            ("socks5://g", &[5, 0, 5, 0, 0, 9], ErrorKind::Protocol, "no SOCKS5"),
            ("socks5://g", &[5, 0, 5, 0, 0, 1, 0], ErrorKind::Unreachable, "closed"),
            ("http://g", b"HTTP/1.1 403 Forbidden\r\n\r\n", ErrorKind::Denied, "\"403 Forbidden\""),
            ("http://g", b"HTTP/1.1 407 Auth\r\n\r\n", ErrorKind::Denied, "wants a login"),
            (
                "http://me:x@g",
                b"HTTP/1.1 407 Auth\r\n\r\n",
                ErrorKind::Denied,
                "to the login as `me`",
            ),
            ("http://g", b"HTTP/1.1 502 Bad\r\n\r\n", ErrorKind::Unreachable, "\"502 Bad\""),
            ("http://g", b"HTTP/1.1 405 No\r\n\r\n", ErrorKind::Refused, "\"405 No\""),
            ("http://g", b"HTTP/1.1 99\r\n\r\n", ErrorKind::Protocol, "no HTTP"),
            ("http://g", b"HTTP/1.1\r\n\r\n", ErrorKind::Protocol, "no HTTP"),
            ("http://g", b"220 an FTP server\r\n", ErrorKind::Protocol, "no HTTP"),
            ("http://g", b"HTTP/1.1 200 ok\r\n", ErrorKind::Unreachable, "closed"),
            ("http://g", b"", ErrorKind::Unreachable, "closed"),
            ("http://g", &endless, ErrorKind::Protocol, "without end"),
        ] {
            let error = told(proxy, "ftp.example.org", says).await.0.unwrap_err();
            assert_eq!(error.kind, kind, "{says:?}: {error}");
            assert!(error.message.contains(words), "{says:?}: {error}");
        }
    }
}
