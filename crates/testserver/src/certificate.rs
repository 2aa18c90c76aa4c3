//! The certificates of a server, generated when it starts.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::ServerSessionMemoryCache,
    version::{TLS12, TLS13},
};

use super::setup::{CertificateKind, ServerTls, Version};
use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// The maximum number of TLS sessions that one control connection remembers for its data connections.
const TICKETS_MAX: usize = 256;

/// The certificate of a server, and the authority that a client has to trust.
#[derive(Debug)]
pub(super) struct ServerIdentity {
    config: ServerConfig,
    /// The certificate of the authority, as PEM.
    pub(super) ca_pem: String,
}

impl ServerIdentity {
    /// Generates an authority, and a certificate according to `tls`.
    pub(super) fn make(tls: &ServerTls) -> Result<Self> {
        let authority = authority().map_err(fault)?;
        let key = KeyPair::generate().map_err(fault)?;
        let params = server_params(tls).map_err(fault)?;
        let certificate = match tls.certificate {
            CertificateKind::SelfSigned | CertificateKind::Authority => params.self_signed(&key),
            _ => params.signed_by(&key, &authority),
        }
        .map_err(fault)?;
        let versions: &[_] = match tls.version_max {
            Version::Tls12 => &[&TLS12],
            Version::Tls13 => &[&TLS13, &TLS12],
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .map_err(fault)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(fault)?;
        let ca_pem = match tls.certificate {
            CertificateKind::Authority => certificate.pem(),
            _ => authority.pem(),
        };
        Ok(Self { config, ca_pem })
    }

    /// Returns the TLS configuration of one control connection and its data connections. They share their session store
    /// with no other, so that "resumed" means "of this control connection".
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut config = self.config.clone();
        config.session_storage = ServerSessionMemoryCache::new(TICKETS_MAX);
        Arc::new(config)
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "portolan rehearsal");
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn server_params(tls: &ServerTls) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(tls.names.iter().cloned());
    if tls.certificate == CertificateKind::WrongName {
        names = vec!["wrong.example".to_owned()];
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "portolan rehearsal server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if tls.certificate == CertificateKind::Authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    if tls.certificate == CertificateKind::Expired {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    Ok(params)
}

fn fault(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("cannot make the certificate of the rehearsal server: {error}");
    Error::new(ErrorKind::Tls, Origin::Here, message).with_source(error)
}
