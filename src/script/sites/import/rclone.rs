//! The remotes of rclone: sections of `rclone.conf` with `type = ftp`.

use aes::{
    Aes256,
    cipher::{BlockCipherEncrypt as _, KeyInit as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{FoundServer, ImportedSites, ini};
use crate::{
    error::{Error, Result},
    ftp::site::TlsMode,
    secret::Secret,
};

/// The key with which rclone obscures passwords; it is the same everywhere (`fs/config/obscure/obscure.go`).
const KEY: [u8; 32] = [
    0x9c, 0x93, 0x5b, 0x48, 0x73, 0x0a, 0x55, 0x4d, 0x6b, 0xfd, 0x7c, 0x63, 0xc8, 0x86, 0xa9, 0x2b,
    0xd3, 0x90, 0x19, 0x8e, 0xb8, 0x12, 0x8a, 0xfb, 0xf4, 0xde, 0x16, 0x2b, 0x8b, 0x95, 0xf6, 0x38,
];

/// Reads the text of `rclone.conf`. Fails with `invalid` if it is encrypted.
pub(super) fn read(text: &str, found: &mut ImportedSites) -> Result<()> {
    if text.contains("RCLONE_ENCRYPT_V") {
        let message = "this configuration of rclone is encrypted: `rclone config show` prints it";
        return Err(Error::invalid(message));
    }
    for section in ini::sections(text) {
        let kind = section.get("type");
        if kind != "ftp" {
            let kind = if kind.is_empty() { "not given" } else { kind };
            found.leave_out(section.name, &format!("its type is {kind}"));
            continue;
        }
        let is_on = |key: &str| section.get(key).eq_ignore_ascii_case("true");
        let tls = match (is_on("tls"), is_on("explicit_tls")) {
            (true, _) => TlsMode::Implicit,
            (_, true) => TlsMode::Explicit,
            _ => TlsMode::Off,
        };
        let obscured = section.get("pass");
        let password = reveal(obscured);
        if password.is_none() && !obscured.is_empty() {
            found.without_password.push((section.name.to_owned(), "it cannot be decoded".into()));
        }
        let mut options = Vec::new();
        if is_on("no_check_certificate") {
            options.push(("insecure", true.into()));
        }
        let proxy = section.get("socks_proxy");
        if !proxy.is_empty() {
            options.push(("proxy", format!("socks5://{proxy}").into()));
        }
        let server = FoundServer {
            host: section.get("host").to_owned(),
            port: section.get("port").to_owned(),
            user: section.get("user").to_owned(),
            password,
            tls: Some(Some(tls)),
            options,
            ..FoundServer::default()
        };
        found.add(section.name, &server);
    }
    Ok(())
}

/// Decodes an obscured password: AES-256 in counter mode behind an initial block, in base 64.
pub(super) fn reveal(obscured: &str) -> Option<Secret> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(obscured).ok()?;
    let (start, rest) = bytes.split_first_chunk::<16>()?;
    let cipher = Aes256::new(&KEY.into());
    let mut counter = u128::from_be_bytes(*start);
    let mut plain = Vec::with_capacity(rest.len());
    for chunk in rest.chunks(16) {
        let mut block = counter.to_be_bytes().into();
        cipher.encrypt_block(&mut block);
        plain.extend(chunk.iter().zip(block.iter()).map(|(byte, key)| byte ^ key));
        counter = counter.wrapping_add(1);
    }
    String::from_utf8(plain).ok().map(Secret::new)
}
