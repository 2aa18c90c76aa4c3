//! Certificates for servers under test, all from one authority that lives as long as the test program.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// The state of the server's certificate, as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Certificate {
    /// A certificate signed by [`ca`], for `localhost`, `127.0.0.1` and `::1`.
    #[default]
    Good,
    /// The same, but expired.
    Expired,
    /// A certificate signed by [`ca`] for another host.
    WrongName,
    /// A self-signed certificate.
    SelfSigned,
}

/// A certificate and its key, as a server reads them.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The certificate of the authority, for the client.
    pub(crate) ca: PathBuf,
}

/// Makes a certificate and writes it, its key and the authority's certificate into `folder`.
pub(crate) fn write(certificate: Certificate, folder: &Path) -> Files {
    let names = match certificate {
        Certificate::WrongName => vec!["elsewhere.test".to_owned()],
        _ => ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
    };
    let mut wanted = CertificateParams::new(names).unwrap();
    wanted.distinguished_name.push(DnType::CommonName, "portolan test server");
    wanted.not_before = date_time_ymd(2020, 1, 1);
    wanted.not_after = match certificate {
        Certificate::Expired => date_time_ymd(2021, 1, 1),
        _ => date_time_ymd(2090, 1, 1),
    };
    let key = KeyPair::generate().unwrap();
    let signed = match certificate {
        Certificate::SelfSigned => wanted.self_signed(&key),
        _ => wanted.signed_by(&key, authority()),
    };
    let files = Files {
        certificate: folder.join("server.pem"),
        key: folder.join("server.key"),
        ca: folder.join("ca.pem"),
    };
    fs::write(&files.certificate, signed.unwrap().pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    fs::write(&files.ca, authority().pem()).unwrap();
    files
}

fn authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, "portolan test authority");
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(wanted, KeyPair::generate().unwrap()).unwrap()
    })
}
