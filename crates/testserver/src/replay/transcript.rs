//! A recording as sessions and exchanges: each command with its replies and its data (pure).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

use super::normal::{CommandKey, key_of};
use portolan_core::recording::{ClosedBy, RecordedData, RecordedEvent, Recording};
use portolan_proto::Verb;

/// A recorded session.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordedSession {
    /// True if TLS starts with the connection.
    pub(super) is_implicit: bool,
    /// The address of the server, without its port.
    pub(super) peer: String,
    /// True if another session was open when it began.
    pub(super) is_beside: bool,
    /// True if a TLS handshake has failed.
    pub(super) tls_failed: bool,
    /// The exchanges in order; the first is the greeting.
    pub(super) exchanges: Vec<Exchange>,
}

/// A command and what followed it.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    /// The command; empty for the greeting.
    pub(super) line: Vec<u8>,
    /// The part of the command by which it is found.
    pub(super) key: CommandKey,
    /// The directory in which it was sent: the argument of the last CWD.
    pub(super) folder: Vec<u8>,
    /// The replies, each with its line ends.
    pub(super) replies: Vec<PlayedReply>,
    /// The data connection that was opened for it.
    pub(super) data: Option<RecordedData>,
    /// The fate of the port that it named.
    pub(super) port: PortFate,
    /// True if data was reached at the address that it named, and not at the server's own.
    pub(super) is_elsewhere: bool,
    /// The state of the connection after it.
    pub(super) end: ExchangeEnd,
    /// True once it was played.
    pub(super) is_played: bool,
}

/// A recorded reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlayedReply {
    /// Its code; 0 if it has none.
    pub(super) code: u16,
    /// Its lines with their ends.
    pub(super) bytes: Vec<u8>,
}

impl PlayedReply {
    /// Returns true if another reply to the same command follows.
    pub(super) const fn is_preliminary(&self) -> bool {
        self.code >= 100 && self.code < 200
    }
}

/// The fate of a connection to a port that the server named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PortFate {
    /// It was made, or never tried.
    #[default]
    Open,
    /// It was refused.
    Refused,
    /// It was not answered.
    Silent,
}

/// The state of a connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ExchangeEnd {
    /// The session continues until the client closes it.
    #[default]
    Open,
    /// The server closes it.
    Closed,
    /// It is reset.
    Reset,
}

impl Exchange {
    fn new(line: &[u8], folder: &[u8], before: Verb) -> Self {
        Self {
            line: line.to_vec(),
            key: key_of(line, before),
            folder: folder.to_vec(),
            replies: Vec::new(),
            data: None,
            port: PortFate::Open,
            is_elsewhere: false,
            end: ExchangeEnd::Open,
            is_played: false,
        }
    }

    /// Returns its verb.
    pub(super) fn verb(&self) -> Verb {
        self.key.verb
    }

    /// Returns true if the final reply came.
    pub(super) fn is_answered(&self) -> bool {
        self.replies.last().is_some_and(|reply| !reply.is_preliminary())
    }

    fn is_success(&self) -> bool {
        self.replies.last().is_some_and(|reply| (200..300).contains(&reply.code))
    }
}

/// Returns the sessions of `recording`, in the order in which they began.
pub(super) fn sessions(recording: &Recording) -> Vec<RecordedSession> {
    let mut readers: BTreeMap<u32, SessionReader> = BTreeMap::new();
    let mut open = BTreeSet::new();
    for line in recording.lines.iter().filter(|line| line.session > 0) {
        let reader = readers.entry(line.session).or_default();
        reader.read(&line.event);
        match line.event {
            RecordedEvent::Dialed { .. } => {
                reader.session.is_beside = !open.is_empty();
                open.insert(line.session);
            }
            RecordedEvent::Closed { .. } => drop(open.remove(&line.session)),
            _ => {}
        }
    }
    readers.into_values().map(|reader| reader.session).collect()
}

/// The state between two events of one session.
struct SessionReader {
    session: RecordedSession,
    /// The positions of the commands whose final reply is still to come.
    awaited: VecDeque<usize>,
    /// The lines of a reply that has begun.
    reply: Vec<u8>,
    /// The code of a reply of several lines that has begun.
    open_code: Option<u16>,
    folder: Vec<u8>,
    /// The exchanges of the data connections, by number.
    data: BTreeMap<u32, usize>,
}

impl Default for SessionReader {
    fn default() -> Self {
        let greeting = Exchange::new(b"", b"", Verb::Greeting);
        let session = RecordedSession { exchanges: vec![greeting], ..RecordedSession::default() };
        Self {
            session,
            awaited: VecDeque::from([0]),
            reply: Vec::new(),
            open_code: None,
            folder: Vec::new(),
            data: BTreeMap::new(),
        }
    }
}

impl SessionReader {
    fn read(&mut self, event: &RecordedEvent) {
        match event {
            RecordedEvent::Dialed { tls, peer, .. } => {
                self.session.is_implicit = tls == "implicit";
                let ip = peer.parse().map(|at: SocketAddr| at.ip().to_canonical());
                self.session.peer = ip.map(|ip| ip.to_string()).unwrap_or_default();
            }
            RecordedEvent::Sent { line } => self.sent(&line.0),
            RecordedEvent::Received { line } => self.received(&line.0),
            RecordedEvent::Closed { by, failure } => {
                let tls = failure.as_ref().is_some_and(|failure| failure.kind == "tls");
                self.session.tls_failed |= tls;
                let end = match (by, failure) {
                    (ClosedBy::Client, _) => return,
                    (ClosedBy::Server, Some(failure)) if failure.errno.is_some() => {
                        ExchangeEnd::Reset
                    }
                    (ClosedBy::Server, _) => ExchangeEnd::Closed,
                };
                let at = self.awaited.front().copied();
                let last = self.session.exchanges.len().saturating_sub(1);
                if let Some(exchange) = self.session.exchanges.get_mut(at.unwrap_or(last)) {
                    exchange.end = end;
                }
            }
            RecordedEvent::DataFailed { method, failure, .. } => {
                let fate = if failure.is_timeout() { PortFate::Silent } else { PortFate::Refused };
                let is_passive = matches!(method.as_str(), "epsv" | "pasv");
                // After the transfer command it is not the port that failed.
                let is_it = |it: &Exchange| {
                    matches!(it.verb(), Verb::Epsv | Verb::Pasv) || it.verb().is_transfer()
                };
                if failure.reply == 0
                    && is_passive
                    && let Some(asked) = self.last(is_it)
                    && !asked.verb().is_transfer()
                {
                    asked.port = fate;
                }
            }
            RecordedEvent::DataOpened { data, method, address, .. } => {
                let ip = address.parse().map(|at: SocketAddr| at.ip().to_canonical().to_string());
                let is_elsewhere = ip.is_ok_and(|ip| ip != self.session.peer) && method == "pasv";
                if is_elsewhere && let Some(asked) = self.last(|it| it.verb() == Verb::Pasv) {
                    asked.is_elsewhere = true;
                }
                let position =
                    self.session.exchanges.iter().rposition(|it| it.verb().is_transfer());
                if let Some(position) = position {
                    self.data.insert(*data, position);
                }
            }
            RecordedEvent::DataEnded(ended) => {
                let position = self.data.get(&ended.data);
                if let Some(exchange) = position.and_then(|at| self.session.exchanges.get_mut(*at))
                {
                    exchange.data = Some(ended.clone());
                }
            }
            _ => {}
        }
    }

    fn last(&mut self, wanted: impl Fn(&Exchange) -> bool) -> Option<&mut Exchange> {
        self.session.exchanges.iter_mut().rev().find(|exchange| wanted(exchange))
    }

    fn sent(&mut self, line: &[u8]) {
        let before = self.session.exchanges.last().map_or(Verb::Greeting, Exchange::verb);
        self.awaited.push_back(self.session.exchanges.len());
        self.session.exchanges.push(Exchange::new(line, &self.folder, before));
    }

    /// Adds a line to the reply that is being received (RFC 959, 4.2).
    fn received(&mut self, line: &[u8]) {
        self.reply.extend_from_slice(line);
        self.reply.extend_from_slice(b"\r\n");
        let digits = line.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| digits.parse::<u16>().ok());
        let is_end = match (self.open_code, code) {
            (None, Some(code)) if line.get(3) == Some(&b'-') => {
                self.open_code = Some(code);
                false
            }
            (None, _) => true,
            (Some(open), code) => code == Some(open) && line.get(3) != Some(&b'-'),
        };
        if !is_end {
            return;
        }
        let reply = PlayedReply {
            code: self.open_code.take().or(code).unwrap_or(0),
            bytes: std::mem::take(&mut self.reply),
        };
        let last = self.session.exchanges.len().saturating_sub(1);
        let at = self.awaited.front().copied().unwrap_or(last);
        if !reply.is_preliminary() {
            self.awaited.pop_front();
        }
        let Some(exchange) = self.session.exchanges.get_mut(at) else { return };
        exchange.replies.push(reply);
        if exchange.verb() == Verb::Cwd && exchange.is_success() {
            self.folder = exchange.key.argument.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(lines: &[&str]) -> Vec<RecordedSession> {
        let head =
            "{\"event\":\"recording\",\"version\":1,\"portolan\":\"0\",\"command\":\"run\"}\n";
        let events = lines.iter().enumerate().map(|(number, line)| match line.split_at(2) {
            (">>", line) => format!(
                "{{\"session\":1,\"ms\":{number},\"event\":\"sent\",\"line\":\"{line}\"}}\n"
            ),
            ("<<", line) => format!(
                "{{\"session\":1,\"ms\":{number},\"event\":\"received\",\"line\":\"{line}\"}}\n"
            ),
            _ => format!("{{\"session\":1,\"ms\":{number},{line}}}\n"),
        });
        let text = head.to_owned() + &events.collect::<String>();
        sessions(&Recording::read(text.as_bytes()).unwrap())
    }

    #[test]
    fn replies_belong_to_commands_in_order_whatever_is_pipelined() {
        let sessions = recorded(&[
            "<<220-hello",
            "<<220 there",
            ">>USER a",
            ">>PASS ***",
            "<<331 go",
            "<<230 in",
            ">>RETR f",
            "\"event\":\"data_opened\",\"data\":1,\"method\":\"epsv\",\"verb\":\"RETR\",\"address\":\"\",\"tls\":false,\"resumed\":false",
            "<<150 here",
            "\"event\":\"data_ended\",\"data\":1,\"received\":5,\"sent\":0,\"ended\":true",
            ">>EPSV",
            "<<226 done",
            "<<229 (|||5|)",
            ">>SIZE g",
            "\"event\":\"closed\",\"by\":\"server\"",
        ]);
        let exchanges = &sessions[0].exchanges;
        let shown: Vec<_> = exchanges
            .iter()
            .map(|it| {
                let codes: Vec<_> = it.replies.iter().map(|reply| reply.code).collect();
                (String::from_utf8_lossy(&it.line).into_owned(), codes)
            })
            .collect();
        let expected = [
            ("", vec![220]),
            ("USER a", vec![331]),
            ("PASS ***", vec![230]),
            ("RETR f", vec![150, 226]),
            ("EPSV", vec![229]),
            ("SIZE g", vec![]),
        ];
        assert_eq!(shown, expected.map(|(line, codes)| (line.to_owned(), codes)));
        assert_eq!(exchanges[0].replies[0].bytes, b"220-hello\r\n220 there\r\n");
        assert_eq!(exchanges[3].data.as_ref().unwrap().received, 5);
        assert_eq!(exchanges[5].end, ExchangeEnd::Closed);
    }
}
