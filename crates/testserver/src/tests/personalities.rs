//! Tests of every personality on the wire, by the dialogue that a client has with it.

use std::{collections::HashSet, fs};

use super::{Scratch, client::Client};
use crate::Personality;

/// A personality, and a session with it: commands and the beginnings of their replies. `STOR` uploads `x`, and listings
/// show their lines behind the closing reply.
type TestDialogue = (&'static str, &'static [(&'static str, &'static str)]);

const DENIED: &str = "550 Permission denied.";
const STORED: &str = "226 Transfer complete.";

const SESSIONS: &[TestDialogue] = &[
    (
        "case-insensitive",
        &[
            ("SIZE A.TXT", "213 14"),
            ("RNFR a.txt", "350"),
            ("RNTO A.TXT", "250"),
            ("STOR IN/B", STORED),
            ("NLST", "226 Transfer complete.|a.txt|in"),
            ("NLST in", "226 Transfer complete.|B"),
        ],
    ),
    (
        "lower-case",
        &[("STOR New.TXT", STORED), ("NLST", "226 Transfer complete.|a.txt|in|new.txt")],
    ),
    (
        "upper-case",
        &[("STOR new.txt", STORED), ("NLST", "226 Transfer complete.|NEW.TXT|a.txt|in")],
    ),
    (
        "windows-names",
        &[
            ("STOR new. ", STORED),
            ("RNFR a.txt", "350"),
            ("RNTO A.txt", "250"),
            ("STOR a:b", STORED),
            ("NLST", "226 Transfer complete.|A.txt|a_b|in|new"),
        ],
    ),
    ("nfc", &[("STOR e\u{301}", STORED), ("NLST", "226 Transfer complete.|a.txt|in|\u{e9}")]),
    ("nfd", &[("STOR \u{e9}", STORED), ("NLST", "226 Transfer complete.|a.txt|e\u{301}|in")]),
    (
        "form-insensitive",
        &[
            ("STOR \u{e9}", STORED),
            ("STOR e\u{301}", STORED),
            ("NLST", "226 Transfer complete.|a.txt|in|\u{e9}"),
        ],
    ),
    (
        "short-names",
        &[
            ("STOR a-name-of-more-than-thirty-two-bytes", STORED),
            ("NLST", "226 Transfer complete.|a-name-of-more-than-thirty-two-b|a.txt|in"),
        ],
    ),
    (
        "dos-names",
        &[("STOR index.html", STORED), ("NLST", "226 Transfer complete.|INDEX.HTM|a.txt|in")],
    ),
    (
        "replaces-characters",
        &[("STOR a b+#%\u{e9}", STORED), ("NLST", "226 Transfer complete.|a.txt|a_b_____|in")],
    ),
    (
        "no-dot-names",
        &[
            ("STOR .x", "553 Prohibited file name: .x"),
            ("MKD .x", "553"),
            ("NLST -a", "226 Transfer complete.|.|..|a.txt|in"),
        ],
    ),
    ("no-rename", &[("RNFR a.txt", "502")]),
    ("rename-denied", &[("RNFR a.txt", "550")]),
    ("rename-no-overwrite", &[("STOR b", STORED), ("RNFR b", "350"), ("RNTO a.txt", "553")]),
    ("delete-denied", &[("DELE a.txt", DENIED), ("RMD in", DENIED)]),
    (
        "write-only",
        &[
            ("STOR b", STORED),
            ("LIST", DENIED),
            ("SIZE b", DENIED),
            ("RNFR b", "350"),
            ("RNTO c", "250"),
        ],
    ),
    ("write-only-no-rename", &[("STOR b", STORED), ("RNFR b", "550"), ("RETR b", DENIED)]),
    ("read-only", &[("STOR b", DENIED), ("MKD b", DENIED), ("SIZE a.txt", "213 14")]),
    ("list-only", &[("FEAT", "500"), ("SIZE a.txt", "500"), ("MLSD", "500"), ("LIST -a", "226")]),
    ("summer-time", &[("MDTM a.txt", "500"), ("LIST", "226")]),
    ("nlst-only", &[("LIST", "502"), ("NLST", "226 Transfer complete.|a.txt|in")]),
    ("stat-only", &[("LIST", "502"), ("NLST", "502"), ("STAT .", "213")]),
    (
        "truncating",
        &[
            ("MKD b", "257"),
            ("MKD c", "257"),
            ("MKD d", "257"),
            ("NLST", "226 Transfer complete.|a.txt|b|c|d|in"),
            ("MKD e", "257"),
            ("NLST", "226 Output truncated, there are more matches than are shown.|a.txt|b|c|d|e"),
            ("NLST in", STORED),
        ],
    ),
    (
        "truncating-silently",
        &[
            ("MKD b", "257"),
            ("MKD c", "257"),
            ("MKD d", "257"),
            ("MKD e", "257"),
            ("NLST", "226 Transfer complete.|a.txt|b|c|d|e"),
            ("MLST e", "250"),
        ],
    ),
    ("truncating-no-mlst", &[("MLST a.txt", "500"), ("NLST", "226")]),
    ("empty-226", &[("LIST in", "226 No files."), ("LIST", "226 Transfer")]),
    ("empty-450", &[("LIST in", "450 No files found."), ("NLST", "226 Transfer")]),
    ("empty-550", &[("LIST in", "550 No files found."), ("STAT", "211")]),
    ("no-type", &[("TYPE I", "504"), ("STOR b", STORED), ("SIZE b", "213 1")]),
    ("crlf", &[("TYPE A", "200"), ("STOR b", STORED), ("TYPE I", "200"), ("SIZE b", "213 1")]),
    ("one-command", &[("NOOP\r\nPWD", "200"), ("TYPE I", "200")]),
    ("double-reply", &[("CWD in", "200 OK"), ("NOOP", "250"), ("NOOP", "200")]),
    ("telnet-greeting", &[("NOOP", "200")]),
    ("tab-greeting", &[("NOOP", "200")]),
    ("windows-ce", &[("PWD", "257 \"\\\""), ("CWD \\in", "250"), ("PWD", "257 \"\\in\"")]),
    (
        "zos",
        &[
            ("PWD", "257 \"'OPSUSER.'\" is"),
            ("STOR PAY.JAN", STORED),
            ("CWD /", "501 Invalid data set name"),
            ("RETR 'OPSUSER.PAY.JAN'", "226 Transfer complete.|x"),
            ("SIZE PAY.JAN", "550"),
            ("SYST", "215 MVS"),
        ],
    ),
    (
        "vms",
        &[
            ("PWD", "257 \"DISK$USER:[OPS]\""),
            ("STOR pay.dat", STORED),
            ("CWD [.IN]", "550"),
            ("RETR PAY.DAT;1", "226 Transfer complete.|x"),
        ],
    ),
    ("as400", &[("PWD", "257 \"OPSLIB\""), ("STOR PAY.FILE", STORED), ("CWD /", "501")]),
    (
        "iis",
        &[
            ("STOR b", STORED),
            ("RNFR b", "350"),
            ("RNTO A.TXT", "550 Cannot create"),
            ("STOR in\\c. ", STORED),
            ("STOR a:b", "550 The filename"),
            ("STOR nul.txt", "550 The filename"),
            ("MLSD", "500"),
            ("NLST in", "226 Transfer complete.|c"),
        ],
    ),
    (
        "embedded-device",
        &[
            ("PWD", "257 / is current directory"),
            ("FEAT", "500"),
            ("EPSV", "500"),
            ("NOOP\r\nPWD", "200"),
            ("TYPE I", "200"),
        ],
    ),
    (
        "object-store-gateway",
        &[
            ("STOR b", STORED),
            ("SIZE b", "213 0"),
            ("SIZE b", "213 1"),
            ("RNFR in", "350"),
            ("RNTO out", "550 Renaming"),
            ("MFMT 20200101000000 b", "500"),
        ],
    ),
    (
        "shared-host",
        &[
            ("DELE .ftpquota", "553"),
            ("RNFR .ftpquota", "553"),
            ("MFMT 20200101000000 .ftpquota", "553"),
            ("SITE CHMOD 600 .ftpquota", "553"),
            ("MFMT 20200101000000 a.txt", "213"),
            ("STOR b", "226 Transfer complete."),
            ("NOOP", "421"),
        ],
    ),
];

fn start(name: &str) -> Scratch {
    let scratch =
        Scratch::with(|setup| setup.personality = Some(Personality::parse(name).unwrap()));
    fs::remove_file(scratch.path().join(".hidden")).unwrap();
    scratch
}

fn open(scratch: &Scratch, name: &str) -> Client {
    let mut client = Client::connect(scratch.server.address());
    let greeting = client.reply();
    assert!(greeting.contains("220"), "{name}: {greeting}");
    for command in ["USER me", "PASS secret", "TYPE I"] {
        client.ask(command);
    }
    client
}

/// Opens a passive data connection by whichever command the server has.
fn passive(client: &mut Client) -> std::net::TcpStream {
    let reply = client.ask("PASV");
    let numbers = reply.trim_end_matches(['.', ')']).split(['(', ',']);
    let numbers: Vec<u16> = numbers.filter_map(|number| number.parse().ok()).collect();
    let [.., high, low] = numbers.as_slice() else { panic!("{reply}") };
    std::net::TcpStream::connect((client.server().ip(), high * 256 + low)).unwrap()
}

fn answer(client: &mut Client, command: &str) -> String {
    use std::io::{Read, Write};
    let verb = command.split(' ').next().unwrap();
    if !["LIST", "NLST", "RETR", "STOR"].contains(&verb) {
        return client.ask(command);
    }
    let mut data = passive(client);
    client.send(command);
    let first = client.reply();
    if !first.starts_with("150") {
        return first;
    }
    let mut text = String::new();
    if verb == "STOR" {
        data.write_all(b"x").unwrap();
        data.shutdown(std::net::Shutdown::Write).unwrap();
        return client.reply();
    }
    data.read_to_string(&mut text).unwrap();
    let lines: Vec<_> = text.lines().map(|line| format!("|{line}")).collect();
    format!("{}{}", client.reply(), lines.concat())
}

#[test]
fn every_personality_behaves_as_it_says() {
    for (name, dialogue) in SESSIONS {
        let scratch = start(name);
        let mut client = open(&scratch, name);
        for (command, wanted) in *dialogue {
            let reply = answer(&mut client, command);
            let is_listing = command.starts_with("NLST") && wanted.starts_with("226 ");
            let is_right = if is_listing && wanted.len() > 30 {
                reply == *wanted
            } else {
                reply.starts_with(wanted)
            };
            assert!(is_right, "{name}: {command}: {reply}, not {wanted}");
        }
    }
    let tried: HashSet<_> = SESSIONS.iter().map(|(name, _)| *name).collect();
    let all: HashSet<_> = Personality::ALL.iter().map(|(name, ..)| *name).collect();
    assert_eq!(tried, all);
}

#[test]
fn a_fault_wins_over_the_personality_and_stands_beside_it() {
    let scratch = Scratch::with(|setup| {
        setup.personality = Some(Personality::parse("no-rename").unwrap());
        setup.plans = ["reply=RNFR:450 Later.*1", "no-size"]
            .map(|fault| crate::FaultPlan::parse(fault).unwrap())
            .to_vec();
    });
    let mut client = scratch.client();
    assert_eq!(client.ask("RNFR a.txt"), "450 Later.");
    assert_eq!(client.ask("RNFR a.txt"), "502 Command not implemented.");
    assert_eq!(client.ask("SIZE a.txt"), "500 Unknown command.");
}

#[test]
fn hosts_list_in_their_own_form() {
    for (name, line) in [
        ("iis", "<DIR>          in"),
        ("zos", "WYOSPT 3390   "),
        ("vms", "a.txt;1  1/1  "),
        ("as400", " *STMF      a.txt"),
    ] {
        let scratch = start(name);
        let listing = answer(&mut open(&scratch, name), "LIST");
        assert!(listing.contains(line), "{name}: {listing}");
    }
}

#[test]
fn summer_begins_with_the_first_farewell() {
    let scratch = start("summer-time");
    let mut client = open(&scratch, "summer-time");
    let winter = answer(&mut client, "LIST");
    assert_eq!(client.ask("QUIT"), "221 Goodbye.");
    let summer = answer(&mut open(&scratch, "summer-time"), "LIST");
    assert_ne!(winter, summer);
    assert_eq!(summer, answer(&mut open(&scratch, "summer-time"), "LIST"));
}
