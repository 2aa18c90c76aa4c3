//! Pure functions on lines of the control connection, as sent on the wire and as shown in the log.

use super::mask::Mask;
use portolan_core::observe::visible::visible;

/// Doubles every 0xFF byte.
pub(super) fn escape_iac(bytes: &[u8]) -> Vec<u8> {
    let twice = |byte: &u8| std::iter::repeat_n(*byte, if *byte == 0xff { 2 } else { 1 });
    bytes.iter().flat_map(twice).collect()
}

/// Collapses every pair of 0xFF bytes to one.
pub(super) fn unescape_iac(bytes: &[u8]) -> Vec<u8> {
    let mut pending = false;
    let mut keep = |byte: &u8| {
        pending = *byte == 0xff && !pending;
        *byte != 0xff || pending
    };
    bytes.iter().copied().filter(|byte| keep(byte)).collect()
}

/// Returns `line` without the Telnet commands in it (RFC 854): some servers on console systems begin with them.
pub(super) fn without_telnet(line: &[u8]) -> Vec<u8> {
    const IAC: u8 = 255;
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    loop {
        rest = match rest {
            [] => return text,
            [IAC, IAC, after @ ..] => {
                text.push(IAC);
                after
            }
            // WILL, WONT, DO and DONT are followed by an option, the others are not.
            [IAC, 251..=254, _, after @ ..] | [IAC, 240..=249, after @ ..] => after,
            // A subnegotiation extends to its end marker.
            [IAC, 250, after @ ..] => {
                let end = after.windows(2).position(|two| two == [IAC, 240]);
                end.and_then(|at| after.get(at + 2..)).unwrap_or_default()
            }
            [IAC, 251..=254] => &[],
            [IAC, ..] => rest.get(1..).unwrap_or_default(),
            [byte, after @ ..] => {
                text.push(*byte);
                after
            }
        }
    }
}

/// Returns the leading commands of `lines` that may share a packet: EPRT and PORT must begin one. A router that tracks
/// these commands to let data connections in looks for them at the beginning of a packet only (`nf_conntrack_ftp`,
/// Linux 6.18, measured).
pub(super) fn first_packet(lines: &[u8]) -> &[u8] {
    let announces = |rest: &[u8]| rest.starts_with(b"EPRT ") || rest.starts_with(b"PORT ");
    let mut ends = (1..lines.len()).filter(|at| lines.get(at - 1) == Some(&b'\n'));
    let end = ends.find(|at| lines.get(*at..).is_some_and(announces));
    lines.get(..end.unwrap_or(lines.len())).unwrap_or(lines)
}

/// Formats a command for the log: without credentials, and without the secrets in `mask`.
pub(super) fn redact(line: &[u8], mask: &Mask) -> String {
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
            assert_eq!(unescape_iac(&escape_iac(bytes)), bytes);
        }
        assert_eq!(escape_iac(b"a\xffb"), b"a\xff\xffb");
    }

    #[test]
    fn telnet_commands_are_taken_out_of_a_line() {
        for (line, text) in [
            (&b"220 ready"[..], &b"220 ready"[..]),
            (b"\xff\xfb\x01220 ready", b"220 ready"),
            (b"22\xff\xfd\x030 rea\xff\xf1dy", b"220 ready"),
            (b"\xff\xfa\x18\x00\xff\xf0220", b"220"),
            (b"\xff\xfb\x00\xff\xfb\x03\xff\xfd\x18220-", b"220-"),
            (b"a\xff\xffb", b"a\xffb"),
            (b"220 \xff\xfa never ended", b"220 "),
            (b"\xff", b""),
            (b"\xff\xfb", b""),
            (b"", b""),
        ] {
            assert_eq!(without_telnet(line), text, "{line:x?}");
        }
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
        assert_eq!(redact(b"PASS hunter2\r\n", &mask), "PASS ***");
        assert_eq!(redact(b"acct 7\r\n", &mask), "acct ***");
        assert_eq!(redact(b"RETR PASS me\r\n", &mask), "RETR PASS me");
    }
}
