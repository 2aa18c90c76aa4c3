//! The verbs of commands (RFC 959, 2228, 2389, 2428, 3659 and later drafts).

/// Defines the enum of verbs, their words and the list of all verbs from one list.
macro_rules! verbs {
    ($($name:ident $word:literal),+ $(,)?) => {
        /// The verb of a command. Fault plans of the test server also name `GREETING`, as if the client had asked for it,
        /// and `OTHER`: any command that is not known.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verb {
            $(#[doc = concat!("`", $word, "`")] $name,)+
        }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

verbs! {
    User "USER", Pass "PASS", Acct "ACCT", Auth "AUTH", Pbsz "PBSZ", Prot "PROT",
    Feat "FEAT", Opts "OPTS", Syst "SYST", Type "TYPE", Mode "MODE", Stru "STRU",
    Noop "NOOP", Quit "QUIT", Help "HELP", Site "SITE", Stat "STAT", Abor "ABOR", Rest "REST",
    Pwd "PWD", Cwd "CWD", Cdup "CDUP", Mkd "MKD", Rmd "RMD", Dele "DELE", Rnfr "RNFR", Rnto "RNTO",
    Size "SIZE", Mdtm "MDTM", Mfmt "MFMT", Hash "HASH", Mlst "MLST",
    Mlsd "MLSD", List "LIST", Nlst "NLST", Retr "RETR", Stor "STOR", Appe "APPE",
    Pasv "PASV", Epsv "EPSV", Port "PORT", Eprt "EPRT",
    Greeting "GREETING", Other "OTHER",
}

impl Verb {
    /// Returns the verb with this word, in upper or lower case.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verb| verb.as_str().eq_ignore_ascii_case(word))
    }

    /// Returns the verb of a command with this word.
    pub fn of_word(word: &[u8]) -> Self {
        let verb = std::str::from_utf8(word).ok().and_then(Self::parse);
        verb.filter(|verb| *verb != Self::Greeting).unwrap_or(Self::Other)
    }

    /// Returns true if it uses a data connection.
    pub const fn is_transfer(self) -> bool {
        self.is_listing() || self.is_upload() || matches!(self, Self::Retr)
    }

    /// Returns true if it sends a listing over a data connection.
    pub const fn is_listing(self) -> bool {
        matches!(self, Self::Mlsd | Self::List | Self::Nlst)
    }

    /// Returns true if it sends data to the server.
    pub const fn is_upload(self) -> bool {
        matches!(self, Self::Stor | Self::Appe)
    }

    /// Returns true if it opens a data connection, or prepares one.
    pub const fn needs_data_connection(self) -> bool {
        let prepares =
            matches!(self, Self::Pasv | Self::Epsv | Self::Port | Self::Eprt | Self::Rest);
        prepares || self.is_transfer()
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_is_read_back_in_upper_and_lower_case() {
        for verb in Verb::ALL {
            assert_eq!(Verb::parse(verb.as_str()), Some(*verb));
            assert_eq!(Verb::parse(&verb.as_str().to_lowercase()), Some(*verb));
        }
        assert_eq!((Verb::parse("XYZZY"), Verb::parse("")), (None, None));
    }

    #[test]
    fn a_word_that_is_no_command_is_another_verb() {
        for (word, verb) in
            [(&b"retr"[..], Verb::Retr), (b"GREETING", Verb::Other), (b"\xff", Verb::Other)]
        {
            assert_eq!(Verb::of_word(word), verb);
        }
    }
}
