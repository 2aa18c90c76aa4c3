//! Notifications: over HTTP, by a command, by the service manager.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::scheduler::{Scheduler, TIME_MAX, on_request};
use crate::support::wait;

/// A server that keeps the requests that it gets, and answers the first `failures` of them with 500.
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) line: String,
    /// The headers, one in each line, with names in lower case.
    pub(super) headers: String,
    pub(super) body: String,
}

impl Heard {
    /// Returns the body as JSON.
    #[track_caller]
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the value of a header.
    pub(super) fn header(&self, name: &str) -> &str {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

impl Listener {
    pub(super) fn start(failures: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(one) = hear(&stream) else { continue };
                let mut kept = kept.lock().unwrap();
                kept.push(one);
                let status = if kept.len() <= failures { "500 No" } else { "200 OK" };
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                (&stream).write_all(answer.as_bytes()).ok();
            }
        });
        Self { address, heard }
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    #[track_caller]
    pub(super) fn until(&self, number: usize) -> Vec<Heard> {
        let found = wait::until(TIME_MAX, || Some(self.heard()).filter(|all| all.len() >= number));
        found.unwrap_or_else(|| panic!("{:#?}", self.heard()))
    }
}

pub(super) fn hear(stream: &TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut length, mut headers) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        if name == "content-length" {
            length = value.parse().ok()?;
        }
        headers.extend([name.as_str(), ": ", value, "\n"]);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Heard { line: line.trim().to_owned(), headers, body })
}

/// Returns the response to a request.
pub(crate) fn fetch(address: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_monitor_is_pinged_at_each_start_and_end_with_the_tail_of_the_log() {
    let listener = Listener::start(0);
    let job = format!("ping = \"http://{}/uuid\"", listener.address);
    let mut scheduler = Scheduler::new(&on_request("a", &job));
    scheduler.file("a.rhai", "print(\"a good word\");");
    scheduler.start();
    drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
    let heard = listener.until(2);
    assert_eq!(heard[0].line, "POST /uuid/start HTTP/1.1");
    assert_eq!(heard[1].line, "POST /uuid HTTP/1.1");
    assert!(heard[1].body.contains("a good word"), "{heard:?}");
    scheduler.file("a.rhai", "fail(\"a bad word\");");
    drop(scheduler.command(&["trigger", "a", "--wait"]).fails_with(3).any_stdout());
    let heard = listener.until(4);
    assert_eq!(heard[3].line, "POST /uuid/fail HTTP/1.1");
    assert!(heard[3].body.contains("a bad word"), "{heard:?}");
    scheduler.stop();
}

#[test]
fn people_are_told_when_the_state_changes_and_again_until_it_is_heard() {
    let listener = Listener::start(1);
    let hook = |path: &str| format!("{{ webhook = \"http://{}/{path}\" }}", listener.address);
    let job = format!(
        "on_failure = {}\non_success = {}\non_change = {{ command = [\"sh\", \"-c\", \"cat >>told\"] }}",
        hook("bad"),
        hook("good")
    );
    let mut scheduler = Scheduler::new(&on_request("a", &job));
    scheduler.file("a.rhai", "fail(\"no good\");");
    scheduler.start();
    let trigger = || drop(scheduler.command(&["trigger", "a", "--wait"]).any_code().any_stdout());
    trigger();
    trigger();
    // The first was answered with 500; it is sent again, and the second failure sends no notification.
    let heard = listener.until(2);
    for one in &heard {
        assert_eq!(one.line, "POST /bad HTTP/1.1");
        let body: serde_json::Value = serde_json::from_str(&one.body).unwrap();
        assert_eq!((body["event"].as_str(), body["id"].as_i64()), (Some("failure"), Some(1)));
        assert_eq!((body["job"].as_str(), body["outcome"].as_str()), (Some("a"), Some("failed")));
        assert!(body["error"].as_str().unwrap().contains("no good"));
    }
    scheduler.file("a.rhai", "");
    trigger();
    let heard = listener.until(3);
    assert_eq!(heard[2].line, "POST /good HTTP/1.1");
    let told = wait::until(TIME_MAX, || {
        Some(scheduler.read("told"))
            .filter(|told| told.matches("\"event\":\"change\"").count() == 2)
    });
    assert!(told.is_some(), "{}", scheduler.read("told"));
    let whole = wait::until(TIME_MAX, || {
        let whole = scheduler.show(&1.into());
        let all = whole["each_notice"].as_array().unwrap();
        all.iter().all(|notice| notice["outcome"] == "told").then_some(whole)
    });
    let whole = whole.unwrap();
    assert!(whole["each_notice"].as_array().unwrap().iter().any(|notice| notice["tries"] == 2));
    assert_eq!(listener.heard().len(), 3);
    scheduler.stop();
}

/// Checks that a listener that accepts connections and never answers blocks no run.
#[test]
fn a_target_that_does_not_answer_delays_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let slow = format!("ping = \"http://{address}/x\"");
    let mut scheduler = Scheduler::new(&on_request("a", &slow));
    scheduler.file("a.rhai", "");
    scheduler.start();
    for _ in 0..3 {
        drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
    }
    scheduler.stop();
}

#[test]
fn a_slot_that_was_missed_is_told() {
    let job = "\n[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = \"* * * * * *\"\nmisfire = \"skip\"\nlate_after = \"1s\"\non_missed = { command = [\"sh\", \"-c\", \"cat >>told\"] }\n";
    let mut scheduler = Scheduler::new(job);
    scheduler.file("a.rhai", "");
    scheduler.start();
    scheduler.until_outcome("a", "done");
    scheduler.kill();
    thread::park_timeout(Duration::from_secs(4));
    scheduler.start();
    let told = wait::until(TIME_MAX, || {
        Some(scheduler.read("told")).filter(|told| told.contains("\"event\":\"missed\""))
    });
    assert!(told.is_some());
    scheduler.until(|run| run["reason"] == "missed, and `misfire` is \"skip\"");
    scheduler.stop();
}

#[test]
fn the_service_manager_hears_of_start_reload_life_and_stop() {
    let mut scheduler = Scheduler::new(&on_request("a", ""));
    let path = scheduler.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let path = path.to_str().unwrap().to_owned();
    scheduler = scheduler.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "30000000");
    scheduler.file("a.rhai", "");
    scheduler.start();
    let mut heard = String::new();
    let mut until = |word: &str| {
        let found = wait::until(TIME_MAX, || {
            let mut bytes = [0; 4096];
            if let Ok(count) = socket.recv(&mut bytes) {
                heard += &String::from_utf8_lossy(&bytes[..count]);
                heard.push('\n');
            }
            heard.contains(word).then_some(())
        });
        assert!(found.is_some(), "never {word}: {heard}");
    };
    until("READY=1");
    until("WATCHDOG=1");
    scheduler.running().signal(Signal::HUP);
    until("RELOADING=1");
    until("MONOTONIC_USEC=");
    let stopping = thread::spawn(move || drop(scheduler.stop()));
    until("STOPPING=1");
    until("EXTEND_TIMEOUT_USEC=");
    stopping.join().unwrap();
}
