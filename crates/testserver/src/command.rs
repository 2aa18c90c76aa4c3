//! Commands on the control connection.

use portolan_proto::Verb;

/// Returns true if a verb is answered before the login.
pub(super) const fn is_public(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::User
            | Verb::Pass
            | Verb::Acct
            | Verb::Auth
            | Verb::Pbsz
            | Verb::Prot
            | Verb::Feat
            | Verb::Opts
            | Verb::Syst
            | Verb::Noop
            | Verb::Quit
            | Verb::Help
    )
}

/// Returns true if a verb requires an argument.
pub(super) const fn needs_argument(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Mkd
            | Verb::Rmd
            | Verb::Dele
            | Verb::Rnfr
            | Verb::Rnto
            | Verb::Size
            | Verb::Mdtm
            | Verb::Mfmt
            | Verb::Hash
            | Verb::Retr
            | Verb::Stor
            | Verb::Appe
            | Verb::Port
            | Verb::Eprt
            | Verb::Type
            | Verb::Rest
            | Verb::Site
    )
}

/// Returns the path in the argument of a verb, for the verbs that have one.
fn path_in(verb: Verb, argument: &[u8]) -> Option<&[u8]> {
    match verb {
        Verb::List | Verb::Nlst | Verb::Stat => Some(without_options(argument)),
        Verb::Mfmt => second_word(argument),
        Verb::Site => second_word(second_word(argument)?),
        Verb::Cwd
        | Verb::Mkd
        | Verb::Rmd
        | Verb::Dele
        | Verb::Rnfr
        | Verb::Rnto
        | Verb::Size
        | Verb::Mdtm
        | Verb::Hash
        | Verb::Mlst
        | Verb::Mlsd
        | Verb::Retr
        | Verb::Stor
        | Verb::Appe => Some(argument),
        _ => None,
    }
}

/// A parsed line from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCommand {
    /// The verb.
    pub(super) verb: Verb,
    /// The argument: everything behind the first space, with Telnet codes removed.
    pub(super) argument: Vec<u8>,
}

impl ClientCommand {
    /// Parses a line without its end. Spaces at the end of a name belong to the name.
    pub(super) fn parse(line: &[u8]) -> Self {
        let line = without_telnet(line);
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).unwrap_or((&line, &[]));
        Self { verb: Verb::of_word(word), argument: rest.get(1..).unwrap_or_default().to_vec() }
    }

    /// Returns the path in the argument.
    pub(super) fn path(&self) -> Option<&[u8]> {
        path_in(self.verb, &self.argument)
    }

    /// Returns the argument as text, for the commands whose arguments are words.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.argument).trim().to_owned()
    }

    /// Returns the line for the log: the arguments of `PASS` and `ACCT` are masked.
    pub(super) fn masked(&self, line: &[u8]) -> Vec<u8> {
        match self.verb {
            verb @ (Verb::Pass | Verb::Acct) => format!("{} ***", verb.as_str()).into_bytes(),
            _ => line.to_vec(),
        }
    }
}

/// Returns the bytes behind the first space.
pub(super) fn second_word(argument: &[u8]) -> Option<&[u8]> {
    let blank = argument.iter().position(|byte| *byte == b' ')?;
    argument.get(blank + 1..)
}

/// Returns the argument of `LIST` without options such as `-al`, which clients send though no RFC defines them.
pub(super) fn without_options(argument: &[u8]) -> &[u8] {
    let mut rest = argument;
    while rest.starts_with(b"-") {
        rest = second_word(rest).unwrap_or_default();
    }
    rest
}

/// Removes Telnet codes: `IAC IAC` is one 0xFF; `IAC WILL x` and the like are three bytes without content.
fn without_telnet(line: &[u8]) -> Vec<u8> {
    const IAC: u8 = 0xff;
    let mut clean = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != IAC {
            clean.push(byte);
            continue;
        }
        match bytes.next() {
            Some(IAC) => clean.push(IAC),
            Some(0xfb..=0xfe) => drop(bytes.next()),
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_verb_and_bytes() {
        for (line, verb, argument) in [
            (&b"RETR a b "[..], Verb::Retr, &b"a b "[..]),
            (b"noop", Verb::Noop, b""),
            (b"DELE caf\xe9", Verb::Dele, b"caf\xe9"),
            (b"DELE \xff\xffx", Verb::Dele, b"\xffx"),
            (b"\xff\xf4\xff\xf2ABOR", Verb::Abor, b""),
            (b"\xff\xfb\x01NOOP", Verb::Noop, b""),
            (b"GREETING", Verb::Other, b""),
            (b"", Verb::Other, b""),
        ] {
            let command = ClientCommand::parse(line);
            assert_eq!((command.verb, command.argument.as_slice()), (verb, argument), "{line:?}");
        }
    }

    #[test]
    fn the_path_is_found_behind_options_and_times() {
        for (line, path) in [
            (&b"LIST -a -l in dir"[..], Some(&b"in dir"[..])),
            (b"LIST -a", Some(b"")),
            (b"MFMT 20200101000000 a b", Some(b"a b")),
            (b"SITE CHMOD 644 a b", Some(b"a b")),
            (b"STOR -x", Some(b"-x")),
            (b"NOOP", None),
        ] {
            assert_eq!(ClientCommand::parse(line).path(), path, "{line:?}");
        }
    }

    #[test]
    fn passwords_are_masked() {
        let line = b"PASS canary";
        assert_eq!(ClientCommand::parse(line).masked(line), b"PASS ***");
    }
}
