//! TLS: whose certificates are believed, and one store of sessions for each control connection.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;

use super::site::{Site, Tls, Trust};
use crate::fault::{Fault, Kind, Outcome, Side};

/// The TLS of one control connection and its data connections.
///
/// Servers demand that a data connection resumes the session of *its* control connection (vsftpd, ProFTPD), so each
/// control connection has its own store of sessions.
#[derive(Clone)]
pub struct Security {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Security({:?})", self.name)
    }
}

impl Security {
    /// TLS as `site` wants it, if it wants any.
    pub(super) fn of(site: &Site) -> Outcome<Option<Self>> {
        match site.tls {
            Tls::Off => Ok(None),
            Tls::Explicit | Tls::Implicit => {
                Self::new(site.certified_name(), &site.trust).map(Some)
            }
        }
    }

    /// TLS with `host` as `trust` says.
    pub fn new(host: &str, trust: &Trust) -> Outcome<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Fault::invalid(format!("`{host}` is no host name that a certificate could name"))
        })?;
        Ok(Self { config: Arc::new(client_config(trust)?), name })
    }

    /// The same with a fresh store of sessions, for another control connection.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(64);
        Self { config: Arc::new(config), name: self.name.clone() }
    }

    /// What a handshake needs.
    pub(super) fn handshake(&self) -> (TlsConnector, ServerName<'static>) {
        (TlsConnector::from(Arc::clone(&self.config)), self.name.clone())
    }
}

fn client_config(trust: &Trust) -> Outcome<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[_] = if trust.tls12_only { &[&TLS12] } else { &[&TLS13, &TLS12] };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| tls_fault(&error))?;
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(trust, &provider)?));
    match (&trust.client_cert, &trust.client_key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), key) => {
            let key = key.as_ref().unwrap_or(cert);
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable(key, "a private key", &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| tls_fault(&error))
        }
        (None, Some(_)) => Err(Fault::invalid("`client_key` needs `client_cert`")),
    }
}

fn certificates(file: &Path) -> Outcome<Vec<CertificateDer<'static>>> {
    let wrong = |error: &rustls::pki_types::pem::Error| unreadable(file, "certificates", error);
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(&error))?;
    if found.is_empty() {
        return Err(Fault::invalid("holds no certificate in PEM form").at(file.to_string_lossy()));
    }
    Ok(found)
}

fn unreadable(file: &Path, what: &str, error: &rustls::pki_types::pem::Error) -> Fault {
    match error {
        rustls::pki_types::pem::Error::Io(error) => {
            let error = std::io::Error::new(error.kind(), error.to_string());
            Fault::local(&format!("read {what}"), file, error)
        }
        other => Fault::invalid(format!("cannot read {what}: {other}")).at(file.to_string_lossy()),
    }
}

/// Believes what the system believes, plus `ca_file`; or the one pinned certificate; or, when told to, anything.
#[derive(Debug)]
struct Verifier {
    believed: Option<Arc<WebPkiServerVerifier>>,
    pin: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Outcome<Self> {
        let provider = Arc::clone(provider);
        if trust.insecure || trust.pin.is_some() {
            return Ok(Self { believed: None, pin: trust.pin, provider });
        }
        let mut roots = RootCertStore::empty();
        // One bad certificate among the system's many is not our user's concern.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut own = match &trust.ca_file {
            Some(file) => certificates(file)?,
            None => Vec::new(),
        };
        if let Some(pem) = &trust.ca_pem {
            own.extend(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
        }
        for certificate in own {
            roots.add(certificate).map_err(|error| tls_fault(&error))?;
        }
        let believed =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| {
                    let message =
                        format!("no authority to believe ({error}): name one with `ca_file`");
                    Fault::new(Kind::Tls, Side::Here, message)
                })?;
        Ok(Self { believed: Some(believed), pin: None, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(believed) = &self.believed {
            return believed.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        match self.pin {
            Some(pin) if pin != *Sha256::digest(end_entity) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Reads a TLS error into words that say what to look at.
pub(super) fn tls_fault(error: &Error) -> Fault {
    let (side, message) = match error {
        Error::InvalidCertificate(reason) => (Side::Server, certificate_words(reason)),
        Error::InvalidMessage(_) => (
            Side::Server,
            "the server answered the TLS handshake with something else: is this its TLS port?"
                .into(),
        ),
        Error::AlertReceived(alert) => {
            (Side::Server, format!("the server ended the TLS handshake with the alert {alert:?}"))
        }
        other => (Side::Network, format!("TLS failed: {other}")),
    };
    Fault::new(Kind::Tls, side, message).because(error.clone())
}

fn certificate_words(reason: &CertificateError) -> String {
    use CertificateError as E;
    match reason {
        E::Expired | E::ExpiredContext { .. } => "the server's certificate has expired".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: is this machine's clock right?".into()
        }
        E::NotValidForName => "the server's certificate is for another name".into(),
        E::NotValidForNameContext { expected, presented } => format!(
            "the server's certificate is not for `{}` but for {}",
            expected.to_str(),
            presented.join(", ")
        ),
        E::UnknownIssuer => {
            "the server's certificate is from an unknown authority: name it with `ca_file`, or `pin` the certificate"
                .into()
        }
        E::ApplicationVerificationFailure => "the server's certificate is not the pinned one".into(),
        other => format!("the server's certificate was refused: {other}"),
    }
}
