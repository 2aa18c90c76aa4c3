//! The table: the cases at which other programs fail (measured: lftp, curl, wget, ncftp, rclone, ftplib, Perl), and
//! more.

use portolan::ftp::site::Mode;

/// An obstacle, and the method that is left.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) faults: &'static [&'static str],
    pub(super) mode: Mode,
    /// The method that carries the data in the end.
    pub(super) route: &'static str,
    /// A part of the reason that is reported for the change of mode.
    pub(super) reason: Option<&'static str>,
}

impl Row {
    /// Returns true if a timeout is involved. All other rows are refused, or succeed, at once.
    pub(super) fn waits(&self) -> bool {
        let silent = ["pasv-blackhole", "active-silent", "active-late=", "no-reply="];
        let is_silent = |fault: &&str| silent.iter().any(|start| fault.starts_with(start));
        self.faults.iter().any(is_silent)
    }

    /// Returns true if the server is slow with every reply, which no choice of a mode makes shorter.
    pub(super) fn is_slow(&self) -> bool {
        self.faults.contains(&"slow-control")
    }
}

const fn passive(name: &'static str, faults: &'static [&'static str], route: &'static str) -> Row {
    Row { name, faults, mode: Mode::Passive, route, reason: None }
}

const fn active(name: &'static str, faults: &'static [&'static str], route: &'static str) -> Row {
    Row { name, faults, mode: Mode::Active, route, reason: None }
}

const fn because(row: Row, reason: &'static str) -> Row {
    Row { reason: Some(reason), ..row }
}

pub(super) const ROWS: &[Row] = &[
    // No obstacle.
    passive("nothing", &[], "epsv"),
    active("nothing", &[], "eprt"),
    // The obstacles that the other programs were measured with.
    because(passive("PASV and EPSV 502", &["pasv-refused"], "eprt"), "the server said \"502"),
    because(
        passive("PASV 425", &["reply=PASV:425 no", "reply=EPSV:425 no"], "eprt"),
        "the server said \"425 no\"",
    ),
    passive("PASV 421, always", &["epsv-refused", "busy-421=PASV"], "eprt"),
    passive("PASV 421, once", &["epsv-refused", "busy-421=PASV*1"], "pasv"),
    passive("EPSV 421, once", &["busy-421=EPSV*1"], "epsv"),
    because(passive("port refused", &["pasv-dead"], "eprt"), "connection refused"),
    because(passive("port dropped", &["pasv-blackhole"], "eprt"), "no answer in 3"),
    passive("RETR 425", &["retr-425*2"], "eprt"),
    passive("EPSV port refused", &["reply=EPSV:229 (|||9|)"], "pasv"),
    passive("PASV of 10.255.255.1", &["epsv-refused", "pasv-foreign"], "pasv"),
    passive("the same, refused", &["epsv-refused", "reply=PASV:227 (10,1,2,3,0,9)"], "eprt"),
    because(active("PORT 500", &["active-refused"], "epsv"), "500 Illegal PORT"),
    because(active("RETR 425", &["active-425"], "epsv"), "425 Failed to establish"),
    because(active("RETR 150, then 425", &["active-late-425"], "epsv"), "425 Failed to establish"),
    because(active("the server never comes", &["active-silent"], "epsv"), "did not connect to"),
    // Odd servers.
    passive("EPSV with other delimiters", &["pasv-odd"], "epsv"),
    passive("227 without parentheses", &["epsv-refused", "pasv-odd"], "pasv"),
    passive("226 before the data", &["early-226"], "epsv"),
    active("226 before the data", &["early-226"], "eprt"),
    passive("125 for 150", &["begin-125"], "epsv"),
    active("125 for 150", &["begin-125"], "eprt"),
    active("a stranger comes first", &["active-stranger"], "eprt"),
    active("the server comes after 1.5 s", &["active-late=1500"], "eprt"),
    active("the server comes after 4.5 s", &["active-late=4500"], "epsv"),
    passive("replies byte by byte", &["slow-control"], "epsv"),
    active("replies byte by byte", &["slow-control"], "eprt"),
    passive("ports that do not exist", &["pasv-nonsense"], "eprt"),
    // Firewalls that pass some commands and swallow the others.
    passive("EPSV swallowed", &["no-reply=EPSV"], "pasv"),
    passive("EPSV and PASV swallowed", &["no-reply=EPSV", "no-reply=PASV"], "eprt"),
    active("EPRT swallowed", &["no-reply=EPRT"], "port"),
    active("EPRT and PORT swallowed", &["no-reply=EPRT", "no-reply=PORT"], "epsv"),
    passive("EPSV ends the session", &["hang-up=EPSV"], "pasv"),
    active("EPRT ends the session", &["hang-up=EPRT"], "port"),
    active("never comes, EPSV swallowed", &["active-silent", "no-reply=EPSV"], "pasv"),
    passive("dropped, EPRT unknown", &["pasv-blackhole", "eprt-refused"], "port"),
    // Without a mode chosen by the user.
    Row { mode: Mode::Auto, ..passive("port dropped", &["pasv-blackhole"], "eprt") },
    Row { mode: Mode::Auto, ..passive("the server never comes", &["active-silent"], "epsv") },
];
