//! Tokens: made here, shown once, and kept as hashes.

use sha2::{Digest, Sha256};

use crate::{
    encoding::to_hex,
    error::{Error, Result},
    random::random_bytes,
    secret::Secret,
};

/// The beginning of each token, by which scanners for leaked secrets find them.
const PREFIX: &str = "portolan_";
/// The maximum number of characters of a token's name.
const NAME_CHARS_MAX: usize = 52;

/// Returns a new token: 256 random bits, so that a plain hash of it cannot be reversed.
pub fn new_token() -> Secret {
    Secret::new(format!("{PREFIX}{}", to_hex(random_bytes::<32>())))
}

/// Returns the hash of a token, which is what the store keeps.
pub fn hash_of(token: &str) -> String {
    to_hex(Sha256::digest(token.trim().as_bytes()))
}

/// Fails unless `name` can be the name of a token: it is shown in logs and on the page.
pub fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_plain) {
        let message = format!(
            "the name of a token has up to {NAME_CHARS_MAX} letters, digits, `-`, `_`, `.` and `@`"
        );
        return Err(Error::invalid(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_their_hashes_tell_nothing() {
        let (one, other) = (new_token(), new_token());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), PREFIX.len() + 64);
        let hash = hash_of(one.reveal());
        assert_eq!(hash.len(), 64);
        assert!(!one.reveal().contains(&hash));
        assert_eq!(hash, hash_of(&format!(" {}\n", one.reveal())));
        assert_eq!(
            hash_of("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_name_of_a_token_is_plain() {
        for name in ["ci", "a.b-c_d@e", &"x".repeat(52)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a\nb", "<b>", "é", &"x".repeat(53)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
