//! Files that hold secrets, by their names and by their contents: none of them is published.

use std::path::Path;

/// The names of files that hold passwords or keys.
const NAMES: [&str; 17] = [
    ".netrc",
    "_netrc",
    "netrc",
    ".env",
    ".envrc",
    ".pgpass",
    "pgpass.conf",
    ".my.cnf",
    ".htpasswd",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    "credentials",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
];
/// The extensions of files with private keys, or with passwords.
const EXTENSIONS: [&str; 9] = ["env", "key", "p12", "pfx", "jks", "keystore", "kdbx", "ppk", "gpg"];
/// The name of the directory of secrets.
const FOLDER: &str = "secrets";
/// The part of a private key in PEM that all of its forms have.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";

/// Returns the reason why a file is a secret, if it is: `path` is relative to the directory of the jobs file.
pub(super) fn reason(path: &Path, bytes: &[u8]) -> Option<&'static str> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let extension = Path::new(&name).extension().unwrap_or_default().to_string_lossy();
    let folders = path.parent().into_iter().flat_map(Path::components);
    if folders.into_iter().any(|part| part.as_os_str().eq_ignore_ascii_case(FOLDER)) {
        return Some("it is in a directory of secrets");
    }
    if NAMES.contains(&&*name) || name.starts_with(".env.") {
        return Some("files of this name hold passwords");
    }
    if bytes.windows(PRIVATE_KEY.len()).any(|part| part == PRIVATE_KEY) {
        return Some("it has a private key");
    }
    EXTENSIONS.contains(&&*extension).then_some("files of this kind hold keys or passwords")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_place_and_content() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nx";
        for (path, content, is_secret) in [
            (".netrc", "", true),
            ("lib/.env", "", true),
            ("lib/.env.production", "", true),
            ("prod.env", "", true),
            ("secrets/ftp", "", true),
            ("a/Secrets/b/ftp.txt", "", true),
            ("certs/server.key", "", true),
            ("certs/ID_RSA", "", true),
            ("certs/server.pem", key, true),
            ("certs/ca.pem", "-----BEGIN CERTIFICATE-----\nx", false),
            ("scripts/secrets.rhai", "secret(\"ftp\")", false),
            ("portolan.toml", "", false),
            ("environment.rhai", "", false),
            ("keys.csv", "", false),
        ] {
            let found = reason(Path::new(path), content.as_bytes());
            assert_eq!(found.is_some(), is_secret, "{path}: {found:?}");
        }
    }
}
