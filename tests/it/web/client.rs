//! A scheduler with its page, and a small client for it: one request for each connection, every header as given.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    serve::scheduler::Scheduler,
    support::program::{Ran, Running},
};

/// The maximum time for a response.
const TIME_MAX: Duration = Duration::from_secs(50);

/// A running scheduler with its page.
pub(super) struct Site {
    pub(super) scheduler: Scheduler,
    running: Option<Running>,
    /// The address and port.
    pub(super) address: String,
}

impl Site {
    /// Starts one with these keys of `[runner]` and these jobs, at a free port of the loopback interface.
    #[track_caller]
    pub(super) fn start(runner: &str, jobs: &str) -> Self {
        Self::start_with(runner, jobs, |_| {})
    }

    /// Starts one after `prepare` has put its files in place.
    #[track_caller]
    pub(super) fn start_with(runner: &str, jobs: &str, prepare: impl FnOnce(&Scheduler)) -> Self {
        let scheduler = Scheduler::new(&format!("{runner}\n{jobs}"));
        // A jobs file whose scripts do not exist is refused.
        for script in jobs.split("script = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            scheduler.file(script, "");
        }
        prepare(&scheduler);
        let running = scheduler.serve(&["--listen", "127.0.0.1:0"]).spawn();
        running.until_stderr_has("jobs, state in");
        let said = running.stderr_text();
        let address = said.split("page at http").nth(1).unwrap_or_else(|| panic!("{said}"));
        let address = address.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { scheduler, running: Some(running), address }
    }

    /// Makes a token.
    #[track_caller]
    pub(super) fn token(&self, name: &str, role: &str) -> String {
        let ran = self.scheduler.command(&["token", "add", name, "--role", role]).succeeds();
        let token = ran.stdout_text().trim().to_owned();
        drop(ran.any_stdout().any_stderr());
        token
    }

    pub(super) fn get(&self, path: &str) -> Request<'_> {
        self.request("GET", path)
    }

    pub(super) fn post(&self, path: &str) -> Request<'_> {
        self.request("POST", path)
    }

    pub(super) fn request(&self, method: &str, path: &str) -> Request<'_> {
        let headers = vec![("Host".to_owned(), self.address.clone())];
        Request { site: self, method: method.into(), path: path.into(), headers, body: Vec::new() }
    }

    /// Logs in as a browser does. Returns its cookie.
    #[track_caller]
    pub(super) fn log_in(&self, token: &str) -> String {
        let answer = self.post("/login").form(&format!("token={token}&next=%2F")).send();
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(super) fn said(&self) -> String {
        self.running.as_ref().unwrap().stderr_text()
    }

    /// Stops the scheduler.
    pub(super) fn stop(mut self) -> Ran {
        let running = self.running.take().unwrap();
        running.signal(Signal::TERM);
        running.wait().succeeds().any_stderr()
    }
}

/// A request that has not been sent.
pub(super) struct Request<'s> {
    site: &'s Site,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request<'_> {
    /// Sets a header, in place of any of that name.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(super) fn form(self, text: &str) -> Self {
        let origin = format!("http://{}", self.site.address);
        self.header("Origin", &origin)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(text.as_bytes())
    }

    pub(super) fn json(self, text: &str) -> Self {
        self.header("Content-Type", "application/json").body(text.as_bytes())
    }

    pub(super) fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        let length = bytes.len().to_string();
        self.header("Content-Length", &length)
    }

    /// Returns the request as it is sent.
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }

    /// Sends it on a connection that stays open.
    pub(super) fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.site.address).unwrap();
        stream.set_read_timeout(Some(TIME_MAX)).unwrap();
        stream.write_all(&self.bytes()).unwrap();
        stream
    }

    #[track_caller]
    pub(super) fn send(&self) -> Answer {
        let mut stream = self.open();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::read(&bytes)
    }
}

/// A response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) text: String,
}

impl Answer {
    #[track_caller]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<(String, String)> = lines.map(header).collect();
        let is_chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        let text = if is_chunked { unchunked(body) } else { body.to_owned() };
        Self { status, headers, text }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless it has this status; returns its document.
    #[track_caller]
    pub(super) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.value()
    }

    /// Fails unless it is an error with this status and code.
    #[track_caller]
    pub(super) fn is_error(&self, status: u16, code: &str) {
        let value = self.is(status);
        let field = |name: &str| value.pointer(&format!("/error/{name}")).and_then(Value::as_str);
        assert_eq!(field("code"), Some(code), "{value}");
        assert!(field("message").is_some_and(|text| !text.is_empty()), "{value}");
    }
}

/// Joins the chunks of a body.
fn unchunked(body: &str) -> String {
    let (mut rest, mut text) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        text.push_str(after.get(..size).unwrap_or(after));
        rest = after.get(size + 2..).unwrap_or_default();
    }
    text
}

#[test]
fn chunks_are_joined() {
    assert_eq!(unchunked("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), "abc0123456789");
}
