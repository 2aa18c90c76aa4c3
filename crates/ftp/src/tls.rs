//! TLS: the trusted certificates, and one session cache for each control connection.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
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

use super::site::{Site, TlsMode, Trust};
use portolan_core::{
    encoding::to_hex,
    error::{
        Error, ErrorKind, Origin, Result,
        codes::{TLS_CERTIFICATE, TLS_WRONG_PORT},
    },
};

/// The versions of TLS that are offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// TLS 1.3 and TLS 1.2.
    #[default]
    All,
    /// TLS 1.2, for servers that accept no data connection under TLS 1.3.
    Only12,
}

/// The TLS context of one control connection and its data connections.
///
/// Servers require that a data connection resumes the session of *its* control connection (vsftpd, ProFTPD), so each
/// control connection has its own session cache.
#[derive(Clone)]
pub struct TlsContext {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    versions: TlsVersions,
}

impl std::fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Security({:?})", self.name)
    }
}

impl TlsContext {
    /// Returns the TLS context for `site`, if it uses TLS.
    pub(super) fn of(site: &Site, versions: TlsVersions) -> Result<Option<Self>> {
        match site.tls {
            TlsMode::Off => Ok(None),
            TlsMode::Explicit | TlsMode::Implicit => {
                Self::new(site.certified_name(), &site.trust, versions).map(Some)
            }
        }
    }

    /// Returns the TLS context for `host`, with the trust settings `trust` and those of `versions` that they allow.
    pub fn new(host: &str, trust: &Trust, versions: TlsVersions) -> Result<Self> {
        let versions = if trust.tls12_only { TlsVersions::Only12 } else { versions };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Error::invalid(format!("`{host}` is no host name that a certificate could name"))
        })?;
        Ok(Self { config: Arc::new(client_config(trust, versions)?), name, versions })
    }

    /// Returns the same context with a new session cache, for another control connection.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(64);
        Self { config: Arc::new(config), name: self.name.clone(), versions: self.versions }
    }

    /// Returns the versions that it offers.
    pub(super) const fn versions(&self) -> TlsVersions {
        self.versions
    }

    /// Returns the connector and the server name for a handshake.
    pub(super) fn handshake(&self) -> (TlsConnector, ServerName<'static>) {
        (TlsConnector::from(Arc::clone(&self.config)), self.name.clone())
    }
}

fn client_config(trust: &Trust, versions: TlsVersions) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[_] = match versions {
        TlsVersions::All => &[&TLS13, &TLS12],
        TlsVersions::Only12 => &[&TLS12],
    };
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
        (None, Some(_)) => Err(Error::invalid("`client_key` needs `client_cert`")),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |error: &rustls::pki_types::pem::Error| unreadable(file, "certificates", error);
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(&error))?;
    if found.is_empty() {
        return Err(Error::invalid("holds no certificate in PEM form").at(file.to_string_lossy()));
    }
    Ok(found)
}

fn unreadable(file: &Path, what: &str, error: &rustls::pki_types::pem::Error) -> Error {
    match error {
        rustls::pki_types::pem::Error::Io(error) => {
            let error = std::io::Error::new(error.kind(), error.to_string());
            Error::local(&format!("read {what}"), file, error)
        }
        other => Error::invalid(format!("cannot read {what}: {other}")).at(file.to_string_lossy()),
    }
}

/// A verifier that trusts the system's authorities and `ca_file`; or the one pinned certificate; or, if so configured,
/// any certificate.
#[derive(Debug)]
struct Verifier {
    believed: Option<Arc<WebPkiServerVerifier>>,
    pin: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let provider = Arc::clone(provider);
        if trust.insecure || trust.pin.is_some() {
            return Ok(Self { believed: None, pin: trust.pin, provider });
        }
        let mut roots = RootCertStore::empty();
        // One invalid certificate among the system's many does not concern the user.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut own = match &trust.ca_file {
            Some(file) => certificates(file)?,
            None => Vec::new(),
        };
        if let Some(pem) = &trust.ca_pem {
            own.extend(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
        }
        for certificate in own {
            roots.add(certificate).map_err(|error| {
                let message = "a certificate of `ca_file` is none that an authority could have";
                Error::new(ErrorKind::Tls, Origin::Here, message).with_source(error)
            })?;
        }
        let believed =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| {
                    let message =
                        format!("no authority to believe ({error}): name one with `ca_file`");
                    Error::new(ErrorKind::Tls, Origin::Here, message)
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(believed) = &self.believed {
            let verified = believed.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            return verified.map_err(|error| with_hash(error, end_entity));
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
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The error of a certificate whose authority is unknown, or that is an authority itself, with what the user needs to pin it.
#[derive(Debug, thiserror::Error)]
#[error("the authority of the certificate with the SHA-256 {sha256} is unknown")]
struct UnknownAuthority {
    sha256: String,
    /// True if the certificate is that of an authority, and not of a server.
    is_authority: bool,
}

/// Adds the hash of the certificate to the error that its authority is unknown, or that it is an authority itself.
fn with_hash(error: rustls::Error, certificate: &CertificateDer<'_>) -> rustls::Error {
    let rustls::Error::InvalidCertificate(reason) = &error else { return error };
    let is_authority = is_authority(reason);
    if !is_authority && *reason != CertificateError::UnknownIssuer {
        return error;
    }
    let sha256 = to_hex(Sha256::digest(certificate));
    CertificateError::Other(OtherError(Arc::new(UnknownAuthority { sha256, is_authority }))).into()
}

/// Returns true if a certificate was refused because it is that of an authority. The library under rustls has no text for
/// it but the name of its variant.
fn is_authority(reason: &CertificateError) -> bool {
    in_words(&format!("{reason:?}")) == "ca used as end entity"
}

/// Converts a TLS error to a message with advice.
pub(super) fn tls_fault(error: &rustls::Error) -> Error {
    let name = tls_code(error);
    let (side, message) = match error {
        rustls::Error::InvalidCertificate(reason) => (Origin::Server, certificate_words(reason)),
        rustls::Error::InvalidMessage(_) => (
            Origin::Server,
            "the server answered the TLS handshake with something else: is this its TLS port?"
                .into(),
        ),
        rustls::Error::AlertReceived(alert) => {
            let words = in_words(&format!("{alert:?}"));
            (
                Origin::Server,
                format!("the server ended the TLS handshake with the alert \"{words}\""),
            )
        }
        rustls::Error::PeerIncompatible(why) => {
            let words = in_words(&format!("{why:?}"));
            let message = format!("the server and portolan have no kind of TLS in common: {words}");
            (Origin::Server, message)
        }
        rustls::Error::PeerMisbehaved(why) => {
            let words = in_words(&format!("{why:?}"));
            (Origin::Server, format!("the server breaks the rules of TLS: {words}"))
        }
        rustls::Error::General(words) => (Origin::Network, format!("TLS failed: {words}")),
        other => (Origin::Network, format!("TLS failed: {}", in_words(&format!("{other:?}")))),
    };
    Error { name, ..Error::new(ErrorKind::Tls, side, message).with_source(error.clone()) }
}

/// Returns the code of a TLS error that has one.
const fn tls_code(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(_) => Some(TLS_CERTIFICATE),
        rustls::Error::InvalidMessage(_) => Some(TLS_WRONG_PORT),
        _ => None,
    }
}

/// Returns the error of a failed handshake on a data connection: that of TLS if it is the cause, else that of the network.
pub(super) fn handshake_fault(error: std::io::Error) -> Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let words = tls.map_or_else(|| error.to_string(), |tls| tls_fault(tls).message);
    let name = tls.and_then(tls_code).filter(|name| *name == TLS_CERTIFICATE);
    let message = format!("TLS on the data connection failed: {words}");
    Error { name, ..Error::new(ErrorKind::Tls, Origin::Network, message).with_source(error) }
}

/// Converts the name of an enum variant to words: `NoCipherSuitesInCommon` becomes `no cipher suites in common`.
fn in_words(name: &str) -> String {
    // Variants may be nested: the innermost is the most specific.
    let outer = name.split(" {").next().unwrap_or(name);
    let inner = outer.trim_end_matches(')').rsplit('(').next().unwrap_or(outer);
    let mut words = String::with_capacity(inner.len() + 8);
    let mut was_small = false;
    for c in inner.chars() {
        if c.is_ascii_uppercase() && was_small {
            words.push(' ');
        }
        was_small = c.is_ascii_lowercase() || c.is_ascii_digit();
        words.push(c.to_ascii_lowercase());
    }
    words
}

const UNKNOWN_AUTHORITY: &str = "the server's certificate is from an unknown authority: name it with `ca_file`, or `pin` the certificate";

const OWN_AUTHORITY: &str = "the server's certificate is that of an authority (CA:TRUE), as `openssl req -x509` makes it, and is \
     no server's own: `pin` it, in place of `ca_file`";

/// Returns the name in `DnsName("ftp.example.org")`, as the library shows the names of certificates.
fn presented_name(shown: &str) -> &str {
    let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(shown, |inner| inner.trim_matches('"'))
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
            presented.iter().map(|name| presented_name(name)).collect::<Vec<_>>().join(", ")
        ),
        E::UnknownIssuer => UNKNOWN_AUTHORITY.into(),
        E::Other(OtherError(inner)) if inner.is::<UnknownAuthority>() => {
            let known = inner.downcast_ref::<UnknownAuthority>();
            let hash = known.map(|known| &*known.sha256).unwrap_or_default();
            let is_authority = known.is_some_and(|known| known.is_authority);
            let words = if is_authority { OWN_AUTHORITY } else { UNKNOWN_AUTHORITY };
            format!("{words}, if its SHA-256 at the server is {hash}")
        }
        E::ApplicationVerificationFailure => {
            "the server's certificate is not the pinned one".into()
        }
        E::BadEncoding => "the server's certificate cannot be read".into(),
        E::BadSignature => {
            "the signature of the server's certificate is not its authority's".into()
        }
        E::Revoked => "the server's certificate has been revoked".into(),
        other if is_authority(other) => OWN_AUTHORITY.into(),
        // An error of the library under rustls, which has no text but the names of its variants.
        other => {
            format!("the server's certificate was refused: {}", in_words(&format!("{other:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{AlertDescription, PeerIncompatible};

    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_shown_as_names() {
        for (shown, name) in [
            ("DnsName(\"ftp.example.org\")", "ftp.example.org"),
            ("IpAddress(10.0.0.7)", "10.0.0.7"),
            ("ftp.example.org", "ftp.example.org"),
        ] {
            assert_eq!(presented_name(shown), name);
        }
    }

    #[test]
    fn errors_of_tls_are_sentences_and_no_names_of_cases() {
        let other = |error: &'static str| {
            #[derive(Debug)]
            struct ExtraName(&'static str);
            impl std::fmt::Display for ExtraName {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(self.0)
                }
            }
            impl std::error::Error for ExtraName {}
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
                ExtraName(error),
            ))))
        };
        for error in [
            other("x"),
            rustls::Error::InvalidCertificate(CertificateError::BadEncoding),
            rustls::Error::InvalidCertificate(CertificateError::InvalidPurpose),
            rustls::Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
            rustls::Error::InvalidCertificate(CertificateError::UnknownRevocationStatus),
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
            rustls::Error::AlertReceived(AlertDescription::UnrecognisedName),
            rustls::Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            rustls::Error::DecryptError,
            rustls::Error::NoApplicationProtocol,
        ] {
            let words = tls_fault(&error).message;
            let is_case = |word: &str| word.chars().skip(1).any(char::is_uppercase);
            let mut strange = words.split([' ', ':', '"', '(']).filter(|word| is_case(word));
            assert!(strange.all(|word| ["TLS", "CA", "FTP"].contains(&word)), "{words}");
            assert!(!words.contains("Error(") && !words.contains("::"), "{words}");
        }
    }
}
