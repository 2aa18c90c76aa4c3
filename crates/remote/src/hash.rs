//! Hash algorithms that a server may compute.

use strum::IntoStaticStr;

/// A hash algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
    /// CRC-32.
    Crc32,
}

impl HashAlgorithm {
    /// Returns the best of those that are `offered`, by the names of [`Self::as_str`].
    pub fn best(offered: &[&str]) -> Option<Self> {
        let all = [Self::Sha256, Self::Sha1, Self::Md5, Self::Crc32];
        all.into_iter().find(|algorithm| offered.contains(&algorithm.as_str()))
    }

    /// Returns the name that scripts use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_hash_that_is_offered_is_taken() {
        assert_eq!(HashAlgorithm::best(&["crc32", "md5"]), Some(HashAlgorithm::Md5));
        assert_eq!(HashAlgorithm::best(&[]), None);
    }
}
