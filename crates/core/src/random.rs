//! Random numbers: from the kernel if they must not be guessed, or from a seed if they must come again.

/// Returns random bytes that cannot be guessed.
///
/// # Panics
///
/// Panics if the kernel has none, as the standard library does for the keys of its maps.
#[expect(clippy::expect_used, reason = "a number that can be guessed would look like a good one")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("every kernel that runs this program has random numbers");
    bytes
}

/// Returns a random number that cannot be guessed.
pub fn random_u64() -> u64 {
    u64::from_ne_bytes(random_bytes())
}

/// A random number generator that returns the same numbers for the same seed, in every version: Vigna's splitmix64,
/// which is small and good enough for faults and tests.
#[derive(Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    /// Creates a generator.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, which counts as 1 if it is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end.max(1)
    }

    /// Returns one of `all`; `None` if it is empty.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        usize::try_from(self.below(all.len() as u64)).ok().and_then(|at| all.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_numbers_of_splitmix64() {
        let mut random = SeededRng::new(1_234_567);
        let numbers = [random.next_u64(), random.next_u64(), random.next_u64()];
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, published);
        assert_eq!((random.below(0), random.below(1)), (0, 0));
        assert_eq!(random.one_of::<u8>(&[]), None);
    }

    #[test]
    fn two_numbers_of_the_kernel_differ() {
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
        assert_ne!(random_u64(), random_u64());
    }
}
