//! The greeting, and the diagnosis of a server that sends none.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{Bytes, Control, Line, dial::connect, further, late, read_error};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{
        client::client,
        mask::Mask,
        path_syntax::PathSyntax,
        reply::Reply,
        secure::Security,
        site::{Site, Trust},
        wire::Link,
    },
    stop::Stop,
};

/// The silence after which it is tested whether this port starts TLS at once. Servers that look up names first are
/// silent for longer, and the wait for them continues.
const SILENCE_TIME: Duration = Duration::from_secs(3);
/// The time for that test.
const HELLO_TIME: Duration = Duration::from_secs(3);

impl Control {
    /// Reads the greeting of `site`; with `implicit`, through TLS from the first byte.
    pub(in crate::ftp) async fn greeted(
        Line { tcp, peer, local, .. }: Line,
        site: &Site,
        implicit: Option<&Security>,
        stop: &Stop,
    ) -> Outcome<(Self, Reply)> {
        let link = Link::default();
        let mask = Mask::at_login(site);
        link.lock().mask = mask.clone();
        if let Some(security) = implicit {
            link.lock().upgrade = Some(security.handshake());
        }
        let mut ftp = client(tcp, link.clone(), &site.host)
            .await
            .map_err(|error| read_error(error).on(&site.host))?;
        ftp.set_encoding(Bytes).await;
        let began = Instant::now();
        let mut time = SILENCE_TIME.min(site.reply_timeout);
        let reply = loop {
            // Unconstrained: with its budget used up, tokio would leave a TLS record unsent forever.
            let greeting = timeout(time, tokio::task::unconstrained(further(&mut ftp)));
            match stop.race(greeting).await? {
                Ok(Ok(greeting)) => break greeting.masked(mask),
                Ok(Err(fault)) => {
                    let fault = link.lock().babble.take().map_or(fault, no_greeting);
                    return Err(fault.on(&site.host));
                }
                Err(_) if began.elapsed() < site.reply_timeout => {}
                Err(_) => return Err(late("greeting", site.reply_timeout).on(&site.host)),
            }
            if let Some(words) = link.lock().babble.take() {
                return Err(no_greeting(words).on(&site.host));
            }
            if implicit.is_none()
                && site.proxy.is_none()
                && stop.race(speaks_tls(peer, site)).await?
            {
                return Err(tls_at_once(peer).on(&site.host));
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
            pipelining: Arc::default(),
            answered: None,
            lost_packet: false,
            round_trip: Duration::MAX,
        };
        Ok((control, reply))
    }
}

/// Returns true if `peer` answers a TLS handshake on a separate connection. Nothing else is sent.
async fn speaks_tls(peer: SocketAddr, site: &Site) -> bool {
    let trust = Trust { insecure: true, ..Trust::default() };
    let Ok(security) = Security::new(site.certified_name(), &trust) else { return false };
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

fn no_greeting(words: String) -> Fault {
    Fault::protocol(words)
}

fn tls_at_once(peer: SocketAddr) -> Fault {
    let port = peer.port();
    let message =
        format!("port {port} sends no greeting, since TLS begins at once there: use ftps://");
    Fault::new(Kind::Tls, Side::Server, message)
}
