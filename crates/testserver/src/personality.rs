//! Real servers by name: one row each, with the effects that make the embedded server behave like it.

use super::{
    effect::{
        CommandEffect,
        Effect::{self, Final, Instead, Lines, Missing, Names, Paths},
        Ending, Twist, When,
    },
    forms::ListingStyle,
    naming::Naming,
    plan::{FaultPlan, nearest},
    syntax::Syntax,
};
use portolan_core::{
    error::{Error, Result},
    limits::REHEARSAL_SESSIONS_MAX,
};
use portolan_proto::Verb::{
    self, Appe, Cdup, Cwd, Dele, Eprt, Epsv, Feat, Greeting, Hash, Help, List, Mdtm, Mfmt, Mkd,
    Mlsd, Mlst, Nlst, Opts, Retr, Rmd, Rnfr, Rnto, Site, Size, Stat, Stor, Type,
};

/// The length in bytes to which old file systems cut names (Minix, System V: 14 or 30; some appliances: 32).
const SHORT_NAME: u64 = 32;
/// The number of entries in a truncated listing; real servers truncate at 2,000 (Pure-FTPd) to 10,000.
const ENTRIES_SHOWN: usize = 5;

/// A real server that the embedded one imitates.
#[derive(Debug, Clone, Copy)]
pub struct Personality(&'static PersonalityRow);

/// A personality, as `--server` and the help list it.
#[derive(Debug)]
struct PersonalityRow {
    /// The name.
    name: &'static str,
    /// The help text: the behaviour that differs from other servers.
    does: &'static str,
    /// The real servers that behave like this.
    like: &'static str,
    /// The maximum number of concurrent sessions.
    sessions_max: usize,
    /// The effects that cause this behaviour.
    effects: fn() -> Vec<Effect>,
}

impl Personality {
    /// The name, description and real servers of every personality, in the order of the help.
    pub const ALL: &[(&str, &str, &str)] = &names();

    /// Finds a personality by its name. Fails with `invalid`, and suggests the correct name.
    pub fn parse(name: &str) -> Result<Self> {
        ROWS.iter().find(|row| row.name == name).map(Self).ok_or_else(|| {
            let near = nearest(name, ROWS.iter().map(|row| row.name));
            Error::invalid(format!("there is no server `{name}`{near}"))
        })
    }

    /// Returns the name.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns the plans that cause this behaviour.
    pub(super) fn plans(self) -> Vec<FaultPlan> {
        let effects = (self.0.effects)().into_iter();
        effects.map(|effect| FaultPlan::standing(self.0.name, effect)).collect()
    }

    /// Returns the maximum number of concurrent sessions.
    pub(super) const fn sessions_max(self) -> usize {
        self.0.sessions_max
    }
}

/// Returns the names and texts of `ROWS`, so that there is one list.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which checks the bounds")]
const fn names() -> [(&'static str, &'static str, &'static str); ROWS.len()] {
    let mut names = [("", "", ""); ROWS.len()];
    let mut at = 0;
    while at < ROWS.len() {
        names[at] = (ROWS[at].name, ROWS[at].does, ROWS[at].like);
        at += 1;
    }
    names
}

const fn row(
    name: &'static str,
    does: &'static str,
    like: &'static str,
    effects: fn() -> Vec<Effect>,
) -> PersonalityRow {
    PersonalityRow { name, does, like, sessions_max: REHEARSAL_SESSIONS_MAX, effects }
}

const fn narrow(
    name: &'static str,
    does: &'static str,
    like: &'static str,
    sessions_max: usize,
    effects: fn() -> Vec<Effect>,
) -> PersonalityRow {
    PersonalityRow { name, does, like, sessions_max, effects }
}

fn missing(verbs: &[Verb]) -> Vec<Effect> {
    verbs.iter().map(|verb| Missing(*verb)).collect()
}

fn say(to: &[Verb], when: When, line: &str) -> Effect {
    Instead { to: to.to_vec(), when, act: CommandEffect::Say(format!("{line}\r\n").into_bytes()) }
}

fn refuse(to: &[Verb], line: &str) -> Effect {
    say(to, When::Always, line)
}

fn twist(to: &[Verb], twist: Twist) -> Effect {
    Effect::Twist(to.to_vec(), twist)
}

/// The commands that show the contents of a server.
const LOOKS: [Verb; 9] = [Mlsd, List, Nlst, Stat, Mlst, Size, Mdtm, Hash, Retr];
/// The commands introduced after RFC 959.
const EXTENSIONS: [Verb; 9] = [Mlsd, Mlst, Size, Mdtm, Mfmt, Hash, Feat, Opts, Site];

/// The personalities, in the order of the help: names, renames, listings, dialogue, hosts, whole servers.
const ROWS: &[PersonalityRow] = &[
    row(
        "case-insensitive",
        "takes A and a for one name and keeps the first spelling, also over a rename",
        "Samba shares, NAS boxes, pyftpdlib on a folding disk",
        || vec![Names(Naming::FirstSpelling)],
    ),
    row("lower-case", "keeps names in small letters", "VFS modules, appliances", || {
        vec![Names(Naming::LowerCase)]
    }),
    row("upper-case", "keeps names in capitals", "FAT disks, OpenVMS with slashes", || {
        vec![Names(Naming::UpperCase)]
    }),
    row(
        "windows-names",
        "folds case, drops dots and blanks at the end, keeps _ for <>:\"|?*",
        "FileZilla Server, Serv-U, NAS boxes",
        || vec![Names(Naming::Windows)],
    ),
    row("nfc", "puts letters and accents together", "servers of web hosts, ZFS with formC", || {
        vec![Names(Naming::Composed)]
    }),
    row("nfd", "takes letters and accents apart", "macOS with HFS+", || {
        vec![Names(Naming::Decomposed)]
    }),
    row(
        "form-insensitive",
        "takes composed and decomposed letters for one name and keeps the first spelling",
        "macOS with APFS",
        || vec![Names(Naming::FoldForm)],
    ),
    row("short-names", "cuts names at 32 bytes", "Minix, System V, appliances", || {
        vec![Names(Naming::Cut(SHORT_NAME))]
    }),
    row("dos-names", "cuts names to eight letters and three, in capitals", "FAT, devices", || {
        vec![Names(Naming::EightThree)]
    }),
    row(
        "replaces-characters",
        "keeps blanks, +, #, % and all that is not ASCII as _",
        "Pure-FTPd, upload filters of web hosts",
        || vec![Names(Naming::Underscores)],
    ),
    row(
        "no-dot-names",
        "refuses names that begin with a dot, and shows none",
        "Pure-FTPd with ProhibitDotFilesWrite",
        || vec![Names(Naming::NoDots), Effect::HidesDots],
    ),
    row("no-rename", "has no RNFR", "devices, cameras", || {
        vec![refuse(&[Rnfr, Rnto], "502 Command not implemented.")]
    }),
    row("rename-denied", "answers RNFR with 550", "upload boxes", || {
        vec![refuse(&[Rnfr], "550 Permission denied.")]
    }),
    row("rename-no-overwrite", "answers RNTO with 553 when the name is taken", "IIS", || {
        vec![say(&[Rnto], When::NameTaken, "553 File exists.")]
    }),
    row("delete-denied", "answers DELE and RMD with 550", "archives", || {
        vec![refuse(&[Dele, Rmd], "550 Permission denied.")]
    }),
    row("write-only", "takes uploads and shows nothing; renames work", "drop boxes", || {
        vec![refuse(&LOOKS, "550 Permission denied.")]
    }),
    row(
        "write-only-no-rename",
        "takes uploads and shows nothing; nothing is renamed or deleted",
        "drop boxes of banks and printers",
        || {
            let changes = [Rnfr, Rnto, Dele, Rmd];
            vec![refuse(&LOOKS, "550 Permission denied."), refuse(&changes, "550 Not allowed.")]
        },
    ),
    row("read-only", "answers every change with 550", "public archives", || {
        vec![refuse(
            &[Stor, Appe, Dele, Rmd, Mkd, Rnfr, Rnto, Mfmt, Site],
            "550 Permission denied.",
        )]
    }),
    row("list-only", "has no command that came after RFC 959", "old Unix servers", || {
        missing(&EXTENSIONS)
    }),
    row(
        "summer-time",
        "has no MLSD; from the first QUIT on LIST shows times an hour later",
        "hosts that list local time",
        || [missing(&EXTENSIONS), vec![Effect::SummerTime]].concat(),
    ),
    row("nlst-only", "answers MLSD and LIST with 502", "old devices", || {
        [missing(&[Mlsd, Mlst]), vec![refuse(&[List], "502 Command not implemented.")]].concat()
    }),
    row("stat-only", "shows folders by STAT alone", "servers behind filters of data ports", || {
        let lists = refuse(&[List, Nlst], "502 Command not implemented.");
        [missing(&[Mlsd, Mlst]), vec![lists]].concat()
    }),
    row(
        "truncating",
        "shows five entries of a folder at most, and says so in the final reply",
        "Pure-FTPd with LimitRecursion",
        || vec![Effect::Truncates { entries: ENTRIES_SHOWN, says_so: true }],
    ),
    row(
        "truncating-silently",
        "shows five entries of a folder at most, without a word",
        "shared hosts",
        || vec![Effect::Truncates { entries: ENTRIES_SHOWN, says_so: false }],
    ),
    row(
        "truncating-no-mlst",
        "shows five entries of a folder at most, without a word, and has no MLST",
        "shared hosts",
        || {
            let cut = Effect::Truncates { entries: ENTRIES_SHOWN, says_so: false };
            [missing(&[Mlsd, Mlst]), vec![cut]].concat()
        },
    ),
    row("empty-226", "answers LIST of an empty folder with 226 alone", "UXP, devices", || {
        [missing(&[Mlsd, Mlst]), vec![Effect::Empty("226 No files.")]].concat()
    }),
    row("empty-450", "answers LIST of an empty folder with 450", "old Unix servers", || {
        [missing(&[Mlsd, Mlst]), vec![Effect::Empty("450 No files found.")]].concat()
    }),
    row("empty-550", "answers LIST of an empty folder with 550", "mainframes, gateways", || {
        [missing(&[Mlsd, Mlst]), vec![Effect::Empty("550 No files found.")]].concat()
    }),
    row("no-type", "answers TYPE with 504 and sends bytes as they are", "old devices", || {
        vec![refuse(&[Type], "504 Not for that parameter."), Effect::Binary]
    }),
    row("crlf", "keeps the CR LF with which lines of texts arrive", "servers on Windows", || {
        vec![Effect::Binary]
    }),
    row(
        "one-command",
        "reads one command from a packet and throws the rest away",
        "ESP and lwIP servers",
        || vec![twist(&[], Twist::Alone)],
    ),
    row("double-reply", "answers CWD with 200 and then with 250", "NAS boxes", || {
        vec![twist(&[Cwd, Cdup], Twist::After(b"200 OK\r\n"))]
    }),
    row("telnet-greeting", "greets with telnet codes before the 220", "consoles", || {
        let act = CommandEffect::Say(b"\xff\xfb\x01220 ready\r\n".to_vec());
        vec![Instead { to: vec![Greeting], when: When::Always, act }]
    }),
    row("tab-greeting", "greets with a tab behind the 220", "consoles", || {
        vec![refuse(&[Greeting], "220\tready")]
    }),
    row("windows-ce", "answers PWD with backslashes", "Windows CE", || {
        [missing(&[Mlsd, Mlst, Mfmt, Hash]), vec![Paths(Syntax::Backslashes)]].concat()
    }),
    row("zos", "has data sets in place of paths", "z/OS", || {
        let own = vec![
            Paths(Syntax::DataSets),
            Lines(ListingStyle::DataSets),
            Effect::Empty("550 No data sets found."),
            refuse(&[Size, Mdtm], "550 Not supported for data sets."),
        ];
        [missing(&[Mlsd, Mlst, Mfmt, Hash, Help]), own].concat()
    }),
    row("vms", "has paths with brackets", "OpenVMS", || {
        let own = vec![Paths(Syntax::Brackets), Lines(ListingStyle::Vms)];
        [missing(&[Mlsd, Mlst, Mfmt, Hash, Epsv, Eprt]), own].concat()
    }),
    row("as400", "has a flat library", "IBM i", || {
        let own = vec![Paths(Syntax::Library), Lines(ListingStyle::Midrange)];
        [missing(&[Mlsd, Mlst, Mfmt, Hash]), own].concat()
    }),
    row(
        "iis",
        "has the names and listings of Windows, refuses CON and a:b, has no MLSD, renames over nothing",
        "IIS",
        || {
            let taken = "550 Cannot create a file when that file already exists.";
            let own = vec![
                Names(Naming::WindowsStrict),
                Paths(Syntax::EitherSlash),
                Lines(ListingStyle::Dos),
                say(&[Rnto], When::NameTaken, taken),
            ];
            [missing(&[Mlsd, Mlst, Mfmt, Hash, Site]), own].concat()
        },
    ),
    narrow(
        "embedded-device",
        "one session, one command a packet, no extensions, PWD without quotes, early 226",
        "ESP, lwIP, printers",
        1,
        || {
            let own = vec![
                Paths(Syntax::Unquoted),
                Effect::OptionsAreNames,
                Effect::Binary,
                twist(&[], Twist::Alone),
                Final(vec![List, Nlst], Ending::Early),
            ];
            [missing(&EXTENSIONS), missing(&[Epsv, Eprt, Appe]), own].concat()
        },
    ),
    row(
        "object-store-gateway",
        "says SIZE 0 once after an upload, sets no times, renames no folders",
        "gateways to S3 and the like",
        || [missing(&[Mfmt, Site, Appe]), vec![Effect::SizeLater, Effect::FoldersStay]].concat(),
    ),
    narrow(
        "shared-host",
        "has .ftpquota that nobody may change, two sessions, and ends one after each transfer",
        "cPanel hosts",
        2,
        || {
            let transfers = [Mlsd, List, Nlst, Retr, Stor, Appe];
            vec![Effect::Keeps(".ftpquota"), twist(&transfers, Twist::Leave)]
        },
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_personality_is_found_by_a_name_of_its_own() {
        let names: HashSet<_> = Personality::ALL.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), Personality::ALL.len());
        for (name, does, like) in Personality::ALL {
            let found = Personality::parse(name).unwrap();
            assert_eq!(found.name(), *name);
            assert!(!found.plans().is_empty() && !does.is_empty() && !like.is_empty(), "{name}");
            assert!(does.len() < 100, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_the_nearest() {
        let fault = Personality::parse("windows-name").unwrap_err();
        assert_eq!(
            fault.message,
            "there is no server `windows-name`; did you mean `windows-names`?"
        );
    }
}
