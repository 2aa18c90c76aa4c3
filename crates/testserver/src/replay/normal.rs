//! Commands in a form in which those of two runs are equal (pure): without credentials, ports and random names.

use portolan_proto::Verb;

/// The beginnings of temporary names.
const PREFIXES: [&[u8]; 2] = [b".portolan-", b"_portolan-"];
/// The end of a temporary name, without its last letter: a client may ask for one that does not exist.
const SUFFIX: &[u8] = b".par";
/// The replacement for the random part of a temporary name.
const ANY: &[u8] = b"*";

/// A command as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandKey {
    /// The verb.
    pub(super) verb: Verb,
    /// The word, for verbs that are not known.
    word: Vec<u8>,
    /// The argument, without what differs between two runs.
    pub(super) argument: Vec<u8>,
}

/// Returns the key of the command `line`, which follows one of the verb `before`.
pub(super) fn key_of(line: &[u8], before: Verb) -> CommandKey {
    let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at(at);
    let argument = rest.get(1..).unwrap_or_default();
    let verb = if line.is_empty() { Verb::Greeting } else { Verb::of_word(word) };
    let is_other = verb == Verb::Other;
    let word = if is_other { word.to_ascii_uppercase() } else { Vec::new() };
    let argument = match verb {
        Verb::User | Verb::Pass | Verb::Acct | Verb::Port | Verb::Eprt => Vec::new(),
        Verb::Other if word == b"ADAT" => Vec::new(),
        // The number that proves a listing by STAT is random.
        Verb::Rest if before == Verb::Stat => ANY.to_vec(),
        _ => without_random(argument),
    };
    CommandKey { verb, word, argument }
}

/// Returns `text` with the random parts of temporary names replaced.
fn without_random(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    for name in temporary_names(text) {
        plain.extend_from_slice(text.get(at..name.start).unwrap_or_default());
        plain.extend_from_slice(text.get(name.start..name.start + 10).unwrap_or_default());
        plain.extend_from_slice(ANY);
        at = name.end - SUFFIX.len() - 1;
    }
    plain.extend_from_slice(text.get(at..).unwrap_or_default());
    plain
}

/// Returns the places of the temporary names in `text`.
pub(super) fn temporary_names(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let is_start = PREFIXES.iter().any(|prefix| rest.starts_with(prefix));
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let length = rest.iter().skip(1).take_while(|byte| is_name(byte)).count() + 1;
        let end = rest.get(length..).and_then(|rest| rest.strip_prefix(SUFFIX));
        let has_end = end.is_some_and(|end| end.first().is_some_and(u8::is_ascii_alphabetic));
        if is_start && has_end {
            names.push(at..at + length + SUFFIX.len() + 1);
            at += length + SUFFIX.len() + 1;
        } else {
            at += 1;
        }
    }
    names
}

/// Returns the temporary names of the recorded command beside those of the command that was played.
pub(super) fn name_pairs(recorded: &[u8], played: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let of = |text: &[u8]| {
        let names = temporary_names(text).into_iter();
        names.filter_map(|name| text.get(name).map(<[u8]>::to_vec)).collect::<Vec<_>>()
    };
    of(recorded).into_iter().zip(of(played)).filter(|(one, other)| one != other).collect()
}

/// Returns `text` with each of `pairs` replaced.
pub(super) fn renamed(text: &[u8], pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let pair = pairs.iter().find(|(from, _)| !from.is_empty() && rest.starts_with(from));
        if let Some((from, to)) = pair {
            plain.extend_from_slice(to);
            at += from.len();
        } else {
            plain.extend(rest.first());
            at += 1;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_two_runs_are_equal_but_for_what_is_random() {
        for (one, other, equal) in [
            ("STOR /a/.portolan-00ff-12.part", "STOR /a/.portolan-77aa-99.part", true),
            ("STOR /a/.portolan-00ff-12.part", "STOR /b/.portolan-77aa-99.part", false),
            ("SIZE .portolan-1.parx", "SIZE .portolan-2.parx", true),
            ("SIZE .portolan-1.parx", "SIZE .portolan-1.part", false),
            ("PASS ***", "PASS hunter2", true),
            ("EPRT |1|127.0.0.1|4000|", "eprt |1|127.0.0.1|4001|", true),
            ("RETR a", "RETR b", false),
            ("XCUP", "xcup", true),
            ("XCUP", "XPWD", false),
            ("REST 100", "REST 101", false),
        ] {
            let keys = [one, other].map(|line| key_of(line.as_bytes(), Verb::Noop));
            assert_eq!(keys[0] == keys[1], equal, "{one} {other}");
        }
        assert_eq!(key_of(b"REST 123", Verb::Stat), key_of(b"REST 456", Verb::Stat));
    }

    #[test]
    fn the_temporary_names_of_the_replay_take_the_place_of_the_recorded_ones() {
        let pairs = name_pairs(b"RNFR /x/.portolan-1-2.part", b"RNFR /x/.portolan-3-4.part");
        assert_eq!(renamed(b"550 .portolan-1-2.part?", &pairs), b"550 .portolan-3-4.part?");
    }
}
