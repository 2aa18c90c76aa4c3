//! The certificate of the page. It is read again when its file changes: certificates are renewed every few weeks.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    error::{Error, Result},
    files::owned,
};

/// The minimum time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The certificate and its key.
pub(super) struct PageTls {
    cert: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
    /// The times of both files when they were read.
    read: [Option<SystemTime>; 2],
    looked: Instant,
}

impl std::fmt::Debug for PageTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PageTls({})", self.cert.display())
    }
}

impl PageTls {
    /// Reads the certificate chain in `cert` and the key in `key`, which may be the same file.
    pub(super) fn read(cert: &Path, key: Option<&Path>) -> Result<Self> {
        let key = key.unwrap_or(cert);
        let config = config(cert, key)?;
        let read = times(cert, key);
        let (cert, key) = (cert.to_owned(), key.to_owned());
        Ok(Self { cert, key, config: Arc::new(config), read, looked: Instant::now() })
    }

    /// Returns the acceptor for a connection, with the certificate that is in the files now. If they cannot be used,
    /// the previous one stays in use.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        if self.looked.elapsed() > LOOK_INTERVAL {
            self.looked = Instant::now();
            let now = times(&self.cert, &self.key);
            if now != self.read {
                match config(&self.cert, &self.key) {
                    Ok(config) => {
                        (self.config, self.read) = (Arc::new(config), now);
                        tracing::info!(target: "portolan", "the certificate of the page was read again");
                    }
                    Err(fault) => {
                        tracing::warn!(target: "portolan", "the certificate of the page stays: {fault}");
                    }
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn times(cert: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [cert, key].map(|file| fs::metadata(file).and_then(|data| data.modified()).ok())
}

fn config(cert: &Path, key: &Path) -> Result<ServerConfig> {
    let wrong = |file: &Path, what: &str, error: &dyn std::fmt::Display| {
        Error::invalid(format!("no {what} can be read: {error}")).at(file.to_string_lossy())
    };
    owned::guard(key)?;
    let data = fs::metadata(key).map_err(|error| Error::local("read the key", key, error))?;
    if data.permissions().mode() & 0o007 != 0 {
        let message = "others can read this private key; `chmod o= FILE` takes their rights";
        return Err(Error::invalid(message).at(key.to_string_lossy()));
    }
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(cert, "certificate", &error))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, "private key", &error))?;
    let provider = Arc::new(ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| wrong(cert, "certificate", &error))
}
