//! The contents of a certificate: as much of X.509 (RFC 5280, 4.1) as a person wants to know.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use portolan_core::{encoding::to_hex, observe::visible::visible};

/// A server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The subject's name.
    pub subject: String,
    /// The issuer's name.
    pub issuer: String,
    /// The end of its validity.
    pub expires: Option<Timestamp>,
    /// Its SHA-256 in hexadecimal, as the option `pin` takes it.
    pub pin: String,
}

impl ServerCertificate {
    /// Parses a certificate in DER; fields that cannot be read stay empty.
    pub fn read(der: &[u8]) -> Self {
        let pin = to_hex(Sha256::digest(der));
        let blank = Self { subject: String::new(), issuer: String::new(), expires: None, pin };
        body(der, &blank).unwrap_or(blank)
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
/// The object identifier of `commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// The object identifier of `organizationName`, 2.5.4.10.
const ORGANIZATION: &[u8] = &[0x55, 4, 10];

fn body(der: &[u8], blank: &ServerCertificate) -> Option<ServerCertificate> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (signed, _) = expect(SEQUENCE, certificate)?;
    let rest = match item(signed)? {
        (VERSION, _, rest) => rest,
        _ => signed,
    };
    let (_serial, _, rest) = item(rest)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (subject, _) = expect(SEQUENCE, rest)?;
    let (_begin, _, rest) = item(validity)?;
    let (form, end, _) = item(rest)?;
    let name = |bytes| name(bytes).unwrap_or_default();
    let (subject, issuer) = (name(subject), name(issuer));
    Some(ServerCertificate { subject, issuer, expires: time(form, end), ..blank.clone() })
}

/// Reads one DER value: its tag, its content, and the bytes after it.
fn item(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(*length & 0x7f))?;
        // A value with more than four bytes of length is not part of a certificate that fits into a handshake.
        (digits.len() <= 4).then_some(())?;
        (digits.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = item(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Returns the common name in a list of attributes, else the organization.
fn name(mut sets: &[u8]) -> Option<String> {
    let mut best = None;
    while let Some((mut set, rest)) = expect(SET, sets) {
        sets = rest;
        while let Some((attribute, rest)) = expect(SEQUENCE, set) {
            set = rest;
            let (key, value) = expect(OBJECT, attribute)?;
            let (_, text, _) = item(value)?;
            if key == COMMON_NAME {
                return Some(visible(text));
            }
            if key == ORGANIZATION {
                best = Some(visible(text));
            }
        }
    }
    best
}

/// Parses `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, in UTC (RFC 5280, 4.1.2.5).
fn time(form: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let whole = match form {
        UTC_TIME if text.get(..2)?.parse::<u8>().ok()? < 50 => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", whole).ok()?;
    time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_tells_whom_it_names_who_signed_it_and_when_it_ends() {
        for (year, month) in [(2030, 2), (2090, 3)] {
            let mut params = CertificateParams::new(vec!["ftp.example.org".into()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, "ftp.example.org");
            params.not_after = date_time_ymd(year, month, 1);
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let read = ServerCertificate::read(made.der());
            assert_eq!((&*read.subject, &*read.issuer), ("ftp.example.org", "ftp.example.org"));
            assert_eq!(read.expires.unwrap().to_string(), format!("{year}-0{month}-01T00:00:00Z"));
            assert_eq!(read.pin.len(), 64);
            for end in 0..made.der().len() {
                // A truncated certificate is read as far as it goes, and never past its end.
                ServerCertificate::read(made.der().get(..end).unwrap());
            }
        }
    }
}
