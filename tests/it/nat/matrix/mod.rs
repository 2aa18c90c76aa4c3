//! Which way data gets through which NAT, for portolan and for others: the rules are portolan's, the server is vsftpd,
//! and all bytes are compared. Each row says what each client must achieve.

mod clients;
mod gateway;
mod hosts;
mod ipv6;
mod lab;
mod served;

use std::thread;

use self::{
    clients::{
        Client,
        Expected::{self, Fails, Unable, Works},
        Task, Way,
    },
    lab::{Lab, Place, Server},
};

/// One row: how the world is, and what gets through it.
struct Row {
    name: &'static str,
    server: Server,
    /// What is set up where, as lines of a script with a ruleset `rules`.
    rules: &'static [(Place, &'static str)],
    /// Where the clients are.
    from: Place,
    /// Each way, and what comes of it for portolan, lftp and curl.
    ways: &'static [(Way, [Expected; 3])],
}

const ALL_WORK: [Expected; 3] = [Works; 3];
/// The server sees the private address.
const ILLEGAL: Expected = Fails(&["500 Illegal PORT command", "500 Illegal EPRT command"]);
const ALL_ILLEGAL: [Expected; 3] = [ILLEGAL; 3];
/// Nobody answers, or somebody says no.
const LOST: Expected = Fails(&[
    "no answer",
    "imed out",
    "timeout",
    "max-retries",
    "refused",
    "425 Failed",
    "unreachable",
    "did not connect to",
]);
const ALL_LOST: [Expected; 3] = [LOST; 3];
/// It never finishes TLS in active mode, also where nothing stands between.
const NOT_CURL: Expected = Unable;

/// Everybody gets out, nobody in; FTP is not spoken of.
const CLASSIC: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);"#;

/// Most of a row is waiting for what never comes: so many are tried at a time.
const AT_A_TIME: usize = 4;

/// Tries every row, and tells of all that are otherwise.
fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    // What is skipped names the test that is.
    let name = thread::current().name().unwrap_or("a test").to_owned();
    for some in rows.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let threads = some.iter().map(|row| {
                let named = thread::Builder::new().name(name.clone());
                named.spawn_scoped(scope, || try_all(row)).unwrap()
            });
            let threads: Vec<_> = threads.collect();
            for (row, thread) in some.iter().zip(threads) {
                let told = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                wrong.extend(told.into_iter().map(|said| format!("=== {}: {said}", row.name)));
            }
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tries each way of a row with each client; what is otherwise than it should be.
fn try_all(row: &Row) -> Vec<String> {
    let Some(lab) = Lab::lay(row.server) else { return Vec::new() };
    lab.server.file("tree/a.txt", "small\r\n");
    lab.server.file("tree/b/large.bin", (0..=255).cycle().take(300_001).collect::<Vec<u8>>());
    lab.server.file("tree/b/c/nothing", "");
    if !row.rules.iter().all(|(place, rules)| lab.rule(*place, rules)) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (number, (way, expected)) in row.ways.iter().enumerate() {
        let Server { is_tls, has_pasv_only, .. } = row.server;
        let (space, server, address) = (lab.space(row.from), &lab.server, lab.address);
        let task = Task { space, server, address, way: *way, is_tls, has_pasv_only, number };
        thread::scope(|scope| {
            let checks = Client::ALL.into_iter().zip(expected);
            let threads = checks.map(|(client, expected)| {
                let task = &task;
                scope.spawn(move || task.check(client, *expected))
            });
            let threads: Vec<_> = threads.collect();
            for thread in threads {
                let told = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                wrong.extend(told.err());
            }
        });
    }
    wrong
}

/// The same with the ports on which it reads along.
const HELPER: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_helper(#{ ports: [21, 2121], in: "lan" });"#;
/// The same with a range that leads to the client.
const RANGE: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan" });"#;
/// Both.
const HELPER_AND_RANGE: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_helper(#{ ports: [21, 2121], in: "lan" });
    rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan" });"#;
/// Only from the port that servers should come from.
const RANGE_20: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan", server: "203.0.113.10", server_port_20: true });"#;
