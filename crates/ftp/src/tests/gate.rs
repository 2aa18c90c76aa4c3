//! A SOCKS5 or HTTP proxy for tests, which alone can resolve `ftp.proxy.test`.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// The name of the embedded server, as the proxy resolves it.
pub(super) const NAME: &str = "ftp.proxy.test";

/// The behaviour of a proxy towards its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Normal service.
    Serve,
    /// Normal service, with the server's first bytes in the packet of the proxy's reply.
    Early,
    /// Refuses every connection.
    Refuse,
    /// Refuses every connection except to this port.
    RefuseBut(u16),
    /// Closes the connection.
    Close,
    /// Sends an invalid reply.
    Babble,
    /// Sends no reply.
    Silent,
}

/// A proxy that runs as long as its test.
pub(super) struct Gate {
    protocol: &'static str,
    address: SocketAddr,
    seen: Arc<Mutex<SeenPackets>>,
}

#[derive(Default)]
struct SeenPackets {
    came: usize,
    asked: Vec<String>,
}

#[derive(Clone)]
struct GateRules {
    protocol: &'static str,
    manner: Manner,
    login: Option<&'static str>,
    seen: Arc<Mutex<SeenPackets>>,
}

impl Gate {
    /// Starts a proxy that accepts every client.
    pub(super) async fn start(protocol: &'static str, manner: Manner) -> Self {
        Self::guarded(protocol, manner, None).await
    }

    /// Starts a proxy that accepts clients with `login`. No FTP server listens at its address.
    pub(super) async fn guarded(
        protocol: &'static str,
        manner: Manner,
        login: Option<&'static str>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<SeenPackets>>::default();
        let rules = GateRules { protocol, manner, login, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let rules = rules.clone();
                rules.seen.lock().unwrap().came += 1;
                tokio::spawn(async move { rules.serve(tcp).await });
            }
        });
        Self { protocol, address, seen }
    }

    /// Returns its URL, with `login` in it.
    pub(super) fn url(&self, login: &str) -> String {
        format!("{}://{login}{}", self.protocol, self.address)
    }

    /// Returns the number of connections.
    pub(super) fn came(&self) -> usize {
        self.seen.lock().unwrap().came
    }

    /// Returns the requested targets.
    pub(super) fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().asked.clone()
    }
}

impl GateRules {
    async fn serve(self, mut tcp: TcpStream) -> io::Result<()> {
        match self.manner {
            Manner::Close => return Ok(()),
            Manner::Silent => std::future::pending().await,
            Manner::Babble => {
                tcp.write_all(b"220 what do you want\r\n").await?;
                return tcp.read_to_end(&mut Vec::new()).await.map(drop);
            }
            _ => {}
        }
        let is_socks = self.protocol == "socks5";
        let heard = if is_socks {
            self.hear_socks(&mut tcp).await?
        } else {
            self.hear_http(&mut tcp).await?
        };
        let Some(target) = heard else { return Ok(()) };
        self.seen.lock().unwrap().asked.push(target.clone());
        let (host, port) = target.rsplit_once(':').unwrap();
        let port: u16 = port.parse().unwrap();
        let is_refused = match self.manner {
            Manner::Refuse => true,
            Manner::RefuseBut(only) => port != only,
            _ => host != NAME,
        };
        let (yes, no): (&[u8], &[u8]) = if is_socks {
            (&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0])
        } else {
            (b"HTTP/1.1 200 Connection established\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\n")
        };
        if is_refused {
            return tcp.write_all(no).await;
        }
        let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut answer = yes.to_vec();
        if self.manner == Manner::Early && self.seen.lock().unwrap().came == 1 {
            server.read_buf(&mut answer).await?;
        }
        tcp.write_all(&answer).await?;
        copy_bidirectional(&mut tcp, &mut server).await.map(drop)
    }

    async fn hear_socks(&self, tcp: &mut TcpStream) -> io::Result<Option<String>> {
        let mut head = [0; 2];
        tcp.read_exact(&mut head).await?;
        let methods = take(tcp, head[1]).await?;
        let wanted = if self.login.is_some() { 2 } else { 0 };
        if !methods.contains(&wanted) {
            tcp.write_all(&[5, 0xFF]).await?;
            return Ok(None);
        }
        tcp.write_all(&[5, wanted]).await?;
        if let Some(login) = self.login {
            assert_eq!(tcp.read_u8().await?, 1);
            let mut came = Vec::new();
            for _ in 0..2 {
                let length = tcp.read_u8().await?;
                came.push(take(tcp, length).await?);
            }
            let is_right = came.join(&b':') == login.as_bytes();
            tcp.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Ok(None);
            }
        }
        let mut request = [0; 4];
        tcp.read_exact(&mut request).await?;
        assert_eq!(request, [5, 1, 0, 3], "a name, and not an address");
        let length = tcp.read_u8().await?;
        let host = String::from_utf8(take(tcp, length).await?).unwrap();
        Ok(Some(format!("{host}:{}", tcp.read_u16().await?)))
    }

    async fn hear_http(&self, tcp: &mut TcpStream) -> io::Result<Option<String>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let login = self.login.map(|login| BASE64_STANDARD.encode(login));
        let is_right = login.is_none_or(|login| {
            head.contains(&format!("\r\nProxy-Authorization: Basic {login}\r\n"))
        });
        if !is_right {
            tcp.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await?;
            return Ok(None);
        }
        let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
        Ok(Some(target.unwrap().to_owned()))
    }
}

async fn take(tcp: &mut TcpStream, length: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.into()];
    tcp.read_exact(&mut bytes).await?;
    Ok(bytes)
}
