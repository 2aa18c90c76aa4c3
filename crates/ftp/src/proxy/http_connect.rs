//! CONNECT of HTTP (RFC 9110, 9.3.6).

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Proxy, ProxyLogin, denied};
use crate::mask::Mask;
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{PROXY_HEAD_BYTES_MAX, PROXY_WORDS_MAX},
    observe::visible::visible,
};

impl Proxy {
    pub(super) async fn lead_by_http<S>(&self, tcp: &mut S, target: &str) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(ProxyLogin { user, password }) = &self.login {
            let word = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&word);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.send(tcp, request.as_bytes()).await?;
        let head = self.receive_head(tcp).await?;
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let (_, status) = line.trim_end().split_once(' ').ok_or_else(|| self.babble())?;
        let code = status.get(..3).and_then(|code| code.parse::<u16>().ok());
        let code = code.ok_or_else(|| self.babble())?;
        let status = self
            .login
            .as_ref()
            .map_or_else(|| status.to_owned(), |login| Mask::of(&login.password).hide_in(status));
        let words: String = visible(&status).chars().take(PROXY_WORDS_MAX).collect();
        let said = format!("the proxy said \"{words}\"");
        match code {
            200..=299 => Ok(()),
            407 if self.login.is_none() => {
                Err(denied(format!("{said}: it wants a login, and `proxy` has none")))
            }
            407 => Err(self.not_let_in(&format!("{said} to the login"))),
            401 | 403 => Err(denied(said)),
            408 | 504 => Err(Error::new(ErrorKind::Timeout, Origin::Network, said)),
            400..=499 => Err(Error::new(ErrorKind::Refused, Origin::Network, said)),
            500..=599 => Err(Error::new(ErrorKind::Unreachable, Origin::Network, said)),
            _ => Err(Error { side: Origin::Network, ..Error::protocol(said) }),
        }
    }

    /// Reads an HTTP head up to its blank line, byte by byte.
    async fn receive_head<S>(&self, tcp: &mut S) -> Result<Vec<u8>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        const START: &[u8] = b"HTTP/1.";
        let mut head = Vec::new();
        while !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") {
            head.extend(self.receive::<_, 1>(tcp).await?);
            if !head.iter().zip(START).all(|(is, wanted)| is == wanted) {
                return Err(self.babble());
            }
            if head.len() >= PROXY_HEAD_BYTES_MAX {
                let message = format!("the proxy {self} answers without end");
                return Err(Error { side: Origin::Network, ..Error::protocol(message) });
            }
        }
        Ok(head)
    }
}
