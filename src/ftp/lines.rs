//! Lines of the dialogue as they stand on the wire, and as the log may show them: pure.

use super::mask::Mask;
use crate::observe::visible::visible;

/// Every 0xFF twice.
pub(super) fn doubled(bytes: &[u8]) -> Vec<u8> {
    let twice = |byte: &u8| std::iter::repeat_n(*byte, if *byte == 0xff { 2 } else { 1 });
    bytes.iter().flat_map(twice).collect()
}

/// Every pair of 0xFF once.
pub(super) fn single(bytes: &[u8]) -> Vec<u8> {
    let mut pending = false;
    let mut keep = |byte: &u8| {
        pending = *byte == 0xff && !pending;
        *byte != 0xff || pending
    };
    bytes.iter().copied().filter(|byte| keep(byte)).collect()
}

/// As many of the commands in `lines` as may go out together: EPRT and PORT begin a packet. A router on the way that
/// lets data connections in by what it reads looks for them at the beginning of one only (`nf_conntrack_ftp`, Linux
/// 6.18, measured).
pub(super) fn first_packet(lines: &[u8]) -> &[u8] {
    let announces = |rest: &[u8]| rest.starts_with(b"EPRT ") || rest.starts_with(b"PORT ");
    let mut ends = (1..lines.len()).filter(|at| lines.get(at - 1) == Some(&b'\n'));
    let end = ends.find(|at| lines.get(*at..).is_some_and(announces));
    lines.get(..end.unwrap_or(lines.len())).unwrap_or(lines)
}

/// A command as the log may show it: without what proves who one is, and without what `mask` knows.
pub(super) fn redacted(line: &[u8], mask: &Mask) -> String {
    let line = line.trim_ascii_end();
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    if verb.eq_ignore_ascii_case(b"PASS") || verb.eq_ignore_ascii_case(b"ACCT") {
        return format!("{} ***", visible(verb));
    }
    visible(mask.hide(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_255_is_doubled_and_made_single_again() {
        for bytes in [&b""[..], b"a\xff", b"\xff\xffb", b"\xff\xff\xff"] {
            assert_eq!(single(&doubled(bytes)), bytes);
        }
        assert_eq!(doubled(b"a\xffb"), b"a\xff\xffb");
    }

    #[test]
    fn the_announcement_of_a_port_begins_a_packet() {
        for (lines, packets) in [
            ("", vec![]),
            ("NOOP\r\n", vec!["NOOP\r\n"]),
            ("MDTM PORT 1\r\nSIZE b\r\n", vec!["MDTM PORT 1\r\nSIZE b\r\n"]),
            ("EPRT |1|\r\nRETR a\r\n", vec!["EPRT |1|\r\nRETR a\r\n"]),
            (
                "MDTM a\r\nPORT 1,2\r\nRETR b\r\nEPRT |1|\r\n",
                vec!["MDTM a\r\n", "PORT 1,2\r\nRETR b\r\n", "EPRT |1|\r\n"],
            ),
        ] {
            let mut rest = lines.as_bytes();
            for packet in packets {
                assert_eq!(first_packet(rest), packet.as_bytes(), "{lines}");
                rest = &rest[packet.len()..];
            }
            assert!(rest.is_empty(), "{lines}");
        }
    }

    #[test]
    fn the_log_shows_no_password() {
        let mask = Mask::default();
        assert_eq!(redacted(b"PASS hunter2\r\n", &mask), "PASS ***");
        assert_eq!(redacted(b"acct 7\r\n", &mask), "acct ***");
        assert_eq!(redacted(b"RETR PASS me\r\n", &mask), "RETR PASS me");
    }
}
