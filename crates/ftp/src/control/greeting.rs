//! The greeting, and the diagnosis of a server that sends none.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    command::LatinText,
    connection::{ControlConnection, further, late, read_error},
    dial::{DialedConnection, connect},
};
use crate::{
    client::client,
    path_syntax::PathSyntax,
    profile::ServerProfile,
    reply::Reply,
    site::{Site, Trust},
    stream_state::StreamHandle,
    tls::{TlsContext, TlsVersions},
};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
};

/// The silence after which it is tested whether this port starts TLS at once. Servers that look up names first are
/// silent for longer, and the wait for them continues.
const SILENCE_TIME: Duration = Duration::from_secs(3);
/// The time for that test.
const HELLO_TIME: Duration = Duration::from_secs(3);

impl ControlConnection {
    /// Reads the greeting of `site`; with `implicit`, through TLS from the first byte.
    pub(crate) async fn greeted(
        DialedConnection { tcp, peer, local, recorder, .. }: DialedConnection,
        site: &Site,
        implicit: Option<&TlsContext>,
        stop: &CancelToken,
    ) -> Result<(Self, Reply)> {
        let link = StreamHandle::default();
        let mask = site.login_mask();
        link.lock().mask = mask.clone();
        link.lock().recorder = recorder;
        if let Some(security) = implicit {
            link.lock().upgrade = Some(security.handshake());
        }
        let mut ftp = client(tcp, link.clone(), &site.host)
            .await
            .map_err(|error| read_error(error).with_host(&site.host))?;
        ftp.set_encoding(LatinText).await;
        let began = Instant::now();
        let mut time = SILENCE_TIME.min(site.reply_timeout);
        let reply = loop {
            // Unconstrained: with its budget used up, tokio would leave a TLS record unsent forever.
            let greeting = timeout(time, tokio::task::unconstrained(further(&mut ftp)));
            match stop.run_until_cancelled(greeting).await? {
                Ok(Ok(greeting)) => break greeting.masked(mask),
                Ok(Err(error)) => {
                    let error = link.lock().babble.take().map_or(error, no_greeting);
                    return Err(error.with_host(&site.host));
                }
                Err(_) if began.elapsed() < site.reply_timeout => {}
                Err(_) => return Err(late("greeting", site.reply_timeout).with_host(&site.host)),
            }
            if let Some(words) = link.lock().babble.take() {
                return Err(no_greeting(words).with_host(&site.host));
            }
            if implicit.is_none()
                && site.proxy.is_none()
                && stop.run_until_cancelled(speaks_tls(peer, site)).await?
            {
                return Err(tls_at_once(peer).with_host(&site.host));
            }
            time = site.reply_timeout.saturating_sub(began.elapsed());
        };
        let control = Self {
            ftp,
            link,
            host: site.host.clone(),
            peer,
            local,
            reply_timeout: site.reply_timeout,
            stop: stop.clone(),
            broken: None,
            early: None,
            ahead: None,
            called: None,
            syntax: PathSyntax::default(),
            profile: ServerProfile::default(),
            answered: None,
            lost_packet: false,
            greeting: reply.text().into(),
        };
        Ok((control, reply))
    }
}

/// Returns true if `peer` answers a TLS handshake on a separate connection. Nothing else is sent.
async fn speaks_tls(peer: SocketAddr, site: &Site) -> bool {
    let trust = Trust { insecure: true, ..Trust::default() };
    let Ok(security) = TlsContext::new(site.certified_name(), &trust, TlsVersions::All) else {
        return false;
    };
    let shaken = async {
        let tcp = connect(peer, site.source_address).await?;
        let (connector, name) = security.handshake();
        connector.connect(name, tcp).await
    };
    match timeout(HELLO_TIME, shaken).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            // A refusal by a TLS alert is an answer too.
            inner.is_some_and(|inner| !matches!(inner, rustls::Error::InvalidMessage(_)))
        }
        Err(_) => false,
    }
}

fn no_greeting(words: String) -> Error {
    Error::protocol(words)
}

fn tls_at_once(peer: SocketAddr) -> Error {
    let port = peer.port();
    let message =
        format!("port {port} sends no greeting, since TLS begins at once there: use ftps://");
    Error::new(ErrorKind::Tls, Origin::Server, message)
}
