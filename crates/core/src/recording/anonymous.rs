//! Recordings that may be published: hosts, users, addresses and names are replaced, each by the same word everywhere
//! (pure).
//!
//! Everything that is not known to be harmless is replaced. Of the text of replies only the words stay that servers have in common;
//! of a listing the dates, sizes and permissions.

mod listings;
mod words;

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use self::words::COMMON;
use super::{RecordedEvent, RecordedFailure, RecordedLine, WireText};

/// The verbs whose argument is a path.
const WITH_PATHS: [&str; 18] = [
    "CWD", "RETR", "STOR", "APPE", "DELE", "MKD", "RMD", "RNFR", "RNTO", "SIZE", "MDTM", "MLST",
    "MLSD", "LIST", "NLST", "STAT", "HASH", "XCWD",
];

/// Returns `lines` without hosts, users, addresses, names of files, and texts that servers do not have in common.
pub fn anonymized(lines: Vec<RecordedLine>) -> Vec<RecordedLine> {
    let is_common = COMMON.split_ascii_whitespace().map(str::to_owned).collect();
    let mut words = Replacements { is_common, ..Replacements::default() };
    let mut reply = ReplyState::default();
    lines
        .into_iter()
        .map(|line| RecordedLine { event: words.event(line.event, &mut reply), ..line })
        .filter(|line| line.event != RecordedEvent::Unknown)
        .collect()
}

/// The kind of the reply whose lines are read.
#[derive(Debug, Default)]
struct ReplyState {
    /// The code of a reply of several lines that has begun.
    open: Option<String>,
    /// The verb of the last command.
    verb: String,
    /// True if that had an argument.
    has_argument: bool,
}

/// The replacements so far.
#[derive(Debug, Default)]
struct Replacements {
    is_common: HashSet<String>,
    hosts: HashMap<String, String>,
    users: HashMap<String, String>,
    addresses: HashMap<IpAddr, IpAddr>,
    names: HashMap<Vec<u8>, Vec<u8>>,
}

impl Replacements {
    fn event(&mut self, event: RecordedEvent, reply: &mut ReplyState) -> RecordedEvent {
        use RecordedEvent::{
            Closed, DataEnded, DataFailed, DataOpened, DialFailed, Dialed, Ended, Known, Local,
            Received, Recording, Sent, Tls, Unknown,
        };
        match event {
            Recording(mut header) => {
                (header.script, header.args, header.options) = (None, Vec::new(), Vec::new());
                (header.job, header.job_args) = (String::new(), serde_json::Value::Null);
                Recording(header)
            }
            Known(mut known) => {
                known.host = self.host(&known.host);
                Known(known)
            }
            Local(_) | Unknown => Unknown,
            DialFailed { host, port, failure } => {
                DialFailed { host: self.host(&host), port, failure: without_message(failure) }
            }
            Dialed { host, port, user, tls, peer, local } => Dialed {
                host: self.host(&host),
                port,
                user: self.user(&user),
                tls,
                peer: self.socket(&peer),
                local: self.socket(&local),
            },
            Sent { line } => {
                let text = String::from_utf8_lossy(&line.0).into_owned();
                reply.verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
                reply.has_argument = text.contains(' ');
                Sent { line: WireText(self.command(&line.0, &reply.verb)) }
            }
            Received { line } => Received { line: WireText(self.reply(&line.0, reply)) },
            Closed { by, failure } => Closed { by, failure: failure.map(without_message) },
            DataFailed { method, verb, failure } => {
                DataFailed { method, verb, failure: without_message(failure) }
            }
            DataOpened { data, method, verb, address, tls, resumed } => {
                let address = self.socket(&address);
                DataOpened { data, method, verb, address, tls, resumed }
            }
            DataEnded(mut data) => {
                let content = data.content.take();
                data.content = content.map(|bytes| WireText(self.listing(&bytes.0)));
                data.failure = data.failure.map(without_message);
                DataEnded(data)
            }
            Ended { exit, failure } => Ended { exit, failure: failure.map(without_message) },
            event @ Tls { .. } => event,
        }
    }

    fn host(&mut self, host: &str) -> String {
        if let Ok(ip) = host.parse() {
            return self.address(ip).to_string();
        }
        let number = self.hosts.len() + 1;
        let made = self.hosts.entry(host.to_ascii_lowercase());
        made.or_insert_with(|| format!("host-{number}.example")).clone()
    }

    fn user(&mut self, user: &str) -> String {
        if matches!(user, "anonymous" | "ftp") {
            return user.to_owned();
        }
        let number = self.users.len() + 1;
        self.users.entry(user.to_owned()).or_insert_with(|| format!("user-{number}")).clone()
    }

    /// Replaces an address by one for documentation; a private one stays private, since it explains failures.
    fn address(&mut self, ip: IpAddr) -> IpAddr {
        let ip = ip.to_canonical();
        if ip.is_loopback() || ip.is_unspecified() {
            return ip;
        }
        let number = u32::try_from(self.addresses.len() + 1).unwrap_or(u32::MAX);
        let made = match ip {
            IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() => {
                Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() | number & 0xffff).into()
            }
            IpAddr::V4(_) => {
                let net = Ipv4Addr::new(198, 18, 0, 0);
                Ipv4Addr::from_bits(net.to_bits() | number & 0xffff).into()
            }
            IpAddr::V6(v6) => {
                let is_local = v6.is_unique_local() || v6.is_unicast_link_local();
                let net: Ipv6Addr = if is_local {
                    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0)
                } else {
                    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)
                };
                Ipv6Addr::from_bits(net.to_bits() | u128::from(number)).into()
            }
        };
        *self.addresses.entry(ip).or_insert(made)
    }

    fn socket(&mut self, text: &str) -> String {
        match text.parse::<std::net::SocketAddr>() {
            Ok(at) => std::net::SocketAddr::new(self.address(at.ip()), at.port()).to_string(),
            Err(_) => String::new(),
        }
    }

    /// Replaces a name; what follows its last dot stays if it is short.
    fn name(&mut self, name: &[u8]) -> Vec<u8> {
        let is_ours = name.starts_with(b".portolan-") || name.starts_with(b"_portolan-");
        if matches!(name, b"" | b"." | b"..") || is_ours {
            return name.to_vec();
        }
        let number = self.names.len() + 1;
        let end = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0);
        let end = end.and_then(|at| name.get(at..)).unwrap_or_default();
        let is_usual =
            (2..=5).contains(&end.len()) && end.iter().skip(1).all(u8::is_ascii_alphanumeric);
        let end = if is_usual { end } else { b"" };
        let made = self.names.entry(name.to_vec());
        made.or_insert_with(|| [format!("name-{number}").as_bytes(), end].concat()).clone()
    }

    fn path(&mut self, path: &[u8]) -> Vec<u8> {
        let parts: Vec<_> = path.split(|byte| *byte == b'/').map(|part| self.name(part)).collect();
        parts.join(&b'/')
    }

    fn command(&mut self, line: &[u8], verb: &str) -> Vec<u8> {
        let Some(at) = line.iter().position(|byte| *byte == b' ') else { return line.to_vec() };
        let (word, rest) = line.split_at(at);
        let argument = rest.get(1..).unwrap_or_default();
        let argument = match verb {
            "PASS" | "ACCT" | "ADAT" => b"***".to_vec(),
            "USER" => {
                let user = String::from_utf8_lossy(argument).into_owned();
                self.user(&user).into_bytes()
            }
            "PORT" | "EPRT" => self.text(argument),
            "LIST" | "STAT" | "NLST" if argument.starts_with(b"-") => {
                let end = argument.iter().position(|byte| *byte == b' ');
                let (flags, path) = argument.split_at(end.unwrap_or(argument.len()));
                [flags, &self.path(path.get(1..).map_or(&b""[..], |path| path))].join(&b' ')
            }
            "MFMT" => {
                let at = argument.iter().position(|byte| *byte == b' ').unwrap_or(argument.len());
                let (time, path) = argument.split_at(at);
                [time, &self.path(path.get(1..).unwrap_or_default())].join(&b' ')
            }
            verb if WITH_PATHS.contains(&verb) => self.path(argument),
            "SITE" | "OPTS" | "TYPE" | "AUTH" | "PROT" | "PBSZ" | "MODE" | "STRU" | "REST" => {
                self.text(argument)
            }
            _ => self.text(argument),
        };
        [word, &argument].join(&b' ')
    }

    fn reply(&mut self, line: &[u8], state: &mut ReplyState) -> Vec<u8> {
        let has_code = line.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit));
        let code = line.get(..3).filter(|_| has_code).map(String::from_utf8_lossy);
        let code = code.map(std::borrow::Cow::into_owned);
        let mark = line.get(3).copied();
        let is_inner = state.open.is_some();
        match (&state.open, &code, mark) {
            (None, Some(code), Some(b'-')) => state.open = Some(code.clone()),
            (Some(open), Some(code), mark) if open == code && mark != Some(b'-') => {
                state.open = None;
            }
            _ => {}
        }
        if is_inner && state.open.is_some() {
            return match state.verb.as_str() {
                "MLST" => self.facts(line),
                "STAT" if state.has_argument => self.listed(line),
                "FEAT" => line.to_vec(),
                _ => self.text(line),
            };
        }
        let Some(text) = line.get(4..).filter(|_| has_code) else { return self.text(line) };
        let head = line.get(..4).unwrap_or_default();
        let text = match code.as_deref() {
            Some("257") => self.quoted(text),
            _ => self.text(text),
        };
        [head, &text].concat()
    }

    /// Replaces the path in the quotes of a reply to PWD or MKD.
    fn quoted(&mut self, text: &[u8]) -> Vec<u8> {
        let first = text.iter().position(|byte| *byte == b'"');
        let last = text.iter().rposition(|byte| *byte == b'"');
        let (Some(first), Some(last)) = (first, last) else { return self.text(text) };
        if first == last {
            return self.text(text);
        }
        let before = self.text(text.get(..first).unwrap_or_default());
        let path = self.path(text.get(first + 1..last).unwrap_or_default());
        let after = self.text(text.get(last + 1..).unwrap_or_default());
        [&before, &b"\""[..], &path, b"\"", &after].concat()
    }

    /// Replaces addresses, and every word that servers do not have in common.
    fn text(&mut self, text: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(text).into_owned();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | ',');
        let mut made = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (token, after) = rest.split_at(length);
            made.push_str(&self.token(token));
            let skipped = after.find(is_part).unwrap_or(after.len());
            let (between, after) = after.split_at(skipped);
            made.push_str(between);
            rest = after;
        }
        made.into_bytes()
    }

    fn token(&mut self, token: &str) -> String {
        let plain = token.trim_matches(|c| matches!(c, '.' | ',' | ':' | '-' | '_'));
        if plain.is_empty() {
            return token.to_owned();
        }
        if let Ok(ip) = token.parse::<Ipv6Addr>() {
            return self.address(ip.into()).to_string();
        }
        let start = token.find(plain).unwrap_or(0);
        let before = token.get(..start).unwrap_or_default();
        let after = token.get(start + plain.len()..).unwrap_or_default();
        let made = self.word(plain);
        made.map_or_else(|| token.to_owned(), |made| format!("{before}{made}{after}"))
    }

    /// Returns the replacement of a word; `None` if it stays.
    fn word(&mut self, word: &str) -> Option<String> {
        if let Ok(ip) = word.parse::<IpAddr>() {
            return Some(self.address(ip).to_string());
        }
        let numbers: Vec<_> = word.split(',').map(|part| part.parse::<u8>().ok()).collect();
        if let [Some(a), Some(b), Some(c), Some(d), Some(high), Some(low)] = numbers.as_slice() {
            let ip = self.address(Ipv4Addr::new(*a, *b, *c, *d).into());
            return Some(format!("{},{high},{low}", ip.to_string().replace('.', ",")));
        }
        if let Some(user) = self.users.get(word) {
            return Some(user.clone());
        }
        let lower = word.to_lowercase();
        let is_number = !word.chars().any(char::is_alphabetic);
        if is_number || self.is_common.contains(&lower) {
            return None;
        }
        if let Some(host) = self.hosts.get(&lower) {
            return Some(host.clone());
        }
        Some(String::from_utf8_lossy(&self.name(word.as_bytes())).into_owned())
    }
}

fn without_message(failure: RecordedFailure) -> RecordedFailure {
    RecordedFailure { message: String::new(), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(events: &[RecordedEvent]) -> Vec<String> {
        let lines =
            events.iter().map(|event| RecordedLine { session: 1, ms: 0, event: event.clone() });
        let lines = anonymized(lines.collect());
        lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect()
    }

    fn sent(line: &str) -> RecordedEvent {
        RecordedEvent::Sent { line: WireText(line.into()) }
    }

    fn received(line: &str) -> RecordedEvent {
        RecordedEvent::Received { line: WireText(line.into()) }
    }

    /// Returns the dialogue with a server that names hosts, users and files wherever it can.
    fn dialogue() -> Vec<RecordedEvent> {
        let listing = "drwxr-x--- 2 anna kunde 4096 Jan 02 03:04 Rechnungen\r\n\
                       lrwxrwxrwx 1 anna kunde 4 Jan 02 03:04 neu -> Rechnungen/2026.pdf\r\n\
                       type=file;size=7;modify=20260102030405;UNIX.ownername=anna; Bilanz.xls\r\n\
                       01-02-26 03:04AM 17 Umsatz.txt\r\n-rw-r--r-- 1 anna 532 Jun 14 08:00 Bilanz.xls\r\nGehalt.ods\r\n";
        let data = super::super::RecordedData {
            content: Some(WireText(listing.into())),
            ..Default::default()
        };
        vec![
            RecordedEvent::Dialed {
                host: "ftp.kunde.de".into(),
                port: 21,
                user: "anna".into(),
                tls: "off".into(),
                peer: "93.184.216.34:21".into(),
                local: "192.168.7.9:4000".into(),
            },
            received("220-nas01 willkommen bei Kunde GmbH, ftp.kunde.de"),
            received("220 ProFTPD Server (Kunde) [93.184.216.34]"),
            sent("USER anna"),
            received("331 Password required for anna"),
            sent("PASS ***"),
            received("230 User anna logged in from 192.168.7.9."),
            sent("CWD /home/anna/Rechnungen"),
            received("250 CWD command successful"),
            sent("PWD"),
            received("257 \"/home/anna/Rechnungen\" is the current directory"),
            sent("PASV"),
            received("227 Entering Passive Mode (93,184,216,34,10,11)."),
            sent("STAT"),
            received("211-Connected to ::ffff:192.168.7.9"),
            received("     Logged in as anna, from 2001:470::1"),
            received("211 End"),
            RecordedEvent::DataEnded(data),
            sent("RETR Bilanz.xls"),
            received("550 Bilanz.xls: No such file or directory"),
        ]
    }

    #[test]
    fn nothing_that_names_a_host_a_user_or_a_file_is_left() {
        let made = played(&dialogue());
        let all = made.join("\n");
        for word in [
            "kunde",
            "nas01",
            "anna",
            "93.184",
            "93,184",
            "192.168",
            "2001:470",
            "Rechnung",
            "Bilanz",
            "Umsatz",
            "Gehalt",
            "GmbH",
            "willkommen",
            "home",
        ] {
            assert!(!all.to_lowercase().contains(&word.to_lowercase()), "{word}:\n{all}");
        }
        for text in [
            "ProFTPD Server",
            "331 Password required for user-1",
            "(198,18,0,1,10,11)",
            "from 10.0.0.2",
            "size=7;modify=20260102030405; name-",
            "No such file or directory",
            ".xls",
            "4096 Jan 02 03:04",
        ] {
            assert!(all.contains(text), "{text}:\n{all}");
        }
        let path = |line: &str| {
            line.split('/').nth(3).map(|part| part.split(['"', '\\']).next().unwrap().to_owned())
        };
        assert_eq!(path(&made[7]), path(&made[10]), "{all}");
    }
}
