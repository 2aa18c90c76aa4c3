//! Owner tags in temporary names, which tell the leftovers of a killed run from the files that a live one needs.
//!
//! `.portolan-MARK-TIMErandom.part`: the tag of the mirror that made the file, its creation time, and a random
//! number. `.portolan-MARK-IDENTITY.part` is the stable name of a file that can be resumed.
//! `.portolan-MARK-aside-TIMENAME.part` is an old file that was renamed to make room for a new one on a server that
//! does not rename over an existing file, with a hash of the name that it had.

use std::sync::OnceLock;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{PLAIN_PREFIX, TEMPORARY_PREFIX, TEMPORARY_SUFFIX};
use portolan_core::random::random_u64;

/// The number of hexadecimal digits of a tag, and of the number after it: eight of the time, eight random.
const DIGITS: usize = 16;
/// The text after the tag in the name of an old file.
const ASIDE: &str = "-aside-";
/// The number of hexadecimal digits of an identity.
const IDENTITY_DIGITS: usize = 32;

/// An owner tag, which distinguishes the temporary files of one mirror from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerTag(String);

/// The parts of a tagged temporary name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaggedName<'n> {
    /// The digits of the owner tag.
    pub mark: &'n str,
    /// The creation time; `None` for a stable name.
    pub made: Option<Timestamp>,
}

impl OwnerTag {
    /// Returns a random tag that no other mirror has.
    pub fn random() -> Self {
        Self(format!("{:016x}", random_u64()))
    }

    /// Returns the tag derived from `identity`; equal identities have equal tags.
    pub fn of(identity: &[u8]) -> Self {
        let digest = Sha256::digest(identity);
        Self(super::partial_file::digits(&digest).chars().take(DIGITS).collect())
    }

    /// Returns the tag of files on this host that no mirror owns; `None` if the host cannot be told from others.
    pub fn of_host() -> Option<Self> {
        static TAG: OnceLock<Option<OwnerTag>> = OnceLock::new();
        let tag = TAG.get_or_init(|| {
            let machine = std::fs::read("/etc/machine-id").ok().filter(|id| !id.is_empty());
            // Containers may have no machine id, and other host names.
            let machine = machine.or_else(|| std::fs::read("/proc/sys/kernel/random/boot_id").ok());
            let name = std::fs::read("/proc/sys/kernel/hostname").ok()?;
            Some(Self::of(&[b"host\n", machine?.as_slice(), &name].concat()))
        });
        tag.clone()
    }

    /// Parses a tag as written by [`text`](Self::text).
    pub fn read(text: &str) -> Option<Self> {
        (text.len() == DIGITS && is_hex(text)).then(|| Self(text.to_owned()))
    }

    /// Returns the digits of the tag.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Returns a new temporary name.
    pub fn name(&self, now: Timestamp) -> String {
        let seconds = u32::try_from(now.as_second()).unwrap_or(u32::MAX);
        let chance = random_u64() & 0xffff_ffff;
        format!("{TEMPORARY_PREFIX}{}-{seconds:08x}{chance:08x}{TEMPORARY_SUFFIX}", self.0)
    }

    /// Returns the temporary name for an old file called `name` that makes room for a new one.
    pub fn set_aside_name(&self, now: Timestamp, name: &[u8]) -> String {
        let seconds = u32::try_from(now.as_second()).unwrap_or(u32::MAX);
        let digits = digits_of(name);
        format!("{TEMPORARY_PREFIX}{}{ASIDE}{seconds:08x}{digits}{TEMPORARY_SUFFIX}", self.0)
    }

    /// Returns the stable temporary name of the file that `identity` describes; equal identities have equal names.
    pub fn resumable_name(&self, identity: &[u8]) -> String {
        let digits = super::partial_file::digits(identity);
        format!("{TEMPORARY_PREFIX}{}-{digits}{TEMPORARY_SUFFIX}", self.0)
    }
}

/// The parts of the temporary name of an old file that was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetAside<'n> {
    /// The digits of the owner tag.
    pub mark: &'n str,
    /// The time at which it was set aside; the Unix epoch if the name is always the same.
    pub made: Timestamp,
    name: &'n str,
}

impl SetAside<'_> {
    /// Returns true if the file was called `name` before.
    pub fn is_of(&self, name: &[u8]) -> bool {
        digits_of(name) == self.name
    }
}

/// Parses a name that [`OwnerTag::set_aside_name`] made; returns `None` for any other name.
pub fn read_set_aside(name: &[u8]) -> Option<SetAside<'_>> {
    let name = std::str::from_utf8(name).ok()?;
    let inner = name.strip_prefix(TEMPORARY_PREFIX)?.strip_suffix(TEMPORARY_SUFFIX)?;
    let (mark, rest) = inner.split_once(ASIDE)?;
    let is_one = mark.len() == DIGITS && is_hex(mark) && is_hex(rest);
    if !is_one || rest.len() != DIGITS / 2 + DIGITS {
        return None;
    }
    let (time, name) = rest.split_at_checked(DIGITS / 2)?;
    let made = Timestamp::from_second(i64::from_str_radix(time, 16).ok()?).ok()?;
    Some(SetAside { mark, made, name })
}

fn digits_of(name: &[u8]) -> String {
    super::partial_file::digits(&Sha256::digest(name)).chars().take(DIGITS).collect()
}

/// Parses a name that a [`OwnerTag`] made; returns `None` for any other name, temporary or not.
pub fn read_marked(name: &[u8]) -> Option<TaggedName<'_>> {
    let name = std::str::from_utf8(name).ok()?;
    let rest = name.strip_prefix(TEMPORARY_PREFIX).or_else(|| name.strip_prefix(PLAIN_PREFIX))?;
    let inner = rest.strip_suffix(TEMPORARY_SUFFIX)?;
    let (mark, number) = inner.split_once('-')?;
    if mark.len() != DIGITS || !is_hex(mark) || !is_hex(number) {
        return None;
    }
    let made = match number.len() {
        DIGITS => {
            let seconds = i64::from_str_radix(number.get(..DIGITS / 2)?, 16).ok()?;
            Some(Timestamp::from_second(seconds).ok()?)
        }
        IDENTITY_DIGITS => None,
        _ => return None,
    };
    Some(TaggedName { mark, made })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{is_temporary, temporary_name, temporary_name_of, without_dot};

    #[test]
    fn a_marked_name_says_whose_it_is_and_when_it_was_made() {
        let (mark, now) = (OwnerTag::random(), Timestamp::from_second(1_780_000_000).unwrap());
        let name = mark.name(now);
        assert!(is_temporary(name.as_ref()));
        let read = read_marked(name.as_bytes()).unwrap();
        assert_eq!((read.mark, read.made), (mark.text(), Some(now)));
        assert_ne!(mark.name(now), name);
        let lasting = mark.resumable_name(&[7; 32]);
        assert!(is_temporary(lasting.as_ref()));
        assert_eq!(
            read_marked(lasting.as_bytes()),
            Some(TaggedName { mark: mark.text(), made: None })
        );
        assert_eq!(mark.resumable_name(&[7; 32]), lasting);
        for (name, made) in [(name, Some(now)), (lasting, None)] {
            let plain = without_dot(&name);
            assert!(is_temporary(plain.as_ref()), "{plain}");
            assert_eq!(read_marked(plain.as_bytes()), Some(TaggedName { mark: mark.text(), made }));
        }
        assert!(is_temporary(without_dot(&temporary_name()).as_ref()));
        for other in ["_portolan-0.1.0.part", "_portolan-.part", "portolan-0123456789abcdef.part"] {
            assert!(!is_temporary(other.as_ref()), "{other}");
        }
        assert_eq!(OwnerTag::read(mark.text()), Some(mark));
    }

    #[test]
    fn the_name_of_an_old_file_says_which_name_it_had_and_is_no_leftover_like_others() {
        let (mark, now) = (OwnerTag::random(), Timestamp::from_second(1_780_000_000).unwrap());
        for had in [&b"index.html"[..], b"caf\xe9", b" ", b"a\nb"] {
            let name = mark.set_aside_name(now, had);
            assert!(is_temporary(name.as_ref()));
            assert_eq!(read_marked(name.as_bytes()), None);
            let read = read_set_aside(name.as_bytes()).unwrap();
            assert_eq!((read.mark, read.made), (mark.text(), now));
            assert!(read.is_of(had) && !read.is_of(b"other"));
        }
        for name in [mark.name(now), mark.resumable_name(&[7; 32]), temporary_name(), "a".into()] {
            assert_eq!(read_set_aside(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_name_without_a_tag_has_no_owner() {
        for name in [
            temporary_name(),
            temporary_name_of(&[7; 32]),
            "film.part".into(),
            ".portolan-0123456789abcdef-.part".into(),
            ".portolan-0123456789ABCDEF-0123456789abcdef.part".into(),
            ".portolan-0123456789abcde-0123456789abcdef.part".into(),
            ".portolan-0123456789abcdef-0123456789abcdef.part~".into(),
            ".portolan-0123456789abcdef-0123456789abcdeg.part".into(),
            "x.portolan-0123456789abcdef-0123456789abcdef.part".into(),
        ] {
            assert_eq!(read_marked(name.as_bytes()), None, "{name}");
        }
        assert_eq!(OwnerTag::read("0123"), None);
    }
}
