//! Requests that are too large or too slow, and connections that say nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::client::{Answer, Site};
use crate::{
    serve::scheduler::{TIME_MAX, on_request},
    support::wait,
};

fn site() -> (Site, String) {
    let site = Site::start("anonymous_read = true", &on_request("a", ""));
    site.scheduler.file("a.rhai", "");
    let token = site.token("alice", "operate");
    (site, token)
}

fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok();
    bytes
}

#[test]
fn requests_that_are_too_large_are_refused() {
    let (site, token) = site();
    let large = format!(r#"{{"reason":"{}"}}"#, "x".repeat(17 * 1024));
    let pause = || site.post("/api/v1/jobs/a/pause").bearer(&token);
    pause().json(&large).send().is_error(413, "web.too_large");
    // Not even the length must be true.
    let announced =
        pause().header("Content-Length", "99999999999").header("Content-Type", "application/json");
    announced.send().is_error(413, "web.too_large");
    let long = site.get(&format!("/api/v1/runs?job={}", "x".repeat(20_000))).open();
    let answer = Answer::read(&rest(long));
    assert!([414, 431].contains(&answer.status), "{answer:?}");
    let many = (0..2_000)
        .fold(site.get("/"), |request, number| request.header(&format!("x-{number}"), "y"));
    assert!([400, 431].contains(&Answer::read(&rest(many.open())).status));
    site.get("/api/v1/jobs").send().is(200);
    drop(site.stop());
}

#[test]
fn requests_that_do_not_end_are_given_up() {
    let (site, token) = site();
    // The head never ends; nor does the body.
    let mut head = TcpStream::connect(&site.address).unwrap();
    head.set_read_timeout(Some(TIME_MAX)).unwrap();
    head.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    let pause = site.post("/api/v1/jobs/a/pause").bearer(&token);
    let body =
        pause.header("Content-Type", "application/json").header("Content-Length", "20").open();
    site.get("/api/v1/jobs").send().is(200);
    Answer::read(&rest(body)).is_error(408, "timeout");
    let answer = rest(head);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    drop(site.stop());
}

#[test]
fn a_thousand_idle_connections_and_a_slow_reader_do_no_harm() {
    let (site, token) = site();
    let slow = site.get("/api/v1/jobs").open();
    let idle: Vec<_> = (0..1_000).map(|_| TcpStream::connect(&site.address).unwrap()).collect();
    for _ in 0..3 {
        site.get("/api/v1/jobs").send().is(200);
        assert_eq!(site.get("/").send().status, 200);
    }
    let run = site.post("/api/v1/jobs/a/trigger").bearer(&token).send().is(202);
    let done = wait::until(TIME_MAX, || {
        let run = site.get(&format!("/api/v1/runs/{}", run["id"])).send().is(200);
        (run["outcome"] == "done").then_some(())
    });
    assert!(done.is_some());
    drop((idle, slow));
    drop(site.stop());
}

#[test]
fn garbage_is_answered_or_cut_and_does_no_harm() {
    let (site, _) = site();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz\r\n",
        b"GET /runs/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /runs/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /assets/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&site.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = String::from_utf8_lossy(&rest(stream)).into_owned();
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{}: {answer}", String::from_utf8_lossy(bytes));
        assert!(!answer.contains("root:"), "{answer}");
    }
    site.get("/api/v1/jobs").send().is(200);
    drop(site.stop());
}
