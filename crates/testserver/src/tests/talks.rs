//! Tests of the fault plans that can be seen from replies alone.

use super::{Scratch, client::Client};

/// A fault plan, and commands with the replies that they get.
type Talk = (&'static str, &'static [(&'static str, &'static str)]);

const UNKNOWN: &str = "500 Unknown command.";
const NO_CONNECTION: &str = "425 Failed to establish connection.";

/// The fault plans.
pub(super) const TALKS: &[Talk] = &[
    (
        "pasv-refused",
        &[("PASV", "502 Command not implemented."), ("EPSV", "502 Command not implemented.")],
    ),
    ("epsv-refused", &[("EPSV", UNKNOWN)]),
    (
        "active-refused",
        &[
            ("PORT 127,0,0,1,9,9", "500 Illegal PORT command."),
            ("EPRT |1|127.0.0.1|2000|", "500 Illegal PORT command."),
        ],
    ),
    (
        "eprt-refused",
        &[
            ("EPRT |1|127.0.0.1|2000|", UNKNOWN),
            ("PORT 127,0,0,1,9,9", "200 PORT command successful."),
        ],
    ),
    (
        "active-425",
        &[
            ("RETR a.txt", "425 Use PORT or PASV first."),
            ("PORT 127,0,0,1,9,9", "200 PORT command successful."),
            ("RETR a.txt", NO_CONNECTION),
        ],
    ),
    ("retr-425", &[("RETR a.txt", NO_CONNECTION)]),
    ("retr-425*1", &[("RETR a.txt", NO_CONNECTION), ("RETR a.txt", "425 Use PORT or PASV first.")]),
    (
        "retr-425@/in",
        &[("RETR a.txt", "425 Use PORT or PASV first."), ("RETR in/b", NO_CONNECTION)],
    ),
    ("stor-425", &[("STOR b", NO_CONNECTION), ("APPE b", NO_CONNECTION)]),
    (
        "double-reply",
        &[
            ("DELE a.txt", "250 Delete operation successful."),
            ("DELE a.txt", "250 Delete operation successful."),
        ],
    ),
    ("bare-code", &[("NOOP", "200"), ("SIZE a.txt", "213 14"), ("DELE gone", "550")]),
    (
        "multiline-trap",
        &[(
            "CWD in",
            "250-Welcome.|257 \"/evil\"|230 users online| 250 not the end|250 Directory successfully changed.",
        )],
    ),
    ("reply=SIZE:213 7", &[("SIZE a.txt", "213 7")]),
    ("reply=OTHER:200 sure", &[("XYZZY", "200 sure")]),
    (
        "busy-421=CWD",
        &[("NOOP", "200 NOOP ok."), ("CWD in", "421 Service not available."), ("NOOP", "(end)")],
    ),
    ("hang-up=CWD", &[("CWD in", "(end)")]),
    (
        "list-550",
        &[("MLSD", "550 No such file or directory."), ("LIST", "550 No such file or directory.")],
    ),
    ("list-450", &[("NLST", "450 File busy.")]),
    (
        "repeat=NOOP*1",
        &[("NOOP", "200 NOOP ok."), ("SYST", "200 NOOP ok."), ("SYST", "215 UNIX Type: L8")],
    ),
    ("done-as=NOOP:299 very well", &[("NOOP", "299 very well"), ("SIZE a.txt", "213 14")]),
    ("alone=NOOP", &[("NOOP\r\nSYST", "200 NOOP ok."), ("SIZE a.txt", "213 14")]),
    ("hang-up-after=MKD", &[("MKD in/b", "(end)")]),
    (
        "leave-after=CWD",
        &[
            ("CWD in", "250 Directory successfully changed."),
            ("NOOP", "421 Timeout."),
            ("NOOP", "(end)"),
        ],
    ),
    (
        "repeat-at=5",
        &[("SYST", "215 UNIX Type: L8"), ("NOOP", "200 NOOP ok."), ("SYST", "200 NOOP ok.")],
    ),
    ("hang-up-at=5", &[("NOOP", "200 NOOP ok."), ("NOOP", "(end)")]),
    ("no-size", &[("SIZE a.txt", UNKNOWN)]),
    ("no-mlsd", &[("MLSD", UNKNOWN)]),
    ("no-mlst", &[("MLST", UNKNOWN)]),
    ("no-mfmt", &[("MFMT 20200101000000 a.txt", UNKNOWN)]),
    ("no-hash", &[("HASH a.txt", UNKNOWN)]),
    ("rename-refused", &[("RNFR a.txt", "350 Ready for RNTO."), ("RNTO b", "550 Rename failed.")]),
    (
        "rename-onto-refused",
        &[
            ("RNFR a.txt", "350 Ready for RNTO."),
            ("RNTO .hidden", "550 File exists."),
            ("RNTO b", "250 Rename successful."),
        ],
    ),
    ("mkd-refused", &[("MKD b", "550 Permission denied.")]),
    (
        "delete-refused",
        &[("DELE a.txt", "550 Permission denied."), ("RMD in", "550 Permission denied.")],
    ),
    (
        "fold-case",
        &[
            ("SIZE A.TXT", "213 14"),
            ("MKD IN", "550 File exists."),
            ("RNFR a.txt", "350 Ready for RNTO."),
            ("RNTO In/B", "250 Rename successful."),
            ("SIZE in/b", "213 14"),
            ("DELE in/b", "250 Delete operation successful."),
        ],
    ),
    (
        "lower-case",
        &[
            ("MKD New", "257 \"/New\" created."),
            ("RMD new", "250 Remove directory operation successful."),
        ],
    ),
    (
        "windows-names",
        &[
            ("SIZE A.TXT. ", "213 14"),
            ("MKD a:b", "257 \"/a:b\" created."),
            ("RMD A_B", "250 Remove directory operation successful."),
            ("MKD /.../x", "550 Failed."),
        ],
    ),
    (
        "decomposed",
        &[
            ("MKD \u{e9}", "257 \"/\u{e9}\" created."),
            ("RMD e\u{301}", "250 Remove directory operation successful."),
        ],
    ),
    (
        "plus-blank",
        &[
            ("MKD a+b", "257 \"/a+b\" created."),
            ("RMD a b", "250 Remove directory operation successful."),
        ],
    ),
    ("drop-query", &[("SIZE a.txt?x", "213 14")]),
    (
        "cut-names=3",
        &[
            ("MKD abcd", "257 \"/abcd\" created."),
            ("RMD abce", "250 Remove directory operation successful."),
        ],
    ),
];

#[test]
fn every_plan_that_shows_in_replies_does_so() {
    for (plan, talk) in TALKS {
        let scratch = Scratch::with_plan(plan);
        let mut client = Client::connect(scratch.server.address());
        client.reply();
        for login in ["USER me", "PASS x", "TYPE I"] {
            client.ask(login);
        }
        for (command, reply) in *talk {
            assert_eq!(client.ask(command), *reply, "{plan}: {command}");
        }
    }
}
