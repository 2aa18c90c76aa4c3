//! Ctrl-C and SIGTERM: the program ends within a second, and no partial file remains under a final name.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    program::{Portolan, Ran, Running},
    server::{Kind, Options, RealServer},
    tree::Manifest,
};

/// One second, plus the delay on a busy machine. The operations that are interrupted here would take much longer.
const END_TIME_MAX: Duration = Duration::from_secs(5);

#[track_caller]
fn stop(running: Running, signal: Signal) -> Ran {
    running.signal(signal);
    let start = Instant::now();
    let ran = running.wait().fails_with(130);
    assert!(start.elapsed() < END_TIME_MAX, "it took {:?}", start.elapsed());
    ran
}

const SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];

#[test]
fn a_sleep_and_an_endless_loop_end_at_once() {
    for signal in SIGNALS {
        for text in ["sleep(\"1h\");", "try { sleep(3600); } catch (err) { print(\"caught\"); }"] {
            let running = Portolan::new().script(&format!("print(\"begun\"); {text}")).spawn();
            running.until_stdout_has("begun");
            stop(running, signal)
                .stdout("begun\n")
                .stderr_has("error: interrupted\n  --> script.rhai:1:");
        }
        let text = "print(\"begun\"); let a = []; a.pad(100000, 0); loop { a[0] += 1; a.len(); }";
        let running = Portolan::new().script(text).spawn();
        running.until_stdout_has("begun");
        stop(running, signal).stdout("begun\n").stderr_has("error: interrupted\n");
    }
}

#[test]
fn waiting_for_another_try_ends_at_once() {
    let text = "retry(#{ attempts: 9, backoff: \"1h\" }, || ftp::connect(\"ftp://127.0.0.1:1\"));";
    let running = Portolan::new().script(text).spawn();
    running.until_stderr_has("trying again");
    stop(running, Signal::INT).stderr_has("error: interrupted\n");
}

#[test]
fn a_server_that_never_greets_does_not_hold_the_program() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ftp://{}/", silent.local_addr().unwrap());
    for signal in SIGNALS {
        let running = Portolan::new().args(["ls", &url]).spawn();
        let (socket, _) = silent.accept().unwrap();
        stop(running, signal).stdout("").stderr_has("interrupted");
        drop(socket);
        let script =
            format!("try {{ ftp::connect(\"{url}\"); }} catch (err) {{ print(\"caught\"); }}");
        let running = Portolan::new().script(&script).spawn();
        let (_socket, _) = silent.accept().unwrap();
        stop(running, signal).stdout("").stderr_has("interrupted");
    }
}

#[test]
fn a_download_that_is_stopped_leaves_the_old_file() {
    for signal in SIGNALS {
        let big = vec![b'x'; 4_000_000];
        let portolan = Portolan::new()
            .file("tree/big", &big)
            .file("big", "old")
            .file("script.rhai", "let s = ftp::connect(\"ftpes://h\"); s.get(\"big\", \"big\");")
            .args([
                "rehearse",
                "--json",
                "--tree",
                "tree",
                "--fault",
                "slow=200000",
                "script.rhai",
            ]);
        let running = portolan.spawn();
        running.until_stdout_has("\"event\":\"moved\"");
        stop(running, signal).any_stdout().any_stderr();
    }
}

#[test]
fn an_upload_that_is_stopped_gives_the_file_there_no_final_name() {
    for fault in ["slow=100000", "stor-stall=100", "no-final", "no-reply=RNTO", "pasv-blackhole"] {
        let running = Portolan::new()
            .file("up.bin", vec![b'x'; 2_000_000])
            .file("script.rhai", "let s = ftp::connect(\"ftpes://h\"); print(\"begun\"); s.put(\"up.bin\", \"/up.bin\");")
            .args(["rehearse", "--fault", fault, "script.rhai"])
            .spawn();
        running.until_stdout_has("begun");
        let ran = stop(running, Signal::INT).stdout("begun\n").stderr_has("interrupted\n");
        let changes = ran.stderr_text().split("have changed:\n").nth(1).unwrap();
        assert!(!changes.contains("up.bin"), "{fault}: {changes}");
    }
}

#[test]
fn a_transfer_with_a_real_server_that_is_stopped_leaves_no_half_file_on_either_side() {
    for kind in Kind::ALL {
        let Some(server) = RealServer::start(kind, &Options::default()) else { return };
        // Sparse, and more than any machine can transfer in the time of this test.
        let size = 64 * 1024 * 1024 * 1024;
        let there = std::fs::File::create(server.root().join("big")).unwrap();
        there.set_len(size).unwrap();
        server.own_all();
        // A file left in its directory fails the test.
        let get = Portolan::new()
            .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
            .file("here", "old")
            .args(["--log-level", "debug", "get", &(server.url() + "big"), "here"]);
        let running = get.spawn();
        running.until_stderr_has("< 150");
        stop(running, Signal::INT).any_stderr();
        std::fs::remove_file(server.root().join("big")).unwrap();
        server.file("kept", "old");
        let here = tempfile::NamedTempFile::new().unwrap();
        here.as_file().set_len(2 * size).unwrap();
        let put = Portolan::new()
            .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
            .args(["--log-level", "debug", "put"])
            .args([here.path().to_str().unwrap(), &(server.url() + "kept")]);
        let running = put.spawn();
        running.until_stderr_has("< 150");
        stop(running, Signal::TERM).any_stderr();
        assert_eq!(server.bytes("kept"), b"old", "{}", kind.program());
        let left = Manifest::of(&server.root()).0.len();
        assert_eq!(left, 1, "{}: {:?}", kind.program(), Manifest::of(&server.root()));
    }
}
