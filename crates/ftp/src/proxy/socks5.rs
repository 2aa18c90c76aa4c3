//! SOCKS5 (RFC 1928), and its login by password (RFC 1929).

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{Proxy, ProxyLogin, denied};
use portolan_core::error::{Error, ErrorKind, Origin, Result, codes::CONNECT_REFUSED};

/// The numbers of RFC 1928 (SOCKS5).
const SOCKS: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

impl Proxy {
    pub(super) async fn lead_by_socks<S>(&self, tcp: &mut S, host: &str, port: u16) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let offer: &[u8] = if self.login.is_some() {
            &[SOCKS, 2, NO_LOGIN, PASSWORD]
        } else {
            &[SOCKS, 1, NO_LOGIN]
        };
        self.send(tcp, offer).await?;
        let [version, method] = self.receive(tcp).await?;
        if version != SOCKS {
            return Err(self.babble());
        }
        match (method, &self.login) {
            (NO_LOGIN, _) => {}
            (PASSWORD, Some(login)) => self.log_in(tcp, login).await?,
            (0xFF, None) => return Err(denied("the proxy wants a login, and `proxy` has none")),
            (0xFF, Some(_)) => return Err(denied("the proxy takes no login by password")),
            _ => return Err(self.babble()),
        }
        let mut request = vec![SOCKS, CONNECT, 0];
        match host.parse() {
            Ok(IpAddr::V4(ip)) => request.extend([&[IPV4][..], &ip.octets()].concat()),
            Ok(IpAddr::V6(ip)) => request.extend([&[IPV6][..], &ip.octets()].concat()),
            Err(_) => request.extend([&[NAME, length(host)][..], host.as_bytes()].concat()),
        }
        request.extend(port.to_be_bytes());
        self.send(tcp, &request).await?;
        // A proxy that refuses may omit the rest.
        let [version, code] = self.receive(tcp).await?;
        if version != SOCKS {
            return Err(self.babble());
        }
        if code != 0 {
            return Err(refusal(code));
        }
        let [_, kind] = self.receive(tcp).await?;
        // The address that the proxy connects from is of no use, but must be skipped.
        let rest = match kind {
            IPV4 => 4,
            IPV6 => 16,
            NAME => usize::from(self.receive::<_, 1>(tcp).await?[0]),
            _ => return Err(self.babble()),
        };
        let mut skipped = vec![0; rest + 2];
        tcp.read_exact(&mut skipped).await.map_err(|error| self.broken(error))?;
        Ok(())
    }

    async fn log_in<S>(&self, tcp: &mut S, login: &ProxyLogin) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (user, password) = (login.user.as_str(), login.password.reveal());
        let parts = [&[1, length(user)], user.as_bytes(), &[length(password)], password.as_bytes()];
        self.send(tcp, &parts.concat()).await?;
        let [_, status] = self.receive(tcp).await?;
        if status == 0 { Ok(()) } else { Err(self.not_let_in("the proxy refused the login")) }
    }
}

/// Returns the length of a text that is known to have at most 255 bytes.
fn length(text: &str) -> u8 {
    u8::try_from(text.len()).unwrap_or(u8::MAX)
}

/// Returns the error for a reply code other than 0 (RFC 1928, 6).
fn refusal(code: u8) -> Error {
    let (kind, words) = match code {
        1 => (ErrorKind::Unreachable, "it failed there"),
        2 => (ErrorKind::Denied, "its rules do not allow this connection"),
        3 => (ErrorKind::Unreachable, "network unreachable"),
        4 => (ErrorKind::Unreachable, "host unreachable"),
        5 => (ErrorKind::Unreachable, "connection refused"),
        6 => (ErrorKind::Timeout, "no answer in its time"),
        7 => (ErrorKind::Unsupported, "it knows no CONNECT"),
        8 => (ErrorKind::Unsupported, "it does not take this kind of address"),
        _ => (ErrorKind::Protocol, "for a reason of its own"),
    };
    let error = Error::new(kind, Origin::Network, format!("the proxy refused: {words}"));
    if code == 5 { error.with_name(CONNECT_REFUSED) } else { error }
}
