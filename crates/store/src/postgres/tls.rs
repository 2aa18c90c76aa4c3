//! TLS with the server: its certificate must be for its name, from an authority that is trusted.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// The security of connections; without a configuration there is none.
#[derive(Clone)]
pub(super) struct PostgresTls(Option<Arc<ClientConfig>>);

impl PostgresTls {
    /// The configuration without TLS.
    pub(super) const NONE: Self = Self(None);

    /// Creates the configuration, with the authorities in a file or else those of the system.
    pub(super) fn new(roots: Option<PathBuf>) -> Result<Self> {
        let mut store = RootCertStore::empty();
        match roots {
            Some(file) => add_file(&mut store, &file)?,
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| {
            Error::new(ErrorKind::Tls, Origin::Here, format!("TLS cannot be used: {error}"))
        })?;
        let config = builder.with_root_certificates(store).with_no_client_auth();
        Ok(Self(Some(Arc::new(config))))
    }
}

fn add_file(store: &mut RootCertStore, file: &Path) -> Result<()> {
    let cannot = |error: String| {
        let message = format!("cannot read the certificates of the store: {error}");
        Error::new(ErrorKind::Local, Origin::Here, message).at(file.to_string_lossy())
    };
    let found = CertificateDer::pem_file_iter(file).map_err(|error| cannot(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| cannot(error.to_string()))?;
        store.add(certificate).map_err(|error| cannot(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(cannot("there is none in it".into()));
    }
    Ok(())
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for PostgresTls {
    type Stream = SecuredStream<S>;
    type TlsConnect = PostgresHandshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<PostgresHandshake> {
        // The name of a socket of this host is a path; nothing is asked of it.
        let host = ServerName::try_from(host.to_owned()).ok();
        Ok(PostgresHandshake { config: self.0.clone(), host })
    }
}

/// A handshake that can begin.
pub(super) struct PostgresHandshake {
    config: Option<Arc<ClientConfig>>,
    host: Option<ServerName<'static>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for PostgresHandshake {
    type Stream = SecuredStream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<SecuredStream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let (Some(config), Some(host)) = (self.config, self.host) else {
                let message = "the name of the server cannot be in a certificate";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            };
            Ok(SecuredStream(TlsConnector::from(config).connect(host, stream).await?))
        })
    }
}

/// A connection that is secured.
pub(super) struct SecuredStream<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for SecuredStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for SecuredStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for SecuredStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
